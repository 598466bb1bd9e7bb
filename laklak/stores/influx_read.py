"""Candles read back from InfluxDB 1.x: counts first, timestamps only where they are needed, values in slices."""

from __future__ import annotations

import math
import time
from array import array
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from laklak.errors import StoreUnavailable
from laklak.lineprotocol import FIELDS, tags_of
from laklak.model import DAY_MS, Series, TimeRange
from laklak.stores import influxql
from laklak.stores.base import Columns
from laklak.stores.influx_http import InfluxClient, Rows
from laklak.stores.influx_server import Layout, find_layout

_CANDLES_PER_QUERY: Final = 50_000
_RUNS_PER_QUERY: Final = 100
_REMEMBERED_S: Final = 5.0
_NS_PER_MS: Final = 1_000_000
# Holes that are closer than this are looked up together.
_NEAR_MS: Final = DAY_MS // 4

# A point is counted by its close; the writer sends the five fields of a candle in one line.
_COUNTED: Final = influxql.name("close")


class CandleReader:
    """Reads the candles of one database and retention policy.

    Only points with exactly the tags of the series count.  Points off the grid of the interval are not candles either.
    InfluxQL cannot ask for the grid, so a range is taken as counted when the count of each day is possible and its
    first and last point are on the grid; otherwise every timestamp is looked at.
    """

    def __init__(self, client: InfluxClient, policy: str, measurement: str) -> None:
        self._client = client
        self._policy = policy
        self._measurement = measurement
        self._layouts: dict[str, Layout] = {}
        # By day, of ranges that were not full when they were counted, and until when that holds; each is given once.
        self._counted: dict[Series, tuple[TimeRange | None, dict[int, int], float]] = {}

    def measurement_of(self, venue: str) -> str:
        """The measurement that keeps the candles of a venue."""
        return self._measurement.replace("{venue}", venue)

    async def check_fields(self, venue: str) -> None:
        """Raise StoreUnavailable when a field of a candle is kept as something else than a float."""
        measurement = self.measurement_of(venue)
        layout = await self.layout(measurement)
        if layout.conflicts:
            raise StoreUnavailable(
                f"{measurement} in the database {self._client.address.database} keeps other types than floats: "
                f"{', '.join(layout.conflicts)}",
                hint="InfluxDB would refuse every candle; use another database",
            )

    async def layout(self, measurement: str) -> Layout:
        """What is known about a measurement; looked up once."""
        known = self._layouts.get(measurement)
        if known is None:
            known = self._layouts[measurement] = await find_layout(self._client, self._policy, measurement)
        return known

    async def count(self, series: Series, span: TimeRange) -> int:
        """Candles in `span`."""
        await self.check_fields(series.venue)
        by_day = await self._count_days(series, span)
        count = sum(by_day.values())
        if count != span.count(series.interval):
            # The question that follows on a range that is not full; a server takes as long for it as for the first.
            self._counted[series] = (span, by_day, time.monotonic() + _REMEMBERED_S)
        return count

    async def count_by_day(self, series: Series, span: TimeRange) -> dict[int, int]:
        """The same per UTC day; days without candles are left out."""
        await self.check_fields(series.venue)
        counted_span, by_day, until_s = self._counted.pop(series, (None, {}, 0.0))
        fresh = counted_span == span and time.monotonic() < until_s
        return by_day if fresh else await self._count_days(series, span)

    def changed(self, series: Series) -> None:
        """Forget what was counted of a series that is written to."""
        self._counted.pop(series, None)

    async def _count_days(self, series: Series, span: TimeRange) -> dict[int, int]:
        counted, first, last = await self._client.query(
            "; ".join(
                [
                    await self._select(f"count({_COUNTED})", series, span, "GROUP BY time(1d) fill(none)"),
                    await self._select(f"first({_COUNTED})", series, span),
                    await self._select(f"last({_COUNTED})", series, span),
                ]
            ),
            epoch="ns",
        )
        if not counted:
            return {}
        by_day = {day // _NS_PER_MS: int(count) for rows in counted for day, count in rows.values if count}
        if _possible(series, by_day, first[0].values[0][0], last[0].values[0][0]):
            return by_day
        exact: dict[int, int] = {}
        for open_time in await self.open_times(series, span):
            day = open_time - open_time % DAY_MS
            exact[day] = exact.get(day, 0) + 1
        return exact

    async def open_times(self, series: Series, span: TimeRange) -> list[int]:
        """The open_times in `span` that lie on the grid, rising."""
        await self.check_fields(series.venue)
        times: list[int] = []
        for part in await self._slices(series, span):
            # In nanoseconds: cut to milliseconds, a point just off the grid would look like a candle.
            found = await self._client.query(await self._select(_COUNTED, series, part), epoch="ns")
            times += _on_grid(found[0], series)
        return times

    async def stored_among(self, series: Series, open_times: Sequence[int]) -> set[int]:
        """Which of these minutes, rising, have a candle."""
        stored: set[int] = set()
        runs = list(_runs(open_times))
        for i in range(0, len(runs), _RUNS_PER_QUERY):
            statements = [await self._select(_COUNTED, series, run) for run in runs[i : i + _RUNS_PER_QUERY]]
            for rows in await self._client.query("; ".join(statements), epoch="ns"):
                stored.update(_on_grid(rows, series))
        return stored.intersection(open_times)

    async def candles(self, series: Series, span: TimeRange, last: int | None = None) -> Columns:
        """Candles in `span`, oldest first; with `last` only the newest so many. A field that is missing is NaN."""
        columns: list[array[Any]] = [array("q"), *(array("d") for _ in FIELDS)]
        fields = ", ".join(influxql.name(field) for field in FIELDS)
        if last is not None:
            # LIMIT 0 would be no limit.
            if last > 0:
                newest = await self._select(fields, series, span, f"ORDER BY time DESC LIMIT {last}")
                _append(columns, (await self._client.query(newest))[0])
            for column in columns:
                column.reverse()
        else:
            for part in await self._slices(series, span):
                found = await self._client.query(await self._select(fields, series, part))
                _append(columns, found[0])
        return Columns(columns[0], tuple(columns[1:]))

    async def _select(self, what: str, series: Series, span: TimeRange, then: str = "") -> str:
        measurement = self.measurement_of(series.venue)
        foreign = (await self.layout(measurement)).foreign_tags
        place = influxql.source(self._client.address.database, self._policy, measurement)
        conditions = (influxql.tagged(tags_of(series), foreign), influxql.within(span))
        return influxql.select(what, place, *conditions, then=then)

    async def _slices(self, series: Series, span: TimeRange) -> list[TimeRange]:
        """`span` cut so that an answer is never large; what lies before the first and after the last is left out."""
        step = _CANDLES_PER_QUERY * series.interval.ms
        if span.end_ms - span.start_ms <= step:
            return [span] if span else []
        selects = [await self._select(f"{function}({_COUNTED})", series, span) for function in ("first", "last")]
        first, last = await self._client.query("; ".join(selects), epoch="ns")
        if not first:
            return []
        edges = TimeRange(first[0].values[0][0] // _NS_PER_MS, last[0].values[0][0] // _NS_PER_MS + 1)
        used = edges.clip(span)
        return [TimeRange(at, min(at + step, used.end_ms)) for at in range(used.start_ms, used.end_ms, step)]


def _possible(series: Series, by_day: Mapping[int, int], first_ns: int, last_ns: int) -> bool:
    """Whether so many points a day, from a first to a last one, can all be candles on the grid."""
    step_ns = series.interval.ms * _NS_PER_MS
    if first_ns % step_ns or last_ns % step_ns or sum(by_day.values()) > (last_ns - first_ns) // step_ns + 1:
        return False
    return all(count <= DAY_MS // series.interval.ms for count in by_day.values())


def _on_grid(found: Sequence[Rows], series: Series) -> list[int]:
    step_ns = series.interval.ms * _NS_PER_MS
    return [row[0] // _NS_PER_MS for rows in found for row in rows.values if not row[0] % step_ns]


def _runs(open_times: Sequence[int]) -> Iterator[TimeRange]:
    start = 0
    for i, (before, after) in enumerate(pairwise(open_times), 1):
        if after - before > _NEAR_MS:
            yield TimeRange(open_times[start], before + 1)
            start = i
    if open_times:
        yield TimeRange(open_times[start], open_times[-1] + 1)


def _append(columns: Collection[array[Any]], found: Sequence[Rows]) -> None:
    for rows in found:
        for column, cells in zip(columns, zip(*rows.values, strict=True), strict=True):
            column.extend(cells if None not in cells else [math.nan if cell is None else cell for cell in cells])
