"""Minutes that a venue has no usable candle for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

AbsenceKind = Literal["hole", "rejected"]


@dataclass(frozen=True, slots=True)
class Absence:
    """A minute the venue has no usable candle for, confirmed twice: remembered as data, not asked again.

    `hole`: two complete answers lack it. `rejected`: its row broke the rules twice; `row` is that row as JSON.
    `confirmed_at_ms` is this machine's clock, `venue_ms` the venue's at that moment; `file_ms`, also by the venue's
    clock, when the bulk file that should have the minute was last found to lack it. None is never, or not noted.
    """

    open_time_ms: int
    kind: AbsenceKind
    confirmed_at_ms: int
    reason: str
    row: str | None = None
    venue_ms: int | None = None
    file_ms: int | None = None
