"""Where a server keeps the fields of candles as something else than floats: there it refuses every candle.

A server keeps the types of fields per measurement and shard: a week by default, of all series.  What was written first
in a shard says what can be written there from then on, also once it has been deleted (1.6.7 until the shard is dropped;
2.7.12 forgets it and remembers it after a restart, when it cannot read what was written meanwhile).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import anyio

from laklak.model.series import DAY_MS, TimeRange
from laklak.model.spans import parted
from laklak.stores.influx.database import Place
from laklak.stores.influx.look import Look, Shard

_FLOAT: Final = "float"


@dataclass(frozen=True, slots=True)
class Closed:
    """A stretch of a measurement where fields are no floats: `kinds` are (field, its type there), one at least."""

    shard: Shard
    kinds: tuple[tuple[str, str], ...]

    @property
    def span(self) -> TimeRange:
        return self.shard.span

    @property
    def conflicts(self) -> str:
        """`close is integer, volume is string`."""
        return ", ".join(f"{field} is {kind}" for field, kind in self.kinds)


class FieldTypes:
    """Finds the closed stretches of the measurements of one database; each shard is asked about once."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._lock = anyio.Lock()
        self._mixed: dict[str, tuple[str, ...]] = {}
        self._shards: list[Shard] | None = None
        self._found: dict[tuple[str, Shard], Closed | None] = {}

    async def mixed(self, measurement: str) -> tuple[str, ...]:
        """The fields of a candle that are no floats somewhere in a measurement; looked up once."""
        known = self._mixed.get(measurement)
        if known is None:
            look = await self._place.look()
            kinds = {} if look is None else await look.kinds(measurement)
            known = self._mixed[measurement] = tuple(sorted(field for field, own in kinds.items() if own != {_FLOAT}))
        return known

    async def closed(self, measurement: str, span: TimeRange) -> list[Closed]:
        """The closed stretches that `span` touches, in order; a shard that the server tells of is given whole."""
        fields = await self.mixed(measurement)
        look = await self._place.look() if fields and span else None
        if look is None:
            return []
        async with self._lock:
            if self._shards is None:
                self._shards = await look.shards()
            shards = [one for one in self._shards if one.span.clip(span)] if self._shards else self._pieces(span)
            found = [await self._look_at(look, measurement, fields, shard) for shard in shards]
        return list(_joined(one for one in found if one is not None))

    def found(self) -> list[tuple[str, Closed]]:
        """All closed stretches that were found so far, with their measurements."""
        by_measurement: dict[str, list[Closed]] = {}
        for (measurement, _), one in self._found.items():
            if one is not None:
                by_measurement.setdefault(measurement, []).append(one)
        return [(measurement, one) for measurement, found in by_measurement.items() for one in _joined(found)]

    async def look_at_all(self, measurement: str, span: TimeRange) -> None:
        """Look at `span`, and at all shards that the server tells of."""
        await self.closed(measurement, span)
        spans = [span, *(one.span for one in self._shards or ())]
        await self.closed(measurement, TimeRange(min(spans).start_ms, max(one.end_ms for one in spans)))

    async def open_parts(self, measurement: str, span: TimeRange) -> list[TimeRange]:
        """`span` without what is closed.

        A part before a closed one ends a millisecond early, where no candle begins: 2.7.12 looks into the shard that
        begins where a range stops, and shows nothing of the others where its types are not theirs.
        """
        if not await self.mixed(measurement):
            return [span] if span else []
        closed = [one.span for one in await self.closed(measurement, span)]
        starts = {one.start_ms for one in closed}
        outside, _ = parted([span] if span else [], closed)
        return [TimeRange(one.start_ms, one.end_ms - (one.end_ms in starts)) for one in outside]

    async def _look_at(self, look: Look, measurement: str, fields: Sequence[str], shard: Shard) -> Closed | None:
        key = (measurement, shard)
        if key not in self._found:
            kinds = await look.kinds_in(measurement, fields, shard.span)
            others = tuple(sorted((field, kind) for field, kind in kinds.items() if kind != _FLOAT))
            self._found[key] = Closed(shard, others) if others else None
        return self._found[key]

    def _pieces(self, span: TimeRange) -> Iterator[Shard]:
        """Whole days, cut where shards are by the policy of today.

        One that was longer shows in each of its days; one that was shorter than a day may hide behind its neighbour,
        and the server refuses its candles.
        """
        retention = self._place.retention
        for day in TimeRange(span.start_ms - span.start_ms % DAY_MS, span.end_ms).days():
            start_ms = day.start_ms
            end_ms = start_ms + DAY_MS
            while start_ms < end_ms:
                stop_ms = min(end_ms, retention.shard_end_ms(start_ms))
                yield Shard(TimeRange(start_ms, stop_ms))
                start_ms = stop_ms


def _joined(found: Iterable[Closed]) -> Iterator[Closed]:
    """Neighbours that are alike and have no number become one."""
    before: Closed | None = None
    for one in sorted(found, key=lambda one: one.span):
        alike = before is not None and before.shard.number is None and before.kinds == one.kinds
        if before is not None and alike and before.span.end_ms == one.span.start_ms:
            before = Closed(Shard(TimeRange(before.span.start_ms, one.span.end_ms)), one.kinds)
            continue
        if before is not None:
            yield before
        before = one
    if before is not None:
        yield before
