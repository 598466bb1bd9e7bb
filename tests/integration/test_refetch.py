"""What is fetched again is held against what is stored: the same, changed, new."""

from __future__ import annotations

import asyncio
import re

import pytest
from bulk_files import PUBLISHED_MS, RECORDING

import laklak as library
from laklak.errors import StoreError
from laklak.model.series import Series, TimeRange
from laklak.simulator import SymbolOverride
from laklak.stores.sqlite.store import SqliteStore
from laklak.stores.unconfirmed import UnsureBook

MINUTE_MS = 60_000
DAY_MS = 1440 * MINUTE_MS
END_MS = 1_772_323_200_000
NOON_MS = END_MS - DAY_MS // 2


def backfill(*symbols, **options):
    return asyncio.run(library.backfill(list(symbols or ["LTCUSDT"]), **{"days": 1, **options}))


@pytest.fixture
def writes(monkeypatch):
    """How many candles every write had."""
    sizes = []
    write = SqliteStore.write

    async def count(store, deliveries):
        sizes.extend(len(one.candles) for one in deliveries if one.candles)
        return await write(store, deliveries)

    monkeypatch.setattr(SqliteStore, "write", count)
    return sizes


def test_candles_that_are_the_same_count_as_stored_before_and_are_not_written(venue, check_sum, writes):
    running = venue()
    backfill()
    writes.clear()
    before = len(running.candle_hits)

    again = backfill(refetch=True)

    answer = check_sum(again.as_json())
    assert (again.exit, again.stored_before, again.written) == (0, 1440, 0)
    assert answer["refetched"] == {"same": 1440, "changed": 0, "new": 0}
    assert writes == []
    assert len(running.candle_hits) - before == 2


@pytest.mark.parametrize("files", [False, True])
def test_what_changed_and_what_is_new_is_written_and_nothing_else(
    files, archive, check_sum, stored, truth, sql, writes, hasty
):
    archive(clock_ms=PUBLISHED_MS)
    source = "archive" if files else "rest"
    backfill(source=source, **RECORDING, days=None)
    first_ms = END_MS - 4 * DAY_MS
    sql("UPDATE candles SET close = 1.5 WHERE open_time % 420000 = 0")
    changed = sql("SELECT count(*) FROM candles WHERE close = 1.5")[0][0]
    sql("DELETE FROM candles WHERE open_time >= ? AND open_time < ?", NOON_MS, NOON_MS + 100 * MINUTE_MS)
    changed -= len([time for time in range(NOON_MS, NOON_MS + 100 * MINUTE_MS, MINUTE_MS) if time % 420000 == 0])
    writes.clear()

    again = backfill(source=source, refetch=True, **RECORDING, days=None)

    answer = check_sum(again.as_json())
    assert answer["refetched"] == {"same": 5760 - changed - 100, "changed": changed, "new": 100}
    assert (again.stored_before, again.written) == (5760 - changed - 100, changed + 100)
    assert sum(writes) == changed + 100
    assert stored() == truth(["LTCUSDT"], first_ms)


def test_a_value_that_differs_in_its_last_bit_has_changed(venue, sql, stored, truth):
    venue()
    backfill()
    sql("UPDATE candles SET high = high * (1 + 2.3e-16) WHERE open_time = ?", NOON_MS)

    again = backfill(refetch=True)

    assert (again.refetched.changed, again.written) == (1, 1)
    assert stored() == truth(["LTCUSDT"], END_MS - DAY_MS)


def test_what_is_no_number_in_the_table_has_changed(venue, sql, stored, truth):
    venue()
    backfill()
    sql("UPDATE candle SET volume = 'much' WHERE open_time = ?", NOON_MS)

    again = backfill(refetch=True)

    assert again.refetched.changed == 1
    assert stored() == truth(["LTCUSDT"], END_MS - DAY_MS)


def test_without_refetch_there_is_nothing_to_say(venue, check_sum):
    venue()

    assert check_sum(backfill().as_json())["refetched"] is None


def test_a_minute_that_the_venue_has_lost_is_none_of_the_three(venue, check_sum, hasty):
    running = venue()
    backfill()
    running.change("LTCUSDT", holes=frozenset({NOON_MS}))

    again = backfill(refetch=True)

    answer = check_sum(again.as_json())
    assert (again.exit, again.stored_before, again.written) == (0, 1440, 0)
    assert answer["refetched"] == {"same": 1439, "changed": 0, "new": 0}


def test_a_minute_that_the_first_answer_lacked_is_compared_too(venue, sql, hasty):
    backfill_holes = frozenset({NOON_MS})
    running = venue(overrides={"LTCUSDT": SymbolOverride(holes=backfill_holes)})
    backfill()
    running.change("LTCUSDT", holes=frozenset())

    again = backfill(refetch=True, recheck=True)

    assert (again.refetched.same, again.refetched.new) == (1439, 1)
    assert (again.stored_before, again.written) == (1439, 1)


def test_what_a_full_server_may_not_hold_is_written_all_the_same(venue, check_sum, clean_room, monkeypatch, writes):
    monkeypatch.setenv("LAKLAK_STATE_DIR", str(clean_room / "state"))
    venue()
    backfill()
    span = TimeRange(END_MS - DAY_MS, END_MS - DAY_MS + 100 * MINUTE_MS)
    identity = SqliteStore("laklak.db").identity
    UnsureBook(clean_room / "state", identity).add([(Series.parse("binance:LTCUSDT:1m"), span)])
    writes.clear()

    again = backfill(refetch=True)

    answer = check_sum(again.as_json())
    assert answer["refetched"] == {"same": 1340, "changed": 0, "new": 100}
    assert (again.stored_before, again.written, sum(writes)) == (1340, 100, 100)
    assert not UnsureBook(clean_room / "state", identity)


def test_the_log_names_the_first_changes_of_a_series_and_of_the_run(venue, here, sql, recorded, clean_room):
    venue()
    here("backfill", *recorded.symbols, "--days", "1")
    sql("UPDATE candle SET close = 0.125")

    ended = here("backfill", *recorded.symbols, "--days", "1", "--refetch")

    assert "  refetched: 0 the same, 10,080 changed, 0 new; the log names the first of those that changed" in ended.out
    lines = re.findall(
        r"changed series=(\S+) open_time=(\S+) stored=(\S+) fetched=(\S+)", (clean_room / "backfill.log").read_text()
    )
    assert len(lines) == 50
    assert {sum(line[0] == name for line in lines) for name in {line[0] for line in lines}} == {10}
    assert all(line[2].split(",")[3] == "0.125" for line in lines)


@pytest.mark.parametrize("source", ["rest", "archive"])
def test_a_store_that_cannot_be_read_ends_a_refetch_with_its_own_error(source, archive, check_sum, monkeypatch):
    archive(clock_ms=PUBLISHED_MS)
    backfill(source=source, **RECORDING, days=None)

    async def fail(store, series, span, last=None, whole=True):
        raise StoreError("the store does not answer")

    monkeypatch.setattr(SqliteStore, "read", fail)
    again = backfill(source=source, refetch=True, **RECORDING, days=None)

    check_sum(again.as_json())
    assert (again.exit, again.error) == (1, "store_failed: the store does not answer")


# What was overwritten


@pytest.mark.parametrize("files", [False, True])
def test_every_candle_that_a_refetch_changes_is_a_revision_with_both_rows(files, archive, sql, hasty):
    archive(clock_ms=PUBLISHED_MS)
    source = "archive" if files else "rest"
    backfill(source=source, **RECORDING, days=None)
    five = "json_array(open, high, low, close, volume)"
    right = dict(sql(f"SELECT open_time, {five} FROM candles WHERE open_time % 420000 = 0"))
    sql("UPDATE candles SET close = 1.5 WHERE open_time % 420000 = 0")
    wrong = dict(sql(f"SELECT open_time, {five} FROM candles WHERE open_time % 420000 = 0"))

    backfill(source=source, refetch=True, **RECORDING, days=None)

    told = sql("SELECT venue, symbol, interval, open_time, json(old), json(new), source, why FROM laklak_revisions")
    assert sorted(told) == [
        ("binance", "LTCUSDT", "1m", time_ms, wrong[time_ms], right[time_ms], source, "refetch")
        for time_ms in sorted(right)
    ]
    # And nothing more as long as nothing differs.
    backfill(source=source, refetch=True, **RECORDING, days=None)
    assert sql("SELECT count(*) FROM laklak_revisions") == [(len(right),)]


def test_a_row_that_was_no_candle_is_a_revision_when_it_is_repaired(venue, sql, truth, stored):
    venue()
    backfill()
    ((old,),) = sql("SELECT json_array(NULL, high, low, close, volume) FROM candle WHERE open_time = ?", NOON_MS)
    sql("UPDATE candle SET open = 'abc' WHERE open_time = ?", NOON_MS)

    summary = backfill()

    assert (summary.written, stored()) == (1, truth(["LTCUSDT"], END_MS - DAY_MS))
    told = sql("SELECT open_time, json(old), json_extract(new, '$[3]'), source, why FROM laklak_revisions")
    close = stored()["LTCUSDT", NOON_MS]
    assert [(told[0][0], told[0][1], *told[0][3:])] == [(NOON_MS, old, "rest", "repair")]
    assert told[0][2] in close
    assert len(told) == 1


def test_candles_that_come_for_the_first_time_are_no_revisions(venue, sql):
    venue()
    backfill()

    assert sql("SELECT count(*) FROM laklak_revisions") == [(0,)]
