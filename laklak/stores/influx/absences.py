"""Known absences, with the tags of the missing candles.

`laklak_holes`: holes and rejects, a point for each candle. Fields: `kind` (`hole` or `rejected`; `stored` once a candle
came after all), `confirmed_at` (ms), `reason`, `row`, `venue_at` and `file_at` (ms by the venue's clock, 0 for none),
`sources`; older points have fewer.
`laklak_absences`: stretches of longer-lived kinds, a point at the start of each (see laklak.stores.influx.stretches). A
point that is no longer true is overwritten, not deleted, because a DELETE of 1.x cannot name the retention policy.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from laklak.model.absences import MINUTE_KINDS, Absence, outside_of
from laklak.model.series import Series, TimeRange
from laklak.stores.influx.database import ABSENCES, HOLES, Database, Edges
from laklak.stores.influx.lines import key_of, point_line, tags_of
from laklak.stores.influx.reader import CandleReader
from laklak.stores.influx.stretches import Fields, StretchBook, send_lines

_FIELDS: Final[Mapping[str, type[str] | type[int]]] = {
    "kind": str,
    "confirmed_at": int,
    "reason": str,
    "row": str,
    "venue_at": int,
    "file_at": int,
    "sources": str,
}


class AbsenceBook:
    """The known absences of one database; `oldest_ms` returns the first minute that the server would keep."""

    def __init__(self, database: Database, reader: CandleReader, oldest_ms: Callable[[], int | None]) -> None:
        self._database = database
        self._reader = reader
        self._spans = StretchBook(database, ABSENCES, _FIELDS, _absence, _fields_of, oldest_ms)
        # Series that ever had an entry: the others need no question.
        self._entered: set[Series] | None = None

    async def known(self, series: Series, span: TimeRange) -> list[Absence]:
        """Return the absences in `span`, rising, disjoint and cut to it, without what is stored after all."""
        spans = await self._true_spans(series, span)
        found = outside_of(spans, await self._entries(series, span))
        stored = await self._reader.stored_among(series, [absence.open_time_ms for absence in found])
        single = [absence for absence in found if absence.open_time_ms not in stored]
        return sorted([*spans, *single], key=lambda absence: absence.span) if spans else single

    async def any(self) -> bool:
        """Whether any absence was ever known."""
        return bool(await self._series() or await self._spans.series())

    async def series(self) -> Edges:
        """Return the first and the last open_time of every series that ever had a known hole or reject."""
        return await self._database.series_edges(HOLES, "kind")

    async def record(self, series: Series, absences: Iterable[Absence], written: Collection[int]) -> None:
        """Remember absences, except for minutes that were just `written` or are stored from before."""
        given = list(absences)
        single = [one for absence in given if not absence.is_span for one in absence.candles(series.interval)]
        new = sorted(
            (absence for absence in single if absence.open_time_ms not in written),
            key=lambda absence: absence.open_time_ms,
        )
        stored = await self._reader.stored_among(series, [absence.open_time_ms for absence in new])
        key = key_of(HOLES, tags_of(series))
        lines = [
            point_line(key, _fields_of(absence), absence.open_time_ms)
            for absence in new
            if absence.open_time_ms not in stored
        ]
        await send_lines(self._database, HOLES, lines)
        if new:
            (await self._series()).add(series)
        await self._record_spans(series, [absence for absence in given if absence.is_span])

    async def may_end(self, series: Series, span: TimeRange) -> bool:
        """Whether candles in `span` could end an absence."""
        if series in await self._series():
            return True
        return await self._spans.overlap(series, span)

    async def withdraw(self, series: Series, written: Collection[int]) -> None:
        """Take back the absences of minutes that were just `written`."""
        if not written:
            return
        times = sorted(written)
        found = await self._entries(series, TimeRange(times[0], times[-1] + 1))
        key = key_of(HOLES, tags_of(series))
        untrue = [absence.open_time_ms for absence in found if absence.open_time_ms in written]
        await send_lines(
            self._database, HOLES, [point_line(key, {"kind": "stored"}, open_time) for open_time in untrue]
        )
        if await self._spans.overlap(series, TimeRange(times[0], times[-1] + 1)):
            await self._spans.change(
                series, lambda rows: [part for row in rows for part in row.left_by(times, series.interval)]
            )

    async def _record_spans(self, series: Series, absences: Sequence[Absence]) -> None:
        if absences:
            parts = [part for absence in absences for part in await self._not_stored(series, absence)]
            await self._spans.lay({series: parts})

    async def _true_spans(self, series: Series, span: TimeRange) -> list[Absence]:
        rows = [row for row in await self._spans.rows(series, anew=True) if row.span.clip(span)]
        left = [part for row in rows for part in await self._not_stored(series, row)]
        cut = [(row, row.span.clip(span)) for row in left]
        return [row.over(part) for row, part in cut if part]

    async def _not_stored(self, series: Series, absence: Absence) -> list[Absence]:
        if not await self._reader.count(series, absence.span):
            return [absence]
        return absence.left_by(await self._reader.open_times(series, absence.span), series.interval)

    async def _entries(self, series: Series, span: TimeRange) -> list[Absence]:
        """Return the holes and rejects that still hold, rising."""
        if not span or series not in await self._series():
            return []
        step_ms = series.interval.ms
        return [
            _absence(TimeRange(open_ms, open_ms + step_ms), cells)
            for open_ms, cells in await self._database.rows(HOLES, _FIELDS, series, span)
            if cells[0] in MINUTE_KINDS
        ]

    async def _series(self) -> set[Series]:
        if self._entered is None:
            found = await self.series()
            # Another call may have set it meanwhile and have added to it.
            self._entered = (self._entered or set()).union(found)
        return self._entered


def _absence(span: TimeRange, cells: Sequence[Any]) -> Absence:
    kind, confirmed_at_ms, reason, row, venue_ms, file_ms, sources = cells
    words = tuple(sources.split(",")) if sources else ()
    return Absence(span, kind, confirmed_at_ms, reason, row or None, venue_ms or None, file_ms or None, words)


def _fields_of(absence: Absence) -> Fields:
    # Every field every time: a field that is left out keeps its old value.
    return {
        "kind": absence.kind,
        "confirmed_at": absence.confirmed_at_ms,
        "reason": absence.reason,
        "row": absence.row or "",
        "venue_at": absence.venue_ms or 0,
        "file_at": absence.file_ms or 0,
        "sources": ",".join(absence.sources),
    }
