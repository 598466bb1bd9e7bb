"""Where a venue's clock stood in the last run is in the store, so that it can be looked at without the venue."""

from __future__ import annotations

import asyncio

import pytest
from copies import new_name
from lying_venue import ms

import laklak as library
from laklak.stores import open_store
from laklak.stores.access import StoreAccess
from laklak.stores.knowledge import Knowledge, known_clock


@pytest.fixture(params=["sqlite", "influxdb"])
def where(request):
    return "candles.db" if request.param == "sqlite" else request.getfixturevalue("influxd").url(new_name())


@pytest.fixture
def venue(liar):
    one = liar("2026-03-03T12:00:30")
    one.list("AAAUSDT", onboard="2026-03-01", first="2026-03-01")
    return one


def clock_in(where):
    async def look():
        async with open_store(StoreAccess(where=where), create=False) as store:
            return known_clock(await Knowledge.of(store), "binance")

    return asyncio.run(look())


def test_a_run_leaves_the_venues_clock_in_the_store(where, venue):
    asyncio.run(library.backfill("AAAUSDT", start="2026-03-03T11:00", store=where))

    # Some seconds may have gone by; this machine's clock is months away.
    assert clock_in(where) == pytest.approx(ms("2026-03-03T12:00:30"), abs=30_000)


def test_a_run_of_an_older_range_leaves_the_clock_and_not_the_end_of_its_range(venue):
    asyncio.run(library.backfill("AAAUSDT", start="2026-03-01", end="2026-03-01T01:00", store="candles.db"))

    assert clock_in("candles.db") == pytest.approx(ms("2026-03-03T12:00:30"), abs=30_000)


def test_a_plan_alone_leaves_no_clock(venue):
    asyncio.run(library.backfill("AAAUSDT", start="2026-03-03T11:00", end="2026-03-03T11:30", store="candles.db"))
    before = clock_in("candles.db")

    asyncio.run(library.backfill("AAAUSDT", start="2026-03-03T11:00", store="candles.db", dry_run=True))

    assert clock_in("candles.db") == before
