"""Numbers as venues send them, texts or JSON numbers, in columns: which of them to store, and their doubles.

A text counts if it is a plain decimal, whatever a float could be made of; a JSON number if it is no longer than one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import orjson

# No possessive quantifiers, though a quarter faster: with them Python 3.11.2 takes "5." for a decimal.
DECIMAL: Final = r"(?:0|[1-9][0-9]{0,18})(?:\.[0-9]{1,18})?"
"""The language of prices and volumes, for every way in."""
_TOO_LARGE: Final = 10**19
"""The limit for JSON numbers: no venue means one with more digits before its point."""
_ONE_DECIMAL: Final = re.compile(DECIMAL)
# What each byte is in a list of decimals: a digit, a point, a comma, or out of place.
_OTHER: Final = b"?"
_KINDS: Final = bytes(48 if byte in b"0123456789" else byte if byte in b".," else _OTHER[0] for byte in range(256))
_LONG: Final = b"0" * 19
"""This many digits in a row may be too many; DECIMAL decides."""
_TOO_LONG: Final = 10**18
"""A longer whole number may not have come back as one."""
_TINY: Final = b"0.0000"
"""How orjson begins numbers that Python spells with an exponent."""
_NUMBERS: Final = frozenset({int, float})


def wholes(texts: Sequence[Any]) -> list[int] | None:
    """Return int(text) of every cell; None if a cell is not, or may not be, just digits."""
    try:
        text = ",".join(texts).encode()
    except (TypeError, UnicodeEncodeError):
        return None
    if text.translate(None, b"0123456789,"):
        return None
    try:
        numbers: list[int] = orjson.loads(b"[%b]" % text)
    except orjson.JSONDecodeError:
        return None
    return numbers if len(numbers) == len(texts) and max(numbers, default=0) < _TOO_LONG else None


def cells_of(columns: Sequence[Sequence[Any]]) -> tuple[tuple[Sequence[str], ...], tuple[list[float], ...]] | None:
    """Return the texts and the floats of cells, column by column; None if a cell breaks a rule, or may break one."""
    values = decimals(columns)
    if values is not None:
        return tuple(columns), values
    # Not all are texts: each column may be one of numbers.
    texts: list[Sequence[str]] = []
    floats: list[list[float]] = []
    for column in columns:
        if _NUMBERS.issuperset(map(type, column)):
            spelled = _spelled(column)
            if spelled is None:
                return None
            texts.append(spelled)
            floats.append(list(map(float, column)))
        elif (doubles := decimals([column])) is not None:
            texts.append(column)
            floats += doubles
        else:
            return None
    return tuple(texts), tuple(floats)


def decimals(columns: Sequence[Sequence[Any]]) -> tuple[list[float], ...] | None:
    """Return float(text) of every cell, column by column; None if a cell is not, or may not be, a plain decimal text.

    Digits, points and commas that parse as JSON are a list of numbers in the language of DECIMAL, apart from their
    length. That takes a third of the time of a regular expression.
    """
    try:
        text = ",".join([",".join(column) for column in columns]).encode()
    except (TypeError, UnicodeEncodeError):
        return None
    kinds = text.translate(_KINDS)
    if _OTHER in kinds or _LONG in kinds:
        return None
    try:
        # orjson rounds like float() and is six times faster; whole numbers come back as int, hence the map.
        numbers = list(map(float, orjson.loads(b"[%b]" % text)))
    except orjson.JSONDecodeError:
        return None
    rows = len(columns[0])
    if len(numbers) != rows * len(columns):
        return None
    return tuple(numbers[first : first + rows] for first in range(0, len(numbers), rows))


def _spelled(numbers: Sequence[int | float]) -> Sequence[str] | None:
    """Return repr() of every number, the shortest digits of its double; None if one is too large, or not finite.

    orjson finds the same digits three times as fast, but writes exponents at other sizes and in another spelling.
    """
    try:
        text = orjson.dumps(numbers)
    except orjson.JSONEncodeError:
        # An integer of more than 64 bits.
        return None
    if b"null" in text or max(numbers) >= _TOO_LARGE:
        return None
    if b"e" in text or _TINY in text:
        return list(map(repr, numbers))
    return text[1:-1].decode().split(",")


def decimal_text(cell: object) -> str | None:
    if isinstance(cell, str):
        return cell if _ONE_DECIMAL.fullmatch(cell) else None
    # NaN and infinity fail the comparison.
    return repr(cell) if isinstance(cell, int | float) and type(cell) in _NUMBERS and abs(cell) < _TOO_LARGE else None
