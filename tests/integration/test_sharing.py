"""Processes of one machine against one strict venue: together they keep to what one of them may."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import time
from pathlib import Path

import pytest
from talks import raw_server

from laklak.simulator import generate

SPENDER = Path(__file__).parent.parent / "servers" / "spender.py"
SECONDS, SHARE = 1.5, 60


class Strict:
    """Answers a byte with a byte, somewhat late and not always alike; notes when each arrived, and from whom."""

    def __init__(self):
        self.arrivals = []
        self._dice = random.Random(5)
        self._connections = 0
        self._came = asyncio.Event()

    async def serve(self, reader, writer):
        self._connections += 1
        number = self._connections
        while True:
            await reader.readexactly(1)
            self.arrivals.append((time.monotonic(), number))
            self._came.set()
            await asyncio.sleep(self._dice.uniform(0, 0.1))
            writer.write(b"y")

    async def arrived(self, count):
        """Until so many have arrived in all."""
        while len(self.arrivals) < count:
            self._came.clear()
            await self._came.wait()


def most_in_any(seconds, moments):
    return max(sum(one - seconds <= other <= one for other in moments[: at + 1]) for at, one in enumerate(moments))


def test_processes_together_never_spend_more_than_the_share_also_when_one_is_killed(tmp_path):
    strict = Strict()

    async def main():
        async with raw_server(strict.serve) as url, asyncio.timeout(60):
            words = (tmp_path / "state", url.rpartition(":")[2], 100, SECONDS, SHARE)
            command = [sys.executable, str(SPENDER), *map(str, words)]
            spenders = [await asyncio.create_subprocess_exec(*command) for _ in range(3)]
            try:
                # Two windows with all of them; one is killed, and two windows more.
                await strict.arrived(2 * SHARE)
                while len({number for _, number in strict.arrivals[-SHARE:]}) < 12:
                    await strict.arrived(len(strict.arrivals) + 1)
                spenders[0].kill()
                await strict.arrived(len(strict.arrivals) + 2 * SHARE)
            finally:
                for spender in spenders:
                    with contextlib.suppress(ProcessLookupError):
                        spender.kill()
                    await spender.wait()

    asyncio.run(main())

    assert most_in_any(SECONDS, [moment for moment, _ in strict.arrivals]) <= SHARE


@pytest.mark.long
@pytest.mark.timeout(400)
def test_two_backfills_beside_each_other_keep_to_one_budget(venue, laklak):
    source = generate(symbols=12, days=9, seed=3)
    running = venue(source, budget=2400, window="sliding")
    options = ("--days", "9", "--budget", "300", "--json", "--no-progress")

    both = [
        laklak.start("backfill", *source.symbols[at::2], *options, "--store", f"{at}.db", "--log-file", "none")
        for at in range(2)
    ]
    ended = [laklak.wait(one, timeout_s=380) for one in both]

    stats = running.simulator.stats
    assert [one.exit for one in ended] == [0, 0]
    assert stats.refusals == {}
    assert stats.weight > 500
    assert stats.weight_in_any(60) <= 300
