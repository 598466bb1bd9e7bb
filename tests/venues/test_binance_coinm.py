"""What is different of Binance's COIN-M futures, on files and answers whose provenance is in the README beside them."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from laklak.archives import ARCHIVES, BadFile
from laklak.archives.csv import read_csv
from laklak.model.series import DAY_MS, Instrument, Interval, Series, TimeRange
from laklak.plan.rows import check_page
from laklak.venues import VENUES
from laklak.venues.base import Answer, Asked, Meaning, unlisted
from laklak.wire.pools import pool_of

FOLDER = Path(__file__).parents[1] / "recorded" / "binance_coinm"
COINS, FILES = VENUES["binance_coinm"], ARCHIVES["binance_coinm"]
MINUTE = 1_591_258_320_000
CSV = (FOLDER / "files" / "binance_vision_cm_klines.csv").read_bytes()
DOCUMENTED = ["9640.7", "9642.4", "9640.6", "9642.0", "2.13660389"]


def asked_of(count, start=MINUTE, interval="1m", symbol="BTCUSD_PERP"):
    series = Series("binance_coinm", symbol, Interval.parse(interval))
    return Asked(series, unlisted(symbol), TimeRange(start, start + count * series.interval.ms))


def answer(name):
    return Answer(200, {}, (FOLDER / "answers" / name).read_bytes())


def file():
    return FILES.day_file(asked_of(1).series, MINUTE)


# Requests


def test_a_page_is_asked_for_by_both_ends_at_the_price_of_usd_m():
    request = COINS.candles_request(asked_of(499))

    assert (request.path, request.cost) == ("/dapi/v1/klines", {"weight": 2})
    assert dict(request.query) == {
        "symbol": "BTCUSD_PERP",
        "interval": "1m",
        "startTime": str(MINUTE),
        "endTime": str(MINUTE + 498 * 60_000),
        "limit": "499",
    }


@pytest.mark.parametrize("interval", COINS.intervals)
def test_the_largest_page_of_an_interval_spans_at_most_200_days(interval):
    rows = COINS.rows_of(asked_of(1, interval=interval).series)
    query = dict(COINS.candles_request(asked_of(rows, 0, interval)).query)

    assert int(query["endTime"]) - int(query["startTime"]) <= 200 * DAY_MS
    assert rows == min(1500, 200 * DAY_MS // Interval.parse(interval).ms)


def test_nothing_is_asked_with_one_end_alone():
    one = asked_of(1)

    assert COINS.first_candle_request(one) is None
    assert COINS.newest_candle_request(one) is None
    assert COINS.candles_until_request(one) is None


def test_its_weight_is_paid_from_the_account_of_usd_m():
    assert pool_of(COINS) == pool_of(VENUES["binance"])
    assert COINS.quotas == VENUES["binance"].quotas


# Answers


def test_the_recorded_listing_says_contract_status_and_its_weight_is_not_believed_beyond_the_account():
    listing = COINS.read_listing(answer("exchangeInfo.json"))

    assert listing.instruments == {
        "BTCUSD_PERP": Instrument("BTCUSD_PERP", "TRADING", 1_596_006_000_000, None, "USD", "perpetual")
    }
    assert listing.quotas == {"weight": 2400}


def test_a_weight_below_that_of_the_account_is_believed():
    body = orjson.loads((FOLDER / "answers" / "exchangeInfo.json").read_bytes())
    body["rateLimits"][0]["limit"] = 1200

    assert COINS.read_listing(Answer(200, {}, orjson.dumps(body))).quotas == {"weight": 1200}


@pytest.mark.parametrize(("status", "trades"), [("TRADING", True), ("SETTLING", False), ("PENDING_TRADING", False)])
def test_a_contract_trades_by_its_contract_status_alone(status, trades):
    body = orjson.dumps({"symbols": [{"symbol": "BTCUSD_PERP", "contractStatus": status, "status": "TRADING"}]})

    assert COINS.read_listing(Answer(200, {}, body)).instruments["BTCUSD_PERP"].trades is trades


def test_the_volume_of_the_documented_row_is_that_in_the_base_asset():
    asked = asked_of(1)
    checked = check_page(COINS.read_candles(answer("klines.json"), asked), asked.series, asked.span)

    assert [column[0] for column in checked.candles.texts] == DOCUMENTED


def test_a_row_whose_base_volume_is_no_number_is_refused_whatever_its_contracts_are():
    asked = asked_of(1)
    (row,) = orjson.loads((FOLDER / "answers" / "klines.json").read_bytes())
    row[7] = "-1"

    page = COINS.read_candles(Answer(200, {}, orjson.dumps([row])), asked)

    assert len(check_page(page, asked.series, asked.span).refusals) == 1


def test_too_wide_a_question_is_refused_for_good():
    body = orjson.dumps({"code": -4088, "msg": "Maximum time interval is 200 days."})

    assert COINS.judge(Answer(400, {}, body)).meaning is Meaning.REFUSED


# Files


@pytest.mark.parametrize("header", [True, False])
def test_the_volume_of_a_file_is_that_in_the_base_asset(header):
    read = read_csv(CSV if header else CSV.partition(b"\n")[2], file(), FILES)

    assert file().path == "/data/futures/cm/daily/klines/BTCUSD_PERP/1m/BTCUSD_PERP-1m-2020-06-04.zip"
    assert list(read.candles.open_times) == [MINUTE]
    assert [column[0] for column in read.candles.texts] == DOCUMENTED


def test_columns_behind_the_known_ones_change_nothing():
    lines = CSV.splitlines()
    wider = b"".join(line + more + b"\n" for line, more in zip(lines, (b",added", b",7"), strict=True))

    assert [column[0] for column in read_csv(wider, file(), FILES).candles.texts] == DOCUMENTED


def test_a_row_of_a_file_without_a_base_volume_is_refused_with_its_minute():
    more = CSV.replace(b"1591258320000", b"1591258380000").replace(b"1591258379999", b"1591258439999")
    csv = CSV.replace(b"2.13660389", b"") + more.partition(b"\n")[2]

    read = read_csv(csv, file(), FILES)

    assert [refusal.open_time_ms for refusal in read.refusals] == [MINUTE]
    assert list(read.candles.open_times) == [MINUTE + 60_000]


def test_a_file_of_contracts_alone_is_refused():
    with pytest.raises(BadFile):
        read_csv(b"".join(b",".join(line.split(b",")[:6]) + b"\n" for line in CSV.splitlines()), file(), FILES)


def test_its_landmark_is_its_own_oldest_contract():
    assert FILES.landmark(asked_of(1, symbol="ETHUSD_PERP").series).name == "BTCUSD_PERP-1m-2024-01.zip"
