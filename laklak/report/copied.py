"""The account of a copy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Final, TypeVar

from laklak._version import __version__
from laklak.errors import LaklakError, in_short
from laklak.model.account import Account, Accounted
from laklak.model.series import Series, TimeRange
from laklak.model.spans import count
from laklak.plan.longer import Buckets
from laklak.plan.wanted import FailedSeries
from laklak.report.progress import Report
from laklak.report.summary import SCHEMA, fields_of, when

_OF_A_COPY: Final = ("wanted", "stored_before", "written", "holes", "rejected", "missing", "blocked")


@dataclass(slots=True)
class CopyReport(Report):
    """The counters of a running copy. `store` is the destination; no venue is asked."""

    source: str = ""
    source_missing: int = 0
    outside_retention: list[Series] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class CopySummary(Accounted):
    """The outcome of a copy; `as_json()` is what --json prints.

    Its `account`: what the source knows, as it is at the destination now. `failed_series` says what the blocked ones
    wait for. `source_missing`: what the source itself lacks between its first and its last candles. `series` also
    counts those of `failed_series` that the source does not have, and those `outside_retention`, of which the
    destination would keep nothing: no candle of either is wanted.
    """

    exit: int
    complete: bool
    source: str
    destination: str
    start: str | None
    end: str | None
    series: int
    account: Account
    source_missing: int
    outside_retention: Sequence[str]
    failed_series: Sequence[FailedSeries]
    seconds: float
    candles_per_second: float
    dead_letter: str | None
    error: str | None
    hint: str | None

    figures: ClassVar[tuple[str, ...]] = _OF_A_COPY
    nothing: ClassVar[str] = "nothing to copy"
    again: ClassVar[str] = "run the same command again to copy what is missing"

    def as_json(self) -> dict[str, Any]:
        values = fields_of(self, self.figures)
        values["failed_series"] = [asdict(failed) for failed in self.failed_series]
        return {"schema": SCHEMA, "version": __version__, **values}


@dataclass(frozen=True, slots=True)
class ImportSummary(CopySummary):
    """The same for an import: files are the source. `corrected`: stored ones that were replaced."""

    figures: ClassVar[tuple[str, ...]] = (*_OF_A_COPY, "corrected")
    nothing: ClassVar[str] = "nothing to import"
    again: ClassVar[str] = "run the same command again to import what is missing"

    def as_json(self) -> dict[str, Any]:
        values = CopySummary.as_json(self)
        return {key: value for key, value in values.items() if key not in ("source_missing", "outside_retention")}


SPANS_KEPT: Final = 1_000
"""The most stretches named for each series; there may be thousands."""


@dataclass(frozen=True, slots=True)
class Incomplete:
    """Buckets of a series for which no candle was made.

    `buckets` lack candles `of` the shorter series; in `quiet` ones nothing was traded. Lacking buckets lie in
    `stretches`, of which `spans` are the first; `first` and `last` begin the first and the last lacking bucket.
    """

    series: str
    of: str
    buckets: int
    quiet: int
    first: str | None
    last: str | None
    stretches: int
    spans: Sequence[Mapping[str, str | None]]


def incomplete_of(series: Series, of: Series, buckets: Buckets, whole: TimeRange) -> Incomplete:
    """The figures of a series' buckets without candles; of the lacking ones those in `whole`."""
    interval, lacking = series.interval, [part for one in buckets.lacking if (part := one.clip(whole))]
    return Incomplete(
        str(series),
        str(of),
        count(lacking, interval),
        count(buckets.quiet, interval),
        when(lacking[0].start_ms) if lacking else None,
        when(lacking[-1].end_ms - interval.ms) if lacking else None,
        len(lacking),
        [{"start": when(part.start_ms), "end": when(part.end_ms)} for part in lacking[:SPANS_KEPT]],
    )


@dataclass(frozen=True, slots=True)
class ResampleSummary(CopySummary):
    """The same for longer candles; `incomplete`: which buckets have none.

    `corrected`: made before, and made again because the shorter candles have other values now.
    """

    incomplete: Sequence[Incomplete] = ()

    figures: ClassVar[tuple[str, ...]] = (*_OF_A_COPY, "corrected")
    nothing: ClassVar[str] = "nothing to resample"
    again: ClassVar[str] = "run the same command again to make what is missing"

    def as_json(self) -> dict[str, Any]:
        values = CopySummary.as_json(self)
        values["incomplete"] = [asdict(one) for one in self.incomplete]
        values["verify"] = None
        return {key: value for key, value in values.items() if key != "source_missing"}


SUMMARIES: Final[Mapping[str, type[CopySummary]]] = {
    "copy": CopySummary,
    "import": ImportSummary,
    "resample": ResampleSummary,
}
"""By command."""

Kind = TypeVar("Kind", bound=CopySummary)


def summarise_copy(
    report: CopyReport,
    *,
    error: LaklakError | None = None,
    exit_code: int | None = None,
    kind: type[Kind] = CopySummary,  # type: ignore[assignment]
    beside: Mapping[str, Any] = MappingProxyType({}),
) -> Kind:
    """Close the account; `beside` are further figures of its kind.

    The exit status is `exit_code`, else the error's, else 1 if another copy has work left.
    """
    account = report.account
    failures = report.failures()
    if exit_code is None:
        exit_code = error.exit_code if error is not None else int(bool(account.missing or failures))
    return kind(
        exit=exit_code,
        complete=exit_code == 0,
        source=report.source,
        destination=report.store,
        start=when(report.start_ms),
        end=when(report.end_ms),
        series=report.series,
        account=account,
        source_missing=report.source_missing,
        outside_retention=[str(series) for series in report.outside_retention],
        failed_series=failures,
        seconds=round(report.seconds, 3),
        candles_per_second=report.candles_per_second,
        dead_letter=report.dead_letter,
        error=None if error is None else in_short(error),
        hint=None if error is None else error.hint,
        **beside,
    )
