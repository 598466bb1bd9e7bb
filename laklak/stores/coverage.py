"""What a store lacks of a range, recognised from counts: never from seventy million timestamps.

Over the whole range first; where that and the known absences do not make it whole, per day; by timestamps only inside
the days that are neither full nor empty.  A stale hole and a missing minute cannot cancel out: a store counts only
minutes on the grid and gives no absence of a minute that is stored, so the two never overlap.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from laklak.model.absences import Absence
from laklak.model.series import DAY_MS, Series, TimeRange
from laklak.model.spans import gaps, merge, runs
from laklak.stores.base import NO_STRAYS, Store, Strays


@dataclass(frozen=True, slots=True)
class Presence:
    """candles in the range = stored + len(absences) + candles in `missing`.

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
    known = {absence.open_time_ms for absence in absences}
    missing = (open_time for open_time in open_times if open_time not in known)
    absent = (open_time for open_time in open_times if open_time in known)
    return tuple(runs(missing, series.interval)), tuple(runs(absent, series.interval))


async def survey(store: Store, series: Series, span: TimeRange, *, recheck: bool = False) -> Presence:
    """Say what `store` holds of `span`, a range on the grid. With `recheck` known absences count as missing."""
    wanted = span.count(series.interval)
    if not wanted:
        return Presence(0, (), ())
    stored = await store.count(series, span)
    absences = [] if recheck else await store.absences(series, span)
    absences = [absence for absence in absences if not absence.open_time_ms % series.interval.ms]
    if stored + len(absences) == wanted:
        return Presence(stored, tuple(absences), ())
    if not stored and not absences:
        return Presence(0, (), (span,))
    by_day = await store.count_by_day(series, span)
    absent_days: dict[int, list[int]] = {}
    for absence in absences:
        absent_days.setdefault(absence.open_time_ms // DAY_MS, []).append(absence.open_time_ms)
    missing: list[TimeRange] = []
    for day in span.days():
        number = day.start_ms // DAY_MS
        absent = absent_days.get(number, [])
        count = by_day.get(number * DAY_MS, 0)
        if absent or 0 < count < day.count(series.interval):
            present = await store.open_times(series, day) if count else []
            missing += gaps(day, sorted([*present, *absent]), series.interval)
        elif not count:
            missing.append(day)
    return Presence(stored, tuple(absences), tuple(merge(missing)))
