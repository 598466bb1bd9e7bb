"""Bybit v5 linear as the simulator speaks it: what it accepts, how it refuses, what its answers look like.

From the documentation (2026-11): market/kline, market/instrument, rate-limit, error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from laklak.model.series import Interval
from laklak.simulator.dialects.base import CandlesQuery, RefusedRequest, Reply, Subject
from laklak.simulator.gate import Window
from laklak.simulator.rows import CELLS, CLOSE, HIGH, LOW, OPEN, OPEN_TIME, QUOTE_VOLUME, VOLUME
from laklak.simulator.sources.base import Instrument

_SUBJECTS: Final = {
    "/v5/market/kline": Subject.CANDLES,
    "/v5/market/instruments-info": Subject.LISTING,
    "/v5/market/time": Subject.CLOCK,
}
_INTERVALS: Final = {
    **{"1": "1m", "3": "3m", "5": "5m", "15": "15m", "30": "30m", "60": "1h", "120": "2h", "240": "4h", "360": "6h"},
    **{"720": "12h", "D": "1d"},
}
_PLACES: Final = (OPEN, HIGH, LOW, CLOSE, VOLUME, QUOTE_VOLUME)
_DEFAULT_LIMIT: Final = 200
_MAXIMUM_LIMIT: Final = 1000
_DEFAULT_LISTED: Final = 500
_MS: Final = 1_000_000_000_000


def _answer(code: int, message: str, result: Mapping[str, Any], now_ms: int = _MS) -> bytes:
    return orjson.dumps(
        {"retCode": code, "retMsg": message, "result": result, "retExtInfo": {}, "time": now_ms},
    )


def _error(code: int, message: str) -> Reply:
    return Reply(200, _answer(code, message, {}))


class Bybit:
    """The dialect of Bybit's linear contracts."""

    window_s = 5.0
    budget = 600
    window: Window = "sliding"
    patience = 0
    ban_s = 600.0
    names: Sequence[str] = ()
    archive_root: str | None = None
    pong = b"{}"
    region = Reply(
        403,
        b"<html><body>The Amazon CloudFront distribution is configured to block access from your country."
        b"</body></html>\n",
        "text/html",
    )
    server_errors: Sequence[Reply] = (
        _error(10000, "Server Timeout"),
        _error(10016, "Internal System Error."),
        Reply(502, b"<html><head><title>502 Bad Gateway</title></head></html>\n", "text/html"),
        Reply(503, b"Service Unavailable."),
    )

    def subject_of(self, path: str) -> Subject | None:
        return _SUBJECTS.get(path)

    def cost(self, path: str, query: Mapping[str, str]) -> int:
        return 1

    def headers(self, used: int) -> dict[str, str]:
        return {}

    def read_candles(self, path: str, query: Mapping[str, str]) -> CandlesQuery:
        """The newest rows of the window come, with the candle that contains its start; wrong names are ignored."""
        if query.get("category", "linear") != "linear":
            raise RefusedRequest(_error(10001, "Illegal category"))
        symbol = query.get("symbol", "")
        if not symbol or symbol != symbol.upper():
            raise RefusedRequest(self.unknown_symbol(symbol))
        name = _INTERVALS.get(query.get("interval", ""))
        if name is None:
            raise RefusedRequest(_error(10001, "Invalid period!"))
        interval = Interval.parse(name)
        start_ms, end_ms = _number(query, "start"), _number(query, "end")
        if start_ms is not None and end_ms is not None and start_ms > end_ms:
            raise RefusedRequest(_error(10001, "The start time cannot be later than the end time"))
        limit = _number(query, "limit")
        limit = _DEFAULT_LIMIT if limit is None else min(max(1, limit), _MAXIMUM_LIMIT)
        start_ms = None if start_ms is None else interval.floor(start_ms)
        return CandlesQuery(symbol, interval, start_ms, end_ms, limit, oldest_first=False)

    def candles(self, query: CandlesQuery, rows: Sequence[bytes], now_ms: int) -> bytes:
        listed = [_row(cells) for cells in orjson.loads(b"[" + b",".join(rows) + b"]")]
        return _answer(0, "OK", {"category": "linear", "symbol": query.symbol, "list": listed[::-1]}, now_ms)

    def entry(self, instrument: Instrument) -> Any:
        return {
            "symbol": instrument.symbol,
            "contractType": "LinearPerpetual",
            "status": instrument.status or ("Trading" if instrument.ends_ms is None else "Closed"),
            "baseCoin": instrument.base,
            "quoteCoin": instrument.quote,
            "settleCoin": instrument.quote,
            "launchTime": str(instrument.listed_ms or 0),
            "deliveryTime": str(instrument.ends_ms or 0),
            "priceScale": str(instrument.price_decimals),
        }

    def listing(
        self,
        query: Mapping[str, str],
        entries: Sequence[Any],
        recorded: Mapping[str, Any] | None,
        budget: int,
        now_ms: int,
    ) -> bytes:
        """Return a page of the entries with one status; the cursor is where the next page begins."""
        status = query.get("status", "Trading")
        asked = [entry for entry in entries if entry["status"] == status]
        first = _number(query, "cursor") or 0
        stop = first + min(_number(query, "limit") or _DEFAULT_LISTED, _MAXIMUM_LIMIT)
        cursor = str(stop) if stop < len(asked) else ""
        return _answer(0, "OK", {"category": "linear", "list": asked[first:stop], "nextPageCursor": cursor}, now_ms)

    def clock(self, now_ms: int) -> bytes:
        told = {"timeSecond": str(now_ms // 1000), "timeNano": str(now_ms * 1_000_000)}
        return _answer(0, "OK", told, now_ms)

    def unknown_path(self, method: str, path: str) -> Reply:
        return Reply(404, b"404 page not found\n", "text/plain")

    def unknown_symbol(self, symbol: str) -> Reply:
        return _error(10001, "Not supported symbols")

    def delisted(self, symbol: str) -> Reply:
        return self.unknown_symbol(symbol)

    def too_many_requests(self, budget: int) -> Reply:
        return Reply(403, b"403, access too frequent", "text/plain")

    def banned(self, until_ms: int) -> Reply:
        return self.too_many_requests(0)


def _row(cells: Sequence[Any]) -> Sequence[Any]:
    """Return a row of seven texts; one broken on purpose stays as short as it is."""
    texts = [str(cells[OPEN_TIME]) if isinstance(cells[OPEN_TIME], int) else cells[OPEN_TIME]]
    return texts + [cells[place] for place in _PLACES] if len(cells) == CELLS else texts + list(cells[1:6])


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
