"""From the symbols asked for to series with a wanted range, checked against the venue's listing.  Pure."""

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
    """A symbol of a venue as the user gave it: `typed` by hand, or read from a list, maybe the `packaged` one.

    `held`: nobody named it, but the store holds it.
    """

    symbol: str
    venue: str
    typed: bool
    packaged: bool = False
    held: bool = False


@dataclass(frozen=True, slots=True)
class Every:
    """Everything that a venue trades in its `market`, in one `quote` or in any, and what the store holds of it."""

    venue: str
    quote: str | None = None
    market: str = "perpetual"

    def asked(self, instruments: Iterable[Instrument], held: Iterable[str]) -> list[Asked]:
        """Return what trades, then what else is held; SymbolError if nothing trades."""
        by_symbol = {one.symbol: one for one in instruments}
        traded = traded_now(by_symbol.values(), self.venue, self.market, self.quote)
        return [Asked(symbol, self.venue, typed=False) for symbol in traded] + [
            one for one in self.held(by_symbol, held) if one.symbol not in set(traded)
        ]

    def held(self, instruments: Mapping[str, Instrument], held: Iterable[str]) -> list[Asked]:
        """Return the held symbols of the quote; for an unlisted one the spelling tells the quote."""
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
    """What is known of a symbol that its venue does not list.

    `life`: the time in which candles were found, on the grid; None if no source knows the symbol (`why`: the sources
    asked), or, with `undecided`, if one could not be asked.  `first_ms` and `newest_ms`: its candles, by klines;
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
"""Shown in place of a status."""
_NONE: Final[Mapping[str, Unlisted]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Target:
    """One series to fill: the wanted range is on the grid and may be empty.

    `first_ms`: its first candle, if one has shown it. `newest_ms`: a candle that it is known to have.
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
    """The venue does not list it, and `wanted` is cut to what was found: do not ask where it lives."""
    files_only: bool = False
    """Only the bulk files have it."""
    refused: bool = False
    """The venue lists it as not trading, and klines refuse it: at most the bulk files have it."""

    @property
    def trades(self) -> bool:
        """Whether the venue lets us expect candles."""
        return self.instrument.trades


@dataclass(frozen=True, slots=True)
class FailedSeries:
    """A series that lacks something for a reason apart: a short stable word and a sentence."""

    series: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class EndedSeries:
    """A series without candles from `ended_ms` on (None: without any), and the venue's status of it."""

    series: str
    ended_ms: int | None
    status: str = ""


@dataclass(frozen=True, slots=True)
class BegunSeries:
    """A series whose first candle lies in the range asked for: nothing is wanted before it."""

    series: str
    first_ms: int


@dataclass(frozen=True, slots=True)
class ReachedSeries:
    """A series of which no source has what opens before `reach_ms`: `candles` of the range."""

    series: str
    reach_ms: int
    candles: int


@dataclass(frozen=True, slots=True)
class Resolution:
    """The outcome of resolving symbols."""

    targets: tuple[Target, ...]
    failed: tuple[FailedSeries, ...]
    unknown: tuple[str, ...] = ()
    """Series that no source knows and nobody asked for by name (`packaged`, `held`): no failure."""
    typed_unknown: tuple[SymbolError, ...] = ()
    """The typed ones among the failed: an error of the run if no typed symbol is known."""


class EmptyRange(SettingsError):
    """By a venue's clock nothing is left of the range asked for."""


def clip_to_clock(
    start_ms: int | None, end_ms: int | None, days: int | None, clock_ms: int, interval: Interval, settle_s: float = 0.0
) -> TimeRange:
    """Return the range of a run: `end` is exclusive, its candles closed at least `settle_s` ago by the venue's clock.

    `days` counts back from the end.  EmptyRange if nothing is left.
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
) -> Resolution:
    """Check one venue's symbols, each once, against its listing and against what was found of the `unlisted` ones.

    A symbol that no source knows fails alone; a typed one gives an error, weighed over all venues.  `example`: a symbol
    in the venue's spelling, for its message.
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
    return Resolution(tuple(targets), tuple(failed), tuple(unknown), tuple(errors))


def traded_now(
    instruments: Iterable[Instrument], venue: str, market: str = "perpetual", quote: str | None = None
) -> list[str]:
    """Return the sorted symbols that trade, of the kind `market` and, if given, the `quote`.

    SymbolError if there are none.
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
    """Return what to fill of a series whose life was found elsewhere; empty, inside of `span`, if they do not meet."""
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
