"""A fresh database for each test, on the real servers that all tests share; skipped where there is none.

`box` is one of InfluxDB 1.x and then one of 2.x: what both do the same is tested once for both.  A file that is about
one of them has a fixture `server_name` of its own.  `serve` is another kind of server: one that answers as it is told,
for what a real one does only when it is ill.
"""

from __future__ import annotations

import asyncio
import http.server
import itertools
import random
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import pytest

from laklak.model import CandleBatch, Series, StoreAccess
from laklak.stores.base import Delivery
from laklak.stores.influx import InfluxStore, open_influx

START_MS = 1_767_225_600_000  # 2026-01-01T00:00Z

_numbers = itertools.count(1)


class Box1:
    """A database of an InfluxDB 1.x server, with a name that has to be quoted, used as other programs use it."""

    kind = "1.x"
    secret = None

    def __init__(self, server: Any) -> None:
        self.server = server
        self.name = f'laklak "test"-{next(_numbers)}'
        self._quoted = '"' + self.name.replace('"', '\\"') + '"'
        self.make()

    @property
    def url(self) -> str:
        return self.server.url(self.name)

    def make(self) -> None:
        self.server.ask(f"CREATE DATABASE {self._quoted}")

    def remove(self) -> None:
        self.server.ask(f"DROP DATABASE {self._quoted}")

    def put(self, lines: str) -> None:
        self.server.put(lines, self.name)

    def put_ns(self, line: str) -> None:
        self.server._post(f"/write?{urlencode({'db': self.name})}", line.encode())

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


class Box2:
    """A bucket of an InfluxDB 2.x server, the same way."""

    kind = "2.x"

    def __init__(self, server: Any) -> None:
        self.server = server
        self.name = f"laklak ${{test}} \\ 行情/{next(_numbers)}"
        self.secret = server.token
        self.make()

    @property
    def url(self) -> str:
        return self.server.url(self.name)

    def make(self) -> None:
        self.server.make_bucket(self.name)

    def remove(self) -> None:
        self.server.remove_bucket(self.name)

    def put(self, lines: str) -> None:
        self.server.put(lines, self.name)

    def put_ns(self, line: str) -> None:
        query = urlencode({"org": self.server.org, "bucket": self.name})
        self.server._request("POST", f"/api/v2/write?{query}", line.encode(), "text/plain; charset=utf-8")

    def points(self, measurement: str, field: str) -> list[tuple[int, Any]]:
        found = self._ask(f'r._measurement == "{measurement}" and r._field == "{field}"')
        return sorted((row["_time"], row["_value"]) for row in found)

    def rows(self, measurement: str) -> list[dict[str, Any]]:
        pivot = '|> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")'
        found = self._ask(f'r._measurement == "{measurement}"', pivot)
        return [{"time": row.pop("_time"), **{k: v for k, v in row.items() if k[0] != "_"}} for row in found]

    def _ask(self, condition: str, then: str = "") -> list[dict[str, Any]]:
        bucket = self.name.replace("\\", "\\\\").replace("${", "\\${")
        span = "range(start: 1970-01-01T00:00:00Z, stop: 2200-01-01T00:00:00Z)"
        return list(self.server.flux(f'from(bucket: "{bucket}") |> {span} |> filter(fn: (r) => {condition}) {then}'))

    def erase(self, measurement: str) -> None:
        query = urlencode({"org": self.server.org, "bucket": self.name})
        span = {"start": "1970-01-01T00:00:00Z", "stop": "2200-01-01T00:00:00Z"}
        self.server.api("POST", f"/api/v2/delete?{query}", {**span, "predicate": f'_measurement="{measurement}"'})


_BOXES = {"influxd": Box1, "influxd2": Box2}


@pytest.fixture(params=_BOXES)
def server_name(request: pytest.FixtureRequest) -> str:
    """The fixture of the server."""
    return str(request.param)


@pytest.fixture
def box(server_name: str, request: pytest.FixtureRequest) -> Box1 | Box2:
    """A new database on the server that all tests share."""
    return _BOXES[server_name](request.getfixturevalue(server_name))


@pytest.fixture
def own_box(server_name: str, request: pytest.FixtureRequest) -> Callable[..., Box1 | Box2]:
    """Make a new database on a server of the test's own, with settings if it wants."""
    make_server = request.getfixturevalue(f"own_{server_name}")
    return lambda **settings: _BOXES[server_name](make_server(**settings))


@pytest.fixture
def open_store(box: Box1 | Box2 | None, tmp_path) -> Callable[..., InfluxStore]:
    """Give a store to be entered: in the test's box, in another, or at a URL; settings are those of StoreAccess."""

    def make(place: Box1 | Box2 | str | None = None, **settings: Any) -> InfluxStore:
        places = {"state_dir": tmp_path / "state", "dead_letter": tmp_path / "dead.lp"}
        places.update({name: settings.pop(name) for name in ("state_dir", "dead_letter", "create") if name in settings})
        place = place or box
        if not isinstance(place, str):
            settings = {"token": place.secret, **settings}
            place = place.url
        return open_influx(StoreAccess(where=place, **settings), **places)

    return make


@pytest.fixture
def use(open_store) -> Callable[..., Any]:
    """Run a coroutine function with an opened store and give what it returns."""

    def run(work: Callable[[InfluxStore], Awaitable[Any]], place: Any = None, **settings: Any) -> Any:
        async def main() -> Any:
            async with open_store(place, **settings) as store:
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
        open_times = [start_ms + i * series.interval.ms for i in range(count)]
        texts = tuple([f"{rng.random() * 60000:.8f}" for _ in open_times] for _ in range(5))
        values = tuple([float(text) for text in column] for column in texts)
        return Delivery(series, CandleBatch(series, open_times, texts, values))

    return make


Answer = tuple[int, dict[str, str], bytes]


class Told:
    """A server that says what it is told: `url` is what --store takes, `asked` are the requests that came."""

    def __init__(self, kind: str, port: int, asked: list[tuple[str, bytes]]) -> None:
        self.port = port
        self.asked = asked
        self.url = f"influxdb://127.0.0.1:{port}/db"
        if kind == "2.x":
            self.url = f"influxdb2://127.0.0.1:{port}/db?org=we"

    @property
    def written(self) -> list[bytes]:
        """What was sent to be stored."""
        return [body for path, body in self.asked if is_write(path)]


def is_write(path: str) -> bool:
    return path.startswith(("/write", "/api/v2/write"))


@pytest.fixture(params=["1.x", "2.x"])
def kind(request: pytest.FixtureRequest) -> str:
    """What a told server passes itself off as."""
    return str(request.param)


@pytest.fixture
def serve(kind: str) -> Iterator[Callable[[Callable[[str, bytes], Answer]], Told]]:
    """Start a server that answers with what a function of path and body says; gives its address and what came."""
    with _servers(kind) as start:
        yield start


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        # Who asked may have given up meanwhile.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def _servers(kind: str) -> Iterator[Callable[[Callable[[str, bytes], Answer]], Told]]:
    running: list[tuple[http.server.ThreadingHTTPServer, threading.Thread]] = []

    def start(answer: Callable[[str, bytes], Answer]) -> Told:
        asked: list[tuple[str, bytes]] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                asked.append((self.path, body))
                status, headers, content = answer(self.path, body)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if status != 204:
                    self.wfile.write(content)

            do_GET = do_POST = do_CONNECT = handle_any

            def log_message(self, format: str, *args: Any) -> None:
                pass

        server = _Server(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        running.append((server, thread))
        return Told(kind, server.server_port, asked)

    try:
        yield start
    finally:
        for server, thread in running:
            server.shutdown()
            server.server_close()
            thread.join()


@pytest.fixture
def healthy(kind: str) -> Callable[[str, bytes], Answer]:
    """How a server without data answers whatever it is asked."""
    return {"1.x": _healthy_1, "2.x": _healthy_2}[kind]


def _healthy_1(path: str, body: bytes) -> Answer:
    if path == "/ping":
        return 204, {"X-Influxdb-Version": "1.6.7"}, b""
    if path.startswith("/write"):
        return 204, {}, b""
    if b"SHOW+DATABASES" in body:
        return 200, {}, b'{"results":[{"statement_id":0,"series":[{"columns":["name"],"values":[["db"]]}]}]}'
    if b"SHOW+RETENTION" in body:
        columns = b'["name","duration","shardGroupDuration","default"]'
        policies = b'[{"columns":' + columns + b',"values":[["autogen","0s","168h0m0s",true]]}]'
        return 200, {}, b'{"results":[{"statement_id":0,"series":' + policies + b"}]}"
    statements = body.split(b"&")[0].count(b"%3B") + 1
    results = b",".join(b'{"statement_id":%d}' % i for i in range(statements))
    return 200, {}, b'{"results":[' + results + b"]}\n"


def _healthy_2(path: str, body: bytes) -> Answer:
    if path == "/ping":
        return 204, {"X-Influxdb-Version": "v2.7.12"}, b""
    if path.startswith("/api/v2/write"):
        return 204, {}, b""
    if path.startswith("/api/v2/buckets"):
        return 200, {}, b'{"buckets":[{"id":"1","name":"db","retentionRules":[{"type":"expire","everySeconds":0}]}]}'
    return 200, {}, b"\r\n"
