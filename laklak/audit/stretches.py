"""What of a series is not held, as stretches: drawn as a strip of cells, or kept whole in few bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

from laklak.model.absences import MINUTE_KINDS, Absence
from laklak.model.series import DAY_MS, Interval, TimeRange

Kind = Literal["full", "before", "closed", "quiet", "lost", "hole", "rejected", "missing"]

KINDS: Final[tuple[Kind, ...]] = ("full", "before", "closed", "quiet", "lost", "hole", "rejected", "missing")
"""What a part of a series can be; where several are in one cell, the last of them is shown."""
KIND_WORDS: Final[Mapping[Kind, str]] = {
    "full": "held",
    "before": "before its first or after its last candle",
    "closed": "closed",
    "quiet": "no trades",
    "lost": "out of reach",
    "hole": "hole",
    "rejected": "rejected",
    "missing": "missing",
}
STRIP_CELLS: Final = 60
EVIDENCE_KEPT: Final = 200

_KIND_OF: Final[Mapping[str, Kind]] = {
    "hole": "hole",
    "rejected": "rejected",
    "quiet": "quiet",
    "closed": "closed",
    "before_first": "before",
    "after_last": "before",
}

Stretch = tuple[Kind, TimeRange]


@dataclass(frozen=True, slots=True)
class Detail:
    """Everything in a series that is not held, packed, and the first EVIDENCE_KEPT of `evidence_of` stretches of holes
    and rejects.

    `coarse`: there were too many stretches, and each day is its worst.
    """

    packed: bytes
    coarse: bool
    evidence: tuple[Absence, ...]
    evidence_of: int


def stretches_of(
    span: TimeRange,
    life: TimeRange,
    absences: Iterable[Absence],
    out_of_reach: Iterable[TimeRange],
    missing: Iterable[TimeRange],
) -> list[Stretch]:
    """What lies in `span` and is not held, rising; neighbours of one kind are one."""
    found: list[Stretch] = [
        ("before", TimeRange(span.start_ms, life.start_ms)),
        ("before", TimeRange(life.end_ms, span.end_ms)),
        *((_KIND_OF[one.kind], one.span) for one in absences),
        *(("lost", part) for part in out_of_reach),
        *(("missing", part) for part in missing),
    ]
    inside = [(kind, part.clip(span)) for kind, part in found]
    joined: list[Stretch] = []
    for kind, part in sorted((one for one in inside if one[1]), key=lambda one: one[1].start_ms):
        if joined and joined[-1][0] == kind and joined[-1][1].end_ms == part.start_ms:
            joined[-1] = (kind, TimeRange(joined[-1][1].start_ms, part.end_ms))
        else:
            joined.append((kind, part))
    return joined


def strip(span: TimeRange, stretches: Iterable[Stretch], cells: int = STRIP_CELLS) -> tuple[Kind, ...]:
    """A range as so many cells, each with the worst that lies in it: a minute of a year shows."""
    found = [0] * cells
    length_ms = span.end_ms - span.start_ms
    for kind, part in stretches:
        first = (part.start_ms - span.start_ms) * cells // length_ms
        last = (part.end_ms - 1 - span.start_ms) * cells // length_ms
        for cell in range(first, last + 1):
            found[cell] = max(found[cell], KINDS.index(kind))
    return tuple(KINDS[one] for one in found)


def narrowed(cells: Sequence[Kind], width: int) -> tuple[Kind, ...]:
    """A strip with no more than so many cells; none of its worst is lost."""
    if width >= len(cells):
        return tuple(cells)
    bounds = [place * len(cells) // width for place in range(width + 1)]
    return tuple(max(cells[start:end], key=KINDS.index) for start, end in pairwise(bounds))


def detail_of(
    span: TimeRange, interval: Interval, stretches: Sequence[Stretch], absences: Iterable[Absence], most: int
) -> Detail:
    """Keep the stretches, or what is worst on each day where there are more than `most`; four bytes each."""
    coarse = len(stretches) > most
    evidence = list(joined(one for one in absences if one.kind in MINUTE_KINDS))
    kept = _by_day(stretches, span) if coarse else stretches
    return Detail(pack(span, interval, kept), coarse, tuple(evidence[:EVIDENCE_KEPT]), len(evidence))


def pack(span: TimeRange, interval: Interval, stretches: Iterable[Stretch]) -> bytes:
    """Stretches in as few bytes as they need: of each how many candles lie before it, times eight, and its kind in one
    number, then how many it has; numbers in sevens of bits, the low ones first, the eighth says that more come.
    """
    packed = bytearray()
    at = 0
    for kind, part in stretches:
        begin = (part.start_ms - span.start_ms) // interval.ms
        length = part.count(interval)
        for number in ((begin - at) * 8 + KINDS.index(kind), length):
            while number > 127:
                packed.append(number & 127 | 128)
                number >>= 7
            packed.append(number)
        at = begin + length
    return bytes(packed)


def _by_day(stretches: Iterable[Stretch], span: TimeRange) -> list[Stretch]:
    worst: dict[int, Kind] = {}
    for kind, part in stretches:
        for day in range(part.start_ms // DAY_MS, -(-part.end_ms // DAY_MS)):
            worst[day] = max(worst.get(day, "full"), kind, key=KINDS.index)
    return [(kind, TimeRange(day * DAY_MS, (day + 1) * DAY_MS).clip(span)) for day, kind in sorted(worst.items())]


def joined(absences: Iterable[Absence]) -> Iterator[Absence]:
    """Neighbours that say the same as one."""
    before: Absence | None = None
    for one in absences:
        if before is not None and before.span.end_ms == one.span.start_ms and before.joins(one):
            before = before.joined(one)
            continue
        if before is not None:
            yield before
        before = one
    if before is not None:
        yield before
