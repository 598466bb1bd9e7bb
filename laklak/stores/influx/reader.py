"""Candles read back from InfluxDB: counts where a seal holds, else every point; values in slices."""

from __future__ import annotations

import time
from array import array
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress, pairwise
from math import isnan
from typing import Any, Final

import anyio

from laklak.model.series import DAY_MS, Series, TimeRange
from laklak.stores.base import Columns, DaySums, Oddities, Strays
from laklak.stores.influx.database import Database, Days, Edges, Layout, parts, whole_days
from laklak.stores.influx.lines import FIELDS, tags_of
from laklak.stores.influx.proof import (
    DayProof,
    bits_of,
    clipped_proof,
    counts_of,
    full_day,
    prove,
    stretches,
    times_of,
)
from laklak.stores.influx.seals import SealBook
from laklak.stores.influx.types import FieldTypes
from laklak.stores.influx.v1 import influxql

_CANDLES_PER_QUERY: Final = 50_000
# A server looks at so many days of minutes in a second.
_DAYS_PER_PROOF: Final = 128
_REMEMBERED_S: Final = 5.0
_LOOKS_AT_MOST: Final = 16
# Nobody removes more strays than this by hand; the next runs name the others.
_STRAYS_NAMED: Final = 1_000
_NS_PER_MS: Final = 1_000_000
# Holes closer than this share a question.
_NEAR_MS: Final = DAY_MS // 4


@dataclass(slots=True)
class _Look:
    """What a look at a range has shown: candles a day, and everything in days looked at point by point."""

    span: TimeRange
    counts: Mapping[int, int]
    proofs: Mapping[int, DayProof]
    until_s: float
    given: set[str | int] = field(default_factory=set)

    def gives(self, what: str | int) -> bool:
        """Whether it may still answer that question: soon, and once, because others write too."""
        if what in self.given or time.monotonic() >= self.until_s:
            return False
        self.given.add(what)
        return True


class CandleReader:
    """Reads the candles of one database.

    A candle is a point with five numbers on the grid of its interval.  No server can count those.  In a day whose seal
    holds (see laklak.stores.influx.seals) the points with a `close` are counted; of the others the server tells which
    are surely full (Database.full_days), and in what is left every point is looked at.
    `oldest_ms` returns the first minute that the server still takes.
    """

    def __init__(
        self,
        database: Database,
        types: FieldTypes,
        measurement: str,
        oldest_ms: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._database = database
        self._types = types
        self._measurement = measurement
        self._layouts: dict[str, Layout] = {}
        self.seals = SealBook(database, self.measurement_of, oldest_ms)
        # The last few, for the questions that follow: each costs a server as much as the first.
        self._looks: dict[Series, _Look] = {}
        self._other_edges: dict[str, Edges] = {}
        self._asking_edges = anyio.Lock()

    def measurement_of(self, venue: str) -> str:
        """Return the measurement that keeps the candles of a venue."""
        return self._measurement.replace("{venue}", venue)

    async def open_parts(self, series: Series, span: TimeRange) -> list[TimeRange]:
        """Return `span` without the shards where fields are no floats: no candle is there, whatever can be counted."""
        return await self._types.open_parts(self.measurement_of(series.venue), span)

    async def layout(self, measurement: str) -> Layout:
        """Return what is known about a measurement; looked up once."""
        known = self._layouts.get(measurement)
        if known is None:
            known = self._layouts[measurement] = await self._database.layout(measurement)
        return known

    async def odd(self, series: Series, span: TimeRange, *, anew: bool = False) -> Oddities:
        """Return what stands in `span` but is no candle. With `anew` trust no seal."""
        if not span:
            return Oddities()
        proofs = (await self._look(series, span, anew=anew)).proofs
        strays_ns = sorted(time_ns for proof in proofs.values() for time_ns in proof.strays_ns)
        not_whole = [
            time_ms for day_ms, proof in proofs.items() for time_ms in times_of(series.interval, day_ms, proof.broken)
        ]
        if not strays_ns:
            return Oddities(not_whole)
        measurement = self.measurement_of(series.venue)
        # The tags of other points decide what a statement must leave out, or removes, too.
        await self.layout(measurement)
        removal = self._database.stray_removal(measurement, series, strays_ns[:_STRAYS_NAMED])
        strays = Strays(len(strays_ns), strays_ns[0], removal.statements, removal.remark, strays_ns[-1])
        return Oddities(not_whole, strays)

    async def count(self, series: Series, span: TimeRange) -> int:
        """Count the candles in `span`."""
        return sum((await self._counts(series, span, "count")).values())

    async def count_by_day(self, series: Series, span: TimeRange) -> dict[int, int]:
        """Count them per UTC day, without days that have none."""
        return dict(await self._counts(series, span, "days"))

    async def sums_by_day(self, series: Series, span: TimeRange) -> dict[int, DaySums]:
        """Return the same with sums by the server; days that hold something else than candles are summed here."""
        if not span:
            return {}
        look = await self._seen(series, span, "sums")
        mixed = {day for day, proof in look.proofs.items() if proof.broken or proof.strays_ns}
        found = await self._sums(series, stretches(sorted(set(look.counts) - mixed)), span)
        for day in sorted(mixed & set(look.counts)):
            found.update(await self._sums_of_rows(series, TimeRange(day, day + DAY_MS).clip(span)))
        return dict(sorted(found.items()))

    async def _sums(self, series: Series, spans: Iterable[TimeRange], span: TimeRange) -> dict[int, DaySums]:
        measurement, server = self.measurement_of(series.venue), await self._database.look()
        condition = influxql.tagged(tags_of(series), (await self.layout(measurement)).foreign_tags)
        found: dict[int, DaySums] = {}
        for part in [opened for one in spans for opened in await self.open_parts(series, one.clip(span))]:
            if server is None:
                sums = await self._sums_of_rows(series, part)
            else:
                sums = await server.sums(measurement, condition, part)
            for day, one in sums.items():
                # A shard without candles may cut a day.
                found[day] = found[day].also(one) if day in found else one
        return found

    async def _sums_of_rows(self, series: Series, span: TimeRange) -> dict[int, DaySums]:
        return {
            day: found
            for part in span.days()
            if (found := DaySums.of(await self.candles(series, part))).rows
            for day in [part.start_ms // DAY_MS * DAY_MS]
        }

    async def _counts(self, series: Series, span: TimeRange, question: str) -> Mapping[int, int]:
        return (await self._seen(series, span, question)).counts if span else {}

    async def _seen(self, series: Series, span: TimeRange, question: str) -> _Look:
        """Return a look at `span`: the last one if it may still answer that question."""
        look = self._looks.get(series)
        if look is None or look.span != span or not look.gives(question):
            look = await self._look(series, span)
            look.given.add(question)
        return look

    def changed(self, series: Series) -> None:
        """Forget the looks at a series that is written to."""
        self._looks.pop(series, None)

    async def _look(self, series: Series, span: TimeRange, *, anew: bool = False) -> _Look:
        measurement = self.measurement_of(series.venue)
        days, asked, fragments = await self._count_days(measurement, series, span)
        others = None if days.seals and not anew else await self._without_close(measurement, series)
        proofs = await self._prove(measurement, series, self._doubtful(days, asked, others, anew=anew), days)
        self.seals.looked(series, span, days, proofs, asked)
        await self.seals.send()
        for part in fragments:
            for day, proof in prove(series.interval, await self._database.points(measurement, series, part)).items():
                proofs[day] = proofs.get(day, DayProof()).also(proof)
        inside = {day: clipped_proof(series.interval, day, proof, span) for day, proof in proofs.items()}
        counts = {day: days.parts.get(day, count) for day, count in days.counts.items() if day not in proofs}
        counts = {day: count for day, count in (counts | counts_of(inside)).items() if count}
        look = _Look(span, dict(sorted(counts.items())), inside, time.monotonic() + _REMEMBERED_S)
        self._looks.pop(series, None)
        self._looks[series] = look
        while len(self._looks) > _LOOKS_AT_MOST:
            del self._looks[next(iter(self._looks))]
        return look

    async def _count_days(
        self, measurement: str, series: Series, span: TimeRange
    ) -> tuple[Days, Sequence[TimeRange], Sequence[TimeRange]]:
        """Ask the server about days that are open as a whole; return its answer, those days, and the other parts."""
        counts: dict[int, int] = {}
        parts: dict[int, int] = {}
        seals: dict[int, int] = {}
        days_asked: list[TimeRange] = []
        fragments: list[TimeRange] = []
        for opened in await self.open_parts(series, whole_days(span)):
            whole = TimeRange(-(-opened.start_ms // DAY_MS) * DAY_MS, opened.end_ms // DAY_MS * DAY_MS)
            if asked := whole.clip(span):
                days = await self._database.days(measurement, series, asked)
                counts.update(days.counts)
                parts.update(days.parts)
                seals.update(days.seals)
                days_asked.append(whole)
            edges = (TimeRange(opened.start_ms, whole.start_ms), TimeRange(whole.end_ms, opened.end_ms))
            fragments += [part for edge in edges if (part := edge.clip(span))] if whole else [opened.clip(span)]
        return Days(counts, parts, seals), days_asked, [part for part in fragments if part]

    async def _without_close(self, measurement: str, series: Series) -> TimeRange | None:
        """Return the days of the points with one of the other four numbers; asked once for all series."""
        async with self._asking_edges:
            if measurement not in self._other_edges:
                others = [field for field in FIELDS if field != "close"]
                self._other_edges[measurement] = await self._database.series_edges(measurement, *others)
        edges = self._other_edges[measurement].get(series)
        return None if edges is None else whole_days(TimeRange(edges[0], edges[1] + 1))

    @staticmethod
    def _doubtful(days: Days, asked: Sequence[TimeRange], others: TimeRange | None, *, anew: bool) -> list[int]:
        """Return the days to look at point by point, rising.

        In a day that nobody has looked at, points may lack just the close, and the count leaves those out: `others` is
        where points with another number are.
        """
        doubtful = [day for day, count in days.counts.items() if anew or days.seals.get(day) != count]
        if others is not None:
            for part in asked:
                inside = part.clip(others)
                doubtful += range(inside.start_ms, inside.end_ms, DAY_MS)
        return sorted(set(doubtful))

    async def _prove(
        self, measurement: str, series: Series, doubtful: Sequence[int], days: Days
    ) -> dict[int, DayProof]:
        proofs: dict[int, DayProof] = {}
        full = full_day(series.interval)
        counted = [day for day in doubtful if days.counts.get(day) == full.bit_count()]
        for part in stretches(counted, _DAYS_PER_PROOF * DAY_MS):
            proofs |= dict.fromkeys(await self._database.full_days(measurement, series, part), DayProof(full))
        left = [day for day in doubtful if day not in proofs]
        for part in stretches(left, max(DAY_MS, _CANDLES_PER_QUERY * series.interval.ms // DAY_MS * DAY_MS)):
            found = await self._database.points(measurement, series, part)
            proofs |= dict.fromkeys(range(part.start_ms, part.end_ms, DAY_MS), DayProof())
            proofs |= prove(series.interval, found)
        return proofs

    async def open_times(self, series: Series, span: TimeRange) -> list[int]:
        """Return the open_times in `span`, rising."""
        if not span:
            return []
        measurement = self.measurement_of(series.venue)
        look = self._looks.get(series)
        if look is None or span.clip(look.span) != span or span.end_ms - span.start_ms > DAY_MS:
            return [time_ms async for part in self._whole(measurement, series, span) for time_ms in part]
        return [time_ms for part in span.days() for time_ms in await self._of_day(measurement, series, part, look)]

    async def _of_day(self, measurement: str, series: Series, part: TimeRange, look: _Look) -> list[int]:
        """Return the open_times of a part of a day, the cheapest way."""
        day_ms = part.start_ms - part.start_ms % DAY_MS
        proof = look.proofs.get(day_ms)
        if not look.gives(day_ms):
            return [time_ms async for found in self._whole(measurement, series, part) for time_ms in found]
        if proof is not None:
            return times_of(series.interval, day_ms, proof.whole & bits_of(series.interval, day_ms, part))
        if day_ms not in look.counts:
            return []
        # Its seal holds: every close belongs to a whole candle.
        times = await self._database.times(measurement, series, [part])
        self.seals.learn(series, part, times)
        return times

    async def _whole(self, measurement: str, series: Series, span: TimeRange) -> AsyncIterator[list[int]]:
        step_ns = series.interval.ms * _NS_PER_MS
        for part in await self._slices(series, span):
            for opened in await self.open_parts(series, part):
                found = await self._database.points(measurement, series, opened)
                yield [time_ns // _NS_PER_MS for time_ns in found.whole_ns if not time_ns % step_ns]

    async def stored_among(self, series: Series, open_times: Sequence[int]) -> set[int]:
        """Return which of these minutes, rising, have a candle."""
        if not open_times:
            return set()
        measurement = self.measurement_of(series.venue)
        spans = [part for run in _runs(open_times) for part in await self.open_parts(series, run)]
        found = set(await self._database.times(measurement, series, spans)).intersection(open_times)
        # Few minutes have anything: look at those again, because a close alone is no candle.
        whole: set[int] = set()
        for span in _runs(sorted(found)):
            async for times in self._whole(measurement, series, span):
                whole.update(times)
        return whole & found

    async def candles(self, series: Series, span: TimeRange, last: int | None = None, *, whole: bool = True) -> Columns:
        """Return candles in `span`, oldest first; with `last` only the newest `last`. See Store.read for `whole`."""
        if last is not None:
            return await self._newest(series, span, last, whole)
        return await self._gather(series, await self._slices(series, span), whole)

    async def batches(self, series: Series, span: TimeRange) -> AsyncGenerator[Columns]:
        """Yield the candles in `span`, oldest first, as they come."""
        for part in await self._slices(series, span):
            found = await self._gather(series, [part], whole=True)
            if found.open_times:
                yield found

    async def _newest(self, series: Series, span: TimeRange, last: int, whole: bool) -> Columns:
        measurement = self.measurement_of(series.venue)
        edges = await self._database.edges(measurement, series, span) if span and last > 0 else None
        found = _joined([])
        width, end_ms = last, edges.end_ms if edges else 0
        while edges and len(found.open_times) < last and end_ms > edges.start_ms:
            # With candles missing, the newest `last` reach back further than `last` minutes.
            width = min(width, _CANDLES_PER_QUERY)
            start_ms = max(edges.start_ms, end_ms - width * series.interval.ms)
            found = _joined([await self._gather(series, [TimeRange(start_ms, end_ms)], whole), found])
            width, end_ms = width * 4, start_ms
        return (
            Columns(found.open_times[-last:], tuple(column[-last:] for column in found.values)) if last > 0 else found
        )

    async def _gather(self, series: Series, spans: Sequence[TimeRange], whole: bool) -> Columns:
        measurement = self.measurement_of(series.venue)
        opened = [part for span in spans for part in await self.open_parts(series, span)]
        found = _joined([await self._database.candles(measurement, series, part) for part in opened])
        return _only_whole(found) if whole else found

    async def _slices(self, series: Series, span: TimeRange) -> list[TimeRange]:
        """Cut `span` so that no answer is large, without what lies before the first and after the last point."""
        step_ms = _CANDLES_PER_QUERY * series.interval.ms
        if span.end_ms - span.start_ms <= step_ms:
            return [span] if span else []
        edges = await self._database.edges(self.measurement_of(series.venue), series, span)
        return list(parts(edges.clip(span), step_ms)) if edges else []


def _runs(open_times: Sequence[int]) -> Iterator[TimeRange]:
    if not open_times:
        return
    start = 0
    for i, (before, after) in enumerate(pairwise(open_times), 1):
        if after - before > _NEAR_MS:
            yield TimeRange(open_times[start], before + 1)
            start = i
    yield TimeRange(open_times[start], open_times[-1] + 1)


def _only_whole(columns: Columns) -> Columns:
    # No number that a server keeps is infinite; a sum may be, but it is NaN only if a number is.
    if not any(isnan(sum(column)) for column in columns.values):
        return columns
    kept = [not any(map(isnan, row)) for row in zip(*columns.values, strict=True)]
    values = tuple(array("d", compress(column, kept)) for column in columns.values)
    return Columns(array("q", compress(columns.open_times, kept)), values)


def _joined(found: Sequence[Columns]) -> Columns:
    if len(found) == 1:
        return found[0]
    columns: list[array[Any]] = [array("q"), *(array("d") for _ in FIELDS)]
    for part in found:
        for column, cells in zip(columns, (part.open_times, *part.values), strict=True):
            column.extend(cells)
    return Columns(columns[0], tuple(columns[1:]))
