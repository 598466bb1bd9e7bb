"""What holds for every test: a clean environment and a folder of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_FOREIGN_PREFIXES = ("LAKLAK_", "INFLUXDB_", "INFLUX_")
_FOREIGN_NAMES = {"http_proxy", "https_proxy", "all_proxy", "no_proxy", "no_color", "force_color", "ssl_cert_file"}


@pytest.fixture(autouse=True)
def clean_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Scrub every setting from outside and work in an empty folder, so that no real store, settings file or remembered
    ban can ever be touched; gives that folder.
    """
    for name in list(os.environ):
        if name.startswith(_FOREIGN_PREFIXES) or name.lower() in _FOREIGN_NAMES:
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder
