"""What several commands take, in the same words, and the settings that come of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from laklak.cli.grouped import AGAIN, OUTPUT, WHAT, WHERE
from laklak.errors import UsageError

if TYPE_CHECKING:
    from laklak.settings.load import Settings

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.", rich_help_panel=OUTPUT)]
NoProgress = Annotated[bool, typer.Option("--no-progress", help="No progress display.", rich_help_panel=OUTPUT)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only warnings and errors.", rich_help_panel=OUTPUT)]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="More in the log, tracebacks too.", rich_help_panel=OUTPUT)
]
LogFile = Annotated[
    str | None,
    typer.Option(metavar="FILE|none", help="Log of the run, rotated [backfill.log].", rich_help_panel=OUTPUT),
]
Force = Annotated[
    bool,
    typer.Option(
        "--force", help="Go on although the disk is nearly full, or mix real and simulated.", rich_help_panel=AGAIN
    ),
]
OtherAddress = Annotated[
    bool,
    typer.Option(
        "--other-address",
        help="Mix candles of a venue from another address with the stored ones.",
        rich_help_panel=AGAIN,
    ),
]
Config = Annotated[str | None, typer.Option(metavar="FILE", help="Settings file [laklak.toml].", rich_help_panel=WHERE)]
ExistingStore = Annotated[
    str | None, typer.Option(metavar="WHERE", help="The store [laklak.db].", rich_help_panel=WHERE)
]
Start = Annotated[
    str | None, typer.Option(metavar="T", help="First moment; a date is midnight UTC.", rich_help_panel=WHAT)
]


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
