"""What `laklak coverage` says of a store it says of a copy of it too."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

from copies import BTC, ETH, HOURS, MINUTE_MS, START_MS, absence, candles, copy, fill

from laklak.audit.coverage import Range, look_at
from laklak.model.absences import Absence
from laklak.model.records import Note
from laklak.model.series import TimeRange
from laklak.stores import open_store

DAY_MS = 1440 * MINUTE_MS


def put_notes(where, **about):
    async def work():
        async with open_store(where) as store:
            notes = [
                # Noted one after the other, as runs do.
                Note(name.replace("_", ":"), kind, json.dumps(value), START_MS + value.get("ms", 0) % DAY_MS)
                for name, kinds in about.items()
                for kind, value in kinds.items()
            ]
            await store.notes()  # as a run does: what is put counts after what was read
            await store.put_notes(notes)

    asyncio.run(work())


def coverage(where, **wanted):
    async def work():
        async with open_store(where, create=False) as store:
            return replace(await look_at(store, [], Range(**wanted), typed=False), store="")

    return asyncio.run(work())


def clock(minute):
    return {"clock": {"ms": START_MS + minute * MINUTE_MS}}


def test_a_copy_is_covered_as_its_source_is(pair):
    source, destination = pair
    quiet = Absence(TimeRange(START_MS + 50 * MINUTE_MS, START_MS + 60 * MINUTE_MS), "quiet", 1, "no trades")
    fill(
        source,
        candles(BTC, [*range(10, 20), *range(21, 41), *range(42, 50), *range(60, 100)]),
        candles(ETH, range(30)),
        candles(HOURS, range(4)),
        absences=[absence(20), absence(41, "rejected"), quiet],
    )
    put_notes(
        source,
        binance=clock(300),
        **{
            BTC.replace(":", "_"): {"first": {"ms": START_MS + 5 * MINUTE_MS}},
            ETH.replace(":", "_"): {"ended": {"last_ms": START_MS + 34 * MINUTE_MS}},
        },
    )
    assert copy(source, destination).exit == 0

    for wanted in ({}, {"days": 1}, {"start_ms": START_MS}):
        before = coverage(source, **wanted)
        assert before.total.missing > 0
        assert coverage(destination, **wanted) == before


def test_a_later_copy_takes_the_later_clock_also_where_no_candle_is_new(pair):
    source, destination = pair
    fill(source, candles(BTC, range(100)))
    put_notes(source, binance=clock(100))
    copy(source, destination)
    put_notes(source, binance=clock(130))
    copy(source, destination)
    assert coverage(destination) == coverage(source)
    assert coverage(destination).total.missing == 30


def test_a_clock_that_stood_earlier_sets_nobody_back(pair):
    source, destination = pair
    fill(source, candles(BTC, range(100)))
    fill(destination, candles(ETH, range(200)))
    put_notes(source, binance=clock(100))
    put_notes(destination, binance=clock(200))
    copy(source, destination)
    assert coverage(destination).as_of == {"binance": START_MS + 200 * MINUTE_MS}
