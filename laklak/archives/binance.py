"""Binance's public data (data.binance.vision): candles of futures and of the spot market as daily and monthly zips.

Source: github.com/binance/binance-public-data, README and issues, read 2026-11.
* /data/futures/um/daily/klines/BTCUSDT/1m/BTCUSDT-1m-2024-05-01.zip and .../monthly/.../BTCUSDT-1m-2024-05.zip, each
  with a `.CHECKSUM` beside it; one CSV inside, of the same stem; daily files have the intervals up to 1d.
* newer futures files have a header, older ones (until about 2022-08) and those of the spot market have none.
* spot files lie under /data/spot; their times are microseconds from 2025-01-01 on, else milliseconds as everywhere.
* COIN-M files lie under /data/futures/cm; their volume counts contracts, and the header calls the base volume
  quote_volume (issue 267).
* files have holes that the API does not have (issues 304, 297, 290, 309), come late (336) and are replaced afterwards
  (405); 2025-01-29 of BTCUSDT has volumes of zero (395).  An absent file is a 404.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from laklak.archives.base import ArchiveFile, FileKind, day_of, month_of
from laklak.model.series import DAY_MS, Series, TimeRange

_LANDMARK_MS: Final = 1_704_067_200_000  # 2024-01
_HOUR_MS: Final = 3_600_000
DAY_EXPECTED_AFTER_MS: Final = 9 * _HOUR_MS
"""A daily file exists from 09:00 UTC of the next day; seen to come at 08:32 to 08:40 (issue 440)."""
MONTH_EXPECTED_AFTER_MS: Final = 3 * DAY_MS
"""A monthly file exists three days after the month: the maintainers say "1 to 3 days" (issues 38, 151, 328).

The README says the first Monday of the month.  Expecting it too early costs a 404, too late some thirty daily files.
"""


class BinanceArchive:
    name = "binance"
    default_url = "https://data.binance.vision"
    intervals: tuple[str, ...] = ("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d")
    # 2019-12-31: only the API knows what traded before.
    first_ms = 1_577_750_400_000
    # 541 symbols x 90 days x 1m are 70.1 million candles and 2.9 GB.
    bytes_per_candle = 41
    columns: Sequence[str] = (
        "open_time",
        "open",
        "high",
        "low",
        "close",
        "volume",
        "close_time",
        "quote_volume",
        "count",
        "taker_buy_volume",
        "taker_buy_quote_volume",
        "ignore",
    )
    cells: Sequence[int] = (0, 1, 2, 3, 4, 5)
    times: Sequence[int] = (0, 6)
    integers: Sequence[int] = (0, 6, 8)
    _root = "/data/futures/um"
    _oldest = "BTCUSDT"

    def day_file(self, series: Series, time_ms: int) -> ArchiveFile:
        return self._file(series, "day", day_of(time_ms), f"{_moment(time_ms):%Y-%m-%d}")

    def month_file(self, series: Series, time_ms: int) -> ArchiveFile:
        return self._file(series, "month", month_of(time_ms), f"{_moment(time_ms):%Y-%m}")

    def landmark(self, series: Series) -> ArchiveFile:
        return self.month_file(replace(series, symbol=self._oldest), _LANDMARK_MS)

    def expected_ms(self, file: ArchiveFile) -> int:
        return file.span.end_ms + (DAY_EXPECTED_AFTER_MS if file.kind == "day" else MONTH_EXPECTED_AFTER_MS)

    def _file(self, series: Series, kind: FileKind, span: TimeRange, date: str) -> ArchiveFile:
        symbol, interval = series.symbol, series.interval.name
        stem = f"{symbol}-{interval}-{date}"
        folder = "daily" if kind == "day" else "monthly"
        path = f"{self._root}/{folder}/klines/{quote(symbol, safe='')}/{interval}/{quote(stem, safe='')}.zip"
        return ArchiveFile(series, kind, span, path, f"{path}.CHECKSUM", f"{stem}.zip", f"{stem}.csv")


class BinanceSpotArchive(BinanceArchive):
    name = "binance_spot"
    # 2017-07-01, before the venue opened: BTCUSDT begins at 2017-08-17; it is unverified whether others began earlier.
    first_ms = 1_498_867_200_000
    _root = "/data/spot"


class BinanceCoinMArchive(BinanceArchive):
    name = "binance_coinm"
    cells: Sequence[int] = (0, 1, 2, 3, 4, 7)
    _root = "/data/futures/cm"
    _oldest = "BTCUSD_PERP"


def _moment(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms // 1000, UTC)
