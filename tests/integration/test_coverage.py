"""`laklak coverage`: every gap is found exactly, and told with the right status, from the store alone."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import sqlite3
from datetime import UTC, datetime

import pytest
from copies import BTC, ETH, MINUTE, MINUTE_MS, START_MS, absence, candles, fill, new_name

import laklak as library
from laklak.audit.coverage import Range, look_at
from laklak.audit.stretches import KINDS, narrowed
from laklak.model.absences import Absence
from laklak.model.provenance import Stretch
from laklak.model.records import Note
from laklak.model.series import Series, TimeRange, iso
from laklak.model.spans import runs
from laklak.stores import open_store
from laklak.stores.access import StoreAccess
from laklak.stores.base import Delivery
from laklak.text import columns_of

DAY = 1440
DAYS = 3
END = START_MS + DAYS * DAY * MINUTE_MS


@pytest.fixture(params=["sqlite", "influxdb"])
def where(request):
    return "candles.db" if request.param == "sqlite" else request.getfixturevalue("influxd").url(new_name())


def put_notes(where, *notes, clock=END):
    async def work():
        async with open_store(where) as store:
            await store.put_notes([note_of("binance", "clock", {"ms": clock}), *notes])

    asyncio.run(work())


def note_of(about, kind, value):
    return Note(about, kind, json.dumps(value), 1_772_500_000_000)


def look(where, *names, **wanted):
    async def work():
        async with open_store(StoreAccess(where=where), create=False) as store:
            return await look_at(store, [Series.parse(name) for name in names], Range(**wanted), typed=False)

    return asyncio.run(work())


def shapes():
    """What is taken out of three days, in minutes."""
    rng = random.Random(7)
    yield set()
    yield {0}
    yield {DAYS * DAY - 1}
    yield {0, DAYS * DAY - 1, DAY - 1, DAY}
    yield set(range(DAY, 2 * DAY))
    yield set(range(DAYS * DAY - 600, DAYS * DAY))
    yield set(range(DAY - 90, DAY + 30))
    yield set(range(DAYS * DAY))
    for _ in range(12):
        lost = set(rng.sample(range(DAYS * DAY), rng.randrange(1, 9)))
        for _ in range(rng.randrange(3)):
            begin = rng.randrange(DAYS * DAY)
            lost |= set(range(begin, min(DAYS * DAY, begin + rng.randrange(1, 2000))))
        yield lost


def test_gaps_of_every_shape_are_found_exactly(where):
    lost = {f"binance:S{number}USDT:1m": gone for number, gone in enumerate(shapes())}
    fill(where, *(candles(name, sorted(set(range(DAYS * DAY)) - gone)) for name, gone in lost.items()))
    put_notes(where)

    report = look(where, *lost, days=DAYS)

    for one in report.series:
        gone = sorted(lost[str(one.series)])
        spans = runs([START_MS + minute * MINUTE_MS for minute in gone], MINUTE)
        assert list(one.missing) == spans, one.series
        assert (one.gaps, one.figures.missing, one.figures.held) == (len(spans), len(gone), DAYS * DAY - len(gone))
        assert ("missing" in one.strip) == bool(gone)
    assert [one.figures.share for one in report.series] == sorted(one.figures.share for one in report.series)


def test_a_series_of_which_every_candle_was_deleted_is_missing_from_its_first_to_the_end(where, here, request):
    given = Stretch(TimeRange(START_MS, END), "rest", "confirmed", 1, 1)

    async def work():
        async with open_store(where) as store:
            batches = [candles(name, range(DAYS * DAY)) for name in (BTC, ETH)]
            await store.write([Delivery(one.series, one, provenance=(given,)) for one in batches])

    asyncio.run(work())
    put_notes(where)
    if where == "candles.db":
        with contextlib.closing(sqlite3.connect(where)) as connection, connection:
            connection.execute("DELETE FROM candles WHERE symbol = 'ETHUSDT'")
    else:
        request.getfixturevalue("influxd").ask(
            "DROP SERIES FROM binance_ohlc WHERE symbol = 'ETHUSDT'", where.rpartition("/")[2]
        )

    ended = here("coverage", "--store", where, "--json")

    assert ended.exit == 1
    gone, whole = ended.json["series"]
    assert (gone["series"], gone["held"], gone["missing"], gone["coverage"]) == (ETH, 0, DAYS * DAY, 0)
    assert gone["missing_spans"] == [{"start": iso(START_MS), "end": iso(END)}]
    assert whole["missing"] == 0
    assert here("coverage", "ETHUSDT", "--store", where).exit == 1
    issued = here("certificate", "--store", where).json
    assert (issued["complete"], issued["total"]["missing"]) == (False, DAYS * DAY)
    assert here("explain", "ETHUSDT", iso(START_MS), "--store", where, "--json").json["verdict"] == "not_fetched"


def test_what_is_known_to_be_absent_is_no_gap_and_a_reject_counts_against_coverage(where):
    quiet = Absence(TimeRange(START_MS + 50 * MINUTE_MS, START_MS + 60 * MINUTE_MS), "quiet", 1, "no trades")
    fill(
        where,
        candles(BTC, [*range(20), *range(21, 41), *range(42, 50), *range(60, 100)]),
        absences=[absence(20), absence(41, "rejected"), quiet],
    )
    put_notes(where, clock=START_MS + 100 * MINUTE_MS)

    (one,) = look(where).series

    found = one.figures
    assert (found.wanted, found.held, found.holes, found.rejected, found.quiet, found.missing) == (100, 88, 1, 1, 10, 0)
    assert found.share == pytest.approx(100 * 88 / 89)
    assert {"full", "hole", "rejected", "quiet"} == set(one.strip)


def test_nothing_is_wanted_before_the_first_and_after_the_last_candle_that_runs_have_noted(where):
    fill(where, candles(BTC, range(500, 600)))
    first = note_of(BTC, "first", {"ms": START_MS + 490 * MINUTE_MS})
    put_notes(where, first, note_of(BTC, "ended", {"last_ms": START_MS + 604 * MINUTE_MS, "status": "SETTLING"}))

    (one,) = look(where, days=DAYS).series

    assert (one.figures.wanted, one.figures.held, one.figures.missing) == (115, 100, 15)
    assert one.missing[0].start_ms == first_ms_of(first)


def first_ms_of(note):
    return json.loads(note.value)["ms"]


def test_a_candle_that_is_stored_goes_before_what_was_noted(where):
    fill(where, candles(BTC, range(500, 600)))
    put_notes(
        where, note_of(BTC, "first", {"ms": START_MS + 550 * MINUTE_MS}), note_of(BTC, "ended", {"last_ms": None})
    )

    (one,) = look(where, days=DAYS).series

    assert (one.figures.wanted, one.figures.held, one.figures.missing) == (100, 100, 0)


def test_what_is_out_of_reach_is_not_missing_and_counts_against_health_after_the_first_candle():
    fill("candles.db", candles(BTC, [*range(10, 20), *range(40, 100)]))
    put_notes("candles.db", note_of(BTC, "reach", {"ms": START_MS + 30 * MINUTE_MS}), clock=START_MS + 100 * MINUTE_MS)

    (one,) = look("candles.db", start_ms=START_MS).series

    found = one.figures
    assert (found.wanted, found.held, found.out_of_reach, found.lost, found.missing) == (80, 70, 20, 10, 10)
    assert found.share == pytest.approx(100 * 70 / 80)
    assert found.sound_share == pytest.approx(100 * 70 / 90)
    assert one.health(99.5, 80) == "CRITICAL"


def test_the_strip_keeps_the_worst_of_what_it_leaves_out():
    cells = ["full"] * 60
    cells[37], cells[38] = "hole", "missing"

    assert [narrowed(cells, width).count("missing") for width in (1, 7, 12, 59)] == [1, 1, 1, 1]
    assert narrowed(cells, 200) == tuple(cells)
    assert set(KINDS) > set(cells)


# The command


@pytest.fixture
def gappy(where):
    fill(where, candles(BTC, range(100)), candles(ETH, [*range(50), *range(51, 100)]))
    put_notes(where, clock=START_MS + 100 * MINUTE_MS)
    return where


def test_the_status_is_1_where_something_is_missing_and_with_fail_below_only_below_that(gappy, here):
    assert here("coverage", "--store", gappy).exit == 1
    assert here("coverage", BTC, "--store", gappy).exit == 0
    assert here("coverage", "--store", gappy, "--fail-below", "98.9").exit == 0
    assert here("coverage", "--store", gappy, "--fail-below", "99.1").exit == 1


def test_the_table_shows_what_is_not_full_the_worst_first_and_all_of_it_when_asked(gappy, here):
    shown = here("coverage", "--store", gappy).out
    assert ETH in shown
    assert BTC not in shown
    assert "WARN" in shown
    assert "99.00%" in shown
    assert f"as of {iso(START_MS + 100 * MINUTE_MS)}" in shown
    assert f"1 min at {iso(START_MS + 50 * MINUTE_MS)}" in shown or f"60 s at {iso(START_MS + 50 * MINUTE_MS)}" in shown
    assert "M missing" in shown
    assert "wanted 200, held 199, holes 0, rejected 0, quiet 0, missing 1" in shown

    everything = here("coverage", "--store", gappy, "--all").out
    assert everything.index(ETH) < everything.index(BTC)


def test_out_of_a_terminal_no_column_is_left_out_and_the_first_candle_is_told(gappy, here):
    shown = here("coverage", "--store", gappy, "--all").out.splitlines()
    assert shown[1].split("  ")[0] == "HEALTH"
    words = ("FIRST", "LAST", "WANTED", "HELD", "HOLES", "REJECTED", "QUIET", "MISSING", "LONGEST GAP")
    assert [word for word in words if word not in shown[1]] == []
    assert all(iso(START_MS) in line for line in shown[2:4])


def test_a_strip_begins_in_one_column_whatever_letters_a_symbol_has(here, where):
    fill(where, *(candles(name, [0, 1, 2, 5]) for name in (BTC, "binance:币安人生USDT:1m")))
    put_notes(where, clock=START_MS + 6 * MINUTE_MS)

    lines = [line for line in here("coverage", "--store", where).out.splitlines() if ":1m" in line and "USDT" in line]

    assert len(lines) == 2
    assert len({columns_of(line) for line in lines}) == 1


def test_json_names_every_gap(gappy, here):
    answer = here("coverage", "--json", "--store", gappy).json

    assert (answer["exit"], answer["health"], answer["error"]) == (1, "WARN", None)
    assert answer["as_of"] == {"binance": iso(START_MS + 100 * MINUTE_MS)}
    worst = answer["series"][0]
    gap = {"start": iso(START_MS + 50 * MINUTE_MS), "end": iso(START_MS + 51 * MINUTE_MS)}
    assert (worst["series"], worst["missing_spans"], worst["coverage"]) == (ETH, [gap], 99.0)
    assert answer["total"]["missing"] == 1


def test_a_list_makes_series_missing_that_were_never_filled(gappy, here, tmp_path):
    (tmp_path / "mine.txt").write_text("BTCUSDT binance\nSOLUSDT binance\n")

    ended = here("coverage", "--json", "--store", gappy, "--assets", tmp_path / "mine.txt", "--start", iso(START_MS))

    missing = {one["series"]: one["missing"] for one in ended.json["series"]}
    assert (ended.exit, missing) == (1, {BTC: 0, "binance:SOLUSDT:1m": 100})


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["XRPUSDT"], "no candles of binance:XRPUSDT:1m"),
        (["--start", "2026-03-02", "--end", "2026-03-01"], "is not before end"),
        (["--warn", "99", "--good", "98"], "--warn 99 is above --good 98"),
        ([BTC, "--stored"], "exclude each other"),
        (["--interval", "1h"], "holds no series of 1h"),
    ],
)
def test_what_cannot_be_looked_at_is_one_line_and_status_2(words, told, gappy, here):
    ended = here("coverage", "--store", gappy, *words)

    assert (ended.exit, ended.out) == (2, "")
    assert told in ended.err
    assert ended.err.count("error:") == 1


def test_no_store_an_empty_one_and_a_dead_server_are_told_with_status_2(here):
    put_notes("empty.db")
    for store, told in [
        ("none.db", "there is no store"),
        ("empty.db", "holds no series"),
        ("influxdb://localhost:9/market_data", "localhost:9"),
    ]:
        ended = here("coverage", "--store", store, "--json")
        assert ended.exit == ended.json["exit"] == 2, store
        assert told in ended.err


def test_a_file_that_may_only_be_read_is_looked_at(here):
    fill("candles.db", candles(BTC, range(100)))
    put_notes("candles.db", clock=START_MS + 100 * MINUTE_MS)
    os.chmod("candles.db", 0o444)

    assert here("coverage", "--store", "candles.db").exit == 0


def test_a_program_gets_the_same_report_and_moments_may_be_datetimes():
    fill("candles.db", candles(BTC, range(10, 100)))
    put_notes("candles.db", clock=START_MS + 100 * MINUTE_MS)
    begin = datetime.fromtimestamp(START_MS / 1000, UTC)

    report = asyncio.run(library.coverage("BTCUSDT", start=begin, store="candles.db"))

    assert report.total.missing == 10
