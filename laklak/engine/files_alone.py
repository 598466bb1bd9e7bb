"""Series that only bulk files have: the files decide on what they lack (see laklak.archives.unlisted)."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final

from laklak.archives import Archive
from laklak.archives.unlisted import FilesRead, SettledFiles, Shelf, Trace, settle_files
from laklak.engine.listing import UNLISTED
from laklak.model.absences import Absence
from laklak.model.candles import places
from laklak.model.provenance import ARCHIVE
from laklak.model.series import Interval, TimeRange
from laklak.model.spans import union
from laklak.plan.rows import Checked, Refusal
from laklak.report.ledger import NO_SOURCE, Ledger
from laklak.sources.archive import NoCandles
from laklak.sources.venue import Feed
from laklak.stores.knowledge import Knowledge

NOBODY_ELSE: Final = "the bulk files lack it, and the API does not know the symbol"
_NO_SOURCE: Final = "not in the bulk files, and nothing else is to be asked"


class FilesAlone:
    """Collects what the files of such series show in a run, and decides on the rest at its end."""

    def __init__(self, knowledge: Knowledge) -> None:
        self._knowledge = knowledge
        self._read: dict[Ledger, FilesRead] = {}

    def saw(self, ledger: Ledger, checked: Checked) -> None:
        """Note files that have been read, with all their rows."""
        self._of(ledger).saw(checked.candles.open_times)

    def lacks(self, ledger: Ledger, parts: Sequence[TimeRange], why: NoCandles) -> None:
        """Note ranges without a file: it does not exist, or it cannot be had now and they are missing."""
        if why.absent and why.reached:
            self._of(ledger).absent += parts
        else:
            ledger.trouble(NO_SOURCE, _count(ledger, parts), why.detail)

    async def settle(
        self,
        feed: Feed,
        archive: Archive,
        ledger: Ledger,
        stored: Sequence[int],
        api_has_nothing: Callable[[], Awaitable[bool]],
    ) -> list[Absence]:
        """Decide on what the files lack, when all are done; minutes that are `stored` all the same stay so.

        Returns the absences to remember. Minutes outside the files are not wanted, and that is remembered; those
        between are holes if `api_has_nothing` of the series, which is asked only if something depends on it.
        """
        plan, now_ms = ledger.plan, feed.now_ms()
        doubts = ledger.take_doubts()
        lacking = union(doubts.lacking)
        read = self._read.pop(ledger, FilesRead())
        settled = settle_files(read, lacking, plan.wanted, Shelf(archive, plan.series, now_ms))
        trace = Trace.of(self._knowledge.value(plan.series, UNLISTED))
        self._leave_out(ledger, settled, stored, trace)
        ledger.trouble(NO_SOURCE, _count(ledger, settled.late), _NO_SOURCE)
        if not (settled.holes or doubts.refused):
            return []
        if not await api_has_nothing():
            ledger.trouble(NO_SOURCE, _count(ledger, settled.holes) + len(doubts.refused), _NO_SOURCE)
            return []
        absences = _holes(ledger, settled.holes, now_ms) + _rejects(
            plan.series.interval, doubts.refused.values(), now_ms
        )
        return sorted(absences, key=lambda absence: absence.open_time_ms)

    def _leave_out(self, ledger: Ledger, settled: SettledFiles, stored: Sequence[int], trace: Trace) -> None:
        """Drop what lies outside from what is wanted, and remember what will stay outside."""
        kept = sum(part.stop - part.start for part in places(stored, settled.outside))
        ledger.kept += kept
        ledger.outside += _count(ledger, settled.outside) - kept
        note = self._knowledge.note(ledger.plan.series, UNLISTED)
        if note is not None and settled.proven and not kept:
            outside = tuple(union([*trace.outside, *settled.proven]))
            self._knowledge.put(
                ledger.plan.series, UNLISTED, replace(trace, outside=outside).as_json(), venue_ms=note.venue_ms
            )

    def _of(self, ledger: Ledger) -> FilesRead:
        return self._read.setdefault(ledger, FilesRead())


def _holes(ledger: Ledger, parts: Iterable[TimeRange], now_ms: int) -> list[Absence]:
    stamp_ms = time.time_ns() // 1_000_000
    lacking = (
        Absence(part, "hole", stamp_ms, NOBODY_ELSE, venue_ms=now_ms, file_ms=now_ms, sources=(ARCHIVE,))
        for part in parts
    )
    return [absence for one in lacking for absence in one.candles(ledger.plan.series.interval)]


def _rejects(interval: Interval, refusals: Iterable[Refusal], now_ms: int) -> list[Absence]:
    """Rejects that need no second answer: a file with its checksum says the same each time."""
    stamp_ms = time.time_ns() // 1_000_000
    return [
        Absence.at(interval, one.open_time_ms, "rejected", stamp_ms, one.reason, one.row, now_ms, now_ms, (ARCHIVE,))
        for one in refusals
        if one.open_time_ms is not None
    ]


def _count(ledger: Ledger, parts: Iterable[TimeRange]) -> int:
    return sum(part.count(ledger.plan.series.interval) for part in parts)
