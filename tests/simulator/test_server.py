"""The simulator on its socket: paths, headers, refusals, faults, shutdown."""

import asyncio
import re
import time

import aiohttp
import orjson
import pytest

from laklak.model.series import DAY_MS, MINUTE_MS
from laklak.simulator import BAD_ROW_KINDS, Hit, Override, Simulator, SimulatorSettings, generate, parse_fault
from laklak.simulator.settings import SETTLE_MS

START = 1_771_977_600_000  # 2026-02-25T00:00Z, the first recorded minute
NOW = START + 4 * DAY_MS + SETTLE_MS
USED = "X-MBX-USED-WEIGHT-1M"


class Clock:
    """Wall time that a test moves by hand."""

    def __init__(self, now_s=1_800_000_000.0):
        self.now_s = now_s

    def __call__(self):
        return self.now_s


def klines_twice(**query):
    async def conversation(client):
        return [await client.klines(startTime=START, **query) for _ in range(2)]

    return conversation


async def outcome(awaitable):
    """The status of an answer, or the name of what the client made of it."""
    try:
        return (await awaitable).status
    except (aiohttp.ClientError, TimeoutError) as exc:
        return type(exc).__name__


def faulty(talk, *faults, **settings):
    """Outcome of one klines request under faults, and the simulator's statistics."""

    async def conversation(client):
        return await outcome(client.klines(startTime=START, limit=10)), client.simulator.stats

    return talk(conversation, faults=[parse_fault(fault) for fault in faults], **settings)


def test_time_ping_and_unknown_paths_are_answered(talk):
    async def conversation(client):
        return [await client.get(path) for path in ("time", "ping", "depth")]

    at, ping, unknown = talk(conversation)

    assert at.json == {"serverTime": NOW}
    assert ping.json == {}
    assert (unknown.status, unknown.json["code"]) == (404, -5000)


def test_exchange_info_names_the_symbols_the_budget_and_the_clock(talk):
    async def conversation(client):
        return (await client.get("exchangeInfo")).json

    info = talk(conversation, budget=1234)

    assert len(info["symbols"]) == 7
    assert info["serverTime"] == NOW
    assert info["rateLimits"][0] == {
        "rateLimitType": "REQUEST_WEIGHT",
        "interval": "MINUTE",
        "intervalNum": 1,
        "limit": 1234,
    }


def test_exchange_info_can_advertise_another_budget_than_is_granted(talk):
    async def conversation(client):
        return (await client.get("exchangeInfo")).json["rateLimits"][0]["limit"]

    assert talk(conversation, budget=1200, advertised=2400) == 2400


def test_generated_symbols_are_served_with_their_chinese_name(talk):
    async def conversation(client):
        return await client.klines(symbol="币安人生USDT", limit=3)

    reply = talk(conversation, generate(symbols=6, days=1))

    assert (reply.status, len(reply.json)) == (200, 3)


def test_an_unknown_symbol_is_refused_and_costs_weight(talk):
    async def conversation(client):
        return await client.klines(symbol="NOPEUSDT", limit=1000)

    reply = talk(conversation)

    assert (reply.status, reply.json) == (400, {"code": -1121, "msg": "Invalid symbol."})
    assert reply.headers[USED] == "5"


def test_every_reply_tells_the_used_weight(talk):
    async def conversation(client):
        replies = [await client.get("ping"), await client.klines(limit=499), await client.klines(limit=1500)]
        return [reply.headers[USED] for reply in replies]

    assert talk(conversation, wall_clock=Clock()) == ["1", "3", "13"]


def test_the_used_weight_starts_anew_every_minute(talk):
    clock = Clock()

    async def conversation(client):
        await client.klines(limit=1500)
        clock.now_s += 60
        return (await client.get("ping")).headers[USED]

    assert talk(conversation, wall_clock=clock) == "1"


def test_over_the_budget_the_venue_answers_429_in_its_own_words(talk):
    clock = Clock()

    async def conversation(client):
        return [await client.klines(limit=1000) for _ in range(2)], client.simulator.stats

    (good, refused), stats = talk(conversation, budget=5, wall_clock=clock)

    assert (good.status, refused.status) == (200, 429)
    assert refused.json == {
        "code": -1003,
        "msg": "Too many requests; current limit of IP(203.0.113.1) is 5 requests per minute. "
        "Please use the websocket for live updates to avoid polling the API.",
    }
    assert "Retry-After" not in refused.headers
    assert stats.refusals == {429: 1}


def test_retry_after_counts_to_the_end_of_the_minute_where_it_is_sent(talk):
    async def conversation(client):
        return (await client.klines(limit=1000)).headers["Retry-After"]

    assert talk(conversation, budget=1, retry_after=True, wall_clock=Clock(1_800_000_018.5)) == "42"


def test_a_client_that_does_not_stop_is_banned_and_then_let_in_again(talk):
    clock = Clock()

    async def conversation(client):
        statuses = [(await client.klines(limit=1000)).status for _ in range(4)]
        banned = await client.get("time")
        clock.now_s += 120
        return statuses, banned, (await client.get("time")).status

    statuses, banned, after = talk(conversation, budget=5, patience=1, ban_s=120, wall_clock=clock)

    assert statuses == [200, 429, 418, 418]
    assert banned.json == {
        "code": -1003,
        "msg": "Way too many requests; IP(203.0.113.1) banned until 1800000120000. "
        "Please use the websocket for live updates to avoid bans.",
    }
    assert after == 200


def test_another_program_on_the_address_uses_the_same_budget(talk):
    async def conversation(client):
        spent = [client.simulator.spend(4), client.simulator.spend(7)]
        return spent, (await client.get("ping")).headers[USED]

    assert talk(conversation, budget=10, wall_clock=Clock()) == ([200, 429], "12")


def test_a_neighbour_is_seen_in_the_header_and_in_the_statistics(talk):
    clock = Clock()

    async def conversation(client):
        clock.now_s += 30
        return (await client.get("ping")).headers[USED], client.simulator.stats

    used, stats = talk(conversation, neighbour_weight_per_minute=600, wall_clock=clock)

    assert used == "301"
    assert (stats.neighbour_requests, stats.neighbour_refusals) == (300, 0)


def test_every_request_is_kept_as_a_hit(talk):
    async def conversation(client):
        await client.klines(limit=7)
        await client.get("depth")
        return client.simulator.stats

    stats = talk(conversation)

    assert [hit[1:] for hit in stats.hits] == [
        ("/fapi/v1/klines", 1, 200, {"symbol": "LTCUSDT", "interval": "1m", "limit": "7"}),
        ("/fapi/v1/depth", 1, 404, {}),
    ]
    assert stats.requests == {"/fapi/v1/klines": 1, "/fapi/v1/depth": 1}
    assert stats.weight == 2


def test_the_heaviest_span_is_found_among_the_hits(talk):
    async def conversation(client):
        return client.simulator.stats

    stats = talk(conversation)
    for at_s, weight in ((0.0, 1), (59.0, 2), (61.0, 4), (118.9, 8), (180.0, 9)):
        stats.hits.append(Hit(at_s, "/", weight, 200, {}))

    assert stats.weight_in_any(60.0) == 14
    assert stats.weight_in_any(1.0) == 9


def test_without_record_hits_only_counts_are_kept(talk):
    async def conversation(client):
        await client.get("ping")
        return client.simulator.stats

    stats = talk(conversation, record_hits=False)

    assert (stats.hits, stats.requests.total()) == ([], 1)


def test_server_errors_are_of_several_kinds(talk):
    async def conversation(client):
        return {(await client.klines(limit=1)).status for _ in range(30)}

    assert talk(conversation, faults=[parse_fault("5xx=100%")]) == {500, 502, 503, 504}


@pytest.mark.parametrize(("fault", "status"), [("403", 403), ("451", 451), ("429", 429), ("418", 418)])
def test_a_fault_answers_with_its_status(talk, fault, status):
    seen, stats = faulty(talk, f"{fault}=100%")

    assert seen == status
    assert stats.faults == {fault: 1}
    assert stats.weight == 1


def test_a_418_fault_begins_a_real_ban(talk):
    async def conversation(client):
        await client.klines()
        return (await client.get("ping")).status

    assert talk(conversation, faults=[parse_fault("418=100%")]) == 418


def test_a_reset_connection_gives_no_answer(talk):
    seen, stats = faulty(talk, "reset=100%")

    assert seen in ("ServerDisconnectedError", "ClientOSError", "ClientConnectionResetError")
    assert stats.hits[0].status == 0


def test_a_cut_off_body_is_shorter_than_announced(talk):
    assert faulty(talk, "cut=100%")[0] == "ClientPayloadError"


def test_html_comes_with_status_200(talk):
    async def conversation(client):
        return await client.klines()

    reply = talk(conversation, faults=[parse_fault("html=100%")])

    assert (reply.status, reply.headers["Content-Type"]) == (200, "text/html")
    assert reply.body.startswith(b"<html>")


def test_a_hanging_answer_never_comes(talk):
    async def conversation(client):
        return await outcome(client.get("klines", timeout_s=0.2, symbol="LTCUSDT", interval="1m"))

    seen = talk(conversation, faults=[parse_fault("hang=100%")])

    assert "Timeout" in seen


def test_the_simulator_ends_while_answers_still_hang(talk):
    arrived = asyncio.Event()

    def script(path, query, number):
        arrived.set()
        return Override(fault="hang")

    async def conversation(client):
        async with asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(outcome(client.klines()))
            await arrived.wait()
            await client.simulator.__aexit__(None, None, None)
            return asked

    # They would hang for longer than the test may last.
    asked = talk(conversation, script=script, hang_s=600.0)

    assert asked.result() in ("ServerDisconnectedError", "ClientOSError", "ClientConnectorError")


def test_a_slow_answer_is_right_in_the_end(talk):
    async def conversation(client):
        return (await client.klines(startTime=START, limit=3)).times

    assert len(talk(conversation, faults=[parse_fault("slow=100%:0.01s")])) == 3


def test_faults_spare_other_paths_unless_told(talk):
    async def conversation(client):
        return (await client.get("time")).status

    assert talk(conversation, faults=[parse_fault("451=100%")]) == 200
    assert talk(conversation, faults=[parse_fault("451=100%@all")]) == 451


def test_about_the_asked_share_of_requests_fails_the_same_for_the_same_seed(talk):
    async def conversation(client):
        return [(await client.klines(limit=1)).status for _ in range(200)]

    first, second = (talk(conversation, faults=[parse_fault("403=10%")], seed=5) for _ in range(2))

    assert first == second
    assert 8 <= first.count(403) <= 35


def test_a_flickering_minute_is_missing_only_once(talk):
    first, second = talk(klines_twice(limit=1), faults=[parse_fault("flicker=100%")])

    assert first.times == []
    assert second.times == [START]


def test_a_bad_row_is_right_when_asked_again(talk):
    first, second = talk(klines_twice(limit=1), faults=[parse_fault("badrow=100%:zero_price")])

    assert first.json[0][1] == "0"
    assert second.json[0][1] == "51.13"


def test_bad_rows_of_all_kinds_appear(talk):
    async def conversation(client):
        for number in range(150):
            await client.klines(startTime=START + number * 10 * MINUTE_MS, limit=10)
        return client.simulator.stats.faults

    faults = talk(conversation, faults=[parse_fault("badrow=100%")])

    assert set(faults) == {f"badrow:{kind}" for kind in BAD_ROW_KINDS}


@pytest.mark.parametrize("kind", BAD_ROW_KINDS)
def test_every_kind_of_bad_row_changes_the_answer(talk, kind):
    async def conversation(client):
        return [await client.klines(startTime=START, limit=5) for _ in range(6)]

    *broken, whole = [r.body for r in talk(conversation, faults=[parse_fault(f"badrow=100%:{kind}")])]

    assert whole not in broken
    assert len(orjson.loads(whole)) == 5


def test_sticky_bad_rows_are_the_same_whoever_asks(talk):
    async def conversation(client):
        whole = (await client.klines(startTime=START, limit=1000)).json
        parts = [(await client.klines(startTime=START + n * MINUTE_MS, limit=100)).json for n in range(0, 1000, 100)]
        kinds = [client.simulator.dice.sticky_kind("LTCUSDT", START + n * MINUTE_MS) for n in range(1000)]
        return whole, [row for part in parts for row in part], kinds

    whole, parts, kinds = talk(conversation, faults=[parse_fault("badrow-sticky=2%")])

    assert whole == parts
    assert 5 <= sum(kind is not None for kind in kinds) <= 50


def test_a_hole_fault_takes_minutes_away(talk):
    async def conversation(client):
        return (await client.klines(startTime=START, limit=3)).times

    faults = [parse_fault("hole=LTCUSDT@2026-02-25T00:01Z+2"), parse_fault("hole=LTCUSDT@2026-02-25T00:04Z")]

    assert talk(conversation, faults=faults) == [START, START + 3 * MINUTE_MS, START + 5 * MINUTE_MS]


def test_a_late_fault_takes_the_beginning_away(talk):
    async def conversation(client):
        return (await client.klines(startTime=0, limit=1)).times

    assert talk(conversation, faults=[parse_fault("late=LTCUSDT@2026-02-26")]) == [START + DAY_MS]


def test_a_script_answers_the_request_it_chooses(talk):
    def script(path, query, number):
        if number == 2:
            return Override(status=503, headers={"Retry-After": "7"}, body=b"later")
        return Override(fault="badrow:not_a_number") if number == 3 else None

    async def conversation(client):
        return [await client.klines(startTime=START, limit=1) for _ in range(4)]

    replies = talk(conversation, script=script)

    assert [reply.status for reply in replies] == [200, 503, 200, 200]
    assert (replies[1].headers["Retry-After"], replies[1].body) == ("7", b"later")
    assert replies[2].json[0][4] == "NaN"
    assert replies[3].body == replies[0].body


def test_two_simulators_do_not_share_what_they_took_away(talk, recorded):
    async def conversation(client):
        return (await client.klines(startTime=START, limit=1)).times

    talk(conversation, recorded, faults=[parse_fault("late=LTCUSDT@2026-02-26")])

    assert talk(conversation, recorded) == [START]


@pytest.mark.parametrize(
    "text",
    ["", "5xx", "5xx=", "5xx=5", "5xx=0%", "5xx=101%", "6xx=1%", "hole=", "hole=BTCUSDT", "hole=BTCUSDT@soon",
     "late=BTCUSDT@2026-02-10+5", "badrow=1%:odd", "slow=1%:5", "cut=1%:x", "badrow-sticky=1%:swapped"],
)  # fmt: skip
def test_a_fault_that_is_not_understood_is_named(text):
    with pytest.raises(ValueError, match=re.escape(repr(text))):
        parse_fault(text)


def test_a_port_in_use_is_an_error_and_leaves_nothing_behind(talk, recorded):
    async def conversation(client):
        port = int(client.simulator.url.rpartition(":")[2])
        with pytest.raises(OSError, match="address already in use"):
            async with Simulator(recorded, SimulatorSettings(port=port)):
                raise AssertionError("never starts")

    talk(conversation)


@pytest.mark.parametrize("fault", ["reset", "cut", "hang"])
def test_broken_answers_work_on_uvloop_too(recorded, fault):
    uvloop = pytest.importorskip("uvloop")

    async def main():
        settings = SimulatorSettings(faults=[parse_fault(f"{fault}=100%")], hang_s=0.05)
        async with Simulator(recorded, settings) as simulator, aiohttp.ClientSession() as session:
            async with session.post(f"{simulator.url}/fapi/v1/time") as response:
                refused = response.status
            url = f"{simulator.url}/fapi/v1/klines?symbol=LTCUSDT&interval=1m"
            with pytest.raises(aiohttp.ClientError):
                async with session.get(url) as response:
                    await response.read()
            return refused

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(main()) == 404


def test_latency_delays_every_answer(talk):
    async def conversation(client):
        begun_s = time.monotonic()
        await client.get("ping")
        return time.monotonic() - begun_s

    assert talk(conversation, latency_s=0.05) >= 0.05
