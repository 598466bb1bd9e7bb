"""A store remembers from which addresses its candles came, and keeps those from elsewhere out."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
from contextlib import ExitStack

import pytest
from copies import BTC, ETH, candles, fill, minutes_of
from lying_venue import KLINES, LyingVenue

import laklak as library
from laklak.model.records import Note
from laklak.sources.addresses import address_of
from laklak.stores import open_store
from laklak.stores.access import StoreAccess

CLOCK = "2026-03-03T12:00:30"
HOURS = ("--start", "2026-03-03T08:00", "--end", "2026-03-03T10:00")
LATER = ("--start", "2026-03-03T08:00", "--end", "2026-03-03T11:00")
DAYS = ("--start", "2026-03-01", "--end", "2026-03-03")
WORDS = ("backfill", "BTCUSDT", "--json")
OWN, OWN_FILES = "fapi.binance.com", "data.binance.vision"

_numbers = itertools.count(1)


@pytest.fixture(params=["sqlite", "influxdb", pytest.param("influxdb2", marks=pytest.mark.long)])
def store(request, monkeypatch):
    """The address of an empty store of each kind; what a password or token is needed for is in the environment."""
    if request.param == "sqlite":
        return "candles.db"
    if request.param == "influxdb":
        return request.getfixturevalue("influxd").url(f"addresses_{next(_numbers)}")
    server = request.getfixturevalue("influxd2")
    monkeypatch.setenv("LAKLAK_INFLUXDB_TOKEN", server.token)
    return server.url(f"addresses_{next(_numbers)}")


@pytest.fixture
def real():
    """Start real venues that all have the same symbols: `real()`."""
    with ExitStack() as stack:

        def start(**more):
            one = stack.enter_context(LyingVenue(CLOCK, **more))
            for name in ("BTCUSDT", "ETHUSDT"):
                one.list(name, first="2026-01-01")
            return one

        yield start


@pytest.fixture
def at(monkeypatch, here):
    """Run a backfill against a venue, and bulk files of one: `at(venue, *words, files=other)`."""

    def run(api, *words, files=None):
        monkeypatch.setenv("LAKLAK_BINANCE_URL", api if isinstance(api, str) else api.url)
        if files is None:
            monkeypatch.delenv("LAKLAK_BINANCE_ARCHIVE_URL", raising=False)
        else:
            monkeypatch.setenv("LAKLAK_BINANCE_ARCHIVE_URL", files if isinstance(files, str) else files.url)
        return here(*WORDS, *words)

    return run


def opened(store, work):
    async def main():
        access = {"where": store, "token": os.environ.get("LAKLAK_INFLUXDB_TOKEN")}
        async with open_store(StoreAccess(**access)) as one:
            return await work(one)

    return asyncio.run(main())


def noted(store):
    """The note about the venue, None where there is none."""
    notes = opened(store, lambda one: one.notes())
    found = [json.loads(note.value) for note in notes if (note.about, note.kind) == ("binance", "address")]
    return found[0] if found else None


def put_note(store, api, files=()):
    value = json.dumps({"api": list(api), "files": list(files)})
    opened(store, lambda one: one.put_notes([Note("binance", "address", value, 1_772_000_000_000)]))


def refused(ended, *names):
    """It was refused at the start, with these names and the way out."""
    answer = ended.json
    assert (ended.exit, answer["exit"], answer["requests"], answer["written"]) == (2, 2, 0, 0), ended.err
    assert all(name in answer["error"] for name in names), answer["error"]
    assert "--other-address" in answer["hint"]


# A run


def test_a_run_against_another_address_is_refused_before_anything_is_asked(real, at, store):
    first, second = real(), real()
    assert at(first, *HOURS, "--store", store).exit == 0
    for words in ((), ("--refetch",), ("--recheck",), ("--dry-run",), ("--interval", "1h"), ("--source", "rest")):
        ended = at(second, *LATER, *words, "--store", store)
        assert ended.exit == 2, words
        assert address_of(first.url) in ended.json["error"]
        assert address_of(second.url) in ended.json["error"]
    assert second.hits == []
    assert at(first, *LATER, "--store", store).exit == 0


def test_what_is_meant_is_remembered_too(real, at, store):
    first, second = real(), real()
    assert at(first, *HOURS, "--store", store).exit == 0
    assert at(second, *LATER, "--store", store, "--other-address").exit == 0
    assert noted(store) == {"api": sorted(address_of(one.url) for one in (first, second))}
    assert at(second, *LATER, "--store", store).exit == 0
    assert at(first, *LATER, "--store", store).exit == 0


def test_a_symbol_or_interval_that_the_store_lacks_is_of_the_same_venue(real, at, here, monkeypatch):
    first, second = real(), real()
    assert at(first, *HOURS).exit == 0
    monkeypatch.setenv("LAKLAK_BINANCE_URL", second.url)
    refused(here("backfill", "ETHUSDT", "--json", *HOURS), address_of(first.url), address_of(second.url))


@pytest.mark.parametrize("spell", ["{}/", "http://me:secret@{host}", "http://{host}"])
def test_login_and_slash_make_no_other_address(real, at, spell):
    one = real()
    assert at(one, *HOURS).exit == 0
    url = spell.format(one.url, host=one.url.removeprefix("http://"))
    assert at(url, *LATER).exit == 0


def test_a_path_makes_another_address(real, at):
    one = real()
    assert at(one, *HOURS).exit == 0
    refused(at(f"{one.url}/binance", *LATER), address_of(one.url), f"{address_of(one.url)}/binance")


def test_no_login_is_in_the_message(real, at):
    assert at(real(), *HOURS).exit == 0
    ended = at(real().url.replace("//", "//me:secret@"), *LATER)
    assert ended.exit == 2
    assert "secret" not in ended.out + ended.err


def test_a_store_without_candles_of_the_venue_takes_the_first(real, at, store):
    opened(store, lambda one: one.set_origin("real"))
    one = real()
    put_note(store, ["elsewhere.example"])
    assert at(one, *HOURS, "--store", store).exit == 0
    assert noted(store) == {"api": [address_of(one.url)]}


def test_candles_without_a_note_are_from_the_venues_own_address(real, at):
    fill("laklak.db", candles(BTC, range(5)), origin="real")
    one = real()
    refused(at(one, *HOURS), OWN, address_of(one.url))
    assert one.hits == []
    assert at(one, *HOURS, "--other-address").exit == 0
    assert noted("laklak.db") == {"api": sorted([OWN, address_of(one.url)])}


def test_candles_of_an_old_script_are_from_the_venues_own_address(real, at, influxd):
    name = f"addresses_{next(_numbers)}"
    store = influxd.url(name)
    influxd.ask(f'CREATE DATABASE "{name}"')
    values = "open=1,high=1,low=1,close=1,volume=1"
    influxd.put(f"binance_ohlc,exchange=binance,symbol=BTCUSDT,timeframe=1m {values} 1772524800000", name)
    one = real()
    refused(at(one, *HOURS, "--store", store), OWN, address_of(one.url))
    assert one.hits == []


def test_the_venues_own_address_fits_to_candles_without_a_note(at, monkeypatch, here):
    fill("laklak.db", candles(BTC, range(5)), origin="real")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    ended = here(*WORDS, *HOURS)
    assert ended.exit == 2
    assert "--other-address" not in ended.json["hint"]


def test_another_archive_is_another_address(real, at):
    first, second = real(), real()
    assert at(first, *DAYS, files=first).exit == 0
    first.forget()
    refused(at(first, "--start", "2026-02-27", files=second), "bulk files", address_of(second.url))
    assert (first.hits, second.hits) == ([], [])
    assert at(first, "--start", "2026-02-27", "--other-address", files=second).exit == 0
    assert noted("laklak.db")["files"] == sorted(address_of(one.url) for one in (first, second))


def test_only_the_sources_of_a_run_have_to_fit(real, at):
    first, second = real(), real()
    assert at(first, *DAYS, files=first).exit == 0
    # Files come from nowhere in one, and in the other the API gives no candles.
    assert at(first, "--start", "2026-02-27", "--source", "rest", files=second).exit == 0
    ended = at(second, "--start", "2026-02-20", "--end", "2026-02-25", "--source", "archive", files=first)
    assert ended.exit == 0, ended.err
    assert second.asked(KLINES) == []


def test_files_of_elsewhere_do_not_come_to_candles_of_the_api(real, at):
    first, second = real(), real()
    assert at(first, *HOURS, "--source", "rest").exit == 0
    refused(at(first, *DAYS, "--source", "archive", files=second), address_of(first.url), address_of(second.url))
    assert at(first, *DAYS, "--source", "archive", files=first).exit == 0


def test_the_note_is_there_before_the_candles(real, laklak, monkeypatch):
    one, other = real(), real()
    monkeypatch.setenv("LAKLAK_BINANCE_URL", one.url)
    # The first write of candles never comes to its end: the process kills itself in the middle of it.
    dying = (
        "import os, signal\n"
        "from laklak.stores.sqlite.store import SqliteStore\n"
        "write = SqliteStore.write\n"
        "async def once(self, deliveries):\n"
        "    await write(self, deliveries)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "SqliteStore.write = once"
    )
    process = laklak.start(*WORDS, *HOURS, first=dying)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert minutes_of("laklak.db") != []
    assert noted("laklak.db") == {"api": [address_of(one.url)]}
    refused(laklak(*WORDS, *HOURS, LAKLAK_BINANCE_URL=other.url), address_of(one.url))


def test_a_run_that_writes_nothing_notes_nothing(real, at):
    one = real()
    assert at(one, *HOURS, "--dry-run").exit == 0
    fill("laklak.db", candles(BTC, range(5)), origin="real")
    assert at(one, "--start", "2026-02-28", "--end", "2026-02-28T00:05", "--other-address").exit == 0
    assert noted("laklak.db") is None


def test_a_program_says_that_another_address_is_meant(real, at, monkeypatch):
    first, second = real(), real()
    assert at(first, *HOURS).exit == 0
    monkeypatch.setenv("LAKLAK_BINANCE_URL", second.url)
    span = {"start": "2026-03-03T08:00", "end": "2026-03-03T11:00"}
    summary = asyncio.run(library.backfill("BTCUSDT", **span, other_address=True))
    assert summary.complete


# Simulators


def test_every_simulator_is_the_same_address(venue, here, store):
    words = ("backfill", "LTCUSDT", "--json", "--store", store)
    venue()
    assert here(*words, "--days", "1").exit == 0
    venue()
    assert here(*words, "--days", "2").exit == 0
    assert noted(store) == {"api": ["simulator"]}


def test_files_of_every_simulator_are_from_the_same_address(archive, here, monkeypatch):
    archive()
    assert here("backfill", "LTCUSDT", "--days", "2").exit == 0
    one, files = archive(), archive()
    monkeypatch.setenv("LAKLAK_BINANCE_URL", one.url)
    monkeypatch.setenv("LAKLAK_BINANCE_ARCHIVE_URL", files.url)
    assert here("backfill", "LTCUSDT", "--days", "4").exit == 0
    assert noted("laklak.db") == {"api": ["simulator"], "files": ["simulator"]}


def test_a_real_archive_is_not_asked_for_a_store_of_a_simulator(archive, here, monkeypatch, real):
    archive()
    assert here("backfill", "LTCUSDT", "--days", "2").exit == 0
    files = real()
    monkeypatch.setenv("LAKLAK_BINANCE_ARCHIVE_URL", files.url)
    ended = here("backfill", "LTCUSDT", "--days", "4", "--json")
    assert ended.exit == 2
    assert "a simulator" in ended.json["error"]
    # One look tells who it is.
    assert len(files.hits) == 1


def test_a_simulator_and_a_store_of_real_candles_do_not_fit_unless_forced(venue, here, at, real):
    one = real()
    assert at(one, *HOURS).exit == 0
    running = venue()
    words = ("backfill", "LTCUSDT", "--days", "1", "--json")
    refused(here(*words), address_of(one.url))
    assert running.hits == []
    ended = here(*words, "--other-address")
    assert ended.exit == 2
    assert "holds real candles" in ended.json["error"]
    assert here(*words, "--force").exit == 0
    assert noted("laklak.db") == {"api": sorted([address_of(one.url), "simulator"])}


def test_force_does_not_mix_two_real_addresses(real, at):
    first, second = real(), real()
    assert at(first, *HOURS).exit == 0
    ended = at(second, *LATER, "--force")
    assert ended.exit == 2
    assert "--other-address" in ended.json["hint"]
    assert second.asked(KLINES) == []


# Copies


def test_a_copy_takes_the_addresses_along(real, at, here, store):
    first, second = real(), real()
    assert at(first, *HOURS).exit == 0
    assert here("copy", "laklak.db", store).exit == 0
    assert noted(store) == {"api": [address_of(first.url)]}
    refused(at(second, *LATER, "--store", store), address_of(first.url))


def test_a_copy_does_not_mix_candles_from_different_addresses(real, at, here, store):
    first, second = real(), real()
    assert at(first, *HOURS).exit == 0
    assert at(second, *LATER, "--store", store).exit == 0
    ended = here("copy", "laklak.db", store, "--json")
    assert (ended.exit, ended.json["written"]) == (2, 0)
    assert address_of(first.url) in ended.json["error"]
    assert address_of(second.url) in ended.json["error"]
    assert "--other-address" in ended.json["hint"]
    assert noted(store) == {"api": [address_of(second.url)]}


def test_a_copy_that_is_meant_to_mix_remembers_both(real, at, here):
    first, second = real(), real()
    assert at(first, *LATER).exit == 0
    assert at(second, *HOURS, "--store", "b.db").exit == 0
    assert here("copy", "laklak.db", "b.db", "--other-address").exit == 0
    both = sorted(address_of(one.url) for one in (first, second))
    assert noted("b.db") == {"api": both}


def test_a_copy_of_candles_without_a_note_fits_to_the_venues_own(here, real, at):
    fill("a.db", candles(BTC, range(5)), origin="real")
    fill("b.db", candles(ETH, range(5)), origin="real")
    assert here("copy", "a.db", "b.db").exit == 0
    assert noted("b.db") is None
    assert at(real(), *HOURS, "--store", "c.db").exit == 0
    ended = here("copy", "a.db", "c.db", "--json")
    assert ended.exit == 2
    assert OWN in ended.json["error"]


def test_a_forced_copy_of_simulated_candles_is_remembered(here):
    fill("a.db", candles(BTC, range(5)), origin="simulated")
    fill("b.db", candles(ETH, range(5)), origin="real")
    assert here("copy", "a.db", "b.db", "--force").exit == 0
    assert noted("b.db") == {"api": [OWN, "simulator"], "files": [OWN_FILES, "simulator"]}


def test_a_copy_takes_along_what_is_remembered_about_its_series(here):
    fill("a.db", candles(BTC, range(5)), origin="real")
    fill("b.db", candles(ETH, range(5)), origin="real")
    ours = Note(BTC, "first", "1", 5, 6)
    put = [ours, Note("binance:XRPUSDT:1m", "first", "2", 7, 8), Note(ETH, "first", "3", 9)]
    opened("a.db", lambda one: one.put_notes(put))
    assert here("copy", "a.db", "b.db", BTC).exit == 0
    assert opened("b.db", lambda one: one.notes()) == [ours]
