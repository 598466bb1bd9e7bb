"""What a service manager is told: ready, how it goes, still alive, stopping (sd_notify of systemd, and nothing else).

A watchdog is fed while something comes of the work: a turn of hours feeds it with each answer and each write, one that
hangs starves it, and so does an event loop that stands still.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Hashable, Mapping
from typing import Final

import anyio

log = logging.getLogger(__name__)

_LOOKS: Final = 6
"""So often the work is looked at while the watchdog waits."""
_LOOK_S: Final = 10.0
_STATUS_CHARS: Final = 500


class ServiceManager:
    """Whoever has started this process and wants to be told, as the environment says; else nobody is told anything."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        if self._address.startswith("@"):
            # One that has no place in the file system.
            self._address = f"\0{self._address[1:]}"
        self.watchdog_s = _watchdog_s(environment) if self._address else None
        """Within so many seconds it wants to hear that the work goes on; None where it does not."""
        self._told: set[str] = set()
        self._status = ""

    def ready(self) -> None:
        """The work has begun."""
        self._tell_once("READY=1")

    def stopping(self) -> None:
        self._tell_once("STOPPING=1")

    def status(self, line: str) -> None:
        """How it goes, in a line for people; told where it has changed."""
        line = "".join(char if char.isprintable() else " " for char in line)[:_STATUS_CHARS]
        if line != self._status:
            self._status = line
            self._tell(f"STATUS={line}")

    async def watch(self, signs: Callable[[], Hashable], status: Callable[[], str | None]) -> None:
        """Tell it how it goes until cancelled; feed the watchdog whenever `signs` is another than at the last look."""
        if not self._address:
            return
        look_s = min(_LOOK_S, self.watchdog_s / _LOOKS if self.watchdog_s else _LOOK_S)
        before: Hashable = None
        while True:
            now = signs()
            if self.watchdog_s is not None and now != before:
                self._tell("WATCHDOG=1")
            before = now
            line = status()
            if line:
                self.status(line)
            await anyio.sleep(look_s)

    def _tell_once(self, message: str) -> None:
        if message not in self._told:
            self._told.add(message)
            self._tell(message)

    def _tell(self, message: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
                # One that does not read must not hold up the work.
                to.setblocking(False)
                to.sendto(message.encode(), self._address)
        except (OSError, ValueError) as exc:
            log.warning("the service manager was not told message=%s error=%s", message.partition("=")[0], exc)


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    try:
        microseconds = int(environment.get("WATCHDOG_USEC", "0"))
        meant = int(environment.get("WATCHDOG_PID", os.getpid()))
    except ValueError:
        return None
    return microseconds / 1e6 if microseconds > 0 and meant == os.getpid() else None
