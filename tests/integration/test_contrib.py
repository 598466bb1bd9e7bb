"""What contrib/ offers fits what laklak writes: the dashboard's questions are put to real servers after a real run."""

from __future__ import annotations

import asyncio
import configparser
import json
import re
from pathlib import Path

import pytest

from laklak.model.absences import Absence
from laklak.model.revisions import Revision
from laklak.model.series import Series, TimeRange
from laklak.simulator import parse_fault
from laklak.stores import open_store
from laklak.stores.base import Delivery

CONTRIB = Path(__file__).parents[2] / "contrib"
DASHBOARD = json.loads((CONTRIB / "grafana/dashboards/laklak.json").read_text())
QUESTIONS = {panel["title"]: panel["targets"][0]["query"] for panel in DASHBOARD["panels"]}
END_MS = 1_772_323_200_000
DATABASE = "dashboard"

# What Grafana puts in for its variables.
VALUES = {
    "exchange": "binance",
    "symbol": "LTCUSDT",
    "timeframe": "1m",
    "timeFilter": f"time >= {END_MS - 2 * 86_400_000}ms",
    "__interval": "1h",
}


def filled_in(question: str) -> str:
    return re.sub(r"\$\{?(\w+)\}?", lambda name: VALUES[name[1]], question)


@pytest.fixture(scope="module")
def answered(influxd):
    """Ask a question of the dashboard as rows of named values."""

    def ask(question: str) -> list[dict[str, object]]:
        return [
            dict(zip(series["columns"], row, strict=True))
            for series in influxd.ask(filled_in(question), DATABASE)
            for row in series["values"]
        ]

    return ask


_filled: set[int] = set()


@pytest.fixture
def a_run(influxd, venue, laklak):
    if influxd.port not in _filled:
        _filled.add(influxd.port)
        venue(faults=[parse_fault("hole=LTCUSDT@2026-02-28T12:00Z+5")])
        ended = laklak("backfill", "LTCUSDT", "DOTUSDT", "--days", "1", "--store", influxd.url(DATABASE))
        assert ended.exit == 0, ended.err
        asyncio.run(remember(influxd.url(DATABASE)))


async def remember(where: str) -> None:
    """What this run does not come upon: a stretch without candles, and a candle that got other values."""
    series = Series.parse("binance:LTCUSDT:1m")
    quiet = Absence(
        TimeRange(END_MS - 9 * 86_400_000, END_MS - 8 * 86_400_000), "quiet", END_MS, "so", sources=("rest",)
    )
    revision = Revision(END_MS - 60_000, (1.0,) * 5, (2.0,) * 5, "rest", "refetch", END_MS)
    async with open_store(where) as store:
        await store.write([Delivery(series, None, [quiet], revisions=[revision])])


@pytest.mark.parametrize("title", QUESTIONS)
def test_every_panel_of_the_dashboard_has_an_answer(answered, a_run, title):
    rows = answered(QUESTIONS[title])

    assert rows
    assert all(value is not None for name, value in rows[-1].items() if name != "error")


def test_the_dashboard_tells_the_truth(answered, a_run):
    def sole(title: str, name: str) -> object:
        (row,) = answered(QUESTIONS[title])
        return row[name]

    assert sole("Its result", "result") == "complete"
    assert sole("Missing after it", "missing") == 0
    assert sole("Holes in view", "holes") == 5
    assert sum(row["candles"] for row in answered(QUESTIONS["Coverage: candles stored per day"])) == 1440 - 5
    assert max(row["series"] for row in answered(QUESTIONS["Coverage: series with candles, per day"])) == 2
    candles = answered(QUESTIONS["$exchange $symbol $timeframe"])
    assert len(candles) == 24
    assert all(row["low"] <= min(row["open"], row["close"]) <= row["high"] for row in candles)
    assert sole("Stretches without candles", "kind") == "quiet"
    assert sole("Stretches without candles", "end_time") == END_MS - 8 * 86_400_000
    assert sole("Overwritten candles", "old") == "[1.0,1.0,1.0,1.0,1.0]"
    before, after = answered(QUESTIONS["Where candles came from"])[::-1]
    noon_ms = END_MS - 43_200_000
    assert (before["source"], before["end_time"], after["end_time"]) == ("rest", noon_ms, END_MS)
    (run,) = answered(QUESTIONS["Runs"])
    assert (run["wanted"], run["written"], run["holes"]) == (2 * 1440, 2 * 1440 - 5, 5)


def test_the_service_takes_try_later_and_a_stop_for_no_failure():
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str
    unit.read(CONTRIB / "systemd/laklak.service")

    assert unit["Service"]["SuccessExitStatus"].split() == ["75", "130", "143"]
    assert "backfill" in unit["Service"]["ExecStart"]


def test_no_secret_is_in_contrib():
    for name in ("compose.env.example", "systemd/laklak.env"):
        for line in (CONTRIB / name).read_text().splitlines():
            key, _, value = line.partition("=")
            assert not value or not re.search("PASSWORD|TOKEN", key), f"{name}: {key}"
