"""The machine and the versions a benchmark ran on."""

from __future__ import annotations

import os
import platform
import sqlite3
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from laklak._version import __version__
from laklak.tasks.process import cores

_LIBRARIES: Final = ("aiohttp", "uvloop", "orjson", "isal", "polars", "nanoarrow")


def describe() -> dict[str, Any]:
    """Machine, system and versions as plain data; None for an unknown value."""
    return {
        "laklak": __version__,
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        **{name: _version_of(name) for name in _LIBRARIES},
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": cores(),
        "memory_bytes": _memory_bytes(),
        "load_at_start": round(os.getloadavg()[0], 2),
    }


def headline(machine: dict[str, Any]) -> str:
    """The machine in one line."""
    memory = machine["memory_bytes"]
    size = "" if memory is None else f", {memory / 2**30:.0f} GiB"
    return (
        f"laklak {machine['laklak']}, Python {machine['python']}, {machine['system']}, {machine['cores']} cores of "
        f"{machine['processor']}{size}"
    )


def is_busy(machine: dict[str, Any]) -> bool:
    """Whether other programs used the machine, so that the figures are rough."""
    return bool(machine["load_at_start"] > 0.25 * machine["cores"])


def _version_of(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]} ({platform.machine()})" if names else platform.processor() or platform.machine()


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        return None
