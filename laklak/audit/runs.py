"""What a store remembers of runs."""

from __future__ import annotations

from laklak.audit.coverage import check_known, once_held
from laklak.model.records import RunRecord
from laklak.model.series import Series
from laklak.stores.base import Store
from laklak.stores.reading import must_exist


async def runs_of(store: Store, last: int, *, series: Series | None = None, failed: bool = False) -> list[RunRecord]:
    """The newest so many runs, see Store; SymbolError for a series of which neither a run nor a candle is known."""
    must_exist(store)
    found = await store.runs(last, series=series, failed=failed)
    if series is not None and not found:
        check_known([series], await once_held(store), store.display)
    return found
