"""What a run watches: its progress, whether the machine slept, whether a store answers.

A store that does not answer is told like a pause that a venue orders: what, since when, until when.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

import anyio

from laklak.engine.store_work import Listener
from laklak.engine.tally import tally
from laklak.errors import FatalError, PermanentError, TransientError
from laklak.report.observer import Observer
from laklak.report.progress import Report
from laklak.report.status import waiting_line
from laklak.sources.venue import Feed
from laklak.stores.base import Store, Waiting
from laklak.tasks.groups import task_group
from laklak.tasks.stopping import Stopped
from laklak.text import duration_text

log = logging.getLogger(__name__)

TICK_S: Final = 0.5
SLEPT_S: Final = 10.0
LOOK_EVERY_S: Final = 0.25
WORTH_TELLING_S: Final = 2.0
"""Shorter waits are over before anybody has read of them."""


class Watch:
    """Shows progress, and connects afresh to the venues after a sleep; `lost` receives a venue that ends by that."""

    def __init__(
        self, feeds: Sequence[Feed], report: Report, observer: Observer, lost: Callable[[Feed, FatalError], None]
    ) -> None:
        self._feeds = feeds
        self._report = report
        self._observer = observer
        self._lost = lost

    async def run(self) -> None:
        """Tick until cancelled."""
        monotonic_s, wall_s = time.monotonic(), time.time()
        while True:
            await asyncio.sleep(TICK_S)
            slept_s = max(time.monotonic() - monotonic_s, time.time() - wall_s)
            if slept_s > SLEPT_S:
                await self._wake(slept_s)
            monotonic_s, wall_s = time.monotonic(), time.time()
            tally(self._report, self._feeds)
            self._observer.progress(self._report)

    async def _wake(self, slept_s: float) -> None:
        self._observer.warn(f"the machine or the process stood still for {slept_s:.0f} s; going on")
        async with task_group() as group:
            for feed in self._feeds:
                if not feed.stopper.requested:
                    group.start_soon(self._start_afresh, feed)

    async def _start_afresh(self, feed: Feed) -> None:
        await feed.renew()
        if not feed.asks_api:
            return
        try:
            await feed.read_clock()
        except (TransientError, PermanentError, Stopped) as exc:
            log.warning("clock not read again venue=%s error=%s", feed.name, exc)
        except FatalError as exc:
            self._lost(feed, exc)


class StoreWatch:
    """Watches whether a run waits for its stores, and tells once when that begins and ends."""

    def __init__(self, stores: Sequence[Store], report: Report, observer: Listener) -> None:
        self._stores = stores
        self._report = report
        self._observer = observer
        self._told: dict[int, float] = {}

    async def run(self) -> None:
        """Look until cancelled, then tell what has ended since the last look: a run may end right after it."""
        try:
            while True:
                await anyio.sleep(LOOK_EVERY_S)
                self.look(time.monotonic())
        finally:
            for number, store in enumerate(self._stores):
                if store.waiting is None:
                    self._tell(number, None, time.monotonic())

    def look(self, now_s: float) -> None:
        """Tell, and report, which stores are waited for at `now_s`."""
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
