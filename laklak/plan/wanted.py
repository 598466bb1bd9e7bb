"""From the symbols asked for to series with a wanted range, held against what the venue lists.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Final

from laklak.errors import SettingsError, SymbolError
from laklak.model.series import Instrument, Interval, Series, TimeRange, iso
from laklak.model.spans import on_grid


@dataclass(frozen=True, slots=True)
class Asked:
    """A symbol of a venue as the user gave it; `typed` by hand, or read from a list, maybe the `packaged` one.

    `held`: it was not named, and the store holds it.
    """

    symbol: str
    venue: str
    typed: bool
    packaged: bool = False
    held: bool = False


@dataclass(frozen=True, slots=True)
class Every:
    """All that a venue trades in its `market`, of one `quote` or of any, and what the store holds of it."""

    venue: str
    quote: str | None = None
    market: str = "perpetual"

    def asked(self, instruments: Iterable[Instrument], held: Iterable[str]) -> list[Asked]:
        """Give what trades, then what else is held; SymbolError where nothing trades."""
        by_symbol = {one.symbol: one for one in instruments}
        traded = traded_now(by_symbol.values(), self.venue, self.market, self.quote)
        return [Asked(symbol, self.venue, typed=False) for symbol in traded] + [
            one for one in self.held(by_symbol, held) if one.symbol not in set(traded)
        ]

    def held(self, instruments: Mapping[str, Instrument], held: Iterable[str]) -> list[Asked]:
        """Give what is held of the quote; where the venue does not say it any more, the symbol does."""
        symbols = sorted(symbol for symbol in set(held) if self._is_quoted(symbol, instruments.get(symbol)))
        return [Asked(symbol, self.venue, typed=False, held=True) for symbol in symbols]

    def _is_quoted(self, symbol: str, instrument: Instrument | None) -> bool:
        if self.quote is None:
            return True
        if instrument is not None and instrument.quote:
            return instrument.quote == self.quote
        return symbol.partition("_")[0].endswith(self.quote)


@dataclass(frozen=True, slots=True)
class Unlisted:
    """What was found of a symbol that its venue does not list.

    `life`: the time of which candles were found, on the grid; None where no source knows the symbol (`why`: which were
    asked), or, with `undecided`, where one could not be asked.  `first_ms` and `newest_ms`: its candles, by klines;
    `ended`: no more will come.  `files_only`: only the bulk files have it.
    """

    life: TimeRange | None = None
    first_ms: int | None = None
    newest_ms: int | None = None
    ended: bool = False
    files_only: bool = False
    undecided: bool = False
    why: str = ""


NOT_LISTED: Final = "not listed"
"""What is said in place of a status."""
_NONE: Final[Mapping[str, Unlisted]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Target:
    """One series to fill: the wanted range is on the grid and may be empty.

    `first_ms`: its first candle, where one has shown it. `newest_ms`: a candle that it is known to have.
    `asked_start_ms` and `asked_end_ms`: the range that was asked for, before `wanted` was cut.
    `doubtful_first`: see SeriesPlan.
    """

    series: Series
    wanted: TimeRange
    instrument: Instrument
    first_ms: int | None = None
    newest_ms: int | None = None
    asked_start_ms: int | None = None
    asked_end_ms: int | None = None
    doubtful_first: bool = False
    settled: bool = False
    """It is not listed, and `wanted` is cut to what was found: nothing more is to be asked about where it lives."""
    files_only: bool = False
    """Only the bulk files have it."""
    refused: bool = False
    """It is listed as not trading, and klines do not answer for it: at most the bulk files have it."""

    @property
    def trades(self) -> bool:
        """Whether the venue says that candles are to be expected."""
        return self.instrument.trades


@dataclass(frozen=True, slots=True)
class FailedSeries:
    """A series with something missing for a reason of its own: a short stable word and a sentence."""

    series: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class EndedSeries:
    """A series that has no candles from `ended_ms` on (None: none at all), and what the venue says of it."""

    series: str
    ended_ms: int | None
    status: str = ""


@dataclass(frozen=True, slots=True)
class BegunSeries:
    """A series whose first candle lies in the range that was asked for: nothing is wanted before it."""

    series: str
    first_ms: int


@dataclass(frozen=True, slots=True)
class ReachedSeries:
    """A series of which nobody gives what opens before `reach_ms`: so many `candles` of the range."""

    series: str
    reach_ms: int
    candles: int


@dataclass(frozen=True, slots=True)
class Resolved:
    """What symbols turned out to be."""

    targets: tuple[Target, ...]
    failed: tuple[FailedSeries, ...]
    unknown: tuple[str, ...] = ()
    """Series that no source knows and that were not asked for by name (`packaged`, `held`): no failure."""
    typed_unknown: tuple[SymbolError, ...] = ()
    """Of the failed ones, those that were typed: an error of the run where nothing else that was typed is known."""


class EmptyRange(SettingsError):
    """Nothing is left of the range that was asked for, by the clock of a venue."""


def clip_to_clock(
    start_ms: int | None, end_ms: int | None, days: int | None, clock_ms: int, interval: Interval, settle_s: float = 0.0
) -> TimeRange:
    """The range of a run: `end` is exclusive, and no candle of it closed less than `settle_s` before the venue's clock.

    `days` counts back from the end.  EmptyRange when nothing is left.
    """
    now_ms = interval.floor(clock_ms - round(settle_s * 1000))
    last_ms = now_ms if end_ms is None else min(end_ms, now_ms)
    first_ms = last_ms - days * 86_400_000 if days is not None else start_ms
    if first_ms is None:
        raise SettingsError("no range given", hint="say how far back: --days 90, or --start 2026-01-01 [--end ...]")
    first_ms = max(0, first_ms)
    if first_ms >= last_ms:
        raise EmptyRange(
            f"the range is empty: it starts at {iso(first_ms)} and ends at {iso(last_ms)}",
            hint=f"the venue's clock says {iso(clock_ms)}{_settling(settle_s)}; "
            "--start must lie before --end and before now",
        )
    return TimeRange(first_ms, last_ms)


def _settling(settle_s: float) -> str:
    return f" and a candle is wanted {settle_s:g} s after its close" if settle_s else ""


def resolve(
    asked: Iterable[Asked],
    instruments: Mapping[str, Instrument],
    interval: Interval,
    span: TimeRange,
    unlisted: Mapping[str, Unlisted] = _NONE,
    *,
    example: str = "BTCUSDT",
) -> Resolved:
    """Hold one venue's symbols against its listing, each once, and against what was found of those `unlisted`.

    A symbol that no source knows fails alone; one typed by hand gives an error, weighed over all venues.  `example`:
    a symbol as the venue spells it, for that.
    """
    targets: list[Target] = []
    failed: list[FailedSeries] = []
    unknown: list[str] = []
    errors: list[SymbolError] = []
    seen = set()
    for one in asked:
        if one.symbol in seen:
            continue
        seen.add(one.symbol)
        series = Series(one.venue, one.symbol, interval)
        instrument = instruments.get(one.symbol)
        if instrument is None:
            found = unlisted.get(one.symbol, Unlisted())
            if found.life is not None:
                targets.append(
                    found_target(series, span, found, found.life, Instrument(one.symbol, NOT_LISTED, None, None))
                )
            elif found.undecided:
                failed.append(FailedSeries(str(series), "fetch_failed", found.why))
            elif one.packaged or one.held:
                unknown.append(str(series))
            else:
                suggestion = _suggestion(one.symbol, instruments)
                failed.append(_unknown(one, series, suggestion, found.why))
                if one.typed:
                    errors.append(_not_known(one, suggestion, found.why, example))
            continue
        wanted = on_grid(span, interval)
        targets.append(Target(series, wanted, instrument, asked_start_ms=wanted.start_ms, asked_end_ms=wanted.end_ms))
    return Resolved(tuple(targets), tuple(failed), tuple(unknown), tuple(errors))


def traded_now(
    instruments: Iterable[Instrument], venue: str, market: str = "perpetual", quote: str | None = None
) -> list[str]:
    """Give the symbols of a venue's instruments of a kind that trade, sorted; with `quote`, of those quoted in it.

    SymbolError where there is none.
    """
    listed = list(instruments)
    traded = [one for one in listed if one.kind == market and one.trades]
    found = sorted(one.symbol for one in traded if quote in (None, one.quote))
    if found:
        return found
    if not listed:
        raise SymbolError(f"{venue} has no listing to take symbols from", hint="name them, typed or in an asset list")
    if not traded:
        raise SymbolError(f"{venue} lists no {market} that trades", hint="run it again when the venue is well")
    quotes = ", ".join(sorted({one.quote for one in traded}))
    raise SymbolError(f"{venue} trades no {market} that is quoted in {quote}", hint=f"there is {quotes}")


def _unknown(one: Asked, series: Series, suggestion: str | None, why: str) -> FailedSeries:
    where = f": {why}" if why else ""
    detail = "; ".join(filter(None, (f"{one.venue} does not know this symbol{where}", suggestion)))
    return FailedSeries(str(series), "unknown_symbol", detail)


def _not_known(one: Asked, suggestion: str | None, why: str, example: str) -> SymbolError:
    where = f": {why}" if why else ""
    return SymbolError(
        f"{one.venue} does not know the symbol {one.symbol}{where}",
        hint=suggestion or f"{one.venue} spells symbols like {example}",
    )


def found_target(series: Series, span: TimeRange, found: Unlisted, life: TimeRange, instrument: Instrument) -> Target:
    """What is wanted of a series that was found elsewhere to have a life; empty, inside of `span`, where nothing is."""
    wanted = on_grid(span, series.interval)
    start_ms = min(max(wanted.start_ms, life.start_ms), wanted.end_ms)
    end_ms = max(start_ms, min(wanted.end_ms, life.end_ms))
    return Target(
        series,
        TimeRange(start_ms, end_ms),
        instrument,
        first_ms=found.first_ms,
        newest_ms=found.newest_ms,
        asked_start_ms=start_ms if found.files_only else wanted.start_ms,
        asked_end_ms=end_ms if found.files_only else wanted.end_ms,
        settled=found.files_only or found.ended,
        files_only=found.files_only,
    )


def _suggestion(symbol: str, known: Iterable[str]) -> str | None:
    upper = symbol.upper()
    names = list(known)
    near = [name for name in names if name == upper or name == f"{upper}USDT"]
    near = near or get_close_matches(upper, names, n=3, cutoff=0.8)
    return f"did you mean {' or '.join(near)}?" if near else None
