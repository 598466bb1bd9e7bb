"""How fast stored candles are read back, the way of `batches` beside the ways before it, in one run.

    python benchmarks/reading.py [--rows 2000000] [--repeats 5] [--stores sqlite,influxdb,influxdb2] [--json]

Every case is a process of its own, on one core (the driver's process beside it on the same one; the server of InfluxDB
where it likes), and the cases of a store take turns.  `rows/s` by the wall and by CPU (with that of child processes,
without that of a server): medians, with the least and the most.  `MB` is the largest resident size of any of the
processes, `server s/M` the CPU seconds of the server for a million rows.  A quarter of the rows is read as well, to
show what grows with them.  What comes is checked: how many rows, and the last close.

    sqlite   driver   ADBC's driver, in a process beside; `plain`: without it; `rows`: what `read` did and does
    influx   packed   InfluxQL answered in MessagePack; `before`: in JSON (1.x), Flux with a pivot (2.x)

Servers are those of the tests: influxd on PATH, and what `make influxd2` builds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

from laklak.model.candles import CandleBatch
from laklak.model.series import Series, TimeRange
from laklak.stores import open_store
from laklak.stores.access import StoreAccess
from laklak.stores.base import Delivery
from laklak.stores.influx.v1.client import Client1
from laklak.stores.influx.v2.client import Client2
from laklak.stores.sqlite import bulk

START_MS = 1_451_606_400_000
SERIES = Series.parse("binance:BTCUSDT:1m")
WRITE_ROWS = 50_000
WAYS = {"sqlite": ("rows", "plain", "driver"), "influxdb": ("before", "packed"), "influxdb2": ("before", "packed")}


async def fill(access: StoreAccess, rows: int) -> None:
    rng = random.Random(7)
    async with open_store(access) as store:
        for first in range(0, rows, WRITE_ROWS):
            count = min(WRITE_ROWS, rows - first)
            times = [START_MS + 60_000 * minute for minute in range(first, first + count)]
            texts = tuple([f"{rng.random() * 60000:.{2 if place < 4 else 3}f}" for _ in times] for place in range(5))
            values = tuple(array("d", map(float, column)) for column in texts)
            await store.write([Delivery(SERIES, CandleBatch(SERIES, times, texts, values))])


async def nothing(*_: object) -> None:
    return None


async def read(access: StoreAccess, way: str, span: TimeRange) -> tuple[int, float]:
    """How many rows came, and the sum of their last closes."""
    rows, check = 0, 0.0
    if way == "before":
        Client1.query_columns = Client2.query_columns = nothing  # type: ignore[method-assign, assignment]
    if way == "plain":
        bulk.can_read = lambda: False
    async with open_store(access) as store:
        if way == "rows":
            columns = await store.read(SERIES, span)
            return len(columns.open_times), columns.values[3][-1]
        async with aclosing(store.batches(SERIES, span)) as batches:
            async for part in batches:
                rows, check = rows + len(part.open_times), part.values[3][-1]
    return rows, check


def measure(access: StoreAccess, way: str, rows: int) -> dict[str, float]:
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    wall_s, cpu_s = time.perf_counter(), cpu()
    found, close = asyncio.run(read(access, way, TimeRange(START_MS, START_MS + 60_000 * rows)))
    wall_s, cpu_s = time.perf_counter() - wall_s, cpu() - cpu_s
    assert found == rows, (found, rows)
    assert math.isfinite(close)
    sizes = [resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {"wall": rows / wall_s, "cpu": rows / cpu_s, "mb": max(sizes) / 1024, "close": close}


def cpu() -> float:
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in both)


@contextmanager
def place(kind: str, folder: Path) -> Iterator[tuple[StoreAccess, int | None]]:
    """An empty store of a kind, and the process of its server."""
    if kind == "sqlite":
        yield StoreAccess(where=f"{folder}/bench.db"), None
        return
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "servers"))
    if kind == "influxdb":
        from influxd import Influxd

        server = Influxd(folder / kind)
    else:
        from influxd2 import Influxd2

        server = Influxd2(folder / kind)
    server.start()
    try:
        yield StoreAccess(where=server.url("market_data"), token=getattr(server, "token", None)), server._process.pid
    finally:
        server.stop()


def cpu_of(process: int | None) -> float:
    if process is None:
        return 0.0
    words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def run_store(kind: str, rows: int, repeats: int, tell: Callable[[str], None]) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="laklak-bench-") as folder, place(kind, Path(folder)) as (access, server):
        asyncio.run(fill(access, rows))
        found: dict[tuple[str, int], list[dict[str, float]]] = {}
        for _ in range(repeats):
            for way in WAYS[kind]:
                for part in (rows // 4, rows):
                    case = {"where": access.where, "token": access.token, "way": way, "rows": part}
                    command = [sys.executable, __file__, "--case", json.dumps(case)]
                    before_s = cpu_of(server)
                    one = json.loads(subprocess.check_output(command))
                    one["server"] = (cpu_of(server) - before_s) * 1e6 / part
                    found.setdefault((way, part), []).append(one)
    assert len({one["close"] for (_, part), some in found.items() for one in some if part == rows}) == 1
    lines = []
    for (way, part), some in found.items():
        line: dict[str, Any] = {"store": kind, "way": way, "rows": part}
        for name in ("wall", "cpu", "mb", "server"):
            figures = sorted(one[name] for one in some)
            line[name] = {"median": statistics.median(figures), "least": figures[0], "most": figures[-1]}
        lines.append(line)
        wall, cpus, sizes, server_s = (line[name] for name in ("wall", "cpu", "mb", "server"))
        tell(
            f"{kind:>10} {way:>8} {part:>10,} {wall['median']:>11,.0f} {wall['least']:>11,.0f} {wall['most']:>11,.0f}"
            f" {cpus['median']:>11,.0f} {sizes['median']:>5.0f}"
            f" {server_s['median']:>12.2f}"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--stores", default=",".join(WAYS))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        case = json.loads(args.case)
        access = StoreAccess(where=case["where"], token=case["token"])
        print(json.dumps(measure(access, case["way"], case["rows"])))
        return
    tell = (lambda line: None) if args.json else print
    tell(
        f"{'store':>10} {'way':>8} {'rows':>10} {'rows/s':>11} {'least':>11} {'most':>11} {'rows/CPU s':>11} {'MB':>5}"
    )
    lines = [line for kind in args.stores.split(",") for line in run_store(kind, args.rows, args.repeats, tell)]
    if args.json:
        print(json.dumps(lines, indent=1))


if __name__ == "__main__":
    main()
