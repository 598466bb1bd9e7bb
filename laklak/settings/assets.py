"""Asset lists: which symbols of which venues.

A line is `SYMBOL VENUE`, with + between several venues, or `VENUE:SYMBOL`; `#` starts a comment at the start of a line
or after white space. A table with the columns `symbol` and `ohlc_exchanges`, commas between them, is read as well. A
sound line with an unknown venue, or of the spot market, is left out and named; a line without any meaning ends the
reading of a list, and is left out of a table, which other programs write.
"""

from __future__ import annotations

import csv
import importlib.resources
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from laklak.errors import AssetsError
from laklak.model.series import check_symbol
from laklak.settings.spelling import ALIASES, QUOTES, OtherMarket, known_venue
from laklak.text import counted, nearest, quoted, read_text, shown_path

FILE_NAME: Final = "assets.txt"
MAX_BYTES: Final = 10_000_000

COMMENT: Final = re.compile(r"(?:^|\s)#.*")
_BETWEEN_VENUES = re.compile(r"[+;|,\s]+")
_VENUE_COLUMNS: Final = ("ohlc_exchanges", "ohlc_exchange", "exchanges", "exchange", "venues", "venue")
_OF_A_LIST: Final = ", expected 'SYMBOL VENUE'"

Spelled = Mapping[str, Callable[[str], str]]
"""By venue: reads a symbol as other tools spell it; OtherMarket or another ValueError if it is none."""
_AS_WRITTEN: Final[Spelled] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Asset:
    """One entry of a list; `line` counts from 1."""

    symbol: str
    venue: str
    line: int


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line, or a part of one, that is left out: a short stable word, what is wrong in words, and what to do."""

    line: int
    reason: str
    text: str
    hint: str | None = None

    def __str__(self) -> str:
        return self.text if self.hint is None else f"{self.text}; {self.hint}"


@dataclass(frozen=True, slots=True)
class AssetRow:
    """One line as it stands in the file (without its end): the entries it means, and what of it is left out."""

    line: int
    raw: str
    assets: Sequence[Asset] = ()
    bad: Sequence[BadLine] = ()
    bare: str = ""
    """A symbol without a venue, which makes the line bad."""


@dataclass(frozen=True, slots=True)
class Assets:
    """What a list says: each symbol of a venue once, in the order of the file; `doubled` are the repetitions.

    `name` is the file as shown.
    """

    name: str
    assets: Sequence[Asset] = ()
    bad: Sequence[BadLine] = ()
    doubled: Sequence[Asset] = ()


@dataclass(frozen=True, slots=True)
class AssetList:
    """The list to use, in words too; `packaged`: laklak's own, which nobody chose."""

    path: Path
    words: str
    packaged: bool = False


def find_assets(folder: Path, given: str | None, beside: Path | None = None) -> AssetList:
    """Return the list to use: `given`, else assets.txt in `folder`, else `beside` the settings file, else laklak's."""
    if given is not None:
        return AssetList(Path(given), f"{shown_path(Path(given))} (given)")
    for place, words in ((folder, "found in this folder"), (beside, "found in the folder of the settings file")):
        if place is not None and os.path.exists(place / FILE_NAME):
            return AssetList(place / FILE_NAME, f"{shown_path(place / FILE_NAME)} ({words})")
    elsewhere = "" if beside is None or beside == folder else f" or in {shown_path(beside)}"
    words = f"the list that comes with laklak (no assets.txt in this folder{elsewhere})"
    return AssetList(_packaged_assets(), words, packaged=True)


def _packaged_assets() -> Path:
    # A wheel carries the list inside the package, a checkout keeps it at the top, where people look for it.
    inside = Path(str(importlib.resources.files("laklak") / "assets.txt"))
    for path in (inside, inside.parent.parent / "assets.txt"):
        if path.is_file():
            return path
    raise AssetsError("the list that comes with laklak is missing", hint="install laklak again, or give --assets FILE")


def read_assets(path: Path, venues: Collection[str], spelled: Spelled = _AS_WRITTEN) -> Assets:
    """Read a list. `venues` are the names a line may use, `spelled` reads the symbols of those it has.

    AssetsError names file and line, `assets.txt:17: ...`; also if nothing is left.
    """
    name = shown_path(path)
    text = read_text(path, limit_bytes=MAX_BYTES, error=AssetsError)
    read = in_short(name, read_rows(text, venues, spelled, table=is_table(path, text)))
    if read.assets:
        return read
    if read.bad:
        first = read.bad[0]
        more = f"; of {counted(len(read.bad), 'line')} none is left" if len(read.bad) > 1 else ""
        raise AssetsError(f"{name}:{first.line}: {first.text}{more}", hint=first.hint)
    raise AssetsError(f"{name} names no symbol", hint="write one 'SYMBOL VENUE' a line, as in BTCUSDT binance")


def in_short(name: str, rows: Iterable[AssetRow], *, strict: bool = True) -> Assets:
    """Join what rows say; if `strict`, AssetsError for a line without any meaning."""
    assets: dict[tuple[str, str], Asset] = {}
    bad: list[BadLine] = []
    doubled: list[Asset] = []
    for row in rows:
        for one in row.bad:
            if strict and one.reason == "malformed":
                raise AssetsError(f"{name}:{one.line}: {one.text}", hint=one.hint)
        bad += row.bad
        doubled += [one for one in row.assets if assets.setdefault((one.symbol, one.venue), one) is not one]
    return Assets(name, tuple(assets.values()), tuple(bad), tuple(doubled))


def is_table(path: Path, text: str) -> bool:
    """Whether a file is a table with commas, by its name or its head."""
    return path.suffix.lower() == ".csv" or _head_of(text) is not None


def read_rows(text: str, venues: Collection[str], spelled: Spelled, *, table: bool) -> Iterator[AssetRow]:
    """Yield every line of a list or of a `table`, comments and empty ones too."""
    reading = _Reading(venues, spelled)
    if not table:
        for number, raw in enumerate(text.split("\n"), 1):
            yield reading.row(number, raw, COMMENT.sub("", raw).split())
        return
    head = _head_of(text) or _Head(0, ",", 0, 1)
    for number, raw in enumerate(text.split("\n"), 1):
        if number == head.line or not raw.strip() or raw.lstrip().startswith("#"):
            yield AssetRow(number, raw)
        else:
            yield reading.table_row(number, raw, head)


@dataclass(frozen=True, slots=True)
class _Head:
    """Where a table says what: the line of its names (0: none), the separator, and two columns from 0."""

    line: int
    separator: str
    symbol: int
    venues: int


def _head_of(text: str) -> _Head | None:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        for separator in ",;\t":
            names = [cell.strip().lower() for cell in _cells(line, separator)]
            column = next((names.index(name) for name in _VENUE_COLUMNS if name in names), None)
            if "symbol" in names and column is not None:
                return _Head(number, separator, names.index("symbol"), column)
        return None
    return None


def _cells(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator), [])
    except csv.Error:
        return [line]


@dataclass(slots=True)
class _Reading:
    """Turns the words of one line into entries."""

    venues: Collection[str]
    spelled: Spelled
    _assets: list[Asset] = field(default_factory=list)
    _bad: list[BadLine] = field(default_factory=list)

    def row(self, line: int, raw: str, words: Sequence[str]) -> AssetRow:
        """Read a line of a list."""
        self._assets, self._bad = [], []
        bare = ""
        shown = quoted(" ".join(words))
        if len(words) > 2:
            what = f"{shown} has {len(words)} words{_OF_A_LIST}"
            self._bad.append(BadLine(line, "malformed", what, "write one symbol a line"))
        elif len(words) == 2:
            if words[1].upper() in QUOTES and words[1] not in self.venues:
                bare = _joined(words)
            self._of_venues(line, words[0], words[1].split("+"), _OF_A_LIST)
        elif words:
            venue, colon, symbol = words[0].partition(":")
            if colon and "/" not in venue:
                self._prefixed(line, venue, symbol)
            else:
                bare = words[0]
                what = f"{shown} does not say its venue{_OF_A_LIST}"
                self._bad.append(BadLine(line, "malformed", what, _bare_hint(bare)))
        return AssetRow(line, raw, tuple(self._assets), tuple(self._bad), bare)

    def table_row(self, line: int, raw: str, head: _Head) -> AssetRow:
        """Read a line of a table. Without venues it asks for nothing (a row may serve another purpose)."""
        self._assets, self._bad = [], []
        bare = ""
        cells = [cell.strip() for cell in _cells(raw, head.separator)]
        words = (cells[head.symbol] if len(cells) > head.symbol else "").split()
        if len(cells) <= head.venues:
            # The row of a list has strayed in, or a symbol alone.
            named = _BETWEEN_VENUES.split(words[-1]) if len(words) > 1 else []
            if named and words[-1].upper() not in QUOTES:
                self._of_venues(line, _joined(words[:-1]), named, "")
            elif words:
                bare = _joined(words)
                what = f"{quoted(raw.strip())} does not say its venue"
                self._bad.append(BadLine(line, "no_venue", what, _bare_hint(bare)))
        elif named := [name for name in _BETWEEN_VENUES.split(cells[head.venues]) if name]:
            self._of_venues(line, _joined(words), named, "")
        # What no list may hold is left out of a table like the rest.
        bad = [
            BadLine(one.line, "bad_symbol", one.text, one.hint) if one.reason == "malformed" else one
            for one in self._bad
        ]
        return AssetRow(line, raw, tuple(self._assets), tuple(bad), bare)

    def _prefixed(self, line: int, venue: str, symbol: str) -> None:
        try:
            self._of_venues(line, symbol, [known_venue(venue, symbol, self.venues)], _OF_A_LIST)
        except OtherMarket as error:
            self._bad.append(BadLine(line, error.reason, str(error), error.hint))

    def _of_venues(self, line: int, symbol: str, venues: Sequence[str], expected: str) -> None:
        for written in venues:
            venue = ALIASES.get(written, written)
            if venue not in self.venues:
                what = f"unknown venue {quoted(venue)}{expected}"
                self._bad.append(BadLine(line, "unknown_venue", what, self._venue_hint(symbol, venue)))
                continue
            try:
                self._assets.append(Asset(self.spelled.get(venue, check_symbol)(symbol), venue, line))
            except OtherMarket as error:
                self._bad.append(BadLine(line, error.reason, str(error), error.hint))
            except ValueError as error:
                self._bad.append(BadLine(line, "malformed", f"{error}{expected}"))

    def _venue_hint(self, symbol: str, venue: str) -> str:
        if venue.upper() in QUOTES:
            return f"write the symbol in one word and its venue after it, as in {quoted(symbol + venue)[1:-1]} binance"
        guess = nearest(venue, self.venues)
        return f"did you mean {guess}?" if guess else f"known venues: {', '.join(sorted(self.venues))}"


def _joined(words: Sequence[str]) -> str:
    """Return a symbol in one word: `AI USDT` is base and quote."""
    return "".join(words) if len(words) == 2 and words[1].upper() in QUOTES else " ".join(words)


def _bare_hint(word: str) -> str:
    if "," in word:
        return "separate symbol and venue by a space, not by a comma, as in BTCUSDT binance"
    return "add the venue after the symbol, as in BTCUSDT binance; `laklak assets convert FILE` does it for all lines"
