"""Binance USD-M: paths, parameters, what a request costs, and the words of every answer.

Source: Binance USD-M documentation, klines, general information and error codes (read 2026-11).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from laklak.model.series import Interval
from laklak.simulator.archive.paths import FUTURES
from laklak.simulator.dialects.base import CandlesQuery, RefusedRequest, Reply, Subject
from laklak.simulator.gate import Window
from laklak.simulator.sources.base import Instrument

KLINES: Final = "/fapi/v1/klines"
USED_WEIGHT_HEADER: Final = "X-MBX-USED-WEIGHT-1M"

DEFAULT_LIMIT: Final = 500

_SUBJECTS: Final = {
    "klines": Subject.CANDLES,
    "exchangeInfo": Subject.LISTING,
    "time": Subject.CLOCK,
    "ping": Subject.PING,
}
_NEVER_MS: Final = 4_133_404_800_000
"""The deliveryDate of a perpetual without an end."""

_ADDRESS: Final = "203.0.113.1"
_NUMBER: Final = re.compile(r"[0-9]{1,19}", re.ASCII)


def _error(status: int, code: int, message: str) -> Reply:
    return Reply(status, orjson.dumps({"code": code, "msg": message}))


class Binance:
    """The dialect of Binance USD-M futures."""

    window_s = 60.0
    budget = 2400
    window: Window = "calendar"
    patience = 10
    ban_s = 120.0
    names: Sequence[str] = ()
    archive_root: str | None = FUTURES
    pong = b"{}"
    paths = "/fapi/v1/"
    most_rows = 1500
    region = _error(451, 0, "Service unavailable from a restricted location.")
    server_errors: Sequence[Reply] = (
        _error(500, -1000, "An unknown error occurred while processing the request."),
        Reply(502, b"<html><head><title>502 Bad Gateway</title></head></html>\n"),
        _error(503, -1000, "Unknown error, please check your request or try again later."),
        Reply(503, b"Service Unavailable."),
        _error(504, -1007, "Timeout waiting for response from backend server."),
    )

    def subject_of(self, path: str) -> Subject | None:
        return _SUBJECTS.get(path.removeprefix(self.paths)) if path.startswith(self.paths) else None

    def cost(self, path: str, query: Mapping[str, str]) -> int:
        """Return the weight; an unreadable limit costs as much as the default."""
        if self.subject_of(path) is not Subject.CANDLES:
            return 1
        limit = query.get("limit", "")
        return klines_weight(int(limit) if _NUMBER.fullmatch(limit) else DEFAULT_LIMIT)

    def headers(self, used: int) -> dict[str, str]:
        return {USED_WEIGHT_HEADER: str(used)}

    def read_candles(self, path: str, query: Mapping[str, str]) -> CandlesQuery:
        """With a startTime the oldest rows from there on come, without one the newest."""
        symbol = _mandatory(query, "symbol")
        if not all(char.isalnum() or char in "-_." for char in symbol):
            raise refusal(
                -1100, "Illegal characters found in parameter 'symbol'; legal range is '^[A-Z0-9-_.]{1,20}$'."
            )
        name = _mandatory(query, "interval")
        try:
            interval = Interval.parse(name)
        except ValueError:
            raise refusal(-1120, "Invalid interval.") from None
        limit = _number(query, "limit")
        if limit is not None and not 1 <= limit <= self.most_rows:
            raise refusal(-1130, "Data sent for parameter 'limit' is not valid.")
        start_ms, end_ms = _number(query, "startTime"), _number(query, "endTime")
        if start_ms is not None and end_ms is not None and start_ms > end_ms:
            raise refusal(-1023, "Start time is greater than end time.")
        limit = DEFAULT_LIMIT if limit is None else limit
        return CandlesQuery(symbol, interval, start_ms, end_ms, limit, oldest_first=start_ms is not None)

    def candles(self, query: CandlesQuery, rows: Sequence[bytes], now_ms: int) -> bytes:
        # The simulator's rows are klines as they are, so a page needs no new rows.
        return b"[" + b",".join(rows) + b"]"

    def entry(self, instrument: Instrument) -> Any:
        entry = _minimal_entry(instrument) if instrument.recorded is None else dict(instrument.recorded)
        told = {"onboardDate": instrument.listed_ms, "deliveryDate": instrument.ends_ms, "status": instrument.status}
        entry.update((name, value) for name, value in told.items() if value is not None)
        return entry

    def listing(
        self,
        query: Mapping[str, str],
        entries: Sequence[Any],
        recorded: Mapping[str, Any] | None,
        budget: int,
        now_ms: int,
    ) -> bytes:
        beside = {"timezone": "UTC", "exchangeFilters": [], "assets": []} if recorded is None else recorded
        info = {
            **beside,
            "serverTime": now_ms,
            "rateLimits": [
                {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": budget},
                {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200},
                {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300},
            ],
            "symbols": entries,
        }
        return orjson.dumps(info)

    def clock(self, now_ms: int) -> bytes:
        return orjson.dumps({"serverTime": now_ms})

    def unknown_path(self, method: str, path: str) -> Reply:
        return _error(404, -5000, f"Path {path}, Method {method} is invalid")

    def unknown_symbol(self, symbol: str) -> Reply:
        return _error(400, -1121, "Invalid symbol.")

    def delisted(self, symbol: str) -> Reply:
        return _error(400, -1122, "Invalid symbol status.")

    def too_many_requests(self, budget: int) -> Reply:
        return _error(
            429,
            -1003,
            f"Too many requests; current limit of IP({_ADDRESS}) is {budget} requests per minute. "
            "Please use the websocket for live updates to avoid polling the API.",
        )

    def banned(self, until_ms: int) -> Reply:
        return _error(
            418,
            -1003,
            f"Way too many requests; IP({_ADDRESS}) banned until {until_ms}. "
            "Please use the websocket for live updates to avoid bans.",
        )


def klines_weight(limit: int) -> int:
    """Return the cost of a klines request of `limit` rows."""
    if limit < 100:
        return 1
    if limit < 500:
        return 2
    return 5 if limit <= 1000 else 10


def instrument_of(entry: Mapping[str, Any]) -> Instrument:
    """Read an entry of exchangeInfo."""
    return Instrument(
        entry["symbol"],
        entry.get("baseAsset", ""),
        entry.get("quoteAsset", ""),
        listed_ms=entry.get("onboardDate"),
        ends_ms=entry.get("deliveryDate"),
        status=entry.get("status"),
        recorded=entry,
    )


def _minimal_entry(instrument: Instrument) -> dict[str, Any]:
    # A USDT perpetual with the members that clients read.
    price_decimals, quantity_decimals = instrument.price_decimals, instrument.quantity_decimals
    return {
        "symbol": instrument.symbol,
        "pair": instrument.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": _NEVER_MS,
        "onboardDate": 0,
        "status": "TRADING",
        "baseAsset": instrument.base,
        "quoteAsset": instrument.quote,
        "marginAsset": instrument.quote,
        "pricePrecision": price_decimals,
        "quantityPrecision": quantity_decimals,
        "underlyingType": "COIN",
        "filters": [
            {"filterType": "PRICE_FILTER", "tickSize": f"{10**-price_decimals:.{price_decimals}f}"},
            {"filterType": "LOT_SIZE", "stepSize": f"{10**-quantity_decimals:.{quantity_decimals}f}"},
        ],
    }


def refusal(code: int, message: str) -> RefusedRequest:
    """Make the refusal of a request with a code."""
    return RefusedRequest(_error(400, code, message))


def _mandatory(query: Mapping[str, str], name: str) -> str:
    value = query.get(name, "")
    if not value:
        raise refusal(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
    return value


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not _NUMBER.fullmatch(text):
        raise refusal(-1100, f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'.")
    return int(text)
