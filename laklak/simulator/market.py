"""What the venue shows of its candles: up to its clock, the forming one included, without removed ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Context, Decimal
from functools import reduce
from typing import Any, Final, Literal

import orjson

from laklak.model.series import MINUTE_MS, Interval
from laklak.simulator.badrows import break_row
from laklak.simulator.dialects.base import CandlesQuery
from laklak.simulator.rows import AMOUNTS, CLOSE, CLOSE_TIME, COUNT, HIGH, LOW, OPEN, OPEN_TIME, index_of, open_time_of
from laklak.simulator.sources.base import CandleSource, Instrument

ClockKind = Literal["frozen", "ticking"]

_NEVER_MS: Final = 1 << 62
_EXACT: Final = Context(prec=100)


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolOverride:
    """What differs from the source for one symbol; None leaves it as it is. Times are ms UTC.

    `onboard_ms`, `delivery_ms` and `status` show in the listing; there are no rows before `onboard_ms` or from
    `delivery_ms` on. `first_ms` is a late listing: no rows before it, whatever the listing says. `holes` are minutes
    that do not exist; `archive_holes` are open times that only the archive's files lack. `bad_rows` are 1m rows that
    are always broken, by open_time: a kind of BAD_ROW_KINDS or the raw JSON to send instead. `delisted` refuses
    candles; the archive keeps the files. Before `kept_from_ms` the venue has no minutes any more, only longer candles.
    """

    onboard_ms: int | None = None
    delivery_ms: int | None = None
    status: str | None = None
    delisted: bool = False
    first_ms: int | None = None
    kept_from_ms: int | None = None
    holes: frozenset[int] = frozenset()
    archive_holes: frozenset[int] = frozenset()
    bad_rows: Mapping[int, str | bytes] = field(default_factory=dict)


class UnknownSymbolError(LookupError):
    """The venue has no such symbol."""


class DelistedError(LookupError):
    """The venue knows the symbol but no longer trades it."""


class SimulatedClock:
    """The venue's time in ms: stands at `start_ms`, or begins there and goes `speed` times as fast as real time."""

    def __init__(
        self, start_ms: int, kind: ClockKind, monotonic: Callable[[], float] = time.monotonic, speed: float = 1.0
    ) -> None:
        self._start_ms = start_ms
        self._speed = speed
        self._monotonic = monotonic
        self._begun_s = None if kind == "frozen" else monotonic()

    def now_ms(self) -> int:
        if self._begun_s is None:
            return self._start_ms
        return self._start_ms + int((self._monotonic() - self._begun_s) * 1000 * self._speed)


@dataclass(frozen=True, slots=True)
class _Listing:
    # Rows of a symbol exist in [first_ms, after_ms), without the holes.
    instrument: Instrument
    override: SymbolOverride
    first_ms: int
    after_ms: int


class Market:
    """A source seen through the venue's clock and the overrides of its symbols."""

    def __init__(self, source: CandleSource, clock: SimulatedClock, overrides: Mapping[str, SymbolOverride]) -> None:
        self.clock = clock
        self.symbols = tuple(source.symbols)
        self.changes = 0
        self._source = source
        self._listings = {symbol: self._listing(symbol, SymbolOverride()) for symbol in source.symbols}
        self._closed_buckets: dict[tuple[str, int, int], bytes] = {}
        for symbol, override in overrides.items():
            self.override(symbol, override)

    def override(self, symbol: str, override: SymbolOverride) -> None:
        """Change how `symbol` differs from the source from now on; ValueError if the source has no such symbol."""
        self.check_symbol(symbol)
        self._listings[symbol] = self._listing(symbol, override)
        # A new one, because a thread may be putting a candle of the old market into the old one.
        self._closed_buckets = {}
        self.changes += 1

    def check_symbol(self, symbol: str) -> None:
        """Raise ValueError if the source has no such symbol."""
        if symbol not in self._listings:
            raise ValueError(f"the simulator has no symbol {symbol}")

    def overridden(self, symbol: str) -> SymbolOverride:
        """Return how `symbol` differs from the source at present."""
        return self._listings[symbol].override if symbol in self._listings else SymbolOverride()

    def change(self, symbol: str, **changes: Any) -> None:
        """Change single members of the symbol's override, as in `change("BTCUSDT", holes=frozenset())`."""
        self.override(symbol, replace(self.overridden(symbol), **changes))

    @property
    def instruments(self) -> list[Instrument]:
        """The listing at present, with its overrides."""
        return [listing.instrument for listing in self._listings.values()]

    @property
    def recorded_listing(self) -> Mapping[str, Any] | None:
        return self._source.recorded_listing

    def candles(self, query: CandlesQuery) -> list[bytes]:
        """Return the rows of a request, oldest first; UnknownSymbolError or DelistedError if there can be none.

        Bounds are inclusive and filter the existing rows, up to the clock.
        """
        listing = self._listings.get(query.symbol)
        if listing is None:
            raise UnknownSymbolError(query.symbol)
        if listing.override.delisted:
            raise DelistedError(query.symbol)
        start_ms = 0 if query.start_ms is None else query.start_ms
        now_ms = self.clock.now_ms()
        after_ms = min(now_ms, now_ms if query.end_ms is None else query.end_ms) + 1
        if query.interval.ms != MINUTE_MS:
            return self._buckets(query.symbol, query.interval, start_ms, after_ms, query.limit, query.oldest_first)
        start_ms = max(start_ms, listing.override.kept_from_ms or 0)
        rows = self._minutes(query.symbol, start_ms, after_ms, query.limit, query.oldest_first)
        return _with_bad_rows(rows, listing.override.bad_rows)

    def archived(self, symbol: str, interval: Interval, start_ms: int, end_ms: int) -> list[bytes]:
        """Return the rows of `[start_ms, end_ms)`, a past time, as the archive has them; none of an unknown symbol.

        Any thread may call it.
        """
        listing = self._listings.get(symbol)
        if listing is None:
            return []
        count = (end_ms - start_ms) // interval.ms
        if interval.ms == MINUTE_MS:
            rows = self._minutes(symbol, start_ms, end_ms, count, True)
        else:
            rows = self._buckets(symbol, interval, start_ms, end_ms, count, True)
        holes = listing.override.archive_holes
        if holes:
            rows = [row for row in rows if open_time_of(row) not in holes]
        return _with_bad_rows(rows, listing.override.bad_rows) if interval.ms == MINUTE_MS else rows

    def first_row_ms(self, symbol: str) -> int | None:
        """Return when the first closed minute of a symbol begins; None if there is none."""
        rows = self._existing(symbol, self._listings[symbol].first_ms, self.clock.now_ms(), 1, oldest_first=True)
        return open_time_of(rows[0]) if rows else None

    def _listing(self, symbol: str, override: SymbolOverride) -> _Listing:
        instrument = self._source.instrument(symbol)
        if override.onboard_ms is not None:
            instrument = replace(instrument, listed_ms=override.onboard_ms)
        if override.delivery_ms is not None:
            instrument = replace(instrument, ends_ms=override.delivery_ms)
        if override.status is not None:
            instrument = replace(instrument, status=override.status)
        first_ms = max(instrument.listed_ms or 0, override.first_ms or 0)
        return _Listing(instrument, override, first_ms, _NEVER_MS if instrument.ends_ms is None else instrument.ends_ms)

    def _minutes(self, symbol: str, start_ms: int, after_ms: int, limit: int, oldest_first: bool) -> list[bytes]:
        # Closed candles end where the forming one begins; that one comes with its values so far.
        listing = self._listings[symbol]
        forming_ms = self.clock.now_ms() // MINUTE_MS * MINUTE_MS
        start_ms, after_ms = max(start_ms, listing.first_ms), min(after_ms, listing.after_ms)
        closed_after_ms = min(after_ms, forming_ms)
        forming = self._forming(symbol, forming_ms) if start_ms <= forming_ms < after_ms else None
        if oldest_first:
            rows = self._existing(symbol, start_ms, closed_after_ms, limit, oldest_first=True)
            return [*rows, forming] if forming is not None and len(rows) < limit else rows
        if forming is None:
            return self._existing(symbol, start_ms, closed_after_ms, limit, oldest_first=False)
        return [*self._existing(symbol, start_ms, closed_after_ms, limit - 1, oldest_first=False), forming]

    def _existing(self, symbol: str, start_ms: int, after_ms: int, limit: int, *, oldest_first: bool) -> list[bytes]:
        # Holes do not shorten a page: the limit counts existing rows.
        holes = self._listings[symbol].override.holes
        ask = self._source.oldest if oldest_first else self._source.newest
        if not holes:
            return ask(symbol, start_ms, after_ms, limit) if limit else []
        rows: list[bytes] = []
        while len(rows) < limit:
            page = ask(symbol, start_ms, after_ms, limit - len(rows))
            if not page:
                break
            kept = [row for row in page if open_time_of(row) not in holes]
            if oldest_first:
                start_ms = open_time_of(page[-1]) + 1
                rows += kept
            else:
                after_ms = open_time_of(page[0])
                rows = kept + rows
        return rows

    def _forming(self, symbol: str, minute_ms: int) -> bytes | None:
        # Half of what the minute will be; past the recording, a first trade at the last known price.
        if minute_ms in self._listings[symbol].override.holes:
            return None
        rows = self._source.oldest(symbol, minute_ms, minute_ms + 1, 1)
        if rows:
            return _half_made(rows[0], OPEN, minute_ms)
        if minute_ms != self._source.end_ms:
            return None
        rows = self._source.newest(symbol, 0, minute_ms, 1)
        return _half_made(rows[0], CLOSE, minute_ms) if rows else None

    def _buckets(
        self, symbol: str, interval: Interval, start_ms: int, after_ms: int, limit: int, oldest_first: bool
    ) -> list[bytes]:
        # A longer candle exists if at least one of its minutes does.
        rows: list[bytes] = []
        first_ms = interval.ceil(start_ms)
        last_ms = interval.floor(after_ms - 1)
        while len(rows) < limit and first_ms <= last_ms:
            minute = self._minutes(symbol, first_ms, last_ms + interval.ms, 1, oldest_first)
            if not minute:
                break
            bucket_ms = interval.floor(open_time_of(minute[0]))
            rows.append(self._bucket(symbol, interval, bucket_ms))
            if oldest_first:
                first_ms = bucket_ms + interval.ms
            else:
                last_ms = bucket_ms - interval.ms
        return rows if oldest_first else rows[::-1]

    def _bucket(self, symbol: str, interval: Interval, bucket_ms: int) -> bytes:
        key, closed = (symbol, interval.ms, bucket_ms), self._closed_buckets
        row = closed.get(key)
        if row is None:
            minutes = self._minutes(symbol, bucket_ms, bucket_ms + interval.ms, interval.ms // MINUTE_MS, True)
            row = _joined(minutes, bucket_ms, interval)
            if bucket_ms + interval.ms <= self.clock.now_ms():
                closed[key] = row
        return row


def _with_bad_rows(rows: list[bytes], bad_rows: Mapping[int, str | bytes]) -> list[bytes]:
    for open_time_ms, bad in bad_rows.items():
        index = index_of(rows, open_time_ms)
        if index is None:
            continue
        rows = [*rows[:index], bad, *rows[index + 1 :]] if isinstance(bad, bytes) else break_row(rows, index, bad)
    return rows


def _half_made(row: bytes, price_at: int, minute_ms: int) -> bytes:
    # One price so far, and half of the volume.
    cells = orjson.loads(row)
    cells[: CLOSE + 1] = [minute_ms, *[cells[price_at]] * 4]
    cells[CLOSE_TIME] = minute_ms + MINUTE_MS - 1
    for position in AMOUNTS:
        value = Decimal(cells[position])
        half = _EXACT.quantize(_EXACT.divide(value, Decimal(2)), value)
        cells[position] = format(half, "f")
    cells[COUNT] //= 2
    return orjson.dumps(cells)


def _joined(minutes: list[bytes], bucket_ms: int, interval: Interval) -> bytes:
    # Prices keep the text of their minute; sums are exact, with the digits of the finest part.
    rows = orjson.loads(b"[" + b",".join(minutes) + b"]")
    joined = rows[-1]
    joined[OPEN_TIME], joined[CLOSE_TIME] = bucket_ms, bucket_ms + interval.ms - 1
    joined[OPEN] = rows[0][OPEN]
    joined[HIGH] = max((row[HIGH] for row in rows), key=Decimal)
    joined[LOW] = min((row[LOW] for row in rows), key=Decimal)
    for position in AMOUNTS:
        joined[position] = format(reduce(_EXACT.add, (Decimal(row[position]) for row in rows)), "f")
    joined[COUNT] = sum(row[COUNT] for row in rows)
    return orjson.dumps(joined)
