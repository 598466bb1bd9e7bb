"""Candles in columns, and the pages and chunks in which they come."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, Protocol, TypeVar

from laklak.model.series import Series, TimeRange

Cell = TypeVar("Cell")

Cut = Literal["newest", "oldest"]
"""The end of an answer at which a cut removes rows."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """One request's worth of a series: `range` is asked, `wanted` (inside it) is what is not stored yet.

    Ranges are on the grid, `wanted` is in order, disjoint and never empty.  Usually it is just `(range,)`; asking for a
    little more than is wanted can be cheaper than asking twice.
    """

    series: Series
    range: TimeRange
    wanted: tuple[TimeRange, ...]

    @property
    def limit(self) -> int:
        """Candles that the range can hold: what the request asks for."""
        return self.range.count(self.series.interval)

    @property
    def wanted_count(self) -> int:
        return sum(part.count(self.series.interval) for part in self.wanted)

    def until(self, end_ms: int) -> Chunk:
        """The part before `end_ms`, on the grid; it may want nothing."""
        before = TimeRange(self.range.start_ms, max(self.range.start_ms, self.series.interval.floor(end_ms)))
        wanted = (part.clip(before) for part in self.wanted)
        return Chunk(self.series, self.range.clip(before), tuple(part for part in wanted if part))

    def since(self, start_ms: int) -> Chunk:
        """The part from `start_ms` on, on the grid; it may want nothing."""
        after = TimeRange(min(self.range.end_ms, self.series.interval.ceil(start_ms)), self.range.end_ms)
        wanted = (part.clip(after) for part in self.wanted)
        return Chunk(self.series, self.range.clip(after), tuple(part for part in wanted if part))

    @property
    def nothing(self) -> CandleBatch:
        """A batch of the series without candles."""
        return CandleBatch(self.series, (), ((),) * 5, ((),) * 5)


class Candles(Protocol):
    """Checked candles of one series, oldest first, in columns of equal length, to settle, count and store.

    `open_times` rises strictly.  `texts` and `values` are (open, high, low, close, volume): the venue's own digits, and
    float(text) of each.  A CandleBatch holds them, an archive's table makes them when asked; candles that a store has
    packed or given have the shortest digits that mean the same double.
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
        """Return the candles whose open_time lies in one of `wanted`."""
        ...

    def encode(self, around: Sequence[str], start: int = 0, stop: int | None = None) -> bytes:
        """Return the candles `start` to `stop` as one text, in UTF-8.

        Each is its five texts and its open_time with the seven pieces of `around` before, between and after them: a,
        open, b, high, c, low, d, close, e, volume, f, open_time, g.
        """
        ...


@dataclass(frozen=True, slots=True)
class CandleBatch:
    """Candles in plain sequences, as a page of rows gives them (see Candles)."""

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
        """Return the same candles in plain sequences."""

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
    """Return where in `open_times` (rising) the candles of `ranges` lie: slices in order, none empty, none touching."""
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

    Cells are whatever the venue sent; a row that is too short has None in place of missing cells. `rows` are the rows
    as they came, for the record of a refused one. `close_times`, if the adapter gives them, stand behind those columns
    in every row and show that the cells still mean what they did. `final_ms`, for a delayed feed: candles that close
    later may still change. `sessions`: when the market traded in the span asked for, in order; None if the answer does
    not tell.
    """

    columns: tuple[Sequence[Any], ...]
    rows: Sequence[Any]
    close_times: Sequence[Any] | None = None
    final_ms: int | None = None
    sessions: Sequence[TimeRange] | None = None
