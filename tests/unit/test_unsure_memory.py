"""Nothing unsure is forgotten without a word: not because it is much, not when its file cannot be read or written."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laklak.model.series import MINUTE_MS, Series, TimeRange
from laklak.stores import unconfirmed as unsure
from laklak.stores.unconfirmed import RANGES_AT_MOST, UnsureBook

BTC, ETH = Series.parse("binance:BTCUSDT:1m"), Series.parse("binance:ETHUSDT:1m")


def minute(number):
    return TimeRange(number * MINUTE_MS, (number + 1) * MINUTE_MS)


def holds(parts, span):
    return any(part.start_ms <= span.start_ms and span.end_ms <= part.end_ms for part in parts)


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


@pytest.fixture
def path(state):
    """Where the book in `state` is kept."""
    book = UnsureBook(state, "one")
    book.add([(BTC, minute(0))])
    (path,) = state.iterdir()
    book.settle([(BTC, [minute(0)])])
    return path


def test_more_ranges_than_are_told_apart_become_wider_and_none_is_lost(state):
    spans = [minute(3 * number) for number in range(RANGES_AT_MOST + 700)]
    UnsureBook(state, "one").add((BTC, span) for span in spans)

    found = UnsureBook(state, "one").of(BTC)
    assert len(found) == RANGES_AT_MOST
    assert all(holds(found, span) for span in (*spans[:3], *spans[::97], *spans[-3:]))


def test_a_file_with_more_ranges_than_are_told_apart_is_read_to_its_end(state, path):
    spans = [(3 * number * MINUTE_MS, (3 * number + 1) * MINUTE_MS) for number in range(RANGES_AT_MOST + 1)]
    path.write_text(json.dumps({str(BTC): spans}))

    assert holds(UnsureBook(state, "one").of(BTC), TimeRange(*spans[-1]))


@given(st.sets(st.integers(0, 60), min_size=1))
def test_the_narrowest_gaps_are_counted_in(numbers):
    ranges = unsure.union(minute(number) for number in numbers)
    kept = unsure._at_most(ranges, 4)

    assert len(kept) <= 4
    assert all(holds(kept, minute(number)) for number in numbers)
    assert (kept[0].start_ms, kept[-1].end_ms) == (ranges[0].start_ms, ranges[-1].end_ms)
    left = [other.start_ms - one.end_ms for one, other in pairwise(kept)]
    gaps = sorted(other.start_ms - one.end_ms for one, other in pairwise(ranges))
    assert sorted(left) == gaps[len(gaps) - len(left) :]


@given(st.sets(st.integers(0, 60)), st.sets(st.integers(0, 60)))
def test_several_ranges_are_settled_at_once(tmp_path_factory, added, settled):
    book = UnsureBook(tmp_path_factory.mktemp("state"), "one")
    book.add([(BTC, minute(number)) for number in added])
    book.settle([(BTC, [minute(number) for number in settled])])

    found = [time // MINUTE_MS for part in book.of(BTC) for time in range(part.start_ms, part.end_ms, MINUTE_MS)]
    assert found == sorted(added - settled)


def test_many_series_are_settled_with_one_write(state, path, monkeypatch):
    book = UnsureBook(state, "one")
    book.add([(BTC, minute(0)), (BTC, minute(5)), (ETH, minute(0)), (ETH, minute(7))])
    moved = []
    replace = Path.replace
    monkeypatch.setattr(Path, "replace", lambda self, target: moved.append(target) or replace(self, target))

    book.settle([(BTC, [minute(0)]), (ETH, [minute(0), minute(7)])])

    assert moved == [path]
    assert UnsureBook(state, "one").of(BTC) == [minute(5)]
    assert not UnsureBook(state, "one").of(ETH)


def test_where_nothing_is_unsure_nobody_is_asked_what_is_settled(state):
    UnsureBook(state, "one").settle(pytest.fail(str(number)) for number in range(1))

    assert not state.exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "7",
        "\udcff",
        "[" * 100_000,
        '{"binance:BTCUSDT:1m": 3}',
        '{"binance:BTCUSDT:1m": [[0, Infinity]]}',
        '{"binance:BTCUSDT:1m": [{"0": 1}]}',
        '{"binance:BTCUSDT:1m": [[0, 1, 2]]}',
        '{"binance:BTCUSDT:1m": [[0, "60000"]]}',
    ],
)
def test_a_file_that_cannot_be_read_is_a_warning(state, path, text):
    path.write_text(text, errors="surrogateescape")
    told = []

    assert not UnsureBook(state, "one", told.append)
    (line,) = told
    assert path.name in line
    assert "restart" in line


def test_what_is_sound_of_a_spoiled_file_counts(state, path):
    path.write_text(json.dumps({str(ETH): "x", str(BTC): [[0, MINUTE_MS]]}))
    told = []

    assert UnsureBook(state, "one", told.append).of(BTC) == [minute(0)]
    assert len(told) == 1


def test_a_book_that_is_not_there_is_no_trouble(tmp_path):
    told = []
    (tmp_path / "file").write_text("")

    assert not UnsureBook(tmp_path / "state", "one", told.append)
    assert not UnsureBook(tmp_path / "file", "one", told.append)
    assert told == []


def test_a_book_that_cannot_be_written_is_a_warning_once(tmp_path):
    (tmp_path / "state").write_text("a file where the folder should be")
    told = []
    book = UnsureBook(tmp_path / "state", "one", told.append)
    for number in range(3):
        book.add([(BTC, minute(2 * number))])

    (line,) = told
    assert "restart it before the next run" in line
    book.settle([(BTC, [minute(0)])])
    assert len(told) == 2
    assert "writes again" in told[1]


def test_a_disk_that_is_full_leaves_the_old_book_and_no_scrap(state, path, monkeypatch):
    UnsureBook(state, "one").add([(BTC, minute(0))])
    told = []
    book = UnsureBook(state, "one", told.append)
    scrap = path.with_suffix(".full.tmp")
    scrap.symlink_to("/dev/full")
    monkeypatch.setattr("laklak.stores.unconfirmed.os.getpid", lambda: "full")
    book.add([(BTC, minute(5))])

    assert "No space left on device" in told[0]
    assert UnsureBook(state, "one").of(BTC) == [minute(0)]
    assert list(state.iterdir()) == [path]
