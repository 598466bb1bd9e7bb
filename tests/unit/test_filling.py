"""What a full server shows and may not have counts as missing, and it is asked for by the day."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laklak.engine.store_work import sent, survey_sure
from laklak.model.candles import CandleBatch
from laklak.model.series import DAY_MS, Interval, Series, TimeRange
from laklak.stores.base import Delivery
from laklak.stores.sqlite.store import SqliteStore
from laklak.stores.unconfirmed import UnsureBook

HOUR = Interval.parse("1h")
BTC, ETH = Series("binance", "BTCUSDT", HOUR), Series("binance", "ETHUSDT", HOUR)
HOURS = 96


def span(first, after):
    return TimeRange(first * HOUR.ms, after * HOUR.ms)


def candles(series, hours):
    times = [hour * HOUR.ms for hour in sorted(hours)]
    ones = [1.0] * len(times)
    return CandleBatch(series, times, (["1"] * len(times),) * 5, (ones,) * 5)


class Asked(SqliteStore):
    """A real store that remembers which open_times it was asked for."""

    def __init__(self, path):
        super().__init__(path)
        self.spans = []

    async def open_times(self, series, span):
        self.spans.append(span)
        return await super().open_times(series, span)


def look(path, book, stored, within):
    """What a store that shows these hours holds for sure of `within`, and the spans that it was asked for."""

    async def ask():
        async with Asked(str(path)) as store:
            if stored:
                await store.write([Delivery(BTC, candles(BTC, stored))])
            presence = await survey_sure(store, book, BTC, within)
            return presence, store.spans

    return asyncio.run(ask())


@given(
    stored=st.sets(st.integers(0, HOURS - 1)),
    unsure=st.lists(st.tuples(st.integers(0, HOURS - 1), st.integers(1, 30)), max_size=8),
    first=st.integers(0, 40),
)
def test_sure_is_what_is_shown_and_was_never_sent_to_a_full_server(tmp_path_factory, stored, unsure, first):
    folder = tmp_path_factory.mktemp("store")
    book = UnsureBook(folder, "one")
    book.add([(BTC, span(start, start + length)) for start, length in unsure])

    presence, _ = look(folder / "a.db", book, stored, span(first, HOURS))

    doubted = {hour for start, length in unsure for hour in range(start, start + length)}
    sure = {hour for hour in stored - doubted if hour >= first}
    missing = [time // HOUR.ms for part in presence.missing for time in range(part.start_ms, part.end_ms, HOUR.ms)]
    assert presence.stored == len(sure)
    assert missing == sorted(set(range(first, HOURS)) - sure)


@pytest.mark.parametrize("hours", [range(0, HOURS, 2), range(HOURS)], ids=["scattered", "in one piece"])
def test_a_store_is_asked_once_for_each_day_whatever_the_number_of_ranges(tmp_path, hours):
    book = UnsureBook(tmp_path, "one")
    book.add([(BTC, span(hour, hour + 1)) for hour in hours])

    presence, spans = look(tmp_path / "a.db", book, range(HOURS), span(0, HOURS))

    assert presence.stored == HOURS - len(hours)
    assert [one.start_ms // DAY_MS for one in spans] == list(range(HOURS * HOUR.ms // DAY_MS))


def test_what_is_not_unsure_costs_no_question(tmp_path):
    book = UnsureBook(tmp_path, "one")
    book.add([(ETH, span(0, 5)), (BTC, span(HOURS, HOURS + 5))])

    presence, spans = look(tmp_path / "a.db", book, range(HOURS), span(0, HOURS))

    assert (presence.stored, spans) == (HOURS, [])


def test_what_was_sent_is_told_without_what_lies_between():
    deliveries = [Delivery(BTC, candles(BTC, [1, 2, 3, 7])), Delivery(ETH, None), Delivery(ETH, candles(ETH, [0]))]

    assert list(sent(deliveries)) == [(BTC, span(1, 4)), (BTC, span(7, 8)), (ETH, span(0, 1))]
