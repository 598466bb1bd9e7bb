"""What several commands take, in the same words, and the settings that come of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar

import typer

from laklak.cli.grouped import AGAIN, OUTPUT, WHERE
from laklak.errors import UsageError
from laklak.settings.table import FLAGS

if TYPE_CHECKING:
    from laklak.model.series import Series
    from laklak.settings.load import Settings

Command = TypeVar("Command", bound=Callable[..., int])

_FIRST: Final = (
    *("days", "start", "end", "every", "quote", "assets", "interval", "venue"),
    *("store", "config"),
    *("source", "budget", "chunk", "max_wait"),
    "again",
)
"""In what order the help names what it groups; flags that are not here come last in their group."""


def option(key: str) -> Any:
    """The flag of a setting, as the table has it."""
    flag = FLAGS[key]
    return typer.Option(metavar=flag.metavar, help=flag.help, rich_help_panel=flag.panel)


def takes_settings(command: Command) -> Command:
    """Give a command a flag for each setting that has one; they come as its `**flags`."""
    own = [
        one for one in signature(command, eval_str=True).parameters.values() if one.kind is not Parameter.VAR_KEYWORD
    ]
    flags = [
        Parameter(key, Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[str | None, option(key)])
        for key in FLAGS
    ]
    own = [one.replace(kind=Parameter.KEYWORD_ONLY) for one in own]
    shown = sorted([*own, *flags], key=lambda one: _FIRST.index(one.name) if one.name in _FIRST else len(_FIRST))
    # typer asks for the signature, and calls by name.
    command.__signature__ = signature(command).replace(parameters=shown)  # type: ignore[attr-defined]
    return command


AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.", rich_help_panel=OUTPUT)]
NoProgress = Annotated[bool, typer.Option("--no-progress", help="No progress display.", rich_help_panel=OUTPUT)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only warnings and errors.", rich_help_panel=OUTPUT)]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="More in the log, tracebacks too.", rich_help_panel=OUTPUT)
]
LogFile = Annotated[str | None, option("log_file")]
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
Start = Annotated[str | None, option("start")]


def settings_of(flags: Mapping[str, str | None]) -> Settings:
    """The settings in force with these flags (None is not given); SettingsError names the one that is wrong."""
    from laklak.settings.load import load_settings

    return load_settings(flags, environment=os.environ, folder=working_folder())


def chosen_series(names: Sequence[str], assets: str | None, settings: Settings, *, stored: bool) -> list[Series]:
    """The series that were named, or those of an asset list; none for all that is stored."""
    from laklak.model.series import Series
    from laklak.settings.assets import find_assets, read_assets
    from laklak.settings.typed import KNOWN_VENUES, SPELLED, typed_series
    from laklak.venues import VENUES

    if (assets is not None) + bool(names) + stored > 1:
        raise UsageError("series, --assets and --stored exclude each other", hint="give one")
    if assets is None:
        return [typed_series(text, settings) for text in names]
    found = find_assets(working_folder(), settings.assets, settings.config_folder)
    read = read_assets(found.path, KNOWN_VENUES, SPELLED)
    built = [one for one in read.assets if one.venue in VENUES]
    return [Series(one.venue, one.symbol, settings.interval) for one in built]


def working_folder() -> Path:
    """The folder that relative paths and ./laklak.toml belong to; UsageError when it is gone."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise UsageError("the folder you are in does not exist any more", hint="change to one that does") from None
