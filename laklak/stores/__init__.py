"""Stores: where candles live. `open_store` gives the right one for what the user wrote."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

import platformdirs

from laklak.errors import StoreUnavailable
from laklak.stores.base import Store
from laklak.stores.sqlite import SqliteStore

__all__ = ["open_store"]

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):/")
_SPELLING: Final = (
    "write a file name like candles.db, sqlite:////folder/candles.db, or influxdb://[user@]host[:8086]/database"
)


def open_store(
    where: str,
    *,
    create: bool = True,
    password: str | None = None,
    state_dir: Path | None = None,
    max_wait_s: float = 600.0,
) -> Store:
    """Give the store called `where`, to be entered with `async with`; nothing is opened or made before that.

    Args:
        where: `candles.db`, `~/candles.db`, `sqlite:///FILE` (relative to the working folder), `sqlite:////FILE`,
            or `influxdb://[user@]host[:8086]/database[?rp=NAME]` (`influxdb+https://` for TLS).
        create: make the store where there is none. Without it a missing store gives nothing and takes nothing.
        password: of the user in an InfluxDB address that has none of its own.
        state_dir: where the lock of a store on a server is kept; a file's is beside it.
        max_wait_s: how long a server that is down is waited for.

    Raises:
        StoreUnavailable: no store is spelled like that. No part of `where` but its scheme is in the message, since
            there may be a password in it.
    """
    if where.lower().startswith(("influxdb://", "influxdb+https://")):
        from laklak.stores.influx import open_influx

        return open_influx(
            where,
            {"LAKLAK_INFLUXDB_PASSWORD": password} if password else {},
            state_dir=state_dir or platformdirs.user_state_path("laklak"),
            create=create,
            max_wait_s=max_wait_s,
        )
    path = _file_of(where)
    if not path or path == ":memory:" or path.endswith("/") or "\0" in path:
        raise StoreUnavailable("the store must be a file", hint=_SPELLING)
    return SqliteStore(path, create=create)


def _file_of(where: str) -> str:
    found = _SCHEME.match(where)
    if found is None and not where.lower().startswith("sqlite:"):
        return os.path.expanduser(where)
    scheme = found.group(1).lower() if found else "sqlite"
    if scheme == "sqlite" and where[len("sqlite") :].startswith(":///"):
        return where[len("sqlite:///") :]
    if scheme == "sqlite":
        raise StoreUnavailable("a sqlite: address needs three slashes before the file name", hint=_SPELLING)
    if scheme.startswith("influxdb"):
        raise StoreUnavailable(
            f"stores of the kind {scheme}:// are not built yet",
            hint="InfluxDB 1.x (influxdb://, influxdb+https://) and SQLite files are",
        )
    raise StoreUnavailable(f"there is no kind of store called {scheme}://", hint=_SPELLING)
