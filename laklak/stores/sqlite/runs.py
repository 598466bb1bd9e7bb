"""The runs of a SQLite store and what they filled: functions on a connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from laklak.model.records import EVERY_SYMBOL, FACTS, GapFill, RunRecord
from laklak.model.series import DAY_MS, Series, ms_of
from laklak.stores.sqlite.lane import Turn
from laklak.stores.sqlite.write import transaction

_TIMES: Final = ("started_at", "ended_at", "range_start", "range_end")
_RUNS: Final = f"SELECT {', '.join(('id', *_TIMES, *FACTS))} FROM laklak_runs"  # noqa: S608, made of constants
_FILLS: Final = """
SELECT venue, symbol, range_start, range_end, coverage_before, coverage_after, requests, rows, error
FROM gap_fill WHERE run_id = ? ORDER BY venue, symbol"""
_OF_SERIES: Final = """
 WHERE interval = ? AND id IN (SELECT run_id FROM gap_fill WHERE venue = ? AND symbol IN (?, ?))"""
_OF_SERIES_FAILED: Final = _OF_SERIES.replace("(?, ?)", "(?, ?) AND error IS NOT NULL")
# Rows stand in the order of time: those that stay are not read.
_FORGET: Final = """
DELETE FROM laklak_runs WHERE id < (SELECT id FROM laklak_runs WHERE ended_at >= ? ORDER BY id LIMIT 1)"""


def write_run(turn: Turn, run: RunRecord, keep_days: int | None) -> None:
    """Add one row to laklak_runs and those of what it filled, and remove rows that are too old."""
    row = {
        "started_at": _stamp(run.started_ms),
        "ended_at": _stamp(run.ended_ms),
        "range_start": _stamp(run.start_ms),
        "range_end": _stamp(run.end_ms),
        **run.facts,
    }
    with transaction(turn) as connection:
        run_id = _insert(connection, "laklak_runs", row)
        for fill in run.fills:
            _insert(connection, "gap_fill", {"run_id": run_id, **_row_of(fill)})
        if keep_days is not None:
            connection.execute(_FORGET, (_stamp(run.ended_ms - keep_days * DAY_MS),))


def read_runs(turn: Turn, last: int, series: Series | None, *, failed: bool) -> list[RunRecord]:
    """See Store.runs."""
    where, values = "", list[str | int]()
    if series is not None:
        where = _OF_SERIES_FAILED if failed else _OF_SERIES
        values = [series.interval.name, series.venue, series.symbol, EVERY_SYMBOL]
    elif failed:
        where = " WHERE exit_code <> 0"
    found = []
    for run_id, began, ended, start, end, *facts in turn.connection.execute(
        f"{_RUNS}{where} ORDER BY id DESC LIMIT ?", (*values, last)
    ).fetchall():
        fills = [_fill(*cells) for cells in turn.connection.execute(_FILLS, (run_id,))]
        if series is not None:
            fills = [one for one in fills if one.is_about(series) and (one.error or not failed)]
        run = RunRecord.of(ms_of(began), ms_of(ended), ms_of(start), ms_of(end), dict(zip(FACTS, facts, strict=True)))
        found.append(run.with_fills(fills))
    return found


def _fill(venue: str, symbol: str, start: str, end: str, *others: Any) -> GapFill:
    return GapFill(venue, symbol, ms_of(start), ms_of(end), *others)


def _row_of(fill: GapFill) -> Mapping[str, str | int | float | None]:
    return {
        "venue": fill.venue,
        "symbol": fill.symbol,
        "range_start": _stamp(fill.start_ms),
        "range_end": _stamp(fill.end_ms),
        "coverage_before": fill.before,
        "coverage_after": fill.after,
        "requests": fill.requests,
        "rows": fill.rows,
        "error": fill.error,
    }


def _insert(connection: sqlite3.Connection, table: str, row: Mapping[str, object]) -> int | None:
    names, marks = ", ".join(row), ", ".join("?" * len(row))
    done = connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(row.values()))  # noqa: S608
    return done.lastrowid


def _stamp(time_ms: int) -> str:
    # Always to the second, so that the texts sort as the times do.
    return f"{datetime.fromtimestamp(time_ms // 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
