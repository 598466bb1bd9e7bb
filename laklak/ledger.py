"""The account of one series during a run: what is wanted = stored + written + holes + rejected + missing."""

from __future__ import annotations

from collections.abc import Collection

from laklak.model import TimeRange
from laklak.plan import SeriesPlan
from laklak.resolve import FailedSeries
from laklak.settle import Doubts
from laklak.stores.base import Delivery


class Ledger:
    """Counts only what the store has acknowledged; `missing` is what is left, so the sum always holds."""

    def __init__(self, plan: SeriesPlan) -> None:
        self.plan = plan
        self.written = 0
        self.new_holes = 0
        self.new_rejected = 0
        self.newly_rejected = 0
        """Of those, the ones that were not remembered as rejected before."""
        self.kept = 0
        self.corrected: set[int] = set()
        """Candles stored before that the venue has other values for by now; written, and beside the sum."""
        self.outside = 0
        """Minutes of the plan that lie outside the life of the series, as its candles have shown: not wanted."""
        self.exhausted = False
        """Every first question has been handed out."""
        self.open_questions = 0
        self.refused: FailedSeries | None = None
        self._absent: list[TimeRange] = []
        self._doubts = Doubts()
        self._troubles: dict[str, tuple[int, str]] = {}

    @property
    def wanted_count(self) -> int:
        """What is wanted, by what is known of the series by now; `outside` is negative where it is longer."""
        return self.plan.wanted_count - self.outside

    @property
    def holes(self) -> int:
        return self.plan.holes + self.new_holes

    @property
    def rejected(self) -> int:
        return self.plan.rejected + self.new_rejected

    @property
    def stored_before(self) -> int:
        """Stored before the run and still so; a refetched series counts only what the venue does not have."""
        return self.plan.stored + self.kept

    @property
    def missing(self) -> int:
        return self.wanted_count - self.stored_before - self.written - self.holes - self.rejected

    def doubt(self, doubts: Doubts) -> None:
        """Collect what a first answer left in doubt."""
        if doubts:
            self._absent += doubts.absent
            refused = {**self._doubts.refused, **doubts.refused} if doubts.refused else self._doubts.refused
            self._doubts = Doubts(
                refused=refused,
                probed=self._doubts.probed or doubts.probed,
                unproven=self._doubts.unproven + doubts.unproven,
            )

    def take_doubts(self) -> Doubts:
        """All doubts collected, once: they are asked again now."""
        collected = self._doubts
        doubts = Doubts(tuple(self._absent), collected.refused, collected.probed, collected.unproven)
        self._absent, self._doubts = [], Doubts(probed=doubts.probed)
        return doubts

    def acknowledged(self, delivery: Delivery, refused: Collection[int] = ()) -> None:
        """The store holds this now, but for the candles that it refused (their open_times)."""
        corrected = delivery.corrected.difference(refused)
        self.corrected |= corrected
        self.written += len(delivery.candles) - len(refused) - len(corrected) if delivery.candles else 0
        self.new_holes += sum(absence.kind == "hole" for absence in delivery.absences)
        rejected = [absence.open_time_ms for absence in delivery.absences if absence.kind == "rejected"]
        self.new_rejected += len(rejected)
        self.newly_rejected += sum(time not in self.plan.known_rejected for time in rejected)

    def trouble(self, reason: str, candles: int, detail: str) -> None:
        """So many wanted candles were not got, and why (the last detail of each reason is kept)."""
        if candles:
            self._troubles[reason] = (self._troubles.get(reason, (0, ""))[0] + candles, detail)

    def refuse(self, reason: str, detail: str) -> None:
        """The venue refuses this series for good; nothing more of it is asked."""
        self.refused = FailedSeries(str(self.plan.series), reason, detail)

    def failure(self) -> FailedSeries | None:
        """Why something is missing, if the series itself is the reason; the gravest one."""
        if self.refused is not None:
            return self.refused
        if not self.missing or not self._troubles:
            return None
        reason, (candles, detail) = max(self._troubles.items(), key=lambda item: item[1][0])
        return FailedSeries(str(self.plan.series), reason, f"{candles} candles: {detail}")
