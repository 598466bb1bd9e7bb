"""A real InfluxDB 1.x server for tests: Debian's `influxd`, on free ports, with everything in a folder of its own."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

BINARY = shutil.which("influxd")

_START_S = 20.0
_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def why_not() -> str | None:
    """Why no server can be started on this machine; None where it can."""
    if BINARY is None:
        return "there is no influxd here: apt-get install influxdb (its service need not run)"
    said = subprocess.run([BINARY, "version"], capture_output=True, text=True, timeout=20).stdout.strip()
    if not said.startswith("InfluxDB v1."):
        return f"the influxd here is not InfluxDB 1.x: {said}"
    return None


class Influxd:
    """One server; the ports and the data stay the same over `stop` and `start`.

    Args:
        folder: where its data goes; made if missing.
        settings: more INFLUXDB_* variables, as in `{"INFLUXDB_HTTP_AUTH_ENABLED": "true"}`.
    """

    def __init__(self, folder: Path, settings: dict[str, str] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port, rpc_port = _free_ports(2)
        self.login: tuple[str, str] | None = None
        self._settings = {
            "INFLUXDB_REPORTING_DISABLED": "true",
            "INFLUXDB_BIND_ADDRESS": f"127.0.0.1:{rpc_port}",
            "INFLUXDB_META_DIR": str(folder / "meta"),
            "INFLUXDB_DATA_DIR": str(folder / "data"),
            "INFLUXDB_DATA_WAL_DIR": str(folder / "wal"),
            "INFLUXDB_DATA_QUERY_LOG_ENABLED": "false",
            "INFLUXDB_MONITOR_STORE_ENABLED": "false",
            "INFLUXDB_CONTINUOUS_QUERIES_ENABLED": "false",
            "INFLUXDB_SUBSCRIBER_ENABLED": "false",
            "INFLUXDB_HTTP_BIND_ADDRESS": f"127.0.0.1:{self.port}",
            "INFLUXDB_HTTP_LOG_ENABLED": "false",
            **(settings or {}),
        }
        self._tls = self._settings.get("INFLUXDB_HTTP_HTTPS_ENABLED") == "true"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def server(self) -> str:
        return f"localhost:{self.port}"

    def url(self, database: str, *, user: str = "", options: str = "") -> str:
        """What `--store` takes for a database of this server."""
        scheme = "influxdb+https" if self._tls else "influxdb"
        return f"{scheme}://{user + '@' if user else ''}{self.server}/{urllib.parse.quote(database, safe='')}{options}"

    def start(self) -> Influxd:
        """Start it and return when it answers."""
        assert BINARY is not None, why_not()
        config = self.folder / "influxd.conf"
        config.write_text("")
        with open(self.folder / "influxd.log", "ab") as log:
            self._process = subprocess.Popen(
                [BINARY, "-config", str(config)],
                env={"PATH": os.environ["PATH"], "HOME": str(self.folder), **self._settings},
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + _START_S
        while not self._listens():
            assert self._process.poll() is None, (self.folder / "influxd.log").read_text()[-2000:]
            assert time.monotonic() < deadline, "influxd does not answer"
            time.sleep(0.02)
        return self

    def stop(self) -> None:
        """End it in good order; idempotent."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def change(self, **settings: str) -> None:
        """Change settings, from the next start on."""
        self._settings.update(settings)

    def pause(self) -> None:
        """Let it hang: connections are taken and nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def ask(self, statement: str, database: str = "") -> list[dict[str, Any]]:
        """Run InfluxQL as an administrator would and give the series of the first statement; times in ms."""
        form = urllib.parse.urlencode({"q": statement, "db": database, "epoch": "ms"}).encode()
        result = json.loads(self._post("/query", form))["results"][0]
        assert "error" not in result, result["error"]
        return result.get("series", [])

    def rows(self, statement: str, database: str = "") -> list[list[Any]]:
        """All rows of all series of a statement."""
        return [row for series in self.ask(statement, database) for row in series["values"]]

    def put(self, lines: str, database: str, policy: str = "autogen") -> None:
        """Write lines, times in ms, as another program would."""
        query = urllib.parse.urlencode({"db": database, "rp": policy, "precision": "ms"})
        self._post(f"/write?{query}", lines.encode())

    def _post(self, path: str, data: bytes) -> bytes:
        request = urllib.request.Request(f"http://{self.server}{path}", data)
        if self.login:
            request.add_header("Authorization", "Basic " + base64.b64encode(":".join(self.login).encode()).decode())
        try:
            with _NO_PROXY.open(request, timeout=30) as response:
                return response.read()
        except urllib.error.HTTPError as exc:
            with exc:
                raise AssertionError(f"{exc.code}: {exc.read().decode()}") from None

    def _listens(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1):
                return True
        except OSError:
            return False


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
