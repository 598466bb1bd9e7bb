"""What the log gets, and what a log that cannot be written costs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from laklak.text import MOVES_LOG

DAY = ("--days", "1")


def test_the_log_names_once_what_somebody_has_set(venue, here):
    running = venue()
    here("backfill", "LTCUSDT", *DAY)
    (line,) = [line for line in Path("backfill.log").read_text().splitlines() if "days = 1" in line]
    assert line.endswith(
        "INFO settings: days = 1 (flag --days); start_wait = 0s (environment LAKLAK_START_WAIT); "
        f"binance.url = {running.url} (environment LAKLAK_BINANCE_URL); "
        "binance.budget = max (environment LAKLAK_BINANCE_BUDGET)"
    )
    assert "workers" not in Path("backfill.log").read_text()


@pytest.mark.parametrize("words", [("-q",), ("--no-progress",), ()])
def test_the_log_gets_the_lines_of_progress(words, venue, laklak):
    venue(latency_s=0.3)
    often = "import laklak.cli.terminal; laklak.cli.terminal.STATUS_EVERY_S = 0.1"
    ended = laklak("backfill", "LTCUSDT", *DAY, "--chunk", "99", "--workers", "2", *words, first=often)
    assert ended.exit == 0
    assert re.search(r"INFO \d+\.\d % [\d,]+ of 1,440 candles, .*ETA ", Path("backfill.log").read_text())
    assert (" of 1,440 candles, " in ended.err) == (not words)


def test_a_log_can_be_switched_off(venue, here):
    venue()
    assert here("backfill", "LTCUSDT", *DAY, "--log-file", "none").exit == 0
    assert not Path("backfill.log").exists()


@pytest.mark.parametrize("place", ["no/such/folder/x.log", "."])
def test_a_log_in_an_impossible_place_is_one_warning(place, venue, here):
    venue()
    ended = here("backfill", "LTCUSDT", *DAY, "--log-file", place)
    assert ended.exit == 0
    (warning,) = ended.lines("warning")
    assert warning.startswith("no log: ")


def test_a_store_given_as_the_log_is_not_written_into(venue, here):
    venue()
    assert here("backfill", "LTCUSDT", *DAY).exit == 0
    before = Path("laklak.db").read_bytes()
    ended = here("backfill", "LTCUSDT", *DAY, "-n", "--log-file", "laklak.db")
    assert ended.exit == 0
    assert ended.lines("warning") == [
        f"no log: laklak.db: this is a database, not a log; going on without; {MOVES_LOG}"
    ]
    assert Path("laklak.db").read_bytes() == before


def test_a_log_on_a_full_disk_costs_nothing_but_the_log(venue, laklak):
    venue()
    ended = laklak("backfill", "LTCUSDT", *DAY, "--log-file", "/dev/full", "-v")
    assert ended.exit == 0
    assert len(ended.err.splitlines()) == 2
