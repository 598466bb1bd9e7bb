"""Bans outlive the process: the state folder remembers until when not to ask a venue from here.

It also counts refusals in a row, whose pauses grow, until the venue answers again.

A second file marks that the venue has answered from here at all, so it serves this region.  The mark lies in the state
folder and not in a store, because several machines may fill one store and stores are copied; it is kept for each origin
with its proxy, because another way out is another address.

A remembered ban counts at most for the venue's longest ban, and carries the time of noting by this machine's clock and
by the venue's: either may be wrong, then or now, and must lock nobody out for years.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

log = logging.getLogger(__name__)

_PREFIX: Final = "ban-"
_ANSWERED_PREFIX: Final = "answered-"
_DOUBLED_MOST: Final = 30


@dataclass(frozen=True, slots=True)
class Ban:
    """A ban as written down; times in ms UTC.

    `until_ms` and `noted_at_ms` are by this machine's clock, `venue_ms` is the venue's time of noting.
    `in_a_row`: the refusals in a row that made the ban this long; 0 if the venue set its length.
    """

    origin: str
    until_ms: int
    reason: str
    noted_at_ms: int
    venue_ms: int | None = None
    in_a_row: int = 0


@dataclass(frozen=True, slots=True)
class BanInForce:
    """What counts of a ban now: its end, and why it differs from what was written down, if it does."""

    ban: Ban
    until_ms: int
    doubt: str | None = None


def believed(ban: Ban, now_ms: int, longest_ms: int) -> BanInForce | None:
    """Say until when `ban` counts at `now_ms`, by this machine's clock; None when it is over.

    Its length, at most `longest_ms`, counts from its noting.  If that lies in the future, this clock was wrong then or
    is wrong now: use the venue's clock if it helps, else count from now.
    """
    told_ms = ban.until_ms - ban.noted_at_ms
    length_ms = min(told_ms, longest_ms)
    doubt = "it was written down as longer than any ban that is documented" if told_ms > longest_ms else None
    noted = [at_ms for at_ms in (ban.noted_at_ms, ban.venue_ms) if at_ms is not None and at_ms <= now_ms]
    if ban.noted_at_ms > now_ms:
        doubt = "it was noted in the future: this machine's clock was wrong then or is wrong now"
    until_ms = max(noted, default=now_ms) + length_ms
    return BanInForce(ban, until_ms, doubt) if until_ms > now_ms else None


class BanBook:
    """The ban of one venue at one origin (scheme://host:port), in a file. Times are UTC wall time, ms.

    `longest_s` is the longest ban that the venue documents.
    A file that cannot be written or read is logged: the run goes on without the memory.
    """

    def __init__(
        self, folder: Path, venue: str, origin: str, *, longest_s: float, now_ms: Callable[[], int] | None = None
    ) -> None:
        self.now_ms = now_ms or _now_ms
        self.origin = origin
        self._may_be_in_a_row = True
        self._longest_ms = int(longest_s * 1000)
        digest = hashlib.sha256(origin.encode()).hexdigest()[:12]
        self._path = folder / f"{_PREFIX}{venue}-{digest}.json"
        self._mark = folder / f"{_ANSWERED_PREFIX}{venue}-{digest}"
        self._has_answered = False

    def current(self) -> BanInForce | None:
        """The ban in force, else None."""
        ban = _read(self._path)
        return None if ban is None else believed(ban, self.now_ms(), self._longest_ms)

    def until_ms(self) -> int | None:
        """The end of the ban in force, else None."""
        found = self.current()
        return None if found is None else found.until_ms

    def last_ended(self, within_s: float) -> bool:
        """Whether the last ban ended within the last `within_s` seconds."""
        ban, now_ms = _read(self._path), self.now_ms()
        return ban is not None and ban.until_ms <= now_ms < ban.until_ms + within_s * 1000

    def grown(self, first_s: float, most_s: float) -> tuple[float, int]:
        """Return the pause in seconds after a refusal whose pauses grow, and the number of refusals in a row.

        A refusal during a pause answers a request sent before it, so it has the same reason and does not count again.
        A row ends when nobody has asked for as long as the longest ban.
        """
        lasting = self.current()
        if lasting is not None:
            return (lasting.until_ms - self.now_ms()) / 1000, max(1, lasting.ban.in_a_row)
        last = _read(self._path)
        before = last.in_a_row if last is not None and self.last_ended(self._longest_ms / 1000) else 0
        return min(most_s, first_s * 2.0 ** min(before, _DOUBLED_MOST)), before + 1

    @property
    def has_answered(self) -> bool:
        """Whether the venue has ever answered from here, in this run or an earlier one."""
        return self._has_answered or self._mark.exists()

    def answered(self) -> None:
        """Note that the venue answers: it serves this address, and the next refusal is the first in a row."""
        if not self._has_answered:
            self._has_answered = True
            # Only in an existing state folder: a look (`check`) makes none.
            with contextlib.suppress(OSError):
                self._mark.touch()
        if not self._may_be_in_a_row:
            return
        self._may_be_in_a_row = False
        last = _read(self._path)
        if last is not None and last.in_a_row:
            if self.current() is None:
                self._write(replace(last, in_a_row=0))
            else:
                # The request was sent before the pause began.
                self._may_be_in_a_row = True

    def remember(self, until_ms: int, reason: str, *, venue_ms: int | None = None, in_a_row: int = 0) -> None:
        """Write a ban down with the time by both clocks; an earlier, longer ban stays."""
        self._may_be_in_a_row = True
        if until_ms > (self.until_ms() or 0):
            self._write(Ban(self.origin, until_ms, reason, self.now_ms(), venue_ms, in_a_row))

    def settle(self) -> BanInForce | None:
        """Note a ban from the future again as of now, else it would begin anew with each reading; return it."""
        found = self.current()
        if found is None or found.ban.noted_at_ms <= self.now_ms():
            return None
        self._write(replace(found.ban, until_ms=found.until_ms, noted_at_ms=self.now_ms(), venue_ms=None))
        return found

    def forget(self) -> Ban | None:
        """Forget the ban; return it if it was still in force."""
        found = self.current()
        try:
            self._path.unlink(missing_ok=True)
        except OSError as exc:
            log.warning("ban not forgotten path=%s error=%s", self._path, exc)
            return None
        return None if found is None else found.ban

    def _write(self, ban: Ban) -> None:
        entry = {
            "origin": ban.origin,
            "until_ms": ban.until_ms,
            "reason": ban.reason,
            "noted_at_ms": ban.noted_at_ms,
            "venue_ms": ban.venue_ms,
            "in_a_row": ban.in_a_row,
        }
        temporary = self._path.with_suffix(f".{os.getpid()}.tmp")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(entry))
            temporary.replace(self._path)
        except OSError as exc:
            log.warning(
                "ban not remembered path=%s error=%s hint=LAKLAK_STATE_DIR names another folder", self._path, exc
            )


def lasting_bans(folder: Path, venue: str, *, longest_s: float) -> Sequence[BanInForce]:
    """All remembered bans of a venue that are still in force, for any address."""
    with contextlib.suppress(OSError):
        bans = [_read(path) for path in sorted(folder.glob(f"{_PREFIX}{venue}-*.json"))]
        found = [believed(ban, _now_ms(), int(longest_s * 1000)) for ban in bans if ban is not None]
        return [one for one in found if one is not None]
    return []


def _read(path: Path) -> Ban | None:
    try:
        entry = json.loads(path.read_text())
        until_ms = entry["until_ms"]
        written_ms = path.stat().st_mtime_ns // 1_000_000
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as exc:
        log.warning("ban file ignored path=%s error=%s", path, exc)
        return None
    if not _is_moment(until_ms):
        return None
    noted_at_ms, venue_ms, in_a_row = entry.get("noted_at_ms"), entry.get("venue_ms"), entry.get("in_a_row")
    return Ban(
        origin=str(entry.get("origin", "")),
        until_ms=until_ms,
        reason=str(entry.get("reason", "")),
        # Older versions wrote no time of noting: use the file's, which is by the same clock.
        noted_at_ms=noted_at_ms if _is_moment(noted_at_ms) else written_ms,
        venue_ms=venue_ms if _is_moment(venue_ms) else None,
        in_a_row=in_a_row if type(in_a_row) is int and in_a_row > 0 else 0,
    )


def _is_moment(value: Any) -> bool:
    """Whether `value` is a time of the years 1970 to 9999 in ms."""
    return type(value) is int and 0 <= value < 253_402_300_800_000


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
