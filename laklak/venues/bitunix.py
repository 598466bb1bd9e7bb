"""Bitunix futures, public market data.

Sources, read 2026-11: www.bitunix.com/api-docs/futures (get_kline, get_trading_pairs, error codes), and live answers as
public clients report them.

Facts that the program relies on:
* kline: rows come newest first, at most 200, with the forming one unmarked among them; endTime is exclusive on the open
  time.
* The names of the volumes are swapped: `quoteVol` is the amount of coins, `baseVol` the price paid for it.  A page
  whose numbers contradict that is refused.
* Errors come with HTTP 200 and a code, over the limit too (10005, 10006).  No server clock, no listing dates.
* 10 requests a second per address.

Unverified: whether startTime is inclusive (we ask a millisecond earlier, which is right either way), which rows of a
window wider than a page are cut (we assume the oldest; no window is wider), how far back short intervals reach (their
candles tell), what kline says of an unknown symbol (we take 20001, 20012, 20015 as that), what an address over the
limit gets (half the pace for a minute), and 3m (known for the stream only, so not offered).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from math import isfinite
from operator import itemgetter, mul
from typing import Any, Final

import orjson

from laklak.model.candles import Page
from laklak.model.series import Instrument
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
from laklak.venues.reading import (
    error_words,
    list_part,
    page_of_columns,
    retry_after_s,
    symbol_of,
    word,
)

_ONE: Final = {"requests": 1}
_KEYS: Final = ("time", "open", "high", "low", "close", "quoteVol", "baseVol")
_CELLS: Final = itemgetter(*_KEYS)
_PAUSE_S: Final = 1.0
_SLOWER_S: Final = 60.0
_ROUNDED: Final = 1e-6
"""Relative tolerance for sums of floats and for prices cut to a few digits."""
_MEANINGS: Final = {
    1: (Meaning.PASSING, "network"),
    2: (Meaning.PASSING, "system"),
    10001: (Meaning.PASSING, "network"),
    10005: (Meaning.LIMITED, "rate_limited"),
    10006: (Meaning.LIMITED, "rate_limited"),
    20001: (Meaning.REFUSED, "unknown_symbol"),
    20012: (Meaning.REFUSED, "unknown_symbol"),
    20015: (Meaning.REFUSED, "unknown_symbol"),
}


class Bitunix(Venue):
    name = "bitunix"
    url = "https://fapi.bitunix.com"
    intervals: Mapping[str, str] = {
        name: name for name in ("1m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d")
    }
    pool = "bitunix"
    quotas: Mapping[str, Quota] = {"requests": Quota(10, 1.0, share=0.8)}
    page = PageRule(200, cut="oldest")
    example = "BTCUSDT"
    one_word_symbols = True
    reach_is_unsaid = True

    def listing_requests(self, symbols: Collection[str]) -> Sequence[Request]:
        return [Request("/api/v1/futures/market/trading_pairs", (), _ONE)]

    def read_listing(self, answer: Answer) -> Listing:
        """Read trading_pairs: every symbol with its status, and no dates."""
        instruments: dict[str, Instrument] = {}
        entries = list_part(answer, "data")
        for entry in entries:
            symbol = symbol_of(entry)
            if symbol is not None:
                status = word(entry, "symbolStatus")
                # One word everywhere for what trades.
                status = "TRADING" if status == "OPEN" else status
                one = Instrument(symbol, status, None, None, word(entry, "quote"), "perpetual")
                instruments.setdefault(symbol, one)
        return Listing(instruments, unreadable=sum(symbol_of(entry) is None for entry in entries))

    def candles_request(self, asked: Asked) -> Request:
        span = asked.span
        return self._kline(asked, ("startTime", str(max(0, span.start_ms - 1))), ("endTime", str(span.end_ms)))

    def read_candles(self, answer: Answer, asked: Asked) -> Page:
        """Read kline: rows are objects, newest first, their values text (numbers in the documentation)."""
        rows = list_part(answer, "data")
        try:
            cells = list(map(_CELLS, rows))
        except (KeyError, TypeError):
            # Rows of another shape are refused one by one later.
            cells = [tuple(map(row.get, _KEYS)) if isinstance(row, dict) else (None,) * len(_KEYS) for row in rows]
        *candles, paid = zip(*cells, strict=True) if cells else [()] * len(_KEYS)
        if not asked.anywhere:
            # A single forming candle says little, and only its time is used.
            _, _, highs, lows, _, coins = candles
            _check_volumes(coins, paid, lows, highs)
        return page_of_columns(candles, rows=rows, newest_first=True, text_times=True, trim=asked)

    def newest_candle_request(self, asked: Asked) -> Request:
        """Without times the most recent rows come."""
        return self._kline(asked)

    def candles_until_request(self, asked: Asked) -> Request:
        """With an end alone they end there."""
        return self._kline(asked, ("endTime", str(asked.span.end_ms)))

    def judge(self, answer: Answer) -> Verdict:
        """Say what an answer means (error codes: page error_codes, read 2026-11)."""
        status = answer.status
        code, text = error_words(answer)
        if (status, code) == (200, 0):
            return OK
        detail = f"HTTP {status} {text}".strip()
        if status == 403:
            return Verdict(Meaning.BLOCKED, "firewall", detail)
        if status == 429:
            wait_s = retry_after_s(answer.headers) or _PAUSE_S
            return Verdict(Meaning.LIMITED, "rate_limited", detail, wait_s, slower_s=_SLOWER_S)
        if status != 200 or code is None:
            return Verdict(Meaning.PASSING, f"http_{status}", detail)
        meaning, reason = _MEANINGS.get(code, (Meaning.REFUSED, "refused"))
        if meaning is Meaning.LIMITED:
            return Verdict(meaning, reason, detail, _PAUSE_S, slower_s=_SLOWER_S)
        return Verdict(meaning, reason, detail)

    def _kline(self, asked: Asked, *times: tuple[str, str]) -> Request:
        series = (("symbol", asked.series.symbol), ("interval", self.intervals[asked.series.interval.name]))
        return Request("/api/v1/futures/market/kline", (*series, *times, ("limit", str(asked.count))), _ONE)


def _check_volumes(coins: Sequence[Any], paid: Sequence[Any], lows: Sequence[Any], highs: Sequence[Any]) -> None:
    """Raise DecodeError unless the amounts paid are possible prices of the coins, summed over the page.

    A page without volume passes.
    """
    columns = (coins, paid, lows, highs)
    try:
        # Takes a third of the time of float() for each cell.
        numbers = [orjson.loads(f"[{','.join(column)}]") for column in columns]
        if set(map(len, numbers)) != {len(coins)}:
            raise ValueError("not each of them is one number")
        least, most, total = _sums(*numbers)
    except (TypeError, ValueError):
        # An unreadable row is refused later on its own; the others show what the names mean.
        rows = list(_readable(zip(*columns, strict=True)))
        numbers = list(map(list, zip(*rows, strict=True))) if rows else [[]] * 4
        least, most, total = _sums(*numbers)
    coin, cost, low, high = numbers
    if not (sum(coin) and total) or least * (1 - _ROUNDED) <= total <= most * (1 + _ROUNDED):
        return
    # Amounts are rounded by half of their last digit, or cut by up to all of it.
    of_coin = _last_digit(coins) * sum(high)
    of_cost = _last_digit(paid) * len(cost)
    if not least * (1 - _ROUNDED) - of_coin - of_cost <= total <= most * (1 + _ROUNDED) + of_coin + of_cost:
        raise DecodeError(
            f"expected quoteVol to be coins and baseVol what was paid for them, got {sum(coin):g} and {total:g} "
            f"at prices from {min(low):g} to {max(high):g}"
        )


def _sums(
    coin: Sequence[float], cost: Sequence[float], low: Sequence[float], high: Sequence[float]
) -> tuple[float, float, float]:
    """Return the least and the most that the coins can have cost, and the amount paid."""
    return sum(map(mul, coin, low)), sum(map(mul, coin, high)), sum(cost)


def _readable(rows: Iterable[Sequence[Any]]) -> Iterable[Sequence[float]]:
    for row in rows:
        try:
            numbers = [float(cell) for cell in row]
        except (TypeError, ValueError, OverflowError):
            continue
        if all(map(isfinite, numbers)):
            yield numbers


def _last_digit(amounts: Sequence[Any]) -> float:
    """Return the value of the last digit of the amount spelled with the most digits; other types are ignored."""
    spelled = (str(amount) for amount in amounts if isinstance(amount, str | int | float))
    return float(10.0 ** -max(len(text.partition(".")[2]) for text in spelled))
