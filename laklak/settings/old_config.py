"""config.py of the scripts that people come from: which InfluxDB it names, as lines for .env.

It is read as text and never run: anything but plain values is ignored.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from laklak.errors import UsageError
from laklak.settings.origins import INFLUX_NAMES
from laklak.text import read_text

FILE_NAME: Final = "config.py"

_MAX_BYTES: Final = 1_000_000
_OTHER_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "INFLUXDB_DB": "INFLUXDB_DATABASE",
        "INFLUXDB_DBNAME": "INFLUXDB_DATABASE",
        "INFLUXDB_NAME": "INFLUXDB_DATABASE",
        "INFLUXDB_USER": "INFLUXDB_USERNAME",
        "INFLUXDB_PASS": "INFLUXDB_PASSWORD",
    }
)
_SECRETS: Final = ("PASSWORD", "TOKEN")
# Without one of these the file names no server to fill.
_HOSTS: Final = frozenset({"INFLUXDB_HOST", "INFLUX_HOST", "INFLUXDB_V2_URL"})


def lines_for_dotenv(folder: Path) -> list[str]:
    """Return the lines that say in .env what config.py of `folder` says of an InfluxDB; none if it names none.

    The user fills in the value of a password or token: a screen is no place for it.
    """
    path = folder / FILE_NAME
    if not os.path.isfile(path):
        return []
    try:
        tree = ast.parse(read_text(path, limit_bytes=_MAX_BYTES, error=UsageError))
    except (UsageError, SyntaxError, ValueError, RecursionError, MemoryError):
        # It may be any file: nothing says that it concerns us.
        return []
    found = {name: value for name, value in _assigned(tree) if value is not None}
    if not _HOSTS & set(found):
        return []
    return [f"{name}={_shown(name, value)}" for name, value in found.items()]


def _assigned(tree: ast.Module) -> Iterator[tuple[str, str | None]]:
    """Yield every name of an InfluxDB tool with its plain value, wherever in the file.

    In a class, as a key of a dict, or shorter in a dict of that name (`INFLUXDB = {"host": ...}`).
    """
    for node in ast.walk(tree):
        pairs: list[tuple[str, ast.expr]] = []
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            pairs = [(target.id, node.value) for target in targets if isinstance(target, ast.Name)]
        elif isinstance(node, ast.Dict):
            pairs = list(_items(node))
        for word, value in pairs:
            yield from _named(word, value)
            if isinstance(value, ast.Dict) and word.upper().startswith("INFLUX"):
                for key, inner in _items(value):
                    yield from _named(f"INFLUXDB_{key}", inner)


def _items(node: ast.Dict) -> Iterator[tuple[str, ast.expr]]:
    for key, value in zip(node.keys, node.values, strict=True):
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            yield key.value, value


def _named(word: str, value: ast.expr) -> Iterator[tuple[str, str | None]]:
    name = _OTHER_NAMES.get(word.upper(), word.upper())
    if name in INFLUX_NAMES:
        yield name, _plain(value)


def _plain(value: ast.expr) -> str | None:
    """Return a text or a number, also as the default of `os.getenv("NAME", default)`, or inside `int(...)`."""
    if isinstance(value, ast.Constant) and isinstance(value.value, str | int) and not isinstance(value.value, bool):
        return str(value.value)
    if isinstance(value, ast.Call) and value.args:
        called = value.func.attr if isinstance(value.func, ast.Attribute) else getattr(value.func, "id", "")
        if called in ("getenv", "get", "config", "env"):
            default = [keyword.value for keyword in value.keywords if keyword.arg == "default"] + value.args[1:2]
            return _plain(default[0]) if default else None
        if called in ("int", "str"):
            return _plain(value.args[0])
    return None


def _shown(name: str, value: str) -> str:
    if name.endswith(_SECRETS):
        return "..."
    return value if value.isprintable() and not set(value) & set(" #'\"$\\") else repr(value)
