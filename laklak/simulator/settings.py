"""How a simulated venue behaves, as one value."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

from laklak.simulator.archive.paths import DAY_DELAY_MS, MONTH_DELAY_MS
from laklak.simulator.dialects.base import Dialect
from laklak.simulator.dialects.binance import Binance
from laklak.simulator.faults import Fault, Override
from laklak.simulator.gate import Window
from laklak.simulator.market import ClockKind, SymbolOverride

SETTLE_MS: Final = 5_000
"""A candle is wanted this long after its close by default: a clock at the candles' end would hide the last one."""

Script = Callable[[str, Mapping[str, str], int], Override | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorSettings:
    """How the simulated venue behaves.

    dialect: the venue whose words it speaks. port: 0 takes a free one. budget: weight it grants in a window (a minute
    of Binance). advertised: what the listing says it grants; None says the truth. retry_after: whether 429 and 418
    carry Retry-After (futures do not promise it). patience: refused requests in a window before the ban of ban_s.
    clock_ms: where the venue's clock stands; None is SETTLE_MS after the end of the candles. clock_speed: how much
    faster than real time a ticking clock goes. latency_s: delay of every answer. hang_s: how long a hanging answer
    holds on. script: called with path, query and the running number of the request (from 1); its result is the answer,
    after the gate. record_hits: keep every request in stats.hits. wall_clock: epoch seconds, for the weight windows and
    bans.

    archive_day_delay_ms, archive_month_delay_ms: how long after its end a day or month is published. archive_header:
    whether files begin with the names of the columns, as newer ones do. archive_zlib_level: 6 as published.
    archive_cache_bytes: files kept once made, at most. archive_prepared: make the 1m files before serving, as far as
    they fit. archive_script: like script, for the archive; its numbers count requests for the archive only.
    """

    dialect: Dialect = field(default_factory=Binance)
    port: int = 0
    host: str = "127.0.0.1"
    latency_s: float = 0.0
    budget: int = 2400
    advertised: int | None = None
    faults: Sequence[Fault] = ()
    seed: int = 1
    window: Window = "calendar"
    retry_after: bool = False
    patience: int = 10
    ban_s: float = 120.0
    neighbour_weight_per_minute: int = 0
    clock: ClockKind = "frozen"
    clock_ms: int | None = None
    clock_speed: float = 1.0
    hang_s: float = 60.0
    overrides: Mapping[str, SymbolOverride] = field(default_factory=dict)
    script: Script | None = None
    record_hits: bool = True
    wall_clock: Callable[[], float] = time.time
    archive_day_delay_ms: int = DAY_DELAY_MS
    archive_month_delay_ms: int = MONTH_DELAY_MS
    archive_header: bool = True
    archive_zlib_level: int = 6
    archive_cache_bytes: int = 256 * 1024**2
    archive_prepared: bool = False
    archive_script: Script | None = None

    @classmethod
    def of(cls, dialect: Dialect, **settings: Any) -> Self:
        """Settings of a venue that grants and punishes as it documents, except for `settings`."""
        own = {name: getattr(dialect, name) for name in ("budget", "window", "patience", "ban_s")}
        return cls(**{"dialect": dialect, **own, **settings})
