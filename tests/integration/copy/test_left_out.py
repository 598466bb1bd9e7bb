"""What a copy leaves out because the destination would not keep it is said, and the summary adds up."""

from __future__ import annotations

import time

import pytest
from copies import BTC, ETH, MINUTE_MS, content, fill, new_name

from laklak.model.candles import CandleBatch
from laklak.model.series import Series

DAY_MS = 86_400_000


@pytest.fixture
def week(influxd):
    """A database that keeps seven days."""
    name = new_name()
    influxd.ask(f"CREATE DATABASE {name} WITH DURATION 7d REPLICATION 1 NAME week")
    return influxd.url(name)


def days_ago(series, days):
    first = (int(time.time()) // 60) * MINUTE_MS - days * DAY_MS
    return CandleBatch(
        Series.parse(series), [first, first + MINUTE_MS], (["1.0"] * 2,) * 5, tuple([1.0] * 2 for _ in range(5))
    )


def test_a_series_wholly_outside_the_retention_is_named_and_no_failure(here, week, copy_sum):
    fill("a.db", days_ago(BTC, 3), days_ago(ETH, 30))
    ended = here("copy", "a.db", week, "--within-retention", "--json")
    answer = copy_sum(ended.json)
    assert (ended.exit, answer["outside_retention"], answer["failed_series"]) == (0, [ETH], [])
    assert (answer["series"], answer["wanted"], answer["written"]) == (2, 2, 2)
    assert ended.lines("warning") == [f"{week} would keep nothing of these, left out: {ETH}"]
    assert list(content(week)[0]) == [BTC]

    again = here("copy", "a.db", week, "--within-retention")
    assert f"  of 1 series the destination would keep nothing: {ETH}" in again.out.splitlines()


def test_where_nothing_is_left_out_nothing_is_said(here, week, copy_sum):
    fill("a.db", days_ago(BTC, 3), days_ago(ETH, 2))
    ended = here("copy", "a.db", week, "--within-retention", "--json")
    assert (ended.exit, copy_sum(ended.json)["outside_retention"], ended.lines("warning")) == (0, [], [])


def test_series_are_the_copied_the_failed_and_the_left_out(here, week, copy_sum):
    fill("a.db", days_ago(BTC, 3), days_ago(ETH, 30))
    ended = here("copy", "a.db", week, BTC, ETH, "binance:LTCUSDT:1m", "--within-retention", "--json")
    answer = copy_sum(ended.json)
    assert (ended.exit, answer["series"]) == (1, 3)
    assert len(answer["failed_series"]) + len(answer["outside_retention"]) == 2
