"""How candles flow in every run, whatever the source: workers -> queue -> writers -> store; and how to stop it.

    ticking group   progress, and the watch for a machine that slept
      writer group    a writer or two: parcels -> batches -> store, acknowledged to the ledgers
        worker group    the sources of parcels

Groups nest by lifetime: when the workers end, the queue closes; the writers drain it and end, then the ticking group.
What was not acknowledged is missing; the next run gets it.
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
    """Parcels on their way to one store. `rows_together` and `parcels_together`: see Writer.

    `error`: what ended the flow early.
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
        """Let parcels in flight and the store finish within `grace_s`; the stopper keeps new work away."""
        now = anyio.current_time()
        # The last fifth is the store's, to write what the source still gave.
        for scope, share in ((self._workers, 0.8), (self._writers, 1.0)):
            if scope is not None:
                scope.deadline = min(scope.deadline, now + share * grace_s)

    def stop_now(self) -> None:
        """Drop what is in flight and not written; the store stays sound."""
        for scope in (self._workers, self._writers):
            if scope is not None:
                scope.cancel()

    def end(self, error: LaklakError) -> None:
        """Take no new work, for this reason (the first one counts); what is in flight is still written."""
        if self.error is None:
            self.error = error
            log.error("stopping reason=%s error=%s", error.reason, error)
        self._stopper.request()

    def lost_store(self, error: LaklakError) -> None:
        """End everything: what is in flight cannot be stored."""
        self._writer.give_up()
        if self._workers is not None:
            self._workers.cancel()
        self.end(error)

    async def run(self, queued: int, watch: Watch, start: Callable[[TaskGroup, Parcels], None]) -> None:
        """Let `start` start the workers, which each close a clone of the stream; write until all have ended.

        `queued`: parcels that fit into the queue.
        """
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
    """A run that can be stopped: `stop` writes what is in flight, `stop_now` drops it."""

    def __init__(self, observer: Observer) -> None:
        self.stopper = Stopper()
        self._observer = observer
        self._exit_code: int | None = None
        self._hurried = False
        self._flow: Flow | None = None

    def stop(self, exit_code: int, grace_s: float) -> None:
        """Take no new work; give what is in flight `grace_s` to finish and be written, then report."""
        self._exit_code = exit_code
        self.stopper.request()
        if self._flow is not None:
            self._flow.stop_within(grace_s)

    def stop_now(self) -> None:
        """Drop what is in flight and not written; the stores stay sound."""
        self._hurried = True
        if self._flow is not None:
            self._flow.stop_now()

    @property
    def _error(self) -> LaklakError | None:
        return None if self._flow is None else self._flow.error
