"""The runs of a database, in the measurement `laklak_runs`, and what they filled, in `gap_fill_runs`.

A run and what it filled are points at the run's end; the latter have the tags of candles, and the symbol `*` for all
series of a venue.  An unknown coverage has no field.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from laklak.model.records import EVERY_SYMBOL, FACTS, GapFill, RunRecord
from laklak.model.series import DAY_MS, Interval, Series, TimeRange, iso, ms_of
from laklak.stores.influx.database import GAP_FILLS, LAST_MS, NOTHING, RUNS, Database, FieldKinds
from laklak.stores.influx.lines import NO_TEXT, TAGS, key_of, point_line, tags_of
from laklak.stores.influx.stretches import Fields, send_lines

_RUN: Final[FieldKinds] = {**dict.fromkeys(("started_at", "range_start", "range_end"), str), **FACTS}
_FILL: Final[FieldKinds] = {
    **dict.fromkeys((*TAGS, "range_start", "range_end"), str),
    **dict.fromkeys(("coverage_before", "coverage_after"), float),
    **dict.fromkeys(("requests", "rows"), int),
    "error": str,
}
_FAILED_RUN: Final = {"exit_code": 0}
_FAILED_FILL: Final = {"error": NO_TEXT}
_FILLS_READ: Final = 1_000_000


class RunBook:
    """The runs of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, run: RunRecord, keep_days: int | None) -> None:
        """Remember a run, and forget those that are too old."""
        await send_lines(self._database, RUNS, [point_line(key_of(RUNS, {}), _run_fields(run), run.ended_ms)])
        if run.fills:
            interval = Interval.parse(run.interval)
            await send_lines(self._database, GAP_FILLS, [_fill_line(one, interval, run) for one in run.fills])
        if keep_days is not None:
            await self._forget(run.ended_ms - keep_days * DAY_MS)

    async def _forget(self, before_ms: int) -> None:
        """Delete runs before `before_ms`, if there are any: a DELETE at every run would be work for a server."""
        too_old = TimeRange(-LAST_MS, before_ms)
        for measurement, field in ((RUNS, "version"), (GAP_FILLS, "error")):
            if await self._database.last_rows(measurement, {field: str}, 1, span=too_old):
                await self._database.forget(measurement, too_old)

    async def newest(self, last: int, series: Series | None, *, failed: bool) -> list[RunRecord]:
        """See Store.runs."""
        if series is None:
            runs = await self._runs(last, unless=_FAILED_RUN if failed else {})
            fills = await self._fills(_FILLS_READ, span=_around(runs)) if runs else {}
            return [run.with_fills(fills.get(time_ms, ())) for time_ms, run in runs.items()]
        told: dict[int, list[GapFill]] = {}
        for one in (series, replace(series, symbol=EVERY_SYMBOL)):
            for time_ms, fills_then in (
                await self._fills(last, series=one, unless=_FAILED_FILL if failed else {})
            ).items():
                told.setdefault(time_ms, []).extend(fills_then)
        found = []
        for time_ms in sorted(told, reverse=True)[:last]:
            runs = await self._runs(1, span=TimeRange(time_ms, time_ms + 1))
            found += [run.with_fills(told[time_ms]) for run in runs.values()]
        return found

    async def _runs(
        self, last: int, *, span: TimeRange | None = None, unless: Mapping[str, str | int] = NOTHING
    ) -> dict[int, RunRecord]:
        """Return runs by the time of their point, newest first."""
        return {
            time_ms: RunRecord.of(ms_of(began), time_ms, ms_of(start), ms_of(end), dict(zip(FACTS, facts, strict=True)))
            for time_ms, (began, start, end, *facts) in await self._database.last_rows(
                RUNS, _RUN, last, span=span, unless=unless
            )
        }

    async def _fills(
        self,
        last: int,
        *,
        span: TimeRange | None = None,
        series: Series | None = None,
        unless: Mapping[str, str | int] = NOTHING,
    ) -> dict[int, list[GapFill]]:
        """Return what was filled, by the time of the run, in the order of names."""
        found: dict[int, list[GapFill]] = {}
        rows = await self._database.last_rows(GAP_FILLS, _FILL, last, span=span, series=series, unless=unless)
        for time_ms, cells in sorted(rows, key=lambda row: row[1][:2]):
            found.setdefault(time_ms, []).append(_fill(*cells))
        return found


def _around(times: Iterable[int]) -> TimeRange:
    some = list(times)
    return TimeRange(min(some), max(some) + 1)


def _fill(venue: str, symbol: str, _interval: str, start: str, end: str, *others: Any) -> GapFill:
    *shares, requests, rows, error = others
    before, after = (None if math.isnan(share) else share for share in shares)
    return GapFill(venue, symbol, ms_of(start), ms_of(end), before, after, requests, rows, error or None)


def _fill_line(fill: GapFill, interval: Interval, run: RunRecord) -> str:
    shares = {"coverage_before": fill.before, "coverage_after": fill.after}
    fields: Fields = {
        "started_at": iso(run.started_ms),
        "range_start": iso(fill.start_ms),
        "range_end": iso(fill.end_ms),
        **{name: share for name, share in shares.items() if share is not None},
        "requests": fill.requests,
        "rows": fill.rows,
        "error": fill.error or "",
    }
    return point_line(key_of(GAP_FILLS, tags_of(Series(fill.venue, fill.symbol, interval))), fields, run.ended_ms)


def _run_fields(run: RunRecord) -> Fields:
    return {
        "started_at": iso(run.started_ms),
        "seconds": (run.ended_ms - run.started_ms) / 1000,
        "range_start": iso(run.start_ms),
        "range_end": iso(run.end_ms),
        # A server has no empty fields.
        **{name: "" if value is None else value for name, value in run.facts.items()},
    }
