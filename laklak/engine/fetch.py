"""Fetching: who asks, who reads files, and when they are done.

    worker group    per venue one dispatcher and a pool of workers: question -> answer -> parcel,
                    and a pool for bulk files: file -> candles -> parcel

The rest of the way is a Flow. Files may still be needed when all questions are answered: what the API lacks is checked
against the file of its day, and a venue's dispatcher is not done before that. A question holds a place in its venue's
`room` from before its request until the store has acknowledged its rows, which bounds what is in flight, and the queue;
candles of files hold room in their reader's memory instead. A stop cuts waits short, lets what is on the wire finish,
drains and reports; what was not acknowledged is missing, and the next run asks again.

Venues are independent: each has its room, its workers, its stopper and its end. Only the store ends a run.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from laklak.engine.asking import Asking
from laklak.engine.beyond import Beyond
from laklak.engine.delivering import Deliveries
from laklak.engine.flow import Flow, Parcels
from laklak.engine.life import Lives
from laklak.engine.reading import Reading
from laklak.engine.rounds import Rounds
from laklak.engine.tools import Tools
from laklak.engine.watch import Watch
from laklak.engine.writing import Parcel
from laklak.errors import (
    FatalError,
    LaklakError,
    RegionBlocked,
    RegionRefused,
    StoreError,
)
from laklak.model.spans import parted
from laklak.plan.answers import SecondRound
from laklak.report.ledger import Ledger
from laklak.sources.backlog import Entry
from laklak.sources.venue import Feed
from laklak.tasks.stopping import Stopped

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class VenueWork:
    """A venue at work: its series, and the parts that ask it, read its files, and say what comes next."""

    feed: Feed
    ledgers: Sequence[Ledger]
    rounds: Rounds
    asking: Asking
    reading: Reading | None


class Fetch:
    """The fetching half of a run, for feeds that have their backlogs.

    The error that ends one venue is its feed's `end`; the others go on.
    """

    def __init__(
        self,
        tools: Tools,
        lives: Mapping[str, Lives],
        feeds: Sequence[Feed],
    ) -> None:
        order, store, report = tools.order, tools.store, tools.report
        self._tools = tools
        self._order = order
        self._lives = lives
        self._feeds: list[Feed] = []
        self._report = report
        self._observer = tools.observer
        self.flow = Flow(
            store,
            tools.unsure,
            report,
            tools.stopper,
            writers=store.writes_at_once,
            rows_together=order.settings.batch_size,
            # Cap a batch so that workers can fill another while every writer is busy: otherwise a writer could wait
            # for parcels that have no room.
            parcels_together=max(1, order.settings.in_flight // (1 + store.writes_at_once)),
        )
        self._deliveries = Deliveries(order, store, tools.unsure, report)
        self._watch = Watch(self._feeds, report, tools.observer, self._lost)
        self._at_work: dict[Feed, VenueWork] = {}
        for feed in feeds:
            self._take_on(feed)

    async def run(self, late: Callable[[], Awaitable[Feed | None]]) -> None:
        """Ask, check and store until nothing is left to ask, or the run is stopped; `late` returns venues that join."""

        def start(workers: TaskGroup, send: Parcels) -> None:
            for feed in self._feeds:
                self._start(workers, feed, send)
            workers.start_soon(self._let_join, late, workers, send.clone())

        # A parcel for each place in flight: those of questions never wait here, those of files may.
        queued = self._order.settings.in_flight * max(1, len(self._order.settings.venues))
        await self.flow.run(queued, self._watch, start)
        for feed, at_work in self._at_work.items():
            self._say_why(feed, at_work.ledgers)
            if feed.connected:
                corrected = {one.plan.series: one.corrected for one in at_work.ledgers if one.corrected}
                feed.fresh.note(self._tools.knowledge, corrected, feed.now_ms())
                feed.size.remember(self._tools.knowledge, feed.now_ms())
        self._tools.unsure.settle(
            (ledger.plan.series, parted([ledger.plan.wanted], ledger.plan.blocked)[0])
            for ledger in self._report.ledgers
            if ledger.got_all
        )

    def _take_on(self, feed: Feed) -> None:
        order, report, observer = self._order, self._report, self._observer
        store, knowledge = self._tools.store, self._tools.knowledge
        lives = self._lives[feed.name]
        beyond = Beyond(feed, knowledge, lives, report, recheck=order.recheck)
        rounds = Rounds(feed, lives, beyond, order, report, self._deliveries)
        lost = partial(self._lost, feed)
        asking = Asking(feed, lives, rounds, order, report, observer, self._deliveries, lost)
        reading = None
        if feed.reader is not None:
            reading = Reading(
                feed, feed.reader, beyond, rounds, order, store, knowledge, report, observer, self._deliveries
            )
        ledgers = [one for one in report.ledgers if one.plan.series.venue == feed.name]
        self._feeds.append(feed)
        self._at_work[feed] = VenueWork(feed, ledgers, rounds, asking, reading)

    async def _let_join(self, late: Callable[[], Awaitable[Feed | None]], workers: TaskGroup, send: Parcels) -> None:
        """Start venues that could not be asked before, until none is left."""
        async with send:
            try:
                while True:
                    with self._tools.stopper.interruptible():
                        feed = await late()
                    if feed is None:
                        return
                    self._take_on(feed)
                    self._start(workers, feed, send)
            except Stopped:
                log.debug("no venue joins any more")
            except LaklakError as exc:
                self._abort(exc)

    @staticmethod
    def _say_why(feed: Feed, ledgers: Sequence[Ledger]) -> None:
        """Enter into the accounts of a venue that ended early why its other candles are missing."""
        if feed.end is not None:
            for ledger in ledgers:
                ledger.trouble(feed.end.reason, ledger.unexplained, str(feed.end))

    def _start(self, workers: TaskGroup, feed: Feed, send: Parcels) -> None:
        if feed.stopper.requested:
            return
        at_work = self._at_work[feed]
        # No question about these will close later, so look beyond them now.
        for ledger in at_work.ledgers:
            if feed.backlog.through(ledger):
                at_work.rounds.look_beyond(ledger)
        # No buffer: take a question from the backlog only when a worker is free for it.
        give, take = anyio.create_memory_object_stream[Entry](0)
        workers.start_soon(self._dispatch, at_work, give)
        for _ in range(self._order.settings.workers):
            workers.start_soon(self._work, at_work, take.clone(), send.clone())
        take.close()
        if at_work.reading is not None:
            # As many for one file or none yet: days may replace a month, and files check what the API lacks.
            for _ in range(self._order.settings.archive_connections):
                workers.start_soon(self._work_files, at_work, at_work.reading, send.clone())

    async def _dispatch(self, at_work: VenueWork, questions: MemoryObjectSendStream[Entry]) -> None:
        """Hand out questions while there is room for their rows."""
        feed = at_work.feed
        async with questions:
            try:
                while True:
                    with feed.stopper.interruptible():
                        await feed.room.acquire()
                    with feed.stopper.interruptible():
                        entry = await self._next(at_work)
                    if entry is None:
                        feed.room.release()
                        return
                    await questions.send(entry)
            except Stopped:
                log.debug("no new questions venue=%s", feed.name)

    async def _next(self, at_work: VenueWork) -> Entry | None:
        """The next question of a venue; waits until it is due, or for others to finish; None at the end."""
        feed = at_work.feed
        loop = asyncio.get_running_loop()
        while True:
            feed.backlog.changed.clear()
            alone = feed.size.learning and feed.backlog.outstanding > 0
            entry = None if alone else feed.backlog.take(loop.time())
            if entry is not None:
                ledger, question = entry
                if not isinstance(question, SecondRound) or feed.works_since(question.failed_at_s):
                    return entry
                # Nothing has worked since this failed: a second round would fail too.
                ledger.trouble("fetch_failed", question.chunk.wanted_count, question.failure)
                at_work.rounds.done(entry)
                continue
            if feed.backlog.finished:
                return None
            due = None if alone else feed.backlog.next_due()
            with anyio.move_on_after(None if due is None else max(0.0, due - loop.time())):
                await feed.backlog.changed.wait()

    async def _work(
        self,
        at_work: VenueWork,
        questions: MemoryObjectReceiveStream[Entry],
        parcels: Parcels,
    ) -> None:
        feed = at_work.feed
        async with questions, parcels:
            async for ledger, question in questions:
                delivery = None
                try:
                    delivery = await at_work.asking.answer(ledger, question)
                    if delivery is not None and delivery.rows:
                        await self._tools.addresses.note(feed, "api")
                except Stopped:
                    log.debug("given up series=%s", ledger.plan.series)
                except FatalError as exc:
                    self._lost(feed, exc)
                    ledger.trouble(feed.lacking, question.chunk.wanted_count, str(exc))
                except StoreError as exc:
                    delivery = None
                    self._abort(exc)
                at_work.rounds.done((ledger, question))
                if delivery is not None and delivery.rows:
                    await parcels.send(Parcel(ledger, delivery, feed.room.release))
                else:
                    feed.room.release()

    async def _work_files(self, at_work: VenueWork, reading: Reading, parcels: Parcels) -> None:
        feed = at_work.feed
        async with parcels:
            try:
                while (entry := await feed.backlog.take_file()) is not None:
                    ledger, part = entry
                    try:
                        ready = await reading.read(ledger, part)
                    except StoreError as exc:
                        ready = []
                        self._abort(exc)
                    finally:
                        at_work.rounds.done(entry)
                    if ready:
                        await self._tools.addresses.note(feed, "files")
                    ready += await reading.settle(ledger)
                    # A worker that waits for its next file must keep no candles of the last one alive, not even by a
                    # name.
                    while ready:
                        await parcels.send(ready.pop())
            except Stopped:
                log.debug("no more files venue=%s", feed.name)
            except StoreError as exc:
                self._abort(exc)

    def _lost(self, feed: Feed, error: LaklakError) -> None:
        """The venue answers no more: end it alone, unless it has files still to fetch.

        A region that is refused is no error if there are files: what they lack is missing.
        """
        region = feed.reader is not None and isinstance(error, RegionBlocked | RegionRefused)
        if region or feed.backlog.has_files:
            if feed.asks_api:
                self._observer.warn(f"going on with the bulk files alone, what they lack stays missing: {error}")
            feed.without_api(str(error))
            if not region:
                feed.end = feed.end or error
            return
        if not feed.stopper.requested:
            log.error("venue ended name=%s reason=%s error=%s", feed.name, error.reason, error)
            if len(self._report.venues) > 1:
                self._observer.warn(f"nothing more is asked of {feed.name}, the rest of it stays missing: {error}")
        feed.end_with(error)

    def _abort(self, error: LaklakError) -> None:
        """End the run (the first reason counts): the store failed, or the run should not have begun."""
        (self.flow.lost_store if isinstance(error, StoreError) else self.flow.end)(error)
