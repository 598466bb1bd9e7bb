"""What this address may send to one pool of quotas: a venue, or several that count together.

Every request pays here before it is sent, all its quotas at once.  Requests for the same quota go in order of arrival,
whatever they cost.  A payment must pass, for each quota:

* the pace: a leaky bucket (aiolimiter) of rate 0.98 x share / window that starts with nothing in it;
* the account: no window at the venue exceeds the share (laklak.wire.quota has the proof), including what other laklak
  processes of this user have spent of it (laklak.wire.shared);
* the address, if the venue counts in windows that its clock starts and reports the use: the reported units, plus own
  units in flight, plus this request, stay within 0.99 x what the venue allows, less what other programs on the address
  will likely still use in this window.

A 429 pauses the exceeded quota, or like a ban the whole pool; never one worker.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from aiolimiter import AsyncLimiter

from laklak.wire.neighbours import AddressGauge, Payment
from laklak.wire.quota import Account, Share, together
from laklak.wire.shared import SharedWindow

_FLUSH_AFTER_S: Final = 0.1
_AHEAD_PARTS: Final = 64
_AHEAD_REQUESTS: Final = 16
"""Units to take ahead of others: for this many requests, but at most this part of our share of a window."""


class PausedTooLong(Exception):
    """A quota of the request is paused for longer than it may wait: `seconds` from now."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class Meter:
    """One quota of a limiter: its account, its pace, and the address's use if the venue reports it."""

    def __init__(self, name: str, share: Share, share_window: Callable[[str, float], SharedWindow] | None) -> None:
        """`share_window` returns what other processes have spent of a window, by the quota's name and seconds."""
        self.name = name
        self._share_window = share_window
        self.shared: dict[float, SharedWindow] = {}
        self._ahead = 0
        self.account = Account(share)
        self.address = (
            AddressGauge(share.quota.units, share.quota.seconds) if share.quota.window == "calendar" else None
        )
        self.queue: deque[asyncio.Event] = deque()
        """Whose turn it is, then those behind in order."""
        self.configure(share)

    def configure(self, share: Share) -> None:
        """Set the share; what was spent and read stays, the pace starts empty."""
        share.check(self.name)
        self.account.configure(share)
        if self.address is not None:
            self.address.advertise(share.quota.units)
        if self._share_window is not None:
            for units, seconds in share.windows:
                if seconds not in self.shared:
                    self.shared[seconds] = self._share_window(self.name, seconds)
                self.shared[seconds].may_spend(units)
        self._at_once = share.at_once
        self._pace = AsyncLimiter(self._at_once, self._at_once / share.budget.units_a_second)
        self._empty = True
        self._drawn = 0

    def check(self, units: int) -> None:
        """Raise ValueError for units that can never be paid."""
        if not 0 < units <= self._at_once:
            raise ValueError(f"a request of {self.name} {units} can never be paid from a bucket of {self._at_once}")

    async def draw(self, units: int) -> None:
        """Wait until the pace allows `units`; units drawn and not taken stay for the next request."""
        if self._empty:
            await self._pace.acquire(self._at_once)
            self._empty = False
        if self._drawn < units:
            await self._pace.acquire(units - self._drawn)
            self._drawn = units

    def wait_s(self, units: int, now: float) -> float | None:
        """None when `units` may go now; else seconds after which to look again."""
        wait_s = self.account.wait_s(units, now)
        if wait_s is None and self.address is not None and not self.address.room(units, self.account.in_flight, now):
            return 0.25
        return wait_s

    def wait_for_others_s(self, units: int, since: float, now: float) -> float | None:
        """None when other processes leave room for `units`, too; else seconds after which to look again.

        Call it inside the locks of `shared`.  A process that has waited since before `since` goes first.
        """
        windows = self.shared.values()
        others = [window.others() for window in windows]
        if self.account.wait_s(units, now, others) is None and not any(one.is_behind(since) for one in windows):
            ahead = min(_AHEAD_REQUESTS * units, self.account.share.units // _AHEAD_PARTS)
            leaves_room = self.account.wait_s(units + ahead, now, others) is None
            self._ahead = ahead if leaves_room and not any(one.anybody_waits() for one in windows) else 0
            return None
        for window in windows:
            window.wait(since)
        return min(window.again_s for window in windows)

    def covers(self, units: int) -> bool:
        """Whether `units` may go without a look at other processes."""
        return all(window.covers(units) for window in self.shared.values())

    def take(self, units: int) -> None:
        """Count `units` as sent; call it inside the locks of `shared`, or if it `covers` them."""
        self._drawn -= units
        self.account.take(units)
        for window in self.shared.values():
            if window.covers(units):
                window.take_from_ahead(units)
            else:
                window.take(units, self._ahead)

    def answered(self, units: int, payment: Payment, used: int | None, now: float) -> None:
        """Note that their request ended; `used` is the address's use according to the venue's header."""
        self.account.answered(units, now)
        for window in self.shared.values():
            window.answered(units, now)
        if self.address is not None:
            before = payment.answered_before.get(self.name, 0)
            self.address.read(units, payment.sent_at, before, used, in_flight=self.account.in_flight, now=now)


class Limiter:
    """What we may spend of the quotas of one pool. Not for several event loops.

    `next_window_s` returns the seconds until the next window of the given length starts by the venue's clock.  A report
    with one figure shows the first quota.
    """

    def __init__(
        self,
        shares: Mapping[str, Share],
        *,
        next_window_s: Callable[[float], float],
        by: str = "",
        share_window: Callable[[str, float], SharedWindow] | None = None,
    ) -> None:
        """Raise SettingsError for a share above what the venue allows, or below the cost of a request.

        `by` names the venue that sets the shares; through `share_window` processes tell each other what they have
        spent.
        """
        self._share_window = share_window
        self._flushing: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()
        self._next_window_s = next_window_s
        self._paused_until = 0.0
        self._slowed: asyncio.TimerHandle | None = None
        self._shares: dict[str, Mapping[str, Share]] = {}
        self.meters: dict[str, Meter] = {}
        self.in_flight = 0
        """Requests on the wire."""
        self.configure(shares, by=by)

    def configure(self, shares: Mapping[str, Share], by: str = "") -> None:
        """Set what may be spent from now on; the pace starts empty. SettingsError as above.

        If venues of the pool set different shares of a quota, the smallest counts.
        """
        self._shares[by] = shares
        self._configure(shares)

    def slow(self, seconds: float) -> None:
        """Let everything go at half the pace for the next `seconds`."""
        if self._slowed is not None:
            self._slowed.cancel()
        is_new = self._slowed is None
        self._slowed = asyncio.get_running_loop().call_later(seconds, self._unslow)
        if is_new:
            self._configure(self.meters)

    def _unslow(self) -> None:
        self._slowed = None
        self._configure(self.meters)
        self._changed.set()

    def _configure(self, names: Iterable[str]) -> None:
        for name in [*names]:
            share = together([own[name] for own in self._shares.values() if name in own])
            if self._slowed is not None:
                share = replace(share, units=max(share.heaviest, share.units // 2))
            if name in self.meters:
                self.meters[name].configure(share)
            else:
                self.meters[name] = Meter(name, share, self._share_window)

    @property
    def first(self) -> Meter:
        """The quota of a page's price steps, which reports show."""
        return next(iter(self.meters.values()))

    @property
    def paid(self) -> Mapping[str, int]:
        """All units ever sent, by quota."""
        return {name: meter.account.paid for name, meter in self.meters.items()}

    @property
    def weight_paid(self) -> int:
        return self.first.account.paid

    @property
    def in_flight_weight(self) -> int:
        return self.first.account.in_flight

    @property
    def window_weight(self) -> int:
        """Own units of the last window: in flight, or answered within it."""
        return self.first.account.spent(self._now())

    @property
    def paused_for_s(self) -> float:
        """Seconds until everything may go on after a 429 or a ban; 0 if nothing is paused."""
        now = self._now()
        return max(0.0, self._paused_until - now, *(meter.account.paused_for_s(now) for meter in self.meters.values()))

    async def pay(self, cost: Mapping[str, int], *, longest_pause_s: float = math.inf) -> Payment:
        """Wait for this request's turn and return the payment to pass to `answered`.

        ValueError at once for a cost that can never be paid or that names an unknown quota; PausedTooLong if the pool
        or one of its quotas is paused for more than `longest_pause_s` from now.
        """
        parts = self._parts(cost)
        turn = asyncio.Event()
        for meter, _ in parts:
            meter.queue.append(turn)
        try:
            while any(meter.queue[0] is not turn for meter, _ in parts):
                turn.clear()
                await turn.wait()
            for meter, units in parts:
                await meter.draw(units)
            since = self._now()
            while (wait_s := self._take_or_wait_s(parts, since)) is not None:
                if (paused_s := self._paused_s(parts)) > longest_pause_s:
                    raise PausedTooLong(paused_s)
                await self._change_or(wait_s)
            self.in_flight += 1
            before = {meter.name: meter.address.answered for meter, _ in parts if meter.address is not None}
            return Payment(cost, self._now(), before)
        finally:
            for meter, _ in parts:
                meter.queue.remove(turn)
                if meter.queue:
                    meter.queue[0].set()

    def answered(self, payment: Payment, used: Mapping[str, int] | None = None) -> None:
        """Note that the request ended, answered or not; `used` is the use from headers, by quota. Once per payment."""
        if payment.answered_at is not None:
            return
        now = self._now()
        payment.answered_at = now
        self.in_flight -= 1
        for name, units in payment.cost.items():
            self.meters[name].answered(units, payment, None if used is None else used.get(name), now)
        self._changed.set()
        if self._flushing is None and self._share_window is not None:
            self._flushing = asyncio.get_running_loop().call_later(_FLUSH_AFTER_S, self._flush)

    def close(self) -> None:
        """Leave to other processes what was spent."""
        if self._slowed is not None:
            self._slowed.cancel()
        if self._flushing is not None:
            self._flushing.cancel()
        for meter in self.meters.values():
            for window in meter.shared.values():
                window.close()

    def pause(self, seconds: float, quota: str | None = None) -> None:
        """Let nothing through for `seconds`, or nothing of one quota; never shortens a pause."""
        until = self._now() + seconds
        if quota is not None and quota in self.meters:
            self.meters[quota].account.pause(until)
        else:
            self._paused_until = max(self._paused_until, until)
        self._changed.set()

    def next_window_s(self, quota: str | None = None) -> float:
        """Seconds until there is room for sure: how long a 429 without Retry-After stops a quota, or all."""
        quotas = [meter.account.share.quota for name, meter in self.meters.items() if quota in (None, name)]
        return max(self._next_window_s(one.seconds) if one.window == "calendar" else one.seconds for one in quotas)

    def _parts(self, cost: Mapping[str, int]) -> Sequence[tuple[Meter, int]]:
        if not cost or not cost.keys() <= self.meters.keys():
            raise ValueError(f"a request of {dict(cost)} can never be paid: the quotas are {', '.join(self.meters)}")
        parts = [(self.meters[name], units) for name, units in cost.items()]
        for meter, units in parts:
            meter.check(units)
        return parts

    def _take_or_wait_s(self, parts: Sequence[tuple[Meter, int]], since: float) -> float | None:
        """Take all of it and return None, or return the seconds after which to look again."""
        now = self._now()
        if now < self._paused_until:
            return self._paused_until - now
        wait_s = _longest(meter.wait_s(units, now) for meter, units in parts)
        if wait_s is not None:
            return wait_s
        to_ask = [(meter, units) for meter, units in parts if not meter.covers(units)]
        entered: list[SharedWindow] = []
        try:
            for window in [window for meter, _ in to_ask for window in meter.shared.values()]:
                if not window.enter():
                    return window.again_s
                entered.append(window)
            wait_s = _longest(meter.wait_for_others_s(units, since, now) for meter, units in to_ask)
            if wait_s is None:
                # All at once, and only now: a waiter cancelled earlier leaves what it drew from the paces to the next.
                for meter, units in parts:
                    meter.take(units)
            return wait_s
        finally:
            for window in entered:
                window.leave()

    def _flush(self) -> None:
        """Tell other processes what was answered."""
        windows = [window for meter in self.meters.values() for window in meter.shared.values()]
        written = [window.flush() for window in windows]
        again = not all(written)
        self._flushing = asyncio.get_running_loop().call_later(_FLUSH_AFTER_S, self._flush) if again else None

    def _paused_s(self, parts: Sequence[tuple[Meter, int]]) -> float:
        now = self._now()
        return max(self._paused_until - now, *(meter.account.paused_for_s(now) for meter, _ in parts))

    async def _change_or(self, seconds: float) -> None:
        """Wait for the next answer or pause, at most `seconds`."""
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
        return f"<Limiter in_flight={self.in_flight} paid={dict(self.paid)}>"


def _longest(waits: Iterable[float | None]) -> float | None:
    return max((wait_s for wait_s in waits if wait_s is not None), default=None)
