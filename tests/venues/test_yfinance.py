"""Yahoo Finance's own ways, on answers that were recorded or seen; their provenance is in the README beside them."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from laklak.model.candles import Chunk
from laklak.model.series import DAY_MS, MINUTE_MS, Interval, Series, TimeRange, iso
from laklak.plan.rows import Checked, check_page
from laklak.plan.sessions import settle_lacking
from laklak.venues import VENUES
from laklak.venues.base import Answer, Asked, DecodeError, Meaning, unlisted

FOLDER = Path(__file__).parents[1] / "recorded" / "yfinance" / "answers"
YAHOO = VENUES["yfinance"]
AMZN = "AMZN-1m-2023-05-02.json"
WEEKEND = "chart-AAPL-2025-02-01-to-2025-02-02-includePrePost-false-interval-1m.json"
START = 1_683_055_800_000
SATURDAY = 1_738_368_000_000
HOUR = 60 * MINUTE_MS


def answer(name, status=200):
    body = (FOLDER / name).read_bytes()
    if name == WEEKEND:
        body = orjson.dumps(orjson.loads(body)["response"]["bodyJson"])
    return Answer(status, {}, body)


def asked_of(symbol, start_ms, count, interval="1m"):
    series = Series("yfinance", symbol, Interval.parse(interval))
    return Asked(series, unlisted(symbol), TimeRange(start_ms, start_ms + count * series.interval.ms))


def chart(stamps, volume=1.0, periods=(), **meta):
    column = [1.0] * len(stamps)
    quote = {name: list(column) for name in ("open", "high", "low", "close")} | {"volume": [volume] * len(stamps)}
    if periods:
        meta["tradingPeriods"] = [[{"start": start, "end": end}] for start, end in periods]
    result = {"meta": {"symbol": "X", **meta}, "timestamp": list(stamps), "indicators": {"quote": [quote]}}
    return Answer(200, {}, orjson.dumps({"chart": {"result": [result], "error": None}}))


# Requests


def test_it_asks_for_the_span_in_seconds_of_a_path_that_holds_the_symbol():
    request = YAHOO.candles_request(asked_of("^GSPC", START, 10_080))

    assert request.path == "/v8/finance/chart/^GSPC"
    assert dict(request.query)["period1"] == str(START // 1000)
    assert int(dict(request.query)["period2"]) - START // 1000 == 7 * 86_400
    assert YAHOO.page.rows == 10_080


def test_hours_are_offered_where_sessions_begin_on_whole_hours():
    assert "1h" in YAHOO.intervals_of("BTC=F")
    assert "1h" not in YAHOO.intervals_of("^GSPC")
    assert "1d" not in YAHOO.intervals


@pytest.mark.parametrize(("interval", "days"), [("1m", 29), ("5m", 59), ("30m", 59), ("1h", 729)])
def test_it_reaches_back_a_day_less_than_the_venue_says(interval, days):
    assert YAHOO.reach_ms(Interval.parse(interval)) == days * DAY_MS


# Candles


def test_the_recorded_answer_is_read_to_the_last_digit_without_its_closing_print():
    asked = asked_of("AMZN", START, 60)

    page = YAHOO.read_candles(answer(AMZN), asked)
    checked = check_page(page, asked.series, asked.span)

    assert not checked.refusals
    assert len(checked.candles) == 30
    assert [column[-1] for column in checked.candles.values] == [
        103.7750015258789,
        103.79000091552734,
        103.58000183105469,
        103.66000366210938,
        862819.0,
    ]
    assert page.sessions is not None
    assert str(page.sessions[0]) == "[2023-05-02T13:30Z, 2023-05-02T20:00Z)"
    assert page.final_ms == 1_683_057_604_000


def test_slots_that_are_null_throughout_are_no_rows():
    asked = asked_of("TEST", 1_700_058_600_000, 3)

    page = YAHOO.read_candles(answer("yahoo_chart_nulls_1m.json"), asked)

    assert list(page.columns[0]) == [1_700_058_600_000, 1_700_058_720_000]


def test_a_row_with_a_single_null_stays_to_be_refused():
    body = orjson.loads(chart([60, 120]).body)
    body["chart"]["result"][0]["indicators"]["quote"][0]["high"][0] = None
    asked = asked_of("X", 60_000, 2)

    page = YAHOO.read_candles(Answer(200, {}, orjson.dumps(body)), asked)

    assert [one.open_time_ms for one in check_page(page, asked.series, asked.span).refusals] == [60_000]


def test_the_live_price_beside_the_grid_is_left_out_and_so_is_a_row_at_the_end_of_the_span():
    page = YAHOO.read_candles(chart([60, 120, 180, 187]), asked_of("X", 60_000, 2))

    assert list(page.columns[0]) == [60_000, 120_000]


@pytest.mark.parametrize("name", [WEEKEND, "yahoo_chart_empty.json"])
def test_an_answer_without_timestamp_is_an_empty_page_that_tells_no_sessions(name):
    symbol = "AAPL" if name == WEEKEND else "TEST"

    page = YAHOO.read_candles(answer(name), asked_of(symbol, SATURDAY, 1440))

    assert (len(page.rows), page.sessions) == (0, None)


@pytest.mark.parametrize("meta", [{"symbol": "Y"}, {"dataGranularity": "5m"}])
def test_candles_of_something_else_are_no_answer(meta):
    with pytest.raises(DecodeError):
        YAHOO.read_candles(chart([60], **meta), asked_of("X", 60_000, 1))


def test_columns_of_different_lengths_are_no_answer():
    body = orjson.loads(chart([60, 120]).body)
    body["chart"]["result"][0]["timestamp"].pop()
    with pytest.raises(DecodeError):
        YAHOO.read_candles(Answer(200, {}, orjson.dumps(body)), asked_of("X", 60_000, 2))


def test_the_first_day_is_known_from_an_answer_that_was_recorded():
    listed = YAHOO.read_listing(answer(AMZN)).instruments["AMZN"]

    assert (iso(listed.first_ms), listed.trades, listed.kind) == ("1997-05-15T13:30Z", True, "equity")


# Sessions


def settled(page_answer, start_ms, count, now_ms, symbol="X"):
    asked = asked_of(symbol, start_ms, count)
    page = YAHOO.read_candles(page_answer, asked)
    candles = check_page(page, asked.series, asked.span).candles
    checked = Checked(candles, (), final_ms=page.final_ms, sessions=page.sessions)
    had = {*candles.open_times}
    lacking = [
        TimeRange(at, at + MINUTE_MS)
        for at in range(asked.span.start_ms, asked.span.end_ms, MINUTE_MS)
        if at not in had
    ]
    chunk = Chunk(asked.series, asked.span, (asked.span,))
    found = settle_lacking(chunk, lacking, checked, venue_now_ms=now_ms, confirmed_at_ms=1)
    kinds = {}
    for one in found.absences:
        kinds[one.kind] = kinds.get(one.kind, 0) + one.span.count(asked.series.interval)
    return kinds, sum(one.count(asked.series.interval) for one in found.not_yet)


def test_what_lies_outside_of_the_sessions_is_closed_and_what_lies_inside_is_quiet():
    told = chart([3600, 3720], periods=[(3600, 7200)], regularMarketTime=86_400)

    assert settled(told, 0, 180, 86_400_000) == ({"closed": 120, "quiet": 58}, 0)


def test_a_row_outside_of_the_sessions_is_a_candle():
    told = chart([60, 3600], periods=[(3600, 7200)], regularMarketTime=86_400)

    assert settled(told, 0, 180, 86_400_000) == ({"closed": 119, "quiet": 59}, 0)


def test_a_minute_that_a_session_begins_or_ends_in_is_not_closed():
    told = chart([], periods=[(3630, 7170)], regularMarketTime=86_400)

    assert settled(told, 0, 180, 86_400_000) == ({"closed": 120, "quiet": 60}, 0)


def test_what_a_delayed_feed_has_not_published_is_neither_quiet_nor_closed():
    told = chart([3600], periods=[(3600, 7200)], regularMarketTime=5400)

    assert settled(told, 0, 180, 9_000_000) == ({"closed": 60, "quiet": 29}, 90)


def test_the_night_before_the_next_session_is_closed_though_nothing_final_stands_behind_it():
    told = chart(
        [3600],
        periods=[(3600, 7200)],
        regularMarketTime=7200,
        currentTradingPeriod={"regular": {"start": 9000, "end": 12_600}},
    )

    assert settled(told, 0, 180, 10_800_000) == ({"closed": 90, "quiet": 59}, 30)


@pytest.mark.parametrize(("age_days", "expected"), [(2, ({}, 60)), (4, ({"quiet": 60}, 0))])
def test_an_answer_without_rows_and_sessions_proves_nothing_for_three_days(age_days, expected):
    told = answer(WEEKEND)

    assert settled(told, SATURDAY, 60, SATURDAY + HOUR + age_days * DAY_MS, "AAPL") == expected


def test_a_session_that_cannot_be_read_makes_no_answer():
    told = orjson.loads(chart([3600], periods=[(3600, 7200), (9000, 9600)]).body)
    told["chart"]["result"][0]["meta"]["tradingPeriods"][1] = {"start": 9000, "end": None}

    # Without it, a time in which there was trade would be closed.
    with pytest.raises(DecodeError, match="expected a trading period"):
        YAHOO.read_candles(Answer(200, {}, orjson.dumps(told)), asked_of("X", 0, 180))


# Errors


@pytest.mark.parametrize(
    ("name", "status", "meaning", "reason"),
    [
        ("yahoo_error_404.json", 404, Meaning.REFUSED, "unknown_symbol"),
        ("yahoo_error_422_1m_range.json", 422, Meaning.OUT_OF_REACH, "out_of_reach"),
        ("yahoo_error_400_no_data_for_range.json", 400, Meaning.OUT_OF_REACH, "out_of_reach"),
        ("yahoo_error_429.txt", 429, Meaning.LIMITED, "rate_limited"),
        ("error-400-bad-interval.json", 400, Meaning.REFUSED, "refused"),
    ],
)
def test_every_error_that_was_seen_is_understood(name, status, meaning, reason):
    verdict = YAHOO.judge(answer(name, status))

    assert (verdict.meaning, verdict.reason) == (meaning, reason)


def test_a_limit_pauses_for_minutes_and_slows_down():
    verdict = YAHOO.judge(answer("yahoo_error_429.txt", 429))

    assert verdict.wait_s == 300
    assert verdict.slower_s == 3600
