"""What `laklak check` says of points that are no candles: off the grid of their series, or without five numbers.

It looks as a backfill does, trusting seals, at a month of a series at a time, the newest months of all series first,
for a few seconds: a month of minutes that laklak has sealed takes up to 0.1 s, one that others wrote up to 1 s.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import anyio

from laklak.model.findings import Fact, Finding
from laklak.model.series import DAY_MS, Series, TimeRange, iso
from laklak.stores.influx.contents import Contents
from laklak.stores.influx.database import Edges, parts, whole_days
from laklak.stores.influx.reader import CandleReader
from laklak.stores.influx.statements import stamp
from laklak.text import counted, some_of

_STEP_MS: Final = 30 * DAY_MS
_SERIES_SHOWN: Final = 5
_STATEMENTS_SHOWN: Final = 3
_FETCHED: Final = "a backfill fetches them again; known holes and rejects among them only with --recheck"


@dataclass(slots=True)
class _Odd:
    """What was found in one series: minutes that are not whole, and strays with the statements that remove them."""

    not_whole: list[int] = field(default_factory=list)
    strays: int = 0
    strays_ns: list[int] = field(default_factory=list)
    statements: list[str] = field(default_factory=list)
    remark: str = ""


async def odd_points_findings(contents: Contents, reader: CandleReader, within_s: float) -> list[Finding]:
    """Warn of each series with points that are no candles, and say if there was no time for all of them."""
    found: dict[Series, _Odd] = {}
    done = 0
    months: list[tuple[Series, TimeRange]] | None = None
    with anyio.move_on_after(within_s) as looking:
        months = _months(await contents.edges_of_points())
        for series, month in months:
            await _look_at(reader, series, month, found)
            done += 1
    ordered = sorted(found.items(), key=lambda one: str(one[0]))
    findings = [*_of_strays(ordered), *_of_broken(ordered)]
    if looking.cancelled_caught:
        of_all = "" if months is None else f" ({done:,} of {len(months):,} months of series were)"
        text = f"not all points were looked at within {within_s:.0f} s{of_all}"
        # No fault: a large store always takes longer.
        findings.append(Finding("ok", text, "a backfill looks at all of its range, and names what is no candle"))
    return findings


def _months(edges: Edges) -> list[tuple[Series, TimeRange]]:
    """Cut the days of all series into steps, the newest first."""
    days = ((series, whole_days(TimeRange(first_ms, last_ms + 1))) for series, (first_ms, last_ms) in edges.items())
    cut = [(series, month) for series, span in days for month in parts(span, _STEP_MS)]
    return sorted(cut, key=lambda one: (-one[1].end_ms, str(one[0])))


async def _look_at(reader: CandleReader, series: Series, span: TimeRange, found: dict[Series, _Odd]) -> None:
    odd = await reader.odd(series, span)
    if not odd.not_whole and not odd.strays.count:
        return
    one = found.setdefault(series, _Odd())
    one.not_whole += odd.not_whole
    one.strays += odd.strays.count
    one.strays_ns += [at for at in (odd.strays.first_ns, odd.strays.last_ns) if at is not None]
    one.statements += odd.strays.statements
    one.remark = odd.strays.remark or one.remark


def _of_strays(found: list[tuple[Series, _Odd]]) -> Iterator[Finding]:
    having = [(series, one) for series, one in found if one.strays]
    for series, one in having[:_SERIES_SHOWN]:
        first, last = stamp(min(one.strays_ns)), stamp(max(one.strays_ns))
        statements = sorted(one.statements)
        shown = statements[:_STATEMENTS_SHOWN]
        more = one.strays - len(shown)
        span = first if one.strays == 1 else f"{first} to {last}"
        facts: dict[str, Fact] = {
            "series": str(series),
            "strays": one.strays,
            "first": first,
            "last": last,
            "statements": "\n".join(statements),
        }
        yield Finding(
            "warning",
            f"{series}: {counted(one.strays, 'point')} off the grid, {span}: no candles, and never removed by laklak",
            f"to remove them, {one.remark}: {' ; '.join(shown)}"
            + (f" -- and {more:,} more like it, by --json" if more else ""),
            facts,
        )
    if rest := having[_SERIES_SHOWN:]:
        count = sum(one.strays for _, one in rest)
        names = some_of([str(series) for series, _ in rest])
        text = f"and {len(rest):,} more series, {counted(count, 'point')} off the grid: {names}"
        yield Finding("warning", text, "remove the ones above and check again", {"strays": count})


def _of_broken(found: list[tuple[Series, _Odd]]) -> Iterator[Finding]:
    having = [(series, one.not_whole) for series, one in found if one.not_whole]
    for series, times in having[:_SERIES_SHOWN]:
        first, last = iso(min(times)), iso(max(times))
        span = first if len(times) == 1 else f"{first} to {last}"
        verb = "is" if len(times) == 1 else "are"
        facts: dict[str, Fact] = {"series": str(series), "not_whole": len(times), "first": first, "last": last}
        text = f"{series}: {counted(len(times), 'candle')} {verb} not whole, {span}: they do not count as stored"
        yield Finding("warning", text, _FETCHED, facts)
    if rest := having[_SERIES_SHOWN:]:
        count = sum(len(times) for _, times in rest)
        names = some_of([str(series) for series, _ in rest])
        text = f"and {len(rest):,} more series, {counted(count, 'candle')} not whole: {names}"
        yield Finding("warning", text, _FETCHED, {"not_whole": count})
