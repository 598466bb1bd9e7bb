"""Yahoo Finance's charts as the simulator speaks them: sessions, a holiday, a delayed feed, and its refusals.

Yahoo documents nothing; this comes from recorded answers and from what its clients found out (2026-11).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import orjson

from laklak.model.series import DAY_MS, MINUTE_MS, Interval, TimeRange
from laklak.simulator.dialects.base import CandlesQuery, RefusedRequest, Reply, Subject
from laklak.simulator.gate import Window
from laklak.simulator.rows import CLOSE, HIGH, LOW, OPEN, OPEN_TIME, VOLUME
from laklak.simulator.sources.base import Instrument

_CHART: Final = "/v8/finance/chart/"
_INTERVALS: Final = {
    **{name: name for name in ("1m", "5m", "15m", "30m", "1h", "1d")},
    **{"60m": "1h"},
}
_VALID: Final = "[1m, 2m, 5m, 15m, 30m, 60m, 90m, 1h, 1d, 5d, 1wk, 1mo, 3mo]"
_REACH_DAYS: Final = {"1m": 30, "1h": 730, "1d": 36_500}
_PLACES: Final = {"open": OPEN, "high": HIGH, "low": LOW, "close": CLOSE, "volume": VOLUME}
_ROWS: Final = 100_000
_SATURDAY: Final = 5
_OPENS_MS: Final = (14 * 60 + 30) * MINUTE_MS
_CLOSES_MS: Final = 21 * 60 * MINUTE_MS

DELAY_MS: Final = 15 * MINUTE_MS
"""What closes later than this before now is not published yet."""
HOLIDAY: Final = 17
"""No index trades on the days with this number modulo 30, counted since 1970."""


def sessions(symbol: str, start_ms: int, end_ms: int) -> Iterator[TimeRange]:
    """Yield when a symbol trades in a range: indexes six hours and a half on weekdays, others except on Saturdays."""
    for day_ms in range(start_ms // DAY_MS * DAY_MS, end_ms, DAY_MS):
        weekday = (day_ms // DAY_MS + 3) % 7
        if symbol.startswith("^"):
            if weekday < _SATURDAY and day_ms // DAY_MS % 30 != HOLIDAY:
                yield TimeRange(day_ms + _OPENS_MS, day_ms + _CLOSES_MS)
        elif weekday != _SATURDAY:
            yield TimeRange(day_ms, day_ms + DAY_MS)


def _error(status: int, code: str, description: str) -> Reply:
    return Reply(status, orjson.dumps({"chart": {"result": None, "error": {"code": code, "description": description}}}))


class YFinance:
    """The dialect of Yahoo Finance."""

    window_s = 1.0
    budget = 2
    window: Window = "sliding"
    patience = 1_000
    ban_s = 300.0
    names: Sequence[str] = ("BTC=F", "^GSPC", "ETH=F", "^NDX", "XRP=F", "SOL=F")
    archive_root: str | None = None
    pong = b"{}"
    region = Reply(403, b"Forbidden", "text/plain")
    server_errors: Sequence[Reply] = (
        Reply(200, b"<html><head><title>Yahoo</title></head><body>Will be right back</body></html>\n", "text/html"),
        Reply(502, b"<html><head><title>502 Bad Gateway</title></head></html>\n", "text/html"),
        Reply(503, b"Service Unavailable", "text/plain"),
    )

    def subject_of(self, path: str) -> Subject | None:
        return Subject.CANDLES if path.startswith(_CHART) else None

    def cost(self, path: str, query: Mapping[str, str]) -> int:
        return 1

    def headers(self, used: int) -> dict[str, str]:
        return {}

    def read_candles(self, path: str, query: Mapping[str, str]) -> CandlesQuery:
        """Everything between two seconds comes, or the last day."""
        name = _INTERVALS.get(query.get("interval", "1d"))
        if name is None:
            said = f"Invalid input - interval={query['interval']} is not supported. Valid intervals: {_VALID}"
            raise RefusedRequest(_error(400, "Bad Request", said))
        symbol, interval = path.removeprefix(_CHART), Interval.parse(name)
        if query.get("range") == "1d":
            return CandlesQuery(symbol, interval, None, None, max(1, DAY_MS // interval.ms), oldest_first=False)
        start_ms, end_ms = _moment(query, "period1"), _moment(query, "period2")
        if start_ms >= end_ms:
            raise RefusedRequest(_error(400, "Bad Request", "Invalid input - start date cannot be after end date."))
        if name == "1m" and end_ms - start_ms > 7 * DAY_MS:
            said = "1m data not available for the range. Only 7 days worth of 1m granularity data are allowed"
            raise RefusedRequest(_error(422, "Unprocessable Entity", f"{said} to be fetched per request."))
        return CandlesQuery(symbol, interval, start_ms, end_ms, _ROWS, oldest_first=True)

    def candles(self, query: CandlesQuery, rows: Sequence[bytes], now_ms: int) -> bytes:
        _refuse_beyond_reach(query, now_ms)
        start_ms = now_ms - DAY_MS if query.start_ms is None else query.start_ms
        end_ms = now_ms if query.end_ms is None else query.end_ms
        told = list(sessions(query.symbol, start_ms, end_ms))
        kept = _published(query, orjson.loads(b"[" + b",".join(rows) + b"]"), told, now_ms)
        if kept and query.end_ms is not None and end_ms >= now_ms - DELAY_MS:
            kept.append(_live(kept[-1], now_ms))
        quote = {name: [_number(row[at]) if at < len(row) else None for row in kept] for name, at in _PLACES.items()}
        result: dict[str, Any] = {"meta": _meta(query, told, now_ms), "indicators": {"quote": [quote if kept else {}]}}
        if kept:
            stamps = [row[OPEN_TIME] for row in kept]
            result["timestamp"] = [one // 1000 if isinstance(one, int) else one for one in stamps]
        return orjson.dumps({"chart": {"result": [result], "error": None}})

    def entry(self, instrument: Instrument) -> Any:
        return {}

    def listing(
        self,
        query: Mapping[str, str],
        entries: Sequence[Any],
        recorded: Mapping[str, Any] | None,
        budget: int,
        now_ms: int,
    ) -> bytes:
        return b"{}"

    def clock(self, now_ms: int) -> bytes:
        return b"{}"

    def unknown_path(self, method: str, path: str) -> Reply:
        return Reply(404, b"<html><body>Not Found</body></html>\n", "text/html")

    def unknown_symbol(self, symbol: str) -> Reply:
        return _error(404, "Not Found", "No data found, symbol may be delisted")

    def delisted(self, symbol: str) -> Reply:
        return self.unknown_symbol(symbol)

    def too_many_requests(self, budget: int) -> Reply:
        return Reply(429, b"Edge: Too Many Requests", "text/plain")

    def banned(self, until_ms: int) -> Reply:
        return self.too_many_requests(0)


def _refuse_beyond_reach(query: CandlesQuery, now_ms: int) -> None:
    reach_days = _REACH_DAYS.get(query.interval.name, 60)
    if query.start_ms is not None and query.start_ms < now_ms - reach_days * DAY_MS:
        said = f"{query.interval.name} data not available. The requested range must be within the last"
        raise RefusedRequest(_error(422, "Unprocessable Entity", f"{said} {reach_days} days."))


def _published(
    query: CandlesQuery, rows: Sequence[list[Any]], told: Sequence[TimeRange], now_ms: int
) -> list[list[Any]]:
    """Return the candles of sessions that are published by now; those longer than an hour always are."""
    step_ms = query.interval.ms
    if step_ms > MINUTE_MS * 60:
        return list(rows)
    return [row for row in rows if _inside(row[OPEN_TIME], told) and row[OPEN_TIME] + step_ms <= now_ms - DELAY_MS]


def _live(newest: Sequence[Any], now_ms: int) -> list[Any]:
    """Return the live price, which stands at the end: a row off the grid."""
    return [(now_ms - DELAY_MS) // 1000 * 1000 + 1000, *newest[1:]]


def _meta(query: CandlesQuery, told: Sequence[TimeRange], now_ms: int) -> Mapping[str, Any]:
    """Return what the venue says of the symbol, with the sessions of the range."""
    final_ms = now_ms - DELAY_MS
    trades = [one for one in sessions(query.symbol, final_ms - 7 * DAY_MS, now_ms) if one.start_ms <= final_ms]
    market_ms = min(final_ms, trades[-1].end_ms) if trades else final_ms
    coming = next(one for one in sessions(query.symbol, now_ms, now_ms + 9 * DAY_MS) if one.end_ms > now_ms)
    meta: dict[str, Any] = {
        "currency": "USD",
        "symbol": query.symbol,
        "instrumentType": "INDEX" if query.symbol.startswith("^") else "FUTURE",
        "firstTradeDate": 1_500_000_000,
        "regularMarketTime": market_ms // 1000,
        "gmtoffset": 0,
        "currentTradingPeriod": {"regular": _period(coming)},
        "dataGranularity": "60m" if query.interval.name == "1h" else query.interval.name,
    }
    if told:
        meta["tradingPeriods"] = [[_period(one)] for one in told]
    return meta


def _inside(time_ms: Any, spans: Sequence[TimeRange]) -> bool:
    return not isinstance(time_ms, int) or any(one.start_ms <= time_ms < one.end_ms for one in spans)


def _period(span: TimeRange) -> Mapping[str, Any]:
    return {"timezone": "UTC", "start": span.start_ms // 1000, "end": span.end_ms // 1000, "gmtoffset": 0}


def _number(cell: Any) -> Any:
    """Return a cell as a JSON number; one broken on purpose stays."""
    return float(cell) if isinstance(cell, str) and cell.replace(".", "", 1).isdigit() else cell


def _moment(query: Mapping[str, str], name: str) -> int:
    text = query.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise RefusedRequest(_error(400, "Bad Request", f"Invalid input - {name} is not a number of seconds."))
    return int(text) * 1000
