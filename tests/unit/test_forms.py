"""Rows of a form that is not known: who is to blame, the row or the reader."""

from __future__ import annotations

import orjson
import pytest

from laklak.model.candles import Chunk
from laklak.model.series import MINUTE_MS, Interval, Series, TimeRange
from laklak.plan.answers import Doubts, FirstQuestion, SecondQuestion
from laklak.plan.rows import Refusal, check_page
from laklak.sources.forms import read_answer, unread_detail, with_neighbours
from laklak.venues import VENUES
from laklak.venues.base import Answer, Asked, DecodeError, unlisted

BINANCE = VENUES["binance"]
MINUTE = Interval.parse("1m")
SERIES = Series("binance", "BTCUSDT", MINUTE)
START = 1_772_323_200_000
TIERS = ((99, 1), (499, 2), (1000, 5), (1500, 10))


def at(minute):
    return START + minute * MINUTE_MS


def span(start, end):
    return TimeRange(at(start), at(end))


def row(minute, open="10", close="11"):
    return [at(minute), open, "12", "9", close, "1", at(minute) + MINUTE_MS - 1, "5", 3, "1", "2", "0"]


def unread(minute):
    return row(minute, open=None)


def question(start, end, refused=()):
    refusals = {at(minute): Refusal(at(minute), "", "", unknown_form=True) for minute in refused}
    doubts = Doubts(refused=refusals) if refused else None
    chunk = Chunk(SERIES, span(start, end), (span(start, end),))
    return FirstQuestion(chunk) if doubts is None else SecondQuestion(chunk, doubts)


def asked(span):
    return Asked(SERIES, unlisted("BTCUSDT"), span)


def read(question, body):
    return read_answer(BINANCE, question, asked(question.chunk.range), Answer(200, {}, body))


def check(rows, start=0, end=100):
    return check_page(
        BINANCE.read_candles(Answer(200, {}, orjson.dumps(rows)), asked(span(start, end))), SERIES, span(start, end)
    )


# Rows in the wrong order


def test_rows_newest_first_are_the_fault_of_the_adapter_that_is_named():
    rows = [row(minute) for minute in reversed(range(9))]

    with pytest.raises(DecodeError, match="newest first, and laklak's adapter of binance does not turn them"):
        read(question(0, 9), orjson.dumps(rows))


def test_two_rows_newest_first_are_asked_for_again_among_others_that_tell():
    first = read(question(0, 2), orjson.dumps([row(1), row(0)]))
    doubts = Doubts(refused={refusal.open_time_ms: refusal for refusal in first.refusals})

    second = with_neighbours(SecondQuestion(question(0, 1).chunk, doubts), TIERS, at(1000))

    assert second.chunk.limit == 99
    with pytest.raises(DecodeError, match="newest first"):
        read(second, orjson.dumps([row(minute) for minute in reversed(range(99))]))


# What a page says of its rows


def test_cells_behind_the_known_ones_change_nothing():
    plain = [row(minute) for minute in range(3)]

    assert check([[*cells, "x", None] for cells in plain]).candles.texts == check(plain).candles.texts


@pytest.mark.parametrize("place", range(7))
@pytest.mark.parametrize("as_many", [True, False])
def test_a_cell_among_the_known_ones_moves_the_others_and_no_row_is_read(place, as_many):
    rows = [row(minute) for minute in range(3)]
    for cells in rows:
        cells.insert(place, cells[0] if place == 0 else "11.5")
        if as_many:
            cells.pop()

    checked = check(rows)

    assert checked.not_understood
    assert len(checked.refusals) == 3


def test_a_cell_behind_close_time_is_no_matter():
    assert len(check([[*row(minute)[:7], "x", *row(minute)[7:]] for minute in range(3)]).candles) == 3


def test_a_candle_with_a_close_time_of_its_own_is_one_beside_others():
    odd = [*row(1)[:6], at(1) + 28_000, *row(1)[7:]]

    assert len(check([row(0), odd, [*row(2)[:6], 0, *row(2)[7:]]]).candles) == 3
    # And alone, where it ended early.
    assert len(check([odd]).candles) == 1


def test_close_times_may_be_spelled_as_text():
    assert len(check([[*row(0)[:6], str(row(0)[6]), *row(0)[7:]]]).candles) == 1


def test_rows_of_different_lengths_are_read_where_their_close_time_is_in_its_place():
    inserted = [*row(2)[:3], "11.5", *row(2)[3:]]

    checked = check([row(0), [*row(1), "x"], inserted, row(3)])

    assert list(checked.candles.open_times) == [at(0), at(1), at(3)]
    assert [refusal.unknown_form for refusal in checked.refusals] == [True]


@pytest.mark.parametrize(
    ("bad", "unknown"),
    [
        (row(1, close="99"), False),
        (row(1, close="-5"), False),
        (row(1, close="0"), False),
        (row(1, close="1e5"), True),
        (row(1, close="1,5"), True),
        (row(1, close=""), True),
        (row(1, close=None), True),
        (row(1, close=True), True),
        (row(1)[:11], True),
        ([str(at(1)), *row(1)[1:]], True),
        ([at(1) + 28_000, *row(1)[1:]], False),
        ([at(5000), *row(1)[1:]], False),
    ],
)
def test_a_row_is_refused_for_what_it_says_or_for_its_form(bad, unknown):
    (refusal,) = check([row(0), bad, row(2)]).refusals

    assert refusal.unknown_form == unknown


# What an answer proves


@pytest.mark.parametrize(
    ("rows", "proven"),
    [
        ([row(0), unread(1), row(2)], True),
        # No later row: it may be the first of a new form.
        ([row(0), row(1), unread(2)], False),
        # As many of the one as of the other.
        ([row(0), unread(1), row(2), unread(3)], False),
        ([unread(0), row(1), row(2)], True),
        # A row that is refused for what it says has the known form.
        ([row(0), unread(1), row(2, close="99")], True),
    ],
)
def test_a_row_is_to_blame_where_most_have_the_known_form_and_a_later_one_too(rows, proven):
    checked = check(rows)

    assert checked.proves(checked.unread[0]) == proven


def test_a_row_that_says_what_cannot_be_needs_no_others():
    checked = check([row(0, close="99")])

    assert checked.proves(checked.refusals[0])


# Reading and asking again


def test_an_answer_without_a_row_that_can_be_read_is_none_and_shows_one():
    body = orjson.dumps([unread(minute) for minute in range(100)])

    with pytest.raises(
        DecodeError, match=rf"no row has the form that is known \(open is not a decimal number\): \[{at(0)}"
    ):
        read(question(0, 100), body)


def test_a_few_rows_that_cannot_be_read_are_in_doubt_first_and_no_answer_the_second_time():
    body = orjson.dumps([unread(minute) for minute in range(5)])

    checked = read(question(0, 5), body)
    assert unread_detail(checked).startswith("a row of a form that is not known (open is not a decimal number): [")
    with pytest.raises(DecodeError):
        read(question(0, 5, refused=range(5)), body)


def test_an_empty_answer_and_one_that_says_nothing_true_are_answers():
    assert not read(question(0, 100), b"[]").refusals
    bad = orjson.dumps([row(minute, close="99") for minute in range(100)])
    assert len(read(question(0, 100), bad).refusals) == 100


def neighbours(start, end, refused, closed=10_000):
    return with_neighbours(question(start, end, refused), TIERS, at(closed)).chunk


@pytest.mark.parametrize(
    ("start", "end", "refused", "asked"),
    [
        (100, 101, [100], (51, 150)),
        # The newest candle: what is not there yet is made up for before it.
        (9_999, 10_000, [9_999], (9_901, 10_000)),
        # More rows around than there are in doubt, whatever they cost.
        (1000, 1060, range(1000, 1060), (969, 1091)),
        (1000, 1700, range(1000, 1700), (649, 2051)),
        (1000, 1900, range(1000, 1900), (700, 2200)),
        # Scattered ones have others between them; the last needs one after it.
        (1000, 1400, [1000, 1399], (1000, 1401)),
    ],
)
def test_a_second_question_about_the_form_of_rows_takes_their_neighbours_along(start, end, refused, asked):
    chunk = neighbours(start, end, refused)

    assert chunk.range == span(*asked)
    assert chunk.wanted == (span(start, end),)


def test_other_second_questions_stay_as_they_are():
    said = Refusal(at(5), "", "")
    one = SecondQuestion(question(5, 6).chunk, Doubts(refused={at(5): said}))

    assert with_neighbours(one, TIERS, at(100)) is one
