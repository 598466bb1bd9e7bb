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
    from laklak.api import (
        aread_candles,
        backfill,
        certificate,
        copy,
        coverage,
        digest,
        explain,
        export,
        fill,
        import_,
        read_candles,
        resample,
        runs,
        verify,
    )
    from laklak.audit.coverage import CoverageReport
    from laklak.audit.digest import DigestReport
    from laklak.audit.explain import Explanation
    from laklak.audit.made import VerifiedSummary
    from laklak.audit.paper import Certificate
    from laklak.audit.verify import VerifyReport
    from laklak.model.records import RunRecord
    from laklak.report.copied import CopySummary, ImportSummary
    from laklak.report.progress import Progress
    from laklak.report.summary import Estimate, Summary
    from laklak.transfer.export import ExportReport

__all__ = [
    "Certificate",
    "CopySummary",
    "CoverageReport",
    "DigestReport",
    "Estimate",
    "Explanation",
    "ExportReport",
    "ImportSummary",
    "LaklakError",
    "Progress",
    "RunRecord",
    "Summary",
    "VerifiedSummary",
    "VerifyReport",
    "__version__",
    "aread_candles",
    "backfill",
    "certificate",
    "copy",
    "coverage",
    "digest",
    "explain",
    "export",
    "fill",
    "import_",
    "read_candles",
    "resample",
    "runs",
    "verify",
]

# A library is silent until its user listens; without this, logging would print warnings on stderr by itself.
logging.getLogger("laklak").addHandler(logging.NullHandler())

_HOMES = {
    "Certificate": "laklak.audit.paper",
    "CopySummary": "laklak.report.copied",
    "CoverageReport": "laklak.audit.coverage",
    "DigestReport": "laklak.audit.digest",
    "Estimate": "laklak.report.summary",
    "Explanation": "laklak.audit.explain",
    "ExportReport": "laklak.transfer.export",
    "ImportSummary": "laklak.report.copied",
    "Progress": "laklak.report.progress",
    "RunRecord": "laklak.model.records",
    "Summary": "laklak.report.summary",
    "VerifiedSummary": "laklak.audit.made",
    "VerifyReport": "laklak.audit.verify",
    "aread_candles": "laklak.api",
    "backfill": "laklak.api",
    "certificate": "laklak.api",
    "copy": "laklak.api",
    "coverage": "laklak.api",
    "digest": "laklak.api",
    "explain": "laklak.api",
    "export": "laklak.api",
    "fill": "laklak.api",
    "import_": "laklak.api",
    "read_candles": "laklak.api",
    "resample": "laklak.api",
    "runs": "laklak.api",
    "verify": "laklak.api",
}


def __getattr__(name: str) -> Any:
    # The engine is imported when it is used, so that `import laklak` and `laklak --help` are quick.
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'laklak' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
