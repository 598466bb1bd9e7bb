"""Minutes without trades, of a venue that leaves these out: one complete answer settles them.  Pure.

Between candles that the series is known to have, a lacking minute is no end of it, and nothing else that a second
answer could clear up; near the venue's clock it may still come.  What is asked a second time, for nothing was known yet
around it, is quiet then, where another venue would have a hole.
"""

from __future__ import annotations

from dataclasses import replace

from laklak.model.absences import Absence
from laklak.model.provenance import REST
from laklak.model.series import Interval, TimeRange
from laklak.model.spans import parted, union
from laklak.plan.answers import HOLE_CLOSED_FOR_MS, Outcome

LACKS_IT = "a complete answer lacks it"


def with_quiet(
    outcome: Outcome, interval: Interval, known: TimeRange, *, venue_now_ms: int, confirmed_at_ms: int
) -> Outcome:
    """The same outcome, with quiet stretches in place of doubts and holes.

    `known` is from the oldest to the newest candle that the series is known to have.
    """
    final_ms = (venue_now_ms - HOLE_CLOSED_FOR_MS) // interval.ms * interval.ms
    settled = TimeRange(known.start_ms, min(known.end_ms, final_ms))
    left, inside = parted(union(outcome.doubts.absent), [settled] if settled else [])
    holes = [one.span for one in outcome.absences if one.kind == "hole"]
    quiet = [
        Absence(span, "quiet", confirmed_at_ms, LACKS_IT, venue_ms=venue_now_ms, sources=(REST,))
        for span in union([*inside, *holes])
    ]
    others = [one for one in outcome.absences if one.kind != "hole"]
    absences = sorted([*others, *quiet], key=lambda one: one.open_time_ms)
    return replace(outcome, absences=absences, doubts=replace(outcome.doubts, absent=tuple(left)))
