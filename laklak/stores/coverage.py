"""What a store lacks of a range, recognised from counts: never from seventy million timestamps.

Over the whole range first; where that and the known absences do not make it whole, per day; by timestamps only inside
the days that are neither full nor empty.  A stale hole and a missing minute cannot cancel out: a store counts only
minutes on the grid and gives no absence of a minute that is stored, so the two never overlap.
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

    In the part `not_whole` of the missing something stands that is no candle, and where an absence is known in the
    part `not_whole_absent`. `strays` are off the grid.
    """

    stored: int
    absences: tuple[Absence, ...]
    missing: tuple[TimeRange, ...]
    not_whole: tuple[TimeRange, ...] = ()
    strays: Strays = NO_STRAYS
    not_whole_absent: tuple[TimeRange, ...] = ()


async def take_stock(store: Store, series: Series, span: TimeRange, *, recheck: bool = False) -> Presence:
    """Say what `store` holds of `span`, a range on the grid, and what else stands there.

    With `recheck` known absences count as missing, and nothing that was noted about what is stored is believed.
    """
    # First: what counts as a candle is found out with it.
    odd = await store.odd(series, span, anew=recheck)
    presence = await survey(store, series, span, recheck=recheck)
    missing, absent = parted_by_absences(series, odd.not_whole, presence.absences)
    return replace(presence, not_whole=missing, not_whole_absent=absent, strays=odd.strays)


def parted_by_absences(
    series: Series, open_times: Sequence[int], absences: Iterable[Absence]
) -> tuple[tuple[TimeRange, ...], tuple[TimeRange, ...]]:
    """These minutes, rising, as ranges: those that are missing, and those that are known to be absent."""
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
    """Absences by the candles that would open in them; what a person has put off the grid is none."""
    found = []
    for absence in absences:
        if not absence.is_span and absence.open_time_ms % interval.ms:
            continue
        span = on_grid(absence.span, interval)
        if span:
            found.append(absence.over(span))
    return found
