"""One copy from its first line to its last: open both stores, plan, read and write side by side, report.

    ticking group   progress
      writer group    one writer: deliveries -> destination, acknowledged to the ledgers
        reader group    a few readers: part -> source -> delivery

Groups are nested by lifetime, as in fetching. The destination is locked like for a backfill, the source is only read;
it may be written to meanwhile. What was not acknowledged is missing at the destination and copied by the next run.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final, Protocol

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from laklak.engine.addresses import merge_notes
from laklak.engine.oddities import STRAYS_FILE, OddityBook
from laklak.engine.store_work import announce, check_room, each, find_closed, revisions, sent, survey_sure
from laklak.engine.watch import StoreWatch
from laklak.errors import LaklakError, StoreError, StoreFull, StoreUnavailable, UsageError
from laklak.model.absences import Absence
from laklak.model.provenance import COPY
from laklak.model.series import Series, TimeRange, iso
from laklak.plan.wanted import FailedSeries
from laklak.report.copied import CopyReport, CopySummary, summarise_copy
from laklak.report.ledger import Ledger
from laklak.sources.store import CopyJob, CopyPlan, Part, Unsound, parts_of, plan_copy, take
from laklak.stores import open_store, shown_store
from laklak.stores.base import Columns, Delivery, Store
from laklak.stores.coverage import Presence, take_stock
from laklak.stores.reading import ALWAYS
from laklak.stores.unconfirmed import UnsureBook
from laklak.tasks.groups import task_group
from laklak.tasks.stopping import Stopped, Stopper
from laklak.text import some_of

log = logging.getLogger(__name__)

TICK_S: Final = 0.5
READERS: Final = 2
WRITTEN_AT_ONCE: Final = 50_000
_FAR_AHEAD_MS: Final = 1 << 62


class CopyObserver(Protocol):
    """Who is told what happens in a copy."""

    def note(self, line: str) -> None: ...
    def warn(self, line: str) -> None: ...
    def planned_copy(self, report: CopyReport) -> None: ...
    def copying(self, report: CopyReport) -> None: ...


@dataclass(frozen=True, slots=True)
class _Parcel:
    """A delivery on its way to the destination, and the account it belongs to."""

    ledger: Ledger
    delivery: Delivery


class Copy:
    """One copy of one job. Use once: `await Copy(job, observer).run()`."""

    def __init__(self, job: CopyJob, observer: CopyObserver) -> None:
        self.job = job
        self.report = CopyReport(
            source=shown_store(job.source.where),
            store=shown_store(job.destination.where),
            started_s=time.monotonic(),
        )
        self.stopper = Stopper()
        self._started_ms = time.time_ns() // 1_000_000
        self._observer = observer
        self._exit_code: int | None = None
        self._error: LaklakError | None = None
        self._plans: dict[Ledger, CopyPlan] = {}
        self._unsound: dict[Ledger, Unsound] = {}
        self._readers: anyio.CancelScope | None = None
        self._writers: anyio.CancelScope | None = None

    def stop(self, exit_code: int, grace_s: float) -> None:
        """Read nothing more, write for at most `grace_s` what is on its way, report."""
        self._exit_code = exit_code
        self.stopper.request()
        deadline = anyio.current_time() + grace_s
        for scope in (self._readers, self._writers):
            if scope is not None:
                scope.deadline = min(scope.deadline, deadline)

    def stop_now(self) -> None:
        """Give up what is on its way; both stores stay sound."""
        for scope in (self._readers, self._writers):
            if scope is not None:
                scope.cancel()

    @property
    def in_flight(self) -> str:
        """What a stop lets finish, in words."""
        return "what is on its way"

    async def run(self) -> CopySummary:
        """Do the job. Raises LaklakError when it cannot start; once candles move, the summary says what happened."""
        source = open_store(self.job.source, create=False)
        destination = open_store(self.job.destination)
        if source.identity == destination.identity:
            raise UsageError(f"{source.display} cannot be copied to itself", hint="name two different stores")
        try:
            async with AsyncExitStack() as stores:
                watching = await stores.enter_async_context(task_group())
                watching.start_soon(StoreWatch([source, destination], self.report, self._observer).run)
                stores.callback(watching.cancel_scope.cancel)
                with self.stopper.interruptible():
                    await stores.enter_async_context(source)
                    holdings = await self._choose(source)
                if holdings:
                    with self.stopper.interruptible():
                        await stores.enter_async_context(destination)
                        self.report.store = destination.display
                        info = await announce(destination, "destination", self._observer)
                    await self._copy(source, destination, holdings, info.free_bytes)
        except Stopped:
            log.info("stopped while planning")
        finally:
            self._clock()
        return summarise_copy(self.report, error=self._error, exit_code=self._exit_code)

    # Before anything moves

    async def _choose(self, source: Store) -> Mapping[Series, TimeRange]:
        """The series to copy, with what the source spans of each."""
        self.report.source = source.display
        if not source.exists:
            raise StoreUnavailable(
                f"there is no store {source.display} to copy from", hint="the first one named is the source"
            )
        self._observer.note(f"source: {source.display}: {(await source.describe()).holds}")
        held = await source.holdings()
        if not held and not self.job.series:
            self._observer.warn(f"{source.display} holds no series of candles: there is nothing to copy")
        chosen = self.job.series or tuple(held)
        unknown = [series for series in chosen if series not in held]
        if unknown and len(unknown) == len(chosen):
            there = some_of([str(series) for series in held]) or "nothing"
            raise UsageError(
                f"{source.display} has no candles of {some_of([str(series) for series in unknown])}",
                hint=f"it has {there}",
            )
        for series in unknown:
            self.report.failed.append(FailedSeries(str(series), "not_in_source", f"{source.display} has none of it"))
        if unknown:
            self._observer.warn(f"not in the source: {some_of([str(series) for series in unknown])}")
        self.report.series = len(chosen)
        return {series: held[series] for series in chosen if series in held}

    async def _copy(
        self, source: Store, destination: Store, holdings: Mapping[Series, TimeRange], free_bytes: int | None
    ) -> None:
        with destination.exclusive():
            # Not before: a run that held the destination until now may have left something in it.
            unsure = UnsureBook(self.job.state_dir, destination.identity, self._observer.warn)
            with self.stopper.interruptible():
                present, given = await destination.origin(), await source.origin()
                if not self.job.force and None not in (present, given) and present != given:
                    raise StoreUnavailable(
                        f"{destination.display} holds {present} candles; {source.display} has {given} ones",
                        hint="copy to another store, or --force to mix them",
                    )
                kept = self._kept(destination, holdings)
                notes = await merge_notes(
                    source, destination, kept, mixing=self.job.force, other_address=self.job.other_address
                )
                await self._plan(source, destination, unsure, kept)
                if not self.job.force:
                    hint = "make room, copy to another place, or --force"
                    check_room(destination, free_bytes, self.report.missing, hint=hint)
                if self.report.missing and present is None and given is not None:
                    await destination.set_origin(given)
                if self.report.missing:
                    await notes.save(destination)
            self._observer.planned_copy(self.report)
            await self._move(source, destination, unsure)
            await self._carry_spans(destination)
            self._settle(unsure)

    def _kept(self, destination: Store, holdings: Mapping[Series, TimeRange]) -> Mapping[Series, TimeRange]:
        """The spans without what the destination's retention would drop; StoreUnavailable where that is not allowed."""
        kept: dict[Series, TimeRange] = {}
        for series, span in holdings.items():
            inside = destination.within_retention(span)
            kept[series] = TimeRange(series.interval.ceil(inside.start_ms), span.end_ms)
        cut = [series for series, span in holdings.items() if kept[series].start_ms > span.start_ms]
        if cut and not self.job.within_retention:
            first_ms = min(holdings[series].start_ms for series in cut)
            oldest_ms = destination.within_retention(TimeRange(first_ms, _FAR_AHEAD_MS)).start_ms
            raise StoreUnavailable(
                f"the source begins at {iso(first_ms)}, and the retention of {destination.display} would drop what is "
                f"older than {iso(oldest_ms)}",
                hint="use --within-retention to leave that out, or a destination that keeps candles for longer",
            )
        if not any(kept.values()):
            raise StoreUnavailable(
                f"{destination.display} would keep nothing of {self.report.source}",
                hint="choose a destination that keeps candles for longer",
            )
        outside = [series for series, span in kept.items() if not span]
        if outside:
            self.report.outside_retention += outside
            self._observer.warn(
                f"{destination.display} would keep nothing of these, left out: {some_of([str(one) for one in outside])}"
            )
        return {series: span for series, span in kept.items() if span}

    async def _plan(
        self, source: Store, destination: Store, unsure: UnsureBook, spans: Mapping[Series, TimeRange]
    ) -> None:
        around: dict[str, TimeRange] = {}
        for series, span in spans.items():
            before = around.get(series.venue, span)
            around[series.venue] = TimeRange(min(before, span).start_ms, max(before.end_ms, span.end_ms))
        await find_closed(source, around, self._observer.warn, "is not copied")
        closed = await find_closed(destination, around, self._observer.warn, "cannot be copied to there")

        file = self.job.state_dir / STRAYS_FILE
        # What is not whole there is wanted, and named when it was read.
        odd_there = OddityBook(file, self._observer.warn, "", where=" in the source")
        odd_here = OddityBook(file.with_name(f"copy-{STRAYS_FILE}"), self._observer.warn, "copied again")

        async def plan(wanted: tuple[Series, TimeRange]) -> CopyPlan:
            there, here = await take_stock(source, *wanted), await survey_sure(destination, unsure, *wanted)
            odd_there.add(wanted[0], (), there.strays)
            odd_here.add(wanted[0], here.not_whole, here.strays, here.not_whole_absent)
            spans = await _spans_to_carry(source, destination, *wanted, there, here)
            return replace(plan_copy(*wanted, there, here, closed.on_grid(wanted[0])), spans=tuple(spans))

        plans = await each(spans.items(), plan, self._observer.note)
        odd_there.tell()
        odd_here.tell()
        self._plans = {Ledger(one): one for one in plans}
        for ledger in self._plans:
            closed.tell(ledger)
        self.report.ledgers = list(self._plans)
        self.report.start_ms = min(span.start_ms for span in spans.values())
        self.report.end_ms = max(span.end_ms for span in spans.values())
        self.report.source_missing = sum(one.source_missing for one in plans)

    # While candles move

    async def _move(self, source: Store, destination: Store, unsure: UnsureBook) -> None:
        self.report.fetching_since_s = time.monotonic()
        parts = chain.from_iterable(parts_of(ledger, plan) for ledger, plan in self._plans.items())
        # Room for what the readers hold: they wait while the destination is busy with more than that.
        send, receive = anyio.create_memory_object_stream[_Parcel](READERS)
        async with task_group() as ticking:
            ticking.start_soon(self._tick)
            async with task_group() as writers:
                self._writers = writers.cancel_scope
                writers.start_soon(self._write, destination, unsure, receive)
                async with send, task_group() as readers:
                    self._readers = readers.cancel_scope
                    for _ in range(READERS):
                        readers.start_soon(self._read, source, destination, parts, send.clone())
            ticking.cancel_scope.cancel()
        for ledger in self.report.ledgers:
            if ledger.plan.missing_count:
                log.info("series=%s copied=%d missing=%d", ledger.plan.series, ledger.written, ledger.missing)

    async def _carry_spans(self, destination: Store) -> None:
        """Tell the destination of the stretches without candles; what it holds beats them."""
        deliveries = [Delivery(plan.series, None, plan.spans) for plan in self._plans.values() if plan.spans]
        if not deliveries or self.stopper.requested:
            return
        try:
            await destination.write(deliveries)
        except StoreError as exc:
            self._abort(exc)

    def _settle(self, unsure: UnsureBook) -> None:
        """Forget what was unsure of the series that are whole now, where candles were written for it."""
        unsure.settle((plan.series, plan.candles) for ledger, plan in self._plans.items() if ledger.got_all)

    async def _read(
        self,
        source: Store,
        destination: Store,
        parts: Iterator[Part],
        parcels: MemoryObjectSendStream[_Parcel],
    ) -> None:
        async with parcels:
            for part in parts:
                if self.stopper.requested:
                    return
                try:
                    delivery = await self._take(source, destination, part)
                except StoreError as exc:
                    self._abort(exc)
                    return
                if delivery.rows:
                    await parcels.send(_Parcel(part.ledger, delivery))

    async def _take(self, source: Store, destination: Store, part: Part) -> Delivery:
        """Read a part and say what of it is to be stored."""
        ledger = part.ledger
        columns = Columns((), ((),) * 5)
        if part.candles:
            columns = await source.read(ledger.plan.series, part.range, whole=False)
        absences = await source.absences(ledger.plan.series, part.range) if part.absences else []
        known = await source.provenance(ledger.plan.series, part.range) if part.candles else []
        taken = take(part, columns, absences, known, self._started_ms)
        unsound = self._unsound.setdefault(ledger, Unsound())
        unsound.add(taken.not_whole)
        if taken.unsound:
            words = unsound.words(ledger.plan.series, self.job.source, source.display)
            ledger.trouble("source_unsound", taken.unsound, words)
        ledger.trouble(
            "source_changed",
            taken.gone,
            f"they were deleted from {source.display} after this copy was planned; another copy counts what is there",
        )
        delivery = taken.delivery
        if delivery.candles and ledger.plan.not_whole:
            told = await revisions(destination, delivery.candles, {"repair": ledger.plan.not_whole}, COPY)
            return replace(delivery, revisions=told)
        return delivery

    async def _write(self, destination: Store, unsure: UnsureBook, parcels: MemoryObjectReceiveStream[_Parcel]) -> None:
        async with parcels:
            while batch := await _collect(parcels):
                try:
                    written = await destination.write([parcel.delivery for parcel in batch])
                except StoreError as exc:
                    if isinstance(exc, StoreFull):
                        unsure.add(sent(parcel.delivery for parcel in batch))
                    self._abort(exc)
                    if self._readers is not None:
                        self._readers.cancel()
                    return
                self.report.dead_letter = written.dead_letter or self.report.dead_letter
                for number, parcel in enumerate(batch):
                    refused = written.refused.get(number, ())
                    parcel.ledger.acknowledged(parcel.delivery, refused)
                    parcel.ledger.trouble(
                        "store_refused",
                        len(refused),
                        f"the destination refused them, {written.dead_letter} says why; mend that and copy again",
                    )

    def _abort(self, error: LaklakError) -> None:
        """End the copy for this reason (the first one counts)."""
        if self._error is None:
            self._error = error
            log.error("copy ends: %s", error)
        self.stopper.request()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self._clock()
            self._observer.copying(self.report)

    def _clock(self) -> None:
        self.report.seconds = time.monotonic() - self.report.started_s


async def _spans_to_carry(
    source: Store, destination: Store, series: Series, span: TimeRange, there: Presence, here: Presence
) -> list[Absence]:
    """The stretches without candles that the source knows, around what it holds too, and the destination does not."""
    around = (TimeRange(ALWAYS.start_ms, span.start_ms), TimeRange(span.end_ms, ALWAYS.end_ms))

    async def known(store: Store, inside: Presence) -> list[Absence]:
        outside = [absence for part in around for absence in await store.absences(series, part)]
        return [absence for absence in (*outside, *inside.absences) if absence.is_span]

    found = await known(source, there)
    already = set(await known(destination, here)) if found else set()
    return [absence for absence in found if absence not in already]


async def _collect(parcels: MemoryObjectReceiveStream[_Parcel]) -> Sequence[_Parcel]:
    """The next batch: what has come by now, as far as it fits; empty when the stream has closed and is drained."""
    batch: list[_Parcel] = []
    rows = 0
    try:
        while rows < WRITTEN_AT_ONCE:
            parcel = parcels.receive_nowait() if batch else await parcels.receive()
            batch.append(parcel)
            rows += parcel.delivery.rows
    except (anyio.WouldBlock, anyio.EndOfStream):
        pass
    return batch
