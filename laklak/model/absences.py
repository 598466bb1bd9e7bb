"""Stretches of a series in which its venue has no usable candle, with the evidence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from laklak.model.series import Interval, TimeRange
from laklak.model.spans import gaps, parted

MinuteKind = Literal["hole", "rejected"]
SpanKind = Literal["quiet", "closed", "before_first", "after_last"]
AbsenceKind = MinuteKind | SpanKind

MINUTE_KINDS: Final[tuple[MinuteKind, ...]] = ("hole", "rejected")
"""Kinds that are kept one by one, so that a person can forget a single one."""
SPAN_KINDS: Final[tuple[SpanKind, ...]] = ("quiet", "closed", "before_first", "after_last")
"""Kinds that may last for years, kept as one row."""
UNWANTED_KINDS: Final[tuple[SpanKind, ...]] = ("closed", "before_first", "after_last")
"""Kinds of which no candle is wanted; a quiet minute is wanted, and known to have none."""
EDGE_KINDS: Final[tuple[SpanKind, ...]] = ("before_first", "after_last")
"""Kinds that a single candle disproves: a series has one beginning and one end."""


@dataclass(frozen=True, slots=True)
class Absence:
    """A stretch without usable candles, remembered as data and not asked for again.

    `hole`: two complete answers lack it. `rejected`: one candle whose row broke the rules twice; `row` is that row as
    JSON. `quiet`: a venue that leaves out minutes without trades lacks it in one complete answer. `closed`: the venue
    did not trade then. `before_first`, `after_last`: the series had not begun, or had ended.

    The evidence: `confirmed_at_ms` is this machine's clock, `venue_ms` the venue's at that moment; `file_ms`, also by
    the venue's clock, is when its bulk file last lacked it; None means never, or not noted.  `sources` are the ones
    asked (see laklak.model.provenance).  Joined stretches keep the oldest evidence.
    """

    span: TimeRange
    kind: AbsenceKind
    confirmed_at_ms: int
    reason: str
    row: str | None = None
    venue_ms: int | None = None
    file_ms: int | None = None
    sources: tuple[str, ...] = ()

    @classmethod
    def at(
        cls,
        interval: Interval,
        open_time_ms: int,
        kind: AbsenceKind,
        confirmed_at_ms: int,
        reason: str,
        row: str | None = None,
        venue_ms: int | None = None,
        file_ms: int | None = None,
        sources: tuple[str, ...] = (),
    ) -> Absence:
        """Make the absence of one candle."""
        span = TimeRange(open_time_ms, open_time_ms + interval.ms)
        return cls(span, kind, confirmed_at_ms, reason, row, venue_ms, file_ms, sources)

    @property
    def open_time_ms(self) -> int:
        """When its first candle would open."""
        return self.span.start_ms

    @property
    def is_span(self) -> bool:
        """Whether its kind is kept as one row, however long."""
        return self.kind in SPAN_KINDS

    def over(self, span: TimeRange) -> Absence:
        """The same for another stretch."""
        return self if span == self.span else replace(self, span=span)

    def candles(self, interval: Interval) -> Iterator[Absence]:
        """Return one absence for each candle that would be there."""
        if self.span.count(interval) == 1:
            yield self
            return
        for open_time_ms in range(self.span.start_ms, self.span.end_ms, interval.ms):
            yield self.over(TimeRange(open_time_ms, open_time_ms + interval.ms))

    def joins(self, other: Absence) -> bool:
        """Whether both say the same, apart from where and when."""
        return (self.kind, self.reason, self.row, self.sources) == (other.kind, other.reason, other.row, other.sources)

    def joined(self, other: Absence) -> Absence:
        """Join both, as old as the older one; if this one covers the other, it counts alone."""
        if self.span.clip(other.span) == other.span:
            return self
        return replace(
            self,
            span=TimeRange(min(self.span, other.span).start_ms, max(self.span.end_ms, other.span.end_ms)),
            confirmed_at_ms=min(self.confirmed_at_ms, other.confirmed_at_ms),
            venue_ms=_older(self.venue_ms, other.venue_ms),
            file_ms=_older(self.file_ms, other.file_ms),
        )

    def left_by(self, stored: Sequence[int], interval: Interval) -> list[Absence]:
        """Return what is still true once candles are stored at these times, which are rising.

        One candle disproves an end of the series: all of it is asked for again. From other kinds it takes its own
        minute.
        """
        inside = [time_ms for time_ms in stored if self.span.start_ms <= time_ms < self.span.end_ms]
        if not inside:
            return [self]
        return [] if self.kind in EDGE_KINDS else [self.over(part) for part in gaps(self.span, inside, interval)]


def minutes(absences: Iterable[Absence], kinds: Iterable[AbsenceKind], interval: Interval) -> int:
    """Count the candles that are absent in these ways."""
    chosen = frozenset(kinds)
    return sum(absence.span.count(interval) for absence in absences if absence.kind in chosen)


def outside_of(spans: Sequence[Absence], others: Iterable[Absence]) -> list[Absence]:
    """Drop the `others` that lie inside `spans` (in order, disjoint), which already cover them."""
    if not spans:
        return list(others)
    covered = [one.span for one in spans]
    return [one for one in others if not parted([one.span], covered)[1]]


def _older(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else min(one, other)
