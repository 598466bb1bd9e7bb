"""`laklak coverage`: how much a store has, and where the gaps lie."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Self, TextIO

import typer

from laklak.cli.choosing import LastRunEnd, SeriesNames, Stored, in_store, look_of
from laklak.cli.grouped import OUTPUT
from laklak.cli.options import AsJson, Config, ExistingStore, Start, option
from laklak.cli.work import look, print_json
from laklak.errors import UsageError

if TYPE_CHECKING:
    from laklak.audit.coverage import Coverage, CoverageReport
    from laklak.audit.stretches import Kind
    from laklak.model.records import RunRecord
    from laklak.stores.base import Store

_LETTERS: Final[Mapping[Kind, str]] = {
    "full": "-",
    "before": ".",
    "closed": "c",
    "quiet": "q",
    "lost": "L",
    "hole": "h",
    "rejected": "R",
    "missing": "M",
}
_COLOURS: Final[Mapping[Kind, int]] = {
    "full": 32,
    "before": 90,
    "closed": 90,
    "quiet": 36,
    "lost": 34,
    "hole": 33,
    "rejected": 35,
    "missing": 31,
}
_COLOUR_NAMES: Final[Mapping[Kind, str]] = {
    "full": "green:",
    "before": "grey:",
    "closed": "grey:",
    "quiet": "cyan:",
    "lost": "blue:",
    "hole": "yellow:",
    "rejected": "magenta:",
    "missing": "red:",
}
_LEAST_STRIP: Final = 12
# In a file or a pipe, where no width has to do: all columns, and a strip of this.
_STRIP: Final = 24
_RUNS_SHOWN: Final = 200


def coverage(
    series: SeriesNames = None,
    days: Annotated[str | None, option("days")] = None,
    start: Start = None,
    end: LastRunEnd = None,
    interval: Annotated[str | None, option("interval")] = None,
    assets: Annotated[str | None, option("assets")] = None,
    stored: Stored = False,
    everything: Annotated[bool, typer.Option("--all", help="Show full series too.", rich_help_panel=OUTPUT)] = False,
    good: Annotated[
        float, typer.Option(min=0, max=100, metavar="P", help="From here GOOD.", rich_help_panel=OUTPUT)
    ] = 99.5,
    warn: Annotated[
        float, typer.Option(min=0, max=100, metavar="P", help="From here WARN.", rich_help_panel=OUTPUT)
    ] = 97.0,
    fail_below: Annotated[
        float | None,
        typer.Option(min=0, max=100, metavar="P", help="Exit with 1 only below this.", rich_help_panel=OUTPUT),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a page that shows each minute.", rich_help_panel=OUTPUT),
    ] = None,
    store: ExistingStore = None,
    config: Config = None,
    as_json: AsJson = False,
) -> int:
    """Say how much of each series is stored, what the rest is and where gaps lie; asks no venue.

    Without --end it is held against the moment of the last run, by the venue's clock. Coverage is what is held of
    what there can be: holes and quiet minutes do not count against it.
    Exit status: 0 nothing is missing, 1 something is (with --fail-below: the worst series has less than that), 2
    wrong usage or a store that cannot be read.
    """

    if warn > good:
        raise UsageError(f"--warn {warn:g} is above --good {good:g}", hint="give a lower one")
    flags = {"days": days, "start": start, "end": end, "interval": interval, "assets": assets, "store": store}
    settings, chosen, wanted, of = look_of(series, stored=stored, config=config, **flags)
    if html is not None:
        from laklak.audit.page import check_page_place

        check_page_place(html)

    async def work(opened: Store) -> tuple[CoverageReport, Sequence[RunRecord]]:
        from laklak.audit.coverage import look_at
        from laklak.cli.terminal import tell
        from laklak.tasks.process import is_attended

        note, detailed = tell if is_attended() else None, html is not None
        report = await look_at(opened, chosen, wanted, typed=bool(series), interval=of, detailed=detailed, note=note)
        return report, await opened.runs(_RUNS_SHOWN) if detailed else ()

    report, runs = look(in_store(settings, work), json_of="coverage" if as_json else None)
    status = report.exit(fail_below)
    if html is not None:
        from laklak.audit.page import page, write_page

        write_page(html, page(report, runs, good=good, warn=warn, written_ms=int(time.time()) * 1000))
    if as_json:
        print_json(_as_object(report, good, warn, status))
    else:
        _show(report, good, warn, everything=everything)
    return status


def _as_object(report: CoverageReport, good: float, warn: float, status: int) -> dict[str, Any]:
    from laklak._version import __version__
    from laklak.audit.coverage import as_object, figures_object
    from laklak.model.series import iso
    from laklak.report.summary import SCHEMA

    return {
        "schema": SCHEMA,
        "version": __version__,
        "store": report.store,
        "as_of": {venue: iso(time_ms // 1000 * 1000) for venue, time_ms in report.as_of.items()},
        "health": report.series[0].health(good, warn),
        "worst": report.worst,
        "total": figures_object(report.total),
        "series": [as_object(one, good, warn) for one in report.series],
        "exit": status,
        "error": None,
        "hint": None,
    }


@dataclass(frozen=True, slots=True)
class _Pen:
    """How strips are drawn: in colours where somebody reads, in blocks where these can be spelled, else as letters."""

    coloured: bool
    blocks: bool

    @classmethod
    def of(cls, out: TextIO) -> Self:
        coloured = out.isatty() and not os.environ.get("NO_COLOR")
        # What a stream cannot spell would be drawn as escapes.
        return cls(coloured, coloured and (out.encoding or "").lower().startswith("utf"))

    def strip(self, cells: Sequence[Kind]) -> str:
        if not self.coloured or not cells:
            return "".join(_LETTERS[cell] for cell in cells)
        return "".join(f"\x1b[{_COLOURS[cell]}m{'█' if self.blocks else _LETTERS[cell]}" for cell in cells) + "\x1b[0m"

    def legend(self, strips: Sequence[Sequence[Kind]]) -> str:
        """What each of the kinds that are in any strip looks like."""
        from laklak.audit.stretches import KIND_WORDS

        look = _COLOUR_NAMES if self.blocks else _LETTERS
        there = {kind for strip in strips for kind in strip}
        return "  ".join(f"{look[kind]} {KIND_WORDS[kind]}" for kind in _LETTERS if kind in there)


def _show(report: CoverageReport, good: float, warn: float, *, everything: bool) -> None:
    from laklak.cli.terminal import columns, emit_bytes, printable, tell
    from laklak.model.series import iso
    from laklak.text import counted

    out, pen = sys.stdout, _Pen.of(sys.stdout)
    shown = [one for one in report.series if everything or one.figures.sound_share != 100]
    as_of = ", ".join(f"{venue} as of {iso(time_ms // 1000 * 1000)}" for venue, time_ms in report.as_of.items())
    tell(f"{report.store}: {as_of}", out)
    for text, cells in _lines(report, shown, good, warn, columns(out) - 1 if out.isatty() else None):
        line = printable(text) if cells else printable(text).rstrip()
        emit_bytes(f"{line}{pen.strip(cells)}\n".encode(out.encoding or "ascii", "backslashreplace"), out)
    if shown:
        tell(pen.legend([one.strip for one in shown]), out)
    full = len(report.series) - len(shown)
    if full:
        tell(f"{counted(full, 'series')} full{'' if shown else ', nothing lacks'}; --all shows them", out)
    tell(f"health {report.series[0].health(good, warn)}: {_totals(report)}", out)


def _totals(report: CoverageReport) -> str:
    from laklak.text import counted, share_text

    total = report.total
    return (
        f"{counted(len(report.series), 'series')}, coverage {share_text(total.share)}, worst "
        f"{share_text(report.worst)}: wanted {total.wanted:,}, held {total.held:,}, holes {total.holes:,}, rejected "
        f"{total.rejected:,}, quiet {total.quiet:,}, missing {total.missing:,}; closed {total.closed:,}, out of reach "
        f"{total.out_of_reach:,}"
    )


def _lines(
    report: CoverageReport, shown: list[Coverage], good: float, warn: float, width: int | None
) -> Iterator[tuple[str, tuple[Kind, ...]]]:
    """The table, each line with its strip; on a terminal of too little width the columns that matter least go."""
    from laklak.audit.stretches import narrowed
    from laklak.text import columns_of

    if not shown:
        return
    rows = [_cells(one, good, warn) for one in shown]
    for left_out in range(len(_LEAST_FIRST) + 1):
        names = [name for name in rows[0] if name not in _LEAST_FIRST[:left_out]]
        widths = {name: max(len(name), *(columns_of(row[name]) for row in rows)) for name in names}
        room = _STRIP if width is None else width - sum(widths.values()) - 2 * len(names)
        if room >= _LEAST_STRIP:
            break
    yield "  ".join(_aligned(name, name.upper(), widths[name]) for name in names), ()
    for one, row in zip(shown, rows, strict=True):
        left = "  ".join(_aligned(name, row[name], widths[name]) for name in names)
        yield f"{left}  ", narrowed(one.strip, max(1, room)) if room > 0 else ()


def _aligned(name: str, text: str, width: int) -> str:
    from laklak.text import columns_of

    space = " " * (width - columns_of(text))
    return f"{text}{space}" if name in _WORDS else f"{space}{text}"


_WORDS: Final = ("health", "series", "longest gap")
_LEAST_FIRST: Final = ("first", "last", "quiet", "rejected", "longest gap", "holes", "wanted", "held")


def _cells(one: Coverage, good: float, warn: float) -> dict[str, str]:
    from laklak.model.series import iso
    from laklak.text import duration_text, share_text

    figures, gap = one.figures, one.longest
    longest = "-" if gap is None else f"{duration_text((gap.end_ms - gap.start_ms) / 1000)} at {iso(gap.start_ms)}"
    return {
        "health": one.health(good, warn),
        "series": str(one.series),
        "coverage": share_text(figures.share),
        "first": "-" if one.first_ms is None else iso(one.first_ms),
        "last": "-" if one.last_ms is None else iso(one.last_ms),
        "wanted": f"{figures.wanted:,}",
        "held": f"{figures.held:,}",
        "holes": f"{figures.holes:,}",
        "rejected": f"{figures.rejected:,}",
        "quiet": f"{figures.quiet:,}",
        "missing": f"{figures.missing:,}",
        "longest gap": longest,
    }
