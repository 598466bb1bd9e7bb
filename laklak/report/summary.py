"""What a run says at its end, and a dry run before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final

from laklak._version import __version__
from laklak.errors import LaklakError, TryLater, in_short
from laklak.model.account import SUM, Account, Accounted
from laklak.model.series import iso
from laklak.plan.cost import Alternative
from laklak.plan.wanted import BegunSeries, EndedSeries, FailedSeries, ReachedSeries
from laklak.report.outcome import deciding_error, exit_status
from laklak.report.progress import FileTally, Pace, Report, VenueFigures, WriterTally
from laklak.stores.refetched import Refetched

SCHEMA: Final = 1
_OF_A_PLAN: Final = ("wanted", "stored_before", "holes", "rejected", "quiet", "blocked", "out_of_reach")
_OF_A_RUN: Final = (*SUM, "out_of_reach", "corrected", "holes_filled")


@dataclass(frozen=True, slots=True)
class Summary(Accounted):
    """The outcome of a backfill; `as_json()` is what --json prints.

    It has the figures of its `account` (see laklak.model.account); `failed_series` says what the blocked ones wait for.
    `not_whole`: minutes where something stood that was no candle when the run began.

    `exit` is the exit status, `seconds` the whole run, `weight` what the run paid, `error` a short word and a sentence
    if the run did not end by itself.
    `refetched` is None without --refetch.
    """

    exit: int
    complete: bool
    store: str
    start: str | None
    end: str | None
    series: int
    account: Account
    not_whole: int
    refetched: Refetched | None
    rows_rejected: int
    failed_series: Sequence[FailedSeries]
    begun_series: Sequence[BegunSeries]
    ended_series: Sequence[EndedSeries]
    reached_series: Sequence[ReachedSeries]
    requests: int
    candle_requests: int
    retries: int
    rate_limited: int
    weight: int
    venues: Mapping[str, VenueFigures]
    files: FileTally
    writer: WriterTally
    seconds: float
    candles_per_second: float
    banned_until: str | None
    dead_letter: str | None
    error: str | None
    hint: str | None

    def as_json(self) -> dict[str, Any]:
        refetched = None if self.refetched is None else self.refetched.as_json()
        tallies = {
            "venues": _venues_json(self.venues),
            "files": self.files.as_json(),
            "writer": self.writer.as_json(),
            "refetched": refetched,
        }
        return {"schema": SCHEMA, "version": __version__, **_fields(self), **tallies}


def summarise(report: Report, *, error: LaklakError | None = None, exit_code: int | None = None) -> Summary:
    """Close the account. `error` has ended the run as a whole.

    The exit status is `exit_code`, else by what is wrong (see laklak.report.outcome).
    """
    account = report.account
    failures = report.failures()
    run_error = error
    error = error or deciding_error(report)
    banned_until_ms = error.until_ms if isinstance(error, TryLater) else report.banned_until_ms
    if exit_code is None:
        exit_code = exit_status(report, run_error)
    return Summary(
        exit=exit_code,
        complete=exit_code == 0 and not account.missing and not failures,
        store=report.store,
        start=when(report.start_ms),
        end=when(report.end_ms),
        series=report.series,
        account=account,
        not_whole=report.not_whole,
        refetched=report.refetched,
        rows_rejected=report.rows_rejected,
        failed_series=failures,
        begun_series=report.begun_series,
        ended_series=tuple(report.ended),
        reached_series=report.reached_series,
        requests=report.requests,
        candle_requests=report.candle_requests,
        retries=report.retries,
        rate_limited=report.rate_limited,
        weight=report.weight,
        venues=report.venues,
        files=report.files,
        writer=report.writer,
        seconds=round(report.seconds, 3),
        candles_per_second=report.candles_per_second,
        banned_until=when(banned_until_ms),
        dead_letter=report.dead_letter,
        error=None if error is None else in_short(error),
        hint=None if error is None else error.hint,
    )


def when(time_ms: int | None) -> str | None:
    """Return a moment as summaries show it, if there is one."""
    return None if time_ms is None else iso(time_ms)


@dataclass(frozen=True, slots=True)
class Estimate(Accounted):
    """What --dry-run says: the plan, its price and what it would cost otherwise. Nothing was fetched or stored.

    `to_fetch` = `file_candles` of bulk files + what the API is asked for + `no_source`, which no allowed source has;
    `blocked` are missing too and not asked for, because the store could not take them.  `out_of_reach` are beside the
    sum.  `requests` to `seconds_auto` are the API's; `file_bytes` is about the size of the files, `file_seconds` what
    they take if the line and the store keep up.  `holes_held` of the `holes` are checked against `hole_files` daily
    files that may have them by now, `holes_later` more in later runs.  `paces`: what each venue's API is asked for, and
    how long its budget takes for that.  `at_most`: some of what is to fetch may lie in time when its venue is closed,
    which only its answers tell.
    """

    store: str
    start: str
    end: str
    series: int
    account: Account
    to_fetch: int
    requests: int
    weight: int
    budget: int
    chunk: int
    seconds_estimated: float
    seconds_auto: float
    files: int
    file_candles: int
    file_bytes: int
    file_seconds: float
    no_source: int
    failed_series: Sequence[FailedSeries]
    begun_series: Sequence[BegunSeries]
    ended_series: Sequence[EndedSeries]
    reached_series: Sequence[ReachedSeries]
    alternatives: Sequence[Alternative]
    at_most: bool = False
    holes_held: int = 0
    hole_files: int = 0
    holes_later: int = 0
    venues: Mapping[str, VenueFigures] = field(default_factory=dict)
    paces: Mapping[str, Pace] = field(default_factory=dict)
    exit: int = 0

    def as_json(self) -> dict[str, Any]:
        values = _fields(self) | {"alternatives": [asdict(one) for one in self.alternatives]}
        values["paces"] = {name: pace.as_json() for name, pace in self.paces.items()}
        ends = [one.end for one in self.venues.values() if one.end is not None and not one.optional]
        error = in_short(ends[0]) if ends else None
        told = {"dry_run": True, "error": error, "hint": ends[0].hint if ends else None}
        return {"schema": SCHEMA, "version": __version__, **told, **values, "venues": _venues_json(self.venues)}


def _venues_json(venues: Mapping[str, VenueFigures]) -> dict[str, Any]:
    return {name: figures.as_json() for name, figures in venues.items()}


def fields_of(carrier: Any, figures: Sequence[str]) -> dict[str, Any]:
    """Return the carrier's fields by name, with figures in place of its account."""
    values: dict[str, Any] = {}
    for one in fields(carrier):
        value = getattr(carrier, one.name)
        values |= value.named(figures) if one.name == "account" else {one.name: value}
    return values


def _fields(outcome: Summary | Estimate) -> dict[str, Any]:
    values = fields_of(outcome, _OF_A_PLAN if isinstance(outcome, Estimate) else _OF_A_RUN)
    values["failed_series"] = [asdict(failed) for failed in outcome.failed_series]
    values["begun_series"] = [{"series": one.series, "first": iso(one.first_ms)} for one in outcome.begun_series]
    values["ended_series"] = [
        {"series": one.series, "ended": when(one.ended_ms), "status": one.status} for one in outcome.ended_series
    ]
    values["reached_series"] = [
        {"series": one.series, "from": iso(one.reach_ms), "out_of_reach": one.candles} for one in outcome.reached_series
    ]
    return values
