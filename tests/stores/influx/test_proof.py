"""Days are told from points exactly: as bits, whole candles apart from broken ones and strays."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laklak.model.series import DAY_MS, Interval, TimeRange
from laklak.stores.influx.database import Points, cut_days, whole_days
from laklak.stores.influx.proof import (
    DayProof,
    bits_by_day,
    bits_of,
    clipped_proof,
    full_day,
    prove,
    stretches,
    times_of,
)

START = 1_767_225_600_000
NS = 1_000_000
intervals = st.sampled_from(["1m", "5m", "1h", "8h", "1d"]).map(Interval.parse)


@given(intervals, st.sets(st.integers(0, 3 * 1440 - 1)), st.sets(st.integers(0, 3 * DAY_MS * NS - 1), max_size=9))
def test_points_are_sorted_into_whole_broken_and_strays(interval, places, odd_ns):
    places = {place for place in places if place < 3 * DAY_MS // interval.ms}
    whole = {(START + place * interval.ms) * NS for place in places}
    broken = {START * NS + offset for offset in odd_ns} - whole

    proofs = prove(interval, Points(sorted(whole), sorted(broken)))

    step_ns = interval.ms * NS
    found = {time for day, proof in proofs.items() for time in times_of(interval, day, proof.whole)}
    assert found == {time_ns // NS for time_ns in whole}
    found = {time for day, proof in proofs.items() for time in times_of(interval, day, proof.broken)}
    assert found == {time_ns // NS for time_ns in broken if not time_ns % step_ns}
    assert {time_ns for proof in proofs.values() for time_ns in proof.strays_ns} == {
        time_ns for time_ns in broken if time_ns % step_ns
    }


@given(intervals, st.sets(st.integers(0, 2 * 1440 - 1), min_size=1))
def test_open_times_become_bits_and_come_back(interval, places):
    times = sorted(START + place * interval.ms for place in places)

    days = list(bits_by_day(interval, times))

    assert [time for day, bits in days for time in times_of(interval, day, bits)] == times


@given(st.integers(0, 4 * DAY_MS), st.integers(1, 4 * DAY_MS))
def test_a_range_cuts_the_days_that_it_does_not_hold_as_a_whole(start, length):
    span = TimeRange(START + start, START + start + length)
    whole, cut = whole_days(span), cut_days(span)

    assert (whole.start_ms % DAY_MS, whole.end_ms % DAY_MS) == (0, 0)
    assert whole.clip(span) == span
    expected = [part for part in span.days() if part.end_ms - part.start_ms < DAY_MS]
    assert cut == expected


@pytest.mark.parametrize("name", ["1m", "1h", "1d"])
def test_the_places_of_a_day_in_a_range(name):
    interval = Interval.parse(name)
    day = TimeRange(START, START + DAY_MS)

    assert bits_of(interval, START, day) == full_day(interval)
    assert bits_of(interval, START, TimeRange(0, START)) == 0
    assert bits_of(interval, START, TimeRange(START, START + 1)) == 1
    assert bits_of(interval, START, TimeRange(START + 1, START + DAY_MS)) == full_day(interval) - 1


def test_what_lies_outside_of_a_range_is_left_out_of_a_proof():
    interval = Interval.parse("1h")
    proof = DayProof(full_day(interval), 0, (START * NS + 5, (START + DAY_MS) * NS - 1))

    clipped = clipped_proof(interval, START, proof, TimeRange(START + 3_600_000, START + DAY_MS))

    assert clipped == DayProof(full_day(interval) - 1, 0, ((START + DAY_MS) * NS - 1,))


def test_days_become_stretches_that_are_not_too_long():
    days = [START + day * DAY_MS for day in (0, 1, 2, 5, 6)]

    assert [(span.end_ms - span.start_ms) // DAY_MS for span in stretches(days)] == [3, 2]
    assert [(span.end_ms - span.start_ms) // DAY_MS for span in stretches(days, 2 * DAY_MS)] == [2, 1, 2]
    assert list(stretches([])) == []
