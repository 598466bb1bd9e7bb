"""When the series of a venue live: from their first candle to their last. Dates decide nothing.

A listing says when a symbol was listed, when it ends and whether it trades; it has been wrong in all three. So if a
range begins before the first known candle, the venue is asked for that candle, once, and it is remembered (a note
`first` of the series). A series ends if its newest candle is far behind the venue's newest ones: a day, or an hour if
the venue says that it does not trade. Every run asks for it again, for candles may come again; a note `ended` only says
that this must be asked first.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import anyio

from laklak.engine.edges import Beginning, first_open_ms, hold_first, later_open_ms, newest_open_ms
from laklak.engine.search import oldest_in_reach
from laklak.errors import FatalError, PermanentError, TransientError
from laklak.model.series import DAY_MS, Instrument, Interval, Series, TimeRange, iso
from laklak.plan.wanted import NOT_LISTED, BegunSeries, EndedSeries, Target
from laklak.report.progress import Report
from laklak.sources.venue import Feed
from laklak.stores.base import Store
from laklak.stores.knowledge import Knowledge
from laklak.text import some_of

log = logging.getLogger(__name__)

ENDED_AFTER_MS: Final = DAY_MS
"""A symbol that trades has ended if its newest candle is further behind the venue's than this."""
ENDED_AFTER_NOT_TRADING_MS: Final = 60 * 60_000
"""The same for a symbol that the venue does not call trading."""
LAG_SEEN_AT: Final = 3
"""The venue as a whole lags if this many of its series stand still at the same time."""
_LAG_AT_LEAST_MS: Final = 5 * 60_000
_SAME_TIME_MS: Final = 60 * 60_000
"""Series that are at most this far apart stand still at the same time."""
_REFERENCES: Final = 3


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest candle of a series, None if it has none, and whether the series has ended with it."""

    open_ms: int | None
    ended: bool


@dataclass(frozen=True, slots=True)
class _First:
    """The first candle of a series, as far as it was learned before a run.

    `doubtful`: something shows earlier candles, so it is no fact yet. `unknown`: there are candles, and all of the
    range is wanted.
    """

    first_ms: int | None
    doubtful: bool = False
    unknown: bool = False


class Lives:
    """What is known, and learned in a run, about the ends of one venue's series.

    Args:
        feed: the venue, connected.
        recheck: ignore what is remembered.
    """

    def __init__(self, feed: Feed, store: Store, knowledge: Knowledge, report: Report, *, recheck: bool) -> None:
        self._feed = feed
        self._store = store
        self._knowledge = knowledge
        self._report = report
        self._recheck = recheck
        self._newest: dict[Interval, int] = {}
        self._stands_at: dict[Series, int] = {}
        """The newest candle that each series said to trade has answered with."""
        self._lag_asked = 0
        self._lag_lock = anyio.Lock()
        self._is_lost = False
        """The venue stopped answering while the run was planned."""
        self._first_asked: set[Series] = set()
        self._agreed: dict[Series, int] = {}
        """First candles that two questions of this run agree on."""
        self._references_asked: set[str] = set()
        self._one_at_a_time = anyio.Lock()

    # Before the run

    async def settle(self, target: Target) -> Target:
        """Cut what is wanted of a series to its life, as far as it is known or must be asked for now."""
        if target.settled or not target.wanted:
            return self._as_files_showed(target)
        target = await self._cut_start(target)
        return self._as_files_showed(target if target.refused else await self._cut_end(target))

    def _as_files_showed(self, target: Target) -> Target:
        """Extend what is wanted to the candles that bulk files have shown, whatever klines have."""
        if target.files_only or target.refused or target.asked_start_ms is None or target.asked_end_ms is None:
            return target
        series, span = target.series, target.wanted
        asked = TimeRange(target.asked_start_ms, target.asked_end_ms)
        first_ms, last_ms = self.shown_in_files(series, "first"), self.shown_in_files(series, "last")
        start_ms, end_ms = span.start_ms, span.end_ms
        if last_ms is not None and last_ms + series.interval.ms > end_ms:
            end_ms = max(end_ms, min(last_ms + series.interval.ms, asked.end_ms))
            self._went_on(series, last_ms)
        if first_ms is not None and first_ms < start_ms:
            start_ms = max(asked.start_ms, series.interval.floor(first_ms))
        newest_ms = max((one for one in (target.newest_ms, last_ms) if one is not None), default=None)
        return replace(target, wanted=TimeRange(start_ms, end_ms), newest_ms=newest_ms)

    async def look_for_first(self, target: Target) -> Target:
        """Cut what is wanted to the first candle of a series, though the listing says nothing about it.

        For ranges that would take hundreds of pages. A venue that stops answering ends nothing here: the pages will
        hear that too, and there may be files.
        """
        series = target.series
        asked = target.first_ms is not None or series in self._first_asked
        if target.settled or asked or self._is_lost or not self._can_ask:
            return target
        try:
            return await self._cut_start(target, anyway=True)
        except FatalError as exc:
            log.warning("first candle not learned series=%s error=%s", series, exc)
            self._is_lost = True
            return target

    async def _cut_start(self, target: Target, *, anyway: bool = False) -> Target:
        series, span = target.series, target.wanted
        listed_ms = self._listed_ms(target)
        known_ms = self.known_first(series)
        start_ms, doubtful, refused = known_ms, False, False
        if known_ms is None and (anyway or listed_ms is None or listed_ms > span.start_ms):
            # If nothing comes, or no source can be asked, the listing is the best guess.
            start_ms = listed_ms
            try:
                if self._can_ask:
                    self._first_asked.add(series)
                    learned = await self._learned_first(target, listed_ms, anyway=anyway)
                    known_ms, doubtful = learned.first_ms, learned.doubtful
                    if known_ms is not None or learned.unknown:
                        start_ms = known_ms
            except (TransientError, PermanentError) as exc:
                log.warning("first candle not learned series=%s error=%s", series, exc)
                start_ms, refused = None, _is_refused(target, exc)
        if start_ms is not None:
            start_ms = min(max(span.start_ms, series.interval.floor(start_ms)), span.end_ms)
            span = TimeRange(start_ms, span.end_ms)
        if known_ms is not None and known_ms > target.wanted.start_ms:
            self._report.begun[str(series)] = BegunSeries(str(series), known_ms)
        return replace(
            target,
            wanted=span,
            first_ms=None if doubtful else known_ms,
            doubtful_first=doubtful,
            refused=refused,
        )

    async def _learned_first(self, target: Target, listed_ms: int | None, *, anyway: bool) -> _First:
        """Ask for the first candle, and compare it with all else that says where the series begins.

        Only two answers say that there is no candle at all.
        """
        series, span = target.series, target.wanted
        first_ms = await first_open_ms(self._feed, series, wanted_ms=span.start_ms)
        if first_ms is None:
            first_ms = await first_open_ms(self._feed, series)
        if first_ms is None:
            return _First(None)
        shown_ms = self.shown_in_files(series, "first")
        if shown_ms is not None and shown_ms <= first_ms:
            return _First(shown_ms)
        if first_ms <= span.start_ms and anyway:
            # Nothing depends on it: all of the range is asked for, and what is stored then is not asked for again.
            return _First(None, unknown=True)
        # What is stored is evidence too, and beats the answer; whether it is the first is unknown.
        stored = await self._store.open_times(series, TimeRange(span.start_ms, min(first_ms, span.end_ms)))
        if stored:
            return _First(stored[0], doubtful=True)
        begins = await hold_first(self._feed, series, first_ms, span.start_ms)
        if begins.first_ms is None:
            log.warning("first candle not agreed on series=%s answer=%s", series, first_ms)
            return _First(None, unknown=True)
        if begins.agreed:
            self._agreed[series] = begins.first_ms
        if not begins.agreed or (listed_ms is not None and series.interval.ceil(listed_ms) < begins.first_ms):
            return _First(begins.first_ms, doubtful=True)
        self.remember_first(series, begins.first_ms, "klines")
        return _First(begins.first_ms)

    async def _cut_end(self, target: Target) -> Target:
        series, span = target.series, target.wanted
        end_ms = target.instrument.end_ms
        suspect = (
            not target.trades
            or (end_ms is not None and end_ms <= self._feed.now_ms())
            or self._knowledge.note(series, "ended") is not None
        )
        if not (span and suspect and self._can_ask):
            return target
        try:
            newest = await self.newest(series)
        except (TransientError, PermanentError) as exc:
            log.warning("newest candle not learned series=%s error=%s", series, exc)
            return replace(target, refused=_is_refused(target, exc))
        if not newest.ended:
            return replace(target, newest_ms=newest.open_ms)
        end_ms = span.start_ms if newest.open_ms is None else newest.open_ms + series.interval.ms
        return replace(
            target,
            # If klines have nothing at all, bulk files may have it.
            refused=newest.open_ms is None,
            wanted=TimeRange(span.start_ms, max(span.start_ms, min(span.end_ms, end_ms))),
            newest_ms=newest.open_ms,
        )

    def _listed_ms(self, target: Target) -> int | None:
        """When the symbol was listed, if that can be: not in the future, and not at the beginning of time."""
        listed_ms = target.instrument.first_ms
        return listed_ms if listed_ms is not None and 0 < listed_ms <= self._feed.now_ms() else None

    # What is asked of the venue

    async def first(self, series: Series, start_ms: int, oldest_ms: int) -> int | None:
        """Ask for the first candle of a series and remember it; raises as Transport.ask.

        None if there is none, if it is later than one already seen (`oldest_ms`), or if one question alone would cut
        what is wanted (from `start_ms` on).
        """
        first_ms = self._agreed.get(series) if self._feed.venue.reach_is_unsaid else None
        if first_ms is None:
            # Two questions have not agreed on it, or its minutes are surely within reach.
            first_ms = await first_open_ms(self._feed, series)
        if first_ms is None or first_ms > oldest_ms:
            log.warning("no first candle series=%s answer=%s seen=%s", series, first_ms, oldest_ms)
            return None
        begins = Beginning(first_ms, agreed=True)
        if self._agreed.get(series) != first_ms:
            begins = await hold_first(self._feed, series, first_ms, start_ms)
        if begins.first_ms is None or begins.first_ms > oldest_ms:
            log.warning("first candle not agreed on series=%s answer=%s seen=%s", series, first_ms, oldest_ms)
            return None
        if begins.agreed:
            self.remember_first(series, begins.first_ms, "klines")
        elif begins.first_ms > start_ms:
            return None
        return begins.first_ms

    async def newest_unless_lagging(self, series: Series, seen_ms: int) -> Newest | None:
        """Ask for the newest candle of a series whose newest one seen so far is `seen_ms`; raises as `newest`.

        None if several others have shown that the venue has nothing later yet. The first of these questions are asked
        one after another, so that hundreds of series wait for what a few of them say.
        """
        if self._lag_asked < LAG_SEEN_AT:
            async with self._lag_lock:
                if self._lag_asked < LAG_SEEN_AT:
                    try:
                        return await self.newest(series)
                    finally:
                        self._lag_asked += 1
        if self._lags_at(series.interval, seen_ms):
            return None
        return await self.newest(series)

    def _lags_at(self, interval: Interval, seen_ms: int) -> bool:
        """Whether the venue as a whole has nothing yet after about `seen_ms`: no series has shown more."""
        newest_ms = self._newest.get(interval, 0)
        if interval.floor(self._feed.now_ms()) - newest_ms <= max(_LAG_AT_LEAST_MS, interval.ms):
            return False
        standing = sum(newest_ms - open_ms <= _SAME_TIME_MS for open_ms in self._stands_at.values())
        return standing >= LAG_SEEN_AT and newest_ms - seen_ms <= _SAME_TIME_MS

    async def newest(self, series: Series) -> Newest:
        """Ask for the newest candle of a series, and whether it has ended; raises as Transport.ask."""
        open_ms = await newest_open_ms(self._feed, series)
        if open_ms is None:
            # Only two answers say that there is no candle at all.
            open_ms = await newest_open_ms(self._feed, series)
        listed = self._feed.listing.instruments.get(series.symbol)
        instrument = listed or Instrument(series.symbol, NOT_LISTED, None, None)
        if open_ms is None:
            newest = Newest(None, ended=not instrument.trades)
        else:
            newest = await self._held_against_others(series, open_ms, instrument)
            if instrument.trades and newest.open_ms is not None:
                self._stands_at[series] = newest.open_ms
        self._remember_end(series, newest.open_ms, instrument.status, ended=newest.ended)
        return newest

    async def _held_against_others(self, series: Series, open_ms: int, instrument: Instrument) -> Newest:
        """Whether a series has ended with the candle that an answer calls its newest.

        If the listing says nothing about an end, a later candle is asked for first: an old newest candle may come from
        an old answer.
        """
        self.saw(series.interval, open_ms)
        allowed_ms = ENDED_AFTER_MS if instrument.trades else ENDED_AFTER_NOT_TRADING_MS
        now_ms = self._feed.now_ms()
        if series.interval.floor(now_ms) - open_ms <= allowed_ms:
            return Newest(open_ms, ended=False)
        before = None if self._recheck else self._knowledge.fact(series, "ended", now_ms)
        if isinstance(before, dict) and before.get("last_ms") == open_ms:
            # Nothing has come since it was compared with other series.
            return Newest(open_ms, ended=True)
        if await self._venue_newest_ms(series) - open_ms <= allowed_ms:
            return Newest(open_ms, ended=False)
        delivered = instrument.end_ms is not None and instrument.end_ms <= now_ms
        if not instrument.trades or delivered:
            return Newest(open_ms, ended=True)
        later_ms = await later_open_ms(self._feed, series, open_ms)
        if later_ms is None:
            return Newest(open_ms, ended=True)
        log.warning("newest candle was not series=%s answer=%s later=%s", series, open_ms, later_ms)
        again_ms = await newest_open_ms(self._feed, series)
        open_ms = later_ms if again_ms is None else max(later_ms, again_ms)
        self.saw(series.interval, open_ms)
        return Newest(open_ms, ended=False)

    def saw(self, interval: Interval, open_ms: int) -> None:
        """Note a candle of the venue, of any series."""
        self._newest[interval] = max(open_ms, self._newest.get(interval, 0))

    async def _venue_newest_ms(self, series: Series) -> int:
        """The newest candle of any series of the venue; its clock if there is no other series to ask.

        So the series of a venue whose candles are hours behind its clock have not ended.
        """
        interval = series.interval
        now_ms = interval.floor(self._feed.now_ms())
        async with self._one_at_a_time:
            for symbol in self._references(series):
                if now_ms - self._newest.get(interval, 0) <= ENDED_AFTER_NOT_TRADING_MS:
                    break
                self._references_asked.add(symbol)
                try:
                    open_ms = await newest_open_ms(self._feed, replace(series, symbol=symbol))
                except (TransientError, PermanentError) as exc:
                    log.warning("newest candle not learned symbol=%s error=%s", symbol, exc)
                    continue
                self.saw(interval, open_ms or 0)
        return self._newest[interval] if self._references_asked or self._others(series) else now_ms

    def _references(self, series: Series) -> list[str]:
        """A few symbols to compare with, not asked yet: those said to trade first, the oldest of them first."""
        others = self._others(series)
        others.sort(key=lambda one: (not one.trades, one.first_ms or self._feed.now_ms(), one.symbol))
        left = max(0, _REFERENCES - len(self._references_asked))
        return [one.symbol for one in others if one.symbol not in self._references_asked][:left]

    def _others(self, series: Series) -> list[Instrument]:
        return [one for one in self._feed.listing.instruments.values() if one.symbol != series.symbol]

    # What is remembered

    async def reach(self, series: Series, from_ms: int) -> int | None:
        """Ask how far back a series' candles reach, from `from_ms` on, and remember it: it never grows longer."""
        oldest_ms = await oldest_in_reach(self._feed, series, from_ms)
        if oldest_ms is not None and oldest_ms > from_ms:
            fact = {"ms": oldest_ms, "time": iso(oldest_ms)}
            self._knowledge.put(series, "reach", fact, venue_ms=self._feed.now_ms())
        return oldest_ms

    def known_reach(self, series: Series) -> int:
        """How far back a series reaches, as remembered; 0 if unknown."""
        fact = None if self._recheck else self._knowledge.fact(series, "reach", self._feed.now_ms())
        reach_ms = fact.get("ms") if isinstance(fact, dict) else None
        return reach_ms if type(reach_ms) is int else 0

    def known_first(self, series: Series) -> int | None:
        """The first candle of a series, as remembered; None if unknown."""
        fact = None if self._recheck else self._knowledge.fact(series, "first", self._feed.now_ms())
        first_ms = fact.get("ms") if isinstance(fact, dict) else None
        return first_ms if type(first_ms) is int else None

    def shown_in_files(self, series: Series, end: Literal["first", "last"]) -> int | None:
        """The first or last candle that a bulk file has shown beyond klines, which cannot take it away again."""
        fact = self._knowledge.fact(series, end, self._feed.now_ms())
        first_ms = fact.get("ms") if isinstance(fact, dict) and fact.get("source") == "file" else None
        return first_ms if type(first_ms) is int else None

    def remember_first(self, series: Series, first_ms: int, source: str) -> None:
        """Remember the first candle and its source; a later one replaces only what klines alone said."""
        shown_ms = self.shown_in_files(series, "first")
        if shown_ms is not None and shown_ms <= first_ms:
            return
        fact = {"ms": first_ms, "time": iso(first_ms), "source": source}
        if self._knowledge.value(series, "first") != fact:
            self._knowledge.put(series, "first", fact, venue_ms=self._feed.now_ms())

    def remember_last(self, series: Series, last_ms: int) -> None:
        """Remember the last candle that a bulk file has, for a series that had ended by its klines."""
        shown_ms = self.shown_in_files(series, "last")
        if shown_ms is None or shown_ms < last_ms:
            fact = {"ms": last_ms, "time": iso(last_ms), "source": "file"}
            self._knowledge.put(series, "last", fact, venue_ms=self._feed.now_ms())
        self._went_on(series, last_ms)

    def _went_on(self, series: Series, last_ms: int) -> None:
        """If the series has ended, then no earlier than with this candle."""
        end_ms = last_ms + series.interval.ms
        self._report.ended = [
            replace(one, ended_ms=max(end_ms, one.ended_ms or 0)) if one.series == str(series) else one
            for one in self._report.ended
        ]

    def _remember_end(self, series: Series, open_ms: int | None, status: str, *, ended: bool) -> None:
        if not ended:
            self._knowledge.forget(series, "ended")
            return
        end_ms = None if open_ms is None else open_ms + series.interval.ms
        self._report.ended = [one for one in self._report.ended if one.series != str(series)]
        self._report.ended.append(EndedSeries(str(series), end_ms, status))
        fact = {"last_ms": open_ms, "status": status}
        if self._knowledge.value(series, "ended") != fact:
            self._knowledge.put(series, "ended", fact, venue_ms=self._feed.now_ms())

    @property
    def _can_ask(self) -> bool:
        return self._feed.no_api is None


def _is_refused(target: Target, exc: Exception) -> bool:
    """Whether klines gave up a series for good, as the listing says too: a trading one may be refused once."""
    return isinstance(exc, PermanentError) and not target.trades


def ended_line(ended: Sequence[EndedSeries]) -> str:
    """A line about series that have ended: `BTCSTUSDT: no candle since 2025-03-01T09:00Z (PENDING_TRADING)`."""
    texts = []
    for one in ended:
        since = "no candle at all" if one.ended_ms is None else f"no candle since {iso(one.ended_ms)}"
        texts.append(f"{Series.parse(one.series).symbol}: {since}{f' ({one.status})' if one.status else ''}")
    return some_of(texts)
