"""Flux as the store writes it: texts quoted; a bucket, a range and a filter that storage can answer.  Pure.

    from(bucket: "market_data")
        |> range(start: 2026-01-01T00:00:00.000Z, stop: 2026-01-02T00:00:00.000Z)
        |> filter(fn: (r) => r._measurement == "binance_ohlc" and r["symbol"] == "BTCUSDT" and r._field == "close")
        |> aggregateWindow(every: 1d, fn: count, createEmpty: false, timeSrc: "_start")

After a filter made only of `==`, `and` and `or`, storage itself does count, first, last, and those by window, without
handing out points (PushDownWindowAggregate in the planner's rules of 2.7.12, seen in the time it takes).
`not exists r.tag` would prevent that; so the question includes points with more tags, and their columns tell them.

Source: https://docs.influxdata.com/flux/v0/spec/ (read 2026-02), tried on 2.7.12.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from laklak.model.series import TimeRange
from laklak.stores.influx.database import LAST_MS
from laklak.stores.influx.lines import TAGS

ALL_TIME: Final = TimeRange(-LAST_MS, LAST_MS)

_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r", "\t": r"\t"})
NO_TAGS: Final = ("_start", "_stop", "_measurement", "_field")
_SYSTEM: Final = ("_start", "_stop", "_measurement")


def text(value: str) -> str:
    """Return a text in double quotes; `${` would begin an expression, so it is escaped."""
    return f'"{value.translate(_ESCAPES).replace("${", chr(92) + "${")}"'


def moment(time_ms: int) -> str:
    """Return a time as Flux spells it, with milliseconds."""
    whole = datetime.fromtimestamp(time_ms // 1000, UTC)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{time_ms % 1000:03d}Z"


def points(
    bucket: str, measurement: str, fields: Sequence[str], span: TimeRange, tags: Mapping[str, str] | None = None
) -> str:
    """Return the points in `span` that have one of the fields and these tags, maybe with others."""
    conditions = [f"r._measurement == {text(measurement)}"]
    conditions += [f"r[{text(tag)}] == {text(value)}" for tag, value in (tags or {}).items()]
    wanted = " or ".join(f"r._field == {text(field)}" for field in fields)
    conditions.append(f"({wanted})" if len(fields) > 1 else wanted)
    return (
        f"from(bucket: {text(bucket)}) |> range(start: {moment(span.start_ms)}, stop: {moment(span.end_ms)})"
        f" |> filter(fn: (r) => {' and '.join(conditions)})"
    )


def without(*columns: str, tags: bool = False) -> str:
    """Leave out the columns that say nothing new, and these; `tags`: the three of a candle as well."""
    names = ", ".join(text(name) for name in (*_SYSTEM, *columns, *(TAGS if tags else ())))
    return f" |> drop(columns: [{names}])"


def counted_by(every: str, offset: str = "0ns") -> str:
    """Count the points in each stretch of time that has any, at its start."""
    return f' |> aggregateWindow(every: {every}, offset: {offset}, fn: count, createEmpty: false, timeSrc: "_start")'


def as_rows() -> str:
    """Make one row for each time, with a column for each field."""
    return ' |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")'


def other_than(field: str, value: str | int) -> str:
    """Leave out the rows in which a field has this value."""
    return f" |> filter(fn: (r) => r[{text(field)}] != {text(value) if isinstance(value, str) else value})"


def newest(count: int) -> str:
    """Return the newest `count` rows of all tables, newest first."""
    return f' |> group() |> sort(columns: ["_time"], desc: true) |> limit(n: {count})'


def called(name: str) -> str:
    """Name the answer, so that one question can have several."""
    return f" |> yield(name: {text(name)})"


def several(**questions: str) -> str:
    """Join questions to one script, each answered under its name."""
    return "\n".join(question + called(name) for name, question in questions.items())


def measurements(bucket: str) -> str:
    """Return the names of all measurements of a bucket."""
    start, stop = moment(ALL_TIME.start_ms), moment(ALL_TIME.end_ms)
    return (
        'import "influxdata/influxdb/schema"\n'
        f"schema.measurements(bucket: {text(bucket)}, start: {start}, stop: {stop})"
    )


def tags(bucket: str, measurement: str) -> str:
    """Return the names of all tags that points of a measurement have, and of the columns that are no tags."""
    start, stop = moment(ALL_TIME.start_ms), moment(ALL_TIME.end_ms)
    names = f"bucket: {text(bucket)}, measurement: {text(measurement)}, start: {start}, stop: {stop}"
    return f'import "influxdata/influxdb/schema"\nschema.measurementTagKeys({names})'
