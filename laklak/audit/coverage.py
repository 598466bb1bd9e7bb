"""How much of each series a store has, what of the rest is known, and where the gaps lie.  No venue is asked.

What runs have learned of first and last candles, reach and clocks is in the store (laklak.stores.knowledge); candles
that are stored go before any of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from laklak.audit.stretches import Detail, Kind, detail_of, stretches_of, strip
from laklak.engine.store_work import each
from laklak.errors import StoreUnavailable, SymbolError
from laklak.model.absences import UNWANTED_KINDS, minutes
from laklak.model.series import DAY_MS, Interval, Series, TimeRange, iso
from laklak.model.spans import count, newest_held, oldest_held, on_grid, parted, union
from laklak.stores.base import Store
from laklak.stores.coverage import Presence, take_stock
from laklak.stores.knowledge import Knowledge, known_clock, known_published
from laklak.stores.reading import ALWAYS, must_exist, near_series
from laklak.venues import VENUES

Health = Literal["GOOD", "WARN", "CRITICAL"]
DETAIL_STRETCHES: Final = 1_000_000
"""So many stretches that are not held are kept of all series together, where they are wanted at all."""
SPANS_KEPT: Final = 1_000
"""So many stretches of missing candles are named for each series: a store may have millions."""


@dataclass(frozen=True, slots=True)
class Figures:
    """wanted = held + holes + rejected + quiet + missing, in candles; `+` adds them.

    Not wanted: `closed`, and `out_of_reach`, which no source reaches any more; so many of these, `lost`, lie
    after the first candle held.
    """

    wanted: int = 0
    held: int = 0
    holes: int = 0
    rejected: int = 0
    quiet: int = 0
    closed: int = 0
    out_of_reach: int = 0
    lost: int = 0

    @property
    def missing(self) -> int:
        return self.wanted - self.held - self.holes - self.rejected - self.quiet

    @property
    def share(self) -> float | None:
        """What is held of what there can be, in percent; None where there can be nothing."""
        return _percent(self.held, self.wanted - self.holes - self.quiet)

    @property
    def sound_share(self) -> float | None:
        """The same with what is lost: what health is judged by."""
        return _percent(self.held, self.wanted - self.holes - self.quiet + self.lost)

    def __add__(self, other: Figures) -> Figures:
        return Figures(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Coverage:
    """One series: `span` is what was looked at, `missing` its first SPANS_KEPT stretches of `gaps`."""

    series: Series
    span: TimeRange
    figures: Figures
    first_ms: int | None
    last_ms: int | None
    gaps: int
    longest: TimeRange | None
    missing: tuple[TimeRange, ...]
    strip: tuple[Kind, ...]
    detail: Detail | None = None

    def health(self, good: float, warn: float) -> Health:
        share = self.figures.sound_share
        if share is None or share >= good:
            return "GOOD"
        return "WARN" if share >= warn else "CRITICAL"

    @property
    def badness(self) -> tuple[float, int, str]:
        """Orders series, the worst first."""
        share = self.figures.sound_share
        return (101.0 if share is None else share, -self.figures.missing, str(self.series))


@dataclass(frozen=True, slots=True)
class Range:
    """What is asked for: `days` before the end, or from `start_ms`, or neither: from the first candle of each series.

    Without an end it is up to when the last run wanted candles.
    """

    days: int | None = None
    start_ms: int | None = None
    end_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What the store knows of where a series lives; None is not known."""

    begins_ms: int | None
    ends_ms: int | None
    reach_ms: int
    published_ms: int | None = None
    """Up to where a delayed feed had told in the last run."""


@dataclass(frozen=True, slots=True)
class CoverageReport:
    """Every series, the worst first, and by venue up to when it was looked at."""

    store: str
    as_of: Mapping[str, int]
    series: tuple[Coverage, ...]

    @property
    def total(self) -> Figures:
        return sum((one.figures for one in self.series), Figures())

    @property
    def worst(self) -> float | None:
        """The lowest share that health is judged by."""
        return min(
            (one.figures.sound_share for one in self.series if one.figures.sound_share is not None), default=None
        )

    def exit(self, fail_below: float | None) -> int:
        if fail_below is not None:
            return int(self.worst is not None and self.worst < fail_below)
        return int(self.total.missing > 0)


async def look_at(
    store: Store,
    asked: Sequence[Series],
    wanted: Range,
    *,
    typed: bool,
    interval: Interval | None = None,
    detailed: bool = False,
    note: Callable[[str], None] | None = None,
) -> CoverageReport:
    """Hold `asked`, or all that the store has (of an `interval`), against the range.

    `typed` ones that the store has never heard of are an error, those of a list are missing.  `detailed`: every
    stretch that is not held is kept.  Where it takes long, `note` is told how far it is.
    """
    chosen = await chosen_of(store, asked, typed=typed, interval=interval, once=True)
    return await coverage_of(store, chosen, wanted, detailed=detailed, note=note)


async def coverage_of(
    store: Store,
    chosen: Chosen,
    wanted: Range,
    *,
    detailed: bool = False,
    note: Callable[[str], None] | None = None,
) -> CoverageReport:
    """The same of series that were chosen before."""
    most_detail = DETAIL_STRETCHES // len(chosen.series) if detailed else None

    async def one(series: Series) -> Coverage:
        known, as_of_ms = chosen.known(series), chosen.as_of[series.venue]
        span = span_of(wanted, series.interval, as_of_ms, chosen.held.get(series), known)
        life = life_of(span, known)
        presence = await take_stock(store, series, life)
        return judge(series, span, life, presence, known, most_detail)

    found = await each(chosen.series, one, note)
    return CoverageReport(store.display, chosen.as_of, tuple(sorted(found, key=lambda one: one.badness)))


@dataclass(frozen=True, slots=True)
class Chosen:
    """The series that are meant, what the store knows and holds, and by venue up to when candles were wanted."""

    series: Sequence[Series]
    knowledge: Knowledge
    held: Mapping[Series, TimeRange]
    as_of: Mapping[str, int]

    def known(self, series: Series) -> Known:
        return known_of(self.knowledge, series, self.held.get(series), self.as_of[series.venue])

    def only(self, series: Sequence[Series]) -> Chosen:
        """The same with other series."""
        return replace(self, series=series, as_of=_as_of_all(series, self.knowledge, self.held))


async def chosen_of(
    store: Store, asked: Sequence[Series], *, typed: bool, interval: Interval | None, once: bool = False
) -> Chosen:
    """What the store knows and holds, and which series are meant: `asked`, or all that it has (of an `interval`).

    With `once` it has those, too, that it has once held.
    """
    must_exist(store)
    knowledge, held = await Knowledge.of(store), await (once_held(store) if once else store.holdings())
    if typed:
        check_known(asked, held, store.display)
    chosen = list(dict.fromkeys(asked)) or sorted((one for one in held if interval in (None, one.interval)), key=str)
    if not chosen:
        of = f" of {interval}" if interval is not None and held else ""
        raise StoreUnavailable(f"{store.display} holds no series{of}", hint="fill it: laklak backfill --days 7")
    return Chosen(chosen, knowledge, held, _as_of_all(chosen, knowledge, held))


async def once_held(store: Store) -> dict[Series, TimeRange]:
    """What the store holds; and of series whose candles are all gone, from where to where somebody has given some."""
    held = await store.holdings()
    for series in await store.provided():
        if series not in held and (given := await store.provenance(series, ALWAYS)):
            held[series] = TimeRange(given[0].span.start_ms, given[-1].span.end_ms)
    return held


def _as_of_all(chosen: Iterable[Series], knowledge: Knowledge, held: Mapping[Series, TimeRange]) -> dict[str, int]:
    """By venue: up to when candles were wanted in the last run."""
    return {venue: _as_of(venue, knowledge, held) for venue in sorted({one.venue for one in chosen})}


def known_of(knowledge: Knowledge, series: Series, held: TimeRange | None, as_of_ms: int) -> Known:
    """What runs have noted of a series; what is stored goes beyond it."""
    first_ms = _moment(knowledge, series, "first", "ms")
    last_ms = _moment(knowledge, series, "last", "ms")
    ended = knowledge.value(series, "ended")
    ends_ms: int | None = None
    if isinstance(ended, dict):
        lasts = [one for one in (_moment(knowledge, series, "ended", "last_ms"), last_ms) if one is not None]
        ends_ms = max(lasts) + series.interval.ms if lasts else 0
    if held is not None:
        first_ms = None if first_ms is None else min(first_ms, held.start_ms)
        ends_ms = None if ends_ms is None else max(ends_ms, held.end_ms)
    venue = VENUES.get(series.venue)
    reach_ms = None if venue is None else venue.reach_ms(series.interval)
    reaches = [_moment(knowledge, series, "reach", "ms") or 0]
    if reach_ms is not None:
        reaches.append(series.interval.ceil(as_of_ms - reach_ms))
    published_ms = known_published(knowledge, series)
    if published_ms is not None and held is not None:
        published_ms = max(published_ms, held.end_ms)
    return Known(first_ms, ends_ms, max(reaches), published_ms)


def span_of(wanted: Range, interval: Interval, as_of_ms: int, held: TimeRange | None, known: Known) -> TimeRange:
    """The range on the grid; no candle is wanted that the venue could not tell when it was last asked."""
    limit_ms = interval.floor(as_of_ms if known.published_ms is None else min(as_of_ms, known.published_ms))
    end_ms = limit_ms if wanted.end_ms is None else min(limit_ms, wanted.end_ms)
    if wanted.days is not None:
        start_ms = end_ms - wanted.days * DAY_MS
    elif wanted.start_ms is not None:
        start_ms = wanted.start_ms
    else:
        firsts = [one for one in (known.begins_ms, held.start_ms if held else None) if one is not None]
        start_ms = min(firsts, default=end_ms)
    return on_grid(TimeRange(max(0, start_ms), max(0, start_ms, end_ms)), interval)


def judge(
    series: Series, span: TimeRange, life: TimeRange, presence: Presence, known: Known, most_detail: int | None = None
) -> Coverage:
    """The figures of a series from what a store has of its `life`, the part of `span` in which it has candles.

    With `most_detail` stretches that are not held are kept, at most so many.
    """
    interval = series.interval
    out, missing = _beyond_reach(presence.missing, known.reach_ms)
    not_held = union([*presence.missing, *(one.span for one in presence.absences)])
    first_ms = oldest_held(life, not_held) if presence.stored else None
    lost = [] if first_ms is None else [part for part in out if part.start_ms > first_ms]
    unwanted = minutes(presence.absences, UNWANTED_KINDS, interval)
    figures = Figures(
        wanted=life.count(interval) - unwanted - count(out, interval),
        held=presence.stored,
        holes=minutes(presence.absences, ("hole",), interval),
        rejected=minutes(presence.absences, ("rejected",), interval),
        quiet=minutes(presence.absences, ("quiet",), interval),
        closed=minutes(presence.absences, ("closed",), interval),
        out_of_reach=count(out, interval),
        lost=count(lost, interval),
    )
    stretches = stretches_of(span, life, presence.absences, out, missing)
    return Coverage(
        series,
        span,
        figures,
        first_ms,
        newest_held(life, not_held, interval) if presence.stored else None,
        len(missing),
        max(missing, key=lambda part: part.end_ms - part.start_ms, default=None),
        tuple(missing[:SPANS_KEPT]),
        strip(span, stretches),
        None if most_detail is None else detail_of(span, interval, stretches, presence.absences, most_detail),
    )


def life_of(span: TimeRange, known: Known) -> TimeRange:
    """The part of a range in which a series has candles, as far as that is known."""
    start_ms = span.start_ms if known.begins_ms is None else min(span.end_ms, max(span.start_ms, known.begins_ms))
    end_ms = span.end_ms if known.ends_ms is None else min(span.end_ms, known.ends_ms)
    return TimeRange(start_ms, max(start_ms, end_ms))


def _beyond_reach(missing: Sequence[TimeRange], reach_ms: int) -> tuple[list[TimeRange], list[TimeRange]]:
    within, beyond = parted(missing, [TimeRange(0, reach_ms)] if reach_ms else [])
    return beyond, within


def _as_of(venue: str, knowledge: Knowledge, held: Mapping[Series, TimeRange]) -> int:
    """Up to when a venue's candles were wanted; where no run has told, the end of the newest one stored."""
    clock_ms = known_clock(knowledge, venue)
    if clock_ms is not None:
        return clock_ms
    ends = [span.end_ms for series, span in held.items() if series.venue == venue]
    return max(ends, default=time.time_ns() // 1_000_000)


def check_known(asked: Iterable[Series], held: Mapping[Series, TimeRange], store: str) -> None:
    for series in asked:
        if series not in held:
            near = near_series(series, held)
            hint = f"did you mean {' or '.join(near)}? " if near else ""
            raise SymbolError(
                f"no candles of {series} in {store}",
                hint=f"{hint}laklak backfill {series.venue}:{series.symbol} --days 1 fetches some",
            )


def _moment(knowledge: Knowledge, series: Series, kind: str, key: str) -> int | None:
    fact = knowledge.value(series, kind)
    time_ms = fact.get(key) if isinstance(fact, dict) else None
    return time_ms if type(time_ms) is int else None


def _percent(part: int, whole: int) -> float | None:
    return None if whole <= 0 else 100 * part / whole


def as_object(one: Coverage, good: float, warn: float) -> dict[str, object]:
    """A series for JSON."""
    figures = one.figures
    return {
        "series": str(one.series),
        "start": iso(one.span.start_ms),
        "end": iso(one.span.end_ms),
        "first": None if one.first_ms is None else iso(one.first_ms),
        "last": None if one.last_ms is None else iso(one.last_ms),
        **figures_object(figures),
        "health": one.health(good, warn),
        "gaps": one.gaps,
        "longest_gap": None if one.longest is None else bounds(one.longest),
        "missing_spans": [bounds(part) for part in one.missing],
    }


def figures_object(figures: Figures) -> dict[str, object]:
    """Figures for JSON."""
    names = [*figures.__slots__, "missing"]
    share = figures.share
    return {**{name: getattr(figures, name) for name in names}, "coverage": None if share is None else round(share, 6)}


def bounds(part: TimeRange) -> dict[str, str]:
    """A stretch for JSON."""
    return {"start": iso(part.start_ms), "end": iso(part.end_ms)}
