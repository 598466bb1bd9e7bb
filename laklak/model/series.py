"""Series and time: intervals, symbols, ranges, and what a venue says of a symbol.

Times are integer milliseconds since the epoch, UTC (`_ms`); ranges are half-open `[start, end)`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

MINUTE_MS: Final = 60_000
DAY_MS: Final = 86_400_000


_FORBIDDEN_IN_SYMBOLS: Final = frozenset("\"'`\\/")


def check_symbol(text: str) -> str:
    """Return `text` if it can be a symbol, else raise ValueError saying what is wrong with it.

    1 to 40 printable characters without white space, control characters, quotes, backslash, `/` or `..`; `^GSPC`,
    `BTC=F` and `币安人生USDT` are real ones.
    """
    if not text:
        raise ValueError("a symbol cannot be empty")
    if len(text) > 40:
        raise ValueError(f"symbol {text[:40]!r}... has {len(text)} characters; at most 40 are allowed")
    for char in text:
        if char.isspace() or not char.isprintable() or unicodedata.category(char).startswith("C"):
            raise ValueError(f"symbol {text!r} holds {char!r}; only printable characters without spaces are allowed")
        if char in _FORBIDDEN_IN_SYMBOLS:
            raise ValueError(f"symbol {text!r} holds {char!r}; quotes, backslash and / are not allowed")
    if ".." in text:
        raise ValueError(f"symbol {text!r} holds '..', which is not allowed")
    return text


@dataclass(frozen=True, slots=True)
class Interval:
    """The length of a candle: `1m` to `1d`. All divide the day, so every grid starts at the epoch."""

    name: str
    ms: int

    @classmethod
    def parse(cls, text: str) -> Interval:
        """Return the interval called `text`; ValueError names the known ones."""
        ms = _INTERVAL_MS.get(text)
        if ms is not None:
            return cls(text, ms)
        if text in ("3d", "1w", "1M"):
            raise ValueError(f"interval {text} is not supported yet; choose one of {', '.join(_INTERVAL_MS)}")
        raise ValueError(f"unknown interval {text!r}; choose one of {', '.join(_INTERVAL_MS)}")

    def floor(self, time_ms: int) -> int:
        return time_ms - time_ms % self.ms

    def ceil(self, time_ms: int) -> int:
        return -(-time_ms // self.ms) * self.ms

    def __str__(self) -> str:
        return self.name


_INTERVAL_MS: Final = {
    "1m": MINUTE_MS,
    "3m": 3 * MINUTE_MS,
    "5m": 5 * MINUTE_MS,
    "15m": 15 * MINUTE_MS,
    "30m": 30 * MINUTE_MS,
    "1h": 60 * MINUTE_MS,
    "2h": 120 * MINUTE_MS,
    "4h": 240 * MINUTE_MS,
    "6h": 360 * MINUTE_MS,
    "8h": 480 * MINUTE_MS,
    "12h": 720 * MINUTE_MS,
    "1d": DAY_MS,
}


@dataclass(frozen=True, slots=True)
class Series:
    """One line of candles: a venue's symbol at an interval, written `binance:BTCUSDT:1m`."""

    venue: str
    symbol: str
    interval: Interval

    @classmethod
    def parse(cls, text: str) -> Series:
        """Read `venue:symbol:interval`; ValueError says what is wrong."""
        venue, _, rest = text.partition(":")
        symbol, _, interval = rest.rpartition(":")
        if not venue or not symbol or not interval:
            raise ValueError(f"{text!r} is not a series; write venue:symbol:interval, as in binance:BTCUSDT:1m")
        return cls(venue, check_symbol(symbol), Interval.parse(interval))

    def __str__(self) -> str:
        return f"{self.venue}:{self.symbol}:{self.interval}"


@dataclass(frozen=True, slots=True, order=True)
class TimeRange:
    """Half-open `[start_ms, end_ms)`; empty when end is not after start."""

    start_ms: int
    end_ms: int

    def __bool__(self) -> bool:
        return self.end_ms > self.start_ms

    def count(self, interval: Interval) -> int:
        """Count the candles in a range on the grid."""
        return max(0, self.end_ms - self.start_ms) // interval.ms

    def clip(self, other: TimeRange) -> TimeRange:
        return TimeRange(max(self.start_ms, other.start_ms), min(self.end_ms, other.end_ms))

    def days(self) -> Iterator[TimeRange]:
        """The UTC days of the range, oldest first, clipped to it."""
        start_ms = self.start_ms
        while start_ms < self.end_ms:
            end_ms = min(self.end_ms, (start_ms // DAY_MS + 1) * DAY_MS)
            yield TimeRange(start_ms, end_ms)
            start_ms = end_ms

    def __str__(self) -> str:
        return f"[{iso(self.start_ms)}, {iso(self.end_ms)})"


@dataclass(frozen=True, slots=True)
class Instrument:
    """What a venue says of a symbol: its `status`, when it was listed and when trading ends.

    All of it is a hint: such dates have been weeks off, and a status can outlive the candles.  None means no date.
    `quote`: the currency of prices. `kind`: `perpetual`, or another in the venue's word. `underlying`: in its word,
    too.
    """

    symbol: str
    status: str
    first_ms: int | None
    end_ms: int | None
    quote: str = ""
    kind: str = ""
    underlying: str = ""

    @property
    def trades(self) -> bool:
        """Whether to expect candles; also if the venue says nothing."""
        return self.status.upper() in ("TRADING", "UNKNOWN", "")


def ms_of(text: str) -> int:
    """Return the moment of a UTC text with Z, in ms."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def iso(time_ms: int) -> str:
    """Return UTC text with Z: minutes if that says all, else seconds, else milliseconds."""
    moment = datetime.fromtimestamp(time_ms // 1000, UTC)
    if time_ms % 1000:
        return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ms % 1000:03d}Z"
    if time_ms % MINUTE_MS:
        return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
    return f"{moment:%Y-%m-%dT%H:%MZ}"
