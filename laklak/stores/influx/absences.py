"""Holes and rejects, kept in the measurement `laklak_holes` with the tags of the candles that are not there.

Fields: `kind` (`hole` or `rejected`; `stored` once a candle came after all), `confirmed_at` (ms), `reason`, `row`,
`venue_at` and `file_at` (ms by the venue's clock, 0 for none; older points have neither).
A point that is no longer true is overwritten and not deleted: a DELETE of 1.x cannot be told the retention policy.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from laklak.errors import StoreError
from laklak.model.absences import Absence
from laklak.model.series import Series, TimeRange
from laklak.stores.influx.database import HOLES, Edges, Place
from laklak.stores.influx.lines import key_of, point_line, tags_of
from laklak.stores.influx.reader import CandleReader

_LINES_PER_WRITE: Final = 1_000


class AbsenceBook:
    """The known holes and rejects of one database."""

    def __init__(self, place: Place, reader: CandleReader) -> None:
        self._place = place
        self._reader = reader
        # Series that have ever had an entry: nothing is asked about the others.
        self._entered: set[Series] | None = None

    async def known(self, series: Series, span: TimeRange) -> list[Absence]:
        """Known holes and rejects in `span`, rising, without those whose candle is stored."""
        found = await self._entries(series, span)
        stored = await self._reader.stored_among(series, [absence.open_time_ms for absence in found])
        return [absence for absence in found if absence.open_time_ms not in stored]

    async def any(self) -> bool:
        """Whether anything at all was ever known to be absent."""
        return bool(await self._series())

    async def series(self) -> Edges:
        """The first and the last open_time of every series that was ever known to lack something."""
        return await self._place.series_edges(HOLES, "kind")

    async def record(self, series: Series, absences: Iterable[Absence], written: Collection[int]) -> None:
        """Remember absences, but for minutes that were just `written` or are stored from before."""
        new = sorted(
            (absence for absence in absences if absence.open_time_ms not in written),
            key=lambda absence: absence.open_time_ms,
        )
        stored = await self._reader.stored_among(series, [absence.open_time_ms for absence in new])
        key = key_of(HOLES, tags_of(series))
        await self._send([_line(key, absence) for absence in new if absence.open_time_ms not in stored])
        if new:
            (await self._series()).add(series)

    async def knows(self, series: Series) -> bool:
        """Whether the series has ever had an entry."""
        return series in await self._series()

    async def withdraw(self, series: Series, written: Collection[int]) -> None:
        """Take back the absences of minutes that were just `written`."""
        if not written:
            return
        found = await self._entries(series, TimeRange(min(written), max(written) + 1))
        key = key_of(HOLES, tags_of(series))
        untrue = [absence.open_time_ms for absence in found if absence.open_time_ms in written]
        await self._send([point_line(key, {"kind": "stored"}, open_time) for open_time in untrue])

    async def _entries(self, series: Series, span: TimeRange) -> list[Absence]:
        return await self._place.absences(series, span) if span and await self.knows(series) else []

    async def _series(self) -> set[Series]:
        if self._entered is None:
            found = await self.series()
            # Another call may have been here meanwhile and have added to it.
            self._entered = (self._entered or set()).union(found)
        return self._entered

    async def _send(self, lines: Sequence[str]) -> None:
        for i in range(0, len(lines), _LINES_PER_WRITE):
            verdict = await self._place.write("".join(lines[i : i + _LINES_PER_WRITE]).encode())
            if verdict.kind != "ok":
                address = self._place.address
                raise StoreError(
                    f"InfluxDB at {address.server} does not take known holes: {verdict.reason}",
                    hint=f"look at the measurement {HOLES} of the {address.noun} {address.database}",
                )


def _line(key: str, absence: Absence) -> str:
    # Every field every time: a field that is left out keeps what it said before.
    fields = {
        "kind": absence.kind,
        "confirmed_at": absence.confirmed_at_ms,
        "reason": absence.reason,
        "row": absence.row or "",
        "venue_at": absence.venue_ms or 0,
        "file_at": absence.file_ms or 0,
    }
    return point_line(key, fields, absence.open_time_ms)
