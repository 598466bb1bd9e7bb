"""A report of coverage as one HTML file that opens from the disk and asks no network.

Everything in it is in `page.html`; data are JSON in a block that no browser executes, and get into the page as text
alone.  The policy names the one script and the one style by their hashes: nothing else runs, whatever a store holds.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from laklak._version import __version__
from laklak.audit.coverage import Coverage, CoverageReport, figures_object
from laklak.audit.stretches import KIND_WORDS, KINDS
from laklak.model.absences import Absence
from laklak.model.records import RunRecord
from laklak.report.place import Place, check_place

EVIDENCE_SHOWN: Final = 5_000
_BEGIN: Final = re.compile(rb"<!doctype html>", re.IGNORECASE)
_HTML_CHARS: Final = {ord(char): f"\\u{ord(char):04x}" for char in "<>&"}


def check_page_place(path: Path) -> None:
    """UsageError where no page can be put at `path`, or something else is there: before a store is looked at."""
    check_place(path, "--html", _BEGIN, "HTML")


def write_page(path: Path, pieces: Iterator[str]) -> None:
    """Put a page at `path`, whole or not at all: what was there stays until the new one is complete."""
    with Place(path, "--html").whole() as waiting, open(waiting, "w", encoding="ascii") as file:
        file.writelines(pieces)


def page(
    report: CoverageReport, runs: Sequence[RunRecord], *, good: float, warn: float, written_ms: int
) -> Iterator[str]:
    """The page in pieces, in ASCII."""
    frame = (files("laklak.audit") / "page.html").read_text("utf-8")
    policy = (
        f"default-src 'none'; script-src '{_hash(frame, 'script')}'; style-src '{_hash(frame, 'style')}'; "
        "base-uri 'none'; form-action 'none'"
    )
    head, _, rest = frame.partition("@POLICY@")
    middle, _, end = rest.partition("@DATA@")
    yield f"{head}{policy}{middle}"
    evidence, left = _evidence(report.series)
    data = {
        "store": report.store,
        "version": __version__,
        "written": written_ms,
        "as_of": report.as_of,
        "health": report.series[0].health(good, warn),
        "worst": report.worst,
        "total": figures_object(report.total),
        "figures": [name for name in figures_object(report.total) if name != "coverage"],
        "kinds": KINDS,
        "words": [KIND_WORDS[kind] for kind in KINDS],
        "runs": [_run(one) for one in runs],
        "evidence": evidence,
        "evidence_left": left,
    }
    yield f'{_json(data)[:-1]},"series":['
    for number, one in enumerate(report.series):
        yield ("," if number else "") + _json(_series(one, good, warn))
    yield f"]}}{end}"


def _series(one: Coverage, good: float, warn: float) -> dict[str, Any]:
    detail = one.detail
    return {
        "name": str(one.series),
        "interval": one.series.interval.ms,
        "start": one.span.start_ms,
        "candles": one.span.count(one.series.interval),
        "health": one.health(good, warn),
        "figures": figures_object(one.figures),
        "first": one.first_ms,
        "last": one.last_ms,
        "gaps": one.gaps,
        "longest": None if one.longest is None else [one.longest.start_ms, one.longest.end_ms],
        "coarse": detail is not None and detail.coarse,
        "stretches": "" if detail is None else base64.b64encode(detail.packed).decode(),
    }


def _evidence(series: Sequence[Coverage]) -> tuple[list[dict[str, Any]], int]:
    """What is known of the first holes and rejects of each series, and how many more stretches there are."""
    shown: list[dict[str, Any]] = []
    there = 0
    for number, one in enumerate(series):
        if one.detail is not None:
            there += one.detail.evidence_of
            shown += [_told(number, absence) for absence in one.detail.evidence[: EVIDENCE_SHOWN - len(shown)]]
    return shown, there - len(shown)


def _told(number: int, absence: Absence) -> dict[str, Any]:
    return {
        "series": number,
        "kind": absence.kind,
        "start": absence.span.start_ms,
        "end": absence.span.end_ms,
        "reason": absence.reason,
        "noted": absence.confirmed_at_ms,
        "venue": absence.venue_ms,
        "file": absence.file_ms,
        "sources": ", ".join(absence.sources),
        "row": absence.row,
    }


def _run(run: RunRecord) -> dict[str, Any]:
    account = run.account
    return {
        "began": run.started_ms,
        "ended": run.ended_ms,
        "start": run.start_ms,
        "end": run.end_ms,
        "result": run.result,
        "interval": run.interval,
        "series": run.series,
        "wanted": account.wanted,
        "written": account.written,
        "missing": account.missing,
        "requests": run.requests,
        "error": run.error,
    }


def _json(value: Any) -> str:
    """JSON in ASCII in which no character means anything to HTML."""
    return json.dumps(value, separators=(",", ":")).translate(_HTML_CHARS)


def _hash(frame: str, tag: str) -> str:
    (inside,) = re.findall(f"<{tag}>(.*?)</{tag}>", frame, re.DOTALL)
    return f"sha256-{base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()}"
