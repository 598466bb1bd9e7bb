"""Writing candles with influxdb-client, in the ways that its documentation shows.

    https://influxdb-client.readthedocs.io/en/stable/usage.html

The client only knows the paths of InfluxDB 2 and of 1.8 and later.  So that it can be measured on the same server as
laklak, `speak_1x` sends its writes to the older path; the bytes are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from influxdb_client import InfluxDBClient, Point, WriteOptions, WritePrecision
from influxdb_client._async.api_client import ApiClientAsync
from influxdb_client._sync.api_client import ApiClient
from influxdb_client.client.influxdb_client_async import InfluxDBClientAsync
from influxdb_client.client.write_api import SYNCHRONOUS, WriteApi
from work import Order, Tally

MEASUREMENT = "binance_ohlc"
BATCH = 5000
"""Lines in one write: what the makers of InfluxDB advise."""


def point(symbol: str, row: Sequence[Any]) -> Point:
    """A candle, with the numbers as floats, as a Point of this client."""
    return (
        Point(MEASUREMENT)
        .tag("exchange", "binance")
        .tag("symbol", symbol)
        .tag("timeframe", "1m")
        .field("open", row[1])
        .field("high", row[2])
        .field("low", row[3])
        .field("close", row[4])
        .field("volume", row[5])
        .time(row[0], WritePrecision.MS)
    )


def client(order: Order) -> InfluxDBClient:
    speak_1x()
    return InfluxDBClient(url=order.influxdb, token="", org="-", timeout=60_000)


def client_async(order: Order) -> InfluxDBClientAsync:
    """To be made where a loop runs."""
    speak_1x()
    return InfluxDBClientAsync(url=order.influxdb, token="", org="-", timeout=60_000)


def synchronous(of: InfluxDBClient) -> WriteApi:
    """Each call is one write, and returns when it is acknowledged."""
    return of.write_api(write_options=SYNCHRONOUS)


def batching(of: InfluxDBClient, tally: Tally) -> WriteApi:
    """Writes in the background; what it could not write after its retries is told to `error_callback` alone."""

    def lost(_place: Any, data: str | bytes, error: Exception) -> None:
        count = len(data.splitlines())
        tally.failed.append(f"{count} lines were not written: {error}")

    options = WriteOptions(batch_size=BATCH, max_close_wait=600_000)
    return of.write_api(write_options=options, error_callback=lost)


def speak_1x() -> None:
    """Let both clients write to /write?db= instead of /api/v2/write?bucket=."""
    for kind in (ApiClient, ApiClientAsync):
        kind.call_api = _to_1x(kind.call_api)


def _to_1x(call: Any) -> Any:
    def call_api(self: Any, path: str, method: str, path_params: Any, query: Any, *args: Any, **more: Any) -> Any:
        if path == "/api/v2/write":
            path = "/write"
            query = [("db" if name == "bucket" else name, value) for name, value in query if name != "org"]
        return call(self, path, method, path_params, query, *args, **more)

    return call_api
