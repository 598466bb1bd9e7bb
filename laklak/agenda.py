"""What to ask next: first questions series by series, second questions when their time has come.  Decides only."""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from itertools import count

from laklak.ledger import Ledger
from laklak.model import Chunk
from laklak.settle import Question

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
