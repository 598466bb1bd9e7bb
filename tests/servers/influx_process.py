"""What an InfluxDB server of either kind is to a test: a process that is started, stopped, killed and paused."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Self

_START_S = 30.0


class InfluxProcess(ABC):
    """One server; the port and the data stay the same over `stop`, `kill` and `start`.

    Args:
        folder: where its data goes; made if missing.
        port: where it listens.
        settings: its environment, but for PATH and HOME.
    """

    def __init__(self, folder: Path, port: int, settings: dict[str, str]) -> None:
        self.folder = folder
        self.port = port
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def server(self) -> str:
        return f"localhost:{self.port}"

    @abstractmethod
    def command(self) -> Sequence[str]:
        """The words that start it."""

    def start(self) -> Self:
        """Start it and return when it answers."""
        with open(self.folder / "influxd.log", "ab") as log:
            self._process = subprocess.Popen(
                self.command(),
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

    def kill(self) -> None:
        """End it as a crash or a power cut does: at once, with whatever it was doing undone."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

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

    def _listens(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1):
                return True
        except OSError:
            return False


def free_ports(count: int) -> list[int]:
    """So many ports at which nobody listens."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
