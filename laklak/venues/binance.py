"""Binance USD-M futures (fapi), public market data.

Sources, read 2026-11: developers.binance.com, USD-M futures, pages Kline-Candlestick-Data, general-info, error-code,
Exchange-Information, Check-Server-Time; the official client binance-connector-python (2026-08).

Facts that the rest of the program builds on:
* klines: startTime and endTime are inclusive on the open time, rows come oldest first, and when more match than
  `limit` (at most 1500) the oldest are kept.  A gap does not shorten a page.
* weight by limit: 1-99 -> 1, 100-499 -> 2, 500-1000 -> 5, 1001-1500 -> 10; everything else used here costs 1.
* X-MBX-USED-WEIGHT-1M: what this address has used in the running calendar minute, by all programs.
* 429 over the limit, 418 banned (2 minutes to 3 days) with the end in the text; Retry-After is documented for the
  spot API only, so it is used where it comes and not relied on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import orjson

from laklak.model.candles import Chunk, Page
from laklak.model.series import Instrument, Series, check_symbol
from laklak.venues.base import DecodeError, Kind, Listing, Quota, Request, Verdict

# "never" is written as 2100-12-25 on perpetuals (4133404800000; a few recorded ones are two seconds later).
_NEVER_MS: Final = 4_133_404_800_000
_BANNED_UNTIL: Final = re.compile(r"banned until ([0-9]{12,14})")
_PASSING_CODES: Final = frozenset({-1000, -1001, -1006, -1007, -1008})
_ROW_CELLS: Final = 12
"""A row has so many cells, and may get more: what is added at the end changes nothing of the first ones."""
_CLOSE_TIME: Final = 6
_DETAIL_MAX: Final = 200


class Binance:
    name = "binance"
    intervals: tuple[str, ...] = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d")
    page_tiers: tuple[tuple[int, int], ...] = ((99, 1), (499, 2), (1000, 5), (1500, 10))
    metadata_weight = 1
    pool = "binance"
    quotas: Mapping[str, Quota] = MappingProxyType({"weight": Quota(2400, 60.0, window="calendar")})
    default_url = "https://fapi.binance.com"
    default_budget = 1200
    documented_weight = 2400
    one_word_symbols = True
    longest_ban_s = 3 * 86_400.0

    def candles_request(self, chunk: Chunk) -> Request:
        """Ask exactly the chunk: `limit` is what it can hold, so the answer is complete and the price the lowest."""
        last_open = chunk.range.end_ms - chunk.series.interval.ms
        return Request(
            "/fapi/v1/klines",
            (
                ("symbol", chunk.series.symbol),
                ("interval", chunk.series.interval.name),
                ("startTime", str(chunk.range.start_ms)),
                ("endTime", str(last_open)),
                ("limit", str(chunk.limit)),
            ),
            next(weight for limit, weight in self.page_tiers if chunk.limit <= limit),
        )

    def first_candle_request(self, series: Series, from_ms: int) -> Request:
        """Ask for the first candle at or after `from_ms`: rows are start-anchored, so one is enough."""
        return Request(
            "/fapi/v1/klines",
            (
                ("symbol", series.symbol),
                ("interval", series.interval.name),
                ("startTime", str(from_ms)),
                ("limit", "1"),
            ),
            1,
        )

    def newest_candle_request(self, series: Series) -> Request:
        """Ask for the newest candle, which may be the forming one: without times the most recent rows come."""
        return Request(
            "/fapi/v1/klines",
            (("symbol", series.symbol), ("interval", series.interval.name), ("limit", "1")),
            1,
        )

    def candles_until_request(self, series: Series, until_ms: int, count: int) -> Request:
        """Ask for the newest `count` candles that open at `until_ms` or before: with an end alone they end there."""
        return Request(
            "/fapi/v1/klines",
            (
                ("symbol", series.symbol),
                ("interval", series.interval.name),
                ("endTime", str(until_ms)),
                ("limit", str(count)),
            ),
            next(weight for limit, weight in self.page_tiers if count <= limit),
        )

    def parse_candles(self, body: bytes) -> Page:
        """Read a klines answer: at most 1500 rows of 12 cells or more, oldest first; DecodeError if it is none."""
        rows = _json(body)
        if not isinstance(rows, list):
            raise DecodeError(f"expected a list of candles, got {_short(body)}")
        if set(map(type, rows)) <= {list}:
            lengths = set(map(len, rows))
            if not lengths or (len(lengths) == 1 and min(lengths) >= _ROW_CELLS):
                columns = tuple(zip(*rows, strict=True)) or ((),) * (_CLOSE_TIME + 1)
                return Page(columns[:6], rows, columns[_CLOSE_TIME])
        # Rows of another shape are refused one by one later; here they only have to fit into columns.
        padded = [row[: _CLOSE_TIME + 1] if _is_row(row) else [_time_of(row)] + [None] * _CLOSE_TIME for row in rows]
        columns = tuple(zip(*padded, strict=True))
        return Page(columns[:6], rows, columns[_CLOSE_TIME])

    def instruments_request(self) -> Request:
        return Request("/fapi/v1/exchangeInfo", (), 1)

    def parse_instruments(self, body: bytes) -> Listing:
        """Read exchangeInfo: every symbol with its listing and, where trading ends, that moment.

        What is odd in an entry costs that entry, or that date, and nothing else; of two with the same symbol the
        first one counts.  DecodeError for what is no exchangeInfo.
        """
        answer = _json(body)
        symbols = answer.get("symbols") if isinstance(answer, dict) else None
        if not isinstance(symbols, list):
            raise DecodeError(f"expected exchangeInfo with a list of symbols, got {_short(body)}")
        instruments: dict[str, Instrument] = {}
        odd: dict[str, str] = {}
        unreadable = 0
        for entry in symbols:
            symbol = _symbol(entry)
            if symbol is None:
                unreadable += 1
                continue
            instrument, what = _instrument(symbol, entry)
            if symbol in instruments:
                what = "is listed twice, the first entry counts" if instrument != instruments[symbol] else ""
            else:
                instruments[symbol] = instrument
            if what:
                odd.setdefault(symbol, what)
        return Listing(instruments, _advertised_weight(answer), odd, unreadable)

    def clock_request(self) -> Request:
        return Request("/fapi/v1/time", (), 1)

    def parse_clock(self, body: bytes) -> int:
        """Read the venue's clock in ms UTC."""
        answer = _json(body)
        moment = answer.get("serverTime") if isinstance(answer, dict) else None
        if type(moment) is not int or not 0 < moment < _NEVER_MS:
            raise DecodeError(f"expected serverTime in milliseconds, got {_short(body)}")
        return moment

    def used_weight(self, headers: Mapping[str, str]) -> int | None:
        text = headers.get("X-MBX-USED-WEIGHT-1M", "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None

    def classify(self, status: int, headers: Mapping[str, str], body: bytes) -> Verdict:
        """Say what an answer means (error codes: page error-code, read 2026-11)."""
        if status == 200:
            return Verdict(Kind.OK)
        code, text = _error(body)
        detail = f"HTTP {status} {text}".strip()
        retry_after_s = _retry_after_s(headers)
        if status == 418:
            found = _BANNED_UNTIL.search(text)
            return Verdict(Kind.BANNED, "banned", detail, retry_after_s, int(found[1]) if found else None)
        if status == 429:
            return Verdict(Kind.RATE_LIMITED, "rate_limited", detail, retry_after_s)
        if status == 403:
            return Verdict(Kind.FIREWALL, "firewall", detail, retry_after_s)
        if status == 451:
            return Verdict(Kind.REGION, "region", detail)
        # Without the venue's own code it was not the venue that refused, but something on the way to it.
        if status >= 500 or status == 408 or code is None or code in _PASSING_CODES:
            return Verdict(Kind.PASSING, f"http_{status}", detail)
        if code == -1121:
            return Verdict(Kind.PERMANENT, "unknown_symbol", detail)
        if code == -1122:
            return Verdict(Kind.PERMANENT, "symbol_status", detail)
        return Verdict(Kind.PERMANENT, "refused", detail)


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise DecodeError(f"the body is not JSON: {_short(body)}") from exc


def _error(body: bytes) -> tuple[int | None, str]:
    """The (code, text) of an error body; (None, a piece of the body) when it is not Binance's JSON."""
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None, _short(body)
    if not isinstance(answer, dict) or type(answer.get("code")) is not int:
        return None, _short(body)
    return answer["code"], _one_line(f"code {answer['code']}: {answer.get('msg', '')}")[:_DETAIL_MAX]


def _short(body: bytes) -> str:
    return _one_line(body[:_DETAIL_MAX].decode("utf-8", "replace"))[:100]


def _one_line(text: str) -> str:
    # What a venue says ends up on the terminal and in the log.
    return "".join(char if char.isprintable() else "?" for char in " ".join(text.split()))


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    text = headers.get("Retry-After", "").strip()
    return float(text) if text.isascii() and text.isdigit() and len(text) < 8 else None


def _is_row(row: object) -> bool:
    return isinstance(row, list) and len(row) >= _ROW_CELLS


def _time_of(row: object) -> Any:
    return row[0] if isinstance(row, list) and row else None


def _symbol(entry: object) -> str | None:
    """The symbol of an entry of exchangeInfo; None where it has none that there can be."""
    symbol = entry.get("symbol") if isinstance(entry, dict) else None
    try:
        return check_symbol(symbol) if isinstance(symbol, str) else None
    except ValueError:
        return None


def _instrument(symbol: str, entry: Mapping[str, Any]) -> tuple[Instrument, str]:
    """What an entry says of a symbol, and what in it is odd, in words."""
    status = entry.get("status")
    odd = [f"has the {key} {_shown(entry[key])}" for key in ("onboardDate", "deliveryDate") if _is_odd(entry.get(key))]
    end_ms = _moment(entry, "deliveryDate")
    instrument = Instrument(
        symbol=symbol,
        status=status if isinstance(status, str) else "",
        first_ms=_moment(entry, "onboardDate"),
        end_ms=None if end_ms is None or end_ms >= _NEVER_MS else end_ms,
        quote=_word(entry, "quoteAsset"),
        # TRADIFI_PERPETUAL, on shares and metals, is one too; a contract that ends is CURRENT_QUARTER and the like.
        kind="perpetual" if _word(entry, "contractType").endswith("PERPETUAL") else _word(entry, "contractType"),
        underlying=_word(entry, "underlyingType"),
    )
    return instrument, " and ".join(odd)


def _word(entry: Mapping[str, Any], key: str) -> str:
    value = entry.get(key)
    return _one_line(value)[:40] if isinstance(value, str) else ""


def _moment(entry: Mapping[str, Any], key: str) -> int | None:
    value = entry.get(key)
    return value if type(value) is int and value > 0 else None


def _is_odd(value: object) -> bool:
    """Whether a date that is there is none."""
    return value is not None and (type(value) is not int or value <= 0)


def _shown(value: object) -> str:
    return _one_line(orjson.dumps(value).decode())[:40]


def _advertised_weight(answer: Mapping[str, Any]) -> int | None:
    limits = answer.get("rateLimits")
    for limit in limits if isinstance(limits, list) else ():
        if isinstance(limit, dict) and (
            limit.get("rateLimitType"),
            limit.get("interval"),
            limit.get("intervalNum"),
        ) == (
            "REQUEST_WEIGHT",
            "MINUTE",
            1,
        ):
            weight = limit.get("limit")
            return weight if type(weight) is int and weight > 0 else None
    return None
