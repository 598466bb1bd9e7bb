"""How a run stops early: what is on the wire may finish, what only waits does not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import anyio


class Stopped(Exception):
    """Raised in place of a wait when the run is stopping."""


class Stopper:
    """A stop flag, of a run or of a part.

    `interruptible()` marks a wait that a stop cuts short; everything else runs on.
    """

    def __init__(self) -> None:
        self.requested = False
        self._scopes: set[anyio.CancelScope] = set()
        self._parts: list[Stopper] = []

    def part(self) -> Stopper:
        """Return a stopper that stops with this one, and can be stopped alone."""
        part = Stopper()
        part.requested = self.requested
        self._parts.append(part)
        return part

    def request(self) -> None:
        """Stop: every interruptible wait, now and later, ends with Stopped."""
        self.requested = True
        for part in self._parts:
            part.request()
        for scope in tuple(self._scopes):
            scope.cancel()

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        if self.requested:
            raise Stopped
        with anyio.CancelScope() as scope:
            self._scopes.add(scope)
            try:
                yield
            finally:
                self._scopes.discard(scope)
        if scope.cancelled_caught:
            raise Stopped
