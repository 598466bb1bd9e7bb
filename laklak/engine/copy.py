"""One copy from its first line to its last: open both stores, plan, read and write side by side, report.

A few readers give the parcels of a Flow: part -> source -> delivery. The destination is locked like for a backfill; the
source is only read, and may be written to meanwhile.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from itertools import chain
from typing import Final

from anyio.abc import TaskGroup

from laklak.engine.addresses import merge_notes
from laklak.engine.flow import Flow, Parcels, Run
from laklak.engine.oddities import STRAYS_FILE, OddityBook
from laklak.engine.store_work import Closed, announce, check_room, each, find_closed, revisions, survey_sure
from laklak.engine.tally import tally
from laklak.engine.watch import StoreWatch, Watch
from laklak.engine.writing import Parcel
from laklak.errors import StoreError, StoreUnavailable, UsageError
from laklak.model.absences import Absence
from laklak.model.provenance import COPY
from laklak.model.series import Series, TimeRange, iso
from laklak.plan.wanted import FailedSeries
from laklak.report.copied import CopyReport, CopySummary, summarise_copy
from laklak.report.ledger import Ledger
from laklak.report.observer import Observer
from laklak.report.words import copy_plan_line
from laklak.sources.store import CopyJob, CopyPlan, Part, Unsound, parts_of, plan_copy, take
from laklak.stores import open_store, shown_store
from laklak.stores.base import Columns, Delivery, Store
from laklak.stores.coverage import Presence, take_stock
from laklak.stores.reading import ALWAYS
from laklak.stores.unconfirmed import UnsureBook
from laklak.tasks.groups import task_group
from laklak.tasks.stopping import Stopped
from laklak.text import some_of

log = logging.getLogger(__name__)

READERS: Final = 2
WRITTEN_AT_ONCE: Final = 50_000
_FAR_AHEAD_MS: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Oddly:
    """What stands in both stores and is no candle."""

    there: OddityBook
    here: OddityBook


class Copy(Run):
    """One copy of one job. Use once: `await Copy(job, observer).run()`."""

    verb = "copy"
    done = "copied"
    no_source = "the first one named is the source"
    kind: type[CopySummary] = CopySummary

    def __init__(self, job: CopyJob, observer: Observer) -> None:
        super().__init__(observer)
        self.job = job
        self.report = CopyReport(
            source=shown_store(job.source.where),
            store=shown_store(job.destination.where),
            started_s=time.monotonic(),
        )
        self._started_ms = time.time_ns() // 1_000_000
        self._plans: dict[Ledger, CopyPlan] = {}
        self._unsound: dict[Ledger, Unsound] = {}

    @property
    def in_flight(self) -> str:
        """What a stop lets finish, in words."""
        return "what is on its way"

    async def run(self) -> CopySummary:
        """Do the job. Raises LaklakError when it cannot start; once candles move, the summary says what happened."""
        source = open_store(self.job.source, create=False)
        destination = open_store(self.job.destination)
        self._check_two(source, destination)
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
            tally(self.report, ())
        return summarise_copy(self.report, error=self._error, exit_code=self._exit_code, kind=self.kind)

    def _check_two(self, source: Store, destination: Store) -> None:
        """UsageError where both are the same store."""
        if source.identity == destination.identity:
            raise UsageError(f"{source.display} cannot be copied to itself", hint="name two different stores")

    # Before anything moves

    async def _choose(self, source: Store) -> Mapping[Series, TimeRange]:
        """The series to copy, with what the source spans of each."""
        self.report.source = source.display
        if not source.exists:
            raise StoreUnavailable(f"there is no store {source.display} to {self.verb} from", hint=self.no_source)
        self._observer.note(f"source: {source.display}: {(await source.describe()).holds}")
        held = await source.holdings()
        if not held and not self.job.series:
            self._observer.warn(f"{source.display} holds no series of candles: there is nothing to {self.verb}")
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
                        hint=f"{self.verb} to another store, or --force to mix them",
                    )
                kept = self._kept(destination, holdings)
                notes = await merge_notes(
                    source, destination, kept, mixing=self.job.force, other_address=self.job.other_address
                )
                await self._plan(source, destination, unsure, kept)
                if not self.job.force:
                    hint = f"make room, {self.verb} to another place, or --force"
                    check_room(destination, free_bytes, self.report.missing, hint=hint)
                if self.report.missing and present is None and given is not None:
                    await destination.set_origin(given)
                await notes.save(destination)
            self._observer.note(copy_plan_line(self.report, self.verb))
            await self._move(source, destination, unsure)

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
        await find_closed(source, around, self._observer.warn, f"is not {self.done}")
        closed = await find_closed(destination, around, self._observer.warn, f"cannot be {self.done} to there")

        file = self.job.state_dir / STRAYS_FILE
        # What is not whole there is wanted, and named when it was read.
        oddly = Oddly(
            OddityBook(file, self._observer.warn, "", where=" in the source"),
            OddityBook(file.with_name(f"copy-{STRAYS_FILE}"), self._observer.warn, f"{self.done} again"),
        )

        async def plan(wanted: tuple[Series, TimeRange]) -> CopyPlan:
            return await self._plan_one(source, destination, unsure, closed, oddly, *wanted)

        plans = await each(spans.items(), plan, self._observer.note)
        oddly.there.tell()
        oddly.here.tell()
        self._plans = {Ledger(one): one for one in plans}
        for ledger in self._plans:
            closed.tell(ledger)
        self.report.ledgers = list(self._plans)
        self.report.start_ms = min(span.start_ms for span in spans.values())
        self.report.end_ms = max(span.end_ms for span in spans.values())
        self.report.source_missing = sum(one.source_missing for one in plans)

    async def _plan_one(
        self,
        source: Store,
        destination: Store,
        unsure: UnsureBook,
        closed: Closed,
        oddly: Oddly,
        series: Series,
        span: TimeRange,
    ) -> CopyPlan:
        there, here = await take_stock(source, series, span), await survey_sure(destination, unsure, series, span)
        oddly.there.add(series, (), there.strays)
        oddly.here.add(series, here.not_whole, here.strays, here.not_whole_absent)
        spans = await _spans_to_carry(source, destination, series, span, there, here)
        known = {one.span for one in await destination.bulk_files(series, span)}
        files = [one for one in await source.bulk_files(series, span) if one.span not in known]
        plan = plan_copy(series, span, there, here, closed.on_grid(series))
        return replace(plan, spans=tuple(spans), files=tuple(files))

    # While candles move

    def _parts(self, ledger: Ledger, plan: CopyPlan) -> Iterator[Part]:
        return parts_of(ledger, plan)

    async def _move(self, source: Store, destination: Store, unsure: UnsureBook) -> None:
        parts = chain.from_iterable(self._parts(ledger, plan) for ledger, plan in self._plans.items())
        flow = self._flow = Flow(
            destination,
            unsure,
            self.report,
            self.stopper,
            writers=1,
            rows_together=WRITTEN_AT_ONCE,
            parcels_together=WRITTEN_AT_ONCE,
            refused=f"the destination refused them, {{}} says why; mend that and {self.verb} again",
        )

        def start(readers: TaskGroup, send: Parcels) -> None:
            for _ in range(READERS):
                readers.start_soon(self._read, flow, source, destination, parts, send.clone())

        # Room for what the readers hold: they wait while the destination is busy with more than that.
        await flow.run(READERS, Watch((), self.report, self._observer, lambda feed, error: None), start)
        await self._carry_knowledge(flow, destination)
        # What was unsure of the series that are whole now is forgotten, where candles were written for it.
        unsure.settle((plan.series, plan.candles) for ledger, plan in self._plans.items() if ledger.got_all)

    async def _carry_knowledge(self, flow: Flow, destination: Store) -> None:
        """Tell the destination of the stretches without candles, what it holds beats them, and of bulk files."""
        deliveries = [
            Delivery(plan.series, None, plan.spans, files=plan.files)
            for plan in self._plans.values()
            if plan.spans or plan.files
        ]
        if not deliveries or self.stopper.requested:
            return
        try:
            await destination.write(deliveries)
        except StoreError as exc:
            flow.end(exc)

    async def _read(
        self, flow: Flow, source: Store, destination: Store, parts: Iterator[Part], parcels: Parcels
    ) -> None:
        async with parcels:
            for part in parts:
                if self.stopper.requested:
                    return
                try:
                    delivery = await self._take(source, destination, part)
                except StoreError as exc:
                    flow.end(exc)
                    return
                if delivery.rows:
                    await parcels.send(Parcel(part.ledger, delivery))

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
