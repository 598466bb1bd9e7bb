"""What a run records beside its account: which older gaps it filled, and how far it came."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from laklak.errors import in_short
from laklak.model.account import Account
from laklak.model.records import EVERY_SYMBOL, GapFill
from laklak.model.series import Series
from laklak.plan.wanted import FailedSeries
from laklak.report.ledger import NOT_YET, Ledger
from laklak.report.progress import Report
from laklak.sources.venue import Feed
from laklak.stores.knowledge import Knowledge, note_published, note_turn


def gap_fills(report: Report, feeds: Sequence[Feed]) -> list[GapFill]:
    """A row for each series in which something older than the last run's end was filled, or something failed.

    Candles that closed since the last run are in the run's sum alone: rows for them would be as many as the candles. A
    venue that ended early is one row.
    """
    every = [*_of_series(report, feeds), *_of_venues(report, feeds), *_of_unknown(report)]
    return list({(one.venue, one.symbol): one for one in reversed(every)}.values())[::-1]


def note_turns(knowledge: Knowledge, report: Report) -> None:
    """Note how far each venue's candles reached in this run, and up to where delayed feeds have told."""
    ends: dict[str, tuple[Ledger, int]] = {}
    for ledger in report.ledgers:
        series, end_ms = ledger.plan.series, ledger.newest_ms + ledger.plan.series.interval.ms
        if ledger.newest_ms >= 0 and end_ms > ends.get(series.venue, (ledger, 0))[1]:
            ends[series.venue] = (ledger, end_ms)
    for venue, (ledger, end_ms) in ends.items():
        note_turn(knowledge, venue, ledger.plan.series.interval, end_ms)
    told = {one.plan.series: one.published_ms for one in report.ledgers if one.published_ms is not None}
    for venue in {series.venue for series in told}:
        note_published(knowledge, venue, {series: at for series, at in told.items() if series.venue == venue})


def _of_series(report: Report, feeds: Sequence[Feed]) -> Iterator[GapFill]:
    ended = {feed.name for feed in feeds if feed.end is not None}
    for ledger in report.ledgers:
        series = ledger.plan.series
        failure = None if series.venue in ended else ledger.failure(but=NOT_YET)
        if ledger.missed or failure is not None:
            yield _fill(series.venue, series.symbol, [ledger], None if failure is None else _told(failure))


def _of_venues(report: Report, feeds: Sequence[Feed]) -> Iterator[GapFill]:
    for feed in feeds:
        ledgers = [one for one in report.ledgers if one.plan.series.venue == feed.name]
        if feed.end is None or (ledgers and not any(one.missing for one in ledgers)):
            continue
        error = in_short(feed.end)
        if ledgers:
            yield _fill(feed.name, EVERY_SYMBOL, ledgers, error)
        else:
            yield _nothing_of(report, feed.name, EVERY_SYMBOL, error)


def _of_unknown(report: Report) -> Iterator[GapFill]:
    """Symbols for which nothing could be planned."""
    for failed in report.failed:
        try:
            series = Series.parse(failed.series)
        except ValueError:
            # A line of an asset list that names no symbol.
            continue
        yield _nothing_of(report, series.venue, series.symbol, _told(failed))


def _fill(venue: str, symbol: str, ledgers: Sequence[Ledger], error: str | None) -> GapFill:
    before = sum((one.plan.account for one in ledgers), Account())
    after = sum((one.account for one in ledgers), Account())
    return GapFill(
        venue,
        symbol,
        min(one.plan.wanted.start_ms for one in ledgers),
        max(one.plan.wanted.end_ms for one in ledgers),
        before.coverage,
        after.coverage,
        sum(one.requests for one in ledgers),
        after.written,
        error,
    )


def _nothing_of(report: Report, venue: str, symbol: str, error: str) -> GapFill:
    """The row for all that was asked for, if nothing could be planned."""
    return GapFill(venue, symbol, report.start_ms or 0, report.end_ms or 0, None, None, 0, 0, error)


def _told(failed: FailedSeries) -> str:
    return f"{failed.reason}: {failed.detail}"
