"""Where the candles of a store came from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Final, Literal

from laklak.model.series import Interval, TimeRange
from laklak.model.spans import laid_over, overlap

Source = Literal["rest", "archive", "copy", "live", "import", "resample"]
"""A venue's API, its bulk files, another store that does not know, a stream, the user's file, shorter candles."""
State = Literal["confirmed", "provisional"]
"""A streamed candle is provisional until the venue's API has given the same."""

REST: Final[Source] = "rest"
ARCHIVE: Final[Source] = "archive"
COPY: Final[Source] = "copy"
IMPORT: Final[Source] = "import"
RESAMPLE: Final[Source] = "resample"


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of a series whose candles one source gave, in runs that began from `first_run_ms` to `last_run_ms`.

    A run is known by its start, by this machine's clock, as in laklak_runs.
    """

    span: TimeRange
    source: Source
    state: State
    first_run_ms: int
    last_run_ms: int

    def over(self, span: TimeRange) -> Stretch:
        """The same for another stretch."""
        return self if span == self.span else replace(self, span=span)

    def joins(self, other: Stretch) -> bool:
        """Whether both come from the same source in the same state."""
        return (self.source, self.state) == (other.source, other.state)

    def joined(self, other: Stretch) -> Stretch:
        """Join both, from the first run to the last."""
        return Stretch(
            TimeRange(min(self.span, other.span).start_ms, max(self.span.end_ms, other.span.end_ms)),
            self.source,
            self.state,
            min(self.first_run_ms, other.first_run_ms),
            max(self.last_run_ms, other.last_run_ms),
        )


@dataclass(frozen=True, slots=True)
class BulkFile:
    """A bulk file of a series that a run has read, which began at `run_ms`: it had the published checksum `sha256`.

    `span`: the whole day or month that it is of.
    """

    span: TimeRange
    name: str
    sha256: str
    run_ms: int


def given_by(source: Source, open_times: Sequence[int], interval: Interval, run_ms: int) -> tuple[Stretch, ...]:
    """Return what a source gave in a run: candles at these times, which are rising, confirmed."""
    return tuple(Stretch(span, source, "confirmed", run_ms, run_ms) for span in _neighbours(open_times, interval.ms))


def carried(known: Iterable[Stretch], copied: Sequence[Stretch]) -> list[Stretch]:
    """Return the provenance of `copied` stretches (in order, disjoint), overlaid with what the other store knows."""
    spans = [stretch.span for stretch in copied]
    parts = (stretch.over(part) for stretch in known for part in overlap([stretch.span], spans))
    return reduce(laid_over, parts, list(copied))


def _neighbours(open_times: Sequence[int], step_ms: int) -> list[TimeRange]:
    """Join rising times to ranges, each found by halving: a month without a gap takes one look."""
    found: list[TimeRange] = []
    first, count = 0, len(open_times)
    while first < count:
        start_ms, last, beyond = open_times[first], count - 1, count
        if open_times[last] - start_ms != (last - first) * step_ms:
            last, beyond = first, count - 1
            while beyond - last > 1:
                middle = (last + beyond) // 2
                if open_times[middle] - start_ms == (middle - first) * step_ms:
                    last = middle
                else:
                    beyond = middle
        found.append(TimeRange(start_ms, open_times[last] + step_ms))
        first = last + 1
    return found
