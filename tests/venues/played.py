"""Every venue of the registry beside its dialect, without a socket: what one asks the other answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import orjson

from laklak.model.candles import Page
from laklak.model.series import DAY_MS, MINUTE_MS, Interval, Series, TimeRange
from laklak.plan.rows import Checked, check_page
from laklak.simulator.dialects import DIALECTS
from laklak.simulator.dialects.base import CandlesQuery, Subject
from laklak.simulator.market import Market, SimulatedClock
from laklak.simulator.rows import OPEN_TIME, VOLUME
from laklak.simulator.sources.generated import DEFAULT_END_MS, generate
from laklak.venues import VENUES
from laklak.venues.base import Answer, Asked, Request, Venue, unlisted

START = DEFAULT_END_MS - 2 * DAY_MS + 15 * 60 * MINUTE_MS
"""A Thursday afternoon, when all that there is trades."""
DAYS = 9


class Played:
    """A symbol of a venue, and the market that answers for it."""

    def __init__(self, venue: Venue, symbol: str) -> None:
        self.venue = venue
        self.symbol = symbol
        self.dialect = DIALECTS[venue.name]
        self._source = generate(symbols=1, days=DAYS, names=(symbol,))

    def __repr__(self) -> str:
        return f"{self.venue.name}-{self.symbol}"

    def asked(self, count: int, start_ms: int = START, *, anywhere: bool = False) -> Asked:
        series = Series(self.venue.name, self.symbol, Interval.parse("1m"))
        span = TimeRange(start_ms, start_ms + count * MINUTE_MS)
        return Asked(series, unlisted(self.symbol), span, anywhere)

    def market(self, now_ms: int) -> Market:
        return Market(self._source, SimulatedClock(now_ms, "frozen"), {})

    def understood(self, request: Request) -> CandlesQuery:
        """What the venue makes of a request for candles; RefusedRequest where it takes offence."""
        assert self.dialect.subject_of(request.path) is Subject.CANDLES
        return self.dialect.read_candles(request.path, dict(request.query))

    def answer(self, request: Request, now_ms: int = DEFAULT_END_MS) -> Answer:
        """What it answers at that moment."""
        query = self.understood(request)
        return self.spelled(query, self.market(now_ms).candles(query), now_ms)

    def spelled(self, query: CandlesQuery, rows: Sequence[bytes], now_ms: int = DEFAULT_END_MS) -> Answer:
        """The answer with these rows of the simulator's, oldest first, as the venue spells it."""
        return Answer(200, {}, self.dialect.candles(query, rows, now_ms))

    def listing(self) -> bytes:
        market = self.market(DEFAULT_END_MS)
        entries = [self.dialect.entry(one) for one in market.instruments]
        return self.dialect.listing({}, entries, None, self.dialect.budget, DEFAULT_END_MS)

    def rows(self, span: TimeRange) -> list[bytes]:
        """The simulator's rows of a span."""
        return self._source.oldest(self.symbol, span.start_ms, span.end_ms, DAYS * 1440)

    def truth(self, span: TimeRange) -> dict[int, tuple[float, ...]]:
        """The candles of a span by open_time, as doubles; an index has no volume."""
        cells = [orjson.loads(row) for row in self.rows(span)]
        return {
            one[OPEN_TIME]: (*map(float, one[1:VOLUME]), 0.0 if self.symbol.endswith("-DVOL") else float(one[VOLUME]))
            for one in cells
        }

    def checked(self, answer: Answer, asked: Asked) -> Checked:
        return check_page(self.page(answer, asked), asked.series, asked.span)

    def page(self, answer: Answer, asked: Asked) -> Page:
        return self.venue.read_candles(answer, asked)


def taken(checked: Checked) -> dict[int, tuple[float, ...]]:
    """The candles of a page by open_time."""
    return dict(zip(checked.candles.open_times, zip(*checked.candles.values, strict=True), strict=True))


def _symbols(venue: Venue) -> Iterator[str]:
    """One symbol of each kind: those that have other intervals are of another."""
    kinds = set()
    for symbol in (venue.example, *DIALECTS[venue.name].names):
        kind = tuple(venue.intervals_of(symbol))
        if kind not in kinds:
            kinds.add(kind)
            yield symbol


@cache
def played() -> Sequence[Played]:
    """All venues, with a symbol of each kind that they have."""
    return [Played(venue, symbol) for venue in VENUES.values() for symbol in _symbols(venue)]
