"""A faithful local Binance USD-M venue on a socket: real or generated candles under the venue's own rules.

Shipped as `laklak simulate`, and the server the tests and benchmarks talk to.
"""

from laklak.simulator.badrows import BAD_ROW_KINDS
from laklak.simulator.faults import Fault, Override, parse_fault
from laklak.simulator.generated import GeneratedSource, generate
from laklak.simulator.market import SymbolOverride
from laklak.simulator.recorded import RecordedSource, load_recorded
from laklak.simulator.server import Simulator
from laklak.simulator.settings import SimulatorSettings
from laklak.simulator.sources import CandleSource
from laklak.simulator.stats import Hit, Stats

__all__ = [
    "BAD_ROW_KINDS",
    "CandleSource",
    "Fault",
    "GeneratedSource",
    "Hit",
    "Override",
    "RecordedSource",
    "Simulator",
    "SimulatorSettings",
    "Stats",
    "SymbolOverride",
    "generate",
    "load_recorded",
    "parse_fault",
]
