"""Two runs at once, readers beside a run, full disks, real and simulated candles."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import threading
import time
from pathlib import Path

import pytest

from laklak.model.series import Series, TimeRange
from laklak.simulator import Override, generate
from laklak.stores.sqlite.store import SqliteStore
from laklak.stores.unconfirmed import UnsureBook

DAY_MS = 86_400_000
END_MS = 1_772_323_200_000
SLOW = ("backfill", "LTCUSDT", "DOTUSDT", "--days", "4", "--chunk", "99", "--workers", "2")


def test_two_runs_at_once_are_one_run_and_a_75_that_names_the_other(venue, laklak, check_sum, stored, truth):
    running = venue(latency_s=0.02)
    process = laklak.start(*SLOW, "--json")
    running.wait_for_candle_hits(3)
    with laklak.halted(process):
        ended = laklak(*SLOW, "--json")
    answer = check_sum(ended.json)
    assert (ended.exit, answer["exit"], answer["requests"]) == (75, 75, 0)
    assert answer["error"].startswith("store_busy: ")
    assert f"process {process.pid}" in ended.lines("error")[0]
    assert "since 20" in ended.lines("error")[0]
    assert laklak.wait(process).exit == 0
    assert stored() == truth(["LTCUSDT", "DOTUSDT"])


def test_a_second_name_of_the_store_is_the_same_store(venue, laklak):
    running = venue(latency_s=0.02)
    os.symlink("laklak.db", "other.db")
    process = laklak.start(*SLOW)
    running.wait_for_candle_hits(3)
    with laklak.halted(process):
        assert laklak("backfill", "LTCUSDT", "--days", "1", "--store", "other.db").exit == 75
    assert laklak.wait(process).exit == 0


def test_two_runs_with_two_stores_do_not_disturb_each_other(venue, laklak, stored, truth):
    venue(latency_s=0.02)
    one, other = laklak.start(*SLOW, "--store", "one.db"), laklak.start(*SLOW, "--store", "other.db")
    assert [laklak.wait(one).exit, laklak.wait(other).exit] == [0, 0]
    assert stored("one.db") == stored("other.db") == truth(["LTCUSDT", "DOTUSDT"])


def test_a_store_is_read_shown_and_planned_while_it_is_filled(venue, laklak, here, sql):
    running = venue(latency_s=0.05)
    process = laklak.start(*SLOW)
    running.wait_for_candle_hits(10)
    laklak.stop_when(process, lambda: sql("SELECT count(*) FROM candles")[0][0])
    assert here("show", "LTCUSDT").exit == 0
    plan = here("backfill", "LTCUSDT", "DOTUSDT", "--days", "4", "--dry-run", "--json")
    assert plan.exit == 0
    assert 0 < plan.json["stored_before"] < 11520
    process.send_signal(signal.SIGCONT)
    assert laklak.wait(process).exit == 0


def test_another_writer_in_between_is_no_trouble(venue, laklak, sql, stored, truth):
    running = venue(latency_s=0.02)
    process = laklak.start(*SLOW)
    running.wait_for_candle_hits(10)
    for _ in range(10):
        sql("UPDATE candles SET volume = volume WHERE open_time % 600000 = 0")
        time.sleep(0.05)
    assert laklak.wait(process).exit == 0
    assert stored() == truth(["LTCUSDT", "DOTUSDT"])


def test_a_writer_that_holds_the_store_for_seconds_only_slows_the_run(venue, laklak, stored, truth):
    running = venue(latency_s=0.02)
    process = laklak.start(*SLOW)
    running.wait_for_candle_hits(10)
    connection = sqlite3.connect("laklak.db", timeout=60)
    connection.isolation_level = None
    connection.execute("BEGIN IMMEDIATE")
    time.sleep(1.2)
    connection.execute("ROLLBACK")
    connection.close()
    assert laklak.wait(process).exit == 0
    assert stored() == truth(["LTCUSDT", "DOTUSDT"])


def test_a_writer_that_holds_the_store_is_told_as_long_as_it_does(venue, laklak):
    running = venue(latency_s=0.03)
    process = laklak.start("backfill", "LTCUSDT", "DOTUSDT", "--days", "4", "--chunk", "99")
    running.wait_for_candle_hits(3)
    connection = sqlite3.connect("laklak.db", isolation_level=None, timeout=20)
    connection.execute("BEGIN IMMEDIATE")
    log = Path("backfill.log")
    deadline = time.monotonic() + 60
    while "waiting for the store" not in log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    connection.execute("ROLLBACK")
    ended = laklak.wait(process)
    assert ended.exit == 0
    (warning,) = ended.lines("warning")
    assert warning.endswith(f": another program is writing to sqlite:///{Path.cwd()}/laklak.db")
    assert "the store answers again, after " in ended.err


def test_simulated_candles_do_not_go_into_a_store_of_real_ones(venue, here, sql, check_sum):
    venue()
    assert here("backfill", "LTCUSDT", "--days", "1").exit == 0
    sql("UPDATE meta SET value = 'real' WHERE key = 'origin'")
    ended = here("backfill", "LTCUSDT", "--days", "2", "--json")
    answer = check_sum(ended.json)
    assert (ended.exit, answer["candle_requests"]) == (2, 0)
    assert "holds real candles" in answer["error"]
    assert "--force" in answer["hint"]
    assert here("backfill", "LTCUSDT", "--days", "2", "--force").exit == 0


def test_real_candles_do_not_go_into_a_store_of_simulated_ones(venue, here, real_venue):
    venue()
    assert here("backfill", "LTCUSDT", "--days", "1").exit == 0
    real_venue()
    ended = here("backfill", "LTCUSDT", "--days", "2", "--json")
    assert ended.exit == 2
    assert "holds simulated candles" in ended.json["error"]
    assert here("backfill", "LTCUSDT", "--days", "2", "--json", "--store", "real.db").exit == 0


@pytest.fixture
def real_venue(venue, monkeypatch):
    """A venue that does not say that it is a simulator."""

    def start():
        monkeypatch.setattr("laklak.simulator.server.SIMULATOR_HEADER", "X-Nothing")
        return venue()

    return start


def test_an_older_run_without_any_candle_does_not_decide_what_a_store_is(venue, here, real_venue):
    venue(script=lambda path, query, number: Override(fault="403") if number > 2 else None)
    assert here("backfill", "LTCUSDT", "--days", "1", "--max-wait", "1s").exit == 75
    real_venue()
    assert here("backfill", "LTCUSDT", "--days", "1").exit == 0


def test_too_little_room_is_refused_before_fetching(venue, laklak, small_disk, check_sum):
    running = venue()
    folder = small_disk("64m")
    ended = laklak("backfill", "LTCUSDT", "--days", "1", "--store", folder / "c.db", "--json")
    answer = check_sum(ended.json)
    assert (ended.exit, answer["candle_requests"], running.candle_hits) == (2, 0, [])
    assert "free" in ended.lines("error")[0]
    assert "--force" in ended.lines("hint")[0]


def test_a_disk_that_fills_up_ends_the_run_and_keeps_what_was_stored(
    venue, laklak, small_disk, check_sum, stored, served
):
    source = generate(symbols=8, days=10, seed=2)
    running = venue(source, latency_s=0.01)
    folder = small_disk("4m")
    store = folder / "c.db"
    words = ("backfill", *source.symbols, "--days", "10", "--store", store, "--force", "--json")
    ended = laklak(*words, "--log-file", folder / "x.log", "--batch-size", "2000")
    answer = check_sum(ended.json)
    assert (ended.exit, answer["complete"]) == (1, False)
    assert answer["error"].startswith("store_full: ")
    assert len(ended.lines("error")) == 1
    rows = stored(store)
    assert len(rows) == answer["written"] > 0
    everything = served(source, source.symbols, source.start_ms, source.end_ms)
    assert all(everything[key] == values for key, values in rows.items())
    # Fetching stops: no more than what was in flight came after.
    assert len(running.candle_hits) * 1000 < len(rows) + 65 * 1000 + 20_000
    subprocess.run(["mount", "-o", "remount,size=64m", str(folder)], check=True, timeout=20)
    again = laklak(*words)
    assert again.exit == 0, again.err
    assert stored(store) == everything


def test_a_full_disk_at_the_start_is_one_line(venue, laklak, small_disk):
    venue()
    folder = small_disk("1m")
    (folder / "filler").write_bytes(b"x" * (1 << 20))
    ended = laklak("backfill", "LTCUSDT", "--days", "1", "--store", folder / "c.db", "--force")
    assert ended.exit in (1, 2)
    assert len(ended.lines("error")) == 1
    assert "room" in ended.lines("error")[0]


def test_a_store_that_may_not_be_written_is_exit_2(venue, laklak):
    venue()
    assert laklak("backfill", "LTCUSDT", "--days", "1").exit == 0
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    os.chmod("laklak.db", 0o400)
    assert laklak("backfill", "LTCUSDT", "--days", "2").exit == 2


def test_a_damaged_store_is_one_line_and_no_traceback(venue, laklak):
    venue()
    assert laklak("backfill", "LTCUSDT", "DOTUSDT", "--days", "4").exit == 0
    data = bytearray(Path("laklak.db").read_bytes())
    for page in range(3, len(data) // 8192):
        data[page * 8192 : page * 8192 + 200] = os.urandom(200)
    Path("laklak.db").write_bytes(data)
    ended = laklak("backfill", "LTCUSDT", "DOTUSDT", "--days", "4", "--json")
    assert ended.exit in (1, 2)
    assert len(ended.lines("error")) == 1
    assert "damaged" in ended.json["error"]


def test_a_store_deleted_in_the_middle_is_not_called_complete(venue, laklak):
    running = venue(latency_s=0.05)
    process = laklak.start(*SLOW, "--json")
    running.wait_for_candle_hits(20)
    for path in Path().glob("laklak.db*"):
        path.unlink()
    ended = laklak.wait(process)
    assert ended.exit == 1
    assert len(ended.lines("error")) == 1
    assert ended.json["complete"] is False


def test_the_store_setting_may_be_a_url_or_a_path(venue, here, tmp_path):
    venue()
    for where in ("a.db", "sqlite:///b.db", f"sqlite:///{tmp_path}/c.db", str(tmp_path / "d.db"), "~/e.db"):
        assert here("backfill", "LTCUSDT", "--days", "1", "--store", where).exit == 0, where
    found = [Path("a.db"), Path("b.db"), tmp_path / "c.db", tmp_path / "d.db", Path.home() / "e.db"]
    assert all(path.stat().st_size > 0 for path in found)


def test_no_thread_outlives_a_run_in_a_program(venue, here):
    venue()
    before = threading.active_count()
    here("backfill", "LTCUSDT", "--days", "1")
    assert threading.active_count() == before


def test_what_a_full_server_was_sent_is_fetched_again_whatever_the_store_shows(
    venue, laklak, check_sum, clean_room, monkeypatch, stored, truth, sql
):
    monkeypatch.setenv("LAKLAK_STATE_DIR", str(clean_room / "state"))
    words = ("backfill", "LTCUSDT", "--days", "2", "--json")
    venue()
    assert laklak(*words).exit == 0
    # A server that is full shows what it has not written down; this store shows something else than was sent.
    span = TimeRange(END_MS - DAY_MS, END_MS - DAY_MS + 100 * 60_000)
    identity = SqliteStore("laklak.db").identity
    UnsureBook(clean_room / "state", identity).add([(Series.parse("binance:LTCUSDT:1m"), span)])
    sql(f"UPDATE candles SET volume = 1 WHERE open_time >= {span.start_ms} AND open_time < {span.end_ms}")
    again = laklak(*words)
    answer = check_sum(again.json)
    assert (again.exit, answer["stored_before"], answer["written"]) == (0, 2 * 1440 - 100, 100)
    assert stored() == truth(["LTCUSDT"], END_MS - 2 * DAY_MS)
    assert not UnsureBook(clean_room / "state", identity)
    assert laklak(*words).json["written"] == 0
