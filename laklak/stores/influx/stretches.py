"""Stretches of series as points of a measurement of ours: one at the start of each, with its end in a field.

A point that is no longer true is overwritten, not deleted, because a DELETE of 1.x cannot name the retention policy. A
server drops whole shards when they become too old: there, stretches are cut where shards are, so that the server drops
them together with their candles, and not before.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import reduce
from typing import Any, Final, Generic

import anyio

from laklak.errors import StoreError
from laklak.model.series import Series, TimeRange
from laklak.model.spans import R, laid_over
from laklak.stores.influx.database import LAST_MS, Database
from laklak.stores.influx.lines import key_of, point_line, tags_of

ALL_TIME: Final = TimeRange(-LAST_MS, LAST_MS)
_LINES_PER_WRITE: Final = 1_000

Fields = Mapping[str, str | int | float]


class StretchBook(Generic[R]):
    """The stretches of one measurement, read once for each series and kept beside what is written.

    `fields`: names and types, beginning with the one that tells a true point from a withdrawn one; `read` makes a
    stretch of its cells, `spell` the fields of one except `end_time`; `oldest_ms`: the first minute that can be
    written, if the server drops any.
    """

    def __init__(
        self,
        database: Database,
        measurement: str,
        fields: Mapping[str, type[str] | type[int]],
        read: Callable[[TimeRange, Sequence[Any]], R],
        spell: Callable[[R], Fields],
        oldest_ms: Callable[[], int | None],
    ) -> None:
        self._database = database
        self._measurement = measurement
        self._fields = {**fields, "end_time": int}
        self._first = next(iter(fields))
        self._read = read
        self._spell = spell
        self._oldest_ms = oldest_ms
        self._newest: dict[Series, R | None] | None = None
        self._rows: dict[Series, list[R]] = {}
        # Two writes may be in flight, and each begins with what the other has left.
        self._changing = anyio.Lock()

    async def series(self) -> Collection[Series]:
        """Return the series that ever had a stretch."""
        return (await self._last()).keys()

    async def rows(self, series: Series, *, anew: bool = False) -> list[R]:
        """Return the stretches of a series, rising and disjoint; with `anew` as the server has them now."""
        if series not in await self._last():
            return []
        if anew or series not in self._rows:
            found = await self._database.rows(self._measurement, self._fields, series, ALL_TIME)
            if anew or series not in self._rows:
                self._rows[series] = self._disjoint(found)
        return self._rows[series]

    async def overlap(self, series: Series, span: TimeRange) -> bool:
        """Whether a stretch of a series reaches into `span`; asks nothing if all of them lie before it."""
        last = (await self._last()).get(series)
        if last is not None and last.span.end_ms <= span.start_ms:
            return False
        return any(row.span.clip(span) for row in await self.rows(series))

    async def lay(self, new: Mapping[Series, Iterable[R]]) -> None:
        """Lay stretches over the known ones, in their order; on return everything is acknowledged."""
        async with self._changing:
            changes = []
            for series, rows in new.items():
                # Join them first: they come in any order, and most are neighbours.
                together: list[R] = reduce(laid_over, rows, [])
                if together:
                    before = await self._before(series, together[0].span.start_ms)
                    changes.append((series, before, reduce(laid_over, together, before)))
            await self._replace(changes)

    async def change(self, series: Series, how: Callable[[Sequence[R]], Sequence[R]]) -> None:
        """Put what `how` makes of the stretches of a series in their place; on return it is acknowledged."""
        async with self._changing:
            before = await self.rows(series)
            await self._replace([(series, before, how(before))])

    async def _last(self) -> dict[Series, R | None]:
        """Return the last stretch of every series that ever had one; None if its point was withdrawn."""
        if self._newest is None:
            found = await self._database.newest(self._measurement, self._fields)
            newest: dict[Series, R | None] = {}
            for series, (start_ms, cells) in found.items():
                span = TimeRange(start_ms, cells[-1])
                newest[series] = self._read(span, cells[:-1]) if cells[0] else None
            # Another call may have set it meanwhile.
            self._newest = self._newest or newest
        return self._newest

    async def _before(self, series: Series, start_ms: int) -> list[R]:
        """Return the stretches that others from `start_ms` on can touch, and maybe more.

        Usually just the last one, which is known of every series, so that writing every minute asks for nothing.
        """
        last = (await self._last()).get(series)
        if series not in self._rows and last is not None and last.span.start_ms < start_ms:
            return [last]
        return await self.rows(series)

    async def _replace(self, changes: Sequence[tuple[Series, Sequence[R], Sequence[R]]]) -> None:
        oldest_ms, newest = self._oldest_ms(), await self._last()
        # Every field every time: a field that is left out keeps its old value.
        nothing = {name: kind() for name, kind in self._fields.items()}
        lines: list[str] = []
        for series, before, after in changes:
            kept = self._kept(after, before, oldest_ms)
            key = key_of(self._measurement, tags_of(series))
            same, starts = set(before).intersection(kept), {row.span.start_ms for row in kept}
            lines += [
                point_line(key, nothing, row.span.start_ms)
                for row in before
                if row.span.start_ms not in starts and (oldest_ms is None or row.span.start_ms >= oldest_ms)
            ]
            lines += [
                point_line(key, {**self._spell(row), "end_time": row.span.end_ms}, row.span.start_ms)
                for row in kept
                if row not in same
            ]
            if series in self._rows or not before:
                self._rows[series] = kept
            newest[series] = kept[-1] if kept else None
        try:
            await send_lines(self._database, self._measurement, lines)
        except BaseException:
            # What the server has of it is unknown.
            self._newest = None
            self._rows.clear()
            raise

    def _kept(self, rows: Iterable[R], before: Sequence[R], oldest_ms: int | None) -> list[R]:
        """Cut stretches where shards are dropped, and new ones to what may be written."""
        if oldest_ms is None:
            return list(rows)
        known, kept = set(before), []
        for row in rows:
            for part in [row] if row in known else self._by_shard(row):
                span = part.span if part in known else part.span.clip(TimeRange(oldest_ms, LAST_MS))
                kept += [part.over(span)] if span else []
        return kept

    def _by_shard(self, row: R) -> Iterator[R]:
        start_ms = row.span.start_ms
        while start_ms < row.span.end_ms:
            end_ms = min(row.span.end_ms, self._database.retention.shard_end_ms(start_ms))
            yield row.over(TimeRange(start_ms, end_ms))
            start_ms = end_ms

    def _disjoint(self, found: Iterable[tuple[int, Sequence[Any]]]) -> list[R]:
        """Make disjoint stretches of points, rising; where two overlap, the later one counts.

        They overlap if the first one could not be overwritten any more.
        """
        rows: list[R] = []
        for start_ms, cells in found:
            if not cells[0]:
                continue
            if rows and rows[-1].span.end_ms > start_ms:
                rows[-1] = rows[-1].over(TimeRange(rows[-1].span.start_ms, start_ms))
            rows.append(self._read(TimeRange(start_ms, cells[-1]), cells[:-1]))
        return rows


async def send_lines(database: Database, measurement: str, lines: Iterable[str]) -> None:
    """Write points of a measurement of ours; StoreError if the server does not take them."""
    waiting = list(lines)
    for i in range(0, len(waiting), _LINES_PER_WRITE):
        verdict = await database.write("".join(waiting[i : i + _LINES_PER_WRITE]).encode())
        if verdict.kind != "ok":
            address = database.address
            raise StoreError(
                f"InfluxDB at {address.server} does not take a point of {measurement}: {verdict.reason}",
                hint=f"look at the measurement {measurement} of the {address.noun} {address.database}",
            )
