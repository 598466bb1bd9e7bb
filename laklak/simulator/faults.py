"""Faults of the REST venue on request, and the dice that decide which answer gets which."""

from __future__ import annotations

import random
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from laklak.simulator.badrows import BAD_ROW_KINDS, STICKY_KINDS, break_row
from laklak.simulator.rows import open_time_of

ANSWER_FAULTS: Final = ("5xx", "429", "418", "403", "451", "reset", "cut", "html", "hang", "slow")
"""Faults of a whole answer: at most one of them hits a request."""

ROW_FAULTS: Final = ("flicker", "badrow", "badrow-sticky")
"""Faults of single rows in an otherwise sound answer."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. Chances go with `probability`, `everywhere` and `detail`; hole and late with a symbol and a time.

    `everywhere` extends it from the path of candles to every path of the REST venue. `detail` is the kind of bad row,
    or the seconds of `slow`. A fault of one file of the archive has its symbol and its `period`, 2026-02-25 or 2026-02.
    """

    kind: str
    probability: float = 0.0
    everywhere: bool = False
    detail: str | None = None
    symbol: str = ""
    start_ms: int = 0
    minutes: int = 0
    period: str = ""


@dataclass(frozen=True, slots=True)
class Override:
    """What a script answers in place of the venue: a reply of its own, or a named fault on the true one.

    A fault is a kind of ANSWER_FAULTS, `flicker`, or `badrow`; `badrow:KIND` chooses the kind.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    fault: str | None = None


def slow_seconds(fault: Fault) -> float:
    """How long a `slow` answer takes."""
    return float((fault.detail or "2s").removesuffix("s"))


class Dice:
    """Decides from a seed which requests go wrong, and remembers which minutes already have."""

    def __init__(self, faults: Sequence[Fault], seed: int) -> None:
        self._answer_faults = [fault for fault in faults if fault.kind in ANSWER_FAULTS]
        self._row_faults = [fault for fault in faults if fault.kind in ROW_FAULTS]
        self._seed = seed
        self._random = random.Random(seed)
        self._touched: set[tuple[str, int]] = set()

    def fault_of_answer(self, *, is_candles: bool) -> Fault | None:
        """Return the fault that hits the next request, if any."""
        for fault in self._answer_faults:
            if (is_candles or fault.everywhere) and self._random.random() < fault.probability:
                return fault
        return None

    def spoil(self, symbol: str, rows: list[bytes], faults: Counter[str]) -> list[bytes]:
        """Return the rows of an answer after the row faults, and count what happened in `faults`."""
        for fault in self._row_faults:
            if fault.kind == "badrow-sticky":
                rows = self._spoil_for_good(symbol, rows, fault, faults)
            elif self._random.random() < fault.probability:
                rows = self.spoil_once(symbol, rows, fault, faults)
        return rows

    def spoil_once(self, symbol: str, rows: list[bytes], fault: Fault, faults: Counter[str]) -> list[bytes]:
        """Drop or break one row whose minute never suffered before, so that asking again helps."""
        fresh = [index for index, row in enumerate(rows) if (symbol, open_time_of(row)) not in self._touched]
        if not fresh:
            return rows
        index = self._random.choice(fresh)
        self._touched.add((symbol, open_time_of(rows[index])))
        if fault.kind == "flicker":
            faults["flicker"] += 1
            return rows[:index] + rows[index + 1 :]
        kind = fault.detail or self._random.choice(BAD_ROW_KINDS)
        faults[f"badrow:{kind}"] += 1
        return break_row(rows, index, kind)

    def sticky_kind(self, symbol: str, open_time_ms: int) -> str | None:
        """Return how `badrow-sticky` breaks a minute, whoever asks and whenever; None for a sound one."""
        for fault in self._row_faults:
            if fault.kind == "badrow-sticky":
                lot = zlib.crc32(f"{self._seed}:{symbol}:{open_time_ms}".encode())
                if lot < fault.probability * 2**32:
                    return fault.detail or STICKY_KINDS[lot % len(STICKY_KINDS)]
        return None

    def _spoil_for_good(self, symbol: str, rows: list[bytes], fault: Fault, faults: Counter[str]) -> list[bytes]:
        # Backwards, because a doubled row moves those after it.
        spoiled = rows
        for index in range(len(rows) - 1, -1, -1):
            kind = self.sticky_kind(symbol, open_time_of(rows[index]))
            if kind is not None:
                faults[f"{fault.kind}:{kind}"] += 1
                spoiled = break_row(spoiled, index, kind)
        return spoiled
