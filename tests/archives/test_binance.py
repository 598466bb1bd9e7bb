"""How Binance's public data is laid out."""

from __future__ import annotations

import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laklak.archives import ARCHIVES
from laklak.archives.base import day_of, month_of
from laklak.model.series import DAY_MS, Series, TimeRange
from laklak.settings.times import parse_time
from laklak.venues import VENUES

BINANCE = ARCHIVES["binance"]
MOMENTS = st.integers(parse_time("2020-01-01"), parse_time("2099-12-31"))


def test_a_day_lies_where_it_is_published():
    file = BINANCE.day_file(Series.parse("binance:BTCUSDT:1m"), parse_time("2024-05-01T13:37"))

    assert file.path == "/data/futures/um/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-05-01.zip"
    assert file.checksum_path == file.path + ".CHECKSUM"
    assert (file.name, file.member) == ("BTCUSDT-1m-2024-05-01.zip", "BTCUSDT-1m-2024-05-01.csv")
    assert file.span == TimeRange(parse_time("2024-05-01"), parse_time("2024-05-02"))


def test_a_month_lies_where_it_is_published():
    file = BINANCE.month_file(Series.parse("binance:0GUSDT:1h"), parse_time("2025-12-31T23:00"))

    assert file.path == "/data/futures/um/monthly/klines/0GUSDT/1h/0GUSDT-1h-2025-12.zip"
    assert file.span == TimeRange(parse_time("2025-12-01"), parse_time("2026-01-01"))
    assert file.candles == 31 * 24


def test_a_symbol_is_encoded_in_the_path_and_spelled_out_inside():
    file = BINANCE.month_file(Series.parse("binance:币安人生USDT:1m"), parse_time("2025-10-01"))

    assert file.path.isascii()
    assert urllib.parse.unquote(file.path) == (
        "/data/futures/um/monthly/klines/币安人生USDT/1m/币安人生USDT-1m-2025-10.zip"
    )
    assert file.member == "币安人生USDT-1m-2025-10.csv"


@pytest.mark.parametrize("symbol", ["A?B", "A#B", "A%2FB", "A&B=C", "A;B"])
def test_no_symbol_changes_the_place_that_is_asked(symbol):
    path = BINANCE.day_file(Series.parse(f"binance:{symbol}:1m"), 0).path

    assert path.count("/") == 8
    assert urllib.parse.unquote(urllib.parse.urlsplit(f"https://host{path}").path).split("/")[6] == symbol


def test_a_day_is_expected_the_next_morning_and_a_month_some_days_after_it():
    series = Series.parse("binance:BTCUSDT:1m")

    assert BINANCE.expected_ms(BINANCE.day_file(series, parse_time("2026-02-27"))) == parse_time("2026-02-28T09:00")
    assert BINANCE.expected_ms(BINANCE.month_file(series, parse_time("2026-02-27"))) == parse_time("2026-03-04")


def test_an_archive_has_the_name_of_its_venue_and_only_intervals_of_it():
    for name, archive in ARCHIVES.items():
        assert archive.name == name
        assert set(archive.intervals) <= set(VENUES[name].intervals)
        assert list(archive.columns[:6]) == ["open_time", "open", "high", "low", "close", "volume"]


@given(MOMENTS)
def test_a_month_is_made_of_whole_days_and_the_next_one_follows(moment):
    month = month_of(moment)

    assert month.start_ms <= moment < month.end_ms
    assert month.start_ms % DAY_MS == month.end_ms % DAY_MS == 0
    assert 28 <= (month.end_ms - month.start_ms) // DAY_MS <= 31
    assert month_of(month.end_ms).start_ms == month.end_ms
    assert month_of(month.start_ms - 1).end_ms == month.start_ms
    assert day_of(moment).start_ms <= moment < day_of(moment).end_ms == day_of(moment).start_ms + DAY_MS


def test_a_file_may_be_several_times_as_long_as_usual_but_not_longer():
    series = Series.parse("binance:BTCUSDT:1m")
    day, month = BINANCE.day_file(series, 0), BINANCE.month_file(series, 0)

    assert 5 * 140_000 < day.csv_bytes_max < day.zip_bytes_max < 10 * 140_000
    assert 5 * 4_300_000 < month.csv_bytes_max < month.zip_bytes_max < 10 * 4_300_000
