"""What answers at an address, and the right spelling if it differs from the address."""

from __future__ import annotations

from dataclasses import dataclass

from laklak.errors import StoreUnavailable
from laklak.stores.influx.address import Address


@dataclass(frozen=True, slots=True)
class Greeting:
    """The answer to /ping: the version, None if it is no InfluxDB's; the server's clock less ours, ms."""

    version: str | None
    status: int
    clock_ahead_ms: int


def check_greeting(address: Address, greeting: Greeting) -> str:
    """Return the version of the server; StoreUnavailable if the address does not fit it, saying which one does."""
    if greeting.version is None:
        if greeting.status == 400 and not address.tls:
            raise StoreUnavailable(
                f"{address.server} does not take plain HTTP",
                hint=f"write {address.scheme_of(tls=True)}://{address.server}/...",
            )
        raise StoreUnavailable(
            f"what answers at {address.server} is not InfluxDB (HTTP status {greeting.status})",
            hint="check the host and the port; InfluxDB listens on 8086",
        )
    version = greeting.version.removeprefix("v")
    major = version.partition(".")[0]
    if major == str(address.major):
        return version
    tls = "+https" if address.tls else ""
    spellings = {
        "1": f"influxdb{tls}://{address.server}/DATABASE",
        "2": f"influxdb2{tls}://{address.server}/BUCKET?org=ORG",
    }
    if major not in spellings:
        raise StoreUnavailable(
            f"{address.server} is InfluxDB {version}, which laklak does not know",
            hint="use InfluxDB 1.x or 2.x, or a SQLite file",
        )
    raise StoreUnavailable(
        f"{address.server} is InfluxDB {version}, and {address.scheme}:// is for {address.major}.x",
        hint=f"write {spellings[major]}",
    )
