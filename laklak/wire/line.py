"""The line to one host: how many answers it carries at once, and whether it still carries any.

A slow line is no fault.  Give up an answer when nothing of it comes for a while, not when the whole takes long.  When
the line is full, ask for fewer answers side by side: each takes as many times as long as there are others beside it,
and the last of them would look like silence.
"""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import Final, Self

GOOD_ANSWER_S: Final = 5.0
"""If answers side by side would take longer than this, more of them only wait for each other."""
_AT_FIRST: Final = 4
_USUAL_BYTES: Final = 130_000.0  # a page of 1000 candles
_TELLING_BYTES: Final = 16_384
_TELLING_S: Final = 5.0
_GROWTH: Final = 1.4
_LOSS: Final = 0.5
_TRIED_EVERY: Final = 4
# The pieces of a flowing answer come closer together; a longer gap means that the server has stopped.
_LONGEST_GAP_S: Final = 3.0
_SHORTEST_S: Final = 0.001
_MOST_PATIENCE: Final = 10


class LineGauge:
    """How many answers may be under way at once (`width`, at most `most`).  Pure: `now_s` comes in.

    Only the time in which bodies come in counts, one or many, so that a venue that thinks for long does not look like a
    slow line.  In that time the line carries `rate` bytes a second:

    * the width is what the line carries within GOOD_ANSWER_S, and one more, so that it never waits for a question;
    * if twice the width carries almost twice as much, the line is not full: a server may give each connection its
      share. So from time to time the width doubles, as long as that pays, and keeps what has paid.

    On a fast line the width is `most`, from the first pieces of the first large answer on.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.width = min(most, _AT_FIRST)
        self.answer_bytes = _USUAL_BYTES
        self._rate: float | None = None
        self._coming = 0
        self._now_s = 0.0
        # Since the last judgement:
        self._busy_s = 0.0
        self._bytes = 0
        self._answers = 0
        # The width that last paid, its rate, and the width under trial.
        self._proven = 1
        self._proven_rate = 0.0
        self._tried = 1
        self._judged = 0

    @property
    def rate(self) -> float | None:
        """Bytes a second that the line carries; None while unknown."""
        return self._rate if self._bytes < _TELLING_BYTES else self._bytes / max(_SHORTEST_S, self._busy_s)

    def began(self, now_s: float) -> None:
        """Note that a body begins."""
        self._pass(now_s)
        self._coming += 1

    def took(self, size: int, now_s: float) -> None:
        """Note `size` bytes of a body."""
        self._pass(now_s)
        self._bytes += size
        if self._rate is None or self._busy_s >= _TELLING_S:
            self._judge()

    def ended(self, size: int, now_s: float) -> None:
        """Note that a body of `size` bytes has come, or broke off."""
        self._pass(now_s)
        self._coming -= 1
        self._answers += 1
        # Small ones beside large ones say nothing about the large ones.
        self.answer_bytes = max(1.0, size, 0.8 * self.answer_bytes + 0.2 * size)
        if self._answers >= _AT_FIRST and self._rate is None:
            # All of them were small, which does no harm.
            self.width = self._most
        if self._answers >= self.width:
            self._judge()

    def _pass(self, now_s: float) -> None:
        if self._coming:
            self._busy_s += min(_LONGEST_GAP_S, now_s - self._now_s)
        self._now_s = now_s

    def _judge(self) -> None:
        if self._bytes < _TELLING_BYTES:
            return
        rate = self._bytes / max(_SHORTEST_S, self._busy_s)
        self._judged += 1
        if self._rate is None or rate < _LOSS * self._proven_rate:
            # The first time it is unknown how many answers made the rate.
            self._proven, self._proven_rate, self._tried = 1, rate, 1
        elif rate >= _GROWTH * self._proven_rate:
            self._proven, self._proven_rate, self._tried = self.width, rate, 2 * self.width
        else:
            self._tried = self._proven if self._judged % _TRIED_EVERY else 2 * self.width
        self._rate = rate
        self._bytes = self._answers = 0
        self._busy_s = 0.0
        fits = 1 + int(GOOD_ANSWER_S * rate / self.answer_bytes)
        self.width = max(1, min(self._most, max(fits, self._tried)))

    def __repr__(self) -> str:
        return f"<LineGauge width={self.width}/{self._most} rate={self.rate} answer_bytes={self.answer_bytes:.0f}>"


class Line:
    """Decides who may ask now, and who has waited in vain. For one event loop.

    `silence_s`: the longest silence within an answer; `longest_s`: the longest answer, against a server that trickles.
    """

    def __init__(self, most: int, *, silence_s: float, longest_s: float) -> None:
        self.gauge = LineGauge(most)
        self.silence_s = silence_s
        self.longest_s = longest_s
        self.in_flight = 0
        self.heard_s = time.monotonic()
        """When anything last came (monotonic); until then, when the line was made."""
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()

    async def enter(self) -> None:
        """Wait for a place; first come, first served. Call `leave` after each."""
        async with self._turn:
            while self.in_flight >= self.gauge.width:
                self._changed.clear()
                await self._changed.wait()
            self.in_flight += 1

    def leave(self) -> None:
        """Give the place back."""
        self.in_flight -= 1
        self._changed.set()

    def took(self, size: int, now_s: float) -> None:
        """Note a piece of an answer; it may show that there is room for more."""
        before = self.gauge.width
        self.gauge.took(size, now_s)
        if self.gauge.width > before:
            self._changed.set()

    @property
    def patience_s(self) -> float:
        """How long an answer may be silent: longer while a slow line brings others before it."""
        rate = self.gauge.rate
        if rate is None:
            return self.silence_s
        others_s = self.in_flight * self.gauge.answer_bytes / max(1.0, rate)
        return min(self.silence_s + others_s, _MOST_PATIENCE * self.silence_s)

    def answer(self) -> Reception:
        """Guard one answer: `async with line.answer() as answer: ...`, TimeoutError if it does not come."""
        return Reception(self)


class Reception:
    """One answer while it comes: hears of its beginning and of every piece, and cuts off a silent or endless one."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._begun = False
        self._size = 0

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._heard_s = self._loop.time()
        self._end_s = self._heard_s + self._line.longest_s
        self._timeout = asyncio.timeout(None)
        await self._timeout.__aenter__()
        self._arm(self._heard_s + self._line.silence_s)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        now_s = self._loop.time()
        if self._begun:
            self._line.gauge.ended(self._size, now_s)
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError as exc:
            if now_s < self._end_s:
                raise
            raise TimeoutError(f"not all of an answer within {self._line.longest_s:.0f} s") from exc

    def begins(self) -> None:
        """Note that the body comes next."""
        self._begun = True
        self._hear()
        self._line.gauge.began(self._heard_s)

    def takes(self, size: int) -> None:
        """Note a piece of the body."""
        self._size += size
        self._hear()
        self._line.took(size, self._heard_s)

    def _hear(self) -> None:
        self._heard_s = self._loop.time()
        self._line.heard_s = time.monotonic()

    def _arm(self, when_s: float) -> None:
        self._timer = self._loop.call_at(min(when_s, self._end_s), self._look)

    def _look(self) -> None:
        """Cut the answer off after too long a silence; the patience may have changed since it was asked for."""
        now_s = self._loop.time()
        patient_until_s = self._heard_s + self._line.patience_s
        if now_s < min(patient_until_s, self._end_s):
            self._arm(patient_until_s)
        else:
            self._timeout.reschedule(now_s)
