"""A venue with a symbol that it lists and others that it does not, and what is stored of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from lying_venue import LyingVenue, values
from unlisted_symbols import CLOCK


@pytest.fixture
def lying(monkeypatch: pytest.MonkeyPatch, hasty: None) -> Iterator[LyingVenue]:
    """A venue that lists AAAUSDT, and whose bulk files are asked too."""
    with LyingVenue(clock=CLOCK) as venue:
        venue.list("AAAUSDT", first="2026-01-01", onboard="2025-12-01")
        monkeypatch.setenv("LAKLAK_BINANCE_URL", venue.url)
        monkeypatch.setenv("LAKLAK_BINANCE_ARCHIVE_URL", venue.url)
        monkeypatch.setenv("LAKLAK_BINANCE_BUDGET", "max")
        yield venue


@pytest.fixture
def times(stored):
    """The minutes that are stored of a symbol; each has the values that the venue gives it."""

    def read(symbol="OLDUSDT"):
        rows = {time: row for (name, time), row in stored().items() if name == symbol}
        assert all(row == values(time) for time, row in rows.items())
        return sorted(rows)

    return read
