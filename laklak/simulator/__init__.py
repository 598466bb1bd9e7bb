"""A faithful local venue on a socket, with Binance's public archive: real or generated candles, the venue's own rules.

Shipped as `laklak simulate`; tests and benchmarks use it as their server.
"""

from laklak.simulator.archive.faults import ARCHIVE_KINDS
from laklak.simulator.badrows import BAD_ROW_KINDS
from laklak.simulator.fault_text import parse_fault
from laklak.simulator.faults import Fault, Override
from laklak.simulator.market import SymbolOverride
from laklak.simulator.server import Simulator
from laklak.simulator.settings import SimulatorSettings
from laklak.simulator.sources.base import CandleSource
from laklak.simulator.sources.continued import ContinuedSource
from laklak.simulator.sources.generated import GeneratedSource, generate
from laklak.simulator.sources.recorded import RecordedSource, load_recorded
from laklak.simulator.stats import Hit, Stats

__all__ = [
    "ARCHIVE_KINDS",
    "BAD_ROW_KINDS",
    "CandleSource",
    "ContinuedSource",
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
