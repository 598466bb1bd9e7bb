"""A store that a run reads and leaves as it is: what it would write goes nowhere."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any, Final, cast

from laklak.model.candles import Candles
from laklak.model.records import Note, RunRecord
from laklak.stores.base import Delivery, Origin, Store, Written

LEAVES_IT: Final = frozenset(
    {
        *("display", "exists", "identity", "heard_s", "waiting", "bytes_per_candle", "writes_at_once"),
        *("describe", "examine", "holdings", "odd", "foreign", "count", "count_by_day", "sums_by_day", "open_times"),
        *("read", "batches", "absences", "absence_counts", "provenance", "provided", "bulk_files", "revisions"),
        *("origin", "notes", "runs", "check_range", "within_retention", "closed_spans"),
    }
)
"""Members of a Store that leave it as it is and are passed on; all others are answered here, or not at all."""


def untouched(store: Store) -> Store:
    """The same store, for a run that only looks: no writes, no notes, no lock."""
    return cast(Store, _UntouchedStore(store))


class _UntouchedStore:
    def __init__(self, store: Store) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        if name not in LEAVES_IT:
            raise AttributeError(f"nobody has said that {name} leaves a store as it is")
        return getattr(self._store, name)

    async def __aenter__(self) -> _UntouchedStore:
        await self._store.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._store.__aexit__(kind, error, trace)

    def exclusive(self) -> AbstractContextManager[object]:
        return nullcontext()

    def pack(self, candles: Candles) -> Candles:
        return candles

    async def write(self, deliveries: Sequence[Delivery]) -> Written:
        return Written()

    async def set_origin(self, origin: Origin) -> None: ...

    async def put_notes(self, notes: Sequence[Note]) -> None: ...

    async def record_run(self, run: RunRecord, *, keep_days: int | None = None) -> None: ...
