"""What a full server was sent and did not take: candles that it may show and yet not have.

An InfluxDB server whose disk is full answers with an error, and shows the points of that write from its memory until
it is restarted (seen on 1.6.7 and 2.7.12).  Counting them as stored would be a hole that nobody sees.  So they are
remembered in the state folder, and the next run fetches and writes them again, whatever the store shows.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from laklak.model import Series, TimeRange
from laklak.plan import union

log = logging.getLogger(__name__)

_WIDEST: Final = 10_000


class UnsureBook:
    """The unsure ranges of one store, in a file of its own.

    A file that cannot be written or read is logged and costs only the memory, never the run.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        digest = hashlib.sha256(identity.encode()).hexdigest()[:12]
        self._path = folder / f"unsure-{digest}.json"
        self._ranges = self._read()

    def __bool__(self) -> bool:
        return bool(self._ranges)

    def of(self, series: Series) -> list[TimeRange]:
        """The ranges that are unsure, in order and disjoint."""
        return list(self._ranges.get(str(series), ()))

    def add(self, sent: Iterable[tuple[Series, TimeRange]]) -> None:
        """Remember what was sent and not taken."""
        for series, span in sent:
            self._ranges[str(series)] = union([*self.of(series), span])
        self._write()

    def settle(self, series: Series, span: TimeRange) -> None:
        """All candles of `span` have been written and acknowledged since: forget what was unsure of them."""
        rest = []
        for part in self.of(series):
            before = TimeRange(part.start_ms, min(part.end_ms, span.start_ms))
            after = TimeRange(max(part.start_ms, span.end_ms), part.end_ms)
            rest += [piece for piece in (before, after) if piece]
        if rest:
            self._ranges[str(series)] = rest
        elif str(series) in self._ranges:
            del self._ranges[str(series)]
        else:
            return
        self._write()

    def _read(self) -> dict[str, list[TimeRange]]:
        try:
            entries = json.loads(self._path.read_text())
            return {
                name: union([TimeRange(int(start_ms), int(end_ms)) for start_ms, end_ms in spans[:_WIDEST]])
                for name, spans in entries.items()
            }
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, AttributeError) as exc:
            log.warning("file of unsure ranges ignored path=%s error=%s", self._path, exc)
            return {}

    def _write(self) -> None:
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
            log.warning("unsure ranges not remembered path=%s error=%s", self._path, exc)
