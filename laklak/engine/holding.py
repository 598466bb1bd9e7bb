"""Known holes held against bulk files: which of them in this run, and how that begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from laklak.archives.base import day_of
from laklak.archives.evidence import FILES_A_RUN, Choice, DueDay, choose, touched_days
from laklak.archives.split import Split
from laklak.engine.store_work import each
from laklak.model.series import DAY_MS, Series, TimeRange
from laklak.model.spans import union
from laklak.report.ledger import Ledger
from laklak.report.progress import Report
from laklak.sources.venue import Feed
from laklak.stores.base import Store


@dataclass(frozen=True, slots=True)
class Holding:
    """Which days of known holes are held against files: those of the `choice`, and the `riding` ones.

    Files of these may be read anyway, for what is missing.
    """

    choice: Choice
    riding: Mapping[Series, frozenset[int]]

    @classmethod
    def of(
        cls,
        due: Mapping[Series, Sequence[DueDay]],
        hole_days: Mapping[Series, Sequence[int]],
        splits: Mapping[Series, Split],
    ) -> Self:
        """Choose of days that are `due`; `hole_days` are those of all known holes and rejects."""
        read = {series: [part.file.span for part in split.files] for series, split in splits.items()}
        riding = {series: touched_days(days, may_be_read(splits[series])) for series, days in hole_days.items()}
        return cls(choose(due, read, FILES_A_RUN), riding)

    def due(self, series: Series) -> frozenset[int]:
        """The days of a series for whose holes files are asked."""
        return self.choice.days.get(series, frozenset())

    def days(self, series: Series) -> frozenset[int]:
        return self.due(series) | self.riding.get(series, frozenset())


def may_be_read(split: Split) -> list[TimeRange]:
    """What lies in files that may be read for what is missing: what the API lacks is held against files, too."""
    days = (day_of(day.start_ms) for part in split.rest for day in part.days())
    return union([*(part.file.span for part in split.files), *days])


async def hold_against_files(
    store: Store, feed: Feed, ledgers: Sequence[Ledger], holding: Holding, report: Report
) -> None:
    """Reopen the chosen holes of a venue's series; files of series of which nothing is missing are asked at once.

    Holes and rejects of `riding` days are filled where a file has them that is read anyway.  Those of other series are
    asked when everything else of their series is through: until then other files may have told.
    """
    chosen = [ledger for ledger in ledgers if holding.days(ledger.plan.series)]

    async def reopen(ledger: Ledger) -> None:
        series = ledger.plan.series
        own = holding.days(series)
        # Read once more: all known holes of all series at once would be many.
        span = TimeRange(min(own), max(own) + DAY_MS).clip(ledger.plan.wanted)
        absences = await store.absences(series, span)
        ledger.reopened |= feed.evidence.reopen(series, absences, holding.due(series), own)
        ledger.rejected_before |= {one.open_time_ms for one in absences if one.kind == "rejected"}

    await each(chosen, reopen)
    for ledger in chosen:
        if not ledger.plan.missing:
            parts = feed.evidence.parts(ledger.plan.series)
            feed.backlog.add_files(ledger, parts)
            report.files.planned += len(parts)
