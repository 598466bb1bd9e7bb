"""What a full server was sent and did not take is remembered until it has been written after all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laklak.model.series import MINUTE_MS, Series, TimeRange
from laklak.stores.unconfirmed import UnsureBook

BTC, ETH = Series.parse("binance:BTCUSDT:1m"), Series.parse("binance:ETHUSDT:1m")

spans = st.tuples(st.integers(0, 30), st.integers(1, 10)).map(
    lambda span: TimeRange(span[0] * MINUTE_MS, (span[0] + span[1]) * MINUTE_MS)
)


def minutes(parts):
    return [time for part in parts for time in range(part.start_ms, part.end_ms, MINUTE_MS)]


def test_it_outlives_the_process_and_is_of_one_store(tmp_path):
    UnsureBook(tmp_path / "state", "one").add([(BTC, TimeRange(0, 60_000)), (BTC, TimeRange(60_000, 120_000))])

    assert UnsureBook(tmp_path / "state", "one").of(BTC) == [TimeRange(0, 120_000)]
    assert not UnsureBook(tmp_path / "state", "one").of(ETH)
    assert not UnsureBook(tmp_path / "state", "another")


def test_when_all_is_settled_nothing_is_left_behind(tmp_path):
    book = UnsureBook(tmp_path / "state", "one")
    book.add([(BTC, TimeRange(0, 120_000))])
    book.settle([(BTC, [TimeRange(0, 600_000)])])

    assert not book
    assert list((tmp_path / "state").iterdir()) == []


@given(st.lists(spans, min_size=1, max_size=6), st.lists(spans, max_size=4))
def test_unsure_is_what_was_added_and_not_settled_each_minute_once(tmp_path_factory, added, settled):
    book = UnsureBook(tmp_path_factory.mktemp("state"), "one")
    book.add([(BTC, span) for span in added])
    for span in settled:
        book.settle([(BTC, [span])])

    assert minutes(book.of(BTC)) == sorted(set(minutes(added)) - set(minutes(settled)))


@pytest.mark.parametrize("text", ["", "[]", "{", '{"binance:BTCUSDT:1m": 3}', '{"binance:BTCUSDT:1m": [["a", 1]]}'])
def test_a_file_that_cannot_be_read_costs_only_the_memory(tmp_path, text):
    book = UnsureBook(tmp_path / "state", "one")
    book.add([(BTC, TimeRange(0, 60_000))])
    (path,) = (tmp_path / "state").iterdir()
    path.write_text(text)

    assert not UnsureBook(tmp_path / "state", "one")


def test_a_folder_that_cannot_be_written_costs_only_the_memory(tmp_path):
    (tmp_path / "state").write_text("a file where the folder should be")
    book = UnsureBook(tmp_path / "state", "one")
    book.add([(BTC, TimeRange(0, 60_000))])

    assert book.of(BTC) == [TimeRange(0, 60_000)]
