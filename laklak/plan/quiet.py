"""Minutes without trades, of a venue that leaves these out: one complete answer settles them.  Pure.

A lacking minute between known candles is not the end of the series, and a second answer could clear up nothing else;
only near the venue's clock it may still come.  If a second question was needed because nothing around the minute was
known yet, it makes the minute quiet, where another venue would have a hole.
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
    """Turn settled doubts and holes of an outcome into quiet stretches.

    `known` spans the oldest to the newest known candle of the series.
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
