"""Asset lists written anew."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from laklak.errors import AssetsError
from laklak.settings.asset_files import converted, refreshed, replace_text
from laklak.settings.spelling import one_word_symbol

VENUES = ("binance", "bybit", "yfinance")
SPELLED = {"binance": one_word_symbol}


def fresh(text: str, *symbols: str) -> str:
    return refreshed(text, "binance", symbols, VENUES, SPELLED).text


def test_comments_and_lines_of_other_venues_stay_where_they_are():
    text = "# mine\n\nBTCUSDT binance  # the first\n^GSPC yfinance\nOLDUSDT binance\nETHUSDT bybit\n"

    assert fresh(text, "BTCUSDT", "NEWUSDT") == (
        "# mine\n\nBTCUSDT binance  # the first\n^GSPC yfinance\nNEWUSDT binance\nETHUSDT bybit\n"
    )


def test_what_came_and_went_is_told():
    found = refreshed("A binance\nB binance\nB binance\n", "binance", ["A", "C"], VENUES, SPELLED)

    assert (found.text, found.added, found.removed) == ("A binance\nC binance\n", ["C"], ["B"])


def test_a_line_of_several_venues_loses_only_the_one():
    assert fresh("OLDUSDT binance+bybit # both\n") == "OLDUSDT bybit # both\n"


def test_a_line_that_cannot_be_read_is_not_touched():
    assert fresh("A binance\nB C D\nE kraken\n", "A") == "A binance\nB C D\nE kraken\n"


def test_a_list_that_is_whole_does_not_change():
    text = "# list\r\nbtcusdt binance\r\nbinance:ETH/USDT:USDT\r\n"

    assert fresh(text, "BTCUSDT", "ETHUSDT") == text


def test_line_ends_are_those_of_the_file():
    assert fresh("A binance\r\n", "A", "B") == "A binance\r\nB binance\r\n"


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_an_empty_list_gets_the_lines(text):
    assert fresh(text, "A", "B") == "A binance\nB binance\n"


def test_a_missing_line_end_is_no_trouble():
    assert fresh("A binance", "A", "B") == "A binance\nB binance\n"


def test_a_table_becomes_a_list_of_one_entry_a_line():
    table = (
        "# mine\n\nsymbol,ohlc_exchanges,funding\nBTCUSDT,binance+bybit,x\nAI USDT,binance,\nSOLUSDT\n"
        "ETHUSDT,,binance\nXRPUSDT bybit+binance\nLTCUSDT,kraken,\nBTCUSDT,binance,\n"
    )
    found = converted(table, "binance", VENUES, SPELLED, table=True)

    assert list(found.lines) == [
        "# mine",
        "",
        "BTCUSDT binance",
        "BTCUSDT bybit",
        "AIUSDT binance",
        "SOLUSDT binance",
        "XRPUSDT bybit",
        "XRPUSDT binance",
        "# left out: LTCUSDT,kraken,",
    ]
    assert (found.symbols, found.bare, found.idle) == (6, ["SOLUSDT"], 1)
    assert [(one.line, one.reason) for one in found.bad] == [(9, "unknown_venue")]


def test_a_list_of_symbols_alone_gets_a_venue_and_a_symbol_in_two_words_is_one():
    found = converted("BTCUSDT bybit+yfinance\nETHUSDT\nAI USDT\n", "binance", VENUES, SPELLED, table=False)

    assert list(found.lines) == ["BTCUSDT bybit", "BTCUSDT yfinance", "ETHUSDT binance", "AIUSDT binance"]
    assert (found.bare, found.bad) == (["ETHUSDT", "AIUSDT"], [])


def test_a_file_is_replaced_with_its_rights_and_its_link(tmp_path: Path):
    real = tmp_path / "real.txt"
    real.write_text("old")
    real.chmod(0o640)
    link = tmp_path / "assets.txt"
    link.symlink_to(real)

    replace_text(link, "new")

    assert (real.read_text(), link.is_symlink(), real.stat().st_mode & 0o777) == ("new", True, 0o640)
    assert sorted(name for name in os.listdir(tmp_path) if ".txt" in name) == ["assets.txt", "real.txt"]


def test_a_file_that_cannot_be_written_is_one_error(tmp_path: Path):
    with pytest.raises(AssetsError, match="cannot be written: No such file or directory"):
        replace_text(tmp_path / "gone" / "assets.txt", "new")
