"""The protocol of a store: what is there, and how to add to it.

A store is the only truth about what is there: no checkpoint file stands beside it.
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
from laklak.model.provenance import BulkFile, Stretch
from laklak.model.records import Note, RunRecord
from laklak.model.revisions import Revision
from laklak.model.series import Interval, Series, TimeRange

Origin = Literal["real", "simulated"]


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """What a store holds, for the line printed first. `free_bytes` is None if the store cannot tell."""

    holds: str
    free_bytes: int | None


@dataclass(frozen=True, slots=True)
class Columns:
    """Stored candles of one series, oldest first: open_times in ms UTC, then open, high, low, close, volume."""

    open_times: Sequence[int]
    values: tuple[Sequence[float], ...]


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one answer gave: candles to store, and confirmed absences. Either may be empty.

    `corrected`: the open_times of its candles that were stored before with other values. `revisions`: the known
    differences between its candles and what they overwrite. `provenance`: who gave the candles, if known. `files`: the
    bulk files that were read for it.
    """

    series: Series
    candles: Candles | None
    absences: Sequence[Absence] = ()
    corrected: frozenset[int] = frozenset()
    revisions: Sequence[Revision] = ()
    provenance: Sequence[Stretch] = ()
    files: Sequence[BulkFile] = ()

    @property
    def rows(self) -> int:
        return (len(self.candles) if self.candles else 0) + len(self.absences)


@dataclass(frozen=True, slots=True)
class Written:
    """The result of a write: everything is stored except the refused candles.

    `refused[i]`: the open_times, rising, of the candles of delivery i that a server never takes; the file `dead_letter`
    has them with the reason, and they are missing as if they had never been fetched.
    """

    refused: Mapping[int, Sequence[int]] = field(default_factory=dict)
    dead_letter: str | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """A store that a call waits for: `what` is wrong, as a sentence. Times are of the monotonic clock, in s.

    `next_try_s` None: a try is under way.  At `give_up_s` the waiting call raises an error instead.
    """

    what: str
    since_s: float
    next_try_s: float | None
    give_up_s: float


@dataclass(frozen=True, slots=True)
class AbsenceCount:
    """The absences of a kind at a venue, counted, and when the oldest and newest were confirmed (this machine's clock).

    Holes and rejects count by the candle, all others by the stretch.
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

    `first_ns` and `last_ns`: the first and the last time, if known. `statements` remove exactly the points that they
    name: all of them, or the first of very many.  `remark`: where to run them, and what else they remove.
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
"""The condition, in SQL and InfluxQL alike, that a candle's numbers contradict each other."""


@dataclass(frozen=True, slots=True)
class DaySums:
    """The whole candles of a UTC day: their number, and the sums of open, high, low, close and volume.

    `contradicts`: one of them has numbers that contradict each other.
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
        """Add another part of the same day."""
        sums = tuple(one + other for one, other in zip(self.sums, more.sums, strict=True))
        return DaySums(self.rows + more.rows, sums, self.contradicts or more.contradicts)


@dataclass(frozen=True, slots=True)
class Oddities:
    """What stands in a series but is no candle: minutes on the grid without five finite numbers, rising; strays."""

    not_whole: Sequence[int] = ()
    strays: Strays = NO_STRAYS


@dataclass(frozen=True, slots=True)
class Foreign:
    """Data of other programs beside the candles of a series.

    `points`: those that mean it by other tags, as the time of the first and a sentence for each kind.  `fields`: what
    its own points have beside the five numbers, and in how many of them.
    """

    points: tuple[tuple[int, str], ...] = ()
    fields: Mapping[str, int] = field(default_factory=dict)


NOTHING_FOREIGN: Final = Foreign()


def held_span(interval: Interval, times: Collection[int]) -> TimeRange:
    """From the first to the end of the last of these open_times, on the grid; empty if none can lie on it."""
    if not times:
        return TimeRange(0, 0)
    return TimeRange(interval.ceil(min(times)), interval.floor(max(times)) + interval.ms)


class Store(Protocol):
    """Where candles live. One event loop may call all methods, several at once.

    A candle is held only if it is whole: five finite numbers in one row or point, on the grid of its interval.
    Everything that counts, lists or reads candles here leaves out the rest.
    It translates foreign exceptions: StoreFull when there is no room, StoreUnavailable when it cannot be used,
    StoreError for anything else.
    """

    @property
    def display(self) -> str:
        """The store's URL as it may be shown, without secrets."""
        ...

    @property
    def exists(self) -> bool:
        """Once entered: whether there is a store; False only if it was opened without making one."""
        ...

    @property
    def identity(self) -> str:
        """The same for two spellings of one store, as far as that shows without asking it."""
        ...

    @property
    def heard_s(self) -> float | None:
        """When its server or file last answered (monotonic); None before that."""
        ...

    @property
    def waiting(self) -> Waiting | None:
        """What it waits for, None while the store answers; may be read at any time."""
        ...

    bytes_per_candle: int
    """Bytes of a candle on the disk, to tell beforehand whether there is room."""
    writes_at_once: int
    """How many calls of `write` may usefully run side by side; no two of them hold the same minute."""

    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def exclusive(self) -> AbstractContextManager[object]:
        """Hold the store for one backfill on this machine; StoreBusy says who holds it and since when.

        The lock dies with its process. It does not keep out readers and other writers.
        """
        ...

    async def describe(self) -> StoreInfo: ...

    async def examine(self) -> Sequence[Finding]:
        """Say what else to know before a backfill: what keeps the store, the right to write, retention, who fills it.

        For a missing store: whether a run could make it.  It makes, writes and changes nothing.
        """
        ...

    async def holdings(self) -> dict[Series, TimeRange]:
        """Return every series with a candle, hole or reject: from its first to the end of its last, on the grid."""
        ...

    async def odd(self, series: Series, span: TimeRange, *, anew: bool = False) -> Oddities:
        """Return what stands in `span` without being a candle, rising.

        With `anew` look at all of it, and ignore earlier notes about it.
        """
        ...

    async def foreign(self, series: Series, span: TimeRange) -> Foreign | None:
        """Return other programs' data beside a series in `span`; None if the store cannot tell."""
        ...

    async def count(self, series: Series, span: TimeRange) -> int:
        """Count the candles stored in `span`."""
        ...

    async def count_by_day(self, series: Series, span: TimeRange) -> dict[int, int]:
        """Count them per UTC day: day start in ms -> count, without days that have none."""
        ...

    async def sums_by_day(self, series: Series, span: TimeRange) -> dict[int, DaySums]:
        """Return the same with sums that the store computes: rounded after each candle, in any order."""
        ...

    async def open_times(self, series: Series, span: TimeRange) -> list[int]:
        """Return the open_times stored in `span`, rising."""
        ...

    async def absences(self, series: Series, span: TimeRange) -> list[Absence]:
        """Return the known absences in `span`, rising, disjoint and cut to it, without minutes stored after all.

        Holes and rejects come one by one. A longer-lived kind hides the others that it covers.
        """
        ...

    async def absence_counts(self) -> Sequence[AbsenceCount]:
        """Count the remembered absences at each venue, by kind."""
        ...

    def pack(self, candles: Candles) -> Candles:
        """Convert candles to the store's own form, which means the same and is what `write` takes fastest.

        Call it in the thread or task that made them: it takes as long as making them.
        """
        ...

    async def write(self, deliveries: Sequence[Delivery]) -> Written:
        """Store everything except what it returns as refused, and return once it is acknowledged; idempotent.

        A candle replaces what was stored under its identity.  It removes an absence of its minute, and the whole of a
        `before_first` or `after_last` that it disproves; no absence is recorded where a candle is stored. Provenance is
        noted for stored candles and replaces earlier notes.
        Revisions add to the stored ones, except for refused candles.  When it raises, a store without transactions may
        have stored a part; it writes revisions first, so no old row is ever lost, and if the overwriting did not
        happen, the next attempt's revision replaces this one.
        """
        ...

    async def provenance(self, series: Series, span: TimeRange) -> list[Stretch]:
        """Return who gave the candles in `span`, as far as noted: rising, disjoint, cut to it.

        Neighbours of one source and state are one stretch.
        """
        ...

    async def bulk_files(self, series: Series, span: TimeRange) -> list[BulkFile]:
        """The bulk files of days and months that touch `span`, of each name as it was read last; oldest first."""
        ...

    async def provided(self) -> Collection[Series]:
        """Return the series of which provenance is noted, also those whose candles are all gone."""
        ...

    async def revisions(self, series: Series, span: TimeRange) -> list[Revision]:
        """Return how candles in `span` were overwritten with other values, in the order of overwriting."""
        ...

    async def read(self, series: Series, span: TimeRange, *, last: int | None = None, whole: bool = True) -> Columns:
        """Return the stored candles in `span`, oldest first; with `last`, only the newest `last`.

        Without `whole` include what stands on the grid without being whole: a missing number is NaN.
        """
        ...

    def batches(self, series: Series, span: TimeRange) -> AsyncGenerator[Columns]:
        """Return the stored candles in `span`, oldest first, as fast as the store can: in parts of some ten thousand.

        No part is empty, and their memory does not grow with the span.  If you do not read to the end, close it
        (contextlib.aclosing).
        """
        ...

    async def origin(self) -> Origin | None:
        """Whether the candles here came from a real venue or a simulator; None without candles."""
        ...

    async def set_origin(self, origin: Origin) -> None: ...

    async def notes(self) -> list[Note]:
        """Return the newest note of each kind about each thing, without forgotten ones."""
        ...

    async def put_notes(self, notes: Sequence[Note]) -> None:
        """Remember these notes in place of those of the same kind about the same thing."""
        ...

    def check_range(self, span: TimeRange) -> None:
        """Raise StoreUnavailable if the store would not keep all of `span`; it names what it would keep."""
        ...

    def within_retention(self, span: TimeRange) -> TimeRange:
        """Return the part of `span` that the store would keep; may be empty."""
        ...

    async def closed_spans(self, venue: str, span: TimeRange) -> Sequence[ClosedSpan]:
        """Return where in `span` no candle of a venue can be written before something is mended: in order, disjoint.

        Candles there count as not stored.  Raises StoreUnavailable if that is all of `span`.
        """
        ...

    async def record_run(self, run: RunRecord, *, keep_days: int | None = None) -> None:
        """Remember a run and what it filled; forget runs that ended more than `keep_days` days before it."""
        ...

    async def runs(self, last: int, *, series: Series | None = None, failed: bool = False) -> list[RunRecord]:
        """Return the newest `last` runs, newest first, with what they filled; times as exact as the store keeps them.

        With a series only runs that filled some of it or failed at it, with just that.  With `failed` only runs that
        did not end with 0, or failed at the series.
        """
        ...


class StoreBase(ABC):
    """What all stores here share: entering opens, leaving closes, and a failed opening closes, too."""

    # The store does not exist, and was opened with `create=False`.
    _nothing = False

    @property
    def exists(self) -> bool:
        """Once entered: whether there is a store; False only if it was opened without making one."""
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
        """Release everything that was opened, also after half an opening. Idempotent."""
