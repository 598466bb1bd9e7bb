"""Pauses that grow with each refusal in a row, between a transport and answers that are played, in virtual time."""

from __future__ import annotations

import asyncio

import pytest

from laklak.errors import TryLater
from laklak.tasks.stopping import Stopper
from laklak.tasks.timing import Timing
from laklak.venues import VENUES
from laklak.venues.base import Answer, Quota
from laklak.wire.bans import BanBook
from laklak.wire.clock import VenueClock
from laklak.wire.limiter import Limiter
from laklak.wire.quota import Share
from laklak.wire.venue_api import Transport

YAHOO = VENUES["yfinance"]
REQUEST = YAHOO.listing_requests(["BTC=F"])[0]
REFUSED, SERVED = (429, b"Edge: Too Many Requests\r\n"), (200, b'{"chart":{"result":[],"error":null}}')
EPOCH_MS = 1_780_000_000_000


def now_s():
    return asyncio.get_running_loop().time()


class Played(Transport):
    """A transport to a venue that answers what it is told, after a tenth of a second."""

    def __init__(self, folder, answers, max_wait_s=1e9):
        self.answers = list(answers)
        self.sent_at_s = []
        limiter = Limiter({"requests": Share(Quota(100, 1.0), 100)}, next_window_s=lambda seconds: seconds)
        super().__init__(
            YAHOO,
            "http://127.0.0.1:1",
            limiter,
            clock=VenueClock(),
            bans=BanBook(
                folder,
                "yfinance",
                "here",
                longest_s=YAHOO.longest_ban_s,
                now_ms=lambda: EPOCH_MS + round(1000 * now_s()),
            ),
            stopper=Stopper(),
            connections=8,
            max_wait_s=max_wait_s,
            firewall_wait_s=1.0,
            timing=Timing(),
        )

    async def _send(self, request, payment):
        self.sent_at_s.append(now_s())
        status, body = self.answers.pop(0)
        await asyncio.sleep(0.1)
        return Answer(status, {}, body)

    async def served(self):
        await self.ask(REQUEST, lambda answer: answer)

    @property
    def pauses_s(self):
        """The whole seconds between requests, where there were any."""
        between = [later - one for one, later in zip(self.sent_at_s, self.sent_at_s[1:], strict=False)]
        return [round(seconds) for seconds in between if seconds > 2]


async def talk(folder, answers, questions=1, together=1, **values):
    async with Played(folder, answers, **values) as transport:
        for _ in range(questions):
            await asyncio.gather(*(transport.served() for _ in range(together)))
        return transport.pauses_s


def test_each_refusal_in_a_row_pauses_twice_as_long(virtually, tmp_path):
    pauses_s = virtually(talk(tmp_path, [REFUSED] * 4 + [SERVED]))

    assert pauses_s == [300, 600, 1200, 2400]


def test_no_pause_is_longer_than_what_the_venue_says_it_grows_to(virtually, tmp_path):
    assert virtually(talk(tmp_path, [REFUSED] * 10 + [SERVED]))[-3:] == [6 * 3600] * 3


def test_the_first_refusal_after_an_answer_pauses_the_shortest(virtually, tmp_path):
    pauses_s = virtually(talk(tmp_path, [REFUSED, REFUSED, SERVED, REFUSED, SERVED], questions=2))

    assert pauses_s == [300, 600, 300]


def test_what_was_on_the_wire_beside_a_refused_request_counts_as_the_same_refusal(virtually, tmp_path):
    pauses_s = virtually(talk(tmp_path, [REFUSED] * 4 + [REFUSED] + [SERVED] * 4, together=4))

    assert pauses_s == [300, 600]


def test_an_answer_to_what_was_sent_before_the_pause_does_not_end_the_row(virtually, tmp_path):
    pauses_s = virtually(talk(tmp_path, [REFUSED, SERVED, REFUSED, SERVED], together=2))

    assert pauses_s == [300, 600]


def test_the_next_process_waits_for_the_rest_of_a_pause_and_goes_on_where_the_first_one_was(virtually, tmp_path):
    async def main():
        with pytest.raises(TryLater):
            await talk(tmp_path, [REFUSED] * 2, max_wait_s=400)
        begun_s = now_s()
        async with Played(tmp_path, [REFUSED, SERVED]) as second:
            await second.served()
            return round(second.sent_at_s[0] - begun_s), second.pauses_s

    assert virtually(main()) == (600, [1200])


def test_a_process_after_one_that_was_answered_begins_with_the_shortest(virtually, tmp_path):
    async def main():
        await talk(tmp_path, [REFUSED, REFUSED, SERVED])
        return await talk(tmp_path, [REFUSED, SERVED])

    assert virtually(main()) == [300]


def test_a_row_of_refusals_that_nobody_has_tried_to_end_for_a_day_is_forgotten(virtually, tmp_path):
    async def main():
        with pytest.raises(TryLater):
            await talk(tmp_path, [REFUSED] * 3, max_wait_s=700)
        await asyncio.sleep(YAHOO.longest_ban_s + 2000)
        return await talk(tmp_path, [REFUSED, SERVED])

    assert virtually(main()) == [300]
