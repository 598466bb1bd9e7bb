"""What a run counts while it goes, and what it says at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from laklak._version import __version__
from laklak.errors import LaklakError, TryLater
from laklak.model.series import iso
from laklak.plan.chunks import Alternative
from laklak.plan.wanted import BegunSeries, EndedSeries, FailedSeries
from laklak.report.ledger import Ledger
from laklak.stores.base import Waiting
from laklak.stores.refetched import Refetched

SCHEMA: Final = 1

_NAMED_AT_MOST: Final = 100


@dataclass(slots=True)
class FileTally:
    """What came of bulk files: `read` gave `candles`, `absent` are not there, `failed` could not be got or are not
    sound, by reason; `troubles` says what was wrong with the first of those.
    """

    planned: int = 0
    read: int = 0
    candles: int = 0
    absent: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    troubles: list[str] = field(default_factory=list)
    requests: int = 0
    retries: int = 0
    received_bytes: int = 0

    @property
    def done(self) -> int:
        return self.read + self.absent + sum(self.failed.values())

    def as_json(self) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return values | {"failed": dict(self.failed)}

    def trouble(self, reason: str, detail: str) -> None:
        """Count a file that gave nothing."""
        if reason == "absent":
            self.absent += 1
            return
        self.failed[reason] += 1
        if len(self.troubles) < _NAMED_AT_MOST:
            self.troubles.append(f"{reason}: {detail}")


@dataclass(slots=True)
class WriterTally:
    """Where the pressure is: writers were busy, inside the store, `busy_s` of the `of_s` seconds that fetching took.

    Near all of it, the store holds the run up; far from it, the source or the budget does.  `rows` went in `writes`,
    and `queued` answers were waiting meanwhile, averaged over the whole time.
    """

    writes: int = 0
    rows: int = 0
    busy_s: float = 0.0
    of_s: float = 0.0
    queued_s: float = 0.0
    """Answers waiting x seconds: the area under the queue."""

    def wrote(self, rows: int, seconds: float, queued_before: int, queued_after: int) -> None:
        """Count one write; the queue is taken to have grown evenly while it lasted, and is empty between writes."""
        self.writes += 1
        self.rows += rows
        self.busy_s += seconds
        self.queued_s += seconds * (queued_before + queued_after) / 2

    def as_json(self) -> dict[str, Any]:
        return {
            "writes": self.writes,
            "rows": self.rows,
            "busy_s": round(self.busy_s, 3),
            "of_s": round(self.of_s, 3),
            "queued": round(self.queued_s / self.of_s, 2) if self.of_s else 0.0,
        }


@dataclass(slots=True)
class Report:
    """The counters of a running backfill, for progress. Filled by the engine, read by whoever shows it."""

    store: str = ""
    started_s: float = 0.0
    start_ms: int | None = None
    end_ms: int | None = None
    ledgers: list[Ledger] = field(default_factory=list)
    failed: list[FailedSeries] = field(default_factory=list)
    begun: dict[str, BegunSeries] = field(default_factory=dict)
    ended: list[EndedSeries] = field(default_factory=list)
    series: int = 0
    not_whole: int = 0
    rows_rejected: int = 0
    errors: int = 0
    requests: int = 0
    candle_requests: int = 0
    retries: int = 0
    rate_limited: int = 0
    weight: int = 0
    budget: int = 0
    window_weight: int = 0
    requests_planned: int = 0
    seconds_planned: float | None = None
    """What the plan says that fetching takes at least; None where there is none."""
    files: FileTally = field(default_factory=FileTally)
    writer: WriterTally = field(default_factory=WriterTally)
    refetched: Refetched | None = None
    on_the_wire: int = 0
    paused_for_s: float = 0.0
    waiting: Waiting | None = None
    """What keeps the store from answering, while something does."""
    banned_until_ms: int | None = None
    dead_letter: str | None = None
    fetching_since_s: float | None = None
    seconds: float = 0.0

    @property
    def begun_series(self) -> tuple[BegunSeries, ...]:
        return tuple(self.begun[name] for name in sorted(self.begun))

    @property
    def wanted(self) -> int:
        return sum(ledger.wanted_count for ledger in self.ledgers)

    @property
    def stored_before(self) -> int:
        return sum(ledger.stored_before for ledger in self.ledgers)

    @property
    def written(self) -> int:
        return sum(ledger.written for ledger in self.ledgers)

    @property
    def holes(self) -> int:
        return sum(ledger.holes for ledger in self.ledgers)

    @property
    def rejected(self) -> int:
        return sum(ledger.rejected for ledger in self.ledgers)

    @property
    def missing(self) -> int:
        return sum(ledger.missing for ledger in self.ledgers)

    @property
    def corrected(self) -> int:
        return sum(len(ledger.corrected) for ledger in self.ledgers)

    @property
    def holes_filled(self) -> int:
        return sum(ledger.filled for ledger in self.ledgers)

    @property
    def blocked(self) -> int:
        return sum(ledger.blocked for ledger in self.ledgers)

    @property
    def newly_rejected(self) -> int:
        return sum(ledger.newly_rejected for ledger in self.ledgers)

    @property
    def candles_per_second(self) -> float:
        """Written candles by the seconds of the whole run."""
        return round(self.written / self.seconds, 1) if self.seconds else 0.0

    def failures(self) -> list[FailedSeries]:
        """Every series with something missing for a reason of its own."""
        own = (ledger.failure() for ledger in self.ledgers)
        return [*self.failed, *(failure for failure in own if failure is not None)]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a backfill or a copy has come: candles, series, files and requests of so many; for a callback.

    `candles_per_second` since fetching began, `seconds` since the run did; `seconds_left` None is not known yet.
    `waiting`: what is being waited for, if anything: a pause that the venue orders, or a store that does not answer.
    """

    wanted: int
    done: int
    written: int
    missing: int
    series: int
    series_complete: int
    requests: int
    requests_planned: int
    files: int
    files_planned: int
    candles_per_second: float
    seconds: float
    seconds_left: float | None
    waiting: str | None


@dataclass(frozen=True, slots=True)
class Summary:
    """The outcome of a backfill; `as_json()` is what --json prints.

    wanted = stored_before + written + holes + rejected + missing, in candles; `holes_filled` of the written ones were
    known holes until bulk files had them, and of the missing so many are `blocked` that no other run gets before
    something is mended: `failed_series` says what.  So many were `not_whole` when the run began: something stood there
    that is no candle.  `exit` is the exit status, `seconds` the whole run, `weight` what
    the run paid, `error` a short word and a sentence when the run did not end by itself.
    `corrected` are candles among those stored before that were written again, for the venue has other values by now;
    `refetched` is None without --refetch.
    """

    exit: int
    complete: bool
    store: str
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
    not_whole: int
    corrected: int
    refetched: Refetched | None
    rows_rejected: int
    holes_filled: int
    failed_series: Sequence[FailedSeries]
    begun_series: Sequence[BegunSeries]
    ended_series: Sequence[EndedSeries]
    requests: int
    candle_requests: int
    retries: int
    rate_limited: int
    weight: int
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
        tallies = {"files": self.files.as_json(), "writer": self.writer.as_json(), "refetched": refetched}
        return {"schema": SCHEMA, "version": __version__, **_fields(self), **tallies}


def summarise(report: Report, *, error: LaklakError | None = None, exit_code: int | None = None) -> Summary:
    """Close the account. The exit status is `exit_code`, else the error's, else 1 when another run has work left."""
    missing = report.missing
    failures = report.failures()
    clean = not missing and not failures and not report.newly_rejected
    banned_until_ms = error.until_ms if isinstance(error, TryLater) else report.banned_until_ms
    if exit_code is None:
        exit_code = error.exit_code if error is not None else (0 if clean else 1)
    return Summary(
        exit=exit_code,
        complete=exit_code == 0 and not missing,
        store=report.store,
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
        not_whole=report.not_whole,
        corrected=report.corrected,
        refetched=report.refetched,
        rows_rejected=report.rows_rejected,
        holes_filled=report.holes_filled,
        failed_series=failures,
        begun_series=report.begun_series,
        ended_series=tuple(report.ended),
        requests=report.requests,
        candle_requests=report.candle_requests,
        retries=report.retries,
        rate_limited=report.rate_limited,
        weight=report.weight,
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
    """A moment as summaries give it, if there is one."""
    return None if time_ms is None else iso(time_ms)


def in_short(error: LaklakError) -> str:
    """An error as summaries give it: its word for programs, its sentence for people."""
    return f"{error.reason}: {error}"


@dataclass(frozen=True, slots=True)
class Estimate:
    """What --dry-run says: the plan, its price and what it would cost otherwise. Nothing was fetched or stored.

    `to_fetch` = `file_candles` of bulk files + what is asked of the API + `out_of_reach`, which no source gives that
    may be used; `blocked` are missing too and are not asked for, since the store could not take them.  `requests` to
    `seconds_auto` are those of the API; `file_bytes` is about what the files will have, `file_seconds` what they take
    where the line and the store keep up.  `holes_held` of the `holes` are held against `hole_files` daily files that
    may have them by now, `holes_later` more in later runs.
    """

    store: str
    start: str
    end: str
    series: int
    wanted: int
    stored_before: int
    holes: int
    rejected: int
    to_fetch: int
    blocked: int
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
    out_of_reach: int
    failed_series: Sequence[FailedSeries]
    begun_series: Sequence[BegunSeries]
    ended_series: Sequence[EndedSeries]
    alternatives: Sequence[Alternative]
    holes_held: int = 0
    hole_files: int = 0
    holes_later: int = 0
    exit: int = 0

    def as_json(self) -> dict[str, Any]:
        values = _fields(self) | {"alternatives": [asdict(one) for one in self.alternatives]}
        return {"schema": SCHEMA, "version": __version__, "dry_run": True, "error": None, "hint": None, **values}


def _fields(outcome: Summary | Estimate) -> dict[str, Any]:
    values = {name: getattr(outcome, name) for name in outcome.__dataclass_fields__}
    values["failed_series"] = [asdict(failed) for failed in outcome.failed_series]
    values["begun_series"] = [{"series": one.series, "first": iso(one.first_ms)} for one in outcome.begun_series]
    values["ended_series"] = [
        {"series": one.series, "ended": when(one.ended_ms), "status": one.status} for one in outcome.ended_series
    ]
    return values
