"""Where an InfluxDB 1.x database is, as people write it: `influxdb://[user@]host[:8086]/database[?rp=NAME]`.  Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from laklak.errors import StoreUnavailable

PASSWORD_NAMES: Final = ("LAKLAK_INFLUXDB_PASSWORD", "INFLUXDB_PASSWORD")
"""Environment variables that may hold the password, the first that is there counts."""

_DEFAULT_PORT: Final = 8086
_SCHEMES: Final = {"influxdb": False, "influxdb+https": True}
_HOST: Final = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:%[A-Za-z0-9._-]+)?")
_SPELLING: Final = "write influxdb://[user@]host[:8086]/database[?rp=NAME], or influxdb+https:// for TLS"
_ENCODE: Final = (
    f"percent-encode / @ : ? # and % in a user, password or database name; or keep the password in {PASSWORD_NAMES[0]}"
)
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class InfluxAddress:
    """A database of an InfluxDB 1.x server. `retention_policy` None means the default one of the database."""

    host: str
    port: int
    database: str
    retention_policy: str | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False

    @property
    def server(self) -> str:
        """`host:port`, with the brackets that an IPv6 address needs."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def http_url(self) -> str:
        """What requests go to; never with a user or password."""
        return f"{'https' if self.tls else 'http'}://{self.server}"

    @property
    def display(self) -> str:
        """The address as it may be shown: a password is three stars."""
        account = ""
        if self.user is not None:
            account = f"{quote(self.user, safe='')}{':***' if self.password else ''}@"
        policy = f"?rp={quote(self.retention_policy, safe='')}" if self.retention_policy is not None else ""
        scheme = "influxdb+https" if self.tls else "influxdb"
        return f"{scheme}://{account}{self.server}/{quote(self.database, safe='')}{policy}"

    @property
    def lock_name(self) -> str:
        """A file name that all spellings of one database share, as far as they can be known."""
        host = "localhost" if self.host.lower() in _LOOPBACK else self.host.lower()
        return f"influxdb-{quote(f'{host}:{self.port}/{self.database}', safe='')[:200]}.lock"


def parse_influx_url(text: str, environment: Mapping[str, str]) -> InfluxAddress:
    """Read an address; a password in it counts before one in `environment`.

    Raises:
        StoreUnavailable: it is not spelled like one. Nothing of `text` is in the message, since where it is misspelled
            any part of it may be the password.
    """
    scheme, colon, _ = text.partition("://")
    if not colon or scheme.lower() not in _SCHEMES:
        raise StoreUnavailable("this is not the address of an InfluxDB 1.x database", hint=_SPELLING)
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
        user, password = _account(parts.username), _account(parts.password)
        database = unquote(parts.path.removeprefix("/"), errors="strict")
        options = parse_qsl(parts.query, keep_blank_values=True, errors="strict")
    except ValueError:
        # Without its cause, which quotes what it could not read.
        raise StoreUnavailable("the address of the InfluxDB database cannot be read", hint=_ENCODE) from None
    if "@" in parts.path + parts.query or "#" in text or parts.netloc.count("@") > 1:
        raise StoreUnavailable("the address of the InfluxDB database has an @ or # where none can be", hint=_ENCODE)
    if not _HOST.fullmatch(host):
        raise StoreUnavailable("the address of the InfluxDB database names no host", hint=_SPELLING)
    if port == 0:
        raise StoreUnavailable("the port of the InfluxDB address must be from 1 to 65535", hint=_SPELLING)
    _check_database(database, parts.path)
    if user is not None and ":" in user:
        raise StoreUnavailable("a user with a colon cannot log in to InfluxDB by HTTP", hint="make another user")
    if user is None and password is not None:
        raise StoreUnavailable("the InfluxDB address has a password without a user", hint=_SPELLING)
    if user is not None and password is None:
        password = next((environment[name] for name in PASSWORD_NAMES if environment.get(name)), None)
    tls, policy = _SCHEMES[scheme.lower()], _policy(parts.query, options)
    return InfluxAddress(host, port or _DEFAULT_PORT, database, policy, user, password, tls)


def _account(text: str | None) -> str | None:
    # `influxdb://@host/db` and `influxdb://user:@host/db` say no more than without the sign.
    return unquote(text, errors="strict") if text else None


def _check_database(database: str, path: str) -> None:
    if not database:
        raise StoreUnavailable(
            "the InfluxDB address names no database", hint=f"{_SPELLING}, as in influxdb://localhost:8086/market_data"
        )
    if path.count("/") > 1:
        raise StoreUnavailable("the InfluxDB address has more than a database after the host", hint=_SPELLING)
    if not database.isprintable():
        raise StoreUnavailable("the database name of the InfluxDB address holds a control character", hint=_SPELLING)


def _policy(query: str, options: list[tuple[str, str]]) -> str | None:
    if not query:
        return None
    if [name for name, _ in options] == ["rp"] and options[0][1] and options[0][1].isprintable():
        return options[0][1]
    raise StoreUnavailable("an InfluxDB address takes nothing but one rp=NAME after the question mark", hint=_SPELLING)
