"""Lines for people: what they promise in figures, and that nothing in them commands a terminal."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laklak import terminal
from laklak.copying import CopyReport, summarise_copy
from laklak.ledger import Ledger
from laklak.model import MINUTE_MS, Series, TimeRange
from laklak.plan import SeriesPlan
from laklak.report import Report
from laklak.wording import copy_summary_lines, status_line

BTC = Series.parse("binance:BTCUSDT:1m")
BAD = "a\x1b[2Jb\nc\u202ed\x07e"
HARMLESS = "a [2Jb c d e"


def report_of(wanted, stored):
    span = TimeRange(0, wanted * MINUTE_MS)
    missing = (TimeRange(stored * MINUTE_MS, span.end_ms),) if stored < wanted else ()
    return Report(ledgers=[Ledger(SeriesPlan(BTC, span, None, stored, 0, 0, missing))])


@given(st.integers(1, 100_000_000), st.data())
def test_the_share_is_never_more_than_what_is_there(wanted, data):
    stored = data.draw(st.integers(0, wanted) | st.integers(max(0, wanted - 3), wanted))
    (shown,) = re.findall(r"^(\d+\.\d) %", status_line(report_of(wanted, stored)))
    assert float(shown) <= 100 * stored / wanted < float(shown) + 0.1 + 1e-9
    assert (shown == "100.0") == (stored == wanted)


def test_nothing_wanted_is_all_of_it():
    assert status_line(Report()).startswith("100.0 % 0 of 0 candles")


@pytest.fixture
def shown(capfd):
    """Everything that was printed, both streams."""
    return lambda: "".join(capfd.readouterr())


@pytest.mark.parametrize("tell", ["note", "warn", "stopping"])
def test_nothing_that_an_observer_is_told_commands_the_terminal(tell, shown):
    getattr(terminal.Terminal(quiet=False, progress=False), tell)(BAD)
    assert HARMLESS in (text := shown())
    assert all(char.isprintable() for char in text.removesuffix("\n"))


def test_no_line_commands_the_terminal(shown):
    terminal.emit(BAD)
    assert shown() == f"{HARMLESS}\n"


def test_only_the_head_of_a_line_is_coloured(monkeypatch):
    class Screen(io.TextIOWrapper):
        def isatty(self):
            return True

    monkeypatch.delenv("NO_COLOR", raising=False)
    screen = Screen(raw := io.BytesIO(), encoding="utf-8")
    terminal.say("error", BAD, screen)
    assert raw.getvalue().decode() == f"\x1b[31merror:\x1b[0m {HARMLESS}\n"


def test_no_panel_commands_the_terminal():
    from rich.console import Console

    console = Console(file=io.StringIO(), width=100, force_terminal=False)
    console.print(terminal._copy_panel(CopyReport(source=f"sqlite:///{BAD}", store="sqlite:///b.db"), 100))
    assert f"from sqlite:///{HARMLESS} to sqlite:///b.db" in console.file.getvalue()


def test_series_that_a_destination_would_not_keep_are_named_in_the_summary():
    report = CopyReport(start_ms=0, end_ms=MINUTE_MS, series=3, outside_retention=[BTC])
    lines = list(copy_summary_lines(summarise_copy(report)))
    assert "  of 1 series the destination would keep nothing: binance:BTCUSDT:1m" in lines
