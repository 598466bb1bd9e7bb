"""One transfer: open source and destination, plan, read and write side by side, report.

A few readers give the parcels of a Flow: work -> source -> delivery. The destination is locked like for a backfill; the
source is only read, and other programs may write to it meanwhile.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from functools import cached_property
from typing import Final, Generic

from anyio import to_thread
from anyio.abc import TaskGroup

from laklak.engine.addresses import merge_notes
from laklak.engine.flow import Flow, Parcels, Run
from laklak.engine.oddities import STRAYS_FILE, OddityBook
from laklak.engine.store_work import announce, check_room, each, find_closed, revisions, survey_sure
from laklak.engine.tally import tally
from laklak.engine.watch import StoreWatch, Watch
from laklak.engine.writing import Parcel
from laklak.errors import LaklakError, StoreError, StoreUnavailable, UsageError
from laklak.model.candles import Candles
from laklak.model.provenance import ARCHIVE, REST, carried, given_by
from laklak.model.revisions import Revision
from laklak.model.series import Series, TimeRange, iso
from laklak.model.spans import count, overlap, union
from laklak.report.copied import CopyReport, Kind, summarise_copy
from laklak.report.ledger import Ledger
from laklak.report.observer import Observer
from laklak.report.words import copy_plan_line
from laklak.sources.base import Given, Source, TransferJob, TransferPlan, Work, plan_transfer
from laklak.sources.store import StoredCandles, stretches_of
from laklak.stores import open_store, shown_store
from laklak.stores.base import Delivery, Store
from laklak.stores.reading import ALWAYS
from laklak.stores.refetched import compare, revisions_of
from laklak.stores.unconfirmed import UnsureBook
from laklak.tasks.groups import task_group
from laklak.tasks.stopping import Stopped
from laklak.text import counted, some_of

log = logging.getLogger(__name__)

READERS: Final = 2
WRITTEN_AT_ONCE: Final = 50_000
_FAR_AHEAD_MS: Final = 1 << 62
_OF_THE_VENUE: Final = (REST, ARCHIVE, "live")


class Transfer(Run, Generic[Kind]):
    """One transfer of one job. Use once: `await Transfer(job, observer).run()`."""

    def __init__(self, job: TransferJob[Kind], observer: Observer) -> None:
        super().__init__(observer)
        self.job = job
        self.report = CopyReport(
            source=job.source_shown, store=shown_store(job.destination.where), started_s=time.monotonic()
        )
        self._started_ms = time.time_ns() // 1_000_000
        self._plans: dict[Ledger, TransferPlan] = {}
        self._staying: Counter[tuple[Series, Series | None]] = Counter()

    @property
    def in_flight(self) -> str:
        """What a stop lets finish, in words."""
        return "what is on its way"

    @cached_property
    def _source(self) -> Source:
        return self.job.begin(self._observer, self.stopper)

    @cached_property
    def _destination(self) -> Store:
        return open_store(self.job.destination)

    async def run(self) -> Kind:
        """Do the job. LaklakError if it cannot start; once candles move, the summary says what happened."""
        source, destination, words = self._source, self._destination, self.job.words
        read = [] if source.store is None else [source.store]
        for store in read:
            if store.identity == destination.identity:
                raise UsageError(words.same.format(store.display), hint=words.same_hint)
        try:
            async with AsyncExitStack() as opened:
                watching = await opened.enter_async_context(task_group())
                watching.start_soon(StoreWatch([*read, destination], self.report, self._observer).run)
                opened.callback(watching.cancel_scope.cancel)
                with self.stopper.interruptible():
                    for store in read:
                        await opened.enter_async_context(store)
                        self.report.source = store.display
                    offer = await source.offer()
                self.report.failed += offer.lacking
                self.report.series = len(offer.spans) + len(offer.lacking)
                if offer.spans:
                    with self.stopper.interruptible():
                        await opened.enter_async_context(destination)
                        self.report.store = destination.display
                        info = await announce(destination, words.role, self._observer)
                    await self._fill(offer.spans, info.free_bytes)
        except Stopped:
            log.info("stopped while planning")
        finally:
            tally(self.report, ())
        for (series, of), number in sorted(self._staying.items(), key=lambda item: str(item[0][0])):
            of_series = f"{counted(number, 'candle')} of {series}"
            self._observer.warn(f"{self.report.store} has {of_series} {words.stay.format(of)}")
        return summarise_copy(
            self.report,
            error=self._error,
            exit_code=self._exit_code,
            kind=self.job.summary,
            beside=source.figures(),
        )

    def closed(self, error: LaklakError) -> Kind:
        """The summary of a transfer that could not start."""
        return summarise_copy(self.report, error=error, kind=self.job.summary)

    # Before anything moves

    async def _fill(self, offered: Mapping[Series, TimeRange], free_bytes: int | None) -> None:
        source, destination, job, words = self._source, self._destination, self.job, self.job.words
        with destination.exclusive():
            # Not before: the run that held the destination until now may have left something in it.
            unsure = UnsureBook(job.state_dir, destination.identity, self._observer.warn)
            with self.stopper.interruptible():
                present, given = await destination.origin(), await source.origin()
                if not job.force and None not in (present, given) and present != given:
                    has = words.mixed.format(self.report.source)
                    raise StoreUnavailable(
                        f"{destination.display} holds {present} candles{has} {given} ones",
                        hint=f"{words.to} another store, or --force to mix them",
                    )
                kept = self._kept(offered)
                notes = None
                if source.store is not None:
                    notes = await merge_notes(
                        source.store, destination, kept, mixing=job.force, other_address=job.other_address
                    )
                await self._plan(unsure, kept)
                if not job.force:
                    hint = f"make room, {words.to} another place, or --force"
                    check_room(destination, free_bytes, self.report.missing, hint=hint)
                given = given or job.untold
                if self.report.missing and present is None and given is not None:
                    await destination.set_origin(given)
                if notes is not None:
                    await notes.save(destination)
            self._observer.note(copy_plan_line(self.report, words.verb))
            await self._move(unsure)

    def _kept(self, offered: Mapping[Series, TimeRange]) -> Mapping[Series, TimeRange]:
        """The spans, without what the destination's retention would drop. StoreUnavailable unless that is allowed."""
        destination = self._destination
        kept: dict[Series, TimeRange] = {}
        for series, span in offered.items():
            inside = destination.within_retention(span)
            kept[series] = TimeRange(series.interval.ceil(inside.start_ms), span.end_ms)
        cut = [series for series, span in offered.items() if kept[series].start_ms > span.start_ms]
        if cut and not self.job.within_retention:
            first_ms = min(offered[series].start_ms for series in cut)
            oldest_ms = destination.within_retention(TimeRange(first_ms, _FAR_AHEAD_MS)).start_ms
            raise StoreUnavailable(
                f"the source begins at {iso(first_ms)}, and the retention of {destination.display} would drop what is "
                f"older than {iso(oldest_ms)}",
                hint=self.job.words.keep,
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

    async def _plan(self, unsure: UnsureBook, spans: Mapping[Series, TimeRange]) -> None:
        source, destination, warn, words = self._source, self._destination, self._observer.warn, self.job.words
        around: dict[str, TimeRange] = {}
        for series, span in spans.items():
            before = around.get(series.venue, span)
            around[series.venue] = TimeRange(min(before, span).start_ms, max(before.end_ms, span.end_ms))
        if source.store is not None:
            await find_closed(source.store, around, warn, f"is not {words.done}")
        closed = await find_closed(destination, around, warn, f"cannot be {words.done_there}")

        file = self.job.state_dir / STRAYS_FILE
        there = OddityBook(file, warn, "", where=" in the source")
        here = OddityBook(file.with_name(f"copy-{STRAYS_FILE}"), warn, f"{words.done} again")

        async def plan(wanted: tuple[Series, TimeRange]) -> TransferPlan:
            series, span = wanted
            stock = await source.stock(series, span)
            if stock.of is not None:
                await _check_made(destination, series)
            present = await survey_sure(destination, unsure, series, span)
            there.add(stock.of or series, stock.not_whole, stock.strays)
            here.add(series, present.not_whole, present.strays, present.not_whole_absent)
            known = set(await stretches_of(destination, series, span, present)) if stock.stretches else set()
            new = [one for one in stock.stretches if one not in known]
            read = {one.span for one in await destination.bulk_files(series, span)} if stock.files else set()
            files = [one for one in stock.files if one.span not in read]
            return plan_transfer(series, span, stock, present, closed.on_grid(series), new, files)

        plans = await each(spans.items(), plan, self._observer.note)
        there.tell()
        if source.store is not None:
            # Files may lack what is not whole here.
            here.tell()
        self._plans = {Ledger(one): one for one in plans}
        for ledger in self._plans:
            closed.tell(ledger)
        self.report.ledgers = list(self._plans)
        self.report.start_ms = min(span.start_ms for span in spans.values())
        self.report.end_ms = max(span.end_ms for span in spans.values())
        self.report.source_missing = sum(one.source_missing for one in plans)

    # While candles move

    async def _move(self, unsure: UnsureBook) -> None:
        made = sum(count(plan.held, plan.series.interval) for plan in self._plans.values() if plan.of)
        if made:
            self._observer.note(f"{counted(made, 'candle')} stored there: held against what they are made of now")
        work = ((ledger, one) for ledger, plan in self._plans.items() for one in self._source.work(plan))
        role, verb = self.job.words.role, self.job.words.verb
        flow = self._flow = Flow(
            self._destination,
            unsure,
            self.report,
            self.stopper,
            writers=1,
            rows_together=WRITTEN_AT_ONCE,
            parcels_together=WRITTEN_AT_ONCE,
            refused=f"the {role} refused them, {{}} says why; mend that and {verb} again",
        )

        def start(readers: TaskGroup, send: Parcels) -> None:
            for _ in range(READERS):
                readers.start_soon(self._read, flow, work, send.clone())

        # A parcel for each reader: they wait while the destination has more to write.
        await flow.run(READERS, Watch((), self.report, self._observer, lambda feed, error: None), start)
        await self._carry_knowledge(flow)
        # Forget what was unsure of a series that is whole now, where candles were written.
        unsure.settle((plan.series, plan.candles) for ledger, plan in self._plans.items() if ledger.got_all)

    async def _carry_knowledge(self, flow: Flow) -> None:
        """Give the destination the stretches without candles, which what it holds beats, and the bulk files."""
        deliveries = [
            Delivery(plan.series, None, plan.stretches, files=plan.files)
            for plan in self._plans.values()
            if plan.stretches or plan.files
        ]
        if not deliveries or self.stopper.requested:
            return
        try:
            await self._destination.write(deliveries)
        except StoreError as exc:
            flow.end(exc)

    async def _read(self, flow: Flow, work: Iterator[tuple[Ledger, Work]], parcels: Parcels) -> None:
        async with parcels:
            try:
                for ledger, one in work:
                    if self.stopper.requested:
                        return
                    async with aclosing(self._source.get(one)) as parts:
                        async for given in parts:
                            for lacking in given.lacking:
                                ledger.trouble(*lacking)
                            delivery = await self._delivery(self._plans[ledger], one, given)
                            if delivery.rows:
                                await parcels.send(Parcel(ledger, delivery))
            except LaklakError as exc:
                flow.end(exc)

    async def _delivery(self, plan: TransferPlan, work: Work, given: Given) -> Delivery:
        """The delivery of what the source gave; of candles that the destination holds, only those that differ."""
        verb, series, candles = self.job.words.verb, work.series, given.candles
        told: Sequence[Revision] = ()
        if work.held:
            told = await self._replaced(plan, candles.only(work.held))
            differing = (TimeRange(one.open_time_ms, one.open_time_ms + 1) for one in told)
            candles = given.candles.only(union([*work.candles, *differing]))
        corrected = frozenset(one.open_time_ms for one in told)
        if plan.not_whole:
            wanted = candles.only(work.candles)
            told = [*await revisions(self._destination, wanted, {"repair": plan.not_whole}, verb), *told]
        if given.revisions:
            # A copy that was killed may have brought them before.
            there = {repr(one) for one in await self._destination.revisions(series, work.range)}
            told = [*(one for one in given.revisions if repr(one) not in there), *told]
        if not isinstance(candles, StoredCandles):
            # Texts take more room than the destination's own form; the floats of a store take less.
            candles = await to_thread.run_sync(self._destination.pack, candles)
        stored = candles if len(candles) else None
        source = carried(given.known, given_by(verb, candles.open_times, series.interval, self._started_ms))
        return Delivery(series, stored, given.absences, corrected, told, source)

    async def _replaced(self, plan: TransferPlan, candles: Candles) -> Sequence[Revision]:
        """The stored candles that these replace because their values differ."""
        if not len(candles):
            return ()
        destination, words, series = self._destination, self.job.words, plan.series
        span = TimeRange(candles.open_times[0], candles.open_times[-1] + 1)
        stored = await destination.read(series, span, whole=False)
        compared = await to_thread.run_sync(compare, stored, candles, ())
        changed = revisions_of(compared, words.verb, words.replaces, time.time_ns() // 1_000_000)
        if words.replaces != "remade" or not changed:
            return changed
        known = [one.span for one in await destination.provenance(series, span) if one.source == words.verb]
        own = [one for one in changed if overlap([TimeRange(one.open_time_ms, one.open_time_ms + 1)], known)]
        if len(own) < len(changed):
            self._staying[series, plan.of] += len(changed) - len(own)
        return own


async def _check_made(destination: Store, series: Series) -> None:
    """UsageError if made candles would stand among the venue's own."""
    known = await destination.provenance(series, ALWAYS)
    if own := [one.source for one in known if one.source in _OF_THE_VENUE]:
        raise UsageError(
            f"{destination.display} has {series} of the venue itself ({own[0]}): made candles never stand among the "
            "venue's own",
            hint="name another store with --to",
        )
