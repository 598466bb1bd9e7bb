"""A certificate: what a store has of its series and what speaks for it, as one JSON that anyone can check.

The whole but its own `sha256` is summed as canonical JSON: names sorted, no space between tokens, UTF-8, numbers
integers.  So a changed character shows without a key, and a signature says who has issued it.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

from laklak.audit.coverage import Coverage, Figures, Range, bounds, chosen_of, coverage_of, life_of
from laklak.audit.digest import as_object as digests_object
from laklak.audit.digest import digests_of, hex_of
from laklak.audit.explain import absence_object, clock_text, file_object, moments
from laklak.audit.stretches import joined
from laklak.audit.verify import Known, known_from
from laklak.engine.check import versions
from laklak.engine.listing import LISTING, UNLISTED
from laklak.engine.store_work import each
from laklak.errors import StoreBusy
from laklak.model.absences import EDGE_KINDS, Absence
from laklak.model.digest import leaf, root
from laklak.model.provenance import ARCHIVE, BulkFile, Stretch
from laklak.model.records import Note
from laklak.model.revisions import Revision
from laklak.model.series import DAY_MS, Interval, Series, TimeRange, iso, ms_of
from laklak.model.spans import overlap, union
from laklak.report.rows import provenance_objects
from laklak.sources.addresses import NOTE as ADDRESS
from laklak.stores.base import Store
from laklak.stores.coverage import absences_on_grid
from laklak.stores.knowledge import CLOCK, Knowledge

FORMAT: Final = "laklak-certificate-1"
SUM: Final = "sha256"
_SHA256: Final = re.compile("[0-9a-f]{64}")
_OF_LISTING: Final = ("first", "last", "ended", "reach", UNLISTED)


async def issue(
    store: Store, asked: Sequence[Series], wanted: Range, *, typed: bool, interval: Interval | None = None
) -> dict[str, Any]:
    """The certificate of `asked`, or of all that the store has (of an `interval`), also where something is missing."""
    chosen = await chosen_of(store, asked, typed=typed, interval=interval, once=True)
    coverage = await coverage_of(store, chosen, wanted)
    digests = await digests_of(store, chosen, wanted)
    knowledge = chosen.knowledge

    async def entry(one: Coverage) -> dict[str, Any]:
        known = chosen.known(one.series)
        life = life_of(one.span, known)
        absences = absences_on_grid(await store.absences(one.series, one.span), one.series.interval)
        lived = [one.over(part) for one in absences if (part := one.span.clip(life))]
        provenance = await store.provenance(one.series, one.span)
        files = await store.bulk_files(one.series, one.span)
        return {
            **_account(one),
            "listing": {
                "begins": _time(known.begins_ms),
                "ends": _time(known.ends_ms),
                "reach": _time(known.reach_ms or None),
                "listed": _listed(knowledge, one.series),
                "noted": [_noted(note) for kind in _OF_LISTING if (note := knowledge.note(one.series, kind))],
                "absent": _told(absences, *EDGE_KINDS),
            },
            "sessions": _told(lived, "closed"),
            "holes": _told(lived, "hole"),
            "rejects": _told(lived, "rejected"),
            "provenance": provenance_objects(provenance),
            "archive_files": [file_object(file) for file in _that_speak(files, provenance, lived)],
            "revisions": _revised(await store.revisions(one.series, one.span)),
        }

    total = coverage.total
    made = sealed(
        {
            "format": FORMAT,
            "issued_at": clock_text(time.time_ns() // 1_000_000),
            "store": store.display,
            "origin": await store.origin(),
            "complete": not total.missing,
            "range": {"days": wanted.days, "start": _time(wanted.start_ms), "end": _time(wanted.end_ms)},
            "total": _figures(total),
            "versions": versions(),
            "venues": {venue: _venue(knowledge, venue, as_of_ms) for venue, as_of_ms in coverage.as_of.items()},
            "series": await each(sorted(coverage.series, key=lambda one: str(one.series)), entry),
            "digests": digests_object(digests),
        }
    )
    if why := contradiction(made):
        raise StoreBusy(
            f"{store.display} was filled while it was read: {why}", hint="run it again when no run fills it"
        )
    return made


def contradiction(certificate: Mapping[str, Any]) -> str:
    """What does not agree in a certificate; empty where all does.  Of junk comes what Python raises."""
    known = known_from(certificate["digests"], "it")
    return (
        _wrong_accounts(certificate, known)
        or _wrong_roots(certificate["digests"], known)
        or next(filter(None, map(_wrong_files, certificate["series"])), "")
    )


def _wrong_files(said: Mapping[str, Any]) -> str:
    """A file that gave nothing and proves nothing, or has no checksum."""
    gave = [one for one in said["provenance"] if one["source"] == ARCHIVE]
    spoken = gave + [one for one in said["holes"] if one["file_at"]]
    for file in said.get("archive_files", ()):
        span = _span(file)
        if not _SHA256.fullmatch(file["sha256"]) or not any(span.clip(_span(one)) for one in spoken):
            return f"nothing of {said['series']} came from {file['name']}"
    return ""


def _span(said: Mapping[str, Any]) -> TimeRange:
    return TimeRange(ms_of(said["from"]), ms_of(said["until"]))


def _wrong_accounts(certificate: Mapping[str, Any], known: Known) -> str:
    total: Counter[str] = Counter()
    for one in certificate["series"]:
        total.update(one["account"])
        if wrong := _wrong_account(one, known):
            return wrong
    whole = certificate["total"]
    summed = all(whole[name] == total[name] for name in _figures(Figures()))
    if not summed or certificate["complete"] is bool(whole["missing"]):
        return "the sum of the accounts is another one"
    return ""


def _wrong_account(one: Mapping[str, Any], known: Known) -> str:
    series, account = Series.parse(one["series"]), one["account"]
    if account["wanted"] != sum(account[name] for name in ("held", "holes", "rejected", "quiet", "missing")):
        return f"the account of {series} does not add up"
    for name, listed in (("holes", one["holes"]), ("rejected", one["rejects"])):
        lengths = (ms_of(part["until"]) - ms_of(part["from"]) for part in listed)
        if account[name] != sum(lengths) // series.interval.ms:
            return f"{account[name]:,} {name} of {series}, and evidence of others"
    span = TimeRange(ms_of(one["start"]), ms_of(one["end"]))
    touched = [day for day in known.series[series].values() if TimeRange(day.day_ms, day.day_ms + DAY_MS).clip(span)]
    inside = sum(day.rows for day in touched if span.start_ms <= day.day_ms <= span.end_ms - DAY_MS)
    if not inside <= account["held"] <= sum(day.rows for day in touched):
        return f"{account['held']:,} candles of {series} held, and other ones digested"
    return ""


def _wrong_roots(digests: Mapping[str, Any], known: Known) -> str:
    roots = []
    for said, (series, days) in zip(digests["series"], known.series.items(), strict=True):
        found = root([leaf(series, days[day_ms]) for day_ms in sorted(days)])
        if said["root"] != (found and found.hex()):
            return f"the days of {series} have the root {hex_of(found)}, and it says {said['root']}"
        if said["rows"] != sum(day.rows for day in days.values()):
            return f"the days of {series} have another number of candles than it says"
        roots += [] if found is None else [found]
    whole = root(roots)
    if digests["root"] != (whole and whole.hex()):
        return f"its series have the root {hex_of(whole)}, and it says {digests['root']}"
    return ""


def sealed(rest: Mapping[str, Any]) -> dict[str, Any]:
    """The same with its sum."""
    return {**rest, SUM: sum_of(rest)}


def sum_of(certificate: Mapping[str, Any]) -> str:
    """SHA-256 over all but the sum itself, as canonical JSON."""
    rest = {name: value for name, value in certificate.items() if name != SUM}
    text = json.dumps(rest, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return sha256(_bytes(text)).hexdigest()


def file_of(certificate: Mapping[str, Any]) -> bytes:
    """The one way in which a certificate is written."""
    return _bytes(json.dumps(certificate, ensure_ascii=False, indent=1, allow_nan=False) + "\n")


def _bytes(text: str) -> bytes:
    # Half a character, which a venue may have put into a row, stays the escape that it came as.
    return text.encode(errors="backslashreplace")


def _account(one: Coverage) -> dict[str, Any]:
    return {
        "series": str(one.series),
        "start": iso(one.span.start_ms),
        "end": iso(one.span.end_ms),
        "first": _time(one.first_ms),
        "last": _time(one.last_ms),
        "account": _figures(one.figures),
        "gaps": one.gaps,
        "missing_spans": [bounds(part) for part in one.missing],
    }


def _figures(figures: Figures) -> dict[str, int]:
    return {name: getattr(figures, name) for name in (*Figures.__slots__, "missing")}


def _told(absences: Sequence[Absence], *kinds: str) -> list[dict[str, Any]]:
    return [absence_object(one) for one in joined(one for one in absences if one.kind in kinds)]


def _that_speak(
    files: Iterable[BulkFile], provenance: Iterable[Stretch], absences: Iterable[Absence]
) -> list[BulkFile]:
    """The files that gave some of these stretches, or lack what is absent as well."""
    spoken = [one.span for one in provenance if one.source == ARCHIVE]
    spoken += [one.span for one in absences if one.kind == "hole" and one.file_ms is not None]
    together = union(spoken)
    return [one for one in files if overlap([one.span], together)]


def _revised(revisions: Iterable[Revision]) -> list[dict[str, Any]]:
    """The days with candles that were overwritten with other values: a store may have millions of those."""
    by_day: dict[int, list[Revision]] = {}
    for one in revisions:
        by_day.setdefault(one.open_time_ms // DAY_MS * DAY_MS, []).append(one)
    return [
        {
            "day": iso(day_ms)[:10],
            "candles": len({one.open_time_ms for one in some}),
            "last": clock_text(max(one.at_ms for one in some)),
            "sources": sorted({one.source for one in some}),
            "why": sorted({one.why for one in some}),
        }
        for day_ms, some in sorted(by_day.items())
    ]


def _venue(knowledge: Knowledge, venue: str, as_of_ms: int) -> dict[str, Any]:
    clock, address = knowledge.note(venue, CLOCK), knowledge.note(venue, ADDRESS)
    return {
        "as_of": clock_text(as_of_ms),
        "clock": None if clock is None else _noted(clock),
        "addresses": None if address is None else _noted(address),
    }


def _listed(knowledge: Knowledge, series: Series) -> dict[str, Any] | None:
    note, names = knowledge.note(series.venue, LISTING), knowledge.value(series.venue, LISTING)
    if note is None or not isinstance(names, list):
        return None
    return {"is": series.symbol in names, **moments(note.noted_at_ms, note.venue_ms)}


def _noted(note: Note) -> dict[str, Any]:
    try:
        # Numbers other than integers are spelled differently elsewhere, and the sum is over their spelling.
        value = json.loads(note.value, parse_float=str, parse_constant=str)
    except ValueError:
        value = note.value
    return {"kind": note.kind, "value": value, **moments(note.noted_at_ms, note.venue_ms)}


def _time(time_ms: int | None) -> str | None:
    return None if time_ms is None else iso(time_ms)
