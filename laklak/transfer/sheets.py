"""Candles of a series as they come, into a file of one format: what an export writes, little by little.

All of it blocks, and is for a thread.  Memory does not grow with the series.
"""

from __future__ import annotations

import os
import queue
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol

import orjson

from laklak.model.digest import FORMAT, RunningDigest
from laklak.model.series import Series
from laklak.report.rows import CANDLE_FIELDS, csv_lines
from laklak.sources.candle_file import COLUMNS, DIGEST_KEY, MADE, SERIES_KEY, TIME_KEY
from laklak.sources.feather import add_metadata
from laklak.sources.store import StoredCandles
from laklak.stores.base import Columns
from laklak.stores.influx.lines import candle_lines_ns, key_of, tags_of

if TYPE_CHECKING:
    from polars import DataFrame

FORMATS: Final = {"csv": ".csv", "parquet": ".parquet", "feather": ".feather", "lp": ".lp"}
"""The formats, and how the names of their files end."""
BEGINS: Final = {
    "csv": re.compile(rb"open_time,"),
    "parquet": re.compile(b"PAR1"),
    "feather": re.compile(b"ARROW1"),
    "lp": re.compile(rb"[^\n]* open=[^\n]*\n"),
    "json": re.compile(rb"\[\[[0-9]"),
}
"""How they begin."""
STREAMED: Final = ("csv", "lp", "json")
"""What is text, and written as it comes."""
_GROUP_ROWS: Final = 131_072
_WAITING_PARTS: Final = 2


class Sheet(Protocol):
    """Something that takes candles of a series, oldest first."""

    def write(self, columns: Columns) -> None: ...
    def close(self) -> None:
        """All has been given: bring it to its end. OSError where that failed."""
        ...

    def abandon(self) -> None:
        """Let go of it, whatever it has come to; idempotent, and nothing after a close."""
        ...


class Lines:
    """Text in a binary stream, which is the caller's to close: `spell` gives that of candles, `head` stands before,
    `between` what is written together, `tail` after all.
    """

    def __init__(
        self, out: BinaryIO, spell: Callable[[Columns], bytes], head: str = "", between: str = "", tail: str = ""
    ) -> None:
        self._out = out
        self._spell = spell
        self._head = head.encode()
        self._between = between.encode()
        self._tail = tail.encode()

    def write(self, columns: Columns) -> None:
        head, self._head = self._head, self._between
        self._out.write(head + self._spell(columns))

    def close(self) -> None:
        self._out.write(self._tail)
        self._out.flush()

    def abandon(self) -> None: ...


def csv_sheet(out: BinaryIO, of: Series | None) -> Lines:
    """With a header, and each moment in milliseconds and as text; of candles made of others with what these are."""
    head, end = (CANDLE_FIELDS, "\n") if of is None else ((*CANDLE_FIELDS, MADE), f",{of.interval}\n")
    return Lines(
        out,
        lambda columns: end.join([*csv_lines(columns, header=False), ""]).encode(),
        ",".join(head) + "\n",
    )


def lp_sheet(out: BinaryIO, series: Series, measurement: str, of: Series | None) -> Lines:
    """As laklak writes points of its own, but for nanoseconds: what `influx write` expects if it is told nothing.

    Those that are made of others have one field more, which says so.
    """
    key = key_of(measurement.format(venue=series.venue), tags_of(series))
    more = "" if of is None else f',{MADE}="{of.interval}"'
    return Lines(
        out, lambda columns: candle_lines_ns(StoredCandles(series, columns.open_times, columns.values), key, more)
    )


def json_sheet(out: BinaryIO) -> Lines:
    """As freqtrade's handler of JSON reads it: a list of rows, the moment in milliseconds first."""
    return Lines(
        out,
        lambda columns: orjson.dumps(list(zip(columns.open_times, *columns.values, strict=True)))[1:-1],
        *("[", ",", "]"),
    )


class TableFile:
    """A file of columns at `path`, Parquet or Feather (Feather 2 is Arrow's own form of a file), Zstandard, rising.

    It says of which series it is, what the digest of its candles is (see laklak.model.digest), and `facts`. `time` is
    what the moments are called. polars writes it in a thread of its own, which is given a few parts at a time.
    """

    def __init__(self, path: str, form: str, series: Series, facts: Mapping[str, str], time: str = COLUMNS[0]) -> None:
        self._path = path
        self._form = form
        self._digest = RunningDigest(series)
        self._facts = {SERIES_KEY: str(series), **facts}
        if time != COLUMNS[0]:
            self._facts[TIME_KEY] = time
        self._time = time
        self._parts: queue.Queue[DataFrame | None] = queue.Queue(_WAITING_PARTS)
        self._abandoned = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="laklak-export")
        self._thread.start()

    def write(self, columns: Columns) -> None:
        self._digest.add(columns.open_times, columns.values)
        self._put(_frame(columns, self._time))

    def close(self) -> None:
        self._put(None)
        self._thread.join()
        self._raise()
        if self._form == "feather":
            add_metadata(self._path, self._metadata())

    def abandon(self) -> None:
        self._abandoned = True
        self._thread.join()

    def _put(self, part: DataFrame | None) -> None:
        while self._thread.is_alive():
            try:
                self._parts.put(part, timeout=0.1)
            except queue.Full:
                continue
            return
        self._raise()

    def _raise(self) -> None:
        if self._error is None:
            return
        # polars has errors of its own, some of them with the number of the system's in their words.
        what = str(self._error).partition("\n")[0]
        number = re.search(r"\(os error ([0-9]+)\)", what)
        code = int(number[1]) if number else 0
        raise OSError(code, os.strerror(code) if number else what) from self._error

    def _metadata(self, _: object = None) -> dict[str, str]:
        """Asked for when all rows have been taken."""
        root = self._digest.root()
        return {**self._facts, DIGEST_KEY: f"{FORMAT} {'-' if root is None else root.hex()}"}

    def _run(self) -> None:
        import polars
        from polars.io.plugins import register_io_source

        def rows(*_asked: object) -> Iterator[DataFrame]:
            while not self._abandoned:
                try:
                    part = self._parts.get(timeout=0.1)
                except queue.Empty:
                    continue
                if part is None:
                    return
                yield part

        try:
            found = register_io_source(rows, schema=_frame(Columns((), ((),) * 5), self._time).schema)
            if self._form == "feather":
                found.sink_ipc(self._path, compression="zstd", engine="streaming")
            else:
                found.sink_parquet(
                    self._path,
                    compression="zstd",
                    row_group_size=_GROUP_ROWS,
                    metadata=self._metadata,
                    engine="streaming",
                )
        except (OSError, polars.exceptions.PolarsError) as exc:
            self._error = exc


def _frame(columns: Columns, time: str) -> DataFrame:
    import polars

    times = polars.Series(time, columns.open_times, dtype=polars.Int64).cast(polars.Datetime("ms", "UTC"))
    names = ("open", "high", "low", "close", "volume")
    values = [
        polars.Series(name, column, dtype=polars.Float64) for name, column in zip(names, columns.values, strict=True)
    ]
    return polars.DataFrame([times, *values])
