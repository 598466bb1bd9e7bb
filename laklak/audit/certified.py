"""A certificate that was issued before: whether it is as it was issued, and whether a store still has what it says."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

from laklak.audit.certificate import FORMAT, SUM, contradiction, file_of, sum_of
from laklak.audit.digest import days_of
from laklak.audit.signing import Signature
from laklak.audit.verify import FAULTS_KEPT, Fault, Known, differing, known_from, other_day
from laklak.engine.store_work import each
from laklak.errors import UsageError
from laklak.model.digest import DayDigest
from laklak.model.series import DAY_MS, Series, TimeRange, iso, ms_of
from laklak.model.spans import count, parted, union
from laklak.stores.base import Store
from laklak.stores.reading import must_exist

BYTES_AT_MOST: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Compared:
    """A series held against what a certificate says of it: so many days, and the first of those that differ.

    `unfinished`: days that had not ended when it was issued, and are not compared.
    """

    series: Series
    days: int
    unfinished: int
    faults: tuple[Fault, ...]
    count: int


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of a check: `why` it is refused, empty where it is not; `store` None where none was looked into."""

    file: Path
    certificate: Mapping[str, Any]
    why: str = ""
    signature: Signature | None = None
    store: str | None = None
    series: tuple[Compared, ...] = ()

    @property
    def verdict(self) -> Literal["sound", "refused", "differs"]:
        if self.why:
            return "refused"
        return "differs" if any(one.count for one in self.series) else "sound"

    @property
    def exit(self) -> int:
        return int(self.verdict != "sound")


def why_refused(data: bytes) -> str:
    """Why these bytes are no certificate as it was issued; empty where they are one."""
    try:
        certificate = json.loads(data.decode())
        if not isinstance(certificate, dict) or certificate.get("format") != FORMAT:
            return f"it is no certificate of the form {FORMAT}"
        found, written = sum_of(certificate), file_of(certificate)
    except (ValueError, RecursionError):
        return "it is no JSON that can be read"
    if certificate.get(SUM) != found:
        return f"it was changed: its {SUM} would have to be {found}"
    if written != data:
        return "it was changed: it says the same in other characters than laklak writes"
    try:
        return contradiction(certificate)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, UsageError):
        return "it lacks what a certificate has"


async def compare(store: Store, known: Known) -> tuple[Compared, ...]:
    """Digest every day that had ended when a certificate was issued, and name those that are other ones by now."""
    must_exist(store)

    async def one(series: Series) -> Compared:
        days = known.series[series]
        span = TimeRange(min(days, default=0), max(days, default=-DAY_MS) + DAY_MS)
        own = {day.day_ms: day async for day in days_of(store, series, span, span.end_ms)}
        faults = [other_day(*found) for found in differing(days, own)]
        unfinished = sum(day.unfinished for day in days.values())
        return Compared(series, len(days) - unfinished, unfinished, tuple(faults[:FAULTS_KEPT]), len(faults))

    return tuple(await each(list(known.series), one))


@dataclass(frozen=True, slots=True)
class Difference:
    """Two certificates held against each other: the series of both, and those that only one of them has."""

    series: tuple[Compared, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]

    @property
    def exit(self) -> int:
        return int(bool(self.only_before or self.only_after or any(one.count for one in self.series)))


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> Difference:
    """The days that both speak of, had ended and are other ones, with the cause as far as the later one knows it."""
    known, since = (known_from(one["digests"], "it").series for one in (before, after))
    earlier, later = ({Series.parse(one["series"]): one for one in paper["series"]} for paper in (before, after))
    found = []
    for series in (one for one in earlier if one in later):
        span = _whole_days(earlier[series]).clip(_whole_days(later[series]))
        cause = partial(_cause, series, earlier[series], later[series], ms_of(before["issued_at"]))
        found.append(_held_against(series, span, known[series], since[series], cause))
    only = (tuple(str(one) for one in mine if one not in other) for mine, other in ((earlier, later), (later, earlier)))
    return Difference(tuple(found), *only)


def _held_against(
    series: Series,
    span: TimeRange,
    known: Mapping[int, DayDigest],
    since: Mapping[int, DayDigest],
    cause: Callable[[int], str],
) -> Compared:
    """The days of a series that had ended in both certificates; `cause` tells why one is another."""
    days = [day for day in sorted({*known, *since}) if span.start_ms <= day < span.end_ms]
    pairs = [(day, known.get(day), since.get(day)) for day in days]
    ended = [one for one in pairs if not any(day and day.unfinished for day in one[1:])]
    other = [other_day(*one) for one in ended if one[1] is None or one[2] is None or one[1].sha256 != one[2].sha256]
    faults = [replace(fault, detail=f"{fault.detail}; {cause(fault.time_ms)}") for fault in other]
    return Compared(series, len(ended), len(days) - len(ended), tuple(faults[:FAULTS_KEPT]), len(faults))


def _whole_days(said: Mapping[str, Any]) -> TimeRange:
    return TimeRange(ms_of(said["start"]) // DAY_MS * DAY_MS, -(-ms_of(said["end"]) // DAY_MS) * DAY_MS)


def _cause(series: Series, earlier: Mapping[str, Any], later: Mapping[str, Any], since_ms: int, day_ms: int) -> str:
    """What has become of a day since then, as far as it was noted."""
    day = TimeRange(day_ms, day_ms + DAY_MS)
    told = []
    # Of more than so many stretches it is not told where they were missing.
    came = earlier["gaps"] > len(earlier["missing_spans"])
    for words, kinds in (("holes and rejects", ("holes", "rejects")), ("missing candles", ("missing_spans",))):
        filled, new = (_candles(series, one, other, kinds, day) for one, other in ((earlier, later), (later, earlier)))
        came = came or filled > 0
        told += [f"{words}: {filled:,} filled"] if filled else []
        told += [f"{words}: {new:,} more"] if new else []
    for one in later.get("revisions", ()):
        if one["day"] == iso(day_ms)[:10] and ms_of(one["last"]) > since_ms:
            why = ", ".join((*one["why"], *one["sources"]))
            told.append(f"candles were overwritten with other values, the last at {one['last']} ({why})")
    # A stretch is of many runs, of which the last may have given another day: what nobody filled is not its doing.
    given = [
        f"{one['source']} in a run that began at {one['last_run']}"
        for one in later["provenance"]
        if ms_of(one["last_run" if came else "first_run"]) > since_ms and day.clip(_bounds(one))
    ]
    told += [f"given since by {', '.join(dict.fromkeys(given))}"] if given else []
    return "; ".join(told) or "of no run since is it known"


def _candles(
    series: Series, one: Mapping[str, Any], other: Mapping[str, Any], kinds: Sequence[str], day: TimeRange
) -> int:
    """How many of these kinds there are of a day in one certificate and not in the other."""
    here, there = (union(day.clip(_bounds(part)) for kind in kinds for part in said[kind]) for said in (one, other))
    return count(parted(here, there)[0], series.interval)


def _bounds(said: Mapping[str, Any]) -> TimeRange:
    start, end = ("from", "until") if "from" in said else ("start", "end")
    return TimeRange(ms_of(said[start]), ms_of(said[end]))


# As JSON


def difference_object(found: Difference) -> dict[str, Any]:
    """What --json prints of two certificates."""
    return {
        "only_before": list(found.only_before),
        "only_after": list(found.only_after),
        "series": _series_objects(found.series),
        "exit": found.exit,
    }


def _series_objects(series: Sequence[Compared]) -> list[dict[str, Any]]:
    return [
        {
            "series": str(one.series),
            "days": one.days,
            "unfinished": one.unfinished,
            "days_that_differ": one.count,
            "differ": [{"day": iso(fault.time_ms)[:10], "detail": fault.detail} for fault in one.faults],
        }
        for one in series
    ]


def as_object(checked: Checked) -> dict[str, Any]:
    """What --json prints of a check."""
    signature = checked.signature
    return {
        "file": str(checked.file),
        "verdict": checked.verdict,
        "why": checked.why or None,
        "sha256": checked.certificate.get(SUM),
        "complete": checked.certificate.get("complete"),
        "signature": None if signature is None else {"key": signature.key, "signer": signature.who},
        "store": checked.store,
        "series": _series_objects(checked.series),
        "exit": checked.exit,
    }
