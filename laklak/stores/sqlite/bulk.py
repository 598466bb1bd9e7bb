"""Many rows of a SQLite file at once, by ADBC's driver: columns, without a Python object for any cell.

The driver brings another SQLite, and two of them in one process drop each other's locks: whichever closes the file
first drops all locks that the process has on it (https://www.sqlite.org/howtocorrupt.html, 2.2.1, read 2026-10). So the
driver reads in another process (laklak.stores.sqlite.driver), like any other reader of the file, and its columns come
through a pipe.  Measured: 0.45 CPU s a million rows with both processes, where `fetchmany` takes 1.3.

It is optional: if it is not installed or fails, Python's own SQLite reads the rows.
"""

from __future__ import annotations

import contextlib
import fcntl
import subprocess
import sys
import threading
from array import array
from importlib.util import find_spec
from io import BufferedReader
from pathlib import Path
from typing import Any, Final, cast

from laklak.stores.base import Columns
from laklak.stores.sqlite.file import address_of

BATCH_ROWS: Final = 32_768
"""A batch is 1.5 MB."""
WORTH_ROWS: Final = 100_000
"""Fewer rows do not pay for the start of the process."""

_PROGRAM: Final = str(Path(__file__).with_name("driver.py"))
_PIPE_BYTES: Final = 2**20


class DriverFailed(Exception):
    """The driver ended before its work was done; its batches until then are true."""


def can_read() -> bool:
    """Whether there is a driver here, and a Python to run it with."""
    frozen = bool(getattr(sys, "frozen", False))
    return bool(sys.executable) and not frozen and None not in map(find_spec, ("adbc_driver_sqlite", "nanoarrow"))


class BulkReading:
    """The rows of one SELECT of an integer and five doubles, in batches; its methods block, so call them in threads."""

    def __init__(self, path: str, select: str, *, still: bool = False) -> None:
        """`still`: nobody writes to the file."""
        address = address_of(path, still=still)
        self._command = [sys.executable, "-P", _PROGRAM, address, select, str(BATCH_ROWS)]
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False
        self._guard = threading.Lock()

    def next(self) -> Columns | None:
        """Return the next batch; None after the last. Raises DriverFailed."""
        pipe = self._pipe()
        count = int.from_bytes(_taken(pipe, array("b", bytes(8))), sys.byteorder)
        if not count:
            return None
        columns: list[array[Any]] = [array("q", bytes(8 * count)), *(array("d", bytes(8 * count)) for _ in range(5))]
        for column in columns:
            _taken(pipe, column)
        return Columns(columns[0], tuple(columns[1:]))

    def close(self) -> None:
        """End the process, whatever it is doing; idempotent."""
        with self._guard:
            self._closed, process = True, self._process
        if process is not None:
            process.kill()
            # A thread that still reads sees the end first.
            process.communicate()

    def _pipe(self) -> BufferedReader:
        with self._guard:
            if self._process is None and not self._closed:
                self._process = self._start()
            if self._closed or self._process is None or self._process.stdout is None:
                raise DriverFailed
            return cast(BufferedReader, self._process.stdout)

    def _start(self) -> subprocess.Popen[bytes]:
        nowhere = subprocess.DEVNULL
        try:
            # In a session apart: Ctrl-C is for us, and we end it.
            process = subprocess.Popen(  # noqa: S603, our own program
                self._command, stdin=nowhere, stdout=subprocess.PIPE, stderr=nowhere, start_new_session=True
            )
        except OSError as exc:
            raise DriverFailed from exc
        if sys.platform == "linux" and process.stdout is not None:
            with contextlib.suppress(OSError):
                fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        return process


def _taken(pipe: BufferedReader, cells: array[Any]) -> array[Any]:
    view = memoryview(cells).cast("B")
    if pipe.readinto(view) != len(view):
        raise DriverFailed
    return cells
