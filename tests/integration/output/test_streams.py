"""What the program says and where: the summary, JSON, and streams that nobody takes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from laklak.simulator import generate

DAY = ("--days", "1")


def test_the_summary_goes_to_stdout_and_everything_else_to_stderr(venue, here):
    venue()
    ended = here("backfill", "LTCUSDT", *DAY)
    assert ended.out.startswith("complete: 1,440 of 1,440 candles of 1 series")
    first, second = ended.err.splitlines()
    assert re.fullmatch(rf"store: sqlite:///{re.escape(os.getcwd())}/laklak\.db: new file; .+ free", first)
    assert second.startswith("plan: 1 series, 2026-02-28T00:00Z to 2026-03-01T00:00Z: 1,440 of 1,440 candles to fetch")


def test_the_store_is_always_named_first_with_what_it_holds(venue, here):
    venue()
    here("backfill", "LTCUSDT", *DAY)
    ended = here("backfill", "LTCUSDT", *DAY)
    assert ended.err.startswith(
        f"store: sqlite:///{os.getcwd()}/laklak.db: 1 series, 1,440 candles, 2026-02-28T00:00Z to "
    )


def test_json_is_all_there_is_on_stdout(venue, laklak, check_sum):
    venue()
    ended = laklak("backfill", "LTCUSDT", *DAY, "--json")
    assert ended.out.count("\n") == 1
    answer = check_sum(ended.json)
    assert (answer["store"], answer["series"], answer["error"], answer["hint"]) == (
        f"sqlite:///{os.getcwd()}/laklak.db",
        1,
        None,
        None,
    )
    assert (answer["banned_until"], answer["dead_letter"]) == (None, None)
    assert answer["requests"] == answer["candle_requests"] + 2
    assert answer["candles_per_second"] > 0


def test_a_reader_that_has_gone_away_is_no_error(venue):
    venue()
    line = f"{sys.executable} -m laklak backfill LTCUSDT --days 1 2>&1 | true; exit ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


LOST = [">&-", ">/dev/full", "2>&-", "2>/dev/full", ">&- 2>&- <&-"]
COMMANDS = [("backfill LTCUSDT --days 1 --json", 0), ("backfill LTCUSDT --days 1", 0), ("backfill LTCUSDT --json", 2)]
EVERY_DAY = [(COMMANDS[0], ">&-"), (COMMANDS[0], "2>/dev/full")]


@pytest.mark.parametrize(
    ("words", "status", "lost"),
    [
        # Every day one command loses one stream and another way of it, and all lose all of them.
        pytest.param(*command, lost, marks=[] if (command, lost) in EVERY_DAY or lost == LOST[-1] else pytest.mark.long)
        for command in COMMANDS
        for lost in LOST
    ],
)
def test_output_that_nobody_takes_changes_nothing(lost, words, status, venue):
    venue()
    line = f"{sys.executable} -m laklak {words} {lost}"
    ended = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == status
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    "encoding", ["ascii", *(pytest.param(more, marks=pytest.mark.long) for more in ("latin-1", "utf-8"))]
)
def test_what_a_terminal_cannot_spell_is_escaped_and_not_dropped(encoding, venue):
    venue(generate(symbols=6, days=1))
    words = [sys.executable, "-m", "laklak"]
    span = ["币安人生USDT", "--start", "2026-11-20", "--end", "2026-11-20T00:05"]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}

    def run(*more):
        return subprocess.run([*words, *more], capture_output=True, timeout=60, check=True, env=environment).stdout

    answer = json.loads(run("backfill", *span, "--json"))
    assert answer["written"] == 5
    name = "币安人生USDT" if encoding == "utf-8" else "\\u5e01\\u5b89\\u4eba\\u751fUSDT"
    assert run("show", "币安人生USDT").decode(encoding).splitlines()[0] == f"binance:{name}:1m"


def test_an_internal_error_is_one_line_and_its_traceback_goes_to_the_log(venue, here, check_sum, monkeypatch):
    venue()

    def broken(*_):
        raise ZeroDivisionError("on purpose")

    monkeypatch.setattr("laklak.engine.asking.first_answer", broken)
    ended = here("backfill", "LTCUSDT", *DAY, "--json", "-v")
    assert ended.exit == 1
    check_sum(ended.json)
    (error,) = ended.lines("error")
    assert "ZeroDivisionError: on purpose" in error
    assert "Traceback" in Path("backfill.log").read_text()
