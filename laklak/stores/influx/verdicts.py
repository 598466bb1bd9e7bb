"""What an answer of an InfluxDB server means for the caller.  Pure.

The texts are those of 1.6.7 and 2.7.12, looked up by asking real ones; other servers of a major version say the same.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

VerdictKind = Literal["ok", "lines refused", "send less", "denied", "gone", "full", "passing", "foreign", "failed"]
"""What to do: go on; find out which lines are stored; try with fewer lines, for none is stored; log in; make the

database; make room; try again; ask an address that is an InfluxDB; give up.
"""

_TEXT_MAX: Final = 300
_FULL: Final = re.compile(r"no space left on device|disk quota exceeded|read-only file system", re.IGNORECASE)
_GONE: Final = re.compile(
    r'^(?:database|retention policy) not found|\b(?:bucket|organization name) ".*" not found|could not find bucket'
)
_UNREADABLE: Final = re.compile(r"^unable to parse")
_PARTIAL: Final = re.compile(r"^(?:failure writing points to database: )?partial write")
_DENIED: Final = re.compile(r"not authorized|authorization failed|authentication", re.IGNORECASE)
_BUSY: Final = re.compile(r"timeout|timed out|max-concurrent-queries|limit exceeded: max-concurrent", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an answer means; `reason`: the server's own sentence, `retry_after_s`: the wait it asked for, if any."""

    kind: VerdictKind
    reason: str = ""
    retry_after_s: float | None = None


OK: Final = Verdict("ok")


def judge_write(status: int, headers: Mapping[str, str], body: bytes, *, all_or_nothing: bool) -> Verdict:
    """Say what an answer to a write means. Only 204 means written.

    `all_or_nothing`: an unreadable line makes the server refuse all of them (2.x), not only that one (1.x).
    """
    if status == 204:
        return OK
    reason = reason_of(status, headers, body)
    if status in (400, 422):
        if _PARTIAL.match(reason):
            return Verdict("lines refused", reason)
        if _UNREADABLE.match(reason):
            return Verdict("send less" if all_or_nothing else "lines refused", reason)
    if status == 413:
        return Verdict("send less", reason)
    return _judge_failure(status, headers, reason)


def judge_query(status: int, headers: Mapping[str, str], body: bytes) -> Verdict:
    """Say what the status of any other answer means; a statement may have failed inside an answer that is ok."""
    if status == 200:
        return OK
    return _judge_failure(status, headers, reason_of(status, headers, body))


def judge_statement(error: str) -> Verdict:
    """Say what the error of one statement, inside an answer, means."""
    reason = error[:_TEXT_MAX]
    if _GONE.search(reason):
        return Verdict("gone", reason)
    if _DENIED.search(reason):
        return Verdict("denied", reason)
    return Verdict("passing" if _BUSY.search(reason) else "failed", reason)


def reason_of(status: int, headers: Mapping[str, str], body: bytes) -> str:
    """Return the server's sentence: from the body, else from the header that carries it too, else the status."""
    try:
        answer: Any = orjson.loads(body)
    except orjson.JSONDecodeError:
        answer = None
    text = (answer.get("error") or answer.get("message")) if isinstance(answer, dict) else None
    if not isinstance(text, str) or not text:
        text = headers.get("X-Influxdb-Error") or f"HTTP status {status}"
    # One line, whatever the server or a proxy in front of it has to say.
    return " ".join(text.split())[:_TEXT_MAX]


def _judge_failure(status: int, headers: Mapping[str, str], reason: str) -> Verdict:
    if status in (401, 403):
        return Verdict("denied", reason)
    if _FULL.search(reason) or status == 507:
        return Verdict("full", reason)
    if _GONE.search(reason):
        return Verdict("gone", reason)
    if status in (408, 429) or status >= 500:
        return Verdict("passing", reason, _retry_after_s(headers))
    return Verdict("foreign" if status < 400 or status in (404, 405, 501) else "failed", reason)


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    text = headers.get("Retry-After", "")
    return float(text) if re.fullmatch(r"[0-9]{1,6}", text) else None
