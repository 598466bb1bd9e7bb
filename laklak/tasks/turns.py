"""Turns of one thing by the clock: in order, never two at once, none made up for."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import anyio

from laklak.tasks.stopping import Stopped, Stopper

# Someone may set the clock, and a machine may sleep: check the time again after this.
_LOOK_AGAIN_S: Final = 30.0
_MOST_JITTER_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Rhythm:
    """A turn belongs to each whole multiple of `every_s` since 1970, UTC: half hours are those of the clock.

    It begins a little later, by chance, so that machines do not ask in the same second.
    """

    every_s: float
    now: Callable[[], float] = time.time
    chance: Callable[[], float] = random.random

    @property
    def jitter_s(self) -> float:
        return min(_MOST_JITTER_S, self.every_s / 10)

    def next_s(self) -> float:
        """When the next turn begins; turns that have passed are left out."""
        return (self.now() // self.every_s + 1) * self.every_s + self.chance() * self.jitter_s

    async def wait(self) -> None:
        """Wait for the next turn by the wall clock, even if someone sets it meanwhile."""
        due_s = self.next_s()
        while (left_s := due_s - self.now()) > 0:
            if left_s > self.every_s + self.jitter_s:
                # The clock was set back.
                due_s = self.next_s()
                continue
            await anyio.sleep(min(left_s, _LOOK_AGAIN_S))


async def take_turns(turn: Callable[[], Awaitable[None]], rhythm: Rhythm, stopper: Stopper) -> None:
    """Take the first turn now and the others in their rhythm, until stopped; a running turn is not cut short here."""
    while not stopper.requested:
        await turn()
        try:
            with stopper.interruptible():
                await rhythm.wait()
        except Stopped:
            return
