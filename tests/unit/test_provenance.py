"""Stretches laid over each other: disjoint, joined where they say the same, exact where they do not."""

from __future__ import annotations

import itertools
from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from laklak.model.provenance import Stretch, carried, given_by
from laklak.model.series import Interval, TimeRange
from laklak.model.spans import laid_over

MINUTE = Interval.parse("1m")
rows = st.tuples(st.integers(0, 40), st.integers(1, 15), st.sampled_from(["rest", "archive"]), st.integers(1, 9))


def stretch(first, count, source, run):
    return Stretch(TimeRange(first * MINUTE.ms, (first + count) * MINUTE.ms), source, "confirmed", run, run)


def by_minute(stretches):
    return {
        time_ms // MINUTE.ms: one.source
        for one in stretches
        for time_ms in range(one.span.start_ms, one.span.end_ms, MINUTE.ms)
    }


@given(st.lists(rows, max_size=12))
def test_of_every_minute_the_last_one_who_gave_it_counts(given_rows):
    expected = {minute: row[2] for row in given_rows for minute in range(row[0], row[0] + row[1])}

    laid = reduce(laid_over, [stretch(*row) for row in given_rows], [])

    assert by_minute(laid) == expected
    for one, other in itertools.pairwise(laid):
        assert one.span.end_ms <= other.span.start_ms
        assert one.span.end_ms < other.span.start_ms or not one.joins(other)


@given(st.lists(rows, max_size=8))
def test_the_runs_of_a_stretch_reach_from_the_first_to_the_last(given_rows):
    laid = reduce(laid_over, [stretch(*row[:2], "rest", row[3]) for row in given_rows], [])

    for one in laid:
        inside = [row[3] for row in given_rows if one.span.clip(stretch(*row).span)]
        assert (one.first_run_ms, one.last_run_ms) == (min(inside), max(inside))


@given(st.sets(st.integers(0, 60)))
def test_times_are_told_as_neighbours(minutes):
    times = [minute * MINUTE.ms for minute in sorted(minutes)]

    found = given_by("rest", times, MINUTE, 1)

    assert [time for one in found for time in range(one.span.start_ms, one.span.end_ms, MINUTE.ms)] == times
    assert all(one.span.end_ms < other.span.start_ms for one, other in itertools.pairwise(found))


@given(st.lists(rows, max_size=5), st.sets(st.integers(0, 60)))
def test_what_is_copied_keeps_its_provenance_where_there_is_one(given_rows, minutes):
    known = reduce(laid_over, [stretch(*row) for row in given_rows], [])
    copied = given_by("copy", [minute * MINUTE.ms for minute in sorted(minutes)], MINUTE, 99)

    there = by_minute(known)
    assert by_minute(carried(known, copied)) == {minute: there.get(minute, "copy") for minute in minutes}
