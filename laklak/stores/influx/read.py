"""Candles read back from InfluxDB: counts first, timestamps only where they are needed, values in slices."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

from laklak.lineprotocol import FIELDS
from laklak.model import DAY_MS, Series, TimeRange
from laklak.stores.base import Columns
from laklak.stores.influx.place import Days, Layout, Place, parts
from laklak.stores.influx.types import FieldTypes

_CANDLES_PER_QUERY: Final = 50_000
_REMEMBERED_S: Final = 5.0
_NS_PER_MS: Final = 1_000_000
# Holes that are closer than this are looked up together.
_NEAR_MS: Final = DAY_MS // 4


class CandleReader:
    """Reads the candles of one database.

    Points off the grid of the interval are no candles.  No server can be asked for the grid, so a range is taken as
    counted when the count of each day is possible and its first and last point are on the grid; otherwise every
    timestamp is looked at.
    """

    def __init__(self, place: Place, types: FieldTypes, measurement: str) -> None:
        self._place = place
        self._types = types
        self._measurement = measurement
        self._layouts: dict[str, Layout] = {}
        # By day, of ranges that were not full when they were counted, and until when that holds; each is given once.
        self._counted: dict[Series, tuple[TimeRange | None, dict[int, int], float]] = {}

    def measurement_of(self, venue: str) -> str:
        """The measurement that keeps the candles of a venue."""
        return self._measurement.replace("{venue}", venue)

    async def open_parts(self, series: Series, span: TimeRange) -> list[TimeRange]:
        """`span` without the shards where fields are no floats: no candle is there, whatever can be counted."""
        return await self._types.open_parts(self.measurement_of(series.venue), span)

    async def layout(self, measurement: str) -> Layout:
        """What is known about a measurement; looked up once."""
        known = self._layouts.get(measurement)
        if known is None:
            known = self._layouts[measurement] = await self._place.layout(measurement)
        return known

    async def count(self, series: Series, span: TimeRange) -> int:
        """Candles in `span`."""
        by_day = await self._count_days(series, span)
        count = sum(by_day.values())
        if count != span.count(series.interval):
            # The question that follows on a range that is not full; a server takes as long for it as for the first.
            self._counted[series] = (span, by_day, time.monotonic() + _REMEMBERED_S)
        return count

    async def count_by_day(self, series: Series, span: TimeRange) -> dict[int, int]:
        """The same per UTC day; days without candles are left out."""
        counted_span, by_day, until_s = self._counted.pop(series, (None, {}, 0.0))
        fresh = counted_span == span and time.monotonic() < until_s
        return by_day if fresh else await self._count_days(series, span)

    def changed(self, series: Series) -> None:
        """Forget what was counted of a series that is written to."""
        self._counted.pop(series, None)

    async def _count_days(self, series: Series, span: TimeRange) -> dict[int, int]:
        if not span:
            return {}
        found = await self._place.days(self.measurement_of(series.venue), series, span)
        if found is None:
            return {}
        if _possible(series, found):
            return dict(found.counts)
        exact: dict[int, int] = {}
        for open_time in await self.open_times(series, span):
            day = open_time - open_time % DAY_MS
            exact[day] = exact.get(day, 0) + 1
        return exact

    async def open_times(self, series: Series, span: TimeRange) -> list[int]:
        """The open_times in `span` that lie on the grid, rising."""
        measurement = self.measurement_of(series.venue)
        times: list[int] = []
        for part in await self._slices(series, span):
            times += await self._place.times(measurement, series, await self.open_parts(series, part))
        return times

    async def stored_among(self, series: Series, open_times: Sequence[int]) -> set[int]:
        """Which of these minutes, rising, have a candle."""
        if not open_times:
            return set()
        measurement = self.measurement_of(series.venue)
        spans = [part for run in _runs(open_times) for part in await self.open_parts(series, run)]
        return set(await self._place.times(measurement, series, spans)).intersection(open_times)

    async def candles(self, series: Series, span: TimeRange, last: int | None = None) -> Columns:
        """Candles in `span`, oldest first; with `last` only the newest so many. A field that is missing is NaN."""
        if last is not None:
            return await self._newest(series, span, last)
        return await self._gather(series, await self._slices(series, span))

    async def _newest(self, series: Series, span: TimeRange, last: int) -> Columns:
        measurement = self.measurement_of(series.venue)
        edges = await self._place.edges(measurement, series, span) if span and last > 0 else None
        found = _joined([])
        width, end_ms = last, edges.end_ms if edges else 0
        while edges and len(found.open_times) < last and end_ms > edges.start_ms:
            # Where candles are missing, the newest so many reach back further than so many minutes.
            width = min(width, _CANDLES_PER_QUERY)
            start_ms = max(edges.start_ms, end_ms - width * series.interval.ms)
            found = _joined([await self._gather(series, [TimeRange(start_ms, end_ms)]), found])
            width, end_ms = width * 4, start_ms
        return (
            Columns(found.open_times[-last:], tuple(column[-last:] for column in found.values)) if last > 0 else found
        )

    async def _gather(self, series: Series, spans: Sequence[TimeRange]) -> Columns:
        measurement = self.measurement_of(series.venue)
        # A 2.7.12 server that reads across a border of types shows nothing beyond it.
        parts = [part for span in spans for part in await self.open_parts(series, span)]
        return _joined([await self._place.candles(measurement, series, part) for part in parts])

    async def _slices(self, series: Series, span: TimeRange) -> list[TimeRange]:
        """`span` cut so that an answer is never large; what lies before the first and after the last is left out."""
        step_ms = _CANDLES_PER_QUERY * series.interval.ms
        if span.end_ms - span.start_ms <= step_ms:
            return [span] if span else []
        edges = await self._place.edges(self.measurement_of(series.venue), series, span)
        return list(parts(edges.clip(span), step_ms)) if edges else []


def _possible(series: Series, days: Days) -> bool:
    """Whether so many points a day, from a first to a last one, can all be candles on the grid."""
    step_ns = series.interval.ms * _NS_PER_MS
    if days.first_ns % step_ns or days.last_ns % step_ns:
        return False
    if sum(days.counts.values()) > (days.last_ns - days.first_ns) // step_ns + 1:
        return False
    return all(count <= DAY_MS // series.interval.ms for count in days.counts.values())


def _runs(open_times: Sequence[int]) -> Iterator[TimeRange]:
    start = 0
    for i, (before, after) in enumerate(pairwise(open_times), 1):
        if after - before > _NEAR_MS:
            yield TimeRange(open_times[start], before + 1)
            start = i
    yield TimeRange(open_times[start], open_times[-1] + 1)


def _joined(found: Sequence[Columns]) -> Columns:
    if len(found) == 1:
        return found[0]
    columns: list[array[Any]] = [array("q"), *(array("d") for _ in FIELDS)]
    for part in found:
        for column, cells in zip(columns, (part.open_times, *part.values), strict=True):
            column.extend(cells)
    return Columns(columns[0], tuple(columns[1:]))
