"""What is remembered of a store during a run."""

from __future__ import annotations

import asyncio

from laklak.model.records import Note
from laklak.model.series import Interval, Series
from laklak.stores.knowledge import Knowledge, known_clock, known_turn, note_clock, note_turn

BTC = Series.parse("binance:BTCUSDT:1m")


class Shelf:
    """A store that keeps notes and nothing else."""

    def __init__(self, *notes: Note) -> None:
        self.kept = list(notes)
        self.puts: list[list[Note]] = []

    async def notes(self):
        return self.kept

    async def put_notes(self, notes):
        self.puts.append(list(notes))


def test_what_is_put_is_there_at_once_and_written_once():
    shelf = Shelf(Note("binance", "listing", '["AUSDT"]', 5))
    knowledge = asyncio.run(Knowledge.of(shelf))
    knowledge.put(BTC, "first", {"ms": 60_000}, venue_ms=120_000)

    asyncio.run(knowledge.save(shelf))
    asyncio.run(knowledge.save(shelf))

    assert (knowledge.value("binance", "listing"), knowledge.value(BTC, "first")) == (["AUSDT"], {"ms": 60_000})
    assert [[(note.about, note.kind, note.value, note.venue_ms) for note in put] for put in shelf.puts] == [
        [("binance:BTCUSDT:1m", "first", '{"ms":60000}', 120_000)]
    ]


def test_what_is_forgotten_is_written_as_empty():
    shelf = Shelf(Note("binance", "listing", "[]", 5))
    knowledge = asyncio.run(Knowledge.of(shelf))
    knowledge.forget("binance", "listing")
    knowledge.forget("binance", "first")

    asyncio.run(knowledge.save(shelf))

    assert (knowledge.note("binance", "listing"), knowledge.all()) == (None, [])
    assert [(note.about, note.value) for note in shelf.puts[0]] == [("binance", "")]


def test_a_note_that_cannot_be_read_counts_as_none():
    assert Knowledge([Note("binance", "listing", "{", 5)]).value("binance", "listing") is None


def test_how_far_candles_reached_in_a_run_is_kept_by_interval_and_never_goes_back():
    knowledge, hour = Knowledge(), Interval.parse("1h")
    assert known_turn(knowledge, "binance", BTC.interval) is None
    note_turn(knowledge, "binance", BTC.interval, 60_000)
    assert known_turn(knowledge, "binance", BTC.interval) is None, "no run has read the clock"

    note_clock(knowledge, "binance", 7_000_000, 5.0)
    note_turn(knowledge, "binance", BTC.interval, 6_000_000)
    note_turn(knowledge, "binance", hour, 3_600_000)
    note_clock(knowledge, "binance", 8_000_000, 5.0)
    note_turn(knowledge, "binance", BTC.interval, 5_000_000)

    assert (known_turn(knowledge, "binance", BTC.interval), known_turn(knowledge, "binance", hour)) == (
        6_000_000,
        3_600_000,
    )
    assert known_clock(knowledge, "binance") == 7_995_000
