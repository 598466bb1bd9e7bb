"""Turns by the clock in virtual time: aligned, jittered, one after the other, none made up for, no memory kept."""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import sys

import anyio
import pytest

from laklak.cli.every import Repeated, rhythm_of
from laklak.cli.terminal import Terminal
from laklak.errors import StoreUnavailable, UsageError
from laklak.plan.wanted import FailedSeries
from laklak.report.progress import Report
from laklak.report.summary import summarise
from laklak.report.told import Told
from laklak.tasks.stopping import Stopper
from laklak.tasks.turns import Rhythm, take_turns

HALF_HOUR_S = 1800.0
NOON_S = 1_772_366_400.0  # 2026-03-01T12:00Z


class WallClock:
    """The time of day beside the virtual clock, which somebody may set."""

    def __init__(self, start_s: float = NOON_S + 60) -> None:
        self._ahead_s = start_s - 1000.0

    def __call__(self) -> float:
        return self._ahead_s + asyncio.get_running_loop().time()

    def set_forward(self, seconds: float) -> None:
        self._ahead_s += seconds


def begun(virtually, lengths_s, *, clock=None, chance=lambda: 0.0, setting=None):
    """When turns that take so long begin, in s after noon."""
    clock = clock or WallClock()
    stopper = Stopper()
    begins: list[float] = []
    left = list(lengths_s)

    async def turn():
        begins.append(round(clock() - NOON_S))
        if setting is not None and len(begins) == 1:
            asyncio.get_running_loop().call_later(100, clock.set_forward, setting)
        await anyio.sleep(left.pop(0))
        if not left:
            stopper.request()

    virtually(take_turns(turn, Rhythm(HALF_HOUR_S, clock, chance), stopper))
    return begins


def test_the_first_turn_begins_at_once_and_the_others_with_the_half_hours_of_the_clock(virtually):
    assert begun(virtually, [5, 5, 5]) == [60, 1800, 3600]


def test_a_turn_that_outlasts_the_next_ones_is_alone_and_they_are_not_made_up_for(virtually):
    assert begun(virtually, [5, 4000, 5, 5]) == [60, 1800, 7200, 9000]


def test_machines_begin_a_little_apart_and_none_before_its_time(virtually):
    chances = itertools.cycle([0.0, 0.5, 0.999])
    assert begun(virtually, [5] * 4, chance=lambda: next(chances)) == [60, 1800, 3615, 5430]


def test_the_jitter_of_a_short_rhythm_never_reaches_into_the_next_turn(virtually):
    assert Rhythm(5.0).jitter_s == 0.5


@pytest.mark.parametrize(("setting_s", "second"), [(-86_400, 1800 - 86_400), (1500, 1800)])
def test_a_clock_that_is_set_while_a_turn_is_waited_for_still_says_when(virtually, setting_s, second):
    _, then = begun(virtually, [5, 5], setting=setting_s)
    assert then - second in range(31)


def test_a_stop_between_two_turns_ends_the_wait_at_once(virtually):
    clock, stopper = WallClock(), Stopper()

    async def turn():
        asyncio.get_running_loop().call_later(7, stopper.request)

    async def all_of_it():
        await take_turns(turn, Rhythm(HALF_HOUR_S, clock, lambda: 0.0), stopper)
        return round(clock() - NOON_S)

    assert virtually(all_of_it()) == 67


class Turn:
    """A run that ends as the virtual clock says: every third one lacks a series."""

    on_the_wire = 0
    in_flight = ""
    signs = None

    def __init__(self, number, observer):
        self.report = Report(started_s=0.0)
        self._number = number
        self._observer = observer

    async def run(self):
        await anyio.sleep(20)
        self._observer.warn(f"a warning of turn {self._number % 7}")
        if self._number % 3 == 0:
            self.report.failed.append(FailedSeries("binance:BTCUSDT:1m", "fetch_failed", "no answer"))
        return summarise(self.report)

    def stop(self, exit_code, grace_s): ...


def blocks_grown(virtually, turn, monkeypatch):
    """How many more blocks of memory are in use after 10,000 turns than after 500; `turn(number)` orders one."""
    grown: dict[int, int] = {}
    turns = itertools.count(1)
    monkeypatch.setattr("laklak.cli.every.Backfill", Turn)

    def make():
        number = next(turns)
        if number in (500, 10_000):
            grown[number] = sys.getallocatedblocks()
        if number == 10_000:
            repeated.stop(143, 8.0)
        return turn(number)

    terminal = Terminal(quiet=True, progress=False, told=Told())
    repeated = Repeated(make, terminal, as_json=False, quiet=True)
    # As a command does; what pytest keeps is not to be looked through ten thousand times.
    logging.disable()
    gc.collect()
    gc.freeze()
    try:
        assert virtually(repeated.run(Rhythm(300.0, WallClock(), lambda: 0.0))) == 143
    finally:
        gc.unfreeze()
        logging.disable(logging.NOTSET)
    return grown[10_000] - grown[500]


def test_ten_thousand_failing_turns_keep_no_memory_and_tell_their_trouble_once(virtually, capfd, monkeypatch):
    def turn(number):
        raise StoreUnavailable("the disk is away")

    assert blocks_grown(virtually, turn, monkeypatch) < 500
    said = capfd.readouterr()
    assert said.err.count("the disk is away") == said.out.count("store_unavailable") == 1


def test_ten_thousand_turns_of_which_each_ends_otherwise_keep_no_memory(virtually, capfd, monkeypatch):
    assert blocks_grown(virtually, lambda number: number, monkeypatch) < 500
    assert capfd.readouterr().out.count("complete but for what is named below") == 3333


def test_a_warning_is_told_again_when_it_has_changed_or_come_back_but_not_for_its_times():
    told = Told()

    def turn(*lines):
        news = [line for line in lines if told.is_news(line)]
        told.save(whole=True)
        return news

    assert turn("waiting since 2026-03-01T12:00Z, 12 s", "3 lines") == [
        "waiting since 2026-03-01T12:00Z, 12 s",
        "3 lines",
    ]
    assert turn("waiting since 2026-03-01T12:30:07Z, 9 s", "4 lines") == ["4 lines"]
    assert turn() == []
    assert turn("4 lines") == ["4 lines"]


@pytest.mark.parametrize("text", ["4s", "0", "often", "50000m", ""])
def test_a_rhythm_that_is_none_is_refused(text):
    with pytest.raises(UsageError):
        rhythm_of(text)
    assert rhythm_of("5s").every_s == 5.0
