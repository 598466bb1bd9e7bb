"""A benchmark small enough for every day: two symbols, two days."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from laklak.bench.run import Plan
from laklak.bench.workload import Workload

TINY = Workload(symbols=2, days=2, seed=7)


@pytest.fixture(scope="session")
def tiny() -> Workload:
    return TINY


@pytest.fixture
def plan() -> Callable[..., Plan]:
    """Make a plan for the tiny work; by default one round from the archive, without InfluxDB."""

    def make(**changes: object) -> Plan:
        values = {"workload": TINY, "repeats": 1, "sources": ["archive"], "looks_for_influxd": False, "warms_up": False}
        return Plan(**{**values, **changes})

    return make


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is where temporary folders are made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder
