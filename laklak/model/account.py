"""What became of the wanted candles: the one sum that everything else shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from operator import add, attrgetter
from typing import Final, Protocol


@dataclass(frozen=True, slots=True)
class Account:
    """wanted = stored_before + written + holes + rejected + quiet + missing, in candles.

    `blocked` are missing until something is mended: no run gets them before.  Beside the sum: `out_of_reach`, which
    no source reaches any more; `corrected`: stored before, and written again with other values; `holes_filled`: written
    ones that were known holes until bulk files had them.
    """

    wanted: int = 0
    stored_before: int = 0
    written: int = 0
    holes: int = 0
    rejected: int = 0
    quiet: int = 0
    blocked: int = 0
    out_of_reach: int = 0
    corrected: int = 0
    holes_filled: int = 0

    @property
    def missing(self) -> int:
        """The rest, so that the sum always holds."""
        return self.wanted - self.stored_before - self.written - self.holes - self.rejected - self.quiet

    @property
    def coverage(self) -> float | None:
        """What is held of what there can be, in percent; None if there can be nothing."""
        whole = self.wanted - self.holes - self.quiet
        return None if whole <= 0 else 100 * (self.stored_before + self.written) / whole

    @property
    def done(self) -> int:
        """Candles whose fate is known."""
        return self.wanted - self.missing

    def __add__(self, other: Account) -> Account:
        return Account(*map(add, _figures(self), _figures(other)))

    def named(self, names: Iterable[str]) -> dict[str, int]:
        """Return some of the figures by their names."""
        return {name: getattr(self, name) for name in names}


_figures = attrgetter(*(one.name for one in fields(Account)))

SUM: Final[Sequence[str]] = ("wanted", "stored_before", "written", "holes", "rejected", "quiet", "missing", "blocked")
"""The names of the sum, in the order of telling."""


class _HasAccount(Protocol):
    @property
    def account(self) -> Account: ...


class _Figure:
    """A figure of its carrier's account."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, carrier: _HasAccount, owner: type) -> int:
        figure: int = getattr(carrier.account, self._name)
        return figure


class Accounted:
    """Carries an `account` and offers its figures as attributes."""

    __slots__ = ()

    wanted = _Figure()
    stored_before = _Figure()
    written = _Figure()
    holes = _Figure()
    rejected = _Figure()
    quiet = _Figure()
    missing = _Figure()
    blocked = _Figure()
    out_of_reach = _Figure()
    corrected = _Figure()
    holes_filled = _Figure()
