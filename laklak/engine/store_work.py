"""What every run does with the store it fills, whether a venue or another store gives the candles."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Protocol, TypeVar

import anyio

from laklak.errors import StoreUnavailable
from laklak.model.candles import Candles, places
from laklak.model.revisions import Revision, Why
from laklak.model.series import DAY_MS, Series, TimeRange, iso
from laklak.model.spans import parted, runs, union
from laklak.plan.wanted import Asked
from laklak.report.ledger import Ledger
from laklak.stores.base import ClosedSpan, Delivery, Store, StoreInfo
from laklak.stores.coverage import Presence, take_stock
from laklak.stores.refetched import compare, revisions_of
from laklak.stores.unconfirmed import UnsureBook
from laklak.tasks.groups import task_group
from laklak.text import counted, size_text, some_of

SPARE_BYTES: Final = 1 << 30
_SURVEYS_AT_ONCE: Final = 4
_CLOSED_SHOWN: Final = 3
_TOLD_EVERY_S: Final = 5.0

One = TypeVar("One")
Found = TypeVar("Found")


class Listener(Protocol):
    """Receives lines about the store."""

    def note(self, line: str) -> None: ...
    def warn(self, line: str) -> None: ...


async def announce(store: Store, role: str, listener: Listener) -> StoreInfo:
    """Tell what the store holds and how much space is free; `role` is its part in this run."""
    info = await store.describe()
    free = "" if info.free_bytes is None else f"; {size_text(info.free_bytes)} free"
    listener.note(f"{role}: {store.display}: {info.holds}{free}")
    return info


async def other_series(store: Store, asked: Sequence[Asked]) -> str | None:
    """A warning if no list was chosen and the store holds other series than the packaged one; otherwise None.

    A store that lacks at most half of the list was filled from it: some are no longer traded, or a run was stopped.
    """
    packaged = {(one.venue, one.symbol) for one in asked if one.packaged}
    if not packaged:
        return None
    held = {(series.venue, series.symbol) for series in await store.holdings()}
    others = sorted(f"{venue}:{symbol}" for venue, symbol in held - packaged)
    new = len(packaged - held)
    if not held or not (others or 2 * new > len(packaged)):
        return None
    what = f"other series: {some_of(others)}" if others else f"only {len(held):,} of its {len(packaged):,} symbols"
    return (
        f"the list that comes with laklak is taken, though the store holds {what}; {counted(new, 'symbol')} would be "
        "new in it; --assets FILE, or assets.txt in this folder or beside the settings file, names those that you want"
    )


def check_room(store: Store, free_bytes: int | None, candles: int, *, hint: str) -> None:
    """Raise StoreUnavailable unless the store's disk has room for `candles` more and 1 GiB to spare."""
    needed = candles * store.bytes_per_candle + SPARE_BYTES
    if candles and free_bytes is not None and free_bytes < needed:
        raise StoreUnavailable(
            f"{store.display} has {size_text(free_bytes)} free and about {size_text(needed)} is needed for "
            f"{candles:,} candles and 1 GiB to spare",
            hint=hint,
        )


async def each(
    items: Iterable[One],
    ask: Callable[[One], Awaitable[Found]],
    note: Callable[[str], None] | None = None,
    *,
    at_once: int = _SURVEYS_AT_ONCE,
    told_every_s: float = _TOLD_EVERY_S,
) -> list[Found]:
    """Give each item to `ask`, a few at once; return the results in the order of the items.

    The items are series, and `ask` queries a store: `note` receives the progress every `told_every_s` seconds.
    """
    found: dict[int, Found] = {}
    asked = list(items)
    places = anyio.CapacityLimiter(at_once)

    async def one(number: int, item: One) -> None:
        async with places:
            found[number] = await ask(item)

    async def tell(note: Callable[[str], None]) -> None:
        while True:
            await anyio.sleep(told_every_s)
            note(
                f"looking at what is stored: {len(found):,} of {counted(len(asked), 'series')}; "
                "days that are not proven yet are looked at point by point, once"
            )

    async with task_group() as telling:
        if note is not None and asked:
            telling.start_soon(tell, note)
        async with task_group() as group:
            for number, item in enumerate(asked):
                group.start_soon(one, number, item)
        telling.cancel_scope.cancel()
    return [found[number] for number in sorted(found)]


async def survey_sure(
    store: Store, unsure: UnsureBook, series: Series, span: TimeRange, *, recheck: bool = False
) -> Presence:
    """What `store` surely holds of `span`: candles that it shows and may not have are missing (stores.unconfirmed)."""
    presence = await take_stock(store, series, span, recheck=recheck)
    parts = [part.clip(span) for part in unsure.of(series)]
    shown = await _shown(store, series, [part for part in parts if part])
    if not shown:
        return presence
    missing = union([*presence.missing, *runs(shown, series.interval)])
    return replace(presence, stored=presence.stored - len(shown), missing=tuple(missing))


async def _shown(store: Store, series: Series, parts: Iterable[TimeRange]) -> list[int]:
    """The open_times in `parts` (in order, disjoint) that a store shows; one query per UTC day."""
    by_day: dict[int, list[TimeRange]] = {}
    for part in parts:
        for piece in part.days():
            by_day.setdefault(piece.start_ms // DAY_MS, []).append(piece)
    shown: list[int] = []
    for pieces in by_day.values():
        times = await store.open_times(series, TimeRange(pieces[0].start_ms, pieces[-1].end_ms))
        for place in places(times, pieces):
            shown += times[place]
    return shown


@dataclass(frozen=True, slots=True)
class ClosedSpans:
    """The ranges in which a store takes no candles, by venue."""

    by_venue: Mapping[str, Sequence[ClosedSpan]] = field(default_factory=dict)

    def parted(self, series: Series, missing: Iterable[TimeRange]) -> tuple[list[TimeRange], list[TimeRange]]:
        """Part `missing` (in order, disjoint) into what can be written and what cannot."""
        return parted(missing, self.on_grid(series))

    def on_grid(self, series: Series) -> list[TimeRange]:
        """The open_times that cannot be written, in order and disjoint."""
        spans = [one.on_grid(series.interval) for one in self.by_venue.get(series.venue, ())]
        return [span for span in spans if span]

    def tell(self, ledger: Ledger) -> None:
        """Enter what cannot be written into the account of a series, with the reason."""
        plan = ledger.plan
        for one in self.by_venue.get(plan.series.venue, ()):
            _, shut = parted(plan.blocked, [one.on_grid(plan.series.interval)])
            count = sum(part.count(plan.series.interval) for part in shut)
            ledger.trouble("other_types", count, f"{one.reason}; laklak check says what mends it")


async def find_closed(
    store: Store,
    spans: Mapping[str, TimeRange],
    warn: Callable[[str], None],
    so: str = "stays missing and is not asked for",
) -> ClosedSpans:
    """Find where `store` takes no candles of the venues, each in its range; warn of it, `so` being the consequence.

    StoreUnavailable if it takes none in all of such a range.
    """
    found = {venue: await store.closed_spans(venue, span) for venue, span in spans.items()}
    told = [one for closed in found.values() for one in closed]
    for one in told[:_CLOSED_SHOWN]:
        span = f"{iso(one.span.start_ms)} to {iso(one.span.end_ms)}"
        warn(f"{one.reason}: {span} {so}; {one.remedy}")
    if len(told) > _CLOSED_SHOWN:
        rest = [f"{iso(one.span.start_ms)} to {iso(one.span.end_ms)}" for one in told[_CLOSED_SHOWN:]]
        warn(f"the same holds for {len(rest)} more: {some_of(rest)}")
    return ClosedSpans(found)


async def revisions(
    store: Store, candles: Candles, at: Mapping[Why, Sequence[TimeRange]], source: str
) -> Sequence[Revision]:
    """How `candles` differ from the stored ones that they are known to overwrite; nothing else is read.

    `at`: the ranges for each reason, on the grid, in order and disjoint.
    """
    found: list[Revision] = []
    hull = TimeRange(candles.open_times[0], candles.open_times[-1] + 1) if len(candles) else TimeRange(0, 0)
    for why, spans in at.items():
        for span in spans:
            part = candles.only((span,)) if span.clip(hull) else None
            if part:
                stored = await store.read(candles.series, span, whole=False)
                compared = compare(stored, part, ())
                found += revisions_of(compared, source, why, time.time_ns() // 1_000_000)
    return found


def sent(deliveries: Iterable[Delivery]) -> Iterator[tuple[Series, TimeRange]]:
    """The ranges of the candles in deliveries, for an UnsureBook, without the minutes between them."""
    for delivery in deliveries:
        if delivery.candles:
            for span in runs(delivery.candles.open_times, delivery.series.interval):
                yield delivery.series, span
