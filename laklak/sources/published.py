"""A venue's own bulk files that a user has: known by their names, held to their checksums.  All of it blocks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from laklak.archives import ARCHIVES, Archive, BadFile
from laklak.archives.checksum import CHECKSUM_BYTES_MAX, parse_checksum, verify
from laklak.archives.csv import read_csv
from laklak.archives.unpack import unpack
from laklak.errors import UsageError
from laklak.model.series import Interval, Series, TimeRange, check_symbol, ms_of
from laklak.model.spans import runs, union
from laklak.plan.rows import Checked
from laklak.sources.candle_file import CandleFile

_HEADER_BYTES: Final = 1 << 16
_BINANCE: Final = re.compile(r"(?P<symbol>.+)-(?P<interval>[0-9]+[mhd])-(?P<date>\d{4}-\d\d(?:-\d\d)?)\.(?:zip|csv)")


def published_file(path: Path, venue: str, named: Series | None) -> CandleFile | None:
    """One of Binance's files, known by its name and, for a CSV, its first line. `named`: its series, if told."""
    match = _BINANCE.fullmatch(path.name)
    if match is None or (named is not None and path.suffix == ".csv"):
        return None
    venue = venue if named is None else named.venue
    with path.open("rb") as file:
        start = file.read(_HEADER_BYTES)
    archive = _archive(venue)
    # An export of ours would have a column between these two.
    if path.suffix == ".csv" and not (start[:1].isdigit() or start.startswith(b"open_time,open,")):
        return None
    try:
        series = Series(archive.name, check_symbol(match["symbol"]), Interval.parse(match["interval"]))
        date = match["date"]
        month = len(date) == len("2024-05")
        start_ms = ms_of(f"{date}-01T00:00Z" if month else f"{date}T00:00Z")
    except ValueError as exc:
        raise UsageError(f"{path}: {exc}", hint="its name is not one that Binance gives") from exc
    if named not in (None, series):
        raise UsageError(f"{path} is of {series} by its name, not of {named}", hint="leave --series out")
    described = archive.month_file(series, start_ms) if month else archive.day_file(series, start_ms)
    return CandleFile(path, series, "binance", published=described)


def _archive(venue: str) -> Archive:
    if venue not in ARCHIVES:
        raise UsageError(f"{venue} publishes no files", hint=f"say whose file it is: --venue {' or '.join(ARCHIVES)}")
    return ARCHIVES[venue]


def published_spans(file: CandleFile) -> list[TimeRange]:
    checked = published_page(file)
    interval = file.series.interval
    refused = [one.open_time_ms for one in checked.refusals if one.open_time_ms is not None]
    return union([*runs(checked.candles.open_times, interval), *runs(sorted(refused), interval)])


def published_page(file: CandleFile) -> Checked:
    described = file.published
    if described is None:
        raise AssertionError("no published file")
    most = described.csv_bytes_max if file.path.suffix == ".csv" else described.zip_bytes_max
    with file.path.open("rb") as stream:
        body = stream.read(most + 1)
    archive = ARCHIVES[file.series.venue]
    beside = file.path.with_name(f"{file.path.name}.CHECKSUM")
    try:
        if file.path.suffix == ".zip" and beside.exists():
            with beside.open("rb") as stream:
                verify(body, described, parse_checksum(stream.read(CHECKSUM_BYTES_MAX + 1), described))
        if len(body) > most:
            raise BadFile("csv", f"{file.path.name}: it is larger than its candles can be")
        return read_csv(body if file.path.suffix == ".csv" else unpack(body, described), described, archive)
    except BadFile as exc:
        raise UsageError(f"{file.path}: {exc}", hint="take it from data.binance.vision again") from exc
