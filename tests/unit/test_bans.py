"""A ban outlives the process."""

import json
import logging
import time

import pytest

from laklak.bans import BanBook

ORIGIN = "https://fapi.binance.com"


def soon(seconds=60):
    return time.time_ns() // 1_000_000 + seconds * 1000


def test_without_a_file_there_is_no_ban(tmp_path):
    assert BanBook(tmp_path / "state", "binance", ORIGIN).until_ms() is None


def test_a_ban_is_remembered_by_the_next_run(tmp_path):
    until_ms = soon()
    BanBook(tmp_path / "new" / "folder", "binance", ORIGIN).remember(until_ms, "way too many")

    assert BanBook(tmp_path / "new" / "folder", "binance", ORIGIN).until_ms() == until_ms


def test_a_ban_that_is_over_is_forgotten(tmp_path):
    book = BanBook(tmp_path / "state", "binance", ORIGIN)
    book.remember(soon(-1), "")

    assert book.until_ms() is None


def test_an_earlier_and_longer_ban_stays(tmp_path):
    book = BanBook(tmp_path / "state", "binance", ORIGIN)
    long = soon(600)
    book.remember(long, "long")
    book.remember(soon(60), "short")

    assert book.until_ms() == long


@pytest.mark.parametrize(("venue", "origin"), [("binance", "http://127.0.0.1:8000"), ("bybit", ORIGIN)])
def test_another_venue_or_address_is_not_banned(tmp_path, venue, origin):
    BanBook(tmp_path / "state", "binance", ORIGIN).remember(soon(), "")

    assert BanBook(tmp_path / "state", venue, origin).until_ms() is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "7", '{"until_ms": "soon"}', '{"until_ms": 1e300}', "\udcff"])
def test_a_file_that_makes_no_sense_is_ignored_and_can_be_replaced(tmp_path, text):
    book = BanBook(tmp_path / "state", "binance", ORIGIN)
    book.remember(soon(), "")
    (path,) = (tmp_path / "state").iterdir()
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert book.until_ms() is None

    until_ms = soon()
    book.remember(until_ms, "")

    assert book.until_ms() == until_ms


def test_a_folder_that_cannot_be_used_costs_only_the_memory(tmp_path, caplog):
    blocked = tmp_path / "file"
    blocked.write_text("")
    book = BanBook(blocked, "binance", ORIGIN)

    with caplog.at_level(logging.WARNING):
        book.remember(soon(), "")

    assert book.until_ms() is None
    assert "ban not remembered" in caplog.text


def test_nothing_but_the_file_is_left_and_it_says_why(tmp_path):
    BanBook(tmp_path / "state", "binance", ORIGIN).remember(soon(), "way too many")

    (path,) = (tmp_path / "state").iterdir()
    entry = json.loads(path.read_text())
    assert (entry["origin"], entry["reason"]) == (ORIGIN, "way too many")
