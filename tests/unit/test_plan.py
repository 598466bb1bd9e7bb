"""Wanted minus stored, cut into requests: tiling, prices, edges."""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laklak.model.series import MINUTE_MS, Interval, Series, TimeRange
from laklak.model.spans import gaps, merge, newest_held, on_grid, parted, runs
from laklak.plan import chunks
from laklak.plan.chunks import best_page, page_weight, plan_chunks
from laklak.plan.cost import Budget, alternatives, cost_of
from laklak.plan.missing import SeriesPlan
from laklak.venues import VENUES

MINUTE = Interval.parse("1m")
SERIES = Series("binance", "BTCUSDT", MINUTE)
TIERS = VENUES["binance"].page.steps

minutes = st.sets(st.integers(0, 400), max_size=120)
long_ranges = st.lists(st.tuples(st.integers(0, 3000), st.integers(1, 4000)), max_size=12)


def span(start, end):
    return TimeRange(start * MINUTE_MS, end * MINUTE_MS)


def minutes_of(ranges):
    return [time // MINUTE_MS for part in ranges for time in range(part.start_ms, part.end_ms, MINUTE_MS)]


def disjoint(steps):
    """Ranges in order that neither overlap nor touch, from (distance, length) steps."""
    found, at = [], 0
    for distance, length in steps:
        at += distance + 1
        found.append(span(at, at + length))
        at += length
    return found


@given(long_ranges, st.sampled_from([1, 2, 99, 100, 499, 500, 1000, 1500]))
def test_chunks_want_every_missing_minute_once_and_in_order(steps, page):
    missing = disjoint(steps)

    chunks = list(plan_chunks(SERIES, missing, TIERS, page))

    assert minutes_of(part for chunk in chunks for part in chunk.wanted) == minutes_of(missing)


@given(long_ranges, st.sampled_from([1, 2, 99, 100, 499, 500, 1000, 1500]))
def test_chunks_fit_a_page_and_do_not_overlap(steps, page):
    chunks = list(plan_chunks(SERIES, disjoint(steps), TIERS, page))

    assert all(1 <= chunk.limit <= page for chunk in chunks)
    assert all(before.range.end_ms <= after.range.start_ms for before, after in pairwise(chunks))


@given(long_ranges, st.sampled_from([1, 99, 499, 1000, 1500]))
def test_a_chunk_starts_and_ends_with_what_is_wanted_and_its_parts_do_not_touch(steps, page):
    for chunk in plan_chunks(SERIES, disjoint(steps), TIERS, page):
        assert chunk.range == TimeRange(chunk.wanted[0].start_ms, chunk.wanted[-1].end_ms)
        assert all(a.end_ms < b.start_ms for a, b in zip(chunk.wanted, chunk.wanted[1:], strict=False))


@given(minutes, st.sampled_from([5, 99, 150, 499, 1000]))
def test_asking_together_never_costs_more_than_asking_each_piece_apart(wanted, page):
    missing = runs((minute * MINUTE_MS for minute in sorted(wanted)), MINUTE)
    apart = 0
    for part in missing:
        full, rest = divmod(part.count(MINUTE), page)
        apart += full * page_weight(page, TIERS) + (page_weight(rest, TIERS) if rest else 0)

    together = sum(page_weight(chunk.limit, TIERS) for chunk in plan_chunks(SERIES, missing, TIERS, page))

    assert together <= apart


def cheapest(wanted, tiers, page):
    """Weight and requests of the best plan for these minutes, by trying: from the last minute back, every request that
    begins with it and does not end amid what is missing unless it is full.
    """
    left = {None: (0, 0)}
    for place in range(len(wanted) - 1, -1, -1):
        found = []
        for last in range(place, len(wanted)):
            size = wanted[last] + 1 - wanted[place]
            following = wanted[last + 1] if last + 1 < len(wanted) else None
            if size == page or (size < page and following != wanted[last] + 1):
                weight, requests = left[following]
                found.append((weight + page_weight(size, tiers), requests + 1))
        left[wanted[place]] = min(found)
    return left[wanted[0]]


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 90)), min_size=1, max_size=12),
    st.sampled_from([((9, 1), (49, 2), (100, 5)), ((30, 1),), TIERS]),
    st.sampled_from([5, 9, 10, 20, 30]),
)
def test_no_plan_costs_less_weight_and_none_of_that_weight_has_fewer_requests(steps, tiers, page):
    missing = disjoint(steps)

    found = list(plan_chunks(SERIES, missing, tiers, page))

    weight = sum(page_weight(chunk.limit, tiers) for chunk in found)
    assert (weight, len(found)) == cheapest(minutes_of(missing), tiers, page)


def test_a_piece_before_a_long_range_goes_along_with_its_first_page():
    chunks = list(plan_chunks(SERIES, [span(0, 500), span(510, 1910)], TIERS, 1000))

    assert [chunk.limit for chunk in chunks] == [1000, 910]


def test_of_a_long_broken_range_the_first_requests_are_known_long_before_the_last_ones(monkeypatch):
    starts = sorted(random.Random(1).sample(range(0, 300_000, 2), 30_000))
    pieces = [span(start, start + 1) for start in starts]
    priced = []
    monkeypatch.setattr(chunks, "page_weight", lambda size, tiers: priced.append(size) or page_weight(size, tiers))

    first = next(plan_chunks(SERIES, pieces, TIERS, 1000))

    assert first.wanted[0] == pieces[0]
    assert len(priced) < 500


def test_scattered_minutes_of_a_day_are_asked_in_few_pages():
    missing = [span(minute, minute + 1) for minute in range(0, 1440, 2)]

    chunks = list(plan_chunks(SERIES, missing, TIERS, 499))

    assert len(chunks) <= 3
    assert sum(chunk.wanted_count for chunk in chunks) == 720


def test_full_pages_stay_full_although_a_little_piece_follows():
    chunks = list(plan_chunks(SERIES, [span(0, 998), span(1000, 1001)], TIERS, 499))

    assert [chunk.limit for chunk in chunks][:2] == [499, 499]


def test_a_long_plan_is_cut_lazily():
    chunks = plan_chunks(SERIES, [span(0, 10**9)], TIERS, 1)

    assert next(chunks).range == span(0, 1)


@given(minutes, st.integers(0, 400), st.integers(0, 400))
def test_gaps_and_what_is_present_make_up_the_range(present, start, end):
    found = gaps(span(start, end), (m * MINUTE_MS for m in sorted(present)), MINUTE)

    assert minutes_of(found) == [m for m in range(start, end) if m not in present]
    assert all(a.end_ms < b.start_ms for a, b in pairwise(found))


@given(minutes)
def test_runs_hold_exactly_the_given_times_and_never_touch(times):
    found = runs((m * MINUTE_MS for m in sorted(times)), MINUTE)

    assert minutes_of(found) == sorted(times)
    assert all(a.end_ms < b.start_ms for a, b in pairwise(found))


@given(st.lists(st.integers(1, 9), max_size=20))
def test_merge_joins_what_touches_and_loses_nothing(lengths):
    pieces, at = [], 0
    for index, length in enumerate(lengths):
        at += index % 2
        pieces.append(span(at, at + length))
        at += length

    merged = merge(pieces)

    assert minutes_of(merged) == minutes_of(pieces)
    assert all(a.end_ms < b.start_ms for a, b in pairwise(merged))


def test_the_best_page_of_binance_is_499_candles():
    assert best_page(TIERS) == 499


@pytest.mark.parametrize(
    ("candles", "weight"),
    [(1, 1), (99, 1), (100, 2), (499, 2), (500, 5), (1000, 5), (1001, 10), (1500, 10)],
)
def test_weight_goes_by_the_tiers_of_the_venue(candles, weight):
    assert page_weight(candles, TIERS) == weight


def test_more_than_the_largest_page_has_no_price():
    with pytest.raises(ValueError, match="at most 1500"):
        page_weight(1501, TIERS)


def test_a_range_off_the_grid_wants_the_candles_that_open_inside_it():
    assert on_grid(TimeRange(10 * MINUTE_MS + 1, 20 * MINUTE_MS + 1), MINUTE) == span(11, 21)
    assert on_grid(TimeRange(10 * MINUTE_MS + 1, 10 * MINUTE_MS + 2), MINUTE).count(MINUTE) == 0


@pytest.mark.parametrize(
    ("not_held", "newest"),
    [([], 19), ([(10, 20)], None), ([(12, 20)], 11), ([(10, 15)], 19), ([(12, 14), (15, 20)], 14), ([(12, 19)], 19)],
)
def test_the_newest_candle_held_is_the_last_one_outside_of_what_is_not_held(not_held, newest):
    found = newest_held(span(10, 20), [span(*part) for part in not_held], MINUTE)

    assert found == (None if newest is None else newest * MINUTE_MS)


def plan_of(*missing):
    return SeriesPlan(SERIES, span(0, 5000), None, 0, 0, 0, missing)


def test_ninety_days_cost_what_the_design_says():
    ninety_days = [plan_of(span(0, 129_600))]

    by_499, by_1000 = cost_of(ninety_days, TIERS, 499), cost_of(ninety_days, TIERS, 1000)

    assert (by_499.weight, by_499.requests) == (520, 260)
    assert (by_1000.weight, by_1000.requests) == (650, 130)


@given(long_ranges, st.sampled_from([2, 99, 499, 500, 1000, 1500]))
def test_a_cost_is_that_of_the_chunks(steps, page):
    missing = disjoint(steps)

    chunks = list(plan_chunks(SERIES, missing, TIERS, page))

    cost = cost_of([plan_of(*missing)], TIERS, page)
    assert (cost.requests, cost.weight) == (len(chunks), sum(page_weight(chunk.limit, TIERS) for chunk in chunks))


def test_time_is_weight_over_the_paced_budget():
    assert cost_of([plan_of(span(0, 1000))], TIERS, 1000).seconds({"weight": Budget(1200, 60.0)}) == pytest.approx(
        5 / (0.98 * 20)
    )


def test_of_several_quotas_the_slowest_says_how_long_it_takes():
    budgets = {"weight": Budget(1200, 60.0), "requests": Budget(10, 5.0)}
    plans = [plan_of(span(0, 100_000))]

    assert cost_of(plans, TIERS, 1000).seconds(budgets) == pytest.approx(500 / (0.98 * 20))
    assert cost_of(plans, TIERS, 1000, {"requests": 1}).seconds(budgets) == pytest.approx(100 / (0.98 * 2))


def test_the_alternatives_are_one_line_for_each_page_and_budget():
    table = alternatives(
        "binance",
        (499, 2400),
        [plan_of(span(0, 3000))],
        TIERS,
        [1000, 499, 499],
        [{"weight": Budget(units, 60.0)} for units in (2400, 1200)],
    )

    assert [(line.chunk, line.budget) for line in table] == [(499, 1200), (499, 2400), (1000, 1200), (1000, 2400)]
    assert [line.weight for line in table] == [13, 13, 15, 15]
    assert [line.now for line in table] == [False, True, False, False]
    assert table[0].seconds == pytest.approx(2 * table[1].seconds, abs=0.1)


bounds = st.lists(st.integers(0, 60), min_size=0, max_size=12, unique=True).map(sorted)


def _pairs(edges):
    return [TimeRange(one, other) for one, other in zip(edges[::2], edges[1::2], strict=False)]


@given(bounds, bounds)
def test_ranges_are_parted_into_what_is_outside_and_what_is_inside(edges, closed_edges):
    ranges, closed = _pairs(edges), _pairs(closed_edges)

    outside, inside = parted(ranges, closed)

    shut = {time for part in closed for time in range(part.start_ms, part.end_ms)}
    wanted = {time for part in ranges for time in range(part.start_ms, part.end_ms)}
    assert [time for part in outside for time in range(part.start_ms, part.end_ms)] == sorted(wanted - shut)
    assert [time for part in inside for time in range(part.start_ms, part.end_ms)] == sorted(wanted & shut)
    assert all([*outside, *inside])
