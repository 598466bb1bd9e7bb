"""What is missing of a series: wanted minus stored minus known absences."""

from __future__ import annotations

from dataclasses import dataclass

from laklak.model.account import Account
from laklak.model.series import Series, TimeRange


@dataclass(frozen=True, slots=True)
class SeriesPlan:
    """One series of a run: what it wants, what the store has, what to fetch.

    Its account is what is known before fetching; its sum leaves out `absent` and `out_of_reach`, and lacks the candles
    in `missing` and in `blocked`.
    """

    series: Series
    wanted: TimeRange
    first_ms: int | None
    """The open_time of the first candle of the series, if candles have shown it."""
    stored: int
    holes: int
    rejected: int
    missing: tuple[TimeRange, ...]
    known_rejected: frozenset[int] = frozenset()
    """Minutes to ask again although they are remembered as rejected."""
    newest_ms: int | None = None
    """The open_time of the newest known candle: the series has gone on until there."""
    oldest_ms: int | None = None
    """The open_time of the oldest known candle of `wanted`."""
    asked_start_ms: int | None = None
    """Where the range asked for begins; `wanted` may begin later."""
    asked_end_ms: int | None = None
    """Where it ends; `wanted` may end earlier."""
    doubtful_first: bool = False
    """`wanted` begins where one answer says, but something else tells of earlier candles."""
    blocked: tuple[TimeRange, ...] = ()
    """Missing, too, but not to fetch, because the store could not take it."""
    absent: int = 0
    """Candles of `wanted` known to be closed, before the first candle or after the last."""
    quiet: int = 0
    """Candles of `wanted` without trades, of a venue that leaves these out."""
    not_whole: tuple[TimeRange, ...] = ()
    """The parts of `missing` where something stands that is no candle."""
    out_of_reach: tuple[TimeRange, ...] = ()
    """Missing, and no source reaches it any more."""
    reach_ms: int = 0
    """From where on there is a source, if something is out of reach."""
    files_only: bool = False
    """Only bulk files have the series: do not ask the API for what they lack."""

    @property
    def asked(self) -> TimeRange:
        """The range that was asked for."""
        start_ms, end_ms = self.asked_start_ms, self.asked_end_ms
        return TimeRange(
            self.wanted.start_ms if start_ms is None else start_ms, self.wanted.end_ms if end_ms is None else end_ms
        )

    @property
    def account(self) -> Account:
        return Account(
            wanted=self.wanted_count,
            stored_before=self.stored,
            holes=self.holes,
            rejected=self.rejected,
            quiet=self.quiet,
            blocked=self.blocked_count,
            out_of_reach=self.out_of_reach_count,
        )

    @property
    def wanted_count(self) -> int:
        return self.wanted.count(self.series.interval) - self.absent - self.out_of_reach_count

    @property
    def out_of_reach_count(self) -> int:
        return sum(part.count(self.series.interval) for part in self.out_of_reach)

    @property
    def missing_count(self) -> int:
        return sum(part.count(self.series.interval) for part in self.missing)

    @property
    def blocked_count(self) -> int:
        return sum(part.count(self.series.interval) for part in self.blocked)
