"""A real InfluxDB 2.x server for tests: what influxd2/build.sh built, on a free port, in a folder of its own."""

from __future__ import annotations

import csv
import io
import json
import ssl
import subprocess
import urllib.parse
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any

from influx_process import InfluxProcess, free_ports

ORG = "laklak"
BUCKET = "market_data"
TOKEN = "laklak-tests-token"  # the operator's: it may do everything

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _find() -> tuple[Path | None, str]:
    # Runs no build: that takes minutes and belongs to `make influxd2`.
    script = Path(__file__).parent / "influxd2" / "build.sh"
    done = subprocess.run(["bash", str(script), "--find"], capture_output=True, text=True, timeout=60)
    return (Path(done.stdout.strip()), "") if done.returncode == 0 else (None, done.stderr.strip())


# Looked for once, when tests are collected: each test has a home folder, and so a cache, of its own.
BINARY, _REASON = _find()


def why_not() -> str | None:
    """Why no server can be started on this machine; None where it can."""
    return None if BINARY else _REASON


class Influxd2(InfluxProcess):
    """One server with the organization ORG, the bucket BUCKET and the token TOKEN; the port and the data stay the same
    over `stop`, `kill` and `start`.

    Args:
        folder: where its data goes; made if missing.
        settings: more INFLUXD_* variables, as in `{"INFLUXD_STORAGE_WRITE_TIMEOUT": "1s"}`; with INFLUXD_TLS_CERT and
            INFLUXD_TLS_KEY (paths) it speaks TLS.
    """

    def __init__(self, folder: Path, settings: dict[str, str] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (port,) = free_ports(1)
        self.org, self.bucket, self.token = ORG, BUCKET, TOKEN
        given = {
            "INFLUXD_BOLT_PATH": str(folder / "influxd.bolt"),
            "INFLUXD_SQLITE_PATH": str(folder / "influxd.sqlite"),
            "INFLUXD_ENGINE_PATH": str(folder / "engine"),
            "INFLUXD_HTTP_BIND_ADDRESS": f"127.0.0.1:{port}",
            "INFLUXD_REPORTING_DISABLED": "true",
            **(settings or {}),
        }
        self._org_id = ""
        super().__init__(folder, port, given)

    def url(self, bucket: str = BUCKET, options: str = "") -> str:
        """What `--store` takes for a bucket of this server; `options` as in `"&name=value"`."""
        scheme = "influxdb2+https" if self._tls else "influxdb2"
        return f"{scheme}://{self.server}/{urllib.parse.quote(bucket, safe='')}?org={self.org}{options}"

    def command(self) -> list[str]:
        assert BINARY is not None, why_not()
        return [str(BINARY)]

    def start(self) -> Influxd2:
        """Start it and return when it answers; the first time it is set up as well."""
        super().start()
        if not self._org_id:
            names = {"username": "tests", "password": "tests-password", "org": ORG, "bucket": BUCKET, "token": TOKEN}
            self._org_id = self.api("POST", "/api/v2/setup", names)["org"]["id"]
        return self

    def flux(self, query: str) -> list[dict[str, Any]]:
        """Run Flux as the operator would and give all rows of all tables: numbers and booleans as such, times in ms,
        no `result` and `table` columns.
        """
        dialect = {"header": True, "annotations": ["datatype"]}
        body = json.dumps({"query": query, "type": "flux", "dialect": dialect}).encode()
        path = "/api/v2/query?" + urllib.parse.urlencode({"org": self.org})
        return _parse_rows(self._request("POST", path, body, "application/json").decode())

    def put(self, lines: str, bucket: str = BUCKET) -> None:
        """Write lines, times in ms, as another program would."""
        query = urllib.parse.urlencode({"org": self.org, "bucket": bucket, "precision": "ms"})
        self._request("POST", f"/api/v2/write?{query}", lines.encode(), "text/plain; charset=utf-8")

    def make_bucket(self, name: str, retention_s: int = 0) -> str:
        """Make a bucket and give its id; 0 keeps points for ever, else the server wants an hour at least."""
        rules = [{"type": "expire", "everySeconds": retention_s}] if retention_s else []
        wanted = {"orgID": self._org_id, "name": name, "retentionRules": rules}
        return str(self.api("POST", "/api/v2/buckets", wanted)["id"])

    def remove_bucket(self, name: str) -> None:
        self.api("DELETE", f"/api/v2/buckets/{self.bucket_id(name)}")

    def bucket_id(self, name: str) -> str:
        return str(self.find_bucket(name)["id"])

    def find_bucket(self, name: str) -> dict[str, Any]:
        """A bucket as the server describes it: id, retentionRules, ...; AssertionError where there is none."""
        query = urllib.parse.urlencode({"org": self.org, "name": name})
        (bucket,) = self.api("GET", f"/api/v2/buckets?{query}")["buckets"]
        return dict(bucket)

    def make_token(self, *, read: Sequence[str] = (), write: Sequence[str] = ()) -> str:
        """Make a token that may read and write the named buckets and nothing else."""
        permissions = [
            {"action": action, "resource": {"type": "buckets", "id": self.bucket_id(name), "orgID": self._org_id}}
            for action, names in (("read", read), ("write", write))
            for name in names
        ]
        wanted = {"orgID": self._org_id, "permissions": permissions}
        return str(self.api("POST", "/api/v2/authorizations", wanted)["token"])

    def api(self, method: str, path: str, body: object = None) -> Any:
        """Call the server as the operator and give its JSON, None where it answers without; AssertionError for 4xx."""
        data = None if body is None else json.dumps(body).encode()
        reply = self._request(method, path, data, "application/json")
        return json.loads(reply) if reply else None

    @property
    def _tls(self) -> bool:
        return "INFLUXD_TLS_CERT" in self._settings

    def _request(self, method: str, path: str, data: bytes | None, content_type: str) -> bytes:
        headers = {"Authorization": f"Token {self.token}", "Content-Type": content_type}
        connection: HTTPConnection = HTTPConnection("localhost", self.port, timeout=30)
        if self._tls:
            connection = HTTPSConnection("localhost", self.port, timeout=30, context=_trust_all())
        with closing(connection):
            connection.request(method, path, data, headers)
            response = connection.getresponse()
            reply = response.read()
        assert response.status < 400, f"{response.status}: {reply.decode()}"
        return reply


def _trust_all() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _parse_rows(text: str) -> list[dict[str, Any]]:
    # Each table begins with its types ("#datatype,string,long,...") and its names (",result,table,..."); an empty line
    # ends it. Tables of the same shape share one head.
    rows: list[dict[str, Any]] = []
    types: list[str] = []
    names: list[str] = []
    for cells in csv.reader(io.StringIO(text)):
        if not cells:
            continue
        if cells[0] == "#datatype":
            types, names = cells[1:], []
        elif not names:
            names = cells[1:]
        else:
            row = {name: _value(kind, cell) for name, kind, cell in zip(names, types, cells[1:], strict=True)}
            assert names != ["error", "reference"], row["error"]
            rows.append({name: value for name, value in row.items() if name not in ("result", "table")})
    return rows


def _value(kind: str, cell: str) -> Any:
    if kind != "string" and cell == "":
        return None
    return _VALUES.get(kind, str)(cell)


def _milliseconds(cell: str) -> int:
    return (datetime.fromisoformat(cell) - _EPOCH) // timedelta(milliseconds=1)


_VALUES: dict[str, Callable[[str], Any]] = {
    "long": int,
    "unsignedLong": int,
    "double": float,
    "boolean": "true".__eq__,
    "dateTime:RFC3339": _milliseconds,
    "dateTime:RFC3339Nano": _milliseconds,
}
