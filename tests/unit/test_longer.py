"""Longer candles of shorter ones: which buckets are complete, and what stands in them."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laklak.model.series import Interval, TimeRange
from laklak.model.spans import gaps, merge, runs
from laklak.plan.longer import LongerCandles, around, buckets_of, can_be_made

NAMES = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d")
PAIRS = [("1m", "3m"), ("1m", "5m"), ("5m", "15m"), ("15m", "1h"), ("4h", "12h"), ("6h", "1d")]
BASE_MS = 1_772_236_800_000
PRICES = st.floats(min_value=1e-9, max_value=1e9)
ROWS = st.tuples(PRICES, PRICES, PRICES, PRICES, st.floats(min_value=0, max_value=1e300))

minutes = st.lists(
    st.one_of(st.tuples(st.just("held"), ROWS), st.tuples(st.sampled_from(["quiet", "closed", "lacking"]), st.none())),
    min_size=1,
    max_size=60,
)


def naive(rows, longer):
    """Bucket by bucket, by the words of the definition."""
    found = {}
    for start_ms in sorted({time_ms // longer.ms * longer.ms for time_ms in rows}):
        inside = [rows[time_ms] for time_ms in sorted(rows) if time_ms // longer.ms * longer.ms == start_ms]
        held = [row for kind, row in inside if kind == "held"]
        if any(kind in ("closed", "lacking") for kind, _ in inside) or not held:
            continue
        total = float(sum((Fraction(repr(row[4])) for row in held), Fraction(0)))
        found[start_ms] = (held[0][0], max(r[1] for r in held), min(r[2] for r in held), held[-1][3], total)
    return found


@given(told=minutes, offset=st.integers(0, 30), pair=st.sampled_from(PAIRS), data=st.data())
def test_a_candle_is_made_of_exactly_the_complete_buckets_by_the_definition_however_the_parts_are_cut(
    told, offset, pair, data
):
    of, longer = map(Interval.parse, pair)
    first_ms = BASE_MS + offset * of.ms
    rows = {first_ms + place * of.ms: one for place, one in enumerate(told)}
    span = around(TimeRange(first_ms, first_ms + len(told) * of.ms), longer)
    rows |= {time_ms: ("lacking", None) for time_ms in range(span.start_ms, span.end_ms, of.ms) if time_ms not in rows}
    quiet = runs((time_ms for time_ms in sorted(rows) if rows[time_ms][0] == "quiet"), of)
    held = [time_ms for time_ms in sorted(rows) if rows[time_ms][0] == "held"]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(held)), max_size=4)))

    making = LongerCandles(longer, of, quiet)
    for start, stop in pairwise([0, *cuts, len(held)]):
        times = held[start:stop]
        making.add(times, tuple([rows[time_ms][1][column] for time_ms in times] for column in range(5)))
    making.end()

    expected = naive(rows, longer)
    assert dict(zip(making.open_times, zip(*making.values, strict=True), strict=True)) == expected
    assert list(making.open_times) == sorted(expected)
    closed = runs((time_ms for time_ms in sorted(rows) if rows[time_ms][0] == "closed"), of)
    known = merge(sorted([*quiet, *closed]))
    buckets = buckets_of(span, quiet, closed, [one for one in gaps(span, held, of) for one in _not(one, known)], longer)
    assert [time_ms for one in buckets.complete for time_ms in range(one.start_ms, one.end_ms, longer.ms)] == sorted(
        expected
    )
    assert merge(sorted([*buckets.complete, *buckets.quiet, *buckets.closed, *buckets.lacking])) == [span]
    kinds = {start: {rows[start + n * of.ms][0] for n in range(longer.ms // of.ms)} for start in _starts(span, longer)}
    assert [start for one in buckets.quiet for start in _starts(one, longer)] == [
        start for start, found in kinds.items() if found == {"quiet"}
    ]
    assert [start for one in buckets.closed for start in _starts(one, longer)] == [
        start for start, found in kinds.items() if found == {"closed"}
    ]


def _starts(span, longer):
    return range(span.start_ms, span.end_ms, longer.ms)


def _not(span, quiet):
    inside = [one.clip(span) for one in quiet if one.clip(span)]
    at = span.start_ms
    for one in [*inside, TimeRange(span.end_ms, span.end_ms)]:
        if one.start_ms > at:
            yield TimeRange(at, one.start_ms)
        at = one.end_ms


@pytest.mark.parametrize("of", NAMES)
def test_an_interval_is_made_only_of_shorter_ones_that_divide_it(of):
    shorter = Interval.parse(of)
    made = [name for name in NAMES if can_be_made(Interval.parse(name), shorter)]
    assert made == [name for name in NAMES[NAMES.index(of) + 1 :] if Interval.parse(name).ms % shorter.ms == 0]


def volumes_of(name, volumes, parts=1):
    of, longer = Interval.parse("1m"), Interval.parse(name)
    making = LongerCandles(longer, of)
    step = -(-len(volumes) // parts)
    for start in range(0, len(volumes), step):
        part = volumes[start : start + step]
        times = range(start * of.ms, (start + len(part)) * of.ms, of.ms)
        making.add(times, ((1.0,) * len(part),) * 4 + (part,))
    making.end()
    return list(making.values[4])


@given(
    digits=st.integers(0, 12),
    units=st.lists(st.integers(0, 10**12), min_size=60, max_size=60),
    larger=st.lists(st.integers(0, 10**15), min_size=0, max_size=2),
    parts=st.sampled_from([1, 7, 60]),
)
def test_the_volume_is_what_the_venue_gives_for_it_to_the_last_digit(digits, units, larger, parts):
    told = [str(Decimal(unit).scaleb(-digits)) for unit in [*units, *larger][-60:]]

    found = volumes_of("1h", [float(text) for text in told], parts)

    assert found == [float(sum(map(Decimal, told)))]


def test_decimals_that_no_double_has_exactly_are_summed_as_decimals():
    assert volumes_of("3m", [0.1, 0.2, 0.3]) == [0.6]
    assert volumes_of("3m", [1e16, 0.1, 0.2]) == [float(Decimal("10000000000000000.3"))]
    assert volumes_of("3m", [1e-300, 1e300, 1e-300]) == [1e300]


def test_a_sum_that_no_double_holds_is_no_candle():
    making = LongerCandles(Interval.parse("3m"), Interval.parse("1m"))
    making.add(range(0, 360_000, 60_000), ((1.0,) * 6,) * 4 + ((1.7e308,) * 3 + (1.0,) * 3,))
    making.end()
    assert list(making.open_times) == [180_000]
