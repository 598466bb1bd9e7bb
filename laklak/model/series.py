"""The words of the program as data that does not change: no I/O, no clock, nothing imported from the package.

Times are integer milliseconds since the epoch, UTC (`_ms`); ranges are half-open `[start, end)`.
"""

from __future__ import annotations

import unicodedata
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final, Literal, Protocol, TypeVar

MINUTE_MS: Final = 60_000
DAY_MS: Final = 86_400_000

Cell = TypeVar("Cell")

_FORBIDDEN_IN_SYMBOLS: Final = frozenset("\"'`\\/")


def check_symbol(text: str) -> str:
    """Give back `text` if it can be a symbol, else raise ValueError saying what is wrong with it.

    1 to 40 printable characters without white space, control characters, quotes, backslash, `/` or `..`;
    `^GSPC`, `BTC=F` and `币安人生USDT` are real ones.
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
    """The length of a candle: `1m` to `1d`. All of them divide the day, so every grid starts at the epoch."""

    name: str
    ms: int

    @classmethod
    def parse(cls, text: str) -> Interval:
        """Give the interval called `text`; ValueError names the ones there are."""
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
        """How many candles a range on the grid holds."""
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
class Chunk:
    """One request's worth of a series: `range` is asked, `wanted` (inside it) is what is not stored yet.

    Ranges are on the grid, `wanted` is in order, disjoint and never empty.  Usually it is just `(range,)`;
    asking a little more than is wanted is sometimes cheaper than asking twice.
    """

    series: Series
    range: TimeRange
    wanted: tuple[TimeRange, ...]

    @property
    def limit(self) -> int:
        """Candles the range can hold: what the request asks for."""
        return self.range.count(self.series.interval)

    @property
    def wanted_count(self) -> int:
        return sum(part.count(self.series.interval) for part in self.wanted)

    @property
    def nothing(self) -> CandleBatch:
        """A batch of the series without candles."""
        return CandleBatch(self.series, (), ((),) * 5, ((),) * 5)


class Candles(Protocol):
    """Checked candles of one series, oldest first, in columns of equal length: what is settled, counted and stored.

    `open_times` rises strictly.  `texts` and `values` are (open, high, low, close, volume): the venue's own digits,
    and float(text) of each.  A CandleBatch holds them, a table of an archive makes them when they are asked for; of
    candles that a store has packed or given, the digits are the shortest that mean the same double.
    """

    @property
    def series(self) -> Series: ...
    @property
    def open_times(self) -> Sequence[int]: ...
    @property
    def texts(self) -> tuple[Sequence[str], ...]: ...
    @property
    def values(self) -> tuple[Sequence[float], ...]: ...

    def __len__(self) -> int: ...

    def only(self, wanted: Sequence[TimeRange]) -> Candles:
        """The candles whose open_time lies in one of `wanted`."""
        ...

    def encode(self, around: Sequence[str], start: int = 0, stop: int | None = None) -> bytes:
        """The candles `start` to `stop` as one text, in UTF-8.

        Each is its five texts and its open_time with the seven pieces of `around` before, between and after them:
        a, open, b, high, c, low, d, close, e, volume, f, open_time, g.
        """
        ...


@dataclass(frozen=True, slots=True)
class CandleBatch:
    """Candles in plain sequences: what a page of rows gives (see Candles)."""

    series: Series
    open_times: Sequence[int]
    texts: tuple[Sequence[str], ...]
    values: tuple[Sequence[float], ...]

    def __len__(self) -> int:
        return len(self.open_times)

    def only(self, wanted: Sequence[TimeRange]) -> CandleBatch:
        parts = places(self.open_times, wanted)
        if parts == [slice(0, len(self))]:
            return self
        return CandleBatch(
            self.series,
            _picked(self.open_times, parts),
            tuple(_picked(column, parts) for column in self.texts),
            tuple(_picked(column, parts) for column in self.values),
        )

    def encode(self, around: Sequence[str], start: int = 0, stop: int | None = None) -> bytes:
        a, b, c, d, e, f, g = around
        rows = islice(zip(*self.texts, self.open_times, strict=True), start, stop)
        return "".join(
            [
                f"{a}{opening}{b}{high}{c}{low}{d}{close}{e}{volume}{f}{open_time}{g}"
                for opening, high, low, close, volume, open_time in rows
            ]
        ).encode()


class PackedCandles(ABC):
    """Candles in the form in which one store writes them (see Candles); their cells are unpacked when asked for."""

    __slots__ = ()

    series: Series
    open_times: Sequence[int]

    @abstractmethod
    def unpacked(self) -> CandleBatch:
        """The same candles in plain sequences."""

    @property
    def texts(self) -> tuple[Sequence[str], ...]:
        return self.unpacked().texts

    @property
    def values(self) -> tuple[Sequence[float], ...]:
        return self.unpacked().values

    def __len__(self) -> int:
        return len(self.open_times)

    def only(self, wanted: Sequence[TimeRange]) -> CandleBatch:
        return self.unpacked().only(wanted)

    def encode(self, around: Sequence[str], start: int = 0, stop: int | None = None) -> bytes:
        return self.unpacked().encode(around, start, stop)


def places(open_times: Sequence[int], ranges: Sequence[TimeRange]) -> list[slice]:
    """Where in `open_times` (rising) the candles of `ranges` lie: slices in order, none empty, none touching."""
    found: list[slice] = []
    done = 0
    for part in sorted(ranges):
        first = max(done, bisect_left(open_times, part.start_ms))
        after = bisect_left(open_times, part.end_ms)
        if first >= after:
            continue
        if found and first == done:
            found[-1] = slice(found[-1].start, after)
        else:
            found.append(slice(first, after))
        done = after
    return found


def _picked(column: Sequence[Cell], parts: Sequence[slice]) -> list[Cell]:
    return [cell for part in parts for cell in column[part]]


@dataclass(frozen=True, slots=True)
class Page:
    """An answer's rows before any check: six columns of equal length (open_time, open, high, low, close, volume).

    Cells are whatever the venue sent; a row that is too short has None where cells are missing. `rows` are the
    rows as they came, for the record of a refused one. `close_times`, where an adapter gives them, stand behind those
    columns in every row: by them it shows that the cells still mean what they did.
    """

    columns: tuple[Sequence[Any], ...]
    rows: Sequence[Any]
    close_times: Sequence[Any] | None = None


AbsenceKind = Literal["hole", "rejected"]


@dataclass(frozen=True, slots=True)
class Absence:
    """A minute the venue has no usable candle for, confirmed twice: remembered as data, not asked again.

    `hole`: two complete answers lack it. `rejected`: its row broke the rules twice; `row` is that row as JSON.
    `confirmed_at_ms` is this machine's clock, `venue_ms` the venue's at that moment; `file_ms`, also by the venue's
    clock, when the bulk file that should have the minute was last found to lack it. None is never, or not noted.
    """

    open_time_ms: int
    kind: AbsenceKind
    confirmed_at_ms: int
    reason: str
    row: str | None = None
    venue_ms: int | None = None
    file_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Note:
    """What a store remembers beside candles, one of each `kind` about a venue or a series.

    `about`: `binance` or `binance:BTCUSDT:1m`. `value`: JSON; empty when it has been forgotten. `noted_at_ms`: this
    machine's clock, `venue_ms`: the venue's at that moment, for either may be wrong.
    """

    about: str
    kind: str
    value: str
    noted_at_ms: int
    venue_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Instrument:
    """What a venue says of a symbol: its `status`, when it was listed and when trading ends.

    All of it is a hint: such dates have been weeks off, and a status can outlive the candles.  None is no date.
    `quote`: what prices are in. `kind`: `perpetual`, or in the venue's word another. `underlying`: likewise, of what.
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
        """Whether candles are to be expected; also where nothing is said."""
        return self.status.upper() in ("TRADING", "UNKNOWN", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreAccess:
    """A store as a user names it, and how it is used. What is only for servers means nothing to a file.

    `where`: a SQLite file or a URL; it may hold a password, so show it masked.
    `password`, `token` and `org`: for an InfluxDB address that has none of its own.
    `measurement`: where candles are kept, with `{venue}` for the venue's name. `batch_lines`: lines in one request.
    `state_dir`: where the lock of a store on a server is kept; a file's is beside it.
    `max_wait_s`: how long a server that is down is waited for. At the start that is shorter: `start_wait_s` for a
    network that is not up yet, `refusal_wait_s` for a server that refuses the connection.
    """

    where: str = field(repr=False)
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    org: str | None = None
    gzip: bool = False
    batch_lines: int = 5_000
    measurement: str = "{venue}_ohlc"
    state_dir: Path | None = None
    max_wait_s: float = 600.0
    start_wait_s: float = 0.0
    refusal_wait_s: float = 0.0


_RESULTS: Final = {0: "complete", 1: "incomplete", 2: "refused", 75: "try later", 130: "interrupted", 143: "terminated"}


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run as the store remembers it. Times in ms UTC; `stored_before` and `stored_after` count candles."""

    started_ms: int
    ended_ms: int
    version: str
    start_ms: int
    end_ms: int
    interval: str
    series: int
    wanted: int
    stored_before: int
    stored_after: int
    written: int
    holes: int
    rejected: int
    missing: int
    requests: int
    weight: int
    exit_code: int
    error: str | None

    @property
    def result(self) -> str:
        """The exit status as a word."""
        return _RESULTS.get(self.exit_code, "failed")

    @property
    def facts(self) -> dict[str, str | int | None]:
        """Everything but its times, with `result`, under the names that it is stored by; times each store spells."""
        names = [one.name for one in fields(self) if not one.name.endswith("_ms")]
        return {**{name: getattr(self, name) for name in names}, "result": self.result}


def iso(time_ms: int) -> str:
    """UTC text with Z: minutes where that says all, else seconds, else milliseconds."""
    moment = datetime.fromtimestamp(time_ms // 1000, UTC)
    if time_ms % 1000:
        return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ms % 1000:03d}Z"
    if time_ms % MINUTE_MS:
        return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
    return f"{moment:%Y-%m-%dT%H:%MZ}"
