"""Bitunix futures as the simulator speaks it: what it accepts, how it refuses, what its answers look like.

From the documentation and reports of live answers (2026-11): get_kline, get_trading_pairs, error codes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from laklak.model.series import Interval
from laklak.simulator.dialects.base import CandlesQuery, RefusedRequest, Reply, Subject
from laklak.simulator.gate import Window
from laklak.simulator.rows import CLOSE, HIGH, LOW, OPEN, OPEN_TIME, QUOTE_VOLUME, VOLUME
from laklak.simulator.sources.base import Instrument

_SUBJECTS: Final = {
    "/api/v1/futures/market/kline": Subject.CANDLES,
    "/api/v1/futures/market/trading_pairs": Subject.LISTING,
}
_INTERVALS: Final = frozenset({"1m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d"})
_PLACES: Final = {
    **{"time": OPEN_TIME, "open": OPEN, "high": HIGH, "low": LOW, "close": CLOSE},
    **{"quoteVol": VOLUME, "baseVol": QUOTE_VOLUME},
}
_DEFAULT_LIMIT: Final = 100
_MAXIMUM_LIMIT: Final = 200


def _answer(data: Any, code: int = 0, message: str = "Success") -> bytes:
    return orjson.dumps({"code": code, "data": data, "msg": message})


def _error(code: int, message: str) -> Reply:
    return Reply(200, _answer(None, code, message))


class Bitunix:
    """The dialect of Bitunix futures."""

    names: Sequence[str] = ()
    window_s = 1.0
    budget = 10
    window: Window = "sliding"
    patience = 1_000_000
    ban_s = 1.0
    archive_root: str | None = None
    pong = b"{}"
    region = Reply(403, b"<html><title>Just a moment...</title></html>\n", "text/html")
    server_errors: Sequence[Reply] = (
        _error(2, "System error"),
        _error(10001, "Network Error"),
        Reply(502, b"<html><head><title>502 Bad Gateway</title></head></html>\n", "text/html"),
    )

    def subject_of(self, path: str) -> Subject | None:
        return _SUBJECTS.get(path)

    def cost(self, path: str, query: Mapping[str, str]) -> int:
        return 1

    def headers(self, used: int) -> dict[str, str]:
        return {}

    def read_candles(self, path: str, query: Mapping[str, str]) -> CandlesQuery:
        """The newest rows of the window come, its end exclusive; wrong names are ignored."""
        symbol = query.get("symbol", "")
        if not symbol:
            raise RefusedRequest(_error(1, "Network Error"))
        if query.get("interval") not in _INTERVALS:
            raise RefusedRequest(_error(10002, "Parameter error"))
        end_ms = _number(query, "endTime")
        limit = min(max(1, _number(query, "limit") or _DEFAULT_LIMIT), _MAXIMUM_LIMIT)
        end_ms = None if end_ms is None else end_ms - 1
        interval = Interval.parse(query["interval"])
        return CandlesQuery(symbol, interval, _number(query, "startTime"), end_ms, limit, oldest_first=False)

    def candles(self, query: CandlesQuery, rows: Sequence[bytes], now_ms: int) -> bytes:
        listed = [_row(cells) for cells in orjson.loads(b"[" + b",".join(rows) + b"]")]
        return _answer(listed[::-1])

    def entry(self, instrument: Instrument) -> Any:
        return {
            "symbol": instrument.symbol,
            "base": instrument.base,
            "quote": instrument.quote,
            "quotePrecision": instrument.price_decimals,
            "symbolStatus": instrument.status or ("OPEN" if instrument.ends_ms is None else "STOP"),
            "isApiSupported": True,
        }

    def listing(
        self,
        query: Mapping[str, str],
        entries: Sequence[Any],
        recorded: Mapping[str, Any] | None,
        budget: int,
        now_ms: int,
    ) -> bytes:
        return _answer(entries)

    def clock(self, now_ms: int) -> bytes:
        raise AssertionError("Bitunix has no clock to ask")

    def unknown_path(self, method: str, path: str) -> Reply:
        return _error(404, "Not Found")

    def unknown_symbol(self, symbol: str) -> Reply:
        return _error(20015, "this Futures is not allowed to trade.")

    def delisted(self, symbol: str) -> Reply:
        return self.unknown_symbol(symbol)

    def too_many_requests(self, budget: int) -> Reply:
        return _error(10006, "Request too frequently")

    def banned(self, until_ms: int) -> Reply:
        return self.too_many_requests(0)


def _row(cells: Sequence[Any]) -> Mapping[str, Any]:
    """Return a row of texts; one broken on purpose stays as short as it is."""
    values = {key: cells[place] for key, place in _PLACES.items() if place < len(cells)}
    time = values["time"]
    return {**values, "time": str(time) if isinstance(time, int) else time, "type": "LAST_PRICE"}


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
