"""What every peer's program shares: its order, the pages to fetch, what is kept for checking, and what it took.

These programs run in the virtual environment of the peers, where laklak is not installed.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

MINUTE_MS = 60_000
TRIES = 3
"""How often a page is asked for, where the peer has no retries of its own."""
PAUSE_S = 1.0


class Page(NamedTuple):
    """The candles of one request: open times from `start_ms` to `last_ms`, both included."""

    symbol: str
    start_ms: int
    last_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a program is told on its command line, as JSON. Times are ms UTC, `end_ms` is excluded.

    `limited`: with the peer's own rate limit. `keep`: a file for all rows, where they are to be checked. `database`:
    of the InfluxDB server at `influxdb`, where the program writes to one. `sink`: which way of writing is meant.
    """

    url: str
    symbols: Sequence[str]
    start_ms: int
    end_ms: int
    page: int
    at_once: int
    limited: bool
    sink: str
    keep: str | None = None
    influxdb: str = ""
    database: str = ""

    def pages(self) -> Iterator[Page]:
        """Every request of the work; the symbols take turns, so that none is alone in the end."""
        step = self.page * MINUTE_MS
        for start_ms in range(self.start_ms, self.end_ms, step):
            for symbol in self.symbols:
                yield Page(symbol, start_ms, min(start_ms + step, self.end_ms) - MINUTE_MS)


def read_order() -> Order:
    """The order of this process."""
    values: dict[str, Any] = json.loads(sys.argv[1])
    return Order(**values)


@dataclass(slots=True)
class Tally:
    """What came, and what did not: `failed` has a sentence for each page that was given up."""

    rows: int = 0
    failed: list[str] = field(default_factory=list)

    def give_up(self, page: Page, error: BaseException) -> None:
        words = " ".join(f"{type(error).__name__}: {error}".split())
        self.failed.append(f"{page.symbol} from {page.start_ms}: {words[:200]}")


class Meter:
    """Wall and CPU seconds (user + system) of this process from the making of it."""

    def __init__(self) -> None:
        self._began_s, self._began_cpu_s = time.perf_counter(), _cpu_s()

    def report(self, tally: Tally) -> None:
        """Print what the work took, as the line of JSON that the benchmark reads; before anything is kept."""
        answer = {
            "seconds": time.perf_counter() - self._began_s,
            "cpu_s": _cpu_s() - self._began_cpu_s,
            "rows": tally.rows,
            "failed": len(tally.failed),
            "first_failure": tally.failed[0] if tally.failed else None,
        }
        print(json.dumps(answer), flush=True)


class Kept:
    """Rows of (open time in ms, open, high, low, close, volume), held where they are to be checked."""

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._rows: dict[str, list[Sequence[Any]]] = {}

    def take(self, symbol: str, rows: Sequence[Sequence[Any]]) -> None:
        """Hold the first six cells of each row, if anybody wants them."""
        if self._path is not None:
            self._rows.setdefault(symbol, []).extend(rows)

    def write(self) -> None:
        if self._path is not None:
            write_rows(Path(self._path), self._rows)


def write_rows(path: Path, rows: dict[str, list[Sequence[Any]]]) -> None:
    """Per symbol a line of JSON with its name and the count of its rows, then six doubles for each row."""
    with open(path, "wb") as file:
        for symbol, found in rows.items():
            file.write(json.dumps({"symbol": symbol, "rows": len(found)}).encode() + b"\n")
            # A broken row may be too short, which must not shift those after it.
            array("d", [_number(cell) for row in found for cell in (*row[:6], *[None] * (6 - len(row)))]).tofile(file)


def _number(cell: Any) -> float:
    try:
        return float(cell)
    except (TypeError, ValueError):
        return float("nan")


def _cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
