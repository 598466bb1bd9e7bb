"""Holes and rejects kept in the measurement `laklak_holes`, with the tags of the candles that are not there.

Fields: `kind` (`hole` or `rejected`; `stored` once a candle came after all), `confirmed_at` (ms), `reason`, `row`.
A point that is no longer true is overwritten and not deleted: a DELETE cannot be told the retention policy.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from laklak.errors import StoreError
from laklak.lineprotocol import TAGS, key_of, point_line, tags_of
from laklak.model import Absence, Interval, Series, TimeRange
from laklak.stores import influxql
from laklak.stores.influx_http import InfluxClient
from laklak.stores.influx_read import CandleReader

MEASUREMENT: Final = "laklak_holes"

_LINES_PER_WRITE: Final = 1_000
_FIELDS: Final = '"kind", "confirmed_at", "reason", "row"'
_KNOWN: Final = "(\"kind\" = 'hole' OR \"kind\" = 'rejected')"


class AbsenceBook:
    """The known holes and rejects of one database and retention policy."""

    def __init__(self, client: InfluxClient, policy: str, reader: CandleReader) -> None:
        self._client = client
        self._policy = policy
        self._reader = reader
        self._place = influxql.source(client.address.database, policy, MEASUREMENT)
        # Series that have ever had an entry, so that writing candles of the others asks nothing.
        self._entered: set[Series] | None = None

    async def known(self, series: Series, span: TimeRange) -> list[Absence]:
        """Known holes and rejects in `span`, rising, without those whose candle is stored."""
        found = await self._entries(series, span)
        stored = await self._reader.stored_among(series, [absence.open_time_ms for absence in found])
        return [absence for absence in found if absence.open_time_ms not in stored]

    async def any(self) -> bool:
        """Whether anything at all is known to be absent."""
        return bool((await self._client.query(influxql.select('first("kind")', self._place, _KNOWN)))[0])

    async def record(self, series: Series, absences: Iterable[Absence], written: Collection[int]) -> None:
        """Remember absences, but for minutes that were just `written` or are stored from before."""
        new = sorted(
            (absence for absence in absences if absence.open_time_ms not in written),
            key=lambda absence: absence.open_time_ms,
        )
        stored = await self._reader.stored_among(series, [absence.open_time_ms for absence in new])
        key = key_of(MEASUREMENT, tags_of(series))
        await self._send([_line(key, absence) for absence in new if absence.open_time_ms not in stored])
        if new:
            (await self._series()).add(series)

    async def withdraw(self, series: Series, written: Collection[int]) -> None:
        """Take back the absences of minutes that were just `written`."""
        if not written or series not in await self._series():
            return
        found = await self._entries(series, TimeRange(min(written), max(written) + 1))
        key = key_of(MEASUREMENT, tags_of(series))
        untrue = [absence.open_time_ms for absence in found if absence.open_time_ms in written]
        await self._send([point_line(key, {"kind": "stored"}, open_time) for open_time in untrue])

    async def _entries(self, series: Series, span: TimeRange) -> list[Absence]:
        found = await self._client.query(
            influxql.select(_FIELDS, self._place, influxql.tagged(tags_of(series)), _KNOWN, influxql.within(span))
        )
        return [
            Absence(open_time, kind, confirmed_at, reason, row or None)
            for rows in found[0]
            for open_time, kind, confirmed_at, reason, row in rows.values
        ]

    async def _series(self) -> set[Series]:
        if self._entered is None:
            tags = ", ".join(influxql.name(tag) for tag in TAGS)
            select = influxql.select('first("kind")', self._place, _KNOWN, then=f"GROUP BY {tags}")
            found = await self._client.query(select)
            # Another call may have been here meanwhile and have added to it.
            self._entered = (self._entered or set()) | {
                Series(rows.tags["exchange"], rows.tags["symbol"], Interval.parse(rows.tags["timeframe"]))
                for rows in found[0]
            }
        return self._entered

    async def _send(self, lines: Sequence[str]) -> None:
        for i in range(0, len(lines), _LINES_PER_WRITE):
            verdict = await self._client.write("".join(lines[i : i + _LINES_PER_WRITE]).encode(), self._policy)
            if verdict.kind != "ok":
                raise StoreError(
                    f"InfluxDB at {self._client.address.server} does not take known holes: {verdict.reason}",
                    hint=f"look at the measurement {MEASUREMENT} of the database {self._client.address.database}",
                )


def _line(key: str, absence: Absence) -> str:
    # Every field every time: a field that is left out keeps what it said before.
    fields = {
        "kind": absence.kind,
        "confirmed_at": absence.confirmed_at_ms,
        "reason": absence.reason,
        "row": absence.row or "",
    }
    return point_line(key, fields, absence.open_time_ms)
