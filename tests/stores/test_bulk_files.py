"""Which bulk files were read, with their checksums: noted with what they gave, a row for each file."""

from __future__ import annotations

from dataclasses import replace

import pytest

from laklak.model.provenance import BulkFile
from laklak.model.series import DAY_MS, Series, TimeRange
from laklak.stores.base import Delivery

START = 1_767_225_600_000
MONTH = TimeRange(START, START + 31 * DAY_MS)
YEAR = TimeRange(START - 365 * DAY_MS, START + 365 * DAY_MS)


def month(sha256: str = "a" * 64, run_ms: int = 1) -> BulkFile:
    return BulkFile(MONTH, "BTCUSDT-1m-2026-01.zip", sha256, run_ms)


def day(number: int, sha256: str = "d" * 64) -> BulkFile:
    start_ms = START + (number - 1) * DAY_MS
    return BulkFile(TimeRange(start_ms, start_ms + DAY_MS), f"BTCUSDT-1m-2026-01-{number:02}.zip", sha256, 7)


@pytest.mark.parametrize("name", ["binance:BTCUSDT:1m", "binance:BTCUSDT:1h", "binance:BTCUSDT:1d"])
def test_files_are_told_by_their_time_a_month_beside_its_first_and_last_day(use, deliver, name):
    series = Series.parse(name)
    files = (day(1), month(), day(31), day(2))

    async def work(store):
        await store.write([replace(deliver(series, 2), files=files)])
        return await store.bulk_files(series, YEAR), await store.bulk_files(Series.parse("binance:ETHUSDT:1m"), YEAR)

    assert use(work) == ([day(1), month(), day(2), day(31)], [])


def test_a_range_has_the_files_that_touch_it(use, series, deliver):
    async def work(store):
        await store.write([replace(deliver(series, 2), files=(month(), *(day(number) for number in range(1, 32))))])
        spans = [
            (0, 1),
            (DAY_MS - 1, DAY_MS + 1),
            (-DAY_MS, 0),
            (31 * DAY_MS, 32 * DAY_MS),
            (31 * DAY_MS - 1, YEAR.end_ms),
        ]
        return [await store.bulk_files(series, TimeRange(START + first, START + end)) for first, end in spans]

    assert use(work) == [[day(1), month()], [day(1), month(), day(2)], [], [], [month(), day(31)]]


def test_a_file_that_is_read_again_is_one_row_as_it_was_then(use, series, deliver):
    async def work(store):
        await store.write([replace(deliver(series, 2), files=(month(),))])
        await store.write([replace(deliver(series, 2), files=(month("b" * 64, 2),))])
        return await store.bulk_files(series, MONTH)

    assert use(work) == [month("b" * 64, 2)]
    assert use(lambda store: store.bulk_files(series, MONTH)) == [month("b" * 64, 2)]


def test_a_file_that_gave_nothing_new_is_noted_alone(use, series, deliver):
    async def work(store):
        await store.write([deliver(series, 2)])
        await store.write([Delivery(series, None, files=(day(1),))])
        return await store.bulk_files(series, MONTH), await store.count(series, MONTH)

    assert use(work) == ([day(1)], 2)


def test_files_are_no_series(use, series):
    async def work(store):
        await store.write([Delivery(series, None, files=(day(1),))])
        return await store.holdings(), await store.origin()

    assert use(work) == ({}, None)
