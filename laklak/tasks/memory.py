"""Room in memory, shared out by the number of candles."""

from __future__ import annotations

import asyncio


class Memory:
    """Room for `candles` unpacked candles. One file always fits; first come, first served."""

    def __init__(self, candles: int) -> None:
        self._most = candles
        self._used = 0
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()

    async def take(self, candles: int) -> None:
        """Wait for room."""
        async with self._turn:
            while self._used and self._used + candles > self._most:
                self._freed.clear()
                await self._freed.wait()
            self._used += candles

    def give_back(self, candles: int) -> None:
        self._used -= candles
        self._freed.set()
