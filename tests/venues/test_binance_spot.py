"""What is different of Binance's spot market, on files and answers whose provenance is in the README beside them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import orjson
import pytest

from laklak.archives import ARCHIVES, BadFile
from laklak.archives.csv import read_csv, read_file
from laklak.model.series import Instrument, Interval, Series, TimeRange
from laklak.plan.rows import check_page
from laklak.venues import VENUES
from laklak.venues.base import Answer, Asked, Meaning, unlisted

FOLDER = Path(__file__).parents[1] / "recorded" / "binance_spot"
SPOT, FILES = VENUES["binance_spot"], ARCHIVES["binance_spot"]
START = 1_637_971_200_000
MICROSECONDS = (FOLDER / "files" / "binance_vision_spot_klines_microseconds.csv").read_bytes()
NEW_YEAR = 1_735_689_600_000
HOURS = Series("binance_spot", "DOCUSDT", Interval.parse("1h"))


def asked_of(count, start=START, interval="1m", symbol="ADABTC"):
    series = Series("binance_spot", symbol, Interval.parse(interval))
    return Asked(series, unlisted(symbol), TimeRange(start, start + count * series.interval.ms))


def judge(status, code, headers=None):
    return SPOT.judge(Answer(status, headers or {}, orjson.dumps({"code": code, "msg": "words"})))


# Requests


@pytest.mark.parametrize("rows", [1, 99, 100, 1000])
def test_a_page_costs_two_whatever_it_holds(rows):
    request = SPOT.candles_request(asked_of(rows))

    assert (request.path, request.cost) == ("/api/v3/klines", {"weight": 2})
    assert request.query == (
        ("symbol", "ADABTC"),
        ("interval", "1m"),
        ("startTime", str(START)),
        ("endTime", str(START + (rows - 1) * 60_000)),
        ("limit", str(rows)),
    )


def test_a_page_is_a_thousand_rows_of_an_account_of_its_own():
    assert SPOT.page.rows == 1000
    assert SPOT.quotas["weight"].units == 6000
    assert SPOT.pool != VENUES["binance"].pool


def test_the_listing_is_paid_at_the_dearer_of_its_documented_weights():
    (request,) = SPOT.listing_requests(["ADABTC"])

    assert (request.path, request.cost) == ("/api/v3/exchangeInfo", {"weight": 20})


# Answers


def test_the_documented_listing_is_one_of_pairs_without_dates():
    listing = SPOT.read_listing(Answer(200, {}, (FOLDER / "answers" / "exchangeInfo.json").read_bytes()))

    assert listing.instruments == {"ETHBTC": Instrument("ETHBTC", "TRADING", None, None, "BTC", "pair")}
    assert (listing.quotas, listing.odd, listing.unreadable) == ({"weight": 6000}, {}, 0)


@pytest.mark.parametrize(("status", "trades"), [("TRADING", True), ("BREAK", False), ("HALT", False)])
def test_a_pair_on_a_break_does_not_trade(status, trades):
    body = orjson.dumps({"symbols": [{"symbol": "ETHBTC", "status": status, "quoteAsset": "BTC"}]})

    assert SPOT.read_listing(Answer(200, {}, body)).instruments["ETHBTC"].trades is trades


def test_the_documented_row_is_read():
    page = SPOT.read_candles(Answer(200, {}, (FOLDER / "answers" / "klines.json").read_bytes()), asked_of(1))

    assert [column[0] for column in page.columns] == [
        1499040000000, "0.01634790", "0.80000000", "0.01575800", "0.01577100", "148976.11427815"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "code", "meaning", "reason"),
    [
        (400, -1121, Meaning.REFUSED, "unknown_symbol"),
        (400, -1122, Meaning.REFUSED, "symbol_status"),
        (400, -1100, Meaning.REFUSED, "refused"),
        (429, -1003, Meaning.LIMITED, "rate_limited"),
        (418, -1003, Meaning.BANNED, "banned"),
        (503, -1008, Meaning.PASSING, "http_503"),
    ],
)
def test_its_errors_mean_what_those_of_the_futures_do(status, code, meaning, reason):
    verdict = judge(status, code, {"Retry-After": "7"})

    assert (verdict.meaning, verdict.reason) == (meaning, reason)
    if status in (429, 418):
        assert verdict.wait_s == 7.0


# Files


def of_rest(lines):
    """The rows of a file as the API would answer them."""
    rows = [line.split(",") for line in lines]
    return [[int(cell) if place in (0, 6, 8) else cell for place, cell in enumerate(row)] for row in rows]


@pytest.mark.parametrize(("day", "rows"), [("2021-11-27", 10), ("2021-11-28", 11)])
def test_a_recorded_file_gives_what_the_api_gives_to_the_last_digit(day, rows):
    csv = (FOLDER / "files" / f"ADABTC-1m-{day}.csv").read_bytes()
    lines = csv.decode().splitlines()
    asked = asked_of(rows, int(lines[0].split(",")[0]))
    file = FILES.day_file(asked.series, asked.span.start_ms)

    read = read_csv(csv, file, FILES)
    answered = check_page(
        SPOT.read_candles(Answer(200, {}, orjson.dumps(of_rest(lines))), asked), asked.series, asked.span
    )

    assert file.path == f"/data/spot/daily/klines/ADABTC/1m/ADABTC-1m-{day}.zip"
    assert not read.refusals
    assert not answered.refusals
    for found in (read.candles, answered.candles):
        assert list(found.open_times) == [int(line.split(",")[0]) for line in lines]
        assert list(zip(*found.texts, strict=True)) == [tuple(line.split(",")[1:6]) for line in lines]


def test_a_zip_as_it_was_published_is_read():
    body = (FOLDER / "files" / "spot-klines-BTCUSDT-1h-2024-10-28.zip").read_bytes()
    file = FILES.day_file(Series("binance_spot", "BTCUSDT", Interval.parse("1h")), 1_730_073_600_000)

    read = read_file(body, file, FILES, hashlib.sha256(body).hexdigest())

    assert (len(read.candles), read.refusals) == (24, ())
    assert [column[0] for column in read.candles.texts] == [
        "68021.69000000", "68116.78000000", "67839.90000000", "67859.91000000", "555.35912000"
    ]  # fmt: skip


def test_microseconds_are_divided_exactly():
    read = read_csv(MICROSECONDS, FILES.day_file(HOURS, NEW_YEAR), FILES)

    assert list(read.candles.open_times) == [NEW_YEAR]
    assert [column[0] for column in read.candles.texts] == [
        "4.15070000", "4.15870000", "4.15060000", "4.15540000", "539.23000000"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("stamp", "said"),
    [
        (b"1735689600000001", "part of a millisecond"),
        (b"1735689600000999", "part of a millisecond"),
        (b"1735689600001000", "not on the grid"),
        (b"1735689660000000", "not on the grid"),
        (b"1735689599999999", "part of a millisecond"),
        (b"1735776000000000", "cells are not in the order|another period"),
        (b"17356896000000000", "cells are not in the order|another period"),
    ],
)
def test_a_stamp_that_opens_no_candle_of_its_file_is_refused_with_the_file(stamp, said):
    with pytest.raises(BadFile, match=said):
        read_csv(MICROSECONDS.replace(b"1735689600000000", stamp), FILES.day_file(HOURS, NEW_YEAR), FILES)


def test_files_of_2017_are_asked_for():
    assert FILES.first_ms < 1_502_928_000_000
