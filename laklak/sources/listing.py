"""Asks for a venue's listing, page by page."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from laklak.errors import PermanentError, TransientError
from laklak.venues import Venue
from laklak.venues.base import Listing, unlisted
from laklak.wire.venue_api import Transport

_MORE_PAGES: Final = 200
"""A listing of more pages never ends: the longest has some thousand instruments."""


def lists_all(venue: Venue) -> bool:
    """Whether a venue lists all it has."""
    return bool(venue.listing_requests(()))


async def whole_listing(venue: Venue, transport: Transport, symbols: Sequence[str], *, tries: int) -> Listing:
    """Ask for the whole listing, page by page, or for each wanted symbol, or take these as they are."""
    listing = Listing({})
    requests = deque(venue.listing_requests(symbols))
    if not requests:
        return Listing({symbol: unlisted(symbol) for symbol in symbols})
    asked: set[tuple[str, tuple[tuple[str, str], ...]]] = set()
    most = len(requests) + _MORE_PAGES
    while requests:
        request = requests.popleft()
        if len(asked) == most:
            raise TransientError(f"the listing of {venue.name} does not end: it has more than {most} pages")
        if (request.path, request.query) in asked:
            raise TransientError(f"the listing of {venue.name} does not end: it names a page twice")
        asked.add((request.path, request.query))
        try:
            page = await transport.ask(request, venue.read_listing, tries=tries)
        except PermanentError:
            if lists_all(venue):
                raise
            # A question for one symbol that the venue does not know.
            continue
        listing = listing.with_page(page)
        requests.extend(page.more)
    return listing
