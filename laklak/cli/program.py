"""The program and its commands, in the order in which its help shows them."""

from __future__ import annotations

from typing import Annotated, Final

import typer

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
from laklak.cli.grouped import GroupedCommand
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

app = typer.Typer(
    name="laklak",
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


app.command(cls=GroupedCommand, epilog=EXIT_STATUS)(backfill)
app.command(cls=GroupedCommand, epilog=EXIT_STATUS)(fill)
app.command()(check)
app.command(cls=GroupedCommand, epilog=EXIT_STATUS)(copy)
app.command(cls=GroupedCommand)(show)
app.command(cls=GroupedCommand)(coverage)
app.command(cls=GroupedCommand)(explain)
app.command(cls=GroupedCommand)(runs)
app.command(cls=GroupedCommand)(digest)
app.command(cls=GroupedCommand)(export)
app.command("import", cls=GroupedCommand, epilog=EXIT_STATUS)(import_files)
app.command(cls=GroupedCommand, epilog=EXIT_STATUS)(resample)
app.command(cls=GroupedCommand)(verify)
app.add_typer(certificate, name="certificate")
app.add_typer(assets, name="assets")
app.command(cls=GroupedCommand)(simulate)
app.command()(bench)
