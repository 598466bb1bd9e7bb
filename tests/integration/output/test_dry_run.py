"""What a dry run says, and that it changes nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

DAY = ("--days", "1")
PLAN_KEYS = frozenset(
    [
        "series",
        "wanted",
        "stored_before",
        "holes",
        "rejected",
        "to_fetch",
        "requests",
        "weight",
        "seconds_estimated",
        "alternatives",
    ]
)


@pytest.mark.parametrize("symbols", [("LTCUSDT", "DOTUSDT"), ("NOPEUSDT",)])
def test_a_dry_run_makes_no_store_and_asks_no_candle(symbols, venue, here):
    """But for one of a symbol that is not listed, for somebody may have it all the same."""
    running = venue()
    assert here("backfill", *symbols, *DAY, "--dry-run", "--log-file", "none").exit == (
        2 if "NOPEUSDT" in symbols else 0
    )
    assert [hit.query["symbol"] for hit in running.candle_hits] == [one for one in symbols if one == "NOPEUSDT"]
    assert os.listdir() == []


def test_a_dry_run_counts_exactly_what_the_run_then_asks(venue, here):
    venue()
    words = ("backfill", "LTCUSDT", "DOTUSDT", "--days", "3", "--json")
    plan = here(*words, "-n").json
    assert set(plan) >= PLAN_KEYS
    assert (plan["wanted"], plan["to_fetch"], plan["stored_before"]) == (8640, 8640, 0)
    done = here(*words).json
    assert done["candle_requests"] == plan["requests"]
    assert done["weight"] == plan["weight"] + 2
    assert here(*words, "-n").json["to_fetch"] == 0


def test_a_dry_run_leaves_an_existing_store_as_it_is(venue, here):
    venue()
    here("backfill", "LTCUSDT", *DAY)
    before = Path("laklak.db").read_bytes()
    assert here("backfill", "LTCUSDT", "--days", "2", "-n").exit == 0
    assert Path("laklak.db").read_bytes() == before


def test_a_dry_run_shows_what_other_pages_and_budgets_would_take(venue, here, monkeypatch):
    venue(budget=2400)
    monkeypatch.delenv("LAKLAK_BINANCE_BUDGET")
    words = ("backfill", "LTCUSDT", "DOTUSDT", "AVAXUSDT", "--days", "4", "-n")
    table = here(*words, "--json").json["alternatives"]
    by_choice = {(row["chunk"], row["budget"]): row for row in table}
    assert {budget for _, budget in by_choice} == {1200, 2400}
    now, cheap = by_choice[1000, 1200], by_choice[499, 1200]
    assert now["requests"] == 18
    assert cheap["weight"] < now["weight"]
    assert cheap["seconds"] < now["seconds"]
    assert by_choice[1000, 2400]["seconds"] == pytest.approx(now["seconds"] / 2, abs=0.1)
    assert "<- now" in here(*words).out


def test_before_fetching_one_line_says_what_chunk_auto_would_save(venue, here, monkeypatch):
    venue(budget=2400, latency_s=0.0)
    monkeypatch.setenv("LAKLAK_BINANCE_BUDGET", "2000")
    ended = here("backfill", "LTCUSDT", "--days", "4", "-n")
    assert "to fetch in 6 requests, weight 30, at least 0.9 s at 2000 weight a minute" in ended.out
    many = here("backfill", "LTCUSDT", "DOTUSDT", "AVAXUSDT", "LINKUSDT", "--days", "4", "-n", "--budget", "1000")
    assert "; --chunk auto would save " in many.out
