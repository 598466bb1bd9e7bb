"""What bulk files have beyond the ends that klines show of a series.

Klines may begin later and end earlier than files: a delisted symbol loses its klines and keeps its files. So when all
else of a series is done, the file of the day beyond each end is asked for, if that day lies in the range asked for, and
its month's if that file gives nothing. Files are followed as long as they show candles, which are wanted from then on
and stored in the same run. The end is remembered (a note `beyond` of the series), so that it is asked once when the
file is due and once a week later, like a hole:

    a file with rows of that day    the series ends where they end
    no file, of day and month       the next day and the next month are asked too, for archives lack single files, and
                                    the days of a week if their month is not published, for some lack several; if
                                    these have nothing, the series ends; for a week after a file was due, every run
                                    asks again
    a file that cannot be had now,  nothing is known beyond the end; the run says so and is not complete, and the next
    or is not sound                 run asks again
    a server that does not answer   said once; klines alone count in this run, and nothing is remembered
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from laklak.archives import Archive, ArchiveFile
from laklak.archives.base import month_of
from laklak.archives.evidence import LATE_MS
from laklak.archives.split import FilePart
from laklak.engine.life import Lives
from laklak.model.series import DAY_MS, Series, TimeRange, iso
from laklak.plan.rows import Checked
from laklak.plan.wanted import BegunSeries
from laklak.report.ledger import Ledger
from laklak.report.progress import Report
from laklak.sources.archive import NoCandles
from laklak.sources.venue import Feed
from laklak.stores.knowledge import Knowledge

log = logging.getLogger(__name__)

Side = Literal["before", "after"]
SIDES: Final[tuple[Side, ...]] = ("before", "after")
NOTE: Final = "beyond"
"""The kind of the note about a series: {"before": [end, asked at], "after": [end, asked at]}, in ms."""
_DAYS_BEYOND: Final = 8
"""Days asked in a row in a month that is not published: one at the end, and a week beyond it."""


@dataclass(frozen=True, slots=True)
class _Rows:
    """The first and the last row of a file."""

    first_ms: int
    last_ms: int


@dataclass(slots=True)
class _Walk:
    """How far files were followed in a run, and what those at the ends gave, by kind and start."""

    gave: dict[tuple[str, int], _Rows | NoCandles] = field(default_factory=dict)
    further: set[tuple[str, int]] = field(default_factory=set)
    moved: set[Side] = field(default_factory=set)

    def is_decided(self, file: ArchiveFile) -> bool:
        """Whether a file's content is known: one that could not be had, or is not sound, may have anything."""
        gave = self.gave.get(_key(file))
        return _is_absent(gave) if isinstance(gave, NoCandles) else gave is not None


class Beyond:
    """The ends of one venue's series in a run, by its bulk files; `recheck` ignores what is remembered."""

    def __init__(self, feed: Feed, knowledge: Knowledge, lives: Lives, report: Report, *, recheck: bool) -> None:
        self._feed = feed
        self._archive: Archive | None = None if feed.reader is None else feed.reader.archive
        self._knowledge = knowledge
        self._lives = lives
        self._report = report
        self._recheck = recheck
        self._walks: dict[Ledger, _Walk] = {}

    def parts(self, ledger: Ledger) -> list[FilePart]:
        """The files to ask for next when all else of a series is done; none when its ends are settled."""
        archive, series = self._archive, ledger.plan.series
        if archive is None or series.interval.name not in archive.intervals:
            return []
        if ledger.plan.files_only or ledger.refused is not None:
            return []
        files = [self._next(archive, ledger, side) for side in SIDES]
        return [FilePart(file, ()) for file in dict.fromkeys(file for file in files if file is not None)]

    def heard(self, ledger: Ledger, parts: Sequence[FilePart], checked: Checked) -> list[TimeRange]:
        """Take what a series' files, oldest first, gave together; returns the ranges that are wanted from now on.

        Parts of them in none of these files, because one between is missing, must be asked for.
        """
        if ledger.plan.files_only:
            return []
        times = checked.candles.open_times
        for file in (part.file for part in parts):
            inside = times[bisect_left(times, file.span.start_ms) : bisect_left(times, file.span.end_ms)]
            if len(inside):
                self._keep(ledger, file, _Rows(inside[0], inside[-1]))
        asked = ledger.plan.asked
        asked_for = times[bisect_left(times, asked.start_ms) : bisect_left(times, asked.end_ms)]
        if not len(asked_for):
            return []
        return [part for part in (self._begins(ledger, asked_for[0]), self._goes_on(ledger, asked_for[-1])) if part]

    def silent(self, ledger: Ledger, file: ArchiveFile, why: NoCandles) -> None:
        """Note that a file gives nothing, and why."""
        self._keep(ledger, file, why)

    def _begins(self, ledger: Ledger, first_ms: int) -> TimeRange:
        series, start_ms = ledger.plan.series, ledger.start_ms
        if first_ms >= start_ms:
            return TimeRange(start_ms, start_ms)
        ledger.begins(first_ms)
        self._report.begun[str(series)] = BegunSeries(str(series), first_ms)
        self._lives.remember_first(series, first_ms, "file")
        self._walk(ledger).moved.add("before")
        return TimeRange(first_ms, start_ms)

    def _goes_on(self, ledger: Ledger, last_ms: int) -> TimeRange:
        series, end_ms = ledger.plan.series, ledger.end_ms
        if last_ms < end_ms:
            return TimeRange(end_ms, end_ms)
        after_ms = last_ms + series.interval.ms
        ledger.goes_on(after_ms)
        self._lives.remember_last(series, last_ms)
        self._walk(ledger).moved.add("after")
        return TimeRange(end_ms, after_ms)

    # The next file of a side

    def _next(self, archive: Archive, ledger: Ledger, side: Side) -> ArchiveFile | None:
        end_ms = _end(ledger, side)
        if end_ms is None:
            return None
        walk = self._walk(ledger)
        day = archive.day_file(ledger.plan.series, end_ms - 1 if side == "before" else end_ms)
        near = self._near(archive, ledger, side, end_ms, day)
        if not near:
            return None
        if any(_has_rows_of_day(walk.gave.get(_key(file)), side, day.span) for file in near):
            self._remember(ledger.plan.series, side, end_ms)
            return None
        unasked = next((file for file in near if _key(file) not in walk.gave), None)
        if unasked is not None:
            return unasked
        around = (*near, *self._further(archive, ledger, side, day))
        undecided = next((file for file in around if not walk.is_decided(file)), None)
        if undecided is None:
            self._settle(archive, ledger, side, end_ms, near)
            return None
        gave = walk.gave.get(_key(undecided))
        if isinstance(gave, NoCandles):
            self._leave_open(ledger, side, end_ms, gave.detail)
            return None
        walk.further.add(_key(undecided))
        return undecided

    def _near(
        self, archive: Archive, ledger: Ledger, side: Side, end_ms: int, day: ArchiveFile
    ) -> Sequence[ArchiveFile]:
        """The published files of the day beyond an end and of its month; none if nothing is due."""
        month = archive.month_file(ledger.plan.series, day.span.start_ms)
        moved = side in self._walk(ledger).moved
        if not self._published(archive, day) or not (moved or self._is_due(archive, ledger, side, end_ms, day, month)):
            return ()
        # Ask for a small file first, for it rarely has anything; once there is more, months take fewer requests.
        return [file for file in ((month, day) if moved else (day, month)) if self._published(archive, file)]

    def _settle(self, archive: Archive, ledger: Ledger, side: Side, end_ms: int, near: Sequence[ArchiveFile]) -> None:
        """Settle the end if no file around it has more: for good, unless a file may still come."""
        walk, now_ms = self._walk(ledger), self._feed.now_ms()
        lacking = [file for file in near if isinstance(walk.gave[_key(file)], NoCandles)]
        if not any(_is_late(archive, file, now_ms) for file in lacking):
            self._remember(ledger.plan.series, side, end_ms)
        elif side == "before" and side in walk.moved:
            # Files were right about this end, and the next one may still come.
            self._report.begun.pop(str(ledger.plan.series), None)

    def _further(self, archive: Archive, ledger: Ledger, side: Side, day: ArchiveFile) -> list[ArchiveFile]:
        """The files of the next days and the next month beyond a day without a file."""
        series, asked, month = ledger.plan.series, ledger.plan.asked, month_of(day.span.start_ms)
        step_ms, next_month_ms = (-DAY_MS, month.start_ms - 1) if side == "before" else (DAY_MS, month.end_ms)
        days = [archive.day_file(series, day.span.start_ms + count * step_ms) for count in range(1, _DAYS_BEYOND)]
        # A published month tells itself what it has.
        apart = (one for one in days[1:] if not self._published(archive, archive.month_file(series, one.span.start_ms)))
        files = [days[0], *apart, archive.month_file(series, next_month_ms)]
        return [file for file in files if file.span.clip(asked) and self._published(archive, file)]

    def _klines_alone(self) -> bool:
        """Whether the file server cannot be reached, so that klines are all the evidence there is."""
        return self._feed.asks_api and self._feed.reader is not None and self._feed.reader.dead

    def _leave_open(self, ledger: Ledger, side: Side, end_ms: int, words: str) -> None:
        if self._klines_alone():
            return
        series = ledger.plan.series
        where = f"{'before' if side == 'before' else 'from'} {iso(end_ms)}{'' if side == 'before' else ' on'}"
        ledger.unproven_ends[side] = f"whether there are candles {where} is not known, the next run asks again: {words}"
        log.warning("end not proven series=%s side=%s end=%s error=%s", series, side, iso(end_ms), words)
        if side == "before":
            self._report.begun.pop(str(series), None)

    def _published(self, archive: Archive, file: ArchiveFile) -> bool:
        return archive.first_ms <= file.span.start_ms and archive.expected_ms(file) <= self._feed.now_ms()

    def _walk(self, ledger: Ledger) -> _Walk:
        return self._walks.setdefault(ledger, _Walk())

    def _keep(self, ledger: Ledger, file: ArchiveFile, gave: _Rows | NoCandles) -> None:
        """Keep what a file gave if it lies at an end or was asked for beyond one; others say nothing about the ends."""
        ends = [_end(ledger, side) for side in SIDES]
        walk = self._walk(ledger)
        if _key(file) in walk.further or any(
            end_ms is not None and file.span.start_ms <= end_ms <= file.span.end_ms for end_ms in ends
        ):
            walk.gave[_key(file)] = gave

    # What is remembered

    def _is_due(
        self, archive: Archive, ledger: Ledger, side: Side, end_ms: int, day: ArchiveFile, month: ArchiveFile
    ) -> bool:
        """Whether files beyond this end were not asked for, or something has become due since."""
        now_ms = self._feed.now_ms()
        noted = None if self._recheck else self._knowledge.fact(ledger.plan.series, NOTE, now_ms)
        match noted.get(side) if isinstance(noted, dict) else None:
            case [int(noted_end_ms), int(asked_ms)] if noted_end_ms == end_ms:
                expected_ms = archive.expected_ms(day)
                moments = (expected_ms, expected_ms + LATE_MS, archive.expected_ms(month))
                return any(asked_ms < moment_ms <= now_ms for moment_ms in moments)
        return True

    def _remember(self, series: Series, side: Side, end_ms: int) -> None:
        now_ms = self._feed.now_ms()
        noted = self._knowledge.value(series, NOTE)
        others = noted if isinstance(noted, dict) else {}
        self._knowledge.put(series, NOTE, {**others, side: [end_ms, now_ms]}, venue_ms=now_ms)


def _end(ledger: Ledger, side: Side) -> int | None:
    """The end of what is wanted on a side, within the range asked for; None if nothing was asked for beyond it."""
    asked = ledger.plan.asked
    if side == "before":
        end_ms = min(ledger.start_ms, asked.end_ms)
        return end_ms if asked.start_ms < end_ms else None
    end_ms = max(ledger.end_ms, asked.start_ms)
    return end_ms if end_ms < asked.end_ms else None


def _key(file: ArchiveFile) -> tuple[str, int]:
    return file.kind, file.span.start_ms


def _has_rows_of_day(gave: _Rows | NoCandles | None, side: Side, day: TimeRange) -> bool:
    """Whether a file has rows of the day beyond an end; none lies beyond the end, or it would be another."""
    if not isinstance(gave, _Rows):
        return False
    time_ms = gave.first_ms if side == "before" else gave.last_ms
    return day.start_ms <= time_ms < day.end_ms


def _is_absent(gave: NoCandles) -> bool:
    """Whether a file is absent from a server that has files."""
    return gave.absent and gave.reached


def _is_late(archive: Archive, file: ArchiveFile, now_ms: int) -> bool:
    """Whether an absent file may still come."""
    return now_ms < archive.expected_ms(file) + LATE_MS
