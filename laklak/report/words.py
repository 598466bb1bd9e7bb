"""What runs, copies and looks say, as lines of text for people.

They show foreign text as it came: laklak.cli.terminal makes it harmless.
"""

from __future__ import annotations

import textwrap
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Final

from laklak.model.account import Account
from laklak.model.findings import Checkup
from laklak.model.series import DAY_MS, Series, iso
from laklak.plan.wanted import BegunSeries, FailedSeries, ReachedSeries
from laklak.report.copied import CopyReport, CopySummary, Incomplete, ResampleSummary
from laklak.report.ledger import NO_SOURCE, NOT_YET, UNPROVEN
from laklak.report.progress import Pace, VenueFigures
from laklak.report.summary import Estimate, Summary
from laklak.text import counted, duration_text, folded, per_window, size_text, some_of

_SHOWN_AT_MOST: Final = 10
_REACHES_SHOWN: Final = 3
_UNSOUND: Final = ("checksum", "zip", "csv")
_VALUE_COLUMN: Final = 40
_NARROWEST: Final = 30


def plan_line(estimate: Estimate) -> str:
    """Say in one line before fetching what to do, how long that takes, what other pages would save."""
    return f"{_to_fetch(estimate)}{_held_holes(estimate)}"


def _held_holes(estimate: Estimate) -> str:
    """Say how many known holes are checked against bulk files, if any."""
    if not estimate.holes_held:
        return ""
    are = "is" if estimate.holes_held == 1 else "are"
    later = f", {estimate.holes_later:,} more in later runs" if estimate.holes_later else ""
    held = f"{counted(estimate.holes_held, 'known hole')} {are} held against {counted(estimate.hole_files, 'file')}"
    return f"; {held}{later}"


def _to_fetch(estimate: Estimate) -> str:
    span = f"{estimate.start} to {estimate.end}"
    if not estimate.to_fetch and estimate.blocked:
        head = f"plan: {estimate.series} series, {span}: nothing to fetch of {estimate.wanted:,} candles"
        return f"{head}{_and_blocked(estimate.blocked)}"
    if not estimate.to_fetch:
        return (
            f"plan: {estimate.series} series, {span}: nothing to fetch, all {estimate.wanted:,} candles accounted for"
        )
    todo = f"plan: {estimate.series} series, {span}: "
    todo += f"{'up to ' if estimate.at_most else ''}{estimate.to_fetch:,} of {estimate.wanted:,} candles to fetch"
    todo += _and_blocked(estimate.blocked)
    saved_s = estimate.seconds_estimated - estimate.seconds_auto
    auto = f"; --chunk auto would save {duration_text(saved_s)}" if saved_s >= 1 else ""
    by_api = f"in {_by_api(estimate)}{auto}"
    rest = estimate.to_fetch - estimate.file_candles - estimate.no_source
    if rest == estimate.to_fetch:
        return f"{todo} {by_api}"
    parts = []
    if estimate.files:
        parts.append(
            f"{estimate.file_candles:,} from {counted(estimate.files, 'file')}, about "
            f"{size_text(estimate.file_bytes)} and {duration_text(estimate.file_seconds)}"
        )
    if rest:
        parts.append(f"{rest:,} {by_api}")
    if estimate.no_source:
        parts.append(f"{estimate.no_source:,} that no source gives")
    return f"{todo}: {'; '.join(parts)}"


def _by_api(estimate: Estimate) -> str:
    """Say what APIs are asked for and how long that takes; of several venues the slowest counts, and each is told."""
    asked = {venue: pace for venue, pace in estimate.paces.items() if pace.requests}
    if len(asked) == 1:
        (pace,) = asked.values()
        return _at_pace(pace, "at least ")
    each = "; ".join(f"{venue} {_at_pace(pace)}" for venue, pace in asked.items())
    least = f"at least {duration_text(estimate.seconds_estimated)}"
    return f"{counted(estimate.requests, 'request')}, {least}{f' ({each})' if each else ''}"


def _at_pace(pace: Pace, least: str = "") -> str:
    took = f"{least}{duration_text(pace.seconds)} at {pace.text}"
    return f"{counted(pace.requests, 'request')}{_costs({pace.unit: pace.units})}, {took}"


def _costs(cost: Mapping[str, int]) -> str:
    """Return what requests cost beside their number: `, weight 3,466`."""
    return "".join(f", {unit} {units:,}" for unit, units in cost.items() if unit != "requests")


def _asked_of(figures: VenueFigures) -> str:
    """Return what was asked of a venue: `706 requests (0 retried), weight 3,466`."""
    limited = f", {figures.rate_limited} times told to wait" if figures.rate_limited else ""
    retried = f"({figures.retries} retried{limited})"
    return f"{counted(figures.requests, 'request')} {retried}{_costs(figures.cost)}"


def begun_lines(begun: Sequence[BegunSeries]) -> Iterable[str]:
    """Say where nothing is wanted at the start of a range: `BTCUSDT: first candle ...: nothing is wanted before`."""
    texts = [f"{Series.parse(one.series).symbol} {iso(one.first_ms)}" for one in begun]
    if len(texts) == 1:
        symbol, _, first = texts[0].partition(" ")
        yield f"{symbol}: first candle {first}: nothing is wanted before (--recheck asks for it again)"
    elif texts:
        yield f"first candles, nothing is wanted before (--recheck asks for them again): {some_of(texts)}"


def reached_lines(reached: Sequence[ReachedSeries]) -> Iterable[str]:
    """Say what no source reaches any more: `yfinance: 1m of ^GSPC reaches back to ..., 61 days are out of reach`."""
    venues: defaultdict[str, list[tuple[Series, ReachedSeries]]] = defaultdict(list)
    for one in reached:
        series = Series.parse(one.series)
        venues[series.venue].append((series, one))
    for venue, pairs in venues.items():
        groups: defaultdict[int, list[tuple[Series, ReachedSeries]]] = defaultdict(list)
        for series, one in pairs:
            groups[one.reach_ms].append((series, one))
        if len(groups) <= _REACHES_SHOWN:
            for reach_ms, own in groups.items():
                yield _reached(venue, some_of([series.symbol for series, _ in own]), iso(reach_ms), own)
        else:
            back_to = f"moments from {iso(min(groups))} to {iso(max(groups))}"
            yield _reached(venue, f"{len(pairs)} series", back_to, pairs)


def _reached(venue: str, what: str, back_to: str, own: Sequence[tuple[Series, ReachedSeries]]) -> str:
    interval = own[0][0].interval
    most = max(one.candles for _, one in own)
    up_to = "" if all(one.candles == most for _, one in own) else "up to "
    days = round(most * interval.ms / DAY_MS)
    lost = counted(days, "day") if days else duration_text(most * interval.ms / 1000)
    return (
        f"{venue}: {interval} of {what} {'reaches' if len(own) == 1 else 'reach'} back to {back_to}, "
        f"{up_to}{lost} {'is' if days == 1 else 'are'} out of reach"
    )


def estimate_lines(estimate: Estimate) -> Iterable[str]:
    """Yield the plan of a dry run with its alternatives."""
    yield plan_line(estimate)
    yield from (f"  {line}" for line in [*begun_lines(estimate.begun_series), *reached_lines(estimate.reached_series)])
    yield (
        f"  stored {estimate.stored_before:,}, holes {estimate.holes:,}, rejected {estimate.rejected:,}"
        f"{_quiet(estimate.account)}"
    )
    tables = [(venue, list(own)) for venue, own in groupby(estimate.alternatives, key=lambda one: one.venue)]
    tables = [(venue, own) for venue, own in tables if estimate.paces[venue].requests]
    for venue, own in tables:
        pace = estimate.paces[venue]
        # Each venue names the unit of its budget.
        unit = "" if pace.unit == "requests" else pace.unit
        of = f"   {venue}, budget in {per_window(pace.unit, pace.window_s)}" if len(tables) > 1 else ""
        yield f"  chunk   budget   requests {unit:>11}   time{of}"
        for one in own:
            cost = f"{one.weight:,}" if unit else ""
            mark = "  <- now" if one.now else ""
            time_text = duration_text(one.seconds)
            yield f"  {one.chunk:>5} {one.budget:>8} {one.requests:>10,} {cost:>11}   {time_text}{mark}"


def summary_lines(summary: Summary) -> Iterable[str]:
    """Yield the end of a run, for people."""
    if summary.start is None:
        yield f"{_verdict(summary)} before the plan was made"
        return
    yield (
        f"{_verdict(summary)}: {summary.account.done:,} of {summary.wanted:,} candles of {summary.series} series "
        f"accounted for, {summary.start} to {summary.end}"
    )
    yield (
        f"  stored before {summary.stored_before:,}, written {summary.written:,}, holes {summary.holes:,}, "
        f"rejected {summary.rejected:,}{_quiet(summary.account)}, missing {summary.missing:,}"
    )
    if summary.corrected:
        yield (
            f"  corrected {counted(summary.corrected, 'candle')} stored before: fetched within a minute of the close, "
            "changed since; the log names them"
        )
    if summary.refetched is not None:
        found = summary.refetched
        named = "; the log names the first of those that changed" if found.changed else ""
        yield f"  refetched: {found.same:,} the same, {found.changed:,} changed, {found.new:,} new{named}"
    asked = VenueFigures(summary.requests, 0, {}, summary.retries, summary.rate_limited)
    if len(summary.venues) == 1:
        (asked,) = summary.venues.values()
    yield f"  {_asked_of(asked)}, {duration_text(summary.seconds)}, {summary.candles_per_second:,.0f} candles/s"
    if len(summary.venues) > 1:
        yield from (f"  {venue}: {_asked_of(figures)}" for venue, figures in summary.venues.items())
    yield from _file_lines(summary)
    yield from (f"  {line}" for line in [*begun_lines(summary.begun_series), *reached_lines(summary.reached_series)])
    if summary.holes_filled:
        were = "was" if summary.holes_filled == 1 else "were"
        yield f"  {counted(summary.holes_filled, 'known hole')} {were} filled from files that have the candles by now"
    if summary.rows_rejected:
        yield f"  {counted(summary.rows_rejected, 'row')} of the venue refused"
    yield from _ended_lines(summary)
    told, failed = _not_yet_lines(summary)
    yield from told
    yield from _failed_lines(failed)
    yield from _again(summary, _advice(summary))


def turn_line(summary: Summary, now_s: float) -> str:
    """Say of one of many turns, for people, when it ended, how, and what it did."""
    word = (summary.error or "").partition(":")[0]
    end = f"not done ({word})" if summary.start is None and word else _verdict(summary)
    return (
        f"{iso(int(now_s) * 1000)} {end}: {summary.written:,} written, {summary.missing:,} missing, "
        f"{counted(summary.requests, 'request')}, {duration_text(summary.seconds)}"
    )


def _quiet(account: Account) -> str:
    """Say how many minutes had no trades, if any: most venues give every minute."""
    return f", quiet {account.quiet:,}" if account.quiet else ""


def _and_blocked(count: int) -> str:
    return f", {count:,} that the store could not take" if count else ""


def copy_plan_line(report: CopyReport, verb: str = "copy") -> str:
    """Say in one line before candles move what to do."""
    span = f"{iso(report.start_ms or 0)} to {iso(report.end_ms or 0)}"
    head = f"plan: {len(report.ledgers)} series, {span}:"
    account = report.account
    if not account.missing:
        return f"{head} nothing to {verb}, all {account.wanted:,} candles accounted for"
    to_copy = account.missing - account.blocked
    return f"{head} {to_copy:,} of {account.wanted:,} candles to {verb}{_and_blocked(account.blocked)}"


def copy_summary_lines(summary: CopySummary) -> Iterable[str]:
    """Yield the end of a copy, for people."""
    if summary.start is None:
        yield summary.nothing if summary.complete else "stopped before the plan was made"
        return
    yield (
        f"{_verdict(summary)}: {summary.account.done:,} of {summary.wanted:,} candles of {summary.series} series "
        f"accounted for in {summary.destination}, {summary.start} to {summary.end}"
    )
    yield (
        f"  stored before {summary.stored_before:,}, written {summary.written:,}, holes {summary.holes:,}, "
        f"rejected {summary.rejected:,}, missing {summary.missing:,}"
    )
    if summary.corrected:
        yield f"  of those stored before, {summary.corrected:,} replaced, which had other values"
    yield f"  {duration_text(summary.seconds)}, {summary.candles_per_second:,.0f} candles/s"
    if isinstance(summary, ResampleSummary):
        yield from map(_incomplete_line, summary.incomplete[:_SHOWN_AT_MOST])
        if len(summary.incomplete) > _SHOWN_AT_MOST:
            yield f"  and not of {len(summary.incomplete) - _SHOWN_AT_MOST:,} more series; --json names them all"
    if summary.source_missing:
        lacking = counted(summary.source_missing, "candle")
        yield f"  the source itself lacks {lacking} in between, for laklak backfill to fetch"
    if summary.outside_retention:
        names = some_of(summary.outside_retention)
        yield f"  of {counted(len(summary.outside_retention), 'series')} the destination would keep nothing: {names}"
    yield from _failed_lines(summary.failed_series)
    yield from _again(summary, summary.again)


def _incomplete_line(one: Incomplete) -> str:
    quiet = f"{counted(one.quiet, 'candle')} without a trade" if one.quiet else ""
    lacking = ""
    if one.buckets:
        where = f"at {one.first}" if one.buckets == 1 else f"from {one.first} to {one.last}"
        where += f", in {one.stretches:,} stretches that --json names" if one.stretches > 1 else ""
        lacking = f"{counted(one.buckets, 'candle')} {where}, of which {one.of} is not complete"
    return f"  not made: {one.series}: {', and '.join(part for part in (lacking, quiet) if part)}"


def _advice(summary: Summary) -> str:
    """Return the command that fetches what is missing; repeating the same one is no help without a source."""
    reasons = {failed.reason for failed in summary.failed_series}
    if reasons == {NO_SOURCE}:
        return (
            "what the bulk files lack the API may have: run it with --source auto where the API can be reached; "
            "a file that comes late is taken by a later run"
        )
    if reasons == {UNPROVEN}:
        return (
            "run the same command again when the bulk files can be had, or with --source rest, by which the API's word "
            "alone counts"
        )
    return "run the same command again to get what is missing; what is stored is not asked again"


def _again(summary: Summary | CopySummary, advice: str) -> Iterable[str]:
    """Say what to do about missing candles; never advise a run that cannot help."""
    if not summary.missing or summary.error is not None:
        return
    if summary.missing > summary.blocked:
        yield f"  {advice}"
    if summary.blocked:
        blocked = counted(summary.blocked, "candle")
        stays = "stays" if summary.blocked == 1 else "stay"
        yield f"  {blocked} {stays} missing, however often this is run, until what is named above is mended"


def _verdict(summary: Summary | CopySummary) -> str:
    if summary.exit in (130, 143):
        return "stopped"
    if summary.exit and not summary.missing:
        return "complete but for what is named below"
    return "complete" if summary.complete else "incomplete"


def _ended_lines(summary: Summary) -> Iterable[str]:
    """Say which of several venues has ended early, and why; for a single one that is the run's error."""
    for name, venue in summary.venues.items():
        if venue.end is not None and len(summary.venues) > 1:
            waiting = [failed for failed in summary.failed_series if _is_venues(summary, failed, name)]
            series = f"; {len(waiting):,} series wait for it" if waiting else ""
            optional = " (optional)" if venue.optional else ""
            yield f"  {name}{optional} was asked for no more: {venue.end}{series}"


def _is_venues(summary: Summary, failed: FailedSeries, name: str | None = None) -> bool:
    """Whether a series fails because its venue ended, not for a reason apart."""
    own = failed.series.partition(":")[0]
    venue = summary.venues.get(own)
    return name in (None, own) and venue is not None and venue.end is not None and failed.reason == venue.end.reason


def _not_yet_lines(summary: Summary) -> tuple[list[str], list[FailedSeries]]:
    """Return what most series of a venue lack alike at their end, said once for each venue; and the other failures."""
    alike: dict[tuple[str, str], list[FailedSeries]] = {}
    for failed in summary.failed_series:
        if failed.reason == NOT_YET:
            alike.setdefault((failed.series.partition(":")[0], failed.detail.partition(": ")[2]), []).append(failed)
    lines: list[str] = []
    told = {failed.series for failed in summary.failed_series if _is_venues(summary, failed)}
    for (venue, what), some in alike.items():
        if len(some) > 1 and 2 * len(some) > summary.series:
            lines.append(f"  {venue} gives {what}: {len(some):,} series wait for it")
            told.update(failed.series for failed in some)
    return lines, [failed for failed in summary.failed_series if failed.series not in told]


def _failed_lines(failed_series: Sequence[FailedSeries]) -> Iterable[str]:
    for failed in failed_series[:_SHOWN_AT_MOST]:
        yield f"  {failed.series}: {failed.reason}: {failed.detail}"
    if len(failed_series) > _SHOWN_AT_MOST:
        yield f"  and {len(failed_series) - _SHOWN_AT_MOST} more series; --json lists them all"


def outcome_lines(outcome: Summary | Estimate | CopySummary) -> Iterable[str]:
    """Yield what a run or a dry run ends with."""
    if isinstance(outcome, CopySummary):
        return copy_summary_lines(outcome)
    return estimate_lines(outcome) if isinstance(outcome, Estimate) else summary_lines(outcome)


def settings_block(
    versions: Mapping[str, str], settings: Sequence[tuple[str, str, str]], width: int | None
) -> Iterable[str]:
    """Yield the versions on a line, then the settings: key, value, and origin."""
    yield from _folded("", ", ".join(f"{name} {version}" for name, version in versions.items()), width)
    if settings:
        yield "settings in force:"
    keys = max((len(key) for key, _, _ in settings), default=0)
    values = max((len(value) for _, value, _ in settings if len(value) <= _VALUE_COLUMN), default=0)
    for key, value, origin in settings:
        yield from folded(f"  {key:{keys}}  {value:{values}}  ({origin})", width)


def finding_lines(checkup: Checkup, width: int | None) -> Iterable[str]:
    """Yield one line a finding: verdict, subject, what was found, what to do; then how it all stands.

    With `width` break lines there, for a terminal.
    """
    column = max((len(about) for about, _ in checkup.findings), default=0)
    for about, finding in checkup.findings:
        head = f"{finding.verdict:7}  {about:{column}}  "
        hint = f" -> {finding.hint}" if finding.hint else ""
        yield from _folded(head, finding.text + hint, width)
    problems, warnings = checkup.count("problem"), checkup.count("warning")
    counts = f"{counted(problems, 'problem')}, {counted(warnings, 'warning')}"
    can_it = "cannot run before the problems are solved" if problems else "can run"
    yield from folded(f"{counts}: laklak backfill {can_it}", width)


def _folded(head: str, text: str, width: int | None) -> Iterable[str]:
    if width is None or width - len(head) < _NARROWEST:
        return folded(head + text, width)
    room = width - len(head)
    parts = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]
    return [(head if number == 0 else " " * len(head)) + part for number, part in enumerate(parts)]


def _file_lines(summary: Summary) -> Iterable[str]:
    """Say what came of bulk files, and what was wrong with some."""
    files = summary.files
    if not files.planned:
        return
    others = [f"{files.absent:,} not there"] if files.absent else []
    others += [
        f"{count:,} with bad {reason}" if reason in _UNSOUND else f"{count:,} {reason}"
        for reason, count in sorted(files.failed.items())
    ]
    yield (
        f"  {counted(files.read, 'file')} of {files.planned:,} gave {files.candles:,} candles "
        f"({size_text(files.received_bytes)}, {files.retries} retried){'; ' if others else ''}{', '.join(others)}"
    )
    for line in files.troubles[:_SHOWN_AT_MOST]:
        yield f"    {line}"
    if len(files.troubles) > _SHOWN_AT_MOST:
        yield f"    and {sum(files.failed.values()) - _SHOWN_AT_MOST:,} more files; the log names them"
