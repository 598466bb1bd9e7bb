"""A store that does not answer is told, as a pause that a venue orders is: what, since when, until when."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

import anyio

from laklak.engine.store_work import Listener
from laklak.report.progress import Report
from laklak.report.words import waiting_line
from laklak.stores.base import Store, Waiting
from laklak.text import duration_text

LOOK_EVERY_S: Final = 0.25
WORTH_TELLING_S: Final = 2.0
"""Shorter ones are over before anybody has read of them."""


class StoreWatch:
    """Looks again and again whether the stores of a run are waited for, and tells it once when that begins and ends."""

    def __init__(self, stores: Sequence[Store], report: Report, observer: Listener) -> None:
        self._stores = stores
        self._report = report
        self._observer = observer
        self._told: dict[int, float] = {}

    async def run(self) -> None:
        """Look until cancelled, and then tell what has ended since the last look: a run may end right after it."""
        try:
            while True:
                await anyio.sleep(LOOK_EVERY_S)
                self.look(time.monotonic())
        finally:
            for number, store in enumerate(self._stores):
                if store.waiting is None:
                    self._tell(number, None, time.monotonic())

    def look(self, now_s: float) -> None:
        """Take notice of how it stands now."""
        found = [store.waiting for store in self._stores]
        for number, waiting in enumerate(found):
            self._tell(number, waiting, now_s)
        self._report.waiting = next((waiting for waiting in found if waiting is not None), None)

    def _tell(self, number: int, waiting: Waiting | None, now_s: float) -> None:
        if waiting is None:
            since_s = self._told.pop(number, None)
            if since_s is not None:
                self._observer.note(f"the store answers again, after {duration_text(now_s - since_s)}")
        elif number not in self._told and now_s - waiting.since_s >= WORTH_TELLING_S:
            self._told[number] = waiting.since_s
            self._observer.warn(waiting_line(waiting, now_s))
