"""What tests put candles into and look at as any other program can: a database of InfluxDB 1.x, a bucket of 2.x."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from influxd import Influxd
from influxd2 import Influxd2

FIELDS = ("open", "high", "low", "close", "volume")
Candles = dict[tuple[str, int], tuple[float, ...]]


class Database:
    """A database of an InfluxDB 1.x server, whether it exists or not; `url` is what --store takes."""

    kind = "1.x"
    word = "database"
    secret = None

    def __init__(self, server: Influxd, name: str) -> None:
        self.server = server
        self.name = name
        self.url = server.url(name)
        self._quoted = '"' + name.replace('"', '\\"') + '"'

    def make(self, keeps_hours: int | None = None) -> None:
        """Make it; with `keeps_hours` it has one retention policy called short."""
        keeps = f" WITH DURATION {keeps_hours}h REPLICATION 1 NAME short" if keeps_hours else ""
        self.server.ask(f"CREATE DATABASE {self._quoted}{keeps}")

    def make_with_days(self) -> None:
        """Make it so that each day is kept apart from the others, with types of fields of its own."""
        rules = "DURATION INF REPLICATION 1 SHARD DURATION 1d NAME autogen"
        self.server.ask(f"CREATE DATABASE {self._quoted} WITH {rules}")

    def remove(self) -> None:
        self.server.ask(f"DROP DATABASE {self._quoted}")

    @property
    def exists(self) -> bool:
        return [self.name] in self.server.rows("SHOW DATABASES")

    def ask(self, statement: str) -> list[list[Any]]:
        """All rows that InfluxQL gives."""
        return self.server.rows(statement, self.name)

    def put(self, lines: str) -> None:
        self.server.put(lines, self.name)

    def put_ns(self, line: str) -> None:
        self.server._post(f"/write?{urlencode({'db': self.name})}", line.encode())

    def candles(self, interval: str = "1m") -> Candles:
        """(symbol, open_time) -> values of Binance."""
        which = f"exchange = 'binance' AND timeframe = '{interval}'"
        found = self.server.ask(f"SELECT {', '.join(FIELDS)} FROM binance_ohlc WHERE {which} GROUP BY *", self.name)
        return {
            (series["tags"]["symbol"], row[0]): tuple(map(float, row[1:]))
            for series in found
            for row in series["values"]
        }

    def points(self, measurement: str, field: str) -> list[tuple[int, Any]]:
        """All points, oldest first: time in ms, value."""
        place = f'{self._quoted}.."{measurement}"'
        return sorted((row[0], row[1]) for row in self.server.rows(f'SELECT "{field}" FROM {place}'))

    def rows(self, measurement: str) -> list[dict[str, Any]]:
        """All points with all of their tags and fields."""
        found = self.server.ask(f'SELECT * FROM {self._quoted}.."{measurement}"')
        return [dict(zip(series["columns"], row, strict=True)) for series in found for row in series["values"]]

    def erase(self, measurement: str) -> None:
        self.server.ask(f'DELETE FROM "{measurement}"', self.name)

    def erase_candle(self, symbol: str, open_ms: int) -> None:
        """Delete one candle of Binance, of every interval."""
        self.server.ask(f"DELETE FROM binance_ohlc WHERE symbol = '{symbol}' AND time = {open_ms}ms", self.name)


class Bucket:
    """A bucket of an InfluxDB 2.x server, the same way."""

    kind = "2.x"
    word = "bucket"

    def __init__(self, server: Influxd2, name: str) -> None:
        self.server = server
        self.name = name
        self.url = server.url(name)
        self.secret = server.token

    def make(self, keeps_hours: int = 0) -> None:
        self.server.make_bucket(self.name, retention_s=keeps_hours * 3600)

    def make_with_days(self) -> None:
        """Make it so that each day is kept apart from the others, with types of fields of its own."""
        rules = [{"type": "expire", "everySeconds": 0, "shardGroupDurationSeconds": 86_400}]
        wanted = {"orgID": self.server._org_id, "name": self.name, "retentionRules": rules}
        self.server.api("POST", "/api/v2/buckets", wanted)

    def remove(self) -> None:
        self.server.remove_bucket(self.name)

    @property
    def exists(self) -> bool:
        buckets = self.server.api("GET", "/api/v2/buckets?limit=100")["buckets"]
        return self.name in [bucket["name"] for bucket in buckets]

    def ask(self, condition: str, then: str = "") -> list[dict[str, Any]]:
        """All rows that a filter of Flux leaves, and what `then` makes of them."""
        bucket = self.name.replace("\\", "\\\\").replace("${", "\\${")
        span = "range(start: 1970-01-01T00:00:00Z, stop: 2200-01-01T00:00:00Z)"
        return self.server.flux(f'from(bucket: "{bucket}") |> {span} |> filter(fn: (r) => {condition}) {then}')

    def put(self, lines: str) -> None:
        self.server.put(lines, self.name)

    def put_ns(self, line: str) -> None:
        query = urlencode({"org": self.server.org, "bucket": self.name})
        self.server._request("POST", f"/api/v2/write?{query}", line.encode(), "text/plain; charset=utf-8")

    def candles(self, interval: str = "1m") -> Candles:
        found = self._pivoted(
            f'r._measurement == "binance_ohlc" and r.exchange == "binance" and r.timeframe == "{interval}"'
        )
        return {(row["symbol"], row["_time"]): tuple(row[field] for field in FIELDS) for row in found}

    def points(self, measurement: str, field: str) -> list[tuple[int, Any]]:
        found = self.ask(f'r._measurement == "{measurement}" and r._field == "{field}"')
        return sorted((row["_time"], row["_value"]) for row in found)

    def rows(self, measurement: str) -> list[dict[str, Any]]:
        found = self._pivoted(f'r._measurement == "{measurement}"')
        return [{"time": row.pop("_time"), **{k: v for k, v in row.items() if k[0] != "_"}} for row in found]

    def erase(self, measurement: str) -> None:
        self._delete("1970-01-01T00:00:00Z", "2200-01-01T00:00:00Z", f'_measurement="{measurement}"')

    def erase_candle(self, symbol: str, open_ms: int) -> None:
        first_s = datetime.fromtimestamp(open_ms // 1000, UTC)
        start, stop = (f"{moment:%Y-%m-%dT%H:%M:%SZ}" for moment in (first_s, first_s + timedelta(seconds=1)))
        self._delete(start, stop, f'_measurement="binance_ohlc" AND symbol="{symbol}"')

    def _pivoted(self, condition: str) -> list[dict[str, Any]]:
        return self.ask(condition, '|> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")')

    def _delete(self, start: str, stop: str, predicate: str) -> None:
        query = urlencode({"org": self.server.org, "bucket": self.name})
        wanted = {"start": start, "stop": stop, "predicate": predicate}
        self.server.api("POST", f"/api/v2/delete?{query}", wanted)
