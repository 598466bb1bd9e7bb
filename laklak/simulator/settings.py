"""How a simulated venue behaves, as one value."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from laklak.simulator.faults import Fault, Override
from laklak.simulator.gate import Window
from laklak.simulator.market import ClockKind, SymbolOverride

Script = Callable[[str, Mapping[str, str], int], Override | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorSettings:
    """How the simulated venue behaves.

    port: 0 takes a free one. budget: weight a minute it grants. advertised: what exchangeInfo says it grants; None
    says the truth. retry_after: whether 429 and 418 carry Retry-After (futures do not promise it). patience: refused
    requests in a window before the ban of ban_s. clock_ms: where the venue's clock stands; None is the end of the
    candles. latency_s: what every answer takes. hang_s: how long a hanging answer holds on. script: called with path,
    query and the running number of the request (from 1); what it gives is answered instead, after the gate.
    record_hits: keep every request in stats.hits. wall_clock: epoch seconds, what the weight windows and bans run on.
    """

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
    hang_s: float = 60.0
    overrides: Mapping[str, SymbolOverride] = field(default_factory=dict)
    script: Script | None = None
    record_hits: bool = True
    wall_clock: Callable[[], float] = time.time
