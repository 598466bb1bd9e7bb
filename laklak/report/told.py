"""What a quiet run has told already: the next one tells it again when it changes, not every half an hour."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections.abc import Iterable
from pathlib import Path

log = logging.getLogger(__name__)


# What differs from turn to turn although nothing has changed: moments, spans of time, room on a disk.
_MOVES = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z?|\d[\d.,:]*(?= ?(?:ms|s|min|h|d|days?|[kKMGT]i?B)\b)")


class Told:
    """The warnings of the turn before, in a process that takes many; a moved time in one of them is no news."""

    def __init__(self, before: Iterable[str] = ()) -> None:
        self._before = frozenset(before)
        self._now: list[str] = []
        self.held_back: list[str] = []
        """Lines that were the same the last time and were not told now."""

    def is_news(self, line: str) -> bool:
        """Whether the last time did not tell this line."""
        line = self._compared(line)
        self._now.append(line)
        if line not in self._before:
            return True
        self.held_back.append(line)
        return False

    def _compared(self, line: str) -> str:
        return _MOVES.sub("0", line)

    def save(self, *, whole: bool) -> None:
        """Remember what there was to tell; after a `whole` run, what it did not tell is news again."""
        self._before = frozenset(self._now if whole else [*self._before, *self._now])
        self._now.clear()
        self.held_back.clear()


class ToldBook(Told):
    """The same for the last run of one job, in a file; `job` is whatever makes it the same job.

    If the file cannot be written or read, things are told once too often, never once too little.
    """

    def __init__(self, folder: Path, job: Iterable[str]) -> None:
        digest = hashlib.sha256("\0".join(job).encode("utf-8", "surrogatepass")).hexdigest()[:12]
        self._path = folder / f"told-{digest}.json"
        super().__init__(self._read())

    def _compared(self, line: str) -> str:
        return line

    def save(self, *, whole: bool) -> None:
        """Remember what there was to tell; after a `whole` run, what it did not tell is news again."""
        lines = dict.fromkeys(self._now if whole else [*self._before, *self._now])
        if set(lines) == self._before:
            return
        temporary = self._path.with_suffix(f".{os.getpid()}.tmp")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(list(lines)), encoding="utf-8")
            temporary.replace(self._path)
        except OSError as exc:
            log.warning("not remembered what was told path=%s error=%s", self._path, exc)

    def _read(self) -> frozenset[str]:
        try:
            lines = json.loads(self._path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return frozenset()
        except (OSError, ValueError, RecursionError) as exc:
            log.warning("what was told is ignored path=%s error=%s", self._path, exc)
            return frozenset()
        return frozenset(line for line in lines if isinstance(line, str)) if isinstance(lines, list) else frozenset()
