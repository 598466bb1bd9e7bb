"""The hot pure functions, one call each: what a backfill does for every page and every file.

    python -m pytest benchmarks/micro --benchmark-json=micro.json

A page has 1000 candles, a file those of a month; divide to compare.  Candles are generated, the same in every run, and
every result is checked.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import zipfile
from dataclasses import replace

import pytest

from laklak.archives import ARCHIVES
from laklak.archives.csv import read_file
from laklak.model.series import DAY_MS, Interval, Series, TimeRange
from laklak.plan.chunks import plan_chunks
from laklak.plan.cost import cost_of
from laklak.plan.missing import SeriesPlan
from laklak.plan.rows import check_page
from laklak.simulator.sources.generated import DEFAULT_END_MS, generate
from laklak.stores.access import StoreAccess
from laklak.stores.influx.lines import CandleLines, candle_lines, key_of, tags_of
from laklak.stores.sqlite.write import pack
from laklak.venues import VENUES
from laklak.venues.base import Answer, Asked, Quota, unlisted
from laklak.wire.limiter import Limiter
from laklak.wire.quota import Share

BINANCE, ARCHIVE = VENUES["binance"], ARCHIVES["binance"]
MINUTE = Interval.parse("1m")
SERIES = Series("binance", "BTCUSDT", MINUTE)
KEY = key_of("binance_ohlc", tags_of(SERIES))
PAGE = 1000
SPAN = TimeRange(DEFAULT_END_MS - PAGE * MINUTE.ms, DEFAULT_END_MS)
ASKED = Asked(SERIES, unlisted("BTCUSDT"), SPAN)
NINETY_DAYS = TimeRange(DEFAULT_END_MS - 90 * DAY_MS, DEFAULT_END_MS)
PAYMENTS = 1000
LINES_A_REQUEST = StoreAccess(where="").batch_lines


@pytest.fixture(scope="module")
def source():
    return generate(symbols=1, days=90)


@pytest.fixture(scope="module")
def body(source):
    return b"[" + b",".join(source.oldest("BTCUSDT", SPAN.start_ms, SPAN.end_ms, PAGE)) + b"]"


@pytest.fixture(scope="module")
def checked(body):
    return check_page(BINANCE.read_candles(Answer(200, {}, body), ASKED), SERIES, SPAN)


@pytest.fixture(scope="module")
def month(source):
    """A monthly file as it is published: its description, the zip, and the checksum."""
    file = ARCHIVE.month_file(SERIES, DEFAULT_END_MS - 40 * DAY_MS)
    rows = source.oldest("BTCUSDT", file.span.start_ms, file.span.end_ms, file.candles)
    lines = [row[1:-1].replace(b'"', b"") for row in rows]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as writer:
        writer.writestr(file.member, b"\n".join([",".join(ARCHIVE.columns).encode(), *lines, b""]))
    data = packed.getvalue()
    return file, data, hashlib.sha256(data).hexdigest()


def test_decode_a_page(benchmark, body):
    page = benchmark(lambda: BINANCE.read_candles(Answer(200, {}, body), ASKED))

    assert len(page.rows) == PAGE


def test_check_a_page(benchmark, body):
    page = BINANCE.read_candles(Answer(200, {}, body), ASKED)

    checked = benchmark(check_page, page, SERIES, SPAN)

    assert (len(checked.candles), checked.refusals) == (PAGE, ())


def test_check_a_page_of_numbers(benchmark, body):
    texts = BINANCE.read_candles(Answer(200, {}, body), ASKED)
    times, *columns = texts.columns
    page = replace(texts, columns=(times, *([float(cell) for cell in column] for column in columns)))

    checked = benchmark(check_page, page, SERIES, SPAN)

    assert (len(checked.candles), checked.refusals) == (PAGE, ())


def test_encode_a_page_as_lines(benchmark, checked):
    lines = benchmark(candle_lines, checked.candles, KEY)

    assert lines.count(b"\n") == PAGE


def test_pack_a_page_for_sqlite(benchmark, checked):
    packed = benchmark(pack, checked.candles)

    assert [len(column) for column in packed.columns] == [PAGE] * 5


def test_pack_a_page_for_influxdb(benchmark, checked):
    packed = benchmark(CandleLines.of, checked.candles, KEY, LINES_A_REQUEST)

    assert packed.lines(0, PAGE).count(b"\n") == PAGE


def test_read_a_monthly_file(benchmark, month):
    file, data, checksum = month

    checked = benchmark(read_file, data, file, ARCHIVE, checksum)

    assert (len(checked.candles), list(checked.refusals)) == (file.candles, [])


def test_encode_a_monthly_file_as_lines(benchmark, month):
    file, data, checksum = month
    candles = read_file(data, file, ARCHIVE, checksum).candles

    lines = benchmark(candle_lines, candles, KEY)

    assert lines.count(b"\n") == file.candles


def test_pack_a_monthly_file_for_sqlite(benchmark, month):
    file, data, checksum = month
    candles = read_file(data, file, ARCHIVE, checksum).candles

    packed = benchmark(pack, candles)

    assert [len(column) for column in packed.columns] == [file.candles] * 5


def test_pack_a_monthly_file_for_influxdb(benchmark, month):
    file, data, checksum = month
    candles = read_file(data, file, ARCHIVE, checksum).candles

    packed = benchmark(CandleLines.of, candles, KEY, LINES_A_REQUEST)

    assert b"".join(packed.parts).count(b"\n") == file.candles


def test_give_a_monthly_file_as_doubles(benchmark, month):
    file, data, checksum = month
    candles = read_file(data, file, ARCHIVE, checksum).candles

    columns = benchmark(lambda: candles.values)

    assert {len(column) for column in columns} == {file.candles}


def test_plan_ninety_days_that_are_missing(benchmark):
    chunks = benchmark(lambda: list(plan_chunks(SERIES, [NINETY_DAYS], BINANCE.page.steps, PAGE)))

    assert sum(chunk.wanted_count for chunk in chunks) == NINETY_DAYS.count(MINUTE)


def test_plan_ninety_days_of_which_every_other_minute_is_missing(benchmark):
    missing = [
        TimeRange(time, time + MINUTE.ms) for time in range(NINETY_DAYS.start_ms, NINETY_DAYS.end_ms, 2 * MINUTE.ms)
    ]

    chunks = benchmark(lambda: list(plan_chunks(SERIES, missing, BINANCE.page.steps, PAGE)))

    assert sum(chunk.wanted_count for chunk in chunks) == len(missing)


def test_price_a_plan_of_541_series(benchmark):
    plan = SeriesPlan(SERIES, NINETY_DAYS, None, 0, 0, 0, (NINETY_DAYS,))

    cost = benchmark(cost_of, [plan] * 541, BINANCE.page.steps, PAGE)

    assert cost.weight == 541 * 650


def test_pay_for_a_thousand_requests(benchmark):
    async def pay() -> int:
        # So large a budget that nobody ever waits: what is left is what a payment itself costs.
        share = Share(Quota(10**9, 60.0, window="calendar"), 10**9, heaviest=5)
        limiter = Limiter({"weight": share}, next_window_s=lambda seconds: seconds)
        for used in range(PAYMENTS):
            limiter.answered(await limiter.pay({"weight": 5}), {"weight": used})
        return limiter.weight_paid

    assert benchmark(lambda: asyncio.run(pay())) == 5 * PAYMENTS
