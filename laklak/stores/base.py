"""The protocol of a store, and how any store is asked what it already holds.

A store is the only truth about what is there: there is no checkpoint file beside it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Literal, Protocol, Self

from laklak.model.absences import Absence, AbsenceKind
from laklak.model.candles import Candles
from laklak.model.digest import sums_of
from laklak.model.findings import Finding
from laklak.model.provenance import Stretch
from laklak.model.records import Note, RunRecord
from laklak.model.revisions import Revision
from laklak.model.series import Interval, Series, TimeRange

Origin = Literal["real", "simulated"]


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """What a store holds, for the line printed first. `free_bytes` is None where the store cannot tell."""

    holds: str
    free_bytes: int | None


@dataclass(frozen=True, slots=True)
class Columns:
    """Stored candles of one series, oldest first: open_times in ms UTC, then open, high, low, close, volume."""

    open_times: Sequence[int]
    values: tuple[Sequence[float], ...]


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one answer gave: candles to store, and what is confirmed absent. Either may be empty.

    `corrected` are those of its candles that were stored before with other values. `revisions` are the known
    differences between its candles and what they overwrite. `provenance`: who gave the candles, if known.
    """

    series: Series
    candles: Candles | None
    absences: Sequence[Absence] = ()
    corrected: frozenset[int] = frozenset()
    revisions: Sequence[Revision] = ()
    provenance: Sequence[Stretch] = ()

    @property
    def rows(self) -> int:
        return (len(self.candles) if self.candles else 0) + len(self.absences)


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a write: everything is stored but the refused candles.

    `refused[i]` are the open_times, rising, of the candles of delivery i that a server would not take whatever is
    done; they are in the file `dead_letter`, with the reason, and are missing as if they had never been fetched.
    """

    refused: Mapping[int, Sequence[int]] = field(default_factory=dict)
    dead_letter: str | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A store that is waited for: `what` is wrong, as a sentence. Times are those of the monotonic clock, in s.

    `next_try_s` None: a try is under way.  At `give_up_s` the waiting call raises an error instead.
    """

    what: str
    since_s: float
    next_try_s: float | None
    give_up_s: float


@dataclass(frozen=True, slots=True)
class AbsenceCount:
    """So many absences of a kind at a venue, and when the oldest and the newest were confirmed (this machine's clock).

    Holes and rejects are counted by the candle, all others by the stretch.
    """

    venue: str
    kind: AbsenceKind
    count: int
    oldest_ms: int
    newest_ms: int


@dataclass(frozen=True, slots=True)
class ClosedSpan:
    """A stretch in which a store takes no candle of a venue: why, and what mends it, in words for people."""

    span: TimeRange
    reason: str
    remedy: str

    def on_grid(self, interval: Interval) -> TimeRange:
        """The open_times in it: a candle belongs where it begins."""
        return TimeRange(interval.ceil(self.span.start_ms), interval.ceil(self.span.end_ms))


@dataclass(frozen=True, slots=True)
class Strays:
    """Points of a series off the grid of its interval: no candles, and never deleted by us.

    `first_ns` and `last_ns` are the times of the first and the last one, where those are told. `statements` remove
    exactly those that they name: all of them, or the first of very many.  `remark` says where to run them, and what
    else they take.
    """

    count: int = 0
    first_ns: int | None = None
    statements: tuple[str, ...] = ()
    remark: str = ""
    last_ns: int | None = None


NO_STRAYS: Final = Strays()

CONTRADICTS: Final = " OR ".join(
    ('"high" < "open"', '"high" < "close"', '"low" > "open"', '"low" > "close"', '"low" <= 0', '"volume" < 0')
)
"""The numbers of a candle contradict each other: a condition that SQL and InfluxQL read alike."""


@dataclass(frozen=True, slots=True)
class DaySums:
    """Of the whole candles of a UTC day: how many, and the sums of open, high, low, close and volume.

    `contradicts`: the numbers of one of them do.
    """

    rows: int
    sums: tuple[float, ...]
    contradicts: bool = False

    @classmethod
    def of(cls, columns: Columns) -> DaySums:
        rows = zip(*columns.values, strict=True)
        wrong = any(low > min(o, c) or high < max(o, c) or low <= 0 or volume < 0 for o, high, low, c, volume in rows)
        return cls(len(columns.open_times), sums_of(columns.values), wrong)

    def also(self, more: DaySums) -> DaySums:
        """This, and another part of the same day."""
        sums = tuple(one + other for one, other in zip(self.sums, more.sums, strict=True))
        return DaySums(self.rows + more.rows, sums, self.contradicts or more.contradicts)


@dataclass(frozen=True, slots=True)
class Oddities:
    """What stands in a series and is no candle: minutes on the grid without five finite numbers, rising, and strays."""

    not_whole: Sequence[int] = ()
    strays: Strays = NO_STRAYS


@dataclass(frozen=True, slots=True)
class Foreign:
    """What other programs have put beside the candles of a series.

    `points`: those that mean it by other tags, as the time of the first and a sentence for each kind.  `fields`: what
    its own points have beside the five numbers, and in how many of them.
    """

    points: tuple[tuple[int, str], ...] = ()
    fields: Mapping[str, int] = field(default_factory=dict)


NOTHING_FOREIGN: Final = Foreign()


def held_span(interval: Interval, times: Collection[int]) -> TimeRange:
    """From the first to the end of the last of these open_times, on the grid; empty where none can lie on it."""
    if not times:
        return TimeRange(0, 0)
    return TimeRange(interval.ceil(min(times)), interval.floor(max(times)) + interval.ms)


class Store(Protocol):
    """Where candles live. All methods may be called from one event loop, several at once.

    A candle is held only if it is whole: five finite numbers in one row or point, on the grid of its interval.
    Whatever counts, lists or reads candles here leaves out what is not.

    Foreign exceptions are translated here: StoreFull when there is no room, StoreUnavailable when it cannot be
    used, StoreError for anything else.
    """

    @property
    def display(self) -> str:
        """The store's URL as it may be shown: no secret in it."""
        ...

    @property
    def exists(self) -> bool:
        """Once entered: whether there is a store; False only when it was opened without making one."""
        ...

    @property
    def identity(self) -> str:
        """The same for two spellings of one store, as far as that can be told without asking it."""
        ...

    @property
    def heard_s(self) -> float | None:
        """When anything last came of it (monotonic): from its server, or of a file; None while nothing has."""
        ...

    @property
    def waiting(self) -> Waiting | None:
        """What is being waited for, None while the store answers; may be read at any time."""
        ...

    bytes_per_candle: int
    """What a candle takes on the disk, to tell beforehand whether there is room."""
    writes_at_once: int
    """Calls of `write` that are worth having under way side by side; no two of them hold the same minute."""

    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def exclusive(self) -> AbstractContextManager[object]:
        """Hold the store for one backfill on this machine; StoreBusy says who holds it and since when.

        Dies with its process. Readers and other writers are not kept out.
        """
        ...

    async def describe(self) -> StoreInfo: ...

    async def examine(self) -> Sequence[Finding]:
        """What else to know before a backfill: what keeps the store, the right to write, retention, who fills it.

        Where there is no store: whether a run could make it.  Nothing is made, written or changed.
        """
        ...

    async def holdings(self) -> dict[Series, TimeRange]:
        """Every series with a candle, hole or reject: from its first to the end of its last, on the grid."""
        ...

    async def odd(self, series: Series, span: TimeRange, *, anew: bool = False) -> Oddities:
        """What stands in `span` and is no candle, rising.

        With `anew` all of it is looked at, and what was noted about it before is not believed.
        """
        ...

    async def foreign(self, series: Series, span: TimeRange) -> Foreign | None:
        """What other programs have put beside a series in `span`; None where that cannot be asked."""
        ...

    async def count(self, series: Series, span: TimeRange) -> int:
        """Candles stored in `span`."""
        ...

    async def count_by_day(self, series: Series, span: TimeRange) -> dict[int, int]:
        """The same per UTC day: day start in ms -> count. Days without candles are left out."""
        ...

    async def sums_by_day(self, series: Series, span: TimeRange) -> dict[int, DaySums]:
        """The same with sums, worked out where the candles are kept: rounded after each of them, in any order."""
        ...

    async def open_times(self, series: Series, span: TimeRange) -> list[int]:
        """The open_times stored in `span`, rising."""
        ...

    async def absences(self, series: Series, span: TimeRange) -> list[Absence]:
        """What is known to be absent in `span`, rising, disjoint and cut to it, without what is stored after all.

        Holes and rejects come one by one. What a longer-lived kind covers is told by that alone.
        """
        ...

    async def absence_counts(self) -> Sequence[AbsenceCount]:
        """How much is remembered to be absent at each venue, by kind."""
        ...

    def pack(self, candles: Candles) -> Candles:
        """Convert candles to the store's own form, which means the same and is what `write` takes fastest.

        Call it in the thread or task that made them: it takes as long as making them.
        """
        ...

    async def write(self, deliveries: Sequence[Delivery]) -> Written:
        """Store all of it but what is given back as refused, and return when it is acknowledged; idempotent.

        A candle replaces what was stored under its identity and removes an absence of the same minute, and the whole
        of a `before_first` or `after_last` that it disproves; an absence is not recorded where a candle is stored.
        Provenance is noted of candles that are stored, and counts in place of what was noted before.
        Revisions are added to those that there are, but for candles that are refused.  When it raises, a store without
        transactions may have stored a part; revisions come first then, so that no old row is ever lost, and one whose
        overwriting did not happen gives its place to that of the next attempt.
        """
        ...

    async def provenance(self, series: Series, span: TimeRange) -> list[Stretch]:
        """Who gave the candles in `span`, as far as that was noted: rising, disjoint, cut to it.

        Neighbours of one source and state are one stretch.
        """
        ...

    async def revisions(self, series: Series, span: TimeRange) -> list[Revision]:
        """How candles in `span` were overwritten with other values, in the order in which that was."""
        ...

    async def read(self, series: Series, span: TimeRange, *, last: int | None = None, whole: bool = True) -> Columns:
        """Stored candles in `span`, oldest first; with `last`, only the newest so many.

        Without `whole` also what stands on the grid and is not whole: a number that is missing is NaN.
        """
        ...

    def batches(self, series: Series, span: TimeRange) -> AsyncGenerator[Columns]:
        """Stored candles in `span`, oldest first, as fast as the store gives them: in parts of some ten thousand.

        None is empty, and the memory they take does not grow with the span.  Close it where it is not read to its end
        (contextlib.aclosing).
        """
        ...

    async def origin(self) -> Origin | None:
        """Whether the candles here came from a real venue or a simulator; None while there are none."""
        ...

    async def set_origin(self, origin: Origin) -> None: ...

    async def notes(self) -> list[Note]:
        """The newest note of each kind about each thing; forgotten ones are left out."""
        ...

    async def put_notes(self, notes: Sequence[Note]) -> None:
        """Remember these instead of the ones of the same kind about the same thing."""
        ...

    def check_range(self, span: TimeRange) -> None:
        """Raise StoreUnavailable when the store would not keep all of `span`; names what it would."""
        ...

    def within_retention(self, span: TimeRange) -> TimeRange:
        """`span` without what the store would not keep; may be empty."""
        ...

    async def closed_spans(self, venue: str, span: TimeRange) -> Sequence[ClosedSpan]:
        """Where in `span` no candle of a venue can be written before something is mended: in order, disjoint.

        What is there counts as not stored.  Raises StoreUnavailable when that is all of `span`.
        """
        ...

    async def record_run(self, run: RunRecord, *, keep_days: int | None = None) -> None:
        """Remember a run and what it filled; runs that ended more than so many days before it are forgotten."""
        ...

    async def runs(self, last: int, *, series: Series | None = None, failed: bool = False) -> list[RunRecord]:
        """The newest so many runs, the newest first, with what they filled; times are as exact as the store keeps them.

        With a series only those that filled something of it or failed at it, with that alone.  With `failed` only
        those that did not end with 0, or failed at the series.
        """
        ...


class StoreBase(ABC):
    """What the stores here do alike: entering opens, leaving closes, and so does an opening that fails."""

    # The store does not exist, and was opened with `create=False`.
    _nothing = False

    @property
    def exists(self) -> bool:
        """Once entered: whether there is a store; False only when it was opened without making one."""
        return not self._nothing

    async def __aenter__(self) -> Self:
        try:
            await self._open()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @abstractmethod
    async def _open(self) -> None: ...

    @abstractmethod
    async def close(self) -> None:
        """Let go of everything that was opened, also after half an opening. Idempotent."""
