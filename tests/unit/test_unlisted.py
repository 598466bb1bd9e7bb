"""What is known of symbols that are not listed, and what is decided by it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laklak.archives import ARCHIVES
from laklak.archives.unlisted import (
    ENOUGH_REFUSALS,
    LOOK_AGAIN_AFTER_MS,
    FilesRead,
    Shelf,
    Trace,
    is_fresh,
    settle_files,
    without_outside,
)
from laklak.model.series import DAY_MS, MINUTE_MS, Series, TimeRange

SERIES = Series.parse("binance:OLDUSDT:1m")


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def span(start: str, end: str) -> TimeRange:
    return TimeRange(at(start), at(end))


def shelf(now: str = "2026-03-10T12:00") -> Shelf:
    return Shelf(ARCHIVES["binance"], SERIES, at(now))


def months(files):
    return [file.name.removeprefix("OLDUSDT-1m-").removesuffix(".zip") for file in files]


def found(*names: str) -> Trace:
    return Trace(asked=True, found=frozenset(at(f"{name}-01") for name in names))


# What is remembered


TIMES = st.integers(0, 1 << 49)


@given(
    st.builds(
        Trace,
        asked=st.just(True),
        refusals=st.integers(0, ENOUGH_REFUSALS),
        first_ms=st.none() | TIMES,
        newest_ms=st.none() | TIMES,
        found=st.frozensets(TIMES, max_size=4),
        lacking=st.frozensets(TIMES, max_size=4),
        outside=st.lists(st.builds(TimeRange, TIMES, TIMES), max_size=3).map(tuple),
    )
)
def test_a_trace_is_read_as_it_was_written(trace):
    assert Trace.of(trace.as_json()) == trace


@pytest.mark.parametrize(
    "value",
    [
        None,
        5,
        "x",
        [],
        {},
        {"asked": True},
        {**Trace().as_json(), "found": [1.5]},
        {**Trace().as_json(), "first": 5},
        {**Trace().as_json(), "refusals": 3},
    ],
)
def test_a_note_that_is_none_tells_nothing(value):
    assert Trace.of(value) == Trace()


@pytest.mark.parametrize(
    ("looked_ms", "fresh"),
    [
        (None, False),
        (0, True),
        (-LOOK_AGAIN_AFTER_MS + 1, True),
        (-LOOK_AGAIN_AFTER_MS, False),
        (60_000, True),
        (2 * 3_600_000, False),
    ],
)
def test_a_look_counts_for_a_week_and_one_in_the_future_does_not(looked_ms, fresh):
    now_ms = at("2026-03-10")
    assert is_fresh(None if looked_ms is None else now_ms + looked_ms, now_ms) is fresh


# Which months are asked for


def test_every_month_of_the_range_that_is_over_is_asked_for():
    assert months(shelf().to_ask(span("2025-11-20", "2026-02-10"), Trace())) == [
        "2025-11",
        "2025-12",
        "2026-01",
        "2026-02",
    ]


def test_months_before_the_archive_and_months_that_are_known_are_not_asked_for():
    known = Trace(found=frozenset({at("2020-01-01")}), lacking=frozenset({at("2020-02-01")}))

    assert months(shelf().to_ask(span("2019-01-01", "2020-04-01"), known)) == ["2019-12", "2020-03"]


def test_a_range_in_a_month_that_is_not_over_asks_for_the_one_before():
    assert months(shelf().to_ask(span("2026-03-05", "2026-03-10"), Trace())) == ["2026-02"]


def test_a_month_that_is_over_and_not_due_yet_is_asked_for_beside_the_one_before():
    early = shelf("2026-03-01T12:00")

    assert months(early.to_ask(span("2026-02-20", "2026-03-01"), Trace())) == ["2026-02", "2026-01"]
    assert not early.will_not_come(early.to_ask(span("2026-02-20", "2026-03-01"), Trace())[0])


# Of what time there are files


def test_without_a_month_there_is_no_life():
    assert shelf().life(Trace(), span("2026-01-01", "2026-03-10")) is None


def test_the_life_is_from_the_first_month_to_the_last_one():
    assert shelf().life(found("2025-11", "2026-01"), span("2025-01-01", "2026-02-10")) == span(
        "2025-11-01", "2026-02-01"
    )


def test_after_the_newest_month_it_goes_on_to_the_newest_day_that_is_due():
    assert shelf().life(found("2026-02"), span("2026-03-05", "2026-03-10")) == span("2026-02-01", "2026-03-10")
    assert shelf("2026-03-10T08:00").life(found("2026-02"), span("2026-03-05", "2026-03-10")) == span(
        "2026-02-01", "2026-03-09"
    )


def test_without_the_newest_month_it_ends_before():
    assert shelf().life(found("2026-01"), span("2026-01-01", "2026-03-10")) == span("2026-01-01", "2026-02-01")


def test_the_first_month_of_the_archive_begins_with_its_first_day():
    life = shelf().life(found("2019-12"), span("2019-01-01", "2020-01-01"))
    assert life == span("2019-12-31", "2020-01-01")


# What lies outside


@pytest.mark.parametrize(
    ("outside", "left"),
    [
        ((), (10, 20)),
        (((5, 12),), (12, 20)),
        (((10, 12), (12, 14)), (14, 20)),
        (((18, 25),), (10, 18)),
        (((12, 15),), (10, 20)),
        (((0, 5), (25, 30)), (10, 20)),
        (((0, 30),), (20, 20)),
    ],
)
def test_only_ends_are_cut_off(outside, left):
    assert without_outside(TimeRange(10, 20), [TimeRange(*part) for part in outside]) == TimeRange(*left)


JANUARY = span("2026-01-01", "2026-02-01")


def settled(lacking, *, first=None, last=None, absent=(), now="2026-03-10T12:00"):
    read = FilesRead(first, last, list(absent))
    return settle_files(read, lacking, JANUARY, shelf(now))


def test_what_lacks_before_the_first_row_and_after_the_last_one_is_outside():
    head, tail = span("2026-01-01", "2026-01-10"), span("2026-01-20", "2026-02-01")

    outcome = settled([head, tail], first=head.end_ms, last=tail.start_ms - MINUTE_MS)

    assert (outcome.outside, outcome.holes) == ((head, tail), ())


def test_what_lacks_with_a_row_before_it_is_a_hole_though_the_range_begins_there():
    head = span("2026-01-01", "2026-01-10")

    assert settled([head], first=head.start_ms - MINUTE_MS, last=JANUARY.end_ms - MINUTE_MS).holes == (head,)


def test_what_lacks_with_a_row_after_it_is_a_hole_though_the_range_ends_there():
    tail = span("2026-01-20", "2026-02-01")

    assert settled([tail], first=JANUARY.start_ms, last=tail.end_ms).holes == (tail,)


def test_what_lacks_in_between_is_a_hole():
    gap = span("2026-01-10", "2026-01-11")

    outcome = settled([gap], first=JANUARY.start_ms, last=JANUARY.end_ms - MINUTE_MS)

    assert (outcome.outside, outcome.holes, outcome.late) == ((), (gap,), ())


def test_a_day_whose_file_may_still_come_is_late_in_between_and_not_proven_at_the_end():
    gap, tail = span("2026-01-10", "2026-01-11"), span("2026-01-20", "2026-02-01")

    outcome = settled((), first=JANUARY.start_ms, last=tail.start_ms - MINUTE_MS, absent=[gap, tail], now="2026-01-30")

    assert (outcome.outside, outcome.holes, outcome.late) == ((tail,), (gap,), ())
    assert outcome.proven == (span("2026-01-20", "2026-01-22"),)


def test_a_day_in_between_that_was_due_lately_is_late():
    gap = span("2026-01-10", "2026-01-11")

    outcome = settled((), first=JANUARY.start_ms, last=JANUARY.end_ms, absent=[gap], now="2026-01-15")

    assert (outcome.holes, outcome.late) == ((), (gap,))


def test_without_any_row_all_of_it_is_outside():
    assert settled([JANUARY]).outside == (JANUARY,)


def test_rows_of_several_files_are_seen_together():
    read = FilesRead()
    read.saw(range(at("2026-01-02"), at("2026-01-03"), MINUTE_MS))
    read.saw([])
    read.saw(range(at("2026-01-01"), at("2026-01-02"), MINUTE_MS))

    assert (read.first_ms, read.last_ms) == (at("2026-01-01"), at("2026-01-03") - MINUTE_MS)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 5)), max_size=6), st.integers(0, 30), st.integers(0, 30))
def test_every_lacking_minute_has_one_fate(parts, one, other):
    days = [
        TimeRange(JANUARY.start_ms + day * DAY_MS, JANUARY.start_ms + (day + length) * DAY_MS) for day, length in parts
    ]
    absent = [part.clip(JANUARY) for part in days[::2] if part.clip(JANUARY)]
    lacking = [part.clip(JANUARY) for part in days[1::2] if part.clip(JANUARY)]
    first, last = (JANUARY.start_ms + day * DAY_MS for day in sorted((one, other)))

    outcome = settled(lacking, first=first, last=last, absent=absent, now="2026-01-25T12:00")

    fates = [*outcome.outside, *outcome.holes, *outcome.late]
    minutes = [time for part in fates for time in range(part.start_ms, part.end_ms, DAY_MS)]
    wanted = {time for part in (*lacking, *absent) for time in range(part.start_ms, part.end_ms, DAY_MS)}
    assert len(minutes) == len(set(minutes))
    assert set(minutes) == wanted


def test_klines_that_have_nothing_are_believed_when_they_said_so_in_two_runs():
    once = Trace().refused(0)

    assert (once.asked, once.is_settled) == (True, False)
    assert once.refused(once.refusals).is_settled
    assert once.refused(ENOUGH_REFUSALS).refusals == ENOUGH_REFUSALS


def test_a_first_candle_settles_what_klines_have():
    assert replace(Trace(asked=True), first_ms=5).is_settled
    assert not Trace().is_settled


def test_a_note_from_before_refusals_were_counted_has_heard_one():
    old = {key: value for key, value in Trace(asked=True).as_json().items() if key != "refusals"}

    assert Trace.of(old) == Trace(asked=True, refusals=1)
    assert Trace.of({**old, "first": at("2026-01-01")}).is_settled
