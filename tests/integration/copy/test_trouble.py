"""`laklak copy`: whatever happens in the middle, the next copy completes it."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import time
from pathlib import Path

import pytest
from copies import BTC, ETH, START_MS, bits, candles, fill, minutes_of
from patience import PATIENT, halting_at_write, small_parts

PART = 500  # candles that are read and written at once
COUNT = 20 * PART
HALTED = 2 * PART
LARGE = 400_000


def test_lines_that_a_server_refuses_are_counted_kept_and_tried_again(here, own_influxd, copy_sum):
    server = own_influxd(INFLUXDB_DATA_MAX_VALUES_PER_TAG="1")
    fill("a.db", candles(BTC, range(50)), candles(ETH, range(7)))
    url, dead = server.url("few"), Path("laklak-dead-letter.lp").absolute()
    assert here("copy", "a.db", url, BTC).exit == 0
    for _ in range(2):
        ended = here("copy", "a.db", url, "--json")
        answer = copy_sum(ended.json)
        assert (ended.exit, answer["dead_letter"]) == (1, str(dead))
        assert (answer["stored_before"], answer["written"], answer["missing"]) == (50, 0, 7)
        (failed,) = answer["failed_series"]
        assert (failed["series"], failed["reason"]) == (ETH, "store_refused")
    assert minutes_of(url) == list(range(50))


def test_a_server_that_stays_away_ends_the_copy_and_the_next_one_completes_it(halted, laklak, own_influxd, copy_sum):
    server = own_influxd()
    url = server.url("x")
    with halted(url, "--max-wait", "1s") as process:
        server.stop()
    ended = laklak.wait(process)
    answer = copy_sum(ended.json)
    assert (ended.exit, answer["complete"], len(ended.lines("error"))) == (1, False, 1)
    assert answer["error"].startswith("store_down: ")
    assert answer["written"] == HALTED
    server.start()
    again = laklak("copy", "a.db", url, "--json")
    assert (again.exit, again.json["missing"]) == (0, 0)
    assert 0 < again.json["written"] <= COUNT - HALTED


def _many(path, count):
    """A source with so many candles of two series."""
    fill(path, candles(BTC, [0]), candles(ETH, [0]))
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "WITH RECURSIVE minute(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM minute WHERE n < ?)"
            " INSERT INTO candle SELECT s.id, ? + n * 60000, n, n + 1, n - 1, n + 0.5, n / 8.0"
            " FROM series AS s CROSS JOIN minute",
            (count // 2 - 1, START_MS),
        )


def _until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def _stored(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    return _rows(path)


def _rows(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT count(*) FROM candle").fetchone()[0]


@pytest.fixture
def halted(laklak):
    """Start a copy of COUNT candles, and be inside of it: HALTED are stored, and the next are about to be."""

    @contextlib.contextmanager
    def start(destination, *words):
        _many("a.db", COUNT)
        first = PATIENT + small_parts(PART) + halting_at_write(3, "halted")
        process = laklak.start("copy", "a.db", destination, "--json", *words, first=first)
        _until(lambda: Path("halted").exists() or process.poll() is not None)
        assert process.poll() is None, "it ended before"
        yield process
        Path("halted").unlink()

    return start


def test_a_copy_that_is_killed_is_completed_by_the_next(laklak, halted, copy_sum):
    with halted("b.db") as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert _stored("b.db") == HALTED
    ended = laklak("copy", "a.db", "b.db", "--json")
    answer = copy_sum(ended.json)
    assert (ended.exit, answer["stored_before"], answer["written"]) == (0, HALTED, COUNT - HALTED)
    assert bits("b.db") == bits("a.db")


@pytest.mark.long
def test_a_large_copy_that_is_killed_anywhere_is_completed_by_the_next(laklak, copy_sum):
    _many("a.db", LARGE)
    fill("b.db", candles(BTC, [0]))
    process = laklak.start("copy", "a.db", "b.db")
    laklak.stop_when(process, lambda: _rows("b.db") > 1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    stored = _stored("b.db")
    assert 1 < stored < LARGE
    ended = laklak("copy", "a.db", "b.db", "--json")
    answer = copy_sum(ended.json)
    assert (ended.exit, answer["stored_before"], answer["written"]) == (0, stored, LARGE - stored)
    assert bits("b.db") == bits("a.db")


@pytest.fixture
def paused(halted, own_influxd):
    """A copy to a server that hangs in the middle of it, and that server."""
    server = own_influxd()
    server.ask("CREATE DATABASE x")
    with halted(server.url("x")) as process:
        server.pause()
    yield process, server
    server.resume()


def _count(server):
    return sum(row[1] for row in server.rows("SELECT count(close) FROM binance_ohlc", "x"))


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_finishes_what_is_on_its_way_and_says_what_is_left(laklak, paused, number, status, copy_sum):
    process, server = paused
    process.send_signal(number)
    laklak.wait_until_said(process, "again to stop now")
    assert process.poll() is None
    server.resume()
    ended = laklak.wait(process)
    answer = copy_sum(ended.json)
    assert (ended.exit, answer["exit"], answer["complete"]) == (status, status, False)
    assert "finishing what is on its way; again to stop now" in ended.err
    assert HALTED < answer["written"] == _count(server) < COUNT
    assert answer["missing"] == COUNT - answer["written"]
    again = laklak("copy", "a.db", server.url("x"), "--json")
    assert (again.exit, again.json["written"]) == (0, answer["missing"])


def test_a_signal_does_not_wait_for_a_server_that_is_silent_from_the_start(laklak, own_influxd):
    server = own_influxd()
    fill("a.db", candles(BTC, range(5)))
    server.pause()
    process = laklak.start("copy", "a.db", server.url("x"), "--json", first=PATIENT)
    laklak.wait_until_said(process, "source: ")
    process.send_signal(signal.SIGINT)
    ended = laklak.wait(process)
    assert (ended.exit, ended.json["exit"]) == (130, 130)


def test_a_second_signal_stops_at_once(laklak, paused, copy_sum):
    process, server = paused
    process.send_signal(signal.SIGINT)
    laklak.wait_until_said(process, "again to stop now")
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    ended = laklak.wait(process)
    assert ended.exit == 130
    assert copy_sum(ended.json)["missing"] > 0
    server.resume()
    assert laklak("copy", "a.db", server.url("x")).exit == 0
    assert _count(server) == COUNT


def test_a_disk_that_fills_up_ends_the_copy_with_what_fits(laklak, small_disk, copy_sum):
    count = 60_000
    _many("a.db", count)
    store = small_disk("3m") / "b.db"
    refused = laklak("copy", "a.db", store, "--json")
    assert (refused.exit, "1 GiB to spare" in refused.json["error"]) == (2, True)
    ended = laklak("copy", "a.db", store, "--json", "--force", first=small_parts(5_000))
    answer = copy_sum(ended.json)
    assert (ended.exit, answer["error"].split(":")[0], len(ended.lines("error"))) == (1, "store_full", 1)
    assert 0 < answer["written"] == _stored(store) < count


def test_a_damaged_source_is_one_line_and_nothing_of_it_is_taken_for_complete(laklak, copy_sum):
    count = 40_000
    _many("a.db", count)
    data = bytearray(Path("a.db").read_bytes())
    for page in range(len(data) // 8192 - 20, len(data) // 8192 - 10):
        data[page * 8192 : page * 8192 + 8192] = os.urandom(8192)
    Path("a.db").write_bytes(data)
    ended = laklak("copy", "a.db", "b.db", "--json")
    answer = copy_sum(ended.json)
    assert (ended.exit, answer["complete"], len(ended.lines("error"))) == (1, False, 1)
    assert "damaged" in answer["error"]
