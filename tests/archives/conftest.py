"""Real candles as files: days and a month cut from the recorded ones, and zips made on the spot."""

from __future__ import annotations

import gzip
import hashlib
import io
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from laklak.archives import ARCHIVES, Archive, ArchiveFile
from laklak.model.series import Series, TimeRange

RECORDED = Path(__file__).parent.parent / "recorded" / "binance"
HEADER = ",".join(ARCHIVES["binance"].columns).encode() + b"\n"


@pytest.fixture(scope="session")
def archive() -> Archive:
    return ARCHIVES["binance"]


@pytest.fixture(scope="session")
def header() -> bytes:
    """The first line of a newer file."""
    return HEADER


@pytest.fixture(scope="session")
def recorded_rows() -> Callable[[str, TimeRange], list[bytes]]:
    """Give the recorded lines of a symbol in a range, without a header."""

    def rows(symbol: str, span: TimeRange) -> list[bytes]:
        [path] = RECORDED.glob(f"{symbol}-1m-*.csv.gz")
        lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)[1:]
        return [line for line in lines if span.start_ms <= int(line.split(b",")[0]) < span.end_ms]

    return rows


@pytest.fixture(scope="session")
def day(archive: Archive) -> ArchiveFile:
    """The file of LINKUSDT on 2026-02-26."""
    return archive.day_file(Series.parse("binance:LINKUSDT:1m"), 1_772_064_000_000)


@pytest.fixture(scope="session")
def day_csv(day: ArchiveFile, recorded_rows: Callable[[str, TimeRange], list[bytes]]) -> bytes:
    """What is in that file."""
    return HEADER + b"".join(recorded_rows("LINKUSDT", day.span))


@pytest.fixture(scope="session")
def zipped() -> Callable[..., bytes]:
    """Make a zip of (name, content) pairs, deflated or stored."""

    def make(members: Sequence[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as archive:
            for name, content in members:
                archive.writestr(zipfile.ZipInfo(name, (2026, 2, 27, 8, 35, 0)), content, method)
        return buffer.getvalue()

    return make


@pytest.fixture(scope="session")
def checksum() -> Callable[[bytes], str]:
    return lambda body: hashlib.sha256(body).hexdigest()
