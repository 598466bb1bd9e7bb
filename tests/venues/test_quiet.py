"""A venue that leaves out minutes without trades, through whole backfills: they are quiet, and no holes."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest
from copies import new_name
from example_server import MINUTE_MS, ExampleServer, ms
from example_venue import Example
from influxd2 import TOKEN

import laklak
from laklak.settings import spec
from laklak.venues import VENUES

pytestmark = pytest.mark.usefixtures("hasty")

QUIET = [("2026-03-02T03:10", "2026-03-02T03:20"), ("2026-03-02T12:00", "2026-03-02T22:00")]
"""One inside a page, one over three pages."""
LACKING = sum((ms(end) - ms(start)) // MINUTE_MS for start, end in QUIET)


class Sparse(Example):
    """Leaves out minutes without trades."""

    gapless = False


@pytest.fixture
def server(monkeypatch):
    with ExampleServer("2026-03-03T12:00:30") as server:
        life = server.list("BTC-USDT", first="2026-03-01T07:13")
        for start, end in QUIET:
            life.holes.update(range(ms(start), ms(end), MINUTE_MS))
        monkeypatch.setenv("LAKLAK_EXAMPLE_URL", server.url)
        yield server


@pytest.fixture
def register(monkeypatch):
    def put(venue):
        monkeypatch.setitem(VENUES, "example", venue)
        for key, one in spec._venue_specs().items():
            monkeypatch.setitem(spec.SPECS, key, one)

    return put


@pytest.fixture(params=["sqlite", "influxd", pytest.param("influxd2", marks=pytest.mark.long)])
def store(request, monkeypatch):
    """Give the address of a store that is empty."""
    if request.param == "sqlite":
        return "candles.db"
    server, name = request.getfixturevalue(request.param), new_name()
    if request.param == "influxd2":
        server.make_bucket(name)
        monkeypatch.setenv("LAKLAK_INFLUXDB_TOKEN", TOKEN)
    return server.url(name)


def fill(store, **settings):
    settings = {"start": "2026-03-01", "venue": "example", "store": store, **settings}
    return asyncio.run(laklak.backfill(["BTC-USDT"], **settings))


def test_a_minute_that_a_sparse_venue_lacks_is_quiet_and_is_not_asked_again(store, register, server):
    register(Sparse())
    summary = fill(store)

    assert (summary.exit, summary.quiet, summary.holes, summary.missing) == (0, LACKING, 0, 0)
    assert summary.wanted == summary.written + LACKING

    asked = len(server.asked("/v1/candles"))
    again = fill(store)

    assert (again.wanted, again.stored_before, again.quiet) == (summary.wanted, summary.written, LACKING)
    assert len(server.asked("/v1/candles")) - asked <= 1


def test_the_same_minutes_are_holes_of_a_venue_that_gives_every_minute(register, server):
    register(Example())
    summary = fill("candles.db")

    assert (summary.exit, summary.quiet, summary.holes, summary.missing) == (0, 0, LACKING, 0)


def test_quiet_minutes_are_kept_as_stretches(register, server):
    register(Sparse())
    fill("candles.db")

    with sqlite3.connect("candles.db") as db:
        rows = db.execute("SELECT start_time, end_time FROM laklak_absences WHERE kind = 'quiet' ORDER BY 1").fetchall()
        assert db.execute("SELECT count(*) FROM laklak_holes").fetchone() == (0,)
    assert rows == [(ms(start), ms(end)) for start, end in QUIET]


def test_a_refetch_keeps_what_is_stored_of_a_minute_that_is_quiet_by_now(register, server):
    register(Sparse())
    first = fill("candles.db")
    server.symbols["BTC-USDT"].holes.update(range(ms("2026-03-02T05:00"), ms("2026-03-02T05:03"), MINUTE_MS))

    again = fill("candles.db", refetch=True)

    assert (again.exit, again.stored_before, again.quiet, again.missing) == (0, first.written, LACKING, 0)
