"""Asset lists: which symbols of which venues.

A line is `SYMBOL VENUE` or `VENUE:SYMBOL`; `#` starts a comment at the start of a line or after white space.
"""

from __future__ import annotations

import importlib.resources
import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from laklak.errors import AssetsError
from laklak.model import check_symbol
from laklak.text import nearest, quoted, read_text, shown_path

FILE_NAME: Final = "assets.txt"
MAX_BYTES: Final = 10_000_000

_COMMENT = re.compile(r"(?:^|\s)#.*")


@dataclass(frozen=True, slots=True)
class Asset:
    """One entry of a list; `line` counts from 1."""

    symbol: str
    venue: str
    line: int


@dataclass(frozen=True, slots=True)
class AssetList:
    """The list to use, in words too; `packaged`: nobody chose it, it came with laklak."""

    path: Path
    words: str
    packaged: bool = False


def find_assets(folder: Path, given: str | None, beside: Path | None = None) -> AssetList:
    """Give the list to use: `given`, else assets.txt in `folder`, else the one `beside` the settings file in use, else
    the packaged list.
    """
    if given is not None:
        return AssetList(Path(given), f"{shown_path(Path(given))} (given)")
    for place, words in ((folder, "found in this folder"), (beside, "found in the folder of the settings file")):
        if place is not None and os.path.exists(place / FILE_NAME):
            return AssetList(place / FILE_NAME, f"{shown_path(place / FILE_NAME)} ({words})")
    elsewhere = "" if beside is None or beside == folder else f" or in {shown_path(beside)}"
    words = f"the list that comes with laklak (no assets.txt in this folder{elsewhere})"
    return AssetList(_packaged_assets(), words, packaged=True)


def _packaged_assets() -> Path:
    # A wheel carries the list inside of the package, a checkout keeps it at the top, where people look for it.
    inside = Path(str(importlib.resources.files("laklak") / "assets.txt"))
    for path in (inside, inside.parent.parent / "assets.txt"):
        if path.is_file():
            return path
    raise AssetsError("the list that comes with laklak is missing", hint="install laklak again, or give --assets FILE")


def read_assets(path: Path, venues: Collection[str]) -> list[Asset]:
    """Read a list: each symbol of a venue once, in the order of the file, never empty.

    `venues` are the names a line may use. AssetsError names file and line, `assets.txt:17: ...`.
    """
    name = shown_path(path)
    assets: dict[tuple[str, str], Asset] = {}
    for number, line in enumerate(read_text(path, limit_bytes=MAX_BYTES, error=AssetsError).split("\n"), 1):
        words = _COMMENT.sub("", line).split()
        if not words:
            continue
        try:
            asset = _parse_words(words, number, venues)
        except AssetsError as error:
            raise AssetsError(f"{name}:{number}: {error}", hint=error.hint) from None
        assets.setdefault((asset.symbol, asset.venue), asset)
    if not assets:
        raise AssetsError(f"{name} names no symbol", hint="write one 'SYMBOL VENUE' a line, as in BTCUSDT binance")
    return list(assets.values())


def _parse_words(words: list[str], line: int, venues: Collection[str]) -> Asset:
    shown = quoted(" ".join(words))
    if len(words) > 2:
        raise AssetsError(f"{shown} has {len(words)} words, expected 'SYMBOL VENUE'", hint="write one symbol a line")
    if len(words) == 2:
        symbol, venue = words
    else:
        venue, colon, symbol = words[0].partition(":")
        if not colon:
            raise AssetsError(f"{shown} does not say its venue, expected 'SYMBOL VENUE'", hint=_bare_hint(words[0]))
    if venue not in venues:
        guess = nearest(venue, venues)
        hint = f"did you mean {guess}?" if guess else f"known venues: {', '.join(sorted(venues))}"
        raise AssetsError(f"unknown venue {quoted(venue)}, expected 'SYMBOL VENUE'", hint=hint)
    try:
        return Asset(check_symbol(symbol), venue, line)
    except ValueError as error:
        raise AssetsError(f"{error}, expected 'SYMBOL VENUE'") from None


def _bare_hint(word: str) -> str:
    if "," in word:
        return "separate symbol and venue by a space, not by a comma, as in BTCUSDT binance"
    return "add the venue after the symbol, as in BTCUSDT binance"
