"""What a terminal shows."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path


def on_terminal(words, seconds=30):
    """Run on a pseudo terminal; gives exit status and everything that appeared on it."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "laklak", *words], stdin=follower, stdout=follower, stderr=follower, close_fds=True
    )
    os.close(follower)
    shown = b""
    deadline = time.monotonic() + seconds
    try:
        while time.monotonic() < deadline:
            if select.select([leader], [], [], 0.1)[0]:
                try:
                    piece = os.read(leader, 65536)
                except OSError:
                    break
                if not piece:
                    break
                shown += piece
        return process.wait(60), shown.decode()
    finally:
        process.kill()
        process.wait()
        os.close(leader)


def test_a_terminal_shows_progress_and_coloured_warnings(venue, monkeypatch):
    venue(latency_s=0.2)
    monkeypatch.setenv("TERM", "xterm-256color")
    Path("assets.txt").write_text("LTCUSDT binance\nBTC=F okx\n")
    exit_status, shown = on_terminal(["backfill", "--days", "1", "--chunk", "99", "--workers", "4"])
    assert exit_status == 0
    assert "of 1,440 candles" in shown
    assert "ETA" in shown
    assert "\x1b[33mwarning:\x1b[0m" in shown


def test_no_color_takes_the_colours_away(venue, monkeypatch):
    venue(latency_s=0.2)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    Path("assets.txt").write_text("LTCUSDT binance\nBTC=F okx\n")
    exit_status, shown = on_terminal(["backfill", "--days", "1", "--chunk", "99", "--workers", "4"])
    assert exit_status == 0
    assert "warning: 1 symbol of okx" in shown
    assert not re.search(r"\x1b\[[0-9;]*3[0-9][0-9;]*m", shown)


def test_no_progress_draws_nothing(venue, monkeypatch):
    venue(latency_s=0.2)
    monkeypatch.setenv("TERM", "xterm-256color")
    words = ["backfill", "LTCUSDT", "--days", "1", "--chunk", "99", "--workers", "4", "--no-progress"]
    exit_status, shown = on_terminal(words)
    assert exit_status == 0
    assert "ETA" not in shown
    assert "\x1b" not in shown


def test_runs_are_broken_between_words(venue, here):
    venue()
    here("backfill", "LTCUSDT", "--days", "1", "--store", "candles.db")
    exit_status, shown = on_terminal(["runs", "--store", "candles.db"])
    assert exit_status == 0
    assert len(shown.splitlines()) > 2
    assert all(len(line) <= 80 for line in shown.splitlines())
