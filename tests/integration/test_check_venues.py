"""A look at several venues: what is wrong with all of them is said once."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from laklak.engine import Check
from laklak.order import check
from laklak.settings.load import load_settings
from laklak.venues import VENUES
from laklak.venues.binance import Binance


class Twin(Binance):
    name = "twin"


@pytest.fixture
def problems(venue, monkeypatch):
    """Look at two venues, the second a twin of the first; gives the problems found as (about, text)."""
    venue()

    def look(**settings):
        folder = Path.cwd()
        order = check(load_settings(settings, environment=os.environ, folder=folder), folder=folder)._order
        venues = {**order.settings.venues, "twin": order.settings.venues["binance"]}
        order = replace(order, settings=replace(order.settings, venues=venues))
        monkeypatch.setitem(VENUES, "twin", Twin())
        checkup = asyncio.run(Check(order, ("binance", "twin")).run())
        return [(about, finding.text) for about, finding in checkup.findings if finding.verdict == "problem"]

    return look


def test_a_range_that_is_empty_by_every_clock_is_one_problem(problems):
    assert problems(start="2030-01-01") == [
        ("settings", "the range is empty: it starts at 2030-01-01T00:00Z and ends at 2026-03-01T00:00Z")
    ]


def test_candles_of_another_kind_are_a_problem_of_each_venue(problems, here, sql):
    assert here("backfill", "LTCUSDT", "--days", "1", "--log-file", "none").exit == 0
    sql("UPDATE meta SET value = 'real' WHERE key = 'origin'")
    found = problems(start="2030-01-01")
    assert [about for about, _ in found] == ["store", "store", "settings"]
    assert "; binance at " in found[0][1]
    assert "; twin at " in found[1][1]
