"""Symbols that nobody has, or that nobody could be asked for."""

from __future__ import annotations

import pytest
from lying_venue import FILES, KLINES
from unlisted_symbols import DAYS, JANUARY, files_alone, listed_in, minutes_of, months_asked


def test_a_typed_symbol_that_nobody_knows_is_refused_after_one_question_and_one_search(lying, here):
    ended = here("backfill", "AAAUSTD", *JANUARY)
    assert ended.exit == 2
    assert ended.lines("error")[0] == (
        "binance does not know the symbol AAAUSTD: it is not listed, klines do not know it, "
        "and there is no monthly bulk file of it in this range"
    )
    assert "did you mean AAAUSDT" in ended.lines("hint")[0]
    assert (len(lying.asked(KLINES)), months_asked(lying, "AAAUSTD"), len(lying.asked(DAYS))) == (
        1,
        ["AAAUSTD-1m-2026-01.zip.CHECKSUM"],
        0,
    )


def test_one_of_a_list_that_nobody_knows_fails_alone_and_is_asked_in_two_runs(lying, here, check_sum):
    listed_in("AAAUSDT", "NOPEUSDT")
    words = ("backfill", "--start", "2026-03-10T11:00", "--json")
    ended = here(*words)
    assert (ended.exit, check_sum(ended.json)["missing"]) == (1, 0)
    (failed,) = ended.json["failed_series"]
    assert (failed["series"], failed["reason"]) == ("binance:NOPEUSDT:1m", "unknown_symbol")
    here(*words)
    assert (len(lying.asked(KLINES, "NOPEUSDT")), len(lying.asked(FILES, "NOPEUSDT"))) == (2, 1)
    lying.forget()
    assert here(*words).exit == 1
    assert (lying.asked(KLINES, "NOPEUSDT"), lying.asked(FILES, "NOPEUSDT")) == ([], [])


@pytest.mark.parametrize(("days", "flags", "asked"), [(6, (), 0), (8, (), 1), (1, ("--recheck",), 1), (-3, (), 1)])
def test_it_is_looked_for_again_after_a_week_or_when_told(days, flags, asked, lying, here):
    """By the venue's clock; what was noted in the future does not count."""
    listed_in("AAAUSDT", "NOPEUSDT")
    words = ("backfill", "--start", "2026-03-07T11:00", "--end", "2026-03-07T12:00")
    assert here(*words).exit == 1
    assert here(*words).exit == 1
    lying.forget()
    lying.clock_ms += days * 86_400_000
    here(*words, *flags)
    assert len(lying.asked(KLINES, "NOPEUSDT")) == asked


def test_a_symbol_of_the_packaged_list_that_nobody_knows_is_a_warning(lying, here, monkeypatch, tmp_path, check_sum):
    packaged = tmp_path / "packaged.txt"
    packaged.write_text("AAAUSDT binance\nNOPEUSDT binance\n")
    monkeypatch.setattr("laklak.settings.assets._packaged_assets", lambda: packaged)
    ended = here("backfill", "--start", "2026-03-10T11:00", "--json")
    assert (ended.exit, check_sum(ended.json)["failed_series"], ended.json["written"]) == (0, [], 60)
    assert "NOPEUSDT" in ended.lines("warning")[0]


def test_without_files_klines_alone_decide_and_the_words_say_so(lying, here):
    files_alone(lying)
    ended = here("backfill", "OLDUSDT", *JANUARY, "--source", "rest")
    assert ended.exit == 2
    assert "klines do not know it; no bulk files are asked" in ended.lines("error")[0]
    assert lying.asked(FILES) == []


def test_files_that_cannot_be_asked_are_said_and_not_remembered(lying, here):
    files_alone(lying)
    listed_in("AAAUSDT", "OLDUSDT")
    lying.tell = lambda asked: (403, b"no") if "OLDUSDT" in asked.path else None
    ended = here("backfill", *JANUARY, "--json")
    assert ended.exit == 1
    assert "the bulk files cannot be asked: " in ended.json["failed_series"][0]["detail"]
    lying.tell = lambda asked: None
    assert here("backfill", *JANUARY, "--json").json["written"] == 44_640


def test_klines_that_cannot_be_asked_are_no_proof(lying, here, check_sum):
    listed_in("AAAUSDT", "OLDUSDT")
    lying.tell = lambda asked: (500, b"{}") if asked.query.get("symbol") == "OLDUSDT" else None
    ended = here("backfill", "--start", "2026-03-10T11:00", "--json")
    assert (ended.exit, check_sum(ended.json)["written"]) == (1, 60)
    (failed,) = ended.json["failed_series"]
    assert (failed["series"], failed["reason"]) == ("binance:OLDUSDT:1m", "fetch_failed")


def test_where_the_api_cannot_be_asked_what_was_not_listed_last_time_is_searched_for(lying, here, times, check_sum):
    files_alone(lying, last="2026-01-20T10:00")
    assert here("backfill", "AAAUSDT", "--start", "2026-03-10T11:00").exit == 0
    lying.tell = lambda asked: (451, b"") if asked.path.startswith("/fapi") else None
    ended = here("backfill", "OLDUSDT", *JANUARY, "--json")
    assert (ended.exit, check_sum(ended.json)["missing"]) == (0, 0)
    assert times() == minutes_of("2026-01-01", "2026-01-20T10:01")


def test_a_symbol_that_is_listed_again_is_one_like_any_other(lying, here, sql):
    old = files_alone(lying)
    assert here("backfill", "OLDUSDT", *JANUARY).exit == 0
    old.listed, old.refused = True, None
    assert here("backfill", "OLDUSDT", *JANUARY).exit == 0
    assert sql("SELECT value FROM laklak_notes WHERE kind = 'unlisted' AND value <> ''") == []
