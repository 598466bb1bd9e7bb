"""Binance USD-M futures (fapi), public market data.

Sources, read 2026-11: developers.binance.com, USD-M futures, pages Kline-Candlestick-Data, general-info, error-code,
Exchange-Information, Check-Server-Time; the official client binance-connector-python (2026-08).

Facts that the program relies on:
* klines: startTime and endTime are inclusive on the open time, rows come oldest first, and if more than `limit` (at
  most 1500) match, the oldest are kept.  A gap does not shorten a page.
* weight by limit: 1-99 -> 1, 100-499 -> 2, 500-1000 -> 5, 1001-1500 -> 10; everything else used here costs 1.
* X-MBX-USED-WEIGHT-1M: the weight that all programs of this address used in the current calendar minute.
* 429 over the limit, 418 banned (2 minutes to 3 days) with the end in the text; only the spot API documents
  Retry-After, so it is used if it comes and not relied on.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from laklak.model.candles import Page
from laklak.model.series import Instrument
from laklak.text import json_text, one_line
from laklak.venues.base import OK, REGION, Answer, Asked, Listing, Meaning, PageRule, Quota, Request, Venue, Verdict
from laklak.venues.reading import (
    error_words,
    list_part,
    moment,
    number_header,
    page_of_rows,
    part,
    retry_after_s,
    symbol_of,
    time_part,
    word,
)

# "never" is written as 2100-12-25 on perpetuals (4133404800000; a few recorded ones are two seconds later).
_NEVER_MS: Final = 4_133_404_800_000
_BANNED_UNTIL: Final = re.compile(r"banned until ([0-9]{12,14})")
_PASSING_CODES: Final = frozenset({-1000, -1001, -1006, -1007, -1008})
_ONE: Final = {"weight": 1}
_SHOWN: Final = 40


class Binance(Venue):
    name = "binance"
    url = "https://fapi.binance.com"
    intervals: Mapping[str, str] = {
        name: name for name in ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d")
    }
    pool = "binance"
    quotas: Mapping[str, Quota] = {"weight": Quota(2400, 60.0, window="calendar")}
    page = PageRule(1500, ((99, 1), (499, 2), (1000, 5), (1500, 10)))
    example = "BTCUSDT"
    one_word_symbols = True
    longest_ban_s = 3 * 86_400.0
    _paths = "/fapi/v1"
    _listing_weight = 1
    _status = "status"
    # open_time, open, high, low, close and the volume in the base asset.
    _cells: Sequence[int] = (0, 1, 2, 3, 4, 5)

    def listing_requests(self, symbols: Collection[str]) -> Sequence[Request]:
        return [Request(f"{self._paths}/exchangeInfo", (), {"weight": self._listing_weight})]

    def read_listing(self, answer: Answer) -> Listing:
        """Read exchangeInfo: every symbol with its listing and, where trading ends, that moment.

        What is odd in an entry costs that entry, or that date, and nothing else; of two with the same symbol the
        first one counts.  DecodeError for what is no exchangeInfo.
        """
        instruments: dict[str, Instrument] = {}
        odd: dict[str, str] = {}
        unreadable = 0
        for entry in list_part(answer, "symbols"):
            symbol = symbol_of(entry)
            if symbol is None:
                unreadable += 1
                continue
            instrument, what = self._instrument(symbol, entry)
            if symbol in instruments:
                what = "is listed twice, the first entry counts" if instrument != instruments[symbol] else ""
            else:
                instruments[symbol] = instrument
            if what:
                odd.setdefault(symbol, what)
        return Listing(instruments, _advertised(part(answer)), odd, unreadable)

    def clock_request(self) -> Request:
        return Request(f"{self._paths}/time", (), _ONE)

    def read_clock(self, answer: Answer) -> int:
        return time_part(answer, "serverTime")

    def candles_request(self, asked: Asked) -> Request:
        """Ask exactly the span: `limit` is what it can hold, so the answer is complete and the price the lowest."""
        ends = (("startTime", str(asked.span.start_ms)), ("endTime", str(asked.last_ms)))
        return self._klines(asked, *ends, limit=asked.count)

    def read_candles(self, answer: Answer, asked: Asked) -> Page:
        """Read klines: rows of 12 cells or more, oldest first."""
        return page_of_rows(list_part(answer), self._cells, least=12, close_time=6)

    def first_candle_request(self, asked: Asked) -> Request | None:
        """Rows are start-anchored, so one is enough."""
        return self._klines(asked, ("startTime", str(asked.span.start_ms)), limit=1)

    def newest_candle_request(self, asked: Asked) -> Request | None:
        """Without times the most recent rows come."""
        return self._klines(asked, limit=1)

    def candles_until_request(self, asked: Asked) -> Request | None:
        """With an end alone they end there."""
        return self._klines(asked, ("endTime", str(asked.span.end_ms - 1)), limit=asked.count)

    def used(self, answer: Answer) -> Mapping[str, int]:
        used = number_header(answer.headers, "X-MBX-USED-WEIGHT-1M")
        return {} if used is None else {"weight": used}

    def judge(self, answer: Answer) -> Verdict:
        """Say what an answer means (error codes: page error-code, read 2026-11)."""
        status = answer.status
        if status == 200:
            return OK
        code, text = error_words(answer)
        detail = f"HTTP {status} {text}".strip()
        wait_s = retry_after_s(answer.headers)
        if status == 418:
            found = _BANNED_UNTIL.search(text)
            return Verdict(Meaning.BANNED, "banned", detail, wait_s, int(found[1]) if found else None)
        if status == 429:
            return Verdict(Meaning.LIMITED, "rate_limited", detail, wait_s)
        if status == 403:
            return Verdict(Meaning.BLOCKED, "firewall", detail, wait_s)
        if status == 451:
            return Verdict(Meaning.BLOCKED, REGION, detail)
        # Without the venue's own code it was not the venue that refused, but something on the way to it.
        if status >= 500 or status == 408 or code is None or code in _PASSING_CODES:
            return Verdict(Meaning.PASSING, f"http_{status}", detail)
        if code == -1121:
            return Verdict(Meaning.REFUSED, "unknown_symbol", detail)
        if code == -1122:
            return Verdict(Meaning.REFUSED, "symbol_status", detail)
        return Verdict(Meaning.REFUSED, "refused", detail)

    def _klines(self, asked: Asked, *times: tuple[str, str], limit: int) -> Request:
        series = (("symbol", asked.series.symbol), ("interval", self.intervals[asked.series.interval.name]))
        query = (*series, *times, ("limit", str(limit)))
        return Request(f"{self._paths}/klines", query, {"weight": self.page.units(limit)})

    def _instrument(self, symbol: str, entry: Mapping[str, Any]) -> tuple[Instrument, str]:
        """What an entry says of a symbol, and what in it is odd, in words."""
        odd = [
            f"has the {key} {one_line(json_text(entry[key], _SHOWN))}"
            for key in ("onboardDate", "deliveryDate")
            if entry.get(key) is not None and moment(entry, key) is None
        ]
        end_ms = moment(entry, "deliveryDate")
        instrument = Instrument(
            symbol=symbol,
            status=word(entry, self._status),
            first_ms=moment(entry, "onboardDate"),
            end_ms=None if end_ms is None or end_ms >= _NEVER_MS else end_ms,
            quote=word(entry, "quoteAsset"),
            kind=self._kind(entry),
            underlying=word(entry, "underlyingType"),
        )
        return instrument, " and ".join(odd)

    def _kind(self, entry: Mapping[str, Any]) -> str:
        # TRADIFI_PERPETUAL, on shares and metals, is one too; a contract that ends is CURRENT_QUARTER and the like.
        kind = word(entry, "contractType")
        return "perpetual" if kind.endswith("PERPETUAL") else kind


def _advertised(answer: Mapping[str, Any]) -> Mapping[str, int]:
    limits = answer.get("rateLimits")
    for limit in limits if isinstance(limits, list) else ():
        if isinstance(limit, dict) and (
            limit.get("rateLimitType"),
            limit.get("interval"),
            limit.get("intervalNum"),
        ) == (
            "REQUEST_WEIGHT",
            "MINUTE",
            1,
        ):
            weight = limit.get("limit")
            return {"weight": weight} if type(weight) is int and weight > 0 else {}
    return {}
