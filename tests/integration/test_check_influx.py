"""What `laklak check` finds on an InfluxDB 1.x."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from laklak.stores import access

PASSWORD = "hunt er2@/:"

_numbers = itertools.count(1)


def filled(here, *words):
    assert here("backfill", "LTCUSDT", "--days", "1", "--log-file", "none", *words).exit == 0


# InfluxDB 1.x


@pytest.fixture
def database(influxd) -> str:
    """The name of a database that does not exist yet, on the server that all tests share."""
    return f"looked_at_{next(_numbers)}"


def databases(server):
    return [row[0] for series in server.ask("SHOW DATABASES") for row in series.get("values", [])]


def test_an_influxdb_where_all_is_well(venue, here, looked, influxd, database):
    venue()
    filled(here, "--store", influxd.url(database))
    before = influxd.ask("SHOW SERIES", database)
    found = looked("--store", influxd.url(database), exit_status=0)
    assert found.troubles == []
    found.has("store", "ok", "1 series, 1,440 candles")
    found.has("store", "ok", "retention policy autogen (kept for ever)")
    found.has("store", "ok", f"InfluxDB 1.6.7~rc0 at {influxd.server}, without a login")
    found.has("store", "ok", "it can be read and written")
    found.has("store", "ok", "its candles are simulated ones")
    assert influxd.ask("SHOW SERIES", database) == before


def test_a_missing_database_is_not_made(venue, looked, influxd, database):
    venue()
    found = looked("--store", influxd.url(database), exit_status=0)
    found.has("store", "ok", f"a backfill can make the database {database}")
    assert database not in databases(influxd)
    assert not (Path.home() / "state").exists()


def test_a_retention_shorter_than_the_range_of_the_settings_is_a_problem(venue, looked, influxd, database, monkeypatch):
    venue()
    influxd.ask(f"CREATE DATABASE {database} WITH DURATION 7d NAME week")
    found = looked("--store", influxd.url(database), exit_status=0)
    found.has("store", "ok", "its retention policy week keeps 7 d")
    monkeypatch.setenv("LAKLAK_DAYS", "90")
    found = looked("--store", influxd.url(database), exit_status=2)
    found.has("store", "problem", "the retention policy week of the database")


def test_other_types_than_floats_are_named_with_their_days_and_what_mends_them(venue, looked, influxd, database):
    venue()
    influxd.ask(f"CREATE DATABASE {database}")
    influxd.put("binance_ohlc,symbol=X,exchange=other,timeframe=1m close=1i 1767571200000", database)
    found = looked("--store", influxd.url(database), exit_status=0)
    one = found.has("store", "warning", "keeps other types than floats from 2026-01-05T00:00Z to 2026-01-12T")
    assert "(close is integer)" in one["text"]
    assert one["facts"]["conflicts"] == "close is integer"
    assert f"DROP SHARD {one['facts']['shard']}" in one["hint"]
    influxd.ask(f"DROP SHARD {one['facts']['shard']}")
    assert not looked("--store", influxd.url(database), exit_status=0).of("store", "warning")


def test_of_many_stretches_of_other_types_a_few_are_named_in_full(venue, looked, influxd, database):
    venue()
    influxd.ask(f"CREATE DATABASE {database}")
    for week in range(0, 16, 2):
        for kind, number in (("1i", week), ("1", week + 1)):
            influxd.put(f"binance_ohlc,symbol=X close={kind} {1767571200000 + number * 7 * 86_400_000}", database)
    found = looked("--store", influxd.url(database), exit_status=0).of("store", "warning")
    assert [one["text"][:60] for one in found[5:]] == ["3 more stretches with other types than floats"]


def test_series_that_double_ours_are_named_with_what_removes_them(venue, here, looked, influxd, database):
    venue()
    filled(here, "--store", influxd.url(database))
    values = "open=1,high=1,low=1,close=1,volume=1"
    others = "symbol=LTCUSDT,timeframe=1m"
    for tags in (f"exchange=Binance,{others}", f"exchange=binance,{others},source=x"):
        influxd.put(f"binance_ohlc,{tags} {values} 1772236800000\nbinance_ohlc,{tags} {values} 1772236860000", database)
    found = looked("--store", influxd.url(database), exit_status=0).of("store", "warning")
    assert [one["facts"]["points"] for one in found] == [2, 2]
    for one in found:
        assert "2 points, 2026-02-28T00:00Z to 2026-02-28T00:01Z, beside binance:LTCUSDT:1m" in one["text"]
        assert one["hint"].endswith(one["facts"]["statement"])
        influxd.ask(one["facts"]["statement"], database)
    assert not looked("--store", influxd.url(database), exit_status=0).of("store", "warning")
    assert influxd.rows("SELECT count(close) FROM binance_ohlc WHERE symbol = 'LTCUSDT'", database)[0][1] == 1440


@pytest.fixture
def guarded(own_influxd):
    """A server that wants a login, with a database and users whose rights are their names."""
    server = own_influxd(INFLUXDB_HTTP_AUTH_ENABLED="true")
    server.ask(f"CREATE USER admin WITH PASSWORD '{PASSWORD}' WITH ALL PRIVILEGES")
    server.login = ("admin", PASSWORD)
    server.ask("CREATE DATABASE candles")
    for user in ("read", "write", "all", "none"):
        server.ask(f"CREATE USER \"{user}\" WITH PASSWORD '{PASSWORD}'")
        if user != "none":
            server.ask(f'GRANT {user.upper()} ON candles TO "{user}"')
    return server


def test_what_a_user_may_do_is_told(venue, looked, guarded, monkeypatch):
    venue()
    monkeypatch.setenv("LAKLAK_INFLUXDB_PASSWORD", PASSWORD)

    def store(user, database="candles"):
        return ("--store", guarded.url(database, user=user))

    found = looked(*store("all"), exit_status=0)
    found.has("store", "ok", "logged in as all")
    found.has("store", "ok", "it can be read and written")
    looked(*store("read"), exit_status=2).has("store", "problem", "not authorized to write to database")
    looked(*store("write"), exit_status=2).has("store", "problem", "requires READ on candles")
    looked(*store("none"), exit_status=2).has("store", "problem", 'GRANT ALL ON "candles" TO "none"')
    looked(*store("all", "absent"), exit_status=2).has("store", "problem", "the user may not make one")
    looked(*store("admin", "absent"), exit_status=0).has("store", "ok", "a backfill can make the database absent")
    assert guarded.rows("SHOW DATABASES") == [["candles"]]
    monkeypatch.setenv("LAKLAK_INFLUXDB_PASSWORD", "wrong")
    looked(*store("all"), exit_status=2).has("store", "problem", "refused the login")
    looked(*store(""), exit_status=2).has("store", "problem", "put the user into the address")


def test_a_server_that_hangs_or_is_down_is_a_problem_in_bounded_time(
    looked_within, venue, looked, own_influxd, monkeypatch, listed
):
    venue()
    server = own_influxd()
    monkeypatch.setenv("LAKLAK_STORE", server.url("candles"))
    server.pause()
    # Without a limit it would look for longer than the test may last.
    monkeypatch.setattr(access, "TIMING", replace(access.TIMING, opening_patience_s=600.0))
    checkup = looked_within(1.0)
    assert checkup.cut_short
    troubles = [(about, finding.text) for about, finding in checkup.findings if finding.verdict != "ok"]
    assert troubles == [("store", f"{server.url('candles')} has not answered within 1 s")]
    server.resume()
    server.stop()
    looked(exit_status=2).has("store", "problem", "cannot be reached: Connection refused")
