"""Candles sent to a server whose disk was full: it may show them and still lose them on restart.

An InfluxDB server whose disk is full answers with an error, and shows the points of that write from its memory until it
restarts (seen on 1.6.7 and 2.7.12).  Counting them as stored would be a silent hole.  So the state folder remembers
them, and the next run writes them again, whatever the store shows.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

from laklak.model.series import Series, TimeRange
from laklak.model.spans import union
from laklak.text import MOVES_STATE, shown_path

log = logging.getLogger(__name__)

_IF_UNREAD: Final = (
    "it names candles that a full InfluxDB server shows and may not have; if that server has not been restarted since, "
    "restart it and run again"
)
_IF_NOT_ADDED: Final = (
    "a full InfluxDB server shows candles that it does not have; restart it before the next run, which would count "
    "them as stored (a file is sound as it is)"
)
_IF_NOT_SETTLED: Final = "the next run writes again what is safe by now"

RANGES_AT_MOST: Final = 10_000
"""Ranges to tell apart in a series: 300 kB of the file."""


class UnsureBook:
    """The unsure ranges of one store, in a file.  Make it while the store is locked: runs share the file.

    If the file cannot be written or read, the run goes on without the memory and tells `warn`.
    """

    def __init__(self, folder: Path, identity: str, warn: Callable[[str], None] = log.warning) -> None:
        digest = hashlib.sha256(identity.encode()).hexdigest()[:12]
        self._path = folder / f"unsure-{digest}.json"
        self._warn = warn
        self._told: set[str] = set()
        self._ranges: dict[str, list[TimeRange]] = {}
        self._read()

    def __bool__(self) -> bool:
        return bool(self._ranges)

    def of(self, series: Series) -> list[TimeRange]:
        """Return the unsure ranges, in order and disjoint; more than were added, rather than fewer."""
        return list(self._ranges.get(str(series), ()))

    def add(self, sent: Iterable[tuple[Series, TimeRange]]) -> None:
        """Remember candles that were sent and not taken."""
        added: dict[str, list[TimeRange]] = {}
        for series, span in sent:
            added.setdefault(str(series), []).append(span)
        for name, spans in added.items():
            self._keep(name, [*self._ranges.get(name, ()), *spans])
        if self._ranges:
            self._write(_IF_NOT_ADDED)

    def settle(self, written: Iterable[tuple[Series, Iterable[TimeRange]]]) -> None:
        """Forget the unsure candles of these spans, which have been written and acknowledged since.

        Writes the file once, however many series there are; without unsure ranges it looks at nothing.
        """
        if not self:
            return
        changed = False
        for series, spans in written:
            unsure = self.of(series)
            rest = _minus(unsure, union(spans))
            if rest != unsure:
                self._keep(str(series), rest)
                changed = True
        if changed:
            self._write(_IF_NOT_SETTLED)

    def _keep(self, name: str, spans: Iterable[TimeRange]) -> None:
        ranges = _at_most(union(spans), RANGES_AT_MOST)
        if ranges:
            self._ranges[name] = ranges
        else:
            self._ranges.pop(name, None)

    # The file: {"binance:BTCUSDT:1m": [[start_ms, end_ms], ...], ...}

    def _read(self) -> None:
        try:
            entries = json.loads(self._path.read_bytes())
            if not isinstance(entries, dict):
                raise ValueError("it holds no object")
        except (FileNotFoundError, NotADirectoryError):
            return
        except (OSError, ValueError, RecursionError) as exc:
            self._tell("read", exc, _IF_UNREAD)
            return
        for name, spans in entries.items():
            # The sound entries of a spoiled file still count.
            try:
                self._keep(name, [_span(one) for one in spans])
            except (ValueError, TypeError) as exc:
                self._tell("read", exc, _IF_UNREAD)

    def _write(self, otherwise: str) -> None:
        temporary = self._path.with_suffix(f".{os.getpid()}.tmp")
        try:
            if not self._ranges:
                self._path.unlink(missing_ok=True)
                return
            self._path.parent.mkdir(parents=True, exist_ok=True)
            entries = {name: [(part.start_ms, part.end_ms) for part in parts] for name, parts in self._ranges.items()}
            temporary.write_text(json.dumps(entries))
            temporary.replace(self._path)
        except OSError as exc:
            with contextlib.suppress(OSError):
                temporary.unlink()
            self._tell("written", exc, otherwise)

    def _tell(self, what: str, problem: Exception, otherwise: str) -> None:
        """Warn once per consequence; a run settles hundreds of series."""
        if otherwise not in self._told:
            self._told.add(otherwise)
            reason = (problem.strerror if isinstance(problem, OSError) else None) or str(problem)
            moves = f"; {MOVES_STATE}" if what == "written" else ""
            self._warn(f"{shown_path(self._path)} cannot be {what} ({reason}): {otherwise}{moves}")


def _span(entry: object) -> TimeRange:
    if not (isinstance(entry, list) and [type(moment) for moment in entry] == [int, int]):
        raise ValueError(f"{str(entry)[:40]!r} is no range")
    return TimeRange(*entry)


def _at_most(ranges: Sequence[TimeRange], most: int) -> list[TimeRange]:
    """Return at most `most` ranges that hold all of these (in order, disjoint): fill the narrowest gaps."""
    if len(ranges) <= most:
        return list(ranges)
    gaps = [TimeRange(one.end_ms, other.start_ms) for one, other in pairwise(ranges)]
    gaps.sort(key=lambda gap: gap.end_ms - gap.start_ms)
    return union([*ranges, *gaps[: len(ranges) - most]])


def _minus(these: Iterable[TimeRange], those: Sequence[TimeRange]) -> list[TimeRange]:
    """Return the parts of `these` ranges outside `those`; both are in order and disjoint."""
    rest: list[TimeRange] = []
    place = 0
    for part in these:
        start_ms = part.start_ms
        while place < len(those) and those[place].end_ms <= start_ms:
            place += 1
        while place < len(those) and those[place].start_ms < part.end_ms:
            rest.append(TimeRange(start_ms, those[place].start_ms))
            start_ms = those[place].end_ms
            if start_ms >= part.end_ms:
                break
            place += 1
        rest.append(TimeRange(start_ms, part.end_ms))
    return [part for part in rest if part]
