"""Rows to the bytes of a published file: CSV, zip, digest; and the ways in which a file can be wrong inside."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import orjson

from laklak.model.series import DAY_MS
from laklak.simulator.archive import zips as archive_zip
from laklak.simulator.archive.paths import COINS, SPOT, ArchiveFile
from laklak.simulator.badrows import break_row
from laklak.simulator.faults import Fault
from laklak.simulator.rows import (
    CELLS,
    CLOSE_TIME,
    COUNT,
    QUOTE_VOLUME,
    TAKER_QUOTE_VOLUME,
    TAKER_VOLUME,
    VOLUME,
    in_contracts,
)

HEADER: Final = (
    b"open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,"
    b"taker_buy_quote_volume,ignore\n"
)

_MICROSECONDS_SINCE_MS: Final = 1_735_689_600_000
"""2025-01-01: later spot files have microseconds."""

_AMOUNTS: Final = {VOLUME: "0", QUOTE_VOLUME: "0", COUNT: 0, TAKER_VOLUME: "0", TAKER_QUOTE_VOLUME: "0"}
_EVIL_NAMES: Final = {"parent": "../evil.csv", "absolute": "/tmp/evil.csv"}  # noqa: S108


@dataclass(frozen=True, slots=True)
class Body:
    """A zip as sent, with its SHA-256 in hex and its MD5 as the ETag that S3 returns."""

    data: bytes
    sha256: str
    etag: str


def body_of(data: bytes) -> Body:
    return Body(data, sha256_of(data), etag_of(data))


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def etag_of(data: bytes) -> str:
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'


def csv_of(rows: Sequence[bytes], *, header: bool) -> bytes:
    """Return rows of JSON text as lines of CSV with the same digits: a row without its brackets and quotes."""
    lines = b"\n".join((*rows, b"")).translate(None, b'[]"')
    return HEADER + lines if header else lines


def render(
    file: ArchiveFile, rows: Sequence[bytes], fault: Fault | None, lots: random.Random, *, header: bool, level: int
) -> bytes:
    """Return the zip of a file that has `rows` (at least one), spoiled by `fault`; `lots` decide where."""
    kind = "" if fault is None else fault.kind
    detail = None if fault is None else fault.detail
    csv = _csv_with(fault, file, rows, lots, header=header)
    name = f"{file.stem}.csv"
    match kind:
        case "archive-bomb":
            declared = len(csv) if detail == "lying" else archive_zip.BOMB_BYTES
            return archive_zip.zip_of([archive_zip.bomb(name, declared=declared)])
        case "archive-empty":
            return archive_zip.zip_of([])
        case "archive-path":
            name = _EVIL_NAMES[detail or lots.choice(sorted(_EVIL_NAMES))]
    members = [archive_zip.member(name, csv, level)]
    if kind == "archive-two-members":
        members.append(archive_zip.member(f"{file.stem}-2.csv", csv, level))
    data = archive_zip.zip_of(members)
    return data[: max(1, int(len(data) * lots.uniform(0.1, 0.99)))] if kind == "archive-cut" else data


def _csv_with(
    fault: Fault | None, file: ArchiveFile, rows: Sequence[bytes], lots: random.Random, *, header: bool
) -> bytes:
    """Return a file's table as its market writes it, with the fault if that is one of rows or of the table."""
    if fault is not None and fault.kind in _ROWS:
        rows = _ROWS[fault.kind](rows, fault, lots)
    if file.root == COINS:
        rows = [in_contracts(row) for row in rows]
    csv = csv_of(rows, header=header and file.root != SPOT)
    if file.root == SPOT and file.start_ms >= _MICROSECONDS_SINCE_MS:
        csv = _microseconds(csv, None, lots)
    if fault is not None and fault.kind in _CSV:
        csv = _CSV[fault.kind](csv, fault.detail, lots)
    return csv


# One change of rows each, by the kind of fault.


def _without_day(rows: Sequence[bytes], fault: Fault, lots: random.Random) -> list[bytes]:
    day = _chosen_day(rows, fault, lots)
    return [row for row in rows if _day_of(row) != day]


def _without_volume(rows: Sequence[bytes], fault: Fault, lots: random.Random) -> list[bytes]:
    day = _chosen_day(rows, fault, lots)
    return [_no_volume(row) if _day_of(row) == day else row for row in rows]


def _bad_row(rows: Sequence[bytes], fault: Fault, lots: random.Random) -> list[bytes]:
    return break_row(rows, lots.randrange(len(rows)), fault.detail or "high_below_low")


def _reversed(rows: Sequence[bytes], _fault: Fault, _lots: random.Random) -> list[bytes]:
    return list(reversed(rows))


def _doubled(rows: Sequence[bytes], _fault: Fault, lots: random.Random) -> list[bytes]:
    index = lots.randrange(len(rows))
    return [*rows[: index + 1], *rows[index:]]


def _chosen_day(rows: Sequence[bytes], fault: Fault, lots: random.Random) -> int | None:
    # The day that the fault names, else one that has rows.
    if len(fault.period) == len("2026-02-25"):
        return int(datetime.fromisoformat(fault.period).replace(tzinfo=UTC).timestamp()) * 1000 // DAY_MS
    return _day_of(rows[lots.randrange(len(rows))])


def _day_of(row: bytes) -> int | None:
    # A row broken on purpose may have no time.
    text = row[1:].partition(b",")[0]
    return int(text) // DAY_MS if text.isdigit() else None


def _no_volume(row: bytes) -> bytes:
    cells = orjson.loads(row)
    for position, nothing in _AMOUNTS.items():
        cells[position] = nothing
    return orjson.dumps(cells)


# One change of the CSV each.


def _no_header(csv: bytes, _detail: str | None, _lots: random.Random) -> bytes:
    return csv.removeprefix(HEADER)


def _header_only(_csv: bytes, _detail: str | None, _lots: random.Random) -> bytes:
    return HEADER


def _microseconds(csv: bytes, _detail: str | None, _lots: random.Random) -> bytes:
    # As in spot files since 2025: a candle closes one microsecond before the next one opens.
    lines = []
    for line in csv.splitlines():
        cells = line.split(b",")
        if len(cells) == CELLS and cells[0].isdigit() and cells[CLOSE_TIME].isdigit():
            cells[0] += b"000"
            cells[CLOSE_TIME] = b"%d" % ((int(cells[CLOSE_TIME]) + 1) * 1000 - 1)
        lines.append(b",".join(cells))
    return b"\n".join((*lines, b""))


def _fewer_columns(csv: bytes, detail: str | None, lots: random.Random) -> bytes:
    columns = int(detail or lots.choice(("11", "6")))
    return b"\n".join((*(b",".join(line.split(b",")[:columns]) for line in csv.splitlines()), b""))


def _cut_off(csv: bytes, _detail: str | None, lots: random.Random) -> bytes:
    lines = csv.removeprefix(HEADER).splitlines(keepends=True)
    last = lots.randrange(len(lines))
    begin = csv[: len(HEADER)] if csv.startswith(HEADER) else b""
    return begin + b"".join(lines[:last]) + lines[last][: len(lines[last]) // 2]


_ROWS: Final[dict[str, Callable[[Sequence[bytes], Fault, random.Random], list[bytes]]]] = {
    "archive-badrow": _bad_row,
    "archive-doubled": _doubled,
    "archive-missing-day": _without_day,
    "archive-reversed": _reversed,
    "archive-zero-volume": _without_volume,
}

_CSV: Final[dict[str, Callable[[bytes, str | None, random.Random], bytes]]] = {
    "archive-columns": _fewer_columns,
    "archive-cut-csv": _cut_off,
    "archive-header-only": _header_only,
    "archive-microseconds": _microseconds,
    "archive-noheader": _no_header,
}
