"""`laklak verify`: whether what is stored is as it has to be."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from laklak.cli.choosing import LastRunEnd, SeriesNames, Stored, look_of
from laklak.cli.grouped import HOW, OUTPUT
from laklak.cli.options import AsJson, Config, ExistingStore, Start, option
from laklak.cli.work import look, print_json
from laklak.errors import UsageError

if TYPE_CHECKING:
    from laklak.audit.sources import Sample
    from laklak.audit.verify import Depth, Verified, VerifyReport

_SHOWN: Final = 10


def verify(
    series: SeriesNames = None,
    days: Annotated[str | None, option("days")] = None,
    start: Start = None,
    end: LastRunEnd = None,
    interval: Annotated[str | None, option("interval")] = None,
    assets: Annotated[str | None, option("assets")] = None,
    stored: Stored = False,
    depth: Annotated[
        str,
        typer.Option(
            metavar="counts|sums|full",
            help="Count candles, sum them up where they are kept, or read each.",
            rich_help_panel=HOW,
        ),
    ] = "full",
    against: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Digests, a certificate, or a store.", rich_help_panel=HOW),
    ] = None,
    sample: Annotated[
        str | None,
        typer.Option(
            metavar="N|all", help="Ask sources for N days of each series, drawn anew each time.", rich_help_panel=HOW
        ),
    ] = None,
    mend: Annotated[
        bool,
        typer.Option("--mend", help="Of --sample, write what sources say now.", rich_help_panel=HOW),
    ] = False,
    everything: Annotated[bool, typer.Option("--all", help="Show sound series too.", rich_help_panel=OUTPUT)] = False,
    store: ExistingStore = None,
    config: Config = None,
    as_json: AsJson = False,
) -> int:
    """Read what is stored back, and name what is not as it has to be.

    Every row on the grid, five finite numbers that agree with each other, in InfluxDB no points beside them that mean
    the same series by other tags. Digests that were kept (--against FILE) name the days that are other ones by now,
    another store in their place the rows too. A sample of days (--sample N) is fetched again and held against the
    stored rows, to the last digit, and a line says what that proves; --mend writes what differs and keeps the old rows
    as revisions. Without a sample no venue is asked.
    --depth sums is the quick look: no row is sent. Two changes that cancel each other out it does not see, nor one that
    is lost in the rounding of a day's sum; counts sees no changed number at all.
    Exit status: 0 all is sound, 1 something is not, 2 wrong usage or a store that cannot be read.
    """
    from laklak.audit.beside import known_of, verify_beside
    from laklak.cli.terminal import Terminal
    from laklak.order import TIMING

    flags = {"days": days, "start": start, "end": end, "interval": interval, "assets": assets, "store": store}
    settings, chosen, wanted, of = look_of(series, stored=stored, config=config, **flags)
    deep, known = _depth_of(depth), known_of(against)
    if mend and sample is None:
        raise UsageError("--mend without --sample", hint="--sample all --mend asks for every day")
    terminal = Terminal(quiet=True, progress=False)
    work = verify_beside(
        settings,
        chosen,
        wanted,
        timing=TIMING,
        observer=terminal,
        typed=bool(series),
        depth=deep,
        interval=of,
        against=against,
        known=known,
        sample=sample_of(sample, "--sample", mend=mend),
    )
    try:
        report = look(work, json_of="verify" if as_json else None)
    finally:
        terminal.close()
    if as_json:
        print_json(_as_object(report, sampled=sample is not None))
    else:
        show_verified(report, everything=everything, sampled=sample is not None)
    return report.exit


def sample_of(text: str | None, flag: str, *, mend: bool = False) -> Sample | None:
    """So many days of each series, or all of them; UsageError for what is neither."""
    from laklak.audit.sources import Sample

    if text is None:
        return None
    if text == "all":
        return Sample(None, mend)
    if not (text.isascii() and text.isdigit() and int(text)):
        raise UsageError(f"{flag} {text} is no number of days", hint="give 1 or more, or all")
    return Sample(int(text), mend)


def _depth_of(text: str) -> Depth:
    from laklak.audit.verify import DEPTHS

    for depth in DEPTHS:
        if text == depth:
            return depth
    raise UsageError(f"--depth {text} is none", hint=f"there is {', '.join(DEPTHS)}")


def _as_object(report: VerifyReport, *, sampled: bool) -> dict[str, Any]:
    from laklak._version import __version__
    from laklak.audit.sources import proof_text
    from laklak.audit.verify import as_object
    from laklak.report.summary import SCHEMA

    proof = {"proof": proof_text(report.series, wanted=sampled)}
    return {"schema": SCHEMA, "version": __version__, **as_object(report), **proof, "error": None, "hint": None}


def show_verified(report: VerifyReport, *, everything: bool, sampled: bool) -> None:
    """What is not sound, and the first faults of it with both rows."""
    from laklak.audit.sources import proof_text
    from laklak.cli.terminal import tell

    for one in report.series:
        if everything or one.fields or one.verdict != "sound":
            for line in _series_lines(one):
                tell(line, sys.stdout)
    if any(one.fields is None for one in report.series):
        tell("what other programs put beside candles could not be asked: laklak check says why", sys.stdout)
    tell(_verdict_line(report), sys.stdout)
    tell(proof_text(report.series, wanted=sampled), sys.stdout)


def _series_lines(one: Verified) -> Iterator[str]:
    from laklak.model.series import iso
    from laklak.text import counted

    yield f"{one.verdict}  {one.series}  {_figures(one)}"
    for fault in one.faults[:_SHOWN]:
        yield f"  {iso(fault.time_ms)} {fault.detail}"
        for name, row in (("stored", fault.stored), ("other ", fault.other)):
            if row is not None:
                yield f"    {name} {', '.join(map(repr, row))}"
    if one.fields:
        named = ", ".join(f"{name} ({counted(many, 'point')})" for name, many in one.fields.items())
        yield f"  its points have fields of other programs, which is no fault: {named}"
    if one.unasked:
        yield f"  not all asked: {one.unasked}"
    if one.count > _SHOWN:
        yield f"  and {one.count - _SHOWN:,} more; --json names {len(one.faults):,}"


def _verdict_line(report: VerifyReport) -> str:
    from laklak.text import counted

    wrong, mended = sum(one.count for one in report.series), sum(one.mended for one in report.series)
    candles = sum(one.candles for one in report.series)
    against = "" if report.against is None else f", against {report.against}"
    how = {"counts": "counted", "sums": "summed up", "full": "read"}[report.depth]
    sound = "all is sound" if candles else "nothing is there to look at"
    if report.compared_nothing:
        sound = "nothing could be compared, for no day that has ended is in both"
    elif report.exit:
        sound = "not all could be asked"
    verdict = counted(wrong, "fault") if wrong else sound
    verdict += f", {mended:,} mended" if mended else ""
    looked = f"{candles:,} candles {how}"
    if report.against is not None:
        compared = sum(len(one.compared) for one in report.series)
        days = sum(len({*one.days, *one.compared}) for one in report.series)
        looked += f", {compared:,} of {counted(days, 'day')} compared"
    return f"{report.store}{against}: {counted(len(report.series), 'series')}, {looked}: {verdict}"


def _figures(one: Verified) -> str:
    from laklak.text import counted

    parts = [counted(one.candles, "candle"), counted(len(one.days), "day")]
    if one.count:
        parts.append(counted(one.count, "fault"))
    if one.mended:
        parts.append(f"{one.mended:,} mended")
    return ", ".join(parts)
