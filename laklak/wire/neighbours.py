"""What all programs on this address use of a quota, read off the venue's header."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

ADDRESS_SHARE: Final = 0.99


_NEIGHBOUR_MARGIN: Final = 1.25


_PROBE_AFTER_S: Final = 2.0


_LEARN_AFTER_S: Final = 3.0


@dataclass(slots=True, eq=False)
class Payment:
    """One request paid for. Times are loop time in seconds; `answered_at` is None while it is in flight.

    `cost`: units by quota.  `answered_before`: own units of each quota with a gauge that were answered before this was
    sent.
    """

    cost: Mapping[str, int]
    sent_at: float
    answered_before: Mapping[str, int] = field(default_factory=dict)
    answered_at: float | None = None


class AddressGauge:
    """What all programs on this address use, from the venue's header.  Decides only; `now` comes in.

    The venue counts in windows of `seconds` that start at its own moment, and answers come in any order, so the order
    of answers proves nothing about the order of arrival:

    * within a window the count only rises, so the highest header counts, or one on a request sent after that was read;
    * a header shows a new window if it is less than half of the last reading, even if everything in flight arrived
      later. From then on a window is as long as documented, until a header shows the next;
    * own units in a window's count are at most those in flight or answered since its first request was sent.  Only the
      rest surely belongs to others, so own requests never look like a neighbour.
    """

    def __init__(self, advertised: int, seconds: float) -> None:
        self._seconds = seconds
        self.advertise(advertised)
        self.used = 0
        self.answered = 0
        """All own units ever answered."""
        self._used_at = 0.0
        self._read_at: float | None = None
        self._first_read_at = 0.0
        self._first_foreign = 0
        # The window: when it was first seen; None if none was seen to begin.
        self._window_at: float | None = None
        self._answered_before = 0
        self._foreign = 0
        self._burst = 0
        # The window before: its last count, and until when requests may have been sent into it.
        self._left = 0
        self._left_at = 0.0
        self._past: deque[tuple[int, int]] = deque(maxlen=3)

    def advertise(self, advertised: int) -> None:
        """Set the units that the venue allows the address in a window."""
        self.allowed = ADDRESS_SHARE * advertised

    def read(
        self, units: int, sent_at: float, answered_before: int, used: int | None, *, in_flight: int, now: float
    ) -> None:
        """Read the header of the answer to a request of `units`; `in_flight` are own units still unanswered."""
        beside = self.answered - answered_before + in_flight
        self.answered += units
        if used is None or (sent_at < self._left_at and used * 2 >= self._left):
            return  # no header, or one that still speaks of the window before
        first = self._read_at is None
        began = not first and (used + beside) * 2 < self.used
        if began:
            self._begin(now, answered_before)
            self._window_at = now
        if used > self.used or sent_at >= self._used_at:
            self.used, self._used_at = used, now
        foreign = max(self._foreign, used - (self.answered - self._answered_before) - in_flight)
        if first:
            self._first_read_at, self._first_foreign = now, foreign
        elif not began:
            self._burst = max(self._burst, foreign - self._foreign)
        self._foreign = foreign
        self._read_at = now

    def room(self, units: int, in_flight: int, now: float) -> bool:
        """Whether a request of `units` may be sent now."""
        if self._read_at is None:
            return True
        self._roll(self._read_at, now)
        load = self.used + in_flight + units
        if load > self.allowed:
            return False
        if load + self._reserve(now) <= self.allowed:
            return True
        # Kept back for others: from time to time send one request, because only an answer tells.
        return not in_flight and now - self._read_at >= _PROBE_AFTER_S

    def _roll(self, read_at: float, now: float) -> None:
        """End a window its length after it began, or after the last header if its beginning was not seen."""
        if self._window_at is None:
            ended = now - read_at >= self._seconds
        else:
            ended = now - self._window_at >= self._seconds
            self._window_at += (now - self._window_at) // self._seconds * self._seconds
        if ended:
            self._begin(now, self.answered)
            self._read_at = now

    def _begin(self, now: float, answered_before: int) -> None:
        """Begin to count a new window, without own units answered before."""
        self._past.append((self._foreign, self._burst))
        self._left, self._left_at = self.used, now
        self._answered_before = answered_before
        self.used = self._foreign = self._burst = 0
        self._used_at = now

    def _reserve(self, now: float) -> float:
        """Units to leave to others: what they will still use at their rate, and the most they spent at once."""
        busiest = max((foreign for foreign, _ in self._past), default=0)
        burst = max((burst for _, burst in self._past), default=0)
        rate = busiest / self._seconds
        if self._window_at is not None:
            elapsed, remaining = now - self._window_at, max(0.0, self._window_at + self._seconds - now)
            seen = self._foreign
        else:
            elapsed, remaining = now - self._first_read_at, self._seconds
            seen = max(0, self._foreign - self._first_foreign)
        if elapsed >= _LEARN_AFTER_S:
            rate = max(rate, seen / elapsed)
        still = max(rate * remaining, busiest - self._foreign, 0.0)
        return _NEIGHBOUR_MARGIN * (still + max(burst, self._burst))
