"""Rows of an unknown form: is the row broken, or has the venue changed its form?

If no row of an answer has the known form, laklak does not understand the answer: it takes nothing, and asks again as
after any faulty answer. One row, or a few, prove nothing: they are in doubt, and their second question includes
neighbours, which may show the known form (laklak.plan.rows.Checked.proves). Decides only.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from laklak.model.candles import Chunk
from laklak.model.series import TimeRange
from laklak.plan.answers import FirstQuestion, Question, SecondQuestion
from laklak.plan.chunks import Tiers
from laklak.plan.rows import Checked, check_page
from laklak.venues import Venue
from laklak.venues.base import Answer, Asked, DecodeError

_SHOWN: Final = 200


def read_answer(venue: Venue, question: Question, asked: Asked, answer: Answer) -> Checked:
    """The candles of an answer and its refused rows. DecodeError if its rows are not understood.

    Rows newest first are the adapter's fault: DecodeError, and no row is refused.
    """
    chunk = question.chunk
    page = venue.read_candles(answer, asked)
    checked = check_page(page, chunk.series, chunk.range)
    if checked.newest_first:
        raise DecodeError(f"its candles come newest first, and laklak's adapter of {venue.name} does not turn them")
    if page.sessions is not None:
        checked = replace(checked, sessions=page.sessions)
    if page.final_ms is not None:
        checked = _final(checked, chunk.until(page.final_ms), page.final_ms)
    if checked.refusals and checked.not_understood and not _too_few_to_tell(question, venue.page.steps):
        first = checked.refusals[0]
        raise DecodeError(f"no row has the form that is known ({first.reason}): {first.row[:_SHOWN]}")
    return checked


def _final(checked: Checked, chunk: Chunk, final_ms: int) -> Checked:
    """The part of a delayed feed's answer that is final."""
    refusals = [one for one in checked.refusals if one.open_time_ms is None or one.open_time_ms < chunk.range.end_ms]
    return replace(checked, candles=checked.candles.only([chunk.range]), refusals=refusals, final_ms=final_ms)


def with_neighbours(question: SecondQuestion, tiers: Tiers, closed_ms: int) -> SecondQuestion:
    """Widen a second question about rows of an unknown form: with more neighbours than there are such rows.

    As a rule it grows to what the cheapest request holds, never beyond what `tiers`, the price steps allowed, hold.
    Half of the neighbours come after the rows, which says most; `closed_ms` is the end of the last candle wanted by
    now.
    """
    unread = sum(refusal.unknown_form for refusal in question.doubts.refused.values())
    chunk = question.chunk
    # A row without a time is placed by its neighbours; alone it belongs to no minute.
    placeless = question.doubts.unproven and chunk.limit < tiers[0][0]
    if not unread and not placeless:
        return question
    size = min(max(tiers[0][0], 2 * unread + 2, chunk.limit + 1), tiers[-1][0])
    return replace(question, chunk=replace(chunk, range=_around(chunk, size, closed_ms)))


def unread_detail(checked: Checked) -> str | None:
    """Why minutes stay open, if rows of an unknown form are the reason; otherwise None."""
    unread = checked.unread
    return f"a row of a form that is not known ({unread[0].reason}): {unread[0].row[:_SHOWN]}" if unread else None


def _too_few_to_tell(question: Question, tiers: Tiers) -> bool:
    return isinstance(question, FirstQuestion) and question.chunk.limit < tiers[0][0]


def _around(chunk: Chunk, size: int, closed_ms: int) -> TimeRange:
    """A range of `size` candles with the chunk in its middle, not after `closed_ms` and not before 1970."""
    span, interval = chunk.range, chunk.series.interval
    more = max(0, size - chunk.limit)
    end_ms = max(span.end_ms, min(span.end_ms + (more + 1) // 2 * interval.ms, interval.floor(closed_ms)))
    before = more - (end_ms - span.end_ms) // interval.ms
    return TimeRange(max(0, span.start_ms - before * interval.ms), end_ms)
