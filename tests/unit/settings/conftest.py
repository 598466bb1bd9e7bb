"""A place of its own for every test of settings."""

from __future__ import annotations

from pathlib import Path

import pytest
from settings_place import Place


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.chdir(tmp_path)
    return Place(tmp_path)
