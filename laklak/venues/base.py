"""The protocol of a venue: a pure description. Adapters do no I/O and never wait, retry or write.

How to write one.  A venue is one class in one file of this folder, and one line in laklak.venues.  The class derives
from `Venue`, keeps the order of its members, and omits those whose default fits.  It says

    what the venue offers  name, url, intervals, quotas, page, example
    how to ask             `*_request`: path, query in order, cost
    how to read            `read_*`: Answer -> values; DecodeError if it does not answer the question
    what an answer means   `judge`, also for status 200

laklak.venues.reading has the helpers.  Copy tests/venues/example_venue.py, a complete adapter, and its strict server,
tests/servers/example_server.py; tests/venues/test_contract.py checks every venue against what the engine relies on. To
add a relative of an existing venue, derive from it and override what differs (binance_spot).  laklak.archives describes
bulk files, laklak.simulator.dialects the simulator's answers.  The example begins like this, with the three methods
that every venue defines:

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
"""The end of the year 9999: calendars spell nothing later."""
_SHOWN: Final = 200

REGION: Final = "region"
"""The reason of a BLOCKED Verdict when the venue refuses the address's region: waiting does not help."""


@dataclass(frozen=True, slots=True)
class Quota:
    """A budget that a venue grants an address: at most `units` in any `seconds`.

    `share`: our part by default, from 0 to 1; other programs on the address need the rest.  `window`: whether the venue
    counts in sliding windows or in ones that its clock starts (a program that respects a sliding window respects both).
    `burst`: units that the venue documents as available at once, None if undocumented.
    """

    units: int
    seconds: float
    share: float = 0.5
    window: Literal["sliding", "calendar"] = "sliding"
    burst: int | None = None

    @property
    def ours(self) -> int:
        """Our units in a window."""
        return int(self.units * self.share)


@dataclass(frozen=True, slots=True)
class Request:
    """One GET as the venue spells it: path, query in order, and cost (quota -> units)."""

    path: str
    query: tuple[tuple[str, str], ...]
    cost: Mapping[str, int]


class DecodeError(ValueError):
    """A body that does not answer the question: cut off, not JSON, or of another shape."""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer: `headers` ignore case, `came_ms` is by this machine's clock."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    came_ms: int = 0

    @cached_property
    def json(self) -> Any:
        """The body, decoded once; DecodeError if it is not JSON."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError as exc:
            raise DecodeError(f"the body is not JSON: {self.shown}") from exc

    @property
    def shown(self) -> str:
        """The start of the body in one line, for messages."""
        return one_line(self.body[:_SHOWN].decode("utf-8", "replace"))[: _SHOWN // 2]

    @property
    def date_ms(self) -> int | None:
        """The Date header in ms: the venue's clock, cut to the second; None if absent or unreadable."""
        try:
            return int(parsedate_to_datetime(self.headers.get("Date", "")).timestamp() * 1000)
        except (ValueError, TypeError, OverflowError, IndexError):
            return None


@dataclass(frozen=True, slots=True)
class Asked:
    """A question for the candles of a series that open in `span`, which is on the grid.

    `anywhere`: the question for the first, the newest or the last candles, which may lie outside the span.
    """

    series: Series
    instrument: Instrument
    span: TimeRange
    anywhere: bool = False

    @property
    def count(self) -> int:
        """The most candles the span can hold: at most a page."""
        return self.span.count(self.series.interval)

    @property
    def last_ms(self) -> int:
        """The open_time of the last candle, for venues with inclusive ends."""
        return self.span.end_ms - self.series.interval.ms


class Meaning(Enum):
    """What an answer means, decided once, here."""

    OK = "ok"
    LIMITED = "limited"
    """We asked too much; the quota, or the whole pool, pauses."""
    BANNED = "banned"
    """The venue shuts the address out for a time, which outlasts the run in memory."""
    BLOCKED = "blocked"
    """A firewall refuses this address, or its region (reason REGION)."""
    PASSING = "passing"
    """A temporary fault: the same request may work later."""
    REFUSED = "refused"
    """Refused for good: this run does not ask for the series again."""
    OUT_OF_REACH = "out_of_reach"
    """The venue offers nobody candles of that time; it may offer other times."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an answer means. `wait_s` counts from the answer, `until_ms` is a moment on the venue's clock.

    `quota`: the exceeded quota, None for the whole pool.  `slower_s`: after a limit's pause, go at half the pace for so
    many seconds, because the venue counts differently than documented or keeps its penalties to itself.  `grows_to_s`:
    `wait_s` is the pause after the first of several refusals in a row; each further one doubles it, up to this.
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
    """An instrument of which the venue says nothing."""
    return Instrument(symbol, "", None, None)


OK: Final = Verdict(Meaning.OK)


@dataclass(frozen=True, slots=True)
class PageRule:
    """How candles come: at most `rows` in an answer.

    `steps`: (rows, units) of each price step in the venue's first quota, rising: asking for up to `rows` costs `units`.
    By default every request costs one unit.

    `cut`: which rows a too long answer silently lacks; None if the venue returns all that was asked for, or says so.

    `smaller`: other documented page sizes, falling, where the sources disagree.  Unless the user sets one, the first
    answers decide: a cut answer by its rows, a refused question by the next smaller size that the venue accepts.
    """

    rows: int
    steps: tuple[tuple[int, int], ...] = ()
    cut: Cut | None = None
    smaller: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.steps:
            object.__setattr__(self, "steps", ((self.rows, 1),))

    def units(self, rows: int) -> int:
        """Return the cost of a request for `rows` candles."""
        return next(units for most, units in self.steps if rows <= most)


@dataclass(frozen=True, slots=True)
class Listing:
    """What a venue lists, and the units that it advertises, by quota (empty if it does not say).

    `more`: requests for the remaining pages of the listing.  `odd`: symbol -> what was wrong in its entry, and
    ignored.  `unreadable`: entries without a possible symbol.
    """

    instruments: Mapping[str, Instrument]
    quotas: Mapping[str, int] = field(default_factory=dict)
    odd: Mapping[str, str] = field(default_factory=dict)
    unreadable: int = 0
    more: Sequence[Request] = ()

    def with_page(self, page: Listing) -> Listing:
        """Add a page of the same listing; of two entries with one symbol the first counts."""
        return Listing(
            {**page.instruments, **self.instruments},
            {**self.quotas, **page.quotas},
            {**page.odd, **self.odd},
            self.unreadable + page.unreadable,
        )

    def together(self, other: Listing) -> Listing:
        """Merge two listings; where both name a symbol, `other` counts."""
        return Listing(
            {**self.instruments, **other.instruments},
            {**self.quotas, **other.quotas},
            {**{symbol: what for symbol, what in self.odd.items() if symbol not in other.instruments}, **other.odd},
            other.unreadable,
        )

    def by_clock(self, now_ms: int) -> Listing:
        """Drop listing dates in the future, which cannot be true; for instruments that trade, report them as odd."""
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
    """The members stand in this order in every adapter file; omit those whose default fits."""

    name: str
    url: str
    headers: Mapping[str, str] = MappingProxyType({})
    """Sent with every request; they override ours of the same name."""
    intervals: Mapping[str, str]
    """Our name -> the venue's, rising."""
    lacks: Mapping[str, str] = MappingProxyType({})
    """Missing interval -> why, for the error message."""
    pool: str
    """Venues of one pool share limits, pauses and bans; usually the venue's own name."""
    quotas: Mapping[str, Quota]
    """A page's price steps count in the first one."""
    page: PageRule
    gapless: bool = True
    """Whether minutes without trades have candles, too."""
    trades_in_sessions: bool = False
    """Whether the venue closes at times that its answers tell (`Page.sessions`): one answer settles all that it lacks.

    Such a venue also omits minutes without trades.
    """
    example: str
    """A symbol in the venue's spelling, for messages."""
    one_word_symbols: bool = False
    """Whether symbols are base and quote in capitals and one word, so that other tools' spellings can be read."""
    market: str = "perpetual"
    """The kind of instruments that `--all` and asset lists take; other tools' spellings of another kind are refused."""
    longest_ban_s: float = 86_400.0
    """The longest documented ban: cap for every wait that the venue asks for or that is remembered."""
    firewall_wait_s: float = 300.0
    """Seconds to stay away after a BLOCKED answer that names no time, unless the user says otherwise."""
    firewall_again_s: float | None = None
    """The same if it blocks again within this time after the last block ended; None: no longer than before."""

    reach_is_unsaid: bool = False
    """Whether shorter intervals may reach back less than the longest one, without the venue saying how far.

    Then an empty page before the oldest candle proves nothing: that time is out of reach.
    """

    def intervals_of(self, symbol: str) -> Mapping[str, str]:
        """The intervals of one symbol, if it lacks some of the venue's."""
        return self.intervals

    def rows_of(self, series: Series) -> int:
        """The rows of one series that come at once, if fewer than the venue's page."""
        return self.page.rows

    def reach_ms(self, interval: Interval) -> int | None:
        """How far back from now candles reach, in ms; None if all of them are available."""
        return None

    def listing_requests(self, symbols: Collection[str]) -> Sequence[Request]:
        """Requests for the instruments: either for the whole listing, or some for each of `symbols`.

        Without any the symbols are taken as spelled, and their candles decide.
        """
        return ()

    def read_listing(self, answer: Answer) -> Listing:
        return Listing({})

    def clock_request(self) -> Request | None:
        """The request for the venue's time; None to use the Date header of its answers."""
        return None

    def read_clock(self, answer: Answer) -> int:
        """Return the venue's time in ms UTC; DecodeError if the answer has none."""
        raise DecodeError("the venue has no clock to read")

    def candles_request(self, asked: Asked) -> Request: ...

    def read_candles(self, answer: Answer, asked: Asked) -> Page:
        """Return the rows oldest first, volume in the base asset; DecodeError if the answer has no such rows.

        Drop rows that the venue adds by habit (the candle before, the live price) and keep all others: an answer to
        another question has to show.  A delayed feed sets `Page.final_ms` where its answers tell it.
        """
        ...

    def first_candle_request(self, asked: Asked) -> Request | None:
        """Ask for one candle: the first at or after the span's start. None: the engine searches with pages."""
        return None

    def newest_candle_request(self, asked: Asked) -> Request | None:
        """Ask for one candle: the newest, which may be forming. None: the engine searches with pages."""
        return None

    def candles_until_request(self, asked: Asked) -> Request | None:
        """Ask for the newest candles that open before the span's end, as many as it has, however far back they lie.

        None: the engine asks for a page that ends there.
        """
        return None

    def used(self, answer: Answer) -> Mapping[str, int]:
        """The units that all programs of this address have used by now, by quota, if the headers tell.

        Called as soon as the headers are there, before the body.
        """
        return {}

    def judge(self, answer: Answer) -> Verdict:
        """Say what an answer of any status and any body means; raises nothing."""
        ...
