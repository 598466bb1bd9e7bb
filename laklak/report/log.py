"""backfill.log: rotated, and never a reason for a run to fail."""

from __future__ import annotations

import logging
import os
import time
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final

_MOST_BYTES: Final = 10_000_000
_KEPT_FILES: Final = 5
_SQLITE_HEAD: Final = b"SQLite format 3\0"


class _QuietHandler(RotatingFileHandler):
    """A full disk costs log lines, nothing else."""

    def handleError(self, record: logging.LogRecord) -> None:
        return


def open_log(path: str | None, *, verbose: bool) -> str | None:
    """Send the log to `path` (None: nowhere) and return the reason if that fails."""
    logger = logging.getLogger("laklak")
    logger.propagate = False
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    for handler in logger.handlers[:]:
        logger.removeHandler(handler)
        handler.close()
    logger.addHandler(logging.NullHandler())
    if path is None:
        return None
    try:
        if _is_database(path):
            return "this is a database, not a log"
        handler = _QuietHandler(Path(path), maxBytes=_MOST_BYTES, backupCount=_KEPT_FILES, encoding="utf-8")
    except OSError as exc:
        return exc.strerror or str(exc)
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    logger.addHandler(handler)
    return None


def _is_database(path: str) -> bool:
    # A typing slip must not append to a store, or rotate it away.
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        return file.read(len(_SQLITE_HEAD)) == _SQLITE_HEAD
