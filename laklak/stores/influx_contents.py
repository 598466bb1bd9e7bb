"""What a database holds, for the line that is printed first."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from laklak.lineprotocol import TAGS
from laklak.model import Interval, TimeRange, iso
from laklak.stores import influxql
from laklak.stores.influx_http import InfluxClient, Rows
from laklak.stores.influx_read import CandleReader
from laklak.stores.influx_server import find_measurements

OWN_PREFIX: Final = "laklak_"

# Up to so many candles are counted: half a second.
_COUNTED: Final = 5_000_000
_NAMES_SHOWN: Final = 5


class Contents:
    """Looks a database over: series, candles, edges, and what is not ours."""

    def __init__(self, client: InfluxClient, policy: str, reader: CandleReader, measurement: str) -> None:
        self._client = client
        self._policy = policy
        self._reader = reader
        pieces = [re.escape(piece) for piece in measurement.split("{venue}")]
        self._ours = re.compile(".+".join(pieces))

    async def summary(self) -> tuple[str, ...]:
        """`2 series`, `1,488 candles`, `2026-01-01T00:00Z to 2026-01-02T00:00Z`; nothing when there are no candles.

        Candles are counted only where that is quick.
        """
        ours, _ = await self._measurements()
        edges = await self._edges(ours)
        if not edges:
            return ()
        parts = [f"{len(edges):,} series"]
        if sum(span.count(interval) for span, interval in edges) <= _COUNTED:
            candles = await self._count(ours)
            parts.append(f"{candles:,} candle{'' if candles == 1 else 's'}")
        first, end = min(span.start_ms for span, _ in edges), max(span.end_ms for span, _ in edges)
        return (*parts, f"{iso(first)} to {iso(end)}")

    async def foreign(self) -> str:
        """What other programs have put here, in a few words; empty when there is nothing."""
        ours, others = await self._measurements()
        for measurement in ours:
            tags = (await self._reader.layout(measurement)).foreign_tags
            if tags:
                others.append(f"points of {measurement} with the tag {_some(tags)}")
        return _some(others)

    async def any_candle(self) -> bool:
        """Whether there is a candle at all."""
        ours, _ = await self._measurements()
        return bool(await self._edges(ours))

    async def _measurements(self) -> tuple[list[str], list[str]]:
        names = await find_measurements(self._client)
        ours = [name for name in names if self._ours.fullmatch(name) and not name.startswith(OWN_PREFIX)]
        return ours, [name for name in names if name not in ours and not name.startswith(OWN_PREFIX)]

    async def _edges(self, measurements: Sequence[str]) -> list[tuple[TimeRange, Interval]]:
        """From the first to the end of the last candle of each series, and its interval."""
        edges: list[tuple[TimeRange, Interval]] = []
        for measurement in measurements:
            first, last = await self._ask(measurement, ("first", "last"))
            ends = {tuple(rows.tags.values()): rows.values[0][0] for rows in last}
            for rows in first:
                interval = _interval(rows)
                end = ends.get(tuple(rows.tags.values()))
                if interval is not None and end is not None:
                    edges.append((TimeRange(rows.values[0][0], end + interval.ms), interval))
        return edges

    async def _count(self, measurements: Sequence[str]) -> int:
        counts = [(await self._ask(measurement, ("count",)))[0] for measurement in measurements]
        return sum(rows.values[0][1] for found in counts for rows in found if _interval(rows) is not None)

    async def _ask(self, measurement: str, functions: Sequence[str]) -> list[list[Rows]]:
        """Aggregates of each series of a measurement, without the points that have other tags as well."""
        place = influxql.source(self._client.address.database, self._policy, measurement)
        foreign = influxql.tagged({}, (await self._reader.layout(measurement)).foreign_tags)
        groups = ", ".join(influxql.name(tag) for tag in TAGS)
        return await self._client.query(
            "; ".join(
                influxql.select(f'{function}("close")', place, foreign, then=f"GROUP BY {groups}")
                for function in functions
            )
        )


def _interval(rows: Rows) -> Interval | None:
    """The interval of a series that laklak can have written; None for any other."""
    try:
        return Interval.parse(rows.tags["timeframe"]) if all(rows.tags.get(tag) for tag in TAGS) else None
    except ValueError:
        return None


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more
