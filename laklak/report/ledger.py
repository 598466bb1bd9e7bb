"""The account of one series during a run."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Final

from laklak.model.absences import Absence, AbsenceKind
from laklak.model.account import Account
from laklak.model.series import TimeRange, iso
from laklak.model.spans import count, overlap
from laklak.plan.answers import Doubts, Edge
from laklak.plan.missing import SeriesPlan
from laklak.plan.wanted import FailedSeries, ReachedSeries
from laklak.stores.base import Delivery

NOT_YET: Final = "not_yet"
"""The venue's candles do not reach there yet."""
NO_SOURCE: Final = "no_source"
"""No source that this run may ask has it."""
UNPROVEN: Final = "unproven"
"""No known source has it, and one that may have it could not be asked."""
MENDED_FIRST: Final = ("other_types", "store_refused", "source_unsound")
"""Reasons that last until a store is mended."""
NEVER_MS: Final = 1 << 62


class Ledger:
    """Counts only what the store has acknowledged; `missing` is the rest, so the sum always holds."""

    def __init__(self, plan: SeriesPlan) -> None:
        self.plan = plan
        self.written = 0
        self.new_holes = 0
        self.new_rejected = 0
        self.new_quiet = 0
        self.newly_rejected = 0
        """The new rejects that were not remembered as rejected before."""
        self.missed = 0
        """Of `written`, candles that had closed before the end of the last run; see `turned_ms`."""
        self.turned_ms = 0
        """Up to where candles reached in the last run: a missing one that closed before was missing then, too."""
        self.requests = 0
        """Questions and files asked for."""
        self.kept = 0
        self.corrected: set[int] = set()
        """Candles stored before for which the venue has other values now; written, and beside the sum."""
        self.outside = 0
        """Minutes that turned out not to be wanted, beside those outside of `life`; negative if more are wanted."""
        self.out_of_reach = plan.out_of_reach_count
        """What no source reaches any more; beside the sum."""
        self.reach_start_ms = 0
        """The venue refuses candles that open before this: it does not reach back further."""
        self.published_ms: int | None = None
        """Up to where a delayed feed has published, if that was not all."""
        self.life = TimeRange(-NEVER_MS, NEVER_MS)
        """From the first candle to the end of the last one, as far as this run has learned; else without end."""
        # If the range begins with the known first candle, and that is lacking, the first candle is unknown.
        self.first_known = plan.first_ms is not None and plan.first_ms < plan.wanted.start_ms
        self.newest_ms: int = -1 if plan.newest_ms is None else plan.newest_ms
        """The newest known candle, from any answer: the series has gone on until there."""
        self.oldest_ms: int = NEVER_MS if plan.oldest_ms is None else plan.oldest_ms
        """The oldest known candle of what is wanted: the first one cannot be later."""
        self._planned_ms = plan.wanted.start_ms
        self._planned_end_ms = plan.wanted.end_ms
        self.unproven_ends: dict[str, str] = {}
        """What may lie beyond an end of what is wanted, because a file could not be read; by its side."""
        self.waited = False
        """A question about an end took the time that must pass between two answers."""
        self.newest_answered = False
        """The venue has told its newest candle in this run: later ones have not come yet."""
        self.edges_asked: set[Edge] = set()
        self._beyond_life = 0
        self.reopened: set[int] = set()
        """Known holes and rejects that this run checks against bulk files: still so, unless a file has them."""
        self.rejected_before: set[int] = set()
        """The rejects among them."""
        self.filled = 0
        """The holes among them that a file had."""
        self.exhausted = False
        """Every first question has been handed out."""
        self.open_questions = 0
        self.refused: FailedSeries | None = None
        self._absent: list[TimeRange] = []
        self._doubts = Doubts()
        self._troubles: dict[str, tuple[int, str]] = {}

    @property
    def wanted_count(self) -> int:
        """Candles wanted, by what is known of the series now; `outside` is negative if it is longer."""
        return self.plan.wanted_count - self.outside - self._beyond_life

    def saw(self, open_ms: int, oldest_ms: int | None = None) -> None:
        """Note a candle that the venue has, the newest of several; `oldest_ms`: the oldest of them."""
        self.newest_ms = max(self.newest_ms, open_ms)
        self.oldest_ms = min(self.oldest_ms, open_ms if oldest_ms is None else oldest_ms)
        if open_ms >= self.life.end_ms:
            # It lives after all.
            self.ends(NEVER_MS)

    def begins(self, first_ms: int) -> TimeRange:
        """Want nothing before the first candle; return the range before the planned one that is wanted now, if any.

        Of several first candles the earliest counts.
        """
        if self.first_known:
            first_ms = min(first_ms, self.start_ms)
        self.first_known = True
        asked_start_ms = self.plan.asked_start_ms
        more = TimeRange(
            max(first_ms, self._planned_ms if asked_start_ms is None else asked_start_ms), self._planned_ms
        )
        if more:
            self.outside -= more.count(self.plan.series.interval)
            self._planned_ms = more.start_ms
        self._live(TimeRange(first_ms, self.life.end_ms))
        return more

    @property
    def start_ms(self) -> int:
        """Where what is wanted begins, by what is known now."""
        return max(self._planned_ms, self.life.start_ms)

    @property
    def end_ms(self) -> int:
        """Where what is wanted ends, by what is known now."""
        return min(self._planned_end_ms, self.life.end_ms)

    def goes_on(self, end_ms: int) -> None:
        """Note that the series ends later than thought: what was asked for until then is wanted, too."""
        more = TimeRange(self._planned_end_ms, min(end_ms, self.plan.asked.end_ms))
        if more:
            self.outside -= more.count(self.plan.series.interval)
            self._planned_end_ms = more.end_ms
        if self.life.end_ms < end_ms:
            self.ends(end_ms)

    def ends(self, end_ms: int) -> None:
        """Want nothing from `end_ms` on."""
        self._live(TimeRange(self.life.start_ms, end_ms))

    def _live(self, life: TimeRange) -> None:
        interval = self.plan.series.interval
        self.life = life
        self._beyond_life = self.plan.missing_count - sum(part.clip(life).count(interval) for part in self.plan.missing)

    @property
    def account(self) -> Account:
        """What has become of the series so far; if refetched, only candles that the venue lacks count as before."""
        known = self.plan.account
        account = Account(
            wanted=self.wanted_count,
            stored_before=known.stored_before + self.kept,
            written=self.written,
            holes=known.holes + self.new_holes,
            rejected=known.rejected + self.new_rejected,
            quiet=known.quiet + self.new_quiet,
            out_of_reach=self.out_of_reach,
            corrected=len(self.corrected),
            holes_filled=self.filled,
        )
        mended_first = sum(self._troubles.get(reason, (0, ""))[0] for reason in MENDED_FIRST)
        return replace(account, blocked=min(account.missing, mended_first)) if mended_first else account

    @property
    def missing(self) -> int:
        return self.account.missing

    def doubt(self, doubts: Doubts) -> None:
        """Collect what a first answer left in doubt."""
        if doubts:
            self._absent += doubts.absent
            refused = {**self._doubts.refused, **doubts.refused} if doubts.refused else self._doubts.refused
            self._doubts = Doubts(
                refused=refused,
                unproven=self._doubts.unproven + doubts.unproven,
                narrow=self._doubts.narrow + doubts.narrow,
            )

    def take_doubts(self) -> Doubts:
        """Return all collected doubts, once, to ask again now."""
        collected = self._doubts
        doubts = Doubts(tuple(self._absent), collected.refused, collected.unproven, collected.narrow)
        self._absent, self._doubts = [], Doubts()
        return doubts

    def acknowledged(self, delivery: Delivery, refused: Collection[int] = ()) -> None:
        """Count what the store holds now, without the candles that it refused (their open_times)."""
        if delivery.candles:
            self._count_candles(delivery.candles.open_times, delivery.corrected, refused)
        self._count_single([one for one in delivery.absences if not one.is_span])
        alive = ((one.kind, one.span.clip(self.life)) for one in delivery.absences if one.is_span)
        self._count_stretches([(kind, span) for kind, span in alive if span])

    def _count_candles(self, open_times: Sequence[int], corrected: Collection[int], refused: Collection[int]) -> None:
        changed = set(corrected).difference(refused)
        self.corrected |= changed
        self.written += len(open_times) - len(refused) - len(changed)
        self._count_missed(open_times, changed.union(refused))
        filled = self.reopened.intersection(open_times).difference(refused) if self.reopened else set()
        self.reopened -= filled
        rejects = len(filled & self.rejected_before)
        self.new_holes -= len(filled) - rejects
        self.new_rejected -= rejects
        self.filled += len(filled) - rejects

    def _count_single(self, absences: Sequence[Absence]) -> None:
        """Count absences that are kept one by one."""
        interval = self.plan.series.interval
        single = [one for absence in absences for one in absence.candles(interval)]
        rejected = [one.open_time_ms for one in single if one.kind == "rejected"]
        self.new_holes += sum(one.kind == "hole" and one.open_time_ms not in self.reopened for one in single)
        self.new_rejected += len(rejected)
        self.newly_rejected += sum(time not in self.plan.known_rejected for time in rejected)

    def _count_stretches(self, stretches: Sequence[tuple[AbsenceKind, TimeRange]]) -> None:
        interval, missing = self.plan.series.interval, self.plan.missing
        quiet = [span for kind, span in stretches if kind == "quiet"]
        # When there was nothing to have, nothing is wanted.
        others = [span for kind, span in stretches if kind != "quiet"]
        self.new_quiet += count(overlap(missing, quiet), interval)
        self.outside += count(overlap(missing, others), interval)

    def _count_missed(self, open_times: Sequence[int], beside: Collection[int]) -> None:
        last_ms = self.turned_ms - self.plan.series.interval.ms
        missed = bisect_right(open_times, last_ms)
        self.missed += missed - (sum(time_ms <= last_ms for time_ms in beside) if missed else 0)

    def not_yet(self, candles: int) -> None:
        """Note wanted candles after the newest one that the venue has."""
        since = "no candles" if self.newest_ms < 0 else f"no candles after {iso(self.newest_ms)}"
        self.trouble(NOT_YET, candles, f"{since} yet")

    def not_published(self, parts: Sequence[TimeRange]) -> None:
        """Note minutes, in order, that a delayed feed has not published: the next run asks for them."""
        if parts:
            self.published_ms = min(parts[0].start_ms, NEVER_MS if self.published_ms is None else self.published_ms)
        self.not_wanted(parts)

    def not_wanted(self, parts: Iterable[TimeRange], *, out_of_reach: bool = False) -> None:
        """Drop planned minutes that are not wanted: not final yet, or no source has them any more."""
        alive = [part.clip(self.life) for part in parts]
        candles = sum(part.count(self.plan.series.interval) for part in alive)
        self.outside += candles
        self.out_of_reach += candles if out_of_reach else 0

    @property
    def reached(self) -> ReachedSeries | None:
        """How far back the series reaches, if that leaves something out."""
        if not self.out_of_reach:
            return None
        return ReachedSeries(str(self.plan.series), max(self.plan.reach_ms, self.reach_start_ms), self.out_of_reach)

    @property
    def got_all(self) -> bool:
        """Nothing is missing that could be written."""
        return self.missing == self.plan.blocked_count

    @property
    def unexplained(self) -> int:
        """Missing candles without a known trouble."""
        return max(0, self.missing - sum(candles for candles, _ in self._troubles.values()))

    def trouble(self, reason: str, candles: int, detail: str) -> None:
        """Note wanted candles that did not come, and why (the last detail of each reason stays)."""
        if candles:
            self._troubles[reason] = (self._troubles.get(reason, (0, ""))[0] + candles, detail)

    def refuse(self, reason: str, detail: str) -> None:
        """Note that the venue refuses this series for good: ask no more of it."""
        self.refused = FailedSeries(str(self.plan.series), reason, detail)

    @property
    def reasons(self) -> frozenset[str]:
        """Every reason for which something is missing, not the gravest alone; empty if nothing explains it."""
        ends = [UNPROVEN] if self.unproven_ends else []
        if self.refused is not None:
            return frozenset([self.refused.reason, *ends])
        return frozenset([*(self._troubles if self.missing else ()), *ends])

    def failure(self, *, but: str = "") -> FailedSeries | None:
        """Return why something is missing, if the series itself is the reason: the gravest, except `but`."""
        if self.refused is not None:
            return self.refused
        ends = "; ".join(self.unproven_ends.values())
        troubles = [one for one in self._troubles.items() if one[0] != but]
        if not self.missing or not troubles:
            return FailedSeries(str(self.plan.series), UNPROVEN, ends) if ends else None
        reason, (candles, detail) = max(troubles, key=lambda item: item[1][0])
        # Some minutes may have been in trouble twice.
        told = f"{min(candles, self.missing)} candles: {detail}"
        return FailedSeries(str(self.plan.series), reason, f"{told}; {ends}" if ends else told)
