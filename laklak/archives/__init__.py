"""The registry of archives: one line for each venue that also publishes its candles as files."""

from __future__ import annotations

from typing import Final

from laklak.archives.base import Archive, ArchiveFile, BadFile
from laklak.archives.binance import BinanceArchive, BinanceCoinMArchive, BinanceSpotArchive

ARCHIVES: Final[dict[str, Archive]] = {
    archive.name: archive for archive in (BinanceArchive(), BinanceSpotArchive(), BinanceCoinMArchive())
}

__all__ = ["ARCHIVES", "Archive", "ArchiveFile", "BadFile"]
