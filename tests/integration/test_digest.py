"""`laklak digest`: the same rows give the same digests from every store, and one changed digit shows."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sqlite3
import struct
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import polars
import pytest
from copies import BTC, ETH, HOURS, MINUTE_MS, START_MS, candles, fill, new_name
from hypothesis import given
from hypothesis import strategies as st

from laklak.audit.coverage import Range
from laklak.audit.digest import digest_of
from laklak.model.digest import DayDigest, leaf, packed, root
from laklak.model.provenance import Stretch
from laklak.model.records import Note
from laklak.model.series import DAY_MS, Series, TimeRange, iso
from laklak.stores import open_store
from laklak.stores.access import StoreAccess
from laklak.stores.base import Delivery

DAY = 1440
MINUTES = [*range(600, 3000), *range(4000, 5000), *range(3 * DAY + 700, 70_000)]


def digests(access, **wanted):
    access = StoreAccess(where=access) if isinstance(access, str) else access

    async def work():
        async with open_store(access, create=False) as store:
            return await digest_of(store, [], Range(**wanted), typed=False)

    return asyncio.run(work())


def by_hand(rows):
    """The digest of each day of rows, as README has it."""
    days = {}
    for time_ms, *values in rows:
        packed_row = struct.pack("<q5d", time_ms, *(value + 0.0 for value in values))
        days.setdefault(iso(time_ms)[:10], hashlib.sha256()).update(packed_row)
    return {day: found.hexdigest() for day, found in days.items()}


def rows_of(batch):
    return zip(batch.open_times, *batch.values, strict=True)


@pytest.fixture
def filled(here):
    fill("candles.db", candles(BTC, MINUTES), candles(ETH, range(10)), candles(HOURS, range(100)))
    return "candles.db"


def test_each_day_is_the_digest_of_its_rows_whatever_is_missing(filled, here):
    answer = here("digest", BTC, "--json", "--store", filled).json

    found = {day["day"]: day["sha256"] for day in answer["series"][0]["days"]}
    assert found == by_hand(rows_of(candles(BTC, MINUTES)))
    assert sum(day["rows"] for day in answer["series"][0]["days"]) == answer["series"][0]["rows"] == len(MINUTES)


def test_all_stores_give_the_same(filled, request):
    server = request.getfixturevalue("influxd2")
    server.make_bucket("digests")
    places = [
        StoreAccess(where=request.getfixturevalue("influxd").url(new_name())),
        StoreAccess(where=server.url("digests"), token=server.token),
    ]
    for place in places:
        asyncio.run(_copied(filled, place))

    first, *others = [digests(place) for place in [StoreAccess(where=filled), *places]]
    assert len(first.series) == 3
    for other in others:
        assert (other.series, other.root) == (first.series, first.root)


async def _copied(source, place):
    async with open_store(place) as store:
        for batch in (candles(BTC, MINUTES), candles(ETH, range(10)), candles(HOURS, range(100))):
            await store.write([Delivery(batch.series, batch)])


@pytest.mark.parametrize("form", ["csv", "parquet", "feather"])
def test_an_exported_file_has_the_same_digests_recomputed_of_its_rows(filled, here, form):
    assert here("export", BTC, "--store", filled, "--format", form, "--out", f"btc.{form}").exit == 0

    read = {"csv": polars.read_csv, "parquet": polars.read_parquet, "feather": polars.read_ipc}[form]
    # A time is an integer of milliseconds in CSV, and a moment of these elsewhere.
    times = polars.col("open_time").cast(polars.Int64)
    rows = read(f"btc.{form}").select(times, "open", "high", "low", "close", "volume").rows()
    days = here("digest", BTC, "--store", filled, "--json").json["series"][0]["days"]

    assert by_hand(rows) == {day["day"]: day["sha256"] for day in days}


def test_one_changed_digit_changes_its_day_and_the_roots_alone(filled):
    before = digests(filled)
    with closing(sqlite3.connect(filled)) as connection, connection:
        time_ms = START_MS + 4500 * MINUTE_MS
        connection.execute(
            "UPDATE candles SET volume = volume + 0.001 WHERE symbol = 'BTCUSDT' AND interval = '1m' AND open_time = ?",
            (time_ms,),
        )
    after = digests(filled)

    changed = [
        (str(one.series), day.day_ms)
        for one, other in zip(before.series, after.series, strict=True)
        for day, now in zip(one.days, other.days, strict=True)
        if day != now
    ]
    assert changed == [(BTC, time_ms // DAY_MS * DAY_MS)]
    assert before.root != after.root


def test_a_range_takes_whole_days(filled, here):
    whole = digests(filled).series[1]
    assert str(whole.series) == BTC

    cut_off = ("--start", iso(START_MS + DAY_MS + MINUTE_MS), "--end", iso(START_MS + 2 * DAY_MS + 1000))
    cut = here("digest", BTC, "--store", filled, "--json", *cut_off).json["series"][0]

    told = [(day.day, day.sha256.hex()) for day in whole.days[1:3]]
    assert [(day["day"], day["sha256"]) for day in cut["days"]] == told


def test_days_that_have_not_ended_and_those_that_are_not_confirmed_are_marked(here):
    batch = candles(BTC, range(2 * DAY + 100))

    async def work():
        async with open_store("candles.db") as store:
            whole = TimeRange(START_MS, START_MS + (2 * DAY + 100) * MINUTE_MS)
            streamed = TimeRange(START_MS + DAY_MS, START_MS + DAY_MS + MINUTE_MS)
            given = [
                Stretch(whole, "rest", "confirmed", 1, 1).over(TimeRange(whole.start_ms, streamed.start_ms)),
                Stretch(streamed, "live", "provisional", 1, 1),
                Stretch(whole, "rest", "confirmed", 1, 1).over(TimeRange(streamed.end_ms, whole.end_ms)),
            ]
            await store.write([Delivery(batch.series, batch, provenance=given)])
            clock = json.dumps({"ms": START_MS + (2 * DAY + 100) * MINUTE_MS})
            await store.put_notes([Note("binance", "clock", clock, 1_772_500_000_000)])

    asyncio.run(work())
    days = here("digest", "--store", "candles.db", "--json").json["series"][0]["days"]

    assert [(day["unfinished"], day["provisional"]) for day in days] == [(False, False), (False, True), (True, False)]


def test_out_writes_the_same_as_json(filled, here):
    answer = here("digest", "--store", filled, "--json", "--out", "digests.json")

    with open("digests.json") as file:
        assert json.load(file) == answer.json
    shown = here("digest", "--store", filled, "--all").out
    assert answer.json["root"] in shown
    assert answer.json["series"][0]["days"][0]["sha256"] in shown


# The numbers


def test_a_negative_zero_is_a_zero():
    assert packed([1], [[-0.0], [-1.5], [0.0], [1.0], [5e-324]]) == struct.pack("<q5d", 1, 0.0, -1.5, 0.0, 1.0, 5e-324)


@given(st.lists(st.tuples(st.integers(-(2**62), 2**62), *[st.floats(allow_nan=False)] * 5), max_size=30))
def test_rows_are_packed_as_struct_packs_them(rows):
    columns = list(zip(*rows, strict=True)) or [()] * 6
    assert packed(columns[0], columns[1:]) == b"".join(
        struct.pack("<q5d", time_ms, *(value + 0.0 for value in values)) for time_ms, *values in rows
    )


@pytest.mark.parametrize("count", range(9))
def test_a_tree_is_what_the_readme_says(count):
    def by_definition(nodes):
        if len(nodes) < 2:
            return nodes[0] if nodes else None
        # The left part is the largest whole tree: the last of an odd number goes up as it is.
        half = 1 << (len(nodes) - 1).bit_length() - 1
        return hashlib.sha256(b"\x01" + by_definition(nodes[:half]) + by_definition(nodes[half:])).digest()

    nodes = [bytes([number]) * 32 for number in range(count)]
    assert root(nodes) == by_definition(nodes)


def test_a_leaf_tells_series_and_days_apart():
    day = DayDigest(START_MS, 1, b"x" * 32)
    others = {leaf(Series.parse(name), one) for name in (BTC, ETH, HOURS) for one in (day, replace(day, day_ms=0))}
    assert len(others) == 6


# What cannot be done


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["XRPUSDT"], "no candles of binance:XRPUSDT:1m"),
        (["--start", "2026-03-02", "--end", "2026-03-01"], "is not before end"),
        ([BTC, "--stored"], "exclude each other"),
        (["--interval", "5m"], "holds no series of 5m"),
        (["--out", "no/folder/here.json"], "here.json cannot be written"),
    ],
)
def test_what_cannot_be_digested_is_one_line_and_status_2(words, told, filled, here):
    ended = here("digest", "--store", filled, *words)

    assert (ended.exit, ended.out) == (2, "")
    assert told in ended.err
    assert ended.err.count("error:") == 1


def test_no_store_an_empty_one_and_a_dead_server_are_told_with_status_2(here):
    async def make():
        async with open_store("empty.db"):
            pass

    asyncio.run(make())
    for store, told in [
        ("none.db", "there is no store"),
        ("empty.db", "holds no series"),
        ("influxdb://localhost:9/market_data", "localhost:9"),
    ]:
        ended = here("digest", "--store", store, "--json")
        assert ended.exit == ended.json["exit"] == 2, store
        assert told in ended.err


def test_a_file_that_may_only_be_read_is_digested(filled, here):
    before = here("digest", "--store", filled).out
    os.chmod(filled, 0o444)

    assert here("digest", "--store", filled).out == before


def test_a_file_of_digests_takes_the_place_of_one_and_of_nothing_else(filled, here):
    for _ in range(2):
        assert here("digest", "--store", filled, "--out", "digests.json").exit == 0
    before = Path(filled).read_bytes()

    ended = here("digest", "--store", filled, "--out", filled)

    assert (ended.exit, ended.out, Path(filled).read_bytes() == before) == (2, "", True)
    assert "is there and is no file of digests: it stays as it is" in ended.err
