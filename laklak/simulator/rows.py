"""A candle as the simulator keeps it, whatever venue it plays: a row, the JSON text of twelve cells.

Rows are made once and handed on as bytes; most venues' candles are some of these cells in another order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

OPEN_TIME: Final = 0
OPEN: Final = 1
HIGH: Final = 2
LOW: Final = 3
CLOSE: Final = 4
VOLUME: Final = 5
CLOSE_TIME: Final = 6
QUOTE_VOLUME: Final = 7
COUNT: Final = 8
TAKER_VOLUME: Final = 9
TAKER_QUOTE_VOLUME: Final = 10

CELLS: Final = 12
"""Cells in a row. Times are ms, prices and amounts are texts, the count is a number, the last cell says nothing."""

AMOUNTS: Final = (VOLUME, QUOTE_VOLUME, TAKER_VOLUME, TAKER_QUOTE_VOLUME)
"""The texts that a longer candle sums up."""


def open_time_of(row: bytes) -> int:
    """Return the open time of a row without decoding the rest."""
    return int(row[1 : row.index(b",")])


def in_contracts(row: bytes) -> bytes:
    """Return a row as a market in contracts of 100 of the quote has it; a broken one stays as it is.

    Contracts are counted in place of the volumes, and the base volumes stand in place of the quote's.
    """
    cells = row.split(b",")
    if len(cells) == CELLS:
        for base, quote in ((VOLUME, QUOTE_VOLUME), (TAKER_VOLUME, TAKER_QUOTE_VOLUME)):
            whole = cells[quote].strip(b'"').partition(b".")[0]
            contracts = b'"%d"' % (int(whole) // 100) if whole.isdigit() else cells[quote]
            cells[quote], cells[base] = cells[base], contracts
    return b",".join(cells)


def index_of(rows: Sequence[bytes], open_time_ms: int) -> int | None:
    """Return the index of a minute's row, if there is one."""
    for index, row in enumerate(rows):
        if open_time_of(row) == open_time_ms:
            return index
    return None
