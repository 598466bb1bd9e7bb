"""The protocol of a venue: a pure description. Adapters do no I/O, never wait, never retry, never write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final, Literal, Protocol

from laklak.model.candles import Chunk, Page
from laklak.model.series import Instrument, Series, iso

_LAST_MS: Final = 253_402_300_800_000
"""The end of the year 9999: no calendar spells what comes later."""


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


@dataclass(frozen=True, slots=True)
class Request:
    """One GET as the venue spells it: path, query in order, and what it costs in weight."""

    path: str
    query: tuple[tuple[str, str], ...]
    weight: int


class Kind(Enum):
    """What an answer means, decided once, here."""

    OK = "ok"
    RATE_LIMITED = "rate_limited"
    BANNED = "banned"
    FIREWALL = "firewall"
    REGION = "region"
    PASSING = "passing"
    PERMANENT = "permanent"


@dataclass(frozen=True, slots=True)
class Verdict:
    """An answer classified. `retry_after_s` counts from the answer, `until_ms` is a moment on the venue's clock."""

    kind: Kind
    reason: str = ""
    detail: str = ""
    retry_after_s: float | None = None
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """What a venue lists, and the weight a minute it advertises (None when it does not say).

    `odd` says of single instruments what in their entries is no fact and was left out; `unreadable` entries name no
    symbol that there can be.
    """

    instruments: Mapping[str, Instrument]
    advertised_weight: int | None
    odd: Mapping[str, str] = field(default_factory=dict)
    unreadable: int = 0

    def together(self, other: Listing) -> Listing:
        """What either of two answers lists; where both do, as `other` says it."""
        return Listing(
            {**self.instruments, **other.instruments},
            other.advertised_weight or self.advertised_weight,
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
    return iso(time_ms) if time_ms < _LAST_MS else str(time_ms)


class DecodeError(ValueError):
    """A body that is not the answer asked for: cut off, not JSON, or of another shape."""


class Venue(Protocol):
    """The members stand in this order in every adapter file."""

    name: str
    intervals: tuple[str, ...]
    page_tiers: tuple[tuple[int, int], ...]
    """(candles, weight) of each price step, rising: asking up to `candles` at once costs `weight`."""
    metadata_weight: int
    """Weight of one clock or instruments request."""
    pool: str
    """Venues that name the same one share limits, pauses and bans; as a rule the venue's own name."""
    quotas: Mapping[str, Quota]
    """What it grants an address; the first one is what `page_tiers` are in."""
    default_url: str
    default_budget: int
    documented_weight: int
    """The weight a minute the venue documents, used while it has not advertised one."""

    one_word_symbols: bool
    """Whether symbols are base and quote in capitals and in one word, so that other tools' spellings can be read."""
    longest_ban_s: float
    """The longest ban it documents: nothing that it says about waiting, and nothing remembered, counts for longer."""

    def candles_request(self, chunk: Chunk) -> Request: ...
    def first_candle_request(self, series: Series, from_ms: int) -> Request: ...
    def newest_candle_request(self, series: Series) -> Request: ...
    def candles_until_request(self, series: Series, until_ms: int, count: int) -> Request: ...
    def parse_candles(self, body: bytes) -> Page: ...
    def instruments_request(self) -> Request: ...
    def parse_instruments(self, body: bytes) -> Listing: ...
    def clock_request(self) -> Request: ...
    def parse_clock(self, body: bytes) -> int: ...
    def used_weight(self, headers: Mapping[str, str]) -> int | None: ...
    def classify(self, status: int, headers: Mapping[str, str], body: bytes) -> Verdict: ...
