"""Before anything is fetched: connect, plan each venue, and say what the rest will take."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from types import TracebackType
from typing import Self

import anyio

from laklak.archives.split import Split
from laklak.engine.estimate import estimate_of, split_of, within_reach
from laklak.engine.holding import Holding, hold_against_files
from laklak.engine.planning import Planner, VenuePlan
from laklak.engine.store_work import check_room
from laklak.engine.tally import tally
from laklak.engine.tools import Tools
from laklak.errors import LaklakError, StoreUnavailable, TryLater, VenueError
from laklak.model.series import Series, TimeRange
from laklak.plan.missing import SeriesPlan
from laklak.plan.wanted import EmptyRange
from laklak.report.ledger import Ledger
from laklak.report.outcome import exit_of_plan
from laklak.report.summary import Estimate
from laklak.sources.backlog import Backlog
from laklak.sources.venue import Feed, cut_for
from laklak.tasks.groups import task_group
from laklak.tasks.stopping import Stopped
from laklak.text import counted, some_of
from laklak.wire.pools import Pools

log = logging.getLogger(__name__)


class Preparation:
    """The planning half of a run, also for venues that join later.

    Fills `report` and `feeds`, and changes nothing in the store but its origin; at its end it closes its connections.
    """

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._order = tools.order
        self._report = tools.report
        self._observer = tools.observer
        self.planner = Planner(tools)
        self.feeds: list[Feed] = []
        self._stack = AsyncExitStack()
        self._ready: asyncio.Queue[tuple[Feed, VenuePlan | LaklakError | None]] = asyncio.Queue()
        self._pending = 0
        self._taken_on: list[VenuePlan] = []

    async def __aenter__(self) -> Self:
        self._pools = self._stack.enter_context(Pools(self._order.settings.state_dir))
        # Feeds close when no task connects any more.
        self._entered = await self._stack.enter_async_context(AsyncExitStack())
        self._connecting = await self._stack.enter_async_context(task_group())
        self._stack.callback(self._connecting.cancel_scope.cancel)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, trace)

    async def run(self) -> Estimate:
        """Connect to the venues, plan them, and say what it takes."""
        self._report.failed += self._order.refused
        every = [] if self._order.every is None else [self._order.every.venue]
        # Errors in what was typed or set, and in the store, come before any venue is asked.
        for name in dict.fromkeys([*(one.venue for one in self._order.asked), *every]):
            self.feeds.append(Feed(name, self._order, self._tools.stopper, self._observer.warn, self._pools))
        for feed in self.feeds:
            await self._tools.addresses.check_unasked(feed)
        for feed in self.feeds:
            if line := feed.look_at_ban(forget=self._order.forget_ban):
                self._observer.warn(line)
            self._connecting.start_soon(self._connect, feed)
        venues = await self._first_ready()
        self._refuse_if_none_started()
        estimate = await self._take_on([venue or await self.planner.plan_unasked(feed) for feed, venue in venues])
        self._report.seconds_planned = max(estimate.seconds_estimated, estimate.file_seconds)
        if not self._order.dry_run:
            self._observer.planned(estimate)
        return estimate

    @property
    def ready(self) -> Sequence[Feed]:
        """The venues planned so far."""
        return [venue.feed for venue in self._taken_on]

    async def late(self) -> Feed | None:
        """The next venue that could not be asked when the run began; None if none is left.

        A venue whose candles the store may not take, or has no room for, ends alone. Raises what must end the run:
        wrong usage, and a store that fails.
        """
        if not self._pending:
            return None
        feed, outcome = await self._next_ready()
        if isinstance(outcome, StoreUnavailable):
            self._not_started(feed, outcome)
            outcome = None
        if isinstance(outcome, LaklakError):
            raise outcome
        estimate = await self._take_on([outcome or await self.planner.plan_unasked(feed)])
        if feed.end is None:
            await self._check_room_now(feed)
        fetching_s = time.monotonic() - (self._report.fetching_since_s or time.monotonic())
        planned_s = fetching_s + max(estimate.seconds_estimated, estimate.file_seconds)
        self._report.seconds_planned = max(self._report.seconds_planned or 0.0, planned_s)
        if feed.end is None:
            candles = counted(estimate.to_fetch, "candle")
            self._observer.note(f"{feed.name} can be asked by now: {candles} more to fetch")
        return feed

    async def _connect(self, feed: Feed) -> None:
        """Plan a venue and hand it over: with its plan, with None if it cannot be asked, or with what ends the run."""
        try:
            self._ready.put_nowait((feed, await self._plan_venue(feed)))
        except LaklakError as exc:
            self._ready.put_nowait((feed, exc))
        except Stopped:
            log.debug("not connected venue=%s", feed.name)

    async def _next_ready(self) -> tuple[Feed, VenuePlan | LaklakError | None]:
        feed, outcome = await self._ready.get()
        self._pending -= 1
        return feed, outcome

    async def _first_ready(self) -> list[tuple[Feed, VenuePlan | None]]:
        """The venues that a run begins with: those that are ready soon after the first one, in their order."""
        self._pending = len(self.feeds)
        ready: list[tuple[Feed, VenuePlan | None]] = []
        with anyio.CancelScope() as waiting:
            while self._pending:
                feed, outcome = await self._next_ready()
                if isinstance(outcome, LaklakError):
                    raise outcome
                ready.append((feed, outcome))
                if outcome is not None and not self._order.dry_run:
                    until_s = anyio.current_time() + self._order.timing.other_venues_within_s
                    waiting.deadline = min(waiting.deadline, until_s)
        if self._pending:
            there = {feed for feed, _ in ready}
            others = ", ".join(feed.name for feed in self.feeds if feed not in there)
            self._observer.note(f"beginning without {others}, which cannot be asked yet")
        return sorted(ready, key=lambda one: self.feeds.index(one[0]))

    async def _take_on(self, venues: Sequence[VenuePlan]) -> Estimate:
        """Enter venues into the accounts of the run, and give each its questions; return what that takes."""
        self._enter(venues)
        plans = [(venue.feed, [within_reach(venue.feed, plan) for plan in venue.plans]) for venue in venues]
        splits = {plan.series: split_of(feed, plan) for feed, own in plans for plan in own}
        holding = Holding.of(
            {series: days for venue in venues for series, days in venue.due_holes.items()},
            {series: days for venue in venues for series, days in venue.hole_days.items()},
            splits,
        )
        for feed, own in plans:
            ledgers = self._open_ledgers(feed, own)
            self._assign(feed, ledgers, splits)
            if not self._order.dry_run:
                await hold_against_files(self._tools.store, feed, ledgers, holding, self._report)
        self._report.series = len(self._report.ledgers) + len(self._report.failed)
        tally(self._report, self.feeds)
        estimate = replace(
            estimate_of(self._report, self._order, self.feeds, plans, splits),
            holes_held=holding.choice.holes,
            hole_files=holding.choice.files,
            holes_later=holding.choice.later_holes,
            venues=self._report.venues,
            exit=exit_of_plan(self._report),
        )
        for feed, _ in plans:
            feed.requests_planned += estimate.paces[feed.name].requests
        return estimate

    def _enter(self, venues: Sequence[VenuePlan]) -> None:
        """Note venues and what cannot be had of them; raise what must end the run."""
        self._taken_on += venues
        if not self._pending:
            self._refuse_if_nothing_typed_is_known(self._taken_on)
        for venue in venues:
            self._tell_unknown(venue)
            self._report.failed += venue.failed
        self._report.not_whole += self.planner.oddities.not_whole
        self.planner.oddities.tell()
        spans = [venue.span for venue in self._taken_on if venue.span]
        self._report.start_ms = min((span.start_ms for span in spans), default=None)
        self._report.end_ms = max((span.end_ms for span in spans), default=None)

    def _open_ledgers(self, feed: Feed, plans: Sequence[SeriesPlan]) -> list[Ledger]:
        """Open an account for each series of a venue."""
        # Nearly complete series come first: most of them are soon whole again.
        ledgers = [Ledger(plan) for plan in sorted(plans, key=lambda plan: plan.missing_count)]
        for ledger in ledgers:
            # Stored candles that are fetched again were not missed.
            ledger.turned_ms = 0 if self._order.refetch else self.planner.turned_ms(feed)
            self.planner.closed.tell(ledger)
        self._report.ledgers += ledgers
        return ledgers

    async def _plan_venue(self, feed: Feed) -> VenuePlan | None:
        """Connect to a venue and plan it; None if it cannot be asked, which ends it alone."""
        try:
            await self._entered.enter_async_context(feed)
            return await self.planner.plan(feed)
        except (VenueError, EmptyRange) as exc:
            self._not_started(feed, exc)
            return None

    def _not_started(self, feed: Feed, error: LaklakError) -> None:
        """End a venue before anything was fetched of it."""
        feed.connected = False
        feed.end_with(error)
        log.error("not started venue=%s reason=%s error=%s", feed.name, error.reason, error)
        if len(self.feeds) > 1:
            self._observer.warn(f"going on without {feed.name}, what is wanted of it stays missing: {error}")

    def _refuse_if_none_started(self) -> None:
        """Raise why no venue could be started, unless all may fail; a ban only if nothing else is the reason."""
        ends = [feed.end for feed in self.feeds if feed.end is not None and not feed.optional]
        if not ends or any(feed.end is None for feed in self.feeds):
            return
        with suppress(EmptyRange):
            wanted = self.planner.span_by(time.time_ns() // 1_000_000)
            self._report.start_ms, self._report.end_ms = wanted.start_ms, wanted.end_ms
        bans = [end for end in ends if isinstance(end, TryLater)]
        if len(bans) == len(ends):
            raise min(bans, key=lambda ban: ban.until_ms)
        raise next(end for end in ends if not isinstance(end, TryLater))

    def _refuse_if_nothing_typed_is_known(self, venues: Sequence[VenuePlan]) -> None:
        errors = [error for venue in venues for error in venue.typed_unknown]
        if errors and not any(venue.typed_known for venue in venues):
            raise errors[0]

    def _tell_unknown(self, venue: VenuePlan) -> None:
        name = venue.feed.name
        if venue.unknown:
            where = "what the store holds" if self._order.every else "the list that comes with laklak"
            self._observer.warn(f"{name} does not know, of {where}: {some_of(venue.unknown)}")
        if venue.failed:
            self._observer.warn(f"{name} does not know: {some_of([failed.series for failed in venue.failed])}")

    def _assign(self, feed: Feed, ledgers: Sequence[Ledger], splits: Mapping[Series, Split]) -> None:
        """Give every missing range to the files or to the API."""
        if feed.size.learning and all(_is_short(splits[one.plan.series].rest, feed) for one in ledgers):
            # No question is longer than a page of any size.
            feed.size.take_sure()
        asked = [ledger for ledger in ledgers if splits[ledger.plan.series].rest or self._asks_along(feed, ledger.plan)]
        feed.backlog = Backlog(
            feed.stopper,
            (
                (
                    ledger,
                    cut_for(feed, ledger.plan, splits[ledger.plan.series].rest, anyway=self._order.recheck),
                )
                for ledger in asked
            ),
        )
        for ledger in ledgers:
            split = splits[ledger.plan.series]
            ledger.exhausted = ledger not in asked
            feed.backlog.add_files(ledger, split.files)
            self._report.files.planned += len(split.files)

    def _asks_along(self, feed: Feed, plan: SeriesPlan) -> bool:
        """Whether candles that may have changed are asked for although nothing else is."""
        return self._order.recheck and feed.asks_api and bool(feed.fresh.along(plan))

    def check_room(self, free_bytes: int | None, candles: int) -> None:
        """Raise StoreUnavailable unless the disk has room for `candles` and 1 GiB to spare; --force skips it."""
        if not self._order.force:
            hint = "make room, ask for fewer days, use another --store, or --force"
            check_room(self._tools.store, free_bytes, candles, hint=hint)

    async def _check_room_now(self, feed: Feed) -> None:
        """End a venue that joins alone if the store has no room for it beside what others still fetch."""
        try:
            self.check_room(
                (await self._tools.store.describe()).free_bytes, self._report.missing - self._report.blocked
            )
        except StoreUnavailable as exc:
            self._not_started(feed, exc)


def _is_short(missing: Sequence[TimeRange], feed: Feed) -> bool:
    """Whether one question of a size that every answer can hold covers what is missing of a series."""
    span_ms = missing[-1].end_ms - missing[0].start_ms if missing else 0
    return span_ms < feed.size.sure * feed.interval.ms
