"""Two venues of one pool, as two transports on one limiter: what one is told, both keep to."""

from __future__ import annotations

import asyncio

import pytest
from talks import SOURCE, ask, opened

from laklak.errors import TryLater
from laklak.simulator import Override, Simulator, SimulatorSettings


def test_a_ban_of_one_venue_that_is_too_long_to_wait_for_ends_the_others_of_its_pool_without_a_request(tmp_path):
    def banned(path, query, number):
        return Override(418, {"Retry-After": "3600"}, b"{}")

    async def main():
        async with (
            Simulator(SOURCE, SimulatorSettings(script=banned)) as first,
            Simulator(SOURCE) as second,
            opened(first.url, folder=tmp_path) as told,
            opened(second.url, folder=tmp_path, limiter=told.limiter) as other,
        ):
            with pytest.raises(TryLater):
                await ask(told)
            with pytest.raises(TryLater, match="a venue that shares its limits was told to wait"):
                await ask(other)
            return len(first.stats.hits), len(second.stats.hits)

    assert asyncio.run(main()) == (1, 0)
