"""What --quiet says: nothing while all is well, and each trouble once."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from laklak.model.series import iso
from laklak.stores.lock import StoreLock

DAY = ("--days", "1")


@pytest.mark.parametrize("extra", [("-q",), ("--quiet",)])
def test_quiet_says_nothing_when_all_is_well(extra, venue, here):
    venue()
    ended = here("backfill", "LTCUSDT", *DAY, *extra)
    assert (ended.exit, ended.out, ended.err) == (0, "", "")


def test_quiet_still_warns(venue, here):
    venue()
    Path("assets.txt").write_text("LTCUSDT binance\nNOPEUSDT binance\n")
    ended = here("backfill", "-q", *DAY)
    assert (ended.exit, ended.out) == (1, "")
    assert ended.err.splitlines() == ["warning: binance does not know: binance:NOPEUSDT:1m"]


def test_quiet_tells_a_thing_once_per_change(venue, here):
    venue()
    Path("assets.txt").write_text("LTCUSDT binance\nBTC=F okx\n")
    words = ("backfill", "-q", *DAY)
    assert here(*words).lines("warning") == ["1 symbol of okx skipped: this venue is not built yet"]
    assert here(*words).err == ""
    Path("assets.txt").write_text("LTCUSDT binance\nBTC=F okx\nETH=F okx\n")
    assert here(*words).lines("warning") == ["2 symbols of okx skipped: this venue is not built yet"]
    assert here(*words).err == ""
    # Not quiet, everything is told, as before.
    assert here("backfill", *DAY).lines("warning") == ["2 symbols of okx skipped: this venue is not built yet"]
    # Another job has not been told.
    assert here(*words, "--store", "b.db").lines("warning") != []
    assert Path("backfill.log").read_text().count("2 symbols of okx") == 4


def test_quiet_tells_what_has_gone_and_come_again(venue, here):
    venue()
    for listed, told in [("BTC=F okx", 1), ("", 0), ("BTC=F okx", 1), ("BTC=F okx", 0)]:
        Path("assets.txt").write_text(f"LTCUSDT binance\n{listed}\n")
        assert len(here("backfill", "-q", *DAY).lines("warning")) == told


def test_quiet_never_fails_without_a_word(venue, here):
    venue()
    Path("assets.txt").write_text("LTCUSDT binance\nNOPEUSDT binance\n")
    for _ in range(3):
        ended = here("backfill", "-q", *DAY)
        assert (ended.exit, ended.lines("warning")) == (1, ["binance does not know: binance:NOPEUSDT:1m"])


@pytest.mark.parametrize("state", ["nonsense", "[1, 2", '{"a": 1}'])
def test_a_memory_of_what_was_told_that_cannot_be_read_costs_nothing_but_a_line(state, venue, here, tmp_path):
    venue()
    Path("assets.txt").write_text("LTCUSDT binance\nBTC=F okx\n")
    here("backfill", "-q", *DAY)
    (book,) = (tmp_path / "home/state").rglob("told-*.json")
    book.write_text(state)
    ended = here("backfill", "-q", *DAY)
    assert (ended.exit, len(ended.lines("warning"))) == (0, 1)


@pytest.mark.parametrize(("hours", "told"), [(5.9, False), (6.1, True)])
def test_quiet_does_not_speak_of_a_run_that_has_begun_within_six_hours(hours, told, venue, here):
    venue()
    assert here("backfill", "LTCUSDT", *DAY).exit == 0
    with StoreLock.for_file("laklak.db") as lock:
        since = iso(int(time.time() - hours * 3600) * 1000)
        Path(lock.path).write_text(json.dumps({"pid": 4711, "since": since}))
        quiet, loud = here("backfill", "LTCUSDT", *DAY, "-q"), here("backfill", "LTCUSDT", *DAY)
    assert (quiet.exit, quiet.out, bool(quiet.err)) == (75, "", told)
    assert "another backfill is filling" in loud.err
    assert Path("backfill.log").read_text().count("another backfill is filling") == 2
