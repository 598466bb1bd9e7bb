"""Who hears what happens in a run."""

from __future__ import annotations

from typing import Protocol

from laklak.report.progress import Report
from laklak.report.summary import Estimate


class Observer(Protocol):
    """Receives what happens: the command line, or nothing does."""

    def note(self, line: str) -> None: ...
    def warn(self, line: str) -> None: ...
    def planned(self, estimate: Estimate) -> None: ...
    def progress(self, report: Report) -> None: ...
