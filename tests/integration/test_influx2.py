"""The whole program with a real InfluxDB 2.x: a bucket gets what SQLite gets, and its troubles are told apart."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import signal
import time
from pathlib import Path

import pytest

import laklak as library
from laklak.simulator import Override, SymbolOverride
from laklak.simulator.rules import KLINES

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
END_MS = 1_772_323_200_000
NOON_MS = END_MS - DAY_MS // 2

SYMBOLS = ("LTCUSDT", "DOTUSDT", "AVAXUSDT")
SLOW = ("backfill", *SYMBOLS, "--days", "2", "--chunk", "99", "--workers", "4")
SLOW_START_MS = END_MS - 2 * DAY_MS

_numbers = itertools.count(1)


class Place:
    """A bucket of a server that does not exist yet: `url` is what --store takes."""

    def __init__(self, server, name):
        self.server = server
        self.name = name
        self.url = server.url(name)

    def rows(self, interval="1m"):
        """(symbol, open_time) -> values, asked as any program can ask."""
        found = self.ask(
            f'r._measurement == "binance_ohlc" and r.exchange == "binance" and r.timeframe == "{interval}"',
            '|> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")',
        )
        fields = ("open", "high", "low", "close", "volume")
        return {(row["symbol"], row["_time"]): tuple(row[field] for field in fields) for row in found}

    def ask(self, condition, then=""):
        span = "range(start: 2020-01-01T00:00:00Z, stop: 2200-01-01T00:00:00Z)"
        return self.server.flux(f'from(bucket: "{self.name}") |> {span} |> filter(fn: (r) => {condition}) {then}')

    def put(self, lines):
        self.server.put(lines, self.name)


@pytest.fixture
def place(influxd2, monkeypatch) -> Place:
    """A bucket that does not exist yet, on the server that all tests share, and its token in the environment."""
    monkeypatch.setenv("LAKLAK_INFLUXDB_TOKEN", influxd2.token)
    return Place(influxd2, f"candles {next(_numbers)}")


@pytest.fixture
def own_place(own_influxd2, monkeypatch) -> Place:
    """The same on a server of the test's own."""
    server = own_influxd2()
    monkeypatch.setenv("LAKLAK_INFLUXDB_TOKEN", server.token)
    return Place(server, "x")


@pytest.fixture
def backfill(place):
    def call(*symbols, **options):
        return asyncio.run(library.backfill(list(symbols), store=place.url, **options))

    return call


@pytest.fixture
def hasty(monkeypatch):
    """Two answers need not be two seconds apart here."""
    monkeypatch.setattr("laklak.engine.fetch.SECOND_ANSWER_AFTER_S", 0.05)


# What is stored


@pytest.mark.parametrize("gzip", ["off", "on"])
def test_every_recorded_candle_is_stored_bit_for_bit_and_asked_once(
    venue, laklak, place, truth, check_sum, recorded, gzip
):
    running = venue()
    words = ("backfill", *recorded.symbols, "--days", "4", "--store", place.url, "--json")
    ended = laklak(*words, LAKLAK_INFLUXDB_GZIP=gzip)
    assert ended.exit == 0, ended.err
    answer = check_sum(ended.json)
    assert answer["complete"]
    assert answer["written"] == answer["wanted"] == 7 * 4 * 1440
    assert place.rows() == truth(recorded.symbols)
    assert "new bucket, kept for ever\n" in ended.err
    before = len(running.candle_hits)
    again = laklak(*words)
    assert (again.exit, again.json["stored_before"], again.json["candle_requests"]) == (0, 7 * 4 * 1440, 0)
    assert len(running.candle_hits) == before
    assert "7 series, 40,320 candles, 2026-02-25T00:00Z to 2026-03-01T00:00Z, kept for ever\n" in again.err


def test_a_hole_stays_a_hole_until_it_is_asked_again(venue, place, backfill, hasty, truth):
    running = venue(overrides={"LTCUSDT": SymbolOverride(holes=frozenset({NOON_MS, NOON_MS + MINUTE_MS}))})
    first = backfill("LTCUSDT", days=1)
    assert (first.exit, first.holes, first.missing) == (0, 2, 0)
    again = backfill("LTCUSDT", days=1)
    assert (again.exit, again.candle_requests, again.stored_before, again.holes) == (0, 0, 1438, 2)
    running.change("LTCUSDT", holes=frozenset({NOON_MS}))
    recheck = backfill("LTCUSDT", days=1, recheck=True)
    assert (recheck.exit, recheck.written, recheck.holes) == (0, 1, 1)
    expected = truth(["LTCUSDT"], END_MS - DAY_MS)
    assert place.rows() == {key: values for key, values in expected.items() if key[1] != NOON_MS}


def test_a_deleted_candle_comes_back_alone(venue, place, backfill, truth):
    running = venue()
    backfill("LTCUSDT", "DOTUSDT", days=2)
    gone = '"start": "2026-02-28T00:05:00Z", "stop": "2026-02-28T00:05:01Z", "predicate": "symbol=\\"LTCUSDT\\""'
    path = f"/api/v2/delete?org={place.server.org}&bucket={place.name.replace(' ', '%20')}"
    place.server.api("POST", path, json.loads("{" + gone + "}"))
    before = len(running.candle_hits)
    assert backfill("LTCUSDT", "DOTUSDT", days=2).written == 1
    (hit,) = running.candle_hits[before:]
    assert (hit.query["symbol"], hit.query["limit"]) == ("LTCUSDT", "1")
    assert place.rows() == truth(["LTCUSDT", "DOTUSDT"], END_MS - 2 * DAY_MS)


def test_refetch_overwrites_half_made_candles(venue, place, backfill, truth):
    venue()
    backfill("LTCUSDT", days=1)
    key = "binance_ohlc,exchange=binance,symbol=LTCUSDT,timeframe=1m"
    times = range(END_MS - DAY_MS, END_MS, 7 * MINUTE_MS)
    place.put("".join(f"{key} close=1.5,volume=0 {time_ms}\n" for time_ms in times))
    assert backfill("LTCUSDT", days=1).written == 0
    summary = backfill("LTCUSDT", days=1, refetch=True)
    assert (summary.exit, summary.written) == (0, 1440)
    assert place.rows() == truth(["LTCUSDT"], END_MS - DAY_MS)


def test_symbols_of_any_letters_go_through_the_whole_chain(venue, laklak, here, recorded, place, truth):
    names = ["币安人生USDT", "^GSPC", "BTC=F", "BRK.B", "A-B+C&D#E%20?${x}"]
    rows = recorded.oldest("LTCUSDT", END_MS - DAY_MS, END_MS, 3)

    def script(path, query, number):
        if path == KLINES:
            return Override(body=b"[" + b",".join(rows) + b"]")
        if path.endswith("exchangeInfo"):
            limits = [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400}]
            symbols = [{"symbol": name, "status": "TRADING", "onboardDate": 0} for name in names]
            return Override(body=json.dumps({"rateLimits": limits, "symbols": symbols}, ensure_ascii=False).encode())
        return None

    venue(script=script)
    span = ("--start", "2026-02-28", "--end", "2026-02-28T00:03", "--store", place.url)
    ended = laklak("backfill", *names, *span, LC_ALL="C")
    assert ended.exit == 0, ended.err
    values = truth(["LTCUSDT"], END_MS - DAY_MS, END_MS - DAY_MS + 3 * MINUTE_MS)
    assert place.rows() == {(name, key[1]): candle for name in names for key, candle in values.items()}
    assert here("backfill", *names, *span, "--json").json["stored_before"] == 3 * len(names)
    for name in names:
        shown = here("show", f"binance:{name}:1m", "--store", place.url)
        assert (shown.exit, shown.out.count("\n")) == (0, 1 + 1 + 3)


def test_reading_gives_the_same_from_every_store(venue, place, backfill, here, tmp_path):
    venue()
    backfill("LTCUSDT", days=2)
    file = str(tmp_path / "a.db")
    asyncio.run(library.backfill("LTCUSDT", days=2, store=file))
    for options in ({}, {"last": 3}, {"start": "2026-02-28", "end": "2026-02-28T12:00"}, {"start": "2026-03-05"}):
        frame = library.read_candles(place.url, "binance:LTCUSDT:1m", **options)
        assert frame.equals(library.read_candles(file, "binance:LTCUSDT:1m", **options))
    shown = here("show", "LTCUSDT", "--last", "4", "--store", place.url)
    assert shown.exit == 0
    assert shown.out == here("show", "LTCUSDT", "--last", "4", "--store", file).out


def test_a_dry_run_makes_no_bucket(venue, place, here):
    running = venue()
    ended = here("backfill", "LTCUSDT", "--days", "1", "--dry-run", "--json", "--store", place.url)
    assert (ended.exit, ended.json["to_fetch"], running.candle_hits) == (0, 1440, [])
    assert "no such bucket" in ended.err
    with pytest.raises(AssertionError, match="404"):
        place.server.find_bucket(place.name)


# Who may


def everything_said(ended):
    return ended.out + ended.err + Path("backfill.log").read_text()


@pytest.mark.parametrize("name", ["LAKLAK_INFLUXDB_TOKEN", "INFLUX_TOKEN"])
def test_a_token_of_the_environment_opens_the_store_and_is_never_shown(venue, laklak, place, truth, monkeypatch, name):
    venue()
    token = place.server.token
    monkeypatch.delenv("LAKLAK_INFLUXDB_TOKEN")
    words = ("backfill", "LTCUSDT", "--days", "1", "--store", place.url.partition("?")[0], "--verbose")
    ended = laklak(*words, **{name: token, "INFLUX_ORG": place.server.org})
    assert ended.exit == 0, ended.err
    assert place.rows() == truth(["LTCUSDT"], END_MS - DAY_MS)
    said = everything_said(ended)
    assert f"influxdb_token = *** (environment {name})" in said
    assert "influxdb_org = laklak (environment INFLUX_ORG)" in said
    files = [path for path in Path.home().parent.rglob("*") if path.is_file() and "influxd" not in str(path)]
    assert files
    assert not [path for path in files if token.encode() in path.read_bytes()]
    assert token not in said


def test_the_variables_of_the_official_tools_alone_select_the_store(venue, laklak, place, truth, monkeypatch):
    venue()
    monkeypatch.delenv("LAKLAK_INFLUXDB_TOKEN")
    names = {
        "INFLUX_HOST": f"http://localhost:{place.server.port}",
        "INFLUX_BUCKET": place.name,
        "INFLUX_ORG": place.server.org,
        "INFLUX_TOKEN": place.server.token,
    }
    ended = laklak("backfill", "LTCUSDT", "--days", "1", "--json", **names)
    assert ended.exit == 0, ended.err
    assert ended.json["store"] == place.url.replace("://", "://:***@")
    assert place.rows() == truth(["LTCUSDT"], END_MS - DAY_MS)
    assert laklak("show", "LTCUSDT", **names).exit == 0
    assert not list(Path().glob("*.db"))


def test_a_token_in_the_address_of_a_file_opens_the_store_and_is_never_shown(venue, here, place, monkeypatch):
    venue()
    token = place.server.token
    monkeypatch.delenv("LAKLAK_INFLUXDB_TOKEN")
    Path("laklak.toml").write_text(f'store = "{place.url.replace("://", f"://:{token}@")}"\n')
    ended = here("backfill", "LTCUSDT", "--days", "1", "--json", "--verbose")
    assert ended.exit == 0, ended.err
    assert ended.json["store"] == place.url.replace("://", "://:***@")
    assert token not in everything_said(ended)


@pytest.mark.parametrize("token", ["wrong-hunter2", ""])
def test_a_wrong_token_is_one_line_at_once(venue, laklak, place, token):
    running = venue()
    begun = time.monotonic()
    words = ("backfill", "LTCUSDT", "--days", "1", "--store", place.url, "--json", "--verbose")
    ended = laklak(*words, LAKLAK_INFLUXDB_TOKEN=token)
    assert time.monotonic() - begun < 6
    assert (ended.exit, ended.json["exit"], running.hits) == (2, 2, [])
    (error,) = ended.lines("error")
    assert "refused the login: unauthorized access" in error
    (hint,) = ended.lines("hint")
    assert "token" in hint
    assert "hunter2" not in everything_said(ended)


def test_a_token_on_the_command_line_is_refused(venue, laklak, place):
    running = venue()
    for before in (":hunter2@", "hunter2@"):
        ended = laklak("backfill", "LTCUSDT", "--days", "1", "--store", place.url.replace("://", f"://{before}"))
        assert (ended.exit, ended.out, running.hits) == (2, "", [])
        (error,) = ended.lines("error")
        assert "a token is not taken from the command line" in error
        assert "LAKLAK_INFLUXDB_TOKEN" in ended.lines("hint")[0]
        assert "hunter2" not in ended.err


def test_a_bucket_that_is_missing_and_may_not_be_made_is_exit_2(venue, here, place, monkeypatch):
    running = venue()
    token = place.server.make_token(read=["market_data"], write=["market_data"])
    monkeypatch.setenv("LAKLAK_INFLUXDB_TOKEN", token)
    ended = here("backfill", "LTCUSDT", "--days", "1", "--store", place.url)
    assert (ended.exit, running.hits) == (2, [])
    assert f"there is no bucket {place.name}" in ended.lines("error")[0]
    assert "influx bucket create" in ended.lines("hint")[0]


# What does not fit


def test_a_range_beyond_retention_is_refused_or_clipped(venue, here, place, truth):
    running = venue()
    # Two days before the end of the recording, and an hour or two to spare.
    hours = math.ceil((time.time() * 1000 - END_MS) / HOUR_MS) + 48 + 2
    place.server.make_bucket(place.name, retention_s=hours * 3600)
    words = ("backfill", "LTCUSDT", "--store", place.url, "--json", "--days", "4")
    ended = here(*words)
    assert (ended.exit, running.candle_hits) == (2, [])
    (error,) = ended.lines("error")
    assert f"the bucket {place.name} keeps " in error
    assert "--days 2 is the most that fits" in error
    clipped = here(*words, "--within-retention")
    assert clipped.exit == 0, clipped.err
    assert 2 * 1440 < clipped.json["wanted"] < 2 * 1440 + 4 * 60
    assert place.rows() == truth(["LTCUSDT"], END_MS - clipped.json["wanted"] * MINUTE_MS)


def test_a_type_conflict_is_exit_2_before_anything_is_fetched(venue, here, place):
    running = venue()
    place.server.make_bucket(place.name)
    place.put("binance_ohlc,symbol=X close=1i 1000\n")
    ended = here("backfill", "LTCUSDT", "--days", "1", "--store", place.url)
    assert (ended.exit, running.candle_hits) == (2, [])
    assert "close is integer" in ended.lines("error")[0]


def test_lines_that_a_server_refuses_are_missing_kept_and_tried_again(venue, here, place, check_sum, truth):
    running = venue()
    server, second_day = place.server, END_MS - 3 * DAY_MS
    rules = [{"type": "expire", "everySeconds": 0, "shardGroupDurationSeconds": 86_400}]
    server.api("POST", "/api/v2/buckets", {"orgID": server._org_id, "name": place.name, "retentionRules": rules})
    # A day in which another program has kept text, of a series whose first and last points are as they should be.
    for value, time_ms in (("1", END_MS - 99 * DAY_MS), ("1", END_MS + 99 * DAY_MS), ('"many"', second_day)):
        place.put(f"binance_ohlc,symbol=OTHER volume={value} {time_ms}\n")
    words = ("backfill", "LTCUSDT", "--days", "4", "--store", place.url, "--json")
    dead = Path("laklak-dead-letter.lp").absolute()
    expected = truth(["LTCUSDT"])
    there = {key: row for key, row in expected.items() if not second_day <= key[1] < second_day + DAY_MS}

    for stored_before in (0, 3 * 1440):
        before = len(running.candle_hits)
        ended = here(*words)
        answer = check_sum(ended.json)
        assert (ended.exit, answer["complete"], answer["dead_letter"]) == (1, False, str(dead))
        assert (answer["stored_before"], answer["missing"]) == (stored_before, 1440)
        assert len(running.candle_hits) - before == (4 * 1440 - stored_before) // 1000 + 1
        (failed,) = answer["failed_series"]
        assert (failed["series"], failed["reason"]) == ("binance:LTCUSDT:1m", "store_refused")
        asked = 'r._measurement == "binance_ohlc" and r.symbol == "LTCUSDT" and r._field == "close"'
        assert {("LTCUSDT", row["_time"]) for row in place.ask(asked)} == set(there)
    text = dead.read_text()
    assert "field type conflict" in text
    assert sum(not line.startswith("#") for line in text.splitlines()) == 2 * 1440

    other = Place(server, f"{place.name} again")
    server.make_bucket(other.name)
    other.put(text)
    assert other.rows() == {key: row for key, row in expected.items() if key not in there}


# What a server does in the middle


def test_a_server_that_is_away_for_seconds_only_slows_the_run(venue, laklak, own_place, check_sum, truth):
    running = venue(latency_s=0.02)
    words = ("backfill", *SYMBOLS, "--days", "4", "--chunk", "99", "--store", own_place.url, "--json")
    process = laklak.start(*words, "--workers", "4")
    running.wait_for_candle_hits(30)
    own_place.server.kill()
    before = len(running.candle_hits)
    time.sleep(2)
    assert process.poll() is None
    # Fetchers wait for a store that is down: no more is asked than may be in flight.
    assert len(running.candle_hits) - before <= 64
    own_place.server.start()
    ended = laklak.wait(process)
    answer = check_sum(ended.json)
    assert ended.exit == 0, ended.err
    assert (answer["complete"], answer["dead_letter"]) == (True, None)
    assert own_place.rows() == truth(SYMBOLS)
    assert "store passing fault" in Path("backfill.log").read_text()


def test_a_server_that_stays_away_ends_the_run_after_the_wait(venue, laklak, own_place, check_sum, truth):
    running = venue(latency_s=0.02)
    process = laklak.start(*SLOW, "--store", own_place.url, "--json", "--max-wait", "1s")
    running.wait_for_candle_hits(30)
    own_place.server.stop()
    ended = laklak.wait(process, timeout_s=20)
    answer = check_sum(ended.json)
    assert (ended.exit, answer["complete"]) == (1, False)
    assert answer["error"].startswith("store_down: ")
    assert len(ended.lines("error")) == 1
    own_place.server.start()
    assert laklak(*SLOW, "--store", own_place.url).exit == 0
    assert own_place.rows() == truth(SYMBOLS, SLOW_START_MS)


def test_a_bucket_that_is_removed_in_the_middle_ends_the_run_at_once(venue, laklak, place, check_sum):
    running = venue(latency_s=0.03)
    process = laklak.start(*SLOW, "--store", place.url, "--json")
    running.wait_for_candle_hits(30)
    place.server.remove_bucket(place.name)
    ended = laklak.wait(process)
    answer = check_sum(ended.json)
    assert (ended.exit, answer["complete"]) == (1, False)
    assert answer["error"].startswith("store_refused: ")
    assert "not found" in ended.lines("error")[0]


def test_a_run_that_is_killed_is_completed_by_the_next(venue, laklak, place, truth, served_twice):
    running = venue(latency_s=0.02)
    for hits in (20, 70):
        process = laklak.start(*SLOW, "--store", place.url)
        running.wait_for_candle_hits(hits)
        process.send_signal(signal.SIGKILL)
        process.wait()
    ended = laklak(*SLOW, "--store", place.url, "--json")
    assert ended.exit == 0, ended.err
    assert place.rows() == truth(SYMBOLS, SLOW_START_MS)
    assert served_twice(running.hits) <= 2 * 64 * 99
