"""A page of rows -> the candles to store, and the refused rows, each with its reason.  Pure.

The rules: open_time is an integer on the grid and inside the range asked, strictly rising; a number counts only if its
text is a plain decimal, whatever a float could be made of (a JSON number if it is no longer than one); high >=
max(open, close, low), low <= min(open, close), prices > 0, volume >= 0.  Of rows with identical doubles one is kept, a
minute with differing doubles is refused.  A row without a time belongs to the minute missing between its neighbours, if
they leave no doubt about it.

A row can break a rule by what it says (its prices, its time), or have an unknown *form*: a cell less, another type, a
spelling that is no number.  The first is about that row, the second may be about the reader: see Checked.

A page that keeps all rules is checked in columns; only a page that breaks one is walked row by row.

If a page's times fall, its adapter should have turned it: nothing of it is taken, and no row is refused, because the
rows are sound.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Container, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from laklak.model.candles import CandleBatch, Candles, Page
from laklak.model.decimals import cells_of, decimal_text
from laklak.model.series import Series, TimeRange
from laklak.text import json_text

_ROW_TEXT_MAX: Final = 600
"""A hostile venue must not fill the store with one row."""
_LONG_TIME: Final = 18
_MOVED: Final = "close_time is not where it was: the cells of the row are other ones"
_NO_TIME: Final = "open_time is not an integer"
_NEIGHBOURS: Final = 2
_OFF_GRID: Final = "open_time is not on the grid of the interval"
_OUT_OF_ORDER: Final = "out of order"
_ENOUGH_FOR_AN_ORDER: Final = 3
"""Two falling rows may be one out of order, or both newest first."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row not to store. `open_time_ms` is None if the row occupies no minute of the range asked.

    `unknown_form`: it cannot be read, whatever it says.
    """

    open_time_ms: int | None
    reason: str
    row: str
    unknown_form: bool = False


@dataclass(frozen=True, slots=True)
class Checked:
    """The outcome: candles in order, and refusals. No minute is in both.

    `strays`: some rows lie outside the range asked.  Then the answer may belong to another question (a cache that drops
    the query, times in another unit), and what it lacks proves nothing.

    `final_ms`: the answer does not tell yet what closes later.

    `sessions`: when the market traded, as the answer tells (see Page).

    `newest_first`: all rows come in the wrong order, so none was read; this, too, proves nothing.
    """

    candles: Candles
    refusals: Sequence[Refusal]
    strays: bool = False
    final_ms: int | None = None
    newest_first: bool = False
    sessions: Sequence[TimeRange] | None = None

    @property
    def unread(self) -> Sequence[Refusal]:
        """The rows of an unknown form."""
        return [refusal for refusal in self.refusals if refusal.unknown_form]

    @property
    def not_understood(self) -> bool:
        """Whether no row has the known form: then what they say is unknown, too."""
        return bool(self.refusals) and not len(self.candles) and len(self.unread) == len(self.refusals)

    def proves(self, refusal: Refusal) -> bool:
        """Whether a row of this answer, refused a second time, is broken itself, rather than new to the reader.

        A row that breaks a rule by what it says is broken.  One of an unknown form is if most rows of the answer have
        the known one, a later row among them: a venue that changes its form does not go back.
        """
        if not refusal.unknown_form:
            return True
        others = [one.open_time_ms for one in self.refusals if not one.unknown_form and one.open_time_ms is not None]
        later = max([*self.candles.open_times[-1:], *others], default=-1)
        known = len(self.candles) + len(others)
        return known > len(self.unread) and refusal.open_time_ms is not None and later > refusal.open_time_ms


def check_page(page: Page, series: Series, span: TimeRange) -> Checked:
    """Split the rows of an answer to `span` into candles and refusals.

    Rows may be any JSON; nothing raises for their content.  `candles.open_times` is strictly rising and inside `span`;
    `candles.values` equals float(text) of `candles.texts`, bit for bit.
    """
    if not page.rows:
        return Checked(_batch(series, []), ())
    moved, uneven = _cells_moved(page, series), _is_uneven(page)
    clean = None if moved or uneven else _check_columns(page, series, span)
    if clean is not None:
        return Checked(clean, ())
    if _falls(page.columns[0]):
        return Checked(_batch(series, []), (), strays=True, newest_first=True)
    return _RowCheck(page, series, span, moved=moved, uneven=uneven).checked()


def _falls(times: Sequence[Any]) -> bool:
    """Whether rows come newest first, maybe with a broken one among them.

    One row out of order makes one fall, so there must be two, and more falls than rises.
    """
    told = [time for time in times if type(time) is int]
    falls = sum(later < time for time, later in pairwise(told))
    rises = sum(later > time for time, later in pairwise(told))
    return falls > max(1, rises)


def _cells_moved(page: Page, series: Series) -> bool:
    """Whether no row has its close_time in its place: then the cells before it have moved, too.

    One in its place is enough, because a candle that ended early may have another close_time.
    """
    closes, times, step = page.close_times, page.columns[0], series.interval.ms
    if closes is None or _closes(times[0], closes[0], step):
        return False
    return not any(_closes(opened, closed, step) for opened, closed in zip(times, closes, strict=True))


def _is_uneven(page: Page) -> bool:
    """Whether rows with a close_time differ in length: then each row must have it in its place."""
    if page.close_times is None:
        return False
    rows = page.rows if set(map(type, page.rows)) == {list} else [row for row in page.rows if isinstance(row, list)]
    return len(set(map(len, rows))) > 1


def _closes(opened: object, closed: object, step: int) -> bool:
    """Whether `closed` can be the close_time of a candle that opened at `opened`."""
    if isinstance(closed, str) and closed.isascii() and closed.isdecimal() and len(closed) < _LONG_TIME:
        closed = int(closed)
    return type(opened) is int and type(closed) is int and 0 <= closed - opened <= step


def _check_columns(page: Page, series: Series, span: TimeRange) -> CandleBatch | None:
    """Return the page as one batch if every row surely keeps every rule, else None."""
    times, *columns = page.columns
    if set(map(type, times)) != {int}:
        return None
    step = series.interval.ms
    if times[0] < span.start_ms or times[-1] >= span.end_ms:
        return None
    # A page without holes is one arithmetic run; any other must be rising and on the grid.
    if not _is_run(times, step) and not (
        all(map(operator.lt, times, times[1:])) and not any(time % step for time in times)
    ):
        return None
    if times[0] % step:
        return None
    cells = cells_of(columns)
    if cells is None or not _prices_agree(*cells[1][:4]) or min(cells[1][4]) < 0:
        return None
    return CandleBatch(series, times, *cells)


def _is_run(times: Sequence[int], step: int) -> bool:
    return tuple(times) == tuple(range(times[0], times[0] + step * len(times), step))


def _prices_agree(
    opens: Sequence[float],
    highs: Sequence[float],
    lows: Sequence[float],
    closes: Sequence[float],
) -> bool:
    at_least = operator.ge
    return (
        all(map(at_least, highs, opens))
        and all(map(at_least, highs, closes))
        and all(map(at_least, opens, lows))
        and all(map(at_least, closes, lows))
        and min(lows) > 0
    )


class _RowCheck:
    """Checks a page row by row, because not all of it is plain: which minute each row is about, and what it is.

    `moved`: every row has the form in which another column stands where we read ours.
    """

    def __init__(self, page: Page, series: Series, span: TimeRange, *, moved: bool, uneven: bool) -> None:
        self._page = page
        self._series = series
        self._span = span
        self._moved = moved
        self._good: dict[int, tuple[tuple[str, ...], tuple[float, ...]]] = {}
        self._refusals: list[Refusal] = []
        self._refused: dict[int, object] = {}
        self._off_grid: dict[int, Any] = {}
        self._timeless: list[int] = []
        self._newest: int | None = None
        # Two rows alone do not tell whether one is in the wrong place, or the reader is wrong.
        self._no_order = sum(type(time) is int for time in page.columns[0]) < _ENOUGH_FOR_AN_ORDER
        self._uneven = uneven

    def checked(self) -> Checked:
        for index, row in enumerate(self._page.rows):
            self._place(index, row)
        for index in self._timeless:
            minute = _between_candles(self._page.columns[0], index, self._good, self._series.interval.ms)
            if self._has(minute) or minute in self._off_grid:
                minute = None
            self._refuse(minute, _NO_TIME, self._page.rows[index], form=True)
        strays = any(refusal.open_time_ms is None for refusal in self._refusals)
        for began, row in self._off_grid.items():
            # It stands for the minute it began in, unless another row does.
            self._refuse(None if self._has(began) else began, _OFF_GRID, row, form=self._moved)
        rows = [(time, *self._good[time]) for time in sorted(self._good)]
        return Checked(_batch(self._series, rows), self._refusals, strays)

    def _place(self, index: int, row: Any) -> None:
        """Find the minute of a row; a row without one, or of another, waits or is refused."""
        open_time = self._page.columns[0][index]
        reason = _misplaced(open_time, self._series, self._span)
        if reason is None:
            self._take(open_time, index, row)
        elif reason is _OFF_GRID and self._span.start_ms <= open_time < self._span.end_ms:
            self._off_grid.setdefault(open_time - open_time % self._series.interval.ms, row)
        elif reason is _NO_TIME:
            self._timeless.append(index)
        else:
            self._refuse(None, reason, row, form=self._moved)

    def _take(self, open_time: int, index: int, row: Any) -> None:
        """Judge a row about a minute of the span."""
        cells = [column[index] for column in self._page.columns[1:]]
        others = self._moved or (self._uneven and not self._closes(index))
        candle = _candle(cells)
        if others and not isinstance(candle, str):
            candle = _MOVED
        if self._has(open_time):
            self._take_again(open_time, candle, row)
            return
        if isinstance(candle, str):
            self._refuse(open_time, candle, row, form=others or not all(map(_is_number, cells)))
        elif self._newest is not None and open_time < self._newest:
            self._refuse(open_time, _OUT_OF_ORDER, row, form=self._moved or self._no_order)
        else:
            self._good[open_time] = candle
        self._newest = open_time if self._newest is None else max(self._newest, open_time)

    def _take_again(self, open_time: int, candle: tuple[tuple[str, ...], tuple[float, ...]] | str, row: Any) -> None:
        """Judge another row of the same minute: it may only repeat the first one."""
        if open_time in self._refused and self._refused[open_time] == row:
            return
        if isinstance(candle, str) or self._good.get(open_time, (None, None))[1] != candle[1]:
            self._refuse(open_time, "doubled with differing values", row, form=self._moved)

    def _has(self, open_time: int | None) -> bool:
        return open_time in self._good or open_time in self._refused

    def _refuse(self, open_time: int | None, reason: str, row: Any, *, form: bool) -> None:
        self._refusals.append(Refusal(open_time, reason, json_text(row, _ROW_TEXT_MAX), form))
        if open_time is not None:
            self._refused[open_time] = row
            self._good.pop(open_time, None)

    def _closes(self, index: int) -> bool:
        times = self._page.close_times
        return times is None or _closes(self._page.columns[0][index], times[index], self._series.interval.ms)


def _between_candles(times: Sequence[Any], index: int, good: Container[int], step: int) -> int | None:
    """Return the minute of a row without a time if its neighbours leave no doubt; else None.

    The two candles before it and the two after it must leave just this minute, and its time cell must not tell another.
    """
    places = range(index - _NEIGHBOURS, index + _NEIGHBOURS + 1)
    if places[0] < 0 or places[-1] >= len(times) or type(times[places[0]]) is not int:
        return None
    for number, place in enumerate(places):
        time = times[places[0]] + number * step
        if place != index and (type(times[place]) is not int or times[place] != time or time not in good):
            return None
    minute: int = times[places[0]] + _NEIGHBOURS * step
    return minute if _time_said(times[index]) in (None, minute) else None


def _time_said(cell: object) -> float | None:
    """Return the number that a non-integer cell spells; None if it spells none."""
    try:
        number = float(cell) if isinstance(cell, str | float) else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _misplaced(open_time: object, series: Series, span: TimeRange) -> str | None:
    """Say why a row occupies no minute of the range, or None if it does."""
    if type(open_time) is not int:
        return _NO_TIME
    if open_time % series.interval.ms:
        return _OFF_GRID
    if not span.start_ms <= open_time < span.end_ms:
        return "outside the range asked"
    return None


def _candle(cells: Sequence[Any]) -> tuple[tuple[str, ...], tuple[float, ...]] | str:
    """Return the texts and floats of one row, or the rule it breaks."""
    texts = []
    for name, cell in zip(("open", "high", "low", "close", "volume"), cells, strict=True):
        text = decimal_text(cell)
        if text is None:
            return f"{name} is not a decimal number"
        texts.append(text)
    opening, high, low, close, volume = values = tuple(map(float, texts))
    if min(values[:4]) <= 0:
        return "a price is not above zero"
    if volume < 0:
        return "volume is below zero"
    if high < max(opening, close, low):
        return "high is below open, close or low"
    if low > min(opening, close):
        return "low is above open or close"
    return tuple(texts), values


def _is_number(cell: object) -> bool:
    """Whether a cell is a number in a known spelling, also a negative one, whatever it says."""
    return decimal_text(cell.removeprefix("-") if isinstance(cell, str) else cell) is not None


def _batch(series: Series, rows: list[tuple[int, tuple[str, ...], tuple[float, ...]]]) -> CandleBatch:
    return CandleBatch(
        series,
        [time for time, _, _ in rows],
        tuple([texts[i] for _, texts, _ in rows] for i in range(5)),
        tuple([values[i] for _, _, values in rows] for i in range(5)),
    )
