"""Brings the figures of a run from their counters to the report."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence

from laklak.report.progress import FileTally, Report
from laklak.sources.archive import FileReader
from laklak.sources.venue import Feed
from laklak.wire.limiter import Limiter


def tally(report: Report, feeds: Sequence[Feed]) -> None:
    """Bring the report up to date with the feeds."""
    report.venues = {feed.name: feed.figures() for feed in feeds}
    report.paces = {feed.name: feed.pace() for feed in feeds}
    report.requests_planned = sum(feed.requests_planned for feed in feeds)
    report.budget = sum(feed.spending.a_minute for feed in feeds)
    _sum_up(report)
    _count_files(report.files, [feed.reader for feed in feeds if feed.reader is not None])
    # Venues of one pool share a limiter.
    _count_spent(report, {feed.limiter for feed in feeds})
    report.seconds = time.monotonic() - report.started_s


def _sum_up(report: Report) -> None:
    """Sum the figures of all venues."""
    venues = report.venues.values()
    report.requests = sum(one.requests for one in venues)
    report.candle_requests = sum(one.candle_requests for one in venues)
    report.retries = sum(one.retries for one in venues)
    report.rate_limited = sum(one.rate_limited for one in venues)
    report.paused_for_s = max((pace.paused_for_s for pace in report.paces.values()), default=0.0)
    bans = (one.banned_until_ms for one in venues)
    report.banned_until_ms = max((until_ms for until_ms in bans if until_ms is not None), default=None)


def _count_files(files: FileTally, readers: Sequence[FileReader]) -> None:
    traffic = [reader.traffic for reader in readers]
    files.requests = sum(one.requests for one in traffic)
    files.retries = sum(one.retries for one in traffic)
    files.received_bytes = sum(one.received_bytes for one in traffic)


def _count_spent(report: Report, limiters: Collection[Limiter]) -> None:
    report.weight = sum(limiter.weight_paid for limiter in limiters)
    report.window_weight = sum(limiter.window_weight for limiter in limiters)
    report.on_the_wire = sum(limiter.in_flight for limiter in limiters)
