"""What a run should do, as one value: settings and symbols already read and checked."""

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
    """How a run differs from the everyday one. For one run only, so none of these is a setting."""

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
    """The settings in force, and what to fill by them.

    `sample`: a refetch fetches only these parts of series, in order and disjoint; the rest counts as stored.
    `untouched`: write nothing, only compare what comes with the store.
    `every`: taken beside `asked`. `refused`: entries of an asset list that are left out, and why. `notes` and
    `warnings`: for the user to read before it starts.
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
