"""The InfluxDB store at an address."""

from __future__ import annotations

from pathlib import Path

from laklak.stores.access import StoreAccess
from laklak.stores.influx.address import Address1, parse_address
from laklak.stores.influx.database import Database
from laklak.stores.influx.dead_letter import FILE_NAME
from laklak.stores.influx.store import InfluxStore

_IN_FLIGHT = 4
# Reads go on while writes are in flight.
_CONNECTIONS = _IN_FLIGHT + 4


def open_influx(
    access: StoreAccess, *, state_dir: str | Path, create: bool = True, dead_letter: str | Path = FILE_NAME
) -> InfluxStore:
    """Return the store at an address like `influxdb://me@localhost/market_data`, to enter with `async with`.

    Args:
        access: where it is and how to use it.
        state_dir: the folder of the lock that keeps out a second backfill of this machine.
        create: make a missing database if the rights allow. Without it reading returns nothing then, and writing
            fails.
        dead_letter: the file for lines that the server refuses.

    Raises:
        StoreUnavailable: there is no such address.
    """
    address = parse_address(access.where, password=access.password, token=access.token, org=access.org)
    database: Database
    if isinstance(address, Address1):
        from laklak.stores.influx.v1.database import Database1

        database = Database1(address, connections=_CONNECTIONS, gzip=access.gzip, timing=access.timing)
    else:
        from laklak.stores.influx.v2.bucket import Database2

        database = Database2(address, connections=_CONNECTIONS, gzip=access.gzip, timing=access.timing)
    return InfluxStore(
        database,
        state_dir=state_dir,
        create=create,
        max_wait_s=access.max_wait_s,
        dead_letter=dead_letter,
        lines_per_batch=access.batch_lines,
        in_flight=_IN_FLIGHT,
        measurement=access.measurement,
        start_wait_s=access.start_wait_s,
        refusal_wait_s=access.refusal_wait_s,
    )
