"""What a store remembers about a venue, as findings of a check: how much, since when, and what forgets it.

A note dated in the future shows a wrong clock, and becomes a warning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from laklak.engine.addresses import shown
from laklak.model.absences import AbsenceKind
from laklak.model.findings import Fact, Finding
from laklak.model.records import Note
from laklak.model.series import iso
from laklak.sources import fresh, page_size
from laklak.sources.addresses import NOTE, SOURCES, Addresses
from laklak.stores.base import AbsenceCount
from laklak.stores.knowledge import CLOCK, Knowledge
from laklak.text import counted, mask_url
from laklak.wire.bans import BanInForce

_NAMES: Final = {
    "first": "first candle",
    "last": "last candle",
    "ended": "end",
    "reach": "reach",
    "beyond": "look beyond an end",
    "unlisted": "unlisted symbol",
    "listing": "listed symbol",
    page_size.KIND: "page size",
}
_ABSENCES: Final[Mapping[AbsenceKind, str]] = {
    "hole": "hole",
    "rejected": "reject",
    "quiet": "quiet stretch",
    "closed": "closed stretch",
    "before_first": "stretch before a first candle",
    "after_last": "stretch after a last candle",
}
_OTHERS: Final = "other note"
_FRESH: Final = "young candle"
# Two correct clocks may differ by this.
_TOLERANCE_MS: Final = 60_000
_WRONG_CLOCK: Final = "a clock was wrong then, or this machine's is now"
_SET_IT: Final = "set it, by NTP for instance"


def address_finding(venue: str, known: Addresses, note: Note | None, now_ms: int) -> Finding:
    """The addresses that a venue's candles came from."""
    parts = [
        f"{'bulk files' if source == 'files' else 'candles'} of {venue} from {shown(known.of(source))}"
        for source in SOURCES
        if known.of(source)
    ]
    when = "as nothing else was noted" if note is None else f"noted {_clocks(note.noted_at_ms, note.venue_ms)}"
    text = f"{', '.join(parts)}, {when}; another address needs --other-address"
    facts: dict[str, Fact] = {
        "venue": venue,
        "api": ", ".join(sorted(known.api)),
        "files": ", ".join(sorted(known.files)),
    }
    if note is not None and note.noted_at_ms > now_ms + _TOLERANCE_MS:
        hint = f"{_SET_IT}; the next run that writes candles notes it again"
        return Finding("warning", f"{text}; that lies in the future: {_WRONG_CLOCK}", hint, facts)
    return Finding("ok", text, facts=facts)


def memory_findings(
    venue: str, knowledge: Knowledge, absences: Sequence[AbsenceCount], now_ms: int
) -> Sequence[Finding]:
    """All else that is remembered about a venue and its series; a warning if a note is dated in the future."""
    counts, moments = _counted(venue, knowledge, absences)
    if not counts:
        return []
    amount = ", ".join(counted(count, name) for name, count in counts.items())
    oldest, newest = (iso(time_ms // 1000 * 1000) for time_ms in (min(moments), max(moments)))
    text = f"remembered about {venue}: {amount}, noted {oldest} to {newest}; --recheck asks for all of it again"
    facts: dict[str, Fact] = {"venue": venue, **{name.replace(" ", "_"): count for name, count in counts.items()}}
    found = [Finding("ok", text, facts={**facts, "oldest": oldest, "newest": newest})]
    if max(moments) > now_ms + _TOLERANCE_MS:
        found.append(
            Finding(
                "warning",
                f"something about {venue} was noted in the future, at {newest}: {_WRONG_CLOCK}",
                f"{_SET_IT}; `laklak backfill --recheck` asks for all of it again",
                {"venue": venue, "newest": newest},
            )
        )
    return found


def ban_findings(bans: Sequence[BanInForce], *, but: str) -> Sequence[Finding]:
    """A warning for each ban in force at another address than `but`, whose ban the check itself tells."""
    return [
        Finding(
            "warning",
            f"{mask_url(ban.ban.origin)} is not to be asked before {iso(ban.until_ms)}: {ban.ban.reason} "
            f"(noted {_clocks(ban.ban.noted_at_ms, ban.ban.venue_ms)}{'' if ban.doubt is None else f'; {ban.doubt}'})",
            "`laklak backfill --forget-ban` at that address forgets it; a real ban gets longer by that",
            {"address": mask_url(ban.ban.origin), "until": iso(ban.until_ms)},
        )
        for ban in bans
        if ban.ban.origin != but
    ]


def _counted(
    venue: str, knowledge: Knowledge, absences: Sequence[AbsenceCount]
) -> tuple[Mapping[str, int], Sequence[int]]:
    """The count of each kind, and the times its notes were made; of absences, the oldest and the newest."""
    counts: dict[str, int] = {}
    moments: list[int] = []
    for one in absences:
        if one.venue == venue:
            counts[_ABSENCES[one.kind]] = one.count
            moments += (one.oldest_ms, one.newest_ms)
    for note in knowledge.all():
        if note.about.partition(":")[0] != venue or note.kind in (NOTE, CLOCK):
            continue
        value = knowledge.value(note.about, note.kind)
        if note.kind.startswith(fresh.KIND):
            counts[_FRESH] = counts.get(_FRESH, 0) + fresh.count(value)
            moments.append(note.noted_at_ms)
            continue
        name = _NAMES.get(note.kind, _OTHERS)
        # A note about the venue itself may cover many symbols.
        several = (
            name != _OTHERS and note.kind != page_size.KIND and note.about == venue and isinstance(value, dict | list)
        )
        counts[name] = counts.get(name, 0) + (len(value) if several else 1)
        moments.append(note.noted_at_ms)
    return counts, moments


def _clocks(noted_at_ms: int, venue_ms: int | None) -> str:
    noted = f"at {iso(noted_at_ms // 1000 * 1000)}"
    return noted if venue_ms is None else f"{noted} ({iso(venue_ms // 1000 * 1000)} by the venue's clock)"
