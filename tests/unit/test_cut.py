"""Answers that a venue may cut without a word: what they lack beyond their outermost row proves nothing by itself."""

from __future__ import annotations

import pytest

from laklak.model.candles import CandleBatch, Chunk
from laklak.model.series import MINUTE_MS, Interval, Series, TimeRange
from laklak.plan.answers import Doubts, Narrow, first_answer, second_answer, second_questions
from laklak.plan.rows import Checked

SERIES = Series("v", "X", Interval.parse("1m"))
TIERS = ((1000, 1),)
LATER = 10_000


def span(start, end):
    return TimeRange(start * MINUTE_MS, end * MINUTE_MS)


def chunk(start, end):
    return Chunk(SERIES, span(start, end), (span(start, end),))


def answer(*minutes):
    texts = tuple(["1"] * len(minutes) for _ in range(5))
    values = tuple([1.0] * len(minutes) for _ in range(5))
    return Checked(CandleBatch(SERIES, [minute * MINUTE_MS for minute in minutes], texts, values), ())


def second(asked, doubts, checked, cut="newest"):
    return second_answer(
        asked,
        doubts,
        checked,
        venue_now_ms=LATER * MINUTE_MS,
        confirmed_at_ms=0,
        newest_ms=LATER * MINUTE_MS,
        cut=cut,
    )


@pytest.mark.parametrize(
    ("cut", "absent", "narrow"),
    [
        (None, (span(0, 2), span(3, 4), span(5, 10)), ()),
        ("newest", (span(0, 2), span(3, 4)), (Narrow(span(5, 10), rows=2),)),
        ("oldest", (span(3, 4), span(5, 10)), (Narrow(span(0, 2), rows=2),)),
    ],
)
def test_only_the_side_that_a_cut_takes_is_in_doubt(cut, absent, narrow):
    doubts = first_answer(chunk(0, 10), answer(2, 4), cut).doubts

    assert (doubts.absent, doubts.narrow) == (absent, narrow)


def test_an_answer_without_rows_was_not_cut():
    assert first_answer(chunk(0, 10), answer(), "newest").doubts == Doubts((span(0, 10),))


def test_what_a_cut_may_have_taken_is_asked_in_windows_no_wider_than_the_rows_that_came():
    doubts = Doubts((span(50, 51),), narrow=(Narrow(span(3, 10), rows=3),))

    asked = [question.chunk.range for question in second_questions(SERIES, doubts, TIERS, 1000)]

    assert asked == [span(50, 51), span(3, 6), span(6, 9), span(9, 10)]


def test_two_narrow_windows_have_to_lack_a_minute_before_it_is_a_hole():
    asked, doubts = chunk(3, 6), Doubts(narrow=(Narrow(span(3, 6), rows=3),))

    once = second(asked, doubts, answer(3))

    assert (once.absences, once.undecided) == ([], 0)
    assert once.doubts == Doubts(narrow=(Narrow(span(4, 6), rows=3, lacked=True),))
    twice = second(chunk(4, 6), once.doubts, answer())
    assert [one.open_time_ms // MINUTE_MS for one in twice.absences] == [4, 5]
    assert not twice.doubts


def test_a_second_answer_that_may_be_cut_proves_nothing_beyond_its_rows_either():
    outcome = second(chunk(0, 10), Doubts((span(0, 1), span(8, 10))), answer(1, 2))

    assert [one.open_time_ms for one in outcome.absences] == [0]
    assert outcome.doubts.narrow == (Narrow(span(3, 10), rows=2),)
