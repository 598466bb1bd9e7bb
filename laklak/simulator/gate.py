"""A venue's budget of one address: refusals over it, a ban for a client that does not stop. Pure: time comes in."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final, Literal

Window = Literal["calendar", "sliding"]

_MINUTE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Decision:
    """The gate's answer to a request: 200, 429 (too many) or 418 (banned), whatever the venue's words for them are;

    the weight used by then, and when to come back.
    """

    status: int
    used: int
    retry_at_s: float


class Gate:
    """Counts weight in windows of `window_s` that begin with the calendar (as Binance's minutes do) or that slide.

    Refused requests count too. More than `patience` refusals in a window begin a ban of `ban_s`; when it ends the count
    starts anew. Another program on the same address spends `neighbour_weight_per_minute` evenly, one weight at a time
    from the moment `start_s` on; `neighbour_refusals` counts its refusals.
    """

    def __init__(
        self,
        budget: int,
        *,
        start_s: float,
        window: Window = "calendar",
        window_s: float = _MINUTE_S,
        patience: int = 10,
        ban_s: float = 120.0,
        neighbour_weight_per_minute: int = 0,
    ) -> None:
        self.budget = budget
        self.banned_until_s = 0.0
        self.neighbour_requests = 0
        self.neighbour_refusals = 0
        self._window = window
        self._window_s = window_s
        self._patience = patience
        self._ban_s = ban_s
        self._charges: deque[tuple[float, int, bool]] = deque()
        self._used = 0
        self._refused = 0
        self._neighbour_step_s = _MINUTE_S / neighbour_weight_per_minute if neighbour_weight_per_minute else 0.0
        self._neighbour_start_s = start_s

    def __repr__(self) -> str:
        return f"<Gate used={self._used}/{self.budget} refused={self._refused} banned_until_s={self.banned_until_s}>"

    def charge(self, now_s: float, weight: int) -> Decision:
        """Count a request of `weight` at `now_s` (epoch seconds, never falling) and return its answer."""
        self._let_neighbour_spend(now_s)
        return self._charge(now_s, weight)

    def ban(self, now_s: float, seconds: float) -> None:
        """Refuse everything with 418 for `seconds` from now."""
        self.banned_until_s = now_s + seconds

    def _charge(self, now_s: float, weight: int) -> Decision:
        self._forget(now_s)
        if now_s < self.banned_until_s:
            return Decision(418, self._used, self.banned_until_s)
        over = self._used + weight > self.budget
        self._charges.append((now_s, weight, over))
        self._used += weight
        self._refused += over
        if self._refused > self._patience:
            self.ban(now_s, self._ban_s)
            return Decision(418, self._used, self.banned_until_s)
        return Decision(429 if over else 200, self._used, self._window_end(now_s))

    def _forget(self, now_s: float) -> None:
        # A ban lasts longer than a window, so nothing from before it counts any more.
        if self.banned_until_s and now_s >= self.banned_until_s:
            self.banned_until_s = 0.0
            self._charges.clear()
            self._used = self._refused = 0
        begin_s = now_s // self._window_s * self._window_s if self._window == "calendar" else now_s - self._window_s
        while self._charges and self._charges[0][0] < begin_s:
            _, weight, over = self._charges.popleft()
            self._used -= weight
            self._refused -= over

    def _window_end(self, now_s: float) -> float:
        return (now_s // self._window_s + 1) * self._window_s if self._window == "calendar" else now_s + self._window_s

    def _let_neighbour_spend(self, now_s: float) -> None:
        if not self._neighbour_step_s:
            return
        # Counted, not added up, so that a long run does not drift.
        due = int((now_s - self._neighbour_start_s) / self._neighbour_step_s)
        while self.neighbour_requests < due:
            self.neighbour_requests += 1
            at_s = self._neighbour_start_s + self.neighbour_requests * self._neighbour_step_s
            self.neighbour_refusals += self._charge(at_s, 1).status != 200
