"""Deribit as the simulator speaks it: chart data in columns, the volatility index in rows, JSON-RPC around both.

From the documentation (2026-11): get_tradingview_chart_data, get_volatility_index_data, get_instruments. It has one of
the venue's pools of credits, and that slides: a client that respects it respects a bucket, too.
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

_CHART: Final = "/public/get_tradingview_chart_data"
_INDEX: Final = "/public/get_volatility_index_data"
_ROOT: Final = "/api/v2"
_SUBJECTS: Final = {
    _CHART: Subject.CANDLES,
    _INDEX: Subject.CANDLES,
    "/public/get_instruments": Subject.LISTING,
    "/public/get_time": Subject.CLOCK,
}
_CHART_RESOLUTIONS: Final = {
    **{"1": "1m", "3": "3m", "5": "5m", "15": "15m", "30": "30m", "60": "1h", "120": "2h", "360": "6h"},
    **{"720": "12h", "1D": "1d"},
}
_INDEX_RESOLUTIONS: Final = {"60": "1m", "3600": "1h", "43200": "12h", "1D": "1d"}
_PLACES: Final = {
    **{"ticks": OPEN_TIME, "open": OPEN, "high": HIGH, "low": LOW, "close": CLOSE, "volume": VOLUME},
    **{"cost": QUOTE_VOLUME},
}
_CHART_ROWS: Final = 5000
_INDEX_ROWS: Final = 1000
_NEVER_MS: Final = 32_503_708_800_000
_DVOL: Final = "-DVOL"


def _answer(result: Any) -> bytes:
    return orjson.dumps({"jsonrpc": "2.0", "result": result, "usIn": 1, "usOut": 2, "usDiff": 1, "testnet": False})


def _error(status: int, code: int, message: str, data: Mapping[str, str] | None = None) -> Reply:
    return Reply(status, orjson.dumps({"jsonrpc": "2.0", "error": {"code": code, "message": message, "data": data}}))


def _invalid(param: str, reason: str) -> Reply:
    return _error(400, -32602, "Invalid params", {"reason": reason, "param": param})


class Deribit:
    """The dialect of Deribit; it knows its paths with /api/v2 before them and without."""

    window_s = 1.0
    budget = 10_000
    window: Window = "sliding"
    patience = 1_000_000
    ban_s = 1.0
    names: Sequence[str] = ("BTC-PERPETUAL", "ETH-PERPETUAL", "SOL_USDC-PERPETUAL", "BTC-DVOL", "ETH-DVOL")
    archive_root: str | None = None
    pong = b"{}"
    region = Reply(451, b"Unavailable For Legal Reasons\n", "text/plain")
    server_errors: Sequence[Reply] = (
        _error(400, 10040, "retry"),
        _error(400, 13028, "temporarily_unavailable"),
        _error(500, 11094, "internal_server_error"),
        Reply(503, b"Service Unavailable."),
    )

    def subject_of(self, path: str) -> Subject | None:
        return _SUBJECTS.get(path.removeprefix(_ROOT))

    def cost(self, path: str, query: Mapping[str, str]) -> int:
        return 500

    def headers(self, used: int) -> dict[str, str]:
        return {}

    def read_candles(self, path: str, query: Mapping[str, str]) -> CandlesQuery:
        """The newest rows of a window come, whose two ends must be sent; it never says that older ones are left out."""
        of_index = path.removeprefix(_ROOT) == _INDEX
        key = "currency" if of_index else "instrument_name"
        resolutions = _INDEX_RESOLUTIONS if of_index else _CHART_RESOLUTIONS
        symbol = query.get(key, "")
        if not symbol or symbol.endswith(_DVOL):
            raise RefusedRequest(_invalid(key, "wrong format"))
        interval = resolutions.get(query.get("resolution", ""))
        if interval is None:
            raise RefusedRequest(_invalid("resolution", "must be one of the supported resolutions"))
        start_ms, end_ms = _moment(query, "start_timestamp"), _moment(query, "end_timestamp")
        if start_ms > end_ms:
            raise RefusedRequest(_invalid("start_timestamp", "must not be after end_timestamp"))
        rows = _INDEX_ROWS if of_index else _CHART_ROWS
        symbol = f"{symbol}{_DVOL}" if of_index else symbol
        return CandlesQuery(symbol, Interval.parse(interval), start_ms, end_ms, rows, oldest_first=False)

    def candles(self, query: CandlesQuery, rows: Sequence[bytes], now_ms: int) -> bytes:
        listed = [_numbers(cells) for cells in orjson.loads(b"[" + b",".join(rows) + b"]")]
        if query.symbol.endswith(_DVOL):
            older = len(rows) == query.limit and listed[0][0] - query.interval.ms >= (query.start_ms or 0)
            before = listed[0][0] - query.interval.ms if older else None
            return _answer({"data": [cells[: CLOSE + 1] for cells in listed], "continuation": before})
        columns = {
            name: [cells[place] if place < len(cells) else None for cells in listed] for name, place in _PLACES.items()
        }
        return _answer({**columns, "status": "ok" if rows else "no_data"})

    def entry(self, instrument: Instrument) -> Any:
        base, _, rest = instrument.symbol.partition("-")
        base, _, quote = base.partition("_")
        return {
            "instrument_name": instrument.symbol,
            "kind": "future",
            "settlement_period": "perpetual" if rest == "PERPETUAL" else "month",
            "creation_timestamp": instrument.listed_ms or 1,
            "expiration_timestamp": instrument.ends_ms or _NEVER_MS,
            "is_active": instrument.status is None and instrument.ends_ms is None,
            "base_currency": base,
            "quote_currency": quote or "USD",
        }

    def listing(
        self,
        query: Mapping[str, str],
        entries: Sequence[Any],
        recorded: Mapping[str, Any] | None,
        budget: int,
        now_ms: int,
    ) -> bytes:
        """List what trades, or what has expired; the index is no instrument."""
        active = query.get("expired", "false") == "false"
        return _answer(
            [one for one in entries if one["is_active"] is active and not one["instrument_name"].endswith(_DVOL)]
        )

    def clock(self, now_ms: int) -> bytes:
        return _answer(now_ms)

    def unknown_path(self, method: str, path: str) -> Reply:
        return _error(404, -32601, "Method not found")

    def unknown_symbol(self, symbol: str) -> Reply:
        if symbol.endswith(_DVOL):
            return _invalid("currency", "value must be one of the supported currencies")
        return _invalid("instrument_name", "instrument not found")

    def delisted(self, symbol: str) -> Reply:
        return self.unknown_symbol(symbol)

    def too_many_requests(self, budget: int) -> Reply:
        return _error(429, 10028, "too_many_requests")

    def banned(self, until_ms: int) -> Reply:
        return self.too_many_requests(0)


def _numbers(cells: Sequence[Any]) -> Sequence[Any]:
    """Return a row as JSON numbers; cells broken on purpose stay."""
    return [float(cell) if isinstance(cell, str) and cell.replace(".", "", 1).isdigit() else cell for cell in cells]


def _moment(query: Mapping[str, str], name: str) -> int:
    text = query.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise RefusedRequest(_invalid(name, "must be a timestamp in milliseconds"))
    return int(text)
