"""The open work of one venue: questions to its API, and files to fetch.

First questions come series by series, second ones when they are due, failed ones when all else is done. A file is open
from the moment it is added: its series and the venue are not done before it is.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count

from anyio import lowlevel

from laklak.archives.split import FilePart
from laklak.model.candles import Chunk
from laklak.model.series import Series, TimeRange
from laklak.model.spans import merge
from laklak.plan.answers import (
    Doubts,
    Edge,
    EdgeQuestion,
    FirstQuestion,
    Question,
    SecondRound,
    doubts_within,
    open_edges,
    second_questions,
)
from laklak.plan.chunks import Tiers
from laklak.report.ledger import Ledger
from laklak.tasks.stopping import Stopped, Stopper

Entry = tuple[Ledger, Question | SecondRound]
FileEntry = tuple[Ledger, FilePart]


class Backlog:
    """The work still to do for one venue. Chunks are cut lazily, so a long plan takes no memory.

    `changed` wakes tasks that wait for work. Call `done` for every question taken and every file added.
    """

    def __init__(self, stopper: Stopper, ledgers: Iterable[tuple[Ledger, Iterator[Chunk]]] = ()) -> None:
        self._stopper = stopper
        self._series = iter(ledgers)
        self._more_series = True
        self._current: tuple[Ledger, Iterator[Chunk], Chunk] | None = None
        self._later: list[tuple[float, int, Ledger, Question | SecondRound]] = []
        self._leftover: deque[Entry] = deque()
        self._waiting: Counter[Ledger] = Counter()
        self._tick = count()
        self._files: deque[FileEntry] = deque()
        self._open: Counter[type] = Counter()
        self.changed = asyncio.Event()

    def take(self, now: float) -> Entry | None:
        """The next question; None if none is ready now."""
        entry = self._due(now) or self._first() or self._left()
        if entry is not None:
            self._hold(entry)
        return entry

    async def take_file(self) -> FileEntry | None:
        """The next file; None if no open work can add one. Raises Stopped."""
        # If the archive is down, thousands of files fail at once: let other tasks run, and a stop take effect.
        await lowlevel.checkpoint()
        if self._stopper.requested:
            raise Stopped
        while not self._files:
            if self.finished:
                return None
            self.changed.clear()
            with self._stopper.interruptible():
                await self.changed.wait()
        return self._files.popleft()

    def later(self, ledger: Ledger, question: Question, at: float) -> None:
        """Ask this at `at` or later, then before new first questions."""
        heapq.heappush(self._later, (at, next(self._tick), ledger, question))
        self._waiting[ledger] += 1

    def last(self, ledger: Ledger, question: Question | SecondRound) -> None:
        """Ask this when all else is done."""
        self._leftover.append((ledger, question))
        self._waiting[ledger] += 1

    def add_files(self, ledger: Ledger, parts: Iterable[FilePart]) -> None:
        """Add files to fetch; they may still bring questions about this series."""
        for part in parts:
            self._files.append((ledger, part))
            self._hold((ledger, part))
        self.changed.set()

    def cut_anew(self, cut: Callable[[Ledger, Sequence[TimeRange]], Iterator[Chunk]]) -> None:
        """Cut the rest of the current series again; the next series are cut in their turn."""
        if self._current is not None:
            ledger, chunks, chunk = self._current
            left = merge(part for one in (chunk, *chunks) for part in one.wanted)
            self._current = None
            self._advance(ledger, cut(ledger, left))

    def done(self, entry: Entry | FileEntry) -> None:
        """Close a question (answered, failed or given up) or a file."""
        ledger, what = entry
        ledger.open_questions -= 1
        self._open[type(what)] -= 1
        self.changed.set()

    @property
    def outstanding(self) -> int:
        """Questions taken and files added that are not done."""
        return self._open.total()

    @property
    def has_files(self) -> bool:
        """Whether a file waits or is in flight."""
        return self._open[FilePart] > 0

    def through(self, ledger: Ledger) -> bool:
        """Whether no question of a series waits or is in flight, and nothing keeps the series open."""
        settled = ledger.refused is not None or (ledger.exhausted and not self._waiting[ledger])
        return settled and not ledger.open_questions

    def next_due(self) -> float | None:
        """When the earliest waiting question may be asked; None if none waits."""
        return self._later[0][0] if self._later else None

    @property
    def finished(self) -> bool:
        """Nothing waits, nothing is outstanding, and every first question was taken."""
        return not (self._more_series or self._later or self._leftover or self.outstanding)

    def _hold(self, entry: Entry | FileEntry) -> None:
        ledger, what = entry
        ledger.open_questions += 1
        self._open[type(what)] += 1

    def _due(self, now: float) -> Entry | None:
        while self._later and self._later[0][0] <= now:
            _, _, ledger, question = heapq.heappop(self._later)
            self._waiting[ledger] -= 1
            if ledger.refused is None:
                return ledger, question
        return None

    def _first(self) -> Entry | None:
        while self._current is None:
            upcoming = next(self._series, None)
            if upcoming is None:
                if self._more_series:
                    self._more_series = False
                    self.changed.set()
                return None
            self._advance(*upcoming)
        ledger, chunks, chunk = self._current
        if ledger.refused is not None:
            self._current = None
            return self._first()
        self._advance(ledger, chunks)
        return ledger, FirstQuestion(chunk)

    def _advance(self, ledger: Ledger, chunks: Iterator[Chunk]) -> None:
        """Look one chunk ahead: a ledger must know its last question when that is handed out."""
        chunk = next(chunks, None)
        ledger.exhausted = chunk is None
        self._current = None if chunk is None else (ledger, chunks, chunk)

    def _left(self) -> Entry | None:
        if self._later or self.outstanding or not self._leftover:
            return None
        entry = self._leftover.popleft()
        self._waiting[entry[0]] -= 1
        return entry


@dataclass(frozen=True, slots=True)
class Round:
    """Questions about doubts; `waited`: the time between two answers has passed."""

    questions: Iterable[Question]
    waited: bool


def next_round(ledger: Ledger, tiers: Tiers, page: int, *, edges: bool) -> Round:
    """What to ask about a series when all its questions are answered; maybe nothing.

    If doubts depend on an unknown end of the series, ask for that end first, once per end, if the venue can be asked
    (`edges`). Minutes after the newest candle have not come yet and are not asked again.
    """
    series, doubts = ledger.plan.series, ledger.take_doubts()
    edge = _edge(ledger, doubts)
    if edge is not None and edges:
        ledger.doubt(doubts)
        ledger.edges_asked.add(edge[0])
        ledger.waited = True
        return Round([EdgeQuestion(Chunk(series, edge[1], (edge[1],)), edge[0])], waited=False)
    waited, ledger.waited = ledger.waited, False
    return Round(second_questions(series, _come(ledger, doubts), tiers, page), waited)


def _edge(ledger: Ledger, doubts: Doubts) -> tuple[Edge, TimeRange] | None:
    first_known, newest_ms = ledger.first_known, ledger.newest_ms
    edges = open_edges(
        ledger.plan.series, doubts, start_ms=ledger.start_ms, first_known=first_known, newest_ms=newest_ms
    )
    for edge in edges:
        if edge[0] not in ledger.edges_asked:
            return edge
    # There may be candles before the first one shown.
    again = ledger.plan.doubtful_first and "first" not in ledger.edges_asked
    return ("first", ledger.plan.wanted) if again else None


def _come(ledger: Ledger, doubts: Doubts) -> Doubts:
    """The doubts about minutes that have come and in which the series lives, as far as known."""
    alive = doubts_within(doubts, ledger.life)
    if not ledger.newest_answered:
        return alive
    series = ledger.plan.series
    come = doubts_within(alive, TimeRange(ledger.life.start_ms, ledger.newest_ms + series.interval.ms))
    ledger.not_yet(_lacking(alive, series) - _lacking(come, series))
    return come


def _lacking(doubts: Doubts, series: Series) -> int:
    return sum(part.count(series.interval) for part in doubts.lacking)
