"""One backfill per store at a time on a machine: a lock that dies with its process."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import time
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from laklak.errors import StoreBusy, StoreUnavailable
from laklak.model.findings import Finding
from laklak.model.series import iso
from laklak.tasks.process import unsupported_system
from laklak.text import MOVES_STORE


class StoreLock:
    """An exclusive lock beside a store file, as a context manager: `with StoreLock.for_file(path): ...`.

    The lock is an flock on `<real path>.lock`, so two names of one file share it, readers and other writers stay free,
    and it ends with its process, however that ends. The lock file stays; while held it says who holds it, as JSON:
    `{"pid": 4711, "since": "2026-02-10T12:00:07Z"}`.

    Raises:
        StoreBusy: another process (or another lock in this one) holds it; names its pid and since when.
        StoreUnavailable: the lock file cannot be made.
    """

    def __init__(self, path: str, subject: str, *, moved_by: str = MOVES_STORE) -> None:
        """`moved_by` says which setting puts the lock file elsewhere."""
        self._path = path
        self._moved_by = moved_by
        self._subject = subject
        self._handle: int | None = None

    @classmethod
    def for_file(cls, path: str | Path) -> StoreLock:
        """The lock of the store file `path`; the file itself need not exist and is not touched."""
        return cls(os.path.realpath(path) + ".lock", str(path))

    @property
    def path(self) -> str:
        """The lock file."""
        return self._path

    def examine(self) -> Finding:
        """Return whether the lock could be taken now, and who holds it; makes and changes nothing."""
        refusal = self._refusal()
        return Finding.of(refusal) if refusal else Finding("ok", "no other backfill is filling it")

    def _refusal(self) -> StoreBusy | StoreUnavailable | None:
        place = self._path
        while not os.path.exists(place) and place != os.path.dirname(place):
            place = os.path.dirname(place)
        if not os.access(place, os.R_OK | os.W_OK | (os.X_OK if os.path.isdir(place) else 0)):
            return self._unavailable(PermissionError(errno.EACCES, os.strerror(errno.EACCES)))
        if place != self._path:
            return None
        try:
            handle = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as exc:
            return self._unavailable(exc)
        try:
            # A holder has signed it. Only then try the lock, to tell a holder from a killed one: trying holds the lock
            # for a moment, which would turn away a backfill that starts.
            holder = _read_holder(handle)
            if holder is not None:
                _lock(handle, shared=True)
            return None
        except BlockingIOError:
            return self._busy(holder)
        except OSError as exc:
            return self._unavailable(exc)
        finally:
            os.close(handle)

    def __enter__(self) -> Self:
        handle = self._open()
        try:
            _lock(handle, shared=False)
        except BlockingIOError as exc:
            holder = _read_holder(handle)
            os.close(handle)
            raise self._busy(holder) from exc
        except OSError as exc:
            os.close(handle)
            raise self._unavailable(exc) from exc
        self._handle = handle
        self._sign(handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        handle, self._handle = self._handle, None
        if handle is not None:
            with contextlib.suppress(OSError):
                os.ftruncate(handle, 0)
            os.close(handle)

    def _open(self) -> int:
        try:
            return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as exc:
            raise self._unavailable(exc) from exc

    @staticmethod
    def _sign(handle: int) -> None:
        holder = {"pid": os.getpid(), "since": iso(int(time.time()) * 1000)}
        # A full disk must not keep anybody from the lock: it holds even without the note.
        with contextlib.suppress(OSError):
            os.ftruncate(handle, 0)
            os.pwrite(handle, json.dumps(holder).encode() + b"\n", 0)

    def _busy(self, holder: tuple[int, str] | None) -> StoreBusy:
        who = f"process {holder[0]}, since {holder[1]}" if holder else "a process that has just started"
        end = f"stop process {holder[0]}" if holder else "try again"
        return StoreBusy(
            f"another backfill is filling {self._subject}: {who}",
            since_s=_seconds(holder[1]) if holder else None,
            hint=f"wait until it has ended, or {end}; reading the store is possible meanwhile",
        )

    def _unavailable(self, exc: OSError) -> StoreUnavailable:
        return StoreUnavailable(
            f"cannot lock {self._path}: {exc.strerror or exc}",
            hint=f"its folder must exist and be writable for you; {self._moved_by}",
        )


def _lock(handle: int, *, shared: bool) -> None:
    """Take the lock at once or raise BlockingIOError; OSError with the reason if the system has no such locks."""
    try:
        import fcntl
    except ImportError:
        raise OSError(errno.ENOSYS, unsupported_system() or os.strerror(errno.ENOSYS)) from None
    fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)


def _seconds(moment: str) -> float | None:
    try:
        return datetime.fromisoformat(moment).timestamp()
    except ValueError:
        return None


def _read_holder(handle: int) -> tuple[int, str] | None:
    # Between locking and signing the file is empty or names an earlier, killed holder.
    try:
        note = json.loads(os.pread(handle, 1000, 0))
        return int(note["pid"]), str(note["since"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
