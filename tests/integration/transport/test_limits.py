"""The HTTP seam on real sockets: rate limits and bans are waited out or reported, refusals are final."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest
from talks import ask, candles, opened, talk

from laklak.errors import PermanentError, RegionBlocked, TryLater, VenueUnreachable
from laklak.simulator import Override
from laklak.wire.bans import BanBook

REPLAYED_MS = 1_700_000_000_000


# Rate limits and bans

LIMITED = b'{"code":-1003,"msg":"Too many requests; current limit is 2400 requests per minute."}'


def banned(until_ms):
    return b'{"code":-1003,"msg":"Way too many requests; IP(203.0.113.1) banned until %d. Please."}' % until_ms


def test_a_429_waits_for_retry_after_and_uses_up_no_try():
    async def conversation(beside):
        start_s = time.monotonic()
        await beside.ask(tries=1)
        return time.monotonic() - start_s, beside.transport.traffic

    waited_s, traffic = talk(conversation, answers=[Override(429, {"Retry-After": "1"}, LIMITED)])

    assert 1.0 <= waited_s < 20
    assert (traffic.requests, traffic.rate_limited, traffic.retries) == (2, 1, 0)


def test_a_429_without_retry_after_waits_for_the_next_minute():
    async def conversation(beside):
        start_s = time.monotonic()
        await beside.ask(tries=1)
        return time.monotonic() - start_s

    waited_s = talk(conversation, answers=[Override(429, {}, LIMITED)], next_window_s=1.4)

    assert 1.4 <= waited_s < 20


def test_a_retry_after_of_nothing_is_no_leave_to_knock_at_once():
    async def conversation(beside):
        start_s = time.monotonic()
        await beside.ask(tries=1)
        return time.monotonic() - start_s

    assert talk(conversation, answers=[Override(429, {"Retry-After": "0"}, LIMITED)]) >= 1.0


def test_one_429_stops_everybody():
    async def conversation(beside):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.7):
                await beside.ask()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(beside.ask()) for _ in range(5)]
            await asyncio.sleep(0.5)
            meanwhile = len(beside.stats.hits)
        return meanwhile, len(beside.stats.hits), all(task.result() for task in tasks)

    assert talk(conversation, answers=[Override(429, {"Retry-After": "2"}, LIMITED)]) == (1, 6, True)


@pytest.mark.parametrize("on_its_own_clock", [False, True])
def test_a_418_is_waited_out_until_the_moment_in_its_text(on_its_own_clock):
    async def conversation(beside):
        await beside.ask()
        transport = beside.transport
        transport.clock.set(REPLAYED_MS)
        now_ms = REPLAYED_MS if on_its_own_clock else int(time.time() * 1000)
        answers.extend([None, Override(418, {}, banned(now_ms + 1500))])
        start_s = time.monotonic()
        await beside.ask(tries=1)
        return time.monotonic() - start_s, transport.banned_until_ms, transport.bans.until_ms()

    answers = []
    waited_s, until_ms, remembered_ms = talk(conversation, answers=answers)

    assert 1.3 <= waited_s < 20
    assert until_ms == pytest.approx(time.time() * 1000, abs=60_000)
    assert remembered_ms is None  # it is over


def test_retry_after_of_a_418_counts_before_its_text():
    # The text names a moment that is not waited for.
    answer = Override(418, {"Retry-After": "1"}, banned(int(time.time() * 1000) + 600_000))

    assert talk(lambda beside: beside.ask(tries=1), answers=[answer])


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"code":-1003,"msg":"banned"}', banned(5), banned(99999999999999)])
def test_a_418_that_does_not_say_how_long_is_taken_for_two_minutes(body):
    async def conversation(beside):
        with pytest.raises(TryLater) as caught:
            await beside.ask()
        return caught.value.until_ms / 1000 - time.time()

    assert talk(conversation, answers=[Override(418, {}, body)]) == pytest.approx(120, abs=3)


@pytest.mark.parametrize("status", [418, 429])
def test_longer_than_max_wait_ends_at_once_and_the_next_run_does_not_knock(status, tmp_path):
    hits = []

    async def conversation(beside):
        with pytest.raises(TryLater, match="does not answer this address before") as caught:
            await beside.ask()
        assert "--max-wait" in caught.value.hint
        url, hits_before = beside.simulator.url, len(beside.stats.hits)
        with pytest.raises(TryLater, match="as an earlier run was told") as again:
            async with opened(url, folder=tmp_path / "bans") as transport:
                await ask(transport)
        hits.extend([hits_before, len(beside.stats.hits)])
        return caught.value.until_ms, again.value.until_ms

    answer = Override(status, {"Retry-After": "3600"}, LIMITED)
    first_ms, second_ms = talk(conversation, answers=[answer], folder=tmp_path / "bans")

    assert first_ms == second_ms == pytest.approx((time.time() + 3600) * 1000, abs=5000)
    assert hits == [1, 1]


MONTH_S = 31 * 86_400


@pytest.mark.parametrize(
    "answer",
    [
        Override(418, {"Retry-After": str(MONTH_S)}, LIMITED),
        Override(418, {}, banned(int(time.time() + 20 * 86_400) * 1000)),
        Override(429, {"Retry-After": str(MONTH_S)}, LIMITED),
    ],
)
def test_nothing_that_a_venue_says_counts_for_longer_than_the_longest_ban_it_documents(tmp_path, answer):
    async def conversation(beside):
        with pytest.raises(TryLater, match="the longest that it documents is believed") as caught:
            await beside.ask()
        remembered = beside.transport.bans.current()
        return caught.value, remembered

    error, remembered = talk(conversation, answers=[answer], folder=tmp_path / "bans")

    assert error.until_ms == remembered.until_ms == pytest.approx((time.time() + 3 * 86_400) * 1000, abs=5000)
    assert remembered.doubt is None
    assert "--forget-ban" in error.hint


def test_a_firewall_that_answers_with_a_month_is_waited_for_three_days_at_most(tmp_path):
    async def conversation(beside):
        await beside.ask(candles(10))
        with pytest.raises(TryLater) as caught:
            await beside.ask()
        return caught.value.until_ms

    answers = [None, Override(403, {"Retry-After": str(MONTH_S)}, b"<html>")]
    until_ms = talk(conversation, answers=answers, folder=tmp_path / "bans")

    assert until_ms == pytest.approx((time.time() + 3 * 86_400) * 1000, abs=5000)


def test_a_short_ban_of_an_earlier_run_is_waited_out_before_the_first_request(tmp_path):
    async def conversation(beside):
        url = beside.simulator.url
        BanBook(tmp_path, "binance", url, longest_s=60).remember(int((time.time() + 1.2) * 1000), "")
        start_s = time.monotonic()
        async with opened(url, folder=tmp_path) as transport:
            await ask(transport)
        return time.monotonic() - start_s

    assert 1.1 <= talk(conversation) < 20


def test_429_without_any_success_for_max_wait_ends_the_run():
    async def conversation(beside):
        await beside.ask()
        answers.extend([None] + [Override(429, {"Retry-After": "1"}, LIMITED)] * 20)
        with pytest.raises(TryLater):
            await beside.ask()
        return len(beside.stats.hits)

    answers = []

    assert 3 <= talk(conversation, answers=answers, max_wait_s=2.0) <= 5


def test_a_wait_that_a_sleeping_machine_slept_through_is_no_lack_of_patience():
    async def conversation(beside):
        transport = beside.transport
        await beside.ask()
        # As if nothing had been answered for an hour, because this machine slept.
        transport._opened_s -= 3600
        transport._last_success_s -= 3600
        await transport.renew()
        return time.monotonic() - transport.last_success_s

    assert talk(conversation) < 600


# Refusals


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, b'{"code":-1121,"msg":"Invalid symbol."}', "unknown_symbol"),
        (400, b'{"code":-1122,"msg":"Invalid symbol status."}', "symbol_status"),
        (400, b'{"code":-1120,"msg":"Invalid interval."}', "refused"),
        (404, b'{"code":-5000,"msg":"Path is invalid"}', "refused"),
    ],
)
def test_a_refusal_for_good_is_not_tried_again(status, body, reason):
    async def conversation(beside):
        with pytest.raises(PermanentError, match=f"HTTP {status} code") as caught:
            await beside.ask()
        return caught.value.reason, len(beside.stats.hits)

    assert talk(conversation, answers=[Override(status, {}, body)]) == (reason, 1)


@pytest.mark.parametrize("status", [403, 451])
def test_a_region_or_firewall_at_the_start_makes_the_venue_unreachable(status):
    async def conversation(beside):
        with pytest.raises(VenueUnreachable) as caught:
            await beside.ask()
        return caught.value.hint, len(beside.stats.hits)

    hint, hits = talk(conversation, answers=[Override(fault=str(status))])

    assert "region" in hint
    assert hits == 1


def test_a_region_that_is_refused_later_ends_the_run():
    async def conversation(beside):
        await beside.ask(candles())
        with pytest.raises(RegionBlocked):
            await beside.ask(candles())

    talk(conversation, answers=[None, Override(fault="451")])


def test_a_firewall_later_is_waited_out():
    async def conversation(beside):
        await beside.ask(candles())
        start_s = time.monotonic()
        await beside.ask(tries=1)
        return time.monotonic() - start_s, beside.transport.traffic.rate_limited

    waited_s, limited = talk(conversation, answers=[None, Override(fault="403")], firewall_wait_s=1.2)

    assert 1.2 <= waited_s < 20
    assert limited == 1
