"""Bulk files with holes, bulk files that are not there and bulk files that are wrong: no row is."""

from __future__ import annotations

from pathlib import Path

import pytest
from bulk_files import MINUTE_MS, NOON_MS, OCTOBER, PUBLISHED_MS, RECORDING, backfill, files_asked, rows_in, zips_sent

from laklak.simulator import ARCHIVE_KINDS, Fault, Override, SymbolOverride

# What each kind of fault of one daily file comes to: files read, files not there, files that failed by reason.
OUTCOMES = {
    "archive-missing": (3, 1, {}),
    "archive-checksum": (3, 0, {"checksum": 1}),
    "archive-flaky-checksum": (4, 0, {}),
    "archive-zero-volume": (4, 0, {}),
    "archive-badrow": (4, 0, {}),
    "archive-reversed": (3, 0, {"csv": 1}),
    "archive-doubled": (3, 0, {"csv": 1}),
    "archive-noheader": (4, 0, {}),
    "archive-header-only": (3, 0, {"csv": 1}),
    "archive-microseconds": (4, 0, {}),
    "archive-columns:11": (3, 0, {"csv": 1}),
    "archive-columns:6": (3, 0, {"csv": 1}),
    "archive-cut-csv": (3, 0, {"csv": 1}),
    "archive-cut": (3, 0, {"zip": 1}),
    "archive-bomb:honest": (3, 0, {"archive_refused": 1}),
    "archive-bomb:lying": (3, 0, {"archive_refused": 1}),
    "archive-path:parent": (3, 0, {"zip": 1}),
    "archive-path:absolute": (3, 0, {"zip": 1}),
    "archive-two-members": (3, 0, {"zip": 1}),
    "archive-empty": (3, 0, {"zip": 1}),
    "archive-5xx": (4, 0, {}),
    "archive-reset": (4, 0, {}),
    "archive-slow": (4, 0, {}),
    # Only monthly files lack days.
    "archive-missing-day": (4, 0, {}),
}


def tree(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


# Files with holes


def test_what_only_a_file_lacks_is_asked_of_the_api_at_the_smallest_page(archive, stored, truth):
    lacking = frozenset(NOON_MS + minute * MINUTE_MS for minute in (0, 1, 2, 1500))
    running = archive(clock_ms=PUBLISHED_MS, overrides={"LTCUSDT": SymbolOverride(archive_holes=lacking)})
    summary = backfill("LTCUSDT", **RECORDING)
    assert (summary.exit, summary.missing, summary.holes) == (0, 0, 0)
    assert [(hit.weight, int(hit.query["startTime"]), hit.query["limit"]) for hit in running.candle_hits] == [
        (1, NOON_MS, "3"),
        (1, NOON_MS + 1500 * MINUTE_MS, "1"),
    ]
    assert stored() == truth(["LTCUSDT"])


def test_what_file_and_api_lack_is_a_hole_and_not_asked_again(archive, stored, truth, sql):
    holes = frozenset({NOON_MS, NOON_MS + MINUTE_MS})
    running = archive(clock_ms=PUBLISHED_MS, overrides={"LTCUSDT": SymbolOverride(holes=holes)})
    summary = backfill("LTCUSDT", **RECORDING)
    assert (summary.exit, summary.missing, summary.holes, summary.candle_requests) == (0, 0, 2, 1)
    assert sql("SELECT open_time FROM laklak_holes ORDER BY open_time") == [(time_ms,) for time_ms in sorted(holes)]
    assert stored() == {key: values for key, values in truth(["LTCUSDT"]).items() if key[1] not in holes}
    files = files_asked(running)
    again = backfill("LTCUSDT", **RECORDING)
    assert (again.exit, again.holes, again.candle_requests, files_asked(running)) == (0, 2, 0, files)


def test_a_hole_that_is_filled_later_is_found_by_a_recheck(archive, stored, truth):
    running = archive(clock_ms=PUBLISHED_MS, overrides={"LTCUSDT": SymbolOverride(holes=frozenset({NOON_MS}))})
    assert backfill("LTCUSDT", **RECORDING).holes == 1
    running.change("LTCUSDT", holes=frozenset())
    files = files_asked(running)
    summary = backfill("LTCUSDT", **RECORDING, recheck=True)
    assert (summary.exit, summary.written, summary.holes, files_asked(running)) == (0, 1, 0, files)
    assert stored() == truth(["LTCUSDT"])


def test_a_row_that_is_bad_in_file_and_api_is_rejected_and_kept(archive, stored, truth, sql):
    archive(clock_ms=PUBLISHED_MS, overrides={"LTCUSDT": SymbolOverride(bad_rows={NOON_MS: "high_below_low"})})
    summary = backfill("LTCUSDT", **RECORDING)
    assert (summary.exit, summary.missing, summary.rejected, summary.candle_requests) == (1, 0, 1, 1)
    ((time_ms, kind),) = sql("SELECT open_time, kind FROM laklak_holes")
    assert (time_ms, kind) == (NOON_MS, "rejected")
    assert stored() == {key: values for key, values in truth(["LTCUSDT"]).items() if key[1] != NOON_MS}
    again = backfill("LTCUSDT", **RECORDING)
    assert (again.exit, again.rejected, again.candle_requests, again.files.planned) == (0, 1, 0, 0)


def test_a_row_that_is_bad_in_the_file_alone_is_stored_from_the_api(archive, stored, truth):
    running = archive(clock_ms=PUBLISHED_MS, faults=[Fault("archive-badrow", 1.0)])
    summary = backfill("LTCUSDT", **RECORDING)
    assert (summary.exit, summary.rejected, summary.rows_rejected, summary.files.read) == (0, 0, 4, 4)
    assert {(hit.weight, hit.query["limit"]) for hit in running.candle_hits} == {(1, "1")}
    assert stored() == truth(["LTCUSDT"])


def test_a_day_that_a_month_lacks_comes_from_the_api(archive, autumn, sql):
    fault = Fault("archive-missing-day", symbol="BTCUSDT", period="2026-10-09")
    running = archive(autumn, faults=[fault])
    summary = backfill("BTCUSDT", **OCTOBER)
    assert (summary.exit, summary.missing, summary.holes, summary.files.read) == (0, 0, 0, 1)
    assert summary.files.candles == 30 * 1440
    assert sum(int(hit.query["limit"]) for hit in running.candle_hits) == 1440
    backfill("BTCUSDT", **OCTOBER, source="rest", store="rest.db")
    assert rows_in(sql, "laklak.db") == rows_in(sql, "rest.db")


# Files that are not there, or wrong


def test_a_month_that_is_not_there_is_taken_from_its_days(archive, autumn, sql):
    running = archive(autumn, faults=[Fault("archive-missing", symbol="BTCUSDT", period="2026-10")])
    summary = backfill("BTCUSDT", **OCTOBER)
    files = summary.files
    assert (summary.exit, summary.candle_requests) == (0, 0)
    assert (files.planned, files.read, files.absent, files.done) == (32, 31, 1, 32)
    assert zips_sent(running, "daily") == 31
    backfill("BTCUSDT", **OCTOBER, source="rest", store="rest.db")
    assert rows_in(sql, "laklak.db") == rows_in(sql, "rest.db")


@pytest.mark.parametrize("words", sorted(OUTCOMES))
def test_a_fault_of_a_file_changes_no_row_and_is_named(words, archive, stored, truth, clean_room):
    kind, _, detail = words.partition(":")
    lone = {} if kind in ("archive-5xx", "archive-reset") else {"symbol": "LTCUSDT", "period": "2026-02-26"}
    fault = Fault(kind, 0.0 if lone else 0.5, detail=detail or ("0.1s" if kind == "archive-slow" else None), **lone)
    running = archive(clock_ms=PUBLISHED_MS, faults=[fault], seed=3)
    outside = tree(clean_room.parent)
    summary = backfill("LTCUSDT", **RECORDING)
    assert (summary.exit, summary.missing, summary.holes, summary.rejected) == (0, 0, 0, 0)
    assert stored() == truth(["LTCUSDT"])
    files = summary.as_json()["files"]
    assert (files["read"], files["absent"], files["failed"]) == OUTCOMES[words]
    assert len(files["troubles"]) == sum(files["failed"].values())
    assert all("LTCUSDT-1m-2026-02-26" in trouble for trouble in files["troubles"])
    assert kind == "archive-missing-day" or running.simulator.stats.faults[kind] > 0
    assert (files["retries"] > 0) == (kind in ("archive-5xx", "archive-reset"))
    created = tree(clean_room.parent) - outside
    assert {name for name in created if not name.startswith(("work/laklak.db", "home/"))} == set()
    assert not Path("/tmp/evil.csv").exists()  # noqa: S108


def test_every_kind_of_fault_of_the_archive_is_tried_here():
    assert {words.partition(":")[0] for words in OUTCOMES} == set(ARCHIVE_KINDS)


@pytest.mark.parametrize("seed", [13, pytest.param(25, marks=pytest.mark.long)])
def test_many_faults_together_change_no_row(seed, archive, stored, truth, recorded):
    faults = [
        Fault("archive-missing", 0.2),
        Fault("archive-checksum", 0.05),
        Fault("archive-cut", 0.05),
        Fault("archive-5xx", 0.02),
    ]
    running = archive(clock_ms=PUBLISHED_MS, faults=faults, seed=seed)
    summary = backfill(*recorded.symbols, **RECORDING)
    files = summary.files
    assert (summary.exit, summary.complete, summary.missing) == (0, True, 0)
    assert files.planned == files.done == files.read + files.absent + sum(files.failed.values())
    assert (files.absent > 0, set(files.failed)) == (True, {"checksum", "zip"})
    assert files.retries == running.simulator.stats.faults["archive-5xx"] > 0
    assert stored() == truth(recorded.symbols)


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])
def test_everything_that_can_be_wrong_with_files_at_once_changes_no_row(seed, archive, recorded, timing, stored, truth):
    timing(backoff_most_s=0.0)
    faults = [Fault(kind, 0.04, detail="0.05s" if kind == "archive-slow" else None) for kind in ARCHIVE_KINDS]
    lacking = frozenset(range(NOON_MS, NOON_MS + 400 * MINUTE_MS, 7 * MINUTE_MS))
    overrides = {symbol: SymbolOverride(archive_holes=lacking) for symbol in recorded.symbols}
    archive(clock_ms=PUBLISHED_MS, faults=faults, seed=seed, overrides=overrides)
    summary = backfill(*recorded.symbols, **RECORDING)
    assert (summary.exit, summary.missing, summary.holes, summary.rejected) == (0, 0, 0, 0)
    assert len(summary.files.failed) >= 2
    assert stored() == truth(recorded.symbols)


def test_files_that_are_answered_with_a_redirect_are_not_followed_anywhere(archive, stored, truth):
    elsewhere = Override(status=302, headers={"Location": "http://127.0.0.1:9/evil.zip"})
    archive(clock_ms=PUBLISHED_MS, archive_script=lambda path, query, number: elsewhere)
    summary = backfill("LTCUSDT", **RECORDING)
    assert (summary.exit, summary.missing, dict(summary.files.failed)) == (0, 0, {"archive_refused": 4})
    assert "302" in summary.files.troubles[0]
    assert stored() == truth(["LTCUSDT"])
