"""Deribit, public market data: perpetuals and futures, and DVOL, the index of implied volatility.

Sources, read 2026-11: docs.deribit.com (get_tradingview_chart_data, get_volatility_index_data, get_instruments,
errors), support.deribit.com (rate limits).

Facts that the program relies on:
* chart data: columns, oldest first, JSON numbers; start and end are milliseconds, both required; an empty answer has
  the status `no_data`.  There is no limit parameter: an answer has at most 5000 rows and silently lacks the oldest, so
  a window is never wider than a page.  A minute without trades has a candle of volume 0.  `volume` is in base coin for
  inverse and linear contracts, `cost` in the quote.  The forming row comes with the others.
* DVOL: rows of (time, open, high, low, close), at most the 1000 newest of a window; `continuation` says that older ones
  are left, which windows of a thousand rows never have.  What a shorter answer lacks is asked for again, as after any
  cut answer, so all of it comes.  No listing has its symbols; a currency's is BTC-DVOL, and its volume is 0.
* A request costs 500 of a pool of 50,000 credits that is refilled by 10,000 a second; the listing has a pool apart.
* Errors are JSON-RPC, mostly with HTTP 400: 10028 over the limit; -32602 for an unknown instrument.

Unverified: the credits of an address without a login (we take half of an account's), the HTTP status of 10028 (the code
decides, and a short pause), whether bounds are inclusive (we end a millisecond before the next candle and drop a candle
before the start), whether a day begins at midnight (rows off the grid are refused).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from laklak.model.candles import Page
from laklak.model.series import Instrument, Series
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
    list_part,
    moment,
    page_of_columns,
    page_of_rows,
    part,
    retry_after_s,
    symbol_of,
    time_part,
    whole,
    word,
)

_CREDITS: Final = 500
_ONE: Final = {"credits": _CREDITS}
_LISTING: Final = {"credits": _CREDITS, "listings": 1}
_COLUMNS: Final = ("ticks", "open", "high", "low", "close", "volume")
_NEVER_MS: Final = 32_503_708_800_000
"""The expiration of a perpetual."""
_DVOL: Final = "-DVOL"
_INDEXES: Final = ("BTC-DVOL", "ETH-DVOL")
_INDEX_ROWS: Final = 1000
_RESOLUTIONS: Final = {"1m": "60", "1h": "3600", "12h": "43200", "1d": "1D"}
_LIMITED_S: Final = 2.0
"""After this an empty pool pays for twenty requests a second again."""
_DETAIL_MAX: Final = 200
_LIMITED: Final = frozenset({10028, 10066})
_PASSING: Final = frozenset({10040, 10041, 10047, 11051, 11094, 13028, 13888, -32603})
_UNKNOWN: Final = frozenset({10020, 13020})


class Deribit(Venue):
    name = "deribit"
    url = "https://www.deribit.com/api/v2"
    intervals: Mapping[str, str] = {
        "1m": "1",
        "3m": "3",
        "5m": "5",
        "15m": "15",
        "30m": "30",
        "1h": "60",
        "2h": "120",
        "6h": "360",
        "12h": "720",
        "1d": "1D",
    }
    pool = "deribit"
    quotas: Mapping[str, Quota] = {
        "credits": Quota(10_000, 1.0, burst=50_000),
        "listings": Quota(50, 50.0, burst=50),
    }
    page = PageRule(5000, ((5000, _CREDITS),), cut="oldest")
    example = "BTC-PERPETUAL"

    def intervals_of(self, symbol: str) -> Mapping[str, str]:
        return _RESOLUTIONS if symbol.endswith(_DVOL) else self.intervals

    def rows_of(self, series: Series) -> int:
        return _INDEX_ROWS if series.symbol.endswith(_DVOL) else self.page.rows

    def listing_requests(self, symbols: Collection[str]) -> Sequence[Request]:
        """First what trades, then what expired lately; options, thousands of them, are left out."""
        asked = (("currency", "any"), ("kind", "future"))
        return [
            Request("/public/get_instruments", (*asked, ("expired", expired)), _LISTING)
            for expired in ("false", "true")
        ]

    def read_listing(self, answer: Answer) -> Listing:
        entries = list_part(answer, "result")
        instruments: dict[str, Instrument] = {}
        odd: dict[str, str] = {}
        for entry in entries:
            symbol = symbol_of(entry, "instrument_name")
            if symbol is None or symbol in instruments:
                continue
            instruments[symbol] = _instrument(symbol, entry)
            for key in ("creation_timestamp", "expiration_timestamp"):
                if entry.get(key) is not None and moment(entry, key) is None:
                    odd[symbol] = f"has a {key} that is no time"
        unreadable = sum(1 for entry in entries if symbol_of(entry, "instrument_name") is None)
        if instruments:
            indexes = {symbol: Instrument(symbol, "TRADING", None, None, kind="index") for symbol in _INDEXES}
            instruments = {**indexes, **instruments}
        return Listing(instruments, odd=odd, unreadable=unreadable)

    def clock_request(self) -> Request:
        return Request("/public/get_time", (), _ONE)

    def read_clock(self, answer: Answer) -> int:
        return time_part(answer, "result")

    def candles_request(self, asked: Asked) -> Request:
        symbol = asked.series.symbol
        window = (
            ("start_timestamp", str(asked.span.start_ms)),
            ("end_timestamp", str(asked.span.end_ms - 1)),
            ("resolution", self.intervals_of(symbol)[asked.series.interval.name]),
        )
        if symbol.endswith(_DVOL):
            return Request(
                "/public/get_volatility_index_data", (("currency", symbol.removesuffix(_DVOL)), *window), _ONE
            )
        return Request("/public/get_tradingview_chart_data", (("instrument_name", symbol), *window), _ONE)

    def read_candles(self, answer: Answer, asked: Asked) -> Page:
        """Read chart data by the names of its columns, or the rows of the index, which has no volume."""
        if asked.series.symbol.endswith(_DVOL):
            page = page_of_rows(list_part(answer, "result", "data"), (0, 1, 2, 3, 4, 4), least=5, trim=asked)
            return replace(page, columns=(*page.columns[:5], [0] * len(page.rows)))
        columns = [list_part(answer, "result", name) for name in _COLUMNS]
        status = part(answer, "result", "status")
        if status not in ("ok", "no_data") or (status == "no_data" and columns[0]):
            raise DecodeError(f"expected candles, or no_data and none, got {answer.shown}")
        return page_of_columns(columns, trim=asked)

    def judge(self, answer: Answer) -> Verdict:
        """Say what an answer means, by the code of its error whatever its status."""
        status = answer.status
        code, text, about = _error(answer)
        detail = f"HTTP {status} {text}".strip()[:_DETAIL_MAX]
        if code in _LIMITED or status == 429:
            wait_s = retry_after_s(answer.headers)
            return Verdict(Meaning.LIMITED, "rate_limited", detail, _LIMITED_S if wait_s is None else wait_s)
        if code is None:
            if status == 200 and _has_result(answer):
                return OK
            if status == 403:
                return Verdict(Meaning.BLOCKED, "firewall", detail)
            if status == 451:
                return Verdict(Meaning.BLOCKED, REGION, detail)
        if status >= 500 or code is None or code in _PASSING:
            return Verdict(Meaning.PASSING, f"http_{status}", detail)
        if code in _UNKNOWN or (code == -32602 and about in ("instrument_name", "currency")):
            return Verdict(Meaning.REFUSED, "unknown_symbol", detail)
        return Verdict(Meaning.REFUSED, "refused", detail)


def _instrument(symbol: str, entry: Mapping[str, Any]) -> Instrument:
    end_ms = moment(entry, "expiration_timestamp")
    endless = end_ms is not None and end_ms >= _NEVER_MS
    perpetual = word(entry, "settlement_period") == "perpetual" or endless
    return Instrument(
        symbol=symbol,
        status="expired" if entry.get("is_active") is False else "TRADING",
        first_ms=moment(entry, "creation_timestamp"),
        end_ms=None if endless else end_ms,
        quote=word(entry, "quote_currency"),
        kind="perpetual" if perpetual else word(entry, "kind"),
    )


def _has_result(answer: Answer) -> bool:
    try:
        return isinstance(answer.json, dict) and "result" in answer.json
    except DecodeError:
        return False


def _error(answer: Answer) -> tuple[int | None, str, object]:
    """Return the error's code, its words and the parameter at fault; no code if Deribit did not write it."""
    try:
        error = part(answer, "error")
    except DecodeError:
        return None, answer.shown, None
    code = whole(error.get("code")) if isinstance(error, dict) else None
    if code is None or not isinstance(error, dict):
        return None, answer.shown, None
    data = error.get("data")
    said = data if isinstance(data, dict) else {}
    words = [word(error, "message", _DETAIL_MAX), word(said, "reason", _DETAIL_MAX), word(said, "param")]
    return code, f"code {code}: {', '.join(filter(None, words))}", said.get("param")
