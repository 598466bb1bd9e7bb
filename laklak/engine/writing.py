"""From the queue into the store: parcels are batched, written and acknowledged."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream

from laklak.engine.store_work import sent
from laklak.errors import StoreError, StoreFull
from laklak.report.ledger import Ledger
from laklak.report.progress import Report
from laklak.stores.base import Delivery, Store, Written
from laklak.stores.unconfirmed import UnsureBook

log = logging.getLogger(__name__)

FLUSH_AFTER_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Parcel:
    """A delivery on its way to the store, the ledger of its series, and `release`, which frees its room in memory."""

    ledger: Ledger
    delivery: Delivery
    release: Callable[[], None] = lambda: None


class Writer:
    """The writing half of a run; `Store.writes_at_once` calls of `write` may run at once.

    Each `write` gives the error that ends all writing to `failed`. A batch has about `rows_together` rows, and at most
    `parcels_together` parcels. `refused` says where to read why the store refused rows.
    """

    def __init__(
        self,
        store: Store,
        unsure: UnsureBook,
        report: Report,
        failed: Callable[[StoreError], None],
        rows_together: int,
        parcels_together: int,
        refused: str,
    ) -> None:
        self._store = store
        self._unsure = unsure
        self._report = report
        self._failed = failed
        self._given_up = False
        self._rows_together = rows_together
        self._parcels_together = parcels_together
        self._refused = refused
        self._logged: set[Ledger] = set()

    async def write(self, parcels: MemoryObjectReceiveStream[Parcel]) -> None:
        """Write parcels until the queue has closed and is drained, or the store fails."""
        async with parcels:
            while batch := await self._collect(parcels):
                if self._given_up:
                    return
                began_s, queued = time.monotonic(), parcels.statistics().current_buffer_used
                try:
                    written = await self._store.write([parcel.delivery for parcel in batch])
                except StoreError as exc:
                    if isinstance(exc, StoreFull):
                        self._unsure.add(sent(parcel.delivery for parcel in batch))
                    self._failed(exc)
                    return
                self._report.writer.wrote(
                    sum(parcel.delivery.rows for parcel in batch),
                    (time.monotonic() - began_s) / self._store.writes_at_once,
                    queued,
                    parcels.statistics().current_buffer_used,
                )
                self._acknowledge(batch, written)
                # Their room is released: keep no parcel alive while the next batch is collected.
                batch.clear()

    def give_up(self) -> None:
        """Write nothing more: the store has failed, and every further try would wait for it again."""
        self._given_up = True

    def _acknowledge(self, batch: Sequence[Parcel], written: Written) -> None:
        self._report.dead_letter = written.dead_letter or self._report.dead_letter
        for number, parcel in enumerate(batch):
            refused = written.refused.get(number, ())
            parcel.ledger.acknowledged(parcel.delivery, refused)
            parcel.ledger.trouble("store_refused", len(refused), self._refused.format(written.dead_letter))
            parcel.release()
            if not parcel.ledger.missing:
                self.log_series(parcel.ledger)

    async def _collect(self, parcels: MemoryObjectReceiveStream[Parcel]) -> list[Parcel]:
        """The next batch: full, or a second old; empty when the queue has closed and is drained."""
        batch: list[Parcel] = []
        rows = 0
        with anyio.CancelScope() as waiting:
            while rows < self._rows_together and len(batch) < self._parcels_together:
                try:
                    parcel = await parcels.receive()
                except anyio.EndOfStream:
                    break
                if not batch:
                    waiting.deadline = anyio.current_time() + FLUSH_AFTER_S
                batch.append(parcel)
                rows += parcel.delivery.rows
        return batch

    def log_series(self, ledger: Ledger) -> None:
        """Log one line for a series that got something, once: when it is complete, or at the end."""
        got = ledger.written or ledger.new_holes or ledger.new_rejected
        if got and ledger not in self._logged:
            self._logged.add(ledger)
            account = ledger.account
            log.info(
                "series=%s written=%d holes=%d rejected=%d missing=%d",
                ledger.plan.series,
                account.written,
                account.holes,
                account.rejected,
                account.missing,
            )
