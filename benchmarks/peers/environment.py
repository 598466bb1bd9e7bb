"""The virtual environment of the peers: what `[dependency-groups] peers` of pyproject.toml names, and nothing else."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEFAULT = ROOT / "build" / "peers"
GROUP = "peers"


def requirements() -> list[str]:
    """The exact versions that are compared."""
    with open(ROOT / "pyproject.toml", "rb") as file:
        named: list[str] = tomllib.load(file)["dependency-groups"][GROUP]
    return named


def name_of(requirement: str) -> str:
    """The package that a requirement is of, spelled as `versions` spells it."""
    return _normal(re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0])


def _normal(name: str) -> str:
    return re.sub(r"[._-]+", "-", name).lower()


class Environment:
    """A folder with a Python and the peers; `missing` says which ones could not be had, and why."""

    def __init__(self, folder: Path, tell: Callable[[str], None]) -> None:
        self._folder = folder
        self._tell = tell
        self.missing: dict[str, str] = {}

    @property
    def python(self) -> str:
        return str(self._folder / "bin" / "python")

    def prepare(self) -> dict[str, str]:
        """Make it where it is not there, install what it lacks, and give the versions of everything in it."""
        if not Path(self.python).exists():
            self._tell(f"making {self._folder}")
            subprocess.run([sys.executable, "-m", "venv", str(self._folder)], check=True)
        wanted = requirements()
        there = self.versions()
        lacking = [one for one in wanted if one.partition("==")[2] != there.get(name_of(one))]
        if lacking:
            self._tell(f"installing {', '.join(lacking)}")
            if self._install(lacking):
                # One of them is at fault: the others are still worth having.
                for one in lacking:
                    if why := self._install([one]):
                        self.missing[name_of(one)] = why
        return self.versions()

    def versions(self) -> dict[str, str]:
        """What is installed, by name."""
        said = subprocess.run([*self._pip, "list", "--format", "json"], capture_output=True, text=True, check=True)
        return {_normal(one["name"]): one["version"] for one in json.loads(said.stdout)}

    def _install(self, wanted: list[str]) -> str:
        """Why pip could not; empty where it could."""
        done = subprocess.run([*self._pip, "install", "--quiet", *wanted], capture_output=True, text=True)
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        return "" if done.returncode == 0 else (lines or ["pip failed"])[-1]

    @property
    def _pip(self) -> list[str]:
        return [self.python, "-m", "pip", "--disable-pip-version-check"]


def clean(environment: dict[str, str]) -> dict[str, str]:
    """The environment of a measured peer: nothing of laklak's is importable, and no proxy is in the way."""
    keep = {name: value for name, value in environment.items() if name != "PYTHONPATH"}
    return {
        **keep,
        "NO_PROXY": "127.0.0.1,localhost",
        "PYTHONDONTWRITEBYTECODE": "1",
        "TZ": os.environ.get("TZ", "UTC"),
    }
