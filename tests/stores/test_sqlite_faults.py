"""Full disks, other writers, cancellation and sudden death: what is acknowledged is there, the rest is not."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from laklak.errors import StoreError, StoreFull, StoreUnavailable
from laklak.model.candles import CandleBatch
from laklak.model.series import DAY_MS, MINUTE_MS, Series, TimeRange
from laklak.stores import open_store
from laklak.stores.base import Delivery
from laklak.stores.sqlite import write as sqlite_write

START = 1_767_225_600_000
DAYS = TimeRange(START, START + 900 * DAY_MS)


def test_a_full_database_rolls_the_write_back_and_leaves_a_store_that_works(path, series, deliver):
    async def main():
        async with open_store(str(path)) as store:
            await store.write([deliver(series, 1000)])
            await store._writer.run(lambda turn: turn.connection.execute("PRAGMA max_page_count = 30").fetchall())
            with pytest.raises(StoreFull) as caught:
                await store.write([deliver(series, 50_000)])
            await store.write([deliver(series, 1001)])
            return caught.value, await store.count(series, DAYS)

    error, stored = asyncio.run(main())

    assert str(path) in str(error)
    assert "free" in str(error)
    assert stored == 1001


@pytest.fixture
def small_disk(folder: Path) -> Iterator[Path]:
    """A real file system of 4 MiB."""
    mount = folder / "small"
    mount.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(mount)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
    yield mount
    subprocess.run(["umount", str(mount)], check=True)


def test_a_full_disk_is_called_full_and_what_was_stored_before_is_sound(small_disk, series, deliver):
    path = small_disk / "candles.db"

    async def main():
        acknowledged = 0
        async with open_store(str(path)) as store:
            with contextlib.suppress(StoreFull):
                while True:
                    await store.write([deliver(series, 5000, start_ms=START + acknowledged * MINUTE_MS)])
                    acknowledged += 5000
        async with open_store(str(path)) as store:
            return acknowledged, await store.count(series, DAYS)

    acknowledged, stored = asyncio.run(main())

    assert acknowledged == stored > 0


def test_a_disk_without_room_for_a_new_store_is_called_full(small_disk):
    with (small_disk / "filler").open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while filler.write(b"x" * 4096):
            pass

    async def main():
        async with open_store(str(small_disk / "candles.db")):
            pass

    with pytest.raises(StoreUnavailable, match="no room left"):
        asyncio.run(main())


def test_a_write_waits_for_another_writer(path, series, deliver):
    async def main():
        async with open_store(str(path)) as store:
            with closing(sqlite3.connect(path, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                async with asyncio.TaskGroup() as tasks:
                    write = tasks.create_task(store.write([deliver(series, 10)]))
                    done, _ = await asyncio.wait([write], timeout=0.6)
                    other.execute("COMMIT")
                return len(done), await store.count(series, DAYS)

    assert asyncio.run(main()) == (0, 10)


def test_a_writer_that_never_ends_is_an_error_that_names_the_file(path, series, deliver, monkeypatch):
    hasty = functools.partial(sqlite_write.transaction, patience_s=0.1)
    monkeypatch.setattr(sqlite_write, "transaction", hasty)

    async def main():
        async with open_store(str(path)) as store:
            with closing(sqlite3.connect(path, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                await store.write([deliver(series, 10)])

    with pytest.raises(StoreError, match=r"another program .*candles\.db") as caught:
        asyncio.run(main())
    assert caught.value.exit_code == 1


def test_reading_goes_on_beside_a_write_that_is_open(path, series, deliver):
    async def main():
        async with open_store(str(path)) as store:
            await store.write([deliver(series, 10)])
            with closing(sqlite3.connect(path, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                other.execute("DELETE FROM candles")
                return await store.count(series, DAYS)

    assert asyncio.run(main()) == 10


def test_a_cancelled_write_that_waits_for_another_writer_ends_at_once_and_writes_nothing(
    path, series, deliver, monkeypatch
):
    # Longer than the test may last.
    monkeypatch.setitem(sqlite_write.transaction.__wrapped__.__kwdefaults__, "patience_s", 600.0)

    async def main():
        async with open_store(str(path)) as store:
            with closing(sqlite3.connect(path, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await store.write([deliver(series, 10)])
            return await store.count(series, DAYS)

    assert asyncio.run(main()) == 0


def test_a_cancelled_write_is_whole_or_not_there_and_the_store_goes_on(path, series, deliver):
    big = [deliver(series, 20_000)]

    async def main():
        async with open_store(str(path)) as store:
            counts = []
            for delay_s in (0, 0.002, 0.005, 0.01, 0.02, 0.05):
                with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as other:
                    other.execute("DELETE FROM candle")
                try:
                    async with asyncio.timeout(delay_s):
                        await store.write(big)
                except TimeoutError:
                    pass
                counts.append(await store.count(series, DAYS))
            await store.write(big)
            return counts, await store.count(series, DAYS)

    counts, stored = asyncio.run(main())

    assert set(counts) <= {0, 20_000}
    assert stored == 20_000


def test_a_cancelled_query_is_interrupted_and_its_lane_goes_on(path):
    endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"

    async def main():
        async with open_store(str(path)) as store:
            lane = store._readers[0]
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await lane.run(lambda turn: turn.connection.execute(endless).fetchone())
            return await lane.run(lambda turn: turn.connection.execute("SELECT 1").fetchone())

    assert asyncio.run(main()) == (1,)


def test_a_query_that_was_cancelled_before_its_turn_disturbs_nobody(path):
    slow = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 2000000) SELECT count(*) FROM n"
    ran: list[int] = []

    async def main():
        async with open_store(str(path)) as store:
            lane = store._readers[0]
            async with asyncio.TaskGroup() as tasks:
                first = tasks.create_task(lane.run(lambda turn: turn.connection.execute(slow).fetchone()))
                await asyncio.sleep(0)
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.01):
                        await lane.run(lambda turn: ran.append(1))
            return first.result()

    assert asyncio.run(main()) == (2_000_000,)
    assert ran == []


def test_closing_leaves_no_thread_behind(path, series, deliver):
    async def main():
        async with open_store(str(path)) as store:
            await asyncio.gather(store.write([deliver(series, 10)]), store.count(series, DAYS), store.origin())

    asyncio.run(main())

    assert not [thread.name for thread in threading.enumerate() if "laklak" in thread.name]


def test_a_store_whose_closing_is_cancelled_is_closed_all_the_same(path, series, deliver):
    async def main():
        store = open_store(str(path))
        await store.__aenter__()
        await asyncio.gather(store.write([deliver(series, 10)]), store.count(series, DAYS))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0):
                await store.close()

    asyncio.run(main())

    for thread in threading.enumerate():
        if "laklak" in thread.name:
            thread.join()
    assert os.listdir(path.parent) == ["candles.db"]


WRITER = (
    "import asyncio, sys\n"
    "from laklak.model.candles import CandleBatch\n"
    "from laklak.model.series import Series\n"
    "from laklak.stores import open_store\n"
    "from laklak.stores.base import Delivery\n"
    "series = Series.parse('binance:BTCUSDT:1m')\n"
    "async def main():\n"
    "    async with open_store(sys.argv[1]) as store:\n"
    "        number = int(sys.argv[2])\n"
    "        while True:\n"
    "            times = range(number * 3000 * 60000, (number + 1) * 3000 * 60000, 60000)\n"
    "            batch = CandleBatch(series, times, ((),) * 5, ([float(number)] * 3000,) * 5)\n"
    "            await store.write([Delivery(series, batch)])\n"
    "            print(number, flush=True)\n"
    "            number += 1\n"
    "asyncio.run(main())\n"
)


@pytest.mark.parametrize("times", [1, pytest.param(5, marks=pytest.mark.long)])
def test_a_process_that_is_killed_loses_nothing_it_has_acknowledged(path, times):
    series = Series.parse("binance:BTCUSDT:1m")
    rng = random.Random(5)
    number = 0
    for _ in range(times):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(number)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            for _ in range(rng.randrange(1, 40)):
                writer.stdout.readline()
            time.sleep(rng.random() / 100)  # not for anything to settle: so that the blow falls anywhere
            writer.kill()
            acknowledged = [int(line) for line in writer.stdout.read().split()]
        number = max([number, *acknowledged])

        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            stored = connection.execute("SELECT count(*), max(open) FROM candle").fetchone()
        assert stored[0] % 3000 == 0
        assert stored[1] >= number
        number = int(stored[1]) + 1

    async def main():
        async with open_store(str(path)) as store:
            await store.write([Delivery(series, CandleBatch(series, [60_000], ((),) * 5, ((1.0,),) * 5))])
            return await store.count(series, TimeRange(0, 10**13))

    assert asyncio.run(main()) == number * 3000


def test_memory_stays_small_whatever_is_written(path):
    program = (
        "import asyncio, resource, sys\n"
        "from laklak.model.candles import CandleBatch\n"
        "from laklak.model.series import Series\n"
        "from laklak.stores import open_store\n"
        "from laklak.stores.base import Delivery\n"
        "series = Series.parse('binance:BTCUSDT:1m')\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "async def write(store, number):\n"
        "    times = range(number * 20000 * 60000, (number + 1) * 20000 * 60000, 60000)\n"
        "    batch = CandleBatch(series, times, ((),) * 5, ([1.5] * 20000,) * 5)\n"
        "    await store.write([Delivery(series, batch)])\n"
        "async def main():\n"
        "    async with open_store(sys.argv[1]) as store:\n"
        "        for number in range(5): await write(store, number)\n"
        "        before = peak()\n"
        "        for number in range(5, 30): await write(store, number)\n"
        "        print(peak() - before)\n"
        "asyncio.run(main())\n"
    )

    grown = int(subprocess.check_output([sys.executable, "-c", program, str(path)]))

    assert grown < (20_000 if os.uname().sysname == "Linux" else 20_000_000)
