"""Binance COIN-M futures (dapi), public market data: like USD-M futures except for what stands here.

Sources, read 2026-11: developers.binance.com, COIN-M futures, pages Kline-Candlestick-Data, Exchange-Information and
general-info; binance-public-data, README and issue 267.

* a contract is worth a fixed number of dollars, so klines count contracts; the base volume is the eighth cell.
* klines: a question spans at most 200 days (else -4088, python-binance#1265), and if more than `limit` rows match, the
  newest come.  With one end alone the other is 200 days away.  So a question names both ends and never more than one
  answer can hold, and pages find the first and the last candle.
* exchangeInfo says contractStatus where USD-M says status.  A contract that ends is called BTCUSD_260327.

Unverified: whether its weight counts together with that of USD-M (the official client says so since 2026: one account
of 2400 for both, so a larger number in exchangeInfo is ignored; 6000 was recorded in 2020), and whether 1500 rows come
at once (the oldest rows that an answer lacks are asked for again).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from laklak.model.series import DAY_MS, Series
from laklak.venues.base import Answer, Asked, Listing
from laklak.venues.binance import Binance

_WIDEST_MS: Final = 200 * DAY_MS


class BinanceCoinM(Binance):
    name = "binance_coinm"
    url = "https://dapi.binance.com"
    page = replace(Binance.page, cut="oldest")
    example = "BTCUSD_PERP"
    one_word_symbols = False
    _paths = "/dapi/v1"
    _status = "contractStatus"
    _cells: Sequence[int] = (0, 1, 2, 3, 4, 7)

    def rows_of(self, series: Series) -> int:
        return min(self.page.rows, _WIDEST_MS // series.interval.ms)

    def read_listing(self, answer: Answer) -> Listing:
        listing = super().read_listing(answer)
        most = {name: quota.units for name, quota in self.quotas.items()}
        return replace(listing, quotas={name: min(units, most[name]) for name, units in listing.quotas.items()})

    def first_candle_request(self, asked: Asked) -> None:
        """A start alone means the 200 days from there, of which the newest would come."""

    def newest_candle_request(self, asked: Asked) -> None:
        """Without times the last 200 days are meant, in which an ended contract has no candle."""

    def candles_until_request(self, asked: Asked) -> None:
        """An end alone means the 200 days before it."""
