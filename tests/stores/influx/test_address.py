"""Addresses as people write them, and that a password never comes out again."""

from __future__ import annotations

import pytest

from laklak.errors import StoreUnavailable
from laklak.stores.influx_address import InfluxAddress, parse_influx_url


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("influxdb://localhost/market_data", InfluxAddress("localhost", 8086, "market_data")),
        ("influxdb://me@db.example:18086/x", InfluxAddress("db.example", 18086, "x", user="me")),
        ("influxdb://me:p%40ss%2F@h/x", InfluxAddress("h", 8086, "x", None, "me", "p@ss/")),
        ("influxdb+https://h/x?rp=one%20year", InfluxAddress("h", 8086, "x", "one year", tls=True)),
        ("InfluxDB://[::1]:99/x", InfluxAddress("::1", 99, "x")),
        ("influxdb://h/a%20b%2Fc", InfluxAddress("h", 8086, "a b/c")),
        ("influxdb://h/行情", InfluxAddress("h", 8086, "行情")),
        ("influxdb://@h/x", InfluxAddress("h", 8086, "x")),
    ],
)
def test_an_address_is_read(text, address):
    assert parse_influx_url(text, {}) == address


@pytest.mark.parametrize(
    "text",
    [
        "candles.db",
        "influxdb:/h/x",
        "influxdb2://h/x",
        "influxdb://h",
        "influxdb://h/",
        "influxdb:///x",
        "influxdb://h/x/y",
        "influxdb://h:0/x",
        "influxdb://h:99999/x",
        "influxdb://h:abc/x",
        "influxdb://h/x?rp=",
        "influxdb://h/x?db=y",
        "influxdb://h/x?rp=a&rp=b",
        "influxdb://h/x?x",
        "influxdb://h/x#y",
        "influxdb://:secret@h/x",
        "influxdb://m%3Ae:secret@h/x",
        "influxdb://h/%00",
        "influxdb://h/%ff",
        "influxdb://ho st/x",
        "influxdb://[::1/x",
        "influxdb://me:se/cret@h/x",
        "influxdb://me:se#cret@h/x",
        "influxdb://me:se?cret@h/x",
        "influxdb://me:se@cret@h/x",
    ],
)
def test_what_is_no_address_is_refused_with_the_right_spelling_and_without_a_secret(text):
    with pytest.raises(StoreUnavailable) as caught:
        parse_influx_url(text, {})

    assert caught.value.exit_code == 2
    assert caught.value.hint
    assert "cret" not in f"{caught.value}{caught.value.hint}{caught.value.__cause__}"


@pytest.mark.parametrize(
    ("environment", "password"),
    [
        ({"LAKLAK_INFLUXDB_PASSWORD": "a", "INFLUXDB_PASSWORD": "b"}, "a"),
        ({"INFLUXDB_PASSWORD": "b"}, "b"),
        ({"LAKLAK_INFLUXDB_PASSWORD": "", "INFLUXDB_PASSWORD": "b"}, "b"),
        ({}, None),
    ],
)
def test_the_password_comes_from_the_environment(environment, password):
    assert parse_influx_url("influxdb://me@h/x", environment).password == password


def test_a_password_in_the_address_comes_before_the_environment():
    address = parse_influx_url("influxdb://me:own@h/x", {"INFLUXDB_PASSWORD": "other"})

    assert address == InfluxAddress("h", 8086, "x", None, "me", "own")


def test_without_a_user_a_password_is_nobodys():
    assert parse_influx_url("influxdb://h/x", {"INFLUXDB_PASSWORD": "other"}).password is None


def test_what_is_shown_has_no_password():
    address = parse_influx_url("influxdb+https://m%40e:secret@[::1]/a%20b?rp=c%26d", {})

    assert address.display == "influxdb+https://m%40e:***@[::1]:8086/a%20b?rp=c%26d"
    assert "secret" not in f"{address!r}{address.http_url}{address.lock_name}"


def test_what_is_shown_can_be_written_again():
    text = "influxdb://me@h:8086/a%20b?rp=c%26d"

    assert parse_influx_url(text, {}).display == text


@pytest.mark.parametrize("other", ["influxdb://127.0.0.1/x", "influxdb://[::1]/x?rp=y", "influxdb://me@LOCALHOST/x"])
def test_spellings_of_one_database_share_their_lock(other):
    assert parse_influx_url(other, {}).lock_name == parse_influx_url("influxdb://localhost/x", {}).lock_name


@pytest.mark.parametrize("other", ["influxdb://localhost/y", "influxdb://localhost:8087/x", "influxdb://h/x"])
def test_other_databases_have_other_locks(other):
    assert parse_influx_url(other, {}).lock_name != parse_influx_url("influxdb://localhost/x", {}).lock_name
