"""What an answer leaves open, if its venue trades in sessions and leaves out minutes without trades.  Pure.

    outside of the answer's sessions                closed
    inside, or if the answer tells no sessions      quiet, once it is final
    the answer has neither sessions nor rows        minutes younger than three days stay open; older ones quiet

One complete answer settles all of it, except what the feed has not published yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from laklak.model.absences import Absence, SpanKind
from laklak.model.candles import Chunk
from laklak.model.provenance import REST
from laklak.model.series import DAY_MS, Interval, TimeRange
from laklak.model.spans import parted, union, without
from laklak.plan.quiet import LACKS_IT
from laklak.plan.rows import Checked

OUT_OF_SESSION: Final = "no session of the venue's answer covers it"
PROVES_NOTHING_FOR_MS: Final = 3 * DAY_MS


class SettledMinutes(NamedTuple):
    """Of what an answer lacks: what to remember, and what may still come."""

    absences: Sequence[Absence]
    not_yet: Sequence[TimeRange]


def settle_lacking(
    chunk: Chunk, lacking: Iterable[TimeRange], checked: Checked, *, venue_now_ms: int, confirmed_at_ms: int
) -> SettledMinutes:
    """Settle everything that an answer to a chunk lacks; `lacking` is in order and disjoint."""
    interval = chunk.series.interval
    final_ms = venue_now_ms if checked.final_ms is None else min(checked.final_ms, venue_now_ms)
    closed: list[TimeRange] = []
    open_: list[TimeRange] = list(lacking)
    if checked.sessions:
        shut = _between(checked.sessions, chunk.range, interval, final_ms)
        open_, closed = parted(open_, shut)
    elif not len(checked.candles):
        final_ms = min(final_ms, venue_now_ms - PROVES_NOTHING_FOR_MS)
    not_yet, quiet = parted(open_, [TimeRange(0, interval.floor(max(0, final_ms)))])

    def absence(span: TimeRange, kind: SpanKind, reason: str) -> Absence:
        return Absence(span, kind, confirmed_at_ms, reason, venue_ms=venue_now_ms, sources=(REST,))

    told = [absence(span, "closed", OUT_OF_SESSION) for span in closed]
    told += [absence(span, "quiet", LACKS_IT) for span in quiet]
    return SettledMinutes(sorted(told, key=lambda one: one.open_time_ms), not_yet)


def _between(sessions: Sequence[TimeRange], asked: TimeRange, interval: Interval, final_ms: int) -> Sequence[TimeRange]:
    """Return the candles of which no part lies in a session.

    After the last session that the answer tells, another may have begun: there only final minutes count.
    """
    open_ = union(TimeRange(interval.floor(one.start_ms), interval.ceil(one.end_ms)) for one in sessions)
    end_ms = min(asked.end_ms, max(open_[-1].start_ms, interval.floor(max(0, final_ms))))
    return without(TimeRange(asked.start_ms, max(asked.start_ms, end_ms)), open_)
