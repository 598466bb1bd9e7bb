"""What `laklak show` prints."""

from __future__ import annotations

import csv
import io

import pytest

from laklak.simulator import SymbolOverride

DAY = ("--days", "1")
DAY_MS = 86_400_000
END_MS = 1_772_323_200_000


def test_show_prints_the_newest_candles_with_all_their_digits(venue, here):
    venue()
    here("backfill", "ALGOUSDT", *DAY)
    ended = here("show", "binance:ALGOUSDT:1m", "--last", "3")
    head, columns, *rows = ended.out.splitlines()
    assert head == "binance:ALGOUSDT:1m"
    assert columns.split() == ["open_time", "open", "high", "low", "close", "volume"]
    assert [row.split()[0] for row in rows] == ["2026-02-28T23:57Z", "2026-02-28T23:58Z", "2026-02-28T23:59Z"]
    assert here("show", "ALGOUSDT", "--last", "3").out == ended.out


def test_show_of_a_series_that_is_not_stored_says_how_to_get_it(venue, here):
    venue()
    here("backfill", "ALGOUSDT", *DAY)
    ended = here("show", "DOTUSDT")
    assert ended.exit == 2
    assert "laklak backfill binance:DOTUSDT" in ended.lines("hint")[0]


def times_of(lines):
    return [line.split()[0] for line in lines]


@pytest.mark.parametrize(
    ("words", "times"),
    [
        (("--first", "2"), ["2026-02-28T00:00Z", "2026-02-28T00:01Z"]),
        (("--start", "2026-02-28T10:00", "--end", "2026-02-28T10:02"), ["2026-02-28T10:00Z", "2026-02-28T10:01Z"]),
        (("--start", "2026-02-28T10:00", "--first", "1"), ["2026-02-28T10:00Z"]),
        (("--end", "2026-02-28T10:00", "--last", "1"), ["2026-02-28T09:59Z"]),
        (("--start", "2026-02-28T23:59"), ["2026-02-28T23:59Z"]),
        (("--end", "2026-02-28T00:01Z"), ["2026-02-28T00:00Z"]),
    ],
)
def test_show_prints_the_part_that_is_asked_for(words, times, venue, here):
    venue()
    here("backfill", "ALGOUSDT", *DAY)
    assert times_of(here("show", "ALGOUSDT", *words).out.splitlines()[2:]) == times


def test_show_finds_the_first_candles_behind_holes(venue, here):
    holes = frozenset(range(END_MS - DAY_MS + 60_000, END_MS - DAY_MS + 600 * 60_000, 60_000))
    venue(overrides={"LTCUSDT": SymbolOverride(holes=holes)})
    here("backfill", "LTCUSDT", *DAY)
    times = times_of(here("show", "LTCUSDT", "--first", "3").out.splitlines()[2:])
    assert times == ["2026-02-28T00:00Z", "2026-02-28T10:00Z", "2026-02-28T10:01Z"]


def test_show_gives_csv_and_json_with_all_digits(venue, here, truth):
    venue()
    here("backfill", "ALGOUSDT", *DAY)
    values = truth(["ALGOUSDT"], END_MS - DAY_MS)
    rows = list(csv.DictReader(io.StringIO(here("show", "ALGOUSDT", "--start", "2026-02-28", "--csv").out)))
    answer = here("show", "ALGOUSDT", "--start", "2026-02-28", "--json").json
    columns = ("open", "high", "low", "close", "volume")
    assert list(rows[0]) == ["open_time", "time", *columns]
    assert (answer["series"], answer["error"], answer["schema"]) == ("binance:ALGOUSDT:1m", None, 1)
    for candles in (rows, answer["candles"]):
        read = {("ALGOUSDT", int(one["open_time"])): tuple(float(one[name]) for name in columns) for one in candles}
        assert read == values
    assert (rows[0]["time"], answer["candles"][0]["time"]) == ("2026-02-28T00:00Z", "2026-02-28T00:00Z")


@pytest.mark.parametrize(
    ("words", "status", "error"),
    [
        (("--first", "1", "--last", "1"), 2, "--first and --last exclude each other"),
        (("--json", "--csv"), 2, "--json and --csv exclude each other"),
        (("--start", "soon"), 2, "'soon' is not a time"),
        (("--start", "2026-02-28", "--end", "2026-02-28"), 2, "start 2026-02-28 is not before end 2026-02-28"),
        (("--start", "2020-01-01", "--end", "2020-01-02"), 1, "no candles of binance:ALGOUSDT:1m in this time"),
    ],
)
def test_show_of_what_cannot_be_shown_is_one_line(words, status, error, venue, here):
    venue()
    here("backfill", "ALGOUSDT", *DAY)
    ended = here("show", "ALGOUSDT", *words)
    assert ended.exit == status
    assert error in ended.lines("error")[0]


def test_show_gives_json_also_where_it_fails(venue, here):
    venue()
    here("backfill", "ALGOUSDT", *DAY)
    for words in (("ALGOUSD",), ("ALGOUSDT", "--start", "soon"), ("ALGOUSDT", "--store", "none.db")):
        ended = here("show", *words, "--json")
        assert ended.exit in (1, 2)
        assert (ended.json["candles"], bool(ended.json["error"])) == ([], True)


def test_show_names_near_series_where_there_is_none(venue, here):
    venue()
    here("backfill", "ALGOUSDT", *DAY)
    ended = here("show", "ALGO")
    assert ended.exit == 2
    assert ended.lines("hint")[0].startswith("did you mean binance:ALGOUSDT:1m? If not, fetch it first: laklak ")
