"""Places for stores and candles to put in them. Stores run without a backfill: each test is one `asyncio.run`."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from laklak.model.candles import CandleBatch
from laklak.model.series import Interval, Series
from laklak.stores import open_store
from laklak.stores.access import StoreAccess
from laklak.stores.base import Delivery

T = TypeVar("T")

START_MS = 1_767_225_600_000  # 2026-01-01T00:00Z

_numbers = itertools.count(1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with nothing in it."""
    folder = tmp_path / "stores"
    folder.mkdir()
    return folder


@pytest.fixture
def path(folder: Path) -> Path:
    """Where a SQLite store may be made; nothing else is in its folder."""
    return folder / "candles.db"


@pytest.fixture(params=["sqlite", "influxdb", "influxdb2"])
def where(request: pytest.FixtureRequest, folder: Path) -> StoreAccess:
    """An empty place for each kind of store: what `open_store` takes."""
    # Names that have to be quoted, and never the same one: the servers outlive the test.
    if request.param == "influxdb":
        return StoreAccess(where=request.getfixturevalue("influxd").url(f'contract "{next(_numbers)}"'))
    if request.param == "influxdb2":
        server = request.getfixturevalue("influxd2")
        return StoreAccess(where=server.url(f"contract ${{r}} \\ 桶/{next(_numbers)}"), token=server.token)
    return StoreAccess(where=f"{folder}/contract.db")


@pytest.fixture
def use(where: StoreAccess) -> Callable[[Callable[[Any], Awaitable[T]]], T]:
    """Run one coroutine function with the opened store and give back what it returns; may be called repeatedly."""

    def run(work: Callable[[Any], Awaitable[T]]) -> T:
        async def main() -> T:
            async with open_store(where) as store:
                return await work(store)

        return asyncio.run(main())

    return run


@pytest.fixture
def series() -> Series:
    return Series.parse("binance:BTCUSDT:1m")


@pytest.fixture
def deliver() -> Callable[..., Delivery]:
    """Make a delivery of `count` candles from `start_ms` on, without gaps, the same for the same seed."""

    def make(series: Series, count: int, *, start_ms: int = START_MS, seed: int = 0) -> Delivery:
        rng = random.Random(seed)
        interval: Interval = series.interval
        open_times = [start_ms + i * interval.ms for i in range(count)]
        texts = tuple([f"{rng.random() * 60000:.8f}" for _ in open_times] for _ in range(5))
        values = tuple([float(text) for text in column] for column in texts)
        return Delivery(series, CandleBatch(series, open_times, texts, values))

    return make
