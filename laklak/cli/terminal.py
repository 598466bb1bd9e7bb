"""How a person is told: lines on a stream, colours, and progress while it runs."""

from __future__ import annotations

import io
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any, Final, Literal, TextIO

from laklak.errors import LaklakError
from laklak.report.copied import CopyReport
from laklak.report.place import emit_nowhere
from laklak.report.progress import Report
from laklak.report.status import copy_status_line, figures_of, status_line, venue_lines, waiting_words
from laklak.report.summary import Estimate
from laklak.report.told import Told
from laklak.report.words import begun_lines, plan_line, reached_lines
from laklak.text import duration_text, folded

log = logging.getLogger(__name__)

STATUS_EVERY_S: Final = 30.0
_WIDEST: Final = 110
_USUAL: Final = os.terminal_size((80, 24))
_LINES_TOGETHER: Final = 500
_SHORTEST_BAR: Final = 5
_COLOURS: Final = {"error": "\x1b[31m", "warning": "\x1b[33m", "hint": "\x1b[36m"}


def say(kind: str, text: str, stream: TextIO | None = None) -> None:
    """Print `kind: text` on stderr as one line, broken where a terminal is narrower; coloured there unless NO_COLOR
    is set.
    """
    stream = stream or sys.stderr
    colour = _COLOURS.get(kind, "") if stream.isatty() and not os.environ.get("NO_COLOR") else ""
    tell(text, stream, head=f"{colour}{kind}:\x1b[0m " if colour else f"{kind}: ", head_columns=len(kind) + 2)


def tell(line: str, stream: TextIO | None = None, *, head: str = "", head_columns: int = 0) -> None:
    """Print a line for people: between words it is broken where a terminal is narrower; see `emit`."""
    stream = stream or sys.stderr
    width = columns(stream) if stream.isatty() else None
    for piece in folded(printable(line), width, head=head_columns):
        emit(piece, stream, head=head)
        head = ""


def emit(line: str, stream: TextIO | None = None, *, head: str = "") -> None:
    """Print a line; what the stream cannot spell is escaped, and `head` alone may command a terminal."""
    stream = stream or sys.stderr
    encoding = stream.encoding or "ascii"
    emit_bytes(f"{head}{printable(line)}\n".encode(encoding, "backslashreplace"), stream)


def emit_lines(lines: Iterable[str], stream: TextIO) -> None:
    """The same for many lines, some hundreds at a time."""
    encoding = stream.encoding or "ascii"
    waiting = iter(lines)
    while some := list(islice(waiting, _LINES_TOGETHER)):
        emit_bytes("".join(f"{printable(line)}\n" for line in some).encode(encoding, "backslashreplace"), stream)


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
        emit_nowhere(stream)


def say_error(error: LaklakError, *, silently: bool = False) -> None:
    """Print an error and what to do; `silently` only the log is told."""
    log.error("%s", error)
    if silently:
        return
    say("error", str(error))
    if error.hint:
        say("hint", error.hint)


class Terminal:
    """An observer that prints. A panel on a terminal, one line every 30 s elsewhere, nothing when `quiet`.

    The log gets those lines too, whatever is shown.  With `told`, a warning is printed when it has changed, not in
    every run.
    """

    def __init__(self, *, quiet: bool, progress: bool, told: Told | None = None) -> None:
        self._quiet = quiet
        self._progress = progress and not quiet
        self._told = told
        self._notes = not quiet
        self._panel: LivePanel | None = None
        self._next_line_s = time.monotonic() + STATUS_EVERY_S

    def note(self, line: str) -> None:
        log.info("%s", line)
        if self._notes:
            self.close()
            tell(line)

    def warn(self, line: str) -> None:
        log.warning("%s", line)
        if self._told is not None and not self._told.is_news(line):
            return
        self.close()
        say("warning", line)

    def planned(self, estimate: Estimate) -> None:
        self.note(plan_line(estimate))
        for line in [*begun_lines(estimate.begun_series), *reached_lines(estimate.reached_series)]:
            self.note(line)

    def stopping(self, line: str) -> None:
        log.info("%s", line)
        self.close()
        tell(line)

    def progress(self, report: Report) -> None:
        drawn = self._progress and can_draw(sys.stderr)
        if drawn:
            self._panel = self._panel or LivePanel(sys.stderr)
            self._panel.draw(lambda width: _panel(report, width))
        if time.monotonic() >= self._next_line_s:
            self._next_line_s = time.monotonic() + STATUS_EVERY_S
            status = copy_status_line(report) if isinstance(report, CopyReport) else status_line(report)
            log.info("%s", status)
            if self._progress and not drawn:
                emit(status)

    def ended(self, exit_status: int) -> None:
        """The run is over: what was held back may be why it has failed, and the next run is to know what was told."""
        if self._told is None:
            return
        if exit_status in (1, 2):
            for line in self._told.held_back:
                say("warning", line)
        self._told.save(whole=exit_status in (0, 1))

    def turn_ended(self) -> None:
        """One of many turns is over: the next ones are the same again, and their notes are for the log alone."""
        self.close()
        self._notes = False
        self._next_line_s = time.monotonic() + STATUS_EVERY_S
        if self._told is not None:
            self._told.save(whole=True)

    def close(self) -> None:
        """Take the progress display away; the next tick draws it anew below what was printed."""
        if self._panel is not None:
            self._panel.erase()
            self._panel = None


class LivePanel:
    """Lines at the end of a terminal that are drawn again and again.

    The cursor is left at their beginning, where a terminal keeps it when its width changes and lines are broken anew:
    what is erased from there on is all of them, however many they have become.  They are written over, and what is left
    of the older ones is erased from behind the first column: tmux takes what is erased from the first cell of a screen
    into its history, where one bar would stand below the other.
    """

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console

        self._stream = stream
        # It never gets to the file, but what can be spelled there decides what the bar is made of.
        nowhere = io.TextIOWrapper(io.BytesIO(), encoding=stream.encoding or "ascii", errors="replace")
        self._console = Console(file=nowhere, force_terminal=True, legacy_windows=False, color_system=_colours())

    def draw(self, panel: Callable[[int], Any]) -> None:
        # The last column is left free: a terminal that has filled it may be on the next line already, or not.
        size = size_of(self._stream)
        width, rows = size.columns - 1, max(2, size.lines)
        console = self._console
        console.width = width
        with console.capture() as captured:
            console.print(panel(width))
        lines = captured.get().splitlines()[: rows - 1]
        up = f"\x1b[{len(lines) - 1}A" if len(lines) > 1 else ""
        drawn = "\r\n".join(f"{line}\x1b[K" for line in lines)
        text = f"\x1b[?25l\r{drawn}\x1b[J\r{up}\x1b[?25h"
        emit_bytes(text.encode(self._stream.encoding or "ascii", "replace"), self._stream)

    def erase(self) -> None:
        emit_bytes(b"\r\x1b[K\x1b[C\x1b[J\r", self._stream)


def can_draw(stream: TextIO) -> bool:
    """Whether a stream is a terminal whose cursor can be moved."""
    return stream.isatty() and os.environ.get("TERM", "dumb") not in ("", "dumb", "unknown")


def _colours() -> Literal["standard"] | None:
    return None if os.environ.get("NO_COLOR") else "standard"


def columns(stream: TextIO) -> int:
    """How wide a terminal is, now; COLUMNS counts before what it says of itself."""
    given = os.environ.get("COLUMNS", "")
    return int(given) if re.fullmatch("[1-9][0-9]{0,4}", given) else size_of(stream).columns


def size_of(stream: TextIO) -> os.terminal_size:
    """What a terminal says of its size, or what is usual where it says nothing."""
    try:
        size = os.get_terminal_size(stream.fileno())
    except (OSError, ValueError):
        size = os.terminal_size((0, 0))
    return os.terminal_size((size.columns or _USUAL.columns, size.lines or _USUAL.lines))


def _panel(report: Report, width: int) -> Any:
    figures = figures_of(report)
    if isinstance(report, CopyReport):
        lines = [f"from {report.source} to {report.store}", figures["series"]]
        return _bar_and_lines(report, figures, lines, width)
    working = [str(ledger.plan.series) for ledger in report.ledgers if ledger.open_questions]
    venues = list(venue_lines(report))
    budget = "" if venues else f", {figures['budget']}"
    lines = [
        *venues,
        f"{figures['requests']}, {report.on_the_wire} on the wire{budget}",
        f"{figures['series']}, {figures['errors']}, at work: {', '.join(working[:4]) or '-'}",
    ]
    if report.paused_for_s and not venues:
        lines.append(f"the venue told us to wait: going on in {duration_text(report.paused_for_s)}")
    return _bar_and_lines(report, figures, lines, width)


def _bar_and_lines(report: Report, figures: Mapping[str, str], lines: list[str], width: int) -> Any:
    from rich.console import Group
    from rich.text import Text

    if report.waiting is not None:
        lines.append(waiting_words(report.waiting, time.monotonic()))
    done = report.wanted - report.missing
    words = f"{figures['share']:>6} {done:,} of {report.wanted:,} candles {figures['rate']} ETA {figures['eta']}"
    texts = [Text(piece) for line in lines for piece in folded(printable(line), width)]
    return Group(bar_of(done / max(1, report.wanted), words, width), *texts)


def bar_of(share: float, words: str, width: int) -> Any:
    """A bar with words behind it."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    # On a narrow terminal the figures matter more than the bar.
    room = min(32, width - len(words) - 1)
    if room < _SHORTEST_BAR:
        return Group(*(Text(piece) for piece in folded(printable(words).lstrip(), width)))
    bar = Table.grid(padding=(0, 1))
    bar.add_row(ProgressBar(total=1.0, completed=share, width=room), Text(printable(words)))
    return bar


def terminal_width(stream: TextIO) -> int | None:
    """How wide lines on a terminal should be, at most; None where it is no terminal."""
    return min(_WIDEST, columns(stream)) if stream.isatty() else None
