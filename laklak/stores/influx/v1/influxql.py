"""InfluxQL as the store writes it: names and texts quoted, every measurement qualified, conditions on tags.  Pure.

Source: https://docs.influxdata.com/influxdb/v1/query_language/spec/ (read 2026-02), tried on 1.6.7.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from laklak.model.series import TimeRange
from laklak.stores.influx.lines import FIELDS

_TEXT_ESCAPES: Final = str.maketrans({"\\": r"\\", "'": r"\'", "\n": r"\n"})
_NAME_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def text(value: str) -> str:
    """Return a text in single quotes."""
    return f"'{value.translate(_TEXT_ESCAPES)}'"


def name(value: str) -> str:
    """Return a name in double quotes."""
    return f'"{value.translate(_NAME_ESCAPES)}"'


def source(database: str, retention_policy: str, measurement: str) -> str:
    """Return a measurement with its policy: without it a server reads the default one, whatever was written."""
    return f"{name(database)}.{name(retention_policy)}.{name(measurement)}"


def select(what: str, place: str, *conditions: str, then: str = "") -> str:
    """Return one SELECT; `place` and `conditions` come from the other functions here, empty conditions are left out."""
    where = " AND ".join(condition for condition in conditions if condition)
    parts = [f"SELECT {what} FROM {place}", f"WHERE {where}" if where else "", then]  # noqa: S608, made of quoted parts
    return " ".join(part for part in parts if part)


def delete(measurement: str, *conditions: str) -> str:
    """Return one DELETE. It cannot name the retention policy: on 1.x it removes the points of all of them."""
    return f"DELETE FROM {name(measurement)} WHERE {' AND '.join(conditions)}"  # noqa: S608, quoted parts


def tagged(tags: Mapping[str, str], foreign: Collection[str] = ()) -> str:
    """Return the condition that a point has these tags, and none of the `foreign` ones."""
    conditions = [f"{name(key)}::tag = {text(value)}" for key, value in tags.items()]
    # In a condition, a tag that a point lacks is an empty text.
    conditions += [f"{name(key)}::tag = ''" for key in sorted(foreign)]
    return " AND ".join(conditions)


def other_than(field: str, value: str | int) -> str:
    """Return the condition that a field has another value."""
    return f"{name(field)} <> {text(value) if isinstance(value, str) else value}"


def within(span: TimeRange) -> str:
    """Return the condition that a point lies in a half-open range."""
    return f"time >= {span.start_ms}ms AND time < {span.end_ms}ms"


CANDLE: Final = ", ".join(f"{name(field)}::float" for field in FIELDS)
"""The question for a candle; a value of another type is none."""
