"""What an answer settles and what it leaves in doubt: holes and rejects.  Pure.

A minute that a first answer lacks, or whose row is refused, is in *doubt*: ask for it once more, at least 2 s later,
with the smallest pages that cover it.  The second answer decides:

    second answer      lacked before                                refused before
    good row           stored                                       stored
    lacks it           hole, if it closed 10 minutes ago and        undecided
                       the series is known to have gone on
    same row refused   undecided                                    rejected, kept with its row
    other row refused  undecided                                    undecided

A row of an unknown form is rejected only if the answer shows the known form beside it (Checked.proves).  Rows outside
the range suggest the wrong answer: what it lacks must be lacking, or refused, in two further answers.  Undecided
minutes stay missing, and the next run asks for them again.

If the venue may silently cut an answer, minutes beyond the outermost row on the cut side prove nothing: ask for them
again in windows no wider than the rows that came; two such windows must lack them (`Narrow`).

A second answer does not settle what lies beyond the ends of a series: before its first candle nothing is wanted, and
after its newest one nothing has come yet.  If doubts hang on an end, ask the venue for that end (`open_edges`).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from laklak.model.absences import Absence, MinuteKind
from laklak.model.candles import Candles, Chunk, Cut
from laklak.model.provenance import REST
from laklak.model.series import DAY_MS, Interval, Series, TimeRange
from laklak.model.spans import gaps, merge, parted, runs
from laklak.plan.chunks import Tiers, plan_chunks
from laklak.plan.rows import Checked, Refusal

HOLE_CLOSED_FOR_MS: Final = 10 * 60_000
LAGS_FOR_MS: Final = DAY_MS
"""A candle may come up to this much later than those after it: ask again for a hole noted sooner after its close."""


Edge = Literal["first", "newest"]


@dataclass(frozen=True, slots=True)
class Narrow:
    """Minutes beyond the outermost row of an answer of `rows` rows; `lacked`: one window already lacks them."""

    span: TimeRange
    rows: int
    lacked: bool = False


@dataclass(frozen=True, slots=True)
class Doubts:
    """Minutes of one series to ask again: ranges that an answer lacks, and refused rows by open_time.

    `unproven`: an answer that proves nothing lacks these ranges; they still need two complete answers.
    """

    absent: tuple[TimeRange, ...] = ()
    refused: Mapping[int, Refusal] = field(default_factory=dict)
    unproven: tuple[TimeRange, ...] = ()
    narrow: tuple[Narrow, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.absent or self.refused or self.unproven or self.narrow)

    @property
    def lacking(self) -> Sequence[TimeRange]:
        """Everything that an answer lacked, whatever it proved."""
        return [*self.absent, *self.unproven, *(one.span for one in self.narrow)]


def may_have_come(hole: Absence, interval: Interval, now_ms: int) -> bool:
    """Whether a hole was noted so soon after its close that it is time to ask the venue for it once more.

    Ask each time the hole's age has doubled: a hole of 10 minutes after 20, one of 20 after 40, until it is LAGS_FOR_MS
    old.
    """
    if hole.kind != "hole" or hole.venue_ms is None:
        return False
    close_ms = hole.open_time_ms + interval.ms
    age_ms = hole.venue_ms - close_ms
    return 0 < age_ms < LAGS_FOR_MS and now_ms - close_ms >= 2 * age_ms


@dataclass(frozen=True, slots=True)
class FirstQuestion:
    """A question for missing candles."""

    chunk: Chunk


@dataclass(frozen=True, slots=True)
class SecondQuestion:
    """A question that settles `doubts`, its chunk's wanted minutes."""

    chunk: Chunk
    doubts: Doubts


@dataclass(frozen=True, slots=True)
class EdgeQuestion:
    """A question for the first or the newest candle that the venue has of a series; the chunk depends on it."""

    chunk: Chunk
    edge: Edge


Question = FirstQuestion | SecondQuestion | EdgeQuestion


@dataclass(frozen=True, slots=True)
class SecondRound:
    """A question whose tries all failed; it comes again at the end of the run. `failure` says why."""

    question: Question
    failed_at_s: float
    failure: str

    @property
    def chunk(self) -> Chunk:
        return self.question.chunk


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an answer gave: candles to store, absences to remember, doubts to ask again, minutes left undecided."""

    candles: Candles
    absences: Sequence[Absence] = ()
    doubts: Doubts = field(default_factory=Doubts)
    undecided: int = 0
    rows_refused: int = 0


def first_answer(chunk: Chunk, checked: Checked, cut: Cut | None = None) -> Outcome:
    """Take the first complete answer to a chunk; `cut`: which rows it may silently lack."""
    candles = checked.candles.only(chunk.wanted)
    refused = {
        refusal.open_time_ms: refusal
        for refusal in checked.refusals
        if refusal.open_time_ms is not None and _wanted(refusal.open_time_ms, chunk)
    }
    absent = _absent(chunk, checked.candles.open_times, refused) if _incomplete(chunk, candles) else ()
    if checked.strays:
        return Outcome(candles, doubts=Doubts((), refused, absent), rows_refused=len(checked.refusals))
    proven, narrow = _parted_by_cut(chunk, checked, absent, cut)
    doubts = Doubts(proven, refused, narrow=narrow)
    return Outcome(candles, doubts=doubts, rows_refused=len(checked.refusals))


def second_answer(
    chunk: Chunk,
    doubts: Doubts,
    checked: Checked,
    *,
    venue_now_ms: int,
    confirmed_at_ms: int,
    newest_ms: int,
    cut: Cut | None = None,
) -> Outcome:
    """Take the second complete answer: every doubt becomes a candle, a hole, a reject, or stays undecided.

    `venue_now_ms` is the venue's clock, `confirmed_at_ms` this machine's, stamped on absences.  `newest_ms` is the
    newest known candle of the series: later ones have not come yet and are no holes.
    """
    refused = {one.open_time_ms: one for one in checked.refusals if one.open_time_ms is not None}
    absent = _absent(chunk, checked.candles.open_times, refused)
    settling = _Settling(chunk, doubts, checked, venue_now_ms, confirmed_at_ms, newest_ms)
    if not doubts.narrow and not checked.strays:
        absent, settling.narrow = _parted_by_cut(chunk, checked, absent, cut)
    for time in _times(absent, chunk.series.interval.ms):
        settling.lacks(time)
    for time, refusal in refused.items():
        settling.refuses(time, refusal)
    return settling.outcome()


class _Settling:
    """Decides the doubts about a chunk while its second answer is read, a minute at a time."""

    def __init__(
        self,
        chunk: Chunk,
        doubts: Doubts,
        checked: Checked,
        venue_now_ms: int,
        confirmed_at_ms: int,
        newest_ms: int,
    ) -> None:
        self.narrow: tuple[Narrow, ...] = ()
        self._chunk = chunk
        self._doubts = doubts
        self._checked = checked
        self._venue_now_ms = venue_now_ms
        self._confirmed_at_ms = confirmed_at_ms
        self._newest_ms = newest_ms
        self._asked_narrow = doubts.narrow[0] if doubts.narrow else None
        self._absences: list[Absence] = []
        self._once_lacking: list[int] = []
        self._once_refused: dict[int, Refusal] = {}
        self._undecided = 0
        self._repeated = 0

    def lacks(self, time: int) -> None:
        """Take a minute that this answer lacks, too: a hole if both prove it, else one more doubt."""
        narrow, interval = self._asked_narrow, self._chunk.series.interval
        closed = time + interval.ms + HOLE_CLOSED_FOR_MS <= self._venue_now_ms
        if self._checked.strays or time >= self._newest_ms or not closed:
            self._undecided += 1
        elif _inside(time, self._doubts.unproven):
            self._once_lacking.append(time)
        elif narrow is not None and not narrow.lacked:
            self.narrow += (Narrow(TimeRange(time, time + interval.ms), narrow.rows, lacked=True),)
        elif time in self._doubts.refused:
            self._undecided += 1
        else:
            self._remember(time, "hole", "two complete answers lack it")

    def refuses(self, time: int, refusal: Refusal) -> None:
        """Take a row that is no candle: a reject if both answers have the same one, else one more doubt."""
        before = self._doubts.refused.get(time)
        same = before is not None and before.row == refusal.row
        if not _wanted(time, self._chunk):
            # The question did not ask for this minute, its page only covers it.
            self._repeated += 1
            return
        self._repeated += same
        if before is None and (self._asked_narrow is not None or _inside(time, self._doubts.unproven)):
            self._once_refused[time] = refusal
        elif same and self._checked.proves(refusal):
            self._remember(time, "rejected", refusal.reason, refusal.row)
        else:
            self._undecided += 1

    def outcome(self) -> Outcome:
        interval = self._chunk.series.interval
        return Outcome(
            self._checked.candles.only(self._chunk.wanted),
            sorted(self._absences, key=lambda absence: absence.open_time_ms),
            Doubts(tuple(runs(self._once_lacking, interval)), self._once_refused, narrow=_joined(self.narrow)),
            self._undecided,
            rows_refused=len(self._checked.refusals) - self._repeated,
        )

    def _remember(self, time: int, kind: MinuteKind, why: str, row: str | None = None) -> None:
        interval, now_ms = self._chunk.series.interval, self._venue_now_ms
        self._absences.append(
            Absence.at(interval, time, kind, self._confirmed_at_ms, why, row, now_ms, sources=(REST,))
        )


def open_edges(
    series: Series, doubts: Doubts, *, start_ms: int, first_known: bool, newest_ms: int
) -> Iterator[tuple[Edge, TimeRange]]:
    """Name the ends of a series that must be known to settle these doubts, each with the range that hangs on it.

    A minute after the newest known candle (`newest_ms`) may not have come yet; if the first candle is unknown, a
    lacking minute at the start of the range (`start_ms`) may lie before it.
    """
    lacking = merge(sorted(doubts.lacking))
    if lacking and lacking[-1].end_ms - series.interval.ms > newest_ms:
        yield "newest", lacking[-1]
    if lacking and not first_known and lacking[0].start_ms == start_ms:
        yield "first", lacking[0]


def doubts_within(doubts: Doubts, life: TimeRange) -> Doubts:
    """Keep the doubts about minutes of `life`, and all refused rows, wherever they are."""
    absent, unproven = (
        tuple(part for part in (one.clip(life) for one in parts) if part) for parts in (doubts.absent, doubts.unproven)
    )
    narrow = tuple(replace(one, span=one.span.clip(life)) for one in doubts.narrow if one.span.clip(life))
    return Doubts(absent, doubts.refused, unproven, narrow)


def second_questions(series: Series, doubts: Doubts, tiers: Tiers, page: int) -> Iterator[SecondQuestion]:
    """Ask for all doubts of a series again, in the cheapest pages that cover them."""
    absent = merge(sorted(doubts.absent))
    refused_times = sorted(doubts.refused)
    doubtful = merge(sorted([*absent, *doubts.unproven, *runs(refused_times, series.interval)]))
    for chunk in plan_chunks(series, doubtful, tiers, page):
        first = bisect_left(refused_times, chunk.range.start_ms)
        after = bisect_left(refused_times, chunk.range.end_ms)
        refused = {time: doubts.refused[time] for time in refused_times[first:after]}
        unproven = tuple(part for part in doubts.unproven if part.clip(chunk.range))
        yield SecondQuestion(chunk, Doubts(_absent(chunk, (), refused), refused, unproven=unproven))
    for one in doubts.narrow:
        for chunk in plan_chunks(series, [one.span], tiers, min(page, one.rows)):
            yield SecondQuestion(chunk, Doubts(narrow=(replace(one, span=chunk.range),)))


def _parted_by_cut(
    chunk: Chunk, checked: Checked, absent: tuple[TimeRange, ...], cut: Cut | None
) -> tuple[tuple[TimeRange, ...], tuple[Narrow, ...]]:
    """Part what an answer lacks: between its rows, and beyond the outermost one where it may be cut.

    An answer without rows was not cut.
    """
    times = [*checked.candles.open_times[:1], *checked.candles.open_times[-1:]]
    times += [refusal.open_time_ms for refusal in checked.refusals if refusal.open_time_ms is not None]
    if cut is None or not times or not absent:
        return absent, ()
    rows = len(checked.candles) + len(checked.refusals)
    if cut == "newest":
        beyond = TimeRange(max(times) + chunk.series.interval.ms, chunk.range.end_ms)
    else:
        beyond = TimeRange(chunk.range.start_ms, min(times))
    between, outside = parted(absent, [beyond] if beyond else [])
    return tuple(between), tuple(Narrow(part, rows) for part in outside)


def _joined(narrow: Iterable[Narrow]) -> tuple[Narrow, ...]:
    """Join neighbours of the same kind; `narrow` is in order."""
    joined: list[Narrow] = []
    for one in narrow:
        last = joined[-1] if joined else None
        if (
            last is not None
            and last.span.end_ms == one.span.start_ms
            and (last.rows, last.lacked) == (one.rows, one.lacked)
        ):
            joined[-1] = replace(one, span=TimeRange(last.span.start_ms, one.span.end_ms))
        else:
            joined.append(one)
    return tuple(joined)


def _incomplete(chunk: Chunk, candles: Candles) -> bool:
    return len(candles) != chunk.wanted_count


def _absent(chunk: Chunk, present: Sequence[int], refused: Mapping[int, object]) -> tuple[TimeRange, ...]:
    """Return the wanted minutes that are neither in `present` (rising) nor refused, as ranges."""
    known = sorted({*present, *refused}) if refused else present
    absent: list[TimeRange] = []
    for part in chunk.wanted:
        # A file has many candles, and may have many wanted parts: search only each part's own.
        inside = known[bisect_left(known, part.start_ms) : bisect_left(known, part.end_ms)]
        absent += gaps(part, inside, chunk.series.interval)
    return tuple(absent)


def _times(ranges: Iterable[TimeRange], step_ms: int) -> Iterator[int]:
    for part in ranges:
        yield from range(part.start_ms, part.end_ms, step_ms)


def _inside(time_ms: int, ranges: Iterable[TimeRange]) -> bool:
    return any(part.start_ms <= time_ms < part.end_ms for part in ranges)


def _wanted(time_ms: int, chunk: Chunk) -> bool:
    place = bisect_right(chunk.wanted, time_ms, key=lambda part: part.start_ms)
    return place > 0 and time_ms < chunk.wanted[place - 1].end_ms
