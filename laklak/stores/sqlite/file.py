"""A SQLite file as laklak keeps it: refused, made, brought up to date and opened.

A file that is not ours, or newer than this program, is refused without touching a byte of it or beside it: its header
is read through a connection that takes no locks and makes no files (`immutable=1`).  Only SQLite opens the file:
closing another handle would drop the locks that this process holds on it.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import time
from typing import Final
from urllib.parse import quote

from laklak.errors import LaklakError, StoreError, StoreFull, StoreUnavailable
from laklak.stores.sqlite.schema import APPLICATION_ID, MIGRATIONS, SCHEMA_VERSION
from laklak.text import MOVES_STORE, size_text

BUSY_TIMEOUT_S: Final = 30.0
"""How long another program may hold the write lock before that is an error."""
BUSY_STEP_S: Final = 0.25
"""The writer lets SQLite wait this long at a time, so that a cancelled write is not stuck for the whole timeout."""

_PAGE_SIZE: Final = 8192
_WAL_PAGES: Final = 16 * 2**20 // _PAGE_SIZE
_WAL_LEFT_BYTES: Final = 64 * 2**20
_SMALLEST_DATABASE_BYTES: Final = 512
_WRITER_CACHE_KIB: Final = 8192
_READER_CACHE_KIB: Final = 1024
# With less room than this, a failed write on a file system counts as a lack of room, whatever SQLite calls it.
_NO_ROOM_BYTES: Final = 2**20

_OTHER_FILE_HINT: Final = "choose another file with --store; this one was not touched"
_DAMAGED_HINT: Final = "move the file away and run again, or try `sqlite3 FILE .recover`"


def check_place(path: str, *, reading: bool = False) -> None:
    """Raise StoreUnavailable if `path` neither is nor can be a store file.

    With `reading` require nothing that only writing needs.
    """
    folder = os.path.dirname(path)
    mode = None
    try:
        os.stat(folder)
        with contextlib.suppress(FileNotFoundError):
            mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise StoreUnavailable(
            f"the folder {folder} of the store {path} does not exist",
            hint=f"make it with `mkdir -p {folder}`, or {MOVES_STORE}",
        ) from exc
    except OSError as exc:
        raise StoreUnavailable(
            f"cannot use the store {path}: {exc.strerror}", hint="choose another file with --store"
        ) from exc
    if mode is not None and stat.S_ISDIR(mode):
        raise StoreUnavailable(f"the store {path} is a folder", hint=f"name a file in it: {path}/laklak.db")
    if mode is not None and not stat.S_ISREG(mode):
        raise StoreUnavailable(f"the store {path} is not a regular file", hint=_OTHER_FILE_HINT)
    if reading and mode is not None and not os.access(path, os.R_OK):
        raise StoreUnavailable(f"no right to read {path}", hint=f"let its owner give it; {MOVES_STORE}")
    refusal = None if reading else no_right(path)
    if refusal is not None:
        raise refusal


def no_right(path: str) -> StoreUnavailable | None:
    """Say why the file or its folder may not be written to; None if both may."""
    for place, needed in ((os.path.dirname(path), os.W_OK | os.X_OK), (path, os.R_OK | os.W_OK)):
        if os.path.exists(place) and not os.access(place, needed):
            return StoreUnavailable(
                f"no right to write {place}",
                hint="to fill a store, it and its folder must be writable (SQLite keeps two files beside it while it "
                f"is open); {MOVES_STORE}",
            )
    return None


def is_blank(path: str, *, reading: bool = False) -> bool:
    """Whether the file is missing, empty, or a SQLite database without any table yet.

    Raises StoreUnavailable for a place where no store can be, and for a file that is not ours or is newer than this
    program; touches nothing.
    """
    check_place(path, reading=reading)
    size = _size(path)
    if size == 0:
        return True
    if size < _SMALLEST_DATABASE_BYTES:  # SQLite takes a file of one byte for an empty one
        raise StoreUnavailable(f"{path} is not a SQLite database", hint=_OTHER_FILE_HINT)
    try:
        state = _peek(path)
    except sqlite3.Error as exc:
        raise _refused_unreadable(path, exc) from exc
    if state == _NOTHING:
        # What another program has begun may so far stand only in a file beside it.
        if _size(path + "-wal") or _size(path + "-journal"):
            raise StoreUnavailable(f"{path} is in use by another program", hint=_OTHER_FILE_HINT)
        return True
    _check_ours(path, state)
    return False


def open_writer(path: str) -> sqlite3.Connection:
    """Open the store for writing, made or brought up to date if necessary, in WAL mode.

    Raises StoreUnavailable or StoreFull; sqlite3.Error is translated here.
    """
    blank = is_blank(path)
    connection = None
    try:
        connection = _connect(path)
        if blank:
            _create(connection, path)
        _switch_to_wal(connection, path)
        _upgrade(connection, path)
        _tune(connection, _WRITER_CACHE_KIB)
        connection.execute(f"PRAGMA busy_timeout = {int(BUSY_STEP_S * 1000)}")
    except BaseException as exc:
        if connection is not None:
            connection.close()
        if isinstance(exc, sqlite3.Error):
            raise translate(exc, path, opening=True) from exc
        raise
    return connection


def open_reader(path: str) -> sqlite3.Connection:
    """Open a connection that cannot change the store; the writer's must be open already."""
    return _reading(_connect(path))


def open_kept(path: str, *, still: bool) -> sqlite3.Connection:
    """Open a store that we may not write to; with `still` nobody writes to it, see `stillness`.

    Raises StoreUnavailable if it would have to be brought up to date.
    """
    connection = _connect(address_of(path, still=still))
    try:
        _check_ours(path, state := _state(connection))
        if state[1] != SCHEMA_VERSION:
            raise StoreUnavailable(
                f"the store {path} has version {state[1]}: to bring it to {SCHEMA_VERSION} takes the right to write it",
                hint="run this once as somebody who has it, or read a copy of the file",
            )
    except BaseException:
        connection.close()
        raise
    return _reading(connection)


def address_of(path: str, *, still: bool = False) -> str:
    """Return the address with which SQLite only reads a file; with `still`, without locks and files beside it."""
    return f"file:{quote(os.fsencode(path))}?mode=ro{'&immutable=1' if still else ''}"


def stillness(path: str) -> tuple[int, int] | None:
    """Return time and size of a file that nobody writes to; None if somebody may, which a log beside it shows.

    A still file is read as it stands: a usual reader makes a log that its owner could not write to.
    """
    if _size(path + "-wal"):
        return None
    status = os.stat(path)
    return status.st_mtime_ns, status.st_size


def _reading(connection: sqlite3.Connection) -> sqlite3.Connection:
    try:
        _tune(connection, _READER_CACHE_KIB)
        connection.execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def checkpoint(connection: sqlite3.Connection) -> None:
    """Bring everything from the log into the file, unless another connection prevents it."""
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def is_busy(exc: sqlite3.Error) -> bool:
    """Whether another connection holds a lock that this one needs."""
    return _primary_code(exc) == sqlite3.SQLITE_BUSY


def free_bytes(path: str) -> int | None:
    """Room for ordinary users on the file system of the file's folder, in bytes; None if unknown."""
    try:
        status = os.statvfs(os.path.dirname(path))
    except OSError:
        return None
    return status.f_bavail * status.f_frsize


def used_bytes(path: str) -> int:
    """Size of the file and of the log beside it."""
    return _size(path) + _size(path + "-wal")


def translate(exc: sqlite3.Error, path: str, *, opening: bool = False) -> LaklakError:
    """Return our error for SQLite's; with `opening`, one without a better name is StoreUnavailable."""
    code = _primary_code(exc)
    room = free_bytes(path)
    if code == sqlite3.SQLITE_FULL or (
        code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN) and room is not None and room < _NO_ROOM_BYTES
    ):
        return StoreFull(
            f"no room left for the store {path}: {'unknown' if room is None else size_text(room)} free",
            hint="make room and run again; what was stored before is sound",
        )
    kind = StoreUnavailable if opening else StoreError
    if code == sqlite3.SQLITE_BUSY:
        return kind(
            f"another program has been holding the store {path} for {BUSY_TIMEOUT_S:.0f} s ({exc})",
            hint="end its transaction, or run again later",
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return kind(f"the store {path} is damaged: {exc}", hint=_DAMAGED_HINT)
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN):
        return kind(
            f"the store {path} cannot be opened for writing: {exc}",
            hint=f"check the rights of file and folder; {MOVES_STORE}",
        )
    return kind(f"the store {path} failed: {exc} ({getattr(exc, 'sqlite_errorname', type(exc).__name__)})")


# From the header and the list of tables: application_id, user_version, whether there is any table.
_State = tuple[int, int, bool]
_NOTHING: Final[_State] = (0, 0, False)


def _state(connection: sqlite3.Connection) -> _State:
    application_id = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    # If the header says all, do not ask for the list of tables: a foreign one may hold what this SQLite does not know,
    # and another process may be writing our own.
    if application_id not in (0, APPLICATION_ID) or version != 0:
        return application_id, version, True
    tables = connection.execute("SELECT EXISTS (SELECT 1 FROM sqlite_master)").fetchone()[0] == 1
    return application_id, version, tables


def _peek(path: str) -> _State:
    address = f"file:{quote(os.fsencode(path))}?mode=ro&immutable=1"
    connection = sqlite3.connect(address, uri=True, isolation_level=None)
    try:
        # A file whose log is not in it yet (a killed process, a full disk) may be shorter than its header says.  That
        # is no damage, but without this a connection that does not see the log takes it for some.
        connection.execute("PRAGMA writable_schema = ON")
        return _state(connection)
    finally:
        connection.close()


def _check_ours(path: str, state: _State) -> None:
    application_id, version, tables = state
    if application_id != APPLICATION_ID:
        raise StoreUnavailable(f"{path} is a database of another program", hint=_OTHER_FILE_HINT)
    if version > SCHEMA_VERSION:
        raise StoreUnavailable(
            f"the store {path} has version {version}; this laklak knows versions up to {SCHEMA_VERSION}",
            hint="update laklak, or choose another file with --store; this one was not touched",
        )
    # Creation sets version and tables in one transaction, so laklak never leaves this behind.
    if version < 0 or (version == 0 and tables):
        raise StoreUnavailable(f"the store {path} is damaged: its version is {version}", hint=_DAMAGED_HINT)


def _refused_unreadable(path: str, exc: sqlite3.Error) -> StoreUnavailable:
    if _primary_code(exc) in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return StoreUnavailable(f"{path} is not a SQLite database that can be read ({exc})", hint=_OTHER_FILE_HINT)
    return StoreUnavailable(f"{path} cannot be read: {exc}", hint="check the rights of file and folder")


def _connect(place: str) -> sqlite3.Connection:
    # A path is absolute, so what begins with `file:` is an address.
    return sqlite3.connect(
        place, uri=place.startswith("file:"), timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )


def _create(connection: sqlite3.Connection, path: str) -> None:
    # In rollback-journal mode, so that the file's header says from the first moment whose it is, whatever happens to
    # the log later.  The next opening rolls back a creation that was cut off.
    connection.execute(f"PRAGMA page_size = {_PAGE_SIZE}")
    connection.execute("PRAGMA auto_vacuum = NONE")
    try:
        connection.execute("PRAGMA journal_mode = DELETE").fetchall()
    except sqlite3.OperationalError as exc:
        if not is_busy(exc):
            raise
        # Another process is making the store right now, so there is nothing to do.
    _upgrade(connection, path)


def _upgrade(connection: sqlite3.Connection, path: str) -> None:
    if _state(connection)[:2] == (APPLICATION_ID, SCHEMA_VERSION):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Look again under the lock: another process may have been faster, and the log shows what is not in the file
        # yet.
        state = _state(connection)
        if state != _NOTHING:
            _check_ours(path, state)
        for step in MIGRATIONS[state[1] :]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _switch_to_wal(connection: sqlite3.Connection, path: str) -> None:
    # The switch needs the file for itself for a moment, and SQLite does not wait for that by itself.
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
            break
        except sqlite3.OperationalError as exc:
            if not is_busy(exc) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    if mode != "wal":
        raise StoreUnavailable(
            f"the file system of {path} cannot hold a store that is read while it is written",
            hint="choose a file on a local disk with --store",
        )


def _tune(connection: sqlite3.Connection, cache_kib: int) -> None:
    # NORMAL: a commit is in the log at once, so a killed process loses nothing; a power cut may take the last
    # transactions, whole ones, and the next run plans from the rest.  No mmap: it counts as resident memory.
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA mmap_size = 0")
    connection.execute(f"PRAGMA cache_size = -{cache_kib}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}").fetchall()
    connection.execute(f"PRAGMA journal_size_limit = {_WAL_LEFT_BYTES}").fetchall()
    connection.execute("PRAGMA secure_delete = OFF").fetchall()


def _primary_code(exc: sqlite3.Error) -> int:
    # Extended codes carry the primary one in the low byte; errors of the Python module itself have none.
    return getattr(exc, "sqlite_errorcode", 0) & 0xFF


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def identity(path: str) -> tuple[int, int] | None:
    """What tells a file from another one of the same name; None when there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino
