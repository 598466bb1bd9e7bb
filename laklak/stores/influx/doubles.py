"""Series that mean one of ours in another spelling: a query by symbol returns their rows as well.  Pure.

exchange=binance,symbol=BTCUSDT,timeframe=1m              ours
exchange=Binance,symbol=BTCUSDT,timeframe=1m              another spelling of a value (BTC/USDT, 60, 1min, ...)
exchange=binance,symbol=BTCUSDT,timeframe=1m,source=old   a tag more
exchange=binance,symbol=BTCUSDT                           a tag less
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from laklak.model.series import DAY_MS, MINUTE_MS, Series
from laklak.stores.influx.lines import TAGS, series_of, tags_of
from laklak.stores.influx.look import TaggedSeries

_SEPARATORS: Final = re.compile(r"[\s/_.:-]+")
_LENGTH: Final = re.compile(r"p?t?([0-9]*)[\s_-]*([a-z]*)")
_LETTER_FIRST: Final = re.compile(r"([smhd])([0-9]+)")
_HOUR_MS: Final = 60 * MINUTE_MS
_UNITS_MS: Final = {
    "s": (1_000,),
    "sec": (1_000,),
    "m": (MINUTE_MS,),
    "t": (MINUTE_MS,),
    "min": (MINUTE_MS,),
    "minute": (MINUTE_MS,),
    "h": (_HOUR_MS,),
    "hr": (_HOUR_MS,),
    "hour": (_HOUR_MS,),
    "d": (DAY_MS,),
    "day": (DAY_MS,),
    "ms": (1,),
    # A bare number is minutes for most, seconds for some, and ms for a few.
    "": (MINUTE_MS, 1_000, 1),
}


@dataclass(frozen=True, slots=True)
class Doubles:
    """Series that differ from ours in the same way, and our series beside them.

    `apart`: the tags by which a condition tells exactly these from all others, empty for a tag that they lack; it
    excludes series with any further tag.
    """

    series: tuple[TaggedSeries, ...]
    beside: tuple[Series, ...]
    apart: Mapping[str, str]

    @property
    def like(self) -> str:
        """The tags of the first one, and how many more there are."""
        more = f" and {len(self.series) - 1:,} more" if len(self.series) > 1 else ""
        return self.series[0].name + more

    def along(self, found: Iterable[TaggedSeries]) -> list[TaggedSeries]:
        """Return what else of a measurement a condition matches that cannot require a tag to be absent."""
        told = [(key, value) for key, value in self.apart.items() if value]
        own = {id(one) for one in self.series}
        taken = (one for one in found if all(one.tags.get(key) == value for key, value in told))
        return [one for one in taken if id(one) not in own]

    @property
    def first_ms(self) -> int:
        return min(one.first_ms for one in self.series)

    @property
    def last_ms(self) -> int:
        return max(one.last_ms for one in self.series)


def find_doubles(found: Sequence[TaggedSeries], is_read: Callable[[Series], bool]) -> list[Doubles]:
    """Return all doubles in a measurement whose series are `found`, the largest groups first."""
    groups: dict[tuple[tuple[str, str], ...], list[tuple[TaggedSeries, list[Series]]]] = {}
    for one, beside in _strangers([one for one in found if one.like_candles], _ours(found, is_read)):
        groups.setdefault(_difference(one.tags, beside[0]), []).append((one, beside))
    having: dict[tuple[str, str], list[TaggedSeries]] = {}
    for one in found:
        for tag in one.tags.items():
            having.setdefault(tag, []).append(one)
    doubles = []
    for apart, group in groups.items():
        # Of thousands, look only at those that have the rarest of the tags.
        near_these = min((having[tag] for tag in apart if tag[1]), key=len, default=found)
        doubles += _told_apart(dict(apart), group, near_these)
    return sorted(doubles, key=lambda made: (-len(made.series), made.like))


def strangers_beside(
    found: Sequence[TaggedSeries], is_read: Callable[[Series], bool]
) -> dict[Series, list[TaggedSeries]]:
    """Return what means each series of ours by other tags and has a symbol, be it like candles or not."""
    named = [one for one in found if "symbol" in one.tags]
    beside: dict[Series, list[TaggedSeries]] = {}
    for one, near in _strangers(named, _ours(found, is_read)):
        for series in near:
            beside.setdefault(series, []).append(one)
    return beside


def _strangers(found: Iterable[TaggedSeries], ours: Sequence[Series]) -> Iterator[tuple[TaggedSeries, list[Series]]]:
    """Yield the series with other tags than ours, each with the ones of ours that it means."""
    by_symbol: dict[str, list[Series]] = {}
    for series in ours:
        by_symbol.setdefault(plain_symbol(series.symbol), []).append(series)
    own_tags = {frozenset(tags_of(series).items()) for series in ours}
    for one in found:
        if frozenset(one.tags.items()) not in own_tags:
            symbol = one.tags.get("symbol")
            near = ours if symbol is None else by_symbol.get(plain_symbol(symbol), [])
            beside = [series for series in near if _means(one.tags, series)]
            if beside:
                yield one, beside


def _ours(found: Iterable[TaggedSeries], is_read: Callable[[Series], bool]) -> list[Series]:
    """Return the series that laklak reads; of several spellings of one the venue's: capitals without separators."""
    named: dict[tuple[str, str, str], list[Series]] = {}
    for one in found:
        series = series_of(one.tags) if set(one.tags) == set(TAGS) else None
        if series is not None and is_read(series):
            key = (series.venue.casefold(), plain_symbol(series.symbol), series.interval.name)
            named.setdefault(key, []).append(series)
    return [min(alike, key=_oddness) for alike in named.values()]


def _oddness(series: Series) -> tuple[bool, bool, str]:
    return series.venue != series.venue.lower(), series.symbol != plain_symbol(series.symbol), str(series)


def _means(tags: Mapping[str, str], series: Series) -> bool:
    exchange, timeframe = tags.get("exchange"), tags.get("timeframe")
    return (exchange is None or exchange.strip().casefold() == series.venue.casefold()) and (
        timeframe is None or series.interval.ms in lengths_ms(timeframe)
    )


def _difference(tags: Mapping[str, str], series: Series) -> tuple[tuple[str, str], ...]:
    own = tags_of(series)
    keys = sorted({*tags, *own})
    return tuple((key, tags.get(key, "")) for key in keys if tags.get(key, "") != own.get(key, ""))


def _told_apart(
    apart: Mapping[str, str], group: Sequence[tuple[TaggedSeries, list[Series]]], found: Sequence[TaggedSeries]
) -> list[Doubles]:
    """Return one group if its common tags tell it from all others, else each of them by all its tags."""
    if len(group) > 1 and sum(_fits(one, apart) for one in found) == len(group):
        beside = dict.fromkeys(series for _, near in group for series in near)
        return [Doubles(tuple(one for one, _ in group), tuple(beside), apart)]
    return [Doubles((one,), tuple(near), {**dict.fromkeys(TAGS, ""), **one.tags}) for one, near in group]


def _fits(one: TaggedSeries, apart: Mapping[str, str]) -> bool:
    foreign = set(one.tags) - set(TAGS) - set(apart)
    return not foreign and all(one.tags.get(key, "") == value for key, value in apart.items())


def plain_symbol(symbol: str) -> str:
    """Return a symbol in capitals without separators: `btc/usdt:usdt` is BTCUSDT."""
    pair, _, settled = symbol.partition(":")
    return _SEPARATORS.sub("", pair if "/" in pair and settled else symbol).upper()


def lengths_ms(timeframe: str) -> set[int]:
    """Return the lengths of a candle that a tag may mean: `60` is an hour or a minute, `1M` a minute too."""
    # M1, H4 and D1 in the spelling of MetaTrader.
    text = _LETTER_FIRST.sub(r"\2\1", timeframe.strip().casefold())
    found = _LENGTH.fullmatch(text)
    if found is None:
        return set()
    number, unit = found.groups()
    units = _UNITS_MS.get(unit) or _UNITS_MS.get(unit.removesuffix("s")) or ()
    return {int(number or "1") * unit_ms for unit_ms in units if number or unit}
