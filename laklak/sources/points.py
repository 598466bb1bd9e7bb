r"""Line protocol as a file of candles: what an export of ours has written, and what InfluxDB's own tools take out.

    binance_ohlc,exchange=binance,symbol=BTC\=F,timeframe=1m open=1.10,high=2,low=1,close=2,volume=0 1767225600000000000

Tags and fields come in any order, also one field a line (`influx_inspect export`, `influxd inspect export-lp`), so a
candle may be spread over all of a file.  Of what is told twice the later line counts, as it does for a server: such an
export has what was overwritten, too.  Points without any of our five fields are other ones and passed over.  A point
that has one and whose tags name no series, or that is none, makes all of the file untrusted (UsageError).

Source: https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/; cmd/influx_inspect/export/export.go of
InfluxDB 1.x and cmd/influxd/inspect/export_lp of 2.7.12 (all read 2026-11).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from laklak.errors import UsageError
from laklak.model.series import Series
from laklak.sources.sorted_rows import Row, SortedRows
from laklak.stores.influx.lines import FIELDS, TAGS, series_of
from laklak.venues import VENUES

NS_OF: Final[Mapping[str, int]] = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
"""The units of times, in ns."""

_BLOCK_BYTES: Final = 1 << 20
_POINT_BYTES_MAX: Final = 1 << 22
_ROWS_AT_ONCE: Final = 20_000
_SERIES_MAX: Final = 10_000
_HEADS_KEPT: Final = 10_000
_LATEST_NS: Final = 1 << 63

# Plain stretches first, then escaped or quoted ones: an alternative for each character would take ten times as long.
_POINT: Final = re.compile(
    rb"""((?!\n| )[^\\ \n]*(?:\\.[^\\ \n]*)*)[ ]+"""
    rb"""((?!\n| )[^\\ "\r\n]*(?:(?:\\.|"[^\\"]*(?:\\.[^\\"]*)*")[^\\ "\r\n]*)*)"""
    rb"""(?:[ ]+(-?[0-9]{1,20}))?[ ]*\r?\n"""
)
_PASSED_OVER: Final = re.compile(rb"[ \t\r]*(?:# CONTEXT-DATABASE:([^\n]*)|#[^\n]*|CREATE DATABASE [^\n]*)?\n")
_PART: Final = re.compile(r"((?:[^\\,=]|\\.)+)=((?:[^\\,=]|\\.)+)")
_FIELD: Final = re.compile(rb"""((?:[^\\,="]|\\.)+)=("(?:[^\\"]|\\.)*"|[^,"]+)(?:,|$)""")
_NUMBER: Final = re.compile(rb"([-+]?[0-9]+)[iu]|([-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)")
_OURS: Final = re.compile(",".join(f"{name}=([0-9.eE+-]+)" for name in FIELDS).encode())
_ESCAPED: Final = re.compile(r"\\([,= ])")


@dataclass(frozen=True, slots=True)
class Points:
    """What a file has: its series by their number in `rows`. `made`: some say they were made of shorter ones."""

    series: tuple[Series, ...]
    rows: SortedRows
    made: bool


def is_point(start: bytes) -> bool:
    """Whether a file that begins so is line protocol, as far as its start tells."""
    place = 0
    while passed := _PASSED_OVER.match(start, place):
        place = passed.end()
    found = _POINT.match(start, place)
    return found is not None and b"=" in found[2]


def read_points(path: Path, series: Series | None, names: Mapping[str, str], made: str, precision: str) -> Points:
    """Read a whole file; UsageError if it cannot be trusted.

    `series`: that of all points, which may then have any tags if all have the same. `names`: the file's names of our
    fields. `made`: the field that says what a candle was made of. `precision`: see NS_OF.
    """
    reader = _Reader(path, series, {names.get(name, name).encode(): place for place, name in enumerate(FIELDS)})
    with path.open("rb") as stream:
        return reader.read(stream, made.encode(), precision)


class _Reader:
    def __init__(self, path: Path, series: Series | None, places: Mapping[bytes, int]) -> None:
        self._path = path
        self._series = series
        self._places = places
        self._has_our_names = [*places] == [name.encode() for name in FIELDS]
        self._numbers: dict[Series, int] = {}
        self._grids: list[int] = []
        self._heads: dict[bytes, int] = {}
        self._databases: dict[Series, bytes] = {}
        self._database = b""
        self._only_head = b""
        self._line = 1

    def read(self, stream: BinaryIO, made: bytes, precision: str) -> Points:
        rows = SortedRows(self._path, merged=True)
        is_made = False
        batch: list[Row] = []
        for point in self._points(stream):
            if point is None:
                raise self._bad("is no point of line protocol", "name a file of candles")
            head, fields, time = point
            cells, any_told, made_here = self._cells_of(fields, made)
            if not any_told:
                continue
            is_made = is_made or made_here
            if time is None:
                raise self._bad("has no time", "a candle without one is none")
            number = self._number_of(head)
            batch.append((number, self._ms_of(time, self._grids[number], precision), self._line, *cells))
            if len(batch) >= _ROWS_AT_ONCE:
                rows.add(batch)
                batch = []
        rows.add(batch)
        return Points(tuple(self._numbers), rows, is_made)

    def _cells_of(self, fields: bytes, made: bytes) -> tuple[list[float | None], bool, bool]:
        """Five numbers, None where one is none or not told; whether any is told, and whether they were made."""
        # As laklak writes them itself, and in a third of the time.
        ours = _OURS.fullmatch(fields) if self._has_our_names else None
        if ours is not None:
            with suppress(ValueError):
                return [float(text) for text in ours.groups()], True, False
        cells: list[float | None] = [None] * 5
        any_told, made_here = False, False
        for name, text in self._fields_of(fields):
            place = self._places.get(name)
            if place is not None:
                if cells[place] is not None:
                    raise self._bad(f"tells {name.decode()} twice", "one of them is wrong: leave it out")
                any_told = True
                found = _NUMBER.fullmatch(text)
                cells[place] = None if found is None else float(found[1] or found[2])
            elif name == made:
                made_here = True
        return cells, any_told, made_here

    def _fields_of(self, fields: bytes) -> Iterator[tuple[bytes, bytes]]:
        if b'"' in fields or b"\\" in fields:
            place = 0
            while field := _FIELD.match(fields, place):
                yield field[1], field[2]
                place = field.end()
            if place < len(fields) or fields.endswith(b","):
                raise self._bad("has fields that are none", "name a file of candles")
            return
        for part in fields.split(b","):
            name, _, text = part.partition(b"=")
            if not name or not text or b"=" in text:
                raise self._bad("has fields that are none", "name a file of candles")
            yield name, text

    def _ms_of(self, time: bytes, grid_ms: int, precision: str) -> int:
        time_ms, rest = divmod(int(time) * NS_OF[precision], 1_000_000)
        if rest or time_ms % grid_ms or not 0 <= time_ms * 1_000_000 < _LATEST_NS:
            raise self._bad(
                f"has a time that is not on the grid of its candles: {time.decode()} {precision}",
                f"--precision {' or '.join(one for one in NS_OF if one != precision)} says what times are in",
            )
        return time_ms

    def _number_of(self, head: bytes) -> int:
        """The number of a point's series."""
        number = self._heads.get(head)
        if number is not None:
            return number
        series = self._series_of(head)
        if self._series is not None:
            if series not in (None, self._series):
                raise self._bad(f"is of {series} by its tags, not of {self._series}", "leave --series out")
            if self._only_head and self._only_head != head:
                raise self._bad("has other tags than the ones before", "--series is for points of one series")
            self._only_head, series = head, self._series
        if series is None or series.venue not in VENUES:
            raise self._bad(f"names no series with its tags {', '.join(TAGS)}", "--series says which all points are of")
        if self._databases.setdefault(series, self._database) != self._database:
            raise self._bad(f"is of {series} in another database than lines before", "take one database out at a time")
        number = self._numbers.setdefault(series, len(self._numbers))
        if number >= _SERIES_MAX:
            raise self._bad(f"is of one series more than {_SERIES_MAX:,}", "cut the file in parts")
        if number == len(self._grids):
            self._grids.append(series.interval.ms)
        if len(self._heads) >= _HEADS_KEPT:
            self._heads.clear()
        self._heads[head] = number
        return number

    def _series_of(self, head: bytes) -> Series | None:
        try:
            text = head.decode()
        except UnicodeDecodeError:
            return None
        parts = re.split(r"(?<!\\),", text)[1:]
        found = [_PART.fullmatch(part) for part in parts]
        tags = {_ESCAPED.sub(r"\1", one[1]): _ESCAPED.sub(r"\1", one[2]) for one in found if one is not None}
        return series_of(tags) if len(tags) == len(parts) else None

    def _bad(self, what: str, hint: str) -> UsageError:
        return UsageError(f"{self._path}: line {self._line:,} {what}", hint=hint)

    def _points(self, stream: BinaryIO) -> Iterator[tuple[bytes, bytes, bytes | None] | None]:
        """Yield each point's head, its fields and its time; None for a line that is no point, and then nothing more.

        `_line` is where it begins, `_database` where it comes from, if that is told.
        """
        block, place, ended, after = b"", 0, False, 1
        while True:
            while passed := _PASSED_OVER.match(block, place):
                place, after = passed.end(), after + 1
                if passed[1] is not None:
                    self._database, self._heads = passed[1], {}
            found = _POINT.match(block, place)
            if found is not None:
                self._line, after, place = after, after + 1 + found[2].count(b"\n"), found.end()
                yield found[1], found[2], found[3]
                continue
            if ended or len(block) - place > _POINT_BYTES_MAX:
                if block[place:].strip():
                    self._line = after
                    yield None
                return
            more = stream.read(_BLOCK_BYTES)
            ended = not more
            # The last line may lack its end.
            block, place = block[place:] + (more or b"\n"), 0
