"""Why a candle is there or is not, from what the store keeps.  No venue is asked."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from laklak.audit.coverage import Known, check_known, known_of, once_held
from laklak.engine.store_work import each
from laklak.model.absences import Absence
from laklak.model.provenance import ARCHIVE, BulkFile, Stretch
from laklak.model.records import Note, RunRecord
from laklak.model.revisions import Revision, row_text
from laklak.model.series import DAY_MS, MINUTE_MS, Series, TimeRange, iso
from laklak.plan.minute import (
    LACKING,
    MISSING,
    Failure,
    MinuteEvidence,
    MinuteVerdict,
    Outage,
    find_outage,
    judge_minute,
)
from laklak.report.rows import provenance_objects
from laklak.stores.base import Store
from laklak.stores.coverage import absences_on_grid
from laklak.stores.knowledge import Knowledge, known_clock
from laklak.stores.reading import must_exist
from laklak.text import some_of

_RUNS_READ: Final = 1_000
_ATTEMPTS_READ: Final = 100
_AROUND_MS: Final = 180 * MINUTE_MS
_WIDER: Final = 8
_STRETCH_MS: Final = 8 * DAY_MS
KEYS: Final = (
    *("series", "time", "end", "as_of", "verdict", "text", "candle", "provenance", "revisions", "absence", "outage"),
    *("files", "begins", "ends", "noted", "not_whole", "failure", "last_run"),
)
"""What JSON tells of a candle."""
_FIELDS: Final = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True, slots=True)
class Explanation:
    """The verdict on a candle with all that speaks for it.

    `provenance`: who gave the candle. `files`: the bulk files that gave or lack it. `noted`: what runs have noted of an
    end of the series that decides. `not_whole`: something stands there that is no candle. `last_run`: the newest one
    over this time, as far as runs are remembered.
    """

    store: str
    evidence: MinuteEvidence
    provenance: Stretch | None = None
    revisions: Sequence[Revision] = ()
    noted: Note | None = None
    not_whole: bool = False
    last_run: RunRecord | None = None
    files: Sequence[BulkFile] = ()

    @property
    def verdict(self) -> MinuteVerdict:
        return judge_minute(self.evidence)

    @property
    def span(self) -> TimeRange:
        """The time of the candle."""
        open_ms = self.evidence.open_ms
        return TimeRange(open_ms, open_ms + self.evidence.series.interval.ms)

    @property
    def exit(self) -> int:
        """1 where another run could change it."""
        return int(self.verdict in MISSING)


async def explain_minute(store: Store, series: Series, open_ms: int) -> Explanation:
    """Say what became of the candle that opens at `open_ms`; SymbolError for a series that the store does not have."""
    must_exist(store)
    knowledge, held = await Knowledge.of(store), await once_held(store)
    attempts = await store.runs(_ATTEMPTS_READ, series=series)
    # Of one that has always failed there are no candles, and yet it is known why.
    if not any(fill.symbol == series.symbol for run in attempts for fill in run.fills):
        check_known([series], held, store.display)
    as_of_ms = known_clock(knowledge, series.venue) or time.time_ns() // 1_000_000
    known = known_of(knowledge, series, held.get(series), as_of_ms)
    as_of_ms = as_of_ms if known.published_ms is None else min(as_of_ms, known.published_ms)
    span = TimeRange(open_ms, open_ms + series.interval.ms)
    columns = await store.read(series, span)
    absence = await _absence_at(store, series, span)
    begins_ms, ends_ms = _life(known, absence, held.get(series))
    last_run = await _last_run(store, span, series)
    evidence = MinuteEvidence(
        series,
        open_ms,
        as_of_ms,
        values=tuple(column[0] for column in columns.values) if columns.open_times else None,
        absence=absence,
        outage=await _outage(store, series, span, held) if absence is not None and absence.kind in LACKING else None,
        begins_ms=begins_ms,
        ends_ms=ends_ms,
        reach_ms=known.reach_ms,
        failure=_failure(attempts, span),
    )
    stretches = await store.provenance(series, span)
    by_file = absence.file_ms is not None if absence is not None else stretches and stretches[0].source == ARCHIVE
    kind = {"before_listing": "first", "after_end": "ended", "out_of_reach": "reach"}.get(judge_minute(evidence))
    return Explanation(
        store.display,
        evidence,
        provenance=stretches[0] if stretches else None,
        revisions=await store.revisions(series, span),
        noted=None if kind is None else knowledge.note(series, kind),
        not_whole=bool((await store.odd(series, span)).not_whole),
        last_run=last_run,
        files=await store.bulk_files(series, span) if by_file else (),
    )


def _life(known: Known, absence: Absence | None, held: TimeRange | None) -> tuple[int | None, int | None]:
    """Where a series begins and ends: what is absent as beyond an end is beyond what is held."""
    kind = None if absence is None or held is None else absence.kind
    begins_ms = held.start_ms if held is not None and kind == "before_first" else known.begins_ms
    ends_ms = held.end_ms if held is not None and kind == "after_last" else known.ends_ms
    return begins_ms, ends_ms


async def _absence_at(store: Store, series: Series, span: TimeRange) -> Absence | None:
    """The absence of a candle; a stretch as long as it is, as far as days go."""
    found = absences_on_grid(await store.absences(series, span), series.interval)
    if found and found[0].is_span:
        around = TimeRange(max(0, span.start_ms - _STRETCH_MS), span.end_ms + _STRETCH_MS)
        found = absences_on_grid(await store.absences(series, around), series.interval)
    return next((one for one in found if one.span.clip(span)), None)


async def _last_run(store: Store, span: TimeRange, series: Series) -> RunRecord | None:
    interval = series.interval.name
    over = (one for one in await store.runs(_RUNS_READ) if one.interval == interval)
    return next((one for one in over if one.start_ms <= span.start_ms and span.end_ms <= one.end_ms), None)


def _failure(attempts: Iterable[RunRecord], span: TimeRange) -> Failure | None:
    """How the newest run ended that is known to have filled something of this time, or failed at it."""
    for run in attempts:
        for fill in run.fills:
            if fill.start_ms <= span.start_ms and span.end_ms <= fill.end_ms:
                return None if fill.error is None else Failure(run.ended_ms, fill.error)
    return None


async def _outage(store: Store, series: Series, span: TimeRange, held: Mapping[Series, TimeRange]) -> Outage | None:
    """Hold a candle that the venue does not have against the other series of the venue, all of the same interval."""
    others = [one for one in held if (one.venue, one.interval) == (series.venue, series.interval)]

    async def what_is_known(one: Series) -> tuple[bool, bool]:
        """Whether it is known what became of the candle in this series, and whether the venue lacks it."""
        if await store.open_times(one, span):
            return True, False
        kinds = {absence.kind for absence in await store.absences(one, span)}
        return bool(kinds & {*LACKING, "rejected"}), bool(kinds & LACKING)

    known = {
        one: lacks for one, (is_known, lacks) in zip(others, await each(others, what_is_known), strict=True) if is_known
    }
    if 2 * sum(known.values()) <= len(known):
        return None
    around_ms = max(_AROUND_MS, _WIDER * series.interval.ms)
    while True:
        window = TimeRange(max(0, span.start_ms - around_ms), span.end_ms + around_ms)

        async def lacking(one: Series, window: TimeRange = window) -> Sequence[TimeRange]:
            found = absences_on_grid(await store.absences(one, window), one.interval)
            return [absence.span for absence in found if absence.kind in LACKING]

        outage = find_outage(span.start_ms, await each(known, lacking), len(known))
        # One that reaches to the edge of what was looked at goes on beyond it.
        if outage is None or (window.start_ms < outage.span.start_ms and outage.span.end_ms < window.end_ms):
            return outage
        around_ms *= _WIDER


def as_object(found: Explanation) -> dict[str, Any]:
    """An explanation for JSON."""
    known, interval = found.evidence, found.evidence.series.interval
    outage, run = known.outage, found.last_run
    return {
        "series": str(known.series),
        "time": iso(found.span.start_ms),
        "end": iso(found.span.end_ms),
        "as_of": clock_text(known.as_of_ms),
        "verdict": found.verdict,
        "text": _sentence(found),
        "candle": None if known.values is None else dict(zip(_FIELDS, known.values, strict=True)),
        "provenance": None if found.provenance is None else provenance_objects([found.provenance])[0],
        "revisions": [_revision(one) for one in found.revisions],
        "absence": None if known.absence is None else absence_object(known.absence),
        "outage": None
        if outage is None
        else {
            "first": iso(outage.span.start_ms),
            "last": iso(outage.span.end_ms - interval.ms),
            "lacking": outage.lacking,
            "of": outage.of,
        },
        "files": [file_object(one) for one in found.files],
        "begins": None if known.begins_ms is None else iso(known.begins_ms),
        "ends": None if known.ends_ms is None else iso(known.ends_ms),
        "noted": None if found.noted is None else moments(found.noted.noted_at_ms, found.noted.venue_ms),
        "not_whole": found.not_whole,
        "failure": None
        if known.failure is None
        else {"at": clock_text(known.failure.at_ms), "error": known.failure.error},
        "last_run": None
        if run is None
        else {"started": clock_text(run.started_ms), "result": run.result, "error": run.error},
    }


def explanation_lines(found: Explanation) -> list[str]:
    """An explanation for people: the verdict, and what speaks for it."""
    known = found.evidence
    lines = [f"{known.series} {iso(known.open_ms)}: {_sentence(found)}"]
    if known.values is not None:
        lines.append("  " + "  ".join(f"{name} {value!r}" for name, value in zip(_FIELDS, known.values, strict=True)))
        lines.append(f"  {_origin(found.provenance)}")
    if known.absence is not None:
        lines += [f"  {line}" for line in _asked(known.absence)]
        if known.outage is not None and found.verdict != "outage":
            lines.append(f"  {_beside(found, known.outage)}")
    lines += [f"  its bulk file {one.name} had the SHA-256 {one.sha256}" for one in found.files]
    if found.noted is not None:
        lines.append(f"  noted {_clocks(found.noted.noted_at_ms, found.noted.venue_ms)}")
    if found.not_whole:
        lines.append("  something stands there that is no candle; laklak check names it")
    lines += [
        f"  {clock_text(one.at_ms)}: {row_text(one.old)} became {row_text(one.new)} ({one.source}, {one.why})"
        for one in found.revisions
    ]
    if found.verdict in (*MISSING, "beyond_clock"):
        run = found.last_run
        lines.append(
            "  no run over this time is remembered"
            if run is None
            else f"  the last run over this time began at {clock_text(run.started_ms)} and ended {run.result}"
        )
        venue_symbol = f"{known.series.venue}:{known.series.symbol} --interval {known.series.interval}"
        fetch = f"laklak backfill {venue_symbol} --start {iso(found.span.start_ms)} --end {iso(found.span.end_ms)}"
        lines.append(f"  {fetch} asks for it")
    return lines


def _sentence(found: Explanation) -> str:
    known, absence = found.evidence, found.evidence.absence
    match found.verdict:
        case "held":
            return "held"
        case "before_listing":
            return f"before listing: the first candle opens at {iso(known.begins_ms or 0)}"
        case "after_end":
            return f"after the end of the series: its last candle ended at {iso(known.ends_ms or 0)}"
        case "outside_sessions":
            stretch = "" if absence is None else f", from {iso(absence.span.start_ms)} to {iso(absence.span.end_ms)}"
            return f"outside of the venue's sessions{stretch}"
        case "out_of_reach":
            return f"out of reach: candles reach back to {iso(known.reach_ms)}, nobody can be asked for older ones"
        case "quiet":
            return "quiet: nothing was traded"
        case "hole":
            return "a hole: the venue does not have it"
        case "outage" if known.outage is not None:
            return f"an outage: {_beside(found, known.outage)}"
        case "rejected":
            return f"rejected: {'' if absence is None else absence.reason}"
        case "failed":
            return f"failed: {'' if known.failure is None else known.failure.error}"
        case "beyond_clock":
            stood = clock_text(known.as_of_ms)
            return f"beyond the clock: it closes at {iso(found.span.end_ms)}, the clock stood at {stood}"
    return "not fetched yet"


def _beside(found: Explanation, outage: Outage) -> str:
    last_ms = outage.span.end_ms - found.evidence.series.interval.ms
    return (
        f"{outage.lacking:,} of {outage.of:,} series of {found.evidence.series.venue} lack it, "
        f"first {iso(outage.span.start_ms)}, last {iso(last_ms)}"
    )


def _origin(stretch: Stretch | None) -> str:
    if stretch is None:
        return "nobody has noted where it came from"
    first, last = clock_text(stretch.first_run_ms), clock_text(stretch.last_run_ms)
    runs = f"the run that began at {first}" if first == last else f"one of the runs that began from {first} to {last}"
    return f"from {stretch.source}, {stretch.state}, stored by {runs}"


def _asked(absence: Absence) -> list[str]:
    asked = some_of(absence.sources) if absence.sources else "sources that were not noted"
    told = [f"asked {_clocks(absence.confirmed_at_ms, absence.venue_ms)}, of {asked}: {absence.reason}"]
    if absence.file_ms is not None:
        told.append(f"its bulk file lacked it at {clock_text(absence.file_ms)}")
    if absence.row is not None:
        told.append(f"row: {absence.row}")
    return told


def absence_object(absence: Absence) -> dict[str, Any]:
    """An absence for JSON."""
    return {
        "kind": absence.kind,
        "from": iso(absence.span.start_ms),
        "until": iso(absence.span.end_ms),
        "reason": absence.reason,
        "sources": list(absence.sources),
        **moments(absence.confirmed_at_ms, absence.venue_ms),
        "file_at": None if absence.file_ms is None else clock_text(absence.file_ms),
        "row": absence.row,
    }


def file_object(one: BulkFile) -> dict[str, str]:
    """A bulk file for JSON."""
    return {
        "name": one.name,
        "sha256": one.sha256,
        "from": iso(one.span.start_ms),
        "until": iso(one.span.end_ms),
        "run": clock_text(one.run_ms),
    }


def _revision(one: Revision) -> dict[str, str]:
    old, new = row_text(one.old), row_text(one.new)
    return {"at": clock_text(one.at_ms), "old": old, "new": new, "source": one.source, "why": one.why}


def moments(at_ms: int, venue_ms: int | None) -> dict[str, str | None]:
    """When something was noted for JSON, by this machine's clock and the venue's."""
    return {"asked_at": clock_text(at_ms), "venue_at": None if venue_ms is None else clock_text(venue_ms)}


def _clocks(at_ms: int, venue_ms: int | None) -> str:
    return (
        clock_text(at_ms) if venue_ms is None else f"{clock_text(at_ms)} ({clock_text(venue_ms)} by the venue's clock)"
    )


def clock_text(time_ms: int) -> str:
    """A moment to the second."""
    return iso(time_ms // 1000 * 1000)
