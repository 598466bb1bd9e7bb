"""What laklak knows of whole days, noted in the measurement `laklak_seals`, so that each is proven once.

A seal is a point at the start of a UTC day, with the tags of the series and `measurement`, and an integer `candles`:
the number of points of that day with a `close`, all of them whole candles on the grid.  As long as the server counts as
many, nothing else needs a look.  A day is sealed once every point was looked at, or once this run has written what it
lacked.  A missing seal costs another look and nothing else: if its number differs from the server's count, it does not
hold.  But an outdated seal must not stay beside a day that is odd by now, because a later deletion could make the
numbers fit again: it is overwritten with one that never fits.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from laklak.errors import StoreError
from laklak.model.series import DAY_MS, Interval, Series, TimeRange
from laklak.stores.influx.database import SEALS, Database, Days, whole_days
from laklak.stores.influx.lines import key_of, point_line, tags_of
from laklak.stores.influx.proof import DayProof, bits_by_day, bits_of, full_day

log = logging.getLogger(__name__)

_LINES_PER_WRITE: Final = 5_000
_NEVER: Final = -1
"""The seal of a day that holds something else than candles: no server counts so many."""


@dataclass(slots=True)
class _Day:
    """A day that is not full: the candles known by their place, and `others` that are only counted.

    `known`: the places known to have a candle or none. `sure`: nothing else is in the day but `broken` candles, which
    are written anew. `told`: the seal on the server.
    """

    known: int
    candles: int = 0
    others: int = 0
    broken: int = 0
    sure: bool = True
    told: int | None = None

    @property
    def count(self) -> int:
        return self.candles.bit_count() + self.others

    @property
    def certain(self) -> bool:
        """Whether the day holds exactly `count` whole candles and nothing else."""
        return self.sure and not self.broken

    def learn(self, places: int, candles: int) -> None:
        """Note that of these places just those in `candles` have one."""
        if not self.known & places and candles.bit_count() <= self.others:
            self.known |= places
            self.candles |= candles
            self.others -= candles.bit_count()

    def wrote(self, candles: int) -> None:
        """Note that these candles are stored now."""
        # A candle at an unknown place may have been there before, counted among the others.
        self.sure = self.sure and not (self.others and candles & ~self.known)
        self.known |= candles
        self.candles |= candles
        self.broken &= ~candles


class _Series:
    """The days of one series; full days, and empty ones that were looked at, take next to no memory."""

    def __init__(self) -> None:
        self.looked = TimeRange(0, 0)
        self.full = bytearray()
        self.days: dict[int, _Day] = {}

    def look(self, span: TimeRange) -> None:
        self.looked = whole_days(span)
        self.full = bytearray((self.looked.end_ms - self.looked.start_ms) // DAY_MS)
        self.days.clear()

    def is_full(self, day_ms: int) -> bool:
        return self._inside(day_ms) and bool(self.full[(day_ms - self.looked.start_ms) // DAY_MS])

    def fill(self, day_ms: int) -> None:
        self.days.pop(day_ms, None)
        if self._inside(day_ms):
            self.full[(day_ms - self.looked.start_ms) // DAY_MS] = 1

    def day(self, interval: Interval, day_ms: int) -> _Day:
        """Return what is known of a day; one that was looked at and is not kept is empty."""
        if day_ms not in self.days:
            self.days[day_ms] = _Day(full_day(interval), sure=self._inside(day_ms))
        return self.days[day_ms]

    def _inside(self, day_ms: int) -> bool:
        return self.looked.start_ms <= day_ms < self.looked.end_ms


class SealBook:
    """The days of the series that this run has looked at or written to. Notes nothing before `open`."""

    def __init__(
        self, database: Database, measurement_of: Callable[[str], str], oldest_ms: Callable[[], int | None]
    ) -> None:
        self._database = database
        self._measurement_of = measurement_of
        self._oldest_ms = oldest_ms
        self._open = False
        self._series: dict[Series, _Series] = {}
        self._lines: dict[tuple[Series, int], int] = {}

    def open(self) -> None:
        """Note from now on what is known: the store is ours to write to."""
        self._open = True

    def stop(self) -> None:
        """Note nothing more: the next run looks again at what was not noted."""
        self._open = False
        self._series.clear()
        self._lines.clear()

    def looked(
        self,
        series: Series,
        span: TimeRange,
        days: Days,
        proofs: Mapping[int, DayProof],
        asked: Sequence[TimeRange],
    ) -> None:
        """Remember what a look at `span` has shown; `proofs` are the days without a seal that holds.

        Only days in `asked` were looked at as a whole.
        """
        if not self._open:
            return
        kept = self._series.setdefault(series, _Series())
        kept.look(span)
        for part in _others(kept.looked, asked):
            for day_ms in range(part.start_ms, part.end_ms, DAY_MS):
                kept.days[day_ms] = _Day(known=0, sure=False)
        for day_ms in sorted({*days.counts, *proofs}):
            proof = proofs.get(day_ms)
            if proof is None:
                day = _sealed(series.interval, day_ms, span, days)
            else:
                day = _proven(series.interval, days.counts.get(day_ms, 0), proof)
            day.told = days.seals.get(day_ms)
            if day.certain:
                self._seal(series, day_ms, day)
            elif day.told not in (None, _NEVER):
                day.told = self._lines[series, day_ms] = _NEVER
            if day.certain and day.count == DAY_MS // series.interval.ms:
                kept.fill(day_ms)
            else:
                kept.days[day_ms] = day

    def learn(self, series: Series, span: TimeRange, open_times: Sequence[int]) -> None:
        """Remember all open_times in `span`, for days that were only counted until now."""
        if not self._open or series not in self._series:
            return
        found = dict(bits_by_day(series.interval, open_times))
        for part in span.days():
            day_ms = part.start_ms - part.start_ms % DAY_MS
            day = self._series[series].days.get(day_ms)
            if day is not None:
                day.learn(bits_of(series.interval, day_ms, part), found.get(day_ms, 0))

    def wrote(self, series: Series, open_times: Sequence[int], refused: Collection[int] = ()) -> None:
        """Count the acknowledged candles, without the refused ones among `open_times`."""
        if not self._open or not len(open_times):
            return
        if refused:
            open_times = [time_ms for time_ms in open_times if time_ms not in refused]
        kept = self._series.setdefault(series, _Series())
        full = full_day(series.interval)
        for day_ms, candles in bits_by_day(series.interval, open_times):
            if kept.is_full(day_ms):
                continue
            day = kept.day(series.interval, day_ms)
            day.wrote(candles)
            # If something else stands in the day, the server counts more than these.
            if day.certain and day.count == full.bit_count():
                self._seal(series, day_ms, _Day(full, full))
                kept.fill(day_ms)

    async def send(self, *, least: int = _LINES_PER_WRITE) -> None:
        """Note what is known, once that is `least` days; without days that begin before what the server keeps."""
        if not self._lines or len(self._lines) < least:
            return
        sealed, self._lines = self._lines, {}
        oldest_ms = self._oldest_ms()
        lines = [
            self._line(series, day_ms, count)
            for (series, day_ms), count in sealed.items()
            if oldest_ms is None or day_ms >= oldest_ms
        ]
        try:
            for i in range(0, len(lines), _LINES_PER_WRITE):
                verdict = await self._database.write("".join(lines[i : i + _LINES_PER_WRITE]).encode())
                if verdict.kind != "ok":
                    log.warning("days not sealed reason=%s", verdict.reason)
        except StoreError as exc:
            # The candles are stored: a lost seal costs the next run another look.
            log.warning("days not sealed error=%s", exc)
            self.stop()

    async def send_all(self) -> None:
        """Note everything, at the end of a run, also the days that are not full."""
        for series, kept in self._series.items():
            for day_ms, day in kept.days.items():
                if day.certain:
                    self._seal(series, day_ms, day)
        await self.send(least=1)

    def _seal(self, series: Series, day_ms: int, day: _Day) -> None:
        if day.count and day.count != day.told:
            day.told = self._lines[series, day_ms] = day.count

    def _line(self, series: Series, day_ms: int, count: int) -> str:
        tags = tags_of(series) | {"measurement": self._measurement_of(series.venue)}
        return point_line(key_of(SEALS, tags), {"candles": count}, day_ms)


def _others(span: TimeRange, parts: Sequence[TimeRange]) -> Iterator[TimeRange]:
    """Yield what of `span` is in none of `parts`, which are in order and disjoint."""
    start_ms = span.start_ms
    for part in parts:
        yield TimeRange(start_ms, part.start_ms)
        start_ms = max(start_ms, part.end_ms)
    yield TimeRange(start_ms, span.end_ms)


def _sealed(interval: Interval, day_ms: int, span: TimeRange, days: Days) -> _Day:
    """Make a day whose seal holds: only counted, and what the counts say about places."""
    count = days.counts[day_ms]
    day = _Day(known=0, others=count)
    asked = bits_of(interval, day_ms, span)
    inside = days.parts.get(day_ms, count)
    if inside in (0, asked.bit_count()):
        day.learn(asked, asked if inside else 0)
    return day


def _proven(interval: Interval, count: int, proof: DayProof) -> _Day:
    """Make a day that was looked at point by point; the server counted `count` points with a close."""
    sure = not proof.strays_ns and proof.whole.bit_count() + proof.broken.bit_count() >= count
    return _Day(known=full_day(interval), candles=proof.whole, broken=proof.broken, sure=sure)
