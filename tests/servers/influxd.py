"""A real InfluxDB 1.x server for tests: Debian's `influxd`, on free ports, with everything in a folder of its own."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from influx_process import InfluxProcess, free_ports

BINARY = shutil.which("influxd")

SECRET = "hunt er2@/:"  # the password of the user whom `guard` makes; spelled so that it has to be quoted everywhere

_NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def why_not() -> str | None:
    """Why no server can be started on this machine; None where it can."""
    if BINARY is None:
        return "there is no influxd here: `make test` gets it where Debian's packages can be had"
    said = subprocess.run([BINARY, "version"], capture_output=True, text=True, timeout=20).stdout.strip()
    if not said.startswith("InfluxDB v1."):
        return f"the influxd here is not InfluxDB 1.x: {said}"
    return None


class Influxd(InfluxProcess):
    """One server; the ports and the data stay the same over `stop` and `start`.

    Args:
        folder: where its data goes; made if missing.
        settings: more INFLUXDB_* variables, as in `{"INFLUXDB_HTTP_AUTH_ENABLED": "true"}`.
    """

    def __init__(self, folder: Path, settings: dict[str, str] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        port, rpc_port = free_ports(2)
        self.login: tuple[str, str] | None = None
        given = {
            "INFLUXDB_REPORTING_DISABLED": "true",
            "INFLUXDB_BIND_ADDRESS": f"127.0.0.1:{rpc_port}",
            "INFLUXDB_META_DIR": str(folder / "meta"),
            "INFLUXDB_DATA_DIR": str(folder / "data"),
            "INFLUXDB_DATA_WAL_DIR": str(folder / "wal"),
            "INFLUXDB_DATA_QUERY_LOG_ENABLED": "false",
            "INFLUXDB_MONITOR_STORE_ENABLED": "false",
            "INFLUXDB_CONTINUOUS_QUERIES_ENABLED": "false",
            "INFLUXDB_SUBSCRIBER_ENABLED": "false",
            "INFLUXDB_HTTP_BIND_ADDRESS": f"127.0.0.1:{port}",
            "INFLUXDB_HTTP_LOG_ENABLED": "false",
            **(settings or {}),
        }
        self._tls = given.get("INFLUXDB_HTTP_HTTPS_ENABLED") == "true"
        super().__init__(folder, port, given)

    def url(self, database: str, *, user: str = "", options: str = "") -> str:
        """What `--store` takes for a database of this server."""
        scheme = "influxdb+https" if self._tls else "influxdb"
        return f"{scheme}://{user + '@' if user else ''}{self.server}/{urllib.parse.quote(database, safe='')}{options}"

    def command(self) -> list[str]:
        assert BINARY is not None, why_not()
        config = self.folder / "influxd.conf"
        config.write_text("")
        return [BINARY, "-config", str(config)]

    def guard(self) -> None:
        """Once it was started with a login: make the administrator, as whom it is asked from now on, and `writer`."""
        self.ask("CREATE USER admin WITH PASSWORD 'top' WITH ALL PRIVILEGES")
        self.login = ("admin", "top")
        self.ask(f"CREATE USER writer WITH PASSWORD '{SECRET}'")

    def ask(self, statement: str, database: str = "") -> list[dict[str, Any]]:
        """Run InfluxQL as an administrator would and give the series of the first statement; times in ms."""
        form = urllib.parse.urlencode({"q": statement, "db": database, "epoch": "ms"}).encode()
        result = json.loads(self._post("/query", form))["results"][0]
        assert "error" not in result, result["error"]
        return list(result.get("series", []))

    def rows(self, statement: str, database: str = "") -> list[list[Any]]:
        """All rows of all series of a statement."""
        # Of no databases at all there is a series without values.
        return [row for series in self.ask(statement, database) for row in series.get("values", [])]

    def put(self, lines: str, database: str, policy: str = "autogen", unit: str = "ms") -> None:
        """Write lines, times in ms, as another program would."""
        query = urllib.parse.urlencode({"db": database, "rp": policy, "precision": unit})
        self._post(f"/write?{query}", lines.encode())

    def _post(self, path: str, data: bytes) -> bytes:
        request = urllib.request.Request(f"http://{self.server}{path}", data)
        if self.login:
            request.add_header("Authorization", "Basic " + base64.b64encode(":".join(self.login).encode()).decode())
        try:
            with _NO_PROXY.open(request, timeout=30) as response:
                return bytes(response.read())
        except urllib.error.HTTPError as exc:
            with exc:
                raise AssertionError(f"{exc.code}: {exc.read().decode()}") from None
