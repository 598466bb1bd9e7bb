"""A slow line in front of any server: a relay that lets so many bytes a second through, in both directions."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

PIECE = 1024


class SlowLine:
    """A relay to `url`. `bytes_per_s` down the line: all connections share it, or each has it where `each`.

    `most_at_once` is how many connections had an answer to bring at the same time.
    """

    def __init__(self, url: str, bytes_per_s: float, *, each: bool = False) -> None:
        parts = urlsplit(url)
        self._to = (parts.hostname, parts.port)
        self._bytes_per_s = bytes_per_s
        self._each = each
        self._free_s = 0.0
        self._bringing = 0
        self._serving: set[Any] = set()
        self.most_at_once = 0
        self.carried = 0

    @asynccontextmanager
    async def open(self) -> AsyncIterator[SlowLine]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()
            for task in self._serving:
                task.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving.add(asyncio.current_task())
        there_reader, there_writer = await asyncio.open_connection(*self._to)
        up = asyncio.ensure_future(self._up(reader, there_writer))
        try:
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await self._down(there_reader, writer)
        finally:
            up.cancel()
            for one in (writer, there_writer):
                one.close()
            await asyncio.gather(up, *(one.wait_closed() for one in (writer, there_writer)), return_exceptions=True)

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        own_free_s = 0.0
        while data := await reader.read(262_144):
            self._bringing += 1
            self.most_at_once = max(self.most_at_once, self._bringing)
            try:
                for start in range(0, len(data), PIECE):
                    piece = data[start : start + PIECE]
                    loop = asyncio.get_running_loop()
                    free_s = (
                        max(own_free_s if self._each else self._free_s, loop.time()) + len(piece) / self._bytes_per_s
                    )
                    own_free_s = self._free_s = free_s
                    await asyncio.sleep(free_s - loop.time())
                    self.carried += len(piece)
                    writer.write(piece)
                    await writer.drain()
            finally:
                self._bringing -= 1


@contextlib.contextmanager
def slow_line(url: str, bytes_per_s: float, *, each: bool = False) -> Iterator[SlowLine]:
    """The relay in a thread with a loop of its own, for programs in other processes."""
    loop = asyncio.new_event_loop()
    line = SlowLine(url, bytes_per_s, each=each)
    opened = line.open()
    thread = Thread(target=loop.run_forever, name="slow line")
    thread.start()
    try:
        yield asyncio.run_coroutine_threadsafe(opened.__aenter__(), loop).result(20)
    finally:
        asyncio.run_coroutine_threadsafe(opened.__aexit__(None, None, None), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        loop.close()
