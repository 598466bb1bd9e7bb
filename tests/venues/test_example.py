"""The venue to copy from, through whole backfills: listing by cursor, no clock, no dates, rows newest first."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import pytest
from example_server import MINUTE_MS, ExampleServer, ms, values
from example_venue import Example

import laklak
from laklak.engine import Check
from laklak.errors import SymbolError, VenueUnreachable
from laklak.order import check
from laklak.settings import spec
from laklak.settings.load import load_settings
from laklak.venues import VENUES
from laklak.venues.base import Listing, PageRule, Request, unlisted
from laklak.venues.reading import list_part, page_of_rows

pytestmark = pytest.mark.usefixtures("hasty")


class OneASymbol(Example):
    """Lists what it is asked for, and nothing else."""

    def listing_requests(self, symbols):
        day = {"period": "1day", "from": "1772323200", "to": "1772323200", "limit": "1"}
        return [Request("/v1/candles", (("symbol", symbol), *day.items()), {"requests": 1}) for symbol in symbols]

    def read_listing(self, answer):
        return Listing({"BTC-USDT": unlisted("BTC-USDT")})


class NoListing(Example):
    """Has no listing at all."""

    def listing_requests(self, symbols):
        return []


class Unturned(Example):
    """Takes the rows as they come, newest first."""

    def read_candles(self, answer, asked):
        return page_of_rows(list_part(answer, "data"), (0, 1, 3, 4, 2, 5), scale_ms=1000, trim=asked)


@pytest.fixture
def register(monkeypatch):
    """Put a venue into the registry, and what there is to set about it."""

    def put(venue):
        monkeypatch.setitem(VENUES, venue.name, venue)
        for key, one in spec._venue_specs().items():
            monkeypatch.setitem(spec.SPECS, key, one)

    return put


@pytest.fixture
def server(register, monkeypatch):
    register(Example())
    with ExampleServer("2026-03-03T12:00:30") as server:
        server.list("BTC-USDT", first="2026-03-01T07:13")
        server.list("ETH-USDT", first="2024-05-05T05:05")
        server.list("SOL-USDT", first="2026-03-03T11:00")
        monkeypatch.setenv("LAKLAK_EXAMPLE_URL", server.url)
        yield server


def fill(*symbols, **settings):
    settings = {"start": "2026-03-01", "venue": "example", "store": "candles.db", **settings}
    return asyncio.run(laklak.backfill(list(symbols) or None, **settings))


def stored(symbol):
    with sqlite3.connect("candles.db") as db:
        rows = db.execute(
            "SELECT open_time, open, high, low, close, volume FROM candles WHERE symbol = ? ORDER BY 1", (symbol,)
        )
        return {row[0]: row[1:] for row in rows}


def candles(server, symbol, start="2026-03-01", end="2026-03-04"):
    return {time: values(time) for time in server.times(symbol, start, end)}


def test_the_readme_shows_the_example_as_it_is():
    here = Path(__file__)
    shown = (here.parents[2] / "README.md").read_text().split("```python\nclass Example(Venue):")[1].split("```")[0]
    lines = (here.parent / "example_venue.py").read_text().splitlines()

    assert [line for line in shown.splitlines() if line.strip() not in ("", "...") and line not in lines] == []


def test_it_takes_no_more_lines_than_an_afternoon():
    assert len((Path(__file__).parent / "example_venue.py").read_text().splitlines()) <= 110


def test_a_whole_backfill_stores_every_candle_and_says_so(server):
    summary = fill("BTC-USDT", "ETH-USDT")

    assert (summary.exit, summary.missing, summary.wanted) == (0, 0, summary.written)
    assert stored("BTC-USDT") == candles(server, "BTC-USDT")
    assert stored("ETH-USDT") == candles(server, "ETH-USDT")
    assert min(stored("BTC-USDT")) == ms("2026-03-01T07:13")


def test_a_second_run_asks_for_no_candles_that_it_has(server):
    fill("ETH-USDT", end="2026-03-02")
    server.hits.clear()

    assert fill("ETH-USDT", end="2026-03-02").exit == 0
    assert server.asked("/v1/candles") == []


@pytest.mark.parametrize("last", ["2026-03-03T11:02", "2026-03-03T11:05"])
def test_candles_newest_first_are_missing_by_the_fault_of_the_adapter_and_never_rejected(
    server, register, timing, last
):
    register(Unturned())
    timing(backoff_most_s=0.01)
    span = {"start": "2026-03-03T11:00", "end": last}

    summary = fill("ETH-USDT", **span)

    assert (summary.exit, summary.rejected, summary.holes) == (1, 0, 0)
    assert "newest first, and laklak's adapter of example does not turn them" in str(summary)
    register(Example())
    assert fill("ETH-USDT", **span).exit == 0
    assert stored("ETH-USDT") == candles(server, "ETH-USDT", span["start"], last)


def test_the_listing_is_read_to_its_last_page(server):
    assert fill("SOL-USDT").exit == 0

    assert server.asked("/v1/instruments") == [{}, {"cursor": "2"}]


def test_a_listing_that_names_a_page_twice_does_not_go_on_for_ever(server, monkeypatch):
    monkeypatch.setattr(server, "_instruments", lambda start: {"list": [{"symbol": "A"}], "cursor": "2"})

    with pytest.raises(VenueUnreachable, match="it names a page twice"):
        fill("BTC-USDT")


def test_a_listing_whose_pages_always_name_another_one_does_not_go_on_for_ever(server, monkeypatch):
    def page(start):
        return {"list": [{"symbol": "A"}], "cursor": str(start + 1)}

    monkeypatch.setattr(server, "_instruments", page)
    monkeypatch.setattr("laklak.sources.listing._MORE_PAGES", 5)

    with pytest.raises(VenueUnreachable, match="it has more than 6 pages"):
        fill("BTC-USDT")


def test_the_first_candle_is_found_with_a_few_pages_and_is_no_row_of_absences(server):
    fill("BTC-USDT", start="2020-01-01")

    days = [query for query in server.asked("/v1/candles") if query["period"] == "1day"]
    assert 0 < len(days) <= 20
    with sqlite3.connect("candles.db") as db:
        assert db.execute("SELECT count(*) FROM absence").fetchone() == (0,)
    assert stored("BTC-USDT") == candles(server, "BTC-USDT")


def test_without_a_clock_nothing_younger_than_two_seconds_is_closed(server):
    server.clock_ms = ms("2026-03-03T12:00") + 1_900
    fill("BTC-USDT", start="2026-03-03T11:00")
    assert max(stored("BTC-USDT")) == ms("2026-03-03T11:58")

    server.clock_ms = ms("2026-03-03T12:00") + 8_000
    fill("BTC-USDT", start="2026-03-03T11:00")
    assert max(stored("BTC-USDT")) == ms("2026-03-03T11:59")


def test_without_a_clock_and_without_a_date_the_venue_cannot_be_used(server):
    server.date = False

    with pytest.raises(VenueUnreachable, match="have no Date"):
        fill("BTC-USDT")


def test_a_check_does_not_blame_this_machine_for_what_a_date_cannot_say(server):
    server.clock_ms = time.time_ns() // 1_000_000
    folder = Path.cwd()
    flags = {"venue": "example", "days": 1}
    order = check(load_settings(flags, environment=os.environ, folder=folder), folder=folder)._order

    findings = asyncio.run(Check(order, ("example",)).run()).findings

    assert [one.verdict for _, one in findings if "clock" in one.text] == ["ok"]


@pytest.mark.parametrize("error", [(200, 1500), (200, 1015), (429, 0), (502, 0)])
def test_an_error_that_passes_is_asked_again_with_status_200_too(server, error, monkeypatch):
    monkeypatch.setattr("laklak.wire.limiter.Limiter.next_window_s", lambda self, quota: 0.01)
    server.errors = [error, error]

    assert fill("SOL-USDT").exit == 0
    assert stored("SOL-USDT") == candles(server, "SOL-USDT")


def test_a_symbol_that_the_venue_does_not_know_is_refused_in_its_words(server):
    with pytest.raises(SymbolError, match="example does not know the symbol XRP-USDT"):
        fill("XRP-USDT")


def test_a_hole_is_a_hole_in_pages_newest_first_too(server):
    hole = ms("2026-03-02T03:04")
    server.symbols["ETH-USDT"].holes.add(hole)

    summary = fill("ETH-USDT", start="2026-03-02", end="2026-03-03")

    assert (summary.exit, summary.holes) == (0, 1)
    assert hole not in stored("ETH-USDT")


def test_the_row_before_the_first_one_is_left_out_and_holes_are_proven_all_the_same(server):
    server.symbols["ETH-USDT"].holes.add(ms("2026-03-02T03:04"))
    server.tell_rows = lambda query, rows: [*rows, [int(query["from"]) - 60, "1", "1", "1", "1", "1"]]

    summary = fill("ETH-USDT", start="2026-03-02", end="2026-03-03")

    assert (summary.exit, summary.holes, summary.missing) == (0, 1, 0)


def test_a_series_that_ended_is_filled_to_its_end(server):
    server.list("OLD-USDT", first="2026-03-01T01:00", last="2026-03-02T02:02", state="off")

    summary = fill("OLD-USDT")

    assert (summary.exit, summary.missing) == (0, 0)
    assert [one.ended_ms for one in summary.ended_series] == [ms("2026-03-02T02:02") + MINUTE_MS]


def test_a_venue_that_lists_one_symbol_at_a_time_is_asked_for_those_that_are_wanted(server, register):
    register(OneASymbol())

    assert fill("BTC-USDT", start="2026-03-03").exit == 0
    assert server.asked("/v1/instruments") == []
    with pytest.raises(SymbolError, match="XRP-USDT"):
        fill("XRP-USDT", start="2026-03-03")


def test_without_a_listing_the_candles_decide(server, register):
    register(NoListing())

    assert fill("BTC-USDT", start="2026-03-03").exit == 0
    assert stored("BTC-USDT") == candles(server, "BTC-USDT", "2026-03-03")
    summary = fill("XRP-USDT", start="2026-03-03")
    assert (summary.exit, summary.failed_series[0].reason) == (1, "unknown_symbol")


@pytest.mark.parametrize("cut", ["newest", "oldest"])
@pytest.mark.parametrize(("most", "end"), [(7, "2026-03-02T04:00"), (90, "2026-03-02T06:20")])
def test_answers_that_are_cut_without_a_word_hide_no_candle(server, register, cut, most, end):
    venue = Example()
    venue.page = PageRule(200, cut=cut)
    register(venue)
    server.most, server.keeps_newest = most, cut == "oldest"
    hole = ms("2026-03-02T03:17")
    server.symbols["ETH-USDT"].holes.add(hole)

    summary = fill("ETH-USDT", start="2026-03-02T03:00", end=end, chunk=200)

    assert stored("ETH-USDT") == candles(server, "ETH-USDT", "2026-03-02T03:00", end)
    assert (summary.exit, summary.holes, summary.missing) == (0, 1, 0)


def test_without_the_rule_of_the_cut_candles_would_be_taken_for_holes(server):
    server.most = 90

    summary = fill("ETH-USDT", start="2026-03-02T03:00", end="2026-03-02T06:20", chunk=200)

    assert summary.holes > 0


class Delayed(Example):
    """A feed that is a quarter of an hour late: its answers tell until when they are final."""

    def read_candles(self, answer, asked):
        return replace(super().read_candles(answer, asked), final_ms=answer.date_ms - 15 * MINUTE_MS)


def test_what_a_delayed_feed_calls_not_final_is_not_wanted_yet(server, register):
    register(Delayed())

    summary = fill("BTC-USDT", start="2026-03-03T11:00")

    assert (summary.exit, summary.missing, summary.holes) == (0, 0, 0)
    assert max(stored("BTC-USDT")) == ms("2026-03-03T11:44")
    server.clock_ms += 5 * MINUTE_MS
    fill("BTC-USDT", start="2026-03-03T11:00")
    assert max(stored("BTC-USDT")) == ms("2026-03-03T11:49")


class OneDay(Example):
    """Its minutes reach one day back, its days do not end."""

    def reach_ms(self, interval):
        return 86_400_000 if interval.name == "1m" else None


def test_what_is_beyond_the_reach_is_told_before_the_run_and_is_no_failure(server, register):
    register(OneDay())
    settings = {"start": "2026-03-02", "end": "2026-03-03T12:00"}

    estimate = fill("ETH-USDT", dry_run=True, **settings)
    assert (estimate.out_of_reach, estimate.wanted, estimate.to_fetch) == (12 * 60 + 1, 1439, 1439)
    summary = fill("ETH-USDT", **settings)

    assert (summary.exit, summary.missing, summary.out_of_reach, summary.written) == (0, 0, 12 * 60 + 1, 1439)
    assert not [
        query for query in server.asked("/v1/candles") if query["period"] == "1min" and int(query["from"]) < 1772452800
    ]


def test_what_was_stored_while_it_was_in_reach_stays_wanted(server, register):
    fill("ETH-USDT", start="2026-03-02", end="2026-03-02T06:00")
    register(OneDay())

    summary = fill("ETH-USDT", start="2026-03-02", end="2026-03-03T12:00")

    assert (summary.exit, summary.stored_before, summary.out_of_reach) == (0, 360, 6 * 60 + 1)
    assert summary.wanted == 360 + 1439


@pytest.mark.parametrize("chunk", [60, 200])
def test_a_reach_that_only_refusals_tell_costs_no_candle_within_it(server, chunk):
    server.reach_ms = 86_400_000

    summary = fill("ETH-USDT", start="2026-03-01", end="2026-03-03T12:00", chunk=chunk)

    # The candle of 12:00 opened 24 h and 30 s ago.
    assert stored("ETH-USDT") == candles(server, "ETH-USDT", "2026-03-02T12:01", "2026-03-03T12:00")
    assert (summary.exit, summary.missing, summary.out_of_reach) == (0, 0, 36 * 60 + 1)
    assert len([query for query in server.asked("/v1/candles") if query["period"] == "1min"]) < 100
