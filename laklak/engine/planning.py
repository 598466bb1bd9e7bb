"""One venue before anything is fetched: what is wanted, what the store has of it, and what to tell."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import anyio

from laklak.archives.evidence import DueDay
from laklak.engine.life import Lives, ended_line
from laklak.engine.listing import ListingCheck
from laklak.engine.oddities import STRAYS_FILE, OddityBook
from laklak.engine.store_work import ClosedSpans, each, find_closed
from laklak.engine.survey import Survey
from laklak.engine.tools import Tools
from laklak.errors import StoreUnavailable, SymbolError, VenueUnreachable
from laklak.model.series import Instrument, Series, TimeRange
from laklak.plan.missing import SeriesPlan
from laklak.plan.wanted import Asked, EmptyRange, EndedSeries, FailedSeries, Target, clip_to_clock, resolve
from laklak.report.ledger import NEVER_MS
from laklak.sources.fresh import Fresh
from laklak.sources.venue import Feed
from laklak.stores.base import Origin, Store
from laklak.stores.knowledge import known_turn, note_clock
from laklak.text import counted


def mixing_refusal(store: Store, present: Origin | None, feed: Feed) -> StoreUnavailable | None:
    """The error for a store whose candles are `present` and a venue that gives the other kind; None if they fit."""
    if present in (None, feed.origin):
        return None
    return StoreUnavailable(
        f"{store.display} holds {present} candles; {feed.name} at {feed.shown_url} gives {feed.origin} ones",
        hint="use another --store, or --force to mix them",
    )


@dataclass(frozen=True, slots=True, eq=False)
class VenuePlan:
    """What is wanted of one venue: its series, what of them is stored, and the symbols that no source knows.

    `failed` are named in the summary, `unknown` only told. `typed_unknown`: the errors of failed symbols that were
    typed.
    `typed_known`: a typed one is known, or could not be asked for.
    """

    feed: Feed
    span: TimeRange
    targets: Sequence[Target]
    plans: list[SeriesPlan] = field(default_factory=list)
    failed: Sequence[FailedSeries] = ()
    unknown: Sequence[str] = ()
    typed_unknown: Sequence[SymbolError] = ()
    typed_known: bool = False
    due_holes: Mapping[Series, Sequence[DueDay]] = field(default_factory=dict)
    hole_days: Mapping[Series, Sequence[int]] = field(default_factory=dict)


class Planner:
    """Plans venues that can be asked, and those that cannot; changes nothing in the store but its origin."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._order = tools.order
        self._store = tools.store
        self._knowledge = tools.knowledge
        self._report = tools.report
        self._observer = tools.observer
        self.lives: dict[str, Lives] = {}
        """By venue: when its series begin and end."""
        self.closed = ClosedSpans()
        self._turned: dict[str, int] = {}
        self._origin_lock = anyio.Lock()
        self._origin: Origin | None = None
        remedy = "to be fetched again" if tools.order.dry_run else "fetched again"
        self.oddities = OddityBook(tools.order.settings.state_dir / STRAYS_FILE, tools.observer.warn, remedy)

    async def plan(self, feed: Feed) -> VenuePlan:
        """Compare what is wanted of a connected venue with the store.

        Raises VenueError if it answers no more, EmptyRange if nothing has closed yet by its clock.
        """
        feed.fresh = Fresh.of(self._knowledge, feed.name, self._order.settings.interval, feed.now_ms())
        if not self._order.recheck:
            feed.size.recall(self._knowledge, feed.now_ms())
        self._tools.addresses.trust_files(feed)
        await self._check_origin(feed)
        plan = await self._targets(feed)
        await self._find_closed(feed.name, [target.wanted for target in plan.targets if target.wanted])
        survey = self._survey(feed)
        plans = await each(plan.targets, survey.plan, self._observer.note)
        return replace(plan, plans=plans, due_holes=survey.due_holes, hole_days=survey.hole_days)

    async def plan_unasked(self, feed: Feed) -> VenuePlan:
        """Plan a venue that could not be started, by the order and this machine's clock.

        Nothing of it is fetched: what is not stored stays missing.
        """
        feed.without_files()
        before = self._of_venue(feed, self._report.ended)
        self._report.ended = [one for one in self._report.ended if one not in before]
        order = self._order
        try:
            span = self.span_by(time.time_ns() // 1_000_000)
        except EmptyRange:
            span = TimeRange(0, 0)
        if order.within_retention:
            span = self._store.within_retention(span)
        asked = self._asked_of(feed)
        if order.every is not None and order.every.venue == feed.name:
            asked += order.every.held({}, await self._held_symbols(feed.name))
        listed = {one.symbol: Instrument(one.symbol, "unknown", None, None) for one in asked}
        resolved = resolve(asked, listed, order.settings.interval, span)
        targets = await each(resolved.targets, self._lives_of(feed).settle)
        plans = await each(targets, self._survey(feed).plan, self._observer.note)
        return VenuePlan(feed, span, targets, plans=plans, typed_known=any(one.typed for one in asked))

    def turned_ms(self, feed: Feed) -> int:
        """How far a venue's candles reached in the last run, as far as known."""
        return self._turned.get(feed.name, 0)

    def span_by(self, clock_ms: int) -> TimeRange:
        """The range asked for, by a clock."""
        order = self._order
        return clip_to_clock(
            order.settings.start_ms,
            order.settings.end_ms,
            order.settings.days,
            clock_ms,
            order.settings.interval,
            order.settings.settle_s,
        )

    async def _check_origin(self, feed: Feed) -> None:
        """Real and simulated candles never share a store unless the user insists."""
        self._refuse_mixture(await self._store.origin(), feed)
        await self._tools.addresses.check(feed)
        async with self._origin_lock:
            # One venue after another: the first one decides what a store without candles is for, which the store itself
            # does not tell before it has some.
            present = await self._store.origin() or self._origin
            self._refuse_mixture(present, feed)
            if present is None and not self._order.dry_run:
                await self._store.set_origin(feed.origin)
            self._origin = present or feed.origin

    def _refuse_mixture(self, present: Origin | None, feed: Feed) -> None:
        refusal = mixing_refusal(self._store, present, feed)
        if refusal is not None and not self._order.force:
            raise refusal

    async def _targets(self, feed: Feed) -> VenuePlan:
        span = self.span_by(feed.now_ms())
        self._heed_clock(feed)
        if self._order.within_retention:
            span = self._kept(span)
        listing = ListingCheck(feed, self._order, self._knowledge, note=self._observer.note, warn=self._observer.warn)
        asked = [*self._asked_of(feed), *await self._every(feed, listing)]
        held = await listing.hold(list(dict.fromkeys(one.symbol for one in asked)), span)
        if feed.no_api is not None:
            self._observer.warn(f"going on with the bulk files alone, what they lack stays missing: {feed.no_api}")
        resolved = resolve(
            asked, held.instruments, self._order.settings.interval, span, held.unlisted, example=feed.venue.example
        )
        self._report.ended += held.ended
        before, lives = set(self._report.ended), self._lives_of(feed)
        targets = await listing.elsewhere(await each(resolved.targets, lives.settle), span)
        self._tell_ended(feed, before)
        self._check_range([target.wanted for target in targets if target.wanted], span)
        unknown = {failed.series for failed in resolved.failed if failed.reason == "unknown_symbol"}
        return VenuePlan(
            feed,
            span,
            targets,
            failed=resolved.failed,
            unknown=resolved.unknown,
            typed_unknown=resolved.typed_unknown,
            typed_known=any(one.typed and self._series(one) not in unknown for one in asked),
        )

    async def _every(self, feed: Feed, listing: ListingCheck) -> list[Asked]:
        """What is asked for without being named: all that the venue trades, and what the store holds of it."""
        every, name = self._order.every, feed.name
        if every is None or every.venue != name:
            return []
        held = await self._held_symbols(name)
        quoted = "" if every.quote is None else f" quoted in {every.quote}"
        if feed.no_api is None:
            await listing.as_before()
            asked = every.asked(feed.listing.instruments.values(), held)
            traded = sum(not one.held for one in asked)
            more = f", and {len(asked) - traded:,} more that the store holds" if traded < len(asked) else ""
            self._observer.note(f"assets: all that {name} trades{quoted}: {counted(traded, every.market)}{more}")
            return asked
        asked = every.held({}, held)
        if not asked:
            raise VenueUnreachable(
                f"{name} cannot be asked what it trades, and the store holds nothing of it: {feed.no_api}",
                hint="name symbols, or give --assets FILE",
            )
        self._observer.warn(f"{name} cannot be asked what it trades: only what the store holds is taken")
        return asked

    def _asked_of(self, feed: Feed) -> list[Asked]:
        return [one for one in self._order.asked if one.venue == feed.name]

    async def _held_symbols(self, venue: str) -> list[str]:
        holdings = await self._store.holdings()
        return [one.symbol for one in holdings if (one.venue, one.interval) == (venue, self._order.settings.interval)]

    def _kept(self, span: TimeRange) -> TimeRange:
        """The part of a range that the store would keep. StoreUnavailable if that is nothing."""
        kept = self._store.within_retention(span)
        if not kept:
            raise StoreUnavailable(f"{self._store.display} would keep nothing of {span}", hint="ask for a later range")
        return kept

    def _heed_clock(self, feed: Feed) -> None:
        """Recall how far candles reached in the last run, and note how far they reach now."""
        turned_ms = known_turn(self._knowledge, feed.name, self._order.settings.interval)
        self._turned[feed.name] = NEVER_MS if turned_ms is None else turned_ms
        note_clock(self._knowledge, feed.name, feed.venue_now_ms, self._order.settings.settle_s)

    def _lives_of(self, feed: Feed) -> Lives:
        lives = Lives(feed, self._store, self._knowledge, self._report, recheck=self._order.recheck)
        self.lives[feed.name] = lives
        return lives

    def _survey(self, feed: Feed) -> Survey:
        lives = self.lives[feed.name]
        return Survey(feed, lives, self._order, self._store, self._tools.unsure, self.closed, self.oddities)

    async def _find_closed(self, venue: str, wanted: Sequence[TimeRange]) -> None:
        if wanted:
            around = TimeRange(min(wanted).start_ms, max(part.end_ms for part in wanted))
            found = await find_closed(self._store, {venue: around}, self._observer.warn)
            self.closed = ClosedSpans({**self.closed.by_venue, **found.by_venue})

    def _tell_ended(self, feed: Feed, before: Collection[EndedSeries]) -> None:
        if ended := [one for one in self._of_venue(feed, self._report.ended) if one not in before]:
            self._observer.warn(ended_line(ended))

    def _check_range(self, wanted: Sequence[TimeRange], span: TimeRange) -> None:
        if wanted:
            self._store.check_range(TimeRange(min(part.start_ms for part in wanted), span.end_ms))

    @staticmethod
    def _of_venue(feed: Feed, ended: Sequence[EndedSeries]) -> list[EndedSeries]:
        return [one for one in ended if Series.parse(one.series).venue == feed.name]

    def _series(self, asked: Asked) -> str:
        return str(Series(asked.venue, asked.symbol, self._order.settings.interval))
