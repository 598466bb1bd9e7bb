"""What a backfill is to do, as one value: settings and symbols already read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from laklak.model.series import Interval
from laklak.plan.wanted import Asked, Every, FailedSeries
from laklak.settings.load import VenueSettings
from laklak.stores.access import StoreAccess


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """`days` counts back from the end; `start_ms` and `end_ms` are UTC, end exclusive; None is open.

    `source` where candles are taken from. `workers` requests at once per venue, `archive_connections` files fetched
    at once and `archive_files` months of minutes unpacked, `batch_size` rows a write, `in_flight` chunks of a venue
    taken and not acknowledged. `settle_s` how long after its close a candle is wanted. `start_wait_s`: how long a
    network that is not up yet is waited for, before anything was answered. `refused`: what of an asset list is left
    out, and why. `every`: what is taken beside `asked`.
    """

    store: StoreAccess
    asked: tuple[Asked, ...]
    interval: Interval
    days: int | None
    start_ms: int | None
    end_ms: int | None
    venues: Mapping[str, VenueSettings]
    source: Literal["auto", "rest", "archive"]
    workers: int
    archive_connections: int
    archive_files: int
    batch_size: int
    in_flight: int
    max_wait_s: float
    settle_s: float
    state_dir: Path
    refetch: bool = False
    recheck: bool = False
    force: bool = False
    other_address: bool = False
    forget_ban: bool = False
    dry_run: bool = False
    within_retention: bool = False
    start_wait_s: float = 0.0
    refused: tuple[FailedSeries, ...] = ()
    every: Every | None = None
