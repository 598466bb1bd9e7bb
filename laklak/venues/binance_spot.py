"""Binance spot (api/v3), public market data: like USD-M futures except for what stands here.

Sources, read 2026-11: binance/binance-spot-api-docs, rest-api.md (2026-07-21).

* klines: at most 1000 rows, weight 2 whatever the limit; 6000 weight a minute in an account apart from the futures',
  since the host is another.  Times are milliseconds unless a header asks for others.
* exchangeInfo has no date of a listing or an end: the first and the last candle are the evidence.  HALT, BREAK and the
  like mark what does not trade.
* Retry-After comes with 429 and 418, in seconds.
* a minute without trades has a candle, too (binance-public-data#153).  While the whole venue was shut there is none, as
  in the hour of 2020-11-30T06:00 (ccxt#8068): that is a hole.

Unverified: the weight of exchangeInfo (20 in newer tables, 10 in older ones: we pay 20 and trust the header of used
weight), the number of requests in five minutes, a limit beside the weight (the weight pays for at most 3000 a minute,
and a 429 pauses), and whether klines answers for a pair that is no longer listed (a refusal counts, and bulk files are
looked for).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from laklak.venues.base import PageRule, Quota
from laklak.venues.binance import Binance


class BinanceSpot(Binance):
    name = "binance_spot"
    url = "https://api.binance.com"
    pool = "binance_spot"
    quotas: Mapping[str, Quota] = {"weight": Quota(6000, 60.0, window="calendar")}
    page = PageRule(1000, ((1000, 2),))
    market = "pair"
    _paths = "/api/v3"
    _listing_weight = 20

    def _kind(self, entry: Mapping[str, Any]) -> str:
        return self.market
