"""Revisions where a write is no transaction: of an overwriting that failed, was refused, or came again."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from laklak.model.revisions import Revision
from laklak.model.series import DAY_MS, MINUTE_MS, TimeRange

START = 1_767_225_600_000
ALL = TimeRange(START - 30 * DAY_MS, START + 30 * DAY_MS)
A, B, C = ((float(n),) * 5 for n in (1, 2, 3))


class Killed(BaseException):
    """What ends a process between two writes."""


def revised(delivery, *changes, at_ms=START):
    told = [Revision(open_ms, old, new, "rest", "refetch", at_ms) for open_ms, old, new in changes]
    return replace(delivery, revisions=told)


async def write_killed(store, monkeypatch, delivery):
    async def killed(deliveries):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(store._writer, "write", killed)
        with pytest.raises(Killed):
            await store.write([delivery])


def test_the_old_values_are_kept_before_the_candles_are_written(use, monkeypatch, series, deliver):
    delivery = revised(deliver(series, 5), (START, A, B))

    async def work(store):
        await write_killed(store, monkeypatch, delivery)
        return await store.revisions(series, ALL)

    assert use(work) == list(delivery.revisions)


def test_a_revision_of_an_overwriting_that_was_cut_off_is_taken_over_by_the_next_attempt(
    use, monkeypatch, series, deliver
):
    async def cut_off(store):
        await store.write([revised(deliver(series, 5), (START, A, B))])
        await write_killed(store, monkeypatch, revised(deliver(series, 5), (START, B, A), (START + MINUTE_MS, A, B)))

    async def again(store):
        await store.write([revised(deliver(series, 5), (START, B, C), (START + MINUTE_MS, A, B), at_ms=START + 1)])
        return await store.revisions(series, ALL)

    use(cut_off)

    assert use(again) == [
        Revision(START, A, B, "rest", "refetch", START),
        Revision(START, B, C, "rest", "refetch", START + 1),
        Revision(START + MINUTE_MS, A, B, "rest", "refetch", START + 1),
    ]


def test_candles_that_the_server_refuses_have_no_revision(use, box, series, deliver):
    # In one week another program has kept text.
    good_ms = START - 10 * DAY_MS
    good, bad = deliver(series, 5, start_ms=good_ms), deliver(series, 5)
    told = revised(good, (good_ms, A, B)), revised(bad, (START, A, B), (START + MINUTE_MS, A, B))

    async def work(store):
        await store.count(series, ALL)
        box.put(f'binance_ohlc,symbol=OTHER volume="many" {START}\n')
        written = await store.write(told)
        return written.refused, await store.revisions(series, ALL)

    refused, revisions = use(work)

    assert refused == {1: [START + i * MINUTE_MS for i in range(5)]}
    assert revisions == list(told[0].revisions)
    # Nor does anything of it stand in the way of the next one.
    box.erase("binance_ohlc")

    async def later(store):
        await store._revisions.add({series: told[1].revisions})
        return await store.revisions(series, TimeRange(START, START + DAY_MS))

    assert use(later) == list(told[1].revisions)


def test_a_candle_that_is_too_old_for_the_server_is_refused_alone_and_not_the_write(use, box, series, deliver):
    box.remove()
    box.make(keeps_hours=240)
    now_ms = int(time.time() * 1000) // MINUTE_MS * MINUTE_MS
    old_ms = now_ms - 60 * DAY_MS

    async def work(store):
        given = [deliver(series, 1, start_ms=when_ms) for when_ms in (old_ms, now_ms - DAY_MS)]
        told = [revised(one, (one.candles.open_times[0], A, B)) for one in given]
        written = await store.write(told)
        return written.refused, [one.open_time_ms for one in await store.revisions(series, TimeRange(old_ms, now_ms))]

    assert use(work) == ({0: [old_ms]}, [now_ms - DAY_MS])
