"""Several quotas at once, in virtual time: none above our share of it, and each waits for itself alone."""

from __future__ import annotations

import asyncio
from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thoroughness import examples

from laklak.errors import SettingsError
from laklak.text import per_window
from laklak.venues.base import Quota
from laklak.wire.limiter import Limiter
from laklak.wire.quota import Account, Share

SECOND = Quota(20, 1.0)
FIVE = Quota(60, 5.0)


def of(**shares):
    return Limiter(shares, next_window_s=lambda seconds: seconds / 4)


def now():
    return asyncio.get_running_loop().time()


def most_in_any(seconds, arrivals):
    """The most units that arrived within any so many seconds; `arrivals` are (moment, units)."""
    most = inside = 0
    span = deque()
    for moment, units in sorted(arrivals):
        span.append((moment, units))
        inside += units
        while span[0][0] < moment - seconds:
            inside -= span.popleft()[1]
        most = max(most, inside)
    return most


def highest_in_a_bucket(units_a_second, arrivals):
    """How full a bucket gets that loses so many units a second."""
    level = highest = last = 0.0
    for moment, units in sorted(arrivals):
        level = max(0.0, level - (moment - last) * units_a_second) + units
        last, highest = moment, max(highest, level)
    return highest


async def all_of(coroutines):
    async with asyncio.TaskGroup() as group:
        for coroutine in coroutines:
            group.create_task(coroutine)


async def send_all(gate, requests, workers):
    """Send (cost, seconds there, seconds back) by so many workers; gives what arrived, by quota."""
    arrivals = {name: [] for name in gate.meters}
    left = deque(requests)

    async def work():
        while left:
            cost, there_s, back_s = left.popleft()
            payment = await gate.pay(cost)
            await asyncio.sleep(there_s)
            for name, units in cost.items():
                arrivals[name].append((now(), units))
            await asyncio.sleep(back_s)
            gate.answered(payment)

    await all_of(work() for _ in range(workers))
    return arrivals


# Shares

quotas = st.builds(
    Quota,
    units=st.integers(20, 200),
    seconds=st.sampled_from([1.0, 5.0, 60.0, 300.0]),
    window=st.sampled_from(["sliding", "calendar"]),
    burst=st.one_of(st.none(), st.integers(10, 400)),
)
delays = st.one_of(st.just(0.0), st.floats(0, 2), st.floats(0, 100))


@settings(max_examples=examples(60))
@given(
    shares=st.lists(st.tuples(quotas, st.sampled_from([0.5, 0.8, 1.0])), min_size=1, max_size=3),
    requests=st.lists(
        st.tuples(st.lists(st.integers(0, 5), min_size=3, max_size=3), delays, delays), min_size=5, max_size=60
    ),
    workers=st.integers(1, 30),
    oversleep_s=st.sampled_from([0.0, 0.005]),
)
def test_no_window_of_any_quota_holds_more_than_our_share(virtually, shares, requests, workers, oversleep_s):
    ours = {f"q{number}": Share(quota, int(quota.units * part), 5) for number, (quota, part) in enumerate(shares)}
    costs = [
        ({name: units for name, units in zip(ours, wanted, strict=False) if units} or {"q0": 1}, there_s, back_s)
        for wanted, there_s, back_s in requests
    ]

    arrivals = virtually(send_all(of(**ours), costs, workers), oversleep_s=oversleep_s)

    assert sum(len(some) for some in arrivals.values()) == sum(len(cost) for cost, _, _ in costs)
    for name, share in ours.items():
        quota = share.quota
        assert most_in_any(quota.seconds, arrivals[name]) <= share.units
        bucket = min(quota.units, quota.burst or quota.units)
        assert highest_in_a_bucket(quota.units / quota.seconds, arrivals[name]) <= max(5, bucket)


def test_the_tightest_quota_says_the_pace(virtually):
    gate = of(second=Share(SECOND, 20), five=Share(FIVE, 60))

    arrivals = virtually(send_all(gate, [({"second": 1, "five": 1}, 0.01, 0.01)] * 240, 8))

    # 60 in 5 s is 12 a second, and 0.98 of that is used.
    assert arrivals["five"][-1][0] - arrivals["five"][0][0] == pytest.approx(240 / 12 / 0.98, rel=0.02)


def test_what_a_venue_documents_to_take_at_once_goes_at_once_after_some_quiet(virtually):
    gate = of(credits=Share(Quota(100, 10.0, burst=40), 50))

    async def main():
        gate.answered(await gate.pay({"credits": 1}))
        await asyncio.sleep(60)
        began = now()
        for _ in range(20):
            gate.answered(await gate.pay({"credits": 1}))
        at_once = now() - began
        gate.answered(await gate.pay({"credits": 1}))
        return at_once, now() - began

    at_once, one_more = virtually(main())

    assert at_once < 0.01
    assert one_more > 0.1


def test_a_request_that_waits_for_one_quota_takes_nothing_of_the_others(virtually):
    gate = of(second=Share(SECOND, 20), five=Share(FIVE, 60))

    async def main():
        gate.pause(10, "five")
        waiting = asyncio.ensure_future(gate.pay({"second": 1, "five": 1}))
        await asyncio.sleep(5)
        before = gate.paid
        waiting.cancel()
        return before, gate.in_flight

    assert virtually(main()) == ({"second": 0, "five": 0}, 0)


# Order


@settings(max_examples=examples(60))
@given(st.lists(st.sampled_from([("a",), ("b",), ("a", "b"), ("b", "c"), ("c",)]), min_size=2, max_size=25))
def test_whoever_wants_the_same_quota_is_served_in_order_of_arrival(virtually, wanted):
    gate = of(a=Share(SECOND, 20), b=Share(FIVE, 60), c=Share(Quota(6, 60.0), 3))
    served = []

    async def one(number, names):
        gate.answered(await gate.pay(dict.fromkeys(names, 1)))
        served.append(number)

    virtually(all_of(one(number, names) for number, names in enumerate(wanted)))

    for name in "abc":
        of_it = [number for number in served if name in wanted[number]]
        assert of_it == sorted(of_it)


def test_a_waiter_that_is_cancelled_lets_the_next_ones_pass(virtually):
    gate = of(a=Share(SECOND, 20), b=Share(FIVE, 60))

    async def main():
        gate.pause(1000, "b")
        both = asyncio.ensure_future(gate.pay({"a": 1, "b": 1}))
        behind = asyncio.ensure_future(gate.pay({"a": 1}))
        await asyncio.sleep(1)
        waited = not behind.done()
        both.cancel()
        await asyncio.sleep(1)
        return waited, behind.done()

    assert virtually(main()) == (True, True)


# Pauses


def test_a_pause_of_one_quota_stops_only_those_who_want_of_it(virtually):
    gate = of(a=Share(SECOND, 20), b=Share(FIVE, 60))

    async def paid_after_s(name):
        gate.answered(await gate.pay({name: 1}))
        return now() - began

    async def main():
        nonlocal began
        began = now()
        gate.pause(100, "b")
        return await asyncio.gather(paid_after_s("b"), paid_after_s("a"))

    began = 0.0
    of_b, of_a = virtually(main())

    assert of_a < 1
    assert of_b >= 100


def test_a_pause_that_names_no_quota_stops_the_pool(virtually):
    gate = of(a=Share(SECOND, 20), b=Share(FIVE, 60))

    async def main():
        began = now()
        gate.pause(100)
        paused_s = gate.paused_for_s
        await gate.pay({"a": 1})
        return paused_s, now() - began

    paused_s, waited_s = virtually(main())

    assert paused_s == pytest.approx(100)
    assert waited_s >= 100


def test_a_calendar_window_has_room_when_the_next_one_begins_and_a_sliding_one_after_its_length():
    gate = of(sliding=Share(FIVE, 60), calendar=Share(Quota(100, 60.0, window="calendar"), 50))

    assert (gate.next_window_s("sliding"), gate.next_window_s("calendar"), gate.next_window_s()) == (5, 15, 15)


# Settings


def test_a_cost_of_no_quota_or_of_an_unknown_one_is_refused(virtually):
    for cost in ({}, {"c": 1}, {"a": 1, "c": 1}, {"a": 0}, {"a": 21}):
        with pytest.raises(ValueError, match="never be paid"):
            virtually(of(a=Share(SECOND, 20)).pay(cost))


def test_a_share_above_a_quota_is_named_in_the_quotas_own_unit():
    with pytest.raises(SettingsError, match="budget 61 is more than the 60 requests in 5 s that the venue allows"):
        of(requests=Share(FIVE, 61))


@pytest.mark.parametrize(("seconds", "text"), [(1.0, "a second"), (60.0, "a minute"), (3600.0, "an hour")])
def test_well_known_windows_have_their_names(seconds, text):
    assert per_window("weight", seconds) == f"weight {text}"


def test_what_is_spent_stays_spent_when_the_share_changes():
    account = Account(Share(FIVE, 60))
    account.take(10)
    account.take(20)
    account.answered(20, now=0.0)
    account.configure(Share(FIVE, 30))

    assert account.wait_s(1, now=4.0) == pytest.approx(1.001)
    assert account.wait_s(1, now=5.5) is None
    assert account.spent(now=5.5) == 10
