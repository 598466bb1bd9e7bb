"""A bucket of an InfluxDB 2.x server, asked in Flux."""

from __future__ import annotations

import math
import shlex
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import compress
from typing import Any, Final
from urllib.parse import urlencode

from laklak.errors import StoreError, StoreUnavailable
from laklak.model.absences import MINUTE_KINDS, SPAN_KINDS, AbsenceKind
from laklak.model.records import Note
from laklak.model.series import DAY_MS, Series, TimeRange
from laklak.stores.base import AbsenceCount, Columns
from laklak.stores.influx.address import Address2
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
from laklak.stores.influx.removal import Removal
from laklak.stores.influx.statements import delete_point_2, delete_remark_2
from laklak.stores.influx.v1 import influxql
from laklak.stores.influx.v2 import flux
from laklak.stores.influx.v2.client import Client2
from laklak.stores.influx.v2.csv import Table, time_ns, times_ms
from laklak.stores.influx.verdicts import Verdict
from laklak.tasks.timing import StoreTiming
from laklak.text import some_of

# A script of so many questions takes some 50 ms to compile.
_SPANS_PER_QUERY: Final = 25
_NS_PER_MS: Final = 1_000_000

# Proven days are counted by the close alone.
_COUNTED: Final = ("close",)
_KINDS: Final[Mapping[str, tuple[AbsenceKind, ...]]] = {HOLES: MINUTE_KINDS, ABSENCES: SPAN_KINDS}
_COUNTED_ABSENCE: Final = ("kind", "confirmed_at")
_COUNT_ABSENCES: Final = (
    " |> filter(fn: (r) => exists r.kind and exists r.confirmed_at)"
    ' |> group(columns: ["exchange", "kind"])'
    " |> reduce(identity: {count: 0, oldest: 9223372036854775807, newest: 0}, fn: (r, accumulator) => ({"
    "count: accumulator.count + 1,"
    " oldest: if r.confirmed_at < accumulator.oldest then r.confirmed_at else accumulator.oldest,"
    " newest: if r.confirmed_at > accumulator.newest then r.confirmed_at else accumulator.newest}))"
)
_NOTE: Final = ("value", "noted_at", "venue_at")
_TYPES: Final = {"double": "float", "long": "integer", "unsignedLong": "unsigned"}
_BY_DAY: Final = flux.counted_by(f"{DAY_MS}ms")
# No server takes such a bucket's name, but it first checks whether the token may make one.
_IMPOSSIBLE_NAME: Final = "_laklak"


class Database2:
    """See laklak.stores.influx.database.Database.

    Points with more tags than the three of a candle come in tables with more columns, which are left out.
    """

    def __init__(self, address: Address2, *, connections: int, gzip: bool, timing: StoreTiming) -> None:
        self.address = address
        self._client = Client2(address, connections=connections, gzip=gzip, timing=timing)
        self._look: tuple[Look | None] | None = None
        self._foreign_tags: dict[str, tuple[str, ...]] = {}
        self._tags_beside: dict[str, set[str]] = {}

    @property
    def caller(self) -> Caller:
        return self._client.caller

    @property
    def retention(self) -> Retention:
        return self._retention

    @property
    def looks_past_ends(self) -> bool:
        return True

    async def open(self, *, create: bool) -> Opening:
        self._client.open()
        greeting = await self._client.ping()
        version = check_greeting(self.address, greeting)
        found = await self._client.find_bucket()
        made = False
        if isinstance(found, Verdict) and found.kind == "gone":
            self._check_org(found)
            if not create:
                return Opening(version, greeting.clock_ahead_ms, exists=False, made=False)
            await self._make()
            found, made = await self._client.find_bucket(), True
        if isinstance(found, Verdict):
            raise StoreUnavailable(
                f"InfluxDB at {self.address.server} does not let this token read the bucket {self.address.database}",
                hint=self.address.login_hint,
            )
        self._retention = Retention(found.name, found.duration_ms, found.shard_ms)
        return Opening(version, greeting.clock_ahead_ms, exists=True, made=made)

    async def close(self) -> None:
        await self._client.close()

    def _check_org(self, verdict: Verdict) -> None:
        if verdict.reason.startswith("organization"):
            raise StoreUnavailable(
                f"there is no organization {self.address.org} at {self.address.server} that this token may see",
                hint="check ?org=ORG at the end of the address, or INFLUX_ORG; names are case-sensitive",
            )

    async def _make(self) -> None:
        org_id = await self._client.find_org_id()
        reason, hint = "this token may not see the organization", self.making_hint
        if org_id is not None:
            status, reason = await self._client.make_bucket(org_id, self.address.database)
            # 422: another program has made it meanwhile.
            if status in (201, 422):
                return
            hint = "choose another name for the bucket" if status == 400 else hint
        raise StoreUnavailable(
            f"there is no bucket {self.address.database} at {self.address.server}, and it cannot be made: {reason}",
            hint=hint,
        )

    async def may_make(self) -> bool:
        try:
            org_id = await self._client.find_org_id()
            if org_id is None:
                return False
            status, _ = await self._client.make_bucket(org_id, _IMPOSSIBLE_NAME)
        except StoreError:
            return False
        return status not in (401, 403)

    @property
    def making_hint(self) -> str:
        name, org = shlex.quote(self.address.database), shlex.quote(self.address.org)
        return f"make it: influx bucket create --name {name} --org {org}; and a token that may read and write it"

    async def write(self, lines: bytes) -> Verdict:
        return await self._client.write(lines)

    def replay_remarks(self, path: str) -> Sequence[str]:
        words = ("influx", "write", "--org", self.address.org, "--bucket", self.address.database)
        return (f"send again: {shlex.join([*words, '--precision', 'ms', '--file', path])}",)

    # Candles of one series

    async def days(self, measurement: str, series: Series, span: TimeRange) -> Days:
        whole, cut = whole_days(span), cut_days(span)
        bare = flux.without("_field", tags=True)
        sealed = flux.points(
            self.address.database, SEALS, ("candles",), whole, tags_of(series) | {"measurement": measurement}
        )
        questions = {
            "days": self._points(measurement, _COUNTED, whole, series) + _BY_DAY + bare,
            "seals": sealed + flux.without("_field", "measurement", tags=True),
        }
        for number, part in enumerate(cut):
            questions[f"part{number}"] = self._points(measurement, _COUNTED, part, series) + _BY_DAY + bare
        found: dict[str, dict[int, int]] = {name: {} for name in questions}
        for table in await self._client.query(flux.several(**questions)):
            if table.columns == ("_time", "_value"):
                found[table.result].update(_by_day(table))
        parts = {
            part.start_ms // DAY_MS * DAY_MS: sum(found[f"part{number}"].values()) for number, part in enumerate(cut)
        }
        return Days(found["days"], parts, found["seals"])

    async def full_days(self, measurement: str, series: Series, span: TimeRange) -> set[int]:
        """See Database.  Of each field the server counts per day, without handing out points:

            points   as many as there are places on the grid
            places   stretches [place, next place) that are not empty: one point in each, then
            slots    stretches (place before, place] that are not empty
            first    the first point is on the grid

        A day begins with a point on the grid, so its own points fill the slots, each one; and a point that is alone
        both from a place on and up to it is at that place.
        """
        interval = series.interval
        points = self._points(measurement, FIELDS, span, series)
        bare = flux.without(tags=True)
        step, day = f"{interval.ms}ms", f"{DAY_MS}ms"
        slots_day_ns = DAY_MS * _NS_PER_MS - interval.ms * _NS_PER_MS + 1
        tables = await self._client.query(
            flux.several(
                points=points + _BY_DAY + bare,
                places=points + flux.counted_by(step) + _BY_DAY + bare,
                slots=points + flux.counted_by(step, "1ns") + flux.counted_by(day, f"{slots_day_ns}ns") + bare,
                first=points + f" |> window(every: {day}) |> first()" + bare,
            )
        )
        full = DAY_MS // interval.ms
        shift_ns = interval.ms * _NS_PER_MS - 1
        seen: dict[int, set[tuple[str, str]]] = {}
        for table in tables:
            if set(table.columns) != {"_time", "_field", "_value"}:
                continue
            for time, field, value in zip(table["_time"], table["_field"], table["_value"], strict=True):
                at_ns = time_ns(time) + (shift_ns if table.result == "slots" else 0)
                if at_ns % (interval.ms * _NS_PER_MS) == 0 if table.result == "first" else int(value) == full:
                    start_ms = at_ns // _NS_PER_MS
                    seen.setdefault(start_ms - start_ms % DAY_MS, set()).add((table.result, field))
        return {day_ms for day_ms, proofs in seen.items() if len(proofs) == 4 * len(FIELDS)}

    async def points(self, measurement: str, series: Series, span: TimeRange) -> Points:
        question = self._points(measurement, FIELDS, span, series) + flux.without(tags=True) + flux.as_rows()
        whole: list[int] = []
        broken: list[int] = []
        for table in await self._client.query(question):
            if not {"_time", *FIELDS}.issuperset(table.columns):
                continue
            columns = [table[field] for field in FIELDS if field in table.columns]
            for time, complete in zip(table["_time"], map(all, zip(*columns, strict=True)), strict=True):
                (whole if complete and len(columns) == len(FIELDS) else broken).append(time_ns(time))
        return Points(sorted(whole), sorted(broken))

    async def edges(self, measurement: str, series: Series, span: TimeRange) -> TimeRange | None:
        points = self._points(measurement, _COUNTED, span, series)
        bare = flux.without("_field", "_value", tags=True)
        tables = await self._client.query(
            flux.several(first=points + " |> first()" + bare, last=points + " |> last()" + bare)
        )
        found = {table.result: time_ns(table["_time"][0]) for table in tables if table.columns == ("_time",)}
        if len(found) < 2:
            return None
        return TimeRange(found["first"] // _NS_PER_MS, found["last"] // _NS_PER_MS + 1)

    async def times(self, measurement: str, series: Series, spans: Sequence[TimeRange]) -> list[int]:
        times: list[int] = []
        bare = flux.without("_field", "_value", tags=True)
        for i in range(0, len(spans), _SPANS_PER_QUERY):
            some = spans[i : i + _SPANS_PER_QUERY]
            questions = {
                f"{n:03d}": self._points(measurement, _COUNTED, span, series) + bare for n, span in enumerate(some)
            }
            # Answers come in any order.
            for table in sorted(await self._client.query(flux.several(**questions)), key=lambda table: table.result):
                if table.columns == ("_time",):
                    times += [time_ms for time_ms in _on_grid(table, series) if time_ms is not None]
        return times

    async def candles(self, measurement: str, series: Series, span: TimeRange) -> Columns:
        look = await self.look()
        if look is not None:
            # To make rows of fields Flux takes four times as long.
            if measurement not in self._tags_beside:
                tables = await self._client.query(flux.tags(self.address.database, measurement))
                tags = {tag for table in tables for tag in table["_value"]}
                self._tags_beside[measurement] = tags.difference(TAGS, flux.NO_TAGS)
            conditions = (influxql.tagged(tags_of(series), self._tags_beside[measurement]), influxql.within(span))
            place = influxql.source(look.database, look.policy, measurement)
            select = influxql.select(influxql.CANDLE, place, *conditions)
            found = await self._client.query_columns(look.database, look.policy, select, series.interval.ms)
            if found is not None:
                return found
        times: array[int] = array("q")
        values = tuple(array("d") for _ in FIELDS)
        question = self._points(measurement, FIELDS, span, series) + flux.without(tags=True) + flux.as_rows()
        for table in await self._client.query(question):
            if not {"_time", *FIELDS}.issuperset(table.columns):
                continue
            grid = _on_grid(table, series)
            kept = [time_ms is not None for time_ms in grid]
            times.extend([time_ms for time_ms in grid if time_ms is not None])
            for field, column in zip(FIELDS, values, strict=True):
                cells = table[field] if field in table.columns else [""] * len(table)
                column.extend(_floats(compress(cells, kept)))
        return Columns(times, values)

    def _points(self, measurement: str, fields: Sequence[str], span: TimeRange, series: Series | None = None) -> str:
        tags = tags_of(series) if series else None
        return flux.points(self.address.database, measurement, fields, span, tags)

    # Whole measurements

    async def measurements(self) -> list[str]:
        tables = await self._client.query(flux.measurements(self.address.database))
        return [name for table in tables for name in table["_value"]]

    async def layout(self, measurement: str) -> Layout:
        """See Database. Types are those of the first and the last point of each field of each series."""
        points = self._points(measurement, FIELDS, flux.ALL_TIME)
        bare = flux.without()
        question = flux.several(first=points + " |> first()" + bare, last=points + " |> last()" + bare)
        foreign: set[str] = set()
        conflicts: set[str] = set()
        for table in await self._client.query(question, types=True):
            foreign.update(set(table.columns) - {"_time", "_value", "_field", *TAGS})
            kind = table.types[table.columns.index("_value")]
            if kind != "double":
                conflicts.update(f"{field} is {_TYPES.get(kind, kind)}" for field in table["_field"])
        self._foreign_tags[measurement] = tuple(sorted(foreign))
        return Layout(tuple(sorted(foreign)), tuple(sorted(conflicts)))

    async def look(self) -> Look | None:
        if self._look is None:
            name = await self._client.find_influxql_name()
            if name is None:
                self._look = (None,)
            else:
                ask = partial(self._client.query_influxql, name)
                self._look = (Look(ask, name.database, name.policy, deletes="this" if name.default else "none"),)
        return self._look[0]

    def how_to_remove(self, removal: Removal) -> str:
        if removal.look.deletes == "this":
            where = urlencode({"db": removal.look.database})
            return f"to remove them send as InfluxQL, by POST to /query?{where} as q: {removal.statement}"
        # A predicate cannot tell a series from those that carry more tags.
        along = [one.name for one in removal.along]
        if along:
            return (
                f"InfluxDB has no statement that removes them from this bucket and not {some_of(along, 3)} along with "
                "them: remove those first where they are named here too, or fill another bucket, to which laklak copy "
                "brings what is sound"
            )
        predicate = " AND ".join(f"{name}={_text(value)}" for name, value in removal.predicate.items())
        words = ("influx", "delete", "--org", self.address.org, "--bucket", self.address.database)
        span = ("--start", flux.moment(removal.doubles.first_ms), "--stop", flux.moment(removal.doubles.last_ms + 1))
        return f"to remove them: {shlex.join([*words, *span, '--predicate', predicate])}"

    def types_remedy(self, measurement: str, shard: Shard) -> str:
        return (
            "nothing mends that in this bucket: to delete the points is not enough, for the shard takes on their types "
            "again when the server is restarted, and cannot be read then (2.7.12); fill another bucket, to which "
            f"laklak copy brings what is sound, or keep candles beside {measurement}, in another measurement by "
            "LAKLAK_INFLUXDB_MEASUREMENT"
        )

    async def series_edges(self, measurement: str, *fields: str) -> Edges:
        points = self._points(measurement, fields, flux.ALL_TIME)
        bare = flux.without("_field", "_value")
        question = flux.several(first=points + " |> first()" + bare, last=points + " |> last()" + bare)
        times: dict[Series, list[int]] = {}
        for table in await self._client.query(question):
            for series, time in _by_series(table, "_time"):
                times.setdefault(series, []).append(time_ns(time) // _NS_PER_MS)
        return {series: (min(some), max(some)) for series, some in times.items()}

    async def series_counts(self, measurement: str) -> Mapping[Series, int]:
        question = self._points(measurement, _COUNTED, flux.ALL_TIME) + " |> count()" + flux.without("_field")
        tables = await self._client.query(question)
        return {series: int(count) for table in tables for series, count in _by_series(table, "_value")}

    def stray_removal(self, measurement: str, series: Series, times_ns: Sequence[int]) -> StrayRemoval:
        tags, foreign = tags_of(series), self._foreign_tags.get(measurement, ())
        org, bucket = self.address.org, self.address.database
        return StrayRemoval(
            tuple(delete_point_2(org, bucket, measurement, tags, time_ns) for time_ns in times_ns),
            delete_remark_2(foreign),
        )

    # What is known beside candles

    async def rows(
        self, measurement: str, fields: Mapping[str, type[str] | type[int]], series: Series, span: TimeRange
    ) -> list[tuple[int, tuple[Any, ...]]]:
        question = self._points(measurement, tuple(fields), span, series) + flux.without(tags=True) + flux.as_rows()
        return sorted(await self._rows(question, fields))

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
        of_points = [field for field in fields if field not in TAGS]
        question = self._points(measurement, of_points, span or flux.ALL_TIME, series) + flux.without() + flux.as_rows()
        others = "".join(flux.other_than(field, value) for field, value in unless.items())
        return await self._rows(question + others + flux.newest(last), fields)

    async def forget(self, measurement: str, span: TimeRange) -> None:
        await self._client.delete(measurement, span)

    async def _rows(self, question: str, fields: FieldKinds) -> list[tuple[int, tuple[Any, ...]]]:
        kinds = tuple(fields.values())
        return [
            (time_ns(time) // _NS_PER_MS, tuple(map(cell_of, cells, kinds)))
            for table in await self._client.query(question)
            if {"_time", *fields}.issuperset(table.columns)
            for time, *cells in zip(*(_column(table, name) for name in ("_time", *fields)), strict=True)
        ]

    async def newest(
        self, measurement: str, fields: Mapping[str, type[str] | type[int]]
    ) -> Mapping[Series, tuple[int, tuple[Any, ...]]]:
        question = self._points(measurement, tuple(fields), flux.ALL_TIME) + " |> last()" + flux.without()
        columns, kinds = ("_time", *TAGS, *fields), tuple(fields.values())
        found: dict[Series, tuple[int, tuple[Any, ...]]] = {}
        for table in await self._client.query(question + flux.as_rows()):
            if set(table.columns) != set(columns):
                continue
            for time, *row in zip(*(table[name] for name in columns), strict=True):
                series = series_of(dict(zip(TAGS, row, strict=False)))
                if series is not None:
                    cells = tuple(map(cell_of, row[len(TAGS) :], kinds))
                    found[series] = (time_ns(time) // _NS_PER_MS, cells)
        return found

    async def absence_counts(self) -> list[AbsenceCount]:
        questions = {
            measurement: self._points(measurement, _COUNTED_ABSENCE, flux.ALL_TIME) + flux.as_rows() + _COUNT_ABSENCES
            for measurement in _KINDS
        }
        kinds = {kind: kind for of_one in _KINDS.values() for kind in of_one}
        return [
            AbsenceCount(exchange, kinds[kind], int(count), int(oldest_ms), int(newest_ms))
            for table in await self._client.query(flux.several(**questions))
            if {"exchange", "kind", "count", "oldest", "newest"} <= set(table.columns)
            for exchange, kind, count, oldest_ms, newest_ms in zip(
                *(table[name] for name in ("exchange", "kind", "count", "oldest", "newest")), strict=True
            )
            if kind in kinds
        ]

    async def notes(self) -> list[tuple[int, Note]]:
        newest = self._points(NOTES, _NOTE, flux.ALL_TIME) + " |> last()" + flux.without() + flux.as_rows()
        return [
            (
                time_ns(time) // _NS_PER_MS,
                Note(about, kind, str(cell_of(value, str)), int(noted_at), int(venue_ms or 0) or None),
            )
            for table in await self._client.query(newest)
            if {"about", "kind", "value", "noted_at"} <= set(table.columns)
            for time, about, kind, value, noted_at, venue_ms in zip(
                *(_column(table, name) for name in ("_time", "about", "kind", *_NOTE)), strict=True
            )
        ]

    async def newest_schema(self) -> int | None:
        newest = await self._meta("schema", "max")
        return None if newest is None else int(newest)

    async def last_origin(self) -> str | None:
        return await self._meta("origin", "last")

    async def _meta(self, field: str, function: str) -> str | None:
        question = self._points(META, (field,), flux.ALL_TIME) + f" |> {function}()" + flux.without("_time", "_field")
        found = [table for table in await self._client.query(question) if table.columns == ("_value",)]
        return found[0]["_value"][0] if found else None


def _text(value: str) -> str:
    return '"' + value.replace("\\", r"\\").replace('"', r"\"") + '"'


def _by_series(table: Table, column: str) -> Iterator[tuple[Series, str]]:
    """Yield the cells of a column with their series, from a table with the three tags and no others."""
    if set(table.columns) != {column, *TAGS}:
        return
    for *tags, cell in zip(*(table[name] for name in (*TAGS, column)), strict=True):
        series = series_of(dict(zip(TAGS, tags, strict=True)))
        if series is not None:
            yield series, cell


def _by_day(table: Table) -> Iterator[tuple[int, int]]:
    for time, count in zip(table["_time"], table["_value"], strict=True):
        # The first window begins where the range does.
        start_ms = time_ns(time) // _NS_PER_MS
        yield start_ms - start_ms % DAY_MS, int(count)


def _on_grid(table: Table, series: Series) -> list[int | None]:
    step_ms = series.interval.ms
    return [None if time_ms is None or time_ms % step_ms else time_ms for time_ms in times_ms(table["_time"])]


def _column(table: Table, name: str) -> Sequence[str]:
    """Return the cells of a column; empty ones if no point has the field."""
    return table[name] if name in table.columns else [""] * len(table)


def _floats(cells: Iterable[str]) -> list[float]:
    return [float(cell) if cell else math.nan for cell in cells]
