"""Symbols and series as people type them."""

from __future__ import annotations

from typing import Final

from laklak.errors import UsageError
from laklak.model.series import Interval, Series, check_symbol
from laklak.plan.wanted import Asked
from laklak.settings.assets import Spelled
from laklak.settings.load import Settings
from laklak.settings.spelling import OtherMarket, known_venue, one_word_symbol, pair_symbol, parts_of
from laklak.text import nearest
from laklak.venues import PLANNED, VENUES

KNOWN_VENUES: Final = frozenset({*VENUES, *PLANNED})
"""The venues a list may name."""
SPELLED: Final[Spelled] = {
    name: one_word_symbol if venue.market == "perpetual" else pair_symbol
    for name, venue in VENUES.items()
    if venue.one_word_symbols
}


def typed_symbol(text: str, venue: str, interval: str) -> Asked:
    """Read `SYMBOL`, `VENUE:SYMBOL` or a series of the interval in use, as typed by hand."""
    named, symbol, of_interval = parts_of(text)
    if of_interval is not None and of_interval != interval:
        raise UsageError(f"{text} names another interval than {interval}", hint=f"use --interval {of_interval}")
    try:
        if named is not None:
            venue = known_venue(named, symbol, KNOWN_VENUES)
        check_venue(venue)
        if hint := _hint_of_symbol(symbol):
            raise UsageError(f"{symbol} is no symbol", hint=hint)
        return Asked(SPELLED.get(venue, check_symbol)(symbol), venue, typed=True)
    except OtherMarket as exc:
        raise _other_market(exc, named or venue) from None
    except ValueError as exc:
        raise UsageError(str(exc), hint="write a symbol as the venue does, like BTCUSDT or binance:BTCUSDT") from None


def full_series(text: str) -> Series:
    """Read a series like `binance:BTCUSDT:1m`; UsageError if it is none."""
    venue, symbol, interval = parts_of(text)
    try:
        if not venue or not symbol or not interval:
            return Series.parse(text)
        venue = known_venue(venue, symbol, KNOWN_VENUES)
        return Series(venue, SPELLED.get(venue, check_symbol)(symbol), Interval.parse(interval))
    except OtherMarket as exc:
        raise _other_market(exc, venue or "") from None
    except ValueError as exc:
        raise UsageError(str(exc), hint="write venue:symbol:interval, as in binance:BTCUSDT:1m") from None


def typed_series(text: str, settings: Settings) -> Series:
    """Read a series like `binance:BTCUSDT:1m`, or a symbol, with the venue and interval of the settings.

    UsageError if it names another interval than the typed one.
    """
    venue, _, interval = parts_of(text)
    if venue is not None and interval is not None:
        series = full_series(text)
        check_venue(series.venue)
    else:
        length = Interval.parse(interval) if interval else settings.interval
        asked = typed_symbol(text, settings.venue, length.name)
        series = Series(asked.venue, asked.symbol, length)
    if typed_interval(settings) not in (None, series.interval):
        raise UsageError(f"{text} names another interval than {settings.interval}", hint="give one of them")
    return series


def typed_interval(settings: Settings) -> Interval | None:
    """The typed interval; None if none was typed, so that stored series of all intervals count."""
    return settings.interval if settings.origins["interval"].startswith("flag") else None


def check_venue(venue: str) -> None:
    """Raise UsageError for a venue that is not built."""
    if venue in VENUES:
        return
    if venue in PLANNED:
        raise UsageError(f"venue {venue} is not built yet", hint=f"there is {', '.join(VENUES)}")
    guess = nearest(venue, [*VENUES, *PLANNED])
    known = f"there is {', '.join(VENUES)}"
    raise UsageError(f"unknown venue {venue!r}", hint=f"did you mean {guess}? {known}" if guess else known)


def _other_market(said: OtherMarket, venue: str) -> UsageError:
    spot = f"{venue.lower()}_spot"
    return UsageError(str(said), hint=f"{said.hint}; spot is the venue {spot}" if spot in VENUES else said.hint)


def _hint_of_symbol(text: str) -> str | None:
    """Say what a user may have meant by a text that is no venue's symbol."""
    if "," in text:
        return "separate symbols with spaces"
    if text.endswith((".txt", ".csv")):
        return f"a list of symbols is given with --assets {text}"
    return None
