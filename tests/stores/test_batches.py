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


MINUTE = 60_000
START_NS = START * 1_000_000


def packed(value: object) -> bytes:
    """A value in MessagePack, as a server spells it."""
    match value:
        case None | False | True:
            return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[value]
        case int() if 0 <= value < 128:
            return bytes([value])
        case int():
            return b"\xd3" + struct.pack(">q", value)
        case float():
            return b"\xcb" + struct.pack(">d", value)
        case str() if len(value) < 32:
            return bytes([0xA0 | len(value)]) + value.encode()
        case str():
            return b"\xd9" + bytes([len(value)]) + value.encode()
        case list():
            return b"\xdc" + struct.pack(">H", len(value)) + b"".join(map(packed, value))
        case dict():
            cells = [packed(one) for pair in value.items() for one in pair]
            return bytes([0x80 | len(value)]) + b"".join(cells)
    raise AssertionError(value)


def answer(rows, columns=("time", "open", "high", "low", "close", "volume"), *, partial=False, **more) -> bytes:
    """A piece of an answer; a row of six begins with the mark of a short list, as on a server."""
    series = {"name": "x", "columns": list(columns), "values": "ROWS"} | ({"partial": True} if partial else {})
    piece = packed({"results": [{"statement_id": 0, "series": [series], **more}]})
    cells = [bytes([0x90 | len(row)]) + b"".join(map(packed, row)) for row in rows]
    return piece.replace(packed("ROWS"), b"\xdc" + struct.pack(">H", len(rows)) + b"".join(cells))


def row(minute: float, *values: float | None) -> list[object]:
    return [START_NS + round(minute * 60_000_000_000), *(values or (1.5, 2.0, 1.0, 2.0, 0.0))]


def test_an_answer_is_read_as_columns_on_the_grid():
    found = influx_columns.read_columns(answer([row(0), row(0.5), row(1)]), MINUTE)
    assert found is not None
    assert list(found.open_times) == [START, START + MINUTE]
    assert [list(column) for column in found.values] == [[1.5] * 2, [2.0] * 2, [1.0] * 2, [2.0] * 2, [0.0] * 2]


def test_a_number_that_lacks_is_nan_beside_rows_that_are_whole():
    body = answer([row(0), row(1, 1.0, None, 1.0, 1.0, 1.0)], partial=True) + answer([row(2)])
    found = influx_columns.read_columns(body, MINUTE)
    assert found is not None
    assert list(found.open_times) == [START, START + MINUTE, START + 2 * MINUTE]
    assert [math.isnan(high) for high in found.values[1]] == [False, True, False]


@pytest.mark.parametrize("nothing", [{}, {"series": []}])
def test_an_answer_without_a_point_is_empty(nothing):
    found = influx_columns.read_columns(packed({"results": [{"statement_id": 0, **nothing}]}), MINUTE)
    assert found is not None
    assert not found.open_times


@pytest.mark.parametrize("whole", [answer([row(0), row(1)]), answer([row(0), row(1, None, 1.0, 1.0, 1.0, 1.0)])])
def test_an_answer_that_is_cut_anywhere_is_none(whole):
    for size in range(1, len(whole)):
        with pytest.raises(ValueError, match=r"cut off|answer"):
            influx_columns.read_columns(whole[:size], MINUTE)


@pytest.mark.parametrize(
    "body",
    [
        answer([row(0)], partial=True),
        answer([row(0)], more="x", partial=True),
        answer([], columns=("time", "open")),
        packed([1, 2]),
        b"\xc1",
        b"\xff\xff",
    ],
    ids=["more follows", "more of it follows", "columns", "a list", "no such kind", "numbers"],
)
def test_what_is_no_whole_answer_is_an_error(body):
    with pytest.raises(ValueError, match=r"answer|cut|columns|kind"):
        influx_columns.read_columns(body, MINUTE)


def test_a_statement_that_failed_in_the_middle_is_told():
    body = answer([row(0)], partial=True) + packed({"results": [{"statement_id": 0, "error": "timeout reached"}]})
    with pytest.raises(influx_columns.FailedStatement, match="timeout reached"):
        influx_columns.read_columns(body, MINUTE)


@pytest.mark.parametrize("body", [b'{"results":[{"statement_id":0}]}\n', b"name,tags,time\n", b'error\n"x"\n', b""])
def test_an_answer_in_another_language_is_none(body):
    assert influx_columns.read_columns(body, MINUTE) is None


@pytest.mark.parametrize("server", ["influxd", "influxd2"])
def test_a_server_that_does_not_speak_messagepack_is_asked_the_slow_way(request, series, deliver, monkeypatch, server):
    from laklak.stores.access import StoreAccess
    from laklak.stores.influx.v1 import client as client_1

    running = request.getfixturevalue(server)
    token = running.token if server == "influxd2" else None
    where = running.url("msgpack") if token is None else running.url("msgpack/slow")
    answers = []

    async def work():
        async with open_store(StoreAccess(where=where, token=token)) as store:
            await store.write([deliver(series, 50)])
            monkeypatch.setattr(client_1, "read_columns", lambda body, step_ms: answers.append(body))
            slow = await store.read(series, DAYS)
            monkeypatch.undo()
            return bits(slow), bits(await store.read(series, DAYS))

    slow, fast = asyncio.run(work())
    assert slow == fast
    assert [influx_columns.read_columns(body, MINUTE) is not None for body in answers] == [True]
