"""The program and its commands, in the order in which its help shows them."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Callable, Mapping
from inspect import getdoc
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand

from laklak._version import __version__
from laklak.cli.assets import assets
from laklak.cli.backfill import backfill, fill
from laklak.cli.bench import bench
from laklak.cli.certificate import certificate
from laklak.cli.check import check
from laklak.cli.copy import copy
from laklak.cli.coverage import coverage
from laklak.cli.digest import digest
from laklak.cli.explain import explain
from laklak.cli.export import export
from laklak.cli.grouped import Commands, GroupedCommand
from laklak.cli.importing import import_files
from laklak.cli.resample import resample
from laklak.cli.runs import runs
from laklak.cli.show import show
from laklak.cli.simulate import simulate
from laklak.cli.verify import verify

EXIT_STATUS: Final = (
    "Exit status: 0 nothing is left that another run could change; 1 something is missing, newly rejected or failed; "
    "2 wrong usage or settings, or a store or venue that cannot be reached at the start; 75 try later (another run "
    "is filling this store, or a ban lasts longer than --max-wait); 130 and 143 after SIGINT and SIGTERM."
)


def _alone(function: Callable[..., int], name: str | None = None, **options: Any) -> typer.Typer:
    made = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    made.command(name, **options)(function)
    return made


_SHOWS: Final[dict[str, Any]] = {"cls": GroupedCommand}
_FILLS: Final[dict[str, Any]] = {"cls": GroupedCommand, "epilog": EXIT_STATUS}
_COMMANDS: Final[dict[str, typer.Typer]] = {
    "backfill": _alone(backfill, **_FILLS),
    "fill": _alone(fill, **_FILLS),
    "check": _alone(check),
    "copy": _alone(copy, **_FILLS),
    "show": _alone(show, **_SHOWS),
    "coverage": _alone(coverage, **_SHOWS),
    "explain": _alone(explain, **_SHOWS),
    "runs": _alone(runs, **_SHOWS),
    "digest": _alone(digest, **_SHOWS),
    "export": _alone(export, **_SHOWS),
    "import": _alone(import_files, "import", **_FILLS),
    "resample": _alone(resample, **_FILLS),
    "verify": _alone(verify, **_SHOWS),
    "simulate": _alone(simulate, **_SHOWS),
    "bench": _alone(bench),
    "certificate": certificate,
    "assets": assets,
}


class _OnDemand(UserDict[str, Any]):
    """Commands by name, each made when it is asked for: reading the flags of them all takes a quarter of the help."""

    def __getitem__(self, name: str) -> Any:
        found = self.data[name]
        if isinstance(found, typer.Typer):
            found = self.data[name] = typer.main.get_command(found)
        return found


class _Program(Commands):
    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = _OnDemand(_COMMANDS)

    def shown(self, ctx: Any) -> Mapping[str, Any]:
        """Return every command with what it says of itself and nothing else: none is made for that."""
        return {name: TyperCommand(name, help=_told_of(one)) for name, one in _COMMANDS.items()}


def _told_of(command: typer.Typer) -> str | None:
    if not command.info.help and command.registered_commands:
        return getdoc(command.registered_commands[0].callback)
    return str(command.info.help)


app = typer.Typer(
    name="laklak",
    cls=_Program,
    help="Fill a database with every candle a venue has, and prove that nothing is missing.",
    epilog=EXIT_STATUS,
    no_args_is_help=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"laklak {__version__}")  # noqa: T201
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Fill a database with every candle a venue has, and prove that nothing is missing."""
