"""Where settings are written down: environment variables, .env, laklak.toml, and the variables of other InfluxDB tools.

Each reader returns dotted key -> Given, still as text, and knows only the names it may meet; laklak.settings.table and
load decide what the values mean.  An empty text counts as not set, everywhere.
"""

from __future__ import annotations

import io
import os
import re
import tomllib
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path, PurePath
from typing import Final
from urllib.parse import quote

from laklak.errors import SettingsError
from laklak.text import mask_url, nearest, quoted, read_text, shown_path

PREFIX: Final = "LAKLAK_"
# Older installations (INFLUXDB_*, 1.x), the official tools (INFLUX_*, 2.x) and influxdb-client (INFLUXDB_V2_*) read
# these; the first name that is set counts.
_INFLUX_ACCOUNT: Final = {
    "influxdb_password": ("INFLUXDB_PASSWORD",),
    "influxdb_token": ("INFLUX_TOKEN", "INFLUXDB_TOKEN", "INFLUXDB_V2_TOKEN"),
    "influxdb_org": ("INFLUX_ORG", "INFLUXDB_ORG", "INFLUXDB_V2_ORG"),
}
_INFLUX_1: Final = ("INFLUXDB_HOST", "INFLUXDB_PORT", "INFLUXDB_DATABASE", "INFLUXDB_USERNAME")
_INFLUX_2_HOSTS: Final = ("INFLUX_HOST", "INFLUXDB_V2_URL")
_INFLUX_2_BUCKETS: Final = ("INFLUX_BUCKET", "INFLUX_BUCKET_NAME", "INFLUXDB_BUCKET")
INFLUX_NAMES: Final = frozenset(
    [*_INFLUX_1, *_INFLUX_2_HOSTS, *_INFLUX_2_BUCKETS, *(name for names in _INFLUX_ACCOUNT.values() for name in names)]
)

_LINKED_PREFIXES: Final = (PREFIX, "INFLUXDB_", "INFLUX_")
_LINK = re.compile(
    r"[A-Z0-9_]+_(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?"
    r"|PORT_[0-9]{1,5}_(?:TCP|UDP|SCTP)(?:_(?:ADDR|PORT|PROTO|START|END|PORT_START|PORT_END))?)"
)
_LINK_ADDRESS = re.compile(r"(?:tcp|udp|sctp)://\S+")
_LINK_CONTAINER = re.compile(r"/[\w.-]+/[\w.-]+")

_MAX_BYTES = 1_000_000
_LINE_END = re.compile(r"\r\n|\n|\r")
_TOML_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_INFLUX_HOST = re.compile(r"[A-Za-z0-9._-]+|\[?[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\]?")
_INFLUX_PORT = re.compile(r"[0-9]{1,5}")
_URL_PORTS = {"http": 80, "https": 443}
_INFLUX_URL = re.compile(
    r"(?:(?P<scheme>https?)://)?(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?/?", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Given:
    """One value as written; relative paths in it start from `folder`, None for the working directory."""

    text: str
    origin: str
    folder: Path | None = None


def as_text(value: object, key: str, origin: str, *, switch: bool = False) -> str:
    """Return `value` as a person would write it; SettingsError if it is neither text, number nor time.

    A `switch` may be true or false, too.
    """
    if isinstance(value, (str, PurePath)):
        text = str(value)
    elif isinstance(value, date):
        text = value.isoformat()
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        text = str(value)
    elif switch and isinstance(value, bool):
        text = "on" if value else "off"
    else:
        raise SettingsError(f"{key} ({origin}): expected text or a number, got {type(value).__name__}")
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in text):
        raise SettingsError(f"{key} ({origin}): expected text without control characters")
    return text


def nearest_key(word: str, keys: Iterable[str]) -> str | None:
    """Return the dotted key that `word` most likely misspells, also if it stands in the wrong table."""
    # Compare only the last parts: common tables make different keys look alike.
    names: dict[str, str] = {}
    for key in keys:
        names.setdefault(key.rpartition(".")[2], key)
    found = nearest(word.rpartition(".")[2].replace("-", "_"), names)
    return names[found] if found else None


# Environment and .env: both are names with values


def environment_names(environment: Mapping[str, str]) -> dict[str, Given]:
    """Return the variables of the environment that concern laklak, by name."""
    links = service_links(environment)
    return {
        name: Given(as_text(value, name, "environment"), f"environment {name}")
        for name, value in environment.items()
        if _concerns_us(name) and name not in links and _is_set(name, value)
    }


def dotenv_names(path: Path) -> dict[str, Given]:
    """Return the lines of a .env file that concern laklak, by name; nothing if there is no such file.

    The file may belong to other programs too: their lines are neither read nor judged.
    """
    # Some people call the folder of their virtual environment .env.
    if not os.path.exists(path) or os.path.isdir(path):
        return {}
    from dotenv.parser import parse_stream

    names: dict[str, Given] = {}
    bindings = list(parse_stream(io.StringIO(read_text(path, limit_bytes=_MAX_BYTES, error=SettingsError))))
    # Some write down what `env` says in a pod.
    links = service_links({binding.key: binding.value for binding in bindings if binding.key})
    for binding in bindings:
        statement = binding.original.string
        blank = statement[: len(statement) - len(statement.lstrip())]
        line = binding.original.line + len(_LINE_END.findall(blank))
        origin = f"{shown_path(path)}:{line}"
        # An unreadable statement has no key; its own first word then says whose it is.
        name = binding.key or re.split(r"[=\s]", statement.strip().removeprefix("export").lstrip())[0]
        if not _concerns_us(name) or name in links:
            continue
        if binding.error:
            raise SettingsError(
                f"{origin}: cannot be read", hint="write NAME=value, or NAME='value' with closed quotes"
            )
        names.pop(name, None)
        if binding.value and _is_set(name, binding.value):
            names[name] = Given(as_text(binding.value, name, origin), origin, path.parent)
    return names


def service_links(variables: Mapping[str, str | None]) -> set[str]:
    """Return the names that a platform has set to tell of services called like us, `laklak` or `influxdb` with more.

    Kubernetes puts them into every pod of a namespace, Docker into linked containers:

        LAKLAK_SERVICE_HOST=10.96.12.7         LAKLAK_SERVICE_PORT=8080      LAKLAK_SERVICE_PORT_HTTP=8080
        LAKLAK_PORT=tcp://10.96.12.7:8080      LAKLAK_PORT_8080_TCP=tcp://10.96.12.7:8080
        LAKLAK_PORT_8080_TCP_ADDR=10.96.12.7   LAKLAK_PORT_8080_TCP_PORT=8080, ..._PROTO=tcp
        LAKLAK_NAME=/web/laklak                LAKLAK_ENV_PATH=... (Docker)

    A service `laklak-web` has LAKLAK_WEB_ in place of LAKLAK_.  If a name alone could be a slip for a setting, the
    value decides.
    """
    links = {
        name
        for name, value in variables.items()
        if name.startswith(_LINKED_PREFIXES) and (_LINK.fullmatch(name) or _is_link_by_value(name, value or ""))
    }
    containers = tuple(name.removesuffix("NAME") + "ENV_" for name in links if name.endswith("_NAME"))
    return links | {name for name in variables if containers and name.startswith(containers)}


def _is_link_by_value(name: str, value: str) -> bool:
    if name.endswith("_PORT"):
        return _LINK_ADDRESS.fullmatch(value.strip()) is not None
    return name.endswith("_NAME") and _LINK_CONTAINER.fullmatch(value.strip()) is not None


def _is_set(name: str, value: str) -> bool:
    # Python programs write `None` for what their InfluxDB does not have.
    return bool(value.strip()) and not (name in INFLUX_NAMES and value.strip() == "None")


def _concerns_us(name: str) -> bool:
    return name.startswith(PREFIX) or name in INFLUX_NAMES


def variables(names: Mapping[str, Given], keys: Collection[str]) -> dict[str, Given]:
    """Return the settings among `names`: `LAKLAK_BINANCE_BUDGET` is binance.budget; SettingsError if unknown."""
    by_name = {variable_name(key): key for key in keys}
    found: dict[str, Given] = {}
    for name, given in names.items():
        if not name.startswith(PREFIX):
            continue
        if name not in by_name:
            word = name.removeprefix(PREFIX)
            guess = nearest(word, (known.removeprefix(PREFIX) for known in by_name))
            of_a_venue = (key for key in keys if key.rpartition(".")[2] == word.lower())
            key = next(of_a_venue, None) or (by_name[PREFIX + guess] if guess else nearest_key(word, keys))
            hint = f"did you mean {variable_name(key)}?" if key else f"known are {', '.join(sorted(by_name))}"
            place = "the environment" if given.folder is None else given.origin
            raise SettingsError(f"unknown setting {quoted(name)} in {place}", hint=hint)
        found[by_name[name]] = given
    return found


def variable_name(key: str) -> str:
    """Return the environment variable of a dotted key."""
    return PREFIX + key.upper().replace(".", "_")


def influx_store(names: Mapping[str, Given]) -> dict[str, Given]:
    """Return `store` as the variables of other InfluxDB tools name it; nothing if they name none.

    INFLUXDB_HOST, which means 1.x, counts before INFLUX_HOST with INFLUX_BUCKET, which mean 2.x: a host alone is set
    for many other reasons.  No password, token or organization is part of the URL.
    """
    if "INFLUXDB_HOST" in names:
        return {"store": _influx_1(names)}
    host, bucket = (_first_set(known, names) for known in (_INFLUX_2_HOSTS, _INFLUX_2_BUCKETS))
    return {"store": _influx_2(host, names[host], names[bucket])} if host and bucket else {}


def _first_set(known: Iterable[str], names: Mapping[str, Given]) -> str | None:
    return next((name for name in known if name in names), None)


def _influx_1(names: Mapping[str, Given]) -> Given:
    host = names["INFLUXDB_HOST"]
    if not _INFLUX_HOST.fullmatch(host.text):
        shown = quoted(mask_url(host.text))
        raise SettingsError(f"INFLUXDB_HOST = {shown} ({host.origin}): expected a host name or an address")
    port = names.get("INFLUXDB_PORT", Given("8086", "default"))
    if not _INFLUX_PORT.fullmatch(port.text) or not 1 <= int(port.text) <= 65_535:
        shown = quoted(mask_url(port.text))
        raise SettingsError(f"INFLUXDB_PORT = {shown} ({port.origin}): expected a port from 1 to 65535")
    user = names.get("INFLUXDB_USERNAME")
    database = names.get("INFLUXDB_DATABASE", Given("market_data", "default"))
    address = f"[{host.text.strip('[]')}]" if ":" in host.text else host.text
    account = f"{quote(user.text, safe='')}@" if user else ""
    url = f"influxdb://{account}{address}:{int(port.text)}/{quote(database.text, safe='')}"
    return Given(url, host.origin)


def _influx_2(name: str, host: Given, bucket: Given) -> Given:
    parts = _INFLUX_URL.fullmatch(host.text.strip())
    scheme = (parts["scheme"] or "").lower() if parts else ""
    port = int(parts["port"] or _URL_PORTS.get(scheme, 8086)) if parts else 0
    if parts is None or not 1 <= port <= 65_535:
        shown = quoted(mask_url(host.text))
        raise SettingsError(
            f"{name} = {shown} ({host.origin}): expected an address such as http://localhost:8086",
            hint="only scheme, host and port; a token goes into INFLUX_TOKEN",
        )
    own_scheme = "influxdb2+https" if scheme == "https" else "influxdb2"
    return Given(f"{own_scheme}://{parts['host']}:{port}/{quote(bucket.text, safe='')}", host.origin)


def influx_account(names: Mapping[str, Given]) -> dict[str, Given]:
    """Return password, token and organization as other InfluxDB tools name them, for a store that lacks its own."""
    return {key: names[name] for key, known in _INFLUX_ACCOUNT.items() if (name := _first_set(known, names))}


# laklak.toml


def toml_values(path: Path, keys: Collection[str], switches: Collection[str] = ()) -> dict[str, Given]:
    """Return the settings of a laklak.toml; SettingsError names file and line, or file and table."""
    name = shown_path(path)
    tables = {key.partition(".")[0] for key in keys if "." in key}
    found: dict[str, Given] = {}
    for word, value in _read_toml(path).items():
        if word in tables:
            if not isinstance(value, dict):
                raise SettingsError(f"{name}: {word} is not a table", hint=f"write its settings below [{word}]")
            entries = {f"{word}.{inner}": entry for inner, entry in value.items()}
        elif isinstance(value, dict):
            raise _not_a_table(name, word, keys, tables)
        else:
            entries = {word: value}
        for key, entry in entries.items():
            _check_toml_key(name, key, keys)
            text = as_text(entry, key, name, switch=key in switches)
            if text.strip():
                found[key] = Given(text, name, path.parent)
    return found


def _read_toml(path: Path) -> dict[str, object]:
    text = read_text(path, limit_bytes=_MAX_BYTES, error=SettingsError)
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise SettingsError(f"{shown_path(path)}: nested too deeply", hint="settings need one table at most") from None
    except ValueError as error:
        place = _TOML_PLACE.search(str(error))
        reason = _TOML_PLACE.sub("", str(error))
        line = place[1] if place and place[1] else text.count("\n") + 1
        hint = "write key = value; text needs quotes"
        raise SettingsError(f"{shown_path(path)}:{line}: not TOML: {reason}", hint=hint) from None


def _check_toml_key(name: str, key: str, keys: Collection[str]) -> None:
    if key in keys:
        return
    table, _, word = key.rpartition(".")
    place = f"{name} [{table}]" if table else name
    # Its own table is the likelier home; the whole file comes second.
    own = {known for known in keys if known.rpartition(".")[0] == table}
    guess = nearest_key(key, own) or nearest_key(key, keys)
    hint = f"did you mean {_toml_spelling(guess, table)}?" if guess else f"known are {', '.join(sorted(keys))}"
    raise SettingsError(f"{place}: unknown key {quoted(word)}", hint=hint)


def _toml_spelling(key: str, table_of_slip: str) -> str:
    table, _, word = key.rpartition(".")
    if table == table_of_slip:
        return word
    return f"{word} below [{table}]" if table else f"{word} above the first [table]"


def _not_a_table(name: str, word: str, keys: Collection[str], tables: Collection[str]) -> SettingsError:
    if word in keys:
        return SettingsError(f"{name}: {word} is a value, not a table", hint=f"write {word} = ...")
    guess = nearest(word, tables)
    hint = (
        f"did you mean [{guess}]?" if guess else f"known tables: {', '.join(f'[{table}]' for table in sorted(tables))}"
    )
    return SettingsError(f"{name}: unknown table [{word if word.isprintable() else quoted(word)}]", hint=hint)
