"""Blofin's own ways, on answers that were documented; their provenance is in the README beside them."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from laklak.model.series import Instrument, Interval, Series, TimeRange
from laklak.plan.rows import check_page
from laklak.venues import VENUES
from laklak.venues.base import REGION, Answer, Asked, DecodeError, Meaning, unlisted

FOLDER = Path(__file__).parents[1] / "recorded" / "blofin" / "answers"
BLOFIN = VENUES["blofin"]
START = 1_703_484_240_000


def answer(name, status=200, headers=None):
    return Answer(status, headers or {}, (FOLDER / name).read_bytes())


def said(code="0", text="success", data=None, status=200):
    return Answer(status, {}, orjson.dumps({"code": code, "msg": text, "data": data or []}))


def asked_of(count, interval="1m", *, start=START, anywhere=False):
    series = Series("blofin", "ETH-USDT", Interval.parse(interval))
    span = TimeRange(start, start + count * series.interval.ms)
    return Asked(series, unlisted("ETH-USDT"), span, anywhere)


def row(open_ms=START, confirm="1", volume="8.35"):
    return [str(open_ms), "2283.45", "2283.45", "2282.8", "2282.8", "835", volume, "19063.9805", confirm]


# Requests


def test_both_bounds_lie_a_millisecond_beside_the_grid():
    request = BLOFIN.candles_request(asked_of(1440, "1h", start=0))

    assert request.path == "/api/v1/market/candles"
    assert request.query == (
        ("instId", "ETH-USDT"),
        ("bar", "1H"),
        ("before", "-1"),
        ("after", str(1439 * 3_600_000 + 1)),
        ("limit", "1440"),
    )


def test_every_request_pays_both_quotas_of_which_four_fifths_are_ours():
    assert BLOFIN.candles_request(asked_of(1)).cost == dict.fromkeys(BLOFIN.quotas, 1)
    assert [(quota.ours, quota.seconds) for quota in BLOFIN.quotas.values()] == [(400, 60.0), (1200, 300.0)]


def test_the_newest_candle_is_asked_for_without_times_and_the_last_ones_without_a_beginning():
    assert dict(BLOFIN.newest_candle_request(asked_of(1)).query).keys() == {"instId", "bar", "limit"}
    assert dict(BLOFIN.candles_until_request(asked_of(2)).query).keys() == {"instId", "bar", "after", "limit"}


# Candles


def test_the_documented_candle_is_read_with_its_volume_in_the_base_coin():
    asked = asked_of(1)

    checked = check_page(BLOFIN.read_candles(answer("blofin_candles_ok.json"), asked), asked.series, asked.span)

    assert list(checked.candles.open_times) == [START]
    assert [column[0] for column in checked.candles.texts] == ["2283.45", "2283.45", "2282.8", "2282.8", "8.35"]


def test_a_candle_that_is_still_forming_is_left_out():
    page = BLOFIN.read_candles(answer("blofin_candles_two_rows_constructed.json"), asked_of(2))

    assert list(page.columns[0]) == [START]


def test_the_newest_candle_may_be_forming_where_just_that_is_asked():
    page = BLOFIN.read_candles(said(data=[row(confirm="0")]), asked_of(1, anywhere=True))

    assert list(page.columns[0]) == [START]


@pytest.mark.parametrize("confirm", ["2", 1, None, "", True])
def test_a_row_that_does_not_say_whether_it_is_closed_is_no_answer(confirm):
    with pytest.raises(DecodeError, match="expected 0 or 1 at the end of a row"):
        BLOFIN.read_candles(said(data=[row(confirm=confirm)]), asked_of(1))


def test_rows_newest_first_become_candles_oldest_first():
    times = [START + minute * 60_000 for minute in range(5)]

    page = BLOFIN.read_candles(said(data=[row(time_ms) for time_ms in reversed(times)]), asked_of(5))

    assert list(page.columns[0]) == times


def test_a_row_that_is_too_short_is_refused_by_itself():
    asked = asked_of(2)
    page = BLOFIN.read_candles(said(data=[row(START + 60_000), row()[:7]]), asked)

    checked = check_page(page, asked.series, asked.span)

    assert (list(checked.candles.open_times), len(checked.refusals)) == ([START + 60_000], 1)


def test_an_empty_window_is_an_empty_page():
    assert len(BLOFIN.read_candles(answer("blofin_candles_empty.json"), asked_of(5)).rows) == 0


# The listing


def test_the_documented_listing_is_read_and_its_expiry_is_no_end():
    listing = BLOFIN.read_listing(answer("blofin_instruments.json"))

    assert listing.instruments == {
        "BTC-USDT": Instrument("BTC-USDT", "TRADING", 1_638_333_031_000, None, "USDT", "perpetual")
    }
    assert (listing.odd, listing.unreadable) == ({}, 0)


@pytest.mark.parametrize("time", ["x", [], "-5", True, {}])
def test_a_date_that_is_none_costs_that_date(time):
    listing = BLOFIN.read_listing(said(data=[{"instId": "BTC-USDT", "listTime": time}, 7, {}]))

    assert listing.instruments["BTC-USDT"].first_ms is None
    assert (listing.odd, listing.unreadable) == ({"BTC-USDT": "has a listTime that is no time"}, 2)


def test_a_contract_that_is_suspended_does_not_trade():
    listing = BLOFIN.read_listing(said(data=[{"instId": "BTC-USDT", "state": "suspend"}]))

    assert not listing.instruments["BTC-USDT"].trades


# Verdicts


@pytest.mark.parametrize(
    ("name", "status", "meaning", "reason"),
    [
        ("blofin_candles_ok.json", 200, Meaning.OK, ""),
        ("blofin_error_152002.json", 200, Meaning.REFUSED, "refused"),
        ("blofin_error_152014.json", 200, Meaning.REFUSED, "unknown_symbol"),
        ("blofin_error_429.json", 429, Meaning.LIMITED, "rate_limited"),
        ("blofin_error_429.json", 200, Meaning.LIMITED, "rate_limited"),
    ],
)
def test_documented_answers_mean_what_they_say(name, status, meaning, reason):
    verdict = BLOFIN.judge(answer(name, status))

    assert (verdict.meaning, verdict.reason) == (meaning, reason)


@pytest.mark.parametrize(
    ("code", "status", "meaning"),
    [
        ("152001", 200, Meaning.REFUSED),
        ("152002", 400, Meaning.REFUSED),
        ("152015", 200, Meaning.REFUSED),
        ("404", 404, Meaning.REFUSED),
        ("500", 200, Meaning.PASSING),
        ("500", 500, Meaning.PASSING),
        ("99999", 200, Meaning.REFUSED),
        (None, 200, Meaning.PASSING),
        ("0", 502, Meaning.PASSING),
    ],
)
def test_every_documented_code_has_a_meaning(code, status, meaning):
    assert BLOFIN.judge(said(code, "x", status=status)).meaning is meaning


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<html>Service is not available in restricted countries or regions</html>", REGION),
        (b"<html><title>403 Forbidden</title></html>", "firewall"),
        (b"", "firewall"),
    ],
)
def test_a_403_is_a_region_by_its_text_and_else_a_firewall(body, reason):
    verdict = BLOFIN.judge(Answer(403, {}, body))

    assert (verdict.meaning, verdict.reason) == (Meaning.BLOCKED, reason)
