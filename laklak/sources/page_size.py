"""How many rows come at once at a venue of which nobody knows: learned by its first answers, and remembered.

A silent cut costs nothing, so every run asks for the most that there may be, and hears whether it has changed; what an
earlier run has learned tells what the plan takes.  A refused question costs one, so after a refusal the smaller size
is taken as it is, and the largest is asked for again a week later, or with --recheck.  A size that has become smaller
shows by the first answer in either case, and so nothing is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from laklak.model.series import DAY_MS
from laklak.stores.knowledge import Knowledge
from laklak.venues.base import PageRule

KIND: Final = "page"
"""The kind of the note, which is about the venue."""
_TAKEN_FOR_MS: Final = 7 * DAY_MS


class PageSize:
    """`rows` are asked for at once; while `learning`, one question is under way at a time, until an answer tells."""

    def __init__(self, venue: str, rule: PageRule, rows: int, *, learning: bool) -> None:
        self._venue = venue
        self._rule = rule
        self.rows = rows
        self.learning = learning and bool(rule.smaller)
        self._known: int | None = None
        self._was_told = False
        self._was_refused = False
        self._is_taken = False

    @property
    def expected(self) -> int:
        """How many rows will come at once, as far as that is known before an answer has told."""
        return min(self.rows, self._known) if self.learning and self._known is not None else self.rows

    @property
    def sure(self) -> int:
        """How many come at once for sure."""
        return min(self.rows, self._rule.smaller[-1]) if self.learning else self.rows

    def take_sure(self) -> None:
        """Ask for no more than comes for sure: there is nothing to learn."""
        self.rows, self.learning = self.sure, False

    def hear(self, start_ms: int, times: Sequence[int], *, begins: bool) -> bool:
        """Learn from the open_times of an answer to a question that begins at `start_ms`; gives whether it was cut.

        `begins`: the series begins within the question, so that an answer is short for that: it tells only by a size
        that is known from elsewhere.
        """
        rule = self._rule
        if not self.learning or not times:
            return False
        likely = len(times) in rule.smaller or (len(times) >= rule.smaller[-1] and not begins)
        if min(times) > start_ms and likely:
            self.rows, self.learning, self._was_told = len(times), False, True
            return True
        self.learning = any(len(times) <= size < self.rows for size in rule.smaller)
        self._was_told = not self.learning
        return False

    def refused(self, rows: int) -> bool:
        """Take a smaller size because a question for so many rows was refused; False where there is none."""
        smaller = [size for size in self._rule.smaller if size < min(rows, self.rows)]
        if not self.learning or not smaller:
            return False
        self.rows, self._was_refused, self._is_taken = smaller[0], True, False
        return True

    def recall(self, knowledge: Knowledge, now_ms: int) -> None:
        """Take up what an earlier run has learned."""
        fact = knowledge.fact(self._venue, KIND, now_ms) if self.learning else None
        note = knowledge.note(self._venue, KIND)
        fact = fact if isinstance(fact, dict) else {}
        rows = fact.get("rows")
        if note is None or type(rows) is not int or not 1 <= rows <= self.rows:
            return
        self._known = rows
        if fact.get("refused") is True and now_ms - (note.venue_ms or 0) < _TAKEN_FOR_MS:
            self.rows, self._is_taken = rows, True

    def remember(self, knowledge: Knowledge, now_ms: int) -> None:
        """Keep what the answers of this run have told, as of the last look for more."""
        fact = {"rows": self.rows, "refused": self._was_refused}
        if not self._was_told or (self._is_taken and self.rows == self._known):
            return
        if self._was_refused or knowledge.value(self._venue, KIND) != fact:
            knowledge.put(self._venue, KIND, fact, venue_ms=now_ms)
