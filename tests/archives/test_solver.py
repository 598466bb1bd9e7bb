"""Which source for which stretch."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thoroughness import examples

from laklak.archives import ARCHIVES
from laklak.archives.base import month_of
from laklak.archives.split import FilePart, Solver
from laklak.model.series import DAY_MS, MINUTE_MS, Interval, Series, TimeRange
from laklak.model.spans import merge
from laklak.settings.times import parse_time
from laklak.venues import VENUES

BINANCE = ARCHIVES["binance"]
TIERS = VENUES["binance"].page.steps
SERIES = Series.parse("binance:BTCUSDT:1m")
NOW = parse_time("2026-02-10T12:00")


def span(start, end):
    return TimeRange(parse_time(start), parse_time(end))


def days(start, count):
    return TimeRange(parse_time(start), parse_time(start) + count * DAY_MS)


def solver(now=NOW, preference="auto"):
    return Solver(BINANCE, now, TIERS, preference)


def names(split):
    return [part.file.name.removeprefix("BTCUSDT-1m-").removesuffix(".zip") for part in split.files]


def test_whole_months_come_as_months_other_days_as_days_and_today_from_the_api():
    split = solver().split(SERIES, [span("2025-12-30T12:00", "2026-02-10T12:00")])

    assert names(split) == ["2025-12-30", "2025-12-31", "2026-01", *(f"2026-02-0{day}" for day in range(1, 10))]
    assert split.rest == (span("2026-02-10", "2026-02-10T12:00"),)


def test_of_a_day_at_the_edge_only_the_wanted_part_is_taken():
    split = solver().split(SERIES, [span("2026-02-03T18:30", "2026-02-05")])

    assert [part.wanted for part in split.files] == [
        (span("2026-02-03T18:30", "2026-02-04"),),
        (span("2026-02-04", "2026-02-05"),),
    ]


@pytest.mark.parametrize(("clock", "from_file"), [("08:59", False), ("09:00", True)])
def test_yesterday_comes_from_the_api_until_its_file_can_be_expected(clock, from_file):
    split = solver(parse_time(f"2026-02-10T{clock}")).split(SERIES, [days("2026-02-09", 1)])

    assert bool(split.files) == from_file
    assert bool(split.rest) != from_file


@pytest.mark.parametrize(("now", "expected"), [("2026-02-03T23:59", 31), ("2026-02-04", 1)])
def test_a_month_comes_as_days_until_its_file_can_be_expected(now, expected):
    assert len(solver(parse_time(now)).split(SERIES, [days("2026-01-01", 31)]).files) == expected


@pytest.mark.parametrize("missing", [1, 3, 15])
def test_a_month_that_lacks_few_days_is_fetched_as_days(missing):
    split = solver().split(SERIES, [days("2026-01-10", missing)])

    assert [part.file.kind for part in split.files] == ["day"] * missing


@pytest.mark.parametrize("missing", [16, 31])
def test_a_month_that_lacks_most_days_is_fetched_as_a_month(missing):
    split = solver().split(SERIES, [days("2026-01-01", missing)])

    assert [(part.file.kind, part.wanted) for part in split.files] == [("month", (days("2026-01-01", missing),))]


@pytest.mark.parametrize(("minutes", "from_file"), [(1, False), (99, False), (100, True)])
def test_a_day_that_lacks_what_the_cheapest_page_holds_is_asked_from_the_api(minutes, from_file):
    start = parse_time("2026-02-05T10:00")
    missing = TimeRange(start, start + minutes * MINUTE_MS)

    assert bool(solver().split(SERIES, [missing]).files) == from_file
    assert solver(preference="archive").split(SERIES, [missing]).files


def test_bits_of_a_day_count_together():
    noon = parse_time("2026-02-05T12:00")
    bits = tuple(TimeRange(noon + n * 20 * MINUTE_MS, noon + (n * 20 + 10) * MINUTE_MS) for n in range(11))

    assert [part.wanted for part in solver().split(SERIES, bits).files] == [bits]
    assert solver().split(SERIES, bits[:9]).rest == bits[:9]


def test_bits_of_a_month_that_is_fetched_anyway_are_taken_from_it():
    bit = TimeRange(parse_time("2026-01-30T10:00"), parse_time("2026-01-30T10:05"))

    split = solver().split(SERIES, [days("2026-01-01", 20), bit])

    assert names(split) == ["2026-01"]
    assert split.files[0].wanted == (days("2026-01-01", 20), bit)


def test_days_before_the_archive_began_are_asked_from_the_api():
    split = solver().split(SERIES, [span("2019-12-29", "2020-02-01")])

    assert names(split) == ["2019-12-31", "2020-01"]
    assert split.rest == (span("2019-12-29", "2019-12-31"),)


def test_hours_of_a_month_come_as_a_month_and_of_some_days_from_the_api():
    series = Series.parse("binance:BTCUSDT:1h")

    split = solver().split(series, [span("2026-01-01", "2026-02-10T12:00")])

    assert [part.file.name for part in split.files] == ["BTCUSDT-1h-2026-01.zip"]
    assert split.rest == (span("2026-02-01", "2026-02-10T12:00"),)


def test_years_of_days_fit_into_a_few_pages():
    missing = span("2021-01-01", "2026-02-10")

    assert solver().split(Series.parse("binance:BTCUSDT:1d"), [missing]).rest == (missing,)


def test_an_interval_without_files_is_asked_from_the_api():
    series = Series("binance", "BTCUSDT", Interval("7m", 7 * MINUTE_MS))
    missing = TimeRange(0, 70 * MINUTE_MS)

    assert solver(preference="archive").split(series, [missing]).rest == (missing,)


def test_nothing_missing_needs_nothing():
    assert not solver().split(SERIES, []).files
    assert not solver().split(SERIES, []).rest


# What takes the place of a file


def month_part(*wanted):
    return FilePart(BINANCE.month_file(SERIES, wanted[0].start_ms), wanted)


def test_days_take_the_place_of_a_month_that_is_absent():
    split = solver().instead(month_part(days("2026-01-01", 31)), absent=True)

    assert names(split) == [f"2026-01-{day:02}" for day in range(1, 32)]
    assert not split.rest


def test_the_api_takes_the_place_of_a_day_that_is_absent():
    part = FilePart(BINANCE.day_file(SERIES, NOW), (days("2026-02-10", 1),))

    split = solver().instead(part, absent=True)

    assert (split.files, split.rest) == ((), part.wanted)


def test_the_api_takes_the_place_of_a_file_that_cannot_be_trusted():
    part = month_part(days("2026-01-01", 31))

    split = solver().instead(part, absent=False)

    assert (split.files, split.rest) == ((), part.wanted)


# Properties

FIRST = parse_time("2019-11-15")
intervals = st.sampled_from(["1m", "5m", "1h", "8h", "1d"])
preferences = st.sampled_from(["auto", "archive"])


@st.composite
def jobs(draw):
    """A series and what is missing of it, at a moment: minutes, days and months in any mixture."""
    series = Series("binance", "币安人生USDT", Interval.parse(draw(intervals)))
    step = series.interval.ms
    at = FIRST + draw(st.integers(0, 2000)) * DAY_MS
    missing = []
    for _ in range(draw(st.integers(0, 8))):
        at += draw(st.sampled_from([0, 1, 50, 500, 1440, 5000])) * step
        length = draw(st.one_of(st.integers(1, 120), st.integers(1, 70).map(lambda n: n * DAY_MS // step))) * step
        missing.append(TimeRange(at, at + length))
        at += length
    now = at + draw(st.integers(-40, 10)) * DAY_MS + draw(st.integers(0, DAY_MS))
    return series, tuple(merge(missing)), Solver(BINANCE, now, TIERS, draw(preferences))


def pieces(split):
    return [part for item in split.files for part in item.wanted] + list(split.rest)


@settings(max_examples=examples(200))
@given(jobs())
def test_every_missing_candle_has_exactly_one_source_and_nothing_else_is_wanted(job):
    series, missing, choice = job

    split = choice.split(series, missing)

    assert merge(sorted(pieces(split))) == list(missing)
    assert sum(part.count(series.interval) for part in pieces(split)) == sum(m.count(series.interval) for m in missing)


@settings(max_examples=examples(200))
@given(jobs())
def test_each_file_is_fetched_once_is_published_and_has_what_is_wanted_of_it(job):
    series, missing, choice = job

    split = choice.split(series, missing)

    assert len({item.file.path for item in split.files}) == len(split.files)
    for item in split.files:
        assert item.wanted
        assert list(item.wanted) == merge(sorted(item.wanted))
        assert all(part and part.clip(item.file.span) == part for part in item.wanted)
        assert item.file.series == series
        assert BINANCE.expected_ms(item.file) <= choice.now_ms
        assert item.file.span.start_ms >= BINANCE.first_ms
    assert split.candles == sum(item.wanted_count for item in split.files)


@settings(max_examples=examples(200))
@given(jobs())
def test_where_only_files_are_wanted_the_rest_is_what_is_in_none(job):
    series, missing, choice = job

    rest = Solver(BINANCE, choice.now_ms, TIERS, "archive").split(series, missing).rest

    for part in rest:
        for day in part.days():
            file = BINANCE.day_file(series, day.start_ms)
            assert BINANCE.expected_ms(file) > choice.now_ms or file.span.start_ms < BINANCE.first_ms


@settings(max_examples=examples(200))
@given(jobs(), st.data())
def test_whatever_becomes_of_the_files_all_is_asked_somewhere_within_two_steps(job, data):
    series, missing, choice = job
    split = choice.split(series, missing)
    done, files = list(split.rest), list(split.files)

    for _ in range(2):
        following = []
        for part in files:
            fate = data.draw(st.sampled_from(["good", "absent", "bad"]))
            if fate == "good":
                done += part.wanted
            else:
                instead = choice.instead(part, absent=fate == "absent")
                assert merge(sorted(pieces(instead))) == merge(part.wanted)
                done += instead.rest
                following += instead.files
        files = following

    assert all(part.file.kind == "day" for part in files)
    done += [part for item in files for part in choice.instead(item, absent=True).rest]
    assert merge(sorted(done)) == list(missing)


@given(st.integers(0, 30), st.integers(1, 31))
def test_a_month_is_chosen_only_where_it_is_cheaper_than_its_days(first, count):
    start = parse_time("2026-01-01") + first * DAY_MS
    missing = TimeRange(start, min(start + count * DAY_MS, month_of(start).end_ms))

    split = solver().split(SERIES, [missing])

    assert (split.files[0].file.kind == "month") == (missing.end_ms - missing.start_ms >= 16 * DAY_MS)
