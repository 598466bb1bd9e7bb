"""A fresh database for each test, on the real servers that all tests share; skipped where there is none.

`box` is one of InfluxDB 1.x and then one of 2.x: what both do the same is tested once for both.  A file that is about
one of them has a fixture `server_name` of its own.  `serve` is another kind of server: one that answers as it is told,
for what a real one does only when it is ill.
"""

from __future__ import annotations

import asyncio
import http.server
import itertools
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from influx_places import Bucket, Database
from influxd import Influxd
from influxd2 import Influxd2

from laklak.errors import StoreUnavailable
from laklak.stores.access import StoreAccess
from laklak.stores.influx.opening import open_influx
from laklak.stores.influx.store import InfluxStore

_numbers = itertools.count(1)


def _database(server: Influxd) -> Database:
    return Database(server, f'laklak "test"-{next(_numbers)}')


def _bucket(server: Influxd2) -> Bucket:
    return Bucket(server, f"laklak ${{test}} \\ 行情/{next(_numbers)}")


# With names that have to be quoted.
_BOXES = {"influxd": _database, "influxd2": _bucket}


@pytest.fixture(params=_BOXES)
def server_name(request: pytest.FixtureRequest) -> str:
    """The fixture of the server."""
    return str(request.param)


@pytest.fixture
def box(server_name: str, request: pytest.FixtureRequest) -> Database | Bucket:
    """A new database on the server that all tests share."""
    made = _BOXES[server_name](request.getfixturevalue(server_name))
    made.make()
    return made


@pytest.fixture
def own_box(server_name: str, request: pytest.FixtureRequest) -> Callable[..., Database | Bucket]:
    """Make a new database on a server of the test's own, with settings if it wants."""
    make_server = request.getfixturevalue(f"own_{server_name}")

    def make(**settings: str) -> Database | Bucket:
        made = _BOXES[server_name](make_server(**settings))
        made.make()
        return made

    return make


@pytest.fixture
def open_store(box: Database | Bucket | None, tmp_path) -> Callable[..., InfluxStore]:
    """Give a store to be entered: in the test's box, in another, or at a URL; settings are those of StoreAccess."""

    def make(place: Database | Bucket | str | None = None, **settings: Any) -> InfluxStore:
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


async def _nothing(store: InfluxStore) -> None:
    return None


@pytest.fixture
def refusal(use) -> Callable[..., StoreUnavailable]:
    """Enter a store, or do something with it, and give the refusal: one line with a hint, at once: a passing fault
    would be waited out for longer than a test may last.
    """

    def run(place: Any = None, work: Callable[[InfluxStore], Awaitable[Any]] = _nothing, **settings: Any) -> Any:
        with pytest.raises(StoreUnavailable) as caught:
            use(work, place, **{"max_wait_s": 600, **settings})
        assert caught.value.exit_code == 2
        assert "\n" not in str(caught.value)
        assert caught.value.hint
        return caught.value

    return run


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


@pytest.fixture
def run_out_of_time(monkeypatch):
    """End the look that a check is at, as its clock would: `await run_out_of_time()` where it shall be cut off."""
    looks = []

    def look_for(_seconds):
        looks.append(anyio.CancelScope())
        return looks[-1]

    async def run_out():
        looks[-1].cancel()
        await anyio.sleep_forever()

    monkeypatch.setattr("laklak.stores.influx.checking.anyio", SimpleNamespace(move_on_after=look_for))
    return run_out
