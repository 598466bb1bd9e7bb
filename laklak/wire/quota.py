"""The account of one quota: may this go now, else when to look again.  Pure: `now` comes in, in seconds of one clock.

Units in flight, plus units answered within the window, plus the request, stay within our share.  A request reaches the
venue some time between sending and answer, so no window *at the venue* can hold more than the share, however late or
bunched requests arrive: take any such window and the request in it that was sent last; when it was sent, each of the
others was still unanswered or had been answered within the length of the window.

A share that holds in sliding windows also holds in windows that the venue's clock starts.  A venue with a bucket (some
units at once, refilled at a rate) never holds more of ours than our share of any window: a bucket smaller than the
window is therefore an account of shorter windows, beside the one of the whole.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from laklak.errors import SettingsError
from laklak.plan.cost import PACE, Budget
from laklak.text import per_window
from laklak.venues.base import Quota

_GRAIN_S: Final = 0.01  # A timer may oversleep by this: no pace is finer.


@dataclass(frozen=True, slots=True)
class Share:
    """What we may spend of a quota: `units` in any of its windows. `heaviest`: units of the dearest request to come."""

    quota: Quota
    units: int
    heaviest: int = 1

    def check(self, name: str) -> None:
        """Raise SettingsError for more than the venue allows, or less than a request costs."""
        quota = self.quota
        if self.units > quota.units:
            raise SettingsError(
                f"budget {self.units} is more than the {quota.units} {per_window(name, quota.seconds)} that the venue "
                "allows",
                hint=f"use --budget {quota.units}, or --budget max",
            )
        if self.heaviest > self.units:
            raise SettingsError(
                f"budget {self.units} is less than one page costs ({self.heaviest})",
                hint=f"use --budget {self.heaviest} or more, or a smaller --chunk",
            )

    @property
    def budget(self) -> Budget:
        """The same without its quota."""
        return Budget(self.units, self.quota.seconds)

    @property
    def at_once(self) -> int:
        """Units that may go at once after some quiet: our part of the documented burst, else a little.

        A little is two of the heaviest requests, if that is within the 2 % that the pace leaves free: with room for
        just one, every wait would lose the time it oversleeps, a percent or more of the budget.  If that is too few for
        a large budget, it is what passes within a timer's grain.
        """
        if self.quota.burst is not None:
            return max(self.heaviest, min(self.units, self._of_burst(self.quota.burst)))
        little = max(2 * self.heaviest, int(_GRAIN_S * self.units / self.quota.seconds))
        return max(self.heaviest, min(little, int((1 - PACE) * self.units)))

    @property
    def windows(self) -> Iterator[tuple[int, float]]:
        """(units, seconds) of every window that may never hold more."""
        quota = self.quota
        yield self.units, quota.seconds
        if quota.burst is not None and quota.burst < quota.units:
            yield max(self.heaviest, self._of_burst(quota.burst)), quota.seconds * quota.burst / quota.units

    def _of_burst(self, burst: int) -> int:
        return burst * self.units // self.quota.units


def together(shares: Sequence[Share]) -> Share:
    """Merge the shares of a pool's venues: the least that any of them may spend, the heaviest of their requests."""
    least = min(shares, key=lambda share: share.quota.units)
    return Share(least.quota, min(one.units for one in shares), max(one.heaviest for one in shares))


class Account:
    """What is spent of one quota, and what may be."""

    def __init__(self, share: Share) -> None:
        self.in_flight = 0
        """Units sent and not answered."""
        self.paid = 0
        """All units ever sent."""
        self._paused_until = 0.0
        self._windows: tuple[_Window, ...] = ()
        self.configure(share)

    def configure(self, share: Share) -> None:
        """Set the share; what is spent stays spent."""
        self.share = share
        before = {window.seconds: window for window in self._windows}
        windows = []
        for units, seconds in share.windows:
            window = before.get(seconds) or _Window(seconds)
            window.units = units
            windows.append(window)
        self._windows = tuple(windows)

    def wait_s(self, units: int, now: float, others: Sequence[int] = ()) -> float | None:
        """None when `units` may go now; else seconds after which to look again, unless an answer comes before.

        `others`: what others have spent, for each window of the share.
        """
        if now < self._paused_until:
            return self._paused_until - now
        beside = others or [0] * len(self._windows)
        waits = [
            window.wait_s(self.in_flight + units + more, now)
            for window, more in zip(self._windows, beside, strict=True)
        ]
        return max((wait for wait in waits if wait is not None), default=None)

    def take(self, units: int) -> None:
        """Count `units` as sent."""
        self.in_flight += units
        self.paid += units

    def answered(self, units: int, now: float) -> None:
        """Note that their request ended, answered or not."""
        self.in_flight -= units
        for window in self._windows:
            window.add(units, now)

    def pause(self, until: float) -> None:
        """Let nothing go before `until`; never shortens a pause."""
        self._paused_until = max(self._paused_until, until)

    def paused_for_s(self, now: float) -> float:
        """Seconds until the pause ends; 0 without one."""
        return max(0.0, self._paused_until - now)

    def spent(self, now: float) -> int:
        """Units in flight, or answered within the window."""
        return self.in_flight + self._windows[0].held(now)


class _Window:
    """What was answered in the last `seconds`; together with units in flight at most `units`."""

    __slots__ = ("_answered", "_held", "seconds", "units")

    def __init__(self, seconds: float) -> None:
        self.units = 0
        self.seconds = seconds
        self._answered: deque[tuple[float, int]] = deque()
        self._held = 0

    def add(self, units: int, now: float) -> None:
        self._answered.append((now, units))
        self._held += units

    def held(self, now: float) -> int:
        while self._answered and self._answered[0][0] < now - self.seconds:
            self._held -= self._answered.popleft()[1]
        return self._held

    def wait_s(self, units: int, now: float) -> float | None:
        if self.held(now) + units <= self.units:
            return None
        return self._answered[0][0] + self.seconds - now + 0.001 if self._answered else self.seconds
