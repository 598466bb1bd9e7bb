"""What a venue trades now, asked as a run asks it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from laklak.errors import PermanentError, TransientError, VenueUnreachable
from laklak.plan.wanted import Asked
from laklak.settings.order import Order
from laklak.sources.venue import Feed
from laklak.tasks.stopping import Stopper
from laklak.venues.base import Listing
from laklak.wire.pools import Pools


async def ask_listing(name: str, order: Order, tell: Callable[[str], None], expected: Collection[str] = ()) -> Listing:
    """Return a venue's listing; one that lacks something `expected` is asked for once more.

    Raises as entering a Feed. `tell` receives a line for every pause that the venue orders.
    """
    with Pools(order.settings.state_dir, make=False) as pools:
        # A venue without a listing is asked for the expected symbols.
        asked = tuple(Asked(symbol, name, typed=False) for symbol in sorted(expected))
        order = replace(order, settings=replace(order.settings, source="rest"), asked=asked)
        feed = Feed(name, order, Stopper(), tell, pools)
        async with feed:
            return await _listing_of(feed, expected)


async def _listing_of(feed: Feed, expected: Collection[str]) -> Listing:
    if not feed.listing_asked_twice and any(symbol not in feed.listing.instruments for symbol in expected):
        try:
            await feed.ask_listing_again()
        except (TransientError, PermanentError) as exc:
            raise VenueUnreachable(
                f"{feed.name} at {feed.shown_url} lists less than it did, and does not answer again: {exc}",
                hint="run it again later",
            ) from exc
    return feed.listing
