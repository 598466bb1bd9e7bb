"""What stood where other values were written: kept in every store, beside the candles."""

from __future__ import annotations

import math
from dataclasses import replace

from laklak.model.revisions import Revision, row_text, row_values
from laklak.model.series import DAY_MS, MINUTE_MS, Series, TimeRange

START = 1_767_225_600_000
DAYS = TimeRange(START, START + 3 * DAY_MS)
OLD = (0.1 + 0.2, 5e-324, 1.7976931348623157e308, 3.0, 0.0)
NEW = (1.0, 2.0, 0.5, 1.5, 7.25)


def revision(minute: int, old=OLD, new=NEW, why="refetch", at_ms: int = START) -> Revision:
    return Revision(START + minute * MINUTE_MS, old, new, "rest", why, at_ms)


def test_a_revision_comes_back_bit_for_bit_when_the_store_is_opened_again(use, series, deliver):
    told = [revision(1), revision(2, NEW, OLD, "corrected")]

    use(lambda store: store.write([replace(deliver(series, 5), revisions=told)]))

    assert use(lambda store: store.revisions(series, DAYS)) == told


def test_revisions_of_one_candle_are_all_kept_in_their_order(use, series, deliver):
    # The clock of the machine stands still, as it were.
    told = [revision(1, (float(i),) * 5, (float(i + 1),) * 5) for i in range(50)]

    async def work(store):
        for one in told:
            await store.write([replace(deliver(series, 5), revisions=[one])])
        return await store.revisions(series, DAYS)

    assert use(work) == told
    last = revision(1, (50.0,) * 5, (51.0,) * 5)
    use(lambda store: store.write([replace(deliver(series, 5), revisions=[last])]))
    assert use(lambda store: store.revisions(series, DAYS)) == [*told, last]


def test_revisions_are_those_of_a_series_and_a_time(use, series, deliver):
    other = Series.parse("binance:ETHUSDT:1m")

    async def work(store):
        mine = replace(deliver(series, 5), revisions=[revision(1), revision(2), revision(3)])
        await store.write([mine, replace(deliver(other, 5), revisions=[revision(2, NEW, OLD)])])
        span = TimeRange(START + 2 * MINUTE_MS, START + 3 * MINUTE_MS)
        return await store.revisions(series, span), await store.revisions(other, span)

    assert use(work) == ([revision(2)], [revision(2, NEW, OLD)])


def test_what_was_missing_or_infinite_is_spelled_as_json():
    values = (math.nan, math.inf, -math.inf, 0.1, -0.0)

    text = row_text(values)

    assert text == "[null,1e999,-1e999,0.1,-0.0]"
    assert repr(row_values(text)) == repr(values)
