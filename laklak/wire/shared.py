"""What all laklak processes of a user on a machine have spent of a quota's window, in a file of the state folder.

Each process has a slot: what it has in flight, and what was answered, by small parts of the window.  Before it sends, a
process locks the file, sums up the slots and writes its own, so that all together keep the proof of laklak.wire.quota.
A process lives as long as it holds the lock of its `.alive` file.  When another finds it dead, its units in flight
count as answered then; these and its answered ones move to slot 0, nobody's, until their window has passed.  A process
that waits for room notes since when, and the others let it go first.

Times are those of the monotonic clock, which all processes of a machine share; one that lies ahead comes from before
the machine started, and counts as its start.

An answer is written with the next request, or a little later: until then it counts as in flight, which is the longer. A
process that sends often takes some units ahead, which count as in flight too, and needs no lock for the requests that
they pay; the rest goes back with the next answers.

Nothing here ends a run or holds it up: a file that cannot be read, written or locked is no longer shared, and the log
says so.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import math
import os
import secrets
import struct
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

log = logging.getLogger(__name__)

_MAGIC: Final = b"laklakq1"
_SLOTS: Final = 16
_PARTS: Final = 60  # of a window; answers of others are forgotten one of them too late
_RING: Final = _PARTS + 4
_SLOT: Final = struct.Struct(f"<Qqqdd{2 * _RING}q")
_SUM: Final = struct.Struct("<Q")
_SLOT_BYTES: Final = _SLOT.size + _SUM.size
_BYTES: Final = len(_MAGIC) + _SLOTS * _SLOT_BYTES

_LOOK_FOR_DEAD_EVERY_S: Final = 1.0
_STILL_WAITS_S: Final = 1.0
_NOTE_WAITING_EVERY_S: Final = 0.25
_LOCKED_FOR_S: Final = 2.0
"""A lock is held for microseconds; if longer, its process was stopped."""
_LOCKED_AGAIN_S: Final = 0.002
_OLD_S: Final = 7 * 86_400.0
"""Remove files untouched for so long; no window is longer."""


class _Unusable(Exception):
    """A file that is no account of ours."""


@dataclass(slots=True)
class _Slot:
    """What one process, or nobody any more (owner 0), has spent. `parts`: number of the part of time -> units.

    `may`: the units that its user lets it spend in a window; for nobody, the largest of the dead at `looked_at`.
    """

    owner: int = 0
    in_flight: int = 0
    may: int = 0
    waiting_since: float = 0.0
    looked_at: float = 0.0
    parts: dict[int, int] = field(default_factory=dict)

    def packed(self) -> bytes:
        ring = [0] * (2 * _RING)
        for number, units in self.parts.items():
            at = 2 * (number % _RING)
            ring[at : at + 2] = (number, units)
        raw = _SLOT.pack(self.owner, self.in_flight, self.may, self.waiting_since, self.looked_at, *ring)
        return raw + _SUM.pack(zlib.crc32(raw))

    @classmethod
    def unpacked(cls, raw: bytes) -> _Slot:
        if zlib.crc32(raw[: _SLOT.size]) != _SUM.unpack_from(raw, _SLOT.size)[0]:
            raise _Unusable("a checksum is wrong")
        owner, in_flight, may, since, looked_at, *ring = _SLOT.unpack_from(raw)
        parts = {ring[at]: ring[at + 1] for at in range(0, len(ring), 2) if ring[at + 1]}
        return cls(owner, in_flight, may, since, looked_at, parts)


class LifeSign:
    """Shows that a run lives: a file in the state folder, locked until the run or its process ends."""

    def __init__(self, folder: Path) -> None:
        self.token = secrets.randbits(63) | 1
        self._path = _alive_path(folder, self.token)
        self._handle: int | None = None

    def show(self) -> None:
        """Make and lock the file, anew if it was removed; OSError if that fails."""
        if self._handle is not None and not os.fstat(self._handle).st_nlink:
            self.close()
        if self._handle is None:
            handle = _open(self._path)
            _lock(handle)
            self._handle = handle

    def close(self) -> None:
        if self._handle is not None:
            with contextlib.suppress(OSError):
                self._path.unlink()
            os.close(self._handle)
            self._handle = None


class SharedWindow:
    """What others have spent of one window, and what we have, for them.  Not for several threads.

        take_from_ahead(units), or enter(), others(), take(units, ahead) or wait(since), leave()

    `make`: whether to make a missing file.  `clock` is read inside the lock, so nothing that others noted lies ahead of
    it, however long ago the loop looked at its clock.
    """

    def __init__(
        self,
        path: Path,
        seconds: float,
        presence: LifeSign,
        *,
        make: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.again_s = min(0.05, max(_LOCKED_AGAIN_S, seconds / _PARTS / 2))
        """When to look again whether others have left room."""
        self._path = path
        self._seconds = seconds
        self._part_s = seconds / _PARTS
        self._presence = presence
        self._make = make
        self._clock = clock
        self._now = 0.0
        self._handle: int | None = None
        self._off = False
        self._locked_since_s: float | None = None
        self._own = _Slot(presence.token)
        self._place = 0
        self._slots: list[_Slot] = []
        self._raw: list[bytes] = []
        self._others: Sequence[_Slot] = ()
        self._looked_for_dead_at = -_LOOK_FOR_DEAD_EVERY_S
        self._dirty = False
        self._ahead = 0

    @property
    def is_shared(self) -> bool:
        """Whether the window is still shared."""
        return not self._off

    # What we do

    def enter(self) -> bool:
        """Lock and read what others have spent; False if another process holds the lock: look again in a moment.

        Without sharing there is nothing to lock.
        """
        if self._off:
            return True
        try:
            if self._handle is None:
                self._handle = self._opened()
            _lock(self._handle)
        except BlockingIOError:
            held_since_s = self._locked_since_s = self._locked_since_s or self._clock()
            if self._clock() - held_since_s > _LOCKED_FOR_S:
                self._stop_sharing("another process holds its lock and does not go on")
                return True
            return False
        except (OSError, _Unusable) as exc:
            self._stop_sharing(exc)
            return True
        self._locked_since_s = None
        self._now = self._clock()
        try:
            if self._is_removed(self._handle, self._now):
                return False
            self._read(self._handle, self._now)
        except (OSError, _Unusable) as exc:
            self._stop_sharing(exc)
        return True

    def leave(self) -> None:
        """Release the lock."""
        if self._handle is not None:
            with contextlib.suppress(OSError):
                _unlock(self._handle)

    def may_spend(self, units: int) -> None:
        """Set our units in a window; others read it with the next request that we send."""
        self._own.may = units

    def others(self) -> int:
        """Units that others have in flight, or had answered within the window, less what they may spend beyond us.

        All together keep to the largest `may`: units above ours were not taken from us.
        """
        if self._off:
            return 0
        now = self._now
        first = int((now - self._seconds) / self._part_s) - 1
        newest = int(now / self._part_s) + 1
        spent = most = 0
        for slot in self._others:
            units = slot.in_flight + sum(
                units for number, units in slot.parts.items() if (number if number <= newest else 0) >= first
            )
            spent += units
            if units and (slot.owner or now - slot.looked_at <= self._seconds):
                most = max(most, slot.may)
        return max(0, spent - max(0, most - self._own.may))

    def is_behind(self, since: float) -> bool:
        """Whether another process has waited since before `since`."""
        return not self._off and any(
            0 < slot.waiting_since < since and self._now - slot.looked_at < _STILL_WAITS_S for slot in self._others
        )

    def covers(self, units: int) -> bool:
        """Whether `units` may be sent without a look at others."""
        return self._off or self._ahead >= units

    def anybody_waits(self) -> bool:
        """Whether another process waits for room."""
        return self.is_behind(math.inf)

    def take(self, units: int, ahead: int = 0) -> None:
        """Count `units` as sent, and take `ahead` more to send later without a look; call it inside the lock."""
        self._own.in_flight += units + ahead - self._ahead
        self._ahead = ahead
        self._own.waiting_since = 0.0
        self._write()

    def take_from_ahead(self, units: int) -> None:
        """Count `units` as sent, after `covers` allowed it."""
        self._ahead -= units

    def wait(self, since: float) -> None:
        """Note that we wait for room; call it inside the lock."""
        if self._own.waiting_since != since or self._now - self._own.looked_at >= _NOTE_WAITING_EVERY_S:
            self._own.waiting_since, self._own.looked_at = since, self._now
            self._write()

    def answered(self, units: int, now: float) -> None:
        """Note that their request ended; the next request, or `flush`, writes it."""
        own, number = self._own, int(now / self._part_s)
        own.in_flight -= units
        own.parts[number] = own.parts.get(number, 0) + units
        if len(own.parts) > _PARTS + 2:
            own.parts = {one: units for one, units in own.parts.items() if one > number - _RING}
        self._dirty = True

    def flush(self) -> bool:
        """Write what was answered and give back what was taken ahead; False to try again."""
        if self._dirty and not self._off:
            if not self.enter():
                return False
            self._give_back()
            self._write()
            self.leave()
        return True

    def close(self) -> None:
        """Leave what was spent to nobody's slot and end."""
        if self._handle is not None and not self._off and self.enter() and not self._off:
            with contextlib.suppress(OSError):
                self._give_back()
                self._write()
                self._bury(self._place, self._now)
            self.leave()
        if self._handle is not None:
            os.close(self._handle)
        self._handle, self._off = None, True

    # The file

    def _opened(self) -> int:
        if not self._make and not self._path.exists():
            raise FileNotFoundError
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._presence.show()
        return _open(self._path)

    def _is_removed(self, handle: int, now: float) -> bool:
        """Whether the file was removed, checked from time to time; then it is made anew."""
        if now - self._looked_for_dead_at < _LOOK_FOR_DEAD_EVERY_S or os.fstat(handle).st_nlink:
            return False
        os.close(handle)
        self._handle, self._place, self._raw = None, 0, []
        return True

    def _read(self, handle: int, now: float) -> None:
        """Read the file, which is locked, and take a slot in it."""
        changed = self._take_slots(handle)
        if now - self._looked_for_dead_at >= _LOOK_FOR_DEAD_EVERY_S:
            self._looked_for_dead_at = now
            self._bury_the_dead(now)
        if not self._place or self._slots[self._place].owner != self._own.owner:
            self._place = next((place for place in range(1, _SLOTS) if not self._slots[place].owner), 0)
            if not self._place:
                raise _Unusable(f"{_SLOTS - 1} processes share it already")
            self._write()
            changed = True
        if changed:
            self._note_others()

    def _take_slots(self, handle: int) -> bool:
        """Read the slots and say whether any changed; a broken file begins anew."""
        raw = os.pread(handle, _BYTES + 1, 0)
        if raw[: len(_MAGIC)] not in (_MAGIC, b"", bytes(len(_MAGIC))):
            raise _Unusable("it is no account of laklak; remove it")
        pieces = [raw[at : at + _SLOT_BYTES] for at in range(len(_MAGIC), len(raw), _SLOT_BYTES)]
        try:
            if len(raw) != _BYTES:
                raise _Unusable("it is of another length")
            if pieces == self._raw:
                return False
            known = self._raw or [b""] * _SLOTS
            self._slots = [
                self._slots[place] if piece == known[place] else _Slot.unpacked(piece)
                for place, piece in enumerate(pieces)
            ]
        except _Unusable as exc:
            if raw:
                log.warning("shared limits begin anew path=%s reason=%s", self._path, exc)
            self._slots = [_Slot() for _ in range(_SLOTS)]
            os.ftruncate(handle, 0)
            pieces = [slot.packed() for slot in self._slots]
            os.pwrite(handle, _MAGIC + b"".join(pieces), 0)
        self._raw = pieces
        return True

    def _bury_the_dead(self, now: float) -> None:
        for place, slot in enumerate(self._slots):
            if slot.owner and slot.owner != self._own.owner and _is_dead(self._path.parent, slot.owner):
                self._bury(place, now)

    def _bury(self, place: int, now: float) -> None:
        """Move what a slot has spent to nobody's, and free it."""
        slot, nobody = self._slots[place], self._slots[0]
        number = int(now / self._part_s)
        slot.parts[number] = slot.parts.get(number, 0) + slot.in_flight
        # A part that lies ahead is from before the machine started.
        parts: dict[int, int] = {}
        for one, units in (*nobody.parts.items(), *slot.parts.items()):
            at = one if one <= number + 1 else 0
            if units and at > number - _RING:
                parts[at] = parts.get(at, 0) + units
        nobody.parts = parts
        if slot.may >= nobody.may or not 0 <= now - nobody.looked_at <= self._seconds:
            nobody.may, nobody.looked_at = slot.may, now
        self._put(0, nobody)
        self._put(place, _Slot())
        self._note_others()

    def _note_others(self) -> None:
        """Keep the slots of others that say anything."""
        self._others = [
            slot
            for place, slot in enumerate(self._slots)
            if place != self._place and (slot.owner or slot.in_flight or slot.parts)
        ]

    def _give_back(self) -> None:
        self._own.in_flight -= self._ahead
        self._ahead = 0

    def _write(self) -> None:
        self._dirty = False
        if not self._off:
            try:
                self._put(self._place, self._own)
            except OSError as exc:
                self._stop_sharing(exc)

    def _put(self, place: int, slot: _Slot) -> None:
        raw = slot.packed()
        if self._handle is not None:
            os.pwrite(self._handle, raw, len(_MAGIC) + place * _SLOT_BYTES)
        self._slots[place], self._raw[place] = slot, raw

    def _stop_sharing(self, why: object) -> None:
        self._off = True
        self.leave()
        if self._make or not isinstance(why, FileNotFoundError):
            log.warning(
                "limits not shared with other laklak processes path=%s error=%s hint=LAKLAK_STATE_DIR names another "
                "folder",
                self._path,
                why,
            )


def shared_path(folder: Path, pool: str, origin: str, quota: str, seconds: float) -> Path:
    """The file of a window of a pool's quota."""
    digest = hashlib.sha256(f"{origin} {quota} {seconds}".encode()).hexdigest()[:12]
    return folder / f"quota-{pool}-{digest}.spent"


def sweep(folder: Path) -> None:
    """Remove old files of simulators, runs and machines."""
    for pattern in ("quota-*.spent", "quota-*.alive"):
        for path in folder.glob(pattern):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > _OLD_S:
                    handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
                    try:
                        _lock(handle)
                        path.unlink()
                    finally:
                        os.close(handle)


def _alive_path(folder: Path, token: int) -> Path:
    return folder / f"quota-{token:016x}.alive"


def _is_dead(folder: Path, token: int) -> bool:
    """Whether the process has ended; then its file goes, too."""
    path = _alive_path(folder, token)
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        _lock(handle)
        path.unlink(missing_ok=True)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(handle)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _lock(handle: int) -> None:
    """Lock without waiting; BlockingIOError if another process, or another handle, holds the lock."""
    import fcntl

    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _unlock(handle: int) -> None:
    import fcntl

    fcntl.flock(handle, fcntl.LOCK_UN)
