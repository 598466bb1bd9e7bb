"""Stores: where candles live. `open_store` returns the right one for what the user wrote."""

from __future__ import annotations

import os
import re
from typing import Final

import platformdirs

from laklak.errors import StoreUnavailable
from laklak.stores.access import StoreAccess
from laklak.stores.base import Store
from laklak.text import mask_url

__all__ = ["open_store", "shown_store"]

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):/")
_INFLUX: Final = re.compile(r"influxdb2?(?:\+[a-z]*)?:", re.IGNORECASE)
_SPELLING: Final = (
    "write a file name like candles.db, sqlite:////folder/candles.db, influxdb://[user@]host[:8086]/database (1.x), or "
    "influxdb2://host[:8086]/BUCKET?org=ORG (2.x)"
)


def open_store(access: StoreAccess | str, *, create: bool = True) -> Store:
    """Return the store that `access` names, to enter with `async with`; before that nothing is opened or made.

    Args:
        access: a StoreAccess, or just its `where`: `candles.db`, `~/candles.db`, `sqlite:///FILE` (relative to the
            working folder), `sqlite:////FILE`, `influxdb://[user@]host[:8086]/database[?rp=NAME]` for InfluxDB 1.x, or
            `influxdb2://host[:8086]/BUCKET?org=ORG` for 2.x (`influxdb+https://`, `influxdb2+https://` for TLS).
        create: make a missing store. Without it a missing store returns nothing and takes nothing.

    Raises:
        StoreUnavailable: no store is spelled like that. The message shows only the scheme of `where`, which may hold a
            password.
    """
    if isinstance(access, str):
        access = StoreAccess(where=access)
    where = access.where
    if _INFLUX.match(where):
        from laklak.stores.influx.opening import open_influx

        return open_influx(access, state_dir=access.state_dir or platformdirs.user_state_path("laklak"), create=create)
    path = _file_of(where)
    if not path or path == ":memory:" or path.endswith("/") or "\0" in path:
        raise StoreUnavailable("the store must be a file", hint=_SPELLING)
    from laklak.stores.sqlite.store import SqliteStore

    return SqliteStore(path, create=create)


def shown_store(where: str) -> str:
    """Return a store as it may be shown before it is opened: a file's full path, an address without secrets."""
    if not where or _INFLUX.match(where):
        return mask_url(where)
    try:
        return f"sqlite:///{os.path.abspath(_file_of(where))}"
    except StoreUnavailable:
        return mask_url(where)


def _file_of(where: str) -> str:
    found = _SCHEME.match(where)
    if found is None and not where.lower().startswith("sqlite:"):
        return os.path.expanduser(where)
    scheme = found.group(1).lower() if found else "sqlite"
    if scheme == "sqlite" and where[len("sqlite") :].startswith(":///"):
        return where[len("sqlite:///") :]
    if scheme == "sqlite":
        raise StoreUnavailable("a sqlite: address needs three slashes before the file name", hint=_SPELLING)
    raise StoreUnavailable(f"there is no kind of store called {scheme}://", hint=_SPELLING)
