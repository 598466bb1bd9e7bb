"""A place of its own for each test, a database or a bucket, on the real servers that all tests share.

`place` is a database of InfluxDB 1.x, and in `make test-all` a bucket of 2.x as well: how both are read and written is
for tests/stores, every day for both. `any_place` is one of each every day, for the tests that all else stands on.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from influx_places import Bucket, Database
from influxd import Influxd
from influxd2 import Influxd2

import laklak as library

_numbers = itertools.count(1)


@pytest.fixture
def database(influxd: Influxd) -> Database:
    """A database that does not exist yet."""
    return Database(influxd, f"candles_{next(_numbers)}")


@pytest.fixture
def bucket(influxd2: Influxd2, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A bucket that does not exist yet, and its token in the environment."""
    monkeypatch.setenv("LAKLAK_INFLUXDB_TOKEN", influxd2.token)
    return Bucket(influxd2, f"candles {next(_numbers)}")


@pytest.fixture(params=["database", "bucket"])
def any_place(request: pytest.FixtureRequest) -> Database | Bucket:
    made = request.getfixturevalue(request.param)
    assert isinstance(made, Database | Bucket)
    return made


@pytest.fixture(params=["database", pytest.param("bucket", marks=pytest.mark.long)])
def place(request: pytest.FixtureRequest) -> Database | Bucket:
    made = request.getfixturevalue(request.param)
    assert isinstance(made, Database | Bucket)
    return made


@pytest.fixture(params=["own_influxd", pytest.param("own_influxd2", marks=pytest.mark.long)])
def own_place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Database | Bucket:
    """A place that does not exist yet on a server of the test's own."""
    server = request.getfixturevalue(request.param)()
    if isinstance(server, Influxd):
        return Database(server, "x")
    monkeypatch.setenv("LAKLAK_INFLUXDB_TOKEN", server.token)
    return Bucket(server, "x")


@pytest.fixture
def backfill() -> Callable[..., library.Summary]:
    """Fill a place as a program does: `backfill(place, "LTCUSDT", days=1)`."""

    def call(place: Database | Bucket, *symbols: str, **options: Any) -> library.Summary:
        return asyncio.run(library.backfill(list(symbols), store=place.url, **options))

    return call
