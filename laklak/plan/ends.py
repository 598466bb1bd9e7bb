"""Where a series begins or ends, found by looking at pages: for venues without a question for such a candle.  Pure.

A search walks back from the end of the span until a page has candles, then halves the rest.  It takes a page without
candles to mean that the series is not alive there, so a silence longer than a page hides what lies beyond it: use the
pages of the longest interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

from laklak.model.candles import Cut
from laklak.model.series import Interval, TimeRange
from laklak.plan.answers import Edge

_WALKED: Final = 32
"""Up to this many pages are looked at one by one; of more, in ever larger steps."""


@dataclass(frozen=True, slots=True)
class EdgeSearch:
    """A search for the first or the newest candle. `span`, on the grid, is where it can still be.

    `found_ms`: the best candle that a page has shown. `looked_ms`: the start of the last page without candles.
    """

    edge: Edge
    interval: Interval
    span: TimeRange
    page_ms: int
    looked_ms: int
    steps: int = 0
    found_ms: int | None = None
    cut: Cut | None = None

    @classmethod
    def over(cls, edge: Edge, interval: Interval, span: TimeRange, page: int, cut: Cut | None = None) -> Self:
        """Search `span` with pages of `page` candles; `cut`: which rows an answer may silently lack."""
        return cls(edge, interval, span, page * interval.ms, span.end_ms, cut=cut)

    def window(self) -> TimeRange | None:
        """The page to look at next; None at the end of the search."""
        if self.found_ms is None:
            return self._back()
        span, page_ms = self.span, self.page_ms
        size_ms = span.end_ms - span.start_ms
        if size_ms <= page_ms:
            return span if span else None
        middle_ms = span.start_ms + self.interval.floor(size_ms // 2)
        if self.edge == "first":
            return TimeRange(middle_ms, min(middle_ms + page_ms, span.end_ms))
        return TimeRange(max(span.start_ms, middle_ms - page_ms), middle_ms)

    def heard(self, window: TimeRange, times: Sequence[int]) -> Self:
        """Narrow the search after a page showed these open times, oldest first."""
        start_ms, end_ms = self.span.start_ms, self.span.end_ms
        if not times:
            if self.found_ms is None:
                return replace(self, steps=self.steps + 1, looked_ms=window.start_ms)
            first = self.edge == "first"
            return replace(
                self, span=TimeRange(window.end_ms, end_ms) if first else TimeRange(start_ms, window.start_ms)
            )
        if self.edge == "first":
            reached = window.start_ms <= start_ms and (self.cut != "oldest" or times[0] <= start_ms)
            return replace(self, found_ms=times[0], span=TimeRange(start_ms, start_ms if reached else times[0]))
        end_ms = self.looked_ms if self.found_ms is None else end_ms
        newest_ms = times[-1]
        reached = window.end_ms >= end_ms and (self.cut != "newest" or newest_ms + self.interval.ms >= end_ms)
        return replace(
            self, found_ms=newest_ms, span=TimeRange(end_ms if reached else newest_ms + self.interval.ms, end_ms)
        )

    def _back(self) -> TimeRange | None:
        """The next page on the way back from the end."""
        start_ms = self.span.start_ms
        if self.looked_ms <= start_ms:
            return None
        pages = -(-(self.span.end_ms - start_ms) // self.page_ms)
        back = self.steps if pages <= _WALKED else 2**self.steps - 1
        end_ms = max(self.span.end_ms - back * self.page_ms, min(start_ms + self.page_ms, self.looked_ms))
        return TimeRange(max(start_ms, end_ms - self.page_ms), end_ms)
