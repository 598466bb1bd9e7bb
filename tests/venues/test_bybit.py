"""Bybit's own ways, on answers that were recorded or documented; their provenance is in the README beside them."""

from __future__ import annotations

import csv
import gzip
from datetime import datetime
from pathlib import Path

import orjson
import pytest

from laklak.model.series import Instrument, Interval, Series, TimeRange, iso
from laklak.plan.rows import check_page
from laklak.venues import VENUES
from laklak.venues.base import REGION, Answer, Asked, DecodeError, Meaning, unlisted

FOLDER = Path(__file__).parents[1] / "recorded" / "bybit"
BYBIT = VENUES["bybit"]


def answer(name, status=200, headers=None):
    return Answer(status, headers or {}, (FOLDER / "answers" / name).read_bytes())


def said(status=200, code=0, text="OK", result=None):
    return Answer(status, {}, orjson.dumps({"retCode": code, "retMsg": text, "result": result or {}, "time": 1}))


def asked_of(start, count, symbol="BTCUSDT", interval="1m"):
    series = Series("bybit", symbol, Interval.parse(interval))
    return Asked(series, unlisted(symbol), TimeRange(start, start + count * series.interval.ms))


def page_of(rows, asked):
    return BYBIT.read_candles(said(result={"category": "linear", "symbol": asked.series.symbol, "list": rows}), asked)


def recorded_day():
    with gzip.open(FOLDER / "ADAUSDT-1m-2025-05-31.csv.gz", "rt") as file:
        return [
            (int(datetime.fromisoformat(row["timestamp"]).timestamp() * 1000), *list(row.values())[1:])
            for row in csv.DictReader(file)
        ]


DAY = recorded_day()
START = DAY[0][0]


# Requests


def test_it_asks_for_exactly_the_span_by_the_names_that_the_venue_reads():
    request = BYBIT.candles_request(asked_of(START, 1000, "ADAUSDT", "1h"))

    assert request.path == "/v5/market/kline"
    assert request.query == (
        ("category", "linear"),
        ("symbol", "ADAUSDT"),
        ("interval", "60"),
        ("start", str(START)),
        ("end", str(START + 999 * 3_600_000)),
        ("limit", "1000"),
    )
    assert request.cost == {"requests": 1}


def test_a_page_is_a_thousand_rows_and_what_a_shorter_answer_lacks_is_the_oldest():
    assert (BYBIT.page.rows, BYBIT.page.cut) == (1000, "oldest")


def test_a_tenth_of_the_limit_is_ours_unless_the_user_says_otherwise():
    assert (BYBIT.quotas["requests"].ours, BYBIT.quotas["requests"].seconds) == (60, 5.0)


def test_the_listing_is_asked_for_what_trades_and_for_what_does_not():
    asked = [dict(request.query).get("status") for request in BYBIT.listing_requests(["BTCUSDT"])]

    assert asked == [None, "PreLaunch", "Delivering", "Closed"]


# Candles


def test_a_recorded_day_newest_first_becomes_candles_equal_to_the_last_digit():
    asked = asked_of(START, 1000, "ADAUSDT")
    rows = [[str(time), *values, "1"] for time, *values in reversed(DAY[:1000])]

    checked = check_page(page_of(rows, asked), asked.series, asked.span)

    assert not checked.refusals
    assert list(checked.candles.open_times) == [time for time, *_ in DAY[:1000]]
    assert list(zip(*checked.candles.texts, strict=True)) == [tuple(values) for _, *values in DAY[:1000]]


def test_the_documented_answer_is_read_and_its_inverse_volume_refused():
    asked = asked_of(1_670_601_600_000, 3, "BTCUSD", "1h")

    with pytest.raises(DecodeError, match="expected candles of the category linear"):
        BYBIT.read_candles(answer("bybit_kline_ok.json"), asked)


def test_candles_of_another_symbol_are_no_answer():
    asked = asked_of(START, 2)
    body = said(result={"category": "linear", "symbol": "ETHUSDT", "list": []})

    with pytest.raises(DecodeError, match="expected candles of the symbol BTCUSDT"):
        BYBIT.read_candles(body, asked)


def test_an_empty_window_is_an_empty_page():
    assert len(page_of([], asked_of(START, 5)).rows) == 0


def test_the_candle_that_contains_the_start_is_left_out():
    time, *values = DAY[1]
    before = [str(DAY[0][0]), *map(str, DAY[0][1:]), "1"]

    page = page_of([[str(time), *values, "1"], before], asked_of(time, 5))

    assert list(page.columns[0]) == [time]


@pytest.mark.parametrize("cell", [1, None, "", "-1", "1e3", "１"])
def test_a_time_that_is_no_text_of_digits_proves_nothing(cell):
    asked = asked_of(START, 2)
    checked = check_page(page_of([[cell, "1", "1", "1", "1", "1", "1"]], asked), asked.series, asked.span)

    assert len(checked.candles) == 0


# The listing and the clock


def test_the_documented_listing_is_read():
    listing = BYBIT.read_listing(answer("bybit_instruments_linear.json"))

    assert listing.instruments == {
        "BTCUSDT": Instrument("BTCUSDT", "Trading", 1_585_526_400_000, None, "USDT", "perpetual")
    }
    assert (listing.odd, listing.unreadable, listing.more) == ({}, 0, [])


def entry(symbol="BTCUSDT", **changes):
    return {
        "symbol": symbol,
        "contractType": "LinearPerpetual",
        "status": "Trading",
        "quoteCoin": "USDT",
        "launchTime": "1585526400000",
        "deliveryTime": "0",
        **changes,
    }


def listing_of(*entries, cursor=""):
    return BYBIT.read_listing(said(result={"list": list(entries), "nextPageCursor": cursor}))


@pytest.mark.parametrize(("status", "asked"), [("Trading", None), ("Closed", "Closed"), ("PreLaunch", "PreLaunch")])
def test_the_next_page_is_asked_for_with_the_status_of_this_one(status, asked):
    (request,) = listing_of(entry(status=status), cursor="first=BTC&x=" + "y" * 60).more

    assert dict(request.query).get("status") == asked
    assert dict(request.query)["cursor"] == "first=BTC&x=" + "y" * 60


def test_a_closed_contract_ends_at_its_delivery():
    listing = listing_of(entry(status="Closed", deliveryTime="1700000000000"))

    one = listing.instruments["BTCUSDT"]
    assert (one.trades, iso(one.end_ms)) == (False, "2023-11-14T22:13:20Z")


@pytest.mark.parametrize(
    ("kind", "shown"), [("LinearPerpetual", "perpetual"), ("LinearFutures", "LinearFutures"), (7, "")]
)
def test_a_contract_that_ends_is_no_perpetual(kind, shown):
    assert listing_of(entry(contractType=kind)).instruments["BTCUSDT"].kind == shown


@pytest.mark.parametrize("time", ["x", [], "-5", True, {}])
def test_a_date_that_is_none_costs_that_date(time):
    listing = listing_of(entry(launchTime=time), entry("ETHUSDT"))

    assert listing.instruments["BTCUSDT"].first_ms is None
    assert listing.instruments["ETHUSDT"].first_ms == 1_585_526_400_000
    assert listing.odd == {"BTCUSDT": "has a launchTime that is no time"}


def test_entries_without_a_symbol_are_counted():
    assert listing_of(entry(), entry(None), 7, {}).unreadable == 3


def test_the_documented_clock_is_read():
    assert BYBIT.read_clock(answer("bybit_time.json")) == 1_688_639_403_423


# Verdicts


@pytest.mark.parametrize(
    ("name", "status", "meaning", "reason", "wait_s"),
    [
        ("bybit_kline_ok.json", 200, Meaning.OK, "", None),
        ("bybit_error_10001_symbol.json", 200, Meaning.REFUSED, "unknown_symbol", None),
        ("bybit_error_10006.json", 200, Meaning.LIMITED, "rate_limited", None),
        ("bybit_error_403.txt", 403, Meaning.BANNED, "banned", 600.0),
    ],
)
def test_documented_answers_mean_what_they_say(name, status, meaning, reason, wait_s):
    verdict = BYBIT.judge(answer(name, status))

    assert (verdict.meaning, verdict.reason, verdict.wait_s) == (meaning, reason, wait_s)


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (10000, Meaning.PASSING),
        (10001, Meaning.REFUSED),
        (10002, Meaning.PASSING),
        (10009, Meaning.BANNED),
        (10016, Meaning.PASSING),
        (10017, Meaning.REFUSED),
        (10018, Meaning.LIMITED),
        (10024, Meaning.BLOCKED),
        (10029, Meaning.REFUSED),
        (99999, Meaning.REFUSED),
    ],
)
def test_every_documented_code_has_a_meaning(code, meaning):
    assert BYBIT.judge(said(code=code, text="x")).meaning is meaning


@pytest.mark.parametrize(
    ("body", "meaning", "reason"),
    [
        (b"403, access too frequent", Meaning.BANNED, "banned"),
        (b"<html>configured to block access from your country</html>", Meaning.BLOCKED, REGION),
        (b"<html><title>403 Forbidden</title></html>", Meaning.BLOCKED, "firewall"),
        (b"", Meaning.BLOCKED, "firewall"),
    ],
)
def test_a_403_is_a_limit_or_a_region_by_its_text_and_else_a_firewall(body, meaning, reason):
    verdict = BYBIT.judge(Answer(403, {}, body))

    assert (verdict.meaning, verdict.reason) == (meaning, reason)
