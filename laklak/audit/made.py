"""Made candles held against the venue's own longer ones, once they are stored."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import anyio

from laklak.audit.beside import verify_beside
from laklak.audit.coverage import Range
from laklak.audit.sources import Sample, proof_text
from laklak.audit.verify import Verified, VerifyReport, as_object
from laklak.engine import Transfer
from laklak.errors import LaklakError, in_short
from laklak.model.series import Series
from laklak.report.copied import ResampleSummary
from laklak.report.observer import Observer
from laklak.settings.load import Settings
from laklak.sources.resampled import ResampleJob
from laklak.tasks.timing import Timing


@dataclass(frozen=True, slots=True)
class VerifiedSummary(ResampleSummary):
    """The same of made candles that venues may have been asked for; `verified` is None where they were not."""

    verified: VerifyReport | None = None

    def as_json(self) -> dict[str, Any]:
        values = ResampleSummary.as_json(self)
        verified = values.pop("verified")
        if verified is not None:
            values["verify"] = {**as_object(verified), "proof": proof_text(verified.series, wanted=True)}
        return values


class VerifiedTransfer(Transfer[ResampleSummary]):
    """One making of one job, whose candles venues are asked for afterwards: of a `sample` of days, if there is one.

    `settings` say how venues are asked; `asking` hears of it.
    """

    def __init__(
        self,
        job: ResampleJob,
        observer: Observer,
        sample: Sample | None,
        settings: Settings,
        timing: Timing,
        asking: Observer,
    ) -> None:
        super().__init__(job, observer)
        self.verified: VerifyReport | None = None
        self._sample = sample
        self._settings = replace(settings, store=job.destination.where)
        self._timing = timing
        self._asking = asking
        self._venues: anyio.CancelScope | None = None

    @property
    def in_flight(self) -> str:
        """What a stop lets finish: no question, since nothing is written any more."""
        return "" if self._venues is not None else super().in_flight

    def stop(self, exit_code: int, grace_s: float) -> None:
        super().stop(exit_code, grace_s)
        if self._venues is not None:
            self._venues.cancel()

    async def run(self) -> VerifiedSummary:
        """See Transfer."""
        summary = await super().run()
        told = {one.name: getattr(summary, one.name) for one in fields(summary)}
        plans = sorted((one.plan for one in self.report.ledgers), key=lambda one: str(one.series))
        made = [plan.series for plan in plans if plan.wanted_count]
        if self._sample is None or not made or self._exit_code is not None or summary.error is not None:
            return VerifiedSummary(**told)
        try:
            self._observer.note("asking venues for their own candles")
            with anyio.CancelScope() as self._venues:
                self.verified = await self._ask(made, self._sample)
        except LaklakError as exc:
            told |= {"exit": exc.exit_code, "error": in_short(exc), "hint": exc.hint}
        if self.verified is not None:
            told["exit"] = summary.exit or self.verified.exit
        elif self._exit_code is not None:
            told["exit"] = self._exit_code
        return VerifiedSummary(**told | {"complete": not told["exit"]}, verified=self.verified)

    async def _ask(self, made: list[Series], sample: Sample) -> VerifyReport:
        span = Range(start_ms=self.report.start_ms, end_ms=self.report.end_ms)
        found = await verify_beside(
            self._settings,
            made,
            span,
            timing=self._timing,
            observer=self._asking,
            typed=False,
            depth="counts",
            sample=sample,
        )
        return replace(found, series=tuple(map(_of_made, found.series)))


def _of_made(one: Verified) -> Verified:
    """Without what the venue has and could not be made: that is told as such."""
    faults = tuple(fault for fault in one.faults if fault.what != "not_stored")
    return replace(one, faults=faults, count=one.count - (len(one.faults) - len(faults)))
