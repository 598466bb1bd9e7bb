"""A user's files of candles as a source: exports, line protocol, and Binance's own files.

A file is first looked through for its times, which must be those of series: integers or moments, on the grid, none
twice, none still open. A fault there, or another checksum or digest than the file's, makes all of it untrusted
(UsageError). Then it is read again, some ten thousand rows at a time, each checked by laklak.plan.rows like an answer
of a venue. Rows that do not rise, and line protocol, are put in order on the disk first.

All of it blocks: call it in a thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import Any, Final

from laklak.errors import UsageError
from laklak.model.candles import Page
from laklak.model.digest import FORMAT, RunningDigest
from laklak.model.series import Interval, Series, TimeRange, check_symbol, iso
from laklak.model.spans import merge, runs
from laklak.plan.rows import Checked, check_page
from laklak.sources import tables
from laklak.sources.candle_file import (
    COLUMNS,
    DIGEST_KEY,
    MADE,
    MADE_KEY,
    MADE_STEM,
    ORIGIN_KEY,
    SERIES_KEY,
    TIME_KEY,
    CandleFile,
    Form,
)
from laklak.sources.points import is_point, read_points
from laklak.sources.published import published_file, published_page, published_spans
from laklak.sources.sorted_rows import Doubled, SortedRows
from laklak.sources.tables import OutOfOrder, bad_row, columns_as_they_stand, metadata_of, rising_times
from laklak.venues import VENUES

_HEADER_BYTES: Final = 1 << 16
_TOLD_CHARS: Final = 100


def look_through(
    path: Path,
    series: Series | None,
    venue: str,
    now_ms: int,
    names: Mapping[str, str] | None = None,
    *,
    precision: str = "ns",
    force: bool = False,
) -> list[CandleFile]:
    """Say what a file has, by series; UsageError names what is wrong with it.

    `series` None: as the file or its name says. `venue`: whose file it is where one of Binance's does not say. `names`:
    see CandleFile. `precision`: what the times of line protocol are in. `force`: candles are taken also where the file
    says that they are of another series, or made of shorter ones, or has not the digest any more that it tells.
    """
    names = names or {}
    try:
        if path.exists() and not path.is_file():
            raise UsageError(f"{path} cannot be read: it is no file", hint="name a file, no folder and no pipe")
        published = None if names else published_file(path, venue, series)
        if published is not None:
            return [_closed(replace(published, spans=tuple(published_spans(published))), now_ms)]
        form = _form_of(path)
        if form == "lp":
            told: Mapping[str, str] = {}
            found = _of_points(path, series, names, precision)
        else:
            told = metadata_of(path, form)
            names = names or ({COLUMNS[0]: told[TIME_KEY]} if TIME_KEY in told else {})
            named = series or _series_of(path, told.get(SERIES_KEY))
            file = CandleFile(path, named, form, origin=told.get(ORIGIN_KEY), made=MADE_KEY in told, names=names)
            found = [_in_order(file)]
        if not force:
            _check_series(found[0], told)
            _check_made(found[0])
            _check_digest(found[0], told)
        return [_closed(file, now_ms) for file in found]
    except OSError as exc:
        raise UsageError(f"{path} cannot be read: {exc.strerror or exc}", hint="name a file of candles") from exc


def pages_of(file: CandleFile) -> Iterator[Checked]:
    """Yield its candles and refused rows, oldest first. UsageError if the file has changed."""
    if file.published is not None:
        yield published_page(file)
        return
    for columns in _columns_of(file):
        yield check_page(Page(columns, list(zip(*columns, strict=True))), file.series, file.hull)


# Which file it is


def _form_of(path: Path) -> Form:
    with path.open("rb") as file:
        start = file.read(_HEADER_BYTES)
    if start.startswith(b"PAR1"):
        return "parquet"
    if start.startswith(b"ARROW1"):
        return "feather"
    if start.startswith(b"SQLite format 3\0"):
        raise UsageError(f"{path} is a store", hint=f"laklak copy {path} STORE takes its candles along")
    if start.lstrip()[:1] in (b"[", b"{"):
        raise UsageError(f"{path} is JSON, which is not read", hint="CSV, Parquet, Feather and line protocol are")
    if start.startswith(b"\x1f\x8b"):
        raise UsageError(f"{path} is packed with gzip", hint=f"unpack it: gunzip -k {path}")
    if start.startswith(b"PK"):
        raise UsageError(
            f"{path} is a zip, and its name is none that Binance gives",
            hint="it should be called as it was when it was published: BTCUSDT-1m-2024-05.zip",
        )
    return "lp" if path.suffix == ".lp" or is_point(start) else "csv"


def _series_of(path: Path, told: str | None) -> Series:
    """The series that a file's metadata, or its name, say it has."""
    venue, _, rest = path.stem.removesuffix(MADE_STEM).partition("-")
    symbol, _, interval = rest.rpartition("-")
    try:
        found = Series(venue, check_symbol(symbol), Interval.parse(interval)) if told is None else Series.parse(told)
        if found.venue in VENUES:
            return found
    except ValueError:
        pass
    what, hint = "does not say which series it is of", "says it; else its name does: binance-BTCUSDT-1m.csv"
    if told is not None:
        what = f"says that it is of {told[:_TOLD_CHARS]!r}, which is no series of a venue that is known"
        hint = "--force says what it is of"
    raise UsageError(f"{path} {what}", hint=f"--series binance:BTCUSDT:1m {hint}")


def _closed(file: CandleFile, now_ms: int) -> CandleFile:
    if file.spans and file.spans[-1].end_ms > now_ms:
        raise UsageError(
            f"{file.path} has candles that have not closed yet: until {iso(file.spans[-1].end_ms)}",
            hint="leave these out, or look at the clock of this machine",
        )
    return file


def _check_series(file: CandleFile, told: Mapping[str, str]) -> None:
    if told.get(SERIES_KEY, str(file.series)) != str(file.series):
        raise UsageError(
            f"{file.path} says that it is of {told[SERIES_KEY][:_TOLD_CHARS]!r}, not of {file.series}",
            hint="leave --series out; --force takes it as what --series says",
        )


def _check_made(file: CandleFile) -> None:
    if file.made:
        raise UsageError(
            f"{file.path} holds candles that were made of shorter ones, not the venue's own",
            hint="laklak resample keeps such ones in a store of their own; --force imports them all the same",
        )


# Rows


def _in_order(file: CandleFile) -> CandleFile:
    """The file with its spans, and with its rows put in order if they do not rise."""
    try:
        return replace(file, spans=_spans(rising_times(file), file.series.interval))
    except OutOfOrder:
        rows = _put_in_order(file)
        return replace(file, rows=rows, spans=_spans(rows.times(0, tables.ROWS_AT_ONCE), file.series.interval))


def _spans(parts: Iterable[Sequence[int]], interval: Interval) -> tuple[TimeRange, ...]:
    found: list[TimeRange] = []
    for times in parts:
        found = merge([*found, *runs(times, interval)])
    return tuple(found)


def _put_in_order(file: CandleFile) -> SortedRows:
    """Its rows, sorted; UsageError if two are of one moment."""
    rows, done = SortedRows(file.path, merged=False), 0
    try:
        for columns in columns_as_they_stand(file):
            places = range(done + 1, done + len(columns[0]) + 1)
            rows.add(list(zip(repeat(0, len(places)), columns[0], places, *columns[1:], strict=True)))
            done += len(places)
    except Doubled as exc:
        what = f"its open_time {iso(exc.time_ms)} is that of row {exc.before:,}, too"
        raise bad_row(file, exc.row, what, "a candle stands once: leave one of them out") from None
    return rows


def _columns_of(file: CandleFile) -> Iterator[tuple[Sequence[Any], ...]]:
    """Yield its rows, oldest first, as columns: open_times and five numbers; None for a cell that is no number."""
    if file.rows is None:
        yield from columns_as_they_stand(file)
        return
    for rows in file.rows.rows(file.number, tables.ROWS_AT_ONCE):
        yield tuple(zip(*rows, strict=True))


def _of_points(path: Path, series: Series | None, names: Mapping[str, str], precision: str) -> list[CandleFile]:
    found = read_points(path, series, names, MADE, precision)
    if not found.series:
        raise UsageError(
            f"{path} has no candles: no point of it has any of {', '.join(COLUMNS[1:])}",
            hint="--columns says what they are called there: --columns open=o,high=h,...",
        )
    return [
        CandleFile(
            path,
            one,
            "lp",
            _spans(found.rows.times(number, tables.ROWS_AT_ONCE), one.interval),
            made=found.made,
            rows=found.rows,
            number=number,
            names=names,
        )
        for number, one in enumerate(found.series)
    ]


def _check_digest(file: CandleFile, told: Mapping[str, str]) -> None:
    """UsageError if the file's digest is not that of its candles."""
    form, _, root = told.get(DIGEST_KEY, "").partition(" ")
    if form != FORMAT:
        return
    digest = RunningDigest(_series_of(file.path, told.get(SERIES_KEY)))
    try:
        for times, *values in _columns_of(file):
            digest.add(times, values)
        found = digest.root()
    except TypeError:
        # A number that is none.
        found = None
    if root != ("-" if found is None else found.hex()):
        raise UsageError(
            f"{file.path} has other candles than when it was written: its digest is another one",
            hint="take a copy of it, or export it anew; --force takes what it has now",
        )
