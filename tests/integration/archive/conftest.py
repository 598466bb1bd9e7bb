"""What the tests with bulk files need: a source with a whole month, and no waiting between two answers."""

from __future__ import annotations

import pytest

from laklak.simulator import CandleSource, generate


@pytest.fixture(autouse=True)
def without_waiting(hasty: None) -> None:
    """The two seconds between two answers would cost a minute here."""


@pytest.fixture(scope="session")
def autumn() -> CandleSource:
    """Two symbols, 54 days up to 2026-11-21: a whole month and two broken ones."""
    return generate(symbols=2, days=54)
