"""Candles that are taken along to be looked at again: where they find room, and what is remembered of them."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from thoroughness import examples

from laklak.model.candles import CandleBatch
from laklak.model.series import MINUTE_MS, Interval, Series, TimeRange
from laklak.model.spans import runs
from laklak.plan.chunks import page_weight, plan_chunks
from laklak.plan.cost import cost_of
from laklak.plan.missing import SeriesPlan
from laklak.sources.fresh import KEPT_MS, NOTE_BYTES_MAX, Fresh, chunks_with, take_along
from laklak.stores.knowledge import Knowledge

MINUTE = Interval.parse("1m")
SERIES = Series("binance", "BTCUSDT", MINUTE)
TIERS = ((99, 1), (499, 2), (1000, 5), (1500, 10))
NOW_MS = 1_772_366_400_000


def span(start, end):
    return TimeRange(start * MINUTE_MS, end * MINUTE_MS)


def chunks(missing, along, page=1000, tiers=TIERS):
    return list(chunks_with(SERIES, missing, [minute * MINUTE_MS for minute in along], tiers, page))


@pytest.mark.parametrize(
    ("missing", "page", "asked"),
    [
        # An hour of minutes costs no more with one minute before.
        ([span(10, 70)], 1000, [span(9, 70)]),
        # 99 minutes cost one weight more.
        ([span(10, 109)], 1000, [span(9, 109)]),
        # Over several pages the cuts move by one.
        ([span(10, 1450)], 1000, [span(9, 1009), span(1009, 1450)]),
        # A last page that is full takes no more: its request gets longer instead of a third one.
        ([span(10, 2010)], 1000, [span(9, 1010), span(1010, 2010)]),
        ([span(10, 70)], 60, [span(9, 70)]),
        ([span(10, 11)], 1, [span(9, 11)]),
        # The longest page that there is cannot get longer.
        ([span(10, 1510)], 1500, [span(10, 1510)]),
    ],
)
def test_a_candle_before_what_is_missing_goes_into_its_request(missing, page, asked):
    assert [chunk.range for chunk in chunks(missing, [9], page)] == asked


@pytest.mark.parametrize(
    ("missing", "asked"),
    [
        ([span(100, 105)], [span(9, 105)]),
        ([span(109, 110)], [span(109, 110)]),
        ([span(0, 5)], [span(0, 10)]),
        ([span(0, 5), span(12, 14)], [span(0, 14)]),
    ],
)
def test_a_candle_somewhere_else_is_taken_along_only_where_that_costs_nothing(missing, asked):
    assert [chunk.range for chunk in chunks(missing, [9])] == asked


minutes = st.sets(st.integers(0, 60), min_size=1)


@settings(max_examples=examples(300))
@example({0, 1, 3}, {2}, 3)
@example({5, 7}, {4}, 3)
@given(minutes, st.sets(st.integers(0, 60), max_size=3), st.sampled_from([1, 3, 4, 7, 20, 25]))
def test_what_is_taken_along_changes_neither_what_is_wanted_nor_how_many_requests_there_are(absent, along, page):
    tiers = ((4, 1), (20, 2), (25, 5))
    along = sorted(along - absent)
    missing = runs([minute * MINUTE_MS for minute in sorted(absent)], MINUTE)
    plain = list(plan_chunks(SERIES, missing, tiers, page))

    found = chunks(missing, along, page, tiers)

    wanted = [time for chunk in found for part in chunk.wanted for time in range(part.start_ms, part.end_ms, MINUTE_MS)]
    assert wanted == [minute * MINUTE_MS for minute in sorted(absent)]
    assert len(found) <= len(plain)
    assert all(page_weight(chunk.limit, tiers) for chunk in found)
    assert all(chunk.wanted and chunk.range.start_ms <= chunk.wanted[0].start_ms for chunk in found)
    assert all(chunk.wanted[-1].end_ms <= chunk.range.end_ms for chunk in found)


@pytest.mark.parametrize("count", [1, 60, 99, 440, 1440])
def test_the_estimate_knows_what_is_taken_along(count):
    missing, along = [span(10, 10 + count)], [9 * MINUTE_MS]
    with_it = take_along(missing, along, MINUTE, 1000)
    plan = SeriesPlan(SERIES, span(0, 9000), None, 0, 0, 0, tuple(with_it))
    asked = chunks(missing, [9])

    cost = cost_of([plan], TIERS, 1000)

    assert (cost.requests, cost.weight) == (len(asked), sum(page_weight(chunk.limit, TIERS) for chunk in asked))


# What is remembered


def candle(time_ms, close="1"):
    return CandleBatch(
        SERIES, [time_ms], (["1"], ["2"], ["1"], [close], ["3"]), ([1.0], [2.0], [1.0], [float(close)], [3.0])
    )


def seen(knowledge, *looks, wanted=True, now_ms=NOW_MS, series=SERIES):
    """What becomes of a note in a run with these answers."""
    fresh = Fresh.of(knowledge, "binance", MINUTE, now_ms)
    differing = [
        fresh.look(series, [TimeRange(time_ms, time_ms + MINUTE_MS)] if wanted else [], candle(time_ms, close), now_ms)
        for time_ms, close in looks
    ]
    return fresh, differing


def noted(knowledge):
    return {
        (int(moment), name)
        for moment, names in (knowledge.value("binance", "fresh:1m") or {}).items()
        for name in names
    }


@pytest.mark.parametrize(("age_s", "fresh"), [(0, True), (59.999, True), (60, False), (3600, False)])
def test_a_candle_is_noted_when_it_closed_less_than_a_minute_before(age_s, fresh):
    knowledge = Knowledge()
    open_ms = NOW_MS - MINUTE_MS - round(age_s * 1000)

    one, _ = seen(knowledge, (open_ms, "1"))
    one.note(knowledge, {}, NOW_MS)

    assert noted(knowledge) == ({(open_ms, "BTCUSDT")} if fresh else set())


def test_what_the_store_did_not_acknowledge_is_looked_at_again():
    knowledge = Knowledge()
    open_ms = NOW_MS - MINUTE_MS
    seen(knowledge, (open_ms, "1"))[0].note(knowledge, {}, NOW_MS)
    later_ms = NOW_MS + 5 * MINUTE_MS
    fresh, differing = seen(knowledge, (open_ms, "1.5"), wanted=False, now_ms=later_ms)
    assert differing == [{open_ms}]

    fresh.note(knowledge, {}, later_ms)
    assert noted(knowledge) == {(open_ms, "BTCUSDT")}

    fresh.note(knowledge, {SERIES: {open_ms}}, later_ms)
    assert noted(knowledge) == set()


def test_a_note_is_not_written_again_when_nothing_is_new():
    knowledge = Knowledge()
    seen(knowledge, (NOW_MS - MINUTE_MS, "1"))[0].note(knowledge, {}, NOW_MS)
    before = knowledge.note("binance", "fresh:1m")

    seen(knowledge)[0].note(knowledge, {}, NOW_MS + 5)

    assert knowledge.note("binance", "fresh:1m") is before


def test_a_note_fits_into_a_string_of_influxdb_and_the_newest_candles_are_in_it():
    knowledge = Knowledge()
    old = {f"{index:040}": "0" * 12 for index in range(700)}
    knowledge.put("binance", "fresh:1m", {str(NOW_MS - day * 86_400_000): old for day in range(1, 4)}, venue_ms=None)
    fresh, _ = seen(knowledge, (NOW_MS - MINUTE_MS, "1"))

    fresh.note(knowledge, {}, NOW_MS)

    value = knowledge.value("binance", "fresh:1m")
    assert len(json.dumps(value, ensure_ascii=False).encode()) <= NOTE_BYTES_MAX
    assert list(map(int, value)) == [NOW_MS - MINUTE_MS, NOW_MS - 86_400_000]


@pytest.mark.parametrize(
    "value",
    [7, [1], {"x": {}}, {"-5": {"BTCUSDT": "a"}}, {"60000": 5}, {"60000": {"BTCUSDT": 5}}, {"9" * 400: {"B": "a"}}],
)
def test_a_note_that_cannot_be_read_is_none(value):
    knowledge = Knowledge()
    knowledge.put("binance", "fresh:1m", value, venue_ms=None)
    plan = SeriesPlan(SERIES, TimeRange(0, NOW_MS), None, 0, 0, 0, ())

    assert seen(knowledge, now_ms=0)[0].along(plan) == []


def test_a_candle_of_a_clock_that_was_far_ahead_is_forgotten_like_one_of_long_ago():
    knowledge = Knowledge()
    for distance_ms in (KEPT_MS + 1, -KEPT_MS - 1):
        knowledge.put("binance", "fresh:1m", {str(NOW_MS + distance_ms): {"BTCUSDT": "ab"}}, venue_ms=None)
        seen(knowledge)[0].note(knowledge, {}, NOW_MS)

        assert noted(knowledge) == set()
