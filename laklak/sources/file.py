"""Files of candles that a user has, as a source: what an export has written, and Binance's own zips and CSVs.

A file is looked through once for its times, which have to be those of one series: integers or moments, rising, on the
grid, none of them still open.  What breaks that makes all of it untrusted (UsageError).  Then it is read again, some
ten thousand rows at a time, each held to the rules of laklak.plan.rows, as the answer of a venue is.

All of it blocks, and is for a thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal

from laklak.archives import ARCHIVES, Archive, ArchiveFile, BadFile
from laklak.archives.csv import read_csv
from laklak.archives.sigint import uninterrupted
from laklak.archives.unpack import unpack
from laklak.errors import UsageError
from laklak.model.candles import Page
from laklak.model.series import Interval, Series, TimeRange, check_symbol, iso, ms_of
from laklak.model.spans import merge, runs, union
from laklak.plan.rows import Checked, check_page
from laklak.sources.feather import read_metadata
from laklak.venues import VENUES

if TYPE_CHECKING:
    from polars import DataFrame, LazyFrame
    from polars import Series as Column

SERIES_KEY: Final = "laklak.series"
ORIGIN_KEY: Final = "laklak.origin"
DIGEST_KEY: Final = "laklak.digest"
MADE_KEY: Final = "laklak.made_of"
"""What the metadata of a Parquet or Feather file say."""
MADE: Final = "made_of"
"""What a column of CSV, or a field of line protocol, is called that says the same as MADE_KEY."""
COLUMNS: Final = ("open_time", "open", "high", "low", "close", "volume")
ROWS_AT_ONCE: Final = 50_000
_CSV_BYTES: Final = 1 << 22
_HEADER_BYTES: Final = 1 << 16
_BINANCE: Final = re.compile(r"(?P<symbol>.+)-(?P<interval>[0-9]+[mhd])-(?P<date>\d{4}-\d\d(?:-\d\d)?)\.(?:zip|csv)")

_MADE_STEM: Final = ".made"

Form = Literal["csv", "parquet", "feather", "binance"]


@dataclass(frozen=True, slots=True)
class CandleFile:
    """A file of one series: `spans` are the open_times that it has rows of. `origin`: what it says of its candles.

    `published` describes it where it is one of a venue's archive. `names`: where the columns have other names,
    ours -> theirs; then a time may also be in another unit, or text.
    """

    path: Path
    series: Series
    form: Form
    spans: tuple[TimeRange, ...] = ()
    origin: str | None = None
    published: ArchiveFile | None = None
    names: Mapping[str, str] = field(default_factory=dict)

    def name_of(self, column: str) -> str:
        """What a column of ours is called there."""
        return self.names.get(column, column)

    @property
    def hull(self) -> TimeRange:
        """From its first candle to the end of its last; empty where it has none."""
        return TimeRange(self.spans[0].start_ms, self.spans[-1].end_ms) if self.spans else TimeRange(0, 0)


def file_stem(series: Series, *, made: bool = False) -> str:
    """The name of the file of a series, without its ending: a venue has no dash, and an interval none.

    `made`: its candles were made of shorter ones.
    """
    return f"{series.venue}-{series.symbol}-{series.interval}{_MADE_STEM if made else ''}"


def look_through(
    path: Path, series: Series | None, venue: str, now_ms: int, names: Mapping[str, str] | None = None
) -> CandleFile:
    """Say what a file has; UsageError names what is wrong with it.

    `series` None: as the file or its name says. `venue`: whose file it is where one of Binance's does not say. `names`:
    see CandleFile.
    """
    names = names or {}
    try:
        published = None if series is not None or names else _published(path, venue)
        if published is not None:
            return _with_spans(published, _published_spans(published), now_ms)
        form = _form_of(path)
        told = _metadata(path, form)
        named = series or _series_of(path, told.get(SERIES_KEY))
        file = CandleFile(path, named, form, origin=told.get(ORIGIN_KEY), names=names)
        return _with_spans(file, _spans(file), now_ms)
    except OSError as exc:
        raise UsageError(f"{path} cannot be read: {exc.strerror or exc}", hint="name a file of candles") from exc


def pages_of(file: CandleFile) -> Iterator[Checked]:
    """What it gives, oldest first: candles and refused rows. UsageError where it is not as it was any more."""
    if file.published is not None:
        yield _published_page(file)
        return
    done = 0
    for table in _tables(file, COLUMNS):
        times = _times(table[COLUMNS[0]], file, done)
        columns: tuple[Sequence[Any], ...] = (times, *(_numbers(table[name]) for name in COLUMNS[1:]))
        done += len(table)
        yield check_page(Page(columns, list(zip(*columns, strict=True))), file.series, file.hull)


# Which file it is


def _form_of(path: Path) -> Form:
    with path.open("rb") as file:
        start = file.read(8)
    if start.startswith(b"PAR1"):
        return "parquet"
    if start.startswith(b"ARROW1"):
        return "feather"
    if start.startswith(b"PK"):
        raise UsageError(
            f"{path} is a zip, and its name is none that Binance gives",
            hint="it should be called as it was when it was published: BTCUSDT-1m-2024-05.zip",
        )
    return "csv"


def _series_of(path: Path, told: str | None) -> Series:
    """The series that a file's metadata, or its name, say that it is of."""
    venue, _, rest = path.stem.removesuffix(_MADE_STEM).partition("-")
    symbol, _, interval = rest.rpartition("-")
    try:
        if told is not None:
            return Series.parse(told)
        if venue in VENUES:
            return Series(venue, check_symbol(symbol), Interval.parse(interval))
    except ValueError:
        pass
    raise UsageError(
        f"{path} does not say which series it is of",
        hint="--series binance:BTCUSDT:1m says it; else its name does: binance-BTCUSDT-1m.csv",
    )


def _with_spans(file: CandleFile, spans: Sequence[TimeRange], now_ms: int) -> CandleFile:
    if spans and spans[-1].end_ms > now_ms:
        raise UsageError(
            f"{file.path} has candles that have not closed yet: until {iso(spans[-1].end_ms)}",
            hint="leave these out, or look at the clock of this machine",
        )
    return replace(file, spans=tuple(spans))


# Tables


def _spans(file: CandleFile) -> list[TimeRange]:
    """The open_times of its rows; UsageError where they are not those of one series in order."""
    found: list[TimeRange] = []
    done, last_ms, interval = 0, -1, file.series.interval
    for table in _tables(file, COLUMNS[:1]):
        times = _times(table[COLUMNS[0]], file, done)
        for row, time_ms in enumerate(times, done + 1):
            if time_ms <= last_ms or time_ms % interval.ms:
                what = "is not on the grid" if time_ms % interval.ms else "is not later than the one before it"
                raise _bad(file, row, f"its open_time {iso(time_ms)} {what}", f"these are to be candles of {interval}")
            last_ms = time_ms
        found = merge([*found, *runs(times, interval)])
        done += len(times)
    return found


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
        return polars.read_parquet_metadata(path) if form == "parquet" else {}
    except (ValueError, polars.exceptions.PolarsError) as exc:
        what = str(exc).partition("\n")[0]
        raise UsageError(f"{path} cannot be read as {form}: {what}", hint="make it anew, or take a copy of it") from exc


# What a venue has published


def _published(path: Path, venue: str) -> CandleFile | None:
    """One of Binance's files, known by its name and, of a CSV, by its first line."""
    match = _BINANCE.fullmatch(path.name)
    if match is None:
        return None
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
    try:
        if len(body) > most:
            raise BadFile("csv", f"{file.path.name}: it is larger than its candles can be")
        return read_csv(body if file.path.suffix == ".csv" else unpack(body, described), described, archive)
    except BadFile as exc:
        raise UsageError(f"{file.path}: {exc}", hint="take it from data.binance.vision again") from exc
