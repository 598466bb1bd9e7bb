"""Signals, kills and pauses in the middle of a run: the store stays sound and the next run completes it."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest
from patience import HASTY, PATIENT, halting_at

from laklak.api import Silent
from laklak.engine.run import Backfill
from laklak.order import order
from laklak.settings.load import load_settings
from laklak.simulator import Override
from laklak.tasks.process import STOPS

SYMBOLS = ("LTCUSDT", "DOTUSDT", "AVAXUSDT")
WORDS = ("backfill", *SYMBOLS, "--days", "4", "--chunk", "99")
IN_FLIGHT = 64


def hang_after_20(path, query, number):
    return Override(fault="hang") if number > 20 else None


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_in_the_middle_drains_reports_and_can_be_completed(
    number, status, venue, laklak, check_sum, stored, truth, served_twice
):
    running = venue(latency_s=0.05)
    # What drains ends without its grace, which is longer here than the test.
    process = laklak.start(*WORDS, "--workers", "4", "--json", first=PATIENT)
    running.wait_for_candle_hits(20)
    process.send_signal(number)
    ended = laklak.wait(process)
    answer = check_sum(ended.json)
    assert (ended.exit, answer["exit"], answer["complete"]) == (status, status, False)
    # What was on the wire is finished and kept: nothing that was answered is asked again.
    assert answer["written"] == len(stored()) >= 16 * 99
    assert answer["missing"] == answer["wanted"] - answer["written"]
    assert "again to stop now" in ended.err
    assert len(running.candle_hits) <= answer["candle_requests"]
    again = laklak(*WORDS, "--json")
    assert again.exit == 0
    assert stored() == truth(SYMBOLS)
    assert served_twice(running.hits) == 0


def test_a_signal_before_the_first_answer_stops_the_run(venue, laklak, check_sum):
    running = venue(latency_s=3)
    process = laklak.start(*WORDS, "--json")
    running.wait_for_hits()
    process.send_signal(signal.SIGINT)
    ended = laklak.wait(process)
    assert ended.exit == 130
    assert check_sum(ended.json)["written"] == 0
    assert running.candle_hits == []


def test_a_signal_while_a_limit_is_waited_out_ends_the_run_at_once(venue, laklak, check_sum):
    running = venue(script=lambda path, query, number: Override(fault="418") if number == 10 else None, ban_s=300)
    process = laklak.start(*WORDS, "--json", first=PATIENT)
    laklak.wait_until_said(process, "tells us to wait")
    process.send_signal(signal.SIGTERM)
    ended = laklak.wait(process)
    assert 418 in {hit.status for hit in running.hits}
    assert ended.exit == 143
    assert check_sum(ended.json)["exit"] == 143


def test_what_a_stop_lets_finish_is_named_where_no_request_is_on_the_wire():
    asked = order(["LTCUSDT"], load_settings({"days": 1}, environment={}, folder=Path.cwd()), folder=Path.cwd())

    assert Backfill(asked, Silent()).in_flight == "what is on its way"


def test_a_second_signal_stops_at_once(venue, laklak, check_sum, stored, truth):
    running = venue(script=hang_after_20)
    process = laklak.start(*WORDS, "--workers", "4", "--json", first=PATIENT)
    running.wait_for_candle_hits(22)
    process.send_signal(signal.SIGINT)
    laklak.wait_until_said(process, "again to stop now")
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    ended = laklak.wait(process)
    assert ended.exit == 130
    assert check_sum(ended.json)["missing"] > 0
    everything = truth(SYMBOLS)
    rows = stored()
    assert all(everything[key] == values for key, values in rows.items())


def test_sigterm_gives_hanging_answers_its_grace_and_no_more(venue, laklak, check_sum):
    assert STOPS[signal.SIGTERM] == (143, 8.0)
    running = venue(script=hang_after_20)
    process = laklak.start(*WORDS, "--workers", "4", "--json", first=HASTY)
    running.wait_for_candle_hits(22)
    asked = time.monotonic()
    process.send_signal(signal.SIGTERM)
    ended = laklak.wait(process)
    # And not as long as an answer may be silent, which is longer here than the test.
    assert (ended.exit, time.monotonic() - asked >= 1) == (143, True)
    # Of the twenty answers two are the listing and the clock, and three the first candles.
    assert check_sum(ended.json)["written"] == 15 * 99


def test_a_run_killed_again_and_again_is_completed_with_little_double_work(venue, laklak, stored, truth, served_twice):
    # Slow enough that each run is in the middle of its work when it is killed.
    running = venue(latency_s=0.05)
    dice = random.Random(12)
    kills = 0
    for _ in range(4):
        before = len(running.candle_hits)
        process = laklak.start(*WORDS, "--workers", "4", "--no-progress", "--log-file", "none")
        hits = before + dice.randint(1, 60)
        while len(running.candle_hits) < hits and process.poll() is None:
            time.sleep(0.005)
        time.sleep(dice.random() * 0.1)
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
    assert kills >= 2
    ended = laklak(*WORDS, "--json")
    assert ended.exit == 0, ended.err
    assert stored() == truth(SYMBOLS)
    # Each kill costs at most what was taken and not acknowledged.
    assert served_twice(running.hits) <= kills * IN_FLIGHT * 99


def test_a_killed_run_leaves_no_lock_behind(venue, laklak):
    running = venue(latency_s=0.2)
    process = laklak.start(*WORDS)
    running.wait_for_candle_hits(1)
    process.kill()
    process.wait()
    assert laklak("backfill", "LTCUSDT", "--days", "1").exit == 0


def test_no_more_than_64_chunks_are_taken_and_not_stored(venue, laklak, sql):
    running = venue(latency_s=0.02)
    words = ("backfill", *SYMBOLS, "--days", "4", "--chunk", "96")
    process = laklak.start(*words, "--batch-size", "1000000", "--workers", "64")
    worst = 0
    while process.poll() is None:
        # Only pages have a start and an end.
        asked = sum({"startTime", "endTime"} <= set(hit.query) for hit in running.candle_hits)
        if asked:
            try:
                (chunks,) = sql("SELECT count(*) / 96 FROM candle")[0]
            except sqlite3.OperationalError:  # not made yet
                continue
            worst = max(worst, asked - chunks)
        time.sleep(0.02)
    assert laklak.wait(process).exit == 0
    # What is read between the two looks can only make it look smaller.
    assert worst <= IN_FLIGHT


# The first module after signals were blocked, the one that reads the words, and two of the many that come when signals
# are answered. Before, Python itself answers.
@pytest.mark.parametrize("module", ["laklak.tasks.process", "typer", "aiohttp", "laklak.engine"])
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.long)]
)
def test_a_signal_while_the_program_starts_is_answered_like_any_other(number, status, module, venue, laklak, check_sum):
    running = venue()
    process = laklak.start(*WORDS, "--json", first=halting_at(module, "halted"), fresh=True)
    wait_for_file("halted")
    process.send_signal(number)
    ended = laklak.wait(process)
    assert (ended.exit, check_sum(ended.json)["exit"], running.candle_hits) == (status, status, [])


def wait_for_file(name, timeout_s=60):
    deadline = time.monotonic() + timeout_s
    while not Path(name).exists():
        assert time.monotonic() < deadline, f"there is no {name}"
        time.sleep(0.005)


def hold(path="laklak.db"):
    """Another program in the middle of a long transaction."""
    connection = sqlite3.connect(path, timeout=60, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    return connection


def test_sigterm_ends_within_its_grace_although_another_program_holds_the_store(venue, laklak, check_sum):
    running = venue(latency_s=0.02)
    process = laklak.start(*WORDS, "--workers", "2", "--json", first=HASTY)
    running.wait_for_candle_hits(10)
    connection = hold()
    laklak.wait_until_said(process, "waiting for the store")
    process.send_signal(signal.SIGTERM)
    # And not as long as a writer is waited for, which is longer here than the test.
    ended = laklak.wait(process)
    connection.close()
    assert ended.exit == 143
    assert check_sum(ended.json)["exit"] == 143


def test_a_second_signal_stops_at_once_although_another_program_holds_the_store(venue, laklak):
    running = venue(latency_s=0.02)
    process = laklak.start(*WORDS, "--workers", "2", "--json", first=PATIENT)
    running.wait_for_candle_hits(10)
    connection = hold()
    laklak.wait_until_said(process, "waiting for the store")
    process.send_signal(signal.SIGINT)
    laklak.wait_until_said(process, "again to stop now")
    process.send_signal(signal.SIGINT)
    ended = laklak.wait(process)
    connection.close()
    assert ended.exit == 130


def test_a_second_signal_stops_at_once_while_the_venue_lists_nothing(venue, laklak):
    running = venue(script=lambda path, query, number: Override(fault="hang"))
    process = laklak.start(*WORDS, "--json", first=PATIENT)
    running.wait_for_hits()
    process.send_signal(signal.SIGTERM)
    assert laklak.wait(process).exit == 143


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_run_stopped_for_more_than_a_minute_goes_on_without_a_burst(
    venue, laklak, check_sum, stored, truth, monkeypatch
):
    running = venue(budget=2400, window="sliding")
    monkeypatch.setenv("LAKLAK_BINANCE_BUDGET", "600")
    process = laklak.start(*WORDS, "--chunk", "499", "--json")
    running.wait_for_candle_hits(8)
    process.send_signal(signal.SIGSTOP)
    time.sleep(65)
    process.send_signal(signal.SIGCONT)
    ended = laklak.wait(process, timeout_s=180)
    answer = check_sum(ended.json)
    assert (ended.exit, answer["complete"]) == (0, True)
    assert stored() == truth(SYMBOLS)
    assert running.simulator.stats.refusals == {}
    assert running.simulator.stats.weight_in_any(60) <= 600
    assert running.simulator.stats.weight_in_any(1) <= 60
    assert any("stood still" in line for line in ended.lines("warning"))


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_short_stop_of_the_process_is_survived(venue, laklak, stored, truth):
    running = venue(latency_s=0.05)
    process = laklak.start(*WORDS, "--json")
    running.wait_for_candle_hits(20)
    process.send_signal(signal.SIGSTOP)
    time.sleep(15)
    process.send_signal(signal.SIGCONT)
    ended = laklak.wait(process)
    assert ended.exit == 0
    assert stored() == truth(SYMBOLS)


def test_a_simulator_ends_on_a_signal(laklak):
    process = laklak.start("simulate", "--generated", "2", "--days", "1", "--port", "0")
    assert process.stdout is not None
    assert process.stdout.readline().startswith("simulator: http://127.0.0.1:")
    process.send_signal(signal.SIGINT)
    try:
        assert process.wait(60) == 0
    except subprocess.TimeoutExpired:
        pytest.fail("the simulator does not end")
