"""How faults are written on the command line."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from laklak.model.series import MINUTE_MS, Interval
from laklak.simulator.archive.faults import ARCHIVE_KINDS, DETAILS
from laklak.simulator.archive.paths import file_of
from laklak.simulator.badrows import BAD_ROW_KINDS, STICKY_KINDS
from laklak.simulator.faults import ANSWER_FAULTS, ROW_FAULTS, Fault

_WRITE_IT: Final = "write it as KIND=5%, hole=SYMBOL@2026-02-10T12:00Z+5 or late=SYMBOL@2026-02-10T12:00Z"
_WRITE_ARCHIVE: Final = "write it as {kind}=5%, {kind}=SYMBOL@2026-02-10 or {kind}=SYMBOL@2026-02"
_PERCENT: Final = re.compile(r"(?P<percent>[0-9]+(\.[0-9]+)?)%(?P<all>@all)?(:(?P<detail>.+))?")
_PLACE: Final = re.compile(r"(?P<symbol>[^@]+)@(?P<time>[^+]+)(\+(?P<minutes>[0-9]{1,7}))?")
_FILE: Final = re.compile(r"(?P<symbol>[^@]+)@(?P<period>[0-9]{4}-[0-9]{2}(-[0-9]{2})?)(:(?P<detail>.+))?", re.ASCII)

_ALL_DETAILS: Final = {**DETAILS, "badrow": BAD_ROW_KINDS, "badrow-sticky": STICKY_KINDS}


def parse_fault(text: str) -> Fault:
    """Read one fault as the command line writes it; ValueError names the text.

    `5xx=5%` on candle requests, `5xx=5%@all` on every request; `slow=2%:0.5s` and `badrow=1%:off_grid` say more;
    `hole=BTCUSDT@2026-02-10T12:00Z+5` removes five minutes, `late=BTCUSDT@2026-02-10` all rows before a time.
    `archive-cut=5%` is for files of the archive, `archive-cut=BTCUSDT@2026-02-10` and `...@2026-02` for one of them.
    """
    kind, _, rest = text.partition("=")
    if kind in ("hole", "late"):
        return _parse_place(text, kind, rest)
    if kind in ARCHIVE_KINDS and "@" in rest:
        return _parse_file(text, kind, rest)
    if kind not in ANSWER_FAULTS + ROW_FAULTS + ARCHIVE_KINDS:
        known = ", ".join((*ANSWER_FAULTS, *ROW_FAULTS, "hole", "late", *ARCHIVE_KINDS))
        raise ValueError(f"fault {text!r}: there is no kind {kind!r}; choose one of {known}")
    match = _PERCENT.fullmatch(rest)
    if match is None or not 0 < float(match["percent"]) <= 100:
        form = _WRITE_ARCHIVE.format(kind=kind) if kind in ARCHIVE_KINDS else _WRITE_IT
        raise ValueError(f"fault {text!r} is not a chance between 0% and 100%; {form}")
    detail = match["detail"]
    _check_detail(text, kind, detail)
    return Fault(kind, float(match["percent"]) / 100, match["all"] is not None, detail)


def _check_detail(text: str, kind: str, detail: str | None) -> None:
    if detail is None:
        return
    is_slow = kind in ("slow", "archive-slow")
    if is_slow and re.fullmatch(r"[0-9]+(\.[0-9]+)?s", detail):
        return
    kinds = _ALL_DETAILS.get(kind, ())
    if detail in kinds:
        return
    allowed = f"seconds as in {kind}=2%:0.5s" if is_slow else f"one of {', '.join(kinds)}" if kinds else "nothing"
    raise ValueError(f"fault {text!r}: after the colon {kind} takes {allowed}")


def _parse_place(text: str, kind: str, rest: str) -> Fault:
    match = _PLACE.fullmatch(rest)
    if match is None or (kind == "late" and match["minutes"]):
        raise ValueError(f"fault {text!r} is not understood; {_WRITE_IT}")
    try:
        moment = datetime.fromisoformat(match["time"])
    except ValueError:
        raise ValueError(f"fault {text!r}: {match['time']!r} is not a time; {_WRITE_IT}") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    start_ms = int(moment.timestamp()) * 1000 // MINUTE_MS * MINUTE_MS
    return Fault(kind, symbol=match["symbol"], start_ms=start_ms, minutes=int(match["minutes"] or 1))


def _parse_file(text: str, kind: str, rest: str) -> Fault:
    form = _WRITE_ARCHIVE.format(kind=kind)
    match = _FILE.fullmatch(rest)
    if match is None:
        raise ValueError(f"fault {text!r} is not understood; {form}")
    try:
        file_of(match["symbol"], Interval.parse("1d"), match["period"])
    except ValueError:
        raise ValueError(f"fault {text!r}: {match['period']!r} is not a day or a month; {form}") from None
    _check_detail(text, kind, match["detail"])
    return Fault(kind, detail=match["detail"], symbol=match["symbol"], period=match["period"])
