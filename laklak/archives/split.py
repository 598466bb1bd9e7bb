"""Which source for which stretch: what is missing of a series -> files, and the rest for the venue's API.  Pure.

    month   a monthly file, if it is cheaper than its days
    day     a daily file, also for a part of a day: unwanted rows are dropped
    rest    what is not published yet (today), what is older than the archive, and bits that one small page holds

The cost of a stretch counts in bytes.  A file costs its size and FILE_BYTES; a weight of the API costs WEIGHT_BYTES,
because weight is scarce.  For a month of minutes the monthly file is cheaper from 16 missing days on; for a month of
hours from the 5th.

Files may turn out to be absent or bad.  `instead` says what then takes their place: the days for an absent month, the
API for an absent day and for every untrusted file.  So every chain ends after two files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Literal

from laklak.archives.base import Archive, ArchiveFile, month_of
from laklak.model.series import DAY_MS, Series, TimeRange
from laklak.model.spans import merge
from laklak.plan.chunks import Tiers, best_page, page_weight, plan_chunks

Preference = Literal["auto", "archive"]
"""`auto` asks the API for what it gives cheaply; `archive` takes everything published from files."""

FILE_BYTES: Final = 65_536
"""What a file costs beside its bytes: two requests and opening it take as long as 64 KiB of it (1.5 ms of CPU)."""
WEIGHT_BYTES: Final = 65_536
"""What a weight of the API costs: at 1200 a minute it stands for 50 ms, time for several files."""


@dataclass(frozen=True, slots=True)
class FilePart:
    """A file to fetch, and what is wanted of it: in order, disjoint, inside its span.

    Nothing is wanted while it is unknown whether the file has candles (see laklak.engine.beyond).

    `proof`: the API has settled what is wanted, except for what the file says (see laklak.archives.evidence).
    """

    file: ArchiveFile
    wanted: tuple[TimeRange, ...]
    proof: bool = False

    @property
    def wanted_count(self) -> int:
        return sum(part.count(self.file.series.interval) for part in self.wanted)


@dataclass(frozen=True, slots=True)
class Split:
    """Where everything comes from: every missing candle is in the wanted part of one file or in `rest`, once."""

    files: tuple[FilePart, ...]
    rest: tuple[TimeRange, ...]

    @property
    def candles(self) -> int:
        """How many candles the files should give."""
        return sum(item.wanted_count for item in self.files)


@dataclass(frozen=True, slots=True)
class Solver:
    """Splits what is missing, for one archive at one moment.

    Args:
        archive: whose files to choose from.
        now_ms: the venue's clock; it decides which files are due.
        tiers: the price steps of the venue's API (see laklak.plan.chunks).
        preference: `auto`, or `archive` to take everything published from files.
    """

    archive: Archive
    now_ms: int
    tiers: Tiers
    preference: Preference = "auto"

    def split(self, series: Series, missing: Iterable[TimeRange]) -> Split:
        """Choose a source for every range of `missing`, which are on the grid, in order and disjoint."""
        if series.interval.name not in self.archive.intervals:
            return Split((), tuple(merge(missing)))
        files: list[FilePart] = []
        rest: list[TimeRange] = []
        for month, parts in _by_month(missing):
            days = self._days(series, parts)
            whole = Split((FilePart(self.archive.month_file(series, month.start_ms), tuple(parts)),), ())
            published = self._expected(whole.files[0].file)
            chosen = whole if published and self._cost(series, whole) < self._cost(series, days) else days
            files += chosen.files
            rest += chosen.rest
        return Split(tuple(files), tuple(merge(rest)))

    def instead(self, part: FilePart, *, absent: bool) -> Split:
        """Say what takes the place of a file that is not there (`absent`), or that cannot be trusted."""
        if absent and part.file.kind == "month":
            return self._days(part.file.series, part.wanted)
        return Split((), part.wanted)

    def bytes_of(self, file: ArchiveFile) -> int:
        """Return the size of a file in bytes, about."""
        return file.candles * self.archive.bytes_per_candle

    def _days(self, series: Series, parts: Iterable[TimeRange]) -> Split:
        """Split without monthly files."""
        files: list[FilePart] = []
        rest: list[TimeRange] = []
        for wanted in _by_day(parts):
            item = FilePart(self.archive.day_file(series, wanted[0].start_ms), wanted)
            if not self._expected(item.file) or (self.preference == "auto" and item.wanted_count <= self.tiers[0][0]):
                rest += wanted
            else:
                files.append(item)
        return Split(tuple(files), tuple(merge(rest)))

    def _expected(self, file: ArchiveFile) -> bool:
        return self.archive.first_ms <= file.span.start_ms and self.archive.expected_ms(file) <= self.now_ms

    def _cost(self, series: Series, source: Split) -> int:
        cost = sum(FILE_BYTES + self.bytes_of(item.file) for item in source.files)
        page = best_page(self.tiers)
        weight = sum(
            page_weight(chunk.limit, self.tiers) for chunk in plan_chunks(series, source.rest, self.tiers, page)
        )
        return cost + WEIGHT_BYTES * weight


def _by_month(ranges: Iterable[TimeRange]) -> Iterator[tuple[TimeRange, list[TimeRange]]]:
    """Yield each month that the ranges touch, oldest first, with its parts."""
    month = TimeRange(0, 0)
    parts: list[TimeRange] = []
    for whole in merge(ranges):
        at = whole.start_ms
        while at < whole.end_ms:
            if at >= month.end_ms:
                if parts:
                    yield month, parts
                month, parts = month_of(at), []
            parts.append(TimeRange(at, min(whole.end_ms, month.end_ms)))
            at = parts[-1].end_ms
    if parts:
        yield month, parts


def _by_day(ranges: Iterable[TimeRange]) -> Iterator[tuple[TimeRange, ...]]:
    """Yield the parts of each UTC day that the ranges touch, oldest first."""
    for _, parts in groupby((day for part in ranges for day in part.days()), key=lambda part: part.start_ms // DAY_MS):
        yield tuple(merge(parts))
