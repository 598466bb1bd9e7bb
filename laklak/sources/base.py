"""What gives candles that exist already: another store, files, longer candles made of stored ones.

A venue is no such source. Its answers change what is asked next (second questions, the ends of a series, files in place
of pages), and each venue pays, pauses and may end alone. A source here is looked through first and asked for each piece
once, and its failure ends the run. So Feed and FileReader keep their own forms (laklak.sources.venue,
laklak.sources.archive): in one protocol for both, each side would leave most members empty.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol

from laklak.model import provenance
from laklak.model.absences import Absence
from laklak.model.candles import Candles
from laklak.model.revisions import Revision, Why
from laklak.model.series import Series, TimeRange
from laklak.model.spans import count, overlap, parted, union, without
from laklak.plan.missing import SeriesPlan
from laklak.plan.wanted import FailedSeries
from laklak.report.copied import Kind
from laklak.report.observer import Observer
from laklak.stores.access import StoreAccess
from laklak.stores.base import NO_STRAYS, Origin, Store, Strays
from laklak.stores.coverage import Presence
from laklak.tasks.stopping import Stopper


@dataclass(frozen=True, slots=True)
class Offer:
    """The series that a source gives, with their ranges; those in `lacking` it does not have."""

    spans: Mapping[Series, TimeRange]
    lacking: Sequence[FailedSeries] = ()


@dataclass(frozen=True, slots=True)
class Stock:
    """What a source has of a range, on the grid, in order and disjoint: `absences` are holes and rejects.

    It knows nothing about `missing` candles, which its venue may have. `stretches` without candles are carried whole.
    `strays` and candles that are `not_whole` are told, not given; they are of the series `of` if candles are made of
    that.
    `files`: the bulk files that filled it.
    """

    candles: Sequence[TimeRange]
    absences: Sequence[TimeRange] = ()
    missing: int = 0
    stretches: Sequence[Absence] = ()
    of: Series | None = None
    not_whole: Sequence[TimeRange] = ()
    strays: Strays = NO_STRAYS
    files: Sequence[provenance.BulkFile] = ()


@dataclass(frozen=True, slots=True)
class Work:
    """What a source is asked for at once: the `candles` and `absences` wanted in `range`. No two works share a minute.

    Candles that the destination has `held` are given too, to be compared. `number`: the part of the source that has it.
    """

    series: Series
    range: TimeRange
    candles: tuple[TimeRange, ...]
    absences: tuple[TimeRange, ...] = ()
    held: tuple[TimeRange, ...] = ()
    number: int = 0


@dataclass(frozen=True, slots=True)
class Given:
    """What a source gave for some work, or for a part of it.

    `known`: who gave the candles to the source. `revisions`: what they replaced there. `lacking`: why candles are not
    given, as an account has it: reason, number, words.
    """

    candles: Candles
    absences: Sequence[Absence] = ()
    known: Sequence[provenance.Stretch] = ()
    revisions: Sequence[Revision] = ()
    lacking: Sequence[tuple[str, int, str]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferPlan(SeriesPlan):
    """A series on its way. `stored`, `holes` and `rejected` are at the destination, `wanted` spans what the source has.

    `missing` is `candles` and `absences` together, without what is `blocked` at the destination. `absent` is what the
    source does not have in `wanted`; `source_missing` of it the source itself lacks.
    """

    candles: tuple[TimeRange, ...]
    absences: tuple[TimeRange, ...]
    source_missing: int
    of: Series | None = None
    """The series that its candles are made of, if they are made."""
    held: tuple[TimeRange, ...] = ()
    """Candles that both have."""
    stretches: tuple[Absence, ...] = ()
    """Stretches without candles that the source knows and the destination does not."""
    files: tuple[provenance.BulkFile, ...] = ()
    """Bulk files that filled the source, for times of which the destination knows no file."""


def plan_transfer(
    series: Series,
    span: TimeRange,
    stock: Stock,
    destination: Presence,
    closed: Sequence[TimeRange] = (),
    stretches: Sequence[Absence] = (),
    files: Sequence[provenance.BulkFile] = (),
) -> TransferPlan:
    """Compare what a source has of `span`, a range on the grid, with what the destination has.

    A candle is wanted if none is stored, a hole or reject if nothing is known: stored beats hole, on both sides. The
    destination takes no candle in the `closed` ranges, which are on the grid, in order and disjoint.
    """
    interval = series.interval
    offered = union([*stock.candles, *stock.absences])
    not_stored = union([*destination.missing, *(one.span for one in destination.absences)])
    candles, blocked = parted(overlap(not_stored, stock.candles), closed)
    absences = overlap(destination.missing, stock.absences)
    stored = without(span, not_stored)
    rejected = union(one.span for one in destination.absences if one.kind == "rejected")
    # What is known to be absent here for another reason is as good as a hole.
    holes = union(one.span for one in destination.absences if one.kind != "rejected")
    return TransferPlan(
        series=series,
        wanted=span,
        first_ms=None,
        stored=count(overlap(stored, offered), interval),
        holes=count(overlap(holes, stock.absences), interval),
        rejected=count(overlap(rejected, stock.absences), interval),
        missing=tuple(union([*candles, *absences])),
        blocked=tuple(blocked),
        candles=tuple(candles),
        absences=tuple(absences),
        source_missing=stock.missing,
        of=stock.of,
        absent=span.count(interval) - count(offered, interval),
        not_whole=destination.not_whole,
        held=tuple(overlap(stored, stock.candles)),
        stretches=tuple(stretches),
        files=tuple(files),
    )


class Source(Protocol):
    """Gives the candles of a transfer: asked for its offer, then series by series and work by work.

    It only reads, and acts on nothing else: plans, accounts and the destination are the engine's.
    """

    store: Store | None = None
    """The store that it reads, if any; the engine enters it before asking anything."""

    async def offer(self) -> Offer:
        """Return what it gives of the series that the job names. UsageError if there is nothing."""
        ...

    async def origin(self) -> Origin | None:
        """Return whether its candles are real or simulated; None if unknown."""
        return None if self.store is None else await self.store.origin()

    async def stock(self, series: Series, span: TimeRange) -> Stock:
        """Return what it has of an offered series in `span`, a range on the grid."""
        ...

    def work(self, plan: TransferPlan) -> Iterator[Work]:
        """Cut what is wanted of a series into works, oldest first."""
        ...

    def get(self, work: Work) -> AsyncGenerator[Given]:
        """Yield the candles, in parts if they are many. LaklakError if the source fails; ends early on a stop."""
        ...

    def figures(self) -> Mapping[str, Any]:
        """Return what the summary tells beside the account."""
        return {}


@dataclass(frozen=True, slots=True)
class Words:
    """A job in words: `verb` also names the provenance of its candles. `{}` in a text is the source."""

    verb: provenance.Source
    done: str
    to: str
    """As in `copy to another store`."""
    done_there: str
    role: str = "destination"
    no_source: str = ""
    same: str = ""
    same_hint: str = ""
    mixed: str = "; {} has"
    replaces: Why = "refetch"
    """Why held candles with other values are replaced; `remade`: only those that the same command has written."""
    stay: str = ""
    """The words about the others, with what they are made of."""
    keep: str = "use --within-retention to leave that out, or a destination that keeps candles for longer"


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferJob(ABC, Generic[Kind]):
    """Candles from a source into the store `destination`.

    `force` also mixes real and simulated candles, `other_address` those of a venue from different addresses.
    `state_dir` has the note of what a full server was sent.
    """

    destination: StoreAccess
    state_dir: Path
    force: bool = False
    within_retention: bool = False
    other_address: bool = False

    words: ClassVar[Words]
    untold: ClassVar[Origin | None] = None
    """The origin of candles if neither side knows whether they are real."""

    @property
    @abstractmethod
    def summary(self) -> type[Kind]:
        """The type of its summary."""

    @property
    @abstractmethod
    def source_shown(self) -> str:
        """The source for people, before it is opened."""

    @abstractmethod
    def begin(self, observer: Observer, stopper: Stopper) -> Source:
        """The source of this job, not yet entered. StoreUnavailable if its text names no store."""
