"""Candles that were overwritten with other values, in the measurement `laklak_revisions` with the tags of the candles.

A point stands at the moment of the overwriting, by the server's clock; no two of a series are at the same millisecond.
Fields: `open_time` (ms), `old` and `new` (JSON: open, high, low, close, volume), `source`, `why`, `revised_at` (ms, by
the clock of the machine that ran laklak).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from laklak.model.revisions import Revision, row_text, row_values
from laklak.model.series import Series, TimeRange
from laklak.stores.influx.database import REVISIONS, Place
from laklak.stores.influx.lines import key_of, point_line, tags_of
from laklak.stores.influx.stretches import ALL_TIME, Fields, send_lines

_FIELDS: Final[Mapping[str, type[str] | type[int]]] = {
    "open_time": int,
    "old": str,
    "new": str,
    "source": str,
    "why": str,
    "revised_at": int,
}


class RevisionBook:
    """The revisions of one database; `now_ms` is the server's clock."""

    def __init__(self, place: Place, now_ms: Callable[[], int]) -> None:
        self._place = place
        self._now_ms = now_ms
        self._newest_ms: int | None = None

    async def of(self, series: Series, span: TimeRange) -> list[Revision]:
        """Those of candles in `span`, in the order in which they were."""
        return [
            Revision(open_ms, row_values(old), row_values(new), source, why, at_ms)
            for _, (open_ms, old, new, source, why, at_ms) in await self._place.rows(
                REVISIONS, _FIELDS, series, ALL_TIME
            )
            if span.start_ms <= open_ms < span.end_ms
        ]

    async def add(self, revisions: Sequence[tuple[Series, Revision]]) -> None:
        """Remember these beside all that there are."""
        if not revisions:
            return
        if self._newest_ms is None:
            edges = await self._place.series_edges(REVISIONS, "why")
            self._newest_ms = max([self._newest_ms or 0, *(last_ms for _, last_ms in edges.values())])
        first_ms = max(self._now_ms(), self._newest_ms + 1)
        self._newest_ms = first_ms + len(revisions) - 1
        await send_lines(
            self._place,
            REVISIONS,
            [_line(series, revision, time_ms) for time_ms, (series, revision) in enumerate(revisions, first_ms)],
        )


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
