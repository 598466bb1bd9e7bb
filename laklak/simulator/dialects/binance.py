"""The venue's rules as pure functions: what a request costs, which ones are refused, and in what words.

Source: Binance USD-M documentation, klines, general information and error codes (read 2026-11).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from laklak.model.series import Interval

KLINES: Final = "/fapi/v1/klines"
EXCHANGE_INFO: Final = "/fapi/v1/exchangeInfo"
TIME: Final = "/fapi/v1/time"
PING: Final = "/fapi/v1/ping"

DEFAULT_LIMIT: Final = 500
MAXIMUM_LIMIT: Final = 1500

_ADDRESS: Final = "203.0.113.1"
_NUMBER: Final = re.compile(r"[0-9]{1,19}", re.ASCII)


class Refusal(Exception):
    """A request the venue refuses: HTTP status and the venue's own code and words."""

    def __init__(self, code: int, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message

    @property
    def body(self) -> bytes:
        return error_body(self.code, self.message)


@dataclass(frozen=True, slots=True)
class KlinesQuery:
    """A klines request as understood: bounds are open times in ms, inclusive at both ends, None where not sent."""

    symbol: str
    interval: Interval
    start_ms: int | None
    end_ms: int | None
    limit: int


def error_body(code: int, message: str) -> bytes:
    return orjson.dumps({"code": code, "msg": message})


def klines_weight(limit: int) -> int:
    """What a klines request of `limit` rows costs."""
    if limit < 100:
        return 1
    if limit < 500:
        return 2
    return 5 if limit <= 1000 else 10


def request_weight(path: str, query: Mapping[str, str]) -> int:
    """What a request costs, refused ones included; an unreadable limit costs what the default does."""
    if path != KLINES:
        return 1
    limit = query.get("limit", "")
    return klines_weight(int(limit) if _NUMBER.fullmatch(limit) else DEFAULT_LIMIT)


def read_klines_query(query: Mapping[str, str]) -> KlinesQuery:
    """Understand the parameters of a klines request, or raise the Refusal the venue answers."""
    symbol = _mandatory(query, "symbol")
    if not all(char.isalnum() or char in "-_." for char in symbol):
        raise Refusal(-1100, "Illegal characters found in parameter 'symbol'; legal range is '^[A-Z0-9-_.]{1,20}$'.")
    name = _mandatory(query, "interval")
    try:
        interval = Interval.parse(name)
    except ValueError:
        raise Refusal(-1120, "Invalid interval.") from None
    limit = _number(query, "limit")
    if limit is not None and not 1 <= limit <= MAXIMUM_LIMIT:
        raise Refusal(-1130, "Data sent for parameter 'limit' is not valid.")
    start_ms, end_ms = _number(query, "startTime"), _number(query, "endTime")
    if start_ms is not None and end_ms is not None and start_ms > end_ms:
        raise Refusal(-1023, "Start time is greater than end time.")
    return KlinesQuery(symbol, interval, start_ms, end_ms, DEFAULT_LIMIT if limit is None else limit)


def unknown_symbol() -> Refusal:
    return Refusal(-1121, "Invalid symbol.")


def wrong_symbol_status() -> Refusal:
    return Refusal(-1122, "Invalid symbol status.")


def unknown_path(method: str, path: str) -> Refusal:
    return Refusal(-5000, f"Path {path}, Method {method} is invalid", status=404)


def too_many_requests(budget: int) -> Refusal:
    return Refusal(
        -1003,
        f"Too many requests; current limit of IP({_ADDRESS}) is {budget} requests per minute. "
        "Please use the websocket for live updates to avoid polling the API.",
        status=429,
    )


def banned(until_ms: int) -> Refusal:
    return Refusal(
        -1003,
        f"Way too many requests; IP({_ADDRESS}) banned until {until_ms}. "
        "Please use the websocket for live updates to avoid bans.",
        status=418,
    )


def rate_limits(budget: int) -> list[dict[str, Any]]:
    """The rateLimits member of exchangeInfo."""
    return [
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": budget},
        {"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200},
        {"rateLimitType": "ORDERS", "interval": "SECOND", "intervalNum": 10, "limit": 300},
    ]


def _mandatory(query: Mapping[str, str], name: str) -> str:
    value = query.get(name, "")
    if not value:
        raise Refusal(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
    return value


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not _NUMBER.fullmatch(text):
        raise Refusal(-1100, f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'.")
    return int(text)
