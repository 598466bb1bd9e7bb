"""An InfluxDB 1.x server of our own: `influxd` on free ports, all its data in the benchmark's folder."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from laklak.bench.children import Work

_STARTS_WITHIN_S: Final = 20.0
_LISTEN: Final = "0A"


def find() -> str | None:
    """The path of `influxd` 1.x on PATH, or None."""
    program = shutil.which("influxd")
    if program is None:
        return None
    try:
        said = subprocess.run([program, "version"], capture_output=True, text=True, timeout=20).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    return program if said.startswith("InfluxDB v1.") else None


@contextmanager
def running(program: str, work: Work) -> Iterator[tuple[str, int]]:
    """Run a server; yields `host:port` and its process number. BenchmarkFailed unless it answers within 20 s."""
    data = work.folder / "influxdb"
    http, rpc = _free_ports(2)
    settings = {
        "REPORTING_DISABLED": "true",
        "BIND_ADDRESS": f"127.0.0.1:{rpc}",
        "META_DIR": str(data / "meta"),
        "DATA_DIR": str(data / "data"),
        "DATA_WAL_DIR": str(data / "wal"),
        "DATA_QUERY_LOG_ENABLED": "false",
        "MONITOR_STORE_ENABLED": "false",
        "HTTP_BIND_ADDRESS": f"127.0.0.1:{http}",
        "HTTP_LOG_ENABLED": "false",
    }
    env = work.environment(**{f"INFLUXDB_{name}": value for name, value in settings.items()})
    # An empty configuration keeps influxd from reading the machine's own.
    (work.folder / "influxd.conf").touch()
    with work.child([program, "-config", str(work.folder / "influxd.conf")], env, out=False) as child:
        deadline_s = time.monotonic() + _STARTS_WITHIN_S
        while not _answers(http):
            if child.process.poll() is not None or time.monotonic() > deadline_s:
                raise child.failed("does not answer")
            time.sleep(0.02)
        yield f"127.0.0.1:{http}", child.process.pid


def cpu_seconds(pid: int) -> float | None:
    """User + system CPU seconds of a process so far; None if /proc does not tell."""
    try:
        # The second field is a name that may hold any character; the ticks are the 12th and 13th fields after it.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None


def process_at(host: str, port: int) -> int | None:
    """The process on this machine that listens at `host:port`; None if it cannot be found."""
    if host.lower() not in ("localhost", "127.0.0.1", "::1"):
        return None
    sockets = {f"socket:[{inode}]" for inode in _listening(port)}
    for entry in Path("/proc").glob("[0-9]*/fd/*") if sockets else ():
        try:
            if os.readlink(entry) in sockets:
                return int(entry.parts[2])
        except OSError:
            continue
    return None


def _listening(port: int) -> Iterator[str]:
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            cells = line.split()
            if cells[3] == _LISTEN and int(cells[1].rpartition(":")[2], 16) == port:
                yield cells[9]


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
