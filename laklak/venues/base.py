"""The protocol of a venue: a pure description. Adapters do no I/O, never wait, never retry, never write.

How to write one.  A venue is one class in one file of this folder, and one line in laklak.venues.  It derives from
`Venue`, has its members in the order in which they stand here, and leaves out those whose default is right.  It says

    what there is       name, url, intervals, quotas, page, example
    how to ask          `*_request`: a path, a query in order, and what it costs
    how to read         `read_*`: an Answer -> values; DecodeError where it is not the answer asked for
    what an answer means   `judge`: any answer, of status 200 too

laklak.venues.reading has what reading needs.  tests/venues/example_venue.py is a whole one to copy, with a strict
server in tests/servers/example_server.py; tests/venues/test_contract.py holds every venue against what the engine
relies on.  A relative of a venue that is there derives from that and says what differs (binance_spot).  Bulk files are
described in laklak.archives, the simulator's answers in laklak.simulator.dialects.  The beginning of the example, and
what it does not leave out:

    class Example(Venue):
        name = "example"
        url = "https://api.example.test"
        intervals = {"1m": "1min", "1h": "60min", "1d": "1day"}
        pool = "example"
        quotas = {"requests": Quota(6000, 60.0)}
        page = PageRule(200)
        example = "BTC-USDT"

        def candles_request(self, asked): ...
        def read_candles(self, answer, asked): ...
        def judge(self, answer): ...
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from email.utils import parsedate_to_datetime
from enum import Enum
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, Literal, Protocol

import orjson

from laklak.model.candles import Cut, Page
from laklak.model.series import Instrument, Interval, Series, TimeRange, iso
from laklak.text import one_line

LAST_MS: Final = 253_402_300_800_000
"""The end of the year 9999: no calendar spells what comes later."""
_SHOWN: Final = 200

REGION: Final = "region"
"""The reason of a Verdict that is BLOCKED for where the address is: waiting does not help."""


@dataclass(frozen=True, slots=True)
class Quota:
    """A budget that a venue grants an address: at most `units` in any `seconds`.

    `share`: the part that is ours unless the user says otherwise; other programs on the address need the rest.
    `window`: whether the venue counts in windows that slide, or in ones that start with its own clock (whoever keeps
    to a sliding one keeps to both).  `burst`: units that it documents to take at once, None where it says nothing.
    """

    units: int
    seconds: float
    share: float = 0.5
    window: Literal["sliding", "calendar"] = "sliding"
    burst: int | None = None

    @property
    def ours(self) -> int:
        """The units in a window that are ours."""
        return int(self.units * self.share)


@dataclass(frozen=True, slots=True)
class Request:
    """One GET as the venue spells it: path, query in order, and what it costs: quota -> units."""

    path: str
    query: tuple[tuple[str, str], ...]
    cost: Mapping[str, int]


class DecodeError(ValueError):
    """A body that is not the answer asked for: cut off, not JSON, or of another shape."""


@dataclass(frozen=True)
class Answer:
    """What came back: `headers` are found in any case of letters, `came_ms` is by this machine's clock."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    came_ms: int = 0

    @cached_property
    def json(self) -> Any:
        """The body, decoded once; DecodeError where it is no JSON."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError as exc:
            raise DecodeError(f"the body is not JSON: {self.shown}") from exc

    @property
    def shown(self) -> str:
        """The beginning of the body in one line, for messages."""
        return one_line(self.body[:_SHOWN].decode("utf-8", "replace"))[: _SHOWN // 2]

    @property
    def date_ms(self) -> int | None:
        """The Date header: the venue's clock, cut to the second; None where there is none that can be read."""
        try:
            return int(parsedate_to_datetime(self.headers.get("Date", "")).timestamp() * 1000)
        except (ValueError, TypeError, OverflowError, IndexError):
            return None


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for: candles of a series that open in `span`, which is on the grid.

    `anywhere`: or, by the questions for the first, the newest and the last candles, some that lie elsewhere.
    """

    series: Series
    instrument: Instrument
    span: TimeRange
    anywhere: bool = False

    @property
    def count(self) -> int:
        """How many candles there can be: never more than a page has rows."""
        return self.span.count(self.series.interval)

    @property
    def last_ms(self) -> int:
        """The open_time of the last candle: what venues want whose ends are inclusive."""
        return self.span.end_ms - self.series.interval.ms


class Meaning(Enum):
    """What an answer means, decided once, here."""

    OK = "ok"
    LIMITED = "limited"
    """Too much was asked; the quota, or the pool, pauses."""
    BANNED = "banned"
    """The address is shut out for a time, which is remembered beyond the run."""
    BLOCKED = "blocked"
    """A firewall refuses this address, or (the reason is REGION) where it is."""
    PASSING = "passing"
    """A fault that passes: the same request may work later."""
    REFUSED = "refused"
    """Refused for good: the series is not asked for again in this run."""
    OUT_OF_REACH = "out_of_reach"
    """The venue has no candles of that time for anybody to ask; of other times it may."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an answer means. `wait_s` counts from the answer, `until_ms` is a moment on the venue's clock.

    `quota`: which one is exceeded, None for the whole pool.  `slower_s`: of a limit, for how long half the pace has to
    do after the pause, for a venue that does not count as it documents, or punishes by rules that it keeps to itself.
    `grows_to_s`: of a limit, `wait_s` is what the first of several refusals in a row pauses; each further one pauses
    twice as long, up to this.
    """

    meaning: Meaning
    reason: str = ""
    detail: str = ""
    wait_s: float | None = None
    until_ms: int | None = None
    quota: str | None = None
    slower_s: float | None = None
    grows_to_s: float | None = None


def unlisted(symbol: str) -> Instrument:
    """An instrument of which nothing is said."""
    return Instrument(symbol, "", None, None)


OK: Final = Verdict(Meaning.OK)


@dataclass(frozen=True, slots=True)
class PageRule:
    """How candles come: `rows` at most in an answer.

    `steps` are (rows, units) of each price step in the venue's first quota, rising: asking for up to `rows` at once
    costs `units`; one unit whatever is asked for, where nothing is said.

    `cut`: which of its rows an answer may lack where there were more than the venue gives at once, without a word; None
    where it gives what was asked for, or says so.

    `smaller`: falling, what else is said of how many rows come at once, where nobody knows.  The first answers tell
    then, unless the user does: a cut one by its rows, a refused question by the next smaller size that is not refused.
    """

    rows: int
    steps: tuple[tuple[int, int], ...] = ()
    cut: Cut | None = None
    smaller: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.steps:
            object.__setattr__(self, "steps", ((self.rows, 1),))

    def units(self, rows: int) -> int:
        """What a request for so many rows costs."""
        return next(units for most, units in self.steps if rows <= most)


@dataclass(frozen=True, slots=True)
class Listing:
    """What a venue lists, and the units that it advertises, by quota (nothing where it does not say).

    `more`: what to ask for the rest of a listing that comes in pages.  `odd` says of single instruments what in their
    entries is no fact and was left out; `unreadable` entries name no symbol that there can be.
    """

    instruments: Mapping[str, Instrument]
    quotas: Mapping[str, int] = field(default_factory=dict)
    odd: Mapping[str, str] = field(default_factory=dict)
    unreadable: int = 0
    more: Sequence[Request] = ()

    def with_page(self, page: Listing) -> Listing:
        """The same listing with another page of it; of two entries with the same symbol the first one counts."""
        return Listing(
            {**page.instruments, **self.instruments},
            {**self.quotas, **page.quotas},
            {**page.odd, **self.odd},
            self.unreadable + page.unreadable,
        )

    def together(self, other: Listing) -> Listing:
        """What either of two answers lists; where both do, as `other` says it."""
        return Listing(
            {**self.instruments, **other.instruments},
            {**self.quotas, **other.quotas},
            {**{symbol: what for symbol, what in self.odd.items() if symbol not in other.instruments}, **other.odd},
            other.unreadable,
        )

    def by_clock(self, now_ms: int) -> Listing:
        """The same without listings in the future, which are no dates; of what is said to trade that is odd."""
        early = {
            symbol: one
            for symbol, one in self.instruments.items()
            if one.first_ms is not None and one.first_ms > now_ms
        }
        if not early:
            return self
        odd = {
            symbol: f"trades, and has the listing date {_shown(one.first_ms)}, which is to come"
            for symbol, one in early.items()
            if one.trades and one.first_ms is not None
        }
        undated = {symbol: replace(one, first_ms=None) for symbol, one in early.items()}
        return replace(self, instruments={**self.instruments, **undated}, odd={**odd, **self.odd})


def _shown(time_ms: int) -> str:
    return iso(time_ms) if time_ms < LAST_MS else str(time_ms)


class Venue(Protocol):
    """The members stand in this order in every adapter file; one that is left out is as it is here."""

    name: str
    url: str
    headers: Mapping[str, str] = MappingProxyType({})
    """Sent with every request, in place of ours where they have the same name."""
    intervals: Mapping[str, str]
    """Our name of each -> the venue's, rising."""
    lacks: Mapping[str, str] = MappingProxyType({})
    """Of intervals that it lacks: why, for the error message."""
    pool: str
    """Venues that name the same one share limits, pauses and bans; as a rule the venue's own name."""
    quotas: Mapping[str, Quota]
    """The first one is what a page's price steps are in."""
    page: PageRule
    gapless: bool = True
    """Whether a minute without trades has a candle, too."""
    trades_in_sessions: bool = False
    """Whether it is closed at times, of which its answers tell (`Page.sessions`): one answer settles all that it lacks.

    Such a venue leaves out minutes without trades, too.
    """
    example: str
    """A symbol as the venue spells it, for messages."""
    one_word_symbols: bool = False
    """Whether symbols are base and quote in capitals and in one word, so that other tools' spellings can be read."""
    market: str = "perpetual"
    """The kind of instruments that `--all` and asset lists take; what other tools write for another one is refused."""
    longest_ban_s: float = 86_400.0
    """The longest ban it documents: nothing that it says about waiting, and nothing remembered, counts for longer."""
    firewall_wait_s: float = 300.0
    """How long to stay away after an answer that is BLOCKED and does not say, unless the user says otherwise."""
    firewall_again_s: float | None = None
    """The same where it blocks again within this time after the last one was over; None: no longer than before."""

    reach_is_unsaid: bool = False
    """Whether intervals shorter than the longest one may reach back less than that, and nobody says how far.

    Then an empty page before the oldest candle says nothing of what there was: its time is out of reach.
    """

    def intervals_of(self, symbol: str) -> Mapping[str, str]:
        """The intervals of one symbol, where it lacks some of the venue's."""
        return self.intervals

    def rows_of(self, series: Series) -> int:
        """How many rows of one series come at once, where that is fewer than a page of the venue."""
        return self.page.rows

    def reach_ms(self, interval: Interval) -> int | None:
        """How far back from now its candles reach; None for all that there are."""
        return None

    def listing_requests(self, symbols: Collection[str]) -> Sequence[Request]:
        """What to ask for the instruments: all that there are, whoever is asked for, or some for each of `symbols`.

        With nothing to ask the symbols are taken as they are spelled, and their candles decide.
        """
        return ()

    def read_listing(self, answer: Answer) -> Listing:
        return Listing({})

    def clock_request(self) -> Request | None:
        """What to ask for the venue's time; None where the Date header of its answers has to do."""
        return None

    def read_clock(self, answer: Answer) -> int:
        """The venue's time in ms UTC."""
        raise DecodeError("the venue has no clock to read")

    def candles_request(self, asked: Asked) -> Request: ...

    def read_candles(self, answer: Answer, asked: Asked) -> Page:
        """The rows oldest first, volume in the base asset.

        Rows that the venue adds as a rule (the candle before, the live price) are left out; others stay: that they
        are not what was asked for has to show.  A delayed feed gives `Page.final_ms`, where its answers tell.
        """
        ...

    def first_candle_request(self, asked: Asked) -> Request | None:
        """Ask for one candle: the first at or after the start of the span. None: it is looked for with pages."""
        return None

    def newest_candle_request(self, asked: Asked) -> Request | None:
        """Ask for one candle: the newest, which may be forming. None: it is looked for with pages."""
        return None

    def candles_until_request(self, asked: Asked) -> Request | None:
        """Ask for as many candles as the span has, the newest that open before its end, however far back they lie.

        None: a page that ends there has to do.
        """
        return None

    def used(self, answer: Answer) -> Mapping[str, int]:
        """What all programs of this address have used by now, by quota, where the headers say so.

        Asked when the headers are there; the body is not.
        """
        return {}

    def judge(self, answer: Answer) -> Verdict:
        """Say what an answer means, of whatever status and with whatever body; raises nothing."""
        ...
