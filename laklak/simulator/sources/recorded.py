"""Recorded candles: a folder of gzipped CSV files in the layout of the venue's own archive."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from laklak.model.series import MINUTE_MS
from laklak.simulator.dialects.binance import instrument_of
from laklak.simulator.rows import CELLS, open_time_of
from laklak.simulator.sources.base import Instrument, RowTable


class RecordedSource:
    """Candles as they were recorded; minutes that no file has do not exist."""

    def __init__(
        self, tables: Mapping[str, RowTable], instruments: Mapping[str, Instrument], listing: Mapping[str, Any] | None
    ) -> None:
        self.symbols: Sequence[str] = tuple(tables)
        self.end_ms = max(table.times[-1] for table in tables.values()) + MINUTE_MS
        self.recorded_listing = listing
        self._tables = tables
        self._instruments = instruments

    def __repr__(self) -> str:
        return f"<RecordedSource symbols={len(self.symbols)} rows={sum(map(len, self._tables.values()))}>"

    def instrument(self, symbol: str) -> Instrument:
        return self._instruments[symbol]

    def oldest(self, symbol: str, start_ms: int, end_ms: int, limit: int) -> list[bytes]:
        return self._tables[symbol].oldest(start_ms, end_ms, limit)

    def newest(self, symbol: str, start_ms: int, end_ms: int, limit: int) -> list[bytes]:
        return self._tables[symbol].newest(start_ms, end_ms, limit)


def load_recorded(folder: Path) -> RecordedSource:
    """Read every `SYMBOL-1m-*.csv.gz` in `folder`, and its exchangeInfo.json if there is one.

    A file has the archive's 12 columns, or 6 (open_time, open, high, low, close, volume), with or without a header; a
    time is in ms, or written like 2025-05-31 00:00:00+00:00 (UTC without an offset). Several files of a symbol are
    joined, and a minute that comes twice is kept once. FileNotFoundError if there is none, ValueError naming the file
    for an unreadable row.
    """
    rows_by_symbol: dict[str, dict[int, bytes]] = {}
    for path in sorted(folder.glob("*-1m-*.csv.gz")):
        rows = rows_by_symbol.setdefault(path.name.split("-1m-")[0], {})
        for row in _read_rows(path):
            rows.setdefault(open_time_of(row), row)
    tables = {symbol: _table(rows) for symbol, rows in rows_by_symbol.items() if rows}
    if not tables:
        raise FileNotFoundError(f"{folder} has no candles: expected files like BTCUSDT-1m-2026-02.csv.gz")
    listing = _read_listing(folder / "exchangeInfo.json")
    entries = [] if listing is None else listing.pop("symbols", [])
    listed = {entry["symbol"]: instrument_of(entry) for entry in entries}
    instruments = {symbol: listed.get(symbol) or _instrument(symbol, table) for symbol, table in tables.items()}
    return RecordedSource(tables, instruments, listing)


def _table(rows: Mapping[int, bytes]) -> RowTable:
    times = sorted(rows)
    return RowTable(times, [rows[time] for time in times])


def _read_listing(path: Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    listing: dict[str, Any] = orjson.loads(path.read_bytes())
    return listing


def _instrument(symbol: str, table: RowTable) -> Instrument:
    return Instrument(symbol, symbol.removesuffix("USDT"), "USDT", listed_ms=table.times[0])


def _read_rows(path: Path) -> Iterable[bytes]:
    with gzip.open(path, "rt", encoding="ascii", newline="") as lines:
        for number, line in enumerate(lines, 1):
            # Newer archive files begin with a header, older ones do not: a row begins with a digit.
            if not line[:1].isdigit():
                continue
            try:
                yield _render(line.rstrip("\r\n").split(","))
            except ValueError as exc:
                raise ValueError(f"{path}:{number}: {exc}") from exc


def _written_ms(text: str) -> int:
    moment = datetime.fromisoformat(text)
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()) * 1000


def _render(cells: list[str]) -> bytes:
    if "-" in cells[0]:
        cells = [str(_written_ms(cells[0])), *cells[1:]]
    if len(cells) == 6:
        cells = [*cells, str(int(cells[0]) + MINUTE_MS - 1), "0", "0", "0", "0", "0"]
    if len(cells) != CELLS:
        raise ValueError(f"expected 12 or 6 columns, found {len(cells)}")
    time, first, high, low, last, volume, close_time, quote, count, taker, taker_quote, unused = cells
    return (
        f'[{int(time)},"{first}","{high}","{low}","{last}","{volume}",{int(close_time)},'
        f'"{quote}",{int(count)},"{taker}","{taker_quote}","{unused}"]'
    ).encode()
