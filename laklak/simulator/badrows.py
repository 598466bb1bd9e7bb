"""Rows broken on purpose, each kind in the way a real one could be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final

import orjson

from laklak.simulator.rows import CLOSE, CLOSE_TIME, HIGH, LOW, OPEN, OPEN_TIME, VOLUME


def break_row(rows: Sequence[bytes], index: int, kind: str) -> list[bytes]:
    """Return `rows` with the one at `index` broken as `kind` says; doubled kinds add a row."""
    broken = list(rows)
    if kind == "swapped":
        # With its neighbour: the next one, or the one before at the end of the page.
        other = index + 1 if index + 1 < len(broken) else max(0, index - 1)
        broken[index], broken[other] = broken[other], broken[index]
    elif kind == "doubled_same":
        broken.insert(index, broken[index])
    elif kind == "doubled_differing":
        broken.insert(index + 1, _changed(broken[index], _other_volume))
    else:
        broken[index] = _changed(broken[index], _CHANGES[kind])
    return broken


def _changed(row: bytes, change: Callable[[list[Any]], None]) -> bytes:
    cells = orjson.loads(row)
    change(cells)
    return orjson.dumps(cells)


def _high_below_low(cells: list[Any]) -> None:
    cells[LOW] = format(Decimal(cells[HIGH]) * 2, "f")


def _zero_price(cells: list[Any]) -> None:
    cells[OPEN] = "0"


def _negative_volume(cells: list[Any]) -> None:
    cells[VOLUME] = "-" + (cells[VOLUME] if Decimal(cells[VOLUME]) else "1")


def _not_a_number(cells: list[Any]) -> None:
    cells[CLOSE] = "NaN"


def _off_grid(cells: list[Any]) -> None:
    cells[OPEN_TIME] += 1
    cells[CLOSE_TIME] += 1


def _wrong_type(cells: list[Any]) -> None:
    cells[CLOSE] = None


def _short(cells: list[Any]) -> None:
    del cells[CLOSE:]


def _other_volume(cells: list[Any]) -> None:
    cells[VOLUME] = format(Decimal(cells[VOLUME]) + 1, "f")


_CHANGES: Final[dict[str, Callable[[list[Any]], None]]] = {
    "high_below_low": _high_below_low,
    "zero_price": _zero_price,
    "negative_volume": _negative_volume,
    "not_a_number": _not_a_number,
    "off_grid": _off_grid,
    "wrong_type": _wrong_type,
    "short": _short,
}

BAD_ROW_KINDS: Final = (*_CHANGES, "doubled_same", "doubled_differing", "swapped")

STICKY_KINDS: Final = tuple(kind for kind in BAD_ROW_KINDS if kind not in ("off_grid", "doubled_same", "swapped"))
"""The kinds that make exactly the row's own minute unusable, on whatever page it comes."""
