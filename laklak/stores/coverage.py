"""What a store lacks of a range, found from counts, never from seventy million timestamps.

Count over the whole range first; if that and the known absences do not fill it, count per day; read timestamps only
inside the days that are neither full nor empty.  A stale hole and a missing minute cannot cancel out: a store counts
only minutes on the grid and returns no absence of a stored minute, so the two never overlap.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from laklak.model.absences import Absence
from laklak.model.series import DAY_MS, Interval, Series, TimeRange
from laklak.model.spans import gaps, merge, on_grid, overlap, parted, runs, without
from laklak.stores.base import NO_STRAYS, Store, Strays


@dataclass(frozen=True, slots=True)
class Presence:
    """candles in the range = stored + those in `absences` + those in `missing`.

    `not_whole`: the part of the missing where something stands that is no candle; `not_whole_absent`: the same where an
    absence is known. `strays` are off the grid.
    """

    stored: int
    absences: tuple[Absence, ...]
    missing: tuple[TimeRange, ...]
    not_whole: tuple[TimeRange, ...] = ()
    strays: Strays = NO_STRAYS
    not_whole_absent: tuple[TimeRange, ...] = ()


async def take_stock(store: Store, series: Series, span: TimeRange, *, recheck: bool = False) -> Presence:
    """Say what `store` holds of `span`, a range on the grid, and what else stands there.

    With `recheck` known absences count as missing, and earlier notes about what is stored are ignored.
    """
    # First, because it finds out what counts as a candle.
    odd = await store.odd(series, span, anew=recheck)
    presence = await survey(store, series, span, recheck=recheck)
    missing, absent = parted_by_absences(series, odd.not_whole, presence.absences)
    return replace(presence, not_whole=missing, not_whole_absent=absent, strays=odd.strays)


def parted_by_absences(
    series: Series, open_times: Sequence[int], absences: Iterable[Absence]
) -> tuple[tuple[TimeRange, ...], tuple[TimeRange, ...]]:
    """Return these minutes, rising, as ranges: the missing ones, and the known absent ones."""
    missing, absent = parted(runs(open_times, series.interval), [absence.span for absence in absences])
    return tuple(missing), tuple(absent)


async def survey(store: Store, series: Series, span: TimeRange, *, recheck: bool = False) -> Presence:
    """Say what `store` holds of `span`, a range on the grid. With `recheck` known absences count as missing."""
    wanted = span.count(series.interval)
    if not wanted:
        return Presence(0, (), ())
    stored = await store.count(series, span)
    absences = [] if recheck else absences_on_grid(await store.absences(series, span), series.interval)
    if stored + sum(absence.span.count(series.interval) for absence in absences) == wanted:
        return Presence(stored, tuple(absences), ())
    if not stored and not absences:
        return Presence(0, (), (span,))
    by_day = await store.count_by_day(series, span)
    absent = [absence.span for absence in absences]
    missing: list[TimeRange] = []
    for day in span.days():
        count = by_day.get(day.start_ms // DAY_MS * DAY_MS, 0)
        absent_then = overlap([day], absent)
        if not count:
            missing += without(day, absent_then)
        elif absent_then or count < day.count(series.interval):
            present = await store.open_times(series, day)
            for part in without(day, absent_then):
                inside = present[bisect_left(present, part.start_ms) : bisect_left(present, part.end_ms)]
                missing += gaps(part, inside, series.interval)
    return Presence(stored, tuple(absences), tuple(merge(missing)))


def absences_on_grid(absences: Iterable[Absence], interval: Interval) -> list[Absence]:
    """Put absences on the grid of candles; drop a single one that a person has put off it."""
    found = []
    for absence in absences:
        if not absence.is_span and absence.open_time_ms % interval.ms:
            continue
        span = on_grid(absence.span, interval)
        if span:
            found.append(absence.over(span))
    return found
