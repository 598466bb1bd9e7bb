"""The plan of a copy, and the candles on their way: sets of minutes held against each other, floats spelled as text."""

from __future__ import annotations

import math
import re
import struct
from array import array

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from laklak.model.absences import Absence
from laklak.model.series import MINUTE_MS, Interval, Series, TimeRange
from laklak.model.spans import gaps, overlap, runs, without
from laklak.sources.base import plan_transfer
from laklak.sources.store import PART_MINUTES, StoredCandles, parts_of, stock_of, take
from laklak.stores.base import Columns
from laklak.stores.coverage import Presence
from laklak.stores.influx.lines import candle_lines

MINUTE = Interval.parse("1m")

MINUTE = Interval.parse("1m")
SERIES = Series("binance", "BTCUSDT", MINUTE)
LENGTH = 60

ABSENT = ("hole", "rejected", "quiet")
states = st.lists(st.sampled_from(["candle", "hole", "rejected", "quiet", "nothing"]), min_size=LENGTH, max_size=LENGTH)
minute_sets = st.sets(st.integers(0, LENGTH - 1))
# What a venue can send: finite, and no zero with a sign.
numbers = st.floats(allow_nan=False, allow_infinity=False).map(lambda value: value or 0.0)


def span(start, end):
    return TimeRange(start * MINUTE_MS, end * MINUTE_MS)


def ranges(minutes):
    return runs([minute * MINUTE_MS for minute in sorted(minutes)], MINUTE)


def minutes_of(parts):
    return [time // MINUTE_MS for part in parts for time in range(part.start_ms, part.end_ms, MINUTE_MS)]


def absence(minute, kind="hole"):
    return Absence.at(MINUTE, minute * MINUTE_MS, kind, 5, "why", '["row"]' if kind == "rejected" else None)


def plan_copy(series, whole, there, here):
    return plan_transfer(series, whole, stock_of(series, whole, there), here)


def presence(kinds):
    absences = tuple(absence(minute, kind) for minute, kind in enumerate(kinds) if kind in ABSENT)
    known = [minute * MINUTE_MS for minute, kind in enumerate(kinds) if kind != "nothing"]
    return Presence(kinds.count("candle"), absences, tuple(gaps(span(0, len(kinds)), known, MINUTE)))


@given(minute_sets, minute_sets)
def test_overlap_is_what_both_have(these, those):
    assert minutes_of(overlap(ranges(these), ranges(those))) == sorted(these & those)


@given(minute_sets)
def test_without_is_what_is_left_of_the_span(minutes):
    left = without(span(0, LENGTH), ranges(minutes))
    assert minutes_of(left) == sorted(set(range(LENGTH)) - minutes)
    assert all(left)


@given(states, states)
def test_a_plan_copies_what_the_other_lacks_and_stored_beats_hole(here, there):
    plan = plan_copy(SERIES, span(0, LENGTH), presence(here), presence(there))
    pairs = list(enumerate(zip(here, there, strict=True)))
    candles = [minute for minute, (ours, theirs) in pairs if ours == "candle" and theirs != "candle"]
    absences = [m for m, (ours, theirs) in pairs if ours in ("hole", "rejected") and theirs == "nothing"]
    assert minutes_of(plan.candles) == candles
    assert minutes_of(plan.absences) == absences
    assert minutes_of(plan.missing) == sorted(candles + absences)
    assert minutes_of(plan.held) == [minute for minute, pair in pairs if pair == ("candle", "candle")]
    assert plan.source_missing == here.count("nothing")
    # When there was nothing to have, nothing is wanted.
    assert plan.wanted_count == LENGTH - here.count("nothing") - here.count("quiet")
    assert plan.wanted_count == plan.stored + plan.holes + plan.rejected + plan.missing_count


@given(states, states)
def test_the_parts_of_a_plan_are_the_plan(here, there):
    plan = plan_copy(SERIES, span(0, LENGTH), presence(here), presence(there))
    parts = list(parts_of(plan))
    assert minutes_of(one for part in parts for one in part.candles) == minutes_of(plan.candles)
    assert minutes_of(one for part in parts for one in part.absences) == minutes_of(plan.absences)
    for part in parts:
        assert all(part.range.clip(one) == one for one in (*part.candles, *part.absences))


def test_no_part_is_larger_than_what_is_read_at_once():
    kinds = Presence(0, (), (span(0, 3 * PART_MINUTES + 7),))
    plan = plan_copy(SERIES, kinds.missing[0], Presence(3 * PART_MINUTES + 7, (), ()), kinds)
    counts = [part.range.count(MINUTE) for part in parts_of(plan)]
    assert counts == [PART_MINUTES] * 3 + [7]


# What is on its way


def columns_of(values_by_minute):
    times = array("q", [round(minute * MINUTE_MS) for minute in values_by_minute])
    return Columns(times, tuple(array("d", values) for values in zip(*values_by_minute.values(), strict=True)))


def part_of(kinds):
    nothing = Presence(0, (), (span(0, len(kinds)),))
    plan = plan_copy(SERIES, span(0, len(kinds)), presence(kinds), nothing)
    (part,) = parts_of(plan)
    return part


def test_what_is_off_the_grid_or_not_wanted_is_not_taken():
    part = part_of(["candle", "nothing", "candle"])
    taken = take(part, columns_of({minute: (1.0,) * 5 for minute in (0, 0.5, 1, 1.25, 2)}), [])
    assert list(taken.candles.open_times) == [0, 2 * MINUTE_MS]
    assert (taken.unsound, taken.gone) == (0, 0)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_candle_without_five_finite_numbers_is_counted_and_not_taken(number):
    part = part_of(["candle"] * 3)
    taken = take(part, columns_of({0: (1.0,) * 5, 1: (1.0, 1.0, number, 1.0, 1.0), 2: (2.0,) * 5}), [])
    assert list(taken.candles.open_times) == [0, 2 * MINUTE_MS]
    assert [list(column) for column in taken.candles.values] == [[1.0, 2.0]] * 5
    assert (taken.unsound, taken.gone) == (1, 0)


def test_finite_numbers_whose_sum_is_not_are_taken():
    taken = take(part_of(["candle"] * 2), columns_of({minute: (1e308,) * 5 for minute in (0, 1)}), [])
    assert (len(taken.candles), taken.unsound) == (2, 0)


def test_what_went_from_the_source_meanwhile_is_counted():
    part = part_of(["candle", "candle", "hole", "hole"])
    taken = take(part, columns_of({0: (1.0,) * 5}), [absence(2)])
    assert (len(taken.candles) + len(taken.absences), taken.gone) == (2, 2)


def test_a_hole_that_was_filled_meanwhile_is_not_taken_for_another_minute():
    part = part_of(["candle", "hole"])
    taken = take(part, columns_of({0: (1.0,) * 5, 1: (9.0,) * 5}), [])
    assert (list(taken.candles.open_times), taken.absences, taken.gone) == ([0], [], 1)


def test_nothing_read_is_nothing_delivered():
    taken = take(part_of(["candle"]), Columns((), ((),) * 5), [])
    assert (len(taken.candles), taken.absences, taken.gone) == (0, [], 1)


# Text


def bits(value):
    return struct.pack("<d", value)


@given(st.lists(st.tuples(*[numbers] * 5), max_size=20))
@example([(1e-8, 1e22, 2.0**53 + 1, 5e-324, 1.7976931348623157e308)])
@example([(0.1 + 0.2, 123456789.12345678, 1e16, 0.00001, 100.0)])
def test_a_spelled_line_means_the_same_doubles(rows):
    columns = columns_of(dict(enumerate(rows))) if rows else Columns(array("q"), tuple(array("d") for _ in range(5)))
    candles = StoredCandles(SERIES, columns.open_times, columns.values)
    lines = candle_lines(candles, "m,a=b").decode().splitlines()
    found = [re.fullmatch(r"m,a=b open=(.+),high=(.+),low=(.+),close=(.+),volume=(.+) (\d+)", line) for line in lines]
    assert [tuple(bits(float(text)) for text in one.groups()[:5]) for one in found] == [
        tuple(map(bits, row)) for row in rows
    ]
    assert [int(one[6]) for one in found] == list(columns.open_times)
    assert [[bits(float(text)) for text in column] for column in candles.texts] == [
        [bits(value) for value in column] for column in columns.values
    ]


def test_a_piece_is_spelled_alone():
    columns = columns_of({minute: (float(minute),) * 5 for minute in range(4)})
    candles = StoredCandles(SERIES, columns.open_times, columns.values)
    whole = candle_lines(candles, "m").splitlines()
    assert candle_lines(candles, "m", 1, 3).splitlines() == whole[1:3]
    assert candle_lines(candles, "m", 2, 2) == b""


@given(minute_sets, minute_sets)
def test_only_is_what_lies_inside(minutes, wanted):
    columns = columns_of({minute: (float(minute),) * 5 for minute in sorted(minutes)}) if minutes else None
    if columns is None:
        return
    found = StoredCandles(SERIES, columns.open_times, columns.values).only(ranges(wanted))
    expected = sorted(minutes & wanted)
    assert [time // MINUTE_MS for time in found.open_times] == expected
    assert [list(column) for column in found.values] == [[float(minute) for minute in expected]] * 5
