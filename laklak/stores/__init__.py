"""Stores: where candles live. `open_store` gives the right one for what the user wrote."""

from __future__ import annotations

import os
import re
from typing import Final

from laklak.errors import StoreUnavailable
from laklak.stores.sqlite import SqliteStore

__all__ = ["open_store"]

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):/")
_SPELLING: Final = "write a file name like candles.db, sqlite:///candles.db or sqlite:////folder/candles.db"


def open_store(where: str, *, create: bool = True) -> SqliteStore:
    """Give the store called `where`, to be entered with `async with`; nothing is opened or made before that.

    Args:
        where: `candles.db`, `~/candles.db`, `sqlite:///FILE` (relative to the working folder), `sqlite:////FILE`.
        create: make the store where there is none. Without it a missing store gives nothing and takes nothing.

    Raises:
        StoreUnavailable: no store is spelled like that. No part of `where` but its scheme is in the message, since
            there may be a password in it.
    """
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
            hint="use a SQLite file for now, as in --store candles.db",
        )
    raise StoreUnavailable(f"there is no kind of store called {scheme}://", hint=_SPELLING)
