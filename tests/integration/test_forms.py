"""Rows in a form that is not known: added cells do no harm, what is not understood is missing and never rejected."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest
from lying_venue import HEADER, MINUTE_MS, LyingVenue, ms, values

import laklak as library

START = "2026-03-01T08:00"
NOON_MS = ms("2026-03-01T12:00") or 0
TEN_MS = ms("2026-03-01T10:00") or 0


@pytest.fixture(autouse=True)
def quick(hasty: None, timing: Callable[..., None]) -> None:
    """What is tried again is tried at once."""
    timing(backoff_most_s=0.01)


@pytest.fixture
def lying(monkeypatch: pytest.MonkeyPatch) -> Iterator[LyingVenue]:
    with LyingVenue(clock=NOON_MS + 30_000) as one:
        for name in ("AAAUSDT", "BBBUSDT"):
            one.list(name, first="2026-02-01")
        monkeypatch.setenv("LAKLAK_BINANCE_URL", one.url)
        monkeypatch.setenv("LAKLAK_BINANCE_BUDGET", "max")
        yield one


def backfill(*symbols, **options):
    span = {"start": START, "end": "2026-03-01T12:00"}
    return asyncio.run(library.backfill(list(symbols or ["AAAUSDT"]), **{**span, **options}))


def truth(start=START, end_ms=NOON_MS, symbol="AAAUSDT"):
    return {(symbol, time): values(time) for time in range(ms(start), end_ms, MINUTE_MS)}


def told(change, when=lambda symbol, row: True):
    """Rows that are changed where `when` says so."""
    return lambda symbol, query, rows: [change([*row]) if when(symbol, row) else row for row in rows]


def more(row):
    return [*row, "7"]


def lacking(row):
    return [row[0], *row[2:]]


def inserted(row):
    return [*row[:3], "17.5", *row[3:]]


def swapped_for_another(row):
    return [row[0], *row[2:], "0"]


def numbered(row):
    return [17, *row]


def exponents(row):
    return [row[0], *(f"{float(text):e}" for text in row[1:6]), *row[6:]]


def nulls(row):
    return [row[0], None, *row[2:]]


def texts(row):
    return list(map(str, row))


def named(row):
    return {"openTime": row[0], "close": row[4]}


OTHER_FORMS = [lacking, inserted, swapped_for_another, numbered, exponents, nulls, texts, named]


# Cells that are added


@pytest.mark.parametrize("interval", ["1m", "1h"])
def test_cells_behind_the_known_ones_are_left_alone(interval, lying, check_sum, stored):
    plain = backfill(interval=interval, store="plain.db")
    lying.tell_rows = told(more)

    summary = backfill(interval=interval)

    check_sum(summary.as_json())
    assert (summary.exit, summary.written, summary.rejected) == (0, plain.written, 0)
    assert stored(interval=interval) == stored("plain.db", interval=interval)


def test_only_newer_rows_may_have_them(lying, stored):
    lying.tell_rows = told(more, lambda symbol, row: row[0] >= TEN_MS)

    assert backfill().exit == 0
    assert stored() == truth()


# What is not understood


@pytest.mark.parametrize("form", OTHER_FORMS)
def test_rows_of_another_form_are_missing_and_nothing_is_remembered(form, lying, check_sum, sql, stored):
    lying.tell_rows = told(form)
    summary = backfill()

    check_sum(summary.as_json())
    assert (summary.exit, summary.missing, summary.rejected, summary.holes) == (1, 240, 0, 0)
    assert sql("SELECT count(*) FROM laklak_holes") == [(0,)]
    ((failed),) = summary.failed_series
    assert "no row has the form that is known" in failed.detail

    lying.tell_rows = told(lambda row: row)
    assert backfill().exit == 0
    assert stored() == truth()


def test_the_log_shows_a_row_of_an_answer_that_is_not_understood(lying, here, clean_room):
    lying.tell_rows = told(lacking)

    here("backfill", "AAAUSDT", "--start", START, "--end", "2026-03-01T12:00")

    row = f'[{ms(START)},"{values(ms(START))[1]:.2f}"'
    assert row in (clean_room / "backfill.log").read_text()


@pytest.mark.parametrize("form", [lacking, exponents])
@pytest.mark.parametrize("minutes", [1, 30])
def test_a_few_rows_of_another_form_take_neighbours_along_and_are_missing_where_those_are_no_better(
    form, minutes, lying, sql
):
    lying.tell_rows = told(form)
    start_ms = TEN_MS

    summary = backfill(start="2026-03-01T10:00", end=f"2026-03-01T10:{minutes:02}")

    assert (summary.exit, summary.missing, summary.rejected) == (1, minutes, 0)
    assert sql("SELECT count(*) FROM laklak_holes") == [(0,)]
    first, *again = lying.asked()
    assert first.query["limit"] == str(minutes)
    assert {hit.query["limit"] for hit in again} == {"99"}
    assert all(int(hit.query["startTime"]) < start_ms < int(hit.query["endTime"]) for hit in again)


@pytest.mark.parametrize("form", [lacking, exponents, nulls])
def test_a_single_row_of_another_form_among_good_ones_is_rejected(form, lying, check_sum, sql):
    lying.tell_rows = told(form, lambda symbol, row: row[0] == TEN_MS)

    summary = backfill()

    check_sum(summary.as_json())
    assert (summary.exit, summary.rejected, summary.written, summary.missing) == (1, 1, 239, 0)
    assert sql("SELECT open_time, kind FROM laklak_holes") == [(TEN_MS, "rejected")]
    assert (backfill().exit, backfill().rejected) == (0, 1)


def test_a_single_row_that_is_asked_alone_is_rejected_by_its_neighbours_for_the_same_weight(lying):
    lying.tell_rows = told(nulls, lambda symbol, row: row[0] == TEN_MS)

    summary = backfill(start="2026-03-01T10:00", end="2026-03-01T10:01")

    assert (summary.exit, summary.rejected, summary.missing) == (1, 1, 0)
    assert [hit.query["limit"] for hit in lying.asked()] == ["1", "99"]
    assert summary.weight == 4


@pytest.mark.parametrize("span", [{}, {"start": "2026-03-01T10:00", "end": "2026-03-01T10:01"}])
def test_a_row_without_a_time_is_rejected_for_the_minute_that_its_neighbours_leave(span, lying, check_sum, sql):
    lying.tell_rows = told(lambda row: ["soon", *row[1:]], lambda symbol, row: row[0] == TEN_MS)

    summary = backfill(**span)

    check_sum(summary.as_json())
    assert (summary.exit, summary.rejected, summary.missing) == (1, 1, 0)
    assert sql("SELECT open_time, kind FROM laklak_holes") == [(TEN_MS, "rejected")]
    before = len(lying.asked())
    assert (backfill(**span).exit, len(lying.asked())) == (0, before)


def test_many_rows_of_another_form_in_the_middle_are_rejected_by_those_around_them(lying):
    hour = lambda symbol, row: TEN_MS <= row[0] < TEN_MS + 60 * MINUTE_MS  # noqa: E731
    lying.tell_rows = told(nulls, hour)

    summary = backfill()

    assert (summary.rejected, summary.missing, summary.written) == (60, 0, 180)


def test_the_newest_row_of_another_form_may_be_the_first_of_a_new_one_and_is_missing(lying, sql):
    lying.tell_rows = told(lacking, lambda symbol, row: row[0] == NOON_MS - MINUTE_MS)
    assert (backfill().missing, backfill().rejected) == (1, 0)

    # When the venue has gone on as before, it was that row.
    lying.clock_ms = NOON_MS + 10 * MINUTE_MS + 30_000
    summary = backfill(end="2026-03-01T12:10")
    assert (summary.missing, summary.rejected, summary.written) == (0, 1, 10)


def test_a_form_that_changes_at_some_moment_rejects_nothing(lying, stored, sql):
    lying.tell_rows = told(lacking, lambda symbol, row: row[0] >= TEN_MS)

    summary = backfill(chunk=100)

    assert (summary.written, summary.rejected, summary.missing) == (120, 0, 120)
    assert stored() == truth(end_ms=TEN_MS)
    assert sql("SELECT count(*) FROM laklak_holes") == [(0,)]


def test_every_second_answer_in_another_form_costs_requests_and_no_candle(lying, stored):
    answers = iter(range(1000))
    lying.tell_rows = lambda symbol, query, rows: rows if next(answers) % 2 else list(map(lacking, rows))

    summary = backfill(chunk=100)

    assert (summary.exit, summary.written) == (0, 240)
    assert summary.retries >= 2
    assert stored() == truth()


def test_another_form_of_one_symbol_costs_that_symbol(lying, stored):
    lying.tell_rows = told(inserted, lambda symbol, row: symbol == "AAAUSDT")

    summary = backfill("AAAUSDT", "BBBUSDT")

    assert (summary.exit, summary.missing, summary.rejected) == (1, 240, 0)
    assert [failed.series for failed in summary.failed_series] == ["binance:AAAUSDT:1m"]
    assert stored() == truth(symbol="BBBUSDT")


def test_a_refetch_of_rows_of_another_form_keeps_what_is_stored(lying, stored):
    backfill()
    lying.tell_rows = told(lacking)

    summary = backfill(refetch=True)

    assert (summary.exit, summary.missing, summary.rejected) == (1, 240, 0)
    assert stored() == truth()


def test_hours_at_another_second_are_about_time_and_rejected_row_by_row(lying, check_sum):
    def late(row):
        return [row[0] + 28_000, *row[1:6], row[6] + 28_000, *row[7:]]

    lying.tell_rows = told(late, lambda symbol, row: TEN_MS <= row[0] < TEN_MS + 100 * MINUTE_MS)
    summary = backfill()

    check_sum(summary.as_json())
    assert (summary.exit, summary.rejected, summary.written, summary.missing) == (1, 100, 140, 0)


def test_rejects_of_another_form_that_an_older_version_remembered_are_asked_again_by_recheck(lying, stored, sql):
    backfill(end="2026-03-01T08:01")
    (series_id,) = sql("SELECT id FROM series")[0]
    for time_ms in range(ms(START) + MINUTE_MS, NOON_MS, MINUTE_MS):
        sql(
            "INSERT INTO absence (series_id, open_time, kind, confirmed_at, reason, row)"
            " VALUES (?, ?, 'rejected', 1, 'open is not a decimal number', '[]')",
            series_id,
            time_ms,
        )
    assert (backfill().rejected, backfill().candle_requests) == (239, 0)
    lying.tell_rows = told(more)

    assert backfill(recheck=True).written == 239
    assert stored() == truth()


# By file


@pytest.fixture
def filed(lying: LyingVenue, monkeypatch: pytest.MonkeyPatch) -> LyingVenue:
    """The same venue two days later, with its bulk files."""
    monkeypatch.setenv("LAKLAK_BINANCE_ARCHIVE_URL", lying.url)
    lying.clock_ms += 2 * 1440 * MINUTE_MS
    return lying


DAY = {"start": "2026-03-01", "end": "2026-03-02"}
DAY_END_MS = ms("2026-03-02") or 0


@pytest.mark.parametrize("header", [None, f"{HEADER},more"])
def test_a_file_with_a_column_more_is_read(header, filed, stored):
    filed.file_header = header
    filed.file_rows = lambda symbol, name, rows: list(map(more, rows))

    summary = backfill(source="archive", **DAY)

    assert (summary.exit, summary.files.read, summary.written) == (0, 1, 1440)
    assert stored() == truth("2026-03-01", DAY_END_MS)


@pytest.mark.parametrize(
    "header",
    [
        "open_time,high,open,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore",
        "start,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore",
    ],
)
def test_a_file_with_other_columns_is_named_and_the_api_gives_its_candles(header, filed, stored):
    filed.file_header = header

    summary = backfill(**DAY)

    assert (summary.exit, summary.files.failed, summary.written) == (0, {"csv": 1}, 1440)
    assert "neither a row nor the header that was expected" in summary.files.troubles[0]
    assert stored() == truth("2026-03-01", DAY_END_MS)


@pytest.mark.parametrize("form", [exponents, inserted])
def test_a_file_that_cannot_be_read_is_named_and_the_api_gives_its_candles(form, filed, stored):
    filed.file_header = None
    filed.file_rows = lambda symbol, name, rows: list(map(form, rows))

    summary = backfill(**DAY)

    assert (summary.exit, summary.files.failed, summary.rejected, summary.written) == (0, {"csv": 1}, 0, 1440)
    assert stored() == truth("2026-03-01", DAY_END_MS)


def test_a_row_of_another_form_in_both_is_rejected_also_where_only_the_file_has_cells_more(filed, stored, sql):
    bad = lambda symbol, row: row[0] == TEN_MS  # noqa: E731
    filed.tell_rows = told(exponents, bad)
    filed.file_header = f"{HEADER},more"
    filed.file_rows = lambda symbol, name, rows: [more(exponents(row) if row[0] == TEN_MS else row) for row in rows]

    summary = backfill(**DAY)

    assert (summary.files.read, summary.rejected, summary.missing, summary.written) == (1, 1, 0, 1439)
    assert sql("SELECT open_time, kind FROM laklak_holes") == [(TEN_MS, "rejected")]
