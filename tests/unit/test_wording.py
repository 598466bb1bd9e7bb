"""Lines for people: what they promise in figures, and that nothing in them commands a terminal."""

from __future__ import annotations

import io
import re
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laklak.cli import terminal
from laklak.errors import VenueUnreachable
from laklak.model.series import MINUTE_MS, Series, TimeRange
from laklak.plan.missing import SeriesPlan
from laklak.plan.wanted import ReachedSeries
from laklak.report.copied import CopyReport, summarise_copy
from laklak.report.ledger import Ledger
from laklak.report.progress import FileTally, Pace, Report, VenueFigures
from laklak.report.status import figures_of, status_line, venue_lines
from laklak.report.words import copy_summary_lines, reached_lines
from laklak.stores.base import Waiting
from laklak.text import duration_text

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


def running(wanted, written, *, seconds=100.0, **figures):
    """A report of a run that has stored so much in so many seconds."""
    report = report_of(wanted, 0)
    report.ledgers[0].written = written
    report.fetching_since_s = time.monotonic() - seconds
    for name, value in figures.items():
        setattr(report, name, value)
    return report


def test_before_anything_has_come_nothing_is_foretold():
    pace = Pace("weight", 1200, 60.0, requests=1, units=1, seconds=0.1)
    assert figures_of(running(1000, 0, paces={"binance": pace}))["eta"] == "-"


def test_what_has_only_one_source_goes_on_at_the_rate_so_far():
    assert figures_of(running(1_000_000, 250_000))["eta"] == "5 min"


def test_a_few_requests_behind_many_quick_files_take_as_long_as_their_weight():
    files = FileTally(planned=10, read=10, candles=9_000_000)
    pace = Pace("weight", 1200, 60.0, requests=920, units=4600, seconds=4600 / 19.6)
    report = running(10_000_000, 9_100_000, files=files, paces={"binance": pace})

    # The rate so far would foretell 10 s.
    assert figures_of(report)["eta"] == duration_text(4600 / 19.6) == "4 min"


def test_the_slowest_venue_decides_how_long_it_takes_and_those_of_one_pool_wait_for_each_other():
    def left(pool, seconds):
        return Pace("weight", 1200, 60.0, pool, requests=100, units=100, seconds=seconds)

    others = {"bybit": left("bybit", 90.0), "deribit": left("deribit", 30.0)}
    assert figures_of(running(1_000_000, 900_000, paces=others))["eta"] == duration_text(90.0)
    together = {**others, "binance": left("futures", 80.0), "binance_coinm": left("futures", 50.0)}
    assert figures_of(running(1_000_000, 900_000, paces=together))["eta"] == duration_text(130.0)


def test_many_files_behind_a_few_requests_take_as_long_as_the_files_did():
    files = FileTally(planned=100, read=10, candles=100_000)
    report = running(1_000_000, 200_000, files=files)

    # 800,000 candles, and at most so many are in the 90 files left, at 1000 a second; the rate so far says 2000.
    assert figures_of(report)["eta"] == "13 min"


def test_no_more_requests_are_foretold_than_candles_are_missing():
    pace = Pace("weight", 60, 60.0, requests=490, units=490, seconds=490 / 0.98)
    report = running(1000, 990, seconds=1.0, paces={"binance": pace})

    assert figures_of(report)["eta"] == duration_text(10 / 0.98)


@pytest.mark.parametrize(
    ("seconds", "written", "eta"),
    [
        (1.0, 0, "60 min"),  # the plan alone
        (36.0, 100_000, "53 min"),  # a tenth of the way to the measured rate: 0.9 x 54 min + 0.1 x 324 s, and so on
        (360.0, 100_000, "54 min"),  # the measured rate: 900,000 candles at 278 a second
        (3000.0, 100_000, "450 min"),
    ],
)
def test_the_time_left_goes_from_the_plan_to_the_measured_rate(seconds, written, eta):
    report = running(1_000_000, written, seconds=seconds, seconds_planned=3600.0)
    minutes = {"60 min": 60, "53 min": (0.9 * 3240 + 0.1 * 324) / 60, "54 min": 54, "450 min": 450}[eta]

    assert figures_of(report)["eta"] == duration_text(minutes * 60)


def test_a_plan_of_seconds_does_not_outlast_ten_of_them():
    report = running(1_000_000, 1_000, seconds=10.05, seconds_planned=2.0)

    assert figures_of(report)["eta"] == duration_text(10_040)


def test_where_nothing_comes_the_plan_is_not_repeated_for_ever():
    assert figures_of(running(1000, 0, seconds=11.0, seconds_planned=2.0))["eta"] == "-"


@pytest.mark.parametrize(
    ("weight", "done", "words"),
    [(0, 3, "reading files"), (600, 3, "budget 50 % of 1200/min"), (0, 10, "budget 0 % of 1200/min")],
)
def test_a_budget_that_is_not_used_while_files_are_read_is_no_budget_of_0(weight, done, words):
    files = FileTally(planned=10, read=done, candles=100)
    figures = figures_of(running(1000, 100, files=files, paces={"binance": Pace("weight", 1200, 60.0, used=weight)}))

    assert figures["budget"] == words


def test_each_of_several_venues_has_a_line_of_its_own():
    report = running(1000, 400)
    report.venues = {
        "binance": VenueFigures(candle_requests=4),
        "bybit": VenueFigures(end=VenueUnreachable("bybit cannot be used: it is silent")),
    }
    pace = Pace("weight", 1200, 60.0, used=600, requests=6, units=30, seconds=1.5)
    report.paces = {"binance": pace}
    assert list(venue_lines(report)) == []

    report.paces = {"binance": replace(pace, paused_for_s=30.0), "bybit": Pace("requests", 60, 5.0)}
    assert list(venue_lines(report)) == [
        "binance  40.0 % of 1,000 candles, 4 of 10 requests, budget 50 % of 1200/min, told to wait 30 s",
        "bybit   100.0 % of 0 candles, given up: bybit cannot be used: it is silent",
    ]


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
    console.print(terminal._panel(CopyReport(source=f"sqlite:///{BAD}", store="sqlite:///b.db"), 100))
    assert f"from sqlite:///{HARMLESS} to sqlite:///b.db" in console.file.getvalue()


def test_a_store_that_is_waited_for_is_on_the_panel_and_in_the_line():
    from rich.console import Console

    now_s = time.monotonic()
    waiting = Waiting("InfluxDB at db:8086 does not work: Connection refused", now_s - 45, now_s + 3, now_s + 600)
    report = running(1000, 100, waiting=waiting)
    console = Console(file=io.StringIO(), width=200, force_terminal=False)
    console.print(terminal._panel(report, 200))

    words = r"waiting for the store for 45 s, next try in [23]\.\d s, giving up in 10 min: InfluxDB at db:8086 does not"
    assert re.search(words, console.file.getvalue())
    assert re.search(words, status_line(report))


def test_series_that_a_destination_would_not_keep_are_named_in_the_summary():
    report = CopyReport(start_ms=0, end_ms=MINUTE_MS, series=3, outside_retention=[BTC])
    lines = list(copy_summary_lines(summarise_copy(report)))
    assert "  of 1 series the destination would keep nothing: binance:BTCUSDT:1m" in lines


def a_summary(missing, **reasons):
    """A copy of 10 candles of which so many are missing, for these reasons."""
    ledger = Ledger(SeriesPlan(BTC, TimeRange(0, 10 * MINUTE_MS), None, 10 - missing, 0, 0, ()))
    for reason, count in reasons.items():
        ledger.trouble(reason, count, "why")
    return summarise_copy(CopyReport(start_ms=0, end_ms=MINUTE_MS, series=1, ledgers=[ledger]))


AGAIN = "  run the same command again to copy what is missing"
MENDED = "candles stay missing, however often this is run, until what is named above is mended"


@pytest.mark.parametrize("reason", ["source_unsound", "store_refused", "other_types"])
def test_what_has_to_be_mended_first_is_no_reason_to_run_again(reason):
    lines = list(copy_summary_lines(a_summary(3, **{reason: 3})))
    assert AGAIN not in lines
    assert f"  3 {MENDED}" in lines


def test_what_was_deleted_meanwhile_is_settled_by_another_run():
    lines = list(copy_summary_lines(a_summary(3, source_changed=3)))
    assert AGAIN in lines
    assert not any(MENDED in line for line in lines)


def test_both_are_told_where_both_are_missing():
    lines = list(copy_summary_lines(a_summary(5, source_changed=2, store_refused=3)))
    assert [line for line in lines if line == AGAIN or MENDED in line] == [AGAIN, f"  3 {MENDED}"]


JANUARY_MS = 1_769_731_200_000


@pytest.mark.parametrize(
    ("reached", "line"),
    [
        ([("^GSPC", 0, 61 * 1440)], "1m of ^GSPC reaches back to 2026-01-30T00:00Z, 61 days are out of reach"),
        ([("^GSPC", 0, 90)], "1m of ^GSPC reaches back to 2026-01-30T00:00Z, 1 h 30 min are out of reach"),
        (
            [("^GSPC", 0, 1440), ("BTC=F", 0, 1439)],
            "1m of ^GSPC, BTC=F reach back to 2026-01-30T00:00Z, up to 1 day is out of reach",
        ),
        (
            [(f"S{day}", day, 1440 * day) for day in range(1, 6)],
            "1m of 5 series reach back to moments from 2026-01-31T00:00Z to 2026-02-04T00:00Z, "
            "up to 5 days are out of reach",
        ),
    ],
)
def test_what_is_out_of_reach_is_told_by_series_and_together_where_they_are_many(reached, line):
    told = [
        ReachedSeries(f"yfinance:{symbol}:1m", JANUARY_MS + days * 86_400_000, candles)
        for symbol, days, candles in reached
    ]

    assert list(reached_lines(told)) == [f"yfinance: {line}"]
