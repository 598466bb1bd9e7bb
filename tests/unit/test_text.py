"""Secrets are hidden from what is shown, and slips find their word."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from laklak.text import counted, json_text, mask_url, nearest, quoted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("influxdb://me:hunter2@host:8086/db", "influxdb://me:***@host:8086/db"),
        ("https://me:a/b@c:d@host/x", "https://me:***@host/x"),
        ("https://:hunter2@host", "https://:***@host"),
        ("me:hunter2@host", "me:***@host"),
        ("http//me:hunter2@host", "http//me:***@host"),
        ("http:/me:hunter2@host", "http:***@host"),
        ("influxdb2://:hunter2@host/db?org=a", "influxdb2://:***@host/db?org=a"),
        ("influxdb2+https://hunter2@host/db?org=a", "influxdb2+https://***@host/db?org=a"),
        ("influxdb2://@host/db", "influxdb2://@host/db"),
        ("influxdb2://host/db?org=a&token=abc&x=1", "influxdb2://host/db?org=a&token=***&x=1"),
        ("http://host/q?u=me&p=hunter2", "http://host/q?u=me&p=***"),
        ("http://host/q?auth_token=abc", "http://host/q?auth_token=***"),
        ("influxdb://me@host:8086/db", "influxdb://me@host:8086/db"),
        ("sqlite:////data/candles.db", "sqlite:////data/candles.db"),
        ("candles.db", "candles.db"),
    ],
)
def test_a_url_is_shown_without_its_secrets(text: str, shown: str) -> None:
    assert mask_url(text) == shown


@given(st.text(alphabet="SECRT:/@?#&=%. \n", min_size=4).map(lambda text: f"S3C{text}R3T"))
def test_no_part_of_a_password_survives_masking(password: str) -> None:
    masked = mask_url(f"influxdb://me:{password}@host/db")

    assert masked.endswith("me:***@host/db")
    assert "S3C" not in masked
    assert "R3T" not in masked


@given(st.text(max_size=60))
def test_masking_twice_changes_nothing_more(text: str) -> None:
    assert mask_url(mask_url(text)) == mask_url(text)


def test_what_is_quoted_is_short_and_printable() -> None:
    assert quoted("a\x1b\n" + "b" * 500, limit=5) == r"'a\x1b\nbb...'"


@pytest.mark.parametrize(("word", "choice"), [("BINANSE", "binance"), ("Bybit", "bybit"), ("zzz", None), ("", None)])
def test_a_slip_finds_the_nearest_word_whatever_its_case(word: str, choice: str | None) -> None:
    assert nearest(word, ["binance", "bybit"]) == choice


@pytest.mark.parametrize(
    ("noun", "one", "many"),
    [
        ("hole", "1 hole", "1,234 holes"),
        ("series", "1 series", "1,234 series"),
        ("quiet stretch", "1 quiet stretch", "1,234 quiet stretches"),
        ("stretch before a first candle", "1 stretch before a first candle", "1,234 stretches before a first candle"),
        ("look beyond an end", "1 look beyond an end", "1,234 looks beyond an end"),
    ],
)
def test_of_what_is_counted_the_noun_is_put_into_the_plural(noun: str, one: str, many: str) -> None:
    assert (counted(1, noun), counted(1234, noun)) == (one, many)


def test_a_value_of_json_is_shown_shortened_and_however_deep_it_is():
    assert json_text([1, "a"], 40) == '[1,"a"]'
    assert json_text("x" * 99, 4) == '"xxx...'
    assert json_text(orjson.loads("[" * 1000 + "]" * 1000), 80).startswith('"nested too deeply')
    assert json_text(10**400, 80).startswith('"nested too deeply')
