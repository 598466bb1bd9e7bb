"""Addresses as people write them, and that a password or token never comes out again."""

from __future__ import annotations

import pytest

from laklak.errors import StoreUnavailable
from laklak.stores.influx.address import Address1, Address2, parse_address


def one(host, database, port=8086, **more):
    return Address1(host=host, port=port, database=database, **more)


def two(host, bucket, port=8086, org="o", **more):
    return Address2(host=host, port=port, database=bucket, org=org, **more)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("influxdb://localhost/market_data", one("localhost", "market_data")),
        ("influxdb://me@db.example:18086/x", one("db.example", "x", 18086, user="me")),
        ("influxdb://me:p%40ss%2F@h/x", one("h", "x", user="me", password="p@ss/")),
        ("influxdb+https://h/x?rp=one%20year", one("h", "x", retention_policy="one year", tls=True)),
        ("InfluxDB://[::1]:99/x", one("::1", "x", 99)),
        ("influxdb://h/a%20b%2Fc", one("h", "a b/c")),
        ("influxdb://h/行情", one("h", "行情")),
        ("influxdb://@h/x", one("h", "x")),
        ("influxdb2://localhost/market_data?org=o", two("localhost", "market_data")),
        ("influxdb2+https://[::1]:443/x?org=my%20org", two("::1", "x", 443, "my org", tls=True)),
        ("InfluxDB2://h/a%20b%2Fc?org=机构", two("h", "a b/c", org="机构")),
        ("influxdb2://:a%2Fb%3D%3D@h/x?org=o", two("h", "x", token="a/b==")),
        ("influxdb2://@h/x?org=o", two("h", "x")),
    ],
)
def test_an_address_is_read(text, address):
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "candles.db",
        "influxdb:/h/x",
        "influxdb3://h/x",
        "influxdb+http://h/x",
        "influxdb2+tls://h/x?org=o",
        "influxdb://h",
        "influxdb://h/",
        "influxdb:///x",
        "influxdb://h/x/y",
        "influxdb://h:0/x",
        "influxdb://h:99999/x",
        "influxdb://h:abc/x",
        "influxdb://h/x?rp=",
        "influxdb://h/x?db=y",
        "influxdb://h/x?org=y",
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
        "influxdb2://h/x",
        "influxdb2://h/?org=o",
        "influxdb2://h?org=o",
        "influxdb2://h/x?org=",
        "influxdb2://h/x?bucket=y",
        "influxdb2://h/x?org=a&token=secret",
        "influxdb2://secret@h/x?org=o",
        "influxdb2://me:secret@h/x?org=o",
        "influxdb2://:se/cret@h/x?org=o",
        "influxdb2://:se%0Acret@h/x?org=o",
        "influxdb2://:secr%C3%A9cret@h/x?org=o",
        "influxdb2://h/x?org=%00",
    ],
)
def test_what_is_no_address_is_refused_with_the_right_spelling_and_without_a_secret(text):
    with pytest.raises(StoreUnavailable) as caught:
        parse_address(text)

    assert caught.value.exit_code == 2
    assert caught.value.hint
    assert "cret" not in f"{caught.value}{caught.value.hint}{caught.value.__cause__}"


def test_what_the_address_has_itself_comes_first():
    assert parse_address("influxdb://me:own@h/x", password="other") == one("h", "x", user="me", password="own")
    assert parse_address("influxdb2://:own@h/x?org=mine", token="other", org="other") == two(
        "h", "x", 8086, "mine", token="own"
    )


def test_what_the_address_lacks_is_added():
    assert parse_address("influxdb://me@h/x", password="other", token="t", org="o") == one(
        "h", "x", user="me", password="other"
    )
    assert parse_address("influxdb2://h/x", password="p", token="t", org="o") == two("h", "x", token="t")


def test_without_a_user_a_password_is_nobodys():
    assert parse_address("influxdb://h/x", password="other").password is None


def test_an_organization_that_is_missing_is_told_with_the_spelling():
    with pytest.raises(StoreUnavailable, match="names no organization") as caught:
        parse_address("influxdb2://h/x")

    assert caught.value.hint == (
        "write influxdb2://host[:8086]/BUCKET?org=ORG, or influxdb2+https:// for TLS, or set INFLUX_ORG"
    )


@pytest.mark.parametrize("text", ["influxdb2://secret@h/x?org=o", "influxdb2://me:secret@h/x?org=o"])
def test_a_token_where_a_user_would_be_is_told_where_it_goes(text):
    with pytest.raises(StoreUnavailable, match="a token and no user") as caught:
        parse_address(text)

    assert "LAKLAK_INFLUXDB_TOKEN" in caught.value.hint
    assert ":TOKEN@" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "influxdb+https://m%40e:secret@[::1]/a%20b?rp=c%26d",
            "influxdb+https://m%40e:***@[::1]:8086/a%20b?rp=c%26d",
        ),
        ("influxdb2://:secret@h/a%20b?org=c%26d", "influxdb2://:***@h:8086/a%20b?org=c%26d"),
    ],
)
def test_what_is_shown_has_no_secret(text, shown):
    address = parse_address(text)

    assert address.display == str(address) == shown
    said = f"{address!r}{address.http_url}{address.lock_name}{address.identity}{address.login_hint}{address.account}"
    assert "secret" not in said


@pytest.mark.parametrize("text", ["influxdb://me@h:8086/a%20b?rp=c%26d", "influxdb2+https://h:8086/a%20b?org=c%26d"])
def test_what_is_shown_can_be_written_again(text):
    assert parse_address(text).display == text


@pytest.mark.parametrize(
    "other",
    [
        "influxdb://127.0.0.1/x",
        "influxdb://[::1]/x?rp=y",
        "influxdb://me@LOCALHOST/x",
        "influxdb2+https://localhost/x?org=o",
    ],
)
def test_spellings_of_one_database_share_their_lock(other):
    assert parse_address(other).lock_name == parse_address("influxdb://localhost/x").lock_name


@pytest.mark.parametrize("other", ["influxdb://localhost/y", "influxdb://localhost:8087/x", "influxdb://h/x"])
def test_other_databases_have_other_locks(other):
    assert parse_address(other).lock_name != parse_address("influxdb://localhost/x").lock_name


def test_buckets_of_two_organizations_are_two_stores():
    assert parse_address("influxdb2://h/x?org=a").identity != parse_address("influxdb2://H/x?org=b").identity
    assert parse_address("influxdb2://h/x?org=a").identity == parse_address("influxdb2://:t@H:8086/x?org=a").identity
