"""The only module that makes tasks: plan, workers, queue, writer, shutdown.

    ticking group   progress, and the watch for a machine that slept
      writer group    one writer: parcels -> batches -> store, acknowledged to the ledgers
        worker group    per venue one dispatcher and a pool of workers: question -> answer -> parcel

Groups are nested by lifetime: when the workers end the queue closes, the writer drains it and ends, then the ticking
ends.  A question holds a place in `_room` from before its request is sent until the store has acknowledged its rows,
so what is in flight is bounded, and so is the queue.  A stop cuts waits short, lets what is on the wire finish,
drains and reports; whatever was not acknowledged is simply missing and asked again by the next run.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Final, Protocol

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from laklak._version import __version__
from laklak.agenda import Agenda, Entry
from laklak.errors import (
    FatalError,
    LaklakError,
    PermanentError,
    StoreError,
    StoreUnavailable,
    TransientError,
)
from laklak.feed import Feed
from laklak.job import Job
from laklak.ledger import Ledger
from laklak.model import RunRecord, TimeRange, iso
from laklak.plan import SeriesPlan, alternatives, best_page, cost_of, gaps, plan_chunks
from laklak.quality import check_page
from laklak.report import Estimate, Report, Summary, summarise
from laklak.resolve import Target, clip_to_clock, resolve
from laklak.settle import (
    SECOND_ANSWER_AFTER_S,
    Outcome,
    Question,
    first_answer,
    probe_answer,
    second_answer,
    second_questions,
)
from laklak.stopping import Stopped, Stopper
from laklak.stores import open_store
from laklak.stores.base import Delivery, Origin, Store
from laklak.stores.presence import survey
from laklak.text import mask_url, size_text, some_of

log = logging.getLogger(__name__)

FLUSH_AFTER_S: Final = 1.0
TICK_S: Final = 0.5
SLEPT_S: Final = 10.0
SPARE_BYTES: Final = 1 << 30
_SURVEYS_AT_ONCE: Final = 4


class Observer(Protocol):
    """Who is told what happens: the command line, or nobody."""

    def note(self, line: str) -> None: ...
    def warn(self, line: str) -> None: ...
    def planned(self, estimate: Estimate) -> None: ...
    def progress(self, report: Report) -> None: ...


@dataclass(frozen=True, slots=True)
class _Parcel:
    """An answer on its way to the store, and the account it belongs to."""

    ledger: Ledger
    delivery: Delivery


class Backfill:
    """One run of one job. Use once: `await Backfill(job, observer).run()`."""

    def __init__(
        self, job: Job, observer: Observer, *, notes: Sequence[str] = (), warnings: Sequence[str] = ()
    ) -> None:
        """`notes` and `warnings` are told after the store, which is always named first."""
        self.job = job
        self.report = Report(store=mask_url(job.store))
        self.stopper = Stopper()
        self._observer = observer
        self._notes, self._warnings = notes, warnings
        self._error: LaklakError | None = None
        self._exit_code: int | None = None
        self._room = asyncio.Semaphore(job.in_flight)
        self._workers: anyio.CancelScope | None = None
        self._writers: anyio.CancelScope | None = None
        self._feeds: list[Feed] = []
        self._logged: set[Ledger] = set()
        self._started_s = time.monotonic()

    def stop(self, exit_code: int, grace_s: float) -> None:
        """Take no new work, let what is on the wire finish for at most `grace_s`, write, report."""
        self._exit_code = exit_code
        self.stopper.request()
        if self._workers is not None:
            self._workers.deadline = min(self._workers.deadline, anyio.current_time() + grace_s)

    def stop_now(self) -> None:
        """Give up what is on the wire and what is not written yet; the store stays sound."""
        for scope in (self._workers, self._writers):
            if scope is not None:
                scope.cancel()

    @property
    def on_the_wire(self) -> int:
        """Requests sent and not answered."""
        return sum(feed.limiter.in_flight for feed in self._feeds)

    async def run(self) -> Summary | Estimate:
        """Do the job. Raises LaklakError when it cannot start; once fetching began, the summary says what happened."""
        started_ms = time.time_ns() // 1_000_000
        estimate: Estimate | None = None
        try:
            async with open_store(self.job.store, create=not self.job.dry_run) as store:
                self.report.store = store.display
                info = await store.describe()
                free = "" if info.free_bytes is None else f"; {size_text(info.free_bytes)} free"
                self._observer.note(f"store: {store.display}: {info.holds}{free}")
                for line in self._notes:
                    self._observer.note(line)
                for line in self._warnings:
                    self._observer.warn(line)
                with nullcontext() if self.job.dry_run else store.exclusive():
                    async with AsyncExitStack() as stack:
                        with self.stopper.interruptible():
                            estimate = await self._prepare(store, stack)
                        if not self.job.dry_run:
                            self._check_room(store, info.free_bytes, estimate)
                            await self._fetch(store)
                    if not self.job.dry_run:
                        await self._record(store, started_ms)
        except Stopped:
            log.info("stopped while planning")
        finally:
            self._count()
        if self.job.dry_run and estimate is not None and self._exit_code is None:
            return estimate
        return self._summary()

    # Planning

    async def _prepare(self, store: Store, stack: AsyncExitStack) -> Estimate:
        """Read clocks and listings, hold the wanted against the store, and say what it takes."""
        spans = []
        plans: list[tuple[Feed, list[SeriesPlan]]] = []
        for name in dict.fromkeys(one.venue for one in self.job.asked):
            feed = Feed(name, self.job, self.stopper)
            self._feeds.append(feed)
            await stack.enter_async_context(feed)
            await self._check_origin(store, feed)
            span, targets = self._targets(feed)
            spans.append(span)
            plans.append((feed, await self._survey(store, targets)))
        self.report.start_ms = min((span.start_ms for span in spans), default=None)
        self.report.end_ms = max((span.end_ms for span in spans), default=None)
        for feed, venue_plans in plans:
            # Series that are nearly complete come first: most of them are whole again soon.
            ledgers = [Ledger(plan) for plan in sorted(venue_plans, key=lambda plan: plan.missing_count)]
            self.report.ledgers += ledgers
            feed.agenda = Agenda(
                (ledger, plan_chunks(ledger.plan.series, ledger.plan.missing, feed.venue.page_tiers, feed.page))
                for ledger in ledgers
                if ledger.plan.missing
            )
        self.report.series = len(self.report.ledgers) + len(self.report.failed)
        estimate = self._estimate(plans)
        self.report.requests_planned = estimate.requests
        self._observer.planned(estimate)
        return estimate

    def _targets(self, feed: Feed) -> tuple[TimeRange, Sequence[Target]]:
        clock_ms = feed.clock.now_ms()
        span = clip_to_clock(self.job.start_ms, self.job.end_ms, self.job.days, clock_ms, self.job.interval)
        asked = [one for one in self.job.asked if one.venue == feed.venue.name]
        resolved = resolve(asked, feed.listing.instruments, self.job.interval, span, clock_ms)
        self.report.failed += resolved.failed
        self.report.ended += resolved.ended
        if resolved.failed:
            unknown = [failed.series for failed in resolved.failed]
            self._observer.warn(f"{feed.venue.name} does not know: {some_of(unknown)}")
        if resolved.ended:
            ended = [f"{one.series} ({iso(one.ended_ms)})" for one in resolved.ended]
            self._observer.warn(f"trading has ended, clipped to its end: {some_of(ended)}")
        return span, resolved.targets

    async def _survey(self, store: Store, targets: Sequence[Target]) -> list[SeriesPlan]:
        plans: list[SeriesPlan | None] = [None] * len(targets)
        places = anyio.CapacityLimiter(_SURVEYS_AT_ONCE)

        async def one(index: int, target: Target) -> None:
            async with places:
                plans[index] = await self._plan(store, target)

        async with _group() as group:
            for index, target in enumerate(targets):
                group.start_soon(one, index, target)
        return [plan for plan in plans if plan is not None]

    async def _plan(self, store: Store, target: Target) -> SeriesPlan:
        stored = 0
        missing: tuple[TimeRange, ...]
        if self.job.refetch:
            known = [] if self.job.recheck else await store.absences(target.series, target.wanted)
            missing = tuple(gaps(target.wanted, (one.open_time_ms for one in known), target.series.interval))
        else:
            presence = await survey(store, target.series, target.wanted, recheck=self.job.recheck)
            stored, known, missing = presence.stored, list(presence.absences), presence.missing
        holes = sum(one.kind == "hole" for one in known)
        return SeriesPlan(target.series, target.wanted, target.listing_ms, stored, holes, len(known) - holes, missing)

    async def _check_origin(self, store: Store, feed: Feed) -> None:
        """Real and simulated candles never share a store unless the user insists."""
        origin: Origin = "simulated" if feed.transport.simulated else "real"
        present = await store.origin()
        if present is not None and present != origin and not self.job.force:
            raise StoreUnavailable(
                f"{store.display} holds {present} candles; {feed.venue.name} at {feed.shown_url} gives {origin} ones",
                hint="use another --store, or --force to mix them",
            )
        if present is None and not self.job.dry_run:
            await store.set_origin(origin)

    def _estimate(self, plans: Sequence[tuple[Feed, list[SeriesPlan]]]) -> Estimate:
        costs = [(feed, cost_of(own, feed.venue.page_tiers, feed.page)) for feed, own in plans]
        table = []
        auto_s = 0.0
        for feed, own in plans:
            tiers = feed.venue.page_tiers
            auto_s = max(auto_s, cost_of(own, tiers, best_page(tiers)).seconds(feed.budget))
            if self.job.dry_run:
                pages = {feed.page, *(limit for limit, _ in tiers[1:])}
                table += alternatives(own, tiers, pages, (feed.budget, feed.venue.default_budget, feed.advertised))
        return Estimate(
            store=self.report.store,
            start=iso(self.report.start_ms or 0),
            end=iso(self.report.end_ms or 0),
            series=self.report.series,
            wanted=self.report.wanted,
            stored_before=self.report.stored_before,
            holes=self.report.holes,
            rejected=self.report.rejected,
            to_fetch=sum(plan.missing_count for _, own in plans for plan in own),
            requests=sum(cost.requests for _, cost in costs),
            weight=sum(cost.weight for _, cost in costs),
            budget=sum(feed.budget for feed in self._feeds),
            chunk=max((feed.page for feed in self._feeds), default=0),
            seconds_estimated=round(max((cost.seconds(feed.budget) for feed, cost in costs), default=0.0), 1),
            seconds_auto=round(auto_s, 1),
            failed_series=tuple(self.report.failed),
            ended_series=tuple(self.report.ended),
            alternatives=table,
        )

    def _check_room(self, store: Store, free_bytes: int | None, estimate: Estimate) -> None:
        needed = estimate.to_fetch * store.bytes_per_candle + SPARE_BYTES
        if estimate.to_fetch and free_bytes is not None and free_bytes < needed and not self.job.force:
            raise StoreUnavailable(
                f"{store.display} has {size_text(free_bytes)} free and about {size_text(needed)} is needed "
                f"for {estimate.to_fetch:,} candles and 1 GiB to spare",
                hint="make room, ask for fewer days, use another --store, or --force",
            )

    # Fetching

    async def _fetch(self, store: Store) -> None:
        self.report.fetching_since_s = time.monotonic()
        # As many parcels as places in flight: sending never has to wait for room in the queue.
        send, receive = anyio.create_memory_object_stream[_Parcel](self.job.in_flight)
        async with _group() as ticking:
            ticking.start_soon(self._tick)
            async with _group() as writers:
                self._writers = writers.cancel_scope
                writers.start_soon(self._write, store, receive)
                async with send, _group() as workers:
                    self._workers = workers.cancel_scope
                    for feed in self._feeds:
                        self._start(workers, feed, store, send)
            ticking.cancel_scope.cancel()
        for ledger in self.report.ledgers:
            self._log_series(ledger)

    def _start(self, workers: TaskGroup, feed: Feed, store: Store, send: MemoryObjectSendStream[_Parcel]) -> None:
        # No buffer: a question is taken from the agenda when a worker is free for it.
        give, take = anyio.create_memory_object_stream[Entry](0)
        workers.start_soon(self._dispatch, feed, give)
        for _ in range(self.job.workers):
            workers.start_soon(self._work, feed, store, take.clone(), send.clone())
        take.close()

    async def _dispatch(self, feed: Feed, questions: MemoryObjectSendStream[Entry]) -> None:
        """Hand out questions while there is room for their rows."""
        async with questions:
            try:
                while True:
                    with self.stopper.interruptible():
                        await self._room.acquire()
                    with self.stopper.interruptible():
                        entry = await self._next(feed)
                    if entry is None:
                        self._room.release()
                        return
                    await questions.send(entry)
            except Stopped:
                log.debug("no new questions venue=%s", feed.venue.name)

    async def _next(self, feed: Feed) -> Entry | None:
        """The next question of a venue; waits for its time, or for others to finish; None at the end."""
        loop = asyncio.get_running_loop()
        while True:
            feed.changed.clear()
            entry = feed.agenda.take(loop.time())
            if entry is not None:
                ledger, question = entry
                if question.failed_at_s is None or feed.transport.last_success_s > question.failed_at_s:
                    return entry
                # Nothing has worked since this failed: a second round would fail as well.
                ledger.trouble("fetch_failed", question.chunk.wanted_count, "the venue stopped answering")
                feed.agenda.done(ledger)
                continue
            if feed.agenda.finished:
                return None
            due = feed.agenda.next_due()
            with anyio.move_on_after(None if due is None else max(0.0, due - loop.time())):
                await feed.changed.wait()

    async def _work(
        self,
        feed: Feed,
        store: Store,
        questions: MemoryObjectReceiveStream[Entry],
        parcels: MemoryObjectSendStream[_Parcel],
    ) -> None:
        async with questions, parcels:
            async for ledger, question in questions:
                delivery = None
                try:
                    delivery = await self._answer(feed, store, ledger, question)
                except Stopped:
                    log.debug("given up series=%s", ledger.plan.series)
                except (FatalError, StoreError) as exc:
                    self._abort(exc)
                self._done(feed, ledger)
                if delivery is not None and delivery.rows:
                    await parcels.send(_Parcel(ledger, delivery))
                else:
                    self._room.release()

    def _done(self, feed: Feed, ledger: Ledger) -> None:
        """Close a question; when it was the last of its series, ask for what is in doubt again."""
        feed.agenda.done(ledger)
        if ledger.exhausted and not ledger.open_questions and ledger.refused is None:
            plan = ledger.plan
            at = asyncio.get_running_loop().time() + SECOND_ANSWER_AFTER_S
            for question in second_questions(
                plan.series,
                ledger.take_doubts(),
                feed.venue.page_tiers,
                feed.page,
                wanted=plan.wanted,
                listing_ms=plan.listing_ms,
            ):
                feed.agenda.later(ledger, question, at)
        feed.changed.set()

    async def _answer(self, feed: Feed, store: Store, ledger: Ledger, question: Question) -> Delivery | None:
        """Ask the venue and say what is to be stored; None when there is nothing."""
        chunk = question.chunk
        if self.stopper.requested or ledger.refused is not None:
            return None
        if question.probe_from_ms is not None:
            request = feed.venue.first_candle_request(chunk.series, question.probe_from_ms)
        else:
            request = feed.venue.candles_request(chunk)
        try:
            page = await feed.transport.ask(request, feed.venue.parse_candles, candles=True)
        except PermanentError as exc:
            ledger.refuse(exc.reason, str(exc))
            self.report.errors += 1
            log.warning("refused series=%s error=%s", chunk.series, exc)
            return None
        except TransientError as exc:
            self._failed(feed, ledger, question, exc)
            return None
        now_ms = feed.clock.now_ms()
        stamp_ms = time.time_ns() // 1_000_000
        if question.probe_from_ms is not None:
            first = page.columns[0][0] if page.rows else None
            if first is not None and type(first) is not int:
                first = question.probe_from_ms  # tells nothing: all of the gap is asked in pages
            absences, rest = probe_answer(chunk, first, venue_now_ms=now_ms, confirmed_at_ms=stamp_ms)
            ledger.doubt(rest)
            return await self._delivery(store, ledger, Outcome(chunk.nothing, absences))
        checked = check_page(page, chunk.series, chunk.range)
        if question.doubts is None:
            outcome = first_answer(chunk, checked)
            ledger.doubt(outcome.doubts)
        else:
            outcome = second_answer(chunk, question.doubts, checked, venue_now_ms=now_ms, confirmed_at_ms=stamp_ms)
            ledger.trouble("undecided", outcome.undecided, "not there yet, or answered in two different ways")
        self.report.rows_rejected += outcome.rows_refused
        return await self._delivery(store, ledger, outcome)

    async def _delivery(self, store: Store, ledger: Ledger, outcome: Outcome) -> Delivery:
        absences = outcome.absences
        if absences and self.job.refetch:
            # A refetched minute that the venue does not have keeps the candle it has: stored beats hole.
            span = TimeRange(absences[0].open_time_ms, absences[-1].open_time_ms + 1)
            stored = set(await store.open_times(ledger.plan.series, span))
            kept = sum(absence.open_time_ms in stored for absence in absences)
            ledger.kept += kept
            absences = [absence for absence in absences if absence.open_time_ms not in stored]
        return Delivery(ledger.plan.series, outcome.candles if len(outcome.candles) else None, absences)

    def _failed(self, feed: Feed, ledger: Ledger, question: Question, exc: TransientError) -> None:
        """A question that failed all its tries gets one more round at the end; after that its minutes are missing."""
        self.report.errors += 1
        now_s = time.monotonic()
        log.warning("failed series=%s range=%s error=%s", ledger.plan.series, question.chunk.range, exc)
        if question.failed_at_s is None:
            feed.agenda.last(ledger, replace(question, failed_at_s=now_s))
        else:
            ledger.trouble("fetch_failed", question.chunk.wanted_count, str(exc))
        if now_s - feed.transport.last_success_s > self.job.max_wait_s:
            self._abort(
                TransientError(
                    f"nothing has been answered for {self.job.max_wait_s:.0f} s: {exc}",
                    hint="run again when the venue answers; what is stored stays",
                )
            )

    async def _write(self, store: Store, parcels: MemoryObjectReceiveStream[_Parcel]) -> None:
        async with parcels:
            while batch := await self._collect(parcels):
                try:
                    await store.write([parcel.delivery for parcel in batch])
                except StoreError as exc:
                    self._abort(exc)
                    if self._workers is not None:
                        self._workers.cancel()
                    return
                for parcel in batch:
                    parcel.ledger.acknowledged(parcel.delivery)
                    self._room.release()
                    if not parcel.ledger.missing:
                        self._log_series(parcel.ledger)

    async def _collect(self, parcels: MemoryObjectReceiveStream[_Parcel]) -> list[_Parcel]:
        """The next batch: full, or a second old; empty when the queue has closed and is drained."""
        batch: list[_Parcel] = []
        rows = 0
        with anyio.CancelScope() as waiting:
            while rows < self.job.batch_size:
                try:
                    parcel = await parcels.receive()
                except anyio.EndOfStream:
                    break
                if not batch:
                    waiting.deadline = anyio.current_time() + FLUSH_AFTER_S
                batch.append(parcel)
                rows += parcel.delivery.rows
        return batch

    def _log_series(self, ledger: Ledger) -> None:
        """One line for a series that got something, when it is complete or at the end; once."""
        got = ledger.written + ledger.new_holes + ledger.new_rejected
        if got and ledger not in self._logged:
            self._logged.add(ledger)
            log.info(
                "series=%s written=%d holes=%d rejected=%d missing=%d",
                ledger.plan.series,
                ledger.written,
                ledger.holes,
                ledger.rejected,
                ledger.missing,
            )

    def _abort(self, error: LaklakError) -> None:
        """End the run for this reason (the first one counts)."""
        if self._error is None:
            self._error = error
            log.error("stopping reason=%s error=%s", error.reason, error)
        self.stopper.request()

    # Watching and reporting

    async def _tick(self) -> None:
        """Show progress; after a sleep of the machine or a stop of the process, start afresh with the venues."""
        monotonic_s, wall_s = time.monotonic(), time.time()
        while True:
            await asyncio.sleep(TICK_S)
            slept_s = max(time.monotonic() - monotonic_s, time.time() - wall_s)
            if slept_s > SLEPT_S:
                await self._wake(slept_s)
            monotonic_s, wall_s = time.monotonic(), time.time()
            self._count()
            self._observer.progress(self.report)

    async def _wake(self, slept_s: float) -> None:
        self._observer.warn(f"the machine or the process stood still for {slept_s:.0f} s; going on")
        for feed in self._feeds:
            await feed.transport.renew()
            try:
                await feed.read_clock()
            except (TransientError, PermanentError, Stopped) as exc:
                log.warning("clock not read again venue=%s error=%s", feed.venue.name, exc)
            except FatalError as exc:
                self._abort(exc)

    def _count(self) -> None:
        """Bring the report up to date with the feeds."""
        report, traffic = self.report, [feed.transport.traffic for feed in self._feeds]
        report.requests = sum(one.requests for one in traffic)
        report.candle_requests = sum(one.candle_requests for one in traffic)
        report.retries = sum(one.retries for one in traffic)
        report.rate_limited = sum(one.rate_limited for one in traffic)
        report.weight = sum(feed.limiter.weight_paid for feed in self._feeds)
        report.window_weight = sum(feed.limiter.window_weight for feed in self._feeds)
        report.budget = sum(feed.budget for feed in self._feeds)
        report.in_flight = sum(feed.agenda.outstanding for feed in self._feeds)
        report.paused_for_s = max((feed.limiter.paused_for_s for feed in self._feeds), default=0.0)
        bans = [feed.transport.banned_until_ms for feed in self._feeds]
        report.banned_until_ms = max((until_ms for until_ms in bans if until_ms is not None), default=None)
        report.seconds = time.monotonic() - self._started_s

    def _summary(self) -> Summary:
        return summarise(self.report, error=self._error, exit_code=self._exit_code if self._error is None else None)

    async def _record(self, store: Store, started_ms: int) -> None:
        """Write the run into the store; a full store has no room for that, which is no new error."""
        self._count()
        summary = self._summary()
        try:
            await store.record_run(
                RunRecord(
                    started_ms=started_ms,
                    ended_ms=time.time_ns() // 1_000_000,
                    version=__version__,
                    start_ms=self.report.start_ms or 0,
                    end_ms=self.report.end_ms or 0,
                    interval=self.job.interval.name,
                    series=summary.series,
                    wanted=summary.wanted,
                    stored_before=summary.stored_before,
                    stored_after=summary.stored_before + summary.written,
                    written=summary.written,
                    holes=summary.holes,
                    rejected=summary.rejected,
                    missing=summary.missing,
                    requests=summary.requests,
                    weight=summary.weight,
                    exit_code=summary.exit,
                    error=summary.error,
                )
            )
        except StoreError as exc:
            log.warning("run not recorded error=%s", exc)


@asynccontextmanager
async def _group() -> AsyncIterator[TaskGroup]:
    """A task group from which a single expected error comes out as itself, not wrapped in a group."""
    try:
        async with anyio.create_task_group() as group:
            yield group
    except BaseExceptionGroup as errors:
        expected, unexpected = errors.split((LaklakError, Stopped))
        if expected is None or unexpected is not None:
            raise
        first: BaseException = expected
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None
