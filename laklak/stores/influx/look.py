"""What else a measurement holds, asked in InfluxQL, which servers of 1.x and of 2.x both speak.

Flux cannot tell: if the types of a field differ from shard to shard, a 2.7.12 server shows in Flux only the points of
the first shards, and nothing shows the type of a field whose points were deleted.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from laklak.errors import StoreDown, StoreError
from laklak.model.series import TimeRange, ms_of
from laklak.stores.base import CONTRADICTS, DaySums
from laklak.stores.influx.lines import FIELDS
from laklak.stores.influx.v1 import influxql
from laklak.stores.influx.v1.client import Rows

_TYPED: Final = re.compile(r"\b(" + "|".join(FIELDS) + r")::([a-z]+)")
_SHARDS: Final = re.compile(r"NUMBER OF SHARDS: (\d+)")
_PLANS_PER_QUERY: Final = 50
# No series has it, so only the shards are counted.
_NO_TAG: Final = "laklak_nothing"
_BY_DAY: Final = "GROUP BY time(1d) fill(none)"
_COUNTED_AS_FLOATS: Final = ("integer", "unsigned")

Ask = Callable[[str], Awaitable[list[list[Rows]]]]
"""Runs InfluxQL statements; returns the result of each, times in ms."""


@dataclass(frozen=True, slots=True)
class Shard:
    """A stretch of time that a server keeps apart, with its own types of fields; `number` names it in DROP SHARD."""

    span: TimeRange
    number: int | None = None


@dataclass(frozen=True, slots=True)
class TaggedSeries:
    """The points of a measurement that have exactly these tags: the times of the first and of the last.

    `like_candles`: the first or the last has a field of a candle.
    """

    tags: Mapping[str, str]
    first_ms: int
    last_ms: int
    like_candles: bool = True

    @property
    def name(self) -> str:
        """Its tags, as in `exchange=binance,symbol=BTCUSDT`."""
        return ",".join(f"{key}={self.tags[key]}" for key in sorted(self.tags)) or "points without tags"


class Look:
    """Questions about the measurements of one database and retention policy."""

    def __init__(self, ask: Ask, database: str, policy: str, *, deletes: Literal["all", "this", "none"]) -> None:
        """`deletes`: which policies a DELETE reaches, which cannot name one."""
        self._ask = ask
        self.database = database
        self.policy = policy
        self.deletes = deletes

    async def kinds(self, measurement: str) -> dict[str, set[str]]:
        """The types that each field of a candle has in some shard."""
        kinds: dict[str, set[str]] = {}
        for field, kind in await self._fields(measurement):
            if field in FIELDS:
                kinds.setdefault(field, set()).add(kind)
        return kinds

    async def other_fields(self, measurement: str) -> list[str]:
        """Return the fields that no candle has."""
        return sorted({field for field, _ in await self._fields(measurement)}.difference(FIELDS))

    async def _fields(self, measurement: str) -> list[list[Any]]:
        place = f"{influxql.name(self.policy)}.{influxql.name(measurement)}"
        (found,) = await self._ask(f"SHOW FIELD KEYS ON {influxql.name(self.database)} FROM {place}")
        return _rows(found, "fieldKey", "fieldType")

    async def count_fields(
        self, measurement: str, condition: str, fields: Sequence[str], span: TimeRange
    ) -> dict[str, int]:
        """Count the points with each of these fields, without fields that none has."""
        what = ", ".join(f"count({influxql.name(field)}::field)" for field in fields)
        select = influxql.select(what, self._source(measurement), condition, influxql.within(span))
        (found,) = await self._ask(select)
        counts = [row[1:] for rows in found for row in rows.values]
        return {field: int(many) for row in counts for field, many in zip(fields, row, strict=True) if many}

    async def kinds_in(self, measurement: str, fields: Sequence[str], span: TimeRange) -> dict[str, str]:
        """Return the types of these fields in the shards that `span` touches, also of deleted points.

        Leaves out fields that do not exist.  If the types of one differ inside `span`, a server names one of them, a
        float if it is among them; so ask about times in one shard.
        """
        found = await self._kinds_in(measurement, fields, span)
        if not found and len(fields) > 1:
            # Next to a field that does not exist a server ignores the others.
            for field in fields:
                found.update(await self._kinds_in(measurement, (field,), span))
        return found

    async def _kinds_in(self, measurement: str, fields: Sequence[str], span: TimeRange) -> dict[str, str]:
        # No type can be subtracted from, so this fails before a point is read, and the sentence names the types.
        wrong = " + ".join(influxql.name(field) for field in fields) + " - 'x'"
        try:
            await self._ask(influxql.select(wrong, self._source(measurement), influxql.within(span)))
        except StoreDown:
            raise
        except StoreError as exc:
            found = dict(_TYPED.findall(str(exc)))
            if not found:
                raise
            return found
        return {}

    async def may_be(self, measurement: str, field: str, kind: str, span: TimeRange) -> bool:
        """Whether a point in `span` may have a field as that type, which is no float.

        Nothing tells an integer beside floats: any whole number may be one.
        """
        name = influxql.name(field)
        if kind in _COUNTED_AS_FLOATS:
            what, condition = f"{name}::float", f"{name}::float % 1 = 0"
        else:
            what, condition = f"{name}::{kind}", ""
        source = self._source(measurement)
        (found,) = await self._ask(influxql.select(what, source, condition, influxql.within(span), then="LIMIT 1"))
        return bool(found)

    async def shards_in(self, measurement: str, spans: Sequence[TimeRange]) -> list[int]:
        """Return how many shards a question about each of these opens, as EXPLAIN tells everybody who may read.

        1 if there are none, or the server does not say.
        """
        counts: list[int] = []
        nothing = f"{influxql.name(_NO_TAG)}::tag = 'x'"
        what = influxql.name(FIELDS[0])
        for i in range(0, len(spans), _PLANS_PER_QUERY):
            # Then servers that look past the end of a range see no further.
            some = [
                TimeRange(one.start_ms, max(one.start_ms + 1, one.end_ms - 1)) for one in spans[i:][:_PLANS_PER_QUERY]
            ]
            source = self._source(measurement)
            plans = [f"EXPLAIN {influxql.select(what, source, nothing, influxql.within(one))}" for one in some]
            try:
                answers = await self._ask("; ".join(plans))
            except StoreDown:
                raise
            except StoreError:
                return [1] * len(spans)
            counts += [max(1, _number_of_shards(found)) for found in answers]
        return counts

    async def series(self, measurement: str) -> list[TaggedSeries]:
        """Return every series with points, whatever their fields."""
        place = self._source(measurement)
        orders = (f"GROUP BY * ORDER BY time {order} LIMIT 1" for order in ("ASC", "DESC"))
        answers = await self._ask("; ".join(influxql.select("*", place, then=order) for order in orders))
        firsts, lasts = ({_set(rows.tags): rows for rows in found} for found in answers)
        return [
            TaggedSeries(dict(tags), rows.values[0][0], lasts[tags].values[0][0], _like_candles(rows, lasts[tags]))
            for tags, rows in firsts.items()
            if tags in lasts
        ]

    async def sums(self, measurement: str, condition: str, span: TimeRange) -> dict[int, DaySums]:
        """Return for each UTC day how many points have a close, and the sum of each number."""
        count, *sums = [f"count({influxql.name('close')})", *(f"sum({influxql.name(field)})" for field in FIELDS)]
        asked = [
            influxql.select(what, self._source(measurement), condition, influxql.within(span), more, then=_BY_DAY)
            for what, more in ((", ".join([count, *sums]), ""), (count, f"({CONTRADICTS})"))
        ]
        summed, contradicting = await self._ask("; ".join(asked))
        wrong = {day_ms for rows in contradicting for day_ms, many in rows.values if many}
        return {
            day_ms: DaySums(int(many), tuple(float(one or 0.0) for one in found), day_ms in wrong)
            for rows in summed
            for day_ms, many, *found in rows.values
            if many
        }

    async def count(self, measurement: str, condition: str, policy: str | None = None) -> int:
        """Count the points that a condition selects, in another policy if one is named."""
        place = influxql.source(self.database, policy or self.policy, measurement)
        (found,) = await self._ask(influxql.select("count(*)", place, condition))
        return max((int(cell or 0) for rows in found for row in rows.values for cell in row[1:]), default=0)

    async def policies(self) -> list[str]:
        """Return the names of all retention policies of the database."""
        (found,) = await self._ask(f"SHOW RETENTION POLICIES ON {influxql.name(self.database)}")
        return [row[0] for row in _rows(found, "name")]

    async def shards(self) -> list[Shard]:
        """Return the shards of the policy; none if the server does not tell this user."""
        try:
            (found,) = await self._ask("SHOW SHARDS")
        except StoreDown:
            raise
        except StoreError:
            return []
        wanted = ("id", "database", "retention_policy", "start_time", "end_time")
        return [
            Shard(TimeRange(start, end), int(number))
            for number, database, policy, start, end in _rows(found, *wanted)
            if (database, policy) == (self.database, self.policy)
            for start, end in [(ms_of(start), ms_of(end))]
        ]

    def _source(self, measurement: str) -> str:
        return influxql.source(self.database, self.policy, measurement)


def _rows(found: Sequence[Rows], *columns: str) -> list[list[Any]]:
    return [[row[rows.columns.index(column)] for column in columns] for rows in found for row in rows.values]


def _number_of_shards(found: Sequence[Rows]) -> int:
    lines = (_SHARDS.match(str(cell)) for rows in found for row in rows.values for cell in row)
    return next((int(line.group(1)) for line in lines if line), 0)


def _set(tags: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    # Grouped by all tags, a server returns those that a series lacks as empty texts.
    return tuple(sorted((key, value) for key, value in tags.items() if value))


def _like_candles(*found: Rows) -> bool:
    return any(
        cell is not None and column in FIELDS
        for rows in found
        for column, cell in zip(rows.columns, rows.values[0], strict=True)
    )
