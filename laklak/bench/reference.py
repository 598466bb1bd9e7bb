"""What a store must hold in the end, from the generator alone: the doubles, and the lines of text.

values.bin   per series open, high, low, close, volume: float(text) of each minute, as 8-byte doubles
lines.lp     the same candles in line protocol; lines.idx has the bounds of each batch of lines, in bytes
"""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import orjson

from laklak.bench.workload import INTERVAL, Workload
from laklak.model.candles import CandleBatch
from laklak.model.series import Series
from laklak.stores.access import StoreAccess
from laklak.stores.influx.lines import candle_lines, key_of, tags_of

VALUES: Final = "values.bin"
LINES: Final = "lines.lp"
INDEX: Final = "lines.idx"
COLUMNS: Final = ("open", "high", "low", "close", "volume")
_DOUBLE: Final = 8


def write(spec: dict[str, Any]) -> dict[str, Any]:
    """Write the files for `workload` to `folder`; returns the count and the checksum of all candles."""
    workload, folder = Workload.of(spec["workload"]), Path(spec["folder"])
    size = StoreAccess(where="").batch_lines
    bounds = array("Q", [0])
    source, span = workload.source(), workload.range
    with open(folder / VALUES, "wb") as values_file, open(folder / LINES, "wb") as lines_file:
        for series in workload.series:
            rows = source.oldest(series.symbol, span.start_ms, span.end_ms, workload.candles_of_one)
            batch = _batch(series, rows)
            for column in batch.values:
                array("d", column).tofile(values_file)
            key = key_of(StoreAccess(where="").measurement.format(venue=series.venue), tags_of(series))
            for start in range(0, len(batch), size):
                text = candle_lines(batch, key, start, min(start + size, len(batch)))
                lines_file.write(text)
                bounds.append(bounds[-1] + len(text))
    with open(folder / INDEX, "wb") as index_file:
        bounds.tofile(index_file)
    reference = Reference(workload, folder)
    return {"candles": workload.candles, "checksum": reference.checksum(), "line_bytes": bounds[-1]}


def _batch(series: Series, rows: Sequence[bytes]) -> CandleBatch:
    cells = list(zip(*orjson.loads(b"[" + b",".join(rows) + b"]"), strict=True))
    texts = tuple(cells[1:6])
    return CandleBatch(series, cells[0], texts, tuple([float(text) for text in column] for column in texts))


class Reference:
    """Reads the files back, one series at a time."""

    def __init__(self, workload: Workload, folder: Path) -> None:
        self.workload = workload
        self._folder = folder

    def series(self) -> Iterator[tuple[Series, range, tuple[array[float], ...]]]:
        """Yield each series with its open_times and its five columns, oldest first."""
        span, count = self.workload.range, self.workload.candles_of_one
        times = range(span.start_ms, span.end_ms, INTERVAL.ms)
        with open(self._folder / VALUES, "rb") as file:
            for series in self.workload.series:
                yield series, times, tuple(_doubles(file.read(_DOUBLE * count)) for _ in COLUMNS)

    def checksum(self) -> str:
        """A digest of all candles; the stored candles must give the same."""
        digest = hashlib.blake2b(digest_size=16)
        for series, times, values in self.series():
            add(digest, series, times, values)
        return digest.hexdigest()

    def batches(self) -> list[tuple[int, int]]:
        """The offset and size of each batch of lines, in bytes."""
        bounds = array("Q", (self._folder / INDEX).read_bytes())
        return [(start, end - start) for start, end in pairwise(bounds)]

    def open_lines(self) -> int:
        """A file descriptor for the lines."""
        return os.open(self._folder / LINES, os.O_RDONLY)


def add(digest: hashlib.blake2b, series: Series, times: Sequence[int], values: Sequence[Sequence[float]]) -> None:
    """Add the candles of a series, oldest first, to a digest."""
    digest.update(str(series).encode())
    digest.update(array("q", times).tobytes())
    for column in values:
        digest.update(array("d", column).tobytes())


def _doubles(data: bytes) -> array[float]:
    column = array("d")
    column.frombytes(data)
    return column
