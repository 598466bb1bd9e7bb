"""What people get wrong: one clear line, exit 2, nothing touched."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from laklak.venues import VENUES

DAY = ("--days", "1")

BEFORE_THE_VENUE = {
    "no range": ((), "no range given"),
    "days 0": (("--days", "0"), "days = '0'"),
    "days -1": (("--days", "-1"), "days = '-1'"),
    "days 1e9": (("--days", "1e9"), "days = '1e9'"),
    "days 1000000000": (("--days", "1000000000"), "days = '1000000000'"),
    "days abc": (("--days", "abc"), "days = 'abc'"),
    "days 1.5": (("--days", "1.5"), "days = '1.5'"),
    "days in Arabic digits": (("--days", "٣"), "days = '٣'"),
    "days and start": ((*DAY, "--start", "2026-02-27"), "exclude each other"),
    "no such day": (("--start", "2026-02-30"), "2026-02-30"),
    "a word for a time": (("--start", "yesterday"), "yesterday"),
    "start before 1970": (("--start", "1969-12-31"), "1969-12-31"),
    "offset of 99 hours": (("--start", "2026-02-27T00:00+99:00"), "+99:00"),
    "start after end": (("--start", "2026-02-27", "--end", "2026-02-26"), "is not before end"),
    "start is end": (("--start", "2026-02-27", "--end", "2026-02-27"), "is not before end"),
    "end without start": (("--end", "2026-02-27"), "no range given"),
    "chunk 0": ((*DAY, "--chunk", "0"), "chunk = '0'"),
    "chunk 1501": ((*DAY, "--chunk", "1501"), "chunk = '1501'"),
    "chunk x": ((*DAY, "--chunk", "x"), "chunk = 'x'"),
    "budget 0": ((*DAY, "--budget", "0"), "budget = '0'"),
    "budget x": ((*DAY, "--budget", "x"), "budget = 'x'"),
    "budget -5": ((*DAY, "--budget", "-5"), "budget = '-5'"),
    "workers 0": ((*DAY, "--workers", "0"), "workers = '0'"),
    "batch-size 0": ((*DAY, "--batch-size", "0"), "batch_size = '0'"),
    "interval 7m": ((*DAY, "--interval", "7m"), "unknown interval '7m'"),
    "interval 3d": ((*DAY, "--interval", "3d"), "3d is not supported yet"),
    "interval 1w": ((*DAY, "--interval", "1w"), "1w is not supported yet"),
    "interval 1M": ((*DAY, "--interval", "1M"), "1M is not supported yet"),
    "interval 1s": ((*DAY, "--interval", "1s"), "unknown interval '1s'"),
    "max-wait soon": ((*DAY, "--max-wait", "soon"), "max_wait = 'soon'"),
    "max-wait -1": ((*DAY, "--max-wait", "-1"), "max_wait = '-1'"),
    "store mysql": ((*DAY, "--store", "mysql://localhost/candles"), "mysql://"),
    "store in the cloud": ((*DAY, "--store", "s3://bucket/candles"), "s3://"),
    "store in no folder": ((*DAY, "--store", "no/such/folder/candles.db"), "does not exist"),
    "store is a folder": ((*DAY, "--store", "."), "is a folder"),
    "store in memory": ((*DAY, "--store", ":memory:"), "must be a file"),
    "store with two slashes": ((*DAY, "--store", "sqlite://candles.db"), "three slashes"),
    "unknown option": ((*DAY, "--bogus"), "--bogus"),
    "option without value": (("--days",), "--days"),
    "venue foo": ((*DAY, "--venue", "foo"), "venue = 'foo'"),
    "venue okx": ((*DAY, "--venue", "okx"), "not built yet"),
    "no such config": ((*DAY, "--config", "none.toml"), "none.toml"),
}
"""Words after `backfill LTCUSDT` -> what the error names. Nothing of it needs the venue."""

SYMBOLS = {
    "planned venue": ("okx:BTCUSDT", "okx is not built yet"),
    "unknown venue": ("foo:BTCUSDT", "unknown venue 'foo'"),
    "nearly a venue": ("binanc:BTCUSDT", "unknown venue 'binanc'"),
    "single quote": ("LTC'USDT", "quotes"),
    "double quote": ('LTC"USDT', "quotes"),
    "newline": ("LTC\nUSDT", "only printable characters"),
    "space": ("LTC USDT", "only printable characters"),
    "no-break space": ("LTC\u00a0USDT", "only printable characters"),
    "escape": ("LTC\x1b[31mUSDT", "only printable characters"),
    "backslash": ("LTC\\USDT", "backslash"),
    "slash": ("A/B/C", "/ are not allowed"),
    "spot": ("BTC/USDT", "means the spot market"),
    "two dots": ("A..B", "'..'"),
    "41 characters": ("A" * 41, "at most 40"),
    "nothing": ("", "cannot be empty"),
    "venue alone": ("binance:", "cannot be empty"),
}


def check_refused(ended, named):
    assert ended.exit == 2, (ended.out, ended.err)
    (error,) = ended.lines("error")
    assert named in error
    assert len(ended.lines("hint")) <= 1
    # Nothing but the error, its hint and, before it, the line that names the store.
    rest = [line for line in ended.err.splitlines() if not line.startswith(("error: ", "hint: ", "store: "))]
    assert rest == []


@pytest.mark.parametrize("case", BEFORE_THE_VENUE)
def test_wrong_words_are_one_line_and_exit_2_before_anything_is_asked(case, venue, here):
    words, named = BEFORE_THE_VENUE[case]
    running = venue()
    check_refused(here("backfill", "LTCUSDT", *words), named)
    assert running.hits == []
    assert not Path("laklak.db").exists()


@pytest.mark.parametrize("case", SYMBOLS)
def test_impossible_symbols_are_one_line_and_exit_2(case, venue, here):
    symbol, named = SYMBOLS[case]
    running = venue()
    check_refused(here("backfill", *DAY, "--", symbol), named)
    assert running.hits == []


@pytest.mark.parametrize("words", [("--days", "0"), ("--bogus",), ("--store", "mysql://h/d", *DAY), ("--days",)])
def test_with_json_a_refusal_is_one_object_on_stdout(words, venue, laklak, check_sum):
    venue()
    ended = laklak("backfill", "LTCUSDT", *words, "--json")
    check_refused(ended, "")
    answer = check_sum(ended.json)
    assert (ended.exit, answer["exit"], answer["complete"]) == (2, 2, False)
    assert answer["error"]
    assert len(ended.out.splitlines()) == 1
    assert len(ended.lines("error")) == 1


def test_json_before_the_command_line_is_understood_at_all_is_still_one_object(laklak, check_sum):
    ended = laklak("backfil", "--json")
    assert (ended.exit, check_sum(ended.json)["exit"]) == (2, 2)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--start", "2030-01-01"), "the range is empty"),
        (("--start", "2026-03-01"), "the range is empty"),
        ((*DAY, "--budget", "2401"), "budget 2401 is more than the 2400"),
        ((*DAY, "--budget", "4"), "budget 4 is less than one page costs (5)"),
    ],
)
def test_what_only_the_venue_can_tell_is_refused_before_a_candle_request(words, named, venue, here, monkeypatch):
    running = venue(budget=2400)
    monkeypatch.delenv("LAKLAK_BINANCE_BUDGET")
    check_refused(here("backfill", "LTCUSDT", *words), named)
    assert running.candle_hits == []


def test_a_venue_that_allows_less_than_the_default_budget_is_no_error(venue, here, monkeypatch):
    running = venue(budget=900)
    monkeypatch.delenv("LAKLAK_BINANCE_BUDGET")
    assert here("backfill", "LTCUSDT", "--start", "2026-02-28T23:58").exit == 0
    assert running.simulator.stats.refusals == {}


def test_a_smaller_page_makes_a_small_budget_enough(venue, here):
    venue(budget=2400)
    words = ("backfill", "LTCUSDT", "--start", "2026-02-28T23:58", "--chunk", "99", "--budget", "600")
    assert here(*words).exit == 0


@pytest.mark.parametrize(
    ("typed", "suggested"),
    [("LTCUSD", "LTCUSDT"), ("LTC", "LTCUSDT"), ("AVAXUSTD", "AVAXUSDT")],
)
def test_a_typed_symbol_the_venue_does_not_know_is_exit_2_with_a_suggestion(typed, suggested, venue, here):
    running = venue()
    ended = here("backfill", typed, *DAY)
    check_refused(ended, f"does not know the symbol {typed}")
    assert f"did you mean {suggested}" in ended.lines("hint")[0]
    # It may be one that is listed no more: that costs one question.
    assert [(hit.query["symbol"], hit.query["limit"], hit.weight) for hit in running.candle_hits] == [(typed, "1", 1)]


def test_a_typed_symbol_that_nobody_knows_beside_one_that_is_known_is_missing_alone(venue, here):
    venue()

    ended = here("backfill", "DOTUSDT", "LTCUSD", *DAY, "--json")

    assert (ended.exit, ended.json["missing"], ended.json["written"]) == (1, 0, 1440)
    (failed,) = ended.json["failed_series"]
    assert (failed["series"], failed["reason"]) == ("binance:LTCUSD:1m", "unknown_symbol")
    assert "did you mean LTCUSDT" in failed["detail"]


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("LAKLAK_BUDGT", "5", "LAKLAK_BUDGT"),
        ("LAKLAK_BINANCE_BUGDET", "5", "LAKLAK_BINANCE_BUGDET"),
        ("LAKLAK_WORKERS", "x", "LAKLAK_WORKERS"),
        ("LAKLAK_BINANCE_URL", "ftp://host", "LAKLAK_BINANCE_URL"),
        ("LAKLAK_BINANCE_URL", "127.0.0.1:80", "LAKLAK_BINANCE_URL"),
    ],
)
def test_a_wrong_variable_is_named(name, value, named, venue, here, monkeypatch):
    venue()
    monkeypatch.setenv(name, value)
    check_refused(here("backfill", "LTCUSDT", *DAY), named)


@pytest.mark.parametrize(
    ("file", "text", "named"),
    [
        ("laklak.toml", "days = \n", "laklak.toml:1"),
        ("laklak.toml", "dais = 3\n", "unknown key 'dais'"),
        ("laklak.toml", "[binance]\nbudgt = 3\n", "unknown key 'budgt'"),
        ("laklak.toml", "[binanse]\nbudget = 3\n", "unknown table [binanse]"),
        ("laklak.toml", "binance = 3\n", "binance is not a table"),
        ("laklak.toml", "days = [1]\n", "days"),
        ("laklak.toml", b"days = \xff\n", "not UTF-8"),
        (".env", "LAKLAK_BUDGT=5\n", "LAKLAK_BUDGT"),
        (".env", "OTHER=1\nLAKLAK_DAYS='5\n", ".env:2"),
        ("assets.txt", "LTCUSDT binance\n\nDOTUSDT\n", "assets.txt:3: "),
        ("assets.txt", "LTCUSDT binance perpetual\n", "assets.txt:1: "),
        ("assets.txt", "LTCUSDT binanse\n", "assets.txt:1: "),
        ("assets.txt", "LTC'USDT binance\n", "assets.txt:1: "),
        ("assets.txt", "# nothing\n", "assets.txt names no symbol"),
        ("assets.txt", b"\x00\xff\xfe", "not UTF-8"),
    ],
)
def test_a_wrong_file_is_named_with_its_line(file, text, named, venue, here):
    running = venue()
    Path(file).write_bytes(text if isinstance(text, bytes) else text.encode())
    check_refused(here("backfill", *([] if file == "assets.txt" else ["LTCUSDT"]), *DAY), named)
    assert running.hits == []


def test_a_file_of_another_program_is_refused_and_untouched(venue, here, tmp_path):
    venue()
    foreign = tmp_path / "foreign.db"
    with sqlite3.connect(foreign) as connection:
        connection.execute("CREATE TABLE mine (x)")
    connection.close()
    text = tmp_path / "notes.txt"
    text.write_text("no database at all, but long enough to be looked at as one\n" * 100)
    for path in (foreign, text):
        before = path.read_bytes()
        check_refused(here("backfill", "LTCUSDT", *DAY, "--store", path), str(path))
        assert path.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["foreign.db", "notes.txt"]


def test_a_store_of_a_newer_version_is_refused_and_untouched(venue, here, sql):
    venue()
    assert here("backfill", "LTCUSDT", *DAY).exit == 0
    sql("PRAGMA user_version = 99")
    before = Path("laklak.db").read_bytes()
    check_refused(here("backfill", "LTCUSDT", *DAY), "version 99")
    assert Path("laklak.db").read_bytes() == before


def test_a_folder_that_is_gone_is_one_line(here, tmp_path, monkeypatch):
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    for words in (("backfill", "LTCUSDT", *DAY), ("show", "LTCUSDT")):
        check_refused(here(*words), "does not exist any more")


def test_show_says_what_is_wrong(venue, here):
    venue()
    assert here("backfill", "LTCUSDT", *DAY).exit == 0
    cases = {
        (): "SERIES",
        ("binance:LTCUSDT:3d",): "3d is not supported yet",
        ("binance:LTCUSDT:7m",): "unknown interval '7m'",
        ("LTCUSDT", "--last", "0"): "--last",
        ("LTCUSDT", "--last", "abc"): "--last",
        ("foo:LTCUSDT:1m",): "foo",
        ("LTCUSDT", "--store", "none.db"): "none.db",
    }
    for words, named in cases.items():
        check_refused(here("show", *words), named)
    assert not Path("none.db").exists()


def test_simulate_says_what_is_wrong(here):
    cases = {
        (): "what should it serve",
        ("--recorded", "none"): "none has no candles",
        ("--generated", "0"): "--generated",
        ("--generated", "1", "--recorded", "x"): "what should it serve",
        ("--generated", "1", "--fault", "fire=3%"): "fire",
        ("--generated", "1", "--fault", "5xx=101%"): "101%",
        ("--generated", "1", "--fault", "hole=NONE@2026-02-10"): "NONE",
        ("--generated", "1", "--port", "70000"): "--port",
    }
    for words, named in cases.items():
        check_refused(here("simulate", *words), named)


def test_a_word_that_is_no_command_names_it(laklak):
    check_refused(laklak("backfil"), "backfil")


def test_an_asset_list_that_is_not_there_is_named(venue, here):
    venue()
    check_refused(here("backfill", *DAY, "--assets", "none.txt"), "none.txt does not exist")


def test_json_of_a_refusal_is_plain_json(laklak):
    answer = json.loads(laklak("backfill", "LTC\nUSDT", *DAY, "--json").out)
    assert answer["error"].startswith("usage: ")


def test_an_interval_that_the_venue_does_not_offer_is_refused_before_any_request(venue, here, monkeypatch):
    running = venue()
    monkeypatch.setitem(vars(VENUES["binance"]), "intervals", {"1m": "1m", "1h": "1h"})
    ended = here("backfill", "LTCUSDT", "--days", "1", "--interval", "5m")
    assert ended.exit == 2
    assert "interval 5m is not offered by binance" in ended.err
    assert not running.hits
