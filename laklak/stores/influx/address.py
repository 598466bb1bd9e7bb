"""Where candles are on an InfluxDB server, as people write it.  Pure.

    influxdb://[user@]host[:8086]/database[?rp=NAME]        1.x; influxdb+https:// for TLS
    influxdb2://host[:8086]/BUCKET?org=ORG                  2.x; influxdb2+https:// for TLS

An address in a file or in the environment may hold a password or token: `influxdb://me:PASSWORD@...`,
`influxdb2://:TOKEN@...`, percent-encoded.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar, Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from laklak.errors import StoreUnavailable

PASSWORD_NAME: Final = "LAKLAK_INFLUXDB_PASSWORD"  # noqa: S105, the name of a variable
TOKEN_NAME: Final = "LAKLAK_INFLUXDB_TOKEN"  # noqa: S105, the name of a variable

SPELLING_1: Final = "influxdb://[user@]host[:8086]/database[?rp=NAME]"
SPELLING_2: Final = "influxdb2://host[:8086]/BUCKET?org=ORG"

_DEFAULT_PORT: Final = 8086
_HOST: Final = re.compile(r"[A-Za-z0-9._-]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(?:%[A-Za-z0-9._-]+)?")
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Address(ABC):
    """A database or bucket of a server; the two kinds below add what only one version has."""

    host: str
    port: int = _DEFAULT_PORT
    database: str
    tls: bool = False

    plain_scheme: ClassVar[str]
    """The beginning of an address without TLS; with TLS `+https` follows."""
    major: ClassVar[int]
    """The major version of these servers."""
    noun: ClassVar[str]
    """The name that these servers give a database."""
    who: ClassVar[str]
    """What the server knows us by."""

    @property
    @abstractmethod
    def display(self) -> str:
        """The address as it may be shown: three stars for a password or token."""

    @property
    @abstractmethod
    def account(self) -> str:
        """As whom the server knows us, for people."""

    @property
    @abstractmethod
    def login_hint(self) -> str:
        """What to do when the server refuses us."""

    @property
    def server(self) -> str:
        """`host:port`, with brackets around an IPv6 address."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def http_url(self) -> str:
        """The URL for requests; never with a user, password or token."""
        return f"{'https' if self.tls else 'http'}://{self.server}"

    @property
    def product(self) -> str:
        """`InfluxDB 1.x`."""
        return f"InfluxDB {self.major}.x"

    @property
    def lock_name(self) -> str:
        """A file name that all spellings of one database share, as far as we can know them."""
        host = "localhost" if self.host.lower() in _LOOPBACK else self.host.lower()
        return f"influxdb-{quote(f'{host}:{self.port}/{self.database}', safe='')[:200]}.lock"

    @property
    @abstractmethod
    def identity(self) -> str:
        """The same for two spellings of one place, as far as that shows without asking."""

    @property
    def scheme(self) -> str:
        return self.scheme_of(tls=self.tls)

    def scheme_of(self, *, tls: bool) -> str:
        return f"{self.plain_scheme}+https" if tls else self.plain_scheme

    def __str__(self) -> str:
        return self.display


@dataclass(frozen=True, slots=True, kw_only=True)
class Address1(Address):
    """A database of an InfluxDB 1.x server. `retention_policy` None means the database's default."""

    retention_policy: str | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    plain_scheme = "influxdb"
    major = 1
    noun = "database"
    who = "user"

    @property
    def display(self) -> str:
        account = ""
        if self.user is not None:
            account = f"{quote(self.user, safe='')}{':***' if self.password else ''}@"
        policy = f"?rp={quote(self.retention_policy, safe='')}" if self.retention_policy is not None else ""
        return f"{self.scheme}://{account}{self.server}/{quote(self.database, safe='')}{policy}"

    @property
    def identity(self) -> str:
        return f"{self.lock_name}?rp={self.retention_policy or ''}"

    @property
    def account(self) -> str:
        return f"logged in as {self.user}" if self.user else "without a login"

    @property
    def login_hint(self) -> str:
        if self.user is None:
            return f"put the user into the address, {self.scheme}://USER@{self.server}/..., and set {PASSWORD_NAME}"
        if not self.password:
            return f"set {PASSWORD_NAME} to the password of {self.user}"
        return f"check the user {self.user}, its password and its rights on {self.database}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address2(Address):
    """A bucket of an InfluxDB 2.x server, called `database` here as everywhere in this room."""

    org: str
    token: str | None = field(default=None, repr=False)

    plain_scheme = "influxdb2"
    major = 2
    noun = "bucket"
    who = "token"

    @property
    def display(self) -> str:
        account = ":***@" if self.token else ""
        name, org = quote(self.database, safe=""), quote(self.org, safe="")
        return f"{self.scheme}://{account}{self.server}/{name}?org={org}"

    @property
    def identity(self) -> str:
        return f"{self.lock_name}?org={self.org}"

    @property
    def account(self) -> str:
        return "with a token" if self.token else "without a token"

    @property
    def login_hint(self) -> str:
        if not self.token:
            return f"set {TOKEN_NAME} to a token that may read and write the bucket {self.database}"
        return f"check the token: it needs the right to read and to write the bucket {self.database}"


def parse_address(
    text: str, *, password: str | None = None, token: str | None = None, org: str | None = None
) -> Address1 | Address2:
    """Read an address; `password`, `token` and `org` fill in what it lacks.

    Raises:
        StoreUnavailable: it is not spelled like one. The message shows nothing of `text`, because in a misspelled one
            any part may be the secret.
    """
    scheme, colon, _ = text.partition("://")
    plain, plus, over = scheme.lower().partition("+")
    if not colon or plain not in ("influxdb", "influxdb2") or (plus and over != "https"):
        raise StoreUnavailable(
            "this is not the address of an InfluxDB server",
            hint=f"write {SPELLING_1} for 1.x, {SPELLING_2} for 2.x; influxdb+https:// and influxdb2+https:// for TLS",
        )
    if plain == "influxdb":
        return _address_1(_read(text, _KIND_1), password)
    return _address_2(_read(text, _KIND_2), token, org)


@dataclass(frozen=True, slots=True)
class _Kind:
    noun: str
    spelling: str
    example: str
    encode: str


_KIND_1: Final = _Kind(
    "database",
    f"write {SPELLING_1}, or influxdb+https:// for TLS",
    "influxdb://localhost:8086/market_data",
    f"percent-encode / @ : ? # and % in a user, password or database name; or keep the password in {PASSWORD_NAME}",
)
_KIND_2: Final = _Kind(
    "bucket",
    f"write {SPELLING_2}, or influxdb2+https:// for TLS",
    "influxdb2://localhost:8086/market_data?org=ORG",
    f"percent-encode / @ : ? # and % in a bucket or organization name; keep the token in {TOKEN_NAME}",
)


@dataclass(frozen=True, slots=True)
class _Parts:
    host: str
    port: int
    tls: bool
    name: str
    user: str | None
    secret: str | None
    options: list[tuple[str, str]] | None


def _read(text: str, kind: _Kind) -> _Parts:
    noun = kind.noun
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
        user, secret = _account(parts.username), _account(parts.password)
        name = unquote(parts.path.removeprefix("/"), errors="strict")
        options = parse_qsl(parts.query, keep_blank_values=True, errors="strict") if parts.query else None
    except ValueError:
        # Without its cause, which quotes the unreadable text.
        raise StoreUnavailable(f"the address of the InfluxDB {noun} cannot be read", hint=kind.encode) from None
    if "@" in parts.path + parts.query or "#" in text or parts.netloc.count("@") > 1:
        raise StoreUnavailable(f"the address of the InfluxDB {noun} has an @ or # where none can be", hint=kind.encode)
    if not _HOST.fullmatch(host):
        raise StoreUnavailable(f"the address of the InfluxDB {noun} names no host", hint=kind.spelling)
    if port == 0:
        raise StoreUnavailable("the port of the InfluxDB address must be from 1 to 65535", hint=kind.spelling)
    if not name:
        hint = f"{kind.spelling}, as in {kind.example}"
        raise StoreUnavailable(f"the InfluxDB address names no {noun}", hint=hint)
    if parts.path.count("/") > 1:
        raise StoreUnavailable(f"the InfluxDB address has more than a {noun} after the host", hint=kind.spelling)
    if not name.isprintable():
        raise StoreUnavailable(f"the {noun} name of the InfluxDB address holds a control character", hint=kind.spelling)
    return _Parts(host, port or _DEFAULT_PORT, parts.scheme.endswith("+https"), name, user, secret, options)


def _account(text: str | None) -> str | None:
    # In `influxdb://@host/db` and `influxdb://user:@host/db` the sign adds nothing.
    return unquote(text, errors="strict") if text else None


def _address_1(parts: _Parts, password: str | None) -> Address1:
    if parts.user is not None and ":" in parts.user:
        raise StoreUnavailable("a user with a colon cannot log in to InfluxDB by HTTP", hint="make another user")
    if parts.user is None and parts.secret is not None:
        raise StoreUnavailable("the InfluxDB address has a password without a user", hint=_KIND_1.spelling)
    own = parts.secret or password if parts.user is not None else None
    return Address1(
        host=parts.host,
        port=parts.port,
        database=parts.name,
        tls=parts.tls,
        retention_policy=_option(parts, "rp", _KIND_1),
        user=parts.user,
        password=own or None,
    )


def _address_2(parts: _Parts, token: str | None, org: str | None) -> Address2:
    if parts.user is not None:
        raise StoreUnavailable(
            "an address of InfluxDB 2.x has a token and no user",
            hint=f"set {TOKEN_NAME}, or write :TOKEN@ before the host, with the colon",
        )
    own_org = _option(parts, "org", _KIND_2) or org
    if not own_org:
        raise StoreUnavailable(
            "the InfluxDB address names no organization",
            hint=f"{_KIND_2.spelling}, or set INFLUX_ORG",
        )
    own = parts.secret or token or None
    if own is not None and not (own.isascii() and own.isprintable()):
        # It could not even be sent.
        raise StoreUnavailable("the InfluxDB token holds characters that no token has", hint=f"check {TOKEN_NAME}")
    return Address2(host=parts.host, port=parts.port, database=parts.name, tls=parts.tls, org=own_org, token=own)


def _option(parts: _Parts, name: str, kind: _Kind) -> str | None:
    if parts.options is None:
        return None
    if [key for key, _ in parts.options] == [name] and parts.options[0][1] and parts.options[0][1].isprintable():
        return parts.options[0][1]
    form = "rp=NAME" if kind is _KIND_1 else "org=ORG"
    raise StoreUnavailable(
        f"an InfluxDB address takes nothing but one {form} after the question mark", hint=kind.spelling
    )
