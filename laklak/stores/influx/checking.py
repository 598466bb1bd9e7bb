"""How a database of an InfluxDB server may be used, found out without making or writing anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import anyio

from laklak.errors import StoreError
from laklak.model.findings import Fact, Finding
from laklak.model.series import iso
from laklak.stores.influx.contents import Contents
from laklak.stores.influx.database import Database, Retention
from laklak.stores.influx.doubles import Doubles
from laklak.stores.influx.look import Look, TaggedSeries
from laklak.stores.influx.removal import Removal
from laklak.stores.influx.types import ClosedStretch
from laklak.text import counted, some_of

# The server's time comes in whole seconds.
_CLOCK_OFF_MS: Final = 5_000
# A check has 13 s for all of a store.
_SHOWN: Final = 5
_UNASKED: Final = (
    "the name of this bucket in InfluxQL belongs to another one: not looked for are days of other types, and series "
    "that double rows"
)
_NAME_IT: Final = "give it a name of its own by influx v1 dbrp create, and check again"
_BESIDE_SHOWN: Final = 3


def server_finding(database: Database, version: str) -> Finding:
    """Say what answers, and as whom it knows us."""
    address = database.address
    text = f"InfluxDB {version} at {address.server}, {address.account}"
    return Finding("ok", text, facts={"server_version": version})


def clock_finding(clock_ahead_ms: int) -> Finding | None:
    """Warn if the clocks of the server and of this machine are apart: the server's decides what is too old."""
    if abs(clock_ahead_ms) < _CLOCK_OFF_MS:
        return None
    side = "ahead of" if clock_ahead_ms > 0 else "behind"
    return Finding(
        "warning",
        f"the clock of the server is {abs(clock_ahead_ms) / 1000:,.0f} s {side} this machine's",
        "set both by NTP; the server's clock says what a retention policy drops",
        {"server_clock_ahead_ms": clock_ahead_ms},
    )


def retention_finding(retention: Retention) -> Finding | None:
    """Say how long the server keeps what is written; None if for ever."""
    if retention.duration_ms is None:
        return None
    what = "it" if retention.policy is None else f"its retention policy {retention.policy}"
    return Finding(
        "ok",
        f"{what} keeps {retention.kept}; a longer range is refused without --within-retention",
        facts={"retention_policy": retention.policy, "retention_ms": retention.duration_ms},
    )


async def write_finding(database: Database) -> Finding:
    """Say whether candles can be written: writing nothing proves the right.

    1.6.7 and 2.7.12 check the database and the user's rights first; then there is no point to take.
    """
    try:
        verdict = await database.write(b"")
    except StoreError as exc:
        return Finding.of(exc)
    if verdict.kind == "ok":
        return Finding("ok", "it can be read and written")
    return Finding("warning", f"the right to write is not proven: {verdict.reason}", "the first run will tell")


async def making_finding(database: Database) -> Finding:
    """Say whether a run could make the missing database."""
    address = database.address
    if await database.may_make():
        return Finding("ok", f"a backfill can make the {address.noun} {address.database}")
    return Finding(
        "problem",
        f"there is no {address.noun} {address.database} that this {address.who} may see, "
        f"and the {address.who} may not make one",
        database.making_hint,
        {"reason": "store_unavailable"},
    )


async def types_findings(database: Database, contents: Contents) -> list[Finding]:
    """Warn of each stretch in which the server refuses candles because fields are no floats there."""
    unplaced: list[str] = []
    with anyio.move_on_after(database.caller.timing.look_s) as looking:
        await contents.find_closed()
        unplaced = await contents.unplaced_types()
    found = [_closed_finding(database, measurement, one) for measurement, one in contents.closed()]
    if unplaced:
        text = f"there are other types than floats, and the server does not say where: {some_of(unplaced)}"
        found.append(Finding("warning", text, "what InfluxDB refuses goes to the dead letter"))
    few = _few(found, "more stretches with other types than floats")
    return [*few, _unfinished(database, "types of fields")] if looking.cancelled_caught else few


def _closed_finding(database: Database, measurement: str, one: ClosedStretch) -> Finding:
    start, end = iso(one.span.start_ms), iso(one.span.end_ms)
    facts: dict[str, Fact] = {
        "measurement": measurement,
        "start": start,
        "end": end,
        "conflicts": one.conflicts,
        "shard": one.shard.number,
    }
    text = (
        f"{measurement} keeps other types than floats from {start} to {end} ({one.conflicts}): InfluxDB refuses "
        "candles there, and they stay missing"
    )
    return Finding("warning", text, database.types_remedy(measurement, one.shard), facts)


async def doubles_findings(database: Database, contents: Contents) -> list[Finding]:
    """Warn of series that differ from ours in a tag and double the rows of a query by symbol."""
    found: list[Finding] = []
    look: Look | None = None
    doubles: list[tuple[str, Doubles, list[TaggedSeries]]] = []
    more_points: list[int | None] = []
    with anyio.move_on_after(database.caller.timing.look_s) as looking:
        look = await database.look()
        if look is None and not await contents.empty():
            found.append(Finding("warning", _UNASKED, _NAME_IT))
        doubles = await contents.doubles() if look is not None else []
        for place_in_row, (measurement, one, series) in enumerate(doubles):
            if look is not None:
                removal = Removal(look, measurement, one, series, await contents.foreign_tags(measurement))
                if place_in_row < _SHOWN:
                    found.append(await _double_finding(database, removal))
                else:
                    more_points.append(await removal.points())
    # Tell what was found, however long the counting took.
    if rest := doubles[len(found) :] if look is not None else []:
        found.append(_more_doubles(rest, more_points, len(doubles)))
    return [*found, _unfinished(database, "series that double ours")] if looking.cancelled_caught else found


def _more_doubles(
    rest: Sequence[tuple[str, Doubles, list[TaggedSeries]]], points: Sequence[int | None], doubles: int
) -> Finding:
    """Tell of the other kinds, with their points as far as there was time to count."""
    names = [f"{measurement},{one.like}" for measurement, one, _ in rest]
    count = sum(one for one in points if one is not None)
    least = "" if len(points) == len(rest) and None not in points else "at least "
    many = f"{least}{counted(count, 'point')}" if count else "not counted in time"
    text = f"and {len(rest):,} more kinds of series, {many}, double rows of a query by symbol: {some_of(names)}"
    facts: dict[str, Fact] = {"doubles": doubles, "more_points": count, "all_counted": not least}
    return Finding("warning", text, "remove the ones above and check again", facts)


async def _double_finding(database: Database, removal: Removal) -> Finding:
    one, statement = removal.doubles, removal.statement
    points = await removal.points()
    others = await removal.in_other_policies()
    many = "points" if points is None else counted(points, "point")
    span = f"{iso(one.first_ms)} to {iso(one.last_ms)}"
    double = "doubles" if len(one.series) == 1 else "double"
    beside = some_of([str(series) for series in one.beside], _BESIDE_SHOWN)
    text = (
        f"{counted(len(one.series), 'series')} of {removal.measurement} beside ours {double} rows of a query by "
        f"symbol: {one.like}, {many}, {span}, beside {beside}"
    )
    along = f"; it also takes what is like them in the retention policies {some_of(others)}" if others else ""
    facts: dict[str, Fact] = {
        "measurement": removal.measurement,
        "series": len(one.series),
        "like": one.like,
        "points": points,
        "first": iso(one.first_ms),
        "last": iso(one.last_ms),
        "statement": statement,
        "other_policies": ", ".join(others),
    }
    return Finding("warning", text, f"{database.how_to_remove(removal)}{along}", facts)


def _few(found: list[Finding], more: str) -> list[Finding]:
    rest = len(found) - _SHOWN
    return (
        found if rest <= 0 else [*found[:_SHOWN], Finding("warning", f"{rest:,} {more}", "mend the ones above first")]
    )


def _unfinished(database: Database, what: str) -> Finding:
    limit = f"{database.caller.timing.look_s:g} s"
    return Finding("warning", f"not all {what} were looked through within {limit}", "check again later")
