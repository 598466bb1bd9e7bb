"""Whether venues filled in one run lose anything against each of them alone.

    python benchmarks/side_by_side.py [--rounds 3] [--days 4] [--venues bybit,bitunix,...] [--pace 0.25] [--json]

Each venue is a simulator in a process of its own that keeps the limits which the venue documents, with made-up candles
of as many symbols as its quota fills in about twenty seconds.  A round fills each of them in a run of its own, one
after the other, and then all of them in one run: plain `laklak backfill --source rest` with default budgets, into a new
SQLite file, with a new state folder and new simulators every time.

A venue's time is from its first request for candles to its last one, as it saw them itself.  What laklak's process used
of one core meanwhile is beside it: the claim is about a machine that has a core free, and on one that has none the
figures say little: `--pace` asks for a part of the default budgets and of the symbols, which takes that part of the
CPU in the same time.  Every run has to be complete.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from laklak.simulator import Simulator, SimulatorSettings, generate
from laklak.simulator.dialects import DIALECTS
from laklak.simulator.dialects.base import Subject
from laklak.venues import VENUES

SYMBOLS = {"binance": 13, "bybit": 40, "bitunix": 5, "deribit": 30}
"""How many of them four days take about twenty seconds each."""
LATENCY_S = 0.05


@dataclass(frozen=True)
class Ran:
    """What a run took: each venue's own seconds, and laklak's share of a core over all of its time."""

    venues: dict[str, float]
    of_a_core: float


class Venue:
    """A simulator in a process of its own; entered with `with`."""

    def __init__(self, name: str, symbols: int, days: int) -> None:
        self.name = name
        self.symbols: list[str] = []
        self.url = ""
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(name, symbols, days, theirs), daemon=True)

    def __enter__(self) -> Venue:
        self._process.start()
        self.url, self.symbols = self._pipe.recv()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()

    def seconds(self) -> float:
        """From the first to the last request for candles."""
        self._pipe.send("seconds")
        seconds, refused = self._pipe.recv()
        if refused:
            raise SystemExit(f"{self.name} refused {refused} requests: its limits were not kept")
        return float(seconds)


def serve(name: str, symbols: int, days: int, pipe: Connection) -> None:
    """Be the venue until the process is ended."""
    asyncio.run(_serve(name, symbols, days, pipe))


async def _serve(name: str, symbols: int, days: int, pipe: Connection) -> None:
    dialect = DIALECTS[name]
    source = generate(symbols=symbols, days=days, names=dialect.names)
    async with Simulator(source, SimulatorSettings.of(dialect, latency_s=LATENCY_S)) as simulator:
        pipe.send((simulator.url, list(source.symbols)))
        while await asyncio.to_thread(pipe.recv):
            asked = [hit.at_s for hit in simulator.stats.hits if dialect.subject_of(hit.path) is Subject.CANDLES]
            pipe.send((asked[-1] - asked[0], sum(simulator.stats.refusals.values())))


def run(names: Sequence[str], sizes: dict[str, int], days: int, pace: float) -> Ran:
    """Fill these venues in one run."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        venues = [stack.enter_context(Venue(name, sizes[name], days)) for name in names]
        lines = [f"{symbol} {venue.name}\n" for venue in venues for symbol in venue.symbols]
        (folder / "assets.txt").write_text("".join(lines))
        own = {name: value for name, value in os.environ.items() if not name.startswith(("LAKLAK_", "INFLUX"))}
        places = {f"LAKLAK_{venue.name.upper()}_URL": venue.url for venue in venues}
        environment = own | places | {"LAKLAK_STATE_DIR": str(folder / "state"), "HOME": str(folder)}
        words = ["backfill", "--days", str(days), "--source", "rest", "--store", "candles.db", "--json"]
        if pace != 1:
            first = {name: next(iter(VENUES[name].quotas.values())).ours for name in names}
            words += ["--budget", ",".join(f"{name}={int(units * pace)}" for name, units in first.items())]
        used_s, begun_s = _used_s(), time.monotonic()
        ended = subprocess.run(
            [sys.executable, "-m", "laklak", *words], cwd=folder, env=environment, capture_output=True, check=False
        )
        taken_s, used_s = time.monotonic() - begun_s, _used_s() - used_s
        if ended.returncode or not json.loads(ended.stdout)["complete"]:
            raise SystemExit(f"a run was not complete (exit {ended.returncode}): {ended.stderr.decode()[-400:]}")
        return Ran({venue.name: venue.seconds() for venue in venues}, used_s / taken_s)


def _used_s() -> float:
    """CPU seconds of the runs so far; simulators that still run do not count."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measure(names: Sequence[str], sizes: dict[str, int], days: int, rounds: int, pace: float) -> dict[str, object]:
    """Medians over rounds."""
    alone: dict[str, list[float]] = {name: [] for name in names}
    together: dict[str, list[float]] = {name: [] for name in names}
    of_a_core = []
    for _ in range(rounds):
        for name in names:
            alone[name].append(run([name], sizes, days, pace).venues[name])
        ran = run(names, sizes, days, pace)
        of_a_core.append(ran.of_a_core)
        for name, seconds in ran.venues.items():
            together[name].append(seconds)
    figures = {
        name: {
            "alone_s": round(statistics.median(alone[name]), 2),
            "together_s": round(statistics.median(together[name]), 2),
            "together_of_alone": round(statistics.median(together[name]) / statistics.median(alone[name]), 3),
        }
        for name in names
    }
    load = os.getloadavg()[0]
    return {"venues": figures, "of_a_core": round(statistics.median(of_a_core), 2), "load": load, "rounds": rounds}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Whether venues in one run lose anything against each alone.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--days", type=int, default=4)
    parser.add_argument("--venues", default=",".join(SYMBOLS), help="some of those that it has numbers of symbols for")
    parser.add_argument("--symbols", type=int, help="of each venue, instead of those")
    parser.add_argument("--pace", type=float, default=1.0, help="the part of the default budgets to keep to")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    wanted = parser.parse_args(arguments)
    names = wanted.venues.split(",")
    sizes = {name: wanted.symbols or math.ceil(SYMBOLS[name] * wanted.pace) for name in names}
    figures = measure(names, sizes, wanted.days, wanted.rounds, wanted.pace)
    if wanted.json:
        print(json.dumps({"python": sys.version.split()[0], "cores": os.cpu_count(), **figures}))
        return
    print(f"{'venue':10} {'alone':>8} {'together':>9} {'ratio':>6}")
    for name, one in figures["venues"].items():  # type: ignore[attr-defined]
        print(f"{name:10} {one['alone_s']:6.1f} s {one['together_s']:7.1f} s {one['together_of_alone']:6.2f}")
    share, load, cores = figures["of_a_core"], figures["load"], os.cpu_count()
    print(f"together laklak took {share:.0%} of a core; load {load:.1f} on {cores} cores")


if __name__ == "__main__":
    main()
