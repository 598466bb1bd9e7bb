"""The weight budget in virtual time: never above it, nearly all of it, in order, whatever happens on the way."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thoroughness import examples

from laklak.errors import SettingsError
from laklak.venues.base import Quota
from laklak.wire.limiter import Limiter
from laklak.wire.quota import Share


def share(budget=1200, advertised=None, heaviest=10):
    return Share(Quota(advertised or 10 * budget, 60.0, window="calendar"), budget, heaviest)


def limiter(budget=1200, advertised=None, heaviest=10):
    return of(weight=share(budget, advertised, heaviest))


def of(**shares):
    return Limiter(shares, next_window_s=lambda seconds: seconds)


def pay(gate, weight):
    return gate.pay({"weight": weight})


def now():
    return asyncio.get_running_loop().time()


def most_in_any_minute(arrivals):
    """The most weight that arrived within any 60 s, both ends included; `arrivals` are (moment, weight)."""
    most = inside = 0
    span = deque()
    for moment, weight in sorted(arrivals):
        span.append((moment, weight))
        inside += weight
        while span[0][0] < moment - 60:
            inside -= span.popleft()[1]
        most = max(most, inside)
    return most


async def send(gate, weight, there_s, back_s, arrivals=None):
    """One request: it reaches the venue `there_s` after it was sent, the answer takes `back_s` more."""
    payment = await pay(gate, weight)
    await asyncio.sleep(there_s)
    if arrivals is not None:
        arrivals.append((now(), weight))
    await asyncio.sleep(back_s)
    gate.answered(payment)


async def all_of(coroutines):
    async with asyncio.TaskGroup() as group:
        for coroutine in coroutines:
            group.create_task(coroutine)


# The budget

delays = st.one_of(st.just(0.0), st.floats(0, 2), st.floats(0, 200))


@settings(max_examples=examples(150))
@given(
    budget=st.integers(10, 120),
    requests=st.lists(st.tuples(st.sampled_from([1, 2, 5, 10]), delays, delays), min_size=10, max_size=120),
    workers=st.integers(1, 40),
    oversleep_s=st.sampled_from([0.0, 0.005]),
)
def test_no_sixty_seconds_at_the_venue_hold_more_than_the_budget(virtually, budget, requests, workers, oversleep_s):
    async def main():
        gate, arrivals, queue = limiter(budget), [], deque(requests)

        async def work():
            while queue:
                await send(gate, *queue.popleft(), arrivals)

        await all_of(work() for _ in range(workers))
        return arrivals

    arrivals = virtually(main(), oversleep_s=oversleep_s)

    assert len(arrivals) == len(requests)
    assert most_in_any_minute(arrivals) <= budget


def test_requests_that_arrive_bunched_after_a_long_delay_stay_within_the_budget(virtually):
    async def main():
        gate, arrivals, start_s = limiter(1200), [], now()

        async def delayed():
            payment = await pay(gate, 10)
            # A network that holds everything back and lets it go at once, every 40 s.
            await asyncio.sleep(40 - (now() - start_s) % 40)
            arrivals.append((now(), 10))
            gate.answered(payment)

        async def work():
            for _ in range(6):
                await delayed()

        await all_of(work() for _ in range(100))
        return arrivals

    arrivals = virtually(main())

    assert most_in_any_minute(arrivals) <= 1200


def at_length(*values):
    """Cases of the long tests: every day there are some of each kind."""
    return [pytest.param(*value, marks=pytest.mark.long) for value in values]


@pytest.mark.parametrize("budget", [1200, *at_length((2400,))])
@pytest.mark.parametrize("weight", [2, 10, *at_length((1,), (5,))])
def test_nearly_all_of_the_budget_is_used_while_work_waits(virtually, budget, weight):
    dice = random.Random(7)
    minutes = 4

    async def main():
        gate, arrivals = limiter(budget, heaviest=weight), []
        end_s = now() + 60 * (minutes + 1)

        async def work():
            while now() < end_s:
                await send(gate, weight, dice.uniform(0.02, 0.15), dice.uniform(0.02, 0.2), arrivals)

        start_s = now()
        await all_of(work() for _ in range(16))
        return sum(cost for moment, cost in arrivals if 60 <= moment - start_s < 60 * (minutes + 1)), arrivals

    used, arrivals = virtually(main(), oversleep_s=0.005)

    assert used >= 0.97 * budget * minutes
    assert most_in_any_minute(arrivals) <= budget


def test_it_starts_with_nothing_to_spend(virtually):
    async def main():
        gate, sent = limiter(1200, heaviest=10), []
        start_s = now()
        for _ in range(5):
            await pay(gate, 10)
            sent.append(now() - start_s)
        return sent

    sent = virtually(main())

    assert sent[0] >= 10 / (0.98 * 20) - 1e-6
    assert sent[-1] == pytest.approx(50 / (0.98 * 20), abs=1e-6)


def test_after_idling_a_burst_is_at_most_two_of_the_heaviest_requests(virtually):
    async def main():
        gate = limiter(1200, heaviest=10)
        gate.answered(await pay(gate, 10))
        await asyncio.sleep(300)
        start_s, sent = now(), []
        for _ in range(8):
            gate.answered(await pay(gate, 5))
            sent.append(now() - start_s)
        return sent

    assert sum(moment < 0.01 for moment in virtually(main())) <= 4


@pytest.mark.parametrize("in_flight", [0, 16])
def test_a_stop_of_the_process_for_seventy_seconds_gives_no_burst(virtually, in_flight):
    async def main():
        gate, arrivals = limiter(600, heaviest=5), []
        for _ in range(100):
            await send(gate, 5, 0, 0.01, arrivals)
        hanging = [asyncio.ensure_future(send(gate, 5, 0, 5, arrivals)) for _ in range(in_flight)]
        await asyncio.sleep(0)
        asyncio.get_running_loop().jump(70)
        woke_s = now()
        await all_of(send(gate, 5, 0, 0.01, arrivals) for _ in range(200))
        await asyncio.gather(*hanging)
        return arrivals, woke_s

    arrivals, woke_s = virtually(main())

    assert most_in_any_minute(arrivals) <= 600
    assert sum(weight for moment, weight in arrivals if woke_s <= moment < woke_s + 1) <= 5 * 2 + 10


# Order


@given(st.lists(st.sampled_from([1, 2, 5, 10]), min_size=2, max_size=30))
def test_waiters_are_served_in_order_of_arrival_whatever_their_weight(virtually, weights):
    async def main():
        gate, served = limiter(120), []

        async def one(number, weight):
            gate.answered(await pay(gate, weight))
            served.append(number)

        await all_of(one(number, weight) for number, weight in enumerate(weights))
        return served

    assert virtually(main()) == list(range(len(weights)))


@given(
    # What is paid here is never answered, so all of it has to fit into the budget: more would wait for ever, rightly.
    st.lists(st.tuples(st.sampled_from([1, 2, 5, 10]), st.booleans(), st.floats(0, 5)), min_size=2, max_size=20).filter(
        lambda waiters: sum(weight for weight, _, _ in waiters) <= 120
    ),
)
def test_a_cancelled_waiter_blocks_nobody_and_takes_nothing_along(virtually, waiters):
    async def finish_s(cancelling):
        gate, start_s = limiter(120), now()
        tasks = [(asyncio.ensure_future(pay(gate, weight)), gone, at_s) for weight, gone, at_s in waiters]
        loop = asyncio.get_running_loop()
        for task, gone, at_s in tasks:
            if gone and cancelling:
                loop.call_later(at_s, task.cancel)
        outcomes = await asyncio.gather(*(task for task, _, _ in tasks), return_exceptions=True)
        paid = sum(payment.cost["weight"] for payment in outcomes if not isinstance(payment, BaseException))
        assert gate.weight_paid == gate.in_flight_weight == paid
        return now() - start_s

    patient_s, hasty_s = virtually(finish_s(False)), virtually(finish_s(True))

    assert hasty_s <= patient_s + 1e-6


def test_what_a_cancelled_waiter_drew_from_the_pace_serves_the_next_one(virtually):
    async def main():
        gate = limiter(60, heaviest=10)
        gate.pause(30)
        given_up = asyncio.ensure_future(pay(gate, 10))
        await asyncio.sleep(29)
        given_up.cancel()
        start_s = now()
        await pay(gate, 10)
        return now() - start_s

    assert virtually(main()) == pytest.approx(1, abs=0.01)


def test_weight_that_can_never_be_paid_is_refused_at_once(virtually):
    for weight in (0, -1, 11):
        with pytest.raises(ValueError, match="never be paid"):
            virtually(pay(limiter(100, heaviest=10), weight))


def test_a_payment_is_closed_once(virtually):
    async def main():
        gate = limiter()
        payment = await pay(gate, 5)
        gate.answered(payment)
        gate.answered(payment)
        return gate.in_flight, gate.in_flight_weight, gate.window_weight

    assert virtually(main()) == (0, 0, 5)


# Pauses


def test_a_pause_stops_the_whole_scope(virtually):
    async def main():
        gate = limiter()
        asyncio.get_running_loop().call_later(5, gate.pause, 100)
        start_s, sent = now(), []

        async def work():
            for _ in range(40):
                gate.answered(await pay(gate, 10))
                sent.append(now() - start_s)

        await all_of(work() for _ in range(4))
        return sent

    sent = virtually(main())

    assert any(moment < 5 for moment in sent)
    assert not any(5 < moment < 105 for moment in sent)
    assert any(moment >= 105 for moment in sent)


def test_a_shorter_pause_never_shortens_a_longer_one(virtually):
    async def main():
        gate = limiter()
        gate.pause(50)
        gate.pause(10)
        before = gate.paused_for_s
        await pay(gate, 1)
        return before, gate.paused_for_s, now()

    before, after, moment = virtually(main())

    assert (before, after) == (pytest.approx(50), 0)
    assert moment >= 1050


def test_after_a_pause_the_pace_goes_on_without_a_burst(virtually):
    async def main():
        gate, sent = limiter(600, heaviest=5), []
        gate.pause(120)
        start_s = now()
        for _ in range(50):
            gate.answered(await pay(gate, 5))
            sent.append(now() - start_s)
        return sent

    sent = virtually(main())

    assert sent[0] >= 120
    assert sum(moment < 121 for moment in sent) * 5 <= 10 + 5 * 3


# Settings


def test_more_than_the_venue_allows_is_a_settings_error():
    with pytest.raises(SettingsError, match="budget 2401 is more than the 2400") as caught:
        limiter(2401, advertised=2400)

    assert "--budget 2400" in caught.value.hint


def test_less_than_one_page_costs_is_a_settings_error():
    with pytest.raises(SettingsError, match=r"budget 4 is less than one page costs \(5\)"):
        limiter(4, heaviest=5)


@pytest.mark.parametrize(("budget", "heaviest"), [(5, 5), (1, 1), (10, 10), (2400, 10)])
def test_the_smallest_budgets_work(virtually, budget, heaviest):
    async def main():
        gate, arrivals = limiter(budget, advertised=2400, heaviest=heaviest), []
        for _ in range(4):
            await send(gate, heaviest, 0.1, 0.1, arrivals)
        return arrivals

    assert most_in_any_minute(virtually(main())) <= budget


# The address: a venue that counts calendar minutes, and other programs


@dataclass
class Address:
    """A venue that counts what an address uses in minutes of its own and refuses more; moments are loop time."""

    advertised: int
    phase_s: float
    minute: int = -1
    used: int = 0
    refused: dict[str, int] = field(default_factory=lambda: {"own": 0, "other": 0})
    spent: dict[str, int] = field(default_factory=lambda: {"own": 0, "other": 0})

    def charge(self, who, weight):
        minute = int((now() + self.phase_s) // 60)
        if minute != self.minute:
            self.minute, self.used = minute, 0
        self.used += weight
        if self.used > self.advertised:
            self.refused[who] += 1
        self.spent[who] += weight
        return self.used


QUICK = (0.02, 0.1)
SLOW = (0.4, 0.6)
UNEVEN = (0.1, 0.8)


async def beside(address, seconds, others, *, budget=2400, weight=5, way_s=QUICK, before_s=0.0):
    """Work at `budget` for so long beside other programs, which begin `before_s` earlier; a way takes `way_s`."""
    gate = limiter(budget, advertised=address.advertised, heaviest=weight)
    dice = random.Random(3)

    async def one(cost):
        payment = await pay(gate, cost)
        await asyncio.sleep(dice.uniform(*way_s))
        used = address.charge("own", cost)
        await asyncio.sleep(dice.uniform(*way_s))
        gate.answered(payment, {"weight": used})

    async def work():
        while now() < end_s:
            await one(weight)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(other(address)) for other in others]
        await asyncio.sleep(before_s)
        end_s = now() + seconds
        # As in a real run the clock is read first, alone.
        await one(1)
        await all_of(work() for _ in range(64))
        for task in tasks:
            task.cancel()


def steady(weight_a_minute):
    async def spend(address):
        while True:
            await asyncio.sleep(60 / weight_a_minute)
            address.charge("other", 1)

    return spend


def bursts(weight, every_s):
    async def spend(address):
        while True:
            await asyncio.sleep(every_s)
            for _ in range(weight):
                address.charge("other", 1)

    return spend


@pytest.mark.parametrize("phase_s", [44, *at_length((0,), (21,), (59.5,))])
@pytest.mark.parametrize("way_s", [QUICK, SLOW, UNEVEN], ids=["quick", "slow", "uneven"])
@pytest.mark.parametrize("weight", [5, 10, *at_length((2,))])
def test_alone_at_the_advertised_budget_nothing_is_refused_and_nearly_all_is_used(virtually, phase_s, way_s, weight):
    address = Address(2400, phase_s)

    virtually(beside(address, 300, [], way_s=way_s, weight=weight), oversleep_s=0.005)

    assert address.refused == {"own": 0, "other": 0}
    assert address.spent["own"] >= 0.97 * 2400 * 5


@pytest.mark.parametrize("phase_s", [0, 38, *at_length((7,), (21,), (44,), (59.5,))])
@pytest.mark.parametrize(("before_s", "way_s"), [(0, QUICK), (90, UNEVEN), *at_length((90, QUICK), (0, SLOW))])
@pytest.mark.parametrize(
    "other",
    [steady(600), bursts(20, 2), bursts(50, 5), bursts(100, 10)],
    ids=["evenly", "20 every 2 s", "50 every 5 s", "100 every 10 s"],
)
def test_beside_another_program_at_the_advertised_budget_neither_is_refused(virtually, phase_s, before_s, way_s, other):
    address = Address(2400, phase_s)

    virtually(beside(address, 300, [other], before_s=before_s, way_s=way_s), oversleep_s=0.005)

    assert address.refused == {"own": 0, "other": 0}
    # What the other one leaves is used for the larger part, and from the first windows on.
    assert address.spent["own"] >= 0.8 * 5 * (2376 - 600)


def test_the_address_is_not_overrun_when_others_have_used_nearly_all_of_it(virtually):
    address = Address(2400, 0)

    async def main():
        # The minute has 40 s to go, and 2390 of 2400 are spent.
        address.charge("other", 2390)
        await beside(address, 30, [])

    virtually(main())

    assert address.refused["own"] == 0


def test_what_headers_told_survives_a_change_of_the_budget(virtually):
    async def main():
        gate = limiter(1200, advertised=2400, heaviest=5)
        gate.answered(await pay(gate, 1), used={"weight": 2390})
        gate.configure({"weight": share(2000, advertised=2400, heaviest=5)})
        start_s = now()
        await pay(gate, 5)
        return now() - start_s

    assert virtually(main()) > 50


def test_an_address_that_is_full_is_tried_again_when_its_minute_must_be_over(virtually):
    async def main():
        gate = limiter(2400, advertised=2400)
        gate.answered(await pay(gate, 10), used={"weight": 2399})
        start_s = now()
        await pay(gate, 10)
        return now() - start_s

    assert 59 < virtually(main()) < 63


def test_without_a_header_only_the_own_budget_counts(virtually):
    async def main():
        gate, sent = limiter(120, advertised=120), []
        for _ in range(40):
            gate.answered(await pay(gate, 5), used=None)
            sent.append(now())
        return sent

    sent = virtually(main())

    assert max(after - before for before, after in pairwise(sent)) < 6
    assert most_in_any_minute([(moment, 5) for moment in sent]) <= 120


def test_weight_paid_counts_every_payment(virtually):
    async def main():
        gate = limiter()
        for weight in (1, 2, 5, 10):
            gate.answered(await pay(gate, weight))
        return gate.weight_paid, gate.window_weight

    assert virtually(main()) == (18, 18)


def test_a_minute_later_the_window_is_empty(virtually):
    async def main():
        gate = limiter()
        gate.answered(await pay(gate, 10))
        await asyncio.sleep(61)
        return gate.window_weight

    assert virtually(main()) == 0


def test_at_half_the_pace_it_goes_for_the_time_that_was_ordered_and_then_as_before(virtually):
    async def main():
        gate = of(requests=Share(Quota(100, 1.0), 100))
        start_s, sent = now(), []
        gate.slow(10)
        while now() < start_s + 20:
            payment = await gate.pay({"requests": 1})
            sent.append(now() - start_s)
            gate.answered(payment)
        return sent

    sent = virtually(main())

    slow = sum(at_s < 10 for at_s in sent)
    assert 450 <= slow <= 510
    assert 900 <= len(sent) - slow <= 1010
