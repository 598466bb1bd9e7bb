"""The protocol of a venue: a pure description. Adapters do no I/O, never wait, never retry, never write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from laklak.model import Chunk, Instrument, Page, Series


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
    """What a venue lists, and the weight a minute it advertises (None when it does not say)."""

    instruments: Mapping[str, Instrument]
    advertised_weight: int | None


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
    default_url: str
    default_budget: int
    documented_weight: int
    """The weight a minute the venue documents, used while it has not advertised one."""

    longest_ban_s: float
    """The longest ban it documents: nothing that it says about waiting, and nothing remembered, counts for longer."""

    def candles_request(self, chunk: Chunk) -> Request: ...
    def first_candle_request(self, series: Series, from_ms: int) -> Request: ...
    def newest_candle_request(self, series: Series) -> Request: ...
    def parse_candles(self, body: bytes) -> Page: ...
    def instruments_request(self) -> Request: ...
    def parse_instruments(self, body: bytes) -> Listing: ...
    def clock_request(self) -> Request: ...
    def parse_clock(self, body: bytes) -> int: ...
    def used_weight(self, headers: Mapping[str, str]) -> int | None: ...
    def classify(self, status: int, headers: Mapping[str, str], body: bytes) -> Verdict: ...
