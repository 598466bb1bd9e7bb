"""Who gave the candles of a database, in the measurement `laklak_provenance` (see laklak.stores.influx.stretches).

Fields: `source`, `state`, `first_run` and `last_run` (ms: the start of those runs, by their machine's clock).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from laklak.model.provenance import Stretch
from laklak.model.series import TimeRange
from laklak.stores.influx.database import PROVENANCE, Database
from laklak.stores.influx.stretches import Fields, StretchBook

_FIELDS: Final[Mapping[str, type[str] | type[int]]] = {
    "source": str,
    "state": str,
    "first_run": int,
    "last_run": int,
}


def provenance_book(database: Database, oldest_ms: Callable[[], int | None]) -> StretchBook[Stretch]:
    """Make the book of provenance of one database."""
    return StretchBook(database, PROVENANCE, _FIELDS, _stretch, _fields_of, oldest_ms)


def _stretch(span: TimeRange, cells: Sequence[Any]) -> Stretch:
    return Stretch(span, *cells)


def _fields_of(stretch: Stretch) -> Fields:
    return {
        "source": stretch.source,
        "state": stretch.state,
        "first_run": stretch.first_run_ms,
        "last_run": stretch.last_run_ms,
    }
