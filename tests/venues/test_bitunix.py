"""Bitunix's own ways, on answers that were recorded or documented; their provenance is in the README beside them."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from laklak.model.series import Instrument, Interval, Series, TimeRange
from laklak.plan.rows import check_page
from laklak.venues import VENUES
from laklak.venues.base import Answer, Asked, DecodeError, Meaning, unlisted

FOLDER = Path(__file__).parents[1] / "recorded" / "bitunix"
BITUNIX = VENUES["bitunix"]
RECORDED = orjson.loads((FOLDER / "futures_kline_1m_BTCUSDT.json").read_bytes())
START = int(RECORDED[-1]["time"])


def answer(name, status=200):
    return Answer(status, {}, (FOLDER / "answers" / name).read_bytes())


def asked_of(start, count, interval="1m"):
    series = Series("bitunix", "BTCUSDT", Interval.parse(interval))
    return Asked(series, unlisted("BTCUSDT"), TimeRange(start, start + count * series.interval.ms))


def page_of(rows, asked=None):
    body = orjson.dumps({"code": 0, "data": rows, "msg": "Success"})
    return BITUNIX.read_candles(Answer(200, {}, body), asked or asked_of(START, 5))


def row(**changes):
    return {**RECORDED[-1], **changes}


def test_it_asks_for_the_span_with_an_end_that_is_exclusive_and_a_start_that_is_right_either_way():
    request = BITUNIX.candles_request(asked_of(START, 200))

    assert request.path == "/api/v1/futures/market/kline"
    assert request.query == (
        ("symbol", "BTCUSDT"),
        ("interval", "1m"),
        ("startTime", str(START - 1)),
        ("endTime", str(START + 200 * 60_000)),
        ("limit", "200"),
    )


def test_eight_of_ten_requests_a_second_are_ours():
    assert (BITUNIX.quotas["requests"].ours, BITUNIX.quotas["requests"].seconds) == (8, 1.0)


def test_recorded_rows_become_candles_whose_volume_is_quote_vol_to_the_last_digit():
    asked = asked_of(START, 5)

    checked = check_page(page_of(RECORDED), asked.series, asked.span)

    assert not checked.refusals
    assert list(checked.candles.open_times) == [START + minute * 60_000 for minute in range(5)]
    keys = ("open", "high", "low", "close", "quoteVol")
    assert list(zip(*checked.candles.texts, strict=True)) == [
        tuple(one[key] for key in keys) for one in reversed(RECORDED)
    ]


def test_the_documented_numbers_are_read_as_the_texts_of_live_answers_are():
    page = BITUNIX.read_candles(answer("bitunix_kline_docs_example.json"), asked_of(0, 5))

    assert [column[0] for column in page.columns] == [111_111, 60_000, 60_001, 59_989.2, 60_000, "1"]


def test_an_empty_answer_is_an_empty_page():
    assert not BITUNIX.read_candles(answer("bitunix_kline_empty.json"), asked_of(START, 5)).rows


def test_a_page_whose_volumes_are_the_other_way_round_is_refused():
    with pytest.raises(DecodeError, match="expected quoteVol to be coins"):
        BITUNIX.read_candles(answer("bitunix_kline_ccxt_fixture.json"), asked_of(1_700_000_000_000, 5))


def test_a_page_is_judged_by_its_volume_and_not_by_each_row():
    swapped = row(quoteVol="0.01", baseVol="1")

    assert len(page_of([*RECORDED[:4], swapped]).rows) == 5


@pytest.mark.parametrize(
    "changes",
    [
        {"quoteVol": "0", "baseVol": "0"},
        {"quoteVol": "0", "baseVol": "12.5"},
        {"quoteVol": "3", "baseVol": "0"},
        {"open": "1", "high": "1.01", "low": "0.99", "close": "1", "quoteVol": "5", "baseVol": "5"},
        {"quoteVol": "0.001", "baseVol": "100"},
        {"quoteVol": None},
        {"quoteVol": "x"},
    ],
)
def test_pages_that_say_nothing_or_are_rounded_take_quote_vol(changes):
    assert page_of([row(**changes)]).columns[5][0] == row(**changes)["quoteVol"]


@pytest.mark.parametrize("wrong", [7, None, [], {}, {"time": str(START)}])
def test_a_row_of_another_shape_costs_itself(wrong):
    asked = asked_of(START, 5)

    checked = check_page(page_of([*RECORDED[:4], wrong]), asked.series, asked.span)

    assert (len(checked.candles), len(checked.refusals)) == (4, 1)


def test_a_contract_that_is_open_trades_and_others_do_not():
    listing = BITUNIX.read_listing(answer("bitunix_trading_pairs.json"))
    assert listing.instruments == {"BTCUSDT": Instrument("BTCUSDT", "TRADING", None, None, "USDT", "perpetual")}

    body = orjson.dumps({"code": 0, "data": [{"symbol": "XUSDT", "symbolStatus": "STOP"}, {}, 7]})
    listing = BITUNIX.read_listing(Answer(200, {}, body))
    assert (listing.instruments["XUSDT"].trades, listing.unreadable) == (False, 2)


@pytest.mark.parametrize(
    ("name", "meaning", "reason"),
    [
        ("bitunix_kline_empty.json", Meaning.OK, ""),
        ("bitunix_error_10006.json", Meaning.LIMITED, "rate_limited"),
        ("bitunix_error_20015_unknown_symbol.json", Meaning.REFUSED, "unknown_symbol"),
        ("bitunix_error_1_missing_param.json", Meaning.PASSING, "network"),
        ("bitunix_error_404_path.json", Meaning.REFUSED, "refused"),
        ("bitunix_error_10008_bad_value.json", Meaning.REFUSED, "refused"),
    ],
)
def test_documented_answers_mean_what_they_say(name, meaning, reason):
    verdict = BITUNIX.judge(answer(name))

    assert (verdict.meaning, verdict.reason) == (meaning, reason)


@pytest.mark.parametrize("code", [10005, 10006])
def test_over_the_limit_it_is_left_alone_for_a_second_and_asked_at_half_the_pace_for_a_minute(code):
    verdict = BITUNIX.judge(Answer(200, {}, orjson.dumps({"code": code, "data": None, "msg": "x"})))

    assert (verdict.meaning, verdict.wait_s, verdict.slower_s) == (Meaning.LIMITED, 1.0, 60.0)
