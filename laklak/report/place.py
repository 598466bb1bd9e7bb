"""Where a file goes that must be whole or absent."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TextIO

from laklak.errors import OutputError, UsageError

_LOOKED_AT_BYTES: Final = 4096
_WAITING_END: Final = ".laklak"


def check_place(path: Path, flag: str, begins: re.Pattern[bytes], what: str) -> None:
    """Raise UsageError if no file can be put at `path`, which `flag` has named: before a minute of work for it.

    An existing file may be replaced if it is empty or begins as `begins` says, so that it is `what`: a store, for one,
    stays as it is.
    """
    folder = path.absolute().parent
    why = ""
    if path.is_dir():
        why = "is a folder"
    elif not folder.is_dir() or not os.access(folder, os.W_OK):
        why = "cannot be written: look whether its folder is there and yours"
    elif path.exists() and not _is_such(path, begins):
        why = f"is there and is no {what}: it stays as it is"
    if why:
        raise UsageError(f"{flag} {path} {why}", hint="name a file in a folder that you may write to")


def _is_such(path: Path, begins: re.Pattern[bytes]) -> bool:
    try:
        with path.open("rb") as file:
            start = file.read(_LOOKED_AT_BYTES)
    except OSError:
        return False
    return not start or begins.match(start) is not None


def could_not_write(path: Path, flag: str, error: OSError) -> OutputError:
    """Make the error for a file that an error of the system has cut short."""
    hint = "make room, or name another place"
    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        hint = "name another place"
    return OutputError(f"{flag} {path} could not be written: {error.strerror or error}", hint=hint)


class Place:
    """The file at `path`: the old one stays until the new one is complete.

    The new one waits beside it, locked by its process. An unlocked one was left by a killed process.
    """

    def __init__(self, path: Path, flag: str) -> None:
        self.path = path
        self._flag = flag
        self._waiting: str | None = None

    @contextlib.contextmanager
    def whole(self) -> Iterator[str]:
        """Yield the name of an empty file beside it, and put that in its place if all goes well.

        OutputError for an error of the system.
        """
        target = Path(os.path.realpath(self.path))
        try:
            _take_leftovers_away(target)
            handle, self._waiting = _waiting_beside(target)
            try:
                os.fchmod(handle, target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask())
                yield self._waiting
                os.fsync(handle)
                os.replace(self._waiting, target)
                self._waiting = None
            finally:
                # Unlock it only now: until then nobody else removes it.
                os.close(handle)
        except OSError as exc:
            raise could_not_write(self.path, self._flag, exc) from exc
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove an incomplete file; idempotent."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            with contextlib.suppress(OSError):
                os.unlink(waiting)


def _waiting_beside(target: Path) -> tuple[int, str]:
    """Make a file beside `target`: open, locked, and still under its name."""
    while True:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=_WAITING_END, dir=target.parent)
        # If the file system knows no locks, nobody can lock a leftover either, so none is removed.
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        if _is_named(handle, name):
            return handle, name
        # Another process took it for a leftover before it was locked.
        os.close(handle)


def _take_leftovers_away(target: Path) -> None:
    """Remove the files that killed processes have left waiting for this place."""
    name = re.compile(re.escape(f".{target.name}.") + r"[a-z0-9_]{8}" + re.escape(_WAITING_END))
    for path in [Path(one) for one in os.scandir(target.parent) if name.fullmatch(one.name)]:
        with contextlib.suppress(OSError):
            handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_named(handle, str(path)):
                    os.unlink(path)
            finally:
                os.close(handle)


def _is_named(handle: int, name: str) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.lstat(name))
    except OSError:
        return False


def emit_nowhere(stream: TextIO) -> None:
    """Drop what is written to a stream from now on: its reader has gone away, or the disk behind it is full."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
