"""What bulk files say of minutes that the API lacks: which file to ask, and what it said.  Pure.

Files have candles that the API has lost, and the other way round, so a minute is remembered as a hole, and a bad row as
rejected, only once the file of its day has been asked too:

    the file of the day            the minute
    is not due yet                 is remembered; a hole is checked against the file later, see `is_due`,
                                   a bad row only by a recheck
    has it, and the row is sound   is stored
    lacks it                       is remembered, with the file's answer
    is not there, or not sound     is checked against the file of its month, if that is due by now; if that
                                   does not have it either, it is remembered, with both answers: an unsound file
                                   cannot know, and does not get better
    cannot be fetched now          stays missing, or the known hole that it was

A file that was read for other minutes counts as asked, so none is asked twice in a run, and its candles for known
holes, due or not, and for known rejects are stored.  Only a month that has nothing of a whole day says nothing about
it: such months are published while the file of the day is there.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Final

from laklak.archives.base import Archive, ArchiveFile, FileKind
from laklak.archives.split import FilePart
from laklak.model.absences import Absence
from laklak.model.provenance import ARCHIVE
from laklak.model.series import DAY_MS, Series, TimeRange
from laklak.model.spans import gaps, runs
from laklak.plan.rows import Checked

LATE_MS: Final = 7 * DAY_MS
"""Files come late and are replaced: ask once more this long after the day the file was due."""
CLOCKS_APART_MS: Final = DAY_MS
"""The clocks of two runs may differ by this, which is less than LATE_MS: one of the two asks a published file."""
FILES_A_RUN: Final = 500
"""Files to ask in a run for known holes, at most: an old store is checked against them little by little."""


_NOT_THERE: Final = "is not there"
_NOT_SOUND: Final = "is not sound"


def silence(file: ArchiveFile, unsound: str | None) -> str:
    """Say that a file has nothing to give: it is not there, or it is `unsound`, for that reason."""
    return f"{file.name} {_NOT_THERE if unsound is None else f'{_NOT_SOUND} ({unsound})'}"


def is_due(hole: Absence, expected_ms: int, now_ms: int) -> bool:
    """Whether to check a known hole against the file of its day, which is expected at `expected_ms`.

    Check once when it is expected, and once LATE_MS after that.  A note from before a file could be expected, or by a
    clock more than CLOCKS_APART_MS ahead of `now_ms`, does not count.  Example, for a file that is expected on the 2nd
    at 9:00:

        checked on      never     2nd, 9:30   5th       9th, 9:00 or later
        is due from     2nd, 9:00 9th, 9:00   9th, 9:00 never again
    """
    if hole.file_ms is None or not expected_ms <= hole.file_ms <= now_ms + CLOCKS_APART_MS:
        return expected_ms <= now_ms
    return hole.file_ms < expected_ms + LATE_MS <= now_ms


@dataclass(frozen=True, slots=True)
class DueDay:
    """Due known holes of one UTC day, and when the oldest note of them was taken."""

    day_ms: int
    holes: int
    noted_ms: int


@dataclass(frozen=True, slots=True)
class Choice:
    """The days whose known holes a run checks against files, and what is left for later runs."""

    days: Mapping[Series, frozenset[int]]
    holes: int
    files: int
    later_holes: int


def choose(
    due: Mapping[Series, Sequence[DueDay]], read_anyway: Mapping[Series, Sequence[TimeRange]], most: int
) -> Choice:
    """Take all days inside spans of files that are `read_anyway`, and the `most` others with the oldest notes."""
    days: dict[Series, set[int]] = {}
    others: list[tuple[int, str, int, int, Series]] = []
    holes = files = 0
    for series, own in due.items():
        spans = read_anyway.get(series, ())
        for day in own:
            if any(span.start_ms <= day.day_ms < span.end_ms for span in spans):
                days.setdefault(series, set()).add(day.day_ms)
                holes, files = holes + day.holes, files + 1
            else:
                others.append((day.noted_ms, str(series), day.day_ms, day.holes, series))
    others.sort(key=lambda one: one[:3])
    for _, _, day_ms, count, series in others[:most]:
        days.setdefault(series, set()).add(day_ms)
        holes, files = holes + count, files + 1
    left = others[most:]
    chosen = {series: frozenset(own) for series, own in days.items()}
    return Choice(chosen, holes, files, sum(one[3] for one in left))


def touched_days(days: Iterable[int], parts: Sequence[TimeRange]) -> frozenset[int]:
    """Return those of `days` of which `parts` (in order, disjoint) have a minute."""
    ends = [part.end_ms for part in parts]
    found = []
    for day_ms in days:
        place = bisect_right(ends, day_ms)
        if place < len(parts) and parts[place].start_ms < day_ms + DAY_MS:
            found.append(day_ms)
    return frozenset(found)


@dataclass(frozen=True, slots=True)
class AbsenceVerdict:
    """What is known now: minutes that a file has, to store; absences to remember; absences that nothing proves."""

    found: Sequence[TimeRange] = ()
    proven: Sequence[Absence] = ()
    unproven: Sequence[Absence] = ()
    why: str = ""
    """Why nothing proves them."""


@dataclass(frozen=True, slots=True)
class _Said:
    """What a file said of a day. `lacks` None: it is not there or not sound, so it lacks everything."""

    at_ms: int
    words: str
    lacks: Sequence[TimeRange] | None = None
    refused: Mapping[int | None, str] = field(default_factory=dict)
    reached: bool = True

    def has(self, time_ms: int) -> bool:
        lacks = self.lacks
        return lacks is not None and not any(part.start_ms <= time_ms < part.end_ms for part in lacks)

    def about(self, absence: Absence) -> Absence:
        """Return the absence with what the file said, in place of what an earlier one said."""
        row = self.refused.get(absence.open_time_ms)
        words = self.words if row is None else f"{self.words}: {row}"
        reason = f"{absence.reason.partition('; ')[0]}; {words}"
        sources = tuple(dict.fromkeys((*absence.sources, ARCHIVE)))
        return replace(absence, file_ms=self.at_ms, reason=reason, sources=sources)

    def together(self, other: _Said) -> _Said:
        """Join what two files say that have nothing."""
        return _Said(max(self.at_ms, other.at_ms), f"{self.words}, {other.words}", reached=other.reached)


@dataclass(slots=True)
class _OfSeries:
    """The minutes that wait for a file, by day and open_time, those known before, and what files have said, by day.

    `riding`: open_times of known holes and rejects, by day, for which nothing is asked. `silent`: why files gave
    nothing, by kind and first moment; a month stands there, too, if it lacks whole days.
    """

    waiting: dict[int, dict[int, Absence]] = field(default_factory=dict)
    riding: dict[int, list[int]] = field(default_factory=dict)
    known: set[int] = field(default_factory=set)
    said: dict[int, _Said] = field(default_factory=dict)
    silent: dict[tuple[FileKind, int], _Said] = field(default_factory=dict)

    def settled_by(self, said: _Said, day_ms: int) -> tuple[list[int], list[Absence]]:
        """Settle what waits for a day by its file's answer; return the minutes it has, and the absences it confirms."""
        self.said[day_ms] = said
        waiting = sorted(self.waiting.pop(day_ms, {}).items())
        there = [time_ms for time_ms in (*self.riding.pop(day_ms, ()), *dict(waiting)) if said.has(time_ms)]
        return there, [said.about(absence) for time_ms, absence in waiting if not said.has(time_ms)]


class Evidence:
    """The minutes of one venue's series that wait for what files say, during a run.

    Args:
        archive: whose files to ask; None if none may be asked: then nothing waits.
        now_ms: returns the venue's clock.
    """

    def __init__(self, archive: Archive | None, now_ms: Callable[[], int]) -> None:
        self._archive = archive
        self._now_ms = now_ms
        self._series: dict[Series, _OfSeries] = {}

    def sift(self, series: Series, absences: Sequence[Absence]) -> AbsenceVerdict:
        """Take what the API has settled, in order; return what may be remembered, let the rest wait for its file."""
        proven: list[Absence] = []
        unproven: list[Absence] = []
        why = ""
        for day_ms, of_day in groupby(absences, key=_day_of):
            if self._published(series, day_ms) is None:
                proven += of_day
                continue
            own = self._series.setdefault(series, _OfSeries())
            said = self._said(own, series, day_ms)
            for absence in of_day:
                if said is None or said.has(absence.open_time_ms):
                    own.waiting.setdefault(day_ms, {})[absence.open_time_ms] = absence
                elif said.reached:
                    proven.append(said.about(absence))
                else:
                    unproven.append(absence)
                    why = said.words
        return AbsenceVerdict((), proven, unproven, why)

    def due_days(self, series: Series, known: Iterable[Absence]) -> tuple[DueDay, ...]:
        """Return the days of known absences (in order) with holes that are due."""
        found = []
        for day_ms, of_day in groupby(known, key=_day_of):
            due = self._due(series, day_ms, self._absent(series, day_ms, of_day))
            if due:
                noted_ms = min(hole.confirmed_at_ms if hole.file_ms is None else hole.file_ms for hole in due)
                found.append(DueDay(day_ms, len(due), noted_ms))
        return tuple(found)

    def hole_days(self, series: Series, known: Iterable[Absence]) -> list[int]:
        """Return the days of known absences (in order) with holes or rejects that a file may have, due or not."""
        return [day_ms for day_ms, of_day in groupby(known, key=_day_of) if self._absent(series, day_ms, of_day)]

    def reopen(
        self, series: Series, known: Iterable[Absence], days: frozenset[int], riding: frozenset[int] = frozenset()
    ) -> set[int]:
        """Let the due ones of these days' known holes (in order) wait for their files; return their open_times.

        Of `riding` days, holes that are not due and known rejects are stored if a file that is read anyway has them.
        """
        own = self._series.setdefault(series, _OfSeries())
        reopened: set[int] = set()
        for day_ms, of_day in groupby(known, key=_day_of):
            if day_ms not in days and day_ms not in riding:
                continue
            absent = self._absent(series, day_ms, of_day)
            due = {hole.open_time_ms: hole for hole in self._due(series, day_ms, absent)} if day_ms in days else {}
            if due:
                own.waiting.setdefault(day_ms, {}).update(due)
            others = [one.open_time_ms for one in absent if day_ms in riding and one.open_time_ms not in due]
            if others:
                own.riding[day_ms] = others
            reopened.update(due, others)
        own.known |= reopened
        return reopened

    def parts(self, series: Series) -> list[FilePart]:
        """Return the files to ask for what waits, oldest first. Do not call it while one of them is on its way."""
        own = self._series.get(series)
        if own is None or self._archive is None:
            return []
        times: dict[ArchiveFile, list[int]] = {}
        for day_ms, waiting in sorted(own.waiting.items()):
            file = self._archive.day_file(series, day_ms)
            if ("day", day_ms) in own.silent:
                file = self._archive.month_file(series, day_ms)
            times.setdefault(file, []).extend(sorted(waiting))
        return [FilePart(file, tuple(runs(wanted, series.interval)), proof=True) for file, wanted in times.items()]

    def heard(self, parts: Sequence[FilePart], checked: Checked) -> AbsenceVerdict:
        """Take what files of one series, oldest first, gave together, whatever they were read for."""
        series = parts[0].file.series
        times = checked.candles.open_times
        whole = len(times) == sum(part.file.candles for part in parts)
        own = self._series.get(series)
        # A whole file lacks nothing that a later question could ask for; for most files that is all.
        if whole and (own is None or not (own.waiting or own.riding)):
            return AbsenceVerdict()
        own = self._series.setdefault(series, _OfSeries())
        refused = {refusal.open_time_ms: refusal.reason for refusal in checked.refusals}
        found: list[int] = []
        proven: list[Absence] = []
        for file in (part.file for part in parts):
            for day in file.span.days():
                present = times[bisect_left(times, day.start_ms) : bisect_left(times, day.end_ms)]
                if file.kind == "month" and not present:
                    nothing = _Said(self._now_ms(), f"{file.name} has nothing of the day")
                    own.silent["month", file.span.start_ms] = nothing
                    proven += self._settled(own, series, day.start_ms).proven
                    continue
                lacks = gaps(day, present, series.interval) if len(present) != day.count(series.interval) else []
                said = _Said(self._now_ms(), f"{file.name} lacks it too", lacks, refused)
                there, absent = own.settled_by(said, day.start_ms)
                found += there
                proven += absent
        return AbsenceVerdict(runs(sorted(found), series.interval), proven)

    def not_heard(self, part: FilePart, words: str, *, reached: bool) -> AbsenceVerdict:
        """Note that a file gives nothing, and why: see `silence`, or it could not be `reached`."""
        file = part.file
        own = self._series.setdefault(file.series, _OfSeries())
        own.silent[file.kind, file.span.start_ms] = _Said(self._now_ms(), words, reached=reached)
        days = sorted(day_ms for day_ms in own.waiting if file.span.start_ms <= day_ms < file.span.end_ms)
        settled = [self._settled(own, file.series, day_ms) for day_ms in days]
        return AbsenceVerdict(
            (),
            [absence for one in settled for absence in one.proven],
            [absence for one in settled for absence in one.unproven],
            next((one.why for one in settled if one.why), ""),
        )

    def _said(self, own: _OfSeries, series: Series, day_ms: int) -> _Said | None:
        """Return what files have said of a day, or why they say nothing; None while there is one to ask."""
        if day_ms in own.said:
            return own.said[day_ms]
        of_day = own.silent.get(("day", day_ms))
        if of_day is None or not of_day.reached or self._archive is None:
            return of_day
        month = self._archive.month_file(series, day_ms)
        if not self._is_expected(month):
            return of_day
        of_month = own.silent.get(("month", month.span.start_ms))
        return None if of_month is None else of_day.together(of_month) if of_month.reached else of_month

    def _settled(self, own: _OfSeries, series: Series, day_ms: int) -> AbsenceVerdict:
        """Settle what waits for a day that no file has anything of; nothing while there is one to ask."""
        said = self._said(own, series, day_ms)
        if said is None or day_ms in own.said:
            return AbsenceVerdict()
        absences = [absence for _, absence in sorted(own.waiting.pop(day_ms, {}).items())]
        if said.reached:
            return AbsenceVerdict((), [said.about(absence) for absence in absences])
        return AbsenceVerdict((), (), [one for one in absences if one.open_time_ms not in own.known], said.words)

    def _absent(self, series: Series, day_ms: int, known: Iterable[Absence]) -> list[Absence]:
        """Return the holes and rejects of a day that a file may have by now."""
        if self._published(series, day_ms) is None:
            return []
        return [one for one in known if one.kind in ("hole", "rejected") and not one.open_time_ms % series.interval.ms]

    def _due(self, series: Series, day_ms: int, absent: Iterable[Absence]) -> list[Absence]:
        """Return the due holes among them; for rejects no file is asked."""
        holes = [one for one in absent if one.kind == "hole"]
        if self._archive is None:
            return []
        now_ms = self._now_ms()
        day_ms, month_ms = (
            self._archive.expected_ms(file)
            for file in (self._archive.day_file(series, day_ms), self._archive.month_file(series, day_ms))
        )
        return [hole for hole in holes if is_due(hole, day_ms, now_ms) or _waits_for_month(hole, month_ms, now_ms)]

    def _is_expected(self, file: ArchiveFile) -> bool:
        archive = self._archive
        return (
            archive is not None
            and archive.first_ms <= file.span.start_ms
            and archive.expected_ms(file) <= self._now_ms()
        )

    def _published(self, series: Series, day_ms: int) -> ArchiveFile | None:
        """Return the file of a day, if it is due by now."""
        archive = self._archive
        if archive is None or series.interval.name not in archive.intervals or day_ms < archive.first_ms:
            return None
        file = archive.day_file(series, day_ms)
        return file if archive.expected_ms(file) <= self._now_ms() else None


def _waits_for_month(hole: Absence, expected_ms: int, now_ms: int) -> bool:
    """Whether the day's file gave nothing at a time when the month's file was not due yet, as it is now."""
    words = hole.reason.partition("; ")[2]
    gave_nothing = _NOT_THERE in words or _NOT_SOUND in words
    return gave_nothing and hole.file_ms is not None and hole.file_ms < expected_ms <= now_ms


def _day_of(absence: Absence) -> int:
    return absence.open_time_ms - absence.open_time_ms % DAY_MS
