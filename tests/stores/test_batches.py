"""Many candles at once: columns, oldest first, exactly what is stored, whatever reads them."""

from __future__ import annotations

import asyncio
import math
import sqlite3
import struct
import subprocess
import sys
import time
from array import array
from contextlib import aclosing, closing
from pathlib import Path

import pytest

from laklak.model.series import DAY_MS, MINUTE_MS, Series, TimeRange
from laklak.stores import open_store
from laklak.stores.base import Columns
from laklak.stores.influx import columns as influx_columns
from laklak.stores.influx import reader as influx_reader
from laklak.stores.reading import joined
from laklak.stores.sqlite import bulk

START = 1_767_225_600_000
DAYS = TimeRange(START, START + 3 * DAY_MS)
MANY = 3000
LATE = DAYS.end_ms - 60 * MINUTE_MS


def bits(columns: Columns) -> list[bytes]:
    """The columns as bytes: 0.0 and -0.0 are two values."""
    return [
        array(kind, cells).tobytes()
        for kind, cells in zip("qddddd", (columns.open_times, *columns.values), strict=True)
    ]


async def sizes_of(store, series, span=DAYS):
    async with aclosing(store.batches(series, span)) as found:
        return [len(part.open_times) async for part in found]


@pytest.fixture
def small_batches(monkeypatch):
    """So many rows a batch that a test has several, and a driver that is worth its start."""
    monkeypatch.setattr(bulk, "BATCH_ROWS", 1000)
    monkeypatch.setattr(bulk, "WORTH_ROWS", 1)
    monkeypatch.setattr(influx_reader, "_CANDLES_PER_QUERY", 1000)


@pytest.fixture(params=["driver", "plain"])
def way(request, monkeypatch, small_batches):
    """With ADBC's driver, and without."""
    if request.param == "plain":
        monkeypatch.setattr(bulk, "can_read", lambda: False)
    else:
        assert bulk.can_read(), "make install has it"
    return request.param


@pytest.fixture
def filled(path, series, deliver):
    """A store of MANY minutes and a row of them that lacks."""

    async def fill():
        async with open_store(str(path)) as store:
            await store.write([deliver(series, MANY), deliver(series, 100, start_ms=START + (MANY + 7) * MINUTE_MS)])

    asyncio.run(fill())
    return path


def ask(path, work):
    async def main():
        async with open_store(str(path)) as store:
            return await work(store)

    return asyncio.run(main())


def children() -> set[str]:
    """Drivers that run, of this process."""
    tasks = Path("/proc/self/task").iterdir()
    found = set()
    for number in " ".join((task / "children").read_text() for task in tasks).split():
        words = Path(f"/proc/{number}/cmdline").read_bytes()
        if b"driver.py" in words:
            found.add(number)
    return found


def until(seen) -> None:
    give_up_s = time.monotonic() + 30
    while not seen():
        assert time.monotonic() < give_up_s
        time.sleep(0.01)


def test_batches_are_what_is_stored_oldest_first(use, series, deliver, small_batches):
    async def work(store):
        await store.write([deliver(series, MANY), deliver(series, 9, start_ms=LATE)])
        span = TimeRange(START + MINUTE_MS, DAYS.end_ms)
        return (
            bits(await store.read(series, span)),
            bits(await joined(store.batches(series, span))),
            await sizes_of(store, series, span),
        )

    read, batches, sizes = use(work)
    assert batches == read
    assert sum(sizes) == MANY - 1 + 9
    assert all(0 < size <= 1000 for size in sizes)
    assert len(sizes) > MANY // 1000


def test_a_series_that_is_not_there_has_no_batches(use, series):
    async def work(store):
        return await sizes_of(store, series), await sizes_of(store, series, TimeRange(START, START))

    assert use(work) == ([], [])


def test_a_store_that_is_not_there_has_no_batches(path, series):
    async def work():
        async with open_store(str(path), create=False) as store:
            return await sizes_of(store, series)

    assert asyncio.run(work()) == []


@pytest.mark.parametrize("zero", ["0.0", "-0.0"])
def test_values_come_to_the_last_bit(use, series, deliver, small_batches, zero):
    extremes = ["5e-324", "1.7976931348623157e+308", "-2.2250738585072014e-308", "0.1", zero]
    delivery = deliver(series, len(extremes))
    texts = tuple(extremes[i:] + extremes[:i] for i in range(5))
    values = tuple([float(text) for text in column] for column in texts)
    candles = type(delivery.candles)(series, delivery.candles.open_times, texts, values)

    async def work(store):
        await store.write([type(delivery)(series, candles)])
        return await joined(store.batches(series, DAYS)), await store.read(series, DAYS, last=5)

    batches, last = use(work)
    assert bits(batches) == bits(last)
    assert [list(column) for column in batches.values] == [list(column) for column in values]


def test_what_people_put_into_the_table_is_left_out(filled, series, way):
    with closing(sqlite3.connect(filled)) as connection, connection:
        put = "INSERT OR REPLACE INTO candle VALUES (1, ?, 1.0, 2.0, ?, 1.0, 1.0)"
        connection.executemany(put, [(START, math.inf), (START + MINUTE_MS, "x"), (START + 90_000, 1.0), ("x", 1.0)])

    async def work(store):
        return bits(await store.read(series, DAYS)), bits(await joined(store.batches(series, DAYS)))

    read, batches = ask(filled, work)
    assert batches == read
    assert struct.unpack_from("q", batches[0])[0] == START + 2 * MINUTE_MS


def test_a_grid_longer_than_a_minute_is_kept_to(path, deliver, way):
    hours = Series.parse("binance:BTCUSDT:1h")

    async def work(store):
        await store.write([deliver(hours, 50)])
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("INSERT INTO candle VALUES (1, ?, 1, 1, 1, 1, 1)", (START + MINUTE_MS,))
        return await joined(store.batches(hours, DAYS))

    found = ask(path, work)
    assert list(found.open_times) == list(range(START, START + 50 * 3_600_000, 3_600_000))


def test_the_driver_reads_what_the_log_beside_the_file_has(filled, series, deliver, way):
    async def work(store):
        await store.write([deliver(series, 1, start_ms=LATE)])
        return (await joined(store.batches(series, DAYS))).open_times[-1]

    assert ask(filled, work) == LATE


@pytest.mark.parametrize("given", [0, 1, 2])
def test_a_driver_that_ends_early_is_gone_on_from_where_it_was(filled, series, small_batches, monkeypatch, given):
    whole_next = bulk.BulkReading.next
    left = iter(range(given))

    def breaks(self):
        if next(left, None) is None:
            raise bulk.DriverFailed
        return whole_next(self)

    monkeypatch.setattr(bulk.BulkReading, "next", breaks)

    async def work(store):
        return bits(await store.read(series, DAYS)), bits(await joined(store.batches(series, DAYS)))

    read, batches = ask(filled, work)
    assert batches == read
    assert next(left, None) is None


def test_a_driver_whose_process_dies_says_so(filled, small_batches):
    reading = bulk.BulkReading(str(filled), "SELECT nothing")
    with pytest.raises(bulk.DriverFailed):
        reading.next()
    reading.close()
    assert not children()


def test_rows_of_other_types_are_not_taken_for_candles(filled, small_batches):
    reading = bulk.BulkReading(str(filled), "SELECT open_time, open, high, low, close, 'x' FROM candle")
    with pytest.raises(bulk.DriverFailed):
        reading.next()
    reading.close()


def test_who_stops_reading_leaves_no_driver_behind(filled, series, small_batches):
    async def work(store):
        async with aclosing(store.batches(series, DAYS)) as found:
            first = await anext(found)
            assert children()
        return len(first.open_times), children()

    assert ask(filled, work) == (1000, set())


def test_a_reading_that_is_cancelled_leaves_no_driver_behind(filled, series, small_batches, monkeypatch):
    # A program that gives nothing, for ever.
    monkeypatch.setattr(bulk, "_PROGRAM", str(filled.with_name("driver.py")))
    filled.with_name("driver.py").write_text("import time\nwhile True: time.sleep(1)\n")

    async def work(store):
        reading = asyncio.ensure_future(joined(store.batches(series, DAYS)))
        await asyncio.to_thread(until, children)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        return children()

    assert ask(filled, work) == set()


def test_the_driver_takes_no_lock_of_this_process_away(filled, series, small_batches):
    tries = f"import sqlite3; sqlite3.connect({str(filled)!r}, timeout=0).execute('BEGIN IMMEDIATE')"
    words = [sys.executable, "-c", tries]

    async def work(store):
        with closing(sqlite3.connect(filled, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            await joined(store.batches(series, DAYS))
            return await asyncio.to_thread(subprocess.run, words, capture_output=True, text=True, timeout=60)

    other = ask(filled, work)
    assert "database is locked" in other.stderr


HEAD = b"name,tags,time,open,high,low,close,volume\n"
END = b"name,tags,name,duration,shardGroupDuration,replicaN,default\n,,autogen,0s,168h0m0s,1,true\n"
ROW = b"binance_ohlc,,1767225600000000000,1.5,2,1,2,0\n"
MINUTE = 60_000


def test_an_answer_in_csv_is_read_as_columns():
    odd = b"binance_ohlc,,1767225600000000001,1,2,1,2,0\nbinance_ohlc,,1767225660000000000,1,2,,2,0\n"
    found = influx_columns.read_columns(HEAD + ROW + odd + b"\n" + END, MINUTE)
    assert found is not None
    assert list(found.open_times) == [START, START + MINUTE]
    assert [column[0] for column in found.values] == [1.5, 2.0, 1.0, 2.0, 0.0]
    assert math.isnan(found.values[2][1])


def test_an_answer_without_a_point_is_empty():
    found = influx_columns.read_columns(END, MINUTE)
    assert found is not None
    assert not found.open_times


@pytest.mark.parametrize(
    "body",
    [
        b"",
        HEAD + ROW,
        HEAD + ROW + b"\n",
        HEAD + ROW + b"\n" + END.splitlines(keepends=True)[0],
        HEAD + ROW + END,
        HEAD.replace(b"open", b"volume") + ROW + b"\n" + END,
        HEAD + b"binance_ohlc,,soon,1,2,1,2,0\n" + b"\n" + END,
        b'{"results":[{"statement_id":0}]}\n',
        b'error\n"timeout"\n',
    ],
    ids=["nothing", "no end", "an empty line", "no row at the end", "cut", "columns", "no time", "JSON", "an error"],
)
def test_an_answer_that_does_not_show_its_end_is_none(body):
    assert influx_columns.read_columns(body, MINUTE) is None


@pytest.mark.parametrize("server", ["influxd", "influxd2"])
def test_a_server_whose_csv_is_not_whole_is_asked_the_slow_way(request, series, deliver, monkeypatch, server):
    from laklak.stores.access import StoreAccess
    from laklak.stores.influx.v1 import client as client_1
    from laklak.stores.influx.v2 import client as client_2

    running = request.getfixturevalue(server)
    token = running.token if server == "influxd2" else None
    where = running.url("csv") if token is None else running.url("csv/cut")
    answers = []

    async def work():
        async with open_store(StoreAccess(where=where, token=token)) as store:
            await store.write([deliver(series, 50)])
            for client in (client_1, client_2):
                monkeypatch.setattr(client, "read_columns", lambda body, step_ms: answers.append(body))
            slow = await store.read(series, DAYS)
            monkeypatch.undo()
            return bits(slow), bits(await store.read(series, DAYS))

    slow, fast = asyncio.run(work())
    assert slow == fast
    assert [influx_columns.read_columns(body, MINUTE) is not None for body in answers] == [True]
