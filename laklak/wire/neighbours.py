"""What all programs on this address use of a venue's budget, read off its header."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from laklak.plan.cost import WINDOW_S

ADDRESS_SHARE: Final = 0.99


_NEIGHBOUR_MARGIN: Final = 1.25


_PROBE_AFTER_S: Final = 2.0


_LEARN_AFTER_S: Final = 3.0


@dataclass(slots=True, eq=False)
class Payment:
    """One request paid for. Times are loop time in seconds; `answered_at` is None while it is in flight.

    `answered_before` is all own weight that had been answered when this was sent.
    """

    weight: int
    sent_at: float
    answered_before: int = 0
    answered_at: float | None = None


class AddressGauge:
    """What all programs on this address use, read off the venue's header.  Decides only; `now` comes in.

    The venue counts in windows of 60 s that start at its own moment and answers come in any order, so nothing here
    may take the order of answers for the order of arrival:

    * within a window the count only rises, so the highest header counts, or one on a request sent after that was read;
    * a header shows a new window when it is less than half of what was read before, even if everything that was on
      its way beside it arrived later.  From then on a window is 60 s, until a header shows the next one;
    * of a window's count, own weight is at most what is in flight or was answered since its first request was sent.
      Only what is above that is surely of others, so own requests are never taken for a neighbour.
    """

    def __init__(self, advertised: int) -> None:
        self.advertise(advertised)
        self.used = 0
        self.answered = 0
        """All own weight ever answered."""
        self._used_at = 0.0
        self._read_at: float | None = None
        self._first_read_at = 0.0
        self._first_foreign = 0
        # The window: when it was first seen, None while none was seen to begin.
        self._window_at: float | None = None
        self._answered_before = 0
        self._foreign = 0
        self._burst = 0
        # The one before: what it came to, and until when requests may have been sent into it.
        self._left = 0
        self._left_at = 0.0
        self._past: deque[tuple[int, int]] = deque(maxlen=3)

    def advertise(self, advertised: int) -> None:
        """Set the weight a window that the venue allows to the address."""
        self.allowed = ADDRESS_SHARE * advertised

    def read(self, payment: Payment, used: int | None, in_flight: int, now: float) -> None:
        """Take the header of an answer; `in_flight` is own weight still unanswered."""
        beside = self.answered - payment.answered_before + in_flight
        self.answered += payment.weight
        if used is None or (payment.sent_at < self._left_at and used * 2 >= self._left):
            return  # no header, or one that still speaks of the window before
        first = self._read_at is None
        began = not first and (used + beside) * 2 < self.used
        if began:
            self._begin(now, payment.answered_before)
            self._window_at = now
        if used > self.used or payment.sent_at >= self._used_at:
            self.used, self._used_at = used, now
        foreign = max(self._foreign, used - (self.answered - self._answered_before) - in_flight)
        if first:
            self._first_read_at, self._first_foreign = now, foreign
        elif not began:
            self._burst = max(self._burst, foreign - self._foreign)
        self._foreign = foreign
        self._read_at = now

    def room(self, weight: int, in_flight: int, now: float) -> bool:
        """Whether a request of `weight` may be sent now."""
        if self._read_at is None:
            return True
        self._roll(self._read_at, now)
        load = self.used + in_flight + weight
        if load > self.allowed:
            return False
        if load + self._reserve(now) <= self.allowed:
            return True
        # Kept back for others: look again with one request from time to time, for only an answer tells.
        return not in_flight and now - self._read_at >= _PROBE_AFTER_S

    def _roll(self, read_at: float, now: float) -> None:
        """A window ends 60 s after it was seen to begin; one that was not, 60 s after the last header."""
        if self._window_at is None:
            ended = now - read_at >= WINDOW_S
        else:
            ended = now - self._window_at >= WINDOW_S
            self._window_at += (now - self._window_at) // WINDOW_S * WINDOW_S
        if ended:
            self._begin(now, self.answered)
            self._read_at = now

    def _begin(self, now: float, answered_before: int) -> None:
        """Count a new window; own weight answered before is not of it."""
        self._past.append((self._foreign, self._burst))
        self._left, self._left_at = self.used, now
        self._answered_before = answered_before
        self.used = self._foreign = self._burst = 0
        self._used_at = now

    def _reserve(self, now: float) -> float:
        """Weight to leave to others: what they will still use at their rate, and the most they spent at once."""
        busiest = max((foreign for foreign, _ in self._past), default=0)
        burst = max((burst for _, burst in self._past), default=0)
        rate = busiest / WINDOW_S
        if self._window_at is not None:
            elapsed, remaining, seen = now - self._window_at, max(0.0, self._window_at + WINDOW_S - now), self._foreign
        else:
            elapsed, remaining, seen = now - self._first_read_at, WINDOW_S, max(0, self._foreign - self._first_foreign)
        if elapsed >= _LEARN_AFTER_S:
            rate = max(rate, seen / elapsed)
        still = max(rate * remaining, busiest - self._foreign, 0.0)
        return _NEIGHBOUR_MARGIN * (still + max(burst, self._burst))
