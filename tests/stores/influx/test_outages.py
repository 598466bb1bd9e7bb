"""A server that stops, dies or hangs: waited for as long as allowed, then one clear end."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from laklak.errors import StoreDown, StoreError, StoreRefused
from laklak.model.series import DAY_MS, Series, TimeRange
from laklak.tasks.timing import StoreTiming

START = 1_767_225_600_000
DAYS = TimeRange(START, START + 3 * DAY_MS)


async def until_waited_for(store):
    """Look again and again until the store says that it is waited for: nothing tells that it is."""
    for _ in range(1500):
        if store.waiting is not None:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it never was")


def test_a_server_that_is_stopped_and_started_in_the_middle_loses_nothing(use, own_box, deliver):
    box = own_box()
    series = [Series.parse(f"binance:S{i}:1m") for i in range(20)]

    async def work(store):
        for i, one in enumerate(series):
            if i == 7:
                box.server.stop()
                threading.Timer(1.0, box.server.start).start()
            await store.write([deliver(one, 1000, seed=i)])
        return [await store.count(one, DAYS) for one in series]

    assert use(work, box) == [1000] * 20


def test_a_server_that_is_killed_in_the_middle_of_a_write_loses_nothing(use, own_box, deliver):
    box = own_box()
    deliveries = [deliver(Series.parse(f"binance:S{i}:1m"), 2000, seed=i) for i in range(30)]

    def restart():
        box.server.kill()
        box.server.start()

    async def work(store):
        killer = threading.Timer(0.1, restart)
        killer.start()
        written = await store.write(deliveries)
        await asyncio.to_thread(killer.join)
        return written.refused, [await store.count(delivery.series, DAYS) for delivery in deliveries]

    assert use(work, box, batch_lines=500) == ({}, [2000] * 30)


def test_a_server_that_hangs_for_a_while_loses_nothing(use, own_box, series, deliver):
    box = own_box()

    async def work(store):
        box.server.pause()
        threading.Timer(1.0, box.server.resume).start()
        await store.write([deliver(series, 1000)])
        return await store.count(series, DAYS)

    assert use(work, box) == 1000


def test_a_server_that_is_silent_is_said_to_be_waited_for_until_it_answers(use, own_box, series, deliver):
    box = own_box()

    async def work(store):
        await store.write([deliver(series, 10)])
        before = store.waiting
        box.server.pause()
        writing = asyncio.ensure_future(store.write([deliver(series, 1000)]))
        await until_waited_for(store)
        waiting, now_s = store.waiting, time.monotonic()
        box.server.resume()
        await writing
        return before, waiting, now_s, store.waiting

    before, waiting, now_s, after = use(work, box, timing=StoreTiming(silence_told_s=0.3))
    assert (before, after) == (None, None)
    assert waiting.what.endswith(" has not answered a request yet")
    assert waiting.next_try_s is None
    assert waiting.since_s <= now_s - 0.3 < now_s < waiting.give_up_s


def test_a_server_that_is_away_is_said_to_be_waited_for_with_the_next_try(use, own_box, series, deliver):
    box = own_box()

    async def work(store):
        box.server.stop()
        writing = asyncio.ensure_future(store.write([deliver(series, 10)]))
        await until_waited_for(store)
        waiting = store.waiting
        await asyncio.to_thread(box.server.start)
        await writing
        return waiting, store.waiting

    waiting, after = use(work, box)
    assert after is None
    assert " does not work: " in waiting.what
    assert waiting.since_s < waiting.next_try_s < waiting.give_up_s


def test_a_server_that_stays_away_ends_the_run_after_the_wait(use, own_box, series, deliver):
    box = own_box()

    async def work(store):
        box.server.stop()
        start = time.monotonic()
        with pytest.raises(StoreDown) as caught:
            await store.write([deliver(series, 1000)])
        return caught.value, time.monotonic() - start

    error, seconds = use(work, box, max_wait_s=2)
    assert (error.exit_code, error.reason) == (1, "store_down")
    assert f"InfluxDB at localhost:{box.server.port} has not worked for 2 s" in str(error)
    assert seconds > 0.5


def test_a_write_that_is_cancelled_while_it_waits_ends_at_once(use, own_box, series, deliver):
    box = own_box()

    async def work(store):
        box.server.stop()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await store.write([deliver(series, 1000)])

    # What is not given up is waited for longer than the test may last.
    use(work, box, max_wait_s=600)


def test_a_database_that_is_dropped_in_the_middle_ends_the_run_at_once(use, own_box, series, deliver):
    box = own_box()

    async def work(store):
        await store.write([deliver(series, 10)])
        box.remove()
        with pytest.raises(StoreRefused) as caught:
            await store.write([deliver(series, 10)])
        return caught.value

    error = use(work, box)
    assert (error.exit_code, error.reason) == (1, "store_refused")
    assert "not found" in str(error)
    assert "run again to make" in error.hint


def test_a_closed_store_says_so(use, open_store, series):
    async def work(store):
        await store.close()
        await store.close()
        with pytest.raises(StoreError, match="is closed"):
            await store.count(series, DAYS)

    use(work)
