"""`laklak check`: what is remembered about a venue can be seen, with the flag that forgets it."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import time
from pathlib import Path

import pytest
from copies import BTC, MINUTE_MS, START_MS, absence, candles, fill
from lying_venue import LISTING, TIME, LyingVenue

from laklak.model.absences import Absence
from laklak.model.records import Note
from laklak.model.series import Interval, Series
from laklak.sources.addresses import address_of
from laklak.stores import open_store
from laklak.stores.access import StoreAccess
from laklak.stores.base import Delivery
from laklak.wire.bans import BanBook

MINUTE = Interval.parse("1m")

CLOCK = "2026-03-03T12:00:30"
_numbers = itertools.count(1)


@pytest.fixture
def real(monkeypatch):
    """A real venue with one symbol, the one that the settings name."""
    Path("assets.txt").write_text("BTCUSDT binance\n")
    with LyingVenue(CLOCK) as one:
        one.list("BTCUSDT", first="2026-01-01")
        monkeypatch.setenv("LAKLAK_BINANCE_URL", one.url)
        yield one


@pytest.fixture(params=["sqlite", "influxdb", pytest.param("influxdb2", marks=pytest.mark.long)])
def store(request, monkeypatch):
    if request.param == "sqlite":
        return "candles.db"
    if request.param == "influxdb":
        return request.getfixturevalue("influxd").url(f"memory_{next(_numbers)}")
    server = request.getfixturevalue("influxd2")
    monkeypatch.setenv("LAKLAK_INFLUXDB_TOKEN", server.token)
    return server.url(f"memory_{next(_numbers)}")


@pytest.fixture
def look(here):
    """The findings of `laklak check --json`, as (about, verdict, text and hint)."""

    def run(*words, exit_status=0):
        ended = here("check", "--json", *words)
        assert ended.exit == exit_status, ended.out
        return [(one["about"], one["verdict"], f"{one['text']} -> {one['hint']}") for one in ended.json["findings"]]

    return run


def only(findings, words):
    found = [one for one in findings if words in one[2]]
    assert len(found) == 1, findings
    return found[0]


def put(store, *notes, absences=()):
    async def main():
        access = StoreAccess(where=store, token=os.environ.get("LAKLAK_INFLUXDB_TOKEN"))
        async with open_store(access) as one:
            series = Series.parse(BTC)
            await one.set_origin("real")
            await one.write([Delivery(series, candles(BTC, range(3)), absences)])
            await one.put_notes(notes)

    asyncio.run(main())


def now_ms(seconds=0):
    return int((time.time() + seconds) * 1000)


def address_note(*api, noted_at_ms=None):
    return Note("binance", "address", json.dumps({"api": api}), noted_at_ms or now_ms(), 1_772_539_230_000)


def test_the_addresses_of_its_candles_are_shown(real, look, store):
    put(store, address_note(address_of(real.url)))
    about, verdict, text = only(look("--store", store), f"candles of binance from {address_of(real.url)}")
    assert (about, verdict) == ("store", "ok")
    assert "2026-03-03T12:00:30Z by the venue's clock" in text
    assert "--other-address" in text


def test_a_venue_at_another_address_is_what_a_run_would_be_refused_for(real, look, store):
    put(store, address_note("elsewhere.example"))
    about, verdict, text = only(look("--store", store, exit_status=2), "this run would take them from")
    assert (about, verdict) == ("store", "problem")
    assert "elsewhere.example" in text
    assert address_of(real.url) in text
    # Two small requests, as ever.
    assert (len(real.asked(LISTING)), len(real.asked(TIME)), len(real.hits)) == (1, 1, 2)


def test_holes_rejects_and_notes_are_counted_with_the_flag_that_asks_again(real, look, store):
    hole, reject = absence(5), absence(6, "rejected")
    notes = [
        Note(BTC, "first", '{"ms":1}', now_ms(-50)),
        Note("binance:ETHUSDT:1m", "first", '{"ms":1}', now_ms(-50)),
        Note("binance:OLDUSDT", "unlisted", "{}", now_ms(-20)),
        Note("binance", "ended", '{"A":1,"B":2}', now_ms(-20)),
    ]
    put(store, address_note(address_of(real.url)), *notes, absences=[hole, reject])
    _, verdict, text = only(look("--store", store), "remembered about binance")
    assert verdict == "ok"
    for amount in ("1 hole", "1 reject", "2 first candles", "1 unlisted symbol", "2 ends", "2026-03-01T21:20Z"):
        assert amount in text
    assert "--recheck" in text


@pytest.mark.parametrize("what", ["hole", "note", "address"])
def test_what_was_noted_in_the_future_is_a_warning(what, real, look):
    later_ms = now_ms(400 * 86_400)
    absences = [Absence.at(MINUTE, START_MS + 9 * MINUTE_MS, "hole", later_ms, "two complete answers lack it")]
    notes = [Note(BTC, "first", '{"ms":1}', later_ms)] if what == "note" else []
    address = address_note(address_of(real.url), noted_at_ms=later_ms if what == "address" else None)
    put("candles.db", address, *notes, absences=absences if what == "hole" else ())
    findings = look("--store", "candles.db")
    (warning,) = [one for one in findings if one[1] == "warning" and "future" in one[2]]
    assert ("notes it again" if what == "address" else "--recheck") in warning[2]


def test_a_store_without_candles_has_no_addresses(real, look):
    assert not [one for one in look("--store", "candles.db") if "--other-address" in one[2]]


def test_candles_without_a_note_count_as_the_venues_own(real, look):
    fill("candles.db", candles(BTC, range(3)), origin="real")
    findings = look("--store", "candles.db", exit_status=2)
    assert "as nothing else was noted" in only(findings, "candles of binance from fapi.binance.com, bulk files of")[2]


def test_a_ban_is_shown_with_the_flag_that_forgets_it(real, look):
    state = Path.home() / "state" / "laklak"
    other, own = (BanBook(state, "binance", origin, longest_s=86_400) for origin in ("http://other:1", real.url))
    other.remember(now_ms(3600), "way too many", venue_ms=1_772_539_230_000)
    _, verdict, text = only(look(), "http://other:1")
    assert verdict == "warning"
    assert "--forget-ban" in text
    assert "by the venue's clock" in text
    own.remember(now_ms(3600), "way too many")
    real.forget()
    findings = look(exit_status=2)
    assert only(findings, "as an earlier run was told")[1] == "problem"
    assert "--forget-ban" in only(findings, "as an earlier run was told")[2]
    assert real.hits == []
