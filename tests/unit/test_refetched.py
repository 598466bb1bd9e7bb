"""Fetched candles held against stored ones."""

from __future__ import annotations

import logging
import math
import struct
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laklak.model.candles import CandleBatch
from laklak.model.series import MINUTE_MS, Interval, Series, TimeRange
from laklak.stores.base import Columns
from laklak.stores.refetched import Compared, Refetched, compare, revisions_of

SERIES = Series("binance", "BTCUSDT", Interval.parse("1m"))


def batch(minutes):
    """minute -> values, as fetched."""
    columns = tuple(list(column) for column in zip(*minutes.values(), strict=True)) or ([],) * 5
    texts = tuple([repr(value) for value in column] for column in columns)
    return CandleBatch(SERIES, [minute * MINUTE_MS for minute in minutes], texts, columns)


def columns(minutes):
    """The same as stored."""
    flat = [array("d", column) for column in zip(*minutes.values(), strict=True)] or [array("d")] * 5
    return Columns(array("q", [minute * MINUTE_MS for minute in minutes]), tuple(flat))


def row(number, minute=0):
    return (number, number + 1, number, number, float(minute))


def span(start, end):
    return TimeRange(start * MINUTE_MS, end * MINUTE_MS)


some = st.dictionaries(st.integers(0, 30), st.sampled_from([1.0, 1.5, 2.0]), max_size=20)


@given(some, some, st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=2))
def test_every_candle_is_one_of_the_three_and_all_but_the_same_are_written(fetched, stored, parts):
    unsure = [span(*sorted(part)) for part in parts]
    doubtful = {minute for part in unsure for minute in range(part.start_ms // MINUTE_MS, part.end_ms // MINUTE_MS)}
    now = {minute: row(fetched[minute]) for minute in sorted(fetched)}
    before = {minute: row(stored[minute]) for minute in sorted(stored)}

    found = compare(columns(before), batch(now), unsure)

    same = {minute for minute in now if before.get(minute) == now[minute] and minute not in doubtful}
    changed = {minute for minute in now if minute in before and before[minute] != now[minute]}
    assert (found.same, found.changed, found.new) == (len(same), len(changed), len(now) - len(same) - len(changed))
    assert [time // MINUTE_MS for time in found.write.open_times] == sorted(set(now) - same)
    assert all(old != new for _, old, new in found.changes)


@pytest.mark.parametrize("stored", [math.nan, math.nextafter(1.0, 2.0), -1.0])
def test_only_the_same_bits_are_the_same(stored):
    found = compare(columns({0: (1.0, 2.0, 1.0, stored, 0.0)}), batch({0: (1.0, 2.0, 1.0, 1.0, 0.0)}), [])

    assert (found.same, found.changed) == (0, 1)


def test_a_zero_of_another_sign_has_other_bits():
    found = compare(columns({0: (1.0, 2.0, 1.0, 1.0, -0.0)}), batch({0: (1.0, 2.0, 1.0, 1.0, 0.0)}), [])

    assert found.changed == 1
    ((time, before, now),) = found.changes
    assert (time, struct.pack("<5d", *before) != struct.pack("<5d", *now)) == (0, True)


def test_all_changes_are_given_and_the_first_ten_are_logged(caplog):
    caplog.set_level(logging.INFO)
    candles = batch({n: row(2.0) for n in range(30)})
    found = compare(columns({n: row(1.0) for n in range(30)}), candles, [])

    Refetched().add(candles.series, found)

    assert [time // MINUTE_MS for time, _, _ in found.changes] == list(range(30))
    assert len(caplog.records) == 10


def test_what_was_no_whole_candle_is_repaired_and_all_else_has_the_reason_given():
    before = {0: row(1.0), 1: (math.nan, *row(1.0)[1:]), 2: row(2.0)}
    found = compare(columns(before), batch({n: row(2.0) for n in range(3)}), [])

    told = revisions_of(found, "rest", "refetch", 5)

    assert [(one.open_time_ms // MINUTE_MS, one.why, one.new) for one in told] == [
        (0, "refetch", row(2.0)),
        (1, "repair", row(2.0)),
    ]


def test_nothing_stored_is_all_new_and_written_as_it_is():
    candles = batch({n: row(2.0) for n in range(30)})

    assert compare(columns({}), candles, []) == Compared(candles, 0, 0, 30)
