"""What bulk files say of minutes that the API lacks: what is asked, when, how often, and what is remembered then."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laklak.archives import ARCHIVES
from laklak.archives.evidence import CLOCKS_APART_MS, LATE_MS, Choice, DueDay, Evidence, choose, is_due
from laklak.archives.split import FilePart
from laklak.model.absences import Absence
from laklak.model.candles import CandleBatch
from laklak.model.series import DAY_MS, MINUTE_MS, Interval, Series, TimeRange
from laklak.plan.rows import Checked, Refusal

MINUTE = Interval.parse("1m")

ARCHIVE = ARCHIVES["binance"]
SERIES = Series("binance", "AAAUSDT", Interval.parse("1m"))
DAY = 1_772_323_200_000  # 2026-03-01
FILE = ARCHIVE.day_file(SERIES, DAY)
MONTH = ARCHIVE.month_file(SERIES, DAY)
DUE = ARCHIVE.expected_ms(FILE)
HOUR_MS = 60 * MINUTE_MS


def hole(minute, *, day_ms=DAY, kind="hole", file_ms=None, confirmed_ms=1):
    return Absence.at(
        MINUTE, day_ms + minute * MINUTE_MS, kind, confirmed_ms, "two complete answers lack it", None, None, file_ms
    )


def evidence(now_ms=DUE, archive=ARCHIVE):
    return Evidence(archive, lambda: now_ms)


def content(file, lacking=(), refused=()):
    """What reading a file gives, but for these minutes of the day."""
    gone = {DAY + minute * MINUTE_MS for minute in (*lacking, *refused)}
    times = [time for time in range(file.span.start_ms, file.span.end_ms, file.series.interval.ms) if time not in gone]
    batch = CandleBatch(file.series, times, (["1"] * len(times),) * 5, ([1.0] * len(times),) * 5)
    return Checked(batch, [Refusal(DAY + minute * MINUTE_MS, "no number", "[]") for minute in refused])


def part_of(file):
    return FilePart(file, (file.span,))


def minutes_of(ranges):
    return [(time - DAY) // MINUTE_MS for part in ranges for time in range(part.start_ms, part.end_ms, MINUTE_MS)]


def names(parts):
    return [part.file.name for part in parts]


# When a known hole is due

moments = st.one_of(st.none(), st.integers(0, 40 * DAY_MS))


@given(moments, st.integers(0, 20 * DAY_MS), st.integers(0, 40 * DAY_MS))
def test_a_hole_is_due_when_its_file_is_and_once_more_a_week_later(file_ms, expected_ms, now_ms):
    due = is_due(hole(0, file_ms=file_ms), expected_ms, now_ms)

    if now_ms < expected_ms:
        assert not due
    elif file_ms is None or file_ms < expected_ms:
        assert due
    elif file_ms <= now_ms:
        assert due == (file_ms < expected_ms + LATE_MS <= now_ms)


@given(st.integers(0, 20 * DAY_MS), st.lists(st.integers(1, 3 * DAY_MS), max_size=30))
def test_runs_at_any_times_hold_a_hole_against_its_file_twice_at_most_and_once_if_it_is_published(expected_ms, pauses):
    one, asked, now_ms = hole(0), [], 0
    for pause_ms in pauses:
        now_ms += pause_ms
        if is_due(one, expected_ms, now_ms):
            asked.append(now_ms)
            one = replace(one, file_ms=now_ms)

    assert len(asked) <= 2
    assert all(time_ms >= expected_ms for time_ms in asked)
    assert len(asked) == 2 or not asked or now_ms < expected_ms + LATE_MS or asked[0] >= expected_ms + LATE_MS
    assert bool(asked) == (now_ms >= expected_ms and bool(pauses))


@given(st.integers(0, CLOCKS_APART_MS), st.integers(0, 20 * DAY_MS), st.integers(0, 30 * DAY_MS))
def test_a_clock_that_was_ahead_by_less_than_a_day_leaves_one_look_at_a_published_file(ahead_ms, expected_ms, now_ms):
    """Either the look that it noted came when the file was due, or there will be one more."""
    noted = hole(0, file_ms=now_ms + ahead_ms)

    assert now_ms >= expected_ms or is_due(noted, expected_ms, max(expected_ms + LATE_MS, now_ms + ahead_ms))


def test_what_a_clock_of_another_year_has_noted_says_nothing():
    assert is_due(hole(0, file_ms=DUE + 400 * DAY_MS), DUE, DUE)


# What the API has settled


def test_a_minute_whose_file_is_published_waits_for_it():
    one = evidence()

    assert one.sift(SERIES, [hole(5), hole(6), hole(9)]).proven == []
    (part,) = one.parts(SERIES)
    assert (part.file, minutes_of(part.wanted), part.proof) == (FILE, [5, 6, 9], True)


@pytest.mark.parametrize(
    ("now_ms", "archive", "series", "day_ms"),
    [
        (DUE - 1, ARCHIVE, SERIES, DAY),
        (DUE, None, SERIES, DAY),
        (DUE, ARCHIVE, Series("binance", "AAAUSDT", Interval("3d", 3 * DAY_MS)), DAY),
        (DUE, ARCHIVE, SERIES, ARCHIVE.first_ms - DAY_MS),
    ],
)
def test_a_minute_of_which_no_file_can_tell_is_remembered_at_once(now_ms, archive, series, day_ms):
    one = evidence(now_ms, archive)
    lacking = [hole(0, day_ms=day_ms)]

    assert one.sift(series, lacking).proven == lacking
    assert (one.parts(series), one.due_days(series, lacking)) == ([], ())


def test_the_days_that_files_can_tell_of_are_told_apart():
    one = evidence(now_ms=DUE)
    lacking = [hole(1), hole(0, day_ms=DAY + DAY_MS), hole(2, day_ms=DAY + DAY_MS)]

    assert one.sift(SERIES, lacking).proven == lacking[1:]
    assert names(one.parts(SERIES)) == [FILE.name]


# What files say


def test_what_a_file_has_is_found_and_what_it_lacks_is_proven():
    one = evidence()
    one.sift(SERIES, [hole(5), hole(6), hole(9)])

    verdict = one.heard(one.parts(SERIES), content(FILE, lacking=[6]))

    assert minutes_of(verdict.found) == [5, 9]
    (proven,) = verdict.proven
    reason = f"two complete answers lack it; {FILE.name} lacks it too"
    assert proven == replace(hole(6), file_ms=DUE, reason=reason, sources=("archive",))
    assert one.parts(SERIES) == []


def test_a_bad_row_of_a_file_is_none_and_is_told():
    one = evidence()
    one.sift(SERIES, [hole(5)])

    (proven,) = one.heard(one.parts(SERIES), content(FILE, refused=[5])).proven

    assert proven.reason.endswith(": no number")


def test_what_a_file_says_replaces_what_one_said_before():
    one = evidence(DUE + LATE_MS)
    before = replace(hole(5), file_ms=DUE, reason=f"two complete answers lack it; {FILE.name} is not there")
    one.reopen(SERIES, [before], frozenset({DAY}))

    (proven,) = one.heard(one.parts(SERIES), content(FILE, lacking=[5])).proven

    assert proven.reason == f"two complete answers lack it; {FILE.name} lacks it too"


@pytest.mark.parametrize("file", [FILE, MONTH])
def test_a_file_that_was_read_for_other_minutes_counts_as_asked(file):
    one = evidence()
    one.heard([part_of(file)], content(file, lacking=[5]))

    (proven,) = one.sift(SERIES, [hole(5)]).proven

    assert (proven.file_ms, one.parts(SERIES)) == (DUE, [])


def test_a_month_that_has_nothing_of_a_day_says_nothing_about_it():
    one = evidence()
    one.heard([part_of(MONTH)], content(MONTH, lacking=range(1440)))

    assert one.sift(SERIES, [hole(5)]).proven == []
    assert names(one.parts(SERIES)) == [FILE.name]


def test_a_minute_that_a_file_had_when_nobody_wanted_it_is_taken_from_it_again():
    one = evidence()
    one.heard([part_of(FILE)], content(FILE, lacking=[5]))

    assert one.sift(SERIES, [hole(7)]).proven == []
    assert names(one.parts(SERIES)) == [FILE.name]


def test_several_files_that_were_read_together_settle_the_minutes_of_each():
    one = evidence(DUE + DAY_MS)
    one.sift(SERIES, [hole(5), hole(1440 + 5)])
    parts = one.parts(SERIES)
    times = [*content(parts[0].file, lacking=[5]).candles.open_times, *content(parts[1].file).candles.open_times]
    batch = CandleBatch(SERIES, times, (["1"] * len(times),) * 5, ([1.0] * len(times),) * 5)

    verdict = one.heard(parts, Checked(batch, ()))

    assert minutes_of(verdict.found) == [1440 + 5]
    assert [absence.open_time_ms for absence in verdict.proven] == [DAY + 5 * MINUTE_MS]


def test_a_file_that_gives_nothing_proves_what_waits_for_it_unless_it_could_not_be_had():
    for reached in (True, False):
        one = evidence()
        one.sift(SERIES, [hole(5)])

        verdict = one.not_heard(one.parts(SERIES)[0], "why", reached=reached)
        later = one.sift(SERIES, [hole(8)])

        assert (len(verdict.proven), len(verdict.unproven)) == ((1, 0) if reached else (0, 1))
        assert (len(later.proven), len(later.unproven)) == ((1, 0) if reached else (0, 1))
        assert reached or (verdict.why, later.why) == ("why", "why")
        assert one.parts(SERIES) == []


def test_a_month_that_gives_nothing_says_nothing_about_its_days():
    one = evidence()
    one.not_heard(part_of(MONTH), "not there", reached=True)

    assert one.sift(SERIES, [hole(5)]).proven == []


# Known holes


def test_known_holes_that_are_due_are_counted_by_day_with_their_oldest_note():
    known = [
        hole(1, confirmed_ms=70),
        hole(2, confirmed_ms=60),
        hole(3, kind="rejected"),
        hole(4, file_ms=DUE),
        hole(0, day_ms=DAY + DAY_MS),
    ]

    assert evidence().due_days(SERIES, known) == (DueDay(DAY, 2, 60),)
    assert evidence(DUE + LATE_MS).due_days(SERIES, known) == (
        DueDay(DAY, 3, 60),
        DueDay(DAY + DAY_MS, 1, 1),
    )


def test_only_the_holes_of_the_chosen_days_that_are_due_are_reopened():
    one = evidence(DUE + DAY_MS)
    known = [hole(1), hole(2, kind="rejected"), hole(3, file_ms=DUE), hole(1440)]

    assert one.reopen(SERIES, known, frozenset({DAY})) == {DAY + MINUTE_MS}
    assert [minutes_of(part.wanted) for part in one.parts(SERIES)] == [[1]]


def test_a_known_hole_whose_file_cannot_be_had_stays_what_it_was():
    one = evidence()
    one.reopen(SERIES, [hole(1)], frozenset({DAY}))
    one.sift(SERIES, [hole(2)])

    verdict = one.not_heard(one.parts(SERIES)[0], "why", reached=False)

    assert [absence.open_time_ms for absence in verdict.unproven] == [DAY + 2 * MINUTE_MS]


OTHER = Series("binance", "BBBUSDT", Interval.parse("1m"))


def test_the_oldest_notes_are_held_against_files_first_and_the_rest_is_counted():
    due = {
        SERIES: [DueDay(DAY, 3, 50), DueDay(DAY + DAY_MS, 4, 10)],
        OTHER: [DueDay(DAY, 5, 20)],
    }

    assert choose(due, {}, 2) == Choice({SERIES: frozenset({DAY + DAY_MS}), OTHER: frozenset({DAY})}, 9, 2, 3)


def test_days_in_files_that_are_read_anyway_are_held_against_them_beside_those():
    due = {SERIES: [DueDay(DAY, 3, 50), DueDay(DAY + DAY_MS, 4, 10)]}

    choice = choose(due, {SERIES: [TimeRange(DAY, DAY + DAY_MS)]}, 0)

    assert choice == Choice({SERIES: frozenset({DAY})}, 3, 1, 4)


# Nothing is lost and nothing is settled twice, whatever is asked and answered

days = st.integers(0, 3)
some_minutes = st.sets(st.tuples(days, st.integers(0, 23)), max_size=12)
HOURLY = Series("binance", "AAAUSDT", Interval.parse("1h"))


@given(
    st.lists(some_minutes, max_size=4),
    some_minutes,
    st.dictionaries(days, st.sampled_from(["absent", "unreachable"])),
)
def test_every_minute_is_found_proven_or_left_open_once_and_each_file_is_asked_once(rounds, lacking, silent):
    one = evidence(DUE + 2 * DAY_MS)
    settled, asked, given_before = {}, [], set()

    def take(verdict):
        for kind, times in (
            ("found", [time for part in verdict.found for time in range(part.start_ms, part.end_ms, HOUR_MS)]),
            ("proven", [absence.open_time_ms for absence in verdict.proven]),
            ("open", [absence.open_time_ms for absence in verdict.unproven]),
        ):
            for time_ms in times:
                assert time_ms not in settled
                settled[time_ms] = kind

    for minutes in rounds:
        fresh = sorted(minutes - given_before)
        given_before |= set(fresh)
        take(one.sift(HOURLY, [hole(hour * 60, day_ms=DAY + day * DAY_MS) for day, hour in fresh]))
        for part in one.parts(HOURLY):
            day = (part.file.span.start_ms - DAY) // DAY_MS
            asked.append((day, part))
            if day in silent:
                take(one.not_heard(part, "why", reached=silent[day] == "absent"))
            else:
                gone = [24 * 60 * day + hour * 60 for that, hour in lacking if that == day]
                take(one.heard([part], content(part.file, lacking=gone)))

    assert one.parts(HOURLY) == []
    for day, hour in given_before:
        kind = settled.pop(DAY + day * DAY_MS + hour * HOUR_MS)
        # The file of the last day is not published yet.
        published = {"unreachable": "open", "absent": "proven", None: "proven" if (day, hour) in lacking else "found"}
        assert kind == ("proven" if day == 3 else published[silent.get(day)])
    assert not settled
    # A file is asked once more only for what it has, and nobody wanted before.
    for index, (day, part) in enumerate(asked):
        if day in [before for before, _ in asked[:index]]:
            hours = {
                (span.start_ms - DAY) // HOUR_MS + n for span in part.wanted for n in range(span.count(HOURLY.interval))
            }
            assert day not in silent
            assert not lacking & {divmod(hour, 24) for hour in hours}
