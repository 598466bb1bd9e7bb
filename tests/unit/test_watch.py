"""A store that is waited for: told once when it begins to be worth it, and once when it is over."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, field

import anyio
import anyio.lowlevel

from laklak.engine.watch import WORTH_TELLING_S, StoreWatch
from laklak.report.progress import Report
from laklak.stores.base import Waiting
from laklak.tasks.groups import task_group


@dataclass
class Pretended:
    waiting: Waiting | None = None


@dataclass
class Listener:
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def note(self, line):
        self.notes.append(line)

    def warn(self, line):
        self.warnings.append(line)


def watch(*stores):
    listener, report = Listener(), Report()
    return StoreWatch(stores, report, listener), listener, report


def test_what_is_over_at_once_is_not_told():
    store = Pretended(Waiting("the store is away", 100.0, 100.5, 700.0))
    look, listener, report = watch(store)
    look.look(100.0 + WORTH_TELLING_S / 2)
    assert report.waiting is store.waiting
    store.waiting = None
    look.look(100.0 + WORTH_TELLING_S)

    assert (listener.notes, listener.warnings, report.waiting) == ([], [], None)


def test_what_lasts_is_told_once_and_its_end_too():
    store = Pretended(Waiting("the store is away", 100.0, 103.0, 700.0))
    look, listener, _ = watch(store)
    for now_s in (102.0, 102.5, 110.0):
        look.look(now_s)
    store.waiting = None
    look.look(130.0)
    look.look(131.0)

    (warning,) = listener.warnings
    assert re.fullmatch(r"waiting for the store since .+, next try at .+, giving up at .+: the store is away", warning)
    assert listener.notes == ["the store answers again, after 30 s"]


def test_a_run_that_ends_before_the_next_look_tells_the_end_all_the_same():
    store = Pretended(Waiting("the store is away", time.monotonic() - 30, time.monotonic(), time.monotonic() + 9))
    look, listener, _ = watch(store)
    look.look(time.monotonic())

    async def end_at_once():
        async with task_group() as group:
            group.start_soon(look.run)
            await anyio.lowlevel.checkpoint()
            store.waiting = None
            group.cancel_scope.cancel()

    asyncio.run(end_at_once())

    (note,) = listener.notes
    assert note.startswith("the store answers again, after 30 s")


def test_what_is_still_waited_for_when_a_run_ends_has_no_end():
    store = Pretended(Waiting("the store is away", time.monotonic() - 30, time.monotonic(), time.monotonic() + 9))
    look, listener, _ = watch(store)
    look.look(time.monotonic())

    async def end_at_once():
        async with task_group() as group:
            group.start_soon(look.run)
            await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()

    asyncio.run(end_at_once())

    assert (len(listener.warnings), listener.notes) == (1, [])


def test_one_store_that_answers_does_not_hide_another_that_does_not():
    first, second = Pretended(), Pretended(Waiting("the other one is away", 100.0, None, 700.0))
    look, listener, report = watch(first, second)
    look.look(110.0)

    assert report.waiting is second.waiting
    assert [warning.rpartition(": ")[2] for warning in listener.warnings] == ["the other one is away"]
    assert "next try" not in listener.warnings[0]
