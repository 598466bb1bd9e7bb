"""A ban outlives the process."""

import json
import logging
import os
import time

import pytest

from laklak.wire.bans import Ban, BanBook, believed, lasting_bans

ORIGIN = "https://fapi.binance.com"


def soon(seconds=60):
    return time.time_ns() // 1_000_000 + seconds * 1000


DAY_MS = 86_400_000
LONGEST_S = 3 * 86_400.0
NOW_MS = 1_780_000_000_000
YEAR_MS = 365 * DAY_MS


def book_at(folder, venue="binance", origin=ORIGIN):
    return BanBook(folder, venue, origin, longest_s=LONGEST_S)


def rewritten(folder, **changes):
    """The one ban of a folder, changed by hand or by a clock that was wrong."""
    (path,) = folder.iterdir()
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_without_a_file_there_is_no_ban(tmp_path):
    assert book_at(tmp_path / "state").until_ms() is None


def test_a_ban_is_remembered_by_the_next_run(tmp_path):
    until_ms = soon()
    book_at(tmp_path / "new" / "folder").remember(until_ms, "way too many")

    assert book_at(tmp_path / "new" / "folder").until_ms() == until_ms


def test_a_ban_that_is_over_is_forgotten(tmp_path):
    book = book_at(tmp_path / "state")
    book.remember(soon(-1), "")

    assert book.until_ms() is None


def test_an_earlier_and_longer_ban_stays(tmp_path):
    book = book_at(tmp_path / "state")
    long = soon(600)
    book.remember(long, "long")
    book.remember(soon(60), "short")

    assert book.until_ms() == long


@pytest.mark.parametrize(("venue", "origin"), [("binance", "http://127.0.0.1:8000"), ("bybit", ORIGIN)])
def test_another_venue_or_address_is_not_banned(tmp_path, venue, origin):
    book_at(tmp_path / "state").remember(soon(), "")

    assert book_at(tmp_path / "state", venue, origin).until_ms() is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "7", '{"until_ms": "soon"}', '{"until_ms": 1e300}', "\udcff"])
def test_a_file_that_makes_no_sense_is_ignored_and_can_be_replaced(tmp_path, text):
    book = book_at(tmp_path / "state")
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
    book = book_at(blocked)

    with caplog.at_level(logging.WARNING):
        book.remember(soon(), "")

    assert book.until_ms() is None
    assert "ban not remembered" in caplog.text


def test_nothing_but_the_file_is_left_and_it_says_why(tmp_path):
    book_at(tmp_path / "state").remember(soon(), "way too many")

    (path,) = (tmp_path / "state").iterdir()
    entry = json.loads(path.read_text())
    assert (entry["origin"], entry["reason"]) == (ORIGIN, "way too many")


def test_it_says_when_it_was_noted_and_by_which_clocks(tmp_path):
    book = book_at(tmp_path / "state")
    book.remember(soon(600), "way too many", venue_ms=1_772_323_200_000)

    ban = book.current().ban
    assert abs(ban.noted_at_ms - soon(0)) < 5_000
    assert (ban.venue_ms, ban.reason, ban.origin) == (1_772_323_200_000, "way too many", ORIGIN)
    assert book.current().doubt is None


def test_no_ban_counts_for_longer_than_the_venue_documents(tmp_path):
    book = book_at(tmp_path / "state")
    book.remember(soon(31 * 86_400), "a slip")

    assert abs(book.until_ms() - soon(LONGEST_S)) < 5_000
    assert "longer than any ban" in book.current().doubt


def test_the_longest_ban_ends_though_it_is_read_again_and_again(tmp_path):
    ban = Ban(ORIGIN, NOW_MS + 10 * YEAR_MS, "", NOW_MS)

    for days in (0, 1, 2):
        assert believed(ban, NOW_MS + days * DAY_MS, 3 * DAY_MS).until_ms == NOW_MS + 3 * DAY_MS
    assert believed(ban, NOW_MS + 3 * DAY_MS, 3 * DAY_MS) is None


@pytest.mark.parametrize("venue_ms", [None, NOW_MS + 2 * YEAR_MS])
def test_a_ban_that_was_noted_in_the_future_lasts_from_now_on(venue_ms):
    ban = Ban(ORIGIN, NOW_MS + YEAR_MS + 600_000, "", NOW_MS + YEAR_MS, venue_ms)
    found = believed(ban, NOW_MS, 3 * DAY_MS)

    assert found.until_ms == NOW_MS + 600_000
    assert "noted in the future" in found.doubt


def test_the_venues_clock_knows_when_a_ban_was_noted_while_this_ones_was_wrong():
    ban = Ban(ORIGIN, NOW_MS + YEAR_MS + 600_000, "", NOW_MS + YEAR_MS, NOW_MS - 60_000)

    assert believed(ban, NOW_MS, 3 * DAY_MS).until_ms == NOW_MS + 540_000
    assert believed(ban, NOW_MS + 600_000, 3 * DAY_MS) is None


def test_a_clock_that_was_behind_does_not_end_a_ban_early():
    ban = Ban(ORIGIN, 600_000, "", 0, NOW_MS - 60_000)

    assert believed(ban, NOW_MS, 3 * DAY_MS).until_ms == NOW_MS + 540_000


def test_a_replayed_venue_does_not_end_a_ban_early():
    ban = Ban(ORIGIN, NOW_MS + 600_000, "", NOW_MS, NOW_MS - YEAR_MS)

    assert believed(ban, NOW_MS + 1000, 3 * DAY_MS).until_ms == NOW_MS + 600_000


def test_a_ban_that_was_noted_in_the_future_does_not_begin_anew_with_each_run(tmp_path):
    book = book_at(tmp_path / "state")
    book.remember(soon(600), "")
    rewritten(tmp_path / "state", noted_at_ms=soon(86_400), until_ms=soon(86_400 + 600))
    book.settle()
    until_ms = book.until_ms()

    assert abs(until_ms - soon(600)) < 5_000
    assert book.current().doubt is None
    book.settle()
    assert book.until_ms() == until_ms


def test_a_ban_of_an_older_version_counts_from_when_its_file_was_written(tmp_path):
    book = book_at(tmp_path / "state")
    book.remember(soon(600), "")
    (path,) = (tmp_path / "state").iterdir()
    path.write_text(json.dumps({"origin": ORIGIN, "until_ms": soon(10 * 365 * 86_400), "reason": ""}))
    written_s = time.time() - 2 * 86_400
    os.utime(path, (written_s, written_s))

    assert abs(book.until_ms() - soon(86_400)) < 5_000


def test_a_ban_can_be_forgotten(tmp_path):
    book = book_at(tmp_path / "state")
    book.remember(soon(600), "way too many")

    assert book.forget().reason == "way too many"
    assert book.until_ms() is None
    assert list((tmp_path / "state").iterdir()) == []
    assert book.forget() is None


def test_all_bans_of_a_venue_that_last_are_found(tmp_path):
    for origin, seconds in (("http://a:1", 600), ("http://b:1", -600), ("http://c:1", 900)):
        book_at(tmp_path / "state", "binance", origin).remember(soon(seconds), "")
    book_at(tmp_path / "state", "bybit").remember(soon(600), "")

    found = lasting_bans(tmp_path / "state", "binance", longest_s=LONGEST_S)
    assert sorted(one.ban.origin for one in found) == ["http://a:1", "http://c:1"]
    assert lasting_bans(tmp_path / "none", "binance", longest_s=LONGEST_S) == []
