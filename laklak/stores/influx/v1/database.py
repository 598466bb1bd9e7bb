"""A database and retention policy of an InfluxDB 1.x server, asked in InfluxQL."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from typing import Any, Final

from laklak.model.absences import MINUTE_KINDS, SPAN_KINDS, AbsenceKind
from laklak.model.records import Note
from laklak.model.series import DAY_MS, Series, TimeRange, iso
from laklak.stores.base import AbsenceCount, Columns
from laklak.stores.influx.address import Address1
from laklak.stores.influx.calling import Caller
from laklak.stores.influx.database import (
    ABSENCES,
    HOLES,
    META,
    NOTES,
    NOTHING,
    SEALS,
    Days,
    Edges,
    FieldKinds,
    Layout,
    Opening,
    Points,
    Retention,
    StrayRemoval,
    cut_days,
    whole_days,
)
from laklak.stores.influx.lines import FIELDS, TAGS, cell_of, series_of, tags_of
from laklak.stores.influx.look import Look, Shard
from laklak.stores.influx.ping import check_greeting
from laklak.stores.influx.proof import stretches
from laklak.stores.influx.removal import Removal
from laklak.stores.influx.statements import delete_point_1, delete_remark_1
from laklak.stores.influx.v1 import influxql
from laklak.stores.influx.v1 import schema as server
from laklak.stores.influx.v1.client import Client1, Rows
from laklak.stores.influx.verdicts import Verdict
from laklak.tasks.timing import StoreTiming

_SPANS_PER_QUERY: Final = 100
_NS_PER_MS: Final = 1_000_000

# Proven days are counted by the close alone.
_COUNTED: Final = influxql.name("close")
_EDGES: Final = ("first", "last")
# One number for every point that has any of the five: 0 if it has all of them, else nothing.  (A sum of the values may
# be infinite, which no JSON can spell.)
_WHOLE: Final = " + ".join(f"{influxql.name(field)}::float * 0" for field in ("close", "open", "high", "low", "volume"))
# A number that is not there equals nothing.
_ALL_FIVE: Final = " AND ".join(f"{influxql.name(field)}::float = {influxql.name(field)}::float" for field in FIELDS)
_BY_DAY: Final = "GROUP BY time(1d) fill(none)"
# Fewer candles are read as fast as they are counted.
_WORTH_COUNTING: Final = 5_000
_GROUPS: Final = "GROUP BY " + ", ".join(influxql.name(tag) for tag in TAGS)
_KINDS: Final[Mapping[AbsenceKind, str]] = {
    **dict.fromkeys(MINUTE_KINDS, HOLES),
    **dict.fromkeys(SPAN_KINDS, ABSENCES),
}


class Database1:
    """See laklak.stores.influx.database.Database."""

    def __init__(self, address: Address1, *, connections: int, gzip: bool, timing: StoreTiming) -> None:
        self.address = address
        self._client = Client1(address, connections=connections, gzip=gzip, timing=timing)
        self._layouts: dict[str, Layout] = {}

    @property
    def caller(self) -> Caller:
        return self._client.caller

    @property
    def retention(self) -> Retention:
        return self._retention

    @property
    def looks_past_ends(self) -> bool:
        return False

    async def open(self, *, create: bool) -> Opening:
        self._client.open()
        greeting = await self._client.ping()
        version = check_greeting(self.address, greeting)
        exists, made = await server.find_database(self._client, create=create, making_hint=self.making_hint)
        if exists:
            self._retention = await server.find_retention(self._client)
            self._policy = self._retention.policy or ""
        return Opening(version, greeting.clock_ahead_ms, exists, made)

    async def close(self) -> None:
        await self._client.close()

    async def write(self, lines: bytes) -> Verdict:
        return await self._client.write(lines, self._policy)

    def replay_remarks(self, path: str) -> Sequence[str]:
        """`influx -import -path=FILE -precision=ms` obeys these; a POST to /write with `precision=ms` skips them."""
        return ("DML", f"CONTEXT-DATABASE: {self.address.database}", f"CONTEXT-RETENTION-POLICY: {self._policy}")

    async def may_make(self) -> bool:
        return await server.may_make_databases(self._client)

    @property
    def making_hint(self) -> str:
        database, user = influxql.name(self.address.database), influxql.name(self.address.user or "USER")
        return f"let an administrator run: CREATE DATABASE {database}, and GRANT ALL ON {database} TO {user}"

    # Candles of one series

    async def days(self, measurement: str, series: Series, span: TimeRange) -> Days:
        whole, cut = whole_days(span), cut_days(span)
        count = f"count({_COUNTED})"
        of_series = influxql.tagged(tags_of(series) | {"measurement": measurement})
        asked = [
            await self._select(count, measurement, series, whole, _BY_DAY),
            influxql.select('"candles"', self._source(SEALS), of_series, influxql.within(whole)),
            *[await self._select(count, measurement, series, part) for part in cut],
        ]
        counted, sealed, *partly = await self._client.query("; ".join(asked))
        return Days(
            _by_time(counted),
            {day: sum(_by_time(found).values()) for day, found in zip(_day_starts(cut), partly, strict=True)},
            _by_time(sealed),
        )

    async def full_days(self, measurement: str, series: Series, span: TimeRange) -> set[int]:
        """See Database.  Of each day the server counts the points of each field, and tells the longest step from one
        whole point to the next.

        A run of days that have as many points of each as places on the grid, and no step longer than a place, and that
        begins and ends with a whole point on the first and the last place, has one on each: the steps must add up.
        """
        if span.count(series.interval) < _WORTH_COUNTING:
            return set()
        counts = ", ".join(f"count({influxql.name(field)})" for field in FIELDS)
        steps = await self._select(f'elapsed({_COUNTED}, 1ns) AS "step"', measurement, series, span, only=_ALL_FIVE)
        counted, longest = await self._client.query(
            f"{await self._select(counts, measurement, series, span, _BY_DAY)}; "
            + influxql.select('max("step")', f"({steps})", influxql.within(span), then=_BY_DAY)
        )
        full, step_ns = DAY_MS // series.interval.ms, series.interval.ms * _NS_PER_MS
        days = {row[0] for rows in counted for row in rows.values if row[1:] == [full] * len(FIELDS)}
        days.difference_update(day for day, step in _by_time(longest).items() if step > step_ns)
        found: set[int] = set()
        for run in stretches(sorted(days)):
            found |= await self._on_places(measurement, series, run)
        return found

    async def _on_places(self, measurement: str, series: Series, run: TimeRange) -> set[int]:
        """The days of a run of which it is sure that whole points stand on its first and its last place."""
        places = (run.start_ms, run.end_ms - series.interval.ms)
        asked = [
            await self._select(_COUNTED, measurement, series, TimeRange(place, place + 1), only=_ALL_FIVE)
            for place in places
        ]
        there = await self._client.query("; ".join(asked), epoch="ns")
        if all(_on_grid(found, series) for found in there):
            return set(range(run.start_ms, run.end_ms, DAY_MS))
        days = (run.end_ms - run.start_ms) // DAY_MS
        if days == 1:
            return set()
        middle_ms = run.start_ms + days // 2 * DAY_MS
        halves = (TimeRange(run.start_ms, middle_ms), TimeRange(middle_ms, run.end_ms))
        return set().union(*[await self._on_places(measurement, series, half) for half in halves])

    async def points(self, measurement: str, series: Series, span: TimeRange) -> Points:
        select = await self._select(_WHOLE, measurement, series, span)
        found = (await self._client.query(select, epoch="ns"))[0]
        rows = [row for some in found for row in some.values]
        whole = [time_ns for time_ns, value in rows if value is not None]
        return Points(whole, [time_ns for time_ns, value in rows if value is None] if len(whole) < len(rows) else [])

    async def edges(self, measurement: str, series: Series, span: TimeRange) -> TimeRange | None:
        first, last = await self._client.query(
            "; ".join([await self._select(f"{name}({_COUNTED})", measurement, series, span) for name in _EDGES])
        )
        return TimeRange(first[0].values[0][0], last[0].values[0][0] + 1) if first and last else None

    async def times(self, measurement: str, series: Series, spans: Sequence[TimeRange]) -> list[int]:
        times: list[int] = []
        for i in range(0, len(spans), _SPANS_PER_QUERY):
            some = spans[i : i + _SPANS_PER_QUERY]
            selects = [await self._select(_COUNTED, measurement, series, span) for span in some]
            # In nanoseconds: cut to milliseconds, a point just off the grid would look like a candle.
            for found in await self._client.query("; ".join(selects), epoch="ns"):
                times += [row[0] // _NS_PER_MS for row in _on_grid(found, series)]
        return times

    async def candles(self, measurement: str, series: Series, span: TimeRange) -> Columns:
        select = await self._select(influxql.CANDLE, measurement, series, span)
        found = await self._client.query_columns(select, series.interval.ms)
        if found is not None:
            return found
        columns: list[array[Any]] = [array("q"), *(array("d") for _ in FIELDS)]
        rows = _on_grid((await self._client.query(select, epoch="ns"))[0], series)
        for column, cells in zip(columns, zip(*rows, strict=True), strict=False):
            if column.typecode == "q":
                column.extend([cell // _NS_PER_MS for cell in cells])
            else:
                column.extend(cells if None not in cells else [math.nan if cell is None else cell for cell in cells])
        return Columns(columns[0], tuple(columns[1:]))

    async def _select(
        self, what: str, measurement: str, series: Series, span: TimeRange, then: str = "", *, only: str = ""
    ) -> str:
        foreign = (await self._known_layout(measurement)).foreign_tags
        conditions = (influxql.tagged(tags_of(series), foreign), influxql.within(span), only)
        return influxql.select(what, self._source(measurement), *conditions, then=then)

    async def _known_layout(self, measurement: str) -> Layout:
        known = self._layouts.get(measurement)
        return known or await self.layout(measurement)

    def _source(self, measurement: str) -> str:
        return influxql.source(self.address.database, self._policy, measurement)

    # Whole measurements

    async def measurements(self) -> list[str]:
        return await server.find_measurements(self._client)

    async def layout(self, measurement: str) -> Layout:
        found = self._layouts[measurement] = await server.find_layout(self._client, self._policy, measurement)
        return found

    async def look(self) -> Look | None:
        return Look(self._client.query, self.address.database, self._policy, deletes="all")

    def how_to_remove(self, removal: Removal) -> str:
        return f"to remove them run in the database {removal.look.database}: {removal.statement}"

    def types_remedy(self, measurement: str, shard: Shard) -> str:
        span = f"{iso(shard.span.start_ms)} to {iso(shard.span.end_ms)}"
        kept = f"the retention policy {self._policy} of the database {self.address.database}"
        run = f"let an administrator run: DROP SHARD {shard.number}"
        if shard.number is None:
            run = f"let an administrator run SHOW SHARDS, and DROP SHARD with the id of each shard of {kept} in {span}"
        return (
            f"{run}; that takes all that {kept} holds from {span}, of every measurement, and the next run "
            "fetches its candles again (to DELETE the points is not enough: the shard keeps their types); or keep "
            f"candles beside {measurement}, in another measurement by LAKLAK_INFLUXDB_MEASUREMENT"
        )

    async def series_edges(self, measurement: str, *fields: str) -> Edges:
        asked = [f"{name}({influxql.name(field)})" for field in fields for name in _EDGES]
        times: dict[Series, list[int]] = {}
        for found in await self._by_series(measurement, asked):
            for series, rows in found.items():
                times.setdefault(series, []).append(rows.values[0][0])
        return {series: (min(some), max(some)) for series, some in times.items()}

    async def series_counts(self, measurement: str) -> Mapping[Series, int]:
        (found,) = await self._by_series(measurement, [f"count({_COUNTED})"])
        return {series: int(rows.values[0][1]) for series, rows in found.items()}

    def stray_removal(self, measurement: str, series: Series, times_ns: Sequence[int]) -> StrayRemoval:
        foreign = self._layouts[measurement].foreign_tags if measurement in self._layouts else ()
        tags = tags_of(series)
        return StrayRemoval(
            tuple(delete_point_1(measurement, tags, time_ns, foreign) for time_ns in times_ns),
            delete_remark_1(self.address.database, self._retention.other_policies),
        )

    async def _by_series(self, measurement: str, aggregates: Sequence[str]) -> list[dict[Series, Rows]]:
        foreign = influxql.tagged({}, (await self._known_layout(measurement)).foreign_tags)
        place = self._source(measurement)
        selects = [influxql.select(aggregate, place, foreign, then=_GROUPS) for aggregate in aggregates]
        answers = await self._client.query("; ".join(selects))
        return [{series: rows for rows in found if (series := series_of(rows.tags))} for found in answers]

    # What is known beside candles

    async def rows(
        self, measurement: str, fields: Mapping[str, type[str] | type[int]], series: Series, span: TimeRange
    ) -> list[tuple[int, tuple[Any, ...]]]:
        what = ", ".join(map(influxql.name, fields))
        conditions = (influxql.tagged(tags_of(series)), influxql.within(span))
        return await self._rows(influxql.select(what, self._source(measurement), *conditions), fields)

    async def last_rows(
        self,
        measurement: str,
        fields: FieldKinds,
        last: int,
        *,
        span: TimeRange | None = None,
        series: Series | None = None,
        unless: Mapping[str, str | int] = NOTHING,
    ) -> list[tuple[int, tuple[Any, ...]]]:
        what, newest = ", ".join(map(influxql.name, fields)), f"ORDER BY time DESC LIMIT {last}"
        conditions = [influxql.tagged(tags_of(series)) if series else "", influxql.within(span) if span else ""]
        conditions += [influxql.other_than(field, value) for field, value in unless.items()]
        return await self._rows(influxql.select(what, self._source(measurement), *conditions, then=newest), fields)

    async def forget(self, measurement: str, span: TimeRange) -> None:
        await self._client.query(influxql.delete(measurement, influxql.within(span)))

    async def _rows(self, question: str, fields: FieldKinds) -> list[tuple[int, tuple[Any, ...]]]:
        found = await self._client.query(question)
        kinds = tuple(fields.values())
        return [(time_ms, tuple(map(cell_of, cells, kinds))) for rows in found[0] for time_ms, *cells in rows.values]

    async def newest(
        self, measurement: str, fields: Mapping[str, type[str] | type[int]]
    ) -> Mapping[Series, tuple[int, tuple[Any, ...]]]:
        first, *others = map(influxql.name, fields)
        what = ", ".join([f"last({first})", *others])
        found = await self._client.query(influxql.select(what, self._source(measurement), then=_GROUPS))
        kinds = tuple(fields.values())
        return {
            series: (rows.values[0][0], tuple(map(cell_of, rows.values[0][1:], kinds)))
            for rows in found[0]
            if (series := series_of(rows.tags))
        }

    async def absence_counts(self) -> list[AbsenceCount]:
        what = 'count("confirmed_at"), min("confirmed_at"), max("confirmed_at")'
        questions = {
            kind: influxql.select(what, self._source(measurement), f"\"kind\" = '{kind}'", then='GROUP BY "exchange"')
            for kind, measurement in _KINDS.items()
        }
        answers = await self._client.query("; ".join(questions.values()))
        return [
            AbsenceCount(rows.tags["exchange"], kind, int(count), int(oldest_ms), int(newest_ms))
            for kind, found in zip(_KINDS, answers, strict=True)
            for rows in found
            for _, count, oldest_ms, newest_ms in rows.values
        ]

    async def notes(self) -> list[tuple[int, Note]]:
        newest = influxql.select(
            'last("value"), "noted_at", "venue_at"', self._source(NOTES), then='GROUP BY "about", "kind"'
        )
        return [
            (
                time_ms,
                Note(rows.tags["about"], rows.tags["kind"], str(cell_of(value, str)), noted_at_ms, venue_ms or None),
            )
            for rows in (await self._client.query(newest))[0]
            for time_ms, value, noted_at_ms, venue_ms in rows.values
        ]

    async def newest_schema(self) -> int | None:
        newest = await self._meta('max("schema")')
        return None if newest is None else int(newest)

    async def last_origin(self) -> str | None:
        origin = await self._meta('last("origin")')
        return None if origin is None else str(origin)

    async def _meta(self, what: str) -> Any:
        found = await self._client.query(influxql.select(what, self._source(META)))
        return found[0][0].values[0][1] if found[0] else None


def _by_time(found: Sequence[Rows]) -> dict[int, int]:
    return {time_ms: int(count) for rows in found for time_ms, count in rows.values if count}


def _day_starts(cut: Sequence[TimeRange]) -> list[int]:
    return [part.start_ms // DAY_MS * DAY_MS for part in cut]


def _on_grid(found: Sequence[Rows], series: Series) -> list[list[Any]]:
    step_ns = series.interval.ms * _NS_PER_MS
    return [row for rows in found for row in rows.values if not row[0] % step_ns]
