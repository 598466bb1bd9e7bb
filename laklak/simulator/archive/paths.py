"""The layout of Binance's public archive: which path names which file, and the time it covers.

Source: the README of binance/binance-public-data and the files published at data.binance.vision (read 2026-11).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from laklak.model.series import DAY_MS, MINUTE_MS, Interval

ArchiveKind = Literal["daily", "monthly"]

ARCHIVE_ROOT: Final = "/data/"
"""The beginning of every path of the archive, and of none of the REST venue."""
FUTURES: Final = f"{ARCHIVE_ROOT}futures/um/"
COINS: Final = f"{ARCHIVE_ROOT}futures/cm/"
SPOT: Final = f"{ARCHIVE_ROOT}spot/"

DAY_DELAY_MS: Final = 520 * MINUTE_MS
"""Daily files exist from 08:40 UTC of the next day on."""

MONTH_DELAY_MS: Final = DAY_MS
"""Monthly files exist from the second day of the next month on."""

_PATH: Final = re.compile(
    r"(?P<kind>daily|monthly)/klines/(?P<symbol>[^/]+)/(?P<interval>[0-9]+[a-z]+)/"
    r"(?P=symbol)-(?P=interval)-(?P<period>[0-9]{4}-[0-9]{2}(-[0-9]{2})?)\.zip(?P<checksum>\.CHECKSUM)?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """One zip of the archive: the candles of a symbol in a UTC day or month, `[start_ms, end_ms)`."""

    kind: ArchiveKind
    symbol: str
    interval: Interval
    start_ms: int
    end_ms: int
    root: str = FUTURES

    @property
    def period(self) -> str:
        """The day or month as paths spell it: 2026-02-25 or 2026-02."""
        return _moment(self.start_ms).strftime("%Y-%m-%d" if self.kind == "daily" else "%Y-%m")

    @property
    def stem(self) -> str:
        """The file's name without its ending; the zip and the member inside share it."""
        return f"{self.symbol}-{self.interval}-{self.period}"

    @property
    def path(self) -> str:
        """The path of the zip, not percent-encoded."""
        return f"{self.root}{self.kind}/klines/{self.symbol}/{self.interval}/{self.stem}.zip"


def read_path(path: str, root: str = FUTURES) -> tuple[ArchiveFile, bool] | None:
    """Return the file that a decoded path below `root` names, and whether its CHECKSUM is meant; None if nothing.

    The archive serves no interval beyond a day and no other folder.
    """
    match = _PATH.fullmatch(path.removeprefix(root)) if path.startswith(root) else None
    if match is None or (match["kind"] == "daily") != (len(match["period"]) == len("2026-02-25")):
        return None
    try:
        interval = Interval.parse(match["interval"])
        file = file_of(match["symbol"], interval, match["period"], root)
    except ValueError:
        return None
    return file, match["checksum"] is not None


def file_of(symbol: str, interval: Interval, period: str, root: str = FUTURES) -> ArchiveFile:
    """Return the file of a day like 2026-02-25 or a month like 2026-02; ValueError if there is no such date."""
    if len(period) == len("2026-02"):
        begin = datetime.strptime(period, "%Y-%m").replace(tzinfo=UTC)
        return ArchiveFile("monthly", symbol, interval, _ms(begin), _ms(_next_month(begin)), root)
    begin = datetime.strptime(period, "%Y-%m-%d").replace(tzinfo=UTC)
    return ArchiveFile("daily", symbol, interval, _ms(begin), _ms(begin) + DAY_MS, root)


def files_between(
    symbol: str, interval: Interval, start_ms: int, daily_end_ms: int, monthly_end_ms: int, root: str = FUTURES
) -> Iterator[ArchiveFile]:
    """Yield the fewest files from the day of `start_ms` on: whole months before `monthly_end_ms`, days for the rest.

    Days end by `daily_end_ms`. Every day is in one file.
    """
    day_ms = start_ms // DAY_MS * DAY_MS
    while day_ms + DAY_MS <= max(daily_end_ms, monthly_end_ms):
        day = _moment(day_ms)
        month = file_of(symbol, interval, day.strftime("%Y-%m"), root)
        if month.start_ms == day_ms and month.end_ms <= monthly_end_ms:
            yield month
            day_ms = month.end_ms
            continue
        if day_ms + DAY_MS <= daily_end_ms:
            yield file_of(symbol, interval, day.strftime("%Y-%m-%d"), root)
        day_ms += DAY_MS


def _moment(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms // 1000, UTC)


def _ms(moment: datetime) -> int:
    return int(moment.timestamp()) * 1000


def _next_month(first: datetime) -> datetime:
    # From the first of a month, 31 days later is always in the next one.
    return (first + timedelta(days=31)).replace(day=1)
