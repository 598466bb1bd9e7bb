"""Symbols as other tools spell them."""

from __future__ import annotations

import pytest

from laklak.settings.spelling import OtherMarket, known_venue, one_word_symbol, pair_symbol, parts_of


@pytest.mark.parametrize(
    ("text", "symbol"),
    [
        ("BTCUSDT", "BTCUSDT"),
        ("btcusdt", "BTCUSDT"),
        ("BTC/USDT:USDT", "BTCUSDT"),
        ("btc/usdc:usdc", "BTCUSDC"),
        ("BTC/USDT:USDT-260327", "BTCUSDT_260327"),
        ("BTCUSDT.P", "BTCUSDT"),
        ("BTCUSDTPERP", "BTCUSDT"),
        ("BTCUSDT-PERP", "BTCUSDT"),
        ("BTCUSDT-PERP.BINANCE", "BTCUSDT"),
        ("BTC-USDT-PERP", "BTCUSDT"),
        ("BTC-USDT-SWAP", "BTCUSDT"),
        ("PERPUSDT", "PERPUSDT"),
        ("BTCUSDT_260327", "BTCUSDT_260327"),
        ("币安人生usdt", "币安人生USDT"),
    ],
)
def test_what_means_the_perpetual_elsewhere_is_understood(text, symbol):
    assert one_word_symbol(text) == symbol


@pytest.mark.parametrize(
    ("text", "right"),
    [("BTC/USDT", "BTCUSDT"), ("btc-usdt", "BTCUSDT"), ("BTC_USDT", "BTCUSDT"), ("ETH/USDC", "ETHUSDC")],
)
def test_what_means_spot_elsewhere_is_answered_with_the_right_one(text, right):
    with pytest.raises(OtherMarket, match="means the spot market") as caught:
        one_word_symbol(text)
    assert caught.value.hint == f"the perpetual is written {right}"


@pytest.mark.parametrize("text", ["ADABTC", "adabtc", "ADA/BTC", "ada-btc", "ADA_BTC"])
def test_what_means_a_pair_elsewhere_is_understood_by_a_spot_market(text):
    assert pair_symbol(text) == "ADABTC"


@pytest.mark.parametrize("text", ["ADA/BTC:BTC", "ADABTC.P", "ADA-BTC-PERP", "ADABTC-SWAP", "ADA/USDT:USDT-260327"])
def test_what_means_a_contract_is_no_pair_of_a_spot_market(text):
    with pytest.raises(OtherMarket, match="means a contract") as caught:
        pair_symbol(text)
    assert caught.value.reason == "contract_symbol"


def test_what_a_spot_market_cannot_read_as_a_pair_stays_as_it_is_or_is_no_symbol():
    assert pair_symbol("ADABTC_260327") == "ADABTC_260327"
    for text in ("./x", "A/B/C"):
        with pytest.raises(ValueError, match="holds '/'") as caught:
            pair_symbol(text)
        assert not isinstance(caught.value, OtherMarket)


@pytest.mark.parametrize("text", ["BTC/USD:BTC", "BTC/USDT:USDT-260327-50000-C", "A/B/C", "", "A B"])
def test_what_is_no_symbol_here_is_an_error(text):
    with pytest.raises(ValueError, match="symbol"):
        one_word_symbol(text)


def test_a_venue_in_capitals_is_one_only_before_what_cannot_be_spot():
    assert known_venue("BINANCE", "BTCUSDT.P", {"binance"}) == "binance"
    assert known_venue("BINANCE", "BTC/USDT:USDT", {"binance"}) == "binance"
    assert known_venue("Binance", "BTCUSDT.P", {"binance"}) == "Binance"
    assert known_venue("BINANCE_SPOT", "BTCUSDT", {"binance_spot"}) == "binance_spot"
    with pytest.raises(OtherMarket) as caught:
        known_venue("BINANCE", "BTCUSDT", {"binance"})
    assert caught.value.hint == "the perpetual is written binance:BTCUSDT, or BINANCE:BTCUSDT.P"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("BTCUSDT", (None, "BTCUSDT", None)),
        ("binance:BTCUSDT", ("binance", "BTCUSDT", None)),
        ("binance:BTCUSDT:1h", ("binance", "BTCUSDT", "1h")),
        ("BTC/USDT:USDT", (None, "BTC/USDT:USDT", None)),
        ("binance:BTC/USDT:USDT", ("binance", "BTC/USDT:USDT", None)),
        ("binance:BTC/USDT:USDT:1h", ("binance", "BTC/USDT:USDT", "1h")),
        ("BTC/USDT:1m", (None, "BTC/USDT", "1m")),
        (":BTCUSDT", ("", "BTCUSDT", None)),
    ],
)
def test_what_was_typed_falls_into_venue_symbol_and_interval(text, parts):
    assert parts_of(text) == parts


@pytest.mark.parametrize("text", ["../x", "/data/candles.db", "./x"])
def test_a_path_is_no_pair_of_coins(text):
    with pytest.raises(ValueError, match="holds '/'") as caught:
        one_word_symbol(text)

    assert not isinstance(caught.value, OtherMarket)
