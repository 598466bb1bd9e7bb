"""What a backfill is to do, as one value: settings and symbols already read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from laklak.model import Interval, StoreAccess
from laklak.resolve import Asked
from laklak.settings import VenueSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """`days` counts back from the end; `start_ms` and `end_ms` are UTC, end exclusive; None is open.

    `workers` requests at once per venue, `batch_size` rows a write, `in_flight` chunks taken and not acknowledged.
    """

    store: StoreAccess
    asked: tuple[Asked, ...]
    interval: Interval
    days: int | None
    start_ms: int | None
    end_ms: int | None
    venues: Mapping[str, VenueSettings]
    workers: int
    batch_size: int
    in_flight: int
    max_wait_s: float
    state_dir: Path
    refetch: bool = False
    recheck: bool = False
    force: bool = False
    dry_run: bool = False
    within_retention: bool = False
