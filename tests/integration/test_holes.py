"""Minutes the venue does not have, rows it garbles, and what is remembered of them."""

from __future__ import annotations

import asyncio
import json

import pytest

import laklak as library
from laklak.errors import StoreError
from laklak.simulator import Fault, Override, SymbolOverride
from laklak.simulator.badrows import STICKY_KINDS
from laklak.simulator.dialects.binance import KLINES
from laklak.stores.sqlite.store import SqliteStore

MINUTE_MS = 60_000
DAY_MS = 86_400_000
END_MS = 1_772_323_200_000
NOON_MS = END_MS - DAY_MS // 2


def backfill(*symbols, **options):
    return asyncio.run(library.backfill(list(symbols), **options))


def hits_of(running, minute_ms):
    """The candle requests that covered a minute."""
    return [
        hit
        for hit in running.candle_hits
        if int(hit.query["startTime"]) <= minute_ms <= int(hit.query.get("endTime", END_MS))
    ]


def test_a_hole_takes_two_answers_two_seconds_apart_and_the_smallest_page(venue, laklak, check_sum, stored, truth, sql):
    holes = frozenset({NOON_MS, NOON_MS + MINUTE_MS, NOON_MS + 2 * MINUTE_MS})
    running = venue(overrides={"LTCUSDT": SymbolOverride(holes=holes)})
    ended = laklak("backfill", "LTCUSDT", "DOTUSDT", "--days", "2", "--json")
    answer = check_sum(ended.json)
    assert (ended.exit, answer["complete"], answer["holes"], answer["missing"]) == (0, True, 3, 0)
    first, second = [hit for hit in hits_of(running, NOON_MS) if hit.query["symbol"] == "LTCUSDT"]
    assert second.at_s - first.at_s >= 2.0
    assert (int(second.query["startTime"]), second.query["limit"], second.weight) == (NOON_MS, "3", 1)
    rows = sql("SELECT venue, symbol, interval, open_time, kind FROM laklak_holes ORDER BY open_time")
    assert rows == [("binance", "LTCUSDT", "1m", time_ms, "hole") for time_ms in sorted(holes)]
    expected = truth(["LTCUSDT", "DOTUSDT"], END_MS - 2 * DAY_MS)
    assert stored() == {key: value for key, value in expected.items() if key[0] != "LTCUSDT" or key[1] not in holes}


def test_known_holes_are_not_asked_again_until_told_to(venue, stored):
    running = venue(overrides={"LTCUSDT": SymbolOverride(holes=frozenset({NOON_MS}))})
    backfill("LTCUSDT", days=1)
    again = backfill("LTCUSDT", days=1)
    assert (again.exit, again.candle_requests, again.stored_before, again.holes) == (0, 0, 1439, 1)
    running.change("LTCUSDT", holes=frozenset())
    recheck = backfill("LTCUSDT", days=1, recheck=True)
    # One for the hole, and one for the newest candle, which has just closed.
    assert (recheck.exit, recheck.candle_requests, recheck.written, recheck.holes) == (0, 2, 1, 0)
    assert len(stored()) == 1440


def test_a_hole_that_is_still_one_is_counted_after_a_recheck(venue):
    venue(overrides={"LTCUSDT": SymbolOverride(holes=frozenset({NOON_MS}))})
    backfill("LTCUSDT", days=1)
    summary = backfill("LTCUSDT", days=1, recheck=True)
    assert (summary.exit, summary.written, summary.holes, summary.missing) == (0, 0, 1, 0)


def test_a_candle_that_a_person_fills_in_beats_the_hole(venue, sql):
    running = venue(overrides={"LTCUSDT": SymbolOverride(holes=frozenset({NOON_MS}))})
    backfill("LTCUSDT", days=1)
    (series_id,) = sql("SELECT id FROM series")[0]
    sql("INSERT INTO candle VALUES (?, ?, 1, 1, 1, 1, 0)", series_id, NOON_MS)
    assert sql("SELECT count(*) FROM laklak_holes") == [(0,)]
    before = len(running.candle_hits)
    summary = backfill("LTCUSDT", days=1)
    assert (summary.exit, summary.stored_before, summary.holes, summary.missing) == (0, 1440, 0, 0)
    assert len(running.candle_hits) == before


def test_a_stale_hole_and_a_missing_minute_do_not_cancel_out(venue, sql, stored, truth):
    running = venue(overrides={"LTCUSDT": SymbolOverride(holes=frozenset({NOON_MS}))})
    backfill("LTCUSDT", days=2)
    (series_id,) = sql("SELECT id FROM series")[0]
    sql("INSERT INTO candle VALUES (?, ?, 1, 1, 1, 1, 0)", series_id, NOON_MS)
    gone_ms = NOON_MS + 7 * MINUTE_MS
    sql("DELETE FROM candles WHERE open_time = ?", gone_ms)
    before = len(running.candle_hits)
    summary = backfill("LTCUSDT", days=2)
    assert (summary.exit, summary.written) == (0, 1)
    assert [hit.query["limit"] for hit in running.candle_hits[before:]] == ["1"]
    assert stored()["LTCUSDT", gone_ms] == truth(["LTCUSDT"])["LTCUSDT", gone_ms]


def test_a_candle_off_the_grid_does_not_stand_for_a_missing_one(venue, sql, stored, truth):
    venue()
    backfill("LTCUSDT", days=1)
    (series_id,) = sql("SELECT id FROM series")[0]
    sql("DELETE FROM candles WHERE open_time = ?", NOON_MS)
    sql("INSERT INTO candle VALUES (?, ?, 1, 1, 1, 1, 0)", series_id, NOON_MS + 1)
    assert backfill("LTCUSDT", days=1).written == 1
    assert stored()["LTCUSDT", NOON_MS] == truth(["LTCUSDT"])["LTCUSDT", NOON_MS]


def test_a_minute_that_flickers_is_stored_in_the_end(venue, stored, truth):
    running = venue(faults=[Fault("flicker", 1.0)], seed=5)
    summary = backfill("LTCUSDT", "DOTUSDT", days=1)
    lost = running.simulator.stats.faults["flicker"]
    assert lost > 0
    # Second questions flicker as well: what two runs leave open the next one settles.
    for _ in range(4):
        if summary.exit == 0:
            break
        summary = backfill("LTCUSDT", "DOTUSDT", days=1)
    assert summary.exit == 0
    assert summary.holes == 0
    assert stored() == truth(["LTCUSDT", "DOTUSDT"], END_MS - DAY_MS)


def test_a_minute_lacking_once_and_there_at_the_second_asking_is_stored(venue, stored, truth):
    venue(script=lambda path, query, number: Override(fault="flicker") if number in (3, 4) else None)
    summary = backfill("LTCUSDT", days=1)
    assert (summary.exit, summary.holes, summary.written) == (0, 0, 1440)
    assert stored() == truth(["LTCUSDT"], END_MS - DAY_MS)


def test_a_minute_that_closed_less_than_ten_minutes_ago_is_missing_and_no_hole(venue, check_sum):
    young, old = END_MS - 10 * MINUTE_MS, END_MS - 11 * MINUTE_MS
    venue(overrides={"LTCUSDT": SymbolOverride(holes=frozenset({young, old}))})
    summary = backfill("LTCUSDT", days=1)
    check_sum(summary.as_json())
    assert (summary.exit, summary.holes, summary.missing) == (1, 1, 1)


def test_a_late_first_candle_is_settled_with_a_question_and_no_holes(venue, here, check_sum, stored, truth, sql):
    first_ms = END_MS - DAY_MS - 17 * MINUTE_MS
    running = venue(overrides={"LTCUSDT": SymbolOverride(onboard_ms=END_MS - 4 * DAY_MS, first_ms=first_ms)})
    # One question after the other: how many more are on the wire when an empty page comes is chance.
    ended = here("backfill", "LTCUSDT", "--days", "4", "--json", "--workers", "1")
    # Two pages with candles and one without; the question for its newest candle, and two for its first one.
    assert len(running.candle_hits) <= 6
    answer = check_sum(ended.json)
    assert (ended.exit, answer["complete"]) == (0, True)
    assert (answer["wanted"], answer["written"], answer["holes"]) == (1440 + 17, 1440 + 17, 0)
    assert stored() == truth(["LTCUSDT"], first_ms)
    assert sql("SELECT count(*) FROM laklak_holes") == [(0,)]
    again = here("backfill", "LTCUSDT", "--days", "4", "--json")
    assert (again.exit, again.json["candle_requests"], again.json["wanted"]) == (0, 0, 1440 + 17)


def test_a_series_without_any_candle_is_missing_and_settled_cheaply(venue, check_sum, sql):
    running = venue(overrides={"LTCUSDT": SymbolOverride(first_ms=END_MS + DAY_MS)})
    summary = backfill("LTCUSDT", days=4, workers=1)
    check_sum(summary.as_json())
    assert (summary.exit, summary.holes, summary.missing) == (1, 0, 5760)
    assert len(running.candle_hits) <= 3
    assert sql("SELECT count(*) FROM laklak_holes") == [(0,)]


def test_a_range_in_the_middle_of_a_long_outage_is_settled(venue, stored, truth):
    holes = frozenset(range(END_MS - 3 * DAY_MS, END_MS - DAY_MS, MINUTE_MS))
    running = venue(overrides={"LTCUSDT": SymbolOverride(holes=holes)})
    summary = backfill("LTCUSDT", days=4, workers=1)
    assert (summary.exit, summary.holes, summary.written) == (0, 2880, 2880)
    assert len(running.candle_hits) <= 12
    again = backfill("LTCUSDT", days=4)
    assert (again.exit, again.candle_requests) == (0, 0)


def test_a_missing_hour_is_a_hole_too(venue, sql):
    holes = frozenset(range(NOON_MS, NOON_MS + 60 * MINUTE_MS, MINUTE_MS))
    venue(overrides={"LTCUSDT": SymbolOverride(holes=holes)})
    summary = backfill("LTCUSDT", days=1, interval="1h")
    assert (summary.exit, summary.written, summary.holes) == (0, 23, 1)
    assert sql("SELECT interval, open_time FROM laklak_holes") == [("1h", NOON_MS)]


def test_a_failed_chunk_is_missing_and_never_a_hole(venue, check_sum, sql, timing):
    timing(backoff_most_s=0.02)

    def script(path, query, number):
        failing = path == KLINES and int(query["startTime"]) == END_MS - DAY_MS
        return Override(fault="5xx") if failing else None

    venue(script=script)
    summary = backfill("LTCUSDT", days=2, chunk=720)
    check_sum(summary.as_json())
    assert (summary.exit, summary.missing, summary.holes, summary.written) == (1, 720, 0, 2160)
    (failed,) = summary.failed_series
    assert (failed.series, failed.reason) == ("binance:LTCUSDT:1m", "fetch_failed")
    assert sql("SELECT count(*) FROM laklak_holes") == [(0,)]


@pytest.mark.parametrize("kind", STICKY_KINDS)
def test_a_row_that_is_refused_twice_is_rejected_and_kept(kind, venue, check_sum, sql, stored, truth):
    running = venue(overrides={"LTCUSDT": SymbolOverride(bad_rows={NOON_MS: kind})})
    summary = backfill("LTCUSDT", days=1)
    check_sum(summary.as_json())
    assert (summary.exit, summary.rejected, summary.missing, summary.written) == (1, 1, 0, 1439)
    # One refused row for a sticky kind, one more for a kind that sends the minute twice.
    assert summary.rows_rejected in (1, 2)
    expected = truth(["LTCUSDT"], END_MS - DAY_MS)
    del expected["LTCUSDT", NOON_MS]
    assert stored() == expected
    ((open_time, found, reason, row),) = sql("SELECT open_time, kind, reason, row FROM laklak_holes")
    assert (open_time, found) == (NOON_MS, "rejected")
    assert reason
    assert json.loads(row)[0] == NOON_MS
    again = backfill("LTCUSDT", days=1)
    assert (again.exit, again.candle_requests, again.rejected) == (0, 0, 1)
    running.change("LTCUSDT", bad_rows={})
    recheck = backfill("LTCUSDT", days=1, recheck=True)
    assert (recheck.exit, recheck.written, recheck.rejected) == (0, 1, 0)


@pytest.mark.parametrize(
    "kind",
    ["high_below_low", "zero_price", "off_grid", "wrong_type", "short", "doubled_same", "doubled_differing", "swapped"],
)
def test_a_row_that_is_garbled_once_is_asked_again_and_stored(kind, venue, stored, truth):
    running = venue(script=lambda path, query, number: Override(fault=f"badrow:{kind}") if number == 3 else None)
    summary = backfill("LTCUSDT", days=1)
    assert sum(running.simulator.stats.faults.values()) == 1
    assert (summary.exit, summary.rejected, summary.holes, summary.written) == (0, 0, 0, 1440)
    assert stored() == truth(["LTCUSDT"], END_MS - DAY_MS)


def test_rows_nobody_asked_for_only_count(venue, check_sum, stored, truth, recorded):
    stranger = recorded.oldest("LTCUSDT", END_MS - 3 * DAY_MS, END_MS, 1)
    span = recorded.oldest("LTCUSDT", END_MS - DAY_MS, END_MS, 1440)

    def script(path, query, number):
        if path != KLINES:
            return None
        rows = [row for row in span if int(query["startTime"]) <= json.loads(row)[0] <= int(query["endTime"])]
        return Override(body=b"[" + b",".join([*rows, *stranger]) + b"]")

    venue(script=script)
    summary = backfill("LTCUSDT", days=1)
    check_sum(summary.as_json())
    assert (summary.exit, summary.rows_rejected, summary.rejected) == (0, 2, 0)
    assert stored() == truth(["LTCUSDT"], END_MS - DAY_MS)


def test_many_sticky_rows_over_two_days_are_all_rejected_and_the_next_run_is_quiet(venue, check_sum, stored, truth):
    running = venue(faults=[Fault("badrow-sticky", 0.01)], seed=11)
    summary = backfill("LTCUSDT", "DOTUSDT", days=2)
    check_sum(summary.as_json())
    expected = {
        key: value
        for key, value in truth(["LTCUSDT", "DOTUSDT"], END_MS - 2 * DAY_MS).items()
        if running.simulator.dice.sticky_kind(*key) is None
    }
    assert len(expected) < 5760
    assert (summary.exit, summary.rejected, summary.missing) == (1, 5760 - len(expected), 0)
    assert stored() == expected
    again = backfill("LTCUSDT", "DOTUSDT", days=2)
    assert (again.exit, again.candle_requests) == (0, 0)


def test_a_refetch_keeps_the_candle_of_a_minute_the_venue_lost(venue, check_sum, stored, truth):
    running = venue()
    backfill("LTCUSDT", days=1)
    running.change("LTCUSDT", holes=frozenset({NOON_MS}))
    summary = backfill("LTCUSDT", days=1, refetch=True)
    check_sum(summary.as_json())
    assert (summary.exit, summary.stored_before, summary.written, summary.holes) == (0, 1440, 0, 0)
    assert stored() == truth(["LTCUSDT"], END_MS - DAY_MS)


def test_a_store_that_cannot_be_asked_ends_a_refetch_with_its_own_error(venue, check_sum, monkeypatch):
    running = venue(latency_s=0.02)
    backfill("LTCUSDT", "DOTUSDT", "AVAXUSDT", days=2)
    running.change("LTCUSDT", holes=frozenset({NOON_MS}))
    ask = SqliteStore.open_times

    async def fail_for_a_minute(store, series, span):
        if span.end_ms - span.start_ms <= MINUTE_MS:
            raise StoreError("the store does not answer")
        return await ask(store, series, span)

    monkeypatch.setattr(SqliteStore, "open_times", fail_for_a_minute)
    summary = backfill("LTCUSDT", "DOTUSDT", "AVAXUSDT", days=2, refetch=True, chunk=10, batch_size=10)
    check_sum(summary.as_json())
    assert (summary.exit, summary.error) == (1, "store_failed: the store does not answer")
    assert summary.missing > 0


def test_a_refetch_does_not_ask_known_holes(venue, check_sum):
    venue(overrides={"LTCUSDT": SymbolOverride(holes=frozenset({NOON_MS}))})
    backfill("LTCUSDT", days=1)
    summary = backfill("LTCUSDT", days=1, refetch=True)
    check_sum(summary.as_json())
    assert (summary.exit, summary.stored_before, summary.written, summary.holes) == (0, 1439, 0, 1)


def answers(rows):
    """A script that gives these rows for every candle request, whatever was asked."""
    body = json.dumps(rows).encode()
    return lambda path, query, number: Override(body=body) if path == KLINES else None


def candle(open_ms):
    return [open_ms, "1", "2", "1", "2", "3", open_ms + 59_999, "4", 5, "6", "7", "0"]


def test_a_cache_that_drops_the_question_makes_no_holes(venue, sql):
    """Each answer holds the same newest page: what it lacks of another page proves nothing."""
    venue(script=answers([candle(END_MS - minute * MINUTE_MS) for minute in range(1000, 0, -1)]))

    summary = backfill("LTCUSDT", days=4)

    assert (summary.exit, summary.holes, summary.written) == (1, 0, 1000)
    assert summary.missing == 4 * 1440 - 1000
    assert sql("SELECT count(*) FROM laklak_holes") == [(0,)]


def test_a_venue_that_answers_in_seconds_makes_no_holes(venue, sql):
    venue(script=answers([candle((END_MS - minute * MINUTE_MS) // 1000) for minute in range(500, 0, -1)]))

    summary = backfill("LTCUSDT", days=1)

    assert (summary.exit, summary.holes, summary.written, summary.missing) == (1, 0, 0, 1440)
    assert sql("SELECT count(*) FROM laklak_holes") == [(0,)]


def test_a_hole_beside_a_stray_row_is_settled_by_two_answers_without_one(venue):
    hole_ms = NOON_MS
    strayed = []

    def script(path, query, number):
        if path != KLINES or strayed or not int(query["startTime"]) <= hole_ms <= int(query["endTime"]):
            return None
        strayed.append(number)
        times = range(int(query["startTime"]), int(query["endTime"]) + 1, MINUTE_MS)
        rows = [candle(time) for time in times if time != hole_ms] + [candle(END_MS + DAY_MS)]
        return Override(body=json.dumps(rows).encode())

    running = venue(script=script, overrides={"LTCUSDT": SymbolOverride(holes=frozenset({hole_ms}))})

    summary = backfill("LTCUSDT", days=1)

    assert (summary.exit, summary.holes, summary.missing) == (0, 1, 0)
    assert len(hits_of(running, hole_ms)) == 3
