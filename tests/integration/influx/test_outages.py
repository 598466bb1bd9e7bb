"""What a server does in the middle of a run: away, gone for good, silent, or busy with another run."""

from __future__ import annotations

import re
import signal
import socket
import time
from pathlib import Path

from patience import PATIENT

DAY_MS = 86_400_000
END_MS = 1_772_323_200_000  # 2026-03-01T00:00Z

SYMBOLS = ("LTCUSDT", "DOTUSDT", "AVAXUSDT")
SLOW = ("backfill", *SYMBOLS, "--days", "2", "--chunk", "99", "--workers", "4")
SLOW_START_MS = END_MS - 2 * DAY_MS


def test_a_server_that_is_away_for_seconds_only_slows_the_run(venue, laklak, own_place, check_sum, truth):
    running = venue(latency_s=0.02)
    words = ("backfill", *SYMBOLS, "--days", "4", "--chunk", "99", "--store", own_place.url, "--json")
    process = laklak.start(*words, "--workers", "4")
    running.wait_for_candle_hits(30)
    own_place.server.kill()
    before = len(running.candle_hits)
    laklak.wait_until_said(process, "waiting for the store")
    assert process.poll() is None
    # Fetchers wait for a store that is down: no more is asked than may be in flight.
    assert len(running.candle_hits) - before <= 64
    own_place.server.start()
    ended = laklak.wait(process)
    answer = check_sum(ended.json)
    assert ended.exit == 0, ended.err
    assert (answer["complete"], answer["dead_letter"]) == (True, None)
    assert own_place.candles() == truth(SYMBOLS)
    assert "store passing fault" in Path("backfill.log").read_text()


def test_a_server_that_is_away_is_told_with_since_when_next_try_and_until_when(venue, laklak, own_place):
    running = venue(latency_s=0.02)
    process = laklak.start(*SLOW, "--store", own_place.url, "-v")
    running.wait_for_candle_hits(30)
    own_place.server.kill()
    log = Path("backfill.log")
    deadline = time.monotonic() + 60
    while "waiting for the store" not in log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    own_place.server.start()
    ended = laklak.wait(process)
    assert ended.exit == 0, ended.err
    (warning,) = ended.lines("warning")
    moment = r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?Z"
    assert re.match(
        f"waiting for the store since {moment}, next try at {moment}, giving up at {moment}: InfluxDB at ", warning
    )
    assert "the store answers again, after " in ended.err


def test_a_server_that_stays_away_ends_the_run_after_the_wait(venue, laklak, own_place, check_sum, truth):
    running = venue(latency_s=0.02)
    process = laklak.start(*SLOW, "--store", own_place.url, "--json", "--max-wait", "1s")
    running.wait_for_candle_hits(30)
    own_place.server.stop()
    ended = laklak.wait(process)
    answer = check_sum(ended.json)
    assert (ended.exit, answer["complete"]) == (1, False)
    assert answer["error"].startswith("store_down: ")
    assert len(ended.lines("error")) == 1
    own_place.server.start()
    assert laklak(*SLOW, "--store", own_place.url).exit == 0
    assert own_place.candles() == truth(SYMBOLS, SLOW_START_MS)


def test_a_second_signal_does_not_wait_for_a_server_that_is_away(venue, laklak, own_influxd):
    running = venue(latency_s=0.02)
    server = own_influxd()
    process = laklak.start(*SLOW, "--store", server.url("x"), "--json", first=PATIENT)
    running.wait_for_candle_hits(30)
    server.stop()
    process.send_signal(signal.SIGINT)
    laklak.wait_until_said(process, "again to stop now")
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    ended = laklak.wait(process)
    assert (ended.exit, ended.json["exit"]) == (130, 130)


def test_a_place_that_is_removed_in_the_middle_ends_the_run_at_once(venue, laklak, place, check_sum):
    running = venue(latency_s=0.03)
    process = laklak.start(*SLOW, "--store", place.url, "--json")
    running.wait_for_candle_hits(30)
    place.remove()
    ended = laklak.wait(process)
    answer = check_sum(ended.json)
    assert (ended.exit, answer["complete"]) == (1, False)
    assert answer["error"].startswith("store_refused: ")
    assert re.search("not found|could not find", ended.lines("error")[0])


def test_a_run_that_is_killed_is_completed_by_the_next(venue, laklak, place, truth, served_twice):
    running = venue(latency_s=0.02)
    for hits in (20, 70):
        process = laklak.start(*SLOW, "--store", place.url)
        running.wait_for_candle_hits(hits)
        process.send_signal(signal.SIGKILL)
        process.wait()
    ended = laklak(*SLOW, "--store", place.url, "--json")
    assert ended.exit == 0, ended.err
    assert place.candles() == truth(SYMBOLS, SLOW_START_MS)
    assert served_twice(running.hits) <= 2 * 64 * 99


def test_two_runs_at_once_are_one_run_and_a_75_whatever_the_spelling(venue, laklak, database, truth):
    running = venue(latency_s=0.03)
    process = laklak.start(*SLOW, "--store", database.url)
    running.wait_for_candle_hits(3)
    with laklak.halted(process):
        ended = laklak(*SLOW, "--store", database.url.replace("localhost", "127.0.0.1"), "--json")
    assert (ended.exit, ended.json["candle_requests"]) == (75, 0)
    assert ended.json["error"].startswith("store_busy: ")
    assert f"process {process.pid}" in ended.lines("error")[0]
    assert laklak.wait(process).exit == 0
    assert database.candles() == truth(SYMBOLS, SLOW_START_MS)


def test_a_store_is_read_and_planned_while_it_is_filled(venue, laklak, here, database):
    running = venue(latency_s=0.05)
    process = laklak.start(*SLOW, "--store", database.url)
    running.wait_for_candle_hits(10)
    laklak.stop_when(process, database.candles)
    plan = here("backfill", *SYMBOLS, "--days", "2", "--dry-run", "--json", "--store", database.url)
    process.send_signal(signal.SIGCONT)
    assert plan.exit == 0
    assert 0 < plan.json["stored_before"] < 3 * 2880
    assert laklak.wait(process).exit == 0


def test_a_signal_does_not_wait_for_a_server_that_is_silent_from_the_start(venue, laklak):
    venue()
    # A process that hangs takes connections, too, and answers nothing; of this one is known what has arrived.
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        store = f"influxdb://127.0.0.1:{server.getsockname()[1]}/x"
        process = laklak.start("backfill", "LTCUSDT", "--days", "1", "--store", store, "--json", first=PATIENT)
        talk, _ = server.accept()
        with talk:
            assert talk.recv(1)
            process.send_signal(signal.SIGINT)
            ended = laklak.wait(process)
    assert (ended.exit, ended.json["exit"]) == (130, 130)
