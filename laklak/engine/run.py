"""One run: open and lock the store, prepare, fetch, record."""

from __future__ import annotations

import logging
import time
from collections.abc import Hashable, Sequence
from contextlib import AsyncExitStack, nullcontext
from typing import Final

import anyio

from laklak._version import __version__
from laklak.engine.addresses import AddressBook
from laklak.engine.fetch import Fetch
from laklak.engine.filled import gap_fills, note_turns
from laklak.engine.flow import Run
from laklak.engine.prepare import Preparation
from laklak.engine.store_work import announce, other_series
from laklak.engine.tally import tally
from laklak.engine.tools import Tools
from laklak.engine.untouched import untouched
from laklak.engine.watch import StoreWatch
from laklak.errors import LaklakError, StoreError, VenueError
from laklak.model.records import RunRecord
from laklak.report.observer import Observer
from laklak.report.progress import Report
from laklak.report.summary import Estimate, Summary, summarise
from laklak.settings.order import Order
from laklak.sources.venue import Feed
from laklak.stores import open_store, shown_store
from laklak.stores.base import Store
from laklak.stores.knowledge import Knowledge
from laklak.stores.refetched import Refetched
from laklak.stores.unconfirmed import UnsureBook
from laklak.tasks.groups import task_group
from laklak.tasks.stopping import Stopped
from laklak.text import counted

log = logging.getLogger(__name__)

RECORD_WITHIN_S: Final = 1.0


class Backfill(Run):
    """One run of one order. Use once: `await Backfill(order, observer).run()`.

    `refetched` receives each candle of a refetch.
    """

    def __init__(self, order: Order, observer: Observer, refetched: Refetched | None = None) -> None:
        super().__init__(observer)
        self.order = order
        self.report = Report(
            store=shown_store(order.settings.store),
            started_s=time.monotonic(),
            refetched=(refetched or Refetched()) if order.refetch else None,
        )
        self._feeds: Sequence[Feed] = ()
        self._store: Store | None = None
        self._estimate: Estimate | None = None

    @property
    def signs(self) -> Hashable:
        """A value that changes with every progress: an answer or a part of one, a try, a write.

        While a venue or a store is waited for until a known moment, it changes with time.
        """
        store, feeds = self._store, self._feeds
        now_s = time.monotonic()
        waiting = None if store is None else store.waiting
        if (waiting is not None and now_s < waiting.give_up_s) or any(feed.paused_for_s for feed in feeds):
            return now_s
        return (
            None if store is None else store.heard_s,
            self.report.writer.writes,
            self.report.files.done,
            *(feed.signs for feed in feeds),
        )

    @property
    def on_the_wire(self) -> int:
        """Requests sent and not answered."""
        return sum(limiter.in_flight for limiter in {feed.limiter for feed in self._feeds})

    @property
    def in_flight(self) -> str:
        """What a stop lets finish, in words."""
        # Where no request is, a file may be read or rows written.
        return counted(self.on_the_wire, "request") if self.on_the_wire else "what is on its way"

    async def run(self) -> Summary | Estimate:
        """Carry out the order. LaklakError if it cannot start; once it fetches, the summary says what happened."""
        self.report.started_ms = time.time_ns() // 1_000_000
        try:
            async with AsyncExitStack() as opened:
                store, free_bytes = await self._open(opened)
                with nullcontext() if self.order.dry_run else store.exclusive():
                    await self._plan_and_fetch(store, free_bytes)
        except Stopped:
            log.info("stopped while planning")
        finally:
            tally(self.report, self._feeds)
        if self.order.dry_run and self._estimate is not None and self._exit_code is None:
            return self._estimate
        return self._summary()

    async def _open(self, opened: AsyncExitStack) -> tuple[Store, int | None]:
        """Open the store, and tell what is in it; returns it with the free bytes of its disk, None if unknown."""
        looks = self.order.dry_run or self.order.untouched
        store = open_store(self.order.settings.store_access, create=not looks)
        self._store = store = untouched(store) if self.order.untouched else store
        watching = await opened.enter_async_context(task_group())
        watching.start_soon(StoreWatch([store], self.report, self._observer).run)
        opened.callback(watching.cancel_scope.cancel)
        # A server may be silent for long, and a stop does not wait for it.
        with self.stopper.interruptible():
            await opened.enter_async_context(store)
            self.report.store = store.display
            info = await announce(store, "store", self._observer)
            others = await other_series(store, self.order.asked)
        self._tell_beforehand([others] if others else [])
        return store, info.free_bytes

    async def _plan_and_fetch(self, store: Store, free_bytes: int | None) -> None:
        """The run itself, while no other program writes the store; a dry run ends with its estimate."""
        # Not before: the run that held the store until now may have left something in it. A run that only looks settles
        # nothing, and takes the store as it is.
        whose = "" if self.order.untouched else store.identity
        unsure = UnsureBook(self.order.settings.state_dir, whose, self._observer.warn)
        with self.stopper.interruptible():
            knowledge = await Knowledge.of(store)
        addresses = AddressBook(self.order, store, knowledge)
        tools = Tools(self.order, store, unsure, knowledge, addresses, self.report, self._observer, self.stopper)
        async with Preparation(tools) as preparation:
            self._feeds = preparation.feeds
            self._estimate = await self._plan(store, preparation)
            if self.order.dry_run:
                return
            preparation.check_room(free_bytes, self._estimate.to_fetch)
            fetch = Fetch(tools, preparation.planner.lives, preparation.ready)
            self._flow = fetch.flow
            await fetch.run(preparation.late)
        if not self._hurried:
            # A stop does not wait for a store that another program holds.
            with anyio.move_on_after(RECORD_WITHIN_S if self.stopper.requested else None):
                note_turns(knowledge, self.report)
                await self._remember(store, knowledge)
                await self._record(store)

    async def _plan(self, store: Store, preparation: Preparation) -> Estimate:
        try:
            with self.stopper.interruptible():
                return await preparation.run()
        except VenueError as exc:
            # Nothing could be asked: the record tells that later.
            if not self.order.dry_run:
                await self._record(store, exc)
            raise

    def _tell_beforehand(self, more_warnings: Sequence[str]) -> None:
        for line in self.order.notes:
            self._observer.note(line)
        for line in (*self.order.warnings, *more_warnings):
            self._observer.warn(line)

    def _summary(self, error: LaklakError | None = None) -> Summary:
        return summarise(self.report, error=error or self._error, exit_code=self._exit_code)

    async def _remember(self, store: Store, knowledge: Knowledge) -> None:
        """Write down what was learned; if that fails, the next run asks once more, which is no error."""
        try:
            await knowledge.save(store)
        except StoreError as exc:
            log.warning("not remembered error=%s", exc)

    async def _record(self, store: Store, error: LaklakError | None = None) -> None:
        """Write the run into the store; a full store has no room for that, which is no new error."""
        tally(self.report, self._feeds)
        summary = self._summary(error)
        try:
            await store.record_run(
                RunRecord(
                    started_ms=self.report.started_ms,
                    ended_ms=time.time_ns() // 1_000_000,
                    version=__version__,
                    start_ms=self.report.start_ms or 0,
                    end_ms=self.report.end_ms or 0,
                    interval=self.order.settings.interval.name,
                    series=summary.series,
                    account=summary.account,
                    requests=summary.requests,
                    weight=summary.weight,
                    exit_code=summary.exit,
                    error=summary.error,
                    fills=gap_fills(self.report, self._feeds),
                ),
                keep_days=self.order.settings.keep_runs_days,
            )
        except StoreError as exc:
            log.warning("run not recorded error=%s", exc)
