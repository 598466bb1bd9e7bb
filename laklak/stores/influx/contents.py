"""What a database holds: for the line printed first, and for a copy of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import anyio

from laklak.model.series import Series, TimeRange, iso
from laklak.stores.base import Foreign
from laklak.stores.influx.database import GAP_FILLS, Database, Edges
from laklak.stores.influx.doubles import Doubles, find_doubles, strangers_beside
from laklak.stores.influx.lines import FIELDS, TAGS, series_of, tags_of
from laklak.stores.influx.look import Look, TaggedSeries
from laklak.stores.influx.reader import CandleReader
from laklak.stores.influx.types import ClosedStretch, FieldTypes
from laklak.stores.influx.v1 import influxql
from laklak.text import some_of

OWN_PREFIX: Final = "laklak_"

# Up to this many candles are counted: half a second.
_COUNTED: Final = 5_000_000
_NAMES_SHOWN: Final = 5


class Contents:
    """Looks a database over: series, candles, edges, and what is not ours."""

    def __init__(self, database: Database, reader: CandleReader, types: FieldTypes, measurement: str) -> None:
        self._database = database
        self._reader = reader
        self._types = types
        self._lists: dict[str, list[TaggedSeries]] = {}
        self._looking = anyio.Lock()
        self._beside: dict[str, tuple[Mapping[Series, Sequence[TaggedSeries]], Sequence[str]]] = {}
        pieces = [re.escape(piece) for piece in measurement.split("{venue}")]
        self._ours = re.compile(".+".join(pieces))

    async def summary(self) -> tuple[str, ...]:
        """Return `2 series`, `1,488 candles`, `2026-01-01T00:00Z to 2026-01-02T00:00Z`; nothing without candles.

        It counts candles only if that is quick.
        """
        edges = await self.series()
        if not edges:
            return ()
        spans = {series: TimeRange(first, last + series.interval.ms) for series, (first, last) in edges.items()}
        parts = [f"{len(spans):,} series"]
        if sum(span.count(series.interval) for series, span in spans.items()) <= _COUNTED:
            candles = await self._count()
            parts.append(f"{candles:,} candle{'' if candles == 1 else 's'}")
        first, end = min(span.start_ms for span in spans.values()), max(span.end_ms for span in spans.values())
        return (*parts, f"{iso(first)} to {iso(end)}")

    async def foreign(self) -> str:
        """Say in a few words what other programs have put here; empty if nothing."""
        ours, others = await self._measurements()
        for measurement in ours:
            tags = (await self._reader.layout(measurement)).foreign_tags
            if tags:
                others.append(f"points of {measurement} with the tag {some_of(tags, _NAMES_SHOWN)}")
        return some_of(others, _NAMES_SHOWN)

    async def series(self) -> Edges:
        """Return the first and the last open_time of every series of candles that this store would read."""
        ours, _ = await self._measurements()
        edges: dict[Series, tuple[int, int]] = {}
        for measurement in ours:
            found = await self._edges(measurement, "close")
            edges.update((one, times) for one, times in found.items() if self._is_read(one, measurement))
        return edges

    async def edges_of_points(self) -> Edges:
        """Return the same by the first and the last point with any of the five numbers."""
        ours, _ = await self._measurements()
        found = [(name, await self._edges(name, *FIELDS)) for name in ours]
        return {one: times for name, edges in found for one, times in edges.items() if self._is_read(one, name)}

    async def _edges(self, measurement: str, *fields: str) -> Edges:
        look = await self._database.look() if await self._types.mixed(measurement) else None
        if look is None:
            return await self._database.series_edges(measurement, *fields)
        # Asked in Flux, a 2.7.12 server leaves out series whose first points are of another type.
        found = [one for one in await look.series(measurement) if one.like_candles and set(one.tags) == set(TAGS)]
        named = [(series_of(one.tags), (one.first_ms, one.last_ms)) for one in found]
        return {series: times for series, times in named if series is not None}

    async def find_closed(self) -> None:
        """Find shards where fields of candles are no floats, also of deleted points as far as the server tells."""
        look = await self._database.look()
        for measurement in (await self._measurements())[0]:
            if look is not None and await self._types.mixed(measurement):
                series = await self._listed(look, measurement)
                times = [time_ms for one in series for time_ms in (one.first_ms, one.last_ms)]
                span = TimeRange(min(times), max(times) + 1) if times else TimeRange(0, 0)
                await self._types.look_at_all(measurement, span)

    def closed(self) -> list[tuple[str, ClosedStretch]]:
        """Return what was found so far, with the measurements."""
        return self._types.found()

    async def empty(self) -> bool:
        """Whether there are no measurements of candles."""
        return not (await self._measurements())[0]

    async def unplaced_types(self) -> list[str]:
        """Return the fields that are no floats somewhere, if the server cannot say where: `close is integer`."""
        if await self._database.look() is not None:
            return []
        ours, _ = await self._measurements()
        return [f"{name}: {one}" for name in ours for one in (await self._reader.layout(name)).conflicts]

    async def doubles(self) -> list[tuple[str, Doubles, list[TaggedSeries]]]:
        """Return the series that double the rows of a query by symbol, with their measurement and all its series."""
        found: list[tuple[str, Doubles, list[TaggedSeries]]] = []
        look = await self._database.look()
        if look is None:
            return found
        for measurement in (await self._measurements())[0]:
            read = partial(self._is_read, measurement=measurement)
            series = await self._listed(look, measurement)
            found += [(measurement, one, series) for one in find_doubles(series, read)]
        return found

    async def foreign_beside(self, series: Series, span: TimeRange) -> Foreign | None:
        """See Store.foreign."""
        look = await self._database.look()
        if look is None:
            return None
        measurement = self._reader.measurement_of(series.venue)
        async with self._looking:
            if measurement not in self._beside:
                found = await self._listed(look, measurement)
                read = partial(self._is_read, measurement=measurement)
                self._beside[measurement] = strangers_beside(found, read), await look.other_fields(measurement)
        strangers, fields = self._beside[measurement]
        points = [
            (max(one.first_ms, span.start_ms), f"points of {measurement} mean it by other tags: {one.name}")
            for one in strangers.get(series, ())
            if one.first_ms < span.end_ms and one.last_ms >= span.start_ms
        ]
        counts: Mapping[str, int] = {}
        if fields and span:
            condition = influxql.tagged(tags_of(series), await self.foreign_tags(measurement))
            counts = await look.count_fields(measurement, condition, fields, span)
        return Foreign(tuple(points), counts)

    async def _listed(self, look: Look, measurement: str) -> list[TaggedSeries]:
        """Return a measurement's series, asked for once: a second for thousands of series."""
        if measurement not in self._lists:
            self._lists[measurement] = await look.series(measurement)
        return self._lists[measurement]

    async def foreign_tags(self, measurement: str) -> tuple[str, ...]:
        """Return the tags of a measurement that no candle has."""
        return (await self._reader.layout(measurement)).foreign_tags

    async def _count(self) -> int:
        ours, _ = await self._measurements()
        counts = [(name, await self._database.series_counts(name)) for name in ours]
        return sum(count for name, found in counts for one, count in found.items() if self._is_read(one, name))

    def _is_read(self, series: Series, measurement: str) -> bool:
        return self._reader.measurement_of(series.venue) == measurement

    async def _measurements(self) -> tuple[list[str], list[str]]:
        names = await self._database.measurements()
        others = [name for name in names if not name.startswith(OWN_PREFIX) and name != GAP_FILLS]
        ours = [name for name in others if self._ours.fullmatch(name)]
        return ours, [name for name in others if name not in ours]
