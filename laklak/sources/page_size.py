"""How many rows a venue gives at once, if its documentation does not say: learned from its answers, and remembered.

A silent cut costs nothing, so every run asks for the most rows and sees whether the size has changed; the plan uses the
size learned before. A refused question costs one, so after a refusal the smaller size is used, and the largest is tried
again a week later, or with --recheck. A size that has shrunk shows in the first answer either way: nothing is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from laklak.model.series import DAY_MS
from laklak.stores.knowledge import Knowledge
from laklak.venues.base import PageRule

KIND: Final = "page"
"""The kind of the note about a venue."""
_TAKEN_FOR_MS: Final = 7 * DAY_MS


class PageSize:
    """`rows` to ask for at once; while `learning`, one question is in flight at a time, until an answer tells."""

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
        """The rows that will come at once, as far as known before an answer has told."""
        return min(self.rows, self._known) if self.learning and self._known is not None else self.rows

    @property
    def sure(self) -> int:
        """The rows that surely come at once."""
        return min(self.rows, self._rule.smaller[-1]) if self.learning else self.rows

    def take_sure(self) -> None:
        """Ask only for rows that surely come: there is nothing to learn."""
        self.rows, self.learning = self.sure, False

    def hear(self, start_ms: int, times: Sequence[int], *, begins: bool) -> bool:
        """Learn from the open_times of an answer to a question from `start_ms` on; returns whether it was cut.

        `begins`: the series begins within the question, which shortens the answer: only a size in the rule tells then.
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
        """Take a smaller size after a question for `rows` was refused; False if there is none."""
        smaller = [size for size in self._rule.smaller if size < min(rows, self.rows)]
        if not self.learning or not smaller:
            return False
        self.rows, self._was_refused, self._is_taken = smaller[0], True, False
        return True

    def recall(self, knowledge: Knowledge, now_ms: int) -> None:
        """Use what an earlier run learned."""
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
        """Note what this run's answers told; a size taken from the note keeps the note's date."""
        fact = {"rows": self.rows, "refused": self._was_refused}
        if not self._was_told or (self._is_taken and self.rows == self._known):
            return
        if self._was_refused or knowledge.value(self._venue, KIND) != fact:
            knowledge.put(self._venue, KIND, fact, venue_ms=now_ms)
