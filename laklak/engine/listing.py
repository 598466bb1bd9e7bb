"""Compares what is asked for with a venue's listing, and finds out who else has a symbol that is not listed.

A listing is a hint. If it lacks symbols that it had in the last run, it is asked for once more (a note `listing` of the
venue says which it had). A symbol that it still lacks costs one question for its first candle and, if klines have
nothing, one search for its monthly files; the result is remembered for a week, that of klines when two answers have
said it (see laklak.archives.unlisted).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from laklak.archives import ARCHIVES
from laklak.archives.base import ArchiveFile
from laklak.archives.unlisted import CLOCK_SLACK_MS, ENDED_FOR_GOOD_AFTER_MS, Shelf, Trace, is_fresh, without_outside
from laklak.engine.edges import Beginning, first_open_ms, hold_first, later_open_ms, newest_open_ms
from laklak.engine.store_work import each
from laklak.errors import PermanentError, RegionRefused, TransientError, TryLater, VenueUnreachable
from laklak.model.series import Instrument, Series, TimeRange, iso
from laklak.plan.wanted import NOT_LISTED, EndedSeries, Target, Unlisted, found_target
from laklak.settings.order import Order
from laklak.sources.venue import Feed
from laklak.stores.knowledge import Knowledge
from laklak.text import some_of

log = logging.getLogger(__name__)

LISTING: Final = "listing"
UNLISTED: Final = "unlisted"
# This many questions take a few seconds.
_MANY: Final = 40
_FOREVER_MS: Final = 1 << 62
_TOLD_AT_MOST: Final = 8
# The longest text that every store keeps in one field is 64 KiB.
_NAMES_BYTES_MAX: Final = 60_000


@dataclass(frozen=True, slots=True)
class ListingResult:
    """The listed instruments, and what was found about symbols that are asked for and not listed.

    `ended`: those of the latter that have ended, by klines.
    """

    instruments: Mapping[str, Instrument]
    unlisted: Mapping[str, Unlisted]
    ended: Sequence[EndedSeries]


@dataclass(frozen=True, slots=True)
class LastLook:
    """The last look for a series: when, and which candles it had, in words; None: no source has it."""

    at_ms: int
    words: str | None


def last_look(knowledge: Knowledge, series: Series) -> LastLook | None:
    """The last look for a series that is not listed; None if there was none."""
    note = knowledge.note(series, UNLISTED)
    if note is None or note.venue_ms is None:
        return None
    trace = Trace.of(knowledge.value(series, UNLISTED))
    if trace.first_ms is not None:
        return LastLook(note.venue_ms, f"candles from {iso(trace.first_ms)}")
    if trace.found:
        return LastLook(note.venue_ms, f"bulk files from {iso(min(trace.found))}")
    return LastLook(note.venue_ms, None)


@dataclass(frozen=True, slots=True)
class _Known:
    """What is remembered about a symbol that is not listed.

    `before` is `last` if that was looked up within a week, at `looked_ms`; otherwise it is empty.
    """

    last: Trace
    before: Trace
    refusals: int
    looked_ms: int | None


class ListingCheck:
    """Compares what is asked for with one venue's listing: `await ListingCheck(...).hold(symbols, span)`, once.

    `warn` receives what is odd about a symbol that is asked for, `note` what takes long.
    """

    def __init__(
        self,
        feed: Feed,
        order: Order,
        knowledge: Knowledge,
        *,
        note: Callable[[str], None],
        warn: Callable[[str], None],
    ) -> None:
        self._feed = feed
        self._order = order
        self._knowledge = knowledge
        self._note = note
        self._warn = warn
        self._venue = feed.name
        self._files_trouble: str | None = None
        self._ended: list[EndedSeries] = []
        self._known: list[tuple[Series, str, str]] = []

    async def hold(self, symbols: Sequence[str], span: TimeRange) -> ListingResult:
        """Say what is listed, and look for the rest unless that was done within a week.

        Raises VenueUnreachable or TryLater if the venue answers no more and no other source can be asked.
        """
        if self._feed.no_api is None:
            await self._ask_again_for(symbols)
            self._remember_names()
            self._tell_odd(symbols)
            instruments = dict(self._feed.listing.instruments)
        else:
            # Take the symbols that were listed last time, or all of them if no listing was ever seen.
            names = self._remembered_names()
            instruments = {
                symbol: Instrument(symbol, "unknown", None, None)
                for symbol in symbols
                if names is None or symbol in names
            }
        lacking = [symbol for symbol in symbols if symbol not in instruments]
        if len(lacking) > _MANY:
            self._note(f"{self._venue} does not list {len(lacking):,} of the symbols; they are looked for elsewhere")
        found = await each(lacking, lambda symbol: self._look(symbol, span), at_once=self._order.settings.workers)
        self._forget_unlisted(symbols, instruments)
        self._tell_known()
        return ListingResult(instruments, dict(zip(lacking, found, strict=True)), self._ended)

    # The listing

    async def as_before(self) -> None:
        """Ask for the listing once more if it lacks anything that it had in the last run."""
        if self._feed.no_api is None:
            await self._ask_again_for(sorted(self._remembered_names() or ()))

    async def _ask_again_for(self, symbols: Sequence[str]) -> None:
        names = self._remembered_names() or frozenset()
        gone = [one for one in symbols if one in names and one not in self._feed.listing.instruments]
        if not gone or self._feed.listing_asked_twice:
            return
        log.info("listing asked again venue=%s lacking=%s", self._venue, some_of(gone))
        try:
            await self._feed.ask_listing_again()
        except (TransientError, PermanentError) as exc:
            log.warning("listing not answered again venue=%s error=%s", self._venue, exc)

    def _remembered_names(self) -> frozenset[str] | None:
        names = self._knowledge.value(self._venue, LISTING)
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            return None
        return frozenset(names)

    def _remember_names(self) -> None:
        """Remember what is listed; what is lacking stays remembered until a second answer lacks it too."""
        if not self._feed.lists_all:
            return
        before = self._remembered_names()
        listed = sorted(self._feed.listing.instruments)
        vanished = [] if self._feed.listing_asked_twice else sorted((before or frozenset()).difference(listed))
        names = _that_fit([*listed, *vanished])
        if before != frozenset(names):
            self._knowledge.put(self._venue, LISTING, sorted(names), venue_ms=self._feed.now_ms())

    def _tell_odd(self, symbols: Sequence[str]) -> None:
        listing = self._feed.listing
        odd = [f"{symbol} {listing.odd[symbol]}" for symbol in symbols if symbol in listing.odd]
        if odd:
            self._warn(f"odd in the listing of {self._venue}, and not counted: {some_of(odd)}")
        lacking = [symbol for symbol in symbols if symbol not in listing.instruments]
        if listing.unreadable and lacking:
            self._warn(
                f"entries in the listing of {self._venue} that name no symbol: {listing.unreadable:,}; "
                f"not listed: {some_of(lacking)}"
            )

    def _forget_unlisted(self, symbols: Sequence[str], instruments: Mapping[str, Instrument]) -> None:
        """A symbol that is listed again, and trades, is a series like any other."""
        if self._feed.no_api is None:
            for symbol in symbols:
                if symbol in instruments and instruments[symbol].trades:
                    self._knowledge.forget(self._series(symbol), UNLISTED)

    # What is not listed

    async def elsewhere(self, targets: Sequence[Target], span: TimeRange) -> list[Target]:
        """Look for symbols that klines refuse though listed; bulk files that have them say what is wanted."""
        refused = [target for target in targets if target.refused]
        looks = await each(
            refused,
            lambda target: self._look(target.series.symbol, span, target.instrument),
            at_once=self._order.settings.workers,
        )
        self._tell_known()
        found = {
            target.series: found_target(target.series, span, one, one.life, target.instrument)
            for target, one in zip(refused, looks, strict=True)
            if one.life is not None
        }
        return [found.get(target.series, target) for target in targets]

    async def _look(self, symbol: str, span: TimeRange, refused: Instrument | None = None) -> Unlisted:
        """Find out who has a symbol that is not listed, and for which time; klines have nothing of a `refused` one."""
        series, now_ms = self._series(symbol), self._feed.now_ms()
        known = self._known_of(series, now_ms)
        sure, trouble = True, None
        if refused is None:
            trace, sure, trouble = await self._ask_klines(series, span, known.before, known.refusals)
        else:
            trace = known.before.refused(known.refusals)
        unsure: frozenset[int] = frozenset()
        if trace.first_ms is None:
            trace, unsure = await self._ask_months(series, span, trace)
        if known.looked_ms is None and trace.found == known.last.found and not self._order.recheck:
            # The same files: they lack what they were found to lack.
            trace = replace(trace, outside=known.last.outside)
        looked_ms = known.looked_ms or now_ms
        if self._feed.no_api is None and sure and trace not in (known.before, Trace()):
            self._knowledge.put(series, UNLISTED, trace.as_json(), venue_ms=looked_ms)
        if trace.first_ms is not None:
            return self._of_klines(series, trace.first_ms, trace.newest_ms, looked_ms, sure=sure)
        # A month that could not be asked for may exist if others do: then its file is missing, not unwanted.
        life = self._life_in_files(series, span, replace(trace, found=trace.found | unsure) if trace.found else trace)
        why = "not listed any more" if refused is None else f"refused by klines ({refused.status})"
        return self._of_files(series, span, trace, life, why) if life else self._unknown(series, trouble)

    def _known_of(self, series: Series, now_ms: int) -> _Known:
        note = self._knowledge.note(series, UNLISTED)
        last = Trace.of(self._knowledge.value(series, UNLISTED))
        counts, looked_ms = False, None
        if note is not None and not self._order.recheck:
            # After a week a refusal adds to the last ones; after a wrong clock, or with --recheck, counting starts
            # again.
            counts = (note.venue_ms or now_ms) <= now_ms + CLOCK_SLACK_MS
            looked_ms = note.venue_ms if is_fresh(note.venue_ms, now_ms) else None
        return _Known(last, Trace() if looked_ms is None else last, last.refusals if counts else 0, looked_ms)

    async def _ask_klines(
        self, series: Series, span: TimeRange, before: Trace, refusals: int
    ) -> tuple[Trace, bool, str | None]:
        """Ask for the first and the newest candle, if they are not known.

        Returns what is known now, whether two answers agree on each, and why there was no answer.
        """
        if before.is_settled or self._feed.no_api is not None:
            return before, True, None
        try:
            first_ms = await first_open_ms(self._feed, series)
            if first_ms is None:
                return before.refused(refusals), True, None
            begins = await hold_first(self._feed, series, first_ms, span.start_ms)
            if begins.first_ms is None:
                # Its beginning is unknown: leave out nothing of the range.
                begins = Beginning(min(first_ms, span.start_ms))
            newest_ms = await newest_open_ms(self._feed, series)
            later_ms = None if newest_ms is None else await later_open_ms(self._feed, series, newest_ms)
            sure = begins.agreed and newest_ms is not None and later_ms is None
            if later_ms is not None:
                newest_ms = later_ms
            trace = replace(before, asked=True, refusals=0, first_ms=begins.first_ms, newest_ms=newest_ms)
            return trace, sure, None
        except PermanentError as exc:
            log.debug("not known to klines series=%s error=%s", series, exc)
            return before.refused(refusals), True, None
        except TransientError as exc:
            return before, True, str(exc)
        except (VenueUnreachable, TryLater) as exc:
            if self._feed.reader is None or not (
                isinstance(exc, RegionRefused) or self._order.settings.source == "archive"
            ):
                raise
            self._feed.without_api(str(exc))
            return before, True, str(exc)

    async def _ask_months(self, series: Series, span: TimeRange, trace: Trace) -> tuple[Trace, frozenset[int]]:
        """Ask for the monthly files of `span` that are unknown; also returns those without an answer."""
        shelf = self._shelf(series)
        if shelf is None:
            return trace, frozenset()
        files = shelf.to_ask(span, trace)
        at_once = self._order.settings.archive_connections
        answers = await each(files, self._is_there, at_once=at_once)
        lacking = [file for file, there in zip(files, answers, strict=True) if there is False]
        if lacking and not await self._is_archive(lacking[-1]):
            answers = [there or None for there in answers]
        by_answer: dict[bool | None, set[int]] = {True: set(), False: set(), None: set()}
        for file, there in zip(files, answers, strict=True):
            if there is not False or shelf.will_not_come(file):
                by_answer[there].add(file.span.start_ms)
        trace = replace(trace, found=trace.found | by_answer[True], lacking=trace.lacking | by_answer[False])
        return trace, frozenset(by_answer[None])

    async def _is_archive(self, lacking: ArchiveFile) -> bool:
        """Whether the absence of a file means something: a server that has no file at all is no archive."""
        reader = self._feed.reader
        if reader is None:
            return False
        try:
            # A simulator says what it is.
            if reader.simulated or await reader.is_archive(lacking):
                return True
            self._files_trouble = self._files_trouble or f"no bulk file was ever found at {reader.host}"
        except (TransientError, PermanentError) as exc:
            self._files_trouble = self._files_trouble or str(exc)
        return False

    async def _is_there(self, file: ArchiveFile) -> bool | None:
        """Whether the archive has a file; None if it does not say."""
        reader = self._feed.reader
        if reader is None or self._files_trouble is not None:
            return None
        try:
            return await reader.has(file)
        except (TransientError, PermanentError) as exc:
            # One file that cannot be asked for is enough: nothing is known about the others either.
            self._files_trouble = self._files_trouble or str(exc)
            return None

    def _life_in_files(self, series: Series, span: TimeRange, trace: Trace) -> TimeRange | None:
        shelf = self._shelf(series)
        return None if shelf is None else shelf.life(trace, span)

    def _of_files(self, series: Series, span: TimeRange, trace: Trace, life: TimeRange, why: str) -> Unlisted:
        """A series that only files have, if any source has it."""
        shown = without_outside(life, trace.outside)
        candles = f"candles in bulk files alone from {iso(shown.start_ms)} to {iso(shown.end_ms)}"
        self._known.append((series, why, candles))
        # A series that could not be asked for its first candle may answer later.
        files_only = trace.asked or not self._feed.asks_api
        return Unlisted(without_outside(_clipped(span, life), trace.outside), files_only=files_only)

    def _unknown(self, series: Series, trouble: str | None) -> Unlisted:
        """A series that no source knows, or (`trouble`) for which none could be asked."""
        if self._feed.no_api is not None and self._files_trouble is not None:
            trouble = self._files_trouble
        if trouble is not None:
            why = f"{self._venue} does not list it, and cannot be asked for it: {trouble}"
            return Unlisted(undecided=True, why=why)
        return Unlisted(why=self._who_was_asked(files=self._shelf(series) is not None))

    def _of_klines(
        self, series: Series, first_ms: int, newest_ms: int | None, looked_ms: int, *, sure: bool
    ) -> Unlisted:
        """A series that klines have: from its first candle on, and to the newest one if that was long ago.

        What two answers do not agree on is not remembered, and ends nothing.
        """
        if sure:
            self._remember_first(series, first_ms)
        end_ms = _FOREVER_MS if newest_ms is None else newest_ms + series.interval.ms
        ended = sure and end_ms + ENDED_FOR_GOOD_AFTER_MS <= looked_ms
        until = f"to {iso(end_ms)}" if ended else "on"
        self._known.append((series, "not listed any more", f"candles from {iso(first_ms)} {until}"))
        if ended:
            self._ended.append(EndedSeries(str(series), end_ms, NOT_LISTED))
        life = TimeRange(first_ms, end_ms if ended else _FOREVER_MS)
        return Unlisted(life, first_ms if sure else None, newest_ms, ended=ended)

    def _remember_first(self, series: Series, first_ms: int) -> None:
        """Remember the first candle, so that a later run need not ask again."""
        if self._knowledge.value(series, "first") is None:
            fact = {"ms": first_ms, "time": iso(first_ms), "source": "klines"}
            self._knowledge.put(series, "first", fact, venue_ms=self._feed.now_ms())

    def _who_was_asked(self, *, files: bool) -> str:
        """Who does not know a symbol, for its error."""
        if self._venue not in ARCHIVES:
            return "it is not listed, and the venue gives no candle of it"
        klines = "klines do not know it" if self._feed.no_api is None else "only the bulk files are asked"
        if not files:
            return f"it is not listed, and {klines}; no bulk files are asked"
        if self._files_trouble is not None:
            return f"it is not listed, and {klines}; the bulk files cannot be asked: {self._files_trouble}"
        return f"it is not listed, {klines}, and there is no monthly bulk file of it in this range"

    def _tell_known(self) -> None:
        """Tell once for every series found elsewhere when it has candles."""
        known, self._known = sorted(self._known, key=lambda one: str(one[0])), []
        for number, (series, why, candles) in enumerate(known):
            log.info("found elsewhere series=%s why=%s found=%s", series, why, candles)
            if number < _TOLD_AT_MOST:
                self._warn(f"{series}: {why}; {candles}")
        if len(known) > _TOLD_AT_MOST:
            self._warn(f"and {len(known) - _TOLD_AT_MOST:,} more series likewise; the log names them")

    def _series(self, symbol: str) -> Series:
        return Series(self._venue, symbol, self._order.settings.interval)

    def _shelf(self, series: Series) -> Shelf | None:
        reader = self._feed.reader
        if reader is None or series.interval.name not in reader.archive.intervals:
            return None
        return Shelf(reader.archive, series, self._feed.now_ms())


def _clipped(span: TimeRange, life: TimeRange) -> TimeRange:
    start_ms = min(max(span.start_ms, life.start_ms), max(span.end_ms, life.start_ms))
    return TimeRange(start_ms, max(start_ms, min(span.end_ms, life.end_ms)))


def _that_fit(names: Sequence[str]) -> list[str]:
    """The first names that fit into a note."""
    fit, size = [], 2
    for name in names:
        size += len(json.dumps(name, ensure_ascii=False).encode()) + 1
        if size > _NAMES_BYTES_MAX:
            break
        fit.append(name)
    return fit
