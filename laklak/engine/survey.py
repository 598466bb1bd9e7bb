"""One series compared with the store: what is there, what is missing, and where it begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from laklak.archives.evidence import DueDay
from laklak.archives.split import Split
from laklak.engine.life import Lives
from laklak.engine.oddities import OddityBook
from laklak.engine.store_work import ClosedSpans, survey_sure
from laklak.model.absences import UNWANTED_KINDS, Absence, minutes
from laklak.model.series import Series, TimeRange
from laklak.model.spans import count, newest_held, oldest_held, overlap, runs, union, without
from laklak.plan.answers import may_have_come
from laklak.plan.chunks import page_weight
from laklak.plan.missing import SeriesPlan
from laklak.plan.wanted import Target
from laklak.settings.order import Order
from laklak.sources.venue import Feed
from laklak.stores.base import Store
from laklak.stores.coverage import Presence, absences_on_grid, parted_by_absences
from laklak.stores.unconfirmed import UnsureBook

_WORTH: Final = 50
_WORTH_FILES: Final = 10
"""If the start of a range takes this much, in questions for one candle or in files, its first candle is asked first."""


class Survey:
    """Plans the series of one venue by what the store holds of them.

    `due_holes` and `hole_days`: the days of known holes to check against files, and of all known holes.
    """

    def __init__(
        self,
        feed: Feed,
        lives: Lives,
        order: Order,
        store: Store,
        unsure: UnsureBook,
        closed: ClosedSpans,
        oddities: OddityBook,
    ) -> None:
        self._feed = feed
        self._lives = lives
        self._order = order
        self._store = store
        self._unsure = unsure
        self._closed = closed
        self._oddities = oddities
        self.due_holes: dict[Series, Sequence[DueDay]] = {}
        self.hole_days: dict[Series, Sequence[int]] = {}

    async def plan(self, target: Target) -> SeriesPlan:
        """Compare what is wanted of a series with the store."""
        self._feed.seen_reach[target.series] = self._lives.known_reach(target.series)
        presence = await self._take_stock(target)
        if self._may_begin_late(target, presence):
            begun = await self._lives.look_for_first(target)
            if begun.wanted != target.wanted:
                presence = await self._take_stock(begun)
            target = begun
        self._oddities.add(target.series, presence.not_whole, presence.strays, presence.not_whole_absent)
        known_rejected: frozenset[int] = frozenset()
        if self._order.recheck:
            remembered = await self._store.absences(target.series, target.wanted)
            known_rejected = frozenset(one.open_time_ms for one in remembered if one.kind == "rejected")
        known, missing = self._without_young(target.series, presence)
        interval = target.series.interval
        not_held = union([*missing, *(one.span for one in known)])
        seen = (newest_held(target.wanted, not_held, interval), target.newest_ms)
        self._note_holes(target.series, known)
        can_be_written, blocked = self._closed.parted(target.series, missing)
        return SeriesPlan(
            target.series,
            target.wanted,
            target.first_ms,
            presence.stored,
            minutes(known, ("hole",), interval),
            minutes(known, ("rejected",), interval),
            tuple(can_be_written),
            known_rejected,
            blocked=tuple(blocked),
            newest_ms=max((one for one in seen if one is not None), default=None),
            oldest_ms=oldest_held(target.wanted, not_held),
            asked_start_ms=target.asked_start_ms,
            asked_end_ms=target.asked_end_ms,
            doubtful_first=target.doubtful_first,
            not_whole=presence.not_whole,
            absent=minutes(known, UNWANTED_KINDS, interval),
            quiet=minutes(known, ("quiet",), interval),
            files_only=target.files_only,
        )

    async def _take_stock(self, target: Target) -> Presence:
        """What the store holds of what is wanted; nothing, if all of it is fetched again."""
        series, wanted, recheck = target.series, target.wanted, self._order.recheck
        if not self._order.refetch:
            return await survey_sure(self._store, self._unsure, series, wanted, recheck=recheck)
        odd = await self._store.odd(series, wanted, anew=recheck)
        known = [] if recheck else absences_on_grid(await self._store.absences(series, wanted), series.interval)
        missing = without(wanted, (one.span for one in known))
        sample = self._order.sample
        left = 0
        if sample is not None:
            drawn = list(overlap(missing, sample.get(series, ())))
            left = count(missing, series.interval) - count(drawn, series.interval)
            missing = drawn
        not_whole, absent = parted_by_absences(series, odd.not_whole, known)
        return Presence(left, tuple(known), tuple(missing), not_whole, odd.strays, absent)

    def _may_begin_late(self, target: Target, presence: Presence) -> bool:
        """Whether much must be asked for before anything known, so that the first candle is asked for first."""
        if not presence.missing or presence.missing[0].start_ms > target.wanted.start_ms:
            return False
        feed, start = self._feed, presence.missing[0]
        if not feed.asks_api:
            return False
        solver, tiers = feed.solver, feed.venue.page.steps
        split = Split((), (start,)) if solver is None else solver.split(target.series, [start])
        page = feed.page_of(target.series)
        pages = sum(part.count(target.series.interval) for part in split.rest) // page
        return pages * page_weight(page, tiers) >= _WORTH * page_weight(1, tiers) or len(split.files) >= _WORTH_FILES

    def _note_holes(self, series: Series, known: Sequence[Absence]) -> None:
        """Note the days with known holes, and those to check against files."""
        feed = self._feed
        if feed.end is not None:
            return
        evidence = feed.evidence
        due = evidence.due_days(series, known)
        if due:
            self.due_holes[series] = due
        days = evidence.hole_days(series, known)
        if days:
            self.hole_days[series] = days

    def _without_young(self, series: Series, presence: Presence) -> tuple[list[Absence], Sequence[TimeRange]]:
        """What is known to be absent, and what is missing: holes that the venue may have filled are asked for again."""
        known, interval = list(presence.absences), series.interval
        if not self._feed.asks_api:
            return known, presence.missing
        now_ms = self._feed.now_ms()
        young = {one.open_time_ms for one in known if may_have_come(one, interval, now_ms)}
        if not young:
            return known, presence.missing
        missing = union([*presence.missing, *runs(sorted(young), interval)])
        return [one for one in known if one.open_time_ms not in young], missing
