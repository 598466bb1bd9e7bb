"""The login header for a plain request to an InfluxDB server."""

from __future__ import annotations

from base64 import b64encode

from laklak.stores.influx.address import Address1, Address2


def login(address: Address1 | Address2) -> dict[str, str]:
    """The Authorization header; empty without an account or token."""
    if isinstance(address, Address2):
        return {"Authorization": f"Token {address.token}"} if address.token else {}
    if address.user is None:
        return {}
    account = f"{address.user}:{address.password or ''}"
    return {"Authorization": f"Basic {b64encode(account.encode()).decode()}"}
