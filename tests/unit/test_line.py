"""How many answers a line carries at once: lines of all kinds, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field

import pytest

from laklak.wire.line import GOOD_ANSWER_S, Line, LineGauge, Reception

PAGE = 130_000
PIECE = 6_500


@dataclass
class Venue:
    """Answers over a line in virtual time: `thinks_s` before each, then bytes, of all answers or of each one.

    `in_turn`: they come one after the other, not side by side.
    """

    bytes_per_s: float
    thinks_s: float = 0.05
    each: bool = False
    in_turn: bool = False
    size: int = PAGE
    most: int = 0
    _free_s: float = 0.0
    _at_once: int = 0
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    waited_s: list[float] = field(default_factory=list)

    async def answer(self, line: Line) -> None:
        loop = asyncio.get_running_loop()
        await line.enter()
        began_s = loop.time()
        self._at_once += 1
        self.most = max(self.most, self._at_once)
        try:
            async with line.answer() as answer:
                await asyncio.sleep(self.thinks_s)
                async with self._turn if self.in_turn else contextlib.nullcontext():
                    await self._bring(answer)
        finally:
            self._at_once -= 1
            line.leave()
        self.waited_s.append(loop.time() - began_s)

    async def _bring(self, answer: Reception) -> None:
        loop = asyncio.get_running_loop()
        answer.begins()
        own_free_s, piece = 0.0, min(PIECE, self.size)
        for _ in range(0, self.size, piece):
            free_s = max(own_free_s if self.each else self._free_s, loop.time()) + piece / self.bytes_per_s
            own_free_s = self._free_s = free_s
            await asyncio.sleep(free_s - loop.time())
            answer.takes(piece)


@pytest.fixture
def asked(virtually):
    """Ask a venue for so many answers with 16 workers; gives the line and the seconds it took.

    Nothing is known of the line then; where it is `known`, an answer has come before, as that with the symbols does.
    """

    def ask(venue, answers=60, *, silence_s=20.0, longest_s=900.0, known=False):
        async def main():
            line = Line(16, silence_s=silence_s, longest_s=longest_s)
            if known:
                await venue.answer(line)
                venue.most = 0
            left = iter(range(answers))

            async def work():
                for _ in left:
                    await venue.answer(line)

            start_s = asyncio.get_running_loop().time()
            async with asyncio.TaskGroup() as group:
                for _ in range(16):
                    group.create_task(work())
            return line, asyncio.get_running_loop().time() - start_s

        return virtually(main())

    return ask


@pytest.mark.parametrize("bytes_per_s", [20_000, 50_000])
def test_a_slow_line_carries_few_answers_at_once_and_is_full(asked, bytes_per_s):
    venue = Venue(bytes_per_s)
    line, seconds = asked(venue, known=True)

    assert line.gauge.width <= 4
    assert venue.most <= 6
    assert seconds < 1.05 * 60 * PAGE / bytes_per_s + 5


def test_on_a_slow_line_no_answer_takes_much_longer_than_it_has_to(asked):
    venue = Venue(50_000)
    asked(venue, known=True)

    assert max(venue.waited_s) < 2 * (GOOD_ANSWER_S + 2 * PAGE / 50_000)


@pytest.mark.parametrize("in_turn", [False, True])
@pytest.mark.parametrize("bytes_per_s", [20_000, 50_000])
def test_before_a_line_is_known_to_be_slow_nothing_is_given_up_either(asked, bytes_per_s, in_turn):
    venue = Venue(bytes_per_s, in_turn=in_turn)
    line, _ = asked(venue)

    assert len(venue.waited_s) == 60
    assert venue.most <= 6
    assert line.gauge.width <= 4


def test_on_a_fast_line_everybody_is_at_work_when_the_first_answer_comes(asked):
    venue = Venue(10_000_000)
    line, seconds = asked(venue, 160)

    assert (line.gauge.width, venue.most) == (16, 16)
    assert seconds < 0.06 + 160 / 16 * 0.27


def test_small_answers_first_are_no_reason_to_wait(asked):
    venue = Venue(20_000, size=2)
    asked(venue, 40)

    assert venue.most == 16


def test_a_venue_that_thinks_for_long_is_no_slow_line(asked):
    venue = Venue(5_000_000, thinks_s=8.0)
    line, _ = asked(venue)

    assert line.gauge.width == 16


def test_where_each_connection_has_its_share_more_of_them_are_used(asked):
    venue = Venue(20_000, each=True)
    line, seconds = asked(venue, 200, known=True)

    assert line.gauge.width >= 12
    assert seconds < 0.25 * 200 * PAGE / 20_000


def test_a_line_that_becomes_fast_is_used(asked):
    venue = Venue(20_000)

    async def hurry():
        await asyncio.sleep(60)
        venue.bytes_per_s = 5_000_000

    original = venue.answer

    async def answer(line):
        if not venue.waited_s and not hurrying:
            hurrying.append(asyncio.ensure_future(hurry()))
        await original(line)

    hurrying = []
    venue.answer = answer
    line, _ = asked(venue, 200)

    assert line.gauge.width == 16


def test_a_line_that_becomes_slow_is_spared():
    gauge = LineGauge(16)
    now_s = _carry(gauge, 0.0, 10_000_000, answers=20)
    assert gauge.width == 16

    _carry(gauge, now_s, 20_000, answers=40)

    assert gauge.width <= 2


def _carry(gauge, now_s, bytes_per_s, *, answers):
    for _ in range(answers):
        gauge.began(now_s)
        for _ in range(10):
            now_s += PAGE / 10 / bytes_per_s
            gauge.took(PAGE // 10, now_s)
        gauge.ended(PAGE, now_s)
    return now_s


def test_small_answers_show_no_slow_line(asked):
    venue = Venue(20_000, size=300, thinks_s=0.2)
    line, _ = asked(venue, 100)

    assert line.gauge.width > 8


def test_an_answer_that_keeps_coming_may_take_long(asked):
    venue = Venue(2_000)
    asked(venue, 4, silence_s=10.0)

    assert max(venue.waited_s) > 60


def test_an_answer_that_is_silent_is_given_up(asked):
    with pytest.raises(ExceptionGroup) as caught:
        asked(Venue(1_000, thinks_s=21.0), 1)

    assert isinstance(caught.value.exceptions[0], TimeoutError)


def test_an_answer_that_trickles_for_ever_is_given_up(asked):
    with pytest.raises(ExceptionGroup) as caught:
        asked(Venue(1_000), 1, longest_s=60.0)

    assert "not all of an answer within 60 s" in str(caught.value.exceptions[0])


def test_while_a_slow_line_brings_others_an_answer_may_be_silent_for_longer():
    line = Line(16, silence_s=20.0, longest_s=900.0)
    assert line.patience_s == 20.0
    _carry(line.gauge, 0.0, 20_000, answers=4)
    line.in_flight = 8

    assert line.patience_s == pytest.approx(20.0 + 8 * PAGE / 20_000)


def test_whoever_waits_may_ask_as_soon_as_the_first_piece_tells_that_the_line_is_fast(virtually):
    async def main():
        line = Line(16, silence_s=20.0, longest_s=900.0)
        for _ in range(4):
            await line.enter()
        waiting = asyncio.ensure_future(line.enter())
        await asyncio.sleep(0.1)
        assert not waiting.done()
        async with line.answer() as answer:
            answer.begins()
            answer.takes(65_536)
            async with asyncio.timeout(1.0):
                await waiting

    virtually(main())


def test_whoever_is_cancelled_while_waiting_takes_no_place(virtually):
    async def main():
        line = Line(1, silence_s=20.0, longest_s=900.0)
        await line.enter()
        waiting = asyncio.ensure_future(line.enter())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        line.leave()
        await line.enter()
        return line.in_flight

    assert virtually(main()) == 1
