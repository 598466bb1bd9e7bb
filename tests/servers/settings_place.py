"""Where settings come from in a test: a folder with files, flags, an environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from laklak.errors import SettingsError
from laklak.settings.load import Settings, load_settings


class Place:
    """A folder to write settings files in, and to load from."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.user_config = folder / "user" / "laklak.toml"
        self.user_config.parent.mkdir()

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def load(self, flags: Mapping[str, object] | None = None, environment: Mapping[str, str] | None = None) -> Settings:
        return load_settings(
            flags or {}, environment=environment or {}, folder=self.folder, user_config=self.user_config
        )

    def error(
        self, flags: Mapping[str, object] | None = None, environment: Mapping[str, str] | None = None
    ) -> SettingsError:
        with pytest.raises(SettingsError) as caught:
            self.load(flags, environment)
        return caught.value
