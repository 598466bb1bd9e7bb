"""What the tests with bulk files need: a source with a whole month, and no waiting between two answers."""

from __future__ import annotations

import pytest
from lost_minutes import LACKING
from lying_venue import LyingVenue

from laklak.simulator import CandleSource, generate


@pytest.fixture(autouse=True)
def without_waiting(hasty: None) -> None:
    """The two seconds between two answers would cost a minute here."""


@pytest.fixture(scope="session")
def autumn() -> CandleSource:
    """Two symbols, 54 days up to 2026-11-21: a whole month and two broken ones."""
    return generate(symbols=2, days=54)


@pytest.fixture
def lying(monkeypatch):
    """A venue whose API lacks half an hour of AAAUSDT that its files have."""
    with LyingVenue(clock="2026-03-03T12:00:30") as venue:
        venue.list("AAAUSDT", first="2026-02-01", onboard="2026-02-01", holes=set(LACKING))
        monkeypatch.setenv("LAKLAK_BINANCE_URL", venue.url)
        monkeypatch.setenv("LAKLAK_BINANCE_ARCHIVE_URL", venue.url)
        monkeypatch.setenv("LAKLAK_BINANCE_BUDGET", "max")
        yield venue


@pytest.fixture
def noted(sql):
    """What is remembered: `noted()` gives (open_time, kind, reason, file_at), in order."""
    return lambda path="laklak.db": sql("SELECT open_time, kind, reason, file_at FROM absence ORDER BY 1", path=path)
