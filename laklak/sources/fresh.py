"""Candles that were fetched just after their close: their rows may have changed since, so they are looked at once more.

Users of python-binance (issue 1246) saw close and volume of the newest minute change 1.5 s after its close, and some
say later.  So a run notes which of its candles had closed less than a minute before (one note for a venue and an
interval), with a digest of what was stored.  The next run that asks such a series anyway takes the candle along in the
same request; what differs is written and counted beside the sum, for the candle was stored before.  Decides only.
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
"""A note about a venue, of this and an interval: {"<open_ms>": {"BTCUSDT": "<digest>"}}."""
FRESH_MS: Final = 60_000
"""A candle may still change for so long after its close."""
KEPT_MS: Final = 35 * DAY_MS
"""How long a candle waits for a run that asks its series: more than a month, which is how often some people run."""
NOTE_BYTES_MAX: Final = 60_000
"""What one string of InfluxDB 1.x holds is 64 KB; 541 series take 15."""
_DIGEST_BYTES: Final = 6


class Fresh:
    """The fresh candles of one venue at one interval: those that earlier runs noted, and those of this one."""

    def __init__(self, venue: str, interval: Interval) -> None:
        self._venue = venue
        self._interval = interval
        self._noted: dict[str, dict[int, str]] = {}
        self._looked: dict[str, set[int]] = {}
        self._differing: dict[str, set[int]] = {}
        self._new: dict[str, tuple[int, str]] = {}

    @classmethod
    def of(cls, knowledge: Knowledge, venue: str, interval: Interval, now_ms: int) -> Fresh:
        """Those that are noted; what lies more than KEPT_MS from the venue's clock is left out."""
        fresh = cls(venue, interval)
        for time_ms, name, digest in _entries(knowledge.value(venue, fresh._kind)):
            if abs(now_ms - time_ms) <= KEPT_MS:
                fresh._noted.setdefault(name, {})[time_ms] = digest
        return fresh

    def along(self, plan: SeriesPlan) -> list[int]:
        """The open_times of a series to be looked at again, rising: they are wanted and stored."""
        noted = self._noted.get(plan.series.symbol)
        if not noted:
            return []
        return [
            time_ms
            for time_ms in sorted(noted)
            if _inside(time_ms, [plan.wanted]) and not _inside(time_ms, plan.missing)
        ]

    def look(self, series: Series, wanted: Sequence[TimeRange], candles: Candles, now_ms: int) -> frozenset[int]:
        """Take an answer, by the venue's clock at that moment; gives the open_times that are not what they were.

        `candles` are all that the answer has, `wanted` what is to be stored of them as new.
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
        """Remember what is to be looked at again; of what differed only what the store has acknowledged is done."""
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
    """Take over from another store's notes which candles of these series are to be looked at again."""
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
    """How many candles a note tells of."""
    return sum(1 for _ in _entries(value))


def take_along(
    missing: Sequence[TimeRange], along: Sequence[int], interval: Interval, page: int
) -> Sequence[TimeRange]:
    """What will be asked, for the estimate: each range begins one candle earlier where that takes no page more."""
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
    """The requests for what is missing, as many as without `along`: it is looked at where a request can hold it.

    A candle right before what is missing may make its request dearer, for it is the one that usually changed; any
    other goes where it costs nothing, or `anyway` into a request of its own that wants nothing else.  `wanted` of the
    chunks is what is missing, as ever.
    """
    if not along:
        yield from plan_chunks(series, missing, tiers, page)
        return
    chunks = plan_chunks(series, [*missing[:-1], *_recut(missing[-1:], along, series.interval, page)], tiers, page)
    left = list(along)
    for chunk in chunks:
        # Of all of them, not only of those that are left: an earlier request may have found room for one of these, too.
        chunk = _not_as_missing(chunk, [time_ms for time_ms in along if _inside(time_ms, [chunk.range])])
        for time_ms in left:
            chunk = _widened(chunk, time_ms, tiers)
        left = [time_ms for time_ms in left if not _inside(time_ms, [chunk.range])]
        yield chunk
    for part in runs(left, series.interval) if anyway else ():
        yield from (Chunk(series, piece.range, ()) for piece in plan_chunks(series, [part], tiers, page))


def _recut(tail: Sequence[TimeRange], along: Sequence[int], interval: Interval, page: int) -> Sequence[TimeRange]:
    """The last range to be asked: where it takes several pages, all cuts move by one, instead of a page over its size.

    No other one: what is left of it for its last page may share that with the next range, and just so.
    """
    return take_along(tail, along, interval, page) if tail and tail[0].count(interval) > page else tail


def _not_as_missing(chunk: Chunk, times: Sequence[int]) -> Chunk:
    """The chunk without these candles among what is missing."""
    if not times:
        return chunk
    pieces = [piece for part in chunk.wanted for piece in gaps(part, times, chunk.series.interval)]
    return replace(chunk, wanted=tuple(pieces))


def _widened(chunk: Chunk, time_ms: int, tiers: Tiers) -> Chunk:
    """The chunk with a candle outside of it, if a request may be so long; for free, unless it stands right before."""
    step_ms = chunk.series.interval.ms
    wider = TimeRange(min(chunk.range.start_ms, time_ms), max(chunk.range.end_ms, time_ms + step_ms))
    size = wider.count(chunk.series.interval)
    if size > tiers[-1][0]:
        return chunk
    if time_ms + step_ms != chunk.range.start_ms and page_weight(size, tiers) > page_weight(chunk.limit, tiers):
        return chunk
    return replace(chunk, range=wider)


def _entries(value: Any) -> Iterator[tuple[int, str, str]]:
    """(open_time, symbol, digest) of a note; what is of another form is left out: it is only looked at again."""
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
    """What tells a candle's five doubles from others; None where it is not there."""
    one = candles.only((TimeRange(time_ms, time_ms + interval.ms),))
    if not len(one):
        return None
    values = struct.pack("<5d", *(column[0] for column in one.values))
    return blake2b(values, digest_size=_DIGEST_BYTES).hexdigest()


def _inside(time_ms: int, ranges: Sequence[TimeRange]) -> bool:
    return any(part.start_ms <= time_ms < part.end_ms for part in ranges)
