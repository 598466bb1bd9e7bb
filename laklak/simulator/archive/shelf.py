"""The archive's files once made: each made once, in threads; the last used ones are kept up to a size."""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from laklak.simulator.archive.render import Body

_OVERHEAD: Final = 512  # Bytes of an entry beside its data, so that files without rows count too.


class Shelf:
    """Holds at most `limit_bytes` of bodies; None is the body of a file without rows."""

    def __init__(self, limit_bytes: int) -> None:
        self.held_bytes = 0
        self.evictions = 0
        self._limit_bytes = limit_bytes
        self._held: OrderedDict[Hashable, Body | None] = OrderedDict()
        self._making: dict[Hashable, asyncio.Future[Body | None]] = {}
        self._pool = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="archive")

    def __repr__(self) -> str:
        return f"<Shelf files={len(self._held)} bytes={self.held_bytes}/{self._limit_bytes} making={len(self._making)}>"

    def __len__(self) -> int:
        return len(self._held)

    async def get(self, key: Hashable, make: Callable[[], Body | None]) -> Body | None:
        """Return the body under `key`, made by `make` in a thread unless held; callers in the meantime share it."""
        if key in self._held:
            self._held.move_to_end(key)
            return self._held[key]
        # A caller who gives up must not take the file from the others.
        return await asyncio.shield(self.start(key, make))

    def start(self, key: Hashable, make: Callable[[], Body | None]) -> asyncio.Future[Body | None]:
        """Begin to make the body under `key`, unless that has begun."""
        future = self._making.get(key)
        if future is None:
            future = asyncio.get_running_loop().run_in_executor(self._pool, make)
            self._making[key] = future
            future.add_done_callback(partial(self._keep, key))
        return future

    async def close(self) -> None:
        """Make nothing more; waits for half-made files."""
        if self._making:
            await asyncio.to_thread(self._pool.shutdown, cancel_futures=True)
        else:
            self._pool.shutdown(wait=False)

    def _keep(self, key: Hashable, future: asyncio.Future[Body | None]) -> None:
        del self._making[key]
        if future.cancelled() or future.exception() is not None:
            return
        body = future.result()
        self._held[key] = body
        self.held_bytes += _cost(body)
        while self.held_bytes > self._limit_bytes:
            _, oldest = self._held.popitem(last=False)
            self.held_bytes -= _cost(oldest)
            self.evictions += 1


def _cost(body: Body | None) -> int:
    return _OVERHEAD + (0 if body is None else len(body.data))
