"""Who is told what happens in a run."""

from __future__ import annotations

from typing import Protocol

from laklak.report.progress import Report
from laklak.report.summary import Estimate


class Observer(Protocol):
    """Who is told what happens: the command line, or nobody."""

    def note(self, line: str) -> None: ...
    def warn(self, line: str) -> None: ...
    def planned(self, estimate: Estimate) -> None: ...
    def progress(self, report: Report) -> None: ...
