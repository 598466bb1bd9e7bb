"""What adapters need to read answers: parts of them by keys, pages of rows or of columns, headers, errors in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Any, Final

from laklak.model.candles import Page
from laklak.model.decimals import wholes
from laklak.model.series import TimeRange, check_symbol
from laklak.text import one_line
from laklak.venues.base import LAST_MS, Answer, Asked, DecodeError

_DETAIL_MAX: Final = 200
_WORD_MAX: Final = 40
_SPACED: Final = 10
"""Of a text that much more is looked at, for the spaces that may be in it, and not all that a venue may send."""
_LONGEST_TIME: Final = 18

_LAST_MS: Final = 4_133_404_800_000
"""2100-12-25: no clock shows what comes later."""

_MOST: Final = 100_000
"""No page has so many rows, no listing so many entries: what has is no answer, and would cost much memory."""

Key = str | int
Beside = tuple[int, int]

_ONE_EACH: Final = (1, 1)


# Parts of an answer


def part(answer: Answer, *keys: Key) -> Any:
    """What stands in the JSON under the keys; DecodeError where one of them leads nowhere."""
    found = answer.json
    for key in keys:
        try:
            found = found[key]
        except (KeyError, IndexError, TypeError):
            raise DecodeError(f"expected {'.'.join(map(str, keys))}, got {answer.shown}") from None
    return found


def list_part(answer: Answer, *keys: Key) -> list[Any]:
    """The same of what has to be a list."""
    found = part(answer, *keys)
    if not isinstance(found, list):
        raise DecodeError(f"expected a list{_under(keys)}, got {answer.shown}")
    if len(found) > _MOST:
        raise DecodeError(f"expected at most {_MOST:,} entries{_under(keys)}, got {len(found):,}")
    return found


def time_part(answer: Answer, *keys: Key, scale_ms: int = 1, text: bool = False) -> int:
    """A moment, in ms: a whole number of units of `scale_ms`, or with `text` its digits."""
    told = whole(part(answer, *keys), text=text)
    if told is None or not 0 < told * scale_ms < _LAST_MS:
        raise DecodeError(f"expected a time{_under(keys)}, got {answer.shown}")
    return told * scale_ms


def _under(keys: Sequence[Key]) -> str:
    return f" under {'.'.join(map(str, keys))}" if keys else ""


def whole(value: object, *, text: bool = False) -> int | None:
    """A whole number, or with `text` the digits of one; None for anything else, a truth too."""
    if text and isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _LONGEST_TIME:
        return int(value)
    return value if type(value) is int else None


def moment(entry: Mapping[str, Any], key: str, *, text: bool = False) -> int | None:
    """A date of an entry in ms, or with `text` its digits; None where there is none that a calendar has."""
    value = whole(entry.get(key), text=text)
    return value if value is not None and 0 < value < LAST_MS else None


def word(entry: object, key: str, most: int = _WORD_MAX) -> str:
    """A text of an entry in one line of at most so many characters; empty where there is none."""
    value = entry.get(key) if isinstance(entry, dict) else None
    return one_line(value[: _SPACED * most])[:most] if isinstance(value, str) else ""


def symbol_of(entry: object, key: str = "symbol") -> str | None:
    """The symbol of an entry of a listing; None where it has none that there can be."""
    value = entry.get(key) if isinstance(entry, dict) else None
    try:
        return check_symbol(value) if isinstance(value, str) else None
    except ValueError:
        return None


# Pages


def page_of_rows(
    rows: Sequence[Any],
    cells: Sequence[int] = (0, 1, 2, 3, 4, 5),
    *,
    least: int = 0,
    close_time: int | None = None,
    newest_first: bool = False,
    scale_ms: int = 1,
    text_times: bool = False,
    trim: Asked | None = None,
    beside: Beside = _ONE_EACH,
) -> Page:
    """A page of rows that are lists.

    Args:
        rows: what may be rows; one that is none, or too short, is kept, to be refused by itself.
        cells: where in a row open_time, open, high, low, close and volume stand.
        least: a row has so many cells, or more, and all rows of a page equally many; what a venue adds behind them
            changes nothing of the first ones.
        close_time: where the close_time stands, in a venue that sends it.
        newest_first: how the venue sends them; a page has the oldest first.
        scale_ms: what one of the venue's units of time is.
        text_times: whether times are digits as text.
        trim: rows beside the minutes of this question are left out, at the ends of the page (not where it asks for
            candles that may lie anywhere).
        beside: how many of them the venue may add (before, after).  Where there are more at an end, these stay: the
            answer may be one to another question, and what it lacks proves nothing.
    """
    least = max(least, 1 + max(*cells, close_time or 0))
    places = [*cells] if close_time is None else [*cells, close_time]
    if newest_first:
        rows = rows[::-1]
    lengths = set(map(len, rows)) if set(map(type, rows)) <= {list} else set()
    if not rows:
        columns: list[Sequence[Any]] = [()] * len(places)
    elif len(lengths) == 1 and min(lengths) >= least:
        turned = tuple(zip(*rows, strict=True))
        columns = [turned[place] for place in places]
    else:
        # Rows of another shape are refused one by one later; here they only have to fit into columns.  Of a row that
        # is longer than most, a close_time tells whether the cells before it are where they were; else nothing does.
        told = close_time is not None and max(cells) < close_time
        most = None if told else _usual_length(rows, least)
        picked = [_cells_of(row, places, least, most) for row in rows]
        columns = list(zip(*picked, strict=True))
    columns[0] = _times(columns[0], scale_ms, text_times)
    page = Page(tuple(columns[:6]), rows, None if close_time is None else columns[6])
    return page if trim is None or trim.anywhere else _trimmed(page, trim.span, beside)


def page_of_columns(
    columns: Sequence[Sequence[Any]],
    *,
    rows: Sequence[Any] | None = None,
    newest_first: bool = False,
    scale_ms: int = 1,
    text_times: bool = False,
    trim: Asked | None = None,
    beside: Beside = _ONE_EACH,
) -> Page:
    """A page of six columns (see Page.columns, page_of_rows); DecodeError where they are not of one length.

    `rows`: where the columns were taken from rows, these, in the order of the venue.
    """
    if len(columns) != 6 or not all(isinstance(column, list | tuple) for column in columns):
        raise DecodeError("expected six columns of candles")
    if len(set(map(len, columns))) != 1:
        raise DecodeError(f"expected columns of one length, got {', '.join(str(len(column)) for column in columns)}")
    if len(columns[0]) > _MOST:
        raise DecodeError(f"expected at most {_MOST:,} candles, got {len(columns[0]):,}")
    turned = [column[::-1] for column in columns] if newest_first else list(columns)
    turned[0] = _times(turned[0], scale_ms, text_times)
    if rows is None:
        rows = list(map(list, zip(*turned, strict=True)))
    elif newest_first:
        rows = rows[::-1]
    page = Page(tuple(turned), rows)
    return page if trim is None or trim.anywhere else _trimmed(page, trim.span, beside)


def _usual_length(rows: Sequence[Any], least: int) -> int:
    """How many cells most rows have that have enough; of two such numbers the smaller one."""
    lengths = Counter(len(row) for row in rows if isinstance(row, list) and len(row) >= least)
    return min(lengths, key=lambda length: (-lengths[length], length), default=least)


def _cells_of(row: object, places: Sequence[int], least: int, most: int | None) -> list[Any]:
    if isinstance(row, list) and least <= len(row) and (most is None or len(row) == most):
        return [row[place] for place in places]
    # Of a row of another length the time may be known, and with it which minute is in doubt.
    known = isinstance(row, list) and len(row) > places[0]
    return [row[places[0]] if known else None, *[None] * (len(places) - 1)]  # type: ignore[index]


def _times(column: Sequence[Any], scale_ms: int, text: bool) -> Sequence[Any]:
    if scale_ms == 1 and not text:
        return column
    if text:
        plain: Sequence[int] | None = wholes(column)
    else:
        plain = column if set(map(type, column)) == {int} else None
    if plain is not None:
        return plain if scale_ms == 1 else [time * scale_ms for time in plain]
    times = [whole(time, text=text) for time in column]
    return [sent if time is None else time * scale_ms for sent, time in zip(column, times, strict=True)]


def _trimmed(page: Page, span: TimeRange, beside: Beside) -> Page:
    """The page without the rows beside the span that a venue adds."""
    times = page.columns[0]
    before = _count_while(lambda time: time < span.start_ms, times)
    after = _count_while(lambda time: time >= span.end_ms, reversed(times))
    first = before if before <= beside[0] else 0
    stop = len(times) - (after if after <= beside[1] else 0)
    if stop - first == len(times):
        return page
    closes = page.close_times
    return replace(
        page,
        columns=tuple(column[first:stop] for column in page.columns),
        rows=page.rows[first:stop],
        close_times=None if closes is None else closes[first:stop],
    )


def _count_while(holds: Callable[[int], bool], times: Iterable[Any]) -> int:
    """For how many of the times it holds, up to the first for which it does not, or that cannot be read."""
    return sum(1 for _ in takewhile(lambda time: type(time) is int and holds(time), times))


# Errors and headers


def error_words(
    answer: Answer, code_key: str = "code", text_key: str = "msg", *, text: bool = False
) -> tuple[int | None, str]:
    """The (code, words) of an error in JSON; (None, a piece of the body) where it is none of the venue's.

    With `text` codes are digits as text, too.
    """
    try:
        found = answer.json
    except DecodeError:
        return None, answer.shown
    code = whole(found.get(code_key), text=text) if isinstance(found, dict) else None
    if code is None:
        return None, answer.shown
    return code, f"code {code}: {word(found, text_key, _DETAIL_MAX)}"[:_DETAIL_MAX].strip()


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """The seconds of Retry-After; None where there are none."""
    text = headers.get("Retry-After", "").strip()
    return float(text) if text.isascii() and text.isdigit() and len(text) < 8 else None


def number_header(headers: Mapping[str, str], name: str) -> int | None:
    """A header that is a whole number; None where it is none."""
    text = headers.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
