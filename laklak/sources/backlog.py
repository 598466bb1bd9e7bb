"""What to ask next: first questions series by series, second questions when their time has come.  Decides only."""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count

from laklak.model.candles import Chunk
from laklak.model.series import Series, TimeRange
from laklak.plan.answers import Doubts, Edge, Question, doubts_within, open_edges, second_questions
from laklak.plan.chunks import Tiers
from laklak.report.ledger import Ledger

Entry = tuple[Ledger, Question]


class Agenda:
    """The open questions of one venue. Chunks are cut lazily, so a long plan takes no memory."""

    def __init__(self, ledgers: Iterable[tuple[Ledger, Iterator[Chunk]]]) -> None:
        self._series = iter(ledgers)
        self._current: tuple[Ledger, Iterator[Chunk], Chunk] | None = None
        self._later: list[tuple[float, int, Ledger, Question]] = []
        self._leftover: deque[Entry] = deque()
        self._waiting: Counter[Ledger] = Counter()
        self._tick = count()
        self.outstanding = 0
        """Questions taken and not yet done with, and whatever else holds."""

    def take(self, now: float) -> Entry | None:
        """The next question, or None when there is none right now. `done` is due for each one taken."""
        entry = self._due(now) or self._first() or self._left()
        if entry is not None:
            self.hold(entry[0])
        return entry

    def later(self, ledger: Ledger, question: Question, at: float) -> None:
        """Ask this at `at` or after; it comes before new first questions then."""
        heapq.heappush(self._later, (at, next(self._tick), ledger, question))
        self._waiting[ledger] += 1

    def last(self, ledger: Ledger, question: Question) -> None:
        """Ask this when everything else is through."""
        self._leftover.append((ledger, question))
        self._waiting[ledger] += 1

    def hold(self, ledger: Ledger) -> None:
        """Something else may still bring questions of this series: a file. `done` is due for it."""
        ledger.open_questions += 1
        self.outstanding += 1

    def done(self, ledger: Ledger) -> None:
        """A taken question is answered, failed or given up, or what held is through."""
        ledger.open_questions -= 1
        self.outstanding -= 1

    def through(self, ledger: Ledger) -> bool:
        """Whether no question of a series is under way or still to come, and nothing holds it."""
        settled = ledger.refused is not None or (ledger.exhausted and not self._waiting[ledger])
        return settled and not ledger.open_questions

    def next_due(self) -> float | None:
        """When the earliest waiting question may be asked."""
        return self._later[0][0] if self._later else None

    @property
    def finished(self) -> bool:
        """Nothing waits and nothing is outstanding. Only meaningful after `take` gave None."""
        return not self._later and not self._leftover and not self.outstanding

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
                return None
            self._advance(*upcoming)
        ledger, chunks, chunk = self._current
        if ledger.refused is not None:
            self._current = None
            return self._first()
        self._advance(ledger, chunks)
        return ledger, Question(chunk)

    def _advance(self, ledger: Ledger, chunks: Iterator[Chunk]) -> None:
        """Look one chunk ahead, so that a ledger knows its last question when that is handed out."""
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
    """Questions about what is in doubt; `waited`: the time that has to pass between two answers has passed."""

    questions: Iterable[Question]
    waited: bool


def next_round(ledger: Ledger, tiers: Tiers, page: int, *, edges: bool) -> Round:
    """What to ask about a series when all of its questions are answered: maybe nothing.

    Where doubts hang on an end of the series that is not known, the venue is asked for that end first, where it can be
    asked at all (`edges`), each once.  What then lies after the newest candle has not come yet and is not asked again.
    """
    series, doubts = ledger.plan.series, ledger.take_doubts()
    edge = _edge(ledger, doubts)
    if edge is not None and edges:
        ledger.doubt(doubts)
        ledger.edges_asked.add(edge[0])
        ledger.waited = True
        return Round([Question(Chunk(series, edge[1], (edge[1],)), edge=edge[0])], waited=False)
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
    # Something may say that there are earlier candles than the first one that was shown.
    again = ledger.plan.doubtful_first and "first" not in ledger.edges_asked
    return ("first", ledger.plan.wanted) if again else None


def _come(ledger: Ledger, doubts: Doubts) -> Doubts:
    """The doubts about minutes in which the series lives and that have come, as far as that is known."""
    alive = doubts_within(doubts, ledger.life)
    if not ledger.newest_answered:
        return alive
    series = ledger.plan.series
    come = doubts_within(alive, TimeRange(ledger.life.start_ms, ledger.newest_ms + series.interval.ms))
    ledger.not_yet(_lacking(alive, series) - _lacking(come, series))
    return come


def _lacking(doubts: Doubts, series: Series) -> int:
    return sum(part.count(series.interval) for part in doubts.lacking)
