"""Candles that have just closed: from when on they are wanted, and that they are looked at again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from lying_venue import MINUTE_MS, LyingVenue, ms, values

import laklak as library
from laklak.settings.spec import SPECS
from laklak.simulator.settings import SETTLE_MS

START = "2026-03-01T11:00"
NOON_MS = ms("2026-03-01T12:00") or 0
LAST_MS = NOON_MS - MINUTE_MS


@pytest.fixture
def lying(monkeypatch: pytest.MonkeyPatch) -> Iterator[LyingVenue]:
    """A venue with AAAUSDT and BBBUSDT whose clock says that it is six seconds past noon."""
    with LyingVenue(clock=NOON_MS + 6_000) as one:
        for name in ("AAAUSDT", "BBBUSDT"):
            one.list(name, first="2026-02-01")
        monkeypatch.setenv("LAKLAK_BINANCE_URL", one.url)
        monkeypatch.setenv("LAKLAK_BINANCE_BUDGET", "max")
        yield one


def backfill(*symbols, **options):
    return asyncio.run(library.backfill(list(symbols or ["AAAUSDT"]), **{"start": START, **options}))


@pytest.mark.parametrize(("second", "wanted"), [(3_000, 59), (5_000, 60)])
def test_a_candle_is_wanted_five_seconds_after_its_close(second, wanted, lying, check_sum):
    lying.clock_ms = NOON_MS + second

    assert check_sum(backfill().as_json())["wanted"] == wanted


@pytest.mark.parametrize(("settle", "second", "wanted"), [("0", 0, 60), ("2m", 5_000, 58), ("4.5", 3_000, 59)])
def test_how_long_after_its_close_can_be_set(settle, second, wanted, lying, monkeypatch):
    monkeypatch.setenv("LAKLAK_SETTLE", settle)
    lying.clock_ms = NOON_MS + second

    assert backfill().wanted == wanted


def test_a_longer_candle_is_wanted_five_seconds_after_its_close_too(lying):
    lying.clock_ms = NOON_MS + 3_000

    assert backfill(interval="1h", start="2026-03-01T08:00").wanted == 3


def test_the_clock_of_the_simulator_stands_where_its_last_candle_is_wanted():
    assert SPECS["settle"].parse(SPECS["settle"].default or "") == SETTLE_MS / 1000


# Looked at again


@pytest.fixture
def changing(lying: LyingVenue) -> LyingVenue:
    """Up to 1.5 s after its close, or what `until_s` says, the newest candle has another close and less volume."""
    lying.until_s = 1.5  # type: ignore[attr-defined]

    def tell(symbol, query, rows):
        young = [row for row in rows if row[0] + MINUTE_MS + lying.until_s * 1000 > lying.clock_ms]  # type: ignore[attr-defined]
        for row in young:
            row[4], row[5] = row[2], "0.5"
        return rows

    lying.tell_rows = tell
    return lying


def truth(start, end_ms, symbol="AAAUSDT"):
    return {(symbol, time): values(time) for time in range(ms(start), end_ms, MINUTE_MS)}


def half_made(venue, **options):
    """A run that stores the candle of 11:59 as it is 0.2 s after its close."""
    venue.clock_ms = NOON_MS + 200
    first = backfill(**options)
    assert (first.exit, first.corrected) == (0, 0)
    return first


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKLAK_SETTLE", "0")


@pytest.mark.usefixtures("at_once")
def test_a_candle_fetched_just_after_its_close_is_corrected_by_the_next_run(changing, check_sum, stored):
    half_made(changing)
    assert stored() != truth(START, NOON_MS)
    changing.clock_ms = NOON_MS + 5 * MINUTE_MS + 10_000

    again = backfill()

    check_sum(again.as_json())
    assert (again.exit, again.stored_before, again.written, again.corrected, again.missing) == (0, 60, 5, 1, 0)
    assert stored() == truth(START, NOON_MS + 5 * MINUTE_MS)


@pytest.mark.usefixtures("at_once")
def test_it_is_taken_along_in_the_one_request_of_the_next_run(changing):
    half_made(changing)
    changing.clock_ms = NOON_MS + 5 * MINUTE_MS + 10_000
    changing.forget()

    backfill()

    (asked,) = changing.asked()
    assert (asked.query["startTime"], asked.query["limit"]) == (str(LAST_MS), "6")


@pytest.mark.usefixtures("at_once")
def test_a_candle_that_has_not_changed_is_looked_at_once_and_not_written(lying, check_sum, sql):
    half_made(lying)
    lying.clock_ms = NOON_MS + 5 * MINUTE_MS + 10_000
    second = backfill()
    lying.clock_ms += 5 * MINUTE_MS
    lying.forget()

    third = backfill()

    check_sum(second.as_json())
    assert (second.stored_before, second.written, second.corrected) == (60, 5, 0)
    assert third.corrected == 0
    # What it takes along is the newest candle of the second run, and no more the one of the first.
    assert [hit.query["startTime"] for hit in lying.asked()] == [str(NOON_MS + 4 * MINUTE_MS)]


@pytest.mark.usefixtures("at_once")
def test_where_nothing_is_to_be_asked_nothing_is_asked_and_the_candle_is_remembered(changing, stored):
    half_made(changing)
    changing.clock_ms = NOON_MS + 50_000
    changing.forget()
    idle = backfill()
    assert (idle.candle_requests, idle.corrected) == (0, 0)
    changing.clock_ms = NOON_MS + 3 * MINUTE_MS + 10_000

    assert backfill().corrected == 1
    assert stored() == truth(START, NOON_MS + 3 * MINUTE_MS)


@pytest.mark.usefixtures("at_once")
def test_a_run_of_a_later_range_leaves_it_for_one_that_holds_it(changing, stored):
    half_made(changing)
    changing.clock_ms = NOON_MS + 5 * MINUTE_MS + 10_000
    later = backfill(start="2026-03-01T12:00")
    assert (later.written, later.corrected) == (5, 0)
    changing.clock_ms += 5 * MINUTE_MS

    assert backfill().corrected == 1
    assert stored() == truth(START, NOON_MS + 10 * MINUTE_MS)


@pytest.mark.usefixtures("at_once")
def test_a_run_of_one_symbol_leaves_the_candle_of_another_one(changing, stored):
    changing.clock_ms = NOON_MS + 200
    backfill("AAAUSDT", "BBBUSDT")
    changing.clock_ms = NOON_MS + 5 * MINUTE_MS + 10_000
    assert backfill("AAAUSDT").corrected == 1

    assert backfill("BBBUSDT").corrected == 1


@pytest.mark.usefixtures("at_once")
def test_a_candle_that_is_still_young_when_it_is_looked_at_is_looked_at_again(changing, stored):
    changing.until_s = 55
    half_made(changing, start="2026-03-01T11:30")
    changing.clock_ms = NOON_MS + 30_000
    # Older candles are asked, and the young one with them: it is as it was.
    assert backfill(start=START).corrected == 0
    changing.clock_ms = NOON_MS + 5 * MINUTE_MS + 10_000
    changing.until_s = 1

    assert backfill(start=START).corrected == 1
    assert stored() == truth(START, NOON_MS + 5 * MINUTE_MS)


@pytest.mark.usefixtures("at_once")
def test_a_candle_that_changed_twice_is_corrected_twice(changing, stored):
    half_made(changing, start="2026-03-01T11:30")
    changing.clock_ms = NOON_MS + 30_000
    assert backfill(start=START).corrected == 1
    honest = changing.tell_rows

    def once_more(symbol, query, rows):
        for row in rows:
            if row[0] == LAST_MS:
                row[5] = "77.5"
        return honest(symbol, query, rows)

    changing.tell_rows = once_more
    changing.clock_ms = NOON_MS + 5 * MINUTE_MS

    assert backfill(start=START).corrected == 1
    assert stored()["AAAUSDT", LAST_MS][4] == 77.5


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("gone", ["absent", "garbled"])
def test_a_candle_that_the_venue_has_no_more_stays_as_it_is(gone, changing, check_sum, stored):
    half_made(changing)
    before = stored()
    honest = changing.tell_rows

    def without(symbol, query, rows):
        rows = honest(symbol, query, rows)
        if gone == "absent":
            return [row for row in rows if row[0] != LAST_MS]
        for row in rows:
            if row[0] == LAST_MS:
                row[2] = "1"
        return rows

    changing.tell_rows = without
    changing.clock_ms = NOON_MS + 5 * MINUTE_MS + 10_000
    again = backfill()

    check_sum(again.as_json())
    assert (again.exit, again.stored_before, again.written, again.corrected, again.holes) == (0, 60, 5, 0, 0)
    assert stored() == before | truth("2026-03-01T12:00", NOON_MS + 5 * MINUTE_MS)


@pytest.mark.usefixtures("at_once")
def test_a_longer_candle_is_corrected_too(changing, stored):
    changing.clock_ms = NOON_MS + 200
    seen = changing.tell_rows

    def tell(symbol, query, rows):
        for row in rows:
            if row[0] == NOON_MS - 60 * MINUTE_MS and changing.clock_ms < NOON_MS + 10_000:
                row[5] = "0.5"
        return rows

    changing.tell_rows = tell
    backfill(interval="1h", start="2026-03-01T08:00")
    young = stored(interval="1h")
    changing.tell_rows = seen
    changing.clock_ms = NOON_MS + 60 * MINUTE_MS + 10_000

    again = backfill(interval="1h", start="2026-03-01T08:00")

    assert (again.stored_before, again.written, again.corrected) == (4, 1, 1)
    assert stored(interval="1h")["AAAUSDT", NOON_MS - 60 * MINUTE_MS] != young["AAAUSDT", NOON_MS - 60 * MINUTE_MS]


@pytest.mark.usefixtures("at_once")
def test_a_file_that_is_read_anyway_corrects_it_too(changing, stored, monkeypatch):
    half_made(changing)
    monkeypatch.setenv("LAKLAK_BINANCE_ARCHIVE_URL", changing.url)
    changing.clock_ms = ms("2026-03-02T12:00") + 10_000
    changing.forget()

    again = backfill(source="archive", end="2026-03-02")

    assert (again.files.read, again.written, again.corrected) == (1, 720, 1)
    assert stored() == truth(START, ms("2026-03-02"))


@pytest.mark.usefixtures("at_once")
def test_a_refetch_settles_it(changing, sql):
    half_made(changing)
    changing.clock_ms = NOON_MS + 5 * MINUTE_MS + 10_000
    backfill(refetch=True, end="2026-03-01T12:00")

    assert sql("SELECT value FROM laklak_notes WHERE kind = 'fresh:1m' AND value <> ''") == []


@pytest.mark.usefixtures("at_once")
def test_what_was_corrected_is_said_in_words_and_in_the_log(changing, here, clean_room):
    half_made(changing)
    changing.clock_ms = NOON_MS + 5 * MINUTE_MS + 10_000

    ended = here("backfill", "AAAUSDT", "--start", START)

    assert "  corrected 1 candle stored before: " in ended.out
    assert "series=binance:AAAUSDT:1m open_time=2026-03-01T11:59Z" in (clean_room / "backfill.log").read_text()


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("source", ["rest", "archive"])
def test_what_was_corrected_is_a_revision_with_both_rows(source, changing, sql, monkeypatch):
    half_made(changing)
    row = "SELECT json_array(open, high, low, close, volume) FROM candles WHERE open_time = ?"
    young_ms = NOON_MS - MINUTE_MS
    ((old,),) = sql(row, young_ms)
    monkeypatch.setenv("LAKLAK_BINANCE_ARCHIVE_URL", changing.url)
    changing.clock_ms = ms("2026-03-02T12:00") + 10_000
    changing.forget()

    backfill(source=source, end="2026-03-02")

    ((new,),) = sql(row, young_ms)
    told = sql("SELECT open_time, json(old), json(new), source, why FROM laklak_revisions")
    assert told == [(young_ms, old, new, source, "corrected")]
    assert old != new


@pytest.mark.usefixtures("at_once")
def test_a_candle_is_remembered_for_a_month_and_no_longer(changing):
    half_made(changing, start="2026-03-01T11:00")
    changing.clock_ms = NOON_MS + 36 * 24 * 60 * MINUTE_MS

    assert backfill(days=37, start=None).corrected == 0


# Where else it is known


@pytest.mark.usefixtures("at_once")
def test_recheck_asks_for_it_whatever_else_is_asked(changing, check_sum, stored):
    half_made(changing)
    changing.clock_ms = NOON_MS + 2 * MINUTE_MS
    again = backfill(end="2026-03-01T12:00", recheck=True)

    check_sum(again.as_json())
    assert (again.exit, again.stored_before, again.written, again.corrected) == (0, 60, 0, 1)
    assert (again.candle_requests, again.weight) == (1, 3)
    assert stored() == truth(START, NOON_MS)
    assert backfill(end="2026-03-01T12:00", recheck=True).candle_requests == 0


@pytest.mark.usefixtures("at_once")
def test_a_refetch_with_recheck_asks_for_everything_once(changing, check_sum):
    half_made(changing)
    changing.clock_ms = NOON_MS + 2 * MINUTE_MS
    again = backfill(end="2026-03-01T12:00", refetch=True, recheck=True)

    check_sum(again.as_json())
    assert (again.refetched.same, again.refetched.changed) == (59, 1)


@pytest.mark.usefixtures("at_once")
def test_a_copy_takes_along_what_is_to_be_looked_at_again(changing, here, stored):
    half_made(changing)
    assert here("copy", "laklak.db", "other.db").exit == 0
    changing.clock_ms = NOON_MS + 5 * MINUTE_MS + 10_000

    assert backfill(store="other.db").corrected == 1
    assert stored("other.db") == truth(START, NOON_MS + 5 * MINUTE_MS)


@pytest.mark.usefixtures("at_once")
def test_check_counts_it(changing, here):
    changing.clock_ms = NOON_MS + 200
    backfill("AAAUSDT", "BBBUSDT")

    assert "2 young candles" in here("check").out
