"""The bulk files that runs have read, in the measurement `laklak_files` with the tags of the candles.

A point stands a few milliseconds after the last candle of the file's day or month, the longer the file the later: a day
and a month that end together are two points, and both are dropped with their last candles. Fields: `name`, `sha256`,
`start_time`, `end_time` and `run` (ms: the start of the run that read the file last).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from laklak.model.provenance import BulkFile
from laklak.model.series import DAY_MS, Series, TimeRange
from laklak.stores.influx.database import FILES, Database, clipped
from laklak.stores.influx.lines import key_of, point_line, tags_of
from laklak.stores.influx.stretches import Fields, send_lines

_FIELDS: Final[Mapping[str, type[str] | type[int]]] = {
    "name": str,
    "sha256": str,
    "start_time": int,
    "end_time": int,
    "run": int,
}
_LONGEST_MS: Final = 31 * DAY_MS


class FileBook:
    """The files of one database; `oldest_ms` returns the first minute that can be written; None if all can."""

    def __init__(self, database: Database, oldest_ms: Callable[[], int | None]) -> None:
        self._database = database
        self._oldest_ms = oldest_ms

    async def of(self, series: Series, span: TimeRange) -> list[BulkFile]:
        """Return the files that touch `span`, oldest first."""
        around = clipped(TimeRange(span.start_ms - series.interval.ms, span.end_ms + _LONGEST_MS))
        rows = await self._database.rows(FILES, _FIELDS, series, around)
        found = [BulkFile(TimeRange(start, end), name, sha256, run) for _, (name, sha256, start, end, run) in rows]
        return sorted([one for one in found if one.span.clip(span)], key=lambda one: one.span)

    async def add(self, given: Mapping[Series, Sequence[BulkFile]]) -> None:
        """Store these files; returns when the server has acknowledged them."""
        oldest_ms = self._oldest_ms()
        lines = [
            point_line(key_of(FILES, tags_of(series)), _fields(one), time_ms)
            for series, files in given.items()
            for one in files
            for time_ms in [one.span.end_ms - series.interval.ms + (one.span.end_ms - one.span.start_ms) // DAY_MS]
            if oldest_ms is None or time_ms >= oldest_ms
        ]
        await send_lines(self._database, FILES, lines)


def _fields(one: BulkFile) -> Fields:
    return {
        "name": one.name,
        "sha256": one.sha256,
        "start_time": one.span.start_ms,
        "end_time": one.span.end_ms,
        "run": one.run_ms,
    }
