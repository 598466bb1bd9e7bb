"""How candles flow in every run, whatever the source: workers -> queue -> writers -> store, and how that is stopped.

    ticking group   progress, and the watch for a machine that slept
      writer group    a writer or two: parcels -> batches -> store, acknowledged to the ledgers
        worker group    the sources of parcels

Groups are nested by lifetime: when the workers end the queue closes, the writers drain it and end, then the ticking.
What was not acknowledged is missing, and got by the next run.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectSendStream

from laklak.engine.watch import Watch
from laklak.engine.writing import Parcel, Writer
from laklak.errors import LaklakError
from laklak.report.observer import Observer
from laklak.report.progress import Report
from laklak.stores.base import Store
from laklak.stores.unconfirmed import UnsureBook
from laklak.tasks.groups import task_group
from laklak.tasks.stopping import Stopper

log = logging.getLogger(__name__)

Parcels = MemoryObjectSendStream[Parcel]


class Flow:
    """Parcels on their way to one store; of `rows_together` and `parcels_together` a Writer tells.

    `error` is what ended all of it early.
    """

    def __init__(
        self,
        store: Store,
        unsure: UnsureBook,
        report: Report,
        stopper: Stopper,
        *,
        writers: int,
        rows_together: int,
        parcels_together: int,
        refused: str = "the store refused them, {} says why",
    ) -> None:
        self.error: LaklakError | None = None
        self._writer = Writer(store, unsure, report, self.lost_store, rows_together, parcels_together, refused)
        self._writers_at_once = writers
        self._report = report
        self._stopper = stopper
        self._workers: anyio.CancelScope | None = None
        self._writers: anyio.CancelScope | None = None

    def stop_within(self, grace_s: float) -> None:
        """Give what is on its way, and the store, so long to finish; the stopper keeps new work away."""
        now = anyio.current_time()
        # The last fifth belongs to the store, which writes what the source still gave.
        for scope, share in ((self._workers, 0.8), (self._writers, 1.0)):
            if scope is not None:
                scope.deadline = min(scope.deadline, now + share * grace_s)

    def stop_now(self) -> None:
        """Give up what is on its way and what is not written yet; the store stays sound."""
        for scope in (self._workers, self._writers):
            if scope is not None:
                scope.cancel()

    def end(self, error: LaklakError) -> None:
        """Take no new work for this reason (the first one counts); what is on its way is still written."""
        if self.error is None:
            self.error = error
            log.error("stopping reason=%s error=%s", error.reason, error)
        self._stopper.request()

    def lost_store(self, error: LaklakError) -> None:
        """End all of it: what is on its way cannot be stored."""
        self._writer.give_up()
        if self._workers is not None:
            self._workers.cancel()
        self.end(error)

    async def run(self, queued: int, watch: Watch, start: Callable[[TaskGroup, Parcels], None]) -> None:
        """Write what the workers give that `start` starts; each closes a clone of the stream. `queued` parcels wait."""
        self._report.fetching_since_s = time.monotonic()
        send, receive = anyio.create_memory_object_stream[Parcel](queued)
        async with task_group() as ticking:
            ticking.start_soon(watch.run)
            async with task_group() as writers:
                self._writers = writers.cancel_scope
                for _ in range(self._writers_at_once):
                    writers.start_soon(self._writer.write, receive.clone())
                receive.close()
                async with send, task_group() as workers:
                    self._workers = workers.cancel_scope
                    start(workers, send)
            ticking.cancel_scope.cancel()
        self._report.writer.of_s = time.monotonic() - self._report.fetching_since_s
        for ledger in self._report.ledgers:
            self._writer.log_series(ledger)


class Run:
    """What can be stopped."""

    def __init__(self, observer: Observer) -> None:
        self.stopper = Stopper()
        self._observer = observer
        self._exit_code: int | None = None
        self._hurried = False
        self._flow: Flow | None = None

    def stop(self, exit_code: int, grace_s: float) -> None:
        """Take no new work, let what is on its way finish for at most `grace_s`, write, report."""
        self._exit_code = exit_code
        self.stopper.request()
        if self._flow is not None:
            self._flow.stop_within(grace_s)

    def stop_now(self) -> None:
        """Give up what is on its way and what is not written yet; the stores stay sound."""
        self._hurried = True
        if self._flow is not None:
            self._flow.stop_now()

    @property
    def _error(self) -> LaklakError | None:
        return None if self._flow is None else self._flow.error
