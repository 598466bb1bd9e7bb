"""A simulator on a free port, and a client that asks it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from laklak.simulator import CandleSource, RecordedSource, Simulator, SimulatorSettings, load_recorded


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def times(self) -> list[int]:
        return [row[0] for row in self.json]


class Client:
    """Asks the simulator for paths below /fapi/v1/ and files of its archive; every reply must say it is simulated."""

    def __init__(self, simulator: Simulator, session: aiohttp.ClientSession) -> None:
        self.simulator = simulator
        self._session = session

    async def get(self, path: str, timeout_s: float = 10, **query: str | int) -> Reply:
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        url = f"{self.simulator.url}/fapi/v1/{path}"
        async with self._session.get(url, params=query, timeout=timeout) as response:
            assert response.headers["X-Laklak-Simulator"] == "1"
            return Reply(response.status, response.headers, await response.read())

    async def fetch(self, path: str, method: str = "GET") -> Reply:
        """Ask for any path below the simulator's address."""
        async with self._session.request(method, f"{self.simulator.url}{path}") as response:
            assert response.headers["X-Laklak-Simulator"] == "1"
            return Reply(response.status, response.headers, await response.read())

    async def zip(self, period: str = "2026-02-25", symbol: str = "LTCUSDT", interval: str = "1m") -> Reply:
        """Ask for the archive's file of a day or a month."""
        return await self.fetch(_archive_path(period, symbol, interval))

    async def checksum(self, period: str = "2026-02-25", symbol: str = "LTCUSDT", interval: str = "1m") -> Reply:
        """Ask for the checksum of such a file."""
        return await self.fetch(_archive_path(period, symbol, interval) + ".CHECKSUM")

    async def klines(self, symbol: str = "LTCUSDT", interval: str = "1m", **query: int) -> Reply:
        return await self.get("klines", symbol=symbol, interval=interval, **query)


def _archive_path(period: str, symbol: str, interval: str) -> str:
    kind = "daily" if len(period) == len("2026-02-25") else "monthly"
    return f"/data/futures/um/{kind}/klines/{symbol}/{interval}/{symbol}-{interval}-{period}.zip"


Talk = Callable[..., Any]


@pytest.fixture(scope="session")
def recorded() -> RecordedSource:
    return load_recorded(Path(__file__).parents[1] / "recorded" / "binance")


@pytest.fixture
def talk(recorded: RecordedSource) -> Talk:
    """Give `talk(conversation, source=..., **settings)`, which awaits `conversation(client)` beside a simulator."""

    def run(
        conversation: Callable[[Client], Awaitable[Any]], source: CandleSource | None = None, **settings: Any
    ) -> Any:
        async def main() -> Any:
            async with (
                Simulator(source or recorded, SimulatorSettings(**settings)) as simulator,
                # One connection each: aiohttp would silently repeat a request on a kept one that is reset.
                aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session,
            ):
                return await conversation(Client(simulator, session))

        return asyncio.run(main())

    return run
