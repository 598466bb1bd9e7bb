"""What became of a candle: one verdict for each thing that a store can know about it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from laklak.model.absences import Absence
from laklak.model.series import Series, TimeRange
from laklak.plan.minute import Failure, MinuteEvidence, Outage, find_outage, judge_minute

MINUTE_MS = 60_000
SERIES = Series.parse("binance:BTCUSDT:1m")
AT = 1_000 * MINUTE_MS
SPAN = TimeRange(AT, AT + MINUTE_MS)
UNKNOWN = MinuteEvidence(SERIES, AT, AT + 10 * MINUTE_MS)


def absent(kind):
    return replace(UNKNOWN, absence=Absence(SPAN, kind, 1, "so it was"))


@pytest.mark.parametrize(
    ("known", "verdict"),
    [
        (replace(UNKNOWN, values=(1.0, 2.0, 1.0, 2.0, 3.0)), "held"),
        (absent("hole"), "hole"),
        (replace(absent("hole"), outage=Outage(SPAN, 3, 4)), "outage"),
        (absent("rejected"), "rejected"),
        (absent("quiet"), "quiet"),
        (absent("closed"), "outside_sessions"),
        (absent("before_first"), "before_listing"),
        (absent("after_last"), "after_end"),
        (replace(UNKNOWN, begins_ms=AT + MINUTE_MS), "before_listing"),
        (replace(UNKNOWN, ends_ms=AT), "after_end"),
        (replace(UNKNOWN, as_of_ms=AT + MINUTE_MS - 1), "beyond_clock"),
        (replace(UNKNOWN, reach_ms=AT + MINUTE_MS), "out_of_reach"),
        (replace(UNKNOWN, failure=Failure(1, "fetch_failed: 503")), "failed"),
        (UNKNOWN, "not_fetched"),
    ],
)
def test_each_thing_that_can_be_known_of_a_candle_is_its_verdict(known, verdict):
    assert judge_minute(known) == verdict


def test_the_edges_of_a_series_its_reach_and_the_clock_belong_to_the_candle_that_is_there():
    known = replace(UNKNOWN, begins_ms=AT, ends_ms=AT + MINUTE_MS, reach_ms=AT, as_of_ms=AT + MINUTE_MS)

    assert judge_minute(known) == "not_fetched"


def test_a_candle_that_is_held_goes_before_all_that_was_noted():
    known = replace(absent("hole"), values=(1.0,) * 5, begins_ms=AT + MINUTE_MS, failure=Failure(1, "no"))

    assert judge_minute(known) == "held"


def test_a_quiet_minute_of_every_series_stays_a_quiet_one():
    assert judge_minute(replace(absent("quiet"), outage=Outage(SPAN, 4, 4))) == "quiet"


def minutes(first, last):
    return TimeRange(first * MINUTE_MS, (last + 1) * MINUTE_MS)


def test_an_outage_lasts_as_long_as_more_than_half_of_the_series_lack_it():
    lacking = [[minutes(990, 1010)], [minutes(995, 1020)], [minutes(1, 2), minutes(1000, 1000)], []]

    assert find_outage(AT, lacking, 4) == Outage(SPAN, 3, 4)
    assert find_outage(AT, lacking[:3], 3) == Outage(minutes(995, 1010), 3, 3)


def test_stretches_of_an_outage_that_touch_are_one():
    assert find_outage(AT, [[minutes(990, 999), minutes(1000, 1005)], [minutes(990, 1005)]], 2) == Outage(
        minutes(990, 1005), 2, 2
    )


@pytest.mark.parametrize(
    ("lacking", "of"),
    [
        ([[minutes(1000, 1000)], [minutes(1000, 1000)]], 4),
        ([[minutes(1000, 1000)]], 1),
        ([[minutes(999, 999)], [minutes(1001, 1001)]], 2),
    ],
    ids=["half of them", "a single series", "others before and after it"],
)
def test_what_is_not_lacking_in_most_series_is_no_outage(lacking, of):
    assert find_outage(AT, lacking, of) is None
