"""Where candles came from, as runs, copies and `laklak show` tell it."""

from __future__ import annotations

import asyncio

from bulk_files import PUBLISHED_MS, RECORDING

import laklak as library
from laklak.simulator import SymbolOverride

MINUTE_MS = 60_000
DAY_MS = 86_400_000
END_MS = 1_772_323_200_000
NOON_MS = END_MS - DAY_MS // 2
ROWS = "SELECT start_time, end_time, source, state FROM laklak_provenance ORDER BY start_time"


def backfill(*symbols, **options):
    return asyncio.run(library.backfill(list(symbols or ["LTCUSDT"]), **options))


def test_what_the_api_gave_is_one_row_of_two_runs(venue, sql):
    venue()
    backfill(days=2)
    sql("DELETE FROM candles WHERE open_time = ?", NOON_MS)
    backfill(days=2)

    assert sql(ROWS) == [(END_MS - 2 * DAY_MS, END_MS, "rest", "confirmed")]
    runs = [row[0] for row in sql("SELECT started_at FROM laklak_runs ORDER BY id")]
    assert sql("SELECT first_run, last_run FROM laklak_provenance") == [(runs[0], runs[1])]


def test_files_and_the_api_are_told_apart(archive, sql):
    archive(
        clock_ms=PUBLISHED_MS,
        overrides={"LTCUSDT": SymbolOverride(holes=frozenset())},
    )
    backfill(source="archive", start=RECORDING["start"], end="2026-02-27")
    backfill(source="rest", start=RECORDING["start"], end="2026-03-01")

    middle_ms = END_MS - 2 * DAY_MS
    assert [(row[1], row[2]) for row in sql(ROWS)] == [(middle_ms, "archive"), (END_MS, "rest")]
    assert [row[0] for row in sql(ROWS)][1:] == [middle_ms]


def test_a_hole_parts_what_came_from_one_source(venue, sql):
    venue(overrides={"LTCUSDT": SymbolOverride(holes=frozenset({NOON_MS}))})
    backfill(days=1)

    assert sql(ROWS) == [
        (END_MS - DAY_MS, NOON_MS, "rest", "confirmed"),
        (NOON_MS + MINUTE_MS, END_MS, "rest", "confirmed"),
    ]


def test_show_says_where_candles_came_from(venue, here):
    venue()
    backfill(days=1)

    table = here("show", "LTCUSDT", "--provenance").out.splitlines()
    answer = here("show", "LTCUSDT", "--provenance", "--json", "--start", "2026-02-28T12:00").json

    assert table[0] == "binance:LTCUSDT:1m"
    assert table[1].split() == ["from", "until", "source", "state", "first_run", "last_run"]
    assert table[2].split()[:4] == ["2026-02-28T00:00Z", "2026-03-01T00:00Z", "rest", "confirmed"]
    (row,) = answer["provenance"]
    assert (row["from"], row["until"], row["source"]) == ("2026-02-28T12:00Z", "2026-03-01T00:00Z", "rest")


def test_show_says_when_nobody_noted_it(venue, here, sql):
    venue()
    backfill(days=1)
    sql("DELETE FROM provenance")

    assert here("show", "LTCUSDT", "--provenance").out == (
        "binance:LTCUSDT:1m: nobody has noted where its candles came from\n"
    )


def test_show_takes_no_candles_with_provenance(here):
    ended = here("show", "LTCUSDT", "--provenance", "--last", "3")

    assert ended.exit == 2
    assert "--provenance" in ended.err


def test_a_copy_carries_provenance_and_stretches_without_candles(venue, sql):
    venue()
    backfill(days=2)
    before_ms = END_MS - 2 * DAY_MS
    span = "INSERT INTO absent_span SELECT id, ?, ?, ?, 5, 'as the venue says', 7, NULL, 'rest' FROM series"
    sql(span, before_ms - 900 * DAY_MS, before_ms, "before_first")
    sql("DELETE FROM candles WHERE open_time >= ? AND open_time < ?", NOON_MS, NOON_MS + 60 * MINUTE_MS)
    sql(span, NOON_MS, NOON_MS + 60 * MINUTE_MS, "quiet")
    sql("DELETE FROM provenance")
    sql("INSERT INTO provenance SELECT id, ?, ?, 'archive', 'confirmed', 3, 4 FROM series", before_ms, END_MS - DAY_MS)

    summary = asyncio.run(library.copy("laklak.db", "b.db"))

    assert (summary.exit, summary.wanted, summary.written, summary.missing) == (0, 2820, 2820, 0)
    absences = "SELECT * FROM laklak_absences ORDER BY start_time"
    assert sql(absences, path="b.db") == sql(absences)
    assert len(sql(absences)) == 2
    assert [row[1:3] for row in sql(ROWS, path="b.db")] == [
        (END_MS - DAY_MS, "archive"),
        (NOON_MS, "copy"),
        (END_MS, "copy"),
    ]
    assert sql("SELECT first_run, last_run FROM provenance", path="b.db")[0] == (3, 4)
    again = asyncio.run(library.copy("laklak.db", "b.db"))
    assert (again.exit, again.wanted, again.written, again.missing) == (0, 2820, 0, 0)
