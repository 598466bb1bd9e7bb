"""`laklak simulate` as it is started from a shell."""

import json
import os
import re
import signal
import time
from pathlib import Path

import pytest

from laklak.simulator import ARCHIVE_KINDS


@pytest.fixture
def start(fork_server):
    """Start it with more words; it is ended by the test, or after it."""
    started = []

    def run(*words):
        process = fork_server.start(["simulate", "--port", "0", *map(str, words)], os.environ)
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def laklak(fork_server):
    """Run another command to its end, which has to be a good one, and give what it said."""

    def run(*words):
        process = fork_server.start(words, os.environ)
        said, _ = process.communicate(60)
        assert process.returncode == 0
        return said

    return run


def stop(process):
    """The rest of its output, its messages and its exit status after Ctrl-C."""
    process.send_signal(signal.SIGINT)
    output, messages = process.communicate(timeout=60)
    return output, messages, process.returncode


def test_it_tells_both_addresses_and_how_to_use_them(start):
    process = start("--generated", "2", "--days", "1")
    first, second = process.stdout.readline(), process.stdout.readline()
    url = first.removeprefix("simulator: ").strip()
    _, messages, status = stop(process)

    assert re.fullmatch(r"http://127\.0\.0\.1:[0-9]+", url)
    assert second == f"archive: {url}\n"
    assert f"try: LAKLAK_BINANCE_URL={url} LAKLAK_BINANCE_ARCHIVE_URL={url} laklak backfill BTCUSDT" in messages
    assert status == 0


def test_it_tells_what_it_serves_and_how_to_fill_just_that(start, laklak, monkeypatch):
    recorded = Path(__file__).parents[1] / "recorded/binance"
    process = start("--recorded", recorded)
    process.stdout.readline(), process.stdout.readline()
    told, tried = process.stderr.readline(), process.stderr.readline()
    symbols = "ALGOUSDT AVAXUSDT DOTUSDT FILUSDT LINKUSDT LTCUSDT NEARUSDT"

    assert told == (
        f"serves 7 symbols ({symbols.replace(' ', ', ')}), candles from 2026-02-25T00:00Z to 2026-02-28T23:59Z; "
        "its clock stands still there\n"
    )
    assert f" laklak backfill {symbols} --start 2026-02-25T00:00Z --end 2026-03-01T00:00Z --store simulated.db" in tried
    words = tried.removeprefix("try: ").split()
    monkeypatch.setenv("LAKLAK_BINANCE_URL", words[0].partition("=")[2])
    monkeypatch.setenv("LAKLAK_BINANCE_ARCHIVE_URL", words[1].partition("=")[2])
    assert laklak(*words[3:]).startswith("complete: 40,320 of 40,320 candles of 7 series")
    stop(process)


def test_of_many_symbols_it_says_how_to_fill_all(start):
    process = start("--generated", "21", "--days", "1")
    process.stdout.readline(), process.stdout.readline()
    _, messages, _ = stop(process)

    assert " laklak backfill --all --start " in messages


def test_minutes_later_there_are_new_candles_where_the_clock_runs(start, laklak, monkeypatch):
    process = start("--recorded", Path(__file__).parents[1] / "recorded/binance", "--clock-speed", "3600")
    url = process.stdout.readline().removeprefix("simulator: ").strip()
    assert "its clock goes on from there, 3600 times real time, with made-up candles\n" in process.stderr.readline()
    monkeypatch.setenv("LAKLAK_BINANCE_URL", url)
    words = ["backfill", "LTCUSDT", "--start", "2026-02-28T23:00Z", "--json"]
    wanted = []
    deadline = time.monotonic() + 60
    while not wanted or wanted[-1] < wanted[0] + 30:
        assert time.monotonic() < deadline
        answer = json.loads(laklak(*words))
        assert answer["complete"]
        wanted.append(answer["wanted"])
    stop(process)

    assert wanted == sorted(wanted)
    assert answer["stored_before"] >= wanted[-2] - 1


def test_a_prepared_archive_is_told_with_its_size(start):
    process = start("--generated", "2", "--days", "3", "--prepare-archive", "--archive-cache", "64")
    process.stdout.readline()
    _, messages, _ = stop(process)

    assert re.search(r"prepared: 4 of 4 files, 0\.[1-9] MB\n", messages)


def test_preparing_ends_on_a_signal(start):
    process = start("--generated", "500", "--days", "90", "--prepare-archive")
    assert process.stderr.readline() == "preparing the archive ...\n"
    output, _, status = stop(process)

    assert (output, status) == ("", 0)


def test_the_help_names_every_fault_of_the_archive(laklak):
    # As wide as it gets, so that no word is broken.
    text = laklak("simulate", "--help")
    words = re.sub(r"-\n +", "-", text).split()

    assert {kind.removeprefix("archive-") for kind in ARCHIVE_KINDS} <= {word.strip(".,") for word in words}
