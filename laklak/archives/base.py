"""The protocol of an archive: a pure description of a venue's bulk files. No I/O, no clock, no retry.

An archive publishes the candles of a series a second time, as one zip a day and one a month.  Its files need no weight.
They may be late, absent or bad: this only describes what to expect.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, Protocol

from laklak.model.series import DAY_MS, Series, TimeRange

FileKind = Literal["day", "month"]
BadReason = Literal["checksum", "zip", "csv"]

# The longest plausible row: twelve cells, of which the longest storable one has 38 characters.
_ROW_BYTES_MAX: Final = 512
_HEADER_BYTES_MAX: Final = 4096
_ZIP_FRAME_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """One file of an archive: the candles of `series` in `span`, a whole UTC day or month.

    `path` and `checksum_path` follow the archive's address, percent-encoded; `name` is the zip's own name and `member`
    that of the one file in it, both as spelled inside.
    """

    series: Series
    kind: FileKind
    span: TimeRange
    path: str
    checksum_path: str
    name: str
    member: str

    @property
    def candles(self) -> int:
        """The candles that it has if none is absent."""
        return self.span.count(self.series.interval)

    @property
    def csv_bytes_max(self) -> int:
        """The longest possible CSV of the file: 23 MB for a month of minutes, five times the usual."""
        return _HEADER_BYTES_MAX + self.candles * _ROW_BYTES_MAX

    @property
    def zip_bytes_max(self) -> int:
        """The longest download that makes sense: the CSV without any packing."""
        return self.csv_bytes_max + _ZIP_FRAME_BYTES

    def __str__(self) -> str:
        return self.name


class BadFile(ValueError):
    """A file that cannot be trusted as a whole: none of its rows may be stored.

    `reason` names the failed check, the text what was found.  A wrong `checksum` may be a cut-off download, so try once
    more; a file with a right one is what was published and will not get better.
    """

    def __init__(self, reason: BadReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Archive(Protocol):
    """The members stand in this order in every file."""

    name: str
    """The venue of these candles."""
    default_url: str
    intervals: tuple[str, ...]
    first_ms: int
    """The archive has no file of an earlier day."""
    bytes_per_candle: int
    """Bytes of a candle in a zip, about: for choosing and forecasting."""
    columns: Sequence[str]
    """The columns of a file, as its header names them."""
    cells: Sequence[int]
    """The places of open_time, open, high, low, close and the volume in the base asset among them, rising from 0."""
    times: Sequence[int]
    """Which columns are times, counted from 0."""
    integers: Sequence[int]
    """Which columns the venue's JSON has as integers, the times among them; all others are texts there."""

    def day_file(self, series: Series, time_ms: int) -> ArchiveFile:
        """Return the file of the UTC day of `time_ms`."""
        ...

    def month_file(self, series: Series, time_ms: int) -> ArchiveFile:
        """Return the file of the UTC month of `time_ms`."""
        ...

    def landmark(self, series: Series) -> ArchiveFile:
        """Return a file of the interval of `series` that the archive surely has, whatever it has of the series."""
        ...

    def expected_ms(self, file: ArchiveFile) -> int:
        """Return from when on to expect the file, in ms. It may be there earlier, later or never."""
        ...


def day_of(time_ms: int) -> TimeRange:
    """Return the UTC day of a moment."""
    start_ms = time_ms - time_ms % DAY_MS
    return TimeRange(start_ms, start_ms + DAY_MS)


def month_of(time_ms: int) -> TimeRange:
    """Return the UTC month of a moment."""
    first = datetime.fromtimestamp(time_ms // 1000, UTC).replace(day=1, hour=0, minute=0, second=0)
    after = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
    return TimeRange(int(first.timestamp()) * 1000, int(after.timestamp()) * 1000)
