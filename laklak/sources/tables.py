"""Rows of CSV, Parquet and Feather as a user has them, some ten thousand at a time.  All of it blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from operator import ge
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from laklak.archives.sigint import uninterrupted
from laklak.errors import UsageError
from laklak.model.series import iso, ms_of
from laklak.sources.candle_file import COLUMNS, MADE, MADE_KEY, CandleFile, Form
from laklak.sources.feather import read_metadata

if TYPE_CHECKING:
    from polars import DataFrame, LazyFrame
    from polars import Series as Column

ROWS_AT_ONCE: Final = 50_000
_CSV_BYTES: Final = 1 << 22
_HEADER_BYTES: Final = 1 << 16
_SHOWN_CHARS: Final = 200
_OTHER_TIMES: Final = "--columns open_time=open_time reads other units, and text, too"


class OutOfOrder(Exception):
    """The rows of a file do not rise."""


def rising_times(file: CandleFile) -> Iterator[Sequence[int]]:
    """Its open_times as they stand; OutOfOrder where these fall, UsageError where one is not on the grid."""
    done, last_ms = 0, -1
    for table in _tables(file, COLUMNS[:1]):
        times = _times_on_grid(table, file, done)
        if times and (times[0] <= last_ms or any(map(ge, times, times[1:]))):
            raise OutOfOrder
        yield times
        done += len(times)
        last_ms = times[-1] if times else last_ms


def columns_as_they_stand(file: CandleFile) -> Iterator[tuple[Sequence[Any], ...]]:
    """Its rows as columns: open_times and five numbers, None where one is none."""
    done = 0
    for table in _tables(file, COLUMNS):
        times = _times_on_grid(table, file, done)
        done += len(table)
        yield (times, *(_numbers(table[name]) for name in COLUMNS[1:]))


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
    except (polars.exceptions.PolarsError, polars.exceptions.PanicException) as exc:
        raise _unreadable(file.path, file.form, exc) from exc


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
    """UsageError for a line of more cells than the header: its columns are then unknown."""
    for line in lines.split(b"\n"):
        if line.count(b",") >= cells and b'"' not in line:
            raise UsageError(
                f"{file.path} has a line of more cells than its header: {line[:100].decode('utf-8', 'replace')!r}",
                hint="a file of candles is a table",
            )


@uninterrupted
def _csv_table(lines: bytes, names: Sequence[str], columns: Sequence[str]) -> DataFrame:
    """The cells of some columns, as text; null if a row lacks the cell."""
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
            raise bad_row(file, row, what, f"these are to be candles of {interval}, times in ms: {_OTHER_TIMES}")
    return times


def _times(column: Column, file: CandleFile, before: int) -> list[int]:
    """The moments in ms; UsageError for one that is none. `before`: the rows before these."""
    import polars

    if isinstance(column.dtype, polars.Datetime):
        a_ms = {"ms": 1, "us": 1_000, "ns": 1_000_000}[column.dtype.time_unit]
        units = column.to_physical()
        times = polars.Series([None]) if (units % a_ms != 0).any() else units // a_ms
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
        raise bad_row(file, before + row + 1, "its open_time is no moment in milliseconds", _OTHER_TIMES)
    found: list[int] = times.to_list()
    # Later moments have no spelling; they are in another unit.
    if found and (min(found) < 0 or max(found) > _LATEST_MS):
        raise bad_row(file, before + 1, "its open_time is not in milliseconds", _OTHER_TIMES)
    return found


def _in_ms(times: Column) -> Column:
    """Integers in a unit known by their size; null for one with a part of a millisecond."""
    import polars

    largest = times.max()
    size = largest if isinstance(largest, int) else 0
    if size < _SECONDS_BELOW:
        return times * 1000
    a_ms = 1 if size < _SECONDS_BELOW * 1000 else 1000 if size < _SECONDS_BELOW * 1_000_000 else 1_000_000
    return polars.select(polars.when(times % a_ms == 0).then(times // a_ms)).to_series()


_SECONDS_BELOW: Final = 100_000_000_000
"""As seconds the year 5138, as milliseconds 1973."""


def _moment_ms(text: str | None) -> int | None:
    """The moment of an ISO text, in UTC if it names no zone; None for another text."""
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


_LATEST_MS: Final = ms_of("9999-01-01T00:00Z")


def _numbers(column: Column) -> list[float | None]:
    """The numbers of a column, float(text) of each text; None for what is no number."""
    import polars

    found: list[float | None] = column.cast(polars.Float64, strict=False).to_list()
    return found


def bad_row(file: CandleFile, row: int, what: str, hint: str) -> UsageError:
    return UsageError(f"{file.path}: row {row:,}: {what}", hint=hint)


@uninterrupted
def metadata_of(path: Path, form: Form) -> dict[str, str]:
    import polars

    try:
        if form == "feather":
            return read_metadata(path)
        if form == "csv":
            with path.open("rb") as file:
                return {MADE_KEY: ""} if MADE in _header(file) else {}
        return polars.read_parquet_metadata(path)
    except (ValueError, polars.exceptions.PolarsError, polars.exceptions.PanicException) as exc:
        raise _unreadable(path, form, exc) from exc


def _unreadable(path: Path, form: Form, error: BaseException) -> UsageError:
    what = str(error).partition("\n")[0][:_SHOWN_CHARS]
    return UsageError(f"{path} cannot be read as {form}: {what}", hint="make it anew, or take a copy of it")
