"""What a store remembers beside candles: notes and runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from laklak.model.account import Account
from laklak.model.series import Series


@dataclass(frozen=True, slots=True)
class Note:
    """What a store remembers beside candles: one note of each `kind` about a venue or a series.

    `about`: `binance` or `binance:BTCUSDT:1m`. `value`: JSON; empty once forgotten. `noted_at_ms`: this machine's
    clock, `venue_ms`: the venue's at that moment, because either may be wrong.
    """

    about: str
    kind: str
    value: str
    noted_at_ms: int
    venue_ms: int | None = None


EVERY_SYMBOL: Final = "*"
"""Stands for all series of a venue at once."""


@dataclass(frozen=True, slots=True)
class GapFill:
    """What a run filled of a series before the end of the last run, or what of it failed.

    `symbol` EVERY_SYMBOL is for a venue that ended early.  `start_ms` to `end_ms` was wanted; `before` and `after` are
    its coverage in percent, None if nothing can be held. `requests` counts files, too; `rows` were written.
    """

    venue: str
    symbol: str
    start_ms: int
    end_ms: int
    before: float | None
    after: float | None
    requests: int
    rows: int
    error: str | None

    def is_about(self, series: Series) -> bool:
        """Whether it is about this series, if its run had the interval."""
        return self.venue == series.venue and self.symbol in (series.symbol, EVERY_SYMBOL)


_REMEMBERED: Final = ("wanted", "stored_before", "written", "holes", "rejected", "missing")
_RESULTS: Final = {0: "complete", 1: "incomplete", 2: "refused", 75: "try later", 130: "interrupted", 143: "terminated"}


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run as the store remembers it, with what it filled. Times in ms UTC."""

    started_ms: int
    ended_ms: int
    version: str
    start_ms: int
    end_ms: int
    interval: str
    series: int
    account: Account
    requests: int
    weight: int
    exit_code: int
    error: str | None
    fills: Sequence[GapFill] = ()

    def with_fills(self, fills: Sequence[GapFill]) -> RunRecord:
        """The same run with these fills."""
        return replace(self, fills=tuple(fills))

    @property
    def result(self) -> str:
        """The exit status as a word."""
        return _RESULTS.get(self.exit_code, "failed")

    @property
    def facts(self) -> dict[str, str | int | None]:
        """Everything but its times and fills, under the names in the store, with `result`."""
        beside = ("account", "fills")
        names = [one.name for one in fields(self) if not one.name.endswith("_ms") and one.name not in beside]
        account = self.account.named(_REMEMBERED) | {"stored_after": self.account.stored_before + self.account.written}
        return {**{name: getattr(self, name) for name in names}, **account, "result": self.result}

    @classmethod
    def of(cls, started_ms: int, ended_ms: int, start_ms: int, end_ms: int, facts: Mapping[str, Any]) -> RunRecord:
        """Make the run of which a store remembers these times and, by the names in FACTS, these facts."""
        known = {name: facts[name] for name in _REMEMBERED if name != "missing"}
        # No field holds the quiet candles: they are the rest of the sum.
        quiet = facts["wanted"] - sum(facts[name] for name in _REMEMBERED[1:])
        names = [one.name for one in fields(cls) if one.name in FACTS]
        return cls(
            started_ms=started_ms,
            ended_ms=ended_ms,
            start_ms=start_ms,
            end_ms=end_ms,
            account=Account(**known, quiet=quiet),
            **{name: facts[name] for name in names if name != "error"},
            error=facts["error"] or None,
        )


FACTS: Final[Mapping[str, type[str] | type[int]]] = {
    **dict.fromkeys(("version", "interval", "error"), str),
    **dict.fromkeys(("series", *_REMEMBERED, "requests", "weight", "exit_code"), int),
}
"""What is read back of a run, and its types."""
