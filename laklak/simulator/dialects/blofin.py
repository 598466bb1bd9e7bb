"""Blofin as the simulator speaks it: what it accepts, how it refuses, what its answers look like.

From the documentation (2026-11): market data, rate limits, error codes.
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
    "/api/v1/market/candles": Subject.CANDLES,
    "/api/v1/market/instruments": Subject.LISTING,
}
_BARS: Final = {"1m", "3m", "5m", "15m", "30m", "1H", "2H", "4H", "6H", "8H", "12H", "1D"}
_DEFAULT_LIMIT: Final = 500
_DOCUMENTED_LIMIT: Final = 1440
_CONTRACTS: Final = "7"
"""The amount in contracts: nobody may take it for a volume."""


def _answer(data: Sequence[Any]) -> bytes:
    return orjson.dumps({"code": "0", "msg": "success", "data": data})


def _error(code: int, message: str, status: int = 200) -> Reply:
    return Reply(status, orjson.dumps({"code": str(code), "msg": message}))


class Blofin:
    """The dialect of Blofin: at most `rows` in an answer; with `refuses` it refuses larger limits, else it cuts."""

    window_s = 300.0
    budget = 1500
    window: Window = "sliding"
    patience = 0
    ban_s = 300.0
    archive_root: str | None = None
    names: Sequence[str] = ("BTC-USDT", "ETH-USDT", "SOL-USDT")
    pong = b"{}"
    region = Reply(403, b"<html><body>Service is not available in restricted countries or regions.</body></html>\n")
    server_errors: Sequence[Reply] = (
        _error(500, "Internal Server Error"),
        _error(500, "Internal Server Error", 500),
        Reply(502, b"<html><head><title>502 Bad Gateway</title></head></html>\n", "text/html"),
    )

    def __init__(self, rows: int = _DOCUMENTED_LIMIT, *, refuses: bool = False) -> None:
        self.rows = rows
        self.refuses = refuses

    def subject_of(self, path: str) -> Subject | None:
        return _SUBJECTS.get(path)

    def cost(self, path: str, query: Mapping[str, str]) -> int:
        return 1

    def headers(self, used: int) -> dict[str, str]:
        return {}

    def read_candles(self, path: str, query: Mapping[str, str]) -> CandlesQuery:
        """The newest rows between two exclusive moments come; wrong names are ignored."""
        symbol = query.get("instId", "")
        if not symbol:
            raise RefusedRequest(_error(152001, "Parameter instId cannot be empty."))
        bar = query.get("bar", "1m")
        if bar not in _BARS:
            raise RefusedRequest(_error(152002, "Parameter bar error."))
        after_ms, before_ms = _number(query, "after"), _number(query, "before")
        limit = _number(query, "limit") or _DEFAULT_LIMIT
        if self.refuses and limit > self.rows:
            raise RefusedRequest(_error(152002, "Parameter limit error."))
        return CandlesQuery(
            symbol,
            Interval.parse(bar if bar.endswith("m") else bar.lower()),
            None if before_ms is None else before_ms + 1,
            None if after_ms is None else after_ms - 1,
            min(limit, self.rows),
            oldest_first=False,
        )

    def candles(self, query: CandlesQuery, rows: Sequence[bytes], now_ms: int) -> bytes:
        listed = [_row(cells, now_ms - query.interval.ms) for cells in orjson.loads(b"[" + b",".join(rows) + b"]")]
        return _answer(listed[::-1])

    def entry(self, instrument: Instrument) -> Any:
        return {
            "instId": instrument.symbol,
            "baseCurrency": instrument.base,
            "quoteCurrency": instrument.quote,
            "contractValue": "0.001",
            "listTime": str(instrument.listed_ms or 0),
            "expireTime": "1704124800000",
            "instType": "SWAP",
            "contractType": "linear",
            "state": "live" if instrument.ends_ms is None else "suspend",
            "settleCurrency": instrument.quote,
        }

    def listing(
        self,
        query: Mapping[str, str],
        entries: Sequence[Any],
        recorded: Mapping[str, Any] | None,
        budget: int,
        now_ms: int,
    ) -> bytes:
        """List what is open; ended contracts are gone."""
        return _answer([entry for entry in entries if entry["state"] == "live"])

    def clock(self, now_ms: int) -> bytes:
        return b"{}"

    def unknown_path(self, method: str, path: str) -> Reply:
        return _error(404, "Not Found", 404)

    def unknown_symbol(self, symbol: str) -> Reply:
        return _error(152014, "Instrument ID does not exist")

    def delisted(self, symbol: str) -> Reply:
        return self.unknown_symbol(symbol)

    def too_many_requests(self, budget: int) -> Reply:
        return _error(429, "Too Many Requests", 429)

    def banned(self, until_ms: int) -> Reply:
        return Reply(403, b"<html><head><title>403 Forbidden</title></head></html>\n", "text/html")


def _row(cells: Sequence[Any], closed_ms: int) -> Sequence[Any]:
    """Return a row of nine texts; one broken on purpose stays as short as it is."""
    time_ms = cells[OPEN_TIME]
    texts = [str(time_ms) if isinstance(time_ms, int) else time_ms]
    if len(cells) != CELLS:
        return texts + list(cells[1:6])
    confirm = "0" if isinstance(time_ms, int) and time_ms > closed_ms else "1"
    prices = [cells[place] for place in (OPEN, HIGH, LOW, CLOSE)]
    return [*texts, *prices, _CONTRACTS, cells[VOLUME], cells[QUOTE_VOLUME], confirm]


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
