"""What a terminal is sent: lines that fit, and a panel that leaves nothing behind."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import termios

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laklak.cli import terminal
from laklak.model.series import MINUTE_MS, Series, TimeRange
from laklak.plan.missing import SeriesPlan
from laklak.report.ledger import Ledger
from laklak.report.progress import Report
from laklak.text import columns_of, folded

PLAN = (
    "plan: 541 series, 2026-02-25T00:00Z to 2026-03-01T00:00Z: 11,520 of 11,520 candles to fetch in 118 requests, "
    "weight 118, at least 6.0 s at 1200 weight a minute; --chunk auto would save 3.6 s"
)


def running():
    span = TimeRange(0, 600 * MINUTE_MS)
    ledger = Ledger(SeriesPlan(Series.parse("binance:BTCUSDT:1m"), span, None, 300, 0, 0, (span,)))
    return Report(ledgers=[ledger], budget=1200)


class Screen:
    """A pseudo terminal of a chosen width, and what was written to it."""

    def __init__(self, width):
        self.leader, follower = pty.openpty()
        self.stream = os.fdopen(follower, "w", encoding="utf-8")
        self.resize(width)

    def resize(self, width):
        fcntl.ioctl(self.stream.fileno(), termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))

    def written(self):
        """All that was written: a terminal gives it in pieces."""
        self.stream.flush()
        pieces = [os.read(self.leader, 65536)]
        while select.select([self.leader], [], [], 0.1)[0]:
            pieces.append(os.read(self.leader, 65536))
        return b"".join(pieces).decode()

    def close(self):
        self.stream.close()
        os.close(self.leader)


@pytest.fixture
def screen(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("COLUMNS", raising=False)
    screens = []

    def make(width):
        screens.append(Screen(width))
        return screens[-1]

    yield make
    for one in screens:
        one.close()


@pytest.mark.parametrize("width", [40, 57, 80, 120, 200])
def test_a_line_for_people_is_broken_between_words_where_a_terminal_is_narrower(width, screen):
    shown = screen(width)
    terminal.tell(PLAN, shown.stream)

    lines = shown.written().splitlines()
    assert all(len(line) <= width for line in lines)
    assert " ".join(line.strip() for line in lines) == PLAN


def test_the_word_before_a_line_takes_its_room_and_is_said_once(screen):
    shown = screen(40)
    terminal.say("warning", PLAN, shown.stream)

    lines = re.sub(r"\x1b\[\d*m", "", shown.written()).splitlines()
    assert lines[0].startswith("warning: plan: 541 series,")
    assert all(len(line) <= 40 for line in lines)
    assert sum("warning" in line for line in lines) == 1


def test_a_pipe_gets_whole_lines(capfd):
    terminal.tell(PLAN)

    assert capfd.readouterr().err == f"{PLAN}\n"


@given(st.lists(st.text(st.characters(categories=("L", "N", "P")), min_size=1, max_size=12)), st.integers(20, 90))
def test_folding_loses_no_word_and_keeps_to_the_width(words, width):
    text = "  " + " ".join(words)
    pieces = folded(text, width)

    assert " ".join(pieces).split() == text.split()
    assert all(columns_of(piece) <= width or len(piece.split()) == 1 for piece in pieces)


def test_letters_that_are_two_columns_wide_count_twice():
    assert columns_of("币安人生USDT") == 12
    assert folded("币安人生USDT 币安人生USDT", 24) == ["币安人生USDT", "  币安人生USDT"]


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_a_panel_leaves_the_cursor_where_it_begins_so_that_all_of_it_is_erased_whatever_its_width(width, screen):
    shown = screen(width)
    panel = terminal.LivePanel(shown.stream)
    panel.draw(lambda room: terminal._panel(Report(budget=1200), room))
    first = shown.written()
    shown.resize(40)
    panel.draw(lambda room: terminal._panel(Report(budget=1200), room))
    second = shown.written()
    panel.erase()

    assert shown.written() == "\r\x1b[K\x1b[C\x1b[J\r"
    for text, most in ((first, width), (second, 40)):
        form = r"\x1b\[\?25l\r(.*)\x1b\[J\r\x1b\[(\d+)A\x1b\[\?25h"
        body, up = re.fullmatch(form, text, re.DOTALL).groups()
        assert int(up) == body.count("\n") > 0
        lines = re.split(r"\r+\n", body)
        assert all(line.endswith("\x1b[K") for line in lines)
        # The last column is free.
        assert all(len(re.sub(r"\x1b\[[\d;]*[mK]", "", line)) < most for line in lines)


def test_nothing_is_erased_from_the_first_column_on_since_tmux_would_keep_it_in_its_history(screen):
    shown = screen(40)
    panel = terminal.LivePanel(shown.stream)
    for _ in range(2):
        panel.draw(lambda room: terminal._panel(Report(budget=1200), room))
    panel.erase()

    text = shown.written()
    assert text.count("\x1b[J") == 3
    assert "\r\x1b[J" not in text
    assert "\n\x1b[J" not in text


def test_a_terminal_that_cannot_spell_the_bar_gets_one_that_it_can(screen):
    shown = screen(120)
    with open(os.dup(shown.stream.fileno()), "w", encoding="ascii") as plain:
        terminal.LivePanel(plain).draw(lambda room: terminal._panel(running(), room))
        text = shown.written()

    assert "----" in text
    assert "?" not in text.replace("\x1b[?", "")


def test_a_panel_is_never_higher_than_the_terminal(screen):
    shown = screen(40)
    terminal.LivePanel(shown.stream).draw(lambda room: "\n".join(map(str, range(100))))

    assert shown.written().count("\n") == 22


@pytest.mark.parametrize("kind", ["dumb", "", "unknown"])
def test_a_terminal_that_cannot_move_its_cursor_gets_no_panel(kind, screen, monkeypatch):
    shown = screen(80)
    assert terminal.can_draw(shown.stream)
    monkeypatch.setenv("TERM", kind)
    assert not terminal.can_draw(shown.stream)
