"""laklak beside what people use today: the same candles from the same simulated venue, in the same run.

    python benchmarks/peers/run.py [--quick] [--only TEXT] [--json FILE] [--markdown FILE] [--venv FOLDER]

Run it with the Python that laklak is installed for.  The peers get a virtual environment of their own (build/peers,
some 800 MB from PyPI the first time); `influxd` of InfluxDB 1.x must be on PATH.  README.md says what is measured, how
each peer is used, and why one may doubt it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from cases import MINUTE_MS, PEERS, Peer, Task
from environment import DEFAULT, Environment
from results import Results, cpu_per_million, rate
from running import HERE, PeerFailed, Runner, Taken
from table import markdown

from laklak.bench import influxd, machine
from laklak.bench.children import BenchmarkFailed, Child, Work
from laklak.model.series import DAY_MS
from laklak.simulator.sources.generated import DEFAULT_END_MS, generate

NO_LIMIT = 1_000_000
BUDGET = 2400
AWAY_S = 0.05
FAILING = ("5xx=1%", "cut=0.5%", "reset=0.5%")
SPOILED = ("flicker=1%", "badrow=1%")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`days` of `symbols` symbols in each run; `limited_days` for the job with rate limits, 0 for none of it."""

    symbols: int
    days: int
    repeats: int
    limited_days: int


FULL = Plan(symbols=6, days=60, repeats=3, limited_days=70)
QUICK = Plan(symbols=6, days=10, repeats=1, limited_days=0)


class Comparison:
    """All stages of one comparison."""

    def __init__(self, plan: Plan, work: Work, runner: Runner, results: Results) -> None:
        self._plan, self._work, self._runner, self._results = plan, work, runner, results
        self._symbols = generate(symbols=plan.symbols, days=1).symbols
        # A day is left free at the end: pages may reach beyond what was asked for.
        self._end_ms = DEFAULT_END_MS - DAY_MS

    def speed(self, stage: str, latency_s: float, *, warm_up: bool) -> None:
        """Without a limit: perhaps a warm-up whose rows are checked, then the repeats, the peers taking turns."""
        with self._simulator(NO_LIMIT, latency_s) as (simulator, url):
            for number in range(0 if warm_up else 1, self._plan.repeats + 1):
                for peer in self._working():
                    with self._reported(peer, stage):
                        run = self._fast(peer, simulator, url, is_warm_up=number == 0)
                        if number:
                            self._results.add(peer, stage, run)
                            told = f"{rate(run):,.0f} candles/s, {cpu_per_million(run):.2f} CPU s/M"
                            tell(f"{stage}, {peer.name}: {told}")

    def faults(self, stage: str, faults: tuple[str, ...]) -> None:
        """Each peer with a simulator of its own, so that all meet the same dice."""
        for peer in self._working():
            with self._reported(peer, stage), self._simulator(NO_LIMIT, 0.0, faults) as (simulator, url):
                taken, found = self._run(peer, url, keep=True)
                met = simulator.ask("seen")
                told = {"told": taken.told, "seconds": taken.seconds, "met": met["faults"], "pages": met["pages"]}
                self._results.add(peer, stage, {**found, **told})
                tell(f"{stage}, {peer.name}: {found} {told}")

    def limited(self) -> None:
        """All peers at the same time, each at a simulator of its own: they mostly wait."""
        peers = self._working()
        with ThreadPoolExecutor(len(PEERS)) as pool, contextlib.ExitStack() as stack:
            started = []
            for peer in peers:
                simulator, url = stack.enter_context(self._simulator(BUDGET, AWAY_S, held=False))
                given = self._task(peer, url, self._plan.limited_days, limited=True, keep=True)
                started.append((peer, simulator, stack.enter_context(given)))
            children = [stack.enter_context(self._runner.start(peer, task)) for peer, _, task in started]
            waiting = [pool.submit(child.wait) for child in children]
            for (peer, simulator, task), ended in zip(started, waiting, strict=True):
                with self._reported(peer, "limited"):
                    taken = self._runner.taken(peer, task, ended.result())
                    met = simulator.ask("seen")
                    found = self._check(peer, task)
                    counts = {name: met[name] for name in ("pages", "refused", "most_weight_in_60s")}
                    run = {**found, **counts, "told": taken.told, "seconds": taken.whole_s, "candles": task.candles}
                    self._results.add(peer, "limited", run)
                    tell(f"limited, {peer.name}: {run}")

    @contextlib.contextmanager
    def _reported(self, peer: Peer, stage: str) -> Iterator[None]:
        """A peer that does not work is told and left out from there on; laklak itself has no excuse."""
        try:
            yield
        except PeerFailed as exc:
            if peer.needs == "laklak":
                raise BenchmarkFailed(f"{stage}, {peer.name}: {exc}", hint="please report it") from exc
            tell(f"{stage}, {peer.name}: {exc}")
            self._results.miss(peer.name, f"{stage}: {exc}")
            self._results.peers.remove(peer.name)

    def _fast(self, peer: Peer, simulator: Child, url: str, *, is_warm_up: bool) -> dict[str, Any]:
        """A run that only counts where everything came; of a command, less a run for one symbol and one day."""
        start = self._run(peer, url, symbols=1, days=1)[0] if peer.is_command else None
        before = simulator.ask("seen")["cpu_s"]
        # What is only held in memory is looked at in the warm-up alone: keeping it is no part of the work.
        taken, found = self._run(peer, url, keep=is_warm_up, warm=True)
        simulator_cpu_s = simulator.ask("seen")["cpu_s"] - before
        if taken.told or taken.candles < self._plan.symbols * self._plan.days * (DAY_MS // MINUTE_MS):
            raise PeerFailed(taken.told or f"it got {taken.candles:,} candles only")
        if found.get("lost") or found.get("doubled") or found.get("wrong"):
            raise PeerFailed(f"it got other candles than the venue has: {found}")
        taken = taken if start is None else taken.less(start)
        return {**asdict(taken), "simulator_cpu_s": simulator_cpu_s}

    def _run(
        self,
        peer: Peer,
        url: str,
        *,
        symbols: int | None = None,
        days: int | None = None,
        keep: bool = False,
        warm: bool = False,
    ) -> tuple[Taken, dict[str, Any]]:
        """One run of everything, or of less; what it took, and what it got, as far as that can be seen."""
        with self._task(peer, url, days or self._plan.days, symbols=symbols, keep=keep, warm=warm) as task:
            with self._runner.start(peer, task) as child:
                taken = self._runner.taken(peer, task, child.wait())
            return taken, self._check(peer, task) if keep or peer.kind != "kept" else {}

    @contextlib.contextmanager
    def _task(self, peer: Peer, url: str, days: int, *, symbols: int | None = None, **more: bool) -> Iterator[Task]:
        task = self._runner.task(
            peer,
            url=url,
            symbols=self._symbols[:symbols],
            start_ms=self._end_ms - days * DAY_MS,
            end_ms=self._end_ms,
            **more,
        )
        try:
            yield task
        finally:
            self._runner.drop(peer, task)

    def _check(self, peer: Peer, task: Task) -> dict[str, Any]:
        return self._runner.check(peer, task, self._plan.symbols, _days_made(self._plan))

    def _working(self) -> list[Peer]:
        return [peer for peer in PEERS if peer.name in self._results.peers]

    @contextlib.contextmanager
    def _simulator(
        self, budget: int, latency_s: float, faults: tuple[str, ...] = (), *, held: bool = True
    ) -> Iterator[tuple[Child, str]]:
        spec = {
            "symbols": self._plan.symbols,
            "days": _days_made(self._plan),
            "budget": budget,
            "latency_s": latency_s,
            "faults": faults,
            "held": held,
        }
        env = self._work.environment(PYTHONDONTWRITEBYTECODE="1")
        with self._work.child([sys.executable, str(HERE / "serving.py")], env, talks=True) as child:
            yield child, child.ask(json.dumps(spec))["url"]


def _days_made(plan: Plan) -> int:
    """Days that the venue has: those of the longest job, and one more."""
    return max(plan.days, plan.limited_days) + 1


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def compare(plan: Plan, environment: Environment, only: str) -> Results:
    """Measure everything; what does not run is told and left out."""
    program = influxd.find()
    if program is None:
        raise BenchmarkFailed("there is no influxd of 1.x on PATH", hint="apt-get install influxdb")
    versions = environment.prepare()
    results = Results(machine.describe(), asdict(plan), versions)
    for peer in PEERS:
        if peer.needs in environment.missing:
            results.miss(peer.name, environment.missing[peer.needs])
        elif only.lower() in peer.name.lower():
            results.peers.append(peer.name)
    if not results.peers:
        raise BenchmarkFailed(f"there is nobody to measure: no peer that works has {only!r} in its name")
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="laklak-peers-"))
        work = Work(Path(folder))
        server, _pid = stack.enter_context(influxd.running(program, work))
        comparison = Comparison(plan, work, Runner(work, environment, f"http://{server}"), results)
        comparison.speed("here", 0.0, warm_up=True)
        comparison.speed("away", AWAY_S, warm_up=False)
        comparison.faults("failing", FAILING)
        comparison.faults("spoiled", SPOILED)
        if plan.limited_days:
            comparison.limited()
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer candles, once, without the job at its rate limit")
    parser.add_argument("--only", default="", metavar="TEXT", help="only peers whose name contains this")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table there, too")
    parser.add_argument("--venv", type=Path, default=DEFAULT, metavar="FOLDER", help="environment of the peers")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, _stop)
    try:
        results = compare(QUICK if arguments.quick else FULL, Environment(arguments.venv, tell), arguments.only)
    except BenchmarkFailed as exc:
        tell(f"error: {exc}" + (f" ({exc.hint})" if exc.hint else ""))
        return 1
    except KeyboardInterrupt:
        tell("stopped by a signal")
        return 130
    text = markdown(results)
    print(text)
    if arguments.json:
        arguments.json.write_text(json.dumps(results.as_json(), indent=1) + "\n")
    if arguments.markdown:
        arguments.markdown.write_text(text + "\n")
    return 0


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
