"""The engine: the only part that makes tasks, all of them in task groups nested by lifetime."""

from laklak.engine.check import Check
from laklak.engine.copy import Copy
from laklak.engine.importing import Import
from laklak.engine.resampling import Resample
from laklak.engine.run import Backfill
from laklak.report.observer import Observer

__all__ = ["Backfill", "Check", "Copy", "Import", "Observer", "Resample"]
