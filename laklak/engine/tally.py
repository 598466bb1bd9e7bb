"""The figures of a run, from where they are counted to the report."""

from __future__ import annotations

import time
from collections.abc import Sequence

from laklak.errors import TryLater
from laklak.report.progress import Report, VenueFigures
from laklak.sources.venue import Feed


def tally(report: Report, feeds: Sequence[Feed]) -> None:
    """Bring the report up to date with the feeds."""
    traffic = [feed.transport.traffic for feed in feeds]
    report.requests = sum(one.requests for one in traffic)
    report.candle_requests = sum(one.candle_requests for one in traffic)
    report.requests_planned = sum(feed.requests_planned for feed in feeds)
    report.retries = sum(one.retries for one in traffic)
    report.rate_limited = sum(one.rate_limited for one in traffic)
    readers = [feed.reader for feed in feeds if feed.reader is not None]
    report.files.requests = sum(reader.downloader.traffic.requests for reader in readers)
    report.files.retries = sum(reader.downloader.traffic.retries for reader in readers)
    report.files.received_bytes = sum(reader.downloader.traffic.received_bytes for reader in readers)
    limiters = {feed.limiter for feed in feeds}
    report.weight = sum(limiter.weight_paid for limiter in limiters)
    report.window_weight = sum(limiter.window_weight for limiter in limiters)
    report.budget = sum(feed.budget_a_minute for feed in feeds)
    report.paces = {feed.venue.name: feed.pace() for feed in feeds}
    report.on_the_wire = sum(limiter.in_flight for limiter in limiters)
    report.paused_for_s = max((pace.paused_for_s for pace in report.paces.values()), default=0.0)
    report.venues = {feed.venue.name: _figures_of(feed) for feed in feeds}
    bans = (one.banned_until_ms for one in report.venues.values())
    report.banned_until_ms = max((until_ms for until_ms in bans if until_ms is not None), default=None)
    report.seconds = time.monotonic() - report.started_s


def _figures_of(feed: Feed) -> VenueFigures:
    traffic = feed.transport.traffic
    until_ms = feed.end.until_ms if isinstance(feed.end, TryLater) else feed.transport.banned_until_ms
    return VenueFigures(
        requests=traffic.requests,
        candle_requests=traffic.candle_requests,
        cost=dict(traffic.cost),
        retries=traffic.retries,
        rate_limited=traffic.rate_limited,
        banned_until_ms=until_ms if until_ms and until_ms > time.time_ns() // 1_000_000 else None,
        end=feed.end,
        started=feed.started,
        optional=feed.optional,
    )
