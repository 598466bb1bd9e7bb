"""`backfill --every`: turns against a venue whose clock runs, with troubles that come and go."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from laklak.simulator import ContinuedSource, Override

OFTEN = "import laklak.cli.every as every; every.SHORTEST_S = 0.1\n"
WORDS = ("backfill", "LTCUSDT", "--days", "1", "--log-file", "none")


class Reader:
    """Reads what a program says on stdout, line by line, while it runs."""

    def __init__(self, process):
        self.process = process
        self.lines: list[str] = []
        self._rest = b""

    def until(self, is_it):
        """The first line from here on that is it."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            while b"\n" in self._rest:
                line, _, self._rest = self._rest.partition(b"\n")
                self.lines.append(line.decode())
                if is_it(self.lines[-1]):
                    return self.lines[-1]
            piece = os.read(self.process.stdout.fileno(), 1 << 16)
            assert piece, f"it ended after {self.lines}"
            self._rest += piece
        raise AssertionError(f"it said {len(self.lines)} other lines, last {self.lines[-1:]}")

    def turn(self, is_it=lambda answer: True):
        """The first turn from here on whose JSON is it."""
        return json.loads(self.until(lambda line: is_it(json.loads(line))))


def test_each_turn_fetches_what_has_come_since_and_asks_little_twice(
    venue, recorded, laklak, check_sum, sql, served_twice
):
    running = venue(ContinuedSource(recorded, seed=1), clock="ticking", clock_speed=600.0)
    process = laklak.start(*WORDS, "--source", "rest", "--every", "0.5", "--json", first=OFTEN)
    reader = Reader(process)
    first = check_sum(reader.turn())
    later = [check_sum(reader.turn(lambda answer: answer["written"] > 0)) for _ in range(3)]
    process.send_signal(signal.SIGTERM)
    assert laklak.wait(process).exit == 143
    assert (first["exit"], first["written"]) == (0, first["wanted"])
    assert [answer["exit"] for answer in later] == [0, 0, 0]
    ((count, minutes),) = sql("SELECT count(*), (max(open_time) - min(open_time)) / 60000 + 1 FROM candles")
    assert count == minutes >= first["written"] + sum(answer["written"] for answer in later)
    # But for the newest candle of a turn, which is asked once more where it was less than a minute old.
    assert served_twice(running.hits) <= len(reader.lines)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_between_two_turns_the_store_is_free_and_a_signal_ends_it_at_once(venue, laklak, number, status):
    venue()
    process = laklak.start(*WORDS, "--every", "12h")
    reader = Reader(process)
    assert " complete: 1,440 written, 0 missing, " in reader.until(lambda line: True)
    assert laklak("backfill", "DOTUSDT", "--days", "1").exit == 0
    process.send_signal(number)
    ended = laklak.wait(process, timeout_s=20)
    assert ended.exit == status
    assert "again to stop now" not in ended.err


def test_a_signal_in_the_middle_of_a_turn_lets_it_finish_what_is_on_the_wire(venue, laklak, check_sum, stored):
    running = venue(latency_s=0.05)
    process = laklak.start(*WORDS, "--chunk", "99", "--workers", "2", "--every", "1h", "--json")
    running.wait_for_candle_hits(4)
    process.send_signal(signal.SIGINT)
    ended = laklak.wait(process)
    answer = check_sum(ended.json)
    assert (ended.exit, answer["exit"], answer["written"]) == (130, 130, len(stored()))
    assert "again to stop now" in ended.err


def test_a_venue_that_is_down_for_a_while_is_told_once_and_ends_nothing(venue, laklak):
    down = [True]
    venue(script=lambda path, query, number: Override(fault="451") if down[0] else None)
    process = laklak.start(*WORDS, "--source", "rest", "--every", "0.2", "--json", first=OFTEN)
    reader = Reader(process)
    assert [reader.turn()["exit"] for _ in range(3)] == [2, 2, 2]
    down[0] = False
    assert reader.turn(lambda answer: answer["exit"] == 0)["written"] == 1440
    process.send_signal(signal.SIGTERM)
    ended = laklak.wait(process)
    assert ended.exit == 143
    assert len(ended.lines("error")) == 1


def test_a_store_that_is_away_for_a_while_is_told_once_and_filled_when_it_is_back(venue, laklak, tmp_path):
    venue()
    (tmp_path / "disk").mkdir()
    process = laklak.start(*WORDS, "--store", tmp_path / "disk" / "candles.db", "--every", "0.2", "--json", first=OFTEN)
    reader = Reader(process)
    reader.turn(lambda answer: answer["exit"] == 0)
    (tmp_path / "disk").rename(tmp_path / "elsewhere")
    for _ in range(3):
        reader.turn(lambda answer: answer["exit"] == 2)
    (tmp_path / "disk").mkdir()
    # Another disk in its place: what it lacks is fetched, and nothing goes on into the file of the old one.
    assert reader.turn(lambda answer: answer["exit"] == 0)["written"] == 1440
    process.send_signal(signal.SIGTERM)
    ended = laklak.wait(process)
    assert ended.exit == 143
    assert len(ended.lines("error")) == 1


def test_a_quiet_one_says_nothing_while_nothing_changes(venue, laklak):
    running = venue()
    process = laklak.start(*WORDS, "-q", "--every", "0.1", first=OFTEN)
    running.wait_for_candle_hits(1)
    before = len(running.hits)
    while len(running.hits) < before + 8:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    ended = laklak.wait(process)
    assert (ended.exit, ended.out, ended.lines("error"), ended.lines("warning")) == (143, "", [], [])


def test_turns_leave_no_objects_behind(venue, laklak):
    venue()
    count = (
        f"{OFTEN}import gc\nprint_json = every.print_json\n"
        "every.print_json = lambda answer: print_json({'objects': len(gc.get_objects())})\n"
    )
    process = laklak.start(*WORDS, "--every", "0.1", "--json", first=count)
    reader = Reader(process)
    for _ in range(10):
        reader.turn()
    before = reader.turn()["objects"]
    for _ in range(20):
        after = reader.turn()["objects"]
    process.send_signal(signal.SIGTERM)
    assert laklak.wait(process).exit == 143
    # A backfill makes thousands of them.
    assert after - before < 50


@pytest.mark.parametrize(("words", "days"), [((), 4), (("--lookback", "36h"), 2), (("--days", "1"), 1)])
def test_a_fill_is_a_backfill_of_seven_days_or_of_as_many_as_are_looked_back(venue, here, check_sum, words, days):
    venue()
    answer = check_sum(here("fill", "LTCUSDT", *words, "--json").json)
    # The recording has four days, and a series begins with its first candle.
    assert (answer["exit"], answer["written"]) == (0, days * 1440)


def test_a_fill_takes_turns_too(venue, laklak):
    venue()
    process = laklak.start("fill", "LTCUSDT", "--every", "0.1", "--json", first=OFTEN)
    reader = Reader(process)
    assert [reader.turn()["written"] for _ in range(3)] == [4 * 1440, 0, 0]
    process.send_signal(signal.SIGTERM)
    assert laklak.wait(process).exit == 143


@pytest.mark.parametrize("words", [("2x",), ("0",), ("800h",), ("48h", "--days", "3")])
def test_a_lookback_that_is_none_is_told_in_one_line(here, words):
    ended = here("fill", "LTCUSDT", "--lookback", *words)
    assert (ended.exit, len(ended.lines("error")), ended.out) == (2, 1, "")


@pytest.mark.parametrize(
    "words",
    [
        ("NOPEUSDT", "--days", "1", "--every", "30m"),
        ("LTCUSDT", "--every", "30m"),
        ("LTCUSDT", "--days", "1", "--every", "4s"),
        ("LTCUSDT", "--days", "1", "--every", "30m", "--store", "mysql://host/candles"),
        ("LTCUSDT", "--days", "1", "--every", "30m", "--store", "influxdb://host"),
        ("LTCUSDT", "--days", "1", "--every", "30m", "--refetch"),
        ("LTCUSDT", "--days", "1", "--every", "30m", "--dry-run"),
        ("LTCUSDT", "--days", "1", "--every", "30m", "--forget-ban"),
    ],
)
def test_words_that_are_wrong_end_it_with_one_line(venue, laklak, words):
    venue()
    ended = laklak("backfill", *words)
    assert (ended.exit, len(ended.lines("error")), ended.out) == (2, 1, "")
