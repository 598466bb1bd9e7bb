"""How a run stops early: what is on the wire may finish, what only waits does not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import anyio


class Stopped(Exception):
    """Raised in place of a wait when the run is stopping."""


class Stopper:
    """One run's stop flag. `interruptible()` marks a wait that a stop cuts short; everything else runs on."""

    def __init__(self) -> None:
        self.requested = False
        self._scopes: set[anyio.CancelScope] = set()

    def request(self) -> None:
        """Stop: every interruptible wait, now and later, ends with Stopped."""
        self.requested = True
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
