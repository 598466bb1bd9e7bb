"""Stored candles, and where they came from, as lines, CSV and objects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final

import orjson

from laklak.model.provenance import Stretch
from laklak.model.series import DAY_MS, MINUTE_MS, Series, iso
from laklak.stores.base import Columns

CANDLE_FIELDS: Final = ("open_time", "time", "open", "high", "low", "close", "volume")


def candle_lines(series: Series, columns: Columns) -> Iterable[str]:
    """Yield stored candles as a table, oldest first."""
    head = ("open_time", "open", "high", "low", "close", "volume")
    rows = zip(_isos(columns.open_times), *map(_numbers, columns.values), strict=True)
    yield str(series)
    yield from _table([head, *rows])


def provenance_lines(series: Series, stretches: Sequence[Stretch]) -> Iterable[str]:
    """Yield who gave the candles of a series, as a table, oldest first."""
    table: list[tuple[str, ...]] = [("from", "until", "source", "state", "first_run", "last_run")]
    table += [tuple(map(str, one.values())) for one in provenance_objects(stretches)]
    yield str(series)
    yield from _table(table)


def provenance_objects(stretches: Sequence[Stretch]) -> list[dict[str, str]]:
    """Return the same for JSON."""
    return [
        {
            "from": iso(one.span.start_ms),
            "until": iso(one.span.end_ms),
            "source": one.source,
            "state": one.state,
            "first_run": iso(one.first_run_ms // 1000 * 1000),
            "last_run": iso(one.last_run_ms // 1000 * 1000),
        }
        for one in stretches
    ]


def _table(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        yield "  ".join(cells)


def csv_lines(columns: Columns, *, header: bool = True) -> Iterable[str]:
    """Yield stored candles as CSV, with the columns of the view `candles`; nothing needs quotes."""
    if header:
        yield ",".join(CANDLE_FIELDS)
    times = columns.open_times
    yield from map(",".join, zip(map(str, times), _isos(times), *map(_numbers, columns.values), strict=True))


def candle_objects(columns: Columns) -> list[dict[str, int | str | float]]:
    """Return stored candles for JSON."""
    return [
        dict(zip(CANDLE_FIELDS, (time_ms, iso(time_ms), *values), strict=True))
        for time_ms, *values in zip(columns.open_times, *columns.values, strict=True)
    ]


def _isos(times: Sequence[int]) -> Iterable[str]:
    """Yield `iso` of each, but spell the date only once a day."""
    day, date = None, ""
    for time_ms in times:
        if time_ms % MINUTE_MS:
            yield iso(time_ms)
            continue
        if time_ms // DAY_MS != day:
            day = time_ms // DAY_MS
            date = iso(day * DAY_MS)[:10]
        hours, minutes = divmod(time_ms % DAY_MS // MINUTE_MS, 60)
        yield f"{date}T{hours:02}:{minutes:02}Z"


def _numbers(column: Sequence[float]) -> Sequence[str]:
    """Return all digits of stored doubles, without an exponent."""
    # A third of the time of repr(), with the same digits: the shortest that mean the same double.
    texts = orjson.dumps(list(column))[1:-1].decode().split(",") if len(column) else []
    return [format(Decimal(text), "f") if "e" in text else text for text in texts]
