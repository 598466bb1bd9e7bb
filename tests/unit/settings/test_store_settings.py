"""Settings: stores of older installations and of the official tools, and secrets that stay secret."""

from __future__ import annotations

import pytest
from settings_place import Place

from laklak.settings.load import settings_lines
from laklak.settings.spec import SPECS

# INFLUXDB_* of older installations


def test_the_influxdb_variables_give_the_store_when_nothing_else_does(place: Place) -> None:
    environment = {
        "INFLUXDB_HOST": "db.lan",
        "INFLUXDB_PORT": "9086",
        "INFLUXDB_DATABASE": "my candles",
        "INFLUXDB_USERNAME": "me@home",
        "INFLUXDB_PASSWORD": "hunter2",
    }

    settings = place.load(environment=environment)

    assert settings.store == "influxdb://me%40home@db.lan:9086/my%20candles"
    assert settings.origins["store"] == "environment INFLUXDB_HOST"
    assert settings.influxdb_password == "hunter2"
    assert settings.origins["influxdb_password"] == "environment INFLUXDB_PASSWORD"
    assert "hunter2" not in repr(settings) + "".join(settings_lines(settings))


@pytest.mark.parametrize("source", ["environment", "dotenv"])
def test_none_as_python_spells_it_is_no_user_and_no_password(place: Place, source: str) -> None:
    names = {"INFLUXDB_HOST": "db.lan", "INFLUXDB_USERNAME": "None", "INFLUXDB_PASSWORD": "None"}
    if source == "dotenv":
        place.write(".env", "".join(f"{name}={value}\n" for name, value in names.items()))

    settings = place.load(environment=names if source == "environment" else {})

    assert settings.store == "influxdb://db.lan:8086/market_data"
    assert settings.influxdb_password is None


@pytest.mark.parametrize("source", ["flag", "environment", "dotenv", "toml"])
def test_any_store_of_our_own_is_stronger_than_the_influxdb_variables(place: Place, source: str) -> None:
    if source == "dotenv":
        place.write(".env", "LAKLAK_STORE=/a.db\n")
    if source == "toml":
        place.write("laklak.toml", 'store = "/a.db"\n')
    flags = {"store": "/a.db"} if source == "flag" else {}
    own = {"LAKLAK_STORE": "/a.db"} if source == "environment" else {}

    assert place.load(flags, {"INFLUXDB_HOST": "db.lan", **own}).store == "/a.db"


def test_the_influxdb_variables_are_read_from_dotenv_too_and_have_defaults(place: Place) -> None:
    place.write(".env", "INFLUXDB_PORT=1\nINFLUXDB_HOST=::1\n")

    settings = place.load(environment={"INFLUXDB_PORT": "8087"})

    assert settings.store == "influxdb://[::1]:8087/market_data"
    assert settings.origins["store"] == ".env:2"


@pytest.mark.parametrize(("name", "value"), [("INFLUXDB_HOST", "http://me:hunter2@db"), ("INFLUXDB_PORT", "70000")])
def test_wrong_influxdb_variables_are_named(place: Place, name: str, value: str) -> None:
    error = place.error(environment={"INFLUXDB_HOST": "db", name: value})

    assert str(error).startswith(f"{name} = ")
    assert "hunter2" not in str(error)


@pytest.mark.parametrize(
    ("host", "store"),
    [
        ("http://localhost:8086", "influxdb2://localhost:8086/my%20candles"),
        ("https://cloud.example/", "influxdb2+https://cloud.example:443/my%20candles"),
        ("HTTP://db.lan", "influxdb2://db.lan:80/my%20candles"),
        ("db.lan", "influxdb2://db.lan:8086/my%20candles"),
        ("https://[::1]:9999", "influxdb2+https://[::1]:9999/my%20candles"),
    ],
)
def test_the_variables_of_the_official_tools_give_a_store_of_2_x(place: Place, host: str, store: str) -> None:
    names = {"INFLUX_HOST": host, "INFLUX_BUCKET": "my candles", "INFLUX_ORG": "we", "INFLUX_TOKEN": "hunter2"}

    settings = place.load(environment=names)

    access = settings.store_access
    assert (access.where, access.org, access.token) == (store, "we", "hunter2")
    assert settings.origins["store"] == "environment INFLUX_HOST"
    assert "influxdb_org = we (environment INFLUX_ORG)" in settings_lines(settings)
    assert "hunter2" not in repr(settings) + "".join(settings_lines(settings))


@pytest.mark.parametrize(
    "names",
    [
        {"INFLUXDB_V2_URL": "http://h:1", "INFLUXDB_BUCKET": "b", "INFLUXDB_V2_ORG": "o", "INFLUXDB_V2_TOKEN": "t"},
        {"INFLUX_HOST": "http://h:1", "INFLUX_BUCKET_NAME": "b", "INFLUXDB_ORG": "o", "INFLUXDB_TOKEN": "t"},
    ],
)
def test_other_names_of_the_same_count_too(place: Place, names: dict[str, str]) -> None:
    access = place.load(environment=names).store_access

    assert (access.where, access.org, access.token) == ("influxdb2://h:1/b", "o", "t")


def test_a_host_without_a_bucket_is_no_store(place: Place) -> None:
    assert place.load(environment={"INFLUX_HOST": "http://h:1"}).store == "laklak.db"
    assert place.load(environment={"INFLUX_BUCKET": "b"}).store == "laklak.db"


def test_the_older_variables_come_before_those_of_the_official_tools(place: Place) -> None:
    names = {"INFLUXDB_HOST": "one", "INFLUX_HOST": "http://two", "INFLUX_BUCKET": "b"}

    assert place.load(environment=names).store == "influxdb://one:8086/market_data"


def test_token_and_organization_count_for_a_store_that_is_named(place: Place) -> None:
    names = {"INFLUX_HOST": "http://h:1", "INFLUX_BUCKET": "b", "INFLUX_ORG": "theirs", "INFLUX_TOKEN": "t"}

    access = place.load({"store": "influxdb2://x/y"}, {**names, "LAKLAK_INFLUXDB_ORG": "ours"}).store_access

    assert (access.where, access.org, access.token) == ("influxdb2://x/y", "ours", "t")


@pytest.mark.parametrize(
    "host", ["ftp://h", "http://h/path", "http://me:hunter2@h", "http://h?token=hunter2", "http://h:70000", "http://"]
)
def test_a_wrong_host_of_the_official_tools_is_named(place: Place, host: str) -> None:
    error = place.error(environment={"INFLUX_HOST": host, "INFLUX_BUCKET": "b"})

    assert str(error).startswith("INFLUX_HOST = ")
    assert "http://localhost:8086" in str(error)
    assert "hunter2" not in str(error) + str(error.hint)


# Secrets


@pytest.mark.parametrize("variable", ["LAKLAK_BINANCE_URL", "LAKLAK_INTERVAL", "LAKLAK_WORKERS", "LAKLAK_START"])
def test_an_error_never_shows_a_password(place: Place, variable: str) -> None:
    error = place.error(environment={variable: "ftp://me:hunter2@host"})

    assert "hunter2" not in str(error) + str(error.hint)
    assert "ftp://me:***@host" in str(error)
    assert error.__suppress_context__


def test_a_password_in_the_store_shows_neither_in_the_log_nor_in_a_repr(place: Place) -> None:
    settings = place.load({"binance.url": "https://me:hunter2@h"}, {"LAKLAK_STORE": "influxdb://me:hunter2@h/db"})

    lines = settings_lines(settings)

    assert settings.store == "influxdb://me:hunter2@h/db"
    assert "store = influxdb://me:***@h/db (environment LAKLAK_STORE)" in lines
    assert "hunter2" not in repr(settings) + "\n".join(lines)


@pytest.mark.parametrize(
    ("store", "what", "place_for_it"),
    [
        ("influxdb://me:hunter2@h/db", "a password", "LAKLAK_INFLUXDB_PASSWORD"),
        ("influxdb2://h/b?org=o&token=hunter2", "a token", "LAKLAK_INFLUXDB_TOKEN"),
        ("influxdb2://:hunter2@h/b?org=o", "a token", "LAKLAK_INFLUXDB_TOKEN"),
        ("influxdb2+https://hunter2@h/b?org=o", "a token", "LAKLAK_INFLUXDB_TOKEN"),
    ],
)
def test_a_secret_in_the_store_is_not_taken_from_the_command_line(
    place: Place, store: str, what: str, place_for_it: str
) -> None:
    error = place.error({"store": store})

    assert f"(flag --store): {what} is not taken from the command line" in str(error)
    assert place_for_it in (error.hint or "")
    assert "hunter2" not in str(error) + str(error.hint)


def test_a_secret_in_the_store_is_taken_from_a_file(place: Place) -> None:
    place.write("laklak.toml", 'store = "influxdb://me:hunter2@h/db"\n')

    assert place.load().store == "influxdb://me:hunter2@h/db"


@pytest.mark.parametrize("source", ["environment", "dotenv", "toml", "older"])
def test_the_influxdb_password_comes_from_anywhere_and_is_shown_as_three_stars(place: Place, source: str) -> None:
    environment = {"environment": "LAKLAK_INFLUXDB_PASSWORD", "older": "INFLUXDB_PASSWORD"}.get(source)
    if source == "dotenv":
        place.write(".env", "LAKLAK_INFLUXDB_PASSWORD=hunter2\n")
    if source == "toml":
        place.write("laklak.toml", 'influxdb_password = "hunter2"\n')

    settings = place.load({"store": "influxdb://me@h/db"}, {environment: "hunter2"} if environment else {})

    assert settings.influxdb_password == "hunter2"
    assert f"influxdb_password = *** ({settings.origins['influxdb_password']})" in settings_lines(settings)
    assert "hunter2" not in repr(settings) + "\n".join(settings_lines(settings))


def test_the_influxdb_password_of_our_own_is_stronger_than_the_older_one(place: Place) -> None:
    place.write("laklak.toml", 'influxdb_password = "ours"\n')

    assert place.load(environment={"INFLUXDB_PASSWORD": "theirs"}).influxdb_password == "ours"


def test_a_wrong_influxdb_password_is_not_shown(place: Place) -> None:
    error = place.error(environment={"LAKLAK_INFLUXDB_PASSWORD": "hunter2\x07"})

    assert "influxdb_password" in str(error) or "LAKLAK_INFLUXDB_PASSWORD" in str(error)
    assert "hunter2" not in str(error) + str(error.hint)


def test_the_configuration_block_has_one_line_for_each_key(place: Place) -> None:
    lines = settings_lines(place.load({"max_wait": "1h30m", "log_file": "none"}, {"LAKLAK_BINANCE_BUDGET": "max"}))

    assert [line.partition(" = ")[0] for line in lines] == list(SPECS)
    assert "max_wait = 5400s (flag --max-wait)" in lines
    assert "log_file = none (flag --log-file)" in lines
    assert "days = not set (default)" in lines
    assert "binance.budget = max (environment LAKLAK_BINANCE_BUDGET)" in lines
