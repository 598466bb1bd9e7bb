"""Generated candles: any number of symbols and days, the same for the same seed, made a day at a time on demand.

Only a few days are held, so half a thousand symbols over months cost no memory: each (symbol, day) has its random
generator, and its prices walk from the level of its midnight to the level of the next one.
"""

from __future__ import annotations

import random
import threading
from array import array
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, count
from typing import Any, Final

from laklak.model.series import DAY_MS, MINUTE_MS
from laklak.simulator.sources.base import Instrument

DEFAULT_END_MS: Final = 1_795_219_200_000
"""2026-11-21T00:00Z: a fixed moment, so that two runs see the same candles."""

_MINUTES: Final = 1440
_DAYS_HELD: Final = 128


@dataclass(frozen=True, slots=True)
class Profile:
    """How the made-up candles of a symbol look: prices are whole ticks, volumes whole steps.

    A tick is 10^-price_decimals, a step 10^-quantity_decimals.  `begins`: a day (its number) and the level of its
    midnight, if that is given.
    """

    price_decimals: int
    quantity_decimals: int
    volume_step: int
    volume_form: str
    level_ticks: int
    spread_ticks: int
    begins: tuple[int, int] | None = None


class Walks:
    """A random walk for each symbol from `start_ms` on, without an end."""

    def __init__(self, profiles: Mapping[str, Profile], *, seed: int, start_ms: int) -> None:
        self.start_ms = start_ms
        self._seed = seed
        self._profiles = profiles
        self._held: OrderedDict[tuple[str, int], list[bytes]] = OrderedDict()
        # The loop makes REST answers, threads make files of the archive.
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} symbols={len(self._profiles)} seed={self._seed} days_held={len(self._held)}>"

    def oldest(self, symbol: str, start_ms: int, end_ms: int, limit: int) -> list[bytes]:
        first = -(-max(start_ms, self.start_ms) // MINUTE_MS)
        after = min(-(-end_ms // MINUTE_MS), first + limit)
        return self._minutes(symbol, first, after)

    def newest(self, symbol: str, start_ms: int, end_ms: int, limit: int) -> list[bytes]:
        after = -(-end_ms // MINUTE_MS)
        first = max(-(-max(start_ms, self.start_ms) // MINUTE_MS), after - limit)
        return self._minutes(symbol, first, after)

    def _minutes(self, symbol: str, first: int, after: int) -> list[bytes]:
        rows: list[bytes] = []
        while first < after:
            day, offset = divmod(first, _MINUTES)
            part = self._day(symbol, day)[offset : offset + after - first]
            rows += part
            first += len(part)
        return rows

    def _day(self, symbol: str, day: int) -> list[bytes]:
        key = (symbol, day)
        with self._lock:
            rows = self._held.get(key)
            if rows is not None:
                self._held.move_to_end(key)
                return rows
        rows = _render_day(self._profiles[symbol], self._seed, symbol, day)
        with self._lock:
            self._held[key] = rows
            if len(self._held) > _DAYS_HELD:
                self._held.popitem(last=False)
        return rows


class GeneratedSource(Walks):
    """A random walk for each symbol; see `generate`."""

    def __init__(self, *, symbols: int, days: int, seed: int, end_ms: int, names: Sequence[str]) -> None:
        if symbols < 1 or days < 1:
            raise ValueError(f"at least one symbol and one day are needed, not {symbols} symbols and {days} days")
        self.symbols: Sequence[str] = tuple(_name(index, names) for index in range(symbols))
        self.end_ms = end_ms
        self.recorded_listing: Mapping[str, Any] | None = None
        profiles = {symbol: _profile(seed, symbol) for symbol in self.symbols}
        super().__init__(profiles, seed=seed, start_ms=end_ms - days * DAY_MS)

    def instrument(self, symbol: str) -> Instrument:
        profile = self._profiles[symbol]
        return Instrument(
            symbol,
            symbol.removesuffix("USDT"),
            "USDT",
            listed_ms=self.start_ms,
            price_decimals=profile.price_decimals,
            quantity_decimals=profile.quantity_decimals,
        )


def generate(
    *, symbols: int = 541, days: int = 90, seed: int = 1, end_ms: int = DEFAULT_END_MS, names: Sequence[str] = ()
) -> GeneratedSource:
    """Make candles of `symbols` USDT perpetuals listed `days` before `end_ms`, the same for the same seed.

    BTCUSDT and ETHUSDT come first, 币安人生USDT is the sixth, the others are SIM0003USDT and so on; `names` replace the
    first ones. Tick sizes differ; now and then a volume has 17 significant digits, is 0.00000001, is beyond 2^53, or is
    0 in a flat minute.
    The candles go on after `end_ms` for a clock that ticks.
    """
    return GeneratedSource(symbols=symbols, days=days, seed=seed, end_ms=end_ms, names=names)


def _name(index: int, names: Sequence[str]) -> str:
    if index < len(names):
        return names[index]
    return {0: "BTCUSDT", 1: "ETHUSDT", 5: "币安人生USDT"}.get(index, f"SIM{index + 1:04d}USDT")


def _profile(seed: int, symbol: str) -> Profile:
    rng = random.Random(f"{seed}:{symbol}")
    price_decimals = rng.choice((0, 1, 2, 3, 4, 5, 6, 7, 8))
    # A few symbols trade at a handful of ticks, as the cheapest coins do.
    level_ticks = rng.randint(20, 60) if rng.random() < 0.1 else int(10 ** rng.uniform(3, 6.5))
    decimals = rng.choice((0, 0, 1, 2, 3))
    spread_ticks = max(1, level_ticks // 20_000)
    return Profile(price_decimals, decimals, 10**decimals, f"%.{decimals}f", level_ticks, spread_ticks)


def _level(profile: Profile, seed: int, symbol: str, day: int) -> int:
    # The price at a midnight, in ticks: within a fifth of the symbol's level.
    if profile.begins is not None and profile.begins[0] == day:
        return profile.begins[1]
    share = random.Random(f"{seed}:{symbol}:{day}:level").uniform(0.8, 1.2)
    return max(2, round(profile.level_ticks * share))


def _levels(profile: Profile, seed: int, symbol: str, day: int, words: Sequence[int]) -> list[int]:
    # A walk of 1440 steps, bent so that it begins and ends on the levels of the two midnights.
    begin = _level(profile, seed, symbol, day)
    end = _level(profile, seed, symbol, day + 1)
    step = profile.level_ticks / 60_000
    walk = list(accumulate(((word & 63) - 31.5 for word in words), initial=0.0))
    drift = (end - begin - walk[-1] * step) / _MINUTES
    return [max(1, round(begin + k * drift + height * step)) for k, height in enumerate(walk)]


def _render_day(profile: Profile, seed: int, symbol: str, day: int) -> list[bytes]:
    words = array("Q", random.Random(f"{seed}:{symbol}:{day}").randbytes(8 * _MINUTES))
    levels = _levels(profile, seed, symbol, day, words)
    tick, price = 10**profile.price_decimals, f'"%.{profile.price_decimals}f"'
    form = f'[%d,{price},{price},{price},{price},"%s",%d,"%.5f",%d,"%s","%.5f","0"]'
    rows = []
    # A page is made in the time of its answer, so this loop is plain and calls little: 3 us a row.
    for time, word, first, last in zip(count(day * DAY_MS, MINUTE_MS), words, levels, levels[1:], strict=False):
        volume, trades = _volume_text(profile, word), 1 + (word >> 54)
        high, low = (last, first) if first < last else (first, last)
        high += profile.spread_ticks * (word >> 6 & 7)
        low -= profile.spread_ticks * (word >> 9 & 7)
        if volume == "0":
            high = low = last = first
            trades = 0
        elif low < 1:
            low = 1
        quote = float(volume) * last / tick
        cells = (first / tick, high / tick, low / tick, last / tick, volume, time + MINUTE_MS - 1, quote, trades)
        rows.append((form % (time, *cells, volume, quote)).encode())
    return rows


def _volume_text(profile: Profile, word: int) -> str:
    steps = word >> 12 & 0xFFFFF
    rare = word >> 32 & 0x3FF
    if rare > 3:
        return profile.volume_form % (steps / profile.volume_step)
    # One minute in 256 has digits that are awkward for floats, and some have no trade at all.
    return ("0", "0.00000001", f"{2**53 + 1 + steps}", f"{10_000_000 + steps}.{word % 10**9:09d}")[rare]
