"""Stored candles that got other values: the old and the new ones."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Literal

Why = Literal["refetch", "corrected", "repair", "remade"]
"""Fetched again or imported on purpose; fetched first just after its close; not a whole candle before; made again
because its shorter candles have other values now."""

Values = tuple[float, ...]
"""Open, high, low, close and volume; NaN for a missing number."""


@dataclass(frozen=True, slots=True)
class Revision:
    """One candle whose stored values differed from those written over them: by which source, why, and when.

    `at_ms` is this machine's clock.
    """

    open_time_ms: int
    old: Values
    new: Values
    source: str
    why: Why
    at_ms: int


def row_text(values: Values) -> str:
    """Return values as JSON that means the same doubles: null for a missing one, a too large number for infinity."""
    return "[" + ",".join(map(_cell_text, values)) + "]"


def row_values(text: str) -> Values:
    """Return the values that `row_text` has spelled."""
    return tuple(math.nan if cell is None else float(cell) for cell in json.loads(text))


def _cell_text(value: float) -> str:
    if math.isnan(value):
        return "null"
    return repr(value) if math.isfinite(value) else ("1e999" if value > 0 else "-1e999")
