"""Asset lists written anew: what a venue trades now, and tables of other programs as lists.

Pure but for `replace_text`.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from laklak.errors import AssetsError, UsageError
from laklak.settings.assets import COMMENT, BadLine, Row, Spelled, read_rows
from laklak.text import shown_path


@dataclass(frozen=True, slots=True)
class Refreshed:
    """A list whose lines of one venue are what it trades now; `added` and `removed` are symbols."""

    text: str
    added: Sequence[str]
    removed: Sequence[str]


def refreshed(text: str, venue: str, symbols: Sequence[str], venues: Collection[str], spelled: Spelled) -> Refreshed:
    """Give a list in which exactly `symbols` of `venue` are left; every other line stays as it is, comments too.

    Lines that are kept stay where they are, new ones follow the last line of the venue.
    """
    wanted, there, removed = set(symbols), set[str](), list[str]()
    lines: list[str] = []
    place: int | None = None
    for row in read_rows(text, venues, spelled, table=False):
        own = next((one.symbol for one in row.assets if one.venue == venue), None)
        if own is None:
            lines.append(row.raw)
            continue
        if own in wanted and own not in there:
            lines.append(row.raw)
        elif rest := _without(row, venue):
            lines.append(rest)
        if own in wanted:
            there.add(own)
        else:
            removed.append(own)
        place = len(lines)
    added = [symbol for symbol in symbols if symbol not in there]
    while place is None and lines and not lines[-1].strip():
        lines.pop()
    end = "\r" if any(line.endswith("\r") for line in lines) else ""
    place = len(lines) if place is None else place
    lines[place:place] = [f"{symbol} {venue}{end}" for symbol in added]
    if lines[-1:] and lines[-1].strip():
        if not lines[-1].endswith(end):
            lines[-1] += end
        lines.append("")
    return Refreshed("\n".join(lines), added, list(dict.fromkeys(removed)))


def _without(row: Row, venue: str) -> str:
    """A line without one of its venues; empty where it has no other."""
    entry = COMMENT.sub("", row.raw)
    words = entry.split()
    venues = [name for name in words[-1].split("+") if name != venue] if len(words) == 2 else []
    return f"{words[0]} {'+'.join(venues)}{row.raw[len(entry.rstrip()) :]}" if venues else ""


@dataclass(frozen=True, slots=True)
class Converted:
    """A table as a list: `bad` are lines that are left out, `bare` the symbols that were given a venue.

    `idle` rows ask for no candles.
    """

    lines: Sequence[str]
    symbols: int
    bad: Sequence[BadLine]
    bare: Sequence[str]
    idle: int


def converted(text: str, bare_venue: str, venues: Collection[str], spelled: Spelled, *, table: bool) -> Converted:
    """Give a table, or a list, as a list with one entry a line; a symbol without a venue gets `bare_venue`."""
    lines: list[str] = []
    bad: list[BadLine] = []
    bare: list[str] = []
    seen: set[tuple[str, str]] = set()
    idle = 0
    headed = False
    for row in read_rows(text, venues, spelled, table=table):
        raw = row.raw.strip()
        if row.bare:
            (row,) = read_rows(f"{row.bare} {bare_venue}", venues, spelled, table=False)
            if row.assets:
                bare.append(row.assets[0].symbol)
        for asset in row.assets:
            if (asset.symbol, asset.venue) not in seen:
                lines.append(f"{asset.symbol} {asset.venue}")
                seen.add((asset.symbol, asset.venue))
        bad += row.bad
        lines += [f"# left out: {raw}" for _ in row.bad[:1]]
        if row.assets or row.bad:
            continue
        if not raw or raw.startswith("#"):
            lines.append(raw)
        elif headed or not table:
            idle += 1
        headed = headed or bool(raw and not raw.startswith("#"))
    while lines and not lines[-1]:
        lines.pop()
    return Converted(lines, len(seen), bad, bare, idle)


def replace_text(path: Path, text: str, *, error: type[UsageError] = AssetsError) -> None:
    """Write a file so that it is there whole, old or new, whatever happens; `error` where it cannot be written."""
    # A link stays a link: what it points to is replaced.
    target = Path(os.path.realpath(path))
    waiting: str | None = None
    try:
        mode = target.stat().st_mode & 0o7777 if target.exists() else 0o666 & ~_umask()
        handle, waiting = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(waiting, target)
        waiting = None
    except OSError as problem:
        raise error(
            f"{shown_path(path)} cannot be written: {problem.strerror or problem}", hint="name another FILE"
        ) from problem
    finally:
        if waiting is not None:
            with contextlib.suppress(OSError):
                os.unlink(waiting)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
