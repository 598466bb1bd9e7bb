"""What a peer has got, held against the generator, value by value.  A process of its own: it holds a lot.

The spec comes as JSON on stdin: the work, and where the rows are (`kept`, `influxdb` or `sqlite`).  The answer:

    lost      minutes that the venue has and the peer has not
    doubled   rows too many of a minute
    wrong     rows with another price or volume than the venue's (as doubles), or of a minute that does not exist
    outside   rows of other times than were asked for; harmless, and told
"""

from __future__ import annotations

import asyncio
import json
import math
import sys
import urllib.parse
import urllib.request
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from laklak.model.series import Interval, Series, TimeRange
from laklak.simulator import generate
from laklak.stores import open_store
from laklak.stores.access import StoreAccess

MINUTE_MS = 60_000
MINUTE = Interval.parse("1m")
CELLS = 6
ANSWER_S = 120.0

Row = tuple[float, ...]


def check(spec: dict[str, Any]) -> dict[str, Any]:
    """Compare all symbols."""
    source = generate(symbols=spec["symbols"], days=spec["days"])
    counts = {"expected": 0, "lost": 0, "doubled": 0, "wrong": 0, "outside": 0}
    found = dict(_found(spec, source.symbols[: spec["used"]]))
    first = ""
    for symbol in source.symbols[: spec["used"]]:
        rows = source.oldest(symbol, spec["start_ms"], spec["end_ms"], 1 << 40)
        expected = {int(row[0]): row for row in map(_doubles, orjson.loads(b"[" + b",".join(rows) + b"]"))}
        trouble = _compare(symbol, expected, found.pop(symbol, []), spec, counts)
        first = first or trouble
    counts["wrong"] += sum(map(len, found.values()))
    return {**counts, "first": first or ", ".join(found)}


def _compare(symbol: str, expected: dict[int, Row], rows: list[Row], spec: dict[str, Any], counts: Any) -> str:
    counts["expected"] += len(expected)
    first, seen = "", set()
    for row in rows:
        # Where even the time is no number, the row is of no minute.
        time = -1 if math.isnan(row[0]) else int(row[0])
        kind = None
        if time >= 0 and not spec["start_ms"] <= time < spec["end_ms"]:
            kind = "outside"
        elif time in seen:
            kind = "doubled"
        elif expected.get(time) != row:
            kind = "wrong"
        if kind:
            counts[kind] += 1
            first = first or (
                "" if kind == "outside" else f"{kind}: {symbol} {row}, the venue has {expected.get(time)}"
            )
        if kind != "outside":
            seen.add(time)
    missing = expected.keys() - seen
    counts["lost"] += len(missing)
    return first or (f"lost: {symbol} {min(missing)}" if missing else "")


def _doubles(cells: list[Any]) -> Row:
    return (float(cells[0]), *(float(text) for text in cells[1:CELLS]))


def _found(spec: dict[str, Any], symbols: Any) -> Iterator[tuple[str, list[Row]]]:
    match spec["kind"]:
        case "kept":
            return _kept(Path(spec["where"]))
        case "influxdb":
            return _stored_in_influxdb(spec["where"], spec["database"])
        case _:
            return iter(asyncio.run(_stored_in_sqlite(spec, symbols)))


def _kept(path: Path) -> Iterator[tuple[str, list[Row]]]:
    with open(path, "rb") as file:
        while header := file.readline():
            told = json.loads(header)
            cells = array("d")
            cells.frombytes(file.read(8 * CELLS * told["rows"]))
            yield told["symbol"], list(zip(*(cells[start::CELLS] for start in range(CELLS)), strict=True))


def _stored_in_influxdb(server: str, database: str) -> Iterator[tuple[str, list[Row]]]:
    """Everything in the measurement, whatever its symbols are, one symbol at a time."""
    tags = _ask(server, database, 'SHOW TAG VALUES FROM "binance_ohlc" WITH KEY = "symbol"')
    for _, symbol in tags[0]["values"] if tags else []:
        where = symbol.replace("'", r"\'")
        columns = "open, high, low, close, volume"
        found = _ask(server, database, f"SELECT {columns} FROM binance_ohlc WHERE symbol = '{where}'")  # noqa: S608
        yield symbol, [tuple(map(_number, row)) for series in found for row in series["values"]]


def _number(cell: Any) -> float:
    return float("nan") if cell is None else float(cell)


def _ask(server: str, database: str, statement: str) -> list[dict[str, Any]]:
    form = urllib.parse.urlencode({"q": statement, "db": database, "epoch": "ms"}).encode()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{server}/query", form, timeout=ANSWER_S) as response:
        result = orjson.loads(response.read())["results"][0]
    if "error" in result:
        raise ValueError(result["error"])
    series: list[dict[str, Any]] = result.get("series", [])
    return series


async def _stored_in_sqlite(spec: dict[str, Any], symbols: Any) -> list[tuple[str, list[Row]]]:
    found = []
    span = TimeRange(spec["start_ms"], spec["end_ms"])
    async with open_store(StoreAccess(where=spec["where"]), create=False) as store:
        for symbol in symbols:
            columns = await store.read(Series("binance", symbol, MINUTE), span)
            found.append((symbol, list(zip(map(float, columns.open_times), *columns.values, strict=True))))
    return found


if __name__ == "__main__":
    print(json.dumps(check(json.loads(sys.stdin.readline()))))
