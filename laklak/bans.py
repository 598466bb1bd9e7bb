"""Bans outlive the process: the state folder remembers until when a venue must not be asked from here."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from pathlib import Path

log = logging.getLogger(__name__)


class BanBook:
    """The ban of one venue at one origin (scheme://host:port), in a file of its own. Times are UTC wall time, ms.

    A file that cannot be written or read is logged and costs only the memory, never the run.
    """

    def __init__(self, folder: Path, venue: str, origin: str) -> None:
        self._origin = origin
        digest = hashlib.sha256(origin.encode()).hexdigest()[:12]
        self._path = folder / f"ban-{venue}-{digest}.json"

    def until_ms(self) -> int | None:
        """The end of a ban that still lasts, else None."""
        try:
            entry = json.loads(self._path.read_text())
            until_ms = entry["until_ms"]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as exc:
            log.warning("ban file ignored path=%s error=%s", self._path, exc)
            return None
        if type(until_ms) is not int or until_ms <= time.time_ns() // 1_000_000:
            return None
        return until_ms

    def remember(self, until_ms: int, reason: str) -> None:
        """Write it down; an earlier and longer ban stays."""
        if until_ms <= (self.until_ms() or 0):
            return
        entry = {"origin": self._origin, "until_ms": until_ms, "reason": reason}
        temporary = self._path.with_suffix(f".{os.getpid()}.tmp")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(entry))
            temporary.replace(self._path)
        except OSError as exc:
            log.warning(
                "ban not remembered path=%s error=%s hint=LAKLAK_STATE_DIR names another folder", self._path, exc
            )
