"""Blofin, perpetual contracts, public market data.

Sources, read 2026-11: docs.blofin.com, pages market data (candlesticks, instruments), rate limits, error codes.

Facts that the program relies on:
* candles: `after` brings rows older than a moment and `before` newer ones, both exclusive; together they are an open
  window.  We set both a millisecond off the grid, which is right even if they were inclusive.  Rows come newest first,
  and if a window has more than the venue gives at once, the newest are kept without a word.
* A row has nine texts.  Field 5 is volume in contracts, 6 in the base coin, 7 in the quote coin; 8 tells whether the
  candle is closed.  Forming candles are left out.
* Errors come with HTTP 200 and a code, a text of digits.  The only clock is the Date header.
* 500 requests a minute per address, then 5 minutes of suspension; 1500 in five minutes, then an hour.  403 is the
  firewall, and also answers countries that are not served; its text tells which, or what came before.

Unverified: how many rows come at once (1440 in the documentation of 2026, 300 and 100 in programs that use it: see
PageRule.smaller), how the venue refuses a larger number, what candles say of a delisted symbol (152014 is taken as for
an unknown one), how long a 403 lasts (we assume five minutes, an hour if it comes again).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from laklak.model.candles import Page
from laklak.model.series import Instrument
from laklak.text import json_text, one_line
from laklak.venues.base import (
    OK,
    REGION,
    Answer,
    Asked,
    DecodeError,
    Listing,
    Meaning,
    PageRule,
    Quota,
    Request,
    Venue,
    Verdict,
)
from laklak.venues.reading import error_words, list_part, moment, page_of_rows, retry_after_s, symbol_of, word

_ONE: Final = {"requests": 1, "requests_5m": 1}
_CONFIRM: Final = 8
_SHOWN: Final = 40
_FORMING: Final = "0"
_REGION_WORDS: Final = ("country", "countries", "region", "jurisdiction", "location")
_REFUSALS: Final = {
    152014: "unknown_symbol",
    **dict.fromkeys((152001, 152002, 152003, 152004, 152005, 152015, 400, 404, 405, 406), "refused"),
}


class Blofin(Venue):
    name = "blofin"
    url = "https://openapi.blofin.com"
    intervals: Mapping[str, str] = {
        **{name: name for name in ("1m", "3m", "5m", "15m", "30m")},
        **{name: name.upper() for name in ("1h", "2h", "4h", "6h", "8h", "12h", "1d")},
    }
    pool = "blofin"
    quotas: Mapping[str, Quota] = {
        "requests": Quota(500, 60.0, share=0.8),
        "requests_5m": Quota(1500, 300.0, share=0.8),
    }
    page = PageRule(1440, cut="oldest", smaller=(300, 100))
    example = "BTC-USDT"
    firewall_wait_s = 300.0
    firewall_again_s = 3600.0

    def listing_requests(self, symbols: Collection[str]) -> Sequence[Request]:
        return [Request("/api/v1/market/instruments", (), _ONE)]

    def read_listing(self, answer: Answer) -> Listing:
        """Read instruments, which lists only open ones; listTime is a text of ms."""
        instruments, odd, unreadable = {}, {}, 0
        for entry in list_part(answer, "data"):
            symbol = symbol_of(entry, "instId")
            if symbol is None:
                unreadable += 1
            elif symbol not in instruments:
                instruments[symbol] = _instrument(symbol, entry)
                if entry.get("listTime") not in (None, "", "0", 0) and moment(entry, "listTime", text=True) is None:
                    odd[symbol] = "has a listTime that is no time"
        return Listing(instruments, odd=odd, unreadable=unreadable)

    def candles_request(self, asked: Asked) -> Request:
        return self._candles(asked, ("before", str(asked.span.start_ms - 1)), ("after", str(asked.last_ms + 1)))

    def read_candles(self, answer: Answer, asked: Asked) -> Page:
        """Read candles: [ts, open, high, low, close, contracts, base, quote, confirm], newest first, all text."""
        rows = list_part(answer, "data")
        if not (asked.anywhere or _are_closed(rows)):
            rows = [row for row in rows if not _is_forming(row)]
        return page_of_rows(rows, (0, 1, 2, 3, 4, 6), least=9, newest_first=True, text_times=True, trim=asked)

    def newest_candle_request(self, asked: Asked) -> Request:
        """Without times the most recent rows come."""
        return self._candles(asked)

    def candles_until_request(self, asked: Asked) -> Request:
        return self._candles(asked, ("after", str(asked.last_ms + 1)))

    def judge(self, answer: Answer) -> Verdict:
        """Say what an answer means (error codes: page errors, read 2026-11)."""
        status = answer.status
        code, text = error_words(answer, text=True)
        if (status, code) == (200, 0):
            return OK
        detail = f"HTTP {status} {text}".strip()
        if status == 403:
            region = any(one in text.casefold() for one in _REGION_WORDS)
            return Verdict(Meaning.BLOCKED, REGION if region else "firewall", detail)
        if 429 in (status, code):
            return Verdict(Meaning.LIMITED, "rate_limited", detail, retry_after_s(answer.headers))
        if code in _REFUSALS:
            return Verdict(Meaning.REFUSED, _REFUSALS[code], detail)
        if status == 200 and code is not None and code != 500:
            return Verdict(Meaning.REFUSED, "refused", detail)
        return Verdict(Meaning.PASSING, f"http_{code if status == 200 and code else status}", detail)

    def _candles(self, asked: Asked, *times: tuple[str, str]) -> Request:
        bar = self.intervals[asked.series.interval.name]
        series = (("instId", asked.series.symbol), ("bar", bar))
        return Request("/api/v1/market/candles", (*series, *times, ("limit", str(asked.count))), _ONE)


def _are_closed(rows: Sequence[Any]) -> bool:
    """Whether all rows say that their candles are closed: the fast check."""
    try:
        return {row[_CONFIRM] for row in rows} <= {"1"}
    except (LookupError, TypeError):
        return False


def _is_forming(row: object) -> bool:
    """Whether a row says that its candle is not closed; DecodeError if it says neither."""
    if not isinstance(row, list) or len(row) <= _CONFIRM:
        return False
    if row[_CONFIRM] not in (_FORMING, "1"):
        raise DecodeError(f"expected 0 or 1 at the end of a row, got {one_line(json_text(row[_CONFIRM], _SHOWN))}")
    return bool(row[_CONFIRM] == _FORMING)


def _instrument(symbol: str, entry: Mapping[str, Any]) -> Instrument:
    """Make an instrument without expireTime, which is a moment in 2024 for contracts that trade."""
    return Instrument(
        symbol=symbol,
        status={"live": "TRADING"}.get(state := word(entry, "state"), state),
        first_ms=moment(entry, "listTime", text=True),
        end_ms=None,
        quote=word(entry, "quoteCurrency"),
        kind="perpetual" if word(entry, "instType") == "SWAP" else word(entry, "instType"),
    )
