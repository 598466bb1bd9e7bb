"""Symbols that a venue does not list (any more): what klines and bulk files have shown of them.  Pure.

What was found is remembered as a note `unlisted` of the series (a Trace), and looked for again a week later; that
klines have nothing is remembered only once two runs have heard it.  If only bulk files have a series, the monthly files
that exist tell roughly when it lived, and their rows exactly: minutes before the first row and after the last one are
*outside*, minutes lacking in between are holes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from laklak.archives import Archive, ArchiveFile
from laklak.archives.base import day_of, month_of
from laklak.model.series import DAY_MS, Series, TimeRange
from laklak.model.spans import union

LOOK_AGAIN_AFTER_MS: Final = 7 * DAY_MS
"""Look again for a symbol that is not listed after this long, by the venue's clock."""
ENDED_FOR_GOOD_AFTER_MS: Final = DAY_MS
"""If the newest candle closed this long before a look, expect no more before the next one."""
ENOUGH_REFUSALS: Final = 2
"""Klines must have nothing of a series in this many runs before that is remembered: one answer may be wrong."""
CLOCK_SLACK_MS: Final = 60 * 60_000
FILES_LATE_BY_MS: Final = 7 * DAY_MS
"""A file that is missing this long after it was due will not come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What the sources asked so far have of one series.

    `asked`: klines have answered, with the first and the newest candle, or (None) that there is none; `refusals` counts
    the runs in a row that heard that, up to ENOUGH_REFUSALS.  `found` and `lacking`: months, by their first moment,
    whose files exist and do not.  `outside`: stretches before the first row of files or after their last one.
    """

    asked: bool = False
    refusals: int = 0
    first_ms: int | None = None
    newest_ms: int | None = None
    found: frozenset[int] = frozenset()
    lacking: frozenset[int] = frozenset()
    outside: tuple[TimeRange, ...] = ()

    @classmethod
    def of(cls, value: Any) -> Trace:
        """Read what `as_json` wrote; an empty one if it is something else."""
        try:
            trace = cls(
                asked=value["asked"] is True,
                # Versions that did not count them had one answer.
                refusals=_count(value.get("refusals", int(value["asked"] is True and value["first"] is None))),
                first_ms=_moment(value["first"]),
                newest_ms=_moment(value["newest"]),
                found=frozenset(map(_time, value["found"])),
                lacking=frozenset(map(_time, value["lacking"])),
                outside=tuple(TimeRange(_time(start), _time(end)) for start, end in value["outside"]),
            )
        except (AttributeError, KeyError, TypeError, ValueError):
            return cls()
        return trace if trace.asked or (trace.first_ms is None and trace.newest_ms is None) else cls()

    def as_json(self) -> dict[str, Any]:
        """The same as JSON can spell it."""
        return {
            "asked": self.asked,
            "refusals": self.refusals,
            "first": self.first_ms,
            "newest": self.newest_ms,
            "found": sorted(self.found),
            "lacking": sorted(self.lacking),
            "outside": [[part.start_ms, part.end_ms] for part in self.outside],
        }

    @property
    def is_settled(self) -> bool:
        """Whether what klines have said counts for a week: a first candle, or nothing often enough."""
        return self.first_ms is not None or self.refusals >= ENOUGH_REFUSALS

    def refused(self, before: int) -> Trace:
        """Add one answer that klines have nothing, after `before` runs with the same."""
        return replace(self, asked=True, first_ms=None, newest_ms=None, refusals=min(before + 1, ENOUGH_REFUSALS))


def is_fresh(looked_ms: int | None, now_ms: int) -> bool:
    """Whether a look still counts, by the venue's clock; one from the future does not, because a clock was wrong."""
    return looked_ms is not None and -CLOCK_SLACK_MS <= now_ms - looked_ms < LOOK_AGAIN_AFTER_MS


@dataclass(frozen=True, slots=True)
class Shelf:
    """The files that an archive may have of one series, at one moment of the venue's clock."""

    archive: Archive
    series: Series
    now_ms: int

    def to_ask(self, span: TimeRange, trace: Trace) -> list[ArchiveFile]:
        """Return the monthly files to ask for, to learn which exist for `span`.

        Months that are over, and, if the range goes on after the newest month that is due, also that one: it shows
        whether daily files may follow it.
        """
        months = [month for month in self._months(span) if month.end_ms <= self.now_ms]
        before = self._before_unpublished(span)
        if before is not None and before not in months:
            months.append(before)
        known = trace.found | trace.lacking
        return [self._file(month) for month in months if month.start_ms not in known]

    def will_not_come(self, file: ArchiveFile) -> bool:
        """Whether a missing file was due already."""
        return self.archive.expected_ms(file) <= self.now_ms

    def life(self, trace: Trace, span: TimeRange) -> TimeRange | None:
        """Return the time of which there are files, by their months; None if there is none for `span` or around it.

        It ends with the newest day whose file is due, because nothing else is asked for later candles.
        """
        months = [month_of(start_ms) for start_ms in sorted(trace.found)]
        before = self._before_unpublished(span)
        if before is not None and before.start_ms in trace.found:
            months.append(TimeRange(before.end_ms, max(before.end_ms, self.now_ms)))
        if not months:
            return None
        start_ms = max(self.archive.first_ms, months[0].start_ms)
        end_ms = min(max(month.end_ms for month in months), self._expected_until_ms())
        return TimeRange(start_ms, max(start_ms, end_ms))

    def came_late(self, part: TimeRange) -> bool:
        """Whether the file of the day in which `part` begins may still come, though it is due."""
        file = self.archive.day_file(self.series, part.start_ms)
        return self.archive.expected_ms(file) + FILES_LATE_BY_MS > self.now_ms

    def _before_unpublished(self, span: TimeRange) -> TimeRange | None:
        """Return the newest month whose file is due, if `span` goes on after it."""
        unpublished = [month for month in self._months(span) if not self.will_not_come(self._file(month))]
        if not unpublished:
            return None
        month = month_of(unpublished[0].start_ms - 1)
        while not self.will_not_come(self._file(month)):
            month = month_of(month.start_ms - 1)
        return month if month.end_ms > self.archive.first_ms else None

    def _months(self, span: TimeRange) -> Iterator[TimeRange]:
        at_ms = max(span.start_ms, self.archive.first_ms)
        while at_ms < span.end_ms:
            month = month_of(at_ms)
            yield month
            at_ms = month.end_ms

    def _file(self, month: TimeRange) -> ArchiveFile:
        return self.archive.month_file(self.series, month.start_ms)

    def _expected_until_ms(self) -> int:
        day = day_of(self.now_ms)
        while not self.will_not_come(self.archive.day_file(self.series, day.start_ms)):
            day = day_of(day.start_ms - 1)
        return day.end_ms


def without_outside(wanted: TimeRange, outside: Sequence[TimeRange]) -> TimeRange:
    """Cut off the ends of `wanted` that are outside; empty, and inside of it, if nothing is left."""
    start_ms, end_ms = wanted.start_ms, wanted.end_ms
    for part in sorted(outside):
        if part.start_ms <= start_ms < part.end_ms:
            start_ms = min(part.end_ms, end_ms)
    for part in sorted(outside, reverse=True):
        if part.start_ms < end_ms <= part.end_ms:
            end_ms = max(part.start_ms, start_ms)
    return TimeRange(start_ms, end_ms)


@dataclass(slots=True)
class FilesRead:
    """What the files of one series have shown in a run: the first and the last row of all, and absent files."""

    first_ms: int | None = None
    last_ms: int | None = None
    absent: list[TimeRange] = field(default_factory=list)

    def saw(self, open_times: Sequence[int]) -> None:
        """Note the rows of files, unwanted ones too."""
        if len(open_times):
            self.first_ms = min(open_times[0], open_times[0] if self.first_ms is None else self.first_ms)
            self.last_ms = max(open_times[-1], open_times[-1] if self.last_ms is None else self.last_ms)


@dataclass(frozen=True, slots=True)
class SettledFiles:
    """What becomes of minutes that files lack: they lie `outside`, or are `holes`, or their file may be `late`.

    `proven` will stay outside, because no file of it is late.
    """

    outside: tuple[TimeRange, ...]
    proven: tuple[TimeRange, ...]
    holes: tuple[TimeRange, ...]
    late: tuple[TimeRange, ...]


def settle_files(read: FilesRead, lacking: Iterable[TimeRange], wanted: TimeRange, shelf: Shelf) -> SettledFiles:
    """Decide on the minutes of `wanted` that files lack (`lacking`), or whose file is absent.

    Those at the start of what is wanted, with no row before them, are outside; at the end likewise.
    """
    late = [day for part in read.absent for day in part.days() if shelf.came_late(day)]
    inside = union([*lacking, *read.absent])
    outside = []
    if (
        inside
        and inside[0].start_ms <= wanted.start_ms
        and (read.first_ms is None or inside[0].end_ms <= read.first_ms)
    ):
        outside.append(inside.pop(0))
    if inside and inside[-1].end_ms >= wanted.end_ms and (read.last_ms is None or inside[-1].start_ms > read.last_ms):
        outside.append(inside.pop())
    return SettledFiles(
        tuple(outside),
        tuple(_minus(outside, late)),
        tuple(_minus(inside, late)),
        tuple(_both(inside, late)),
    )


def _minus(parts: Iterable[TimeRange], others: Iterable[TimeRange]) -> list[TimeRange]:
    """Return the parts of `parts` outside `others`."""
    left = list(parts)
    for other in others:
        pieces = [(TimeRange(part.start_ms, other.start_ms), TimeRange(other.end_ms, part.end_ms)) for part in left]
        left = [piece.clip(part) for part, cut in zip(left, pieces, strict=True) for piece in cut if piece.clip(part)]
    return left


def _both(parts: Iterable[TimeRange], others: Sequence[TimeRange]) -> list[TimeRange]:
    return union(part.clip(other) for part in parts for other in others)


def _moment(value: Any) -> int | None:
    return None if value is None else _time(value)


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= ENOUGH_REFUSALS:
        raise ValueError("no number of runs")
    return value


def _time(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 1 << 50:
        raise ValueError("no time in milliseconds")
    return value
