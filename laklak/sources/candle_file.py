"""What a file has of one series of candles, and what such files say of themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import gcd
from operator import sub
from pathlib import Path
from typing import Final, Literal

from laklak.archives import ArchiveFile
from laklak.model.series import Series, TimeRange
from laklak.sources.sorted_rows import SortedRows

SERIES_KEY: Final = "laklak.series"
ORIGIN_KEY: Final = "laklak.origin"
DIGEST_KEY: Final = "laklak.digest"
MADE_KEY: Final = "laklak.made_of"
TIME_KEY: Final = "laklak.time"
"""Keys in the metadata of a Parquet or Feather file."""
MADE: Final = "made_of"
"""The CSV column, or line-protocol field, that says the same as MADE_KEY."""
COLUMNS: Final = ("open_time", "open", "high", "low", "close", "volume")
MADE_STEM: Final = ".made"
_ENOUGH_APART: Final = 10

Form = Literal["csv", "parquet", "feather", "lp", "binance"]


@dataclass(frozen=True, slots=True)
class CandleFile:
    """What a file has of one series: `spans` are the open_times that it has rows of. `origin`: what it says of its
    candles.  `made`: it says that they were made of shorter ones.  `rows`: its rows in order, where they were not, with
    the number that the series has there.

    `published` describes it where it is one of a venue's archive. `names`: where the columns have other names,
    ours -> theirs; then a time may also be in another unit, or text.
    """

    path: Path
    series: Series
    form: Form
    spans: tuple[TimeRange, ...] = ()
    origin: str | None = None
    made: bool = False
    rows: SortedRows | None = None
    number: int = 0
    published: ArchiveFile | None = None
    names: Mapping[str, str] = field(default_factory=dict)

    def name_of(self, column: str) -> str:
        """The file's name for one of our columns."""
        return self.names.get(column, column)

    @property
    def hull(self) -> TimeRange:
        """From its first candle to the end of its last; empty without candles."""
        return TimeRange(self.spans[0].start_ms, self.spans[-1].end_ms) if self.spans else TimeRange(0, 0)

    @property
    def apart_ms(self) -> int | None:
        """How far apart all of many candles are, where that is more than their interval: they may be longer ones."""
        interval, starts = self.series.interval, [span.start_ms for span in self.spans]
        if len(starts) < _ENOUGH_APART or any(span.count(interval) > 1 for span in self.spans):
            return None
        apart_ms = gcd(*map(sub, starts[1:], starts))
        return apart_ms if apart_ms > interval.ms else None


def file_stem(series: Series, *, made: bool = False) -> str:
    """The file name of a series, without its ending: neither a venue nor an interval has a dash.

    `made`: its candles were made of shorter ones.
    """
    return f"{series.venue}-{series.symbol}-{series.interval}{MADE_STEM if made else ''}"
