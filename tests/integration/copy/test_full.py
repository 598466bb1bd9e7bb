"""A copy and a destination that is full: what it shows and may not have is copied again until it is kept."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
from pathlib import Path

import pytest
from copies import BTC, ETH, MINUTE_MS, START_MS, absence, candles, content, copy, fill, minutes_of

from laklak.api import Silent
from laklak.engine import Transfer
from laklak.model.series import Series, TimeRange
from laklak.sources.store import CopyJob
from laklak.stores.access import StoreAccess
from laklak.stores.sqlite.store import SqliteStore
from laklak.stores.unconfirmed import UnsureBook

BTC_SERIES = Series.parse(BTC)


@pytest.fixture
def state(clean_room, monkeypatch):
    """The folder in which what is unsure is remembered."""
    monkeypatch.setenv("LAKLAK_STATE_DIR", str(clean_room / "state"))
    return clean_room / "state"


def span(first, end):
    return TimeRange(START_MS + first * MINUTE_MS, START_MS + end * MINUTE_MS)


def book_of(state, path="b.db"):
    return UnsureBook(state, SqliteStore(path).identity)


def opens(where):
    """minute -> opening price; it is minute + the price that the store was filled with."""
    return {(row[0] - START_MS) // MINUTE_MS: row[1] for row in content(where)[0][BTC]}


def fill_up(folder):
    """Take all room there is; gives the file that takes it."""
    filler = folder / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(bytes(1 << 12)):
            pass
    assert shutil.disk_usage(folder).free == 0
    return filler


def test_what_a_full_server_shows_is_copied_again_and_there_after_its_restart(
    here, own_influxd, small_disk, state, copy_sum
):
    disk = small_disk("24m")
    server = own_influxd(INFLUXDB_DATA_DIR=str(disk / "data"), INFLUXDB_DATA_WAL_DIR=str(disk / "wal"))
    url = server.url("x")
    fill("a.db", candles(ETH, range(5)))
    assert here("copy", "a.db", url).exit == 0
    fill("a.db", candles(BTC, range(2000)))
    filler = fill_up(disk)

    # The second time it is shown already.
    for _ in range(2):
        full = copy_sum(here("copy", "a.db", url, "--json").json)
        assert (full["exit"], str(full["error"]).split(":")[0]) == (1, "store_full")
        assert (full["stored_before"], full["written"], full["missing"]) == (5, 0, 2000)
        assert minutes_of(url) == list(range(2000)), "this server shows only what it has kept"

    filler.unlink()
    server.stop()
    server.start()
    assert minutes_of(url) == []
    again = copy_sum(here("copy", "a.db", url, "--json").json)
    assert (again["exit"], again["stored_before"], again["written"]) == (0, 5, 2000)
    assert content(url) == content("a.db")
    assert list(state.glob("unsure-*")) == []


def test_what_was_sent_to_a_full_store_is_remembered_exactly_and_settled_later(here, small_disk, state):
    fill("a.db", candles(BTC, [*range(10), *range(11, 40_000)]))
    disk = small_disk("2m")
    words = ("copy", "a.db", disk / "b.db", "--force", "--json")
    full = here(*words)
    assert (full.exit, full.json["error"].split(":")[0]) == (1, "store_full")
    assert book_of(state, disk / "b.db").of(BTC_SERIES) == [span(0, 10), span(11, 40_000)]

    subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True, timeout=20)
    again = here(*words)
    assert (again.exit, again.json["missing"]) == (0, 0)
    assert not book_of(state, disk / "b.db")


def test_what_a_backfill_left_unsure_is_copied_whatever_the_destination_shows(state):
    fill("a.db", candles(BTC, range(100)))
    fill("b.db", candles(BTC, range(100), price=-5.0))
    book_of(state).add((BTC_SERIES, part) for part in (span(10, 20), span(30, 31), span(500, 600)))
    summary = copy("a.db", "b.db")
    assert (summary.exit, summary.wanted, summary.stored_before, summary.written) == (0, 100, 89, 11)
    sure = {*range(100)} - {*range(10, 20), 30}
    assert opens("b.db") == {minute: minute + (-5.0 if minute in sure else 100.0) for minute in range(100)}
    # What the source does not have was not written: that is left for a backfill.
    assert book_of(state).of(BTC_SERIES) == [span(500, 600)]
    assert copy("a.db", "b.db").written == 0


def test_what_the_source_has_no_candle_for_stays_unsure(state):
    fill("a.db", candles(BTC, [0, 1, 5, 6]), absences=[absence(2), absence(3)])
    fill("b.db", candles(BTC, range(7), price=-5.0))
    book_of(state).add([(BTC_SERIES, span(0, 7))])
    summary = copy("a.db", "b.db")
    assert (summary.exit, summary.written, summary.missing) == (0, 4, 0)
    assert book_of(state).of(BTC_SERIES) == [span(2, 5)]


def test_a_copy_that_did_not_finish_a_series_settles_nothing_of_it(state):
    fill("a.db", candles(BTC, range(10)))
    fill("b.db", candles(BTC, range(10)))
    book_of(state).add([(BTC_SERIES, span(0, 10))])

    class Stopping(Silent):
        def note(self, line):
            if line.startswith("plan:"):
                work.stop(130, 1.0)

    job = CopyJob(source=StoreAccess(where="a.db"), destination=StoreAccess(where="b.db"), state_dir=state)
    work = Transfer(job, Stopping())
    assert asyncio.run(work.run()).exit == 130
    assert book_of(state).of(BTC_SERIES) == [span(0, 10)]


def test_what_is_unsure_at_the_source_is_no_matter(state):
    fill("a.db", candles(BTC, range(10)))
    book_of(state, "a.db").add([(BTC_SERIES, span(0, 10))])
    assert copy("a.db", "b.db").written == 10
    assert copy("a.db", "b.db").written == 0
    assert book_of(state, "a.db").of(BTC_SERIES) == [span(0, 10)]


def test_a_memory_that_cannot_be_kept_is_a_warning(here, small_disk, monkeypatch):
    Path("state").write_text("a file where the folder should be")
    monkeypatch.setenv("LAKLAK_STATE_DIR", str(Path("state").absolute()))
    fill("a.db", candles(BTC, range(60_000)))
    ended = here("copy", "a.db", small_disk("2m") / "b.db", "--force")
    assert ended.exit == 1
    (warning,) = ended.lines("warning")
    assert "cannot be written" in warning
    assert "restart it before the next run" in warning


# The book is read while the store is locked


@pytest.fixture
def another_ends(monkeypatch, state):
    """From now on: in the moment before a run takes the lock, another one lets go of it and leaves candles unsure."""
    exclusive = SqliteStore.exclusive

    def locked(store):
        series = (BTC_SERIES, Series.parse("binance:LTCUSDT:1m"))
        UnsureBook(state, store.identity).add((one, span(0, 100)) for one in series)
        return exclusive(store)

    return lambda: monkeypatch.setattr(SqliteStore, "exclusive", locked)


def test_a_copy_sees_what_the_run_before_it_left_unsure(another_ends):
    fill("a.db", candles(BTC, range(200)))
    fill("b.db", candles(BTC, range(200), price=-5.0))
    another_ends()
    assert copy("a.db", "b.db").written == 100


def test_a_backfill_sees_what_the_run_before_it_left_unsure(venue, here, another_ends):
    venue()
    words = ("backfill", "LTCUSDT", "--days", "1", "--json")
    assert here(*words).json["written"] == 1440
    another_ends()
    assert here(*words).json["written"] == 100
