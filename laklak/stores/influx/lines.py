r"""Candles and facts as InfluxDB's line protocol: decimal text in, decimal text out.  Pure.

    binance_ohlc,exchange=binance,symbol=BTC\=F,timeframe=1m open=1.10,high=2,low=1,close=2,volume=0 1767225600000

Source: https://docs.influxdata.com/influxdb/v1/write_protocols/line_protocol_reference/ (read 2026-02), and what a
1.6.7 server does with it.  Times are milliseconds: write with `precision=ms`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from laklak.model.candles import CandleBatch, Candles, PackedCandles
from laklak.model.series import Series

FIELDS: Final = ("open", "high", "low", "close", "volume")
"""The fields of a candle, all floats."""

TAGS: Final = ("exchange", "symbol", "timeframe")
"""The tags of a candle, in the order in which a server keeps them."""

_NAME_ESCAPES: Final = str.maketrans({",": r"\,", " ": r"\ "})
_KEY_ESCAPES: Final = str.maketrans({",": r"\,", "=": r"\=", " ": r"\ "})
NO_TEXT: Final = "-"
"""Stands for an empty text: 2.7.12 returns empty fields between others in another order."""

_TEXT_ESCAPES: Final = str.maketrans({'"': r"\"", "\\": r"\\"})


def tags_of(series: Series) -> dict[str, str]:
    """Return the tags that say which series a point belongs to; with the measurement they are its identity."""
    return {"exchange": series.venue, "symbol": series.symbol, "timeframe": series.interval.name}


def series_of(tags: Mapping[str, str]) -> Series | None:
    """Return the series of a point with these tags; None for one that laklak cannot have written."""
    try:
        return Series.parse(":".join(tags[tag] for tag in TAGS))
    except (KeyError, ValueError):
        return None


def key_of(measurement: str, tags: Mapping[str, str]) -> str:
    """Return a line up to its first space: the escaped name and tags.

    Raises ValueError for what line protocol cannot surely spell: empty texts, control characters, and a backslash,
    which would swallow a separator after it.
    """
    parts = [_spelled(measurement, _NAME_ESCAPES)]
    parts += [f"{_spelled(key, _KEY_ESCAPES)}={_spelled(tags[key], _KEY_ESCAPES)}" for key in sorted(tags)]
    if parts[0].startswith("#"):
        raise ValueError(f"a measurement cannot begin with #, which marks a remark: {measurement!r}")
    return ",".join(parts)


def candle_lines(candles: Candles, key: str, start: int = 0, stop: int | None = None) -> bytes:
    """Return one line for each of the candles `start` to `stop`, oldest first, each ended by a newline.

    The digits are the venue's own; nothing is parsed.  The candles make the text themselves, because it is the hot
    path: 0.24 CPU s per million candles that came as a page, 0.14 for those that came as a file.
    """
    # "open=" belongs to the piece before, so that each line is made of as few pieces as possible.
    return candles.encode((f"{key} open=", ",high=", ",low=", ",close=", ",volume=", " ", "\n"), start, stop)


def candle_lines_ns(candles: Candles, key: str, more: str = "") -> bytes:
    """Return the same with times in nanoseconds, a server's default unit.

    `more` is a further field of each, as in `,made_of="1m"`.
    """
    return candles.encode((f"{key} open=", ",high=", ",low=", ",close=", ",volume=", f"{more} ", "000000\n"))


_VALUES: Final = re.compile(" " + ",".join(f"{name}=([0-9.eE+-]+)" for name in FIELDS) + " -?[0-9]+\n")


@dataclass(slots=True, eq=False)
class CandleLines(PackedCandles):
    """Candles as the lines to send: a fraction of the memory of Python's cells.

    `parts` are lines, `lines_per_part` in each but the last. Cells are read back from them when asked for, which is
    when a server refuses some.
    """

    series: Series
    open_times: Sequence[int]
    parts: Sequence[bytes]
    lines_per_part: int
    _batch: CandleBatch | None = field(default=None, init=False, repr=False)

    @classmethod
    def of(cls, candles: Candles, key: str, lines_per_part: int) -> CandleLines:
        """Spell candles under `key` (see key_of)."""
        starts = range(0, len(candles), lines_per_part)
        parts = [candle_lines(candles, key, start, start + lines_per_part) for start in starts]
        return cls(candles.series, candles.open_times, parts, lines_per_part)

    def lines(self, start: int, stop: int) -> bytes:
        """Return the lines of the candles `start` to `stop`; copies nothing if that is one part."""
        first, last = start // self.lines_per_part, (stop - 1) // self.lines_per_part
        before = first * self.lines_per_part
        if first == last and start == before and stop in (before + self.lines_per_part, len(self)):
            return self.parts[first]
        lines = b"".join(self.parts[first : last + 1]).splitlines(keepends=True)
        return b"".join(lines[start - before : stop - before])

    def unpacked(self) -> CandleBatch:
        if self._batch is None:
            texts = tuple(zip(*_VALUES.findall(b"".join(self.parts).decode()), strict=True)) or ((),) * len(FIELDS)
            values = tuple(list(map(float, column)) for column in texts)
            self._batch = CandleBatch(self.series, self.open_times, texts, values)
        return self._batch


def point_line(key: str, fields: Mapping[str, str | int | float], time_ms: int) -> str:
    """Return one line of named values, ended by a newline: texts quoted, integers as integers, floats as floats."""
    cells = ",".join(f"{_spelled(name, _KEY_ESCAPES)}={_value(value)}" for name, value in fields.items())
    return f"{key} {cells} {time_ms}\n"


def cell_of(cell: Any, kind: type[str] | type[int] | type[float]) -> str | int | float:
    """Read a server's cell of a field of ours: a missing one as empty or 0 by its type, NaN for a float."""
    if cell in (None, "") and kind is float:
        return math.nan
    return kind() if cell is None or cell in ("", NO_TEXT) else kind(cell)


def _spelled(text: str, escapes: Mapping[int, str]) -> str:
    if not text or "\\" in text or any(ord(char) < 32 or char == "\x7f" for char in text):
        raise ValueError(f"line protocol cannot spell {text!r}")
    return text.translate(escapes)


def _value(value: str | int | float) -> str:
    if isinstance(value, str):
        # A line ends at a newline, so in a text a space replaces it.
        value = value or NO_TEXT
        return f'"{" ".join(value.splitlines()).translate(_TEXT_ESCAPES)}"'
    return f"{value}i" if isinstance(value, int) else repr(value)
