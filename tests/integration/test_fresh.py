"""Candles that have just closed: from when on they are wanted, and that they are looked at again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from lying_venue import LyingVenue, ms

import laklak as library
from laklak.settings import SPECS
from laklak.simulator.settings import SETTLE_MS

START = "2026-03-01T11:00"
NOON_MS = ms("2026-03-01T12:00") or 0


@pytest.fixture
def lying(monkeypatch: pytest.MonkeyPatch) -> Iterator[LyingVenue]:
    """A venue with AAAUSDT and BBBUSDT whose clock says that it is six seconds past noon."""
    with LyingVenue(clock=NOON_MS + 6_000) as one:
        for name in ("AAAUSDT", "BBBUSDT"):
            one.list(name, first="2026-02-01")
        monkeypatch.setenv("LAKLAK_BINANCE_URL", one.url)
        monkeypatch.setenv("LAKLAK_BINANCE_BUDGET", "max")
        yield one


def backfill(*symbols, **options):
    return asyncio.run(library.backfill(list(symbols or ["AAAUSDT"]), **{"start": START, **options}))


@pytest.mark.parametrize(("second", "wanted"), [(3_000, 59), (5_000, 60)])
def test_a_candle_is_wanted_five_seconds_after_its_close(second, wanted, lying, check_sum):
    lying.clock_ms = NOON_MS + second

    assert check_sum(backfill().as_json())["wanted"] == wanted


@pytest.mark.parametrize(("settle", "second", "wanted"), [("0", 0, 60), ("2m", 5_000, 58), ("4.5", 3_000, 59)])
def test_how_long_after_its_close_can_be_set(settle, second, wanted, lying, monkeypatch):
    monkeypatch.setenv("LAKLAK_SETTLE", settle)
    lying.clock_ms = NOON_MS + second

    assert backfill().wanted == wanted


def test_a_longer_candle_is_wanted_five_seconds_after_its_close_too(lying):
    lying.clock_ms = NOON_MS + 3_000

    assert backfill(interval="1h", start="2026-03-01T08:00").wanted == 3


def test_the_clock_of_the_simulator_stands_where_its_last_candle_is_wanted():
    assert SPECS["settle"].parse(SPECS["settle"].default or "") == SETTLE_MS / 1000
