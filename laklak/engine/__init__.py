"""The engine: the only part that makes tasks, all of them in task groups nested by lifetime."""

from laklak.engine.check import Check
from laklak.engine.run import Backfill
from laklak.engine.transfer import Transfer
from laklak.report.observer import Observer

__all__ = ["Backfill", "Check", "Observer", "Transfer"]
