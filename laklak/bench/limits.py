"""The limits of this machine: the same bytes only fetched, the same rows only written.

Both are as plain as the same libraries allow, with as many requests at once as a backfill has. The rest of a backfill's
time is its own work, and what fetching and writing at once cost each other.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import AsyncExitStack
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar

import aiohttp
import anyio
from yarl import URL

from laklak.bench.login import login
from laklak.bench.reference import Reference
from laklak.bench.workload import Workload, access_json, access_of, default
from laklak.model.candles import CandleBatch
from laklak.stores import open_store
from laklak.stores.access import StoreAccess
from laklak.stores.base import Delivery, Store
from laklak.stores.influx.address import Address1, Address2, parse_address

Result = TypeVar("Result")

_IN_FLIGHT: Final = 4
"""Concurrent writes, as many as laklak's InfluxDB store sends."""
_PACKED_AT_ONCE: Final = 8
"""Packed writes in memory at once: 160,000 rows, some 40 MB."""


class Watch:
    """Wall and CPU seconds of this process, summed over all blocks `with watch:`."""

    def __init__(self) -> None:
        self._seconds = self._cpu_s = 0.0

    def __enter__(self) -> None:
        self._add(-1)

    def __exit__(self, *_: object) -> None:
        self._add(1)

    def _add(self, sign: int) -> None:
        self._seconds += sign * time.perf_counter()
        self._cpu_s += sign * time.process_time()

    def read(self) -> dict[str, float]:
        return {"seconds": self._seconds, "cpu_s": self._cpu_s}


async def download(spec: dict[str, Any]) -> dict[str, Any]:
    """Fetch what a backfill from `source` (rest or archive) fetches, and throw it away."""
    workload = Workload.of(spec["workload"])
    received = 0
    if spec["source"] == "rest":
        connections = default("workers")
        work: list[list[URL]] = [
            [URL(spec["url"]).with_path(one.path).with_query(one.query)] for one in workload.requests()
        ]
    else:
        connections = default("archive_connections")
        base = URL(spec["url"])
        # The checksum follows its zip, as in a backfill.
        work = [[base.joinpath(path.lstrip("/"), encoded=True) for path in paths] for paths in workload.files()]

    async def fetch(urls: list[URL]) -> None:
        nonlocal received
        for url in urls:
            async with session.get(url) as response:
                body = await response.read()
                if response.status != 200:
                    raise RuntimeError(f"{url} was answered with status {response.status}")
                received += len(body)

    connector = aiohttp.TCPConnector(limit=connections)
    watch = Watch()
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
        with watch:
            await _all(work, fetch, connections)
    return {**watch.read(), "bytes": received, "requests": sum(map(len, work)), "candles": workload.candles}


async def write(spec: dict[str, Any]) -> dict[str, Any]:
    """Write the reference to the store at `access`; create the store if it is missing."""
    reference = Reference(Workload.of(spec["workload"]), Path(spec["folder"]))
    access = access_of(spec["access"])
    if access.where.startswith("influxdb"):
        used = await _write_lines(reference, access)
    else:
        used = await _write_rows(reference, access)
    return {**used, "candles": reference.workload.candles}


async def make(spec: dict[str, Any]) -> dict[str, Any]:
    """Create the store at `access`. LaklakError when that fails."""
    async with open_store(access_of(spec["access"])) as store:
        return {"store": store.display}


async def _write_rows(reference: Reference, access: StoreAccess) -> dict[str, float]:
    """Write packed rows through the SQLite store's own `write`, with nothing beside it, and close the store.

    Rows are packed in lots while the watch stands still: all rows at once would take a hundred MB.
    """
    watch = Watch()
    async with AsyncExitStack() as closing:
        store = await closing.enter_async_context(open_store(access))
        deliveries = _deliveries(reference, store, default("batch_size"))
        while lot := list(islice(deliveries, _PACKED_AT_ONCE)):
            with watch:
                for delivery in lot:
                    await store.write([delivery])
        with watch:
            await closing.aclose()
    return watch.read()


def _deliveries(reference: Reference, store: Store, size: int) -> Iterator[Delivery]:
    for series, times, columns in reference.series():
        for start in range(0, len(times), size):
            part = slice(start, start + size)
            values = tuple(column[part] for column in columns)
            yield Delivery(series, store.pack(CandleBatch(series, times[part], ((),) * 5, values)))


async def _write_lines(reference: Reference, access: StoreAccess) -> dict[str, float]:
    """Send ready batches of lines in plain requests, a few at once."""
    await make({"access": access_json(access)})
    address = parse_address(access.where, password=access.password, token=access.token, org=access.org)
    url, headers = write_url(address), login(address)
    lines = reference.open_lines()

    async def send(batch: tuple[int, int]) -> None:
        async with session.post(url, data=os.pread(lines, batch[1], batch[0]), headers=headers) as response:
            if response.status != 204:
                raise RuntimeError(f"a write was answered with status {response.status}")

    watch = Watch()
    try:
        async with aiohttp.ClientSession(trust_env=address.tls) as session:
            with watch:
                await _all(reference.batches(), send, _IN_FLIGHT)
        return watch.read()
    finally:
        os.close(lines)


def write_url(address: Address1 | Address2) -> URL:
    """The URL that takes lines with times in milliseconds."""
    base = URL(address.http_url)
    if isinstance(address, Address1):
        return base.with_path("/write").with_query({"db": address.database, "precision": "ms"})
    query = {"org": address.org, "bucket": address.database, "precision": "ms"}
    return base.with_path("/api/v2/write").with_query(query)


async def _all(items: Iterable[Any], do: Callable[[Any], Awaitable[None]], at_once: int) -> None:
    """Await `do` for all items in their order, `at_once` at a time."""
    waiting = iter(items)

    async def work() -> None:
        for item in waiting:
            await do(item)

    async with anyio.create_task_group() as group:
        for _ in range(at_once):
            group.start_soon(work)


def run(work: Callable[[dict[str, Any]], Coroutine[Any, Any, Result]], spec: dict[str, Any]) -> Result:
    """Run on uvloop where it exists, as a backfill does."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work(spec))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work(spec))
