"""Faults on request: how they are written, and the dice that decide which answer gets which."""

from __future__ import annotations

import random
import re
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from laklak.model import MINUTE_MS
from laklak.simulator.badrows import BAD_ROW_KINDS, STICKY_KINDS, break_row
from laklak.simulator.sources import open_time_of

ANSWER_FAULTS: Final = ("5xx", "429", "418", "403", "451", "reset", "cut", "html", "hang", "slow")
"""Faults of a whole answer: at most one of them happens to a request."""

ROW_FAULTS: Final = ("flicker", "badrow", "badrow-sticky")
"""Faults of single rows of an answer that is otherwise fine."""

_WRITE_IT: Final = "write it as KIND=5%, hole=SYMBOL@2026-02-10T12:00Z+5 or late=SYMBOL@2026-02-10T12:00Z"
_PERCENT: Final = re.compile(r"(?P<percent>[0-9]+(\.[0-9]+)?)%(?P<all>@all)?(:(?P<detail>.+))?")
_PLACE: Final = re.compile(r"(?P<symbol>[^@]+)@(?P<time>[^+]+)(\+(?P<minutes>[0-9]{1,7}))?")


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. Chances go with `probability`, `everywhere` and `detail`; hole and late with a symbol and a time.

    `everywhere` makes it happen on every path, not only on klines. `detail` is the kind of bad row, or the seconds
    of `slow`.
    """

    kind: str
    probability: float = 0.0
    everywhere: bool = False
    detail: str | None = None
    symbol: str = ""
    start_ms: int = 0
    minutes: int = 0


@dataclass(frozen=True, slots=True)
class Override:
    """What a script answers instead of the venue: a reply of its own, or a named fault on the true one.

    A fault is a kind of ANSWER_FAULTS, `flicker`, or `badrow`; `badrow:KIND` chooses the kind.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    fault: str | None = None


def parse_fault(text: str) -> Fault:
    """Read one fault as the command line writes it; ValueError names the text.

    `5xx=5%` on candle requests, `5xx=5%@all` on every request; `slow=2%:0.5s` and `badrow=1%:off_grid` say more;
    `hole=BTCUSDT@2026-02-10T12:00Z+5` takes five minutes away, `late=BTCUSDT@2026-02-10` all rows before a time.
    """
    kind, _, rest = text.partition("=")
    if kind in ("hole", "late"):
        return _parse_place(text, kind, rest)
    if kind not in ANSWER_FAULTS + ROW_FAULTS:
        known = ", ".join((*ANSWER_FAULTS, *ROW_FAULTS, "hole", "late"))
        raise ValueError(f"fault {text!r}: there is no kind {kind!r}; choose one of {known}")
    match = _PERCENT.fullmatch(rest)
    if match is None or not 0 < float(match["percent"]) <= 100:
        raise ValueError(f"fault {text!r} is not a chance between 0% and 100%; {_WRITE_IT}")
    detail = match["detail"]
    _check_detail(text, kind, detail)
    return Fault(kind, float(match["percent"]) / 100, match["all"] is not None, detail)


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

    def fault_of_answer(self, *, is_klines: bool) -> Fault | None:
        """The fault that happens to the next request, if any."""
        for fault in self._answer_faults:
            if (is_klines or fault.everywhere) and self._random.random() < fault.probability:
                return fault
        return None

    def spoil(self, symbol: str, rows: list[bytes], faults: Counter[str]) -> list[bytes]:
        """Give the rows of an answer as the row faults leave them, and count what happened in `faults`."""
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
        """How `badrow-sticky` breaks a minute, whoever asks and whenever; None for a sound one."""
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


def _check_detail(text: str, kind: str, detail: str | None) -> None:
    if detail is None:
        return
    if kind == "slow" and re.fullmatch(r"[0-9]+(\.[0-9]+)?s", detail):
        return
    kinds = {"badrow": BAD_ROW_KINDS, "badrow-sticky": STICKY_KINDS}.get(kind, ())
    if detail in kinds:
        return
    allowed = "seconds as in slow=2%:0.5s" if kind == "slow" else f"one of {', '.join(kinds)}" if kinds else "nothing"
    raise ValueError(f"fault {text!r}: after the colon {kind} takes {allowed}")


def _parse_place(text: str, kind: str, rest: str) -> Fault:
    match = _PLACE.fullmatch(rest)
    if match is None or (kind == "late" and match["minutes"]):
        raise ValueError(f"fault {text!r} is not understood; {_WRITE_IT}")
    try:
        moment = datetime.fromisoformat(match["time"])
    except ValueError:
        raise ValueError(f"fault {text!r}: {match['time']!r} is not a time; {_WRITE_IT}") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    start_ms = int(moment.timestamp()) * 1000 // MINUTE_MS * MINUTE_MS
    return Fault(kind, symbol=match["symbol"], start_ms=start_ms, minutes=int(match["minutes"] or 1))
