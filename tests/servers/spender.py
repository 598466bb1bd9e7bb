"""A process that spends a quota as fast as it may: `spender.py FOLDER PORT UNITS SECONDS SHARE`. Killed when done."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from laklak.venues.base import Quota
from laklak.wire.limiter import Limiter
from laklak.wire.quota import Share
from laklak.wire.shared import LifeSign, SharedWindow, shared_path


async def main(folder: Path, port: int, units: int, seconds: float, share: int) -> None:
    presence = LifeSign(folder)

    def share_window(quota: str, window_s: float) -> SharedWindow:
        return SharedWindow(shared_path(folder, "pool", "origin", quota, window_s), window_s, presence)

    shares = {"requests": Share(Quota(units, seconds), share)}
    limiter = Limiter(shares, next_window_s=lambda seconds: seconds, share_window=share_window)

    async def work() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while True:
            payment = await limiter.pay({"requests": 1})
            writer.write(b"x")
            await reader.readexactly(1)
            limiter.answered(payment)

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(work())


if __name__ == "__main__":
    where, *numbers = sys.argv[1:]
    asyncio.run(main(Path(where), int(numbers[0]), int(numbers[1]), float(numbers[2]), int(numbers[3])))
