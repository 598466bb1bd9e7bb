"""`laklak explain`: why a minute is there or is not, told from what real runs have left in each kind of store."""

from __future__ import annotations

import asyncio
import json
import os

import pytest
from copies import BTC, MINUTE_MS, START_MS, candles, fill, new_name

import laklak as library
from laklak.model.absences import Absence
from laklak.model.records import Note
from laklak.model.series import TimeRange, iso, ms_of
from laklak.simulator import SymbolOverride
from laklak.stores import open_store

HOUR_MS = 60 * MINUTE_MS
END_MS = 1_772_323_200_000  # 2026-03-01T00:00Z, where the recording ends
NOON_MS = END_MS - 12 * HOUR_MS
LISTED_MS = END_MS - 20 * HOUR_MS
SYMBOLS = ("LTCUSDT", "DOTUSDT", "AVAXUSDT")


@pytest.fixture(params=["sqlite", "influxdb", pytest.param("influxdb2", marks=pytest.mark.long)])
def where(request, monkeypatch):
    if request.param == "sqlite":
        return "candles.db"
    if request.param == "influxdb":
        return request.getfixturevalue("influxd").url(new_name())
    server = request.getfixturevalue("influxd2")
    monkeypatch.setenv("LAKLAK_INFLUXDB_TOKEN", server.token)
    return server.url(new_name())


def minutes(start_ms, count):
    return frozenset(range(start_ms, start_ms + count * MINUTE_MS, MINUTE_MS))


def explain(here, where, symbol, time_ms, *words):
    ended = here("explain", f"binance:{symbol}", iso(time_ms), "--store", where, "--json", *words)
    assert ended.exit == ended.json["exit"]
    return ended.json


@pytest.fixture
def filled(venue, where):
    """Three symbols of a venue that was out from noon on for seven minutes, one of them listed late."""
    out = minutes(NOON_MS, 7)
    venue(
        overrides={
            "LTCUSDT": SymbolOverride(
                holes=out | {NOON_MS + HOUR_MS}, bad_rows={NOON_MS + 2 * HOUR_MS: "high_below_low"}
            ),
            "DOTUSDT": SymbolOverride(holes=out | {NOON_MS + 7 * MINUTE_MS}),
            "AVAXUSDT": SymbolOverride(first_ms=LISTED_MS),
        }
    )
    summary = asyncio.run(library.backfill(SYMBOLS, days=1, store=where))
    assert (summary.holes, summary.rejected) == (16, 1)
    return where


def test_every_minute_of_a_real_run_has_its_verdict(filled, here):
    asked = {
        ("LTCUSDT", NOON_MS - MINUTE_MS): "held",
        ("LTCUSDT", NOON_MS): "outage",
        ("LTCUSDT", NOON_MS + HOUR_MS): "hole",
        ("LTCUSDT", NOON_MS + 2 * HOUR_MS): "rejected",
        ("DOTUSDT", NOON_MS + 7 * MINUTE_MS): "hole",
        ("AVAXUSDT", NOON_MS): "held",
        ("AVAXUSDT", LISTED_MS - MINUTE_MS): "before_listing",
        ("LTCUSDT", END_MS - 24 * HOUR_MS - MINUTE_MS): "not_fetched",
        ("LTCUSDT", END_MS): "beyond_clock",
        ("LTCUSDT", 253_370_764_800_000): "beyond_clock",
    }

    told = {(symbol, time_ms): explain(here, filled, symbol, time_ms) for symbol, time_ms in asked}

    assert {key: one["verdict"] for key, one in told.items()} == asked
    assert {key: one["exit"] for key, one in told.items() if one["exit"]} == {
        ("LTCUSDT", END_MS - 24 * HOUR_MS - MINUTE_MS): 1
    }


def test_an_outage_is_told_with_its_first_and_last_minute_and_how_many_lack_it(filled, here):
    found = explain(here, filled, "DOTUSDT", NOON_MS + 3 * MINUTE_MS)

    bounds = {"first": iso(NOON_MS), "last": iso(NOON_MS + 6 * MINUTE_MS)}
    assert found["outage"] == {**bounds, "lacking": 2, "of": 3}
    assert f"2 of 3 series of binance lack it, first {bounds['first']}, last {bounds['last']}" in found["text"]


def test_a_held_minute_is_told_with_its_values_and_where_it_came_from(filled, here, truth):
    found = explain(here, filled, "LTCUSDT", NOON_MS - MINUTE_MS)

    assert tuple(found["candle"].values()) == truth(["LTCUSDT"])["LTCUSDT", NOON_MS - MINUTE_MS]
    assert (found["provenance"]["source"], found["provenance"]["state"]) == ("rest", "confirmed")
    assert found["provenance"]["first_run"] == found["last_run"]["started"]


def test_holes_and_rejects_are_told_with_when_and_of_whom_they_were_asked(filled, here):
    hole = explain(here, filled, "LTCUSDT", NOON_MS + HOUR_MS)["absence"]
    rejected = explain(here, filled, "LTCUSDT", NOON_MS + 2 * HOUR_MS)["absence"]

    assert (hole["kind"], hole["sources"], hole["row"]) == ("hole", ["rest"], None)
    assert ms_of(hole["venue_at"]) >= END_MS
    assert (rejected["kind"], json.loads(rejected["row"])[0]) == ("rejected", NOON_MS + 2 * HOUR_MS)
    assert rejected["reason"]


def test_what_was_never_asked_for_is_told_with_the_command_that_asks(filled, here):
    asked_ms = END_MS - 25 * HOUR_MS

    ended = here("explain", "LTCUSDT", iso(asked_ms), "--store", filled)

    first, *others = ended.out.splitlines()
    assert first == f"binance:LTCUSDT:1m {iso(asked_ms)}: not fetched yet"
    fetch = f"--start {iso(asked_ms)} --end {iso(asked_ms + MINUTE_MS)} asks for it"
    assert others == [
        "  no run over this time is remembered",
        f"  laklak backfill binance:LTCUSDT --interval 1m {fetch}",
    ]


# From what a store knows, whoever put it there


def put(where, *notes, clock=START_MS + 100 * MINUTE_MS):
    async def work():
        async with open_store(where) as store:
            told = {("binance", "clock"): {"ms": clock}, **dict(notes)}
            await store.put_notes([Note(*key, json.dumps(value), 1_772_500_000_000) for key, value in told.items()])

    asyncio.run(work())


def verdict(here, minute, series=BTC, where="candles.db"):
    return here("explain", series, iso(START_MS + minute * MINUTE_MS), "--store", where, "--json").json["verdict"]


def test_a_closed_stretch_is_told_from_its_begin_to_its_end(here):
    closed = Absence(TimeRange(START_MS + 50 * MINUTE_MS, START_MS + 60 * MINUTE_MS), "closed", 1, "no session")
    fill("candles.db", candles(BTC, [*range(50), *range(60, 100)]), absences=[closed])
    put("candles.db")

    found = here("explain", BTC, iso(START_MS + 55 * MINUTE_MS), "--store", "candles.db").out

    stretch = f"from {iso(START_MS + 50 * MINUTE_MS)} to {iso(START_MS + 60 * MINUTE_MS)}"
    assert f"outside of the venue's sessions, {stretch}" in found


def test_an_end_a_reach_and_a_first_candle_that_runs_have_noted_are_told(here):
    fill("candles.db", candles(BTC, range(40, 60)))
    put(
        "candles.db",
        ((BTC, "first"), {"ms": START_MS + 10 * MINUTE_MS}),
        ((BTC, "reach"), {"ms": START_MS + 20 * MINUTE_MS}),
        ((BTC, "ended"), {"last_ms": START_MS + 70 * MINUTE_MS, "status": "SETTLING"}),
    )

    told = {minute: verdict(here, minute) for minute in (9, 10, 20, 40, 70, 71)}

    assert told == {
        9: "before_listing",
        10: "out_of_reach",
        20: "not_fetched",
        40: "held",
        70: "not_fetched",
        71: "after_end",
    }


def test_an_outage_is_followed_as_far_as_it_goes_and_not_fetched_series_are_no_part_of_it(here):
    days = 3 * 1440
    out = Absence(TimeRange(START_MS, START_MS + days * MINUTE_MS), "quiet", 1, "lacks it")
    names = [f"binance:S{number}USDT:1m" for number in range(4)]
    for name in names[:3]:
        fill("candles.db", candles(name, [days]), absences=[out])
    fill("candles.db", candles(names[3], [days]))
    put("candles.db", clock=START_MS + 2 * days * MINUTE_MS)

    found = here("explain", names[0], iso(START_MS + 1440 * MINUTE_MS), "--store", "candles.db", "--json").json

    bounds = {"first": iso(START_MS), "last": iso(START_MS + (days - 1) * MINUTE_MS)}
    assert (found["verdict"], found["outage"]) == ("quiet", {**bounds, "lacking": 3, "of": 3})


def test_a_longer_candle_is_named_by_its_series_or_by_the_flag(here):
    fill("candles.db", candles("binance:BTCUSDT:1h", range(3)))

    for words in (["binance:BTCUSDT:1h"], ["BTCUSDT", "--interval", "1h"]):
        ended = here("explain", *words, iso(START_MS + HOUR_MS), "--store", "candles.db", "--json")
        assert (ended.json["series"], ended.json["verdict"]) == ("binance:BTCUSDT:1h", "held")


@pytest.mark.parametrize(
    ("words", "told", "hint"),
    [
        ([BTC, "2026-02-28T00:00:30"], "no candle of 1m opens at 2026-02-28T00:00:30Z", "opens at 2026-02-28T00:00Z"),
        (["BTCUSDT", "2026-02-28T00:01", "--interval", "1h"], "no candle of 1h opens at", "opens at 2026-02-28T00:00Z"),
        ([BTC, "2026-02-28", "--interval", "1h"], "names another interval than 1h", "one of them"),
        ([BTC, "yesterday"], "is not a time", "write 2025-01-31"),
        ([BTC, "1969-12-31"], "outside of the years 1970 to 9999", "write"),
        (["BTCUSD", "2026-02-28"], "no candles of binance:BTCUSD:1m", "binance:BTCUSDT:1m"),
        (["nowhere:BTCUSDT", "2026-02-28"], "nowhere", "there is binance"),
    ],
)
def test_what_cannot_be_explained_is_one_line_and_status_2(words, told, hint, here):
    fill("candles.db", candles(BTC, range(3)))

    ended = here("explain", "--store", "candles.db", *words)

    assert (ended.exit, ended.out) == (2, "")
    (error,) = ended.lines("error")
    assert told in error
    assert hint in ended.lines("hint")[0]


def test_no_store_an_empty_one_and_a_dead_server_are_told_with_status_2_and_all_keys(here):
    put("empty.db")
    fill("candles.db", candles(BTC, range(3)))
    keys = list(here("explain", BTC, "2026-02-28", "--store", "candles.db", "--json").json)
    for store, told in [
        ("none.db", "there is no store"),
        ("empty.db", "no candles of"),
        ("influxdb://localhost:9/market_data", "localhost:9"),
    ]:
        ended = here("explain", BTC, "2026-02-28", "--store", store, "--json")
        assert ended.exit == ended.json["exit"] == 2, store
        assert list(ended.json) == keys
        assert told in ended.err
        assert len(ended.lines("error")) == 1


def test_a_file_that_may_only_be_read_is_explained(here):
    fill("candles.db", candles(BTC, range(3)))
    os.chmod("candles.db", 0o444)

    assert here("explain", BTC, iso(START_MS), "--store", "candles.db").exit == 0
