"""Talks between a transport and a venue on a real socket: the simulator, or a server that does what it is told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from yarl import URL

from laklak.model.series import MINUTE_MS, Interval, Series, TimeRange
from laklak.simulator import Override, Simulator, SimulatorSettings, generate
from laklak.tasks.stopping import Stopper
from laklak.tasks.timing import Timing
from laklak.venues import VENUES
from laklak.venues.base import Asked, Quota, Request, unlisted
from laklak.wire.bans import BanBook
from laklak.wire.clock import VenueClock
from laklak.wire.limiter import Limiter
from laklak.wire.quota import Share
from laklak.wire.venue_api import TRIES, Transport

BINANCE = VENUES["binance"]
CLOCK = BINANCE.clock_request()
SOURCE = generate(symbols=1, days=1)


def candles(count: int = 100) -> Request:
    """Ask for the newest `count` candles."""
    span = TimeRange(SOURCE.end_ms - count * MINUTE_MS, SOURCE.end_ms)
    return BINANCE.candles_request(asked(SOURCE.symbols[0], span))


def asked(symbol: str, span: TimeRange) -> Asked:
    """What an adapter is told of a request for minutes."""
    return Asked(Series("binance", symbol, Interval.parse("1m")), unlisted(symbol), span)


def quick(**waits: float) -> Timing:
    """Retries follow each other at once; `waits` differ."""
    return Timing(**{"backoff_most_s": 0.0, "silence_s": 5.0, **waits})


class LongBackoff(Timing):
    """A wait for the next try that a test cannot outlast."""

    def backoff_s(self, attempt: int, share: float) -> float:
        return 600.0


@asynccontextmanager
async def opened(url: str, **values: Any) -> AsyncIterator[Any]:
    """A transport to `url` with its parts as attributes; retries follow each other at once.

    A `limiter` may be that of another transport.
    """
    clock = VenueClock()
    stopper = Stopper()
    next_window_s, budget = values.pop("next_window_s", 0.05), values.pop("budget", 2400)
    shares = {"weight": Share(Quota(budget, 60.0, window="calendar"), budget, heaviest=10)}
    limiter = values.pop("limiter", None) or Limiter(shares, next_window_s=lambda seconds: next_window_s)
    folder = values.pop("folder", Path("state"))
    settings: dict[str, Any] = {
        "connections": 4,
        "max_wait_s": 30.0,
        "firewall_wait_s": 1.0,
        "timing": quick(),
        **values,
    }
    bans = BanBook(folder, "binance", str(URL(url).origin()), longest_s=BINANCE.longest_ban_s)
    transport: Any = Transport(BINANCE, url, limiter, clock=clock, bans=bans, stopper=stopper, **settings)
    async with transport:
        transport.limiter, transport.bans, transport.stopper, transport.clock = limiter, bans, stopper, clock
        yield transport


async def ask(transport: Any, request: Request = CLOCK, tries: int = TRIES) -> Any:
    """Ask and parse: milliseconds for the clock, a page for candles."""
    if request is CLOCK:
        return await transport.ask(request, BINANCE.read_clock, tries=tries)
    span = TimeRange(0, SOURCE.end_ms)
    read = partial(BINANCE.read_candles, asked=asked(SOURCE.symbols[0], span))
    return await transport.ask(request, read, candles=True, tries=tries)


class Beside:
    """What a conversation sees: the transport and the venue it talks to."""

    def __init__(self, transport: Any, simulator: Simulator) -> None:
        self.transport, self.simulator, self.stats = transport, simulator, simulator.stats

    async def ask(self, request: Request = CLOCK, tries: int = TRIES) -> Any:
        return await ask(self.transport, request, tries)


def talk(
    conversation: Callable[[Beside], Coroutine[Any, Any, Any]],
    *,
    answers: Sequence[Override | None] = (),
    venue: dict[str, Any] | None = None,
    **transport: Any,
) -> Any:
    """Await `conversation(beside)`; the first requests get `answers` in turn (None: the true one)."""

    def script(path: str, query: Mapping[str, str], number: int) -> Override | None:
        return answers[number - 1] if number <= len(answers) else None

    async def main() -> Any:
        settings = SimulatorSettings(script=script, **(venue or {}))
        async with Simulator(SOURCE, settings) as simulator, opened(simulator.url, **transport) as client:
            return await conversation(Beside(client, simulator))

    return asyncio.run(main())


@asynccontextmanager
async def raw_server(
    serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """A server that does with each connection what `serve` says; gives its URL."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await serve(reader, writer)
        finally:
            # Of one that is still at it when the loop ends, too.
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def head_of(reader: asyncio.StreamReader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


def response(body: bytes = b'{"serverTime":1771977600000}', status: str = "200 OK", headers: bytes = b"") -> bytes:
    length = f"Content-Length: {len(body)}\r\n".encode()
    return f"HTTP/1.1 {status}\r\n".encode() + headers + length + b"\r\n" + body
