"""Fetching: workers, queue, writer, shutdown.

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
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from laklak.agenda import Entry
from laklak.engine.observer import Observer
from laklak.errors import FatalError, LaklakError, PermanentError, StoreError, TransientError
from laklak.feed import Feed
from laklak.job import Job
from laklak.ledger import Ledger
from laklak.model import TimeRange
from laklak.quality import check_page
from laklak.report import Report
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
from laklak.stores.base import Delivery, Store
from laklak.taskgroup import task_group

log = logging.getLogger(__name__)

FLUSH_AFTER_S: Final = 1.0
TICK_S: Final = 0.5
SLEPT_S: Final = 10.0
_REFUSALS_SHOWN: Final = 8


@dataclass(frozen=True, slots=True)
class _Parcel:
    """An answer on its way to the store, and the account it belongs to."""

    ledger: Ledger
    delivery: Delivery


class Fetch:
    """The fetching half of a run, for feeds that have their agendas. `error` is what ended it early, if anything."""

    def __init__(
        self, job: Job, store: Store, feeds: Sequence[Feed], report: Report, observer: Observer, stopper: Stopper
    ) -> None:
        self._job = job
        self._store = store
        self._feeds = feeds
        self._report = report
        self._observer = observer
        self._stopper = stopper
        self._room = asyncio.Semaphore(job.in_flight)
        self._workers: anyio.CancelScope | None = None
        self._writers: anyio.CancelScope | None = None
        self._logged: set[Ledger] = set()
        self._refusals = 0
        self.error: LaklakError | None = None

    def stop_within(self, grace_s: float) -> None:
        """Give what is on the wire, and the store, so long to finish; the stopper keeps new work away."""
        now = anyio.current_time()
        # The last fifth belongs to the store, which writes what the wire still gave.
        for scope, share in ((self._workers, 0.8), (self._writers, 1.0)):
            if scope is not None:
                scope.deadline = min(scope.deadline, now + share * grace_s)

    def stop_now(self) -> None:
        """Give up what is on the wire and what is not written yet; the store stays sound."""
        for scope in (self._workers, self._writers):
            if scope is not None:
                scope.cancel()

    async def run(self) -> None:
        """Ask, check and store until nothing is left to ask, or the run is stopped."""
        self._report.fetching_since_s = time.monotonic()
        # As many parcels as places in flight: sending never has to wait for room in the queue.
        send, receive = anyio.create_memory_object_stream[_Parcel](self._job.in_flight)
        async with task_group() as ticking:
            ticking.start_soon(self._tick)
            async with task_group() as writers:
                self._writers = writers.cancel_scope
                writers.start_soon(self._write, receive)
                async with send, task_group() as workers:
                    self._workers = workers.cancel_scope
                    for feed in self._feeds:
                        self._start(workers, feed, send)
            ticking.cancel_scope.cancel()
        for ledger in self._report.ledgers:
            self._log_series(ledger)

    def _start(self, workers: TaskGroup, feed: Feed, send: MemoryObjectSendStream[_Parcel]) -> None:
        # No buffer: a question is taken from the agenda when a worker is free for it.
        give, take = anyio.create_memory_object_stream[Entry](0)
        workers.start_soon(self._dispatch, feed, give)
        for _ in range(self._job.workers):
            workers.start_soon(self._work, feed, take.clone(), send.clone())
        take.close()

    async def _dispatch(self, feed: Feed, questions: MemoryObjectSendStream[Entry]) -> None:
        """Hand out questions while there is room for their rows."""
        async with questions:
            try:
                while True:
                    with self._stopper.interruptible():
                        await self._room.acquire()
                    with self._stopper.interruptible():
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
                ledger.trouble("fetch_failed", question.chunk.wanted_count, question.failure)
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
        questions: MemoryObjectReceiveStream[Entry],
        parcels: MemoryObjectSendStream[_Parcel],
    ) -> None:
        async with questions, parcels:
            async for ledger, question in questions:
                delivery = None
                try:
                    delivery = await self._answer(feed, ledger, question)
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

    async def _answer(self, feed: Feed, ledger: Ledger, question: Question) -> Delivery | None:
        """Ask the venue and say what is to be stored; None when there is nothing."""
        chunk = question.chunk
        if self._stopper.requested or ledger.refused is not None:
            return None
        if question.probe_from_ms is not None:
            request = feed.venue.first_candle_request(chunk.series, question.probe_from_ms)
        else:
            request = feed.venue.candles_request(chunk)
        try:
            page = await feed.transport.ask(request, feed.venue.parse_candles, candles=True)
        except PermanentError as exc:
            self._refused(ledger, exc)
            return None
        except TransientError as exc:
            self._failed(feed, ledger, question, exc)
            return None
        now_ms = feed.clock.now_ms()
        stamp_ms = time.time_ns() // 1_000_000
        if question.probe_from_ms is not None:
            # The first candle may be the forming one. A row that is no candle tells nothing: the gap is asked in pages.
            seen = TimeRange(question.probe_from_ms, now_ms + chunk.series.interval.ms)
            times = check_page(page, chunk.series, seen).candles.open_times
            first = None if not page.rows else times[0] if times else chunk.range.start_ms
            absences, rest = probe_answer(chunk, first, venue_now_ms=now_ms, confirmed_at_ms=stamp_ms)
            ledger.doubt(rest)
            return await self._delivery(ledger, Outcome(chunk.nothing, absences))
        checked = check_page(page, chunk.series, chunk.range)
        if question.doubts is None:
            outcome = first_answer(chunk, checked)
        else:
            outcome = second_answer(chunk, question.doubts, checked, venue_now_ms=now_ms, confirmed_at_ms=stamp_ms)
            ledger.trouble("undecided", outcome.undecided, "not there yet, or answered in two different ways")
        ledger.doubt(outcome.doubts)
        self._report.rows_rejected += outcome.rows_refused
        return await self._delivery(ledger, outcome)

    async def _delivery(self, ledger: Ledger, outcome: Outcome) -> Delivery:
        absences = outcome.absences
        if absences and self._job.refetch:
            # A refetched minute that the venue does not have keeps the candle it has: stored beats hole.
            span = TimeRange(absences[0].open_time_ms, absences[-1].open_time_ms + 1)
            stored = set(await self._store.open_times(ledger.plan.series, span))
            kept = sum(absence.open_time_ms in stored for absence in absences)
            ledger.kept += kept
            absences = [absence for absence in absences if absence.open_time_ms not in stored]
        return Delivery(ledger.plan.series, outcome.candles if len(outcome.candles) else None, absences)

    def _refused(self, ledger: Ledger, exc: PermanentError) -> None:
        """Nothing more of this series is asked; its minutes stay missing. Several workers may learn it at once."""
        if ledger.refused is not None:
            return
        ledger.refuse(exc.reason, str(exc))
        self._report.errors += 1
        self._refusals += 1
        if self._refusals <= _REFUSALS_SHOWN:
            self._observer.warn(f"{ledger.plan.series}: {exc}")
        else:
            log.warning("refused series=%s error=%s", ledger.plan.series, exc)

    def _failed(self, feed: Feed, ledger: Ledger, question: Question, exc: TransientError) -> None:
        """A question that failed all its tries gets one more round at the end; after that its minutes are missing."""
        self._report.errors += 1
        now_s = time.monotonic()
        log.warning("failed series=%s range=%s error=%s", ledger.plan.series, question.chunk.range, exc)
        if question.failed_at_s is None:
            feed.agenda.last(ledger, replace(question, failed_at_s=now_s, failure=str(exc)))
        else:
            ledger.trouble("fetch_failed", question.chunk.wanted_count, str(exc))
        if now_s - feed.transport.last_success_s > self._job.max_wait_s:
            self._abort(
                TransientError(
                    f"nothing has been answered for {self._job.max_wait_s:.0f} s: {exc}",
                    hint="run again when the venue answers; what is stored stays",
                )
            )

    async def _write(self, parcels: MemoryObjectReceiveStream[_Parcel]) -> None:
        async with parcels:
            while batch := await self._collect(parcels):
                try:
                    written = await self._store.write([parcel.delivery for parcel in batch])
                except StoreError as exc:
                    self._abort(exc)
                    if self._workers is not None:
                        self._workers.cancel()
                    return
                self._report.dead_letter = written.dead_letter or self._report.dead_letter
                for number, parcel in enumerate(batch):
                    refused = len(written.refused.get(number, ()))
                    parcel.ledger.acknowledged(parcel.delivery, refused)
                    parcel.ledger.trouble(
                        "store_refused", refused, f"the store refused them; see {written.dead_letter}"
                    )
                    self._room.release()
                    if not parcel.ledger.missing:
                        self._log_series(parcel.ledger)

    async def _collect(self, parcels: MemoryObjectReceiveStream[_Parcel]) -> list[_Parcel]:
        """The next batch: full, or a second old; empty when the queue has closed and is drained."""
        batch: list[_Parcel] = []
        rows = 0
        with anyio.CancelScope() as waiting:
            while rows < self._job.batch_size:
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
        if self.error is None:
            self.error = error
            log.error("stopping reason=%s error=%s", error.reason, error)
        self._stopper.request()

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
            tally(self._report, self._feeds)
            self._observer.progress(self._report)

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


def tally(report: Report, feeds: Sequence[Feed]) -> None:
    """Bring the report up to date with the feeds."""
    traffic = [feed.transport.traffic for feed in feeds]
    report.requests = sum(one.requests for one in traffic)
    report.candle_requests = sum(one.candle_requests for one in traffic)
    report.retries = sum(one.retries for one in traffic)
    report.rate_limited = sum(one.rate_limited for one in traffic)
    report.weight = sum(feed.limiter.weight_paid for feed in feeds)
    report.window_weight = sum(feed.limiter.window_weight for feed in feeds)
    report.budget = sum(feed.budget for feed in feeds)
    report.on_the_wire = sum(feed.limiter.in_flight for feed in feeds)
    report.paused_for_s = max((feed.limiter.paused_for_s for feed in feeds), default=0.0)
    bans = [feed.transport.banned_until_ms for feed in feeds]
    now_ms = time.time_ns() // 1_000_000
    report.banned_until_ms = max((until_ms for until_ms in bans if until_ms and until_ms > now_ms), default=None)
    report.seconds = time.monotonic() - report.started_s
