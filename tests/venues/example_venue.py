"""A venue that there is not, to copy from: what most venues do that Binance does not.

Rows come newest first, their cells in an order of its own, times in seconds; errors come with status 200; the listing
comes in pages and has no dates; there is no clock.  tests/servers/example_server.py is the other end of the line.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from laklak.model.candles import Page
from laklak.model.series import Instrument
from laklak.venues.base import OK, Answer, Asked, Listing, Meaning, PageRule, Quota, Request, Venue, Verdict
from laklak.venues.reading import error_words, list_part, page_of_rows, part, retry_after_s, symbol_of, word

_COST: Final = {"requests": 1}
_MEANINGS: Final = {
    1001: (Meaning.REFUSED, "unknown_symbol"),
    1002: (Meaning.OUT_OF_REACH, "out_of_reach"),
    1015: (Meaning.LIMITED, "rate_limited"),
    1500: (Meaning.PASSING, "busy"),
}


class Example(Venue):
    name = "example"
    url = "https://api.example.test"
    headers: Mapping[str, str] = {"X-Site": "7"}
    intervals: Mapping[str, str] = {"1m": "1min", "1h": "60min", "1d": "1day"}
    pool = "example"
    quotas: Mapping[str, Quota] = {"requests": Quota(6000, 60.0)}
    page = PageRule(200)
    example = "BTC-USDT"

    def listing_requests(self, symbols: Collection[str]) -> Sequence[Request]:
        return [_listing_from("")]

    def read_listing(self, answer: Answer) -> Listing:
        instruments = {}
        entries = list_part(answer, "data", "list")
        for entry in entries:
            symbol = symbol_of(entry)
            if symbol is not None:
                status = {"live": "TRADING"}.get(word(entry, "state"), word(entry, "state"))
                instruments[symbol] = Instrument(symbol, status, None, None, word(entry, "quote"), "perpetual")
        cursor = part(answer, "data", "cursor")
        more = [_listing_from(cursor)] if isinstance(cursor, str) and cursor else []
        return Listing(instruments, unreadable=len(entries) - len(instruments), more=more)

    def candles_request(self, asked: Asked) -> Request:
        return Request(
            "/v1/candles",
            (
                ("symbol", asked.series.symbol),
                ("period", self.intervals[asked.series.interval.name]),
                ("from", str(asked.span.start_ms // 1000)),
                ("to", str(asked.last_ms // 1000)),
                ("limit", str(asked.count)),
            ),
            _COST,
        )

    def read_candles(self, answer: Answer, asked: Asked) -> Page:
        """Rows are [time, open, close, high, low, volume]; the candle before the first one may come with them."""
        return page_of_rows(list_part(answer, "data"), (0, 1, 3, 4, 2, 5), newest_first=True, scale_ms=1000, trim=asked)

    def judge(self, answer: Answer) -> Verdict:
        code, text = error_words(answer)
        if (answer.status, code) == (200, 0):
            return OK
        detail = f"HTTP {answer.status} {text}".strip()
        if answer.status == 429:
            return Verdict(Meaning.LIMITED, "rate_limited", detail, retry_after_s(answer.headers))
        if answer.status != 200 or code is None:
            return Verdict(Meaning.PASSING, f"http_{answer.status}", detail)
        meaning, reason = _MEANINGS.get(code, (Meaning.REFUSED, "refused"))
        return Verdict(meaning, reason, detail)


def _listing_from(cursor: str) -> Request:
    return Request("/v1/instruments", (("cursor", cursor),) if cursor else (), _COST)
