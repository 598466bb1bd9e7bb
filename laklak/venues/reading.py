"""Helpers for reading answers: parts of JSON, pages of rows or columns, headers, error texts."""

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
"""Look at this many times the wanted length of a text, for spaces in it; the venue may send any length."""
_LONGEST_TIME: Final = 18

_LAST_MS: Final = 4_133_404_800_000
"""2100-12-25: no clock shows a later time."""

_MOST: Final = 100_000
"""No page has more rows and no listing more entries: anything longer is not an answer and would cost memory."""

Key = str | int
Beside = tuple[int, int]

_ONE_EACH: Final = (1, 1)


# Parts of an answer


def part(answer: Answer, *keys: Key) -> Any:
    """Return the JSON under the keys; DecodeError if a key leads nowhere."""
    found = answer.json
    for key in keys:
        try:
            found = found[key]
        except (KeyError, IndexError, TypeError):
            raise DecodeError(f"expected {'.'.join(map(str, keys))}, got {answer.shown}") from None
    return found


def list_part(answer: Answer, *keys: Key) -> list[Any]:
    """Return the list under the keys; DecodeError if it is no list."""
    found = part(answer, *keys)
    if not isinstance(found, list):
        raise DecodeError(f"expected a list{_under(keys)}, got {answer.shown}")
    if len(found) > _MOST:
        raise DecodeError(f"expected at most {_MOST:,} entries{_under(keys)}, got {len(found):,}")
    return found


def time_part(answer: Answer, *keys: Key, scale_ms: int = 1, text: bool = False) -> int:
    """Return a moment in ms, given as a whole number of `scale_ms` or, with `text`, as its digits; else DecodeError."""
    told = whole(part(answer, *keys), text=text)
    if told is None or not 0 < told * scale_ms < _LAST_MS:
        raise DecodeError(f"expected a time{_under(keys)}, got {answer.shown}")
    return told * scale_ms


def _under(keys: Sequence[Key]) -> str:
    return f" under {'.'.join(map(str, keys))}" if keys else ""


def whole(value: object, *, text: bool = False) -> int | None:
    """Return a whole number, with `text` also from its digits; None for anything else, also for true and false."""
    if text and isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _LONGEST_TIME:
        return int(value)
    return value if type(value) is int else None


def moment(entry: Mapping[str, Any], key: str, *, text: bool = False) -> int | None:
    """Return an entry's date in ms, with `text` from its digits; None if no calendar has it."""
    value = whole(entry.get(key), text=text)
    return value if value is not None and 0 < value < LAST_MS else None


def word(entry: object, key: str, most: int = _WORD_MAX) -> str:
    """Return an entry's text in one line of at most `most` characters; empty if there is none."""
    value = entry.get(key) if isinstance(entry, dict) else None
    return one_line(value[: _SPACED * most])[:most] if isinstance(value, str) else ""


def symbol_of(entry: object, key: str = "symbol") -> str | None:
    """Return the symbol of a listing's entry; None if it has no possible one."""
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
    """Make a page of rows that are lists.

    Args:
        rows: the rows as sent; an entry that is no list, or too short, stays, to be refused later on its own.
        cells: the positions of open_time, open, high, low, close and volume in a row.
        least: the fewest cells of a row; all rows of a page have equally many.  Cells that a venue appends do not
            move the first ones.
        close_time: the position of the close_time, if the venue sends it.
        newest_first: whether the venue sends the newest first; a page has the oldest first.
        scale_ms: ms in the venue's unit of time.
        text_times: whether times are digits as text.
        trim: drop rows at the ends of the page that lie outside this question's span (unless the question takes
            candles from anywhere).
        beside: how many such rows the venue may add (before, after).  If an end has more, they stay: the answer may
            belong to another question, so what it lacks proves nothing.
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
        # Rows of another shape are refused one by one later; here they only have to fit into columns.  In a row longer
        # than most, only a close_time can tell whether the cells before it moved.
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
    """Make a page of six columns (see Page.columns, page_of_rows); DecodeError if their lengths differ.

    `rows`: the rows that the columns were taken from, in the venue's order, if there were any.
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
    """Return the most frequent length of rows with at least `least` cells; on a tie the smaller."""
    lengths = Counter(len(row) for row in rows if isinstance(row, list) and len(row) >= least)
    return min(lengths, key=lambda length: (-lengths[length], length), default=least)


def _cells_of(row: object, places: Sequence[int], least: int, most: int | None) -> list[Any]:
    if isinstance(row, list) and least <= len(row) and (most is None or len(row) == most):
        return [row[place] for place in places]
    # A row of another length may still tell its time, and so which minute is in doubt.
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
    """Drop the rows outside the span that the venue adds by habit."""
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
    """Count the leading times for which `holds` is true; stop at the first unreadable one."""
    return sum(1 for _ in takewhile(lambda time: type(time) is int and holds(time), times))


# Errors and headers


def error_words(
    answer: Answer, code_key: str = "code", text_key: str = "msg", *, text: bool = False
) -> tuple[int | None, str]:
    """Return the (code, words) of a JSON error, or (None, the start of the body) if the venue did not write it.

    With `text` a code may also be digits as text.
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
    """Return the seconds of Retry-After; None if it has none."""
    text = headers.get("Retry-After", "").strip()
    return float(text) if text.isascii() and text.isdigit() and len(text) < 8 else None


def number_header(headers: Mapping[str, str], name: str) -> int | None:
    """Return a header's whole number; None if it has none."""
    text = headers.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
