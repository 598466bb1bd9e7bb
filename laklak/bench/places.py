"""Where a measurement writes candles: a new database or file each time, dropped afterwards.

The user's --store only names the folder or the server; the store itself is never opened.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import ssl
import urllib.error
import urllib.parse
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from laklak.bench import influxd
from laklak.bench.children import BenchmarkFailed, held_signals
from laklak.bench.login import login
from laklak.stores.access import StoreAccess
from laklak.stores.influx.address import Address1, Address2, parse_address

_DROPS_WITHIN_S: Final = 60.0
_PATIENCE_S: Final = 2.0
_BESIDE_A_FILE: Final = ("", "-wal", "-shm", "-journal", ".lock")


class Place(ABC):
    """Names new stores, and drops them."""

    kind: str
    """`sqlite`, `influxdb` or `influxdb2`."""
    shown: str
    """The folder or server, for people."""

    @contextlib.contextmanager
    def fresh(self) -> Iterator[StoreAccess]:
        """Yield the name of a store that does not exist yet; drop the store in the end."""
        access = self.named(f"bench_{secrets.token_hex(4)}")
        try:
            yield access
        except BenchmarkFailed as exc:
            # The first error matters; a failure to drop the store is added to it.
            try:
                self._drop(access)
            except BenchmarkFailed as also:
                raise BenchmarkFailed(f"{exc}; {also}", hint=exc.hint, exit_code=exc.exit_code) from exc
            raise
        except BaseException:
            self._drop(access)
            raise
        self._drop(access)

    def _drop(self, access: StoreAccess) -> None:
        with held_signals():
            self.drop(access)

    @abstractmethod
    def named(self, name: str) -> StoreAccess:
        """Access to a store whose name ends in `name`."""

    @abstractmethod
    def drop(self, access: StoreAccess) -> None:
        """Remove a store of ours if it exists."""

    def server_cpu_s(self) -> float | None:
        """CPU seconds of the server so far; None without a server, or if they cannot be read."""
        return None


class FilePlace(Place):
    """SQLite files in a folder; their names begin with `stem`."""

    kind = "sqlite"

    def __init__(self, folder: Path, *, stem: str = "laklak", state_dir: Path) -> None:
        self.shown = str(folder)
        self._folder, self._stem, self._state_dir = folder, stem, state_dir

    def named(self, name: str) -> StoreAccess:
        path = os.path.abspath(self._folder / f"{self._stem}_{name}.db")
        return StoreAccess(where=f"sqlite:///{path}", state_dir=self._state_dir)

    def drop(self, access: StoreAccess) -> None:
        path = access.where.removeprefix("sqlite:///")
        for ending in _BESIDE_A_FILE:
            Path(path + ending).unlink(missing_ok=True)


class ServerPlace(Place):
    """Databases or buckets on an InfluxDB server, beside the one in `access`. `pid`: the server's, if it is ours."""

    def __init__(self, access: StoreAccess, *, state_dir: Path, pid: int | None = None) -> None:
        self._address = parse_address(access.where, password=access.password, token=access.token, org=access.org)
        # The user's other settings do not count: a benchmark measures the defaults.
        self._access = StoreAccess(where="", state_dir=state_dir, org=access.org, max_wait_s=_PATIENCE_S)
        self.kind = self._address.plain_scheme
        self.shown = self._address.server
        self._pid = influxd.process_at(self._address.host, self._address.port) if pid is None else pid

    def named(self, name: str) -> StoreAccess:
        address = self._address
        database = quote(f"{address.database}_{name}", safe="")
        if isinstance(address, Address1):
            user = f"{quote(address.user, safe='')}@" if address.user else ""
            where = f"{address.scheme}://{user}{address.server}/{database}"
            return replace(self._access, where=where, password=address.password)
        where = f"{address.scheme}://{address.server}/{database}?org={quote(address.org, safe='')}"
        return replace(self._access, where=where, token=address.token)

    def drop(self, access: StoreAccess) -> None:
        address = parse_address(access.where, password=access.password, token=access.token, org=access.org)
        try:
            if isinstance(address, Address1):
                name = address.database.replace("\\", r"\\").replace('"', r"\"")
                self._send(address, "POST", "/query", {"q": f'DROP DATABASE "{name}"'})
            else:
                self._drop_bucket(address)
        except (OSError, ValueError) as exc:
            raise BenchmarkFailed(
                f"{address.database} at {address.server} could not be dropped: {exc}",
                hint="it was made for the benchmark; drop it by hand",
            ) from exc

    def server_cpu_s(self) -> float | None:
        return None if self._pid is None else influxd.cpu_seconds(self._pid)

    def _drop_bucket(self, address: Address2) -> None:
        query = {"org": address.org, "name": address.database}
        try:
            found = self._send(address, "GET", f"/api/v2/buckets?{urllib.parse.urlencode(query)}")
        except urllib.error.HTTPError as exc:
            if exc.code == 404:
                return
            raise
        for bucket in found["buckets"]:
            self._send(address, "DELETE", f"/api/v2/buckets/{bucket['id']}")

    def _send(
        self, address: Address1 | Address2, method: str, path: str, form: dict[str, str] | None = None
    ) -> dict[str, Any]:
        data = None if form is None else urllib.parse.urlencode(form).encode()
        request = urllib.request.Request(address.http_url + path, data, login(address), method=method)  # noqa: S310
        handlers: list[urllib.request.BaseHandler] = [urllib.request.HTTPSHandler(context=ssl.create_default_context())]
        if not address.tls:
            handlers.append(urllib.request.ProxyHandler({}))
        with urllib.request.build_opener(*handlers).open(request, timeout=_DROPS_WITHIN_S) as response:
            body = response.read()
        answer: dict[str, Any] = json.loads(body) if body else {}
        for result in answer.get("results", ()):
            if "error" in result:
                raise ValueError(result["error"])
        return answer
