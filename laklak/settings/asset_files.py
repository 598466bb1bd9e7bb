"""Asset lists written anew: what a venue trades now, and other programs' tables as lists.

Pure except `replace_text`.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from laklak.errors import AssetsError, UsageError
from laklak.settings.assets import COMMENT, AssetRow, BadLine, Spelled, read_rows
from laklak.text import shown_path


@dataclass(frozen=True, slots=True)
class RefreshedList:
    """A list whose lines of one venue are what it trades now; `added` and `removed` are symbols."""

    text: str
    added: Sequence[str]
    removed: Sequence[str]


def refreshed(
    text: str, venue: str, symbols: Sequence[str], venues: Collection[str], spelled: Spelled
) -> RefreshedList:
    """Return a list with exactly `symbols` of `venue`; every other line stays as it is, comments too.

    Kept lines stay where they are, new ones follow the last line of the venue.
    """
    wanted, there, removed = set(symbols), set[str](), list[str]()
    lines: list[str] = []
    place: int | None = None
    for row in read_rows(text, venues, spelled, table=False):
        own = next((one.symbol for one in row.assets if one.venue == venue), None)
        stays = own is None or (own in wanted and own not in there)
        line = row.raw if stays else _without(row, venue)
        if line or stays:
            lines.append(line)
        if own is not None:
            place = len(lines)
            if own in wanted:
                there.add(own)
            else:
                removed.append(own)
    added = [symbol for symbol in symbols if symbol not in there]
    return RefreshedList(_with_lines(lines, place, added, venue), added, list(dict.fromkeys(removed)))


def _with_lines(lines: list[str], place: int | None, symbols: Sequence[str], venue: str) -> str:
    """Return the text with lines for more symbols of a venue: at `place`, else after the last line with content."""
    if place is None:
        _drop_empty_end(lines)
    end = "\r" if any(line.endswith("\r") for line in lines) else ""
    place = len(lines) if place is None else place
    lines[place:place] = [f"{symbol} {venue}{end}" for symbol in symbols]
    if lines[-1:] and lines[-1].strip():
        if not lines[-1].endswith(end):
            lines[-1] += end
        lines.append("")
    return "\n".join(lines)


def _without(row: AssetRow, venue: str) -> str:
    """Return a line without one of its venues; empty if it has no other."""
    entry = COMMENT.sub("", row.raw)
    words = entry.split()
    venues = [name for name in words[-1].split("+") if name != venue] if len(words) == 2 else []
    return f"{words[0]} {'+'.join(venues)}{row.raw[len(entry.rstrip()) :]}" if venues else ""


@dataclass(frozen=True, slots=True)
class ConvertedTable:
    """A table as a list: `bad` lines are left out, `bare` symbols were given a venue.

    `idle` rows ask for no candles.
    """

    lines: Sequence[str]
    symbols: int
    bad: Sequence[BadLine]
    bare: Sequence[str]
    idle: int


def converted(text: str, bare_venue: str, venues: Collection[str], spelled: Spelled, *, table: bool) -> ConvertedTable:
    """Return a table, or a list, as a list with one entry a line; a symbol without a venue gets `bare_venue`."""
    lines: list[str] = []
    bad: list[BadLine] = []
    bare: list[str] = []
    seen: set[str] = set()
    idle = 0
    headed = False
    for row in read_rows(text, venues, spelled, table=table):
        raw = row.raw.strip()
        says_something = bool(raw) and not raw.startswith("#")
        if row.bare:
            (row,) = read_rows(f"{row.bare} {bare_venue}", venues, spelled, table=False)
            bare += [asset.symbol for asset in row.assets[:1]]
        entries = dict.fromkeys(f"{asset.symbol} {asset.venue}" for asset in row.assets)
        lines += [entry for entry in entries if entry not in seen]
        seen.update(entries)
        bad += row.bad
        lines += [f"# left out: {raw}" for _ in row.bad[:1]]
        if not says_something:
            lines.append(raw)
        elif not row.assets and not row.bad:
            # The first line of a table is its head.
            idle += headed or not table
            headed = True
    _drop_empty_end(lines)
    return ConvertedTable(lines, len(seen), bad, bare, idle)


def _drop_empty_end(lines: list[str]) -> None:
    while lines and not lines[-1].strip():
        lines.pop()


def replace_text(path: Path, text: str, *, error: type[UsageError] = AssetsError) -> None:
    """Write a file so that it is whole, old or new, whatever happens; `error` if it cannot be written."""
    # A link stays a link: its target is replaced.
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
