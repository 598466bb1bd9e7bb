"""The benchmark of pages reads every venue's, and says what each takes beside Binance's. Never how fast."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import laklak
from laklak.venues import VENUES

PATH = Path(laklak.__file__).parents[1] / "benchmarks" / "venue_pages.py"


def test_a_page_of_every_venue_is_read_and_timed(capsys, monkeypatch):
    spec = importlib.util.spec_from_file_location("venue_pages", PATH)
    venue_pages = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "venue_pages", venue_pages)
    spec.loader.exec_module(venue_pages)

    venue_pages.main(["--rounds", "1", "--json"])

    figures = json.loads(capsys.readouterr().out)["venues"]
    assert set(figures) == set(VENUES)
    assert all(one["rows"] >= 200 and one["ns_a_row"] > 0 for one in figures.values())
    assert figures["binance"]["beside_binance"] == 1
