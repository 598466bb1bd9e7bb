"""Series that double ours: which are, which are not, and statements that take exactly what is named."""

from __future__ import annotations

import itertools
import re
import shlex
from urllib.parse import urlencode

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from influx_places import Bucket

from laklak.model.series import DAY_MS, MINUTE_MS, Series
from laklak.stores.influx.doubles import find_doubles, lengths_ms, plain_symbol
from laklak.stores.influx.look import Look, TaggedSeries
from laklak.stores.influx.removal import Removal
from laklak.tasks.timing import StoreTiming

START = 1_767_225_600_000
BTC = "exchange=binance,symbol=BTCUSDT,timeframe=1m"
ETH = "exchange=binance,symbol=ETHUSDT,timeframe=1m"
HOURS = "exchange=binance,symbol=BTCUSDT,timeframe=1h"
VALUES = "open=1,high=1,low=1,close=1,volume=1"


def tagged(*keys):
    return [
        TaggedSeries(dict(pair.split("=") for pair in key.split(",") if pair), START, START + MINUTE_MS) for key in keys
    ]


def doubles_among(*keys):
    return find_doubles(tagged(*keys), lambda series: series.venue == "binance")


# What is a double


@pytest.mark.parametrize(
    "key",
    [
        "exchange=Binance,symbol=BTCUSDT,timeframe=1m",
        "exchange=BINANCE,symbol=BTCUSDT,timeframe=1m",
        *(f"exchange=binance,symbol={symbol},timeframe=1m" for symbol in ("btcusdt", "BTC/USDT", "BTC-USDT")),
        "exchange=binance,symbol=BTC/USDT:USDT,timeframe=1m",
        *(f"exchange=binance,symbol=BTCUSDT,timeframe={text}" for text in ("60", "1", "1min", "1M", "M1")),
        "exchange=binance,symbol=BTCUSDT,timeframe=1m,source=old",
        "exchange=Binance,symbol=btcusdt,timeframe=1min,source=old",
        "exchange=binance,symbol=BTCUSDT",
        "symbol=BTCUSDT,timeframe=1m",
        "symbol=BTCUSDT",
        "exchange=binance,timeframe=1m",
    ],
)
def test_a_series_that_means_ours_is_a_double_of_it(key):
    (double,) = doubles_among(BTC, key)

    assert [str(one) for one in double.beside] == ["binance:BTCUSDT:1m"]
    assert double.series[0].tags == tagged(key)[0].tags


@pytest.mark.parametrize(
    "key",
    [
        ETH,
        HOURS,
        "exchange=binance,symbol=BTCUSDT,timeframe=5m",
        "exchange=binance,symbol=BTCUSDC,timeframe=1m",
        "exchange=binance,symbol=BTCUSDT_240329,timeframe=1m",
        "exchange=bybit,symbol=BTCUSDT,timeframe=1m",
        "exchange=binance,symbol=BTCUSDT,timeframe=60m",
        "exchange=binance,symbol=ETHUSDT,timeframe=1m,source=old",
    ],
)
def test_a_series_of_its_own_is_no_double(key):
    assert doubles_among(BTC, key) == []


@pytest.mark.parametrize("text", ["60", "60m", "1H", "1hour", "3600", "3600s", "PT1H", "h"])
def test_hours_have_as_many_spellings(text):
    assert 60 * MINUTE_MS in lengths_ms(text)


@pytest.mark.parametrize("text", ["1d", "1D", "D", "day", "24h", "1440", "86400", "P1D"])
def test_days_too(text):
    assert DAY_MS in lengths_ms(text)


@given(st.text())
def test_any_text_is_read_as_a_length_or_not(text):
    assert all(length_ms >= 0 for length_ms in lengths_ms(text))
    plain_symbol(text)


def test_points_of_other_fields_double_nothing():
    other = TaggedSeries(
        {"exchange": "Binance", "symbol": "BTCUSDT", "timeframe": "1m"}, START, START, like_candles=False
    )

    assert find_doubles([*tagged(BTC), other], lambda series: True) == []


def test_of_two_spellings_the_one_of_the_venue_is_ours():
    (double,) = doubles_among("exchange=binance,symbol=btcusdt,timeframe=1m", BTC)

    assert double.like == "exchange=binance,symbol=btcusdt,timeframe=1m"


def test_series_that_differ_in_the_same_way_are_one_group():
    (double,) = doubles_among(BTC, ETH, BTC.replace("b", "B", 1), ETH.replace("b", "B", 1))

    assert double.apart == {"exchange": "Binance"}
    assert double.like == "exchange=Binance,symbol=BTCUSDT,timeframe=1m and 1 more"
    assert len(double.beside) == 2


def test_a_group_is_not_told_by_what_others_have_too():
    # exchange=Binance alone would take the candles of XRPUSDT along, which stand beside nothing of ours.
    alone = "exchange=Binance,symbol=XRPUSDT,timeframe=1m"

    first, second = doubles_among(BTC, ETH, BTC.replace("b", "B", 1), ETH.replace("b", "B", 1), alone)

    assert first.apart == {"exchange": "Binance", "symbol": "BTCUSDT", "timeframe": "1m"}
    assert second.apart == {"exchange": "Binance", "symbol": "ETHUSDT", "timeframe": "1m"}


def test_thousands_of_series_are_looked_through_at_once():
    keys = [f"exchange={name},symbol=S{i}USDT,timeframe=1m" for i in range(5_000) for name in ("binance", "Binance")]

    (double,) = doubles_among(*keys)

    assert len(double.series) == 5_000


# On a server


TAGS = ("exchange", "symbol", "timeframe", "source", "host")


def series_of(box):
    """The tags of every series of the measurement, with how many points it has."""
    counts: dict[frozenset[tuple[str, str]], int] = {}
    for row in box.rows("binance_ohlc"):
        tags = frozenset((key, row[key]) for key in TAGS if row.get(key))
        counts[tags] = counts.get(tags, 0) + 1
    return counts


def put(box, key, minutes=3):
    for minute in range(minutes):
        box.put(f"binance_ohlc{',' if key else ''}{key} {VALUES} {START + minute * MINUTE_MS}\n")


def run_as_told(box, hint):
    """Do what a hint says."""
    if box.kind == "1.x":
        (statement,) = re.findall(r"run in the database .*: (DELETE .*?)(?:; it also takes .*)?$", hint)
        box.server.ask(statement, box.name)
    elif "influx delete" in hint:
        words = shlex.split(hint.partition("to remove them: ")[2])
        options = dict(zip(words[2::2], words[3::2], strict=True))
        where = urlencode({"org": options["--org"], "bucket": options["--bucket"]})
        wanted = {name: options[f"--{name}"] for name in ("start", "stop", "predicate")}
        box.server.api("POST", f"/api/v2/delete?{where}", wanted)
    else:
        ((where, statement),) = re.findall(r"POST to (/query\?\S+) as q: (DELETE .*)$", hint)
        form = urlencode({"q": statement}).encode()
        answer = box.server._request("POST", where, form, "application/x-www-form-urlencoded")
        assert b"error" not in answer, answer


@pytest.fixture
def box(box, server_name, request):
    """A bucket that a DELETE of InfluxQL reaches: the others have tests of their own."""
    if server_name == "influxd":
        return box
    made = Bucket(request.getfixturevalue(server_name), box.name.replace("/", " "))
    made.make()
    return made


async def warnings(store):
    found = [one for one in await store.examine() if one.verdict == "warning"]
    # Points of a series of hours may be off its grid.
    return [one for one in found if "strays" not in one.facts]


FAULTS = [
    "exchange=Binance,symbol=BTCUSDT,timeframe=1m",
    "exchange=binance,symbol=BTC/USDT,timeframe=1m",
    "exchange=binance,symbol=BTCUSDT,timeframe=60",
    "exchange=binance,symbol=BTCUSDT,timeframe=1m,source=old",
    'exchange=binance,symbol=BTCUSDT,timeframe=1m,source=it\'s\\ "old"',
    "exchange=binance,symbol=BTCUSDT",
    "symbol=BTCUSDT,timeframe=1m",
    "exchange=Binance,symbol=BTCUSDT,timeframe=1m,source=old",
]
BESIDE = [BTC, HOURS, ETH, "exchange=binance,symbol=BTCUSDT,timeframe=1m,source=old,host=x", "symbol=XRPUSDT"]


@pytest.mark.parametrize("fault", FAULTS)
def test_the_statement_that_is_named_removes_exactly_that_series(use, box, fault):
    for key in BESIDE:
        put(box, key)
    before = series_of(box)
    put(box, fault, minutes=2)
    (named,) = [one for one in use(warnings) if one.facts["points"] == 2]

    assert named.facts["series"] == 1
    assert "2 points, 2026-01-01T00:00Z to 2026-01-01T00:01Z, beside binance:BTCUSDT:1" in named.text
    run_as_told(box, named.hint)

    assert series_of(box) == before


def test_when_all_statements_were_run_only_ours_are_left_and_nothing_is_said(use, box):
    for key in (BTC, HOURS, ETH, *FAULTS):
        put(box, key)
    for _ in range(len(FAULTS)):
        found = use(warnings)
        for one in found:
            if "points" in one.facts:
                run_as_told(box, one.hint)
        if not found:
            break

    assert use(warnings) == []
    assert set(series_of(box)) == {frozenset(one.tags.items()) for one in tagged(BTC, HOURS, ETH)}


def test_many_series_with_the_same_fault_are_one_line_and_one_statement(use, box):
    symbols = [f"S{i}USDT" for i in range(40)]
    for symbol in symbols:
        put(box, f"exchange=binance,symbol={symbol},timeframe=1m")
        put(box, f"exchange=Binance,symbol={symbol},timeframe=1m")

    (named,) = use(warnings)
    assert (named.facts["series"], named.facts["points"]) == (40, 120)
    assert len(named.text) < 300
    run_as_told(box, named.hint)

    assert len(series_of(box)) == 40


def test_of_many_faults_a_few_are_named_in_full(use, box):
    put(box, BTC)
    for i in range(12):
        put(box, f"{BTC},source=s{i}", minutes=2)

    *named, rest = use(warnings)

    assert len(named) == 5
    assert rest.text.startswith(
        "and 7 more kinds of series, 14 points, double rows of a query by symbol: binance_ohlc,"
    )
    assert rest.facts == {"doubles": 12, "more_points": 14, "all_counted": True}


def test_what_there_was_no_time_to_count_is_told_without_a_count(use, box, monkeypatch, run_out_of_time):
    put(box, BTC)
    for i in range(4):
        put(box, f"{BTC},source=s{i}", minutes=1)
    count = Removal.points
    counts = iter(range(100))

    async def slow(self):
        if next(counts) >= 2:
            await run_out_of_time()
        return await count(self)

    monkeypatch.setattr(Removal, "points", slow)

    *named, rest, unfinished = use(warnings)

    assert len(named) == 2
    assert rest.text.startswith("and 2 more kinds of series, not counted in time, double rows of a query by symbol: ")
    assert unfinished.text == "not all series that double ours were looked through within 4 s"


def test_a_store_that_only_we_fill_has_no_doubles(use, deliver):
    async def work(store):
        names = ("binance:BTCUSDT:1m", "binance:BTCUSDT:1h", "binance:ETHUSDT:1m")
        await store.write([deliver(Series.parse(name), 5) for name in names])
        return await warnings(store)

    assert use(work) == []


def test_what_a_statement_takes_of_other_retention_policies_is_said(use, box):
    if box.kind == "2.x":
        pytest.skip("a bucket has no others beside it")
    fault = FAULTS[0]
    put(box, BTC)
    put(box, fault)
    quoted = box.name.replace('"', '\\"')
    for name in ("other", "empty"):
        box.server.ask(f'CREATE RETENTION POLICY {name} ON "{quoted}" DURATION INF REPLICATION 1')
    box.server.put(f"binance_ohlc,{fault} {VALUES} {START}\n", box.name, "other")

    (named,) = use(warnings)

    assert named.hint.endswith("; it also takes what is like them in the retention policies other")
    assert named.facts["other_policies"] == "other"


@pytest.fixture
def beside_others(server_name, request):
    """Two buckets that are one database in InfluxQL, where a DELETE reaches neither."""
    if server_name != "influxd2":
        pytest.skip("1.x has no buckets")
    number = next(_numbers)
    boxes = [Bucket(request.getfixturevalue(server_name), f"same {number}/{name}") for name in ("one", "two")]
    for one in boxes:
        one.make()
        put(one, BTC)
        put(one, HOURS)
    return boxes


_numbers = itertools.count()


@pytest.mark.parametrize("fault", [FAULTS[0], FAULTS[4]])
def test_a_bucket_that_no_delete_of_influxql_reaches_has_another_statement(use, beside_others, fault):
    one, other = beside_others
    before = series_of(one)
    for place in beside_others:
        put(place, fault)

    (named,) = use(warnings, one)
    assert "influx delete" in named.hint
    run_as_told(one, named.hint)

    assert series_of(one) == before
    assert len(series_of(other)) == 3


def test_a_delete_of_influxql_leaves_the_other_buckets_of_the_database_alone(use, beside_others):
    other, _ = beside_others
    one = Bucket(other.server, other.name.partition("/")[0])
    one.make()
    for place in (one, other):
        put(place, BTC)
        put(place, FAULTS[0])
    before = series_of(other)

    (named,) = use(warnings, one)
    assert "POST to /query" in named.hint
    run_as_told(one, named.hint)

    assert len(series_of(one)) == 1
    assert series_of(other) == before


def test_where_no_statement_takes_a_series_alone_that_is_said(use, beside_others):
    one, _ = beside_others
    put(one, "exchange=binance,symbol=BTCUSDT")

    (named,) = use(warnings, one)

    assert "InfluxDB has no statement that removes them from this bucket and not" in named.hint
    assert BTC in named.hint
    assert "influx delete" not in named.hint


def test_what_takes_too_long_is_told_and_not_waited_for(use, box, monkeypatch):
    async def slow(self, measurement):
        await anyio.sleep(60)

    put(box, BTC)
    monkeypatch.setattr(Look, "series", slow)

    told = "not all series that double ours were looked through within 0.05 s"
    # On a busy machine the types of fields are cut off, too.
    assert told in [one.text for one in use(warnings, timing=StoreTiming(look_s=0.05))]
