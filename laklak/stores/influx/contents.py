"""What a database holds: for the line that is printed first, and for a copy of it."""

from __future__ import annotations

import re
from typing import Final

from laklak.model import Series, TimeRange, iso
from laklak.stores.influx.place import Edges, Place
from laklak.stores.influx.read import CandleReader
from laklak.text import some_of

OWN_PREFIX: Final = "laklak_"

# Up to so many candles are counted: half a second.
_COUNTED: Final = 5_000_000
_NAMES_SHOWN: Final = 5


class Contents:
    """Looks a database over: series, candles, edges, and what is not ours."""

    def __init__(self, place: Place, reader: CandleReader, measurement: str) -> None:
        self._place = place
        self._reader = reader
        pieces = [re.escape(piece) for piece in measurement.split("{venue}")]
        self._ours = re.compile(".+".join(pieces))

    async def summary(self) -> tuple[str, ...]:
        """`2 series`, `1,488 candles`, `2026-01-01T00:00Z to 2026-01-02T00:00Z`; nothing when there are no candles.

        Candles are counted only where that is quick.
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
        """What other programs have put here, in a few words; empty when there is nothing."""
        ours, others = await self._measurements()
        for measurement in ours:
            tags = (await self._reader.layout(measurement)).foreign_tags
            if tags:
                others.append(f"points of {measurement} with the tag {some_of(tags, _NAMES_SHOWN)}")
        return some_of(others, _NAMES_SHOWN)

    async def series(self) -> Edges:
        """The first and the last open_time of every series of candles that this store would read."""
        ours, _ = await self._measurements()
        edges: dict[Series, tuple[int, int]] = {}
        for measurement in ours:
            found = await self._place.series_edges(measurement, "close")
            edges.update((one, times) for one, times in found.items() if self._is_read(one, measurement))
        return edges

    async def check_fields(self) -> None:
        """Raise StoreUnavailable when there are fields of candles that are no floats."""
        ours, _ = await self._measurements()
        for measurement in ours:
            await self._reader.check_measurement(measurement)

    async def _count(self) -> int:
        ours, _ = await self._measurements()
        counts = [(name, await self._place.series_counts(name)) for name in ours]
        return sum(count for name, found in counts for one, count in found.items() if self._is_read(one, name))

    def _is_read(self, series: Series, measurement: str) -> bool:
        return self._reader.measurement_of(series.venue) == measurement

    async def _measurements(self) -> tuple[list[str], list[str]]:
        names = await self._place.measurements()
        ours = [name for name in names if self._ours.fullmatch(name) and not name.startswith(OWN_PREFIX)]
        return ours, [name for name in names if name not in ours and not name.startswith(OWN_PREFIX)]
