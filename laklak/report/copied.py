"""The account of a copy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from laklak._version import __version__
from laklak.errors import LaklakError, in_short
from laklak.model.series import Series
from laklak.plan.wanted import FailedSeries
from laklak.report.progress import Report
from laklak.report.summary import SCHEMA, when


@dataclass(slots=True)
class CopyReport(Report):
    """The counters of a running copy. `store` is the destination; nothing is requested of a venue."""

    source: str = ""
    source_missing: int = 0
    outside_retention: list[Series] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class CopySummary:
    """The outcome of a copy; `as_json()` is what --json prints.

    wanted = stored_before + written + holes + rejected + missing, in candles: what the source knows, as it is at the
    destination now. Of the missing so many are `blocked` that no other copy brings before something is mended:
    `failed_series` says what. `source_missing` is what the source itself lacks between its first and its last candles.
    `series` counts also those of `failed_series` that the source does not have, and those `outside_retention`, of
    which the destination would keep nothing: no candle of either is wanted.
    """

    exit: int
    complete: bool
    source: str
    destination: str
    start: str | None
    end: str | None
    series: int
    wanted: int
    stored_before: int
    written: int
    holes: int
    rejected: int
    missing: int
    blocked: int
    source_missing: int
    outside_retention: Sequence[str]
    failed_series: Sequence[FailedSeries]
    seconds: float
    candles_per_second: float
    dead_letter: str | None
    error: str | None
    hint: str | None

    def as_json(self) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        values["failed_series"] = [asdict(failed) for failed in self.failed_series]
        return {"schema": SCHEMA, "version": __version__, **values}


def summarise_copy(
    report: CopyReport, *, error: LaklakError | None = None, exit_code: int | None = None
) -> CopySummary:
    """Close the account. The exit status is `exit_code`, else the error's, else 1 when another copy has work left."""
    missing = report.missing
    failures = report.failures()
    if exit_code is None:
        exit_code = error.exit_code if error is not None else int(bool(missing or failures))
    return CopySummary(
        exit=exit_code,
        complete=exit_code == 0,
        source=report.source,
        destination=report.store,
        start=when(report.start_ms),
        end=when(report.end_ms),
        series=report.series,
        wanted=report.wanted,
        stored_before=report.stored_before,
        written=report.written,
        holes=report.holes,
        rejected=report.rejected,
        missing=missing,
        blocked=report.blocked,
        source_missing=report.source_missing,
        outside_retention=[str(series) for series in report.outside_retention],
        failed_series=failures,
        seconds=round(report.seconds, 3),
        candles_per_second=report.candles_per_second,
        dead_letter=report.dead_letter,
        error=None if error is None else in_short(error),
        hint=None if error is None else error.hint,
    )
