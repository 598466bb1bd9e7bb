"""From the symbols asked for to series with a wanted range, held against what the venue lists.  Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from laklak.errors import SettingsError, SymbolError
from laklak.model import Instrument, Interval, Series, TimeRange, iso
from laklak.plan import on_grid


@dataclass(frozen=True, slots=True)
class Asked:
    """A symbol of a venue as the user gave it; `typed` by hand, or read from a list, maybe the `packaged` one."""

    symbol: str
    venue: str
    typed: bool
    packaged: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """One series to fill: the wanted range is on the grid and may be empty.

    `first_ms`: its first candle, where one has shown it. `newest_ms`: a candle that it is known to have.
    `asked_start_ms`: where the range that was asked for begins, before `wanted` was cut.
    `doubtful_first`: see SeriesPlan.
    """

    series: Series
    wanted: TimeRange
    instrument: Instrument
    first_ms: int | None = None
    newest_ms: int | None = None
    asked_start_ms: int | None = None
    doubtful_first: bool = False

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
class Resolved:
    targets: tuple[Target, ...]
    failed: tuple[FailedSeries, ...]


def clip_to_clock(
    start_ms: int | None, end_ms: int | None, days: int | None, clock_ms: int, interval: Interval, settle_s: float = 0.0
) -> TimeRange:
    """The range of a run: `end` is exclusive, and no candle of it closed less than `settle_s` before the venue's clock.

    `days` counts back from the end.  SettingsError when nothing is left.
    """
    now_ms = interval.floor(clock_ms - round(settle_s * 1000))
    last_ms = now_ms if end_ms is None else min(end_ms, now_ms)
    first_ms = last_ms - days * 86_400_000 if days is not None else start_ms
    if first_ms is None:
        raise SettingsError("no range given", hint="say how far back: --days 90, or --start 2026-01-01 [--end ...]")
    first_ms = max(0, first_ms)
    if first_ms >= last_ms:
        raise SettingsError(
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
) -> Resolved:
    """Hold one venue's symbols against its listing, each once.

    A symbol that a list names and the venue does not know fails alone; one typed by hand raises SymbolError.
    """
    targets, failed = [], []
    seen = set()
    for one in asked:
        if one.symbol in seen:
            continue
        seen.add(one.symbol)
        series = Series(one.venue, one.symbol, interval)
        instrument = instruments.get(one.symbol)
        if instrument is None:
            suggestion = _suggestion(one.symbol, instruments)
            if one.typed:
                raise SymbolError(
                    f"{one.venue} does not know the symbol {one.symbol}",
                    hint=suggestion or f"{one.venue} spells symbols like BTCUSDT",
                )
            detail = f"{one.venue} does not know this symbol" + (f"; {suggestion}" if suggestion else "")
            failed.append(FailedSeries(str(series), "unknown_symbol", detail))
            continue
        wanted = on_grid(span, interval)
        targets.append(Target(series, wanted, instrument, asked_start_ms=wanted.start_ms))
    return Resolved(tuple(targets), tuple(failed))


def _suggestion(symbol: str, known: Iterable[str]) -> str | None:
    upper = symbol.upper()
    names = list(known)
    near = [name for name in names if name == upper or name == f"{upper}USDT"]
    near = near or get_close_matches(upper, names, n=3, cutoff=0.8)
    return f"did you mean {' or '.join(near)}?" if near else None
