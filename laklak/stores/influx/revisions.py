"""Candles that were overwritten with other values, in the measurement `laklak_revisions` with the tags of the candles.

A point stands at the candle's open_time, that of its second revision a millisecond later, and so on, so that the server
drops it together with the candle.  Fields: `open_time` (ms), `old` and `new` (JSON: open, high, low, close, volume),
`source`, `why` (empty if the overwriting was refused), `revised_at` (ms, by the clock of the machine that ran laklak).

A revision is written before its candle: if the process is killed between the two, the old values are not lost.  So the
overwriting may not have happened; while the old values still stand it has not, and the next attempt's revision takes
the same point.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from laklak.model.revisions import Revision, row_text, row_values
from laklak.model.series import Series, TimeRange
from laklak.stores.influx.database import REVISIONS, Database
from laklak.stores.influx.lines import key_of, point_line, tags_of
from laklak.stores.influx.stretches import Fields, send_lines

_FIELDS: Final[Mapping[str, type[str] | type[int]]] = {
    "open_time": int,
    "old": str,
    "new": str,
    "source": str,
    "why": str,
    "revised_at": int,
}

Laid = Sequence[tuple[Series, Revision, int]]
"""Revisions, each with the time of its point."""


class RevisionBook:
    """The revisions of one database; `oldest_ms` returns the first minute that can be written, if any is dropped."""

    def __init__(self, database: Database, oldest_ms: Callable[[], int | None]) -> None:
        self._database = database
        self._oldest_ms = oldest_ms

    async def of(self, series: Series, span: TimeRange) -> list[Revision]:
        """Return the revisions of candles in `span`: candle by candle, each one's in their order."""
        return [
            Revision(open_ms, row_values(old), row_values(new), source, why, at_ms)
            for _, (open_ms, old, new, source, why, at_ms) in await self._points(series, span)
            if why
        ]

    async def add(self, given: Mapping[Series, Sequence[Revision]]) -> Laid:
        """Add these to the known ones, in place of those whose overwriting has not happened."""
        laid: list[tuple[Series, Revision, int]] = []
        oldest_ms = self._oldest_ms()
        for series, some in given.items():
            revisions = [one for one in some if oldest_ms is None or one.open_time_ms >= oldest_ms]
            if not revisions:
                continue
            times = [one.open_time_ms for one in revisions]
            span = TimeRange(min(times), max(times) + series.interval.ms)
            newest = {
                open_ms: (time_ms, old if why else None)
                for time_ms, (open_ms, old, _, _, why, _) in await self._points(series, span)
            }
            for one in revisions:
                old = row_text(one.old)
                time_ms, old_then = newest.get(one.open_time_ms, (one.open_time_ms, None))
                # A point beyond its candle's time would take another candle's place: overwrite the last one instead.
                if old_then not in (None, old) and time_ms + 1 < one.open_time_ms + series.interval.ms:
                    time_ms += 1
                newest[one.open_time_ms] = (time_ms, old)
                laid.append((series, one, time_ms))
        await self._send([_line(*one) for one in laid])
        return laid

    async def withdraw(self, laid: Laid) -> None:
        """Take back revisions of candles that were refused."""
        nothing = {name: kind() for name, kind in _FIELDS.items()}
        await self._send(
            [
                point_line(key_of(REVISIONS, tags_of(series)), {**nothing, "open_time": one.open_time_ms}, time_ms)
                for series, one, time_ms in laid
            ]
        )

    async def _points(self, series: Series, span: TimeRange) -> list[tuple[int, tuple[Any, ...]]]:
        return await self._database.rows(REVISIONS, _FIELDS, series, span)

    async def _send(self, lines: Sequence[str]) -> None:
        await send_lines(self._database, REVISIONS, lines)


def _line(series: Series, revision: Revision, time_ms: int) -> str:
    fields: Fields = {
        "open_time": revision.open_time_ms,
        "old": row_text(revision.old),
        "new": row_text(revision.new),
        "source": revision.source,
        "why": revision.why,
        "revised_at": revision.at_ms,
    }
    return point_line(key_of(REVISIONS, tags_of(series)), fields, time_ms)
