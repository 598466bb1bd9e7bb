"""What became of one candle, from what a store keeps about it and others.  Pure.

it is there                                 held
an absence is remembered                    rejected, quiet, outside_sessions, before_listing, after_end, hole,
                                            or outage: a hole that most series of the venue have
before the first candle, after the last     before_listing, after_end
it had not closed when last asked           beyond_clock
no source reaches back to it any more       out_of_reach
else it is missing                          failed if an attempt at it is known to have failed, or not_fetched
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

from laklak.model.absences import Absence, AbsenceKind
from laklak.model.series import Series, TimeRange
from laklak.model.spans import merge

MinuteVerdict = Literal[
    "held",
    "before_listing",
    "after_end",
    "outside_sessions",
    "out_of_reach",
    "quiet",
    "hole",
    "outage",
    "rejected",
    "not_fetched",
    "failed",
    "beyond_clock",
]

MISSING: Final[frozenset[MinuteVerdict]] = frozenset({"not_fetched", "failed"})
"""Verdicts that another run could change."""
LACKING: Final[frozenset[AbsenceKind]] = frozenset({"hole", "quiet"})
"""How a series lacks a candle that its venue does not have."""

_OF_ABSENCE: Final[Mapping[AbsenceKind, MinuteVerdict]] = {
    "hole": "hole",
    "rejected": "rejected",
    "quiet": "quiet",
    "closed": "outside_sessions",
    "before_first": "before_listing",
    "after_last": "after_end",
}


@dataclass(frozen=True, slots=True)
class Outage:
    """A stretch that most series of a venue lack; `lacking` of the `of` known ones lack the candle in question."""

    span: TimeRange
    lacking: int
    of: int


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed attempt at a candle: when it was noted, by this machine's clock, and the error."""

    at_ms: int
    error: str


@dataclass(frozen=True, slots=True)
class MinuteEvidence:
    """What is known about the candle of `series` that opens at `open_ms`.

    `values`: open to volume, if it is held. `begins_ms`, `ends_ms`: where the series lives, None if unknown.
    `reach_ms`: how far back sources reach. `as_of_ms`: when the venue was last asked; that run wanted everything that
    had closed by then.
    """

    series: Series
    open_ms: int
    as_of_ms: int
    values: tuple[float, ...] | None = None
    absence: Absence | None = None
    outage: Outage | None = None
    begins_ms: int | None = None
    ends_ms: int | None = None
    reach_ms: int = 0
    failure: Failure | None = None


def judge_minute(known: MinuteEvidence) -> MinuteVerdict:
    """Return the one verdict on a candle."""
    if known.values is not None:
        return "held"
    if known.absence is not None:
        verdict = _OF_ABSENCE[known.absence.kind]
        return "outage" if verdict == "hole" and known.outage is not None else verdict
    if known.begins_ms is not None and known.open_ms < known.begins_ms:
        return "before_listing"
    if known.ends_ms is not None and known.open_ms >= known.ends_ms:
        return "after_end"
    if known.open_ms + known.series.interval.ms > known.as_of_ms:
        return "beyond_clock"
    if known.open_ms < known.reach_ms:
        return "out_of_reach"
    return "not_fetched" if known.failure is None else "failed"


def find_outage(open_ms: int, lacking: Iterable[Sequence[TimeRange]], of: int) -> Outage | None:
    """Return the stretch around a candle that more than half of `of` series lack, or None.

    `lacking`: what each of them lacks, disjoint. A single series has nothing to compare with.
    """
    changes: Counter[int] = Counter()
    here = 0
    for spans in lacking:
        here += any(span.start_ms <= open_ms < span.end_ms for span in spans)
        changes.update(span.start_ms for span in spans)
        changes.subtract(span.end_ms for span in spans)
    count = 0
    most = []
    for start_ms, end_ms in pairwise(sorted(changes)):
        count += changes[start_ms]
        if 2 * count > of > 1:
            most.append(TimeRange(start_ms, end_ms))
    around = (span for span in merge(most) if span.start_ms <= open_ms < span.end_ms)
    return next((Outage(span, here, of) for span in around), None)
