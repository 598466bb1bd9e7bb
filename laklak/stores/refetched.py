"""What a refetch finds: its candles compared with the stored ones, bit by bit.  Decides only.

An equal candle is not written again, unless the store may not have what it shows (stores.unconfirmed). A half-stored
one differs: its missing numbers are NaN, which no candle has.
"""

from __future__ import annotations

import logging
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Final

from laklak.model.candles import Candles, places
from laklak.model.revisions import Revision, Values, Why
from laklak.model.series import Series, TimeRange, iso
from laklak.model.spans import runs
from laklak.stores.base import Columns

log = logging.getLogger(__name__)

SHOWN_OF_A_SERIES: Final = 10
SHOWN_OF_A_RUN: Final = 50


@dataclass(frozen=True, slots=True)
class Compared:
    """Fetched candles compared with the stored ones: `write` are those that the store does not have as they are.

    `changes` are all that differ: (open_time, what was stored, what was fetched).
    """

    write: Candles
    same: int
    changed: int
    new: int
    changes: Sequence[tuple[int, Values, Values]] = ()


def compare(stored: Columns, candles: Candles, unsure: Sequence[TimeRange]) -> Compared:
    """Compare `candles` with the stored ones of their time; those in `unsure` may not be stored, and count as new.

    A page takes a millisecond, a month of minutes 2 ms if all are equal, else some 50 and a thread.
    """
    times, values = candles.open_times, candles.values
    fetched, before = [_bits(column) for column in values], [_bits(column) for column in stored.values]
    if not unsure and fetched == before and list(times) == list(stored.open_times):
        return Compared(candles.only(()), len(times), 0, 0)
    place = {time_ms: index for index, time_ms in enumerate(stored.open_times)}
    new: list[int] = []
    changed: dict[int, int] = {}
    rows = zip(times, zip(*fetched, strict=True), _within(times, unsure), strict=True)
    for index, (time_ms, cells, unsafe) in enumerate(rows):
        old = place.get(time_ms)
        if old is None:
            new.append(index)
        elif cells != tuple([column[old] for column in before]):
            changed[index] = old
        elif unsafe:
            new.append(index)
    if len(new) == len(times):
        return Compared(candles, 0, 0, len(new))
    write = sorted(times[index] for index in [*new, *changed])
    changes = [(times[index], _row(stored.values, old), _row(values, index)) for index, old in changed.items()]
    same = len(times) - len(write)
    return Compared(candles.only(runs(write, candles.series.interval)), same, len(changed), len(new), changes)


def _row(columns: Sequence[Sequence[float]], index: int) -> Values:
    return tuple(column[index] for column in columns)


def _within(times: Sequence[int], spans: Sequence[TimeRange]) -> bytearray:
    """Mark each of the rising times that lies in one of the spans."""
    marks = bytearray(len(times))
    for part in places(times, spans):
        marks[part] = b"\1" * (part.stop - part.start)
    return marks


def revisions_of(compared: Compared, source: str, why: Why, at_ms: int) -> list[Revision]:
    """Return revisions of the candles that differ; the old row of a `repair` was no whole candle."""
    return [
        Revision(time_ms, old, new, source, why if all(map(isfinite, old)) else "repair", at_ms)
        for time_ms, old, new in compared.changes
    ]


@dataclass(slots=True)
class Refetched:
    """Counts of a run with --refetch: candles that were the same, others than stored, or not stored."""

    same: int = 0
    changed: int = 0
    new: int = 0
    _told: Counter[Series] = field(default_factory=Counter)

    def add(self, series: Series, compared: Compared) -> None:
        """Count, and log the first changes of a series and of the run."""
        self.same += compared.same
        self.changed += compared.changed
        self.new += compared.new
        for time_ms, before, now in compared.changes:
            if self._told[series] >= SHOWN_OF_A_SERIES or self._told.total() >= SHOWN_OF_A_RUN:
                return
            self._told[series] += 1
            log.info(
                "changed series=%s open_time=%s stored=%s fetched=%s", series, iso(time_ms), _shown(before), _shown(now)
            )

    def not_given(self, series: Series, open_times: Sequence[int]) -> None:
        """Log candles that are stored and that the source does not have: they stay."""
        log.info("not given series=%s open_times=%d first=%s", series, len(open_times), iso(open_times[0]))

    def as_json(self) -> dict[str, int]:
        return {"same": self.same, "changed": self.changed, "new": self.new}


def _bits(column: Sequence[float]) -> memoryview:
    """Return the doubles as 64-bit integers: equal only if bit-equal."""
    flat = column if isinstance(column, memoryview) else memoryview(array("d", column))
    return flat.cast("B").cast("q")


def _shown(values: Iterable[float]) -> str:
    return ",".join(map(repr, values))
