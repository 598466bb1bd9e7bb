"""The listing itself: empty, shorter than it was, with odd entries; and what a look says of it."""

from __future__ import annotations

import json

import pytest
from influxd2 import TOKEN
from lying_venue import FILES, KLINES, LISTING
from unlisted_symbols import JANUARY, files_alone, klines_too, listed_in, minutes_of


def asks_of_listing(venue):
    return len(venue.asked(LISTING))


def test_an_empty_listing_is_asked_once_more_and_then_the_venue_cannot_be_used(lying, here):
    lying.tell_listing = lambda entries: {"symbols": []}
    listed_in("AAAUSDT")
    ended = here("backfill", *JANUARY)
    assert (ended.exit, asks_of_listing(lying)) == (2, 2)
    assert "cannot be used now: its listing, asked for twice, names no symbol" in ended.lines("error")[0]
    assert "take them off" not in ended.err


def test_a_listing_that_is_empty_once_does_no_harm(lying, here):
    lying.tell_listing = lambda entries: {"symbols": entries if asks_of_listing(lying) > 1 else []}
    assert here("backfill", "AAAUSDT", "--start", "2026-03-10T11:00").exit == 0
    assert asks_of_listing(lying) == 2


def test_with_an_empty_listing_the_files_alone_are_asked_where_that_was_wanted(lying, here, times):
    lying.tell_listing = lambda entries: {"symbols": []}
    files_alone(lying)
    assert here("backfill", "OLDUSDT", *JANUARY, "--source", "archive").exit == 0
    assert len(times()) == 44_640


def test_a_listing_that_lacks_symbols_it_had_is_asked_once_more_for_all_of_them(lying, here):
    for name in ("BBBUSDT", "CCCUSDT"):
        lying.list(name, first="2026-01-01")
    listed_in("AAAUSDT", "BBBUSDT", "CCCUSDT")
    words = ("backfill", "--start", "2026-03-10T11:00")
    assert (here(*words).exit, asks_of_listing(lying)) == (0, 1)
    lying.forget()
    lying.tell_listing = lambda entries: {"symbols": entries if asks_of_listing(lying) > 1 else entries[:1]}
    ended = here(*words)
    assert (ended.exit, asks_of_listing(lying), lying.asked(KLINES)) == (0, 2, [])
    assert "not listed" not in ended.err


def test_a_symbol_that_has_gone_for_good_is_asked_for_in_the_listing_once(lying, here):
    gone = lying.list("GONEUSDT", first="2026-01-01")
    words = ("backfill", "AAAUSDT", "GONEUSDT", "--start", "2026-03-10T11:00")
    assert here(*words).exit == 0
    gone.listed = False
    lying.forget()
    assert (here(*words).exit, asks_of_listing(lying)) == (0, 2)
    lying.forget()
    assert (here(*words).exit, asks_of_listing(lying)) == (0, 1)


def test_a_symbol_nobody_asked_for_is_still_missed_when_it_is(lying, here):
    lying.list("BBBUSDT", first="2026-01-01")
    words = ("--start", "2026-03-10T11:00")
    assert here("backfill", "BBBUSDT", *words).exit == 0
    lying.tell_listing = lambda entries: {"symbols": entries[:1]}
    assert here("backfill", "AAAUSDT", *words).exit == 0
    lying.forget()
    assert (here("backfill", "BBBUSDT", *words).exit, asks_of_listing(lying)) == (0, 2)


def test_the_listing_is_written_down_only_when_it_changes(lying, here, sql):
    words = ("backfill", "AAAUSDT", "--start", "2026-03-10T11:00")
    notes = "SELECT about, value, noted_at FROM laklak_notes WHERE kind = 'listing'"
    assert here(*words).exit == 0
    before = sql(notes)
    assert [(about, json.loads(value)) for about, value, _ in before] == [("binance", ["AAAUSDT"])]
    assert here(*words).exit == 0
    assert sql(notes) == before


@pytest.mark.parametrize("date", ["soon", 1.5, True, [], {}, 0, -1, None, 1_900_000_000_000, 10**18])
@pytest.mark.parametrize("key", ["onboardDate", "deliveryDate"])
def test_a_date_that_is_none_costs_that_date(key, date, lying, here, times):
    lying.symbols["AAAUSDT"].entry[key] = date
    ended = here("backfill", "AAAUSDT", "--start", "2026-03-10T11:00")
    assert ended.exit == 0
    assert times("AAAUSDT") == minutes_of("2026-03-10T11:00", "2026-03-10T12:00")


def test_an_odd_date_is_said_where_its_symbol_was_asked_for(lying, here):
    lying.symbols["AAAUSDT"].entry["onboardDate"] = "soon"
    lying.list("BBBUSDT", first="2026-01-01", onboard=-1)
    ended = here("backfill", "AAAUSDT", "--start", "2026-03-10T11:00")
    assert ended.lines("warning") == [
        'odd in the listing of binance, and not counted: AAAUSDT has the onboardDate "soon"'
    ]


@pytest.mark.parametrize(
    "entry", [5, None, [], {}, {"symbol": 5}, {"symbol": ""}, {"symbol": "A B"}, {"symbol": "A/../B"}]
)
def test_an_entry_that_names_no_symbol_costs_that_entry(entry, lying, here):
    lying.tell_listing = lambda entries: {"symbols": [entry, *entries]}
    ended = here("backfill", "AAAUSDT", "--start", "2026-03-10T11:00")
    assert (ended.exit, ended.lines("warning")) == (0, [])
    assert "name no symbol: 1; not listed: NOPEUSDT" in here("backfill", "NOPEUSDT", *JANUARY).err


def test_of_a_doubled_entry_the_first_one_counts_and_it_is_said(lying, here):
    lying.tell_listing = lambda entries: {"symbols": [*entries, {**entries[0], "status": "BREAK"}]}
    ended = here("backfill", "AAAUSDT", "--start", "2026-03-10T11:00")
    assert ended.exit == 0
    assert "AAAUSDT is listed twice" in ended.lines("warning")[0]


# The look, and other stores


def test_a_look_says_what_a_run_does_about_what_is_not_listed(lying, here):
    files_alone(lying)
    klines_too(lying, "BBBUSDT")
    listed_in("AAAUSDT", "OLDUSDT", "BBBUSDT", "NOPEUSDT")

    def finding():
        (one,) = [one for one in here("check", "--json").json["findings"] if "are not listed" in one["text"]]
        assert one["verdict"] == "warning"
        return one

    before = finding()
    assert before["text"] == "3 of 4 symbols of the asset list are not listed: OLDUSDT, BBBUSDT, NOPEUSDT"
    assert "looks for them in klines and bulk files" in before["hint"]
    here("backfill", "--start", "2026-01-20", "--end", "2026-01-21")
    hint = finding()["hint"]
    assert "OLDUSDT (bulk files from 2026-01-01T00:00Z), BBBUSDT (candles from 2025-11-10T00:00Z)" in hint
    assert "did not have NOPEUSDT (looked for at 2026-03-10T12:00" in hint
    assert "exit status 1 until it is taken off the list" in hint


def test_a_look_at_an_empty_listing_is_a_problem(lying, here):
    lying.tell_listing = lambda entries: {"symbols": []}
    listed_in("AAAUSDT")
    ended = here("check", "--json")
    assert ended.exit == 2
    (one,) = [one for one in ended.json["findings"] if one["verdict"] == "problem"]
    assert "cannot be used now" in one["text"]


def test_a_look_names_what_is_odd_with_a_symbol_of_the_list(lying, here):
    lying.symbols["AAAUSDT"].entry["onboardDate"] = "soon"
    listed_in("AAAUSDT")
    texts = [one["text"] for one in here("check", "--json").json["findings"] if one["verdict"] == "warning"]
    assert any('AAAUSDT has the onboardDate "soon"' in text for text in texts)


@pytest.mark.parametrize("version", [1, pytest.param(2, marks=pytest.mark.long)])
def test_influxdb_remembers_it_too(version, lying, here, request, check_sum, monkeypatch):
    """With a listing of a thousand names, which is one text in one field."""
    store = request.getfixturevalue("influxd" if version == 1 else "influxd2").url("unlisted")
    monkeypatch.setenv("LAKLAK_INFLUXDB_TOKEN", TOKEN)
    for number in range(1000):
        lying.list(f"币安{number:04}USDT", first="2026-01-01")
    files_alone(lying, first="2026-01-10T08:00", last="2026-01-20T10:00")
    words = ("backfill", "OLDUSDT", *JANUARY, "--store", store, "--json")
    count = len(minutes_of("2026-01-10T08:00", "2026-01-20T10:01"))
    assert check_sum(here(*words).json)["written"] == count
    here(*words)
    lying.forget()
    answer = check_sum(here(*words).json)
    assert (answer["exit"], answer["stored_before"], answer["missing"]) == (0, count, 0)
    assert (asks_of_listing(lying), lying.asked(KLINES), lying.asked(FILES)) == (1, [], [])
    lying.tell_listing = lambda entries: {"symbols": entries[:1]}
    lying.forget()
    here("backfill", "币安0999USDT", "--start", "2026-03-10T11:00", "--store", store)
    assert asks_of_listing(lying) == 2
