"""Who may: a password opens a store of InfluxDB 1.x, from wherever it may come, and is never shown."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path

import pytest
from influx_places import Database
from influxd import SECRET
from patience import PATIENT

import laklak as library

DAY_MS = 86_400_000
END_MS = 1_772_323_200_000  # 2026-03-01T00:00Z

_numbers = itertools.count(1)


@pytest.fixture
def vault(guarded) -> Database:
    """A database that `writer` owns, on a server that wants a login."""
    made = Database(guarded, f"vault_{next(_numbers)}")
    made.make()
    guarded.ask(f"GRANT ALL ON {made.name} TO writer")
    made.url = guarded.url(made.name, user="writer")
    return made


def everything_said(ended):
    return ended.out + ended.err + Path("backfill.log").read_text()


@pytest.mark.parametrize("name", ["LAKLAK_INFLUXDB_PASSWORD", "INFLUXDB_PASSWORD"])
def test_a_password_of_the_environment_opens_the_store_and_is_never_shown(venue, laklak, vault, truth, name):
    venue()
    words = ("backfill", "LTCUSDT", "--days", "1", "--store", vault.url, "--verbose")
    ended = laklak(*words, **{name: SECRET})
    assert ended.exit == 0, ended.err
    assert vault.candles() == truth(["LTCUSDT"], END_MS - DAY_MS)
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
    assert vault.candles() == truth(["LTCUSDT"], END_MS - DAY_MS)
    assert laklak("show", "LTCUSDT", **older).exit == 0
    assert not list(Path().glob("*.db"))


@pytest.mark.parametrize("password", ["wrong-" + SECRET, None])
def test_a_wrong_password_is_one_line_at_once(venue, laklak, vault, password):
    running = venue()
    environment = {"LAKLAK_INFLUXDB_PASSWORD": password} if password else {}
    words = ("backfill", "LTCUSDT", "--days", "1", "--store", vault.url, "--json", "--verbose")
    # What would be tried again would be for longer than the test may last.
    ended = laklak(*words, "--max-wait", "600s", first=PATIENT, **environment)
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
