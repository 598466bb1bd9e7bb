"""`laklak certificate`: what a store has and what speaks for it, for others; and whether such a paper is sound."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from laklak.cli.choosing import LastRunEnd, SeriesNames, Stored, in_store, look_of
from laklak.cli.grouped import OUTPUT, WHAT, Commands, GroupedCommand
from laklak.cli.options import AsJson, Config, ExistingStore, Start, option, settings_of
from laklak.cli.work import look, print_json
from laklak.errors import UsageError

if TYPE_CHECKING:
    from laklak.audit.certified import Checked, Compared
    from laklak.stores.base import Store

_SHOWN: Final = 10


class _IssueOrElse(Commands):
    """What begins with none of its commands is `issue`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or args[0] not in (*self.commands, "-h", "--help"):
            args = ["issue", *args]
        return super().parse_args(ctx, args)


certificate = typer.Typer(
    name="certificate",
    cls=_IssueOrElse,
    help="What a store has and what speaks for it, as a JSON that others can check; `issue` need not be written.",
    no_args_is_help=False,
    rich_markup_mode=None,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@certificate.command(cls=GroupedCommand)
def issue(
    series: SeriesNames = None,
    days: Annotated[str | None, option("days")] = None,
    start: Start = None,
    end: LastRunEnd = None,
    interval: Annotated[str | None, option("interval")] = None,
    assets: Annotated[str | None, option("assets")] = None,
    stored: Stored = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write it into a file [stdout].", rich_help_panel=OUTPUT)
    ] = None,
    sign: Annotated[
        Path | None,
        typer.Option(metavar="KEY", help="Sign it with a key of ssh-keygen, into FILE.sig.", rich_help_panel=OUTPUT),
    ] = None,
    store: ExistingStore = None,
    config: Config = None,
    as_json: AsJson = False,
) -> int:
    """Write down what of each series is stored, missing and absent, the evidence, and a digest of each day.

    \b
    laklak certificate --days 90 --out june.json --sign ~/.ssh/id_ed25519
    laklak certificate check june.json --store candles.db

    Asks no venue. Exit status: 0 nothing is missing, 1 something is (it is issued and says so), 2 wrong usage or a
    store that cannot be read, 75 a run filled it meanwhile.
    """
    from laklak.audit.paper import check_places, put
    from laklak.cli.terminal import emit_bytes, tell

    check_places(out, sign)
    flags = {"days": days, "start": start, "end": end, "interval": interval, "assets": assets, "store": store}
    settings, chosen, wanted, of = look_of(series, stored=stored, config=config, **flags)

    async def work(opened: Store) -> dict[str, Any]:
        from laklak.audit.certificate import issue

        return await issue(opened, chosen, wanted, typed=bool(series), interval=of)

    made = look(in_store(settings, work), json_of="certificate" if as_json else None)
    issued = put(made, out, sign)
    if as_json or out is None:
        emit_bytes(issued.data, sys.stdout)
    else:
        for line in _lines(made):
            tell(line, sys.stdout)
        tell(f"written to {out}" + (f", signed in {issued.signature}" if issued.signature else ""), sys.stderr)
    return int(not issued.complete)


def _lines(made: Mapping[str, Any]) -> list[str]:
    from laklak.text import counted

    total = made["total"]
    figures = ", ".join(f"{name} {total[name]:,}" for name in ("wanted", "held", "holes", "rejected", "quiet"))
    lacking = [one["series"] for one in made["series"] if one["account"]["missing"]]
    head = "nothing is missing" if made["complete"] else f"{counted(total['missing'], 'candle')} missing"
    return [
        f"{made['store']}: {counted(len(made['series']), 'series')}, {figures}: {head}",
        *(f"  {one} is not complete" for one in lacking[:_SHOWN]),
        *([f"  and {len(lacking) - _SHOWN:,} more"] if len(lacking) > _SHOWN else []),
        f"root   {made['digests']['root'] or '-'}",
        f"sha256 {made['sha256']}",
    ]


@certificate.command(cls=GroupedCommand)
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A certificate.")],
    store: Annotated[
        str | None, typer.Option(metavar="WHERE", help="Digest its days in this store too.", rich_help_panel=WHAT)
    ] = None,
    signers: Annotated[
        Path | None,
        typer.Option(
            metavar="ALLOWED", help="Demand a signature by one of these (ssh-keygen(1)).", rich_help_panel=WHAT
        ),
    ] = None,
    config: Config = None,
    as_json: AsJson = False,
) -> int:
    """Say whether a certificate is as it was issued and signed, and whether a store still has what it says.

    A signature FILE.sig is looked at where there is one; --signers says whose are good.
    Exit status: 0 it is sound, 1 it is refused or days of the store differ, 2 wrong usage or what cannot be read.
    """
    from laklak.audit.paper import read_back

    checked = read_back(file, signers)
    if store is not None and not checked.why:
        checked = _in_store(checked, settings_of({"store": store, "config": config}), as_json=as_json)
    if as_json:
        print_json(_as_object(checked))
    else:
        _show(checked)
    return checked.exit


@certificate.command(cls=GroupedCommand)
def diff(
    before: Annotated[Path, typer.Argument(metavar="A", help="The earlier certificate.")],
    after: Annotated[Path, typer.Argument(metavar="B", help="The later one.")],
    as_json: AsJson = False,
) -> int:
    """Name the days that two certificates speak of and that are other ones, and what has become of them since.

    Days that had not ended are not compared.
    Exit status: 0 they say the same, 1 they do not, 2 wrong usage, or one is refused.
    """
    from laklak._version import __version__
    from laklak.audit.certified import difference, difference_object
    from laklak.audit.paper import read_back
    from laklak.cli.terminal import tell
    from laklak.report.summary import SCHEMA
    from laklak.text import counted

    papers = []
    for file in (before, after):
        checked = read_back(file)
        if checked.why:
            raise UsageError(f"{file} is refused: {checked.why}", hint="laklak certificate check says so, too")
        papers.append(checked.certificate)
    found = difference(*papers)
    if as_json:
        answer = {"schema": SCHEMA, "version": __version__, "before": str(before), "after": str(after)}
        print_json({**answer, **difference_object(found), "error": None, "hint": None})
        return found.exit
    for names, file in ((found.only_before, before), (found.only_after, after)):
        for name in names:
            tell(f"differs  {name}: only {file} has it", sys.stdout)
    _show_days(found.series)
    differ = sum(one.count for one in found.series)
    tell(
        f"{counted(sum(one.days for one in found.series), 'day')} of {len(found.series):,} series compared: "
        f"{_differing(differ) or 'none differs'}",
        sys.stdout,
    )
    return found.exit


def _in_store(checked: Checked, settings: Any, *, as_json: bool) -> Checked:
    from dataclasses import replace

    from laklak.audit.verify import known_from

    known = known_from(checked.certificate["digests"], str(checked.file))

    async def work(opened: Store) -> tuple[str, tuple[Compared, ...]]:
        from laklak.audit.certified import compare

        return opened.display, await compare(opened, known)

    shown, found = look(in_store(settings, work), json_of="certificate check" if as_json else None)
    return replace(checked, store=shown, series=found)


def _as_object(checked: Checked) -> dict[str, Any]:
    from laklak._version import __version__
    from laklak.audit.certified import as_object
    from laklak.report.summary import SCHEMA

    return {"schema": SCHEMA, "version": __version__, **as_object(checked), "error": None, "hint": None}


def _show(checked: Checked) -> None:
    from laklak.cli.terminal import tell
    from laklak.text import counted

    if checked.why:
        tell(f"refused  {checked.file}: {checked.why}", sys.stdout)
        return
    said, signature = checked.certificate, checked.signature
    missing = "nothing is missing" if said["complete"] else f"{counted(said['total']['missing'], 'candle')} missing"
    tell(f"sound    {checked.file}: issued {said['issued_at']} of {said['store']}, {missing}", sys.stdout)
    if signature is None:
        tell("unsigned: that it is unchanged is known, not who has issued it", sys.stdout)
    else:
        by = signature.who or "a key that --signers would have to know"
        tell(f"signed by {by} ({signature.key})", sys.stdout)
    _show_days(checked.series)
    if checked.store is not None:
        days, skipped = (sum(getattr(one, name) for one in checked.series) for name in ("days", "unfinished"))
        differ = sum(one.count for one in checked.series)
        verdict = _differing(differ) or "all as it says"
        beside = f", {skipped:,} not compared, which had not ended" if skipped else ""
        tell(
            f"{checked.store}: {counted(days, 'day')} of {len(checked.series):,} series: {verdict}{beside}", sys.stdout
        )


def _differing(days: int) -> str:
    return "1 day differs" if days == 1 else f"{days:,} days differ" if days else ""


def _show_days(series: Sequence[Compared]) -> None:
    from laklak.cli.terminal import tell
    from laklak.model.series import iso

    for one in series:
        for fault in one.faults[:_SHOWN]:
            tell(f"differs  {one.series} {iso(fault.time_ms)[:10]}: {fault.detail}", sys.stdout)
        if one.count > _SHOWN:
            tell(f"differs  {one.series}: and {one.count - _SHOWN:,} days more", sys.stdout)
