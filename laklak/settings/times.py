"""Moments and durations as people write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from laklak.errors import UsageError
from laklak.text import quoted

TIME_FORMS: Final = "2025-01-31, 2025-01-31T12:30, 2025-01-31T12:30:00Z or 2025-01-31T12:30+02:00"
DURATION_FORMS: Final = "90s, 10m, 2h, 1h30m or plain seconds, at most 30 days"

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_END_MS = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MILLISECOND
_MAX_DURATION_S = 30 * 86_400

_TIME = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)"
    r"(?:[T ](?P<clock>(?:[01]\d|2[0-3]):\d\d(?::\d\d)?)(?:[.](?P<fraction>\d{1,9}))?\ ?"
    r"(?P<offset>Z|[+-]\d\d:?\d\d)?)?",
    re.ASCII | re.IGNORECASE,
)
_DURATION = re.compile(r"(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?", re.ASCII | re.IGNORECASE)
_SECONDS = re.compile(r"\d{1,9}(?:\.\d{1,9})?", re.ASCII)


def parse_time(text: str) -> int:
    """Read a moment as ms UTC: a date is midnight UTC, no offset means UTC, other offsets are converted.

    Fractions of a millisecond are cut off. UsageError names the text and the known forms.
    """
    found = _TIME.fullmatch(text.strip())
    try:
        if found is None or (found["fraction"] and found["clock"].count(":") < 2):
            raise ValueError("another form")
        moment = datetime.fromisoformat(f"{found['date']}T{found['clock'] or '00:00'}{_offset(found['offset'])}")
    except ValueError:
        raise UsageError(f"{quoted(text)} is not a time", hint=f"write {TIME_FORMS}; no offset means UTC") from None
    fraction_ms = int((found["fraction"] or "").ljust(3, "0")[:3])
    time_ms = (moment - _EPOCH) // _MILLISECOND + fraction_ms
    if not 0 <= time_ms <= _END_MS:
        raise UsageError(f"{quoted(text)} is outside of the years 1970 to 9999", hint=f"write {TIME_FORMS}")
    return time_ms


def _offset(text: str | None) -> str:
    if text is None or text in "Zz":
        return "+00:00"
    return text if ":" in text else f"{text[:3]}:{text[3:]}"


def parse_duration(text: str) -> float:
    """Read a duration as seconds, 0 to 30 days; UsageError names the text and the known forms."""
    word = text.strip()
    parts = _DURATION.fullmatch(word)
    if word and parts is not None:
        hours, minutes, seconds = (int(part or 0) for part in parts.groups())
        duration_s = float(hours * 3600 + minutes * 60 + seconds)
    elif _SECONDS.fullmatch(word):
        duration_s = float(word)
    else:
        raise UsageError(f"{quoted(text)} is not a duration", hint=f"write {DURATION_FORMS}")
    if duration_s > _MAX_DURATION_S:
        raise UsageError(f"{quoted(text)} is longer than 30 days", hint=f"write {DURATION_FORMS}")
    return duration_s
