"""What a copy from one store to another is: its plan, the candles on their way, its account.  Pure.

wanted    every minute of a series that the source knows: a candle, a hole or a reject
missing   what the destination lacks of it. A candle is lacking where none is stored, a hole or reject where
          nothing at all is known: stored beats hole, on both sides
"""

from __future__ import annotations

import shlex
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import isfinite, isnan
from pathlib import Path
from typing import Any, Final

import orjson

from laklak.model.absences import Absence
from laklak.model.candles import CandleBatch, places
from laklak.model.provenance import COPY, BulkFile, Stretch, carried, given_by
from laklak.model.series import Series, TimeRange, iso
from laklak.model.spans import count, overlap, parted, union, without
from laklak.plan.chunks import plan_chunks
from laklak.plan.missing import SeriesPlan
from laklak.report.ledger import Ledger
from laklak.stores.access import StoreAccess
from laklak.stores.base import Columns, Delivery
from laklak.stores.coverage import Presence
from laklak.stores.influx.lines import FIELDS
from laklak.text import mask_url

PART_MINUTES: Final = 50_000
"""Minutes read at once, at most: 2.4 MB, and one query of a server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyJob:
    """`series` empty is all that the source has; `force` also mixes real and simulated candles.

    `other_address` mixes candles of a venue that came from different addresses.

    `state_dir`: where it is remembered what a full server was sent.
    """

    source: StoreAccess
    destination: StoreAccess
    state_dir: Path
    series: tuple[Series, ...] = ()
    force: bool = False
    within_retention: bool = False
    other_address: bool = False


# The plan


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyPlan(SeriesPlan):
    """A series of a copy. `stored`, `holes` and `rejected` are at the destination, `wanted` spans what the source has.

    `missing` is `candles` and `absences` together, without what is `blocked` at the destination. The source itself
    knows nothing of `source_missing` minutes in `wanted`: they are not counted, and neither is what is `absent` there.
    """

    candles: tuple[TimeRange, ...]
    absences: tuple[TimeRange, ...]
    source_missing: int
    spans: tuple[Absence, ...] = ()
    """Stretches without candles that the source knows and the destination does not."""
    files: tuple[BulkFile, ...] = ()
    """Bulk files that the source was filled from, of which the destination knows none of the same time."""

    @property
    def wanted_count(self) -> int:
        return self.wanted.count(self.series.interval) - self.absent - self.source_missing


@dataclass(frozen=True, slots=True)
class Part:
    """What is read at once: `range` is asked, `candles` and `absences` in it are wanted. Each minute is in one part."""

    ledger: Ledger
    range: TimeRange
    candles: tuple[TimeRange, ...]
    absences: tuple[TimeRange, ...]


def plan_copy(
    series: Series, span: TimeRange, source: Presence, destination: Presence, closed: Sequence[TimeRange] = ()
) -> CopyPlan:
    """Hold what two stores have of `span`, a range on the grid, against each other.

    The destination takes no candle in the ranges that are `closed`, which are on the grid, in order and disjoint.
    """
    interval = series.interval
    source_absences = union(one.span for one in source.absences if not one.is_span)
    # Stretches without candles are carried as they are.
    source_spans = union(one.span for one in source.absences if one.is_span)
    # What is not whole at the source is wanted too: it is named when it was read.
    source_missing = overlap(source.missing, without(span, source.not_whole))
    nothing_there = union([*source_missing, *source_spans])
    source_candles = without(span, union([*nothing_there, *source_absences]))
    not_stored = union([*destination.missing, *(one.span for one in destination.absences)])
    candles, blocked = parted(overlap(not_stored, source_candles), closed)
    absences = overlap(destination.missing, source_absences)
    stored = overlap(without(span, not_stored), without(span, nothing_there))
    rejected = union(one.span for one in destination.absences if one.kind == "rejected")
    # What is known to be absent here in whatever other way is as good as a hole.
    holes = union(one.span for one in destination.absences if one.kind != "rejected")
    return CopyPlan(
        series=series,
        wanted=span,
        first_ms=None,
        stored=count(stored, interval),
        holes=count(overlap(holes, source_absences), interval),
        rejected=count(overlap(rejected, source_absences), interval),
        missing=tuple(union([*candles, *absences])),
        blocked=tuple(blocked),
        candles=tuple(candles),
        absences=tuple(absences),
        source_missing=count(source_missing, interval),
        absent=count(source_spans, interval),
        not_whole=destination.not_whole,
    )


def parts_of(ledger: Ledger, plan: CopyPlan) -> Iterator[Part]:
    """Cut what is to be copied of a series into parts, oldest first."""
    for chunk in plan_chunks(plan.series, plan.missing, ((PART_MINUTES, 1),), PART_MINUTES):
        candles, absences = overlap(chunk.wanted, plan.candles), overlap(chunk.wanted, plan.absences)
        yield Part(ledger, chunk.range, tuple(candles), tuple(absences))


# What is on its way


@dataclass(frozen=True, slots=True, eq=False)
class StoredCandles:
    """Candles that a store gave (see laklak.model.candles.Candles): floats, spelled only where somebody asks for text.

    The text of a float is the shortest that means it, with an exponent where that is short: a real 1.6.7 and a real
    2.7.12 take `1e-8` and `1e+22` and keep exactly that double.
    """

    series: Series
    open_times: Sequence[int]
    values: tuple[Sequence[float], ...]

    @property
    def texts(self) -> tuple[Sequence[str], ...]:
        return tuple(_spelled(column) for column in self.values)

    def __len__(self) -> int:
        return len(self.open_times)

    def only(self, wanted: Sequence[TimeRange]) -> StoredCandles:
        parts = places(self.open_times, wanted)
        if parts == [slice(0, len(self))]:
            return self
        return self.at(parts)

    def at(self, parts: Sequence[slice]) -> StoredCandles:
        """The candles at these places, which are in order and disjoint."""
        return StoredCandles(
            self.series,
            _picked("q", self.open_times, parts),
            tuple(_picked("d", column, parts) for column in self.values),
        )

    def encode(self, around: Sequence[str], start: int = 0, stop: int | None = None) -> bytes:
        # A million floats take 0.1 CPU s, a third of what repr() takes; a million candles with their lines 0.7.
        values = tuple(column[start:stop] for column in self.values)
        texts = tuple(_spelled(column) for column in values)
        return CandleBatch(self.series, self.open_times[start:stop], texts, values).encode(around)


def _spelled(column: Sequence[float]) -> list[str]:
    return orjson.dumps(list(column))[1:-1].decode().split(",") if len(column) else []


def _picked(kind: str, column: Sequence[Any], parts: Sequence[slice]) -> array[Any]:
    picked: array[Any] = array(kind)
    for part in parts:
        picked.extend(column[part])
    return picked


@dataclass(slots=True)
class Unsound:
    """Rows of a source that are no whole candles: `faults` says what is wrong with how many, `span` holds them all."""

    rows: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    span: TimeRange = field(default_factory=lambda: TimeRange(0, 0))

    @classmethod
    def of(cls, candles: StoredCandles) -> Unsound:
        """What is wrong with those of `candles`, oldest first, that are no whole ones."""
        found = cls()
        for time_ms, *row in zip(candles.open_times, *candles.values, strict=True):
            faults = [
                f"no {name}" if isnan(value) else f"an infinite {name}"
                for name, value in zip(FIELDS, row, strict=True)
                if not isfinite(value)
            ]
            if faults:
                found.add(cls(1, Counter(faults), TimeRange(time_ms, time_ms + candles.series.interval.ms)))
        return found

    def add(self, other: Unsound) -> None:
        """Count these too."""
        if other.rows:
            spans = [one for one in (self.span, other.span) if one]
            self.span = TimeRange(min(spans).start_ms, max(span.end_ms for span in spans))
            self.rows += other.rows
            self.faults.update(other.faults)

    def words(self, series: Series, source: StoreAccess, shown: str) -> str:
        """What is wrong, and what mends it: `shown` is the source as it may be shown."""
        faults = ", ".join(f"{fault} in {count:,}" for fault, count in self.faults.most_common())
        start, end = iso(self.span.start_ms), iso(self.span.end_ms)
        command = f"laklak backfill {series.venue}:{series.symbol} --interval {series.interval} --start {start}"
        where = mask_url(source.where) if "://" in source.where else source.where
        return (
            f"their rows in {shown} are no whole candles ({faults}), {start} to {end}; fetch them anew, then copy "
            f"again: {command} --end {end} --refetch --store {shlex.quote(where)}"
        )


@dataclass(frozen=True, slots=True)
class Taken:
    """What a part gave: the delivery for the destination, and how many of its candles and absences are not in it.

    `unsound` rows lack a number or have an infinite one; `gone` were deleted from the source since it was planned.
    """

    delivery: Delivery
    not_whole: Unsound
    gone: int

    @property
    def unsound(self) -> int:
        return self.not_whole.rows


def take(
    part: Part, columns: Columns, absences: Iterable[Absence], known: Iterable[Stretch] = (), run_ms: int = 0
) -> Taken:
    """Pick from what the source gave for a part what is wanted of it; `known`: who gave the candles to the source."""
    series = part.ledger.plan.series
    found = _on_grid(StoredCandles(series, columns.open_times, columns.values)).only(part.candles)
    candles = _sound(found)
    remembered = [one for one in absences if not one.is_span and overlap([one.span], part.absences)]
    expected = count((*part.candles, *part.absences), series.interval)
    return Taken(
        Delivery(
            series,
            candles if len(candles) else None,
            remembered,
            provenance=carried(known, given_by(COPY, candles.open_times, series.interval, run_ms)),
        ),
        not_whole=Unsound() if len(candles) == len(found) else Unsound.of(found),
        gone=expected - len(found) - len(remembered),
    )


def _on_grid(candles: StoredCandles) -> StoredCandles:
    step_ms = candles.series.interval.ms
    if not any(time_ms % step_ms for time_ms in candles.open_times):
        return candles
    return _keep(candles, [not time_ms % step_ms for time_ms in candles.open_times])


def _sound(candles: StoredCandles) -> StoredCandles:
    # A sum is finite only if every number in it is; it may be infinite without that, so then each is looked at.
    if all(isfinite(sum(column)) for column in candles.values):
        return candles
    return _keep(candles, [all(map(isfinite, row)) for row in zip(*candles.values, strict=True)])


def _keep(candles: StoredCandles, kept: Sequence[bool]) -> StoredCandles:
    return candles.at([slice(place, place + 1) for place, keep in enumerate(kept) if keep])


# The account
