"""Known holes checked against bulk files: which ones in this run, and how the check starts."""

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
    """The days whose known holes are checked against files: those of `choice`, and `riding` ones.

    Files of riding days may be read anyway, for missing candles.
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
        """Choose from the `due` days; `hole_days` are the days of all known holes and rejects."""
        read = {series: [part.file.span for part in split.files] for series, split in splits.items()}
        riding = {series: touched_days(days, may_be_read(splits[series])) for series, days in hole_days.items()}
        return cls(choose(due, read, FILES_A_RUN), riding)

    def due(self, series: Series) -> frozenset[int]:
        """The chosen days of a series: files are fetched for their holes."""
        return self.choice.days.get(series, frozenset())

    def days(self, series: Series) -> frozenset[int]:
        return self.due(series) | self.riding.get(series, frozenset())


def may_be_read(split: Split) -> list[TimeRange]:
    """The ranges of files that may be read anyway: for missing candles, and for candles the API may lack."""
    days = (day_of(day.start_ms) for part in split.rest for day in part.days())
    return union([*(part.file.span for part in split.files), *days])


async def hold_against_files(
    store: Store, feed: Feed, ledgers: Sequence[Ledger], holding: Holding, report: Report
) -> None:
    """Reopen the chosen holes of a venue's series; fetch files at once for a series without missing candles.

    A file that is read anyway fills holes and rejects of its `riding` days. Other series get the files of their due
    days when all else of the series is done: by then other files may have told.
    """
    chosen = [ledger for ledger in ledgers if holding.days(ledger.plan.series)]

    async def reopen(ledger: Ledger) -> None:
        series = ledger.plan.series
        own = holding.days(series)
        # Read again instead of kept: the known holes of all series would take much memory.
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
