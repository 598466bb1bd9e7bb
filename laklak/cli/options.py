"""What several commands take, in the same words, and the settings that come of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from laklak.errors import UsageError

if TYPE_CHECKING:
    from laklak.settings.load import Settings

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
NoProgress = Annotated[bool, typer.Option("--no-progress", help="No progress display.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only warnings and errors.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="More in the log, tracebacks too.")]
Force = Annotated[
    bool, typer.Option("--force", help="Go on although the disk is nearly full, or mix real and simulated.")
]
OtherAddress = Annotated[
    bool,
    typer.Option("--other-address", help="Mix candles of a venue from another address with the stored ones."),
]
Config = Annotated[str | None, typer.Option(metavar="FILE", help="Settings file [laklak.toml].")]
ExistingStore = Annotated[str | None, typer.Option(metavar="WHERE", help="The store [laklak.db].")]


def settings_of(flags: dict[str, str | None]) -> Settings:
    """The settings in force with these flags (None is not given); SettingsError names the one that is wrong."""
    from laklak.settings.load import load_settings

    return load_settings(flags, environment=os.environ, folder=working_folder())


def working_folder() -> Path:
    """The folder that relative paths and ./laklak.toml belong to; UsageError when it is gone."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise UsageError("the folder you are in does not exist any more", hint="change to one that does") from None
