"""What is missing of a series: wanted minus stored minus known absences."""

from __future__ import annotations

from dataclasses import dataclass

from laklak.model.account import Account
from laklak.model.series import Series, TimeRange


@dataclass(frozen=True, slots=True)
class SeriesPlan:
    """One series of a run: what is wanted, what the store has, what is to fetch.

    Its account is what is known before anything is fetched; what is `absent` or `out_of_reach` is not in its sum, and
    the candles in `missing` and in `blocked` are what it lacks.
    """

    series: Series
    wanted: TimeRange
    first_ms: int | None
    """The open_time of the first candle of the series, where candles have shown it."""
    stored: int
    holes: int
    rejected: int
    missing: tuple[TimeRange, ...]
    known_rejected: frozenset[int] = frozenset()
    """Minutes asked again although they are remembered as rejected."""
    newest_ms: int | None = None
    """The open_time of the newest candle that is known of so far: the series has gone on until there."""
    oldest_ms: int | None = None
    """The open_time of the oldest candle of `wanted` that is known of so far."""
    asked_start_ms: int | None = None
    """Where the range that was asked for begins; `wanted` may begin later."""
    asked_end_ms: int | None = None
    """Where it ends; `wanted` may end earlier."""
    doubtful_first: bool = False
    """`wanted` begins where one answer says, and something else says that there are earlier candles."""
    blocked: tuple[TimeRange, ...] = ()
    """What is not there either, and is not asked for, since the store could not take it."""
    absent: int = 0
    """So many of `wanted` are known to be closed, before the first candle or after the last."""
    quiet: int = 0
    """In so many minutes nothing was traded, of a venue that leaves these out."""
    not_whole: tuple[TimeRange, ...] = ()
    """Of `missing`, where something stands that is no candle."""
    out_of_reach: tuple[TimeRange, ...] = ()
    """What is not there, and no source reaches any more."""
    reach_ms: int = 0
    """From where on there is a source, where something is out of reach."""
    files_only: bool = False
    """Only bulk files have the series: the API is not asked for what they lack."""

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
