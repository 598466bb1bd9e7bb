"""Faults of the archive: their kinds, and the dice that decide which file and which request gets which.

A file stays wrong or sound for the whole life of the simulator, whoever asks first: its chance comes from the seed, the
kind and the path. Only the faults of REQUEST_KINDS hit single requests.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from laklak.simulator.archive.paths import ArchiveFile
from laklak.simulator.badrows import BAD_ROW_KINDS
from laklak.simulator.faults import Fault

REQUEST_KINDS: Final = ("archive-5xx", "archive-reset", "archive-slow")
"""A server error, a connection reset somewhere in the answer, an answer that takes its time."""

FILE_KINDS: Final = (
    "archive-missing",  # neither the zip nor its checksum is there
    "archive-checksum",  # the checksum is of other bytes
    "archive-flaky-checksum",  # so it is in its first answer only
    "archive-missing-day",  # a monthly file lacks a day
    "archive-zero-volume",  # a day has prices, but no volume and no trades
    "archive-badrow",  # a row breaks the rules
    "archive-reversed",  # newest first
    "archive-doubled",  # a row comes twice
    "archive-noheader",
    "archive-header-only",
    "archive-microseconds",
    "archive-columns",  # 11 columns, or 6
    "archive-cut-csv",  # ends in the middle of a row
    "archive-cut",  # the zip itself ends too early
    "archive-bomb",  # two gigabytes of zeros
    "archive-path",  # the member is called ../evil.csv or /tmp/evil.csv
    "archive-two-members",
    "archive-empty",  # a zip without a member
)
"""What can be wrong with a file for good; the checksum fits the bytes unless the kind says otherwise."""

ARCHIVE_KINDS: Final = (*REQUEST_KINDS, *FILE_KINDS)

DETAILS: Final[dict[str, tuple[str, ...]]] = {
    "archive-badrow": BAD_ROW_KINDS,
    "archive-bomb": ("honest", "lying"),
    "archive-columns": ("11", "6"),
    "archive-path": ("parent", "absolute"),
}
"""What the kinds with several forms take after a colon; without one the file's lot decides, or the first."""


class ArchiveDice:
    """Decides from a seed which files and requests go wrong."""

    def __init__(self, faults: Sequence[Fault], seed: int) -> None:
        self._file_faults = [fault for fault in faults if fault.kind in FILE_KINDS]
        self._request_faults = [fault for fault in faults if fault.kind in REQUEST_KINDS]
        self._seed = seed

    def of_file(self, file: ArchiveFile) -> Fault | None:
        """Return what is wrong with a file: the first fault, in the order of the settings, that hits it."""
        for fault in self._file_faults:
            if fault.kind == "archive-missing-day" and file.kind != "monthly":
                continue
            if _is_meant(fault, file) or self.lots(fault.kind, file.path).random() < fault.probability:
                return fault
        return None

    def of_request(self, file: ArchiveFile, *, is_checksum: bool, number: int) -> Fault | None:
        """Return what happens to the `number`-th request for a zip or a checksum."""
        for fault in self._request_faults:
            lots = self.lots(fault.kind, file.path, "checksum" if is_checksum else "zip", number)
            if _is_meant(fault, file) or lots.random() < fault.probability:
                return fault
        return None

    def lots(self, *names: object) -> random.Random:
        """Return random numbers that depend only on the seed and the names."""
        return random.Random(":".join(map(str, (self._seed, *names))))


def _is_meant(fault: Fault, file: ArchiveFile) -> bool:
    if fault.symbol != file.symbol:
        return False
    # The fault names a day missing inside a month by its own date.
    period = fault.period[:7] if fault.kind == "archive-missing-day" else fault.period
    return period == file.period
