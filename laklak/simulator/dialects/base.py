"""The protocol of a dialect: how one venue spells the requests it reads and the answers it gives.

The simulator has the candles, the budget, the clock and the faults, the same for all; a dialect is pure, keeps nothing
and decides nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, NamedTuple, Protocol

from laklak.model.series import Interval
from laklak.simulator.gate import Window
from laklak.simulator.sources.base import Instrument

JSON: Final = "application/json"


class Subject(Enum):
    """The subject of a path."""

    CANDLES = "candles"
    LISTING = "listing"
    CLOCK = "clock"
    PING = "ping"


@dataclass(frozen=True, slots=True)
class CandlesQuery:
    """A request for candles as understood: bounds are open times in ms, inclusive at both ends, None if not sent.

    If more than `limit` rows match, those at the start come if `oldest_first`, else those at the end.
    """

    symbol: str
    interval: Interval
    start_ms: int | None
    end_ms: int | None
    limit: int
    oldest_first: bool


class Reply(NamedTuple):
    """An answer as sent, without the headers that all answers have."""

    status: int
    body: bytes
    content_type: str = JSON


class RefusedRequest(Exception):
    """A request whose parameters the venue refuses, with its answer in its own words."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.body.decode())
        self.reply = reply


class Dialect(Protocol):
    """The members stand in this order in every file of a venue."""

    window_s: float
    """The time over which the venue counts an address's cost, in s."""
    budget: int
    """What it grants in that time."""
    window: Window
    """Whether that time begins with the calendar or slides."""
    patience: int
    """How many refusals in a window it takes before it bans."""
    ban_s: float
    names: Sequence[str]
    """The symbols of made-up candles in the venue's spelling; none if it spells them like Binance."""
    archive_root: str | None
    """The folder of its bulk files, with the slashes around it; None if it publishes none."""
    pong: bytes
    region: Reply
    """The answer to an address in a country that the venue does not serve."""
    server_errors: Sequence[Reply]
    """The ways in which it says that it has trouble."""

    def subject_of(self, path: str) -> Subject | None:
        """Return the subject of a path, None if there is nothing."""
        ...

    def cost(self, path: str, query: Mapping[str, str]) -> int:
        """Return what a request costs of the budget; refused ones cost, too."""
        ...

    def headers(self, used: int) -> dict[str, str]:
        """Return the headers of every answer to an address that has `used` this much of its budget."""
        ...

    def read_candles(self, path: str, query: Mapping[str, str]) -> CandlesQuery:
        """Understand a request for candles, or raise the RefusedRequest that the venue answers."""
        ...

    def candles(self, query: CandlesQuery, rows: Sequence[bytes], now_ms: int) -> bytes:
        """Return the body with these rows, which come oldest first; one broken on purpose may lack cells.

        The last one may still be forming at `now_ms`, which some venues tell.  Raises RefusedRequest for a time that
        the venue no longer reaches back to.
        """
        ...

    def entry(self, instrument: Instrument) -> Any:
        """Return an instrument's entry in the listing, as a value of JSON."""
        ...

    def listing(
        self,
        query: Mapping[str, str],
        entries: Sequence[Any],
        recorded: Mapping[str, Any] | None,
        budget: int,
        now_ms: int,
    ) -> bytes:
        """Return the body that lists what is traded, or what `query` asks of it.

        `recorded`: what the venue was recorded to say beside its entries.
        """
        ...

    def clock(self, now_ms: int) -> bytes:
        """Return the body that tells the time."""
        ...

    def unknown_path(self, method: str, path: str) -> Reply: ...
    def unknown_symbol(self, symbol: str) -> Reply: ...
    def delisted(self, symbol: str) -> Reply: ...
    def too_many_requests(self, budget: int) -> Reply: ...
    def banned(self, until_ms: int) -> Reply: ...
