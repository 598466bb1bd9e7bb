"""What a million candles cost to write into the SQLite store, idle and beside a busy event loop.

    python benchmarks/sqlite_write.py [--rows 512000] [--repeats 5] [--json]

Compares row-by-row `executemany` with multi-row statements of several sizes, in the store's own writer thread, and
the size in use with and without the loop giving way (laklak/stores/sqlite/lane.py says why).  The busy loop does what
a backfill's loop does: it decodes pages of 1000 candles with orjson, turns them into columns of floats and yields
after each.  CPU seconds are user + system of the whole process per million rows; beside the busy loop, the loop's own
work (pages decoded x the cost of a page measured alone) is taken off, which is only exact while the wall time is
short.  `lag` is the longest time between two turns of the loop.  Every case is a process of its own, and the stored
rows are counted afterwards; CPU and lag are those of the repeat with the median CPU, wall of the quickest and slowest.

On two cores of an AMD EPYC that others were using too (Python 3.11, SQLite 3.40): 4096 rows a statement take 1.0 CPU
seconds idle and 1.1 to 1.7 busy, executemany 1.5 to 1.6 and 4 to 15 (medians of three, in runs hours apart).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from laklak.model.candles import CandleBatch
from laklak.model.series import Series, TimeRange
from laklak.stores import open_store
from laklak.stores.base import Delivery
from laklak.stores.sqlite import lane as sqlite_lane
from laklak.stores.sqlite import write as sqlite_write
from laklak.stores.sqlite.lane import Turn
from laklak.stores.sqlite.store import SqliteStore

START_MS = 1_767_225_600_000
PAGE_ROWS = 1000
PAGES_A_WRITE = 64
SERIES = 8
ROW_BY_ROW = "executemany"
STUBBORN = "4096, loop not giving way"
CASES = (ROW_BY_ROW, "256", "1024", "2048", "4096", STUBBORN)
# These can take minutes a million rows beside a busy loop; fewer of them tell as much.
FEW_ROWS = {ROW_BY_ROW: 4_000, STUBBORN: 192_000}
ROW_SQL = (
    "INSERT INTO candle (series_id, open_time, open, high, low, close, volume) VALUES (?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (series_id, open_time) DO UPDATE SET open = excluded.open, high = excluded.high,"
    " low = excluded.low, close = excluded.close, volume = excluded.volume"
)


@dataclass
class Loop:
    """What the event loop does beside the writes."""

    body: bytes
    busy: bool
    pages: int = 0
    lag_s: float = 0.0

    async def spin(self) -> None:
        last = time.perf_counter()
        while self.busy:
            decode(self.body)
            self.pages += 1
            await asyncio.sleep(0)
            now = time.perf_counter()
            self.lag_s = max(self.lag_s, now - last)
            last = now


def page_body(rng: random.Random) -> bytes:
    """A page of 1000 candles as Binance spells it."""
    price = [f"{60000 + rng.random() * 900:.2f}" for _ in range(4)]
    rows = [
        [
            START_MS + i * 60_000,
            *price,
            f"{rng.random() * 500:.3f}",
            START_MS + i * 60_000 + 59_999,
            "1.0",
            9,
            "1",
            "1",
            "0",
        ]
        for i in range(PAGE_ROWS)
    ]
    return orjson.dumps(rows)


def decode(body: bytes) -> list[list[float]]:
    """A page's values as columns of floats: what a backfill does with an answer."""
    columns = list(zip(*orjson.loads(body), strict=True))
    return [list(map(float, column)) for column in columns[1:6]]


def deliveries(rows: int, rng: random.Random) -> list[list[Delivery]]:
    """`rows` candles of eight series, in writes of 64 pages, each series rising."""
    values = tuple([[round(rng.random() * 60000, 2) for _ in range(PAGE_ROWS)] for _ in range(5)])
    pages = []
    for number in range(rows // PAGE_ROWS):
        series = Series.parse(f"binance:S{number // 8 % SERIES}USDT:1m")
        page = number // (8 * SERIES) * 8 + number % 8
        first = START_MS + page * PAGE_ROWS * 60_000
        open_times = range(first, first + PAGE_ROWS * 60_000, 60_000)
        # Packed as the engine does it where candles are made.
        batch = CandleBatch(series, list(open_times), ((),) * 5, values)
        pages.append(Delivery(series, sqlite_write.pack(batch)))
    size = min(PAGES_A_WRITE, len(pages) // 2)
    return [pages[i : i + size] for i in range(0, len(pages), size)]


def row_by_row(turn: Turn, batch: Sequence[Delivery]) -> None:
    """The way not to do it: one statement a row."""
    with sqlite_write.transaction(turn) as connection:
        for delivery in batch:
            assert delivery.candles is not None
            series_id = sqlite_write._series_id(connection, delivery.series)
            values = [column.tolist() for column in sqlite_write.pack(delivery.candles).columns]
            rows = zip(delivery.candles.open_times, *values, strict=True)
            connection.executemany(ROW_SQL, ((series_id, *row) for row in rows))


async def write_all(store: SqliteStore, batches: list[list[Delivery]], case: str) -> None:
    for batch in batches:
        if case == ROW_BY_ROW:
            await store._writer.run(lambda turn, batch=batch: row_by_row(turn, batch))
        else:
            await store.write(batch)


async def measure(folder: str, case: str, rows: int, busy: bool) -> dict[str, float]:
    rng = random.Random(7)
    batches = deliveries(rows, rng)
    loop = Loop(page_body(rng), busy)
    page_cpu_s = min(timed_decode(loop.body) for _ in range(5))
    if case == STUBBORN:
        sqlite_lane._GIVE_WAY_EVERY_S = 3600.0
    elif case != ROW_BY_ROW:
        sqlite_write.ROWS_PER_STATEMENT = int(case)
    async with open_store(f"{folder}/bench.db") as store, asyncio.TaskGroup() as tasks:
        await store.write(batches[0])
        cpu_s, wall_s = time.process_time(), time.perf_counter()
        tasks.create_task(loop.spin())
        await write_all(store, batches[1:], case)
        loop.busy = False
        cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
        span = TimeRange(0, 2**50)
        stored = [await store.count(series, span) for series in {d.series for batch in batches for d in batch}]
    assert sum(stored) == rows // PAGE_ROWS * PAGE_ROWS
    million = sum(len(batch) for batch in batches[1:]) * PAGE_ROWS / 1e6
    own_cpu_s = cpu_s - loop.pages * page_cpu_s
    return {"cpu_s": own_cpu_s / million, "wall_s": wall_s / million, "lag_ms": loop.lag_s * 1000}


def timed_decode(body: bytes) -> float:
    """CPU seconds of one page on the loop, alone."""
    start = time.process_time()
    for _ in range(200):
        decode(body)
    return (time.process_time() - start) / 200


def run_case(case: str, rows: int, busy: bool, repeats: int) -> dict[str, float]:
    """The median of several processes by CPU, with the wall times of the quickest and the slowest."""
    results = []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory(prefix="laklak-bench-") as folder:
            command = [sys.executable, __file__, "--case", case, "--rows", str(rows), "--folder", folder]
            results.append(json.loads(subprocess.check_output([*command, *(["--busy"] if busy else [])])))
    results.sort(key=lambda result: result["cpu_s"])
    walls = [result.pop("wall_s") for result in results]
    return {**results[len(results) // 2], "wall_quickest_s": min(walls), "wall_slowest_s": max(walls)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", type=int, default=512_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--busy", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        print(json.dumps(asyncio.run(measure(args.folder, args.case, args.rows, args.busy))))
        return
    machine = f"{platform.machine()}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    table = []
    for case in CASES:
        rows = min(args.rows, FEW_ROWS.get(case, args.rows))
        for busy in (False, True):
            result = run_case(case, rows, busy, args.repeats)
            table.append({"case": case, "loop": "busy" if busy else "idle", **result})
    if args.json:
        print(json.dumps({"machine": machine, "per": "million rows", "results": table}, indent=1))
        return
    print(f"{machine}; seconds per million rows")
    print(f"{'rows a statement':>25} {'loop':>5} {'CPU':>7} {'wall: quickest':>15} {'slowest':>8} {'lag ms':>7}")
    for row in table:
        walls = f"{row['wall_quickest_s']:15.2f} {row['wall_slowest_s']:8.2f}"
        print(f"{row['case']:>25} {row['loop']:>5} {row['cpu_s']:7.2f} {walls} {row['lag_ms']:7.1f}")


if __name__ == "__main__":
    main()
