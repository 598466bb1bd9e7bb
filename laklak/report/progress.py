"""What a run counts while it goes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from laklak.errors import LaklakError, in_short
from laklak.model.account import Account, Accounted
from laklak.model.series import iso
from laklak.plan.wanted import BegunSeries, EndedSeries, FailedSeries, ReachedSeries
from laklak.report.ledger import Ledger
from laklak.stores.base import Waiting
from laklak.stores.refetched import Refetched
from laklak.text import per_window

_NAMED_AT_MOST: Final = 100


@dataclass(slots=True)
class FileTally:
    """The results of bulk files: `read` ones gave `candles`, `absent` are not there, `failed` by reason.

    A failed file could not be fetched or is not sound; `troubles` says what was wrong with the first of those.
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
    """Where the pressure is: `busy_s`, seconds spent in `Store.write`, of `of_s`, seconds of fetching.

    If they are nearly equal, the store holds the run up; else the source or the budget does.  `writes` took `rows`;
    `queued` answers waited on average.
    """

    writes: int = 0
    rows: int = 0
    busy_s: float = 0.0
    of_s: float = 0.0
    queued_s: float = 0.0
    """Answers waiting x seconds: the area under the queue."""

    def wrote(self, rows: int, seconds: float, queued_before: int, queued_after: int) -> None:
        """Count one write; assumes that the queue grew evenly meanwhile, and is empty between writes."""
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


@dataclass(frozen=True, slots=True)
class VenueFigures:
    """The results of one venue: what was asked of it, the cost by quota, and what has ended it, if anything.

    `optional`: its failures do not change the exit status; `started`: it has let us in.
    """

    requests: int = 0
    candle_requests: int = 0
    cost: Mapping[str, int] = field(default_factory=dict)
    retries: int = 0
    rate_limited: int = 0
    banned_until_ms: int | None = None
    end: LaklakError | None = None
    started: bool = True
    optional: bool = False

    def as_json(self) -> dict[str, Any]:
        return {
            "requests": self.requests,
            "candle_requests": self.candle_requests,
            "cost": dict(self.cost),
            "retries": self.retries,
            "rate_limited": self.rate_limited,
            "banned_until": None if self.banned_until_ms is None else iso(self.banned_until_ms),
            "error": None if self.end is None else in_short(self.end),
        }


@dataclass(frozen=True, slots=True)
class Pace:
    """Our part of a venue's first quota, how much of it is spent, and what is still to spend.

    `budget`: units in `window_s`. `used`: units in the window that ends now. Planned and not sent yet: `requests` of
    `units` together, for which all quotas take at least `seconds`.
    """

    unit: str
    budget: int
    window_s: float
    pool: str = ""
    """Venues of one pool wait for each other."""
    used: int = 0
    requests: int = 0
    units: int = 0
    seconds: float = 0.0
    paused_for_s: float = 0.0
    """How long the venue has told us to wait from now."""

    @property
    def text(self) -> str:
        return f"{self.budget} {per_window(self.unit, self.window_s)}"

    def as_json(self) -> dict[str, Any]:
        return {
            "requests": self.requests,
            "cost": {self.unit: self.units},
            "budget": self.budget,
            "window_s": self.window_s,
            "seconds": round(self.seconds, 1),
        }


@dataclass(slots=True)
class Report(Accounted):
    """The counters of a running backfill: the engine fills them, a display reads them."""

    store: str = ""
    started_s: float = 0.0
    started_ms: int = 0
    """When the run began, by this machine's clock: that identifies it."""
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
    paces: Mapping[str, Pace] = field(default_factory=dict)
    """How much of each venue's budget is used."""
    requests_planned: int = 0
    seconds_planned: float | None = None
    """The least time for fetching, by the plan; None without a plan."""
    files: FileTally = field(default_factory=FileTally)
    venues: Mapping[str, VenueFigures] = field(default_factory=dict)
    writer: WriterTally = field(default_factory=WriterTally)
    refetched: Refetched | None = None
    on_the_wire: int = 0
    paused_for_s: float = 0.0
    waiting: Waiting | None = None
    """What keeps the store from answering, if anything."""
    banned_until_ms: int | None = None
    dead_letter: str | None = None
    fetching_since_s: float | None = None
    seconds: float = 0.0

    @property
    def begun_series(self) -> tuple[BegunSeries, ...]:
        return tuple(self.begun[name] for name in sorted(self.begun))

    @property
    def reached_series(self) -> tuple[ReachedSeries, ...]:
        return tuple(one for ledger in self.ledgers if (one := ledger.reached) is not None)

    @property
    def account(self) -> Account:
        """The sum of all series so far; take it once for more than one figure."""
        return sum((ledger.account for ledger in self.ledgers), Account())

    @property
    def candles_per_second(self) -> float:
        """Written candles by the seconds of the whole run."""
        return round(self.written / self.seconds, 1) if self.seconds else 0.0

    def failures(self) -> list[FailedSeries]:
        """Return every series that lacks something for a reason apart."""
        own = (ledger.failure() for ledger in self.ledgers)
        return [*self.failed, *(failure for failure in own if failure is not None)]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a backfill or a copy has come, in candles, series, files and requests; for a callback.

    `candles_per_second` since fetching began, `seconds` since the run began; `seconds_left` None: not known yet.
    `waiting`: a pause that the venue orders, or a store that does not answer, if any.
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
