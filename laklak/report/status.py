"""A running backfill or copy in lines: how far it is, what it waits for, and when it will be done."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Final

from laklak.model.series import iso
from laklak.report.copied import CopyReport
from laklak.report.progress import Pace, Progress, Report, VenueFigures
from laklak.stores.base import Waiting
from laklak.text import counted, duration_text, size_text

_MEASURED_AFTER_S: Final = 10.0


def status_line(report: Report) -> str:
    """Return everything on one line, for a log or a pipe."""
    figures = figures_of(report)
    done = report.wanted - report.missing
    paused = f", waiting {duration_text(report.paused_for_s)} as told" if report.paused_for_s else ""
    paused += _waiting_end(report)
    return (
        f"{figures['share']} {done:,} of {report.wanted:,} candles, {figures['rate']}, {figures['requests']}, "
        f"{figures['budget']}, {figures['series']}, {figures['errors']}, ETA {figures['eta']}{paused}"
    )


def waiting_line(waiting: Waiting, now_s: float) -> str:
    """Say, as a warning, that a store does not answer: what is wrong, since when, what next; `now_s` is monotonic."""
    again = "" if waiting.next_try_s is None else f", next try at {_moment(waiting.next_try_s - now_s)}"
    since, until = _moment(waiting.since_s - now_s), _moment(waiting.give_up_s - now_s)
    return f"waiting for the store since {since}{again}, giving up at {until}: {waiting.what}"


def waiting_words(waiting: Waiting, now_s: float) -> str:
    """Say the same for a line of progress, in spans of time."""
    next_s = None if waiting.next_try_s is None else max(0.0, waiting.next_try_s - now_s)
    again = "" if next_s is None else f", next try in {duration_text(next_s)}"
    return (
        f"waiting for the store for {duration_text(now_s - waiting.since_s)}{again}, giving up in "
        f"{duration_text(max(0.0, waiting.give_up_s - now_s))}: {waiting.what}"
    )


def _moment(seconds_from_now: float) -> str:
    return iso(int(time.time() + seconds_from_now) * 1000)


def copy_status_line(report: CopyReport) -> str:
    """Return everything about a copy on one line, for a log or a pipe."""
    figures = figures_of(report)
    done = report.wanted - report.missing
    return (
        f"{figures['share']} {done:,} of {report.wanted:,} candles, {figures['rate']}, {figures['series']}, "
        f"ETA {figures['eta']}{_waiting_end(report)}"
    )


def _waiting_end(report: Report) -> str:
    return "" if report.waiting is None else f", {waiting_words(report.waiting, time.monotonic())}"


def progress_of(report: Report) -> Progress:
    """Return the progress of a running backfill or copy, in numbers."""
    elapsed_s = _elapsed_s(report)
    waiting = None if report.waiting is None else waiting_words(report.waiting, time.monotonic())
    if report.paused_for_s:
        waiting = f"the venue told us to wait: going on in {duration_text(report.paused_for_s)}"
    return Progress(
        wanted=report.wanted,
        done=report.wanted - report.missing,
        written=report.written,
        missing=report.missing,
        series=len(report.ledgers),
        series_complete=sum(not ledger.missing for ledger in report.ledgers),
        requests=report.candle_requests,
        requests_planned=report.requests_planned,
        files=report.files.done,
        files_planned=report.files.planned,
        candles_per_second=round(report.written / elapsed_s, 1),
        seconds=round(time.monotonic() - report.started_s, 3),
        seconds_left=0.0 if not report.missing else _foretold_s(report, elapsed_s),
        waiting=waiting,
    )


def _elapsed_s(report: Report) -> float:
    return max(0.001, time.monotonic() - (report.fetching_since_s or time.monotonic()))


def figures_of(report: Report) -> dict[str, str]:
    """Return the progress of a running backfill or copy, in words, by name."""
    elapsed_s = _elapsed_s(report)
    left_s = _foretold_s(report, elapsed_s)
    rate = report.written / elapsed_s
    done = report.wanted - report.missing
    complete = sum(not ledger.missing for ledger in report.ledgers)
    return {
        "share": _share(done, report.wanted),
        "rate": f"{rate:,.0f} candles/s",
        "eta": "-" if left_s is None else duration_text(left_s),
        "requests": f"{report.candle_requests:,} of {report.requests_planned:,} requests{_files(report)}",
        "budget": _budget(report, elapsed_s),
        "series": f"series {complete} of {len(report.ledgers)} complete",
        "errors": f"{report.retries} retried, {report.errors} failed",
    }


def _budget(report: Report, elapsed_s: float) -> str:
    """Say how much of the budget is used, or that files are read while nothing else is asked."""
    shares = {venue: _used(pace, elapsed_s) for venue, pace in report.paces.items()}
    if not any(map(round, shares.values())) and report.files.done < report.files.planned:
        return "reading files"
    if len(shares) == 1:
        ((venue, share),) = shares.items()
        return f"budget {share:.0f} % of {_per(report.paces[venue])}"
    return f"budget {', '.join(f'{venue} {share:.0f} %' for venue, share in shares.items())}" if shares else "budget -"


def _per(pace: Pace) -> str:
    return f"{pace.budget}/{'min' if pace.window_s == 60 else f'{pace.window_s:g} s'}"


def venue_lines(report: Report) -> Iterable[str]:
    """Yield how far each of several venues is: its candles, requests and budget, and its pause or end."""
    if len(report.paces) < 2:
        return
    elapsed_s = _elapsed_s(report)
    wanted, missing = Counter[str](), Counter[str]()
    for ledger in report.ledgers:
        wanted[ledger.plan.series.venue] += ledger.account.wanted
        missing[ledger.plan.series.venue] += ledger.missing
    widest = max(map(len, report.paces))
    for venue, pace in report.paces.items():
        figures = report.venues.get(venue, VenueFigures())
        share = _share(wanted[venue] - missing[venue], wanted[venue])
        if figures.end is not None:
            told = f"given up: {figures.end}"
        elif not missing[venue]:
            told = f"{counted(figures.candle_requests, 'request')}"
        else:
            left = f"{figures.candle_requests:,} of {figures.candle_requests + pace.requests:,} requests"
            told = f"{left}, budget {_used(pace, elapsed_s):.0f} % of {_per(pace)}"
            if pace.paused_for_s:
                told += f", told to wait {duration_text(pace.paused_for_s)}"
        yield f"{venue:<{widest}} {share:>7} of {wanted[venue]:,} candles, {told}"


def _used(pace: Pace, elapsed_s: float) -> float:
    """Return the used part of a budget, in percent."""
    # In the first seconds a single request exceeds these seconds' share.
    allowed = pace.budget * min(pace.window_s, elapsed_s) / pace.window_s
    return min(100.0, 100 * pace.used / allowed) if allowed else 0.0


def _foretold_s(report: Report, elapsed_s: float) -> float | None:
    """Return how long it may still take: by the plan at first, then more and more by the measured rate.

    A plan knows the budget, but not the line and the store; after a tenth of its time, and at least 10 s, the
    measurement counts alone.
    """
    measured_s = _seconds_left(report, elapsed_s)
    planned_s = report.seconds_planned
    to_fetch = report.written + report.missing
    if planned_s is None or not to_fetch:
        return measured_s
    settled_s = max(_MEASURED_AFTER_S, planned_s / 10)
    of_plan_s = planned_s * report.missing / to_fetch
    if measured_s is None:
        return of_plan_s if elapsed_s < settled_s else None
    weight = min(1.0, max(elapsed_s / settled_s, report.written / to_fetch))
    # Never less than what the budgets take, however much quicker others were.
    return max(_api_seconds_left(report), (1 - weight) * of_plan_s + weight * measured_s)


def _seconds_left(report: Report, elapsed_s: float) -> float | None:
    """Return how long it may still take; None while nothing has come yet.

    Files and the API go side by side, so the slower one counts: a rate of both together would predict minutes for the
    few candles that the budget spreads over an hour.
    """
    if not report.written:
        return None
    files = report.files
    files_left = files.planned - files.done
    if files_left > 0 and files.candles:
        in_files = min(report.missing, files_left * files.candles / files.read)
        others_s = in_files / files.candles * elapsed_s
    else:
        others_s = report.missing / report.written * elapsed_s
    return max(others_s, _api_seconds_left(report))


def _api_seconds_left(report: Report) -> float:
    """Return how long the budgets take for the planned requests not sent yet: the slowest venue counts.

    Venues of one pool wait for each other.  Each request wants at least one candle.
    """
    left: defaultdict[str, float] = defaultdict(float)
    for venue, pace in report.paces.items():
        wanted = min(1.0, report.missing / pace.requests) if pace.requests else 0.0
        left[pace.pool or venue] += pace.seconds * wanted
    return max(left.values(), default=0.0)


def _share(done: int, wanted: int) -> str:
    """Return the share, rounded down: 100 % is all of it and nothing less."""
    tenths = 1000 * done // wanted if wanted else 1000
    return f"{tenths // 10}.{tenths % 10} %"


def _files(report: Report) -> str:
    files = report.files
    if not files.planned:
        return ""
    return f", {files.done:,} of {files.planned:,} files ({size_text(files.received_bytes)})"
