"""Candles fetched just after their close: their rows may have changed since, so laklak looks at them once more.

Users of python-binance (issue 1246) saw close and volume of the newest minute change 1.5 s after its close, and some
say later. So a run notes its candles that had closed less than a minute before (one note per venue and interval), with
a digest of the stored values. The next run that asks about such a series anyway includes the candle in a request; a
difference is written and counted apart, for the candle was stored before. Decides only.
"""

from __future__ import annotations

import json
import logging
import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any, Final

from laklak.model.candles import Candles, Chunk
from laklak.model.series import DAY_MS, Interval, Series, TimeRange, iso
from laklak.model.spans import gaps, runs
from laklak.plan.chunks import Tiers, page_weight, plan_chunks
from laklak.plan.missing import SeriesPlan
from laklak.stores.knowledge import Knowledge

log = logging.getLogger(__name__)

KIND: Final = "fresh:"
"""The kind of a note about a venue, with the interval: {"<open_ms>": {"BTCUSDT": "<digest>"}}."""
FRESH_MS: Final = 60_000
"""A candle may change until then after its close."""
KEPT_MS: Final = 35 * DAY_MS
"""How long a candle waits for a run that asks about its series; some people run monthly."""
NOTE_BYTES_MAX: Final = 60_000
"""A string of InfluxDB 1.x holds 64 KB; 541 series take 15 KB."""
_DIGEST_BYTES: Final = 6


class Fresh:
    """The fresh candles of one venue at one interval: noted by earlier runs, and of this one."""

    def __init__(self, venue: str, interval: Interval) -> None:
        self._venue = venue
        self._interval = interval
        self._noted: dict[str, dict[int, str]] = {}
        self._looked: dict[str, set[int]] = {}
        self._differing: dict[str, set[int]] = {}
        self._new: dict[str, tuple[int, str]] = {}

    @classmethod
    def of(cls, knowledge: Knowledge, venue: str, interval: Interval, now_ms: int) -> Fresh:
        """The noted candles, without those more than KEPT_MS from the venue's clock."""
        fresh = cls(venue, interval)
        for time_ms, name, digest in _entries(knowledge.value(venue, fresh._kind)):
            if abs(now_ms - time_ms) <= KEPT_MS:
                fresh._noted.setdefault(name, {})[time_ms] = digest
        return fresh

    def along(self, plan: SeriesPlan) -> list[int]:
        """The stored and wanted open_times of a series to look at again, rising."""
        noted = self._noted.get(plan.series.symbol)
        if not noted:
            return []
        return [
            time_ms
            for time_ms in sorted(noted)
            if _inside(time_ms, [plan.wanted]) and not _inside(time_ms, plan.missing)
        ]

    def look(self, series: Series, wanted: Sequence[TimeRange], candles: Candles, now_ms: int) -> frozenset[int]:
        """Compare an answer with the notes, at the venue's time `now_ms`; returns the open_times that differ.

        `candles`: all of the answer. `wanted`: the ranges to store as new.
        """
        name = series.symbol
        differing = set()
        for time_ms, before in self._noted.get(name, {}).items():
            now = _digest_at(candles, time_ms, self._interval)
            if now is None or time_ms in self._looked.get(name, ()):
                continue
            if now != before and not _inside(time_ms, wanted):
                differing.add(time_ms)
            if self._is_fresh(time_ms, now_ms):
                self._new[name] = (time_ms, now)
            self._looked.setdefault(name, set()).add(time_ms)
        if differing:
            self._differing.setdefault(name, set()).update(differing)
        self._note_newest(name, wanted, candles, now_ms)
        return frozenset(differing)

    def note(self, knowledge: Knowledge, corrected: Mapping[Series, Collection[int]], now_ms: int) -> None:
        """Note what to look at again; a difference is done once the store has acknowledged it (`corrected`)."""
        done = {series.symbol: set(times) for series, times in corrected.items() if series.venue == self._venue}
        kept: dict[int, dict[str, str]] = {}
        for name, noted in self._noted.items():
            open_still = self._differing.get(name, set()) - done.get(name, set())
            for time_ms, digest in noted.items():
                if time_ms not in self._looked.get(name, ()) or time_ms in open_still:
                    kept.setdefault(time_ms, {})[name] = digest
        for name, (time_ms, digest) in self._new.items():
            kept.setdefault(time_ms, {}).setdefault(name, digest)
        value = _bounded(kept)
        if value == (knowledge.value(self._venue, self._kind) or {}):
            return
        if value:
            knowledge.put(self._venue, self._kind, value, venue_ms=now_ms)
        else:
            knowledge.forget(self._venue, self._kind)

    @property
    def _kind(self) -> str:
        return f"{KIND}{self._interval}"

    def _is_fresh(self, time_ms: int, now_ms: int) -> bool:
        return time_ms + self._interval.ms + FRESH_MS > now_ms

    def _note_newest(self, name: str, wanted: Sequence[TimeRange], candles: Candles, now_ms: int) -> None:
        if not len(candles):
            return
        newest_ms = candles.open_times[-1]
        if self._is_fresh(newest_ms, now_ms) and _inside(newest_ms, wanted):
            digest = _digest_at(candles, newest_ms, self._interval)
            if digest is not None:
                self._new[name] = (newest_ms, digest)


def carry(given: Knowledge, notes: Knowledge, series: Collection[Series]) -> None:
    """Copy the notes about these series from another store's `given` to `notes`."""
    for venue, interval in sorted({(one.venue, one.interval.name) for one in series}):
        kind = f"{KIND}{interval}"
        note = given.note(venue, kind)
        if note is None:
            continue
        names = {one.symbol for one in series if (one.venue, one.interval.name) == (venue, interval)}
        kept: dict[int, dict[str, str]] = {}
        for time_ms, name, digest in _entries(notes.value(venue, kind)):
            kept.setdefault(time_ms, {})[name] = digest
        for time_ms, name, digest in _entries(given.value(venue, kind)):
            if name in names:
                kept.setdefault(time_ms, {}).setdefault(name, digest)
        value = _bounded(kept)
        if value != (notes.value(venue, kind) or {}):
            notes.put(venue, kind, value, venue_ms=note.venue_ms)


def count(value: Any) -> int:
    """The number of candles in a note."""
    return sum(1 for _ in _entries(value))


def take_along(
    missing: Sequence[TimeRange], along: Sequence[int], interval: Interval, page: int
) -> Sequence[TimeRange]:
    """The ranges that will be asked, for the estimate: each begins a candle earlier if that takes no further page."""
    if not along:
        return missing
    return [
        TimeRange(part.start_ms - interval.ms, part.end_ms)
        if part.start_ms - interval.ms in along and part.count(interval) % page
        else part
        for part in missing
    ]


def chunks_with(
    series: Series, missing: Sequence[TimeRange], along: Sequence[int], tiers: Tiers, page: int, *, anyway: bool = False
) -> Iterator[Chunk]:
    """The requests for missing candles, as many as without `along`, whose candles go where a request has room.

    A candle right before a missing range may make its request dearer, for it is the one that usually changed; any other
    goes where it is free, or with `anyway` into a request of its own. `wanted` of a chunk is still what is missing.
    """
    if not along:
        yield from plan_chunks(series, missing, tiers, page)
        return
    chunks = plan_chunks(series, [*missing[:-1], *_recut(missing[-1:], along, series.interval, page)], tiers, page)
    left = list(along)
    for chunk in chunks:
        # Check all of `along`, not only what is left: an earlier request may have had room for one of these.
        chunk = _not_as_missing(chunk, [time_ms for time_ms in along if _inside(time_ms, [chunk.range])])
        for time_ms in left:
            chunk = _widened(chunk, time_ms, tiers)
        left = [time_ms for time_ms in left if not _inside(time_ms, [chunk.range])]
        yield chunk
    for part in runs(left, series.interval) if anyway else ():
        yield from (Chunk(series, piece.range, ()) for piece in plan_chunks(series, [part], tiers, page))


def _recut(tail: Sequence[TimeRange], along: Sequence[int], interval: Interval, page: int) -> Sequence[TimeRange]:
    """The last range to ask: if it takes several pages, all cuts move by one, so that no page grows too long.

    Only the last one: the rest of an earlier range may share its last page with the next range, and just fit.
    """
    return take_along(tail, along, interval, page) if tail and tail[0].count(interval) > page else tail


def _not_as_missing(chunk: Chunk, times: Sequence[int]) -> Chunk:
    """The chunk without these candles in `wanted`."""
    if not times:
        return chunk
    pieces = [piece for part in chunk.wanted for piece in gaps(part, times, chunk.series.interval)]
    return replace(chunk, wanted=tuple(pieces))


def _widened(chunk: Chunk, time_ms: int, tiers: Tiers) -> Chunk:
    """The chunk with a candle from outside, if a request may be that long; for free, unless it stands right before."""
    step_ms = chunk.series.interval.ms
    wider = TimeRange(min(chunk.range.start_ms, time_ms), max(chunk.range.end_ms, time_ms + step_ms))
    size = wider.count(chunk.series.interval)
    if size > tiers[-1][0]:
        return chunk
    if time_ms + step_ms != chunk.range.start_ms and page_weight(size, tiers) > page_weight(chunk.limit, tiers):
        return chunk
    return replace(chunk, range=wider)


def _entries(value: Any) -> Iterator[tuple[int, str, str]]:
    """(open_time, symbol, digest) of a note; malformed entries are left out, which costs only a second look."""
    for moment, of_names in value.items() if isinstance(value, dict) else ():
        if not (moment.isdecimal() and len(moment) < 16 and isinstance(of_names, dict)):
            continue
        for name, digest in of_names.items():
            if isinstance(digest, str):
                yield int(moment), name, digest


def _bounded(kept: Mapping[int, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """What fits into a note, newest minutes first."""
    value: dict[str, dict[str, str]] = {}
    room = NOTE_BYTES_MAX
    for time_ms in sorted(kept, reverse=True):
        of_names = dict(sorted(kept[time_ms].items()))
        size = len(json.dumps({str(time_ms): of_names}, ensure_ascii=False).encode())
        if size > room:
            log.warning("not looked at again open_time=%s series=%d", iso(time_ms), len(of_names))
            continue
        room -= size
        value[str(time_ms)] = of_names
    return value


def _digest_at(candles: Candles, time_ms: int, interval: Interval) -> str | None:
    """A digest of a candle's five doubles; None if the candle is missing."""
    one = candles.only((TimeRange(time_ms, time_ms + interval.ms),))
    if not len(one):
        return None
    values = struct.pack("<5d", *(column[0] for column in one.values))
    return blake2b(values, digest_size=_DIGEST_BYTES).hexdigest()


def _inside(time_ms: int, ranges: Sequence[TimeRange]) -> bool:
    return any(part.start_ms <= time_ms < part.end_ms for part in ranges)
