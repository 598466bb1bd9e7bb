"""Checks that a store holds every series, every minute and every double of the reference, and nothing else."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from laklak.bench.reference import COLUMNS, Reference, add
from laklak.bench.workload import INTERVAL, Workload, access_of
from laklak.model.series import DAY_MS, Series, TimeRange, iso
from laklak.stores import open_store
from laklak.stores.base import Store

_DAYS_READ_AT_ONCE: Final = 30


async def verify(spec: dict[str, Any]) -> dict[str, Any]:
    """Return `wrong` (a sentence or None), and the count and checksum of the stored candles."""
    workload = Workload.of(spec["workload"])
    reference = Reference(workload, Path(spec["folder"]))
    digest = hashlib.blake2b(digest_size=16)
    stored = 0
    wrong = None
    async with open_store(access_of(spec["access"]), create=False) as store:
        holdings = await store.holdings()
        expected = workload.series
        for series in sorted(set(holdings) ^ set(expected), key=str):
            wrong = wrong or f"{series} {'is stored and was not to be' if series in holdings else 'is not stored'}"
        for series, times, columns in reference.series():
            found_absent = await store.absences(series, workload.range)
            absent = sum(absence.span.count(series.interval) for absence in found_absent)
            found_times, found_columns = await _read(store, series, workload.range)
            stored += len(found_times)
            add(digest, series, found_times, found_columns)
            wrong = wrong or (f"{series}: {absent} minutes are said to be absent" if absent else None)
            wrong = wrong or difference(series, times, columns, found_times, found_columns)
            if holdings.get(series) != workload.range:
                wrong = wrong or f"{series} is stored for {holdings.get(series)}, not for {workload.range}"
    checksum = digest.hexdigest()
    if checksum != spec["checksum"]:
        wrong = wrong or f"the checksum is {checksum}, not {spec['checksum']}"
    return {"wrong": wrong, "candles": stored, "checksum": checksum}


def difference(
    series: Series,
    times: Sequence[int],
    columns: Sequence[array[float]],
    found_times: Sequence[int],
    found_columns: Sequence[array[float]],
) -> str | None:
    """The first difference between expected and stored candles, in words; None if they are equal."""
    if len(found_times) != len(times):
        return f"{series} has {len(found_times):,} candles, not {len(times):,}"
    for name, column, found in zip(COLUMNS, columns, found_columns, strict=True):
        if column.tobytes() != found.tobytes():
            at = next(i for i, pair in enumerate(zip(column, found, strict=True)) if pair[0] != pair[1])
            return f"{series} at {iso(times[at])}: {name} is {found[at]!r}, not {column[at]!r}"
    if list(times) != list(found_times):
        return f"{series} has other times than it should"
    return None


async def _read(store: Store, series: Series, span: TimeRange) -> tuple[array[int], list[array[float]]]:
    times, columns = array("q"), [array("d") for _ in COLUMNS]
    for start_ms in range(span.start_ms, span.end_ms, _DAYS_READ_AT_ONCE * DAY_MS):
        part = TimeRange(start_ms, min(span.end_ms, start_ms + _DAYS_READ_AT_ONCE * DAY_MS))
        found = await store.read(series, part)
        times.extend(found.open_times)
        for column, values in zip(columns, found.values, strict=True):
            column.extend(values)
    # Candles before or after the range are wrong too.
    outside = await store.count(series, TimeRange(0, span.start_ms)) + await store.count(
        series, TimeRange(span.end_ms, span.end_ms + 3650 * DAY_MS)
    )
    if outside:
        times.extend([span.end_ms + number * INTERVAL.ms for number in range(outside)])
    return times, columns
