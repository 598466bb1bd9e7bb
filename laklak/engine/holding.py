"""Known holes held against bulk files: which of them in this run, and how that begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from laklak.archives.base import day_of
from laklak.archives.evidence import Choice
from laklak.archives.split import Split
from laklak.engine.store_work import each
from laklak.model.series import DAY_MS, Series, TimeRange
from laklak.model.spans import union
from laklak.report.ledger import Ledger
from laklak.report.progress import Report
from laklak.sources.venue import Feed
from laklak.stores.base import Store


def spans_read(splits: Mapping[Series, Split]) -> dict[Series, list[TimeRange]]:
    """What lies in files that are read anyway, for what is missing."""
    return {series: [part.file.span for part in split.files] for series, split in splits.items()}


def may_be_read(split: Split) -> list[TimeRange]:
    """What lies in files that may be read for what is missing: what the API lacks is held against files, too."""
    days = (day_of(day.start_ms) for part in split.rest for day in part.days())
    return union([*(part.file.span for part in split.files), *days])


async def hold_against_files(
    store: Store,
    feed: Feed,
    ledgers: Sequence[Ledger],
    choice: Choice,
    riding: Mapping[Series, frozenset[int]],
    report: Report,
) -> None:
    """Reopen the chosen holes of a venue's series; files of series of which nothing is missing are asked at once.

    Holes and rejects of `riding` days are filled where a file has them that is read anyway.

    Those of others are asked when everything else of their series is through: until then other files may have told.
    """
    days = {
        ledger: choice.days.get(ledger.plan.series, frozenset()) | riding.get(ledger.plan.series, frozenset())
        for ledger in ledgers
    }
    chosen = [ledger for ledger in ledgers if days[ledger]]

    async def reopen(ledger: Ledger) -> None:
        series, own = ledger.plan.series, days[ledger]
        # Read once more: all known holes of all series at once would be many.
        span = TimeRange(min(own), max(own) + DAY_MS).clip(ledger.plan.wanted)
        due = choice.days.get(series, frozenset())
        absences = await store.absences(series, span)
        ledger.reopened |= feed.evidence.reopen(series, absences, due, own)
        ledger.rejected_before |= {one.open_time_ms for one in absences if one.kind == "rejected"}

    await each(chosen, reopen)
    for ledger in chosen:
        if not ledger.plan.missing:
            parts = feed.evidence.parts(ledger.plan.series)
            feed.backlog.add_files(ledger, parts)
            report.files.planned += len(parts)
