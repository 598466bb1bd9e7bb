"""Files that are read together give what each of them gives alone."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thoroughness import examples

from laklak.archives import ARCHIVES, BadFile
from laklak.archives import csv as reading
from laklak.archives.csv import DownloadedFile, read_files
from laklak.model.candles import Chunk
from laklak.model.series import DAY_MS, MINUTE_MS, Series, TimeRange
from laklak.model.spans import merge
from laklak.plan.answers import Doubts, first_answer

BINANCE = ARCHIVES["binance"]
SERIES = Series.parse("binance:LINKUSDT:1m")
HEADER = ",".join(BINANCE.columns).encode() + b"\n"
START = 1_772_064_000_000
GOOD = ("10.0", "12.50", "9.10", "11", "3.000")
LOST = (*GOOD[:4], "0.000")
BROKEN = (LOST, ("1", "2", "3", "1", "1"), (*GOOD[:4], "-1"), (*GOOD[:4], ""), ("0", *GOOD[1:]))
DAYS = 5


@pytest.fixture(scope="module")
def download(zipped):
    """Make a download of a day, counted from START, with these bytes as its CSV."""

    def make(day, csv, *, checksum=None, body=None):
        file = BINANCE.day_file(SERIES, START + day * DAY_MS)
        body = zipped([(file.member, csv)]) if body is None else body
        return DownloadedFile(file, body, checksum or hashlib.sha256(body).hexdigest())

    return make


def line(day, minute, cells=GOOD, unit=1):
    open_time = (START + day * DAY_MS + minute * MINUTE_MS) * unit
    return f"{open_time},{','.join(cells)},{open_time + MINUTE_MS * unit - 1},31.5,17,1.0,10.2,0\n".encode()


def day_csv(day, minutes=(0, 1, 2, 1439), **how):
    return b"".join(line(day, minute, **how) for minute in minutes)


def facts(results):
    """What came of each file, however many were read together: candles by day, refusals, and what is bad."""
    candles, refusals, bad = [], [], {}
    for files, checked in results:
        if isinstance(checked, BadFile):
            [file] = files
            bad[file] = (checked.reason, str(checked))
            continue
        table = checked.candles
        assert (table.series, checked.strays) == (SERIES, False)
        rows = zip(table.open_times, *table.texts, *([v.hex() for v in column] for column in table.values), strict=True)
        candles += rows
        refusals += checked.refusals
    return candles, refusals, bad


def settled(results):
    """What is stored of them, and what is in doubt."""
    times, absent, refused, rows_refused = [], [], {}, 0
    for files, checked in results:
        if not isinstance(checked, BadFile):
            wanted = tuple(TimeRange(file.span.start_ms + MINUTE_MS, file.span.end_ms) for file in files)
            span = TimeRange(files[0].span.start_ms, files[-1].span.end_ms)
            outcome = first_answer(Chunk(SERIES, span, wanted), checked)
            assert outcome.doubts == Doubts(outcome.doubts.absent, outcome.doubts.refused)
            times += outcome.candles.open_times
            absent += outcome.doubts.absent
            refused |= outcome.doubts.refused
            rows_refused += outcome.rows_refused
    return times, merge(absent), refused, rows_refused


def alone(downloads):
    """The same files, read one by one."""
    return [result for one in downloads for result in read_files([one], BINANCE)]


def test_sound_files_become_one_table_oldest_first(download):
    downloads = [download(day, HEADER + day_csv(day)) for day in (3, 0, 1)]

    [(files, checked)] = read_files(downloads, BINANCE)

    assert [file.span.start_ms for file in files] == [START + day * DAY_MS for day in (0, 1, 3)]
    assert len(checked.candles) == 12
    assert facts([(files, checked)]) == facts(alone(sorted(downloads, key=lambda one: one.file.span)))


def test_recorded_days_that_are_read_together_are_a_run_without_gaps(recorded_rows, download):
    span = TimeRange(START, START + 3 * DAY_MS)
    downloads = [
        download(day, b"".join(recorded_rows("LINKUSDT", TimeRange(start, start + DAY_MS))))
        for day, start in enumerate(range(span.start_ms, span.end_ms, DAY_MS))
    ]

    [(_, checked)] = read_files(downloads, BINANCE)

    assert checked.candles.open_times == range(span.start_ms, span.end_ms, MINUTE_MS)


@pytest.mark.parametrize(
    ("first", "second", "bad_day"),
    [
        (day_csv(0) + line(1, 0), day_csv(1, (1, 2)), 0),
        (day_csv(0, (1, 2)), line(0, 1439) + day_csv(1), 1),
    ],
    ids=["the first of the next day", "the last of the day before"],
)
def test_a_row_that_belongs_into_the_file_beside_it_makes_its_file_bad(first, second, bad_day, download):
    # Joined, the rows are in order and on the grid: only whose they are is wrong.
    _, _, bad = facts(read_files([download(0, first), download(1, second)], BINANCE))

    assert [file.span.start_ms for file in bad] == [START + bad_day * DAY_MS]
    assert all(reason == "csv" and "rows of another period" in text for reason, text in bad.values())


def test_two_files_that_have_changed_places_are_both_bad(download):
    _, _, bad = facts(read_files([download(0, day_csv(1)), download(1, day_csv(0))], BINANCE))

    assert len(bad) == 2


def test_one_file_in_microseconds_does_not_spoil_the_others(download):
    downloads = [download(day, day_csv(day, unit=1000 if day == 1 else 1)) for day in range(3)]

    candles, refusals, bad = facts(read_files(downloads, BINANCE))

    assert (len(candles), refusals, bad) == (12, [], {})


def test_a_day_that_has_lost_its_volumes_is_left_out_of_those_it_was_read_with(download):
    downloads = [download(day, day_csv(day, cells=LOST if day == 1 else GOOD)) for day in range(3)]

    [(files, checked)] = read_files(downloads, BINANCE)

    assert len(files) == 3
    assert {(time - START) // DAY_MS for time in checked.candles.open_times} == {0, 2}


def test_sound_files_are_not_read_twice(download, monkeypatch):
    monkeypatch.setattr(reading, "read_file", None)

    assert len(read_files([download(day, day_csv(day)) for day in range(3)], BINANCE)) == 1


@st.composite
def contents(draw, day):
    """The CSV of a day: sound, with a row that breaks a rule, without volumes, of other days, or with changed bytes."""
    unit = draw(st.sampled_from([1, 1, 1, 1000]))
    minutes = draw(st.lists(st.integers(0, 1439), min_size=1, max_size=4, unique=True).map(sorted))
    cells = st.sampled_from([GOOD, GOOD, GOOD, *BROKEN])
    rows = [line(day, minute, draw(cells), unit) for minute in minutes]
    kind = draw(st.sampled_from(["sound", "sound", "sound", "row of another day", "changed", "anything"]))
    if kind == "row of another day":
        other = line(day + draw(st.sampled_from([-1, 1])), draw(st.sampled_from([0, 1, 1439])), GOOD, unit)
        rows.insert(draw(st.integers(0, len(rows))), other)
    csv = bytearray((HEADER if draw(st.booleans()) else b"") + b"".join(rows))
    if kind == "changed":
        at = draw(st.integers(0, len(csv) - 1))
        new = draw(st.one_of(st.sampled_from(b'0123456789.,\n"-+e '), st.integers(0, 255)))
        csv[at : at + draw(st.integers(0, 2))] = bytes([new]) * draw(st.integers(0, 2))
    return draw(st.binary(max_size=100)) if kind == "anything" else bytes(csv)


@settings(max_examples=examples(250))
@given(data=st.data())
def test_files_that_are_read_together_give_what_they_give_one_by_one(download, data):
    days = data.draw(st.lists(st.integers(0, DAYS - 1), min_size=2, max_size=DAYS, unique=True))
    downloads = []
    for day in days:
        sound = data.draw(st.booleans())
        csv = day_csv(day) if sound else data.draw(contents(day))
        body = None
        checksum = data.draw(st.sampled_from([None] * 7 + ["0" * 64]))
        if data.draw(st.sampled_from([False] * 7 + [True])):
            body = data.draw(st.one_of(st.binary(max_size=50), st.just(download(day, csv).body[:-3])))
        downloads.append(download(day, csv, checksum=checksum, body=body))
    in_order = sorted(downloads, key=lambda one: one.file.span)

    together, apart = read_files(downloads, BINANCE), alone(in_order)

    assert [file for files, _ in together for file in files] == [one.file for one in in_order]
    assert facts(together) == facts(apart)
    assert settled(together) == settled(apart)
