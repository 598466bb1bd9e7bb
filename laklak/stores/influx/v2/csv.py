"""The answers of an InfluxDB 2.x server to Flux, annotated CSV, as columns of texts and times.  Pure.

    ,result,table,_time,_value
    ,days,0,2026-01-01T00:00:00Z,1440

    ,result,table,_time,_value,source
    ,days,1,2026-01-01T00:00:00Z,3,old

An empty line ends rows with the same columns, and the whole answer.  Source:
https://docs.influxdata.com/influxdb/v2/reference/syntax/annotated-csv/ (read 2026-02), tried on 2.7.12.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

from laklak.model.series import DAY_MS, MINUTE_MS

_EPOCH_DAY: Final = date(1970, 1, 1).toordinal()
_MINUTES: Final = {f"{m // 60:02d}:{m % 60:02d}:00Z": m * MINUTE_MS for m in range(1440)}
_HEAD: Final = ["", "result", "table"]


class FluxError(Exception):
    """The question failed while it was answered; the text is the server's sentence."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows with the same columns: the answer called `result`, without its columns `result` and `table`.

    `types` are those of `columns`, if they were asked for.
    """

    result: str
    columns: tuple[str, ...]
    types: tuple[str, ...]
    cells: tuple[Sequence[str], ...]

    def __getitem__(self, column: str) -> Sequence[str]:
        return self.cells[self.columns.index(column)]

    def __len__(self) -> int:
        return len(self.cells[0]) if self.cells else 0


def is_whole(body: bytes) -> bool:
    """Whether an answer has its end."""
    return body == b"\r\n" or body.endswith(b"\r\n\r\n")


def read_tables(body: bytes) -> list[Table]:
    """Take a whole answer apart; leave out tables without rows.

    Raises FluxError if it holds an error, ValueError or csv.Error if it is no such answer.
    """
    found: list[Table] = []
    head: list[str] = []
    types: list[str] = []
    rows: list[list[str]] = []

    def finish() -> None:
        if rows:
            found.append(_table(head, types, rows))

    for cells in csv.reader(io.StringIO(body.decode(), newline=""), strict=True):
        if head and cells:
            rows.append(cells)
        elif cells and cells[0] == "#datatype":
            types = cells
        elif cells:
            head = cells
        else:
            finish()
            head, types, rows = [], [], []
    finish()
    return found


def _table(head: Sequence[str], types: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    if head[1:2] == ["error"]:
        raise FluxError(rows[0][1])
    if list(head[:3]) != _HEAD:
        raise ValueError("no head of a table")
    columns = list(zip(*rows, strict=True))
    if len(columns) != len(head):
        raise ValueError("rows and head of a table do not fit")
    return Table(rows[0][1], tuple(head[3:]), tuple(types[3:]), tuple(columns[3:]))


def times_ms(texts: Sequence[str]) -> list[int | None]:
    """Return times as ms; None for one off the minute, where no candle begins."""
    days: dict[str, int] = {}
    times: list[int | None] = []
    for text in texts:
        day = text[:10]
        start = days.get(day)
        if start is None:
            start = days[day] = (date.fromisoformat(day).toordinal() - _EPOCH_DAY) * DAY_MS
        minute = _MINUTES.get(text[11:])
        times.append(None if minute is None else start + minute)
    return times


def time_ns(text: str) -> int:
    """Return a time as ns: `2026-01-01T00:00:00.000000001Z`."""
    whole = datetime.fromisoformat(text[:19]).replace(tzinfo=UTC)
    return int(whole.timestamp()) * 1_000_000_000 + int(text[20:-1].ljust(9, "0"))
