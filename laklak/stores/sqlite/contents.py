"""What a SQLite store holds, by series: functions on a connection."""

from __future__ import annotations

from typing import Final

from laklak.model.series import Interval, Series, TimeRange, iso
from laklak.stores.base import StoreInfo, held_span
from laklak.stores.sqlite import file as sqlite_file
from laklak.stores.sqlite.lane import Turn
from laklak.text import size_text

# Up to this size a store's candles are counted for the line that says what it holds: some 50 ms.
_COUNTED_BYTES: Final = 128 * 2**20

# People can put a text where a time belongs.
_FIRST: Final = (
    "(SELECT open_time FROM candle WHERE series_id = series.id AND typeof(open_time) = 'integer'"
    " ORDER BY open_time LIMIT 1)"
)

_FIRST_LAST: Final = f"{_FIRST}, {_FIRST.replace('LIMIT', 'DESC LIMIT')}"
_EDGES: Final = f"SELECT interval, {_FIRST_LAST} FROM series"  # noqa: S608, made of constants
_HOLDINGS: Final = f"""
SELECT venue, symbol, interval, {_FIRST_LAST},
    (SELECT min(open_time) FROM absence WHERE series_id = series.id),
    (SELECT max(open_time) FROM absence WHERE series_id = series.id)
FROM series ORDER BY venue, symbol, interval"""  # noqa: S608, made of constants


def describe(path: str, new: bool, turn: Turn) -> StoreInfo:
    free, used = sqlite_file.free_bytes(path), sqlite_file.used_bytes(path)
    edges = [
        (first, last + Interval.parse(interval).ms)
        for interval, first, last in turn.connection.execute(_EDGES)
        if first is not None
    ]
    if not edges:
        return StoreInfo("new file" if new else "empty", free)
    parts = [f"{len(edges):,} series"]
    if used <= _COUNTED_BYTES:
        candles = turn.connection.execute("SELECT count(*) FROM candle").fetchone()[0]
        parts.append(f"{candles:,} candle{'' if candles == 1 else 's'}")
    parts.append(f"{iso(min(first for first, _ in edges))} to {iso(max(end for _, end in edges))}")
    parts.append(size_text(used))
    return StoreInfo(", ".join(parts), free)


def holdings(turn: Turn) -> dict[Series, TimeRange]:
    """Every series with a candle, hole or reject: from its first to the end of its last, on the grid."""
    found = {}
    for venue, symbol, name, *edges in turn.connection.execute(_HOLDINGS).fetchall():
        series = Series(venue, symbol, Interval.parse(name))
        span = held_span(series.interval, [edge for edge in edges if edge is not None])
        if span:
            found[series] = span
    return found
