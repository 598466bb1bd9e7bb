"""What the simulator saw, for tests and for its own summary."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import NamedTuple


class Hit(NamedTuple):
    """One request: when it arrived (monotonic seconds), what it cost, and the status sent (0: no answer at all)."""

    at_s: float
    path: str
    weight: int
    status: int
    query: dict[str, str]


@dataclass(slots=True)
class Stats:
    """Counts since the start. `refusals` are the gate's own 429 and 418; `faults` are the injected ones, by kind.

    `neighbour_requests` and `neighbour_refusals` are those of the other program on the address, up to the last hit.
    `hits` are in order of arrival, kept unless the settings say otherwise.

    All but `faults` and `hits` are of the REST venue. `archive` counts the archive's requests by what was asked for
    (`daily zip`, `daily checksum`, `monthly zip`, `monthly checksum`, `other`) and status (0: no answer at all),
    `archive_bytes` the bytes of bodies that it sent.
    """

    requests: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    refusals: Counter[int] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    neighbour_requests: int = 0
    neighbour_refusals: int = 0
    weight: int = 0
    rows: int = 0
    archive: Counter[tuple[str, int]] = field(default_factory=Counter)
    archive_bytes: int = 0
    hits: list[Hit] = field(default_factory=list)

    def settle_hit(self, place: int, status: int) -> None:
        """Note the answer to the hit at `place`."""
        self.hits[place] = self.hits[place]._replace(status=status)

    def weight_in_any(self, span_s: float) -> int:
        """Return the most weight that arrived within any span of `span_s` seconds, refused requests included."""
        most = inside = 0
        span: deque[Hit] = deque()
        for hit in self.hits:
            span.append(hit)
            inside += hit.weight
            while span[0].at_s <= hit.at_s - span_s:
                inside -= span.popleft().weight
            most = max(most, inside)
        return most
