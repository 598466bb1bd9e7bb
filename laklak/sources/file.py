"""Files of candles that a user has, as a source: what an export has written, line protocol, and Binance's own files.

A file is looked through once for its times, which have to be those of series: integers or moments, on the grid, none
twice, none of them still open.  What breaks that, or is not what its checksum or digest say, makes all of it untrusted
(UsageError).  Then it is read again, some ten thousand rows at a time, each held to the rules of laklak.plan.rows, as
the answer of a venue is.  Rows that do not rise, and line protocol, are put in order on the disk before.

All of it blocks, and is for a thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import repeat
from math import gcd
from operator import ge, sub
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal

from laklak.archives import ARCHIVES, Archive, ArchiveFile, BadFile
from laklak.archives.checksum import CHECKSUM_BYTES_MAX, parse_checksum, verify
from laklak.archives.csv import read_csv
from laklak.archives.sigint import uninterrupted
from laklak.archives.unpack import unpack
from laklak.errors import UsageError
from laklak.model.candles import Page
from laklak.model.digest import FORMAT, RunningDigest
from laklak.model.series import Interval, Series, TimeRange, check_symbol, iso, ms_of
from laklak.model.spans import merge, runs, union
from laklak.plan.rows import Checked, check_page
from laklak.sources.feather import read_metadata
from laklak.sources.points import is_point, read_points
from laklak.sources.sorted_rows import Doubled, SortedRows
from laklak.venues import VENUES

if TYPE_CHECKING:
    from polars import DataFrame, LazyFrame
    from polars import Series as Column

SERIES_KEY: Final = "laklak.series"
ORIGIN_KEY: Final = "laklak.origin"
DIGEST_KEY: Final = "laklak.digest"
MADE_KEY: Final = "laklak.made_of"
TIME_KEY: Final = "laklak.time"
"""What the metadata of a Parquet or Feather file say."""
MADE: Final = "made_of"
"""What a column of CSV, or a field of line protocol, is called that says the same as MADE_KEY."""
COLUMNS: Final = ("open_time", "open", "high", "low", "close", "volume")
ROWS_AT_ONCE: Final = 50_000
_CSV_BYTES: Final = 1 << 22
_HEADER_BYTES: Final = 1 << 16
_TOLD_CHARS: Final = 100
_ENOUGH_APART: Final = 10
_BINANCE: Final = re.compile(r"(?P<symbol>.+)-(?P<interval>[0-9]+[mhd])-(?P<date>\d{4}-\d\d(?:-\d\d)?)\.(?:zip|csv)")

_MADE_STEM: Final = ".made"

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
        """What a column of ours is called there."""
        return self.names.get(column, column)

    @property
    def hull(self) -> TimeRange:
        """From its first candle to the end of its last; empty where it has none."""
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
    """The name of the file of a series, without its ending: a venue has no dash, and an interval none.

    `made`: its candles were made of shorter ones.
    """
    return f"{series.venue}-{series.symbol}-{series.interval}{_MADE_STEM if made else ''}"


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
        published = None if names else _published(path, venue, series)
        if published is not None:
            return [_closed(replace(published, spans=tuple(_published_spans(published))), now_ms)]
        form = _form_of(path)
        if form == "lp":
            told: Mapping[str, str] = {}
            found = _of_points(path, series, names, precision)
        else:
            told = _metadata(path, form)
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
    """What it gives, oldest first: candles and refused rows. UsageError where it is not as it was any more."""
    if file.published is not None:
        yield _published_page(file)
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
    """The series that a file's metadata, or its name, say that it is of."""
    venue, _, rest = path.stem.removesuffix(_MADE_STEM).partition("-")
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


class _OutOfOrder(Exception):
    """The rows of a file do not rise."""


def _in_order(file: CandleFile) -> CandleFile:
    """The file with its spans, and with its rows in order where they are not."""
    try:
        return replace(file, spans=_spans(_rising_times(file), file.series.interval))
    except _OutOfOrder:
        rows = _put_in_order(file)
        return replace(file, rows=rows, spans=_spans(rows.times(0, ROWS_AT_ONCE), file.series.interval))


def _spans(parts: Iterable[Sequence[int]], interval: Interval) -> tuple[TimeRange, ...]:
    found: list[TimeRange] = []
    for times in parts:
        found = merge([*found, *runs(times, interval)])
    return tuple(found)


def _rising_times(file: CandleFile) -> Iterator[Sequence[int]]:
    """Its open_times as they stand; UsageError where one is not on the grid."""
    done, last_ms = 0, -1
    for table in _tables(file, COLUMNS[:1]):
        times = _times_on_grid(table, file, done)
        if times and (times[0] <= last_ms or any(map(ge, times, times[1:]))):
            raise _OutOfOrder
        yield times
        done += len(times)
        last_ms = times[-1] if times else last_ms


def _put_in_order(file: CandleFile) -> SortedRows:
    """Its rows, sorted; UsageError where two are of one moment."""
    rows, done = SortedRows(file.path, merged=False), 0
    try:
        for columns in _as_they_stand(file):
            places = range(done + 1, done + len(columns[0]) + 1)
            rows.add(list(zip(repeat(0, len(places)), columns[0], places, *columns[1:], strict=True)))
            done += len(places)
    except Doubled as exc:
        what = f"its open_time {iso(exc.time_ms)} is that of row {exc.before:,}, too"
        raise _bad(file, exc.row, what, "a candle stands once: leave one of them out") from None
    return rows


def _columns_of(file: CandleFile) -> Iterator[tuple[Sequence[Any], ...]]:
    """Its rows, oldest first, as columns: open_times and five numbers, None where one is none."""
    if file.rows is None:
        yield from _as_they_stand(file)
        return
    for rows in file.rows.rows(file.number, ROWS_AT_ONCE):
        yield tuple(zip(*rows, strict=True))


def _as_they_stand(file: CandleFile) -> Iterator[tuple[Sequence[Any], ...]]:
    done = 0
    for table in _tables(file, COLUMNS):
        times = _times_on_grid(table, file, done)
        done += len(table)
        yield (times, *(_numbers(table[name]) for name in COLUMNS[1:]))


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
            _spans(found.rows.times(number, ROWS_AT_ONCE), one.interval),
            made=found.made,
            rows=found.rows,
            number=number,
            names=names,
        )
        for number, one in enumerate(found.series)
    ]


def _check_digest(file: CandleFile, told: Mapping[str, str]) -> None:
    """UsageError where a file tells the digest of its candles and these have another one."""
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


# Tables


def _tables(file: CandleFile, columns: Sequence[str]) -> Iterator[DataFrame]:
    """Some columns, a part of the rows at a time."""
    import polars

    try:
        if file.form == "csv":
            yield from _csv_tables(file, columns)
            return
        scan = polars.scan_parquet(file.path) if file.form == "parquet" else polars.scan_ipc(file.path)
        names = scan.collect_schema().names()
        _check_columns(file, names)
        start = 0
        while len(table := _part(scan, [file.name_of(column) for column in columns], start)):
            yield table.rename({file.name_of(column): column for column in columns})
            start += len(table)
    except polars.exceptions.PolarsError as exc:
        what = str(exc).partition("\n")[0]
        raise UsageError(
            f"{file.path} cannot be read as {file.form}: {what}", hint="make it anew, or take a copy of it"
        ) from exc


@uninterrupted
def _part(scan: LazyFrame, columns: Sequence[str], start: int) -> DataFrame:
    return scan.select(columns).slice(start, ROWS_AT_ONCE).collect()


def _csv_tables(file: CandleFile, columns: Sequence[str]) -> Iterator[DataFrame]:
    """A few megabytes of whole lines at a time."""
    with file.path.open("rb") as stream:
        names = _header(stream)
        _check_columns(file, names)
        ours = {file.name_of(column): column for column in COLUMNS}
        names = [ours.get(name, "") for name in names]
        rest = b""
        while block := stream.read(_CSV_BYTES):
            lines, end, rest = (rest + block).rpartition(b"\n")
            if end:
                _check_cells(file, lines, len(names))
                yield from _csv_table(lines, names, columns).iter_slices(ROWS_AT_ONCE)
            if len(rest) > _CSV_BYTES:
                raise UsageError(f"{file.path} has a line of more than 4 MiB", hint="name a file of candles")
        if rest.strip():
            _check_cells(file, rest, len(names))
            yield _csv_table(rest, names, columns)


def _check_cells(file: CandleFile, lines: bytes, cells: int) -> None:
    """UsageError for a line of more cells than the header: which of them is which is not known then."""
    for line in lines.split(b"\n"):
        if line.count(b",") >= cells and b'"' not in line:
            raise UsageError(
                f"{file.path} has a line of more cells than its header: {line[:100].decode('utf-8', 'replace')!r}",
                hint="a file of candles is a table",
            )


@uninterrupted
def _csv_table(lines: bytes, names: Sequence[str], columns: Sequence[str]) -> DataFrame:
    """The cells of some columns, as text; of a row that has no such cell it is null."""
    import polars

    schema = {f"{place}": polars.String for place in range(len(names))}
    wanted = [names.index(name) for name in columns]
    body = lines.replace(b"\r", b"").strip(b"\n")
    if not body:
        return polars.DataFrame({name: [] for name in columns}, schema=dict.fromkeys(columns, polars.String))
    table = polars.read_csv(body, has_header=False, schema=schema, columns=wanted)
    return table.select(polars.col(f"{place}").alias(name) for place, name in zip(wanted, columns, strict=True))


def _header(stream: BinaryIO) -> list[str]:
    line = stream.readline(_HEADER_BYTES).removeprefix(b"\xef\xbb\xbf")
    return [name.strip(' "') for name in line.decode("utf-8", "replace").strip().split(",")]


def _check_columns(file: CandleFile, names: Sequence[str]) -> None:
    lacking = [file.name_of(name) for name in COLUMNS if file.name_of(name) not in names]
    if lacking:
        shown = ", ".join(names)[:100]
        raise UsageError(
            f"{file.path} has no column {' or '.join(lacking)}; its columns are {shown!r}",
            hint=f"a file of candles has {','.join(COLUMNS)}; further columns do no harm; --columns says other names",
        )


def _times_on_grid(table: DataFrame, file: CandleFile, before: int) -> list[int]:
    times, interval = _times(table[COLUMNS[0]], file, before), file.series.interval
    for row, time_ms in enumerate(times, before + 1):
        if time_ms % interval.ms:
            what = f"its open_time {iso(time_ms)} is not on the grid"
            raise _bad(file, row, what, f"these are to be candles of {interval}")
    return times


def _times(column: Column, file: CandleFile, before: int) -> list[int]:
    """The moments in ms; UsageError where one is none. `before` so many rows stand in the file."""
    import polars

    if column.dtype == polars.Datetime:
        times = column.dt.epoch("ms")
        if (column.dt.cast_time_unit("ns").dt.epoch("ns") % 1_000_000 != 0).any():
            times = polars.Series([None])
    elif column.dtype == polars.String or column.dtype.is_integer():
        times = column.cast(polars.Int64, strict=False)
        if file.names:
            times = (
                _in_ms(times) if not times.null_count() else polars.Series(map(_moment_ms, column), dtype=polars.Int64)
            )
    else:
        times = polars.Series([None])
    if times.null_count():
        row = times.is_null().arg_max() or 0
        raise _bad(file, before + row + 1, "its open_time is no moment in milliseconds", "these are to be candles")
    found: list[int] = times.to_list()
    # Beyond these years a moment has no spelling, and is one in another unit.
    if found and (min(found) < 0 or max(found) > _LATEST_MS):
        raise _bad(file, before + 1, "its open_time is not in milliseconds", "seconds and microseconds are not taken")
    return found


def _in_ms(times: Column) -> Column:
    """Integers in a unit that is known by their size; what has a part of a millisecond becomes null."""
    import polars

    largest = times.max()
    size = largest if isinstance(largest, int) else 0
    if size < _SECONDS_BELOW:
        return times * 1000
    a_ms = 1 if size < _SECONDS_BELOW * 1000 else 1000 if size < _SECONDS_BELOW * 1_000_000 else 1_000_000
    return polars.select(polars.when(times % a_ms == 0).then(times // a_ms)).to_series()


_SECONDS_BELOW: Final = 100_000_000_000
"""As seconds the year 5138, as milliseconds that of 1973."""


def _moment_ms(text: str | None) -> int | None:
    """The moment that ISO text means, in UTC where it does not say; None where it means none."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


_LATEST_MS: Final = ms_of("9999-01-01T00:00Z")


def _numbers(column: Column) -> list[float | None]:
    """The numbers of a column, float(text) of each text; None for what is none."""
    import polars

    found: list[float | None] = column.cast(polars.Float64, strict=False).to_list()
    return found


def _bad(file: CandleFile, row: int, what: str, hint: str) -> UsageError:
    return UsageError(f"{file.path}: row {row:,}: {what}", hint=hint)


@uninterrupted
def _metadata(path: Path, form: Form) -> dict[str, str]:
    import polars

    try:
        if form == "feather":
            return read_metadata(path)
        if form == "csv":
            with path.open("rb") as file:
                return {MADE_KEY: ""} if MADE in _header(file) else {}
        return polars.read_parquet_metadata(path)
    except (ValueError, polars.exceptions.PolarsError) as exc:
        what = str(exc).partition("\n")[0]
        raise UsageError(f"{path} cannot be read as {form}: {what}", hint="make it anew, or take a copy of it") from exc


# What a venue has published


def _published(path: Path, venue: str, named: Series | None) -> CandleFile | None:
    """One of Binance's files, known by its name and, of a CSV, by its first line. `named`: what it is said to be of."""
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


def _published_spans(file: CandleFile) -> list[TimeRange]:
    checked = _published_page(file)
    interval = file.series.interval
    refused = [one.open_time_ms for one in checked.refusals if one.open_time_ms is not None]
    return union([*runs(checked.candles.open_times, interval), *runs(sorted(refused), interval)])


def _published_page(file: CandleFile) -> Checked:
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
