"""The shelf of files that were made."""

import asyncio
import threading

import pytest

from laklak.simulator.archive.render import Body
from laklak.simulator.archive.shelf import Shelf


def body(size):
    return Body(bytes(size), "", "")


def use(conversation, limit_bytes=100_000):
    async def main():
        shelf = Shelf(limit_bytes)
        try:
            return await conversation(shelf)
        finally:
            await shelf.close()

    return asyncio.run(main())


class Maker:
    """Makes a body when it is let, and counts how often."""

    def __init__(self, made):
        self.begun = threading.Event()
        self.let = threading.Event()
        self.times = 0
        self._made = made

    def __call__(self):
        self.times += 1
        self.begun.set()
        assert self.let.wait(10)
        return self._made


def test_a_file_is_made_once_for_all_who_ask_at_the_same_time():
    maker = Maker(body(10))

    async def conversation(shelf):
        asked = [asyncio.ensure_future(shelf.get("a", maker)) for _ in range(5)]
        await asyncio.to_thread(maker.begun.wait)
        maker.let.set()
        bodies = await asyncio.gather(*asked)
        return [*bodies, await shelf.get("a", maker)]

    assert {id(made) for made in use(conversation)} == {id(maker._made)}
    assert maker.times == 1


def test_one_who_gives_up_does_not_take_the_file_from_the_others():
    maker = Maker(body(10))

    async def conversation(shelf):
        hasty, patient = (asyncio.ensure_future(shelf.get("a", maker)) for _ in range(2))
        await asyncio.to_thread(maker.begun.wait)
        hasty.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hasty
        maker.let.set()
        return await patient

    assert use(conversation) is maker._made
    assert maker.times == 1


def test_the_files_used_last_are_kept_within_the_size():
    async def conversation(shelf):
        for name in ("a", "b", "c", "a", "d"):
            await shelf.get(name, lambda: body(30_000))
        made = []
        for name in ("a", "c", "d", "b"):
            await shelf.get(name, lambda name=name: made.append(name) or body(1))
        return made, shelf.held_bytes, shelf.evictions

    made, held_bytes, evictions = use(conversation)

    assert made == ["b"]
    assert held_bytes <= 100_000
    assert evictions == 1


def test_a_file_larger_than_the_shelf_is_given_but_not_kept():
    async def conversation(shelf):
        return len((await shelf.get("a", lambda: body(200_000))).data), len(shelf), shelf.held_bytes

    assert use(conversation) == (200_000, 0, 0)


def test_that_a_file_has_no_rows_is_remembered():
    maker = Maker(None)
    maker.let.set()

    async def conversation(shelf):
        return [await shelf.get("a", maker) for _ in range(2)]

    assert use(conversation) == [None, None]
    assert maker.times == 1


def test_a_file_that_could_not_be_made_is_tried_again():
    async def conversation(shelf):
        with pytest.raises(ZeroDivisionError):
            await shelf.get("a", lambda: 1 // 0)
        return await shelf.get("a", lambda: body(3))

    assert len(use(conversation).data) == 3


def test_closing_waits_for_what_is_half_made_and_makes_nothing_more():
    makers = [Maker(body(10)) for _ in range(64)]

    async def conversation(shelf):
        futures = [shelf.start(number, maker) for number, maker in enumerate(makers)]
        await asyncio.to_thread(makers[0].begun.wait)
        for maker in makers:
            maker.let.set()
        await shelf.close()
        return futures

    futures = use(conversation)

    assert not futures[0].cancelled()
    assert all(maker.times <= 1 for maker in makers)
