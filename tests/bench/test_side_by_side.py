"""The benchmark of venues side by side fills each alone and all together, completely. Never how fast."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import laklak

PATH = Path(laklak.__file__).parents[1] / "benchmarks" / "side_by_side.py"


@pytest.mark.long
def test_venues_are_filled_alone_and_together(tmp_path):
    words = ["--rounds", "1", "--days", "1", "--symbols", "3", "--venues", "bybit,deribit", "--json"]

    ended = subprocess.run([sys.executable, PATH, *words], cwd=tmp_path, capture_output=True, timeout=100, check=True)

    figures = json.loads(ended.stdout)
    assert set(figures["venues"]) == {"bybit", "deribit"}
    assert all(one["alone_s"] > 0 and one["together_s"] > 0 for one in figures["venues"].values())
    assert figures["of_a_core"] > 0
