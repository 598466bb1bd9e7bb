"""The whole program with a real InfluxDB 1.x: a server gives what SQLite gives, and its troubles are told apart."""

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
from laklak.errors import StoreUnavailable
from laklak.simulator import Override, SymbolOverride, generate
from laklak.simulator.rules import KLINES

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
END_MS = 1_772_323_200_000
NOON_MS = END_MS - DAY_MS // 2

SYMBOLS = ("LTCUSDT", "DOTUSDT", "AVAXUSDT")
SLOW = ("backfill", *SYMBOLS, "--days", "2", "--chunk", "99", "--workers", "4")
SLOW_START_MS = END_MS - 2 * DAY_MS
SECRET = "hunt er2@/:"

_numbers = itertools.count(1)


class Place:
    """A database of a server: `url` is what --store takes."""

    def __init__(self, server, name):
        self.server = server
        self.name = name
        self.url = server.url(name)

    def rows(self, interval="1m"):
        """(symbol, open_time) -> values, asked as any program can ask."""
        fields = "open, high, low, close, volume"
        found = self.server.ask(
            f"SELECT {fields} FROM binance_ohlc WHERE exchange = 'binance' AND timeframe = '{interval}' GROUP BY *",
            self.name,
        )
        return {
            (series["tags"]["symbol"], row[0]): tuple(map(float, row[1:]))
            for series in found
            for row in series["values"]
        }

    def ask(self, statement):
        return self.server.rows(statement, self.name)

    def put(self, lines):
        self.server.put(lines, self.name)

    @property
    def exists(self):
        return [self.name] in self.server.rows("SHOW DATABASES")


@pytest.fixture
def place(influxd) -> Place:
    """A database that does not exist yet, on the server that all tests share."""
    return Place(influxd, f"candles_{next(_numbers)}")


@pytest.fixture
def backfill(place):
    def call(*symbols, **options):
        return asyncio.run(library.backfill(list(symbols), store=place.url, **options))

    return call


# What is stored


def test_every_recorded_candle_is_stored_bit_for_bit(venue, laklak, place, truth, check_sum, recorded):
    venue()
    ended = laklak("backfill", *recorded.symbols, "--days", "4", "--store", place.url, "--json")
    assert ended.exit == 0, ended.err
    answer = check_sum(ended.json)
    assert answer["complete"]
    assert answer["written"] == answer["wanted"] == 7 * 4 * 1440
    assert (answer["store"], answer["dead_letter"]) == (place.url, None)
    assert place.rows() == truth(recorded.symbols)
    assert not Path("laklak-dead-letter.lp").exists()


def test_candles_with_awkward_digits_are_stored_bit_for_bit(venue, place, backfill, served):
    source = generate(symbols=6, days=2, seed=3)
    venue(source)
    assert backfill(*source.symbols, days=2).exit == 0
    assert place.rows() == served(source, source.symbols, source.start_ms, source.end_ms)


def test_a_database_that_was_made_is_told_and_the_next_run_tells_what_it_holds(venue, laklak, place):
    venue()
    words = ("backfill", "LTCUSDT", "--days", "1", "--store", place.url)
    assert f"store: {place.url}: new database, retention policy autogen (kept for ever)\n" in laklak(*words).err
    holds = "1 series, 1,440 candles, 2026-02-28T00:00Z to 2026-03-01T00:00Z"
    assert f"store: {place.url}: {holds}, " in laklak(*words).err


def test_a_second_run_asks_for_no_candle(venue, laklak, place, check_sum):
    running = venue()
    words = ("backfill", "LTCUSDT", "DOTUSDT", "--days", "4", "--store", place.url, "--json")
    assert laklak(*words).exit == 0
    before = len(running.candle_hits)
    ended = laklak(*words)
    answer = check_sum(ended.json)
    assert (ended.exit, answer["stored_before"], answer["written"], answer["candle_requests"]) == (0, 11520, 0, 0)
    assert len(running.candle_hits) == before


def test_a_longer_range_asks_only_for_what_is_new(venue, place, backfill, served_twice, truth):
    running = venue()
    backfill("LTCUSDT", days=1)
    summary = backfill("LTCUSDT", days=3)
    assert (summary.stored_before, summary.written) == (1440, 2880)
    assert served_twice(running.hits) == 0
    assert place.rows() == truth(["LTCUSDT"], END_MS - 3 * DAY_MS)


def test_intervals_live_side_by_side(venue, place, backfill):
    venue()
    backfill("LTCUSDT", days=1)
    summary = backfill("LTCUSDT", days=1, interval="1h")
    assert (summary.stored_before, summary.written) == (0, 24)
    assert (len(place.rows()), len(place.rows("1h"))) == (1440, 24)


def test_every_run_leaves_one_point_of_its_account(venue, place, backfill):
    venue()
    backfill("LTCUSDT", days=1)
    backfill("LTCUSDT", days=2)
    columns = "range_start, wanted, stored_before, stored_after, written, missing, exit_code"
    assert [row[1:] for row in place.ask(f"SELECT {columns} FROM laklak_runs")] == [
        ["2026-02-28T00:00Z", 1440, 0, 1440, 1440, 0, 0],
        ["2026-02-27T00:00Z", 2880, 1440, 2880, 1440, 0, 0],
    ]


@pytest.fixture
def hasty(monkeypatch):
    """Two answers need not be two seconds apart here."""
    monkeypatch.setattr("laklak.engine.fetch.SECOND_ANSWER_AFTER_S", 0.05)


def test_a_hole_stays_a_hole_until_it_is_asked_again(venue, place, backfill, hasty, truth):
    holes = frozenset({NOON_MS, NOON_MS + MINUTE_MS})
    running = venue(overrides={"LTCUSDT": SymbolOverride(holes=holes)})
    first = backfill("LTCUSDT", days=1)
    assert (first.exit, first.holes, first.missing) == (0, 2, 0)
    assert [row[0] for row in place.ask("SELECT kind FROM laklak_holes WHERE kind = 'hole'")] == sorted(holes)
    again = backfill("LTCUSDT", days=1)
    assert (again.exit, again.candle_requests, again.stored_before, again.holes) == (0, 0, 1438, 2)
    running.change("LTCUSDT", holes=frozenset({NOON_MS}))
    recheck = backfill("LTCUSDT", days=1, recheck=True)
    assert (recheck.exit, recheck.written, recheck.holes) == (0, 1, 1)
    expected = truth(["LTCUSDT"], END_MS - DAY_MS)
    assert place.rows() == {key: values for key, values in expected.items() if key[1] != NOON_MS}


def test_a_row_that_is_refused_twice_is_rejected_and_kept(venue, place, backfill, hasty):
    venue(overrides={"LTCUSDT": SymbolOverride(bad_rows={NOON_MS: "high_below_low"})})
    summary = backfill("LTCUSDT", days=1)
    assert (summary.exit, summary.rejected, summary.written) == (1, 1, 1439)
    ((time_ms, kind, row),) = place.ask("SELECT kind, row FROM laklak_holes")
    assert (time_ms, kind, json.loads(row)[0]) == (NOON_MS, "rejected", NOON_MS)
    assert backfill("LTCUSDT", days=1).candle_requests == 0


def test_a_deleted_candle_comes_back_alone(venue, place, backfill, truth):
    running = venue()
    backfill("LTCUSDT", "DOTUSDT", days=2)
    gone_ms = END_MS - DAY_MS + 5 * MINUTE_MS
    place.server.ask(f"DELETE FROM binance_ohlc WHERE symbol = 'LTCUSDT' AND time = {gone_ms}ms", place.name)
    before = len(running.candle_hits)
    assert backfill("LTCUSDT", "DOTUSDT", days=2).written == 1
    (hit,) = running.candle_hits[before:]
    assert (hit.query["symbol"], int(hit.query["startTime"]), hit.query["limit"]) == ("LTCUSDT", gone_ms, "1")
    assert place.rows() == truth(["LTCUSDT", "DOTUSDT"], END_MS - 2 * DAY_MS)


def test_refetch_overwrites_half_made_candles(venue, place, backfill, truth):
    venue()
    backfill("LTCUSDT", days=1)
    times = range(END_MS - DAY_MS, END_MS, 7 * MINUTE_MS)
    key = "binance_ohlc,exchange=binance,symbol=LTCUSDT,timeframe=1m"
    place.put("".join(f"{key} close=1.5,volume=0 {time_ms}\n" for time_ms in times))
    assert place.rows() != truth(["LTCUSDT"], END_MS - DAY_MS)
    assert backfill("LTCUSDT", days=1).written == 0
    summary = backfill("LTCUSDT", days=1, refetch=True)
    assert (summary.exit, summary.stored_before, summary.written) == (0, 0, 1440)
    assert place.rows() == truth(["LTCUSDT"], END_MS - DAY_MS)


def test_symbols_of_any_letters_go_through_the_whole_chain(venue, laklak, here, recorded, place, truth):
    names = ["币安人生USDT", "^GSPC", "BTC=F", "BRK.B", "A-B+C&D#E%20?"]
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
        assert library.read_candles(place.url, f"binance:{name}:1m").height == 3


# Reading


def test_reading_gives_the_same_from_every_store(venue, place, backfill, here, tmp_path):
    venue()
    backfill("LTCUSDT", days=2)
    file = str(tmp_path / "a.db")
    asyncio.run(library.backfill("LTCUSDT", days=2, store=file))
    for options in ({}, {"last": 3}, {"start": "2026-02-28", "end": "2026-02-28T12:00"}, {"start": "2026-03-05"}):
        frame = library.read_candles(place.url, "binance:LTCUSDT:1m", **options)
        assert frame.equals(library.read_candles(file, "binance:LTCUSDT:1m", **options))
        assert frame.schema == library.read_candles(file, "binance:LTCUSDT:1m", **options).schema
    shown = here("show", "LTCUSDT", "--last", "4", "--store", place.url)
    assert shown.exit == 0
    assert shown.out == here("show", "LTCUSDT", "--last", "4", "--store", file).out


def test_reading_makes_no_database(place, here):
    ended = here("show", "LTCUSDT", "--store", place.url)
    assert (ended.exit, place.exists) == (2, False)
    assert "there is no store" in ended.lines("error")[0]
    with pytest.raises(StoreUnavailable):
        library.read_candles(place.url, "binance:LTCUSDT:1m")
    assert not place.exists


def test_a_dry_run_makes_no_database(venue, place, here):
    running = venue()
    ended = here("backfill", "LTCUSDT", "--days", "1", "--dry-run", "--json", "--store", place.url)
    assert (ended.exit, ended.json["to_fetch"], running.candle_hits) == (0, 1440, [])
    assert "no such database" in ended.err
    assert not place.exists


def test_simulated_candles_do_not_go_into_a_database_of_real_ones(venue, place, backfill, here):
    running = venue()
    backfill("LTCUSDT", days=1)
    place.put(f'laklak_meta origin="real" {time.time_ns() // 1_000_000 + 1000}\n')
    before = len(running.candle_hits)
    ended = here("backfill", "LTCUSDT", "--days", "2", "--store", place.url)
    assert (ended.exit, len(running.candle_hits)) == (2, before)
    assert "holds real candles" in ended.lines("error")[0]


# Who may


@pytest.fixture(scope="module")
def guarded(needs_influxd, influxd, tmp_path_factory):
    """A server that wants a login: `writer` may do everything in the database x."""
    server = type(influxd)(tmp_path_factory.mktemp("guarded"), {"INFLUXDB_HTTP_AUTH_ENABLED": "true"})
    try:
        server.start()
        server.ask("CREATE USER admin WITH PASSWORD 'top' WITH ALL PRIVILEGES")
        server.login = ("admin", "top")
        server.ask(f"CREATE USER writer WITH PASSWORD '{SECRET}'")
        yield server
    finally:
        server.stop()


@pytest.fixture
def vault(guarded) -> Place:
    """A database of that server, which `writer` owns."""
    place = Place(guarded, f"vault_{next(_numbers)}")
    guarded.ask(f"CREATE DATABASE {place.name}")
    guarded.ask(f"GRANT ALL ON {place.name} TO writer")
    place.url = guarded.url(place.name, user="writer")
    return place


def everything_said(ended):
    return ended.out + ended.err + Path("backfill.log").read_text()


@pytest.mark.parametrize("name", ["LAKLAK_INFLUXDB_PASSWORD", "INFLUXDB_PASSWORD"])
def test_a_password_of_the_environment_opens_the_store_and_is_never_shown(venue, laklak, vault, truth, name):
    venue()
    words = ("backfill", "LTCUSDT", "--days", "1", "--store", vault.url, "--verbose")
    ended = laklak(*words, **{name: SECRET})
    assert ended.exit == 0, ended.err
    assert vault.rows() == truth(["LTCUSDT"], END_MS - DAY_MS)
    said = everything_said(ended)
    assert f"influxdb_password = *** (environment {name})" in said
    assert SECRET not in said
    shown = laklak("show", "LTCUSDT", "--store", vault.url, **{name: SECRET})
    assert shown.exit == 0, shown.err


def test_a_password_of_the_settings_file_or_in_its_address_opens_the_store_and_is_never_shown(venue, here, vault):
    venue()
    encoded = vault.url.replace("writer@", "writer:hunt%20er2%40%2F%3A@")
    for lines in (f'store = "{encoded}"\n', f'store = "{vault.url}"\ninfluxdb_password = "{SECRET}"\n'):
        Path("laklak.toml").write_text(lines)
        ended = here("backfill", "LTCUSDT", "--days", "1", "--json", "--verbose")
        assert ended.exit == 0, ended.err
        assert ended.json["store"] == vault.url.replace("writer@", "writer:***@")
        said = everything_said(ended)
        assert SECRET not in said
        assert "er2" not in said


def test_the_library_reads_with_the_password_of_the_environment(venue, here, vault, monkeypatch):
    venue()
    monkeypatch.setenv("LAKLAK_INFLUXDB_PASSWORD", SECRET)
    assert asyncio.run(library.backfill("LTCUSDT", days=1, store=vault.url)).exit == 0
    assert library.read_candles(vault.url, "binance:LTCUSDT:1m").height == 1440


def test_the_influxdb_variables_of_older_installations_alone_select_the_store(venue, laklak, vault, truth):
    venue()
    older = {
        "INFLUXDB_HOST": "localhost",
        "INFLUXDB_PORT": str(vault.server.port),
        "INFLUXDB_DATABASE": vault.name,
        "INFLUXDB_USERNAME": "writer",
        "INFLUXDB_PASSWORD": SECRET,
    }
    ended = laklak("backfill", "LTCUSDT", "--days", "1", "--json", **older)
    assert ended.exit == 0, ended.err
    assert ended.json["store"] == vault.url.replace("writer@", "writer:***@")
    assert vault.rows() == truth(["LTCUSDT"], END_MS - DAY_MS)
    assert laklak("show", "LTCUSDT", **older).exit == 0
    assert not list(Path().glob("*.db"))


@pytest.mark.parametrize("password", ["wrong-" + SECRET, None])
def test_a_wrong_password_is_one_line_at_once(venue, laklak, vault, password):
    running = venue()
    begun = time.monotonic()
    environment = {"LAKLAK_INFLUXDB_PASSWORD": password} if password else {}
    ended = laklak("backfill", "LTCUSDT", "--days", "1", "--store", vault.url, "--json", "--verbose", **environment)
    assert time.monotonic() - begun < 6
    assert (ended.exit, ended.json["exit"], running.hits) == (2, 2, [])
    (error,) = ended.lines("error")
    assert "refused the login" in error
    assert ended.json["error"] == f"store_unavailable: {error}"
    (hint,) = ended.lines("hint")
    assert "writer" in hint
    assert SECRET not in everything_said(ended)


def test_a_user_who_may_only_read_is_told_before_anything_is_fetched(venue, laklak, vault):
    running = venue()
    vault.server.ask(f"CREATE USER reader{vault.name} WITH PASSWORD 'see'")
    vault.server.ask(f"GRANT READ ON {vault.name} TO reader{vault.name}")
    words = ("backfill", "LTCUSDT", "--days", "1", "--store", vault.url.replace("writer", f"reader{vault.name}"))
    ended = laklak(*words, INFLUXDB_PASSWORD="see")
    assert (ended.exit, running.candle_hits) == (2, [])
    (error,) = ended.lines("error")
    assert "not authorized" in error


def test_a_password_on_the_command_line_is_refused(venue, laklak, vault):
    running = venue()
    for words in (("backfill", "LTCUSDT", "--days", "1"), ("show", "LTCUSDT")):
        ended = laklak(*words, "--store", vault.url.replace("writer@", "writer:hunter2@"))
        assert (ended.exit, ended.out, running.hits) == (2, "", [])
        (error,) = ended.lines("error")
        assert "a password is not taken from the command line" in error
        assert "LAKLAK_INFLUXDB_PASSWORD" in ended.lines("hint")[0]
        assert "hunter2" not in ended.err
    assert not Path("backfill.log").exists()


# What does not fit


@pytest.fixture
def forgetful(place):
    """A database that keeps two days before the end of the recording, and an hour or two to spare, and no more."""
    hours = math.ceil((time.time() * 1000 - END_MS) / HOUR_MS) + 48 + 2
    place.server.ask(f"CREATE DATABASE {place.name} WITH DURATION {hours}h REPLICATION 1 NAME short")
    return place


def test_a_range_beyond_retention_is_refused_with_the_days_that_fit(venue, here, forgetful, truth):
    running = venue()
    words = ("backfill", "LTCUSDT", "--store", forgetful.url, "--json")
    ended = here(*words, "--days", "4")
    assert (ended.exit, running.candle_hits) == (2, [])
    (error,) = ended.lines("error")
    assert "retention policy short" in error
    assert "--days 2 is the most that fits" in error
    assert "--within-retention" in ended.lines("hint")[0]
    assert here(*words, "--days", "4", "--dry-run").exit == 2
    assert here(*words, "--days", "2").exit == 0
    assert forgetful.rows() == truth(["LTCUSDT"], END_MS - 2 * DAY_MS)


def test_within_retention_a_range_is_clipped_and_complete(venue, here, forgetful, truth, check_sum):
    venue()
    ended = here("backfill", "LTCUSDT", "--days", "4", "--store", forgetful.url, "--json", "--within-retention")
    answer = check_sum(ended.json)
    assert ended.exit == 0, ended.err
    assert answer["complete"]
    assert 2 * 1440 < answer["wanted"] < 2 * 1440 + 4 * 60
    assert forgetful.rows() == truth(["LTCUSDT"], END_MS - answer["wanted"] * MINUTE_MS)
    later = here("backfill", "LTCUSDT", "--days", "4", "--store", forgetful.url, "--json", "--within-retention")
    assert (later.exit, later.json["candle_requests"]) == (0, 0)


def test_a_listing_within_retention_makes_any_range_fit(venue, here, forgetful):
    venue(overrides={"LTCUSDT": SymbolOverride(onboard_ms=END_MS - DAY_MS)})
    assert here("backfill", "LTCUSDT", "--days", "4", "--store", forgetful.url).exit == 0


@pytest.mark.parametrize("value", ["1i", '"1"'])
def test_a_type_conflict_is_exit_2_before_anything_is_fetched(venue, here, place, value):
    running = venue()
    place.server.ask(f"CREATE DATABASE {place.name}")
    place.put(f"binance_ohlc,symbol=X close={value} 1000\n")
    ended = here("backfill", "LTCUSDT", "--days", "1", "--store", place.url)
    assert (ended.exit, running.candle_hits) == (2, [])
    (error,) = ended.lines("error")
    assert "binance_ohlc" in error
    assert "close is " in error


def test_data_of_other_programs_is_told_once_and_left_alone(venue, here, place, truth):
    venue()
    place.server.ask(f"CREATE DATABASE {place.name}")
    place.put("market_data,symbol=LTCUSDT close=1 1000\n")
    ended = here("backfill", "LTCUSDT", "--days", "1", "--store", place.url)
    assert ended.exit == 0
    assert ended.err.count("neither read nor changed: market_data") == 1
    assert place.ask("SELECT * FROM market_data") == [[1000, 1, "LTCUSDT"]]
    assert place.rows() == truth(["LTCUSDT"], END_MS - DAY_MS)


# What a server does in the middle


def test_lines_that_a_server_refuses_are_missing_kept_and_tried_again(venue, here, own_influxd, check_sum, truth):
    running = venue()
    server = own_influxd(INFLUXDB_DATA_MAX_VALUES_PER_TAG="2")
    place = Place(server, "few")
    options = ("--days", "1", "--store", place.url, "--json")
    dead = Path("laklak-dead-letter.lp").absolute()
    assert here("backfill", *SYMBOLS[:2], *options).exit == 0

    for _ in range(2):
        before = len(running.candle_hits)
        ended = here("backfill", *SYMBOLS, *options)
        answer = check_sum(ended.json)
        assert (ended.exit, answer["complete"], answer["dead_letter"]) == (1, False, str(dead))
        assert (answer["stored_before"], answer["written"], answer["missing"]) == (2880, 0, 1440)
        (failed,) = answer["failed_series"]
        assert (failed["series"], failed["reason"]) == (f"binance:{SYMBOLS[2]}:1m", "store_refused")
        assert str(dead) in failed["detail"]
        # What was refused is asked again in the next run, and nothing else is.
        assert [hit.query["symbol"] for hit in running.candle_hits[before:]] == [SYMBOLS[2]] * 2
    text = dead.read_text()
    assert "max-values-per-tag" in text
    assert sum(not line.startswith("#") for line in text.splitlines()) == 2 * 1440

    server.stop()
    server.change(INFLUXDB_DATA_MAX_VALUES_PER_TAG="0")
    server.start()
    place.put(text)
    assert place.rows() == truth(SYMBOLS, END_MS - DAY_MS)
    ended = here("backfill", *SYMBOLS, *options)
    assert (ended.exit, ended.json["candle_requests"], ended.json["dead_letter"]) == (0, 0, None)


def test_a_server_that_is_away_for_seconds_only_slows_the_run(venue, laklak, own_influxd, check_sum, truth):
    running = venue(latency_s=0.02)
    server = own_influxd()
    place = Place(server, "x")
    words = ("backfill", *SYMBOLS, "--days", "4", "--chunk", "99", "--store", place.url, "--json")
    process = laklak.start(*words, "--workers", "4")
    running.wait_for_candle_hits(30)
    server.stop()
    before = len(running.candle_hits)
    time.sleep(2)
    assert process.poll() is None
    # Fetchers wait for a store that is down: no more is asked than may be in flight.
    assert len(running.candle_hits) - before <= 64
    server.start()
    ended = laklak.wait(process)
    answer = check_sum(ended.json)
    assert ended.exit == 0, ended.err
    assert (answer["complete"], answer["dead_letter"]) == (True, None)
    assert place.rows() == truth(SYMBOLS)
    assert "store passing fault" in Path("backfill.log").read_text()


def test_a_server_that_stays_away_ends_the_run_after_the_wait(venue, laklak, own_influxd, check_sum, truth):
    running = venue(latency_s=0.02)
    server = own_influxd()
    place = Place(server, "x")
    process = laklak.start(*SLOW, "--store", place.url, "--json", "--max-wait", "1s")
    running.wait_for_candle_hits(30)
    server.stop()
    ended = laklak.wait(process, timeout_s=20)
    answer = check_sum(ended.json)
    assert (ended.exit, answer["complete"]) == (1, False)
    assert answer["error"].startswith("store_down: ")
    assert len(ended.lines("error")) == 1
    server.start()
    assert laklak(*SLOW, "--store", place.url).exit == 0
    assert place.rows() == truth(SYMBOLS, SLOW_START_MS)


def test_a_second_signal_does_not_wait_for_a_server_that_is_away(venue, laklak, own_influxd):
    running = venue(latency_s=0.02)
    server = own_influxd()
    process = laklak.start(*SLOW, "--store", server.url("x"), "--json")
    running.wait_for_candle_hits(30)
    server.stop()
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)
    ended = laklak.wait(process)
    assert (ended.exit, ended.json["exit"], time.monotonic() - begun < 2) == (130, 130, True)


def test_a_database_that_is_dropped_in_the_middle_ends_the_run_at_once(venue, laklak, place, check_sum):
    running = venue(latency_s=0.03)
    process = laklak.start(*SLOW, "--store", place.url, "--json")
    running.wait_for_candle_hits(30)
    place.server.ask(f"DROP DATABASE {place.name}")
    ended = laklak.wait(process)
    answer = check_sum(ended.json)
    assert (ended.exit, answer["complete"]) == (1, False)
    assert answer["error"].startswith("store_refused: ")
    assert "database not found" in ended.lines("error")[0]


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


def test_two_runs_at_once_are_one_run_and_a_75_whatever_the_spelling(venue, laklak, place, truth):
    running = venue(latency_s=0.03)
    process = laklak.start(*SLOW, "--store", place.url)
    running.wait_for_candle_hits(3)
    ended = laklak(*SLOW, "--store", place.url.replace("localhost", "127.0.0.1"), "--json")
    assert (ended.exit, ended.json["candle_requests"]) == (75, 0)
    assert ended.json["error"].startswith("store_busy: ")
    assert f"process {process.pid}" in ended.lines("error")[0]
    assert laklak.wait(process).exit == 0
    assert place.rows() == truth(SYMBOLS, SLOW_START_MS)


def test_a_store_is_read_and_planned_while_it_is_filled(venue, laklak, here, place):
    running = venue(latency_s=0.05)
    process = laklak.start(*SLOW, "--store", place.url)
    running.wait_for_candle_hits(10)
    while not place.ask("SELECT count(close) FROM binance_ohlc"):
        time.sleep(0.05)
    plan = here("backfill", *SYMBOLS, "--days", "2", "--dry-run", "--json", "--store", place.url)
    assert (plan.exit, process.poll()) == (0, None)
    assert 0 < plan.json["stored_before"] < 3 * 2880
    assert laklak.wait(process).exit == 0


def test_a_signal_does_not_wait_for_a_server_that_is_silent_from_the_start(venue, laklak, own_influxd):
    venue()
    server = own_influxd()
    server.ask("CREATE DATABASE x")
    server.pause()
    process = laklak.start("backfill", "LTCUSDT", "--days", "1", "--store", server.url("x"), "--json")
    time.sleep(1.5)  # nothing is printed before the store answers
    begun_s = time.monotonic()
    process.send_signal(signal.SIGINT)
    ended = laklak.wait(process)
    assert (ended.exit, ended.json["exit"]) == (130, 130)
    assert time.monotonic() - begun_s < 4
