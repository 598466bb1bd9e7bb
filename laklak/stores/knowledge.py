"""What a store remembers about venues and series beside candles and absences, during one run.

A note is a hint with its date, never the truth: if it is too old, the reader asks the venue, and `--recheck` asks again
for everything.  All notes are read at once, and the changed ones are written together.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

from laklak.model.records import Note
from laklak.model.series import Interval, Series, iso
from laklak.stores.base import Store

CLOCK: Final = "clock"
"""The note of a venue that tells up to when the last run wanted its candles."""
_CLOCK_SLACK_MS: Final = 60 * 60_000


class Knowledge:
    """The notes of a store, by their subject and kind."""

    def __init__(self, notes: Iterable[Note] = ()) -> None:
        self._notes = {(note.about, note.kind): note for note in notes}
        self._changed: set[tuple[str, str]] = set()

    @classmethod
    async def of(cls, store: Store) -> Knowledge:
        """Read what `store` remembers."""
        return cls(await store.notes())

    def note(self, about: str | Series, kind: str) -> Note | None:
        """Return the note with its times; None if there is none or it was forgotten."""
        note = self._notes.get((str(about), kind))
        return note if note is not None and note.value else None

    def value(self, about: str | Series, kind: str) -> Any:
        """Return what a note says, read from its JSON; None if there is none, or it is unreadable."""
        note = self.note(about, kind)
        try:
            return None if note is None else json.loads(note.value)
        except ValueError:
            return None

    def fact(self, about: str | Series, kind: str, venue_now_ms: int) -> Any:
        """The same, but None for a note from the future: one of the clocks was wrong then, or is wrong now."""
        note = self.note(about, kind)
        if note is None:
            return None
        noted_ms, now_ms = (
            (note.noted_at_ms, time.time_ns() // 1_000_000) if note.venue_ms is None else (note.venue_ms, venue_now_ms)
        )
        return self.value(about, kind) if noted_ms <= now_ms + _CLOCK_SLACK_MS else None

    def all(self) -> list[Note]:
        """Return every note that has not been forgotten."""
        return [note for note in self._notes.values() if note.value]

    def take(self, note: Note) -> None:
        """Remember a note of another store with its times."""
        self._notes[note.about, note.kind] = note
        self._changed.add((note.about, note.kind))

    def put(self, about: str | Series, kind: str, value: Any, *, venue_ms: int | None) -> None:
        """Remember `value`, anything that JSON can spell, as of now; `venue_ms` is the venue's clock."""
        self._set(str(about), kind, json.dumps(value, ensure_ascii=False, separators=(",", ":")), venue_ms)

    def forget(self, about: str | Series, kind: str) -> None:
        """Forget the note of that kind."""
        if self.note(about, kind) is not None:
            self._set(str(about), kind, "", None)

    async def save(self, store: Store) -> None:
        """Write what has changed since the last reading or saving; raises StoreError."""
        changed = sorted(self._changed)
        if not changed:
            return
        # The next save writes what changes during this one, and what this one could not write.
        self._changed.clear()
        try:
            await store.put_notes([self._notes[key] for key in changed])
        except BaseException:
            self._changed.update(changed)
            raise

    def _set(self, about: str, kind: str, value: str, venue_ms: int | None) -> None:
        self._notes[about, kind] = Note(about, kind, value, time.time_ns() // 1_000_000, venue_ms)
        self._changed.add((about, kind))


def note_clock(knowledge: Knowledge, venue: str, clock_ms: int | None, settle_s: float) -> None:
    """Remember where a venue's clock stood when a run compared it with the store; None if it was not read.

    Candles that had closed by `ms` were wanted then, unless an end was given: so one can look at a store without its
    venue.
    """
    if clock_ms is not None:
        final_ms = clock_ms - round(settle_s * 1000)
        fact = {"ms": final_ms, "time": iso(final_ms // 1000 * 1000), "turns": _turns(knowledge, venue)}
        knowledge.put(venue, CLOCK, fact, venue_ms=clock_ms)


def note_turn(knowledge: Knowledge, venue: str, interval: Interval, newest_end_ms: int) -> None:
    """Remember how far candles of an interval reached in a run that has noted their venue's clock."""
    clock, fact = knowledge.note(venue, CLOCK), knowledge.value(venue, CLOCK)
    turns = _turns(knowledge, venue)
    if clock is not None and newest_end_ms > turns.get(interval.name, 0):
        turns[interval.name] = newest_end_ms
        knowledge.put(venue, CLOCK, {**fact, "turns": turns}, venue_ms=clock.venue_ms)


def note_published(knowledge: Knowledge, venue: str, published: Mapping[Series, int]) -> None:
    """Remember up to where a delayed feed had published each series in a run that has noted the venue's clock."""
    clock, fact = knowledge.note(venue, CLOCK), knowledge.value(venue, CLOCK)
    if clock is not None and published:
        told = {str(series): time_ms for series, time_ms in published.items()}
        knowledge.put(venue, CLOCK, {**fact, "published": told}, venue_ms=clock.venue_ms)


def known_published(knowledge: Knowledge, series: Series) -> int | None:
    """Return up to where a delayed feed had published a series in the last run; later candles are not missing yet."""
    fact = knowledge.value(series.venue, CLOCK)
    told = fact.get("published") if isinstance(fact, dict) else None
    time_ms = told.get(str(series)) if isinstance(told, dict) else None
    return time_ms if type(time_ms) is int else None


def known_turn(knowledge: Knowledge, venue: str, interval: Interval) -> int | None:
    """Return how far candles reached in the last run over an interval of a venue; None if no run has told.

    A missing candle that closed before that was missed; later ones are the tail that every run fetches.
    """
    return _turns(knowledge, venue).get(interval.name)


def _turns(knowledge: Knowledge, venue: str) -> dict[str, int]:
    fact = knowledge.value(venue, CLOCK)
    turns = fact.get("turns") if isinstance(fact, dict) else None
    return dict(turns) if isinstance(turns, dict) else {}


def known_clock(knowledge: Knowledge, venue: str) -> int | None:
    """Return up to when, by its clock, the last run wanted candles of a venue; None if no run has told."""
    fact = knowledge.value(venue, CLOCK)
    final_ms = fact.get("ms") if isinstance(fact, dict) else None
    return final_ms if type(final_ms) is int else None
