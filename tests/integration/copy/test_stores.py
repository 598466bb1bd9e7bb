"""`laklak copy`: which series of which stores, and what they are opened with; a refusal makes and changes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import time
from pathlib import Path

import pytest
from copies import BTC, ETH, HOURS, MINUTE_MS, START_MS, candles, content, copy, fill, minutes_of, new_name
from influxd import SECRET

import laklak as library
from laklak.errors import SettingsError, StoreUnavailable, UsageError
from laklak.model.candles import CandleBatch
from laklak.model.series import Series

DAY_MS = 86_400_000


# Which series


def test_only_the_series_named_go_over(here, tmp_path, copy_sum):
    fill("a.db", candles(BTC, range(5)), candles(ETH, range(5)), candles(HOURS, range(5)))
    ended = here("copy", "a.db", "b.db", ETH, HOURS, ETH, "--json")
    assert (ended.exit, copy_sum(ended.json)["series"]) == (0, 2)
    assert set(content("b.db")[0]) == {ETH, HOURS}
    assert here("copy", "a.db", "c.db", "BTCUSDT").exit == 0
    assert set(content("c.db")[0]) == {BTC}


def test_a_series_that_the_source_lacks_is_named_and_the_others_go_over(here, copy_sum):
    fill("a.db", candles(BTC, range(5)))
    ended = here("copy", "a.db", "b.db", BTC, ETH, "--json")
    answer = copy_sum(ended.json)
    assert (ended.exit, answer["written"], answer["missing"]) == (1, 5, 0)
    (failed,) = answer["failed_series"]
    assert (failed["series"], failed["reason"]) == (ETH, "not_in_source")
    assert ended.lines("warning") == [f"not in the source: {ETH}"]
    told = here("copy", "a.db", "b.db", BTC, ETH)
    assert told.out.startswith("complete but for what is named below: 5 of 5 candles of 2 series accounted for in ")
    assert f"  {ETH}: not_in_source: sqlite:///{Path.cwd()}/a.db has none of it" in told.out


def test_nothing_is_made_when_the_source_has_none_of_the_series(here):
    fill("a.db", candles(BTC, range(5)))
    ended = here("copy", "a.db", "b.db", ETH, "--json")
    assert (ended.exit, ended.json["exit"], Path("b.db").exists()) == (2, 2, False)
    assert ended.lines("error") == [f"sqlite:///{Path.cwd()}/a.db has no candles of {ETH}"]
    assert BTC in ended.lines("hint")[0]


@pytest.mark.parametrize("series", ["BTC USDT", "binance:BTCUSDT:7m", "nowhere:BTCUSDT:1m", "BTC,ETH"])
def test_what_is_no_series_is_refused(here, series, copy_keys):
    fill("a.db", candles(BTC, range(5)))
    ended = here("copy", "a.db", "b.db", series, "--json")
    assert (ended.exit, set(ended.json), Path("b.db").exists()) == (2, copy_keys, False)


def test_an_empty_list_of_series_is_refused():
    with pytest.raises(UsageError):
        asyncio.run(library.copy("a.db", "b.db", []))


# Which stores


def test_a_source_that_does_not_exist_is_an_error_and_nothing_is_made(here, copy_sum):
    ended = here("copy", "a.db", "b.db", "--json")
    assert (ended.exit, copy_sum(ended.json)["exit"]) == (2, 2)
    assert f"there is no store sqlite:///{Path.cwd()}/a.db to copy from" in ended.lines("error")[0]
    assert not {"a.db", "b.db"} & set(os.listdir())


def test_a_database_that_does_not_exist_is_no_source(here, influxd):
    name = new_name()
    ended = here("copy", influxd.url(name), "b.db")
    assert (ended.exit, Path("b.db").exists()) == (2, False)
    assert [name] not in influxd.rows("SHOW DATABASES")


def test_an_empty_source_is_told_and_nothing_is_made(here, copy_sum):
    fill("a.db")
    ended = here("copy", "a.db", "b.db", "--json")
    answer = copy_sum(ended.json)
    assert (ended.exit, answer["wanted"], answer["start"], Path("b.db").exists()) == (0, 0, None, False)
    assert ended.lines("warning") == [
        f"sqlite:///{Path.cwd()}/a.db holds no series of candles: there is nothing to copy"
    ]


def test_a_store_is_not_copied_to_itself_whatever_its_name(here, influxd, database):
    fill("a.db", candles(BTC, range(5)))
    os.symlink("a.db", "link.db")
    os.link("a.db", "hard.db")
    url = database()
    other = url.replace("localhost", "127.0.0.1")
    for one, two in (
        ("a.db", "sqlite:///a.db"),
        ("a.db", "link.db"),
        ("hard.db", "a.db"),
        ("b.db", "./b.db"),
        (url, other),
    ):
        ended = here("copy", one, two)
        assert ended.exit == 2
        assert "cannot be copied to itself" in ended.lines("error")[0]


def test_two_retention_policies_of_a_database_are_two_stores(influxd, database):
    source = database()
    fill(source, candles(BTC, range(5)))
    influxd.ask(f"CREATE RETENTION POLICY two ON {source.rpartition('/')[2]} DURATION INF REPLICATION 1")
    assert copy(source, f"{source}?rp=two").written == 5
    assert content(f"{source}?rp=two") == content(source)


@pytest.mark.parametrize("words", [("a.db",), ("bybit://x/y", "b.db"), ("a.db", "influxdb://")])
def test_what_is_no_pair_of_stores_is_refused(here, words, copy_keys):
    fill("a.db", candles(BTC, range(5)))
    ended = here("copy", *words, "--json")
    assert (ended.exit, set(ended.json), len(ended.lines("error"))) == (2, copy_keys, 1)


def test_the_destination_is_locked_and_the_source_is_not(here, laklak, venue, copy_sum):
    running = venue(latency_s=0.02)
    fill("a.db", candles(BTC, range(5)))
    process = laklak.start("backfill", "LTCUSDT", "--days", "4", "--chunk", "99", "--workers", "2")
    running.wait_for_candle_hits(3)
    with laklak.halted(process):
        ended = here("copy", "a.db", "laklak.db", "--json")
        assert (ended.exit, copy_sum(ended.json)["exit"]) == (75, 75)
        assert f"process {process.pid}" in ended.lines("error")[0]
        assert here("copy", "laklak.db", "b.db").exit == 0
    assert laklak.wait(process).exit == 0
    assert here("copy", "laklak.db", "b.db").exit == 0
    assert content("b.db") == content("laklak.db")


def test_a_source_that_is_being_written_is_read(here):
    fill("a.db", candles(BTC, range(5)))
    with contextlib.closing(sqlite3.connect("a.db", isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM candle WHERE open_time > ?", (START_MS,))
        assert here("copy", "a.db", "b.db").exit == 0
        writer.execute("ROLLBACK")
    assert minutes_of("b.db") == list(range(5))


def test_real_and_simulated_candles_are_not_mixed_unless_forced(here):
    fill("a.db", candles(BTC, range(5)), origin="real")
    assert here("copy", "a.db", "b.db").exit == 0
    assert content("b.db")[2] == "real"
    fill("c.db", candles(ETH, range(5)), origin="simulated")
    ended = here("copy", "c.db", "b.db", "--json")
    assert (ended.exit, ended.json["written"]) == (2, 0)
    assert ended.json["error"].endswith(
        f"sqlite:///{Path.cwd()}/b.db holds real candles; sqlite:///{Path.cwd()}/c.db has simulated ones"
    )
    assert "--force" in ended.json["hint"]
    assert here("copy", "c.db", "b.db", "--force").exit == 0
    assert set(content("b.db")[0]) == {BTC, ETH}


def test_a_retention_that_is_too_short_is_refused_or_clips(here, influxd, copy_sum):
    name = new_name()
    influxd.ask(f"CREATE DATABASE {name} WITH DURATION 7d REPLICATION 1 NAME week")
    now = int(time.time()) // 60 * MINUTE_MS
    old, new = (now - days * DAY_MS for days in (9, 5))
    series = Series.parse(BTC)
    values = ([1.0] * 3,) * 5
    for first in (old, new):
        fill("a.db", CandleBatch(series, [first + minute * MINUTE_MS for minute in range(3)], values, values))
    ended = here("copy", "a.db", influxd.url(name))
    assert ended.exit == 2
    assert "the source begins at " in ended.lines("error")[0]
    assert "--within-retention" in ended.lines("hint")[0]
    ended = here("copy", "a.db", influxd.url(name), "--within-retention", "--json")
    answer = copy_sum(ended.json)
    assert (ended.exit, answer["written"], answer["dead_letter"]) == (0, 3, None)
    assert [row[0] for row in content(influxd.url(name))[0][BTC]] == [new + minute * MINUTE_MS for minute in range(3)]


def test_a_retention_that_would_keep_nothing_is_refused(here, influxd):
    name = new_name()
    influxd.ask(f"CREATE DATABASE {name} WITH DURATION 1h REPLICATION 1 NAME hour")
    fill("a.db", candles(BTC, range(-10_000_000, -9_999_990)))
    ended = here("copy", "a.db", influxd.url(name), "--within-retention")
    assert (ended.exit, "would keep nothing" in ended.lines("error")[0]) == (2, True)


# Passwords


@pytest.fixture
def vaults(guarded):
    """The addresses, without the password, of two databases that `writer` owns."""
    names = new_name(), new_name()
    for name in names:
        guarded.ask(f"CREATE DATABASE {name}")
        guarded.ask(f"GRANT ALL ON {name} TO writer")
    return [guarded.url(name, user="writer") for name in names]


@pytest.mark.parametrize("number", [0, 1], ids=["source", "destination"])
@pytest.mark.parametrize("typed", ["influxdb://me:geheim@localhost:1/x", "influxdb2://:geheim@localhost:1/x?org=o"])
def test_a_typed_secret_is_refused_and_not_shown(here, number, typed, copy_keys):
    fill("a.db", candles(BTC, range(5)))
    words = ["a.db", "b.db"]
    words[number] = typed
    ended = here("copy", *words, "--json")
    assert (ended.exit, set(ended.json), Path("b.db").exists()) == (2, copy_keys, False)
    assert "is not taken from the command line" in ended.lines("error")[0]
    assert "LAKLAK_INFLUXDB_" in ended.lines("hint")[0]
    assert "geheim" not in ended.out + ended.err


def test_one_password_opens_both_stores_and_is_never_shown(laklak, vaults):
    fill("a.db", candles(BTC, range(5)))
    one, two = vaults
    said = ""
    for source, destination in (("a.db", one), (one, two)):
        ended = laklak("copy", source, destination, "--json", "-v", LAKLAK_INFLUXDB_PASSWORD=SECRET)
        assert ended.exit == 0, ended.err
        assert ended.json["written"] == 5
        said += ended.out + ended.err
    assert SECRET not in said + Path("backfill.log").read_text()
    assert laklak("copy", one, "b.db").exit == 2


def test_a_program_may_give_each_store_its_own_password(vaults, tmp_path):
    fill("a.db", candles(ETH, range(5)))
    url = vaults[0].replace("writer@", "writer:hunt%20er2%40%2F%3A@")
    summary = copy("a.db", url, ETH)
    assert (summary.exit, summary.destination) == (0, vaults[0].replace("@", ":***@"))
    assert copy(url, tmp_path / "b.db", ETH).written == 5


def test_a_wrong_setting_is_an_error_of_the_library_too():
    with pytest.raises(SettingsError):
        copy("a.db", "b.db", max_wait="soon")
    with pytest.raises(StoreUnavailable):
        copy("a.db", "b.db")
