"""laklak fills a time-series database with every candle a venue has, and proves that nothing is missing.

summary = await laklak.backfill(["BTCUSDT"], days=1, store="candles.db")
frame = laklak.read_candles("candles.db", "binance:BTCUSDT:1m", "2026-11-01")
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from laklak._version import __version__
from laklak.errors import LaklakError

if TYPE_CHECKING:
    from laklak.api import aread_candles, backfill, copy, coverage, read_candles
    from laklak.report.copied import CopySummary
    from laklak.report.progress import Progress
    from laklak.report.summary import Estimate, Summary

__all__ = [
    "CopySummary",
    "Estimate",
    "LaklakError",
    "Progress",
    "Summary",
    "__version__",
    "aread_candles",
    "backfill",
    "copy",
    "coverage",
    "read_candles",
]

# A library is silent until its user listens; without this, logging would print warnings on stderr by itself.
logging.getLogger("laklak").addHandler(logging.NullHandler())

_HOMES = {
    "CopySummary": "laklak.report.copied",
    "Estimate": "laklak.report.summary",
    "Progress": "laklak.report.progress",
    "Summary": "laklak.report.summary",
    "aread_candles": "laklak.api",
    "backfill": "laklak.api",
    "copy": "laklak.api",
    "coverage": "laklak.api",
    "read_candles": "laklak.api",
}


def __getattr__(name: str) -> Any:
    # The engine is imported when it is used, so that `import laklak` and `laklak --help` are quick.
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'laklak' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
