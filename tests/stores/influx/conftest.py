"""A fresh database for each test, on the real InfluxDB 1.x that all tests share; skipped where there is none.

`serve` is the other kind of server: one that answers as it is told, for what a real one does only when it is ill.
"""

from __future__ import annotations

import asyncio
import http.server
import itertools
import random
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from laklak.model import CandleBatch, Series
from laklak.stores.base import Delivery
from laklak.stores.influx import InfluxStore, open_influx

START_MS = 1_767_225_600_000  # 2026-01-01T00:00Z

_numbers = itertools.count(1)


@pytest.fixture
def database(influxd) -> str:
    """A new database, with a name that has to be quoted."""
    name = f'laklak "test"-{next(_numbers)}'
    influxd.ask(f'CREATE DATABASE "{name.replace(chr(34), chr(92) + chr(34))}"')
    return name


@pytest.fixture
def place(database) -> Callable[..., str]:
    """How a person asks for a measurement of the database: `place("binance_ohlc")`."""

    def of(measurement: str, policy: str = "autogen") -> str:
        quoted = database.replace('"', '\\"')
        return f'"{quoted}"."{policy}"."{measurement}"'

    return of


@pytest.fixture
def open_store(influxd, database, tmp_path) -> Callable[..., InfluxStore]:
    """Give a store in the test's database, to be entered; arguments are those of `open_influx`."""

    def make(url: str | None = None, environment: dict[str, str] | None = None, **settings: Any) -> InfluxStore:
        settings = {"state_dir": tmp_path / "state", "dead_letter": tmp_path / "dead.lp", **settings}
        return open_influx(url or influxd.url(database), environment or {}, **settings)

    return make


@pytest.fixture
def use(open_store) -> Callable[..., Any]:
    """Run a coroutine function with an opened store and give what it returns."""

    def run(work: Callable[[InfluxStore], Awaitable[Any]], url: str | None = None, **settings: Any) -> Any:
        async def main() -> Any:
            async with open_store(url, **settings) as store:
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
    """What a told server is asked, and what it says: `answer(method, path, body)` gives status, headers, body."""

    def __init__(self, url: str, asked: list[tuple[str, bytes]]) -> None:
        self.url = url
        self.asked = asked


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[str, bytes], Answer]], Told]]:
    """Start a server that answers with what a function of path and body says; gives its address and what came."""
    with _servers() as start:
        yield start


@contextmanager
def _servers() -> Iterator[Callable[[Callable[[str, bytes], Answer]], Told]]:
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

            do_GET = do_POST = handle_any

            def log_message(self, format: str, *args: Any) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        running.append((server, thread))
        return Told(f"influxdb://127.0.0.1:{server.server_port}/db", asked)

    try:
        yield start
    finally:
        for server, thread in running:
            server.shutdown()
            server.server_close()
            thread.join()


@pytest.fixture
def healthy() -> Callable[[str, bytes], Answer]:
    """How a server without data answers whatever it is asked."""
    policies = b'[{"columns":["name","duration","default"],"values":[["autogen","0s",true]]}]'

    def answer(path: str, body: bytes) -> Answer:
        if path == "/ping":
            return 204, {"X-Influxdb-Version": "1.6.7"}, b""
        if path.startswith("/write"):
            return 204, {}, b""
        if b"SHOW+DATABASES" in body:
            return 200, {}, b'{"results":[{"statement_id":0,"series":[{"columns":["name"],"values":[["db"]]}]}]}'
        if b"SHOW+RETENTION" in body:
            return 200, {}, b'{"results":[{"statement_id":0,"series":' + policies + b"}]}"
        statements = body.split(b"&")[0].count(b"%3B") + 1
        results = b",".join(b'{"statement_id":%d}' % i for i in range(statements))
        return 200, {}, b'{"results":[' + results + b"]}\n"

    return answer
