"""Stretches of series as points of a measurement of ours: one at the start of each, with its end in a field.

A point that is no longer true is overwritten and not deleted: a DELETE of 1.x cannot be told the retention policy.
Where a server drops what has become too old, it drops whole shards: there stretches are cut where shards are, so that
what is said of candles is dropped together with them, and not before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Generic

from laklak.errors import StoreError
from laklak.model.series import Series, TimeRange
from laklak.model.spans import R
from laklak.stores.influx.database import LAST_MS, Place
from laklak.stores.influx.lines import key_of, point_line, tags_of

ALL_TIME: Final = TimeRange(-LAST_MS, LAST_MS)
_LINES_PER_WRITE: Final = 1_000

Fields = Mapping[str, str | int | float]


class StretchBook(Generic[R]):
    """The stretches of one measurement, read once for each series and kept beside what is written.

    `fields`: names and types, the one first that tells a true point from one that is gone; `read` makes a stretch of
    its cells, `spell` the fields of one but for `end_time`; `oldest_ms`: the first minute that can be written, if the
    server drops any.
    """

    def __init__(
        self,
        place: Place,
        measurement: str,
        fields: Mapping[str, type[str] | type[int]],
        read: Callable[[TimeRange, Sequence[Any]], R],
        spell: Callable[[R], Fields],
        oldest_ms: Callable[[], int | None],
    ) -> None:
        self._place = place
        self._measurement = measurement
        self._fields = {**fields, "end_time": int}
        self._first = next(iter(fields))
        self._read = read
        self._spell = spell
        self._oldest_ms = oldest_ms
        # Series that have ever had a point: nothing is asked about the others.
        self._entered: set[Series] | None = None
        self._rows: dict[Series, list[R]] = {}

    async def series(self) -> set[Series]:
        """The series that ever had a stretch."""
        if self._entered is None:
            found = await self._place.series_edges(self._measurement, self._first)
            # Another call may have been here meanwhile and have added to it.
            self._entered = (self._entered or set()).union(found)
        return self._entered

    async def rows(self, series: Series, *, anew: bool = False) -> list[R]:
        """The stretches of a series, rising and disjoint; `anew` as the server has them by now."""
        if series not in await self.series():
            return []
        if anew or series not in self._rows:
            found = await self._place.rows(self._measurement, self._fields, series, ALL_TIME)
            if anew or series not in self._rows:
                self._rows[series] = self._disjoint(found)
        return self._rows[series]

    async def replace(self, rows: Mapping[Series, Sequence[R]]) -> None:
        """Write what the stretches of series are by now; on return it is acknowledged."""
        oldest_ms = self._oldest_ms()
        lines: list[str] = []
        for series, after in rows.items():
            before = await self.rows(series)
            kept = self._kept(after, before, oldest_ms)
            (await self.series()).add(series)
            self._rows[series] = kept
            key = key_of(self._measurement, tags_of(series))
            same, starts = set(before).intersection(kept), {row.span.start_ms for row in kept}
            # Every field every time: a field that is left out keeps what it said before.
            lines += [
                point_line(key, {self._first: "", "end_time": 0}, row.span.start_ms)
                for row in before
                if row.span.start_ms not in starts and (oldest_ms is None or row.span.start_ms >= oldest_ms)
            ]
            lines += [
                point_line(key, {**self._spell(row), "end_time": row.span.end_ms}, row.span.start_ms)
                for row in kept
                if row not in same
            ]
        try:
            await send_lines(self._place, self._measurement, lines)
        except BaseException:
            for series in rows:
                # Nobody knows what the server has of it.
                self._rows.pop(series, None)
            raise

    def _kept(self, rows: Iterable[R], before: Sequence[R], oldest_ms: int | None) -> list[R]:
        """Stretches as they can be kept: in as many parts as shards drop them, and of new ones what may be written."""
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
            end_ms = min(row.span.end_ms, self._place.retention.shard_end_ms(start_ms))
            yield row.over(TimeRange(start_ms, end_ms))
            start_ms = end_ms

    def _disjoint(self, found: Iterable[tuple[int, Sequence[Any]]]) -> list[R]:
        """The stretches of points, rising: where one reaches into the next, for it could not be overwritten any more,
        the later one counts.
        """
        rows: list[R] = []
        for start_ms, cells in found:
            if not cells[0]:
                continue
            if rows and rows[-1].span.end_ms > start_ms:
                rows[-1] = rows[-1].over(TimeRange(rows[-1].span.start_ms, start_ms))
            rows.append(self._read(TimeRange(start_ms, cells[-1]), cells[:-1]))
        return rows


async def send_lines(place: Place, measurement: str, lines: Iterable[str]) -> None:
    """Write points of a measurement of ours; StoreError when the server does not take them."""
    waiting = list(lines)
    for i in range(0, len(waiting), _LINES_PER_WRITE):
        verdict = await place.write("".join(waiting[i : i + _LINES_PER_WRITE]).encode())
        if verdict.kind != "ok":
            address = place.address
            raise StoreError(
                f"InfluxDB at {address.server} does not take a point of {measurement}: {verdict.reason}",
                hint=f"look at the measurement {measurement} of the {address.noun} {address.database}",
            )
