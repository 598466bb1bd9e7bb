"""Venues of one pool share what they may send, are paused together, and are banned together."""

from __future__ import annotations

import asyncio
import time
from copy import copy

import pytest

from laklak.venues import VENUES
from laklak.venues.base import Quota
from laklak.wire.bans import BanBook
from laklak.wire.limiter import PausedTooLong
from laklak.wire.pools import Pools, pool_of
from laklak.wire.quota import Share

BINANCE = VENUES["binance"]
DEFAULT = BINANCE.url


def neighbour(pool="binance"):
    """A venue with a host of its own."""
    venue = copy(BINANCE)
    venue.name, venue.pool, venue.url = "coins", pool, "https://dapi.binance.com"
    return venue


def share(budget=1200, advertised=2400, heaviest=5):
    return {"weight": Share(Quota(advertised, 60.0), budget, heaviest)}


def joined(pools, venue, url=None, shares=None):
    return pools.join(venue, url or venue.url, shares or share(), lambda seconds: seconds)


def now():
    return asyncio.get_running_loop().time()


@pytest.fixture
def known(monkeypatch):
    """The neighbour is in the registry, after the venue whose pool it is of."""
    one = neighbour()
    monkeypatch.setitem(VENUES, one.name, one)
    return one


def test_venues_that_name_the_same_pool_share_limiter_and_bans(tmp_path, known):
    pools = Pools(tmp_path)

    assert joined(pools, BINANCE) is joined(pools, known)


def test_venues_of_pools_of_their_own_share_nothing(tmp_path):
    pools = Pools(tmp_path)
    first, second = joined(pools, BINANCE), joined(pools, neighbour(pool=""))

    assert first.limiter is not second.limiter
    assert first.bans.origin != second.bans.origin


def test_a_simulator_has_quotas_of_its_own(tmp_path):
    pools = Pools(tmp_path)

    assert joined(pools, BINANCE) is not joined(pools, BINANCE, "http://127.0.0.1:8000")


def test_what_goes_through_a_proxy_is_counted_for_the_proxy(tmp_path, monkeypatch):
    pools = Pools(tmp_path)
    direct = joined(pools, BINANCE)
    monkeypatch.setenv("https_proxy", "http://somebody:secret@proxy.test:3128")
    through = joined(pools, BINANCE)

    assert through.limiter is not direct.limiter
    assert through.bans.origin == f"{DEFAULT}:443 through proxy.test:3128"


def test_a_ban_noted_by_an_earlier_version_is_found(tmp_path, known):
    until_ms = time.time_ns() // 1_000_000 + 60_000
    BanBook(tmp_path, "binance", f"{DEFAULT}:443", longest_s=3600).remember(until_ms, "")

    assert joined(Pools(tmp_path), known).bans.until_ms() == until_ms


def test_of_what_venues_of_a_pool_may_spend_the_smaller_counts_for_the_heavier_request(tmp_path, known):
    pools = Pools(tmp_path)
    joined(pools, BINANCE, shares=share(1200, heaviest=2))
    limiter = joined(pools, known, shares=share(800, advertised=1000, heaviest=10)).limiter

    assert limiter.first.account.share == Share(Quota(1000, 60.0), 800, 10)


def test_two_venues_together_stay_within_the_share(tmp_path, known, virtually):
    pools = Pools(tmp_path)

    async def main():
        limiters = [joined(pools, one, shares=share(60)).limiter for one in (BINANCE, known)]
        paid = []

        async def spend(limiter):
            while now() < 1090:
                limiter.answered(await limiter.pay({"weight": 1}))
                paid.append(now())

        async with asyncio.TaskGroup() as group:
            for limiter in limiters:
                group.create_task(spend(limiter))
        return paid

    paid = virtually(main())

    assert max(sum(moment - 60 <= other <= moment for other in paid) for moment in paid) <= 60


def test_a_venue_of_the_pool_learns_of_a_pause_that_is_longer_than_it_may_wait(tmp_path, known, virtually):
    pools = Pools(tmp_path)

    async def main():
        told, other = (joined(pools, one).limiter for one in (BINANCE, known))
        told.pause(30)
        waiting = asyncio.ensure_future(other.pay({"weight": 1}, longest_pause_s=60))
        await asyncio.sleep(1)
        told.pause(3600)
        with pytest.raises(PausedTooLong) as caught:
            await waiting
        return caught.value.seconds, now()

    seconds, moment = virtually(main())

    assert seconds == pytest.approx(3600)
    assert moment < 1002


def test_venues_of_a_pool_mean_the_same_by_a_quota():
    for one in VENUES.values():
        for other in VENUES.values():
            if pool_of(one) == pool_of(other):
                shared = one.quotas.keys() & other.quotas.keys()
                assert {name: one.quotas[name] for name in shared} == {name: other.quotas[name] for name in shared}
