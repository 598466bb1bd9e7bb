"""Binance's own ways, on answers that were recorded or documented; their provenance is in the README beside them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import orjson
import pytest

from laklak.model.series import MINUTE_MS, Instrument, Interval, Series, TimeRange
from laklak.plan.chunks import best_page
from laklak.plan.rows import check_page
from laklak.venues import VENUES
from laklak.venues.base import Answer, Asked, DecodeError, Meaning, unlisted

ANSWERS = Path(__file__).parents[1] / "recorded" / "binance" / "answers"
BINANCE = VENUES["binance"]
START = 1_700_000_040_000


def answer(name):
    path = ANSWERS / name
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def asked_of(count, interval="1m", symbol="BTCUSDT", start=START):
    series = Series("binance", symbol, Interval.parse(interval))
    return Asked(series, unlisted(symbol), TimeRange(start, start + count * series.interval.ms))


def page_of(body):
    return BINANCE.read_candles(Answer(200, {}, body), asked_of(2))


def listing_of(body):
    return BINANCE.read_listing(Answer(200, {}, body))


def judge(status, headers, body):
    return BINANCE.judge(Answer(status, headers, body))


def used_of(headers):
    return BINANCE.used(Answer(200, headers, b"")).get("weight")


# Requests

RECORDED_REQUESTS = json.loads((ANSWERS.parent / "requests.json").read_text())


def test_it_asks_what_it_always_asked():
    """Path, query and cost of every kind of request, as they were before adapters had today's protocol."""
    for one in RECORDED_REQUESTS:
        if one["kind"] in ("listing", "clock"):
            request = BINANCE.clock_request() if one["kind"] == "clock" else BINANCE.listing_requests(())[0]
        else:
            series = Series("binance", one["symbol"], Interval.parse(one["interval"]))
            asked = Asked(series, unlisted(one["symbol"]), TimeRange(one["start_ms"], one["end_ms"]))
            ask = {
                "candles": BINANCE.candles_request,
                "first": BINANCE.first_candle_request,
                "newest": BINANCE.newest_candle_request,
                "until": BINANCE.candles_until_request,
            }[one["kind"]]
            request = ask(asked)

        assert (request.path, [list(pair) for pair in request.query]) == (one["path"], one["query"])
        assert request.cost == {"weight": one["weight"]}
    assert {one["kind"] for one in RECORDED_REQUESTS} == {"candles", "first", "newest", "until", "listing", "clock"}


def test_a_chunk_is_asked_with_inclusive_ends_and_its_own_size_as_limit():
    request = BINANCE.candles_request(asked_of(499))

    assert request.path == "/fapi/v1/klines"
    assert dict(request.query) == {
        "symbol": "BTCUSDT",
        "interval": "1m",
        "startTime": str(START),
        "endTime": str(START + 498 * MINUTE_MS),
        "limit": "499",
    }


@pytest.mark.parametrize(
    ("candles", "weight"), [(1, 1), (99, 1), (100, 2), (499, 2), (500, 5), (1000, 5), (1001, 10), (1500, 10)]
)
def test_weight_goes_by_the_limit(candles, weight):
    assert BINANCE.candles_request(asked_of(candles)).cost == {"weight": weight}


def test_499_candles_are_the_best_page():
    assert best_page(BINANCE.page.steps) == 499


def test_the_first_candle_is_asked_by_its_start_alone():
    request = BINANCE.first_candle_request(asked_of(1, start=0))

    assert dict(request.query) == {"symbol": "BTCUSDT", "interval": "1m", "startTime": "0", "limit": "1"}
    assert request.cost == {"weight": 1}


def test_candles_until_a_moment_are_asked_by_their_end_alone():
    request = BINANCE.candles_until_request(asked_of(2, start=START - MINUTE_MS))

    assert dict(request.query) == {
        "symbol": "BTCUSDT", "interval": "1m", "endTime": str(START + MINUTE_MS - 1), "limit": "2"
    }  # fmt: skip
    assert request.cost == {"weight": 1}


@pytest.mark.parametrize("interval", ["1m", "4h", "1d"])
def test_the_end_is_the_last_open_time(interval):
    asked = asked_of(10, interval, start=1_699_920_000_000)

    assert dict(BINANCE.candles_request(asked).query)["endTime"] == str(asked.span.end_ms - asked.series.interval.ms)


# Candles


def test_a_documented_answer_becomes_a_page():
    page = page_of(answer("binance_klines_ok.json"))

    assert [column[0] for column in page.columns] == [
        1499040000000, "0.01634790", "0.80000000", "0.01575800", "0.01577100", "148976.11427815"
    ]  # fmt: skip
    assert len(page.rows[0]) == 12


def test_candles_keep_the_digits_of_the_venue():
    page = page_of(answer("binance_klines_1m_two_rows_constructed.json"))

    checked = check_page(page, asked_of(2).series, asked_of(2).span)

    assert not checked.refusals
    assert [list(column) for column in checked.candles.texts] == [
        ["37000.00", "37005.00"],
        ["37010.50", "37005.00"],
        ["36990.10", "37005.00"],
        ["37005.00", "37005.00"],
        ["123.456", "0.000"],
    ]


def test_an_empty_answer_is_an_empty_page():
    page = page_of(answer("binance_klines_empty.json"))

    assert (len(page.rows), [len(column) for column in page.columns]) == (0, [0] * 6)


@pytest.mark.parametrize(
    "row",
    [
        [START, "1", "2", "1", "1", "5"],
        [START, "1", "2", "1", "1", "5", *[0] * 7],
        [START],
        [],
        None,
        7,
        "row",
        {"0": START},
    ],
)
def test_a_row_of_another_shape_is_refused_and_spoils_no_other(row):
    good = orjson.loads(answer("binance_klines_1m_two_rows_constructed.json"))
    body = orjson.dumps([good[0], row, good[1]])

    checked = check_page(page_of(body), asked_of(2).series, TimeRange(START - MINUTE_MS, START + 2 * MINUTE_MS))

    assert len(checked.refusals) >= 1
    assert orjson.loads(checked.refusals[0].row) == row
    assert START + MINUTE_MS in checked.candles.open_times


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[",
        b"{}",
        b"null",
        b'"x"',
        b"<html></html>",
        b"[[1,2],",
        b"\xff",
        b'{"code":-1121,"msg":"Invalid symbol."}',
    ],
)
def test_a_body_that_is_no_list_of_candles_is_no_answer(body):
    with pytest.raises(DecodeError):
        page_of(body)


# Listing


def test_the_listing_of_production_is_read():
    listing = listing_of(answer("exchangeInfo-20210906T131338Z.json.gz"))

    assert listing.quotas == {"weight": 2400}
    assert len(listing.instruments) == 133
    assert listing.instruments["BTCUSDT"] == Instrument(
        "BTCUSDT", "TRADING", 1569398400000, None, "USDT", "perpetual", "COIN"
    )


def test_contracts_with_an_end_have_one_and_perpetuals_none():
    listing = listing_of(answer("exchangeInfo-20210906T131338Z.json.gz"))

    ending = {name: one.end_ms for name, one in listing.instruments.items() if one.end_ms is not None}
    assert ending == {"BTCUSDT_210924": 1632470400000, "ETHUSDT_210924": 1632470400000}


def test_a_listing_with_delisted_and_chinese_symbols_is_read():
    listing = listing_of(answer("exchangeInfo-20260331T084349Z.json.gz"))

    assert listing.quotas == {"weight": 6000}
    assert len(listing.instruments) == 705
    ended = [one for one in listing.instruments.values() if one.end_ms is not None]
    assert len(ended) == 68
    assert any(not name.isascii() for name in listing.instruments)


def test_never_is_never_even_two_seconds_later():
    entry = {"symbol": "X", "status": "TRADING", "onboardDate": 5, "deliveryDate": 4133404802000}

    listing = listing_of(orjson.dumps({"symbols": [entry]}))

    assert listing.instruments["X"] == Instrument("X", "TRADING", 5, None)
    assert listing.quotas == {}


def test_a_listing_without_dates_is_taken():
    listing = listing_of(b'{"symbols":[{"symbol":"X"}]}')

    assert listing.instruments["X"] == Instrument("X", "", None, None)


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{}",
        b'{"symbols":{}}',
    ],
)
def test_a_listing_that_makes_no_sense_is_no_answer(body):
    with pytest.raises(DecodeError):
        listing_of(body)


@pytest.mark.parametrize(
    "entry", [1, None, [], {}, {"symbol": 5}, {"symbol": ""}, {"symbol": "A B"}, {"symbol": "A/../B"}, {"status": "X"}]
)
def test_an_entry_that_names_no_symbol_costs_itself_alone(entry):
    listing = listing_of(orjson.dumps({"symbols": [entry, {"symbol": "X", "status": 7}]}))

    assert (listing.instruments, listing.unreadable) == ({"X": Instrument("X", "", None, None)}, 1)


@pytest.mark.parametrize("key", ["onboardDate", "deliveryDate"])
@pytest.mark.parametrize("value", ["soon", -1, 0, 1.5, True, False, [], {}, "1569398400000"])
def test_a_date_that_is_none_costs_itself_alone_and_is_told(key, value):
    listing = listing_of(orjson.dumps({"symbols": [{"symbol": "X", "status": "TRADING", key: value}]}))

    assert listing.instruments == {"X": Instrument("X", "TRADING", None, None)}
    assert listing.odd["X"].startswith(f"has the {key} ")


def test_of_two_entries_with_the_same_symbol_the_first_one_counts():
    entries = [{"symbol": "X", "status": "TRADING"}, {"symbol": "X", "status": "BREAK"}]

    listing = listing_of(orjson.dumps({"symbols": entries}))

    assert listing.instruments == {"X": Instrument("X", "TRADING", None, None)}
    assert "listed twice" in listing.odd["X"]


def test_two_entries_that_say_the_same_are_not_odd():
    assert listing_of(b'{"symbols":[{"symbol":"X"},{"symbol":"X"}]}').odd == {}


def test_two_answers_together_list_what_either_lists():
    first, second = (listing_of(orjson.dumps({"symbols": [{"symbol": one}]})) for one in "XY")

    assert set(first.together(second).instruments) == {"X", "Y"}


def test_a_listing_in_the_future_is_no_date_and_odd_for_what_trades():
    entries = [
        {"symbol": "X", "status": "TRADING", "onboardDate": 2_000},
        {"symbol": "Y", "status": "PENDING_TRADING", "onboardDate": 2_000},
        {"symbol": "Z", "status": "TRADING", "onboardDate": 10**18},
        {"symbol": "W", "status": "TRADING", "onboardDate": 500},
    ]

    listing = listing_of(orjson.dumps({"symbols": entries})).by_clock(1_000)

    assert {name: one.first_ms for name, one in listing.instruments.items()} == {
        "X": None,
        "Y": None,
        "Z": None,
        "W": 500,
    }
    assert set(listing.odd) == {"X", "Z"}


@pytest.mark.parametrize(
    ("limits", "weight"),
    [
        ([{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 1200}], 1200),
        ([{"rateLimitType": "ORDERS", "interval": "MINUTE", "intervalNum": 1, "limit": 1200}], None),
        ([{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 5, "limit": 9000}], None),
        ([{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 0}], None),
        ([{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": "2400"}], None),
        ([], None),
        (None, None),
        ("x", None),
        ([None, 7], None),
    ],
)
def test_the_advertised_weight_is_the_request_weight_of_one_minute(limits, weight):
    body = orjson.dumps({"symbols": [], "rateLimits": limits})

    assert listing_of(body).quotas.get("weight") == weight


# Clock


def test_the_clock_is_read():
    assert BINANCE.read_clock(Answer(200, {}, answer("binance_time.json"))) == 1499827319559


@pytest.mark.parametrize("time", ["null", "0", "-5", "1.5", '"1499827319559"', "true", "99999999999999"])
def test_a_clock_that_makes_no_sense_is_no_answer(time):
    with pytest.raises(DecodeError):
        BINANCE.read_clock(Answer(200, {}, b'{"serverTime":' + time.encode() + b"}"))


# Headers


@pytest.mark.parametrize(("text", "used"), [("7", 7), ("2399", 2399), ("0", 0), ("", None), ("x", None), ("-1", None)])
def test_the_used_weight_is_a_plain_number(text, used):
    assert used_of({"X-MBX-USED-WEIGHT-1M": text}) == used


@pytest.mark.parametrize("text", ["\u0661", "1e3", "1" * 30, " 7 ", "7.0"])
def test_a_used_weight_of_another_kind_is_none(text):
    assert used_of({"X-MBX-USED-WEIGHT-1M": text}) is None
    assert used_of({}) is None


@pytest.mark.parametrize(
    ("text", "seconds"), [("30", 30), (" 5 ", 5), ("0", 0), ("soon", None), ("-1", None), ("", None)]
)
@pytest.mark.parametrize("status", [418, 429, 403])
def test_retry_after_is_read_where_it_is_seconds(status, text, seconds):
    assert judge(status, {"Retry-After": text}, b"").wait_s == seconds


# What refusals mean


@pytest.mark.parametrize(
    ("name", "status", "meaning", "reason"),
    [
        ("binance_error_-1121_http400.json", 400, Meaning.REFUSED, "unknown_symbol"),
        ("binance_error_-1122_http400.json", 400, Meaning.REFUSED, "symbol_status"),
        ("binance_error_-1120_http400.json", 400, Meaning.REFUSED, "refused"),
        ("binance_error_-1100_http400.json", 400, Meaning.REFUSED, "refused"),
        ("binance_error_-1102_http400.json", 400, Meaning.REFUSED, "refused"),
        ("binance_error_503_-1008.json", 503, Meaning.PASSING, "http_503"),
        ("binance_error_429_-1003.json", 429, Meaning.LIMITED, "rate_limited"),
        ("binance_error_418_-1003_ban.json", 418, Meaning.BANNED, "banned"),
    ],
)
def test_a_documented_error_has_its_meaning_and_its_words(name, status, meaning, reason):
    body = answer(name)

    verdict = judge(status, {}, body)

    assert (verdict.meaning, verdict.reason) == (meaning, reason)
    assert f"HTTP {status} code {json.loads(body)['code']}: " in verdict.detail


@pytest.mark.parametrize("code", [-1000, -1001, -1006, -1007, -1008])
def test_codes_that_pass_do_so_whatever_the_status(code):
    assert judge(400, {}, orjson.dumps({"code": code, "msg": "x"})).meaning is Meaning.PASSING


RECORDED = [entry for entry in json.loads(answer("rate_limit_errors.json")) if entry["http_status"]]


@pytest.mark.parametrize("entry", RECORDED, ids=lambda entry: entry["id"])
def test_recorded_refusals_have_their_meaning(entry):
    body = orjson.dumps(entry["body"]) if "body" in entry else entry["body_text"].encode()

    verdict = judge(entry["http_status"], {}, body)

    assert verdict.meaning is {429: Meaning.LIMITED, 418: Meaning.BANNED, 403: Meaning.BLOCKED}[entry["http_status"]]
    assert verdict.detail.startswith(f"HTTP {entry['http_status']} ")
    assert verdict.detail.isprintable()


BANS = [entry for entry in json.loads(answer("rate_limit_errors.json")) if "banned until" in str(entry.get("body"))]


@pytest.mark.parametrize("entry", BANS, ids=lambda entry: entry["id"])
def test_the_end_of_a_recorded_ban_is_found_in_its_text(entry):
    verdict = judge(418, {}, orjson.dumps(entry["body"]))

    until_ms = int(entry["body"]["msg"].split("banned until ")[1].split(".")[0])
    assert verdict.until_ms == until_ms


def test_the_end_of_the_documented_ban_is_found_in_its_text():
    assert judge(418, {}, answer("binance_error_418_-1003_ban.json")).until_ms == 1721393459728


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (403, Meaning.BLOCKED),
        (451, Meaning.BLOCKED),
        (408, Meaning.PASSING),
        (500, Meaning.PASSING),
        (504, Meaning.PASSING),
    ],
)
def test_a_status_without_a_body_has_its_meaning(status, meaning):
    assert judge(status, {}, b"").meaning is meaning


@pytest.mark.parametrize("status", [204, 301, 302, 307, 400, 404, 407, 413])
def test_what_did_not_come_from_the_venue_itself_passes(status):
    # A captive portal or a proxy on the way must not make a series refused for good.
    assert judge(status, {}, b"<html>please log in</html>").meaning is Meaning.PASSING


def test_words_of_a_venue_cannot_write_over_the_terminal():
    body = orjson.dumps({"code": -1121, "msg": "bad\n\x1b[2Jsymbol\u202e\r" + "x" * 1000})

    detail = judge(400, {}, body).detail

    assert detail.isprintable()
    assert "\n" not in detail
    assert len(detail) < 250
