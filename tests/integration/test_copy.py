"""`laklak copy`: what one store has and another lacks goes over, to the last digit, and nothing else is touched."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import sqlite3
import struct
import subprocess
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import laklak as library
from laklak.errors import SettingsError, StoreUnavailable, UsageError
from laklak.model import Absence, CandleBatch, Series, TimeRange
from laklak.stores import open_store
from laklak.stores.base import Delivery

MINUTE_MS = 60_000
DAY_MS = 86_400_000
START_MS = 1_772_236_800_000  # 2026-02-28T00:00Z
BTC, ETH, HOURS = "binance:BTCUSDT:1m", "binance:ETHUSDT:1m", "binance:BTCUSDT:1h"
EVER = TimeRange(0, 1 << 50)
COUNT = 800_000
SECRET = "hunt er2@/:"
KEYS = {
    "schema",
    "version",
    "exit",
    "complete",
    "source",
    "destination",
    "start",
    "end",
    "series",
    "wanted",
    "stored_before",
    "written",
    "holes",
    "rejected",
    "missing",
    "source_missing",
    "failed_series",
    "seconds",
    "candles_per_second",
    "dead_letter",
    "error",
    "hint",
}

_names = (f"copied_{number}" for number in itertools.count())


def candles(series, minutes, price=100.0):
    """Candles whose numbers tell series, minute and price apart; minutes from START_MS on, in units of the interval."""
    series = Series.parse(series)
    times = [START_MS + minute * series.interval.ms for minute in minutes]
    values = tuple([price + minute + field / 8 for minute in minutes] for field in range(5))
    return CandleBatch(series, times, tuple([repr(value) for value in column] for column in values), values)


def absence(minute, kind="hole", reason="two complete answers lack it"):
    row = '[1, "a"]' if kind == "rejected" else None
    return Absence(START_MS + minute * MINUTE_MS, kind, 1_772_400_000_000, reason, row)


def fill(where, *batches, absences=(), origin="simulated"):
    """Put candles, and absences of the first batch's series, into a store."""

    async def work():
        async with open_store(where) as store:
            await store.set_origin(origin)
            await store.write([Delivery(batch.series, batch) for batch in batches if len(batch)])
            if absences:
                await store.write([Delivery(batches[0].series, None, absences)])

    asyncio.run(work())


def content(where):
    """Everything that a store holds: series -> candles, series -> absences, origin."""

    async def work():
        async with open_store(where, create=False) as store:
            held = await store.holdings()
            found = {str(series): await store.read(series, EVER) for series in held}
            rows = {
                name: list(zip(columns.open_times, *columns.values, strict=True)) for name, columns in found.items()
            }
            absences = {str(series): await store.absences(series, EVER) for series in held}
            return rows, absences, await store.origin()

    return asyncio.run(work())


def minutes_of(where, series=BTC):
    return [(row[0] - START_MS) // MINUTE_MS for row in content(where)[0].get(series, [])]


def copy(source, destination, *series, **options):
    return asyncio.run(library.copy(source, destination, series or None, **options))


def check_sum(answer):
    """The keys promised, and they add up; gives it back."""
    assert set(answer) == KEYS
    parts = ("stored_before", "written", "holes", "rejected", "missing")
    assert answer["wanted"] == sum(answer[part] for part in parts)
    assert answer["complete"] == (answer["exit"] == 0)
    return answer


@pytest.fixture
def database(influxd):
    """Give the address of a database that does not exist yet, on the server that all tests share."""
    return lambda: influxd.url(next(_names))


@pytest.fixture
def bucket(influxd2):
    """Give the address, with its token, of a bucket of an InfluxDB 2.x that does not exist yet."""
    return lambda: influxd2.url(next(_names)).replace("://", f"://:{influxd2.token}@")


@pytest.fixture
def file(tmp_path):
    return lambda: str(tmp_path / f"{next(_names)}.db")


PAIRS = (
    ("file", "file"),
    ("file", "database"),
    ("database", "file"),
    ("database", "database"),
    ("file", "bucket"),
    ("bucket", "file"),
    ("database", "bucket"),
)


@pytest.fixture(params=PAIRS, ids=" to ".join)
def pair(request):
    """Two empty places: source and destination."""
    return tuple(request.getfixturevalue(kind)() for kind in request.param)


# What is copied


def test_everything_goes_over_and_a_second_copy_finds_nothing_to_do(pair):
    source, destination = pair
    fill(
        source,
        candles(BTC, [*range(2000), *range(2005, 2100)]),
        candles(ETH, range(5), 7.0),
        candles(HOURS, range(30)),
        absences=[absence(2000), absence(2001, "rejected", "high below low"), absence(2300)],
    )
    summary = copy(source, destination)
    assert (summary.exit, summary.complete, summary.series) == (0, True, 3)
    assert (summary.wanted, summary.stored_before, summary.written) == (2098 + 5 + 30, 0, 2095 + 5 + 30)
    assert (summary.holes, summary.rejected, summary.missing) == (2, 1, 0)
    assert summary.source_missing == 3 + 200
    assert content(destination) == content(source)
    assert content(source)[1][BTC][1].row == '[1, "a"]'

    again = copy(source, destination)
    assert (again.exit, again.written, again.missing) == (0, 0, 0)
    assert (again.stored_before, again.holes, again.rejected) == (2130, 2, 1)
    assert content(destination) == content(source)


def test_only_what_is_missing_is_written(pair):
    source, destination = pair
    fill(source, candles(BTC, range(3000)), absences=[absence(3000), absence(3001)])
    there = sorted({*range(3000)} - {0, 700, *range(1500, 1600), 2999})
    # Other prices: what is stored at the destination stays as it is.
    fill(destination, candles(BTC, there, price=-5.0), absences=[absence(3001)])
    summary = copy(source, destination)
    assert (summary.exit, summary.written, summary.stored_before, summary.holes) == (0, 103, 2897, 2)
    rows, absences, _ = content(destination)
    stored = {(row[0] - START_MS) // MINUTE_MS: row[1] for row in rows[BTC]}
    assert stored == {minute: (-5.0 if minute in there else 100.0) + minute for minute in range(3000)}
    assert absences[BTC] == [absence(3000), absence(3001)]


def test_a_candle_replaces_a_hole_and_a_hole_never_a_candle(pair):
    source, destination = pair
    fill(source, candles(BTC, [0, 1, 4]), absences=[absence(2), absence(3)])
    fill(destination, candles(BTC, [2, 4], price=-5.0), absences=[absence(1, "rejected"), absence(3, "rejected")])
    summary = copy(source, destination)
    assert (summary.exit, summary.written, summary.stored_before) == (0, 2, 2)
    assert (summary.holes, summary.rejected) == (0, 1)
    rows, absences, _ = content(destination)
    assert [row[1] for row in rows[BTC]] == [100.0, 101.0, -3.0, -1.0]
    assert absences[BTC] == [absence(3, "rejected")]


def test_what_only_the_destination_has_stays(pair):
    source, destination = pair
    fill(source, candles(BTC, range(10, 20)))
    fill(destination, candles(BTC, range(15), price=-5.0), candles(ETH, range(3)))
    assert copy(source, destination).written == 5
    assert minutes_of(destination) == list(range(20))
    assert minutes_of(destination, ETH) == [0, 1, 2]


def test_a_series_that_is_all_holes_goes_over(pair):
    source, destination = pair
    fill(source, candles(BTC, []), absences=[absence(minute) for minute in range(100)])
    summary = copy(source, destination)
    assert (summary.exit, summary.written, summary.holes, summary.wanted) == (0, 0, 100, 100)
    assert content(destination) == content(source)


def test_a_backfill_that_was_copied_asks_for_nothing(venue, laklak, influxd, truth):
    running = venue()
    symbols = ("LTCUSDT", "DOTUSDT")
    assert laklak("backfill", *symbols, "--days", "4").exit == 0
    before = len(running.hits)
    url = influxd.url(next(_names))
    ended = laklak("copy", "laklak.db", url, "--json")
    answer = check_sum(ended.json)
    assert (ended.exit, answer["written"], len(running.hits)) == (0, 11520, before)
    assert (answer["source"], answer["destination"]) == ("sqlite:///laklak.db", url)
    assert (answer["start"], answer["end"]) == ("2026-02-25T00:00Z", "2026-03-01T00:00Z")
    rows = content(url)[0]
    assert {(symbol, row[0]): row[1:] for symbol in symbols for row in rows[f"binance:{symbol}:1m"]} == truth(symbols)
    again = laklak("backfill", *symbols, "--days", "4", "--store", url, "--json")
    assert (again.exit, again.json["candle_requests"], again.json["stored_before"]) == (0, 0, 11520)


def test_symbols_of_any_letters_go_over(pair):
    source, destination = pair
    names = ["币安人生USDT", "^GSPC", "BTC=F", "A,B-C+D&E#F%20?", "A:B"]
    fill(source, *(candles(f"binance:{name}:1m", range(3), 7.0) for name in names))
    assert copy(source, destination).written == 3 * len(names)
    assert content(destination) == content(source)


def test_points_of_other_programs_are_not_copied(influxd, database, tmp_path):
    source = database()
    fill(source, candles(BTC, range(3)))
    name = source.rpartition("/")[2]
    influxd.put(f"binance_ohlc,exchange=binance,symbol=X,timeframe=1m,by=me close=1 {START_MS}\n", name)
    influxd.put(f"binance_ohlc,exchange=binance,symbol=Y,timeframe=7m close=1 {START_MS}\n", name)
    influxd.put(f"other,exchange=binance,symbol=Z,timeframe=1m close=1 {START_MS}\n", name)
    influxd.put(f"bybit_ohlc,exchange=binance,symbol=Q,timeframe=1m close=1 {START_MS}\n", name)
    summary = copy(source, tmp_path / "b.db")
    assert (summary.exit, summary.series, summary.written) == (0, 1, 3)


# Values


@pytest.fixture(params=["database", "bucket"])
def server_place(request):
    return request.getfixturevalue(request.param)


# What a venue can send: finite, and no zero with a sign.
numbers = st.floats(allow_nan=False, allow_infinity=False).map(lambda value: value or 0.0)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(*[numbers] * 5), min_size=1, max_size=300))
@example([(1e-8, 1e22, 2.0**53 + 1, 5e-324, 1.7976931348623157e308), (0.1 + 0.2, 123456789.12345678, 1e16, 1e-5, 0.0)])
def test_every_double_survives_the_way_through_a_server_and_back(file, server_place, rows):
    first, last, between = file(), file(), server_place()
    values = tuple(zip(*rows, strict=True))
    times = [START_MS + minute * MINUTE_MS for minute in range(len(rows))]
    fill(first, CandleBatch(Series.parse(BTC), times, values, values))
    assert copy(first, between).exit == copy(between, last).exit == 0
    sent = [(time_ms, struct.pack("<5d", *row)) for time_ms, row in zip(times, rows, strict=True)]
    assert _bits(last) == _bits(first) == sent


def _bits(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT open_time, open, high, low, close, volume FROM candle ORDER BY open_time")
        return [(row[0], struct.pack("<5d", *row[1:])) for row in rows]


def test_a_candle_that_lacks_a_number_is_named_and_the_others_go_over(influxd, database, tmp_path):
    source, destination = database(), str(tmp_path / "b.db")
    fill(source, candles(BTC, range(10)))
    key = "binance_ohlc,exchange=binance,symbol=BTCUSDT,timeframe=1m"
    influxd.put(f"{key} close=1.5 {START_MS + 10 * MINUTE_MS}\n", source.rpartition("/")[2])
    summary = copy(source, destination)
    assert (summary.exit, summary.written, summary.missing) == (1, 10, 1)
    (failed,) = summary.failed_series
    assert (failed.series, failed.reason) == (BTC, "source_unsound")
    assert minutes_of(destination) == list(range(10))


# Which series


def test_only_the_series_named_go_over(here, tmp_path):
    fill("a.db", candles(BTC, range(5)), candles(ETH, range(5)), candles(HOURS, range(5)))
    ended = here("copy", "a.db", "b.db", ETH, HOURS, ETH, "--json")
    assert (ended.exit, check_sum(ended.json)["series"]) == (0, 2)
    assert set(content("b.db")[0]) == {ETH, HOURS}
    assert here("copy", "a.db", "c.db", "BTCUSDT").exit == 0
    assert set(content("c.db")[0]) == {BTC}


def test_a_series_that_the_source_lacks_is_named_and_the_others_go_over(here):
    fill("a.db", candles(BTC, range(5)))
    ended = here("copy", "a.db", "b.db", BTC, ETH, "--json")
    answer = check_sum(ended.json)
    assert (ended.exit, answer["written"], answer["missing"]) == (1, 5, 0)
    (failed,) = answer["failed_series"]
    assert (failed["series"], failed["reason"]) == (ETH, "not_in_source")
    assert ended.lines("warning") == [f"not in the source: {ETH}"]
    told = here("copy", "a.db", "b.db", BTC, ETH)
    assert told.out.startswith("complete but for what is named below: 5 of 5 candles of 2 series accounted for in ")
    assert f"  {ETH}: not_in_source: sqlite:///a.db has none of it" in told.out


def test_nothing_is_made_when_the_source_has_none_of_the_series(here):
    fill("a.db", candles(BTC, range(5)))
    ended = here("copy", "a.db", "b.db", ETH, "--json")
    assert (ended.exit, ended.json["exit"], Path("b.db").exists()) == (2, 2, False)
    assert ended.lines("error") == [f"sqlite:///a.db has no candles of {ETH}"]
    assert BTC in ended.lines("hint")[0]


@pytest.mark.parametrize("series", ["BTC USDT", "binance:BTCUSDT:7m", "nowhere:BTCUSDT:1m", "BTC,ETH"])
def test_what_is_no_series_is_refused(here, series):
    fill("a.db", candles(BTC, range(5)))
    ended = here("copy", "a.db", "b.db", series, "--json")
    assert (ended.exit, set(ended.json), Path("b.db").exists()) == (2, KEYS, False)


def test_an_empty_list_of_series_is_refused():
    with pytest.raises(UsageError):
        asyncio.run(library.copy("a.db", "b.db", []))


# Which stores


def test_a_source_that_does_not_exist_is_an_error_and_nothing_is_made(here):
    ended = here("copy", "a.db", "b.db", "--json")
    assert (ended.exit, check_sum(ended.json)["exit"]) == (2, 2)
    assert "there is no store sqlite:///a.db to copy from" in ended.lines("error")[0]
    assert not {"a.db", "b.db"} & set(os.listdir())


def test_a_database_that_does_not_exist_is_no_source(here, influxd):
    name = next(_names)
    ended = here("copy", influxd.url(name), "b.db")
    assert (ended.exit, Path("b.db").exists()) == (2, False)
    assert [name] not in influxd.rows("SHOW DATABASES")


def test_an_empty_source_is_told_and_nothing_is_made(here):
    fill("a.db")
    ended = here("copy", "a.db", "b.db", "--json")
    answer = check_sum(ended.json)
    assert (ended.exit, answer["wanted"], answer["start"], Path("b.db").exists()) == (0, 0, None, False)
    assert ended.lines("warning") == ["sqlite:///a.db holds no series of candles: there is nothing to copy"]


def test_a_store_is_not_copied_to_itself_whatever_its_name(here, influxd, database):
    fill("a.db", candles(BTC, range(5)))
    os.symlink("a.db", "link.db")
    os.link("a.db", "hard.db")
    url = database()
    other = url.replace("localhost", "127.0.0.1")
    for one, two in (
        ("a.db", "sqlite:///a.db"),
        ("a.db", "link.db"),
        ("hard.db", "a.db"),
        ("b.db", "./b.db"),
        (url, other),
    ):
        ended = here("copy", one, two)
        assert ended.exit == 2
        assert "cannot be copied to itself" in ended.lines("error")[0]


def test_two_retention_policies_of_a_database_are_two_stores(influxd, database):
    source = database()
    fill(source, candles(BTC, range(5)))
    influxd.ask(f"CREATE RETENTION POLICY two ON {source.rpartition('/')[2]} DURATION INF REPLICATION 1")
    assert copy(source, f"{source}?rp=two").written == 5
    assert content(f"{source}?rp=two") == content(source)


@pytest.mark.parametrize("words", [("a.db",), ("bybit://x/y", "b.db"), ("a.db", "influxdb://")])
def test_what_is_no_pair_of_stores_is_refused(here, words):
    fill("a.db", candles(BTC, range(5)))
    ended = here("copy", *words, "--json")
    assert (ended.exit, set(ended.json), len(ended.lines("error"))) == (2, KEYS, 1)


def test_the_destination_is_locked_and_the_source_is_not(here, laklak, venue):
    running = venue(latency_s=0.05)
    fill("a.db", candles(BTC, range(5)))
    process = laklak.start("backfill", "LTCUSDT", "--days", "4", "--chunk", "99", "--workers", "2")
    running.wait_for_candle_hits(3)
    ended = here("copy", "a.db", "laklak.db", "--json")
    assert (ended.exit, check_sum(ended.json)["exit"]) == (75, 75)
    assert f"process {process.pid}" in ended.lines("error")[0]
    assert here("copy", "laklak.db", "b.db").exit == 0
    assert process.poll() is None
    assert laklak.wait(process).exit == 0
    assert here("copy", "laklak.db", "b.db").exit == 0
    assert content("b.db") == content("laklak.db")


def test_a_source_that_is_being_written_is_read(here):
    fill("a.db", candles(BTC, range(5)))
    with contextlib.closing(sqlite3.connect("a.db", isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM candle WHERE open_time > ?", (START_MS,))
        assert here("copy", "a.db", "b.db").exit == 0
        writer.execute("ROLLBACK")
    assert minutes_of("b.db") == list(range(5))


def test_real_and_simulated_candles_are_not_mixed_unless_forced(here):
    fill("a.db", candles(BTC, range(5)), origin="real")
    assert here("copy", "a.db", "b.db").exit == 0
    assert content("b.db")[2] == "real"
    fill("c.db", candles(ETH, range(5)), origin="simulated")
    ended = here("copy", "c.db", "b.db", "--json")
    assert (ended.exit, ended.json["written"]) == (2, 0)
    assert ended.json["error"].endswith("sqlite:///b.db holds real candles; sqlite:///c.db has simulated ones")
    assert "--force" in ended.json["hint"]
    assert here("copy", "c.db", "b.db", "--force").exit == 0
    assert set(content("b.db")[0]) == {BTC, ETH}


def test_a_retention_that_is_too_short_is_refused_or_clips(here, influxd):
    name = next(_names)
    influxd.ask(f"CREATE DATABASE {name} WITH DURATION 7d REPLICATION 1 NAME week")
    now = int(time.time()) // 60 * MINUTE_MS
    old, new = (now - days * DAY_MS for days in (9, 5))
    series = Series.parse(BTC)
    values = ([1.0] * 3,) * 5
    for first in (old, new):
        fill("a.db", CandleBatch(series, [first + minute * MINUTE_MS for minute in range(3)], values, values))
    ended = here("copy", "a.db", influxd.url(name))
    assert ended.exit == 2
    assert "the source begins at " in ended.lines("error")[0]
    assert "--within-retention" in ended.lines("hint")[0]
    ended = here("copy", "a.db", influxd.url(name), "--within-retention", "--json")
    answer = check_sum(ended.json)
    assert (ended.exit, answer["written"], answer["dead_letter"]) == (0, 3, None)
    assert [row[0] for row in content(influxd.url(name))[0][BTC]] == [new + minute * MINUTE_MS for minute in range(3)]


def test_a_retention_that_would_keep_nothing_is_refused(here, influxd):
    name = next(_names)
    influxd.ask(f"CREATE DATABASE {name} WITH DURATION 1h REPLICATION 1 NAME hour")
    fill("a.db", candles(BTC, range(-10_000_000, -9_999_990)))
    ended = here("copy", "a.db", influxd.url(name), "--within-retention")
    assert (ended.exit, "would keep nothing" in ended.lines("error")[0]) == (2, True)


# Passwords


@pytest.fixture(scope="module")
def guarded(needs_influxd, influxd, tmp_path_factory):
    """A server that wants a login: `writer` may do everything in the databases one and two."""
    server = type(influxd)(tmp_path_factory.mktemp("guarded"), {"INFLUXDB_HTTP_AUTH_ENABLED": "true"})
    try:
        server.start()
        server.ask("CREATE USER admin WITH PASSWORD 'top' WITH ALL PRIVILEGES")
        server.login = ("admin", "top")
        server.ask(f"CREATE USER writer WITH PASSWORD '{SECRET}'")
        for name in ("one", "two"):
            server.ask(f"CREATE DATABASE {name}")
            server.ask(f"GRANT ALL ON {name} TO writer")
        yield server
    finally:
        server.stop()


@pytest.mark.parametrize("number", [0, 1], ids=["source", "destination"])
@pytest.mark.parametrize("typed", ["influxdb://me:geheim@localhost:1/x", "influxdb2://:geheim@localhost:1/x?org=o"])
def test_a_typed_secret_is_refused_and_not_shown(here, number, typed):
    fill("a.db", candles(BTC, range(5)))
    words = ["a.db", "b.db"]
    words[number] = typed
    ended = here("copy", *words, "--json")
    assert (ended.exit, set(ended.json), Path("b.db").exists()) == (2, KEYS, False)
    assert "is not taken from the command line" in ended.lines("error")[0]
    assert "LAKLAK_INFLUXDB_" in ended.lines("hint")[0]
    assert "geheim" not in ended.out + ended.err


def test_one_password_opens_both_stores_and_is_never_shown(laklak, guarded):
    fill("a.db", candles(BTC, range(5)))
    one, two = guarded.url("one", user="writer"), guarded.url("two", user="writer")
    said = ""
    for source, destination in (("a.db", one), (one, two)):
        ended = laklak("copy", source, destination, "--json", "-v", LAKLAK_INFLUXDB_PASSWORD=SECRET)
        assert ended.exit == 0, ended.err
        assert ended.json["written"] == 5
        said += ended.out + ended.err
    assert SECRET not in said + Path("backfill.log").read_text()
    assert laklak("copy", one, "b.db").exit == 2


def test_a_program_may_give_each_store_its_own_password(guarded, tmp_path):
    fill("a.db", candles(ETH, range(5)))
    url = guarded.url("one", user="writer").replace("writer@", "writer:hunt%20er2%40%2F%3A@")
    summary = copy("a.db", url, ETH)
    assert (summary.exit, summary.destination) == (0, guarded.url("one", user="writer").replace("@", ":***@"))
    assert copy(url, tmp_path / "b.db", ETH).written == 5


def test_a_wrong_setting_is_an_error_of_the_library_too():
    with pytest.raises(SettingsError):
        copy("a.db", "b.db", max_wait="soon")
    with pytest.raises(StoreUnavailable):
        copy("a.db", "b.db")


# What goes wrong in the middle


def test_lines_that_a_server_refuses_are_counted_kept_and_tried_again(here, own_influxd):
    server = own_influxd(INFLUXDB_DATA_MAX_VALUES_PER_TAG="1")
    fill("a.db", candles(BTC, range(50)), candles(ETH, range(7)))
    url, dead = server.url("few"), Path("laklak-dead-letter.lp").absolute()
    assert here("copy", "a.db", url, BTC).exit == 0
    for _ in range(2):
        ended = here("copy", "a.db", url, "--json")
        answer = check_sum(ended.json)
        assert (ended.exit, answer["dead_letter"]) == (1, str(dead))
        assert (answer["stored_before"], answer["written"], answer["missing"]) == (50, 0, 7)
        (failed,) = answer["failed_series"]
        assert (failed["series"], failed["reason"]) == (ETH, "store_refused")
    assert minutes_of(url) == list(range(50))


def test_a_server_that_stays_away_ends_the_copy_and_the_next_one_completes_it(laklak, own_influxd):
    server = own_influxd()
    _many("a.db", COUNT)
    url = server.url("x")
    server.ask("CREATE DATABASE x")
    process = laklak.start("copy", "a.db", url, "--json", "--max-wait", "1s")
    _until(lambda: _count(server) > 150_000)
    server.stop()
    ended = laklak.wait(process)
    answer = check_sum(ended.json)
    assert (ended.exit, answer["complete"], len(ended.lines("error"))) == (1, False, 1)
    assert answer["error"].startswith("store_down: ")
    assert 0 < answer["written"] < COUNT
    server.start()
    again = laklak("copy", "a.db", url, "--json")
    assert (again.exit, again.json["missing"]) == (0, 0)
    assert 0 < again.json["written"] <= COUNT - answer["written"]


def _many(path, count):
    """A source with so many candles of two series."""
    fill(path, candles(BTC, [0]), candles(ETH, [0]))
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "WITH RECURSIVE minute(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM minute WHERE n < ?)"
            " INSERT INTO candle SELECT s.id, ? + n * 60000, n, n + 1, n - 1, n + 0.5, n / 8.0"
            " FROM series AS s CROSS JOIN minute",
            (count // 2 - 1, START_MS),
        )


def _until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def _stored(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    return _rows(path)


def _rows(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT count(*) FROM candle").fetchone()[0]


def test_a_copy_that_is_killed_is_completed_by_the_next(laklak):
    _many("a.db", COUNT)
    fill("b.db", candles(BTC, [0]))
    process = laklak.start("copy", "a.db", "b.db")
    _until(lambda: _rows("b.db") > 1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    stored = _stored("b.db")
    assert 1 < stored < COUNT
    ended = laklak("copy", "a.db", "b.db", "--json")
    answer = check_sum(ended.json)
    assert (ended.exit, answer["stored_before"], answer["written"]) == (0, stored, COUNT - stored)
    assert _bits("b.db") == _bits("a.db")


@pytest.fixture
def paused(laklak, own_influxd):
    """A copy to a server that hangs in the middle of it, and that server."""
    server = own_influxd()
    server.ask("CREATE DATABASE x")
    _many("a.db", COUNT)
    process = laklak.start("copy", "a.db", server.url("x"), "--json")
    _until(lambda: _count(server) > 150_000)
    server.pause()
    yield process, server
    server.resume()


def _count(server):
    return sum(row[1] for row in server.rows("SELECT count(close) FROM binance_ohlc", "x"))


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_finishes_what_is_on_its_way_and_says_what_is_left(laklak, paused, number, status):
    process, server = paused
    process.send_signal(number)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    server.resume()
    ended = laklak.wait(process)
    answer = check_sum(ended.json)
    assert (ended.exit, answer["exit"], answer["complete"]) == (status, status, False)
    assert "finishing what is on its way; again to stop now" in ended.err
    assert 150_000 < answer["written"] == _count(server) < COUNT
    assert answer["missing"] == COUNT - answer["written"]
    again = laklak("copy", "a.db", server.url("x"), "--json")
    assert (again.exit, again.json["written"]) == (0, answer["missing"])


def test_a_signal_does_not_wait_for_a_server_that_is_silent_from_the_start(laklak, own_influxd):
    server = own_influxd()
    fill("a.db", candles(BTC, range(5)))
    server.pause()
    process = laklak.start("copy", "a.db", server.url("x"), "--json")
    assert process.stderr.readline().startswith("source: ")
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    ended = laklak.wait(process)
    assert (ended.exit, ended.json["exit"], time.monotonic() - begun < 3) == (130, 130, True)


def test_a_second_signal_stops_at_once(laklak, paused):
    process, server = paused
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    asked = time.monotonic()
    process.send_signal(signal.SIGINT)
    ended = laklak.wait(process)
    assert (ended.exit, time.monotonic() - asked < 3) == (130, True)
    assert check_sum(ended.json)["missing"] > 0
    server.resume()
    assert laklak("copy", "a.db", server.url("x")).exit == 0
    assert _count(server) == COUNT


def test_a_disk_that_fills_up_ends_the_copy_with_what_fits(laklak, small_disk):
    _many("a.db", COUNT)
    store = small_disk("24m") / "b.db"
    refused = laklak("copy", "a.db", store, "--json")
    assert (refused.exit, "1 GiB to spare" in refused.json["error"]) == (2, True)
    ended = laklak("copy", "a.db", store, "--json", "--force")
    answer = check_sum(ended.json)
    assert (ended.exit, answer["error"].split(":")[0], len(ended.lines("error"))) == (1, "store_full", 1)
    assert 0 < answer["written"] == _stored(store) < COUNT


def test_a_damaged_source_is_one_line_and_what_could_be_read_is_kept(laklak):
    _many("a.db", COUNT)
    data = bytearray(Path("a.db").read_bytes())
    for page in range(len(data) // 8192 - 200, len(data) // 8192 - 100):
        data[page * 8192 : page * 8192 + 8192] = os.urandom(8192)
    Path("a.db").write_bytes(data)
    ended = laklak("copy", "a.db", "b.db", "--json")
    check_sum(ended.json)
    assert (ended.exit in (1, 2), len(ended.lines("error"))) == (True, 1)
    assert "damaged" in ended.json["error"]


# What is said


def test_the_stores_the_plan_and_the_outcome_are_told(here):
    fill("a.db", candles(BTC, [*range(100), *range(102, 200)]), absences=[absence(100)])
    ended = here("copy", "a.db", "b.db")
    span = "2026-02-28T00:00Z to 2026-02-28T03:20Z"
    lines = ended.err.splitlines()
    assert lines[0].startswith(f"source: sqlite:///a.db: 1 series, 198 candles, {span}, ")
    assert lines[1].startswith("destination: sqlite:///b.db: new file; ")
    assert lines[2:] == [f"plan: 1 series, {span}: 199 of 199 candles to copy"]
    first, account, pace, lacking = ended.out.splitlines()
    assert first == f"complete: 199 of 199 candles of 1 series accounted for in sqlite:///b.db, {span}"
    assert account == "  stored before 0, written 198, holes 1, rejected 0, missing 0"
    assert pace.endswith(" candles/s")
    assert lacking == "  the source itself lacks 1 candle in between, for laklak backfill to fetch"
    again = here("copy", "a.db", "b.db")
    assert again.err.splitlines()[2] == f"plan: 1 series, {span}: nothing to copy, all 199 candles accounted for"
    assert here("copy", "a.db", "b.db", "--quiet").out == ""
    assert "series=binance:BTCUSDT:1m copied=198 missing=0" in Path("backfill.log").read_text()


def test_a_copy_is_no_run_of_a_backfill(here, sql):
    fill("a.db", candles(BTC, range(5)))
    assert here("copy", "a.db", "b.db").exit == 0
    assert sql("SELECT count(*) FROM laklak_runs", path="b.db") == [(0,)]
