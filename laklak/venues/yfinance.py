"""Yahoo Finance, the chart endpoint: unofficial, undocumented, and delayed data.

Yahoo publishes nothing about it; this comes from recorded answers and from what its clients found out until 2026-11.

Facts that the program relies on:
* v8/finance/chart/{symbol}: `period1` is inclusive, in seconds; `period2` has been seen both ways, so a row that opens
  at it is dropped here.  1m comes for at most 7 days a request and 29 days back, 5m to 30m for 59, 1h for 729.
* Columns of JSON numbers, oldest first; prices are float32 written with more digits.  A slot without a trade is null in
  every column; the last row may be the live price, off the grid or, with volume 0, at a session's end.  Without rows
  there is no `timestamp`.
* It trades in sessions.  `tradingPeriods`, if present, are those of the span asked for; `currentTradingPeriod` is the
  running one, or the next.
* The feed is delayed: candles that close after `regularMarketTime` may still change or come later.
* An unknown symbol and a delisted one are both 404.  A 429 is plain text, names no time, and lasts minutes to hours:
  each further one in a row doubles the pause.

Unverified: every number of the limits (so two requests a second, a setting), whether `tradingPeriods` are complete in
every answer that has them (a row outside of them is kept and overrides them), and whether 1h stamps lie on whole hours
for all currencies and futures; those of stocks and indexes begin with their session, so these have no 1h here. Days
open with each exchange's session, at different times: there is no 1d.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from laklak.model.candles import Page
from laklak.model.series import DAY_MS, Instrument, Interval, TimeRange
from laklak.text import json_text, one_line
from laklak.venues.base import (
    OK,
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
from laklak.venues.reading import page_of_columns, part, retry_after_s, symbol_of, time_part, whole, word

_ONE: Final = {"requests": 1}
_CHART: Final = "/v8/finance/chart/"
_COLUMNS: Final = ("open", "high", "low", "close", "volume")
_SECOND_MS: Final = 1000
_LAST_S: Final = 4_133_404_800
_DETAIL_MAX: Final = 200
_SHOWN: Final = 40
_PAUSE_S: Final = 300.0
_PAUSE_MOST_S: Final = 6 * 3600.0
_SLOWER_S: Final = 3600.0
_AROUND_THE_CLOCK: Final = ("=F", "=X", "-USD")
"""Suffixes of futures, currencies and coins; their sessions begin on whole hours."""
_OUT_OF_REACH_WORDS: Final = ("must be within the last", "data doesn't exist for startdate")


class YFinance(Venue):
    name = "yfinance"
    url = "https://query1.finance.yahoo.com"
    headers: Mapping[str, str] = {"Accept": "application/json"}
    intervals: Mapping[str, str] = {
        "1m": "1m",
        "5m": "5m",
        "15m": "15m",
        "30m": "30m",
        "1h": "60m",
    }
    lacks: Mapping[str, str] = {"1d": "its days open with each exchange's session, at different times"}
    pool = "yfinance"
    quotas: Mapping[str, Quota] = {"requests": Quota(2, 1.0, share=1.0)}
    page = PageRule(7 * 1440)
    gapless = False
    trades_in_sessions = True
    example = "BTC=F"

    def intervals_of(self, symbol: str) -> Mapping[str, str]:
        if symbol.endswith(_AROUND_THE_CLOCK):
            return self.intervals
        return {name: own for name, own in self.intervals.items() if name != "1h"}

    def reach_ms(self, interval: Interval) -> int:
        days = {"1m": 29, "1h": 729}.get(interval.name, 59)
        return days * DAY_MS

    def listing_requests(self, symbols: Collection[str]) -> Sequence[Request]:
        """There is no listing; a chart of a day tells whether a symbol exists, and since when."""
        return [_chart(symbol, ("interval", "1d"), ("range", "1d")) for symbol in symbols]

    def read_listing(self, answer: Answer) -> Listing:
        meta = _meta(answer)
        symbol = symbol_of(meta)
        if symbol is None:
            raise DecodeError(f"expected a symbol, got {answer.shown}")
        first_s = whole(meta.get("firstTradeDate"))
        # Before 1970 is before every range.
        first_ms = None if first_s is None or first_s >= _LAST_S else max(1, first_s * _SECOND_MS)
        kind = word(meta, "instrumentType")
        return Listing({symbol: Instrument(symbol, "TRADING", first_ms, None, word(meta, "currency"), kind.lower())})

    def candles_request(self, asked: Asked) -> Request:
        return _chart(
            asked.series.symbol,
            ("interval", self.intervals[asked.series.interval.name]),
            ("period1", str(asked.span.start_ms // _SECOND_MS)),
            ("period2", str(asked.span.end_ms // _SECOND_MS)),
            ("includePrePost", "false"),
        )

    def read_candles(self, answer: Answer, asked: Asked) -> Page:
        """Read a chart: `timestamp` and, beside it, columns under indicators.quote."""
        meta = _meta(answer)
        for key, wanted in (
            ("symbol", asked.series.symbol),
            ("dataGranularity", self.intervals[asked.series.interval.name]),
        ):
            found = meta.get(key, wanted)
            if found != wanted and (found, wanted) != ("1h", "60m"):
                raise DecodeError(f"expected candles of the {key} {wanted}, got {answer.shown}")
        sessions = _sessions(meta)
        quote = part(answer, "chart", "result", 0, "indicators", "quote", 0)
        if not isinstance(quote, dict):
            raise DecodeError(f"expected columns of candles, got {answer.shown}")
        stamps = _column(part(answer, "chart", "result", 0), "timestamp")
        columns = [stamps, *(_column(quote, name) for name in _COLUMNS)]
        page = page_of_columns(_traded(columns, asked, sessions or ()), scale_ms=_SECOND_MS, trim=asked, beside=(1, 1))
        market = ("chart", "result", 0, "meta", "regularMarketTime")
        final_ms = time_part(answer, *market, scale_ms=_SECOND_MS) if meta.get(market[-1]) is not None else None
        return Page(page.columns, page.rows, final_ms=final_ms, sessions=sessions)

    def judge(self, answer: Answer) -> Verdict:
        status = answer.status
        error = _error(answer)
        if status == 200 and error is None:
            return OK
        text = answer.shown if error is None else f"{word(error, 'code')}: {word(error, 'description', _DETAIL_MAX)}"
        detail = f"HTTP {status} {text}"[:_DETAIL_MAX].strip()
        said = text.casefold()
        if status == 429 or "too many requests" in said:
            told_s = retry_after_s(answer.headers)
            grows_to_s = None if told_s else _PAUSE_MOST_S
            wait_s = told_s or _PAUSE_S
            return Verdict(Meaning.LIMITED, "rate_limited", detail, wait_s, slower_s=_SLOWER_S, grows_to_s=grows_to_s)
        if status == 403:
            return Verdict(Meaning.BLOCKED, "firewall", detail)
        if status >= 500 or error is None:
            return Verdict(Meaning.PASSING, f"http_{status}", detail)
        if any(words in said for words in _OUT_OF_REACH_WORDS):
            return Verdict(Meaning.OUT_OF_REACH, "out_of_reach", detail)
        return Verdict(Meaning.REFUSED, "unknown_symbol" if "not found" in said else "refused", detail)


def _chart(symbol: str, *query: tuple[str, str]) -> Request:
    return Request(f"{_CHART}{symbol}", query, _ONE)


def _meta(answer: Answer) -> Mapping[str, Any]:
    meta = part(answer, "chart", "result", 0, "meta")
    if not isinstance(meta, dict):
        raise DecodeError(f"expected a chart, got {answer.shown}")
    return meta


def _error(answer: Answer) -> Mapping[str, Any] | None:
    """Return the venue's own error; None if there is none."""
    try:
        found = part(answer, "chart", "error")
    except DecodeError:
        return None
    return found if isinstance(found, dict) else None


def _column(holder: Mapping[str, Any], name: str) -> list[Any]:
    """Return a column of the chart, which lacks it when it has no rows."""
    column = holder.get(name)
    if column is not None and not isinstance(column, list):
        raise DecodeError(f"expected a column under {name}, got {one_line(json_text(column, _SHOWN))}")
    return column or []


def _traded(columns: Sequence[Any], asked: Asked, sessions: Sequence[TimeRange]) -> Sequence[Sequence[Any]]:
    """Drop the slots that are null throughout, and the live price at the end."""
    if not all(isinstance(column, list) for column in columns) or len(set(map(len, columns))) != 1:
        # The caller makes a page of them and raises.
        return columns
    columns = _without_empty(columns)
    stamps, volumes = columns[0], columns[5]
    if not stamps or type(stamps[-1]) is not int:
        return columns
    last_ms = stamps[-1] * _SECOND_MS
    closing = volumes[-1] in (0, None) and any(last_ms == one.end_ms for one in sessions)
    if closing or last_ms % asked.series.interval.ms:
        return [column[:-1] for column in columns]
    return columns


def _without_empty(columns: Sequence[Sequence[Any]]) -> Sequence[Sequence[Any]]:
    prices = columns[1:5]
    if not any(None in column for column in prices):
        return columns
    kept = [place for place, cells in enumerate(zip(*prices, strict=True)) if cells != (None,) * 4]
    return [[column[place] for place in kept] for column in columns]


def _sessions(meta: Mapping[str, Any]) -> tuple[TimeRange, ...] | None:
    """Return an answer's trading times in order; None if it tells none of the span."""
    told = meta.get("tradingPeriods")
    spans = _periods(told.get("regular") if isinstance(told, dict) else told)
    if not spans:
        return None
    current = meta.get("currentTradingPeriod")
    return tuple(sorted({*spans, *_periods(current.get("regular") if isinstance(current, dict) else current)}))


def _periods(told: Any) -> list[TimeRange]:
    """Return the periods of a list, of a list of lists, or of a single one.

    DecodeError if one is unreadable: without it, minutes with trades would count as closed.
    """
    days = told if isinstance(told, list) else [] if told is None else [told]
    periods = (_period(one) for day in days for one in (day if isinstance(day, list) else [day]))
    return [one for one in periods if one]


def _period(told: Any) -> TimeRange:
    start_s, end_s = (whole(told.get(name)) if isinstance(told, dict) else None for name in ("start", "end"))
    if start_s is None or end_s is None or not 0 <= start_s <= end_s < _LAST_S:
        raise DecodeError(f"expected a trading period, got {one_line(json_text(told, _SHOWN))}")
    return TimeRange(start_s * _SECOND_MS, end_s * _SECOND_MS)
