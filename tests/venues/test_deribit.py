"""Deribit's own ways, on answers that were recorded or documented; their provenance is in the README beside them."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from laklak.model.series import Interval, Series, TimeRange, iso
from laklak.plan.ends import EdgeSearch
from laklak.plan.rows import check_page
from laklak.venues import VENUES
from laklak.venues.base import REGION, Answer, Asked, DecodeError, Meaning, unlisted

FOLDER = Path(__file__).parents[1] / "recorded" / "deribit" / "answers"
DERIBIT = VENUES["deribit"]
START = 1_766_483_460_000
MINUTE = Interval.parse("1m")


def answer(name, status=200):
    return Answer(status, {}, (FOLDER / name).read_bytes())


def said(result=None, status=200):
    return Answer(status, {}, orjson.dumps({"jsonrpc": "2.0", "result": result}))


def failed(code, status=400, **data):
    return Answer(status, {}, orjson.dumps({"error": {"code": code, "message": "x", "data": data}}))


def asked_of(start, count, symbol="BTC-PERPETUAL", interval="1m"):
    series = Series("deribit", symbol, Interval.parse(interval))
    return Asked(series, unlisted(symbol), TimeRange(start, start + count * series.interval.ms))


def chart(**changes):
    columns = {name: [1.0] for name in ("open", "high", "low", "close", "volume", "cost")}
    return said({**columns, "ticks": [START], "status": "ok", **changes})


# Requests


def test_it_asks_for_exactly_the_span_by_the_names_that_the_venue_reads():
    request = DERIBIT.candles_request(asked_of(START, 5000, "SOL_USDC-PERPETUAL"))

    assert request.path == "/public/get_tradingview_chart_data"
    assert request.query == (
        ("instrument_name", "SOL_USDC-PERPETUAL"),
        ("start_timestamp", str(START)),
        ("end_timestamp", str(START + 5000 * 60_000 - 1)),
        ("resolution", "1"),
    )
    assert request.cost == {"credits": 500}


def test_the_index_is_asked_of_its_own_endpoint_in_seconds():
    request = DERIBIT.candles_request(asked_of(START, 60, "ETH-DVOL", "1h"))

    assert request.path == "/public/get_volatility_index_data"
    assert dict(request.query)["currency"] == "ETH"
    assert dict(request.query)["resolution"] == "3600"


def test_the_index_has_the_intervals_of_its_endpoint():
    assert [*DERIBIT.intervals_of("BTC-DVOL")] == ["1m", "1h", "12h", "1d"]
    assert DERIBIT.intervals_of("BTC-PERPETUAL") is DERIBIT.intervals


def test_half_of_twenty_requests_a_second_is_ours():
    assert DERIBIT.quotas["credits"].ours / DERIBIT.page.units(5000) == 10


# Candles


def test_the_recorded_answer_is_read_to_the_last_digit_with_its_volume_in_base_coin():
    asked = asked_of(START, 5)

    checked = check_page(DERIBIT.read_candles(answer("deribit_chart_ok.json"), asked), asked.series, asked.span)

    assert not checked.refusals
    assert len(checked.candles) == 5
    assert [column[0] for column in checked.candles.values] == [87451.0, 87456.5, 87451.0, 87456.5, 2.94375216]


def test_no_data_is_an_empty_page():
    assert len(DERIBIT.read_candles(answer("deribit_chart_no_data.json"), asked_of(START, 5)).rows) == 0


@pytest.mark.parametrize(
    "changes", [{"status": "no_data"}, {"status": "later"}, {"open": []}, {"ticks": "1"}, {"volume": None}]
)
def test_columns_that_contradict_each_other_are_no_answer(changes):
    with pytest.raises(DecodeError):
        DERIBIT.read_candles(chart(**changes), asked_of(START, 5))


def test_the_candle_that_contains_the_start_is_left_out():
    columns = {name: [1.0, 1.0] for name in ("open", "high", "low", "close", "volume")}

    page = DERIBIT.read_candles(chart(**columns, ticks=[START - 60_000, START]), asked_of(START, 5))

    assert list(page.columns[0]) == [START]


def test_the_documented_index_is_read_and_has_no_volume():
    asked = asked_of(1_598_019_300_000, 3, "BTC-DVOL")

    checked = check_page(DERIBIT.read_candles(answer("deribit_dvol_ok.json"), asked), asked.series, asked.span)

    assert list(checked.candles.values[0]) == [0.210084879, 0.212869011, 0.212987723]
    assert list(checked.candles.values[4]) == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(("cut", "begins"), [(None, 9_000), ("oldest", 4_000)])
def test_a_page_that_may_lack_its_oldest_rows_does_not_end_the_search_for_the_first(cut, begins):
    search = EdgeSearch.over("first", MINUTE, TimeRange(0, 10_000 * 60_000), 10_000, cut)
    while (window := search.window()) is not None:
        first = max(4_000 * 60_000, window.start_ms, window.end_ms - 1_000 * 60_000)
        search = search.heard(window, list(range(first, window.end_ms, 60_000)))

    assert search.found_ms == begins * 60_000


# The listing and the clock


def test_the_recorded_listing_is_read_and_the_indexes_stand_beside_it():
    listing = DERIBIT.read_listing(answer("deribit_instruments.json"))

    perpetual, future = listing.instruments["BTC-PERPETUAL"], listing.instruments["BTC-27DEC24"]
    assert (perpetual.kind, perpetual.first_ms, perpetual.end_ms) == ("perpetual", 1_534_167_754_000, None)
    assert (future.kind, iso(future.end_ms)) == ("future", "2024-12-27T12:00Z")
    assert listing.instruments["BTC-DVOL"].trades
    assert (listing.odd, listing.unreadable) == ({}, 0)


def test_an_empty_listing_names_nothing():
    assert DERIBIT.read_listing(said([])).instruments == {}


def test_what_has_expired_does_not_trade():
    entry = {"instrument_name": "BTC-1JAN26", "is_active": False, "expiration_timestamp": 1_767_254_400_000}

    assert not DERIBIT.read_listing(said([entry])).instruments["BTC-1JAN26"].trades


@pytest.mark.parametrize("time", ["x", [], -5, True, 1.5])
def test_a_date_that_is_none_costs_that_date(time):
    listing = DERIBIT.read_listing(said([{"instrument_name": "A-PERPETUAL", "creation_timestamp": time}, 7, {}]))

    assert listing.instruments["A-PERPETUAL"].first_ms is None
    assert listing.odd == {"A-PERPETUAL": "has a creation_timestamp that is no time"}
    assert listing.unreadable == 2


def test_the_documented_clock_is_read():
    assert DERIBIT.read_clock(answer("deribit_time.json")) == 1_550_147_385_946


# Verdicts


@pytest.mark.parametrize(
    ("name", "status", "meaning", "reason"),
    [
        ("deribit_chart_ok.json", 200, Meaning.OK, ""),
        ("deribit_chart_docs_example.json", 200, Meaning.OK, ""),
        ("deribit_error_10028.json", 200, Meaning.LIMITED, "rate_limited"),
        ("deribit_error_10028.json", 400, Meaning.LIMITED, "rate_limited"),
        ("deribit_error_instrument_not_found_http400.json", 400, Meaning.REFUSED, "unknown_symbol"),
    ],
)
def test_documented_answers_mean_what_they_say(name, status, meaning, reason):
    verdict = DERIBIT.judge(answer(name, status))

    assert (verdict.meaning, verdict.reason) == (meaning, reason)


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (10028, Meaning.LIMITED),
        (10066, Meaning.LIMITED),
        *((code, Meaning.PASSING) for code in (10040, 10041, 10047, 11051, 11094, 13028, 13888)),
        *((code, Meaning.REFUSED) for code in (-32602, 10020, 11029, 11050, 13020, 99999)),
    ],
)
def test_every_documented_code_has_a_meaning(code, meaning):
    assert DERIBIT.judge(failed(code)).meaning is meaning


def test_a_parameter_that_is_no_symbol_is_no_unknown_symbol():
    assert DERIBIT.judge(failed(-32602, param="resolution")).reason == "refused"


@pytest.mark.parametrize(("status", "reason"), [(403, "firewall"), (451, REGION)])
def test_what_stands_before_the_venue_blocks(status, reason):
    verdict = DERIBIT.judge(Answer(status, {}, b"<html>"))

    assert (verdict.meaning, verdict.reason) == (Meaning.BLOCKED, reason)
