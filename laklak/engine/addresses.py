"""Where a run's candles may come from: checked against what the store remembers, noted before they are written."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from typing import Final

from laklak.archives import ARCHIVES
from laklak.errors import StoreUnavailable
from laklak.model.series import Series
from laklak.settings.order import Order
from laklak.sources.addresses import NOTE, SIMULATOR, Addresses, Source, address_of, fits, known, mixture
from laklak.sources.fresh import carry
from laklak.sources.venue import Feed
from laklak.stores.base import Store
from laklak.stores.knowledge import CLOCK, Knowledge, known_clock
from laklak.venues import VENUES

_OF: Final[dict[Source, str]] = {"api": "", "files": "the bulk files of "}
_THEM: Final[dict[Source, str]] = {"api": "them", "files": "those of its bulk files"}
_SETTING: Final[dict[Source, str]] = {"api": "URL", "files": "ARCHIVE_URL"}


def own_addresses(venue: str) -> Addresses:
    """The default addresses of a venue and its bulk files."""
    own: dict[Source, str] = {}
    if venue in VENUES:
        own["api"] = address_of(VENUES[venue].url)
    if venue in ARCHIVES:
        own["files"] = address_of(ARCHIVES[venue].default_url)
    return Addresses.single(own)


async def known_addresses(store: Store, knowledge: Knowledge, venue: str) -> Addresses:
    """The addresses that a venue's candles in this store came from, if it has some."""
    noted = Addresses.noted(knowledge.value(venue, NOTE))
    return known(noted, own_addresses(venue), simulated=not noted and await store.origin() == "simulated")


def shown(addresses: Iterable[str]) -> str:
    """Addresses in a sentence: `a simulator`, `fapi.binance.com or mirror.example/binance`."""
    return (
        " or ".join("a simulator" if one == SIMULATOR else one for one in sorted(addresses)) or "nowhere that is known"
    )


def address_refusal(store: str, venue: str, source: Source, address: str, there: Iterable[str]) -> StoreUnavailable:
    """The error for a store with a venue's candles from `there`, and a run that would take them from `address`."""
    return StoreUnavailable(
        f"{store} holds candles of {venue} from {shown(there)}; this run would take {_THEM[source]} from "
        f"{shown([address])}",
        hint=f"use another --store, mend LAKLAK_{venue.upper()}_{_SETTING[source]}, or --other-address to have both in "
        "the same series",
    )


async def merge_notes(
    source: Store, destination: Store, series: Collection[Series], *, mixing: bool, other_address: bool
) -> Knowledge:
    """The notes for the destination of a copy, to save before candles move: its own, and the source's.

    StoreUnavailable if both have candles of a venue from addresses that do not fit.
    """
    given, notes = await Knowledge.of(source), await Knowledge.of(destination)
    held = {one.venue for one in await destination.holdings()}
    for venue in sorted({one.venue for one in series}):
        noted, ours = given.note(venue, NOTE), notes.note(venue, NOTE)
        theirs = Addresses.noted(given.value(venue, NOTE)) or await known_addresses(source, given, venue)
        there = await known_addresses(destination, notes, venue) if venue in held else Addresses()
        found = mixture(theirs, there, mixing=mixing) if venue in held and not other_address else None
        if found is not None:
            raise _mixture_refusal(source, destination, venue, *found)
        # If neither has a note and both count as the same, the copy needs none either.
        if noted is None and ours is None and (venue not in held or theirs == there):
            continue
        kept = Addresses.noted(notes.value(venue, NOTE)) if venue in held else Addresses()
        addresses = kept | there.only(theirs) | theirs
        # Noted even if unchanged: a server with a retention drops old notes like old candles.
        notes.put(venue, NOTE, addresses.as_value(), venue_ms=None if noted is None else noted.venue_ms)
    _carry(given, notes, series)
    carry(given, notes, series)
    return notes


def _carry(given: Knowledge, notes: Knowledge, series: Collection[Series]) -> None:
    """Copy what the source remembers about the series and the destination does not, and the venue's later clock.

    Up to that clock the copy has what the source has.
    """
    about = {str(one) for one in series} | {f"{one.venue}:{one.symbol}" for one in series}
    for note in given.all():
        if note.about in about and notes.note(note.about, note.kind) is None:
            notes.take(note)
    for venue in {one.venue for one in series}:
        clock = given.note(venue, CLOCK)
        if clock is not None and (known_clock(given, venue) or 0) > (known_clock(notes, venue) or 0):
            notes.take(clock)


def _mixture_refusal(
    source: Store, destination: Store, venue: str, what: Source, given: Iterable[str], there: Iterable[str]
) -> StoreUnavailable:
    of = f"{_OF[what]}{venue}"
    return StoreUnavailable(
        f"{destination.display} holds candles of {of} from {shown(there)}; {source.display} has some from "
        f"{shown(given)}",
        hint="copy to another store, or --other-address to have both in the same series",
    )


class AddressBook:
    """The addresses of venues that a store knows, and those that a run adds."""

    def __init__(self, order: Order, store: Store, knowledge: Knowledge) -> None:
        self._order = order
        self._store = store
        self._knowledge = knowledge
        # As known when the run began: the run's own notes make nothing fit.
        self._known: dict[str, Addresses] = {}
        self._held: set[str] | None = None
        self._noted: set[tuple[str, Source, str]] = set()
        self._noting = asyncio.Lock()

    async def check_unasked(self, feed: Feed) -> None:
        """Raise StoreUnavailable for a source of other candles, before it is asked anything.

        Only an answer tells whether an address is a simulator's, so it is asked first if that could make it fit.
        """
        for source, address in feed.sources.items():
            there = await self._there(feed, source, address)
            if there is not None and SIMULATOR not in there and not self._order.force:
                self._refuse_unfit(feed, source, address, there)

    async def check(self, feed: Feed) -> None:
        """Raise StoreUnavailable for a source of other candles, by what has answered there."""
        for source, address in feed.sources.items():
            there = await self._there(feed, source, address)
            strange = there is not None and address not in there and not self._order.other_address
            if strange and source == "files" and feed.reader is not None:
                # Its first file would tell whether it is a simulator's: too late to refuse it.
                await feed.reader.look()
            self._refuse_unfit(feed, source, feed.address(source), there)

    def trust_files(self, feed: Feed) -> None:
        """Tell the reader that candles of this server's files are noted: if it has none today, it is in trouble."""
        noted = Addresses.noted(self._knowledge.value(feed.name, NOTE))
        if feed.reader is not None and feed.address("files") in noted.files:
            feed.reader.had_files = True

    async def note(self, feed: Feed, source: Source) -> None:
        """Note where candles come from, before the first of them is written. Raises StoreError.

        A source may turn out to be a simulator with its first file, and then not fit.
        """
        venue, address = feed.name, feed.address(source)
        if (venue, source, address) in self._noted:
            return
        async with self._noting:
            if (venue, source, address) in self._noted:
                return
            self._refuse_unfit(feed, source, address, await self._there(feed, source, address))
            added = Addresses.single({source: address})
            addresses = await self._before(venue, added) | added
            self._knowledge.put(venue, NOTE, addresses.as_value(), venue_ms=feed.venue_now_ms)
            await self._knowledge.save(self._store)
            self._noted.add((venue, source, address))

    async def _before(self, venue: str, added: Addresses) -> Addresses:
        """The addresses that the note keeps: once there is a note, it must name those that counted without one."""
        noted = Addresses.noted(self._knowledge.value(venue, NOTE))
        if any(one[0] == venue for one in self._noted):
            return noted
        if self._held is not None and venue not in self._held:
            return Addresses()
        return noted | (await self._all_known(venue)).only(added)

    def _refuse_unfit(self, feed: Feed, source: Source, address: str, there: frozenset[str] | None) -> None:
        if there is None or self._order.other_address or fits(address, there, mixing=self._order.force):
            return
        raise address_refusal(self._store.display, feed.name, source, address, there)

    async def _there(self, feed: Feed, source: Source, address: str) -> frozenset[str] | None:
        """The addresses that `address` must fit; None if the store has no candles of the venue."""
        there = (await self._all_known(feed.name)).of(source)
        if address in there:
            return there
        if self._held is None:
            self._held = {series.venue for series in await self._store.holdings()}
        return there if feed.name in self._held else None

    async def _all_known(self, venue: str) -> Addresses:
        if venue not in self._known:
            self._known[venue] = await known_addresses(self._store, self._knowledge, venue)
        return self._known[venue]
