"""The weight budget of one metered scope: a venue as seen from this address.

Every request on the wire is paid for here first, in order of arrival whatever its weight.  A payment passes:

* the pace: a leaky bucket (aiolimiter) of rate 0.98 x budget / 60 s that starts with nothing in it;
* the log: everything sent but not answered, plus everything answered in the last 60 s, plus this one, stays within
  the budget.  A request reaches the venue some time between sending and answer, so no 60 s span *at the venue* can
  hold more than the budget, however late or bunched requests arrive: take any such span and the request in it that
  was sent last; when it was sent, each of the others was still unanswered or answered within those 60 s.
* the address: what the venue's used-weight header says, plus own weight in flight, plus this one, stays within
  0.99 x what the venue advertises, and leaves room for what other programs here will likely still use in this window.

A 429 or a ban pauses the whole scope, not one worker.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from aiolimiter import AsyncLimiter

from laklak.errors import SettingsError
from laklak.plan.cost import PACE, WINDOW_S
from laklak.wire.neighbours import AddressGauge, Payment

_GRAIN_S: Final = 0.01  # What a timer oversleeps: no pace is finer.


class Limiter:
    """Budget of one scope, in weight a minute. Not for several event loops.

    `next_minute_s` gives the seconds to the start of the venue's next minute.
    """

    def __init__(self, budget: int, *, advertised: int, heaviest: int, next_minute_s: Callable[[], float]) -> None:
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()
        self._next_minute_s = next_minute_s
        self._answered: deque[tuple[float, int]] = deque()
        self._answered_weight = 0
        self._paused_until = 0.0
        self.address = AddressGauge(advertised)
        self.in_flight = 0
        self.in_flight_weight = 0
        self.weight_paid = 0
        self.configure(budget, advertised=advertised, heaviest=heaviest)

    def configure(self, budget: int, *, advertised: int, heaviest: int) -> None:
        """Set budget, advertised limit and the weight of the heaviest request to come; the pace starts empty."""
        if budget > advertised:
            raise SettingsError(
                f"budget {budget} is more than the {advertised} weight a minute that the venue allows",
                hint=f"use --budget {advertised}, or --budget max",
            )
        if heaviest > budget:
            raise SettingsError(
                f"budget {budget} is less than one page costs ({heaviest})",
                hint=f"use --budget {heaviest} or more, or a smaller --chunk",
            )
        self.budget = budget
        self.address.advertise(advertised)
        # The bucket holds two of the heaviest requests where that is within the 2 % that the pace leaves free: with
        # room for just one, the time that every wait oversleeps would be lost, a percent or more of the budget.  Of a
        # budget that nothing can exhaust it holds what no timer could tell apart.
        burst = max(2 * heaviest, int(_GRAIN_S * budget / WINDOW_S))
        burst = max(heaviest, min(burst, int((1 - PACE) * budget)))
        self._pace = AsyncLimiter(burst, burst / (PACE * budget / WINDOW_S))
        self._burst = burst
        self._empty = True
        self._paced = 0

    @property
    def window_weight(self) -> int:
        """Own weight of the last minute: in flight, or answered in the last 60 s."""
        self._forget(self._now())
        return self.in_flight_weight + self._answered_weight

    @property
    def paused_for_s(self) -> float:
        """Seconds until the scope may go on after a 429 or a ban; 0 when it may."""
        return max(0.0, self._paused_until - self._now())

    async def pay(self, weight: int) -> Payment:
        """Wait for this request's turn and give the payment to hand back to `answered`.

        ValueError at once for a weight that can never be paid.
        """
        if not 0 < weight <= self._burst:
            raise ValueError(f"a request of weight {weight} can never be paid from a bucket of {self._burst}")
        async with self._turn:
            if self._empty:
                await self._pace.acquire(self._burst)
                self._empty = False
            if self._paced < weight:
                await self._pace.acquire(weight - self._paced)
                self._paced = weight
            while (wait_s := self._wait_s(weight)) is not None:
                await self._change_or(wait_s)
            # Only now: a waiter cancelled above leaves what it drew from the pace to the next one.
            self._paced -= weight
            payment = Payment(weight, self._now(), self.address.answered)
            self.in_flight += 1
            self.in_flight_weight += weight
            self.weight_paid += weight
            return payment

    def answered(self, payment: Payment, used: int | None = None) -> None:
        """The request ended, with an answer or without; `used` is the used-weight header. Once per payment."""
        if payment.answered_at is not None:
            return
        now = self._now()
        payment.answered_at = now
        self.in_flight -= 1
        self.in_flight_weight -= payment.weight
        self._answered.append((now, payment.weight))
        self._answered_weight += payment.weight
        self.address.read(payment, used, self.in_flight_weight, now)
        self._changed.set()

    def pause(self, seconds: float) -> None:
        """Let nothing through for so long (never shortens a pause)."""
        self._paused_until = max(self._paused_until, self._now() + seconds)
        self._changed.set()

    def next_window_s(self) -> float:
        """Seconds until the venue's next minute: how long a 429 without Retry-After stops the scope."""
        return self._next_minute_s()

    def _wait_s(self, weight: int) -> float | None:
        """Why not now: seconds after which to look again, or None to go."""
        now = self._now()
        if now < self._paused_until:
            return self._paused_until - now
        self._forget(now)
        if self.in_flight_weight + self._answered_weight + weight > self.budget:
            return self._answered[0][0] + WINDOW_S - now + 0.001 if self._answered else WINDOW_S
        if not self.address.room(weight, self.in_flight_weight, now):
            return 0.25
        return None

    def _forget(self, now: float) -> None:
        while self._answered and self._answered[0][0] < now - WINDOW_S:
            self._answered_weight -= self._answered.popleft()[1]

    async def _change_or(self, seconds: float) -> None:
        """Wait until an answer or a pause changes the picture, at most so long."""
        self._changed.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            pass

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    def __repr__(self) -> str:
        return (
            f"<Limiter budget={self.budget} in_flight={self.in_flight_weight} "
            f"minute={self._answered_weight} used={self.address.used}>"
        )
