"""The venue's clock, kept between answers by this machine's monotonic clock; its wall clock may be wrong."""

from __future__ import annotations

import time
from typing import Final

_MONTH_S: Final = 31 * 86_400.0


class VenueClock:
    """Read once with `set`, then running. Never ahead of the venue's own clock: the answer took time to come."""

    def __init__(self) -> None:
        self._offset_ms = time.time_ns() // 1_000_000 - _monotonic_ms()
        self._read = False
        self.behind_ms = 0
        """How far it was set back, because the venue's time is only known that well."""

    def set(self, venue_ms: int, *, behind_ms: int = 0) -> None:
        """Set the venue's time as of now, when its answer arrived, less `behind_ms`."""
        self.behind_ms = behind_ms
        self._offset_ms = venue_ms - behind_ms - _monotonic_ms()
        self._read = True

    def now_ms(self) -> int:
        """The venue's time in ms UTC; this machine's until it has been set."""
        return _monotonic_ms() + self._offset_ms

    @property
    def read_ms(self) -> int | None:
        """The venue's time, for notes; None until it has been read."""
        return self.now_ms() if self._read else None

    def next_window_s(self, seconds: float) -> float:
        """Seconds until the next window of `seconds` has begun by both clocks, the venue's and this machine's.

        Windows count from the epoch: a window of 60 s is a minute of the clock.
        """
        return max(seconds - now_s % seconds for now_s in (self.now_ms() / 1000, time.time()))

    def seconds_until(self, moment_ms: int, longest_s: float) -> float | None:
        """Seconds until a moment the venue named, or None when it makes sense on neither clock.

        A venue names moments on its own clock, which normally is ours too.  Where the two are far apart (a replayed
        venue), use the clock on which the moment is at most `longest_s` ahead; if both qualify, the longer wait.  Take
        a moment up to a month ahead on both clocks as it is; a later one is no moment.
        """
        waits = [(moment_ms - now_ms) / 1000 for now_ms in (self.now_ms(), time.time_ns() // 1_000_000)]
        likely = [wait for wait in waits if 0 <= wait <= longest_s]
        if likely:
            return max(likely)
        return min(waits) if 0 <= min(waits) <= _MONTH_S else None


def _monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000
