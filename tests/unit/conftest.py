"""Virtual time: an event loop whose clock jumps to the next timer whenever nothing is left to do."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

_TURN_S = 1e-7
_END_S = 1e8


class _Idle(selectors.DefaultSelector):
    """Where a loop would sleep until its next timer, the clock is moved on instead."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise RuntimeError("every task waits for something that will never happen")
        # A turn of the loop takes its time too: who waits for the next moment must see it come.
        self.loop.jump(timeout + self.loop.oversleep_s if timeout > 0 else _TURN_S)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop in virtual time. `oversleep_s`: every sleep ends so much too late, as on a busy machine.

    Not for sockets, subprocesses or threads: nothing is waited for but timers.
    """

    def __init__(self, oversleep_s: float = 0.0) -> None:
        self._virtual_s = 1000.0
        self.oversleep_s = oversleep_s
        selector = _Idle()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self._virtual_s

    def jump(self, seconds: float) -> None:
        """Let so much time pass at once, as when the process was stopped."""
        self._virtual_s += seconds
        if self._virtual_s > _END_S:
            # From here on a turn is less than the clock can tell, and the loop would turn for ever.
            raise RuntimeError("somebody waits for years")


@pytest.fixture(scope="session")
def virtually() -> Callable[..., Any]:
    """Give `virtually(coroutine, oversleep_s=0)`, which runs it in virtual time and gives its result."""

    def run(main: Coroutine[Any, Any, Any], *, oversleep_s: float = 0.0) -> Any:
        with asyncio.Runner(loop_factory=lambda: VirtualLoop(oversleep_s)) as runner:
            return runner.run(main)

    return run
