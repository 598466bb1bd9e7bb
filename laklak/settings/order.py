"""What a run is to do, as one value: settings and symbols already read and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final

from laklak.model.series import Series, TimeRange
from laklak.plan.wanted import Asked, Every, FailedSeries
from laklak.settings.load import Settings
from laklak.tasks.timing import Timing


@dataclass(frozen=True, slots=True, kw_only=True)
class Modes:
    """How a run differs from the everyday one. Said for this run alone, so that none of it is a setting."""

    refetch: bool = False
    recheck: bool = False
    force: bool = False
    other_address: bool = False
    forget_ban: bool = False
    dry_run: bool = False
    within_retention: bool = False


MODES: Final = frozenset(field.name for field in fields(Modes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Order(Modes):
    """The settings in force, and what is to be filled by them.

    `sample`: of a refetch only these parts of series are fetched, in order and disjoint; all else counts as stored.
    `untouched`: nothing is written, what comes is only held against the store.
    `every`: what is taken beside `asked`. `refused`: what of an asset list is left out, and why. `notes` and
    `warnings`: what the user should know before it starts.
    """

    settings: Settings
    asked: Sequence[Asked] = ()
    refused: Sequence[FailedSeries] = ()
    every: Every | None = None
    notes: Sequence[str] = ()
    warnings: Sequence[str] = ()
    timing: Timing
    sample: Mapping[Series, Sequence[TimeRange]] | None = None
    untouched: bool = False
