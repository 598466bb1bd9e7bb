"""Bybit v5, linear contracts (USDT and USDC perpetuals, and futures), public market data.

Sources, read 2026-11: bybit-exchange.github.io/docs/v5, pages market/kline, market/instrument, market/time, rate-limit,
error, guide.

Facts that the program relies on:
* kline: `start` and `end` are inclusive on the open time, rows come newest first, and if more than `limit` (at most
  1000) match, the newest are kept without a word, so a window is never wider than a page.  A `start` inside an interval
  brings the candle that contains it.  Times under any other name are ignored, and the newest rows come.
* The forming row comes with the others, unmarked.  Volume is in the base coin for linear contracts.
* Errors come with HTTP 200 and a retCode.
* 600 requests of any kind in 5 seconds per address.  Over that: 403 "access too frequent" for ten minutes to everything
  that this address sends, so our default share is small.  403 also answers countries that are not served; its text
  tells which, or what came before.

Unverified: whether the listing of closed contracts is complete (candles decide), what klines says of a delisted symbol
(10001 is taken as for an unknown one), whether a 403 grows with repetition (nothing is published), and whether 10006, a
limit of private calls, ever comes here (it pauses for a window).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from laklak.model.candles import Page
from laklak.model.series import Instrument
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
from laklak.venues.reading import (
    error_words,
    list_part,
    moment,
    page_of_rows,
    part,
    retry_after_s,
    symbol_of,
    time_part,
    word,
)

_ONE: Final = {"requests": 1}
_LINEAR: Final = ("category", "linear")
_KLINE: Final = "/v5/market/kline"
_TOO_FREQUENT_S: Final = 600.0
"""The documentation says at least ten minutes after a 403."""
_REGION_WORDS: Final = ("country", "region", "jurisdiction", "location", "forbidden area")
_STATUSES: Final = ("", "PreLaunch", "Delivering", "Closed")
"""The statuses to list; without one the venue lists what trades."""
_MEANINGS: Final = {
    10000: (Meaning.PASSING, "timeout"),
    10002: (Meaning.PASSING, "clock"),
    10006: (Meaning.LIMITED, "rate_limited"),
    10009: (Meaning.BANNED, "banned"),
    10016: (Meaning.PASSING, "busy"),
    10018: (Meaning.LIMITED, "rate_limited"),
    10024: (Meaning.BLOCKED, REGION),
    10029: (Meaning.REFUSED, "symbol_status"),
}


class Bybit(Venue):
    name = "bybit"
    url = "https://api.bybit.com"
    intervals: Mapping[str, str] = {
        "1m": "1",
        "3m": "3",
        "5m": "5",
        "15m": "15",
        "30m": "30",
        "1h": "60",
        "2h": "120",
        "4h": "240",
        "6h": "360",
        "12h": "720",
        "1d": "D",
    }
    pool = "bybit"
    quotas: Mapping[str, Quota] = {"requests": Quota(600, 5.0, share=0.1)}
    page = PageRule(1000, cut="oldest")
    example = "BTCUSDT"
    one_word_symbols = True
    firewall_wait_s = _TOO_FREQUENT_S

    def listing_requests(self, symbols: Collection[str]) -> Sequence[Request]:
        return [_listing(status) for status in _STATUSES]

    def read_listing(self, answer: Answer) -> Listing:
        """Read a page of instruments-info: launchTime and deliveryTime are texts of ms, "0" for none."""
        entries = list_part(answer, "result", "list")
        instruments, odd = {}, {}
        for entry in entries:
            symbol = symbol_of(entry)
            if symbol is None or symbol in instruments:
                continue
            instruments[symbol] = _instrument(symbol, entry)
            for key in ("launchTime", "deliveryTime"):
                if entry.get(key) not in (None, "", "0", 0) and moment(entry, key, text=True) is None:
                    odd[symbol] = f"has a {key} that is no time"
        cursor = part(answer, "result").get("nextPageCursor")
        # A page does not repeat the question; all its entries have the status that was asked for.
        status = word(entries[0], "status") if entries else ""
        more = [_listing("" if status == "Trading" else status, cursor)] if cursor and isinstance(cursor, str) else []
        unreadable = sum(1 for entry in entries if symbol_of(entry) is None)
        return Listing(instruments, odd=odd, unreadable=unreadable, more=more)

    def clock_request(self) -> Request:
        return Request("/v5/market/time", (), _ONE)

    def read_clock(self, answer: Answer) -> int:
        return time_part(answer, "time")

    def candles_request(self, asked: Asked) -> Request:
        """Ask exactly the span: `limit` equals its candles, so the answer is complete."""
        return self._kline(asked, ("start", str(asked.span.start_ms)), ("end", str(asked.last_ms)), limit=asked.count)

    def read_candles(self, answer: Answer, asked: Asked) -> Page:
        """Read kline: rows are [start, open, high, low, close, volume, turnover], newest first, all text."""
        rows = list_part(answer, "result", "list")
        for key, wanted in (("symbol", asked.series.symbol), ("category", "linear")):
            found = part(answer, "result").get(key, wanted)
            if found != wanted:
                raise DecodeError(f"expected candles of the {key} {wanted}, got {answer.shown}")
        return page_of_rows(rows, least=7, newest_first=True, text_times=True, trim=asked)

    def newest_candle_request(self, asked: Asked) -> Request:
        """Without times the most recent rows come."""
        return self._kline(asked, limit=1)

    def judge(self, answer: Answer) -> Verdict:
        """Say what an answer means (error codes: page error, read 2026-11)."""
        status = answer.status
        code, text = error_words(answer, "retCode", "retMsg")
        if (status, code) == (200, 0):
            return OK
        detail = f"HTTP {status} {text}".strip()
        if status == 403:
            said = text.casefold()
            if any(word in said for word in _REGION_WORDS):
                return Verdict(Meaning.BLOCKED, REGION, detail)
            if "too frequent" in said:
                return Verdict(Meaning.BANNED, "banned", detail, _TOO_FREQUENT_S)
            return Verdict(Meaning.BLOCKED, "firewall", detail)
        if status == 429:
            return Verdict(Meaning.LIMITED, "rate_limited", detail, retry_after_s(answer.headers))
        if status != 200 or code is None:
            return Verdict(Meaning.PASSING, f"http_{status}", detail)
        if code == 10001:
            return Verdict(Meaning.REFUSED, "unknown_symbol" if "symbol" in text.casefold() else "refused", detail)
        meaning, reason = _MEANINGS.get(code, (Meaning.REFUSED, "refused"))
        return Verdict(meaning, reason, detail, _TOO_FREQUENT_S if meaning is Meaning.BANNED else None)

    def _kline(self, asked: Asked, *times: tuple[str, str], limit: int) -> Request:
        series = (("symbol", asked.series.symbol), ("interval", self.intervals[asked.series.interval.name]))
        return Request(_KLINE, (_LINEAR, *series, *times, ("limit", str(limit))), _ONE)


def _listing(status: str, cursor: str = "") -> Request:
    more = [(name, value) for name, value in (("status", status), ("cursor", cursor)) if value]
    return Request("/v5/market/instruments-info", (_LINEAR, ("limit", "1000"), *more), _ONE)


def _instrument(symbol: str, entry: Mapping[str, Any]) -> Instrument:
    kind = word(entry, "contractType")
    return Instrument(
        symbol=symbol,
        status=word(entry, "status"),
        first_ms=moment(entry, "launchTime", text=True),
        end_ms=moment(entry, "deliveryTime", text=True),
        quote=word(entry, "quoteCoin"),
        kind="perpetual" if kind == "LinearPerpetual" else kind,
    )
