"""What there is on a server: checked once, before anything is fetched, so that nothing is refused in the middle."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from laklak.errors import StoreError, StoreUnavailable
from laklak.lineprotocol import FIELDS, TAGS
from laklak.model import DAY_MS, MINUTE_MS
from laklak.stores import influxql
from laklak.stores.influx_http import Greeting, InfluxClient, Rows

_HOUR_MS: Final = 60 * MINUTE_MS
_DURATION: Final = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_UNITS_MS: Final = (_HOUR_MS, MINUTE_MS, 1_000)


# A server drops what has become too old while a run goes on, so the oldest hour is left to it.
_MARGIN_MS: Final = _HOUR_MS


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """How long a database keeps points; `duration_ms` None means for ever."""

    name: str
    duration_ms: int | None
    is_default: bool

    def oldest_ms(self, now_ms: int) -> int | None:
        """The first minute that can be written now and is sure to be taken; None where nothing is ever dropped."""
        if self.duration_ms is None:
            return None
        oldest_ms = now_ms - max(0, self.duration_ms - _MARGIN_MS)
        return -(-oldest_ms // MINUTE_MS) * MINUTE_MS

    @property
    def kept(self) -> str:
        """How long points are kept, for people."""
        if self.duration_ms is None:
            return "for ever"
        days, rest_ms = divmod(self.duration_ms, DAY_MS)
        return f"{days} d" if days and not rest_ms else f"{self.duration_ms / _HOUR_MS:g} h"


@dataclass(frozen=True, slots=True)
class Layout:
    """What a measurement of candles holds beside ours: tags that no candle has, and fields that are not floats."""

    foreign_tags: tuple[str, ...]
    conflicts: tuple[str, ...]


async def check_server(client: InfluxClient) -> Greeting:
    """Make sure that an InfluxDB 1.x answers; StoreUnavailable says what does instead, and the right spelling."""
    greeting = await client.ping()
    address = client.address
    if greeting.version is None:
        if greeting.status == 400 and not address.tls:
            raise StoreUnavailable(
                f"{address.server} does not take plain HTTP", hint=f"write influxdb+https://{address.server}/..."
            )
        raise StoreUnavailable(
            f"what answers at {address.server} is not InfluxDB (HTTP status {greeting.status})",
            hint="check the host and the port; InfluxDB 1.x listens on 8086",
        )
    version = greeting.version.removeprefix("v")
    if not version.startswith("1."):
        scheme = "influxdb2+https" if address.tls else "influxdb2"
        raise StoreUnavailable(
            f"{address.server} is InfluxDB {version}, and influxdb:// is for 1.x",
            hint=f"write {scheme}://{address.server}/BUCKET?org=ORG",
        )
    return greeting


async def find_database(client: InfluxClient, *, create: bool) -> tuple[bool, bool]:
    """Say whether the database is there now, and whether it was made just now.

    Raises StoreUnavailable when it is missing and may not be made.
    """
    database = client.address.database
    if database in _column((await client.query("SHOW DATABASES"))[0], "name"):
        return True, False
    if not create:
        return False, False
    try:
        await client.query(f"CREATE DATABASE {influxql.name(database)}")
    except StoreError as refusal:
        # Who may not make databases may not see all of them either, so ask for this one.
        try:
            await client.query(f"SHOW RETENTION POLICIES ON {influxql.name(database)}")
        except StoreError:
            raise StoreUnavailable(
                f"there is no database {database} at {client.address.server}, and it cannot be made: {refusal}",
                hint=f"let an administrator run: CREATE DATABASE {influxql.name(database)}, and GRANT ALL ON it",
            ) from refusal
        return True, False
    return True, True


async def find_policy(client: InfluxClient) -> RetentionPolicy:
    """Give the retention policy that the address names, or the database's default one; StoreUnavailable if none."""
    address = client.address
    found = await client.query(f"SHOW RETENTION POLICIES ON {influxql.name(address.database)}")
    policies = [_policy(dict(zip(rows.columns, row, strict=True))) for rows in found[0] for row in rows.values]
    for policy in policies:
        if policy.is_default if address.retention_policy is None else policy.name == address.retention_policy:
            return policy
    names = ", ".join(policy.name for policy in policies) or "none"
    if address.retention_policy is None:
        raise StoreUnavailable(
            f"the database {address.database} has no default retention policy; there are: {names}",
            hint="name one, as in ?rp=NAME at the end of the address",
        )
    raise StoreUnavailable(
        f"the database {address.database} has no retention policy {address.retention_policy}; there are: {names}",
        hint="write one of them after ?rp=, or leave it out for the default one",
    )


async def find_layout(client: InfluxClient, policy: str, measurement: str) -> Layout:
    """Look up which tags and field types a measurement has got so far; it need not exist."""
    database, place = influxql.name(client.address.database), influxql.name(measurement)
    tags, fields = await client.query(
        f"SHOW TAG KEYS ON {database} FROM {place}; SHOW FIELD KEYS ON {database} FROM {influxql.name(policy)}.{place}"
    )
    foreign = sorted(set(_column(tags, "tagKey")) - set(TAGS))
    types = zip(_column(fields, "fieldKey"), _column(fields, "fieldType"), strict=True)
    conflicts = sorted({f"{field} is {kind}" for field, kind in types if field in FIELDS and kind != "float"})
    return Layout(tuple(foreign), tuple(conflicts))


async def find_measurements(client: InfluxClient) -> list[str]:
    """The names of all measurements of the database."""
    found = await client.query(f"SHOW MEASUREMENTS ON {influxql.name(client.address.database)}")
    return _column(found[0], "name")


def _column(found: Sequence[Rows], column: str) -> list[str]:
    return [row[rows.columns.index(column)] for rows in found for row in rows.values]


def _policy(facts: dict[str, object]) -> RetentionPolicy:
    duration_ms = _duration_ms(str(facts["duration"]))
    return RetentionPolicy(str(facts["name"]), duration_ms or None, facts["default"] is True)


def _duration_ms(written: str) -> int:
    # Go writes durations without fractions here: 0s, 24h0m0s, 1h30m0s.
    found = _DURATION.fullmatch(written)
    if found is None:
        raise StoreError(f"InfluxDB gives a retention of {written!r}, which cannot be read")
    return sum(int(digits) * unit for digits, unit in zip(found.groups("0"), _UNITS_MS, strict=True))
