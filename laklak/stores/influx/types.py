"""Where a server keeps the fields of candles as something else than floats: there it refuses every candle.

A server keeps the types of fields per measurement and shard: a week by default, of all series.  The first write to a
shard sets its types from then on, also once its points are deleted (1.6.7 until the shard is dropped; 2.7.12 forgets
them and remembers them after a restart, when it cannot read what was written meanwhile).

Asked about a stretch with several shards, a server names one type of a field, a float before all others.  So ask where
one shard is alone.  If there is no such place (on 1.6.7 a policy whose shards were made longer lays new ones over the
old ones), the stretch is closed, unless no point in it can be of another type than a float.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import anyio

from laklak.model.series import DAY_MS, MINUTE_MS, TimeRange
from laklak.model.spans import parted
from laklak.stores.influx.database import Database
from laklak.stores.influx.look import Look, Shard

_FLOAT: Final = "float"


@dataclass(frozen=True, slots=True)
class ClosedStretch:
    """A stretch of a measurement where fields are no floats, or may be none; it lies in `shard`.

    `conflicts`: their types there, as in `close is integer, volume may be string`.
    """

    span: TimeRange
    shard: Shard
    conflicts: str


@dataclass(frozen=True, slots=True)
class Cell:
    """A shard and where to ask for its types; `alone`: no other shard shows there."""

    shard: Shard
    ask: TimeRange
    alone: bool


class FieldTypes:
    """Finds the closed stretches of the measurements of one database; asks about each shard once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = anyio.Lock()
        self._kinds: dict[str, Mapping[str, frozenset[str]]] = {}
        self._shards: list[Cell] | None = None
        self._pieces: dict[tuple[str, TimeRange], list[Cell]] = {}
        self._found: dict[tuple[str, Cell], ClosedStretch | None] = {}

    async def mixed(self, measurement: str) -> Mapping[str, frozenset[str]]:
        """Return a candle's fields that are no floats somewhere in a measurement, with these types; looked up once."""
        known = self._kinds.get(measurement)
        if known is None:
            look = await self._database.look()
            kinds = {} if look is None else await look.kinds(measurement)
            others = {field: frozenset(own - {_FLOAT}) for field, own in sorted(kinds.items())}
            known = self._kinds[measurement] = {field: own for field, own in others.items() if own}
        return known

    async def closed(self, measurement: str, span: TimeRange) -> list[ClosedStretch]:
        """Return the closed stretches that `span` touches, in order and disjoint; a shard with a number comes whole."""
        kinds = await self.mixed(measurement)
        look = await self._database.look() if kinds and span else None
        if look is None:
            return []
        async with self._lock:
            if self._shards is None:
                self._shards = cells_of(await look.shards())
            if self._shards:
                cells = [cell for cell in self._shards if cell.shard.span.clip(span)]
            else:
                cells = await self._cut(look, measurement, span)
            found = [await self._look_at(look, measurement, kinds, cell) for cell in cells]
        return list(_joined(one for one in found if one is not None))

    def found(self) -> list[tuple[str, ClosedStretch]]:
        """Return all closed stretches found so far, with their measurements."""
        by_measurement: dict[str, list[ClosedStretch]] = {}
        for (measurement, _), one in self._found.items():
            if one is not None:
                by_measurement.setdefault(measurement, []).append(one)
        return [(measurement, one) for measurement, found in by_measurement.items() for one in _joined(found)]

    async def look_at_all(self, measurement: str, span: TimeRange) -> None:
        """Look at `span`, and at all shards that the server tells of."""
        await self.closed(measurement, span)
        spans = [span, *(cell.shard.span for cell in self._shards or ())]
        await self.closed(measurement, TimeRange(min(spans).start_ms, max(one.end_ms for one in spans)))

    async def open_parts(self, measurement: str, span: TimeRange) -> list[TimeRange]:
        """Return `span` without what is closed.

        If a server looks past the end of a range, a part before a closed one ends a millisecond early, where no candle
        begins.
        """
        if not await self.mixed(measurement):
            return [span] if span else []
        closed = [one.span for one in await self.closed(measurement, span)]
        starts = {one.start_ms for one in closed} if self._database.looks_past_ends else set()
        outside, _ = parted([span] if span else [], closed)
        return [TimeRange(one.start_ms, one.end_ms - (one.end_ms in starts)) for one in outside]

    async def _look_at(
        self, look: Look, measurement: str, mixed: Mapping[str, frozenset[str]], cell: Cell
    ) -> ClosedStretch | None:
        key = (measurement, cell)
        if key not in self._found:
            conflicts: list[str] = []
            for field, kind in sorted((await look.kinds_in(measurement, list(mixed), cell.ask)).items()):
                if kind != _FLOAT:
                    conflicts.append(f"{field} is {kind}")
                elif not cell.alone:
                    may_be = [
                        one for one in sorted(mixed[field]) if await look.may_be(measurement, field, one, cell.ask)
                    ]
                    conflicts += [f"{field} may be {one}" for one in may_be]
            shard = cell.shard
            self._found[key] = ClosedStretch(shard.span, shard, ", ".join(conflicts)) if conflicts else None
        return self._found[key]

    async def _cut(self, look: Look, measurement: str, span: TimeRange) -> list[Cell]:
        """Cut what `span` touches by counting shards, for a server that does not tell of its shards."""
        pieces = list(self._by_policy(span))
        new = [piece for piece in pieces if (measurement, piece) not in self._pieces]
        self._pieces.update(((measurement, piece), []) for piece in new)
        # (the piece that it was cut from, the part of it)
        parts = [(piece, piece) for piece in new]
        while parts:
            found = await _cells_where(look, measurement, [part for _, part in parts])
            halves: list[tuple[TimeRange, TimeRange]] = []
            for (piece, part), cell in zip(parts, found, strict=True):
                if cell is None:
                    halves += [(piece, half) for half in _halves(part)]
                else:
                    self._pieces[measurement, piece].append(cell)
            parts = halves
        return [cell for piece in pieces for cell in self._pieces[measurement, piece] if cell.shard.span.clip(span)]

    def _by_policy(self, span: TimeRange) -> Iterator[TimeRange]:
        """Yield whole days, cut where shards are by today's policy."""
        retention = self._database.retention
        for day in TimeRange(span.start_ms - span.start_ms % DAY_MS, span.end_ms).days():
            start_ms = day.start_ms
            end_ms = start_ms + DAY_MS
            while start_ms < end_ms:
                stop_ms = min(end_ms, retention.shard_end_ms(start_ms))
                yield TimeRange(start_ms, stop_ms)
                start_ms = stop_ms


def cells_of(shards: Sequence[Shard]) -> list[Cell]:
    """Return the shards with a stretch where each is alone, if there is one; in order."""
    alone: dict[int, TimeRange] = {}
    edges = [(edge_ms, i) for i, shard in enumerate(shards) for edge_ms in (shard.span.start_ms, shard.span.end_ms)]
    here: set[int] = set()
    before_ms = 0
    for edge_ms, i in sorted(edges):
        if len(here) == 1 and edge_ms > before_ms:
            alone.setdefault(next(iter(here)), TimeRange(before_ms, edge_ms))
        here ^= {i}
        before_ms = edge_ms
    cells = [Cell(shard, alone.get(i, shard.span), i in alone) for i, shard in enumerate(shards)]
    return sorted(cells, key=lambda cell: cell.shard.span)


async def _cells_where(look: Look, measurement: str, parts: Sequence[TimeRange]) -> list[Cell | None]:
    """Return the parts as cells; None for one to halve, because a shard may be alone in a half."""
    counts = await look.shards_in(measurement, parts)
    several = [i for i, count in enumerate(counts) if count > 1]
    at_edges = iter(await look.shards_in(measurement, [edge for i in several for edge in _edges(parts[i])]))
    # Shards at both ends of a part lie over all of it.
    over_all = {i for i in several if [next(at_edges), next(at_edges)] == [counts[i]] * 2}
    return [
        Cell(Shard(part), part, counts[i] <= 1)
        if counts[i] <= 1 or i in over_all or part.end_ms - part.start_ms <= MINUTE_MS
        else None
        for i, part in enumerate(parts)
    ]


def _halves(span: TimeRange) -> tuple[TimeRange, TimeRange]:
    """Cut the span in two, at a minute."""
    middle_ms = span.start_ms + max(MINUTE_MS, (span.end_ms - span.start_ms) // 2 // MINUTE_MS * MINUTE_MS)
    return TimeRange(span.start_ms, middle_ms), TimeRange(middle_ms, span.end_ms)


def _edges(span: TimeRange) -> tuple[TimeRange, TimeRange]:
    """Return the first and the last moment that a candle can be at."""
    last_ms = max(span.start_ms, span.end_ms - 2)
    return TimeRange(span.start_ms, span.start_ms + 1), TimeRange(last_ms, last_ms + 1)


def _joined(found: Iterable[ClosedStretch]) -> Iterator[ClosedStretch]:
    """Put them in order and make them disjoint; like neighbours without a number become one."""
    before: ClosedStretch | None = None
    for one in sorted(found, key=lambda one: (one.span.start_ms, -one.span.end_ms)):
        span = one.span
        if before is not None:
            # Everything in a closed shard is closed, whatever lies over it.
            span = TimeRange(max(span.start_ms, before.span.end_ms), span.end_ms)
            alike = before.shard.number is None and before.conflicts == one.conflicts
            if span and alike and before.span.end_ms == span.start_ms:
                span = TimeRange(before.span.start_ms, span.end_ms)
                before = ClosedStretch(span, Shard(span), one.conflicts)
                continue
        if not span:
            continue
        if before is not None:
            yield before
        before = ClosedStretch(span, one.shard, one.conflicts)
    if before is not None:
        yield before
