"""How a database of an InfluxDB server may be used, found out without making or writing anything."""

from __future__ import annotations

from typing import Final

from laklak.errors import StoreError
from laklak.findings import Finding
from laklak.stores.influx.contents import Contents
from laklak.stores.influx.place import Place, Retention

# The server's time comes in whole seconds.
_CLOCK_OFF_MS: Final = 5_000


def server_finding(place: Place, version: str) -> Finding:
    """What answers, and as whom it knows us."""
    address = place.address
    text = f"InfluxDB {version} at {address.server}, {address.account}"
    return Finding("ok", text, facts={"server_version": version})


def clock_finding(clock_ahead_ms: int) -> Finding | None:
    """A warning where the clocks of the server and of this machine are apart: the server's says what is too old."""
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
    """How long the server keeps what is written; None where it is for ever."""
    if retention.duration_ms is None:
        return None
    what = "it" if retention.policy is None else f"its retention policy {retention.policy}"
    return Finding(
        "ok",
        f"{what} keeps {retention.kept}; a longer range is refused without --within-retention",
        facts={"retention_policy": retention.policy, "retention_ms": retention.duration_ms},
    )


async def write_finding(place: Place, contents: Contents) -> Finding:
    """Whether candles can be written: by the types that are there, and by a write of nothing, which proves the right.

    1.6.7 and 2.7.12 look for the database and the rights of the user first; then there is no point to take.
    """
    try:
        await contents.check_fields()
        verdict = await place.write(b"")
    except StoreError as exc:
        return Finding.of(exc)
    if verdict.kind == "ok":
        return Finding("ok", "it can be read and written")
    return Finding("warning", f"the right to write is not proven: {verdict.reason}", "the first run will tell")


async def making_finding(place: Place) -> Finding:
    """Whether a run could make the database that is not there."""
    address = place.address
    if await place.may_make():
        return Finding("ok", f"a backfill can make the {address.noun} {address.database}")
    return Finding(
        "problem",
        f"there is no {address.noun} {address.database} that this {address.who} may see, "
        f"and the {address.who} may not make one",
        place.making_hint,
        {"reason": "store_unavailable"},
    )
