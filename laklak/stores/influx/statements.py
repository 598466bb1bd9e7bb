"""Statements that people run to mend a database: exact, or with a remark if they cannot be.  Pure.

Tried on 1.6.7: a DELETE knows no retention policy, and without a condition on every other tag it also removes series
with more tags.  Tried on 2.7.12: a delete from a time to the same time removes the points of that nanosecond; its
predicate cannot require a tag to be absent.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Final

from laklak.stores.influx.v1 import influxql

_NS_PER_S: Final = 1_000_000_000
_TEXT_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\""})


def delete_point_1(measurement: str, tags: Mapping[str, str], time_ns: int, foreign_tags: Collection[str]) -> str:
    """Return InfluxQL that removes the point of one time of the series with these tags and none of the foreign ones."""
    source, series = influxql.name(measurement), influxql.tagged(tags, foreign_tags)
    return f"DELETE FROM {source} WHERE {series} AND time = {time_ns}"  # noqa: S608, made of quoted parts


def delete_remark_1(database: str, other_policies: Collection[str]) -> str:
    """Say where to run such a DELETE, and what else it removes."""
    where = f"in the database {database}"
    if not other_policies:
        return where
    return (
        f"{where}; InfluxDB deletes in every retention policy, so points of the same series and time in "
        f"{', '.join(other_policies)} go too"
    )


def delete_point_2(org: str, bucket: str, measurement: str, tags: Mapping[str, str], time_ns: int) -> str:
    """Return the command that removes the point of one time of the series with these tags."""
    predicate = " AND ".join(f"{key}={_quoted(value)}" for key, value in {"_measurement": measurement, **tags}.items())
    words = ["influx", "delete", "--org", org, "--bucket", bucket]
    return shlex.join([*words, "--start", stamp(time_ns), "--stop", stamp(time_ns), "--predicate", predicate])


def delete_remark_2(foreign_tags: Collection[str]) -> str:
    """Say where to run such a command, and what else it removes."""
    if not foreign_tags:
        return "in a shell"
    return (
        f"in a shell; it cannot leave out series with more tags, so points of the same time that also have "
        f"{' or '.join(sorted(foreign_tags))} go too"
    )


def stamp(time_ns: int) -> str:
    """Return a time to the nanosecond, as RFC 3339: `2026-01-01T00:00:17.000000001Z`."""
    whole_s, rest_ns = divmod(time_ns, _NS_PER_S)
    rest = f".{rest_ns:09d}".rstrip("0") if rest_ns else ""
    return f"{datetime.fromtimestamp(whole_s, UTC):%Y-%m-%dT%H:%M:%S}{rest}Z"


def _quoted(value: str) -> str:
    return f'"{value.translate(_TEXT_ESCAPES)}"'
