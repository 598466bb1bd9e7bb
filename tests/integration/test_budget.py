"""The weight budget over minutes of steady work, measured at the venue."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

import laklak as library
from laklak.simulator import generate
from laklak.venues.binance import Binance

STEADY_S = 150


def backfill(symbols, **options):
    return asyncio.run(library.backfill(symbols, **options))


def test_the_first_seconds_of_a_run_are_paced_as_well(venue, monkeypatch):
    running = venue(budget=2400, window="sliding")
    monkeypatch.setenv("LAKLAK_BINANCE_BUDGET", "1200")
    # Weight 69 at 19.6 a second.
    summary = backfill(["LTCUSDT", "DOTUSDT", "AVAXUSDT"], days=4)
    stats = running.simulator.stats
    assert (summary.exit, stats.refusals) == (0, {})
    assert summary.weight == stats.weight == sum(hit.weight for hit in running.hits)
    assert stats.weight_in_any(1) <= 40
    took_s = running.hits[-1].at_s - running.hits[0].at_s
    assert 0.7 * summary.weight / 19.6 <= took_s <= 3 * summary.weight / 19.6


def test_a_request_for_an_end_may_cost_more_than_a_page(venue, here, monkeypatch):
    asked = []

    def make_dear(name):
        describe = getattr(Binance, name)

        def request(adapter, asked_for):
            asked.append(name)
            return replace(describe(adapter, asked_for), cost={"weight": 9})

        monkeypatch.setattr(Binance, name, request)

    for name in ("first_candle_request", "newest_candle_request", "candles_until_request"):
        make_dear(name)
    venue()
    monkeypatch.setenv("LAKLAK_BINANCE_BUDGET", "300")

    ended = here(
        "backfill", "LTCUSDT", "--chunk", "20", "--start", "2026-02-24T22:00", "--end", "2026-02-25T01:00", "--json"
    )

    assert (ended.exit, ended.json["written"]) == (0, 60)
    # The first of each is described to learn what it costs.
    assert asked.count("first_candle_request") > 1


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.parametrize("window", ["calendar", "sliding"])
def test_steady_work_uses_the_budget_and_never_more(window, venue, laklak, monkeypatch):
    source = generate(symbols=STEADY_S * 20 // 100, days=12, seed=3)
    running = venue(source, budget=2400, window=window)
    monkeypatch.setenv("LAKLAK_BINANCE_BUDGET", "1200")
    ended = laklak("backfill", *source.symbols, "--days", "12", "--json", timeout_s=380)
    assert ended.exit == 0
    stats = running.simulator.stats
    assert stats.refusals == {}
    assert stats.weight_in_any(60) <= 1200
    first, last = stats.hits[0].at_s, stats.hits[-1].at_s
    assert last - first > 120
    steady = [hit.weight for hit in stats.hits if first + 5 <= hit.at_s < last - 5]
    assert sum(steady) / (last - first - 10) >= 0.97 * 20


@pytest.mark.long
@pytest.mark.timeout(400)
def test_beside_another_program_nobody_is_refused(venue, laklak):
    source = generate(symbols=40, days=15, seed=3)
    running = venue(source, budget=2400, neighbour_weight_per_minute=600)
    ended = laklak("backfill", *source.symbols, "--days", "15", "--budget", "max", "--json", timeout_s=380)
    assert ended.exit == 0
    stats = running.simulator.stats
    assert (stats.refusals, stats.neighbour_refusals) == ({}, 0)
    first, last = stats.hits[0].at_s, stats.hits[-1].at_s
    assert sum(hit.weight for hit in stats.hits) / (last - first) > 0.8 * 1800 / 60
