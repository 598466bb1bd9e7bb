"""Candles read back from a store."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Final

from laklak.errors import StoreUnavailable, UnknownSeries
from laklak.model.provenance import Stretch
from laklak.model.series import Series, TimeRange
from laklak.stores import open_store
from laklak.stores.access import StoreAccess
from laklak.stores.base import Columns, Store
from laklak.stores.longer import joined, make_on_reading

ALWAYS: Final = TimeRange(-(1 << 62), 1 << 62)


async def stored_candles(
    store: StoreAccess,
    series: Series,
    span: TimeRange = ALWAYS,
    *,
    first: int | None = None,
    last: int | None = None,
    made_of: Callable[[Series], None] = lambda of: None,
) -> Columns:
    """Read a series from an existing store, all its candles, the oldest `first` or the newest `last`.

    If it has only shorter candles of the symbol, make them of these and tell `made_of` which. StoreUnavailable for a
    missing store, UnknownSeries if it does not have the series; none in `span` is no error.
    """
    async with open_store(store.at_once, create=False) as opened:
        must_exist(opened)
        if first is not None:
            columns = await _oldest(opened, series, span, first)
        elif last is None:
            columns = await joined(opened.batches(series, span))
        else:
            columns = await opened.read(series, span, last=last)
        if columns.open_times:
            return columns
        made = await make_on_reading(opened, series, span, first=first, last=last)
        if made is None:
            await _held(opened, series)
            return columns
        made_of(made[0])
        return made[1]


async def stored_provenance(store: StoreAccess, series: Series, span: TimeRange = ALWAYS) -> list[Stretch]:
    """Who gave the candles of a series, as far as an existing store knows; raises as stored_candles."""
    async with open_store(store.at_once, create=False) as opened:
        must_exist(opened)
        found = await opened.provenance(series, span)
        if not found:
            await _held(opened, series)
        return found


def must_exist(store: Store) -> None:
    """Raise StoreUnavailable if the store does not exist."""
    if not store.exists:
        raise StoreUnavailable(
            f"there is no store {store.display}", hint="name an existing one with --store, or fill it: laklak backfill"
        )


async def _oldest(store: Store, series: Series, span: TimeRange, count: int) -> Columns:
    """Return the oldest `count` candles in `span`, read little by little, because a series may have millions."""
    part = (await store.holdings()).get(series, TimeRange(0, 0)).clip(span)
    found = Columns((), ((),) * 5)
    step_ms = count * series.interval.ms
    end_ms = part.start_ms
    while len(found.open_times) < count and end_ms < part.end_ms:
        # With missing candles among them, the oldest ones reach further than their number of minutes.
        end_ms, step_ms = min(part.end_ms, end_ms + step_ms), 4 * step_ms
        found = await store.read(series, TimeRange(part.start_ms, end_ms))
    return Columns(found.open_times[:count], tuple(column[:count] for column in found.values))


async def _held(store: Store, series: Series) -> TimeRange:
    """Return the time that the store's candles of a series span; UnknownSeries names near ones if it has none."""
    held = await store.holdings()
    if series in held:
        return held[series]
    near = near_series(series, held)
    hint = f"did you mean {' or '.join(near)}? If not, " if near else ""
    fetch = f"laklak backfill {series.venue}:{series.symbol} --interval {series.interval} --days 1"
    raise UnknownSeries(
        f"no candles of {series} in {store.display}", hint=f"{hint}fetch it first: {fetch} --store {store.display}"
    )


def near_series(series: Series, held: Iterable[Series]) -> list[str]:
    """Return the names of a few series that the user may mean: another interval, or a like symbol."""
    names = {str(one): one.symbol.upper() for one in held}
    word = series.symbol.upper()
    same = [name for name, symbol in names.items() if symbol == word]
    longer = [name for name, symbol in names.items() if symbol.startswith(word)]
    like = get_close_matches(word, dict.fromkeys(names.values()), n=3, cutoff=0.7)
    return (same or longer or [name for name, symbol in names.items() if symbol in like])[:3]
