"""How a person is told: lines on a stream, colours, and progress while it runs."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, TextIO, TypeVar

from laklak.copying import CopyReport
from laklak.errors import LaklakError
from laklak.report import Estimate, Report
from laklak.text import duration_text
from laklak.wording import begun_lines, copy_plan_line, copy_status_line, figures_of, plan_line, status_line

if TYPE_CHECKING:
    from rich.live import Live

log = logging.getLogger(__name__)

Shown = TypeVar("Shown")

STATUS_EVERY_S: Final = 30.0
_WIDEST: Final = 110
_COLOURS: Final = {"error": "\x1b[31m", "warning": "\x1b[33m", "hint": "\x1b[36m"}


def say(kind: str, text: str, stream: TextIO | None = None) -> None:
    """Print `kind: text` on stderr as one line; coloured on a terminal unless NO_COLOR is set."""
    stream = stream or sys.stderr
    colour = _COLOURS.get(kind, "") if stream.isatty() and not os.environ.get("NO_COLOR") else ""
    emit(text, stream, head=f"{colour}{kind}:\x1b[0m " if colour else f"{kind}: ")


def emit(line: str, stream: TextIO | None = None, *, head: str = "") -> None:
    """Print a line; what the stream cannot spell is escaped, and `head` alone may command a terminal."""
    stream = stream or sys.stderr
    encoding = stream.encoding or "ascii"
    emit_bytes(f"{head}{printable(line)}\n".encode(encoding, "backslashreplace"), stream)


def printable(line: str) -> str:
    """A line without what a terminal would obey: from outside come line ends and escape sequences too."""
    return "".join(char if char.isprintable() else " " for char in line)


def emit_bytes(data: bytes, stream: TextIO) -> None:
    """Write to a stream at once; a reader that has gone away, or a full disk behind it, is no error of ours."""
    try:
        stream.flush()
        stream.buffer.write(data)
        stream.buffer.flush()
    except (OSError, ValueError):
        # What could not be written must not be tried again at exit, where Python would complain.
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


def say_error(error: LaklakError) -> None:
    log.error("%s", error)
    say("error", str(error))
    if error.hint:
        say("hint", error.hint)


class Terminal:
    """An observer that prints. With rich on a terminal, one line every 30 s elsewhere, nothing when `quiet`."""

    def __init__(self, *, quiet: bool, progress: bool) -> None:
        self._quiet = quiet
        self._progress = progress and not quiet
        self._live: Live | None = None
        self._next_line_s = time.monotonic() + STATUS_EVERY_S

    def note(self, line: str) -> None:
        log.info("%s", line)
        if not self._quiet:
            self.close()
            emit(line)

    def warn(self, line: str) -> None:
        log.warning("%s", line)
        self.close()
        say("warning", line)

    def planned(self, estimate: Estimate) -> None:
        self.note(plan_line(estimate))
        for line in begun_lines(estimate.begun_series):
            self.note(line)

    def stopping(self, line: str) -> None:
        log.info("%s", line)
        self.close()
        emit(line)

    def planned_copy(self, report: CopyReport) -> None:
        self.note(copy_plan_line(report))

    def progress(self, report: Report) -> None:
        self._show(report, _panel, status_line)

    def copying(self, report: CopyReport) -> None:
        self._show(report, _copy_panel, copy_status_line)

    def _show(self, report: Shown, panel: Callable[[Shown, int], Any], line: Callable[[Shown], str]) -> None:
        if not self._progress:
            return
        if sys.stderr.isatty():
            self._draw(lambda width: panel(report, width))
        elif time.monotonic() >= self._next_line_s:
            self._next_line_s = time.monotonic() + STATUS_EVERY_S
            emit(line(report))

    def close(self) -> None:
        """Take the progress display away; the next tick draws it anew below what was printed."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _draw(self, panel: Callable[[int], Any]) -> None:
        from rich.console import Console
        from rich.live import Live

        if self._live is None:
            # No thread of rich's own: the engine ticks.
            self._live = Live(
                console=Console(stderr=True),
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
        self._live.update(panel(self._live.console.width), refresh=True)


def _panel(report: Report, width: int) -> Any:
    figures = figures_of(report)
    working = [str(ledger.plan.series) for ledger in report.ledgers if ledger.open_questions]
    lines = [
        f"{figures['requests']}, {report.on_the_wire} on the wire, {figures['budget']}",
        f"{figures['series']}, {figures['errors']}, at work: {', '.join(working[:4]) or '-'}",
    ]
    if report.paused_for_s:
        lines.append(f"the venue told us to wait: going on in {duration_text(report.paused_for_s)}")
    return _bar_and_lines(report, figures, lines, width)


def _copy_panel(report: CopyReport, width: int) -> Any:
    figures = figures_of(report)
    lines = [f"from {report.source} to {report.store}", figures["series"]]
    return _bar_and_lines(report, figures, lines, width)


def _bar_and_lines(report: Report, figures: Mapping[str, str], lines: Iterable[str], width: int) -> Any:
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Column, Table
    from rich.text import Text

    done = report.wanted - report.missing
    words = f"{figures['share']:>6} {done:,} of {report.wanted:,} candles {figures['rate']} ETA {figures['eta']}"
    bar = Table.grid(Column(no_wrap=True), Column(no_wrap=True, overflow="ellipsis"), padding=(0, 1))
    # On a narrow terminal the figures matter more than the bar.
    room = max(0, min(32, width - len(words) - 2))
    bar.add_row(ProgressBar(total=max(1, report.wanted), completed=done, width=room) if room > 4 else "", words)
    return Group(bar, *(Text(printable(line), no_wrap=True, overflow="ellipsis") for line in lines))


def terminal_width(stream: TextIO) -> int | None:
    """How wide lines on a terminal should be, at most; None where it is no terminal."""
    if not stream.isatty():
        return None
    return min(_WIDEST, shutil.get_terminal_size().columns)
