"""The CSV of a file -> candles, in columns.  Hostile until checked; never a wrong row.

A broken form makes the whole file untrusted (BadFile): fewer cells, or columns in another order; rows of different
lengths, or cut off; times that are no integers, off the grid, out of order, doubled or of another period; quotes,
control characters, anything but ASCII; no row in a known form.  Columns behind the known ones are ignored. A row that
breaks a rule of laklak.plan.rows refuses just its minute, with the row as the venue's API would have sent it, so that
the two sources can be compared.

Small files of a series are read together: a pass has its price, which a day of 1440 rows does not earn.  Each is
checked as if it were alone, and if anything is wrong with one of them, each is read alone.

Passes over whole columns in polars do the work, and let other threads run.  CPU seconds per million rows: form 0.06,
split 0.16, floats 0.06, decimals 0.05, the rest 0.03.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from laklak.archives.base import Archive, ArchiveFile, BadFile
from laklak.archives.checksum import verify
from laklak.archives.table import OPEN_TIME, TEXTS, VALUES, CandleTable
from laklak.archives.unpack import unpack
from laklak.model.candles import Page
from laklak.model.decimals import DECIMAL
from laklak.model.series import iso
from laklak.model.spans import merge
from laklak.plan.rows import Checked, Refusal, check_page

if TYPE_CHECKING:
    from polars import DataFrame, Expr
    from polars import Series as Column

log = logging.getLogger(__name__)

_NUMERALS: Final = b"0123456789."
_PRINTABLE: Final = bytes(range(32, 127)) + b"\n"
_DIGITS: Final = frozenset(b"0123456789")
_PLAIN: Final = f"^{DECIMAL}$"
_SHORT_CHARACTERS: Final = 18
"""With at most this many characters a number fits DECIMAL, and one below 1 does not round to 1."""
# A time of 1973 in microseconds, of the year 5138 in milliseconds.
_MICROSECONDS_ABOVE: Final = 100_000_000_000_000
_INTEGER_DIGITS_MAX: Final = 18
_CELLS_MAX: Final = 64
"""No row has more; a file may gain columns, but not as many as a hostile one likes."""


@dataclass(frozen=True, slots=True)
class DownloadedFile:
    """A file as it came over the wire, and the checksum stated for it."""

    file: ArchiveFile
    body: bytes
    checksum: str


def read_files(
    files: Sequence[DownloadedFile], archive: Archive
) -> list[tuple[Sequence[ArchiveFile], Checked | BadFile]]:
    """Check downloaded zips of one series and return their candles; several sound files become one table.

    Every file is in one of the results, which hold what `read_file` returns for it.
    """
    if len(files) > 1:
        files = sorted(files, key=lambda one: one.file.span)
        together = _together(files, archive)
        if together is not None:
            return [([one.file for one in files], together)]
    found: list[tuple[Sequence[ArchiveFile], Checked | BadFile]] = []
    for one in files:
        try:
            found.append(([one.file], read_file(one.body, one.file, archive, one.checksum)))
        except BadFile as exc:
            found.append(([one.file], exc))
    return found


def _together(files: Sequence[DownloadedFile], archive: Archive) -> Checked | None:
    """Return the candles of files (oldest first) by one pass over all rows; None unless every row keeps every rule."""
    last = files[-1].file
    pieces, ends, numerals, cells = [], [0], True, None
    try:
        for one in files:
            verify(one.body, one.file, one.checksum)
            csv = unpack(one.body, one.file)
            form = _check_form(csv, one.file, archive)
            if cells not in (None, form.cells):
                return None
            cells = form.cells
            _check_close_times(csv, form, one.file, archive)
            pieces.append(memoryview(csv)[form.rows_at :])
            ends.append(ends[-1] + form.rows)
            numerals = numerals and form.numerals
        texts = _split(b"".join(pieces), _Form(0, ends[-1], numerals, cells or 0), last, archive)
        times = _open_times(texts[OPEN_TIME], last)
        for one, start, end in zip(files, ends, ends[1:], strict=False):
            _check_period(times[start], times[end - 1], one.file)
        _check_grid(times, last)
    except BadFile:
        return None
    frame = _with_values(texts, times)
    if not (_all_agree(frame) and _all_plain(frame, numerals=numerals)):
        return None
    return Checked(_without_lost_volumes(CandleTable.of(last.series, frame), [one.file for one in files]), ())


def read_file(body: bytes, file: ArchiveFile, archive: Archive, checksum: str) -> Checked:
    """Check a downloaded zip and return its candles; BadFile if it cannot be trusted.

    Takes 25 ms of CPU for a month of minutes, so call it in a thread.
    """
    verify(body, file, checksum)
    return read_csv(unpack(body, file), file, archive)


def read_csv(csv: bytes, file: ArchiveFile, archive: Archive) -> Checked:
    """Split the rows of a file into candles and refusals.

    The candles rise strictly on the grid inside `file.span`; values equal float(text), bit for bit.  Absent minutes are
    no error.  Days in which every volume is zero although prices move are dropped, as if absent: the file has lost its
    volumes (Binance's BTCUSDT of 2025-01-29).
    """
    form = _check_form(csv, file, archive)
    texts = _split(csv, form, file, archive)
    times = _open_times(texts[OPEN_TIME], file)
    _check_period(times[0], times[-1], file)
    _check_grid(times, file)
    _check_close_times(csv, form, file, archive)
    frame = _with_values(texts, times)
    refusals: Sequence[Refusal] = ()
    if not (_all_agree(frame) and _all_plain(frame, numerals=form.numerals)):
        good = frame.select(_rules()).to_series()
        refusals = _refusals(csv[form.rows_at :], times, good, file, archive)
        _check_understood(refusals, form.rows, file)
        frame = frame.filter(good)
    return Checked(_without_lost_volumes(CandleTable.of(file.series, frame), [file]), refusals)


@dataclass(frozen=True, slots=True)
class _Form:
    """Where the rows begin, their number and cells; `numerals`: the cells are digits and points alone."""

    rows_at: int
    rows: int
    numerals: bool
    cells: int


def _check_form(csv: bytes, file: ArchiveFile, archive: Archive) -> _Form:
    """Count the rows: at most as many as candles, each with a plain cell for every column; else BadFile."""
    rows_at, cells = _rows_at(csv, file, archive)
    # Without its numerals a file of numbers is the same few separators again and again: one pass shows that.
    separators = csv.translate(None, _NUMERALS)
    header = csv[:rows_at].translate(None, _NUMERALS)
    line = b"," * (cells - 1) + b"\n"
    count = (len(separators) - len(header)) // len(line)
    # Compare only if it is not too long, because nothing made of a hostile file may be large.
    well_formed = count <= file.candles and separators == header + line * count
    if not well_formed:
        count = csv.count(b"\n", rows_at)
    if count > file.candles:
        raise _bad(file, f"it has {count} rows, more than the {file.candles} candles of its period")
    if not well_formed:
        _look_closely(csv[rows_at:], file, cells)
    return _Form(rows_at, count, well_formed, cells)


def _rows_at(csv: bytes, file: ArchiveFile, archive: Archive) -> tuple[int, int]:
    """Return where the rows begin, and their cells; the first line is a header unless it begins with a digit.

    Columns may have been added behind the known ones.
    """
    rows_at = 0
    first = csv[: csv.find(b"\n") + 1]
    cells = first.count(b",") + 1
    if csv[:1] and csv[0] not in _DIGITS:
        header = ",".join(archive.columns).encode()
        if not first.startswith((header + b"\n", header + b",")):
            shown = csv[:100].partition(b"\n")[0].decode("utf-8", "replace")
            raise _bad(file, f"its first line is neither a row nor the header that was expected: {shown!r}")
        rows_at = len(first)
    if cells > _CELLS_MAX:
        raise _bad(file, f"its rows have {cells} cells")
    if rows_at == len(csv):
        raise _bad(file, "it has no row")
    if csv[-1:] != b"\n":
        raise _bad(file, "its last line is cut off")
    return rows_at, max(cells, len(archive.columns))


def _check_close_times(csv: bytes, form: _Form, file: ArchiveFile, archive: Archive) -> None:
    """Raise BadFile unless some row has its close_time in its place: else the cells before it have moved, too."""
    first = csv[form.rows_at : csv.index(b"\n", form.rows_at)]
    if not _closes(first, file, archive) and not any(
        _closes(line, file, archive) for line in csv[form.rows_at : -1].split(b"\n")
    ):
        raise _bad(file, f"its cells are not in the order {','.join(archive.columns)}: {first[:100].decode()!r}")


def _closes(line: bytes, file: ArchiveFile, archive: Archive) -> bool:
    """Whether the times of a row belong to one candle, in milliseconds or microseconds."""
    cells = line.split(b",")
    times = [cells[index] for index in archive.times]
    if not all(time.isdigit() and len(time) <= _INTEGER_DIGITS_MAX for time in times):
        return False
    opened, closed = int(times[0]), int(times[-1])
    return 0 <= closed - opened <= file.series.interval.ms * (1000 if opened > _MICROSECONDS_ABOVE else 1)


def _check_understood(refusals: Sequence[Refusal], rows: int, file: ArchiveFile) -> None:
    """Raise BadFile if all rows are of an unknown form: then the reader is at fault."""
    if len(refusals) == rows and all(refusal.unknown_form for refusal in refusals):
        raise _bad(file, f"none of its rows can be read ({refusals[0].reason}): {refusals[0].row[:100]}")


def _look_closely(rows: bytes, file: ArchiveFile, cells: int) -> None:
    """Check a file with other characters than numerals, and say what is wrong with a broken one."""
    if rows.translate(None, _PRINTABLE) or b'"' in rows:
        raise _bad(file, "it has quotes, control characters or others that no number has")
    for number, row in enumerate(rows[:-1].split(b"\n"), 1):
        if row.count(b",") != cells - 1:
            raise _bad(file, f"row {number} has {row.count(b',') + 1} cells, not {cells}")


def _split(csv: bytes, form: _Form, file: ArchiveFile, archive: Archive) -> DataFrame:
    """Return the six columns of a candle for all rows, as text; null for an empty cell."""
    import polars as pl

    names = dict(zip(archive.cells, (OPEN_TIME, *TEXTS), strict=True))
    schema = {names.get(place, f"other_{place}"): pl.String for place in range(form.cells)}
    try:
        texts = pl.read_csv(
            csv,
            has_header=False,
            skip_rows=1 if form.rows_at else 0,
            schema=schema,
            quote_char=None,
            columns=list(archive.cells),
        )
    except pl.exceptions.PolarsError as exc:
        raise _bad(file, f"it is no table: {exc}") from exc
    if len(texts) != form.rows:
        raise _bad(file, f"it is a table of {len(texts)} rows and has {form.rows} lines")
    return texts


def _open_times(texts: Column, file: ArchiveFile) -> Column:
    """Return the times in ms; BadFile unless all are plain integers."""
    import polars as pl

    times = texts.cast(pl.Int64, strict=False)
    if times.null_count():
        raise _bad(file, "an open_time is not an integer")
    # polars takes signs and leading zeros too, which make a text longer than its number; that all numbers are as long
    # as the first follows once they turn out to be of one period.
    if texts.str.len_bytes().max() != len(str(times[0])):
        raise _bad(file, "an open_time is not spelled as an integer is")
    if times[0] <= _MICROSECONDS_ABOVE:
        return times
    if (times % 1000 != 0).any():
        raise _bad(file, "an open_time has a part of a millisecond")
    return times // 1000


def _check_period(first: int, last: int, file: ArchiveFile) -> None:
    """Raise BadFile unless the first and the last time lie in the file's period."""
    if first < file.span.start_ms or last >= file.span.end_ms:
        raise _bad(file, f"it has rows of another period: {_shown(first)} to {_shown(last)}")


def _check_grid(times: Column, file: ArchiveFile) -> None:
    """Raise BadFile unless the times rise strictly, on the grid."""
    first, step_ms = times[0], file.series.interval.ms
    steps = times[1:] - times[:-1]
    if (steps <= 0).any():
        raise _bad(file, "its rows are out of order or doubled")
    if first % step_ms or (steps % step_ms != 0).any():
        raise _bad(file, f"an open_time is not on the grid of {file.series.interval}")


def _shown(time_ms: int) -> str:
    return iso(time_ms) if 0 <= time_ms < _MICROSECONDS_ABOVE else str(time_ms)


def _with_values(texts: DataFrame, times: Column) -> DataFrame:
    """Return the frame of a CandleTable: integers for the times, floats beside the texts; null for no number."""
    import polars as pl

    columns = [texts[name] for name in TEXTS]
    values = [column.cast(pl.Float64, strict=False).alias(name) for column, name in zip(columns, VALUES, strict=True)]
    return pl.DataFrame([times, *columns, *values])


def _all_plain(frame: DataFrame, *, numerals: bool) -> bool:
    """Whether all texts of a frame without nulls are plain decimals.

    One expression over all of them, because each has its price.
    """
    import polars as pl

    texts = pl.concat([frame[name] for name in TEXTS])
    if not numerals or (texts.str.len_bytes() > _SHORT_CHARACTERS).any():
        return texts.str.contains(_PLAIN).all()
    # A number made of digits and a point is plain unless it has a zero before other digits or the point at an end; a
    # number below one begins with a zero, and no other does.
    values = pl.concat([frame[name] for name in VALUES])
    return not (
        (texts.str.starts_with("0") != (values < 1)).any()
        or texts.str.starts_with("00").any()
        or texts.str.ends_with(".").any()
    )


def _all_agree(frame: DataFrame) -> bool:
    """Whether all five texts of every row are numbers that keep the rules for prices."""
    opening, high, low, close, volume = (frame[name] for name in VALUES)
    if any(column.null_count() for column in (opening, high, low, close, volume)):
        return False
    pairs = ((high, opening), (high, close), (opening, low), (close, low))
    return all((more >= less).all() for more, less in pairs) and (low > 0).all()


def _rules() -> Expr:
    """The rules of laklak.plan.rows for a storable row. The spelling settles the sign of a volume."""
    import polars as pl

    opening, high, low, close, _ = (pl.col(name) for name in VALUES)
    plain = [pl.col(name).str.contains(_PLAIN) for name in TEXTS]
    agreeing = [high >= opening, high >= close, low <= opening, low <= close, low > 0]
    return pl.all_horizontal(*plain, *agreeing).fill_null(value=False)


def _refusals(rows: bytes, times: Column, good: Column, file: ArchiveFile, archive: Archive) -> Sequence[Refusal]:
    """Return the rows that broke a rule, each as the venue's API would have sent it, with its reason."""
    lines = rows.split(b"\n")
    bad = [_as_answered(lines[i].decode(), times[i], archive) for i in (~good).arg_true()]
    columns = tuple(zip(*bad, strict=True))
    page = Page(tuple(columns[place] for place in archive.cells), bad)
    return check_page(page, file.series, file.span).refusals


def _as_answered(line: str, time_ms: int, archive: Archive) -> list[Any]:
    """Return a line as the row of an answer: times in ms and counts are integers there, everything else is text."""
    cells: list[Any] = line.split(",")[: len(archive.columns)]
    unit = 1 if cells[0] == str(time_ms) else 1000
    for index in archive.integers:
        if cells[index].isdecimal() and len(cells[index]) <= _INTEGER_DIGITS_MAX:
            cells[index] = int(cells[index]) // (unit if index in archive.times else 1)
    return cells


def _without_lost_volumes(table: CandleTable, files: Sequence[ArchiveFile]) -> CandleTable:
    """Drop the UTC days in which every volume is zero although prices move."""
    if not (table.frame[VALUES[-1]] == 0).any():
        return table
    kept = []
    for day in (day for file in files for day in file.span.days()):
        of_day = table.only([day]).frame
        _, high, low, _, volume = (of_day[name] for name in VALUES)
        if len(of_day) and (volume == 0).all() and (high > low.min()).any():
            log.info("volumes lost series=%s day=%s", table.series, iso(day.start_ms)[:10])
        else:
            kept.append(day)
    return table.only(merge(kept))


def _bad(file: ArchiveFile, what: str) -> BadFile:
    return BadFile("csv", f"{file.member}: {what}")
