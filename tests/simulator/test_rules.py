"""The venue's rules without a socket."""

import orjson
import pytest

from laklak.simulator.dialects.base import RefusedRequest
from laklak.simulator.dialects.binance import KLINES, Binance, klines_weight
from laklak.simulator.gate import Gate


@pytest.mark.parametrize(
    ("limit", "weight"),
    [(1, 1), (99, 1), (100, 2), (499, 2), (500, 5), (1000, 5), (1001, 10), (1500, 10)],
)
def test_klines_cost_by_limit(limit, weight):
    assert klines_weight(limit) == weight


@pytest.mark.parametrize(
    ("path", "query", "weight"),
    [
        (KLINES, {}, 5),
        (KLINES, {"limit": "499"}, 2),
        (KLINES, {"limit": "many"}, 5),
        ("/fapi/v1/exchangeInfo", {}, 1),
        ("/fapi/v1/time", {}, 1),
        ("/nothing", {}, 1),
    ],
)
def test_a_request_costs_what_its_path_and_limit_say(path, query, weight):
    assert Binance().cost(path, query) == weight


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"symbol": ""}, -1102),
        ({"symbol": "A B"}, -1100),
        ({"interval": ""}, -1102),
        ({"interval": "7m"}, -1120),
        ({"interval": "1s"}, -1120),
        ({"limit": "x"}, -1100),
        ({"limit": "-1"}, -1100),
        ({"limit": "0"}, -1130),
        ({"limit": "1501"}, -1130),
        ({"startTime": "soon"}, -1100),
        ({"endTime": "1.5"}, -1100),
        ({"startTime": "2", "endTime": "1"}, -1023),
    ],
)
def test_a_bad_parameter_is_refused_with_the_venues_code(changes, code):
    with pytest.raises(RefusedRequest) as refused:
        Binance().read_candles(KLINES, {"symbol": "BTCUSDT", "interval": "1m", **changes})

    assert refused.value.reply.status == 400
    assert orjson.loads(refused.value.reply.body)["code"] == code


def test_a_query_with_a_chinese_symbol_is_understood():
    query = Binance().read_candles(
        KLINES, {"symbol": "币安人生USDT", "interval": "1h", "startTime": "5", "endTime": "5"}
    )

    assert (query.symbol, query.interval.name, query.start_ms, query.end_ms, query.limit) == (
        "币安人生USDT",
        "1h",
        5,
        5,
        500,
    )


def test_the_whole_budget_may_be_used_and_no_more():
    gate = Gate(10, start_s=0)

    assert [gate.charge(1, 5).status for _ in range(3)] == [200, 200, 429]


def test_a_calendar_window_forgets_at_the_full_minute():
    gate = Gate(10, start_s=0)
    gate.charge(59.9, 10)

    assert gate.charge(59.95, 1).status == 429
    assert gate.charge(60.0, 10).used == 10


def test_a_sliding_window_forgets_after_sixty_seconds():
    gate = Gate(10, start_s=0, window="sliding")
    gate.charge(59.9, 10)

    assert gate.charge(60.0, 1).status == 429
    assert gate.charge(120.1, 10).status == 200


def test_a_window_is_as_long_as_the_venue_says():
    gate = Gate(10, start_s=0, window_s=2.0)
    gate.charge(61.9, 10)

    assert (gate.charge(61.95, 1).status, gate.charge(61.95, 1).retry_at_s) == (429, 62.0)
    assert gate.charge(62.0, 10).status == 200


def test_refusals_say_when_the_window_ends():
    gate = Gate(1, start_s=0)
    gate.charge(61, 1)

    assert gate.charge(70, 1).retry_at_s == 120


def test_refused_requests_count_in_the_used_weight():
    gate = Gate(10, start_s=0)

    assert [gate.charge(1, 6).used for _ in range(3)] == [6, 12, 18]


def test_a_client_that_does_not_stop_is_banned_until_the_ban_ends():
    gate = Gate(1, start_s=0, patience=2, ban_s=300)

    assert [gate.charge(1, 1).status for _ in range(5)] == [200, 429, 429, 418, 418]
    assert gate.charge(300.9, 1).status == 418
    assert gate.charge(301, 1).status == 200


def test_refusals_of_an_earlier_minute_do_not_lead_to_a_ban():
    gate = Gate(1, start_s=0, patience=1)
    statuses = [gate.charge(minute * 60 + 1, 1).status for minute in range(4) for _ in range(2)]

    assert statuses == [200, 429] * 4


def test_a_neighbour_spends_its_weight_evenly():
    gate = Gate(2400, start_s=0, neighbour_weight_per_minute=600)

    assert gate.charge(30.05, 1).used == 301
    assert gate.charge(59.95, 1).used == 601
    assert gate.neighbour_refusals == 0


def test_a_neighbour_is_refused_when_the_client_takes_everything():
    gate = Gate(100, start_s=0, neighbour_weight_per_minute=60, patience=1000)
    gate.charge(0.5, 100)
    gate.charge(59.5, 1)

    assert gate.neighbour_requests == gate.neighbour_refusals == 59
