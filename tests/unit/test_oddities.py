"""What stands in a store and is no candle is told in few lines, and nothing is lost on the way."""

from __future__ import annotations

import asyncio

import anyio

from laklak.engine.oddities import OddityBook
from laklak.engine.store_work import each
from laklak.model.series import MINUTE_MS, Series, TimeRange
from laklak.stores.base import NO_STRAYS, Strays

START = 1_767_225_600_000


def series(number):
    return Series.parse(f"binance:S{number:02d}USDT:1m")


def strays(count, named=None):
    statements = tuple(f"DELETE {i}" for i in range(count if named is None else named))
    return Strays(count, START * 1_000_000 + 17_000_000_000, statements, "in the database m")


def told(tmp_path, *found):
    lines = []
    book = OddityBook(tmp_path / "state" / "strays.txt", lines.append, "fetched again")
    for one in found:
        book.add(*one)
    total = book.not_whole
    book.tell()
    book.tell()
    return lines, total


def test_what_is_not_whole_where_the_venue_is_known_to_have_none_is_told_apart(tmp_path):
    found = [(series(number), minutes(3), NO_STRAYS, minutes(2)) for number in range(12)]

    lines, total = told(tmp_path, *found)

    assert total == 36
    words = "known holes or rejects, so no candles, and not fetched again without --recheck"
    assert lines[0] == "binance:S00USDT:1m: 3 candles were not whole: fetched again"
    assert lines[10] == "and 2 more series: 6 candles were not whole: fetched again"
    assert lines[11] == f"binance:S00USDT:1m: 2 candles were not whole: {words}"
    assert lines[21] == f"and 2 more series: 4 candles were not whole: {words}"


def minutes(count):
    return (TimeRange(START, START + count * MINUTE_MS),)


def test_nothing_odd_says_nothing(tmp_path):
    assert told(tmp_path, (series(1), (), NO_STRAYS)) == ([], 0)
    assert not (tmp_path / "state").exists()


def test_candles_that_are_not_whole_are_one_line_a_series(tmp_path):
    lines, total = told(tmp_path, (series(1), minutes(300), NO_STRAYS), (series(2), minutes(1), NO_STRAYS))

    assert lines == [
        "binance:S01USDT:1m: 300 candles were not whole: fetched again",
        "binance:S02USDT:1m: 1 candle was not whole: fetched again",
    ]
    assert total == 301


def test_many_series_are_few_lines_and_every_candle_is_counted(tmp_path):
    lines, total = told(tmp_path, *((series(i), minutes(10), NO_STRAYS) for i in range(50)))

    assert len(lines) == 11
    assert lines[-1] == "and 40 more series: 400 candles were not whole: fetched again"
    assert total == 500


def test_few_strays_are_told_with_all_of_their_statements(tmp_path):
    (line,), _ = told(tmp_path, (series(1), (), strays(2)))

    assert line == (
        "binance:S01USDT:1m: 2 points off the grid, the first at 2026-01-01T00:00:17Z: no candles, and never removed "
        "by laklak; to remove them, in the database m: DELETE 0 ; DELETE 1"
    )
    assert not (tmp_path / "state").exists()


def test_many_strays_have_their_statements_in_a_file(tmp_path):
    lines, _ = told(tmp_path, *((series(i), (), strays(5)) for i in range(12)))

    file = tmp_path / "state" / "strays.txt"
    assert lines[0].endswith("DELETE 0 ; DELETE 1 ; DELETE 2 -- and 2 more like it")
    assert lines[10] == "and 2 more series: 10 points off the grid; they stay where they are"
    assert lines[11] == f"60 statements that remove them are in {file}"
    remark, *statements = file.read_text().splitlines()
    assert (remark, len(statements)) == ("-- in the database m", 60)


def test_very_many_strays_say_that_not_all_are_named(tmp_path):
    lines, _ = told(tmp_path, (series(1), (), strays(2000, named=1000)))

    assert lines[-1].endswith(", of 2,000 points; the next run names others")


def test_a_file_that_cannot_be_written_costs_the_file_alone(tmp_path):
    (tmp_path / "state").write_text("a file where the folder belongs")

    lines, _ = told(tmp_path, (series(1), (), strays(5)))

    assert len(lines) == 1


def test_a_look_that_takes_long_says_how_far_it_is():
    lines = []

    async def main():
        heard = anyio.Event()

        def note(line):
            lines.append(line)
            heard.set()

        async def ask(number):
            if number == 2:
                await heard.wait()
            return number

        return await each([1, 2, 3], ask, note, told_every_s=0.001)

    assert asyncio.run(main()) == [1, 2, 3]
    assert lines[0].startswith("looking at what is stored: 2 of 3 series; ")
