"""`laklak assets`: lists of symbols, held against what venues trade."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from laklak.cli.grouped import Commands
from laklak.cli.options import AsJson, Config, settings_of, working_folder
from laklak.cli.work import look, print_json
from laklak.errors import UsageError

if TYPE_CHECKING:
    from laklak.model.series import Instrument
    from laklak.settings.assets import Asset, Assets
    from laklak.settings.load import Settings

OfVenue = Annotated[str | None, typer.Option(metavar="VENUE", help="The venue to ask [binance].")]
Quote = Annotated[str | None, typer.Option(metavar="USDT", help="Only what is quoted in this [all].")]

assets = typer.Typer(
    name="assets",
    cls=Commands,
    help="Lists of symbols: what a venue trades, what is wrong with a list, lists of other programs.",
    no_args_is_help=False,
    rich_markup_mode=None,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@assets.command("list")
def list_traded(venue: OfVenue = None, quote: Quote = None, as_json: AsJson = False, config: Config = None) -> int:
    """Print the perpetuals (of a spot market the pairs) that a venue trades now, as the lines of an asset list.

    \b
    laklak assets list --quote USDT > assets.txt
    """
    from laklak._version import __version__
    from laklak.cli.terminal import emit_lines
    from laklak.plan.wanted import traded_now
    from laklak.report.summary import SCHEMA
    from laklak.venues import VENUES

    settings = settings_of({"venue": venue, "config": config})
    name = settings.venue
    _refuse_unlisted(name)
    listed = look(_ask(name, settings, ()), json_of="assets list" if as_json else None)
    symbols = traded_now(listed.values(), name, VENUES[name].market, _capitals(quote))
    if as_json:
        entries = [_entry(listed[symbol]) for symbol in symbols]
        answer = {"schema": SCHEMA, "version": __version__, "venue": name, "symbols": entries}
        print_json({**answer, "error": None, "hint": None})
    else:
        emit_lines((f"{symbol} {name}" for symbol in symbols), sys.stdout)
    return 0


@assets.command()
def refresh(
    file: Annotated[
        str | None, typer.Argument(metavar="FILE", help="The list to write; else the one in use, or ./assets.txt.")
    ] = None,
    venue: OfVenue = None,
    quote: Quote = None,
    config: Config = None,
) -> int:
    """Write what a venue trades now into an asset list: its lines are those perpetuals or pairs, and indexes it has.

    Comments and the lines of other venues stay as they are. The file is replaced in one step.
    """
    from laklak.cli.terminal import say, tell
    from laklak.errors import AssetsError
    from laklak.plan.wanted import traded_now
    from laklak.settings.asset_files import refreshed, replace_text
    from laklak.settings.assets import MAX_BYTES, is_table, read_rows
    from laklak.settings.typed import KNOWN_VENUES, SPELLED
    from laklak.text import counted, read_text, shown_path, some_of
    from laklak.venues import VENUES

    settings = settings_of({"venue": venue, "config": config})
    name = settings.venue
    _refuse_unlisted(name)
    path = _to_write(file, settings)
    text = read_text(path, limit_bytes=MAX_BYTES, error=AssetsError) if path.exists() else ""
    if is_table(path, text):
        raise UsageError(
            f"{shown_path(path)} is a table of another program", hint=f"laklak assets convert {path} makes a list of it"
        )
    rows = read_rows(text, KNOWN_VENUES, SPELLED, table=False)
    there = [one.symbol for row in rows for one in row.assets if one.venue == name]
    listed = look(_ask(name, settings, there))
    symbols = traded_now(listed.values(), name, VENUES[name].market, _capitals(quote))
    # Of an index nobody's listing tells: who wants it has written it.
    indexes = {one for one in there if one in listed and listed[one].kind == "index"}
    symbols = [*symbols, *sorted(indexes.difference(symbols))]
    found = refreshed(text, name, symbols, KNOWN_VENUES, SPELLED)
    if found.text != text:
        replace_text(path, found.text)
    tell(f"{shown_path(path)}: {counted(len(symbols), 'symbol')} of {name}, {len(found.added):,} new", sys.stdout)
    if found.removed:
        say("warning", f"{counted(len(found.removed), 'symbol')} removed: {some_of(found.removed, 40)}")
    return 0


@assets.command()
def check(
    file: Annotated[
        str | None, typer.Argument(metavar="FILE", help="The list to look at; else the one in use.")
    ] = None,
    as_json: AsJson = False,
    config: Config = None,
) -> int:
    """Look at an asset list: symbols that are unknown, ended or there twice, lines that cannot be used, and counts.

    Exit status: 0, or 1 when something was found.
    """
    from laklak._version import __version__
    from laklak.cli.terminal import tell
    from laklak.report.summary import SCHEMA
    from laklak.text import counted
    from laklak.venues import VENUES

    settings = settings_of({"assets": file, "config": config})
    read = _read(settings)
    counts = Counter(one.venue for one in read.assets)
    listed: dict[str, Mapping[str, Instrument]] = {}
    for name in counts:
        if name in VENUES:
            expected = [one.symbol for one in read.assets if one.venue == name]
            listed[name] = look(_ask(name, settings, expected), json_of="assets check" if as_json else None)
    found = _Findings.of(read, listed)
    exit_status = int(bool(found.notes))
    if as_json:
        answer = {"schema": SCHEMA, "version": __version__, "file": read.name, "venues": dict(counts)}
        print_json({**answer, **found.as_json(read), "exit": exit_status, "error": None, "hint": None})
        return exit_status
    for name, count in counts.items():
        not_built = "" if name in VENUES else " (not built yet)"
        tell(f"{read.name}: {counted(count, 'symbol')} of {name}{not_built}", sys.stdout)
    for line, what in found.notes:
        tell(f"{read.name}:{line}: {what}", sys.stdout)
    return exit_status


@dataclass(frozen=True, slots=True)
class _Findings:
    """What is wrong with a list: symbols that a venue lacks, those that ended with their status, and all of it, said
    by line."""

    unknown: Sequence[Asset]
    ended: Sequence[tuple[Asset, str]]
    notes: Sequence[tuple[int, str]]

    @classmethod
    def of(cls, read: Assets, listed: Mapping[str, Mapping[str, Instrument]]) -> _Findings:
        """Hold a list against the listings of venues that are built."""
        unknown: list[Asset] = []
        ended: list[tuple[Asset, str]] = []
        notes = [(one.line, f"{one.symbol} {one.venue} stands here once more") for one in read.doubled]
        notes += [(one.line, str(one)) for one in read.bad]
        for one in read.assets:
            if one.venue not in listed:
                continue
            instrument = listed[one.venue].get(one.symbol)
            if instrument is None:
                unknown.append(one)
                notes.append((one.line, f"{one.venue} does not list {one.symbol}"))
            elif not instrument.trades:
                ended.append((one, instrument.status))
                notes.append((one.line, f"{one.venue} does not trade {one.symbol} any more ({instrument.status})"))
        return cls(unknown, ended, sorted(notes))

    def as_json(self, read: Assets) -> dict[str, Any]:
        return {
            "unknown": [_place(one) for one in self.unknown],
            "ended": [{**_place(one), "status": status} for one, status in self.ended],
            "doubled": [_place(one) for one in read.doubled],
            "bad": [{"line": one.line, "reason": one.reason, "text": str(one)} for one in read.bad],
        }


@assets.command()
def convert(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A table with the columns symbol and ohlc_exchanges.")],
    venue: Annotated[
        str | None, typer.Option(metavar="VENUE", help="Venue of symbols that stand alone [binance].")
    ] = None,
    config: Config = None,
) -> int:
    """Print the asset list of another program (assets.csv) as one of laklak.

    Exit status: 0, or 1 when a line had to be left out; it stays in the list as a comment.

    \b
    laklak assets convert assets.csv > assets.txt
    """
    from laklak.cli.terminal import emit_lines, say, tell
    from laklak.errors import AssetsError
    from laklak.settings.asset_files import converted
    from laklak.settings.assets import MAX_BYTES, is_table
    from laklak.settings.typed import KNOWN_VENUES, SPELLED
    from laklak.text import counted, read_text, shown_path, some_of

    settings = settings_of({"venue": venue, "config": config})
    path = Path(file)
    name = shown_path(path)
    text = read_text(path, limit_bytes=MAX_BYTES, error=AssetsError)
    found = converted(text, settings.venue, KNOWN_VENUES, SPELLED, table=is_table(path, text))
    if not found.symbols:
        first = f":{found.bad[0].line}: {found.bad[0]}" if found.bad else ""
        raise AssetsError(f"{name} names no symbol{first}", hint="it needs the columns symbol and ohlc_exchanges")
    emit_lines(found.lines, sys.stdout)
    for one in found.bad:
        say("warning", f"{name}:{one.line}: left out: {one}")
    if found.bare:
        say(
            "warning",
            f"{counted(len(found.bare), 'symbol')} without a venue, taken as {settings.venue}'s: {some_of(found.bare)}",
        )
    idle = f"; left out because no candles are asked for: {counted(found.idle, 'row')}" if found.idle else ""
    tell(f"{name}: {counted(found.symbols, 'symbol')}{idle}")
    return int(bool(found.bad))


def _to_write(file: str | None, settings: Settings) -> Path:
    """The list to write: a new one in this folder in place of the packaged one, which is not the user's."""
    from laklak.settings.assets import FILE_NAME, find_assets

    if file is not None:
        return Path(file)
    found = find_assets(working_folder(), settings.assets, settings.config_folder)
    return working_folder() / FILE_NAME if found.packaged else found.path


def _read(settings: Settings) -> Assets:
    from laklak.errors import AssetsError
    from laklak.settings.assets import MAX_BYTES, find_assets, in_short, is_table, read_rows
    from laklak.settings.typed import KNOWN_VENUES, SPELLED
    from laklak.text import read_text, shown_path

    path = find_assets(working_folder(), settings.assets, settings.config_folder).path
    text = read_text(path, limit_bytes=MAX_BYTES, error=AssetsError)
    rows = read_rows(text, KNOWN_VENUES, SPELLED, table=is_table(path, text))
    read = in_short(shown_path(path), rows, strict=False)
    if not read.assets and not read.bad:
        raise AssetsError(f"{read.name} names no symbol", hint="laklak assets list prints what a venue trades")
    return read


def _refuse_unlisted(venue: str) -> None:
    """Raise where there is no listing to take symbols from."""
    from laklak.errors import SymbolError
    from laklak.venues import VENUES

    if venue in VENUES and not VENUES[venue].listing_requests(()):
        raise SymbolError(
            f"{venue} has no listing: it tells of symbols that it is asked for",
            hint=f"write them into the list yourself, as it spells them, such as {VENUES[venue].example} {venue}",
        )


async def _ask(venue: str, settings: Settings, expected: list[str] | tuple[()]) -> Mapping[str, Instrument]:
    from laklak.cli.terminal import say
    from laklak.order import venue_listing

    return await venue_listing(venue, settings, lambda line: say("warning", line), expected)


def _capitals(quote: str | None) -> str | None:
    return None if quote is None else quote.strip().upper()


def _entry(one: Instrument) -> dict[str, str | None]:
    from laklak.model.series import iso

    first = None if one.first_ms is None else iso(one.first_ms)
    return {"symbol": one.symbol, "quote": one.quote, "underlying": one.underlying, "listed": first}


def _place(one: Asset) -> dict[str, str | int]:
    return {"symbol": one.symbol, "venue": one.venue, "line": one.line}
