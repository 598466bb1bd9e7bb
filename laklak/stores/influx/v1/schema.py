"""What exists on an InfluxDB 1.x server: checked once, before anything is fetched."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from laklak.errors import StoreError, StoreUnavailable
from laklak.model.series import DAY_MS, MINUTE_MS
from laklak.stores.influx.database import Layout, Retention
from laklak.stores.influx.lines import FIELDS, TAGS
from laklak.stores.influx.v1 import influxql
from laklak.stores.influx.v1.client import Client1, Rows

_DURATION: Final = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_UNITS_MS: Final = (60 * MINUTE_MS, MINUTE_MS, 1_000)


async def find_database(client: Client1, *, create: bool, making_hint: str) -> tuple[bool, bool]:
    """Say whether the database is there now, and whether it was made just now.

    Raises StoreUnavailable with `making_hint` if it is missing and may not be made.
    """
    database = client.address.database
    if database in _column((await client.query("SHOW DATABASES"))[0], "name"):
        return True, False
    if not create:
        return False, False
    try:
        await client.query(f"CREATE DATABASE {influxql.name(database)}")
    except StoreError as refusal:
        # A user who may not make databases may not see all of them either, so ask for this one.
        try:
            await client.query(f"SHOW RETENTION POLICIES ON {influxql.name(database)}")
        except StoreError:
            raise StoreUnavailable(
                f"there is no database {database} at {client.address.server}, and it cannot be made: {refusal}",
                hint=making_hint,
            ) from refusal
        return True, False
    return True, True


async def may_make_databases(client: Client1) -> bool:
    """Whether this user may make databases: only such users may list the users."""
    try:
        await client.query("SHOW USERS")
    except StoreError:
        return False
    return True


async def find_retention(client: Client1) -> Retention:
    """Return the retention policy that the address names, or the database's default; StoreUnavailable if none."""
    address = client.address
    found = await client.query(f"SHOW RETENTION POLICIES ON {influxql.name(address.database)}")
    policies = [dict(zip(rows.columns, row, strict=True)) for rows in found[0] for row in rows.values]
    for policy in policies:
        name = str(policy["name"])
        if policy["default"] is True if address.retention_policy is None else name == address.retention_policy:
            duration_ms, shard_ms = (_duration_ms(str(policy[key])) for key in ("duration", "shardGroupDuration"))
            others = tuple(str(other["name"]) for other in policies if other["name"] != policy["name"])
            return Retention(address.database, duration_ms or None, shard_ms or DAY_MS, name, others)
    names = ", ".join(str(policy["name"]) for policy in policies) or "none"
    if address.retention_policy is None:
        raise StoreUnavailable(
            f"the database {address.database} has no default retention policy; there are: {names}",
            hint="name one, as in ?rp=NAME at the end of the address",
        )
    raise StoreUnavailable(
        f"the database {address.database} has no retention policy {address.retention_policy}; there are: {names}",
        hint="write one of them after ?rp=, or leave it out for the default one",
    )


async def find_layout(client: Client1, policy: str, measurement: str) -> Layout:
    """Look up which tags and field types a measurement has so far; it need not exist."""
    database, place = influxql.name(client.address.database), influxql.name(measurement)
    tags, fields = await client.query(
        f"SHOW TAG KEYS ON {database} FROM {place}; SHOW FIELD KEYS ON {database} FROM {influxql.name(policy)}.{place}"
    )
    foreign = sorted(set(_column(tags, "tagKey")) - set(TAGS))
    types = zip(_column(fields, "fieldKey"), _column(fields, "fieldType"), strict=True)
    conflicts = sorted({f"{field} is {kind}" for field, kind in types if field in FIELDS and kind != "float"})
    return Layout(tuple(foreign), tuple(conflicts))


async def find_measurements(client: Client1) -> list[str]:
    """Return the names of all measurements of the database."""
    found = await client.query(f"SHOW MEASUREMENTS ON {influxql.name(client.address.database)}")
    return _column(found[0], "name")


def _column(found: Sequence[Rows], column: str) -> list[str]:
    return [row[rows.columns.index(column)] for rows in found for row in rows.values]


def _duration_ms(written: str) -> int:
    # Go writes durations without fractions here: 0s, 24h0m0s, 1h30m0s.
    found = _DURATION.fullmatch(written)
    if found is None:
        raise StoreError(f"InfluxDB gives a retention of {written!r}, which cannot be read")
    return sum(int(digits) * unit for digits, unit in zip(found.groups("0"), _UNITS_MS, strict=True))
