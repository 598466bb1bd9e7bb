"""A page of rows -> the candles that may be stored, and the rows that may not, each with its reason.  Pure.

The rules: open_time is an integer on the grid and inside the range asked, strictly rising; no number is taken unless
its text is a plain decimal, whatever a float could be made of (JSON numbers are taken where they are no longer);
high >= max(open, close, low), low <= min(open, close), prices > 0, volume >= 0.  Of identical doubles one is kept,
a minute with differing doubles is refused.  A row that tells no time is of the minute that lacks between its
neighbours, if they leave no doubt about it.

A row can break a rule by what it says (its prices, its time), or be of a *form* that is not known: a cell less, another
type, a spelling that is no number.  The first is about that row, the second may be about the reader: see Checked.

A page that keeps all rules is checked in columns; only a page that breaks one is walked row by row.

A page whose times fall is one that its adapter should have turned: nothing of it is taken, and none of its rows is
refused, for they are sound.
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
"""Of two rows that fall, one may be out of order, or both come newest first."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row that may not be stored. `open_time_ms` is None when the row occupies no minute of the range asked.

    `unknown_form`: it cannot be read, whatever it says.
    """

    open_time_ms: int | None
    reason: str
    row: str
    unknown_form: bool = False


@dataclass(frozen=True, slots=True)
class Checked:
    """The outcome: candles in order, and what was refused. No minute is in both.

    `strays`: some rows are of no minute that was asked. Then the answer may be one to another question (a cache that
    drops the query, times in another unit), and what it lacks proves nothing.

    `final_ms`: what closes later is not told yet, as the answer says.

    `sessions`: when there was trade, as the answer tells (see Page).

    `newest_first`: the rows come in the wrong order throughout, so none was looked at; it proves nothing either.
    """

    candles: Candles
    refusals: Sequence[Refusal]
    strays: bool = False
    final_ms: int | None = None
    newest_first: bool = False
    sessions: Sequence[TimeRange] | None = None

    @property
    def unread(self) -> Sequence[Refusal]:
        """The rows of a form that is not known."""
        return [refusal for refusal in self.refusals if refusal.unknown_form]

    @property
    def not_understood(self) -> bool:
        """There are rows, and none of them has the form that is known: what they say is not known either."""
        return bool(self.refusals) and not len(self.candles) and len(self.unread) == len(self.refusals)

    def proves(self, refusal: Refusal) -> bool:
        """Whether a row of this answer, refused a second time, is broken, and not the reader of the venue's new rows.

        It is by what it says.  By its form it is where most rows of the answer have the known one, a later one too: a
        venue that changes the form of its rows at some moment does not go back.
        """
        if not refusal.unknown_form:
            return True
        others = [one.open_time_ms for one in self.refusals if not one.unknown_form and one.open_time_ms is not None]
        later = max([*self.candles.open_times[-1:], *others], default=-1)
        known = len(self.candles) + len(others)
        return known > len(self.unread) and refusal.open_time_ms is not None and later > refusal.open_time_ms


def check_page(page: Page, series: Series, span: TimeRange) -> Checked:
    """Split the rows of an answer to `span` into candles and refusals.

    Rows may be any JSON; nothing raises for their content.  `candles.open_times` is strictly rising and inside
    `span`; `candles.values` equals float(text) of `candles.texts`, bit for bit.
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
    """Whether these are times of rows that come newest first, a broken one among them or not.

    One row out of order makes one fall, so there have to be two, and more falls than rises.
    """
    told = [time for time in times if type(time) is int]
    falls = sum(later < time for time, later in pairwise(told))
    rises = sum(later > time for time, later in pairwise(told))
    return falls > max(1, rises)


def _cells_moved(page: Page, series: Series) -> bool:
    """Whether no row has its close_time where it was: then the cells before it are not what they were either.

    One is enough, for a candle that ended early may have its own.
    """
    closes, times, step = page.close_times, page.columns[0], series.interval.ms
    if closes is None or _closes(times[0], closes[0], step):
        return False
    return not any(_closes(opened, closed, step) for opened, closed in zip(times, closes, strict=True))


def _is_uneven(page: Page) -> bool:
    """Whether rows with a close_time differ in length: each of them has to have it where it was, then."""
    if page.close_times is None:
        return False
    rows = page.rows if set(map(type, page.rows)) == {list} else [row for row in page.rows if isinstance(row, list)]
    return len(set(map(len, rows))) > 1


def _closes(opened: object, closed: object, step: int) -> bool:
    """Whether this is a close_time of a candle that opened then."""
    if isinstance(closed, str) and closed.isascii() and closed.isdecimal() and len(closed) < _LONG_TIME:
        closed = int(closed)
    return type(opened) is int and type(closed) is int and 0 <= closed - opened <= step


def _check_columns(page: Page, series: Series, span: TimeRange) -> CandleBatch | None:
    """The whole page as one batch if every row keeps every rule; None if one does not, or if that is not certain."""
    times, *columns = page.columns
    if set(map(type, times)) != {int}:
        return None
    step = series.interval.ms
    if times[0] < span.start_ms or times[-1] >= span.end_ms:
        return None
    # A page without holes is one arithmetic run; anything else has to be rising and on the grid.
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
    """A page looked at row by row, because not all of it is plain: which minute each row speaks of, and what it is.

    `moved`: every row has the form that another column is where we read ours.
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
        # Where all there is are two rows, more have to tell whether one is in the wrong place, or the reader is wrong.
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
            # It stands for the minute it began in, unless that has a row of its own.
            self._refuse(None if self._has(began) else began, _OFF_GRID, row, form=self._moved)
        rows = [(time, *self._good[time]) for time in sorted(self._good)]
        return Checked(_batch(self._series, rows), self._refusals, strays)

    def _place(self, index: int, row: Any) -> None:
        """Find the minute of a row; what has none, or one of others, waits or is refused."""
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
        """Judge a row that speaks of a minute of the span."""
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
    """The minute of a row that tells none, where its neighbours leave no doubt; else None.

    Two candles before it and two after it, in a row but for one minute, and nothing in its time that says another.
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
    """The number that a cell spells which is no integer; None if it spells none."""
    try:
        number = float(cell) if isinstance(cell, str | float) else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _misplaced(open_time: object, series: Series, span: TimeRange) -> str | None:
    """Why a row occupies no minute of the range, or None if it does."""
    if type(open_time) is not int:
        return _NO_TIME
    if open_time % series.interval.ms:
        return _OFF_GRID
    if not span.start_ms <= open_time < span.end_ms:
        return "outside the range asked"
    return None


def _candle(cells: Sequence[Any]) -> tuple[tuple[str, ...], tuple[float, ...]] | str:
    """The texts and floats of one row, or the rule it breaks."""
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
    """Whether a cell is a number in a spelling that is known, one below zero too: what it says is another matter."""
    return decimal_text(cell.removeprefix("-") if isinstance(cell, str) else cell) is not None


def _batch(series: Series, rows: list[tuple[int, tuple[str, ...], tuple[float, ...]]]) -> CandleBatch:
    return CandleBatch(
        series,
        [time for time, _, _ in rows],
        tuple([texts[i] for _, texts, _ in rows] for i in range(5)),
        tuple([values[i] for _, _, values in rows] for i in range(5)),
    )
