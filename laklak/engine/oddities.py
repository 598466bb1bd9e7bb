"""Points in a store that are no whole candles, told once: what is fetched again, and what the user may remove."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from laklak.model.series import Series, TimeRange, iso
from laklak.stores.base import Strays
from laklak.text import counted, shown_path

STRAYS_FILE: Final = "strays.txt"
"""In the state folder: the statements that remove strays, if they are too many to print."""

_SERIES_SHOWN: Final = 10
_STATEMENTS_SHOWN: Final = 3
_NS_PER_MS: Final = 1_000_000
_ABSENT: Final = "known holes or rejects, so no candles, and not fetched again without --recheck"


class OddityBook:
    """Collects what a look at each series showed, and tells it in few lines.

    Args:
        file: takes all statements if they are too many to print.
        warn: receives each line.
        remedy: what happens to candles that are not whole.
        where: names the store, if there are several.
    """

    def __init__(self, file: Path, warn: Callable[[str], None], remedy: str, *, where: str = "") -> None:
        self._file = file
        self._warn = warn
        self._remedy = remedy
        self._where = where
        self._looked_at: set[Series] = set()
        self._not_whole: list[tuple[Series, int]] = []
        self._absent: list[tuple[Series, int]] = []
        self._strays: list[tuple[Series, Strays]] = []

    @property
    def not_whole(self) -> int:
        """Stored candles that are not whole and not told yet."""
        return sum(count for _, count in self._not_whole)

    def add(
        self, series: Series, not_whole: Iterable[TimeRange], strays: Strays, absent: Iterable[TimeRange] = ()
    ) -> None:
        """Remember what one series showed, once. `absent`: candles that are not whole where the venue has none."""
        if series in self._looked_at:
            return
        self._looked_at.add(series)
        for parts, kept in ((not_whole, self._not_whole), (absent, self._absent)):
            if count := sum(part.count(series.interval) for part in parts):
                kept.append((series, count))
        if strays.count:
            self._strays.append((series, strays))

    def tell(self) -> None:
        """Tell it, once."""
        for line in self._lines():
            self._warn(line)
        self._not_whole.clear()
        self._absent.clear()
        self._strays.clear()

    def _lines(self) -> Iterator[str]:
        for found, what_becomes in ((self._not_whole, self._remedy), (self._absent, _ABSENT)):
            for series, count in found[:_SERIES_SHOWN]:
                yield f"{series}: {_were_not_whole(count)}{self._where}: {what_becomes}"
            if more := found[_SERIES_SHOWN:]:
                count = sum(count for _, count in more)
                yield f"and {len(more)} more series: {_were_not_whole(count)}{self._where}: {what_becomes}"
        for series, strays in self._strays[:_SERIES_SHOWN]:
            yield f"{series}: {_strays_words(strays.count)}{self._where}{self._removal(strays)}"
        if more_strays := self._strays[_SERIES_SHOWN:]:
            count = sum(strays.count for _, strays in more_strays)
            yield f"and {len(more_strays)} more series: {_strays_words(count)}{self._where}; they stay where they are"
        yield from self._put_down()

    def _removal(self, strays: Strays) -> str:
        shown = strays.statements[:_STATEMENTS_SHOWN]
        more = f" -- and {strays.count - len(shown):,} more like it" if len(shown) < len(strays.statements) else ""
        return (
            f"{_first(strays)}: no candles, and never removed by laklak; to remove them, {strays.remark}: "
            f"{' ; '.join(shown)}{more}"
        )

    def _put_down(self) -> Iterator[str]:
        """Write all statements to the file unless all were printed; yield the line that says so."""
        printed = all(len(strays.statements) <= _STATEMENTS_SHOWN for _, strays in self._strays)
        if printed and len(self._strays) <= _SERIES_SHOWN:
            return
        statements = [statement for _, strays in self._strays for statement in strays.statements]
        remarks = sorted({strays.remark for _, strays in self._strays if strays.remark})
        strays = sum(strays.count for _, strays in self._strays)
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            lines = [*(f"-- {remark}" for remark in remarks), *statements]
            self._file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
            left = "" if _all_named(self._strays) else f", of {strays:,} points; the next run names others"
            yield f"{counted(len(statements), 'statement')} that remove them are in {shown_path(self._file)}{left}"


def _all_named(found: Sequence[tuple[Series, Strays]]) -> bool:
    return all(len(strays.statements) in (1, strays.count) for _, strays in found)


def _first(strays: Strays) -> str:
    if strays.first_ns is None:
        return ""
    first_ms, rest_ns = divmod(strays.first_ns, _NS_PER_MS)
    return f", the first at {iso(first_ms)}" + (f" and {rest_ns} ns" if rest_ns else "")


def _were_not_whole(count: int) -> str:
    return f"{counted(count, 'candle')} {'was' if count == 1 else 'were'} not whole"


def _strays_words(count: int) -> str:
    return f"{counted(count, 'point')} off the grid"
