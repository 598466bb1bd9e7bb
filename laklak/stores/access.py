"""A store as a user names it, and how to use it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from laklak.tasks.timing import StoreTiming

TIMING: Final = StoreTiming()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreAccess:
    """A store as a user names it, and how to use it. Files ignore what is only for servers.

    `where`: a SQLite file or a URL; it may hold a password, so show it masked.
    `password`, `token` and `org`: for an InfluxDB address without them.
    `measurement`: where candles are kept, with `{venue}` for the venue's name. `batch_lines`: lines in one request.
    `state_dir`: where a server's store has its lock; a file's lock is beside it.
    `max_wait_s`: how long to wait for a server that is down. At the start the waits are shorter: `start_wait_s` for a
    network that is not up yet, `refusal_wait_s` for a server that refuses the connection. `timing`: its other waits.
    """

    where: str = field(repr=False)
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    org: str | None = None
    gzip: bool = False
    batch_lines: int = 5_000
    measurement: str = "{venue}_ohlc"
    state_dir: Path | None = None
    max_wait_s: float = 600.0
    start_wait_s: float = 0.0
    refusal_wait_s: float = 0.0
    timing: StoreTiming = field(default_factory=lambda: TIMING)

    @property
    def at_once(self) -> StoreAccess:
        """The same for a person who waits for the answer: do not wait for a server that may come up one day."""
        return replace(self, refusal_wait_s=0.0)
