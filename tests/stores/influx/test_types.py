"""Fields that are no floats: a server refuses candles in their shard, and in no other."""

from __future__ import annotations

import asyncio
import re

import anyio
import pytest

from laklak.errors import StoreUnavailable
from laklak.model.series import DAY_MS, MINUTE_MS, Series, TimeRange
from laklak.stores.base import Written
from laklak.stores.influx.look import Look

MONDAY = 1_767_571_200_000
"""2026-01-05, where a week's shard begins."""
WEEK_MS = 7 * DAY_MS
WEEK = TimeRange(MONDAY, MONDAY + WEEK_MS)
WEEKS = TimeRange(MONDAY - WEEK_MS, MONDAY + 2 * WEEK_MS)

KINDS = [("1i", "integer"), ('"1"', "string"), ("true", "boolean")]


@pytest.fixture
def spoil(box):
    """Keep a field as something else than a float in the week from MONDAY on, in a series of another program."""

    def run(field="close", value="1i", time_ms=MONDAY + 2 * DAY_MS):
        box.put(f"binance_ohlc,symbol=OTHER {field}={value} {time_ms}\n")

    return run


def spans_of(closed):
    return [one.span for one in closed]


async def ask_closed(store, span=WEEKS):
    return await store.closed_spans("binance", span)


def test_a_store_without_other_types_has_nothing_closed(use, series, deliver):
    async def work(store):
        await store.write([deliver(series, 10)])
        return await ask_closed(store)

    assert use(work) == []


@pytest.mark.parametrize("field", ["open", "high", "low", "close", "volume"])
@pytest.mark.parametrize(("value", "kind_of_it"), KINDS)
def test_the_shard_of_another_type_is_closed_whole_and_no_other(use, spoil, field, value, kind_of_it):
    spoil(field, value)
    spoil(field, "1", MONDAY - DAY_MS)
    spoil(field, "1", MONDAY + WEEK_MS)

    (closed,) = use(ask_closed)

    assert closed.span == WEEK
    assert closed.reason == f"binance_ohlc keeps other types than floats there ({field} is {kind_of_it})"


def test_all_fields_of_another_type_are_named_of_those_that_are_there(use, box):
    box.put(f"binance_ohlc,symbol=A open=1i,close=1i,volume=2 {MONDAY}\n")
    box.put(f"binance_ohlc,symbol=A open=1,high=1i,volume=2 {MONDAY + WEEK_MS}\n")
    box.put(f'binance_ohlc,symbol=A open=1,volume="2" {MONDAY - WEEK_MS}\n')

    reasons = [re.findall(r"\((.*)\)", one.reason)[0] for one in use(lambda store: ask_closed(store, WEEKS_AND_MORE))]

    assert [sorted(set(reason.split(", "))) for reason in reasons] == [
        ["volume is string"],
        ["close is integer", "open is integer"],
        ["high is integer"],
    ]


WEEKS_AND_MORE = TimeRange(MONDAY - 2 * WEEK_MS, MONDAY + 3 * WEEK_MS)


def test_types_of_points_that_were_deleted_still_close_their_shard(use, box, spoil, series, deliver):
    if box.kind == "2.x":
        pytest.skip("2.7.12 forgets the type of what is deleted until it is restarted")
    spoil()
    use(lambda store: store.write([deliver(series, 10, start_ms=MONDAY - DAY_MS)]))
    box.server.ask("DELETE FROM \"binance_ohlc\" WHERE symbol='OTHER'", box.name)

    assert spans_of(use(ask_closed)) == [WEEK]


def test_a_range_that_is_closed_as_a_whole_is_refused_with_what_mends_it(refusal, box, spoil):
    spoil()

    error = refusal(None, lambda store: ask_closed(store, TimeRange(MONDAY + DAY_MS, MONDAY + 3 * DAY_MS)))

    assert "binance_ohlc in the " in str(error)
    assert str(error).endswith("keeps other types than floats: close is integer")
    assert "LAKLAK_INFLUXDB_MEASUREMENT" in error.hint


def test_another_type_outside_of_the_range_is_no_concern(use, spoil):
    spoil(time_ms=1000)

    assert use(ask_closed) == []


def test_candles_before_and_after_a_closed_shard_are_stored_and_read(use, spoil, series, deliver):
    before = deliver(series, 20, start_ms=MONDAY - 10 * MINUTE_MS - DAY_MS)
    after = deliver(series, 20, start_ms=WEEK.end_ms - 10 * MINUTE_MS)
    spoil()

    async def work(store):
        written = await store.write([before, after])
        times = await store.open_times(series, WEEKS)
        read = await store.read(series, WEEKS)
        newest = await store.read(series, WEEKS, last=15)
        return (
            len(written.refused[1]),
            times,
            list(read.open_times),
            list(newest.open_times),
            await store.count(series, WEEKS),
            await store.count_by_day(series, WEEKS),
            (await store.holdings())[series],
        )

    refused, times, read, newest, count, by_day, span = use(work)

    expected = [*before.candles.open_times, *after.candles.open_times[10:]]
    assert refused == 10
    assert times == read == expected
    assert newest == expected[-15:]
    assert count == sum(by_day.values()) == 30
    assert span == TimeRange(expected[0], expected[-1] + MINUTE_MS)


def test_what_can_be_counted_in_a_closed_shard_is_no_candle(use, box, series):
    key = "binance_ohlc,exchange=binance,symbol=BTCUSDT,timeframe=1m"
    box.put(f"{key} open=1i,high=1i,low=1i,close=1i,volume=1i {MONDAY}\n")
    box.put(f"{key} open=1,high=1,low=1,close=1,volume=1 {MONDAY - DAY_MS}\n")

    async def work(store):
        return await store.count(series, WEEKS), await store.open_times(series, WEEKS), await store.read(series, WEEKS)

    count, times, read = use(work)

    assert (count, times, list(read.open_times)) == (1, [MONDAY - DAY_MS], [MONDAY - DAY_MS])


def test_a_series_that_begins_with_another_type_is_among_the_holdings(use, box, series):
    key = "binance_ohlc,exchange=binance,symbol=BTCUSDT,timeframe=1m"
    box.put(f"{key} open=1i,high=1i,low=1i,close=1i,volume=1i {MONDAY}\n")
    box.put(f"{key} open=1,high=1,low=1,close=1,volume=1 {MONDAY + WEEK_MS}\n")

    holdings = use(lambda store: store.holdings())

    assert holdings == {series: TimeRange(MONDAY, MONDAY + WEEK_MS + MINUTE_MS)}


def test_each_shard_is_asked_about_once(use, spoil, series, monkeypatch):
    spoil()
    asked = []
    kinds_in = Look.kinds_in

    async def counting(self, measurement, fields, span):
        asked.append(span)
        return await kinds_in(self, measurement, fields, span)

    monkeypatch.setattr(Look, "kinds_in", counting)

    async def work(store):
        await asyncio.gather(*(store.count(series, WEEKS) for _ in range(5)))
        await store.open_times(series, WEEKS)

    use(work)

    assert asked
    assert len(asked) == len(set(asked))


# What mends it


def test_the_statement_named_on_1_mends_the_shard_and_takes_what_it_says(use, box, spoil, series, deliver):
    if box.kind == "2.x":
        pytest.skip("2.x has no such statement")
    spoil()
    box.put(f"cpu,host=a v=1 {MONDAY}\ncpu,host=a v=1 {MONDAY - 1}\n")

    (closed,) = use(ask_closed)
    (statement,) = re.findall(r"DROP SHARD \d+", closed.remedy)
    assert "of every measurement" in closed.remedy
    box.server.ask(statement)

    candles = deliver(series, 10, start_ms=MONDAY)
    assert use(ask_closed) == []
    assert use(lambda store: store.write([candles])) == Written()
    assert box.points("cpu", "v") == [(MONDAY - 1, 1)]


def test_what_is_said_not_to_help_does_not_help(use, box, spoil, series, deliver, own_box):
    place = own_box()
    place.put(f"binance_ohlc,symbol=OTHER close=1i {MONDAY}\n")
    place.put(f"binance_ohlc,symbol=OTHER close=1 {MONDAY - DAY_MS}\n")
    place.erase("binance_ohlc") if place.kind == "2.x" else place.server.ask("DELETE FROM binance_ohlc", place.name)
    place.server.stop()
    place.server.start()

    written = use(lambda store: store.write([deliver(series, 10, start_ms=MONDAY)]), place)

    assert len(written.refused[0]) == 10


def test_a_user_without_the_right_to_see_shards_learns_the_days(use, own_influxd, server_name, series):
    if server_name != "influxd":
        pytest.skip("2.x shows its shards to nobody")
    server = own_influxd(INFLUXDB_HTTP_AUTH_ENABLED="true")
    server.guard()
    server.ask("CREATE DATABASE x")
    server.ask("GRANT ALL ON x TO writer")
    for value, time_ms in (("1i", MONDAY + DAY_MS), ("1", MONDAY - DAY_MS), ("1", MONDAY + WEEK_MS)):
        server.put(f"binance_ohlc,symbol=OTHER close={value} {time_ms}\n", "x")

    (closed,) = use(ask_closed, server.url("x", user="writer"), password="hunt er2@/:")

    assert closed.span == WEEK
    assert "let an administrator run SHOW SHARDS, and DROP SHARD with the id of each shard" in closed.remedy
    assert "2026-01-05T00:00Z to 2026-01-12T00:00Z" in closed.remedy


def test_shards_of_before_the_policy_was_altered_are_found(use, box, spoil):
    if box.kind == "2.x":
        pytest.skip("the shards of a bucket are those it was made with")
    spoil()
    spoil(value="1", time_ms=MONDAY - DAY_MS)
    quoted = box.name.replace('"', '\\"')
    box.server.ask(f'ALTER RETENTION POLICY autogen ON "{quoted}" SHARD DURATION 1d')

    assert spans_of(use(ask_closed)) == [WEEK]


def test_a_bucket_whose_name_in_influxql_is_given_to_another_is_not_taken_for_it(use, server_name, request, series):
    if server_name != "influxd2":
        pytest.skip("1.x has no buckets")
    server = request.getfixturevalue("own_influxd2")()
    for name in ("plain", "other"):
        server.make_bucket(name)
    mapping = {"database": "plain", "retention_policy": "autogen", "default": True}
    server.api("POST", "/api/v2/dbrps", {**mapping, "orgID": server._org_id, "bucketID": server.bucket_id("other")})
    server.put(f"binance_ohlc,symbol=X close=1i {MONDAY}\n", "other")
    server.put(f"binance_ohlc,symbol=X close=1 {MONDAY}\n", "plain")

    async def work(store):
        return await ask_closed(store), [one.text for one in await store.examine() if one.verdict == "warning"]

    closed, (warning,) = use(work, server.url("plain"), token=server.token)

    assert closed == []
    assert warning.startswith("the name of this bucket in InfluxQL belongs to another one: not looked for are days of")


def test_what_was_found_until_it_took_too_long_is_told(use, box, spoil, monkeypatch):
    spoil()
    spoil(value="1", time_ms=MONDAY - DAY_MS)
    spoil(value="1", time_ms=MONDAY + 20 * WEEK_MS)
    kinds_in = Look.kinds_in

    async def slow(self, measurement, fields, span):
        if span.start_ms > WEEK.end_ms:
            await anyio.sleep(60)
        return await kinds_in(self, measurement, fields, span)

    monkeypatch.setattr("laklak.stores.influx.checking._LOOK_S", 1.0)
    monkeypatch.setattr(Look, "kinds_in", slow)

    found = [one.text for one in use(lambda store: store.examine()) if one.verdict == "warning"]

    assert found[0].startswith("binance_ohlc keeps other types than floats from 2026-01-0")
    assert found[1] == "not all types of fields were looked through within 1 s"


def test_nothing_is_closed_where_there_is_no_database(open_store, box):
    box.remove()

    async def main():
        async with open_store(create=False) as store:
            return await ask_closed(store)

    assert asyncio.run(main()) == ()


def test_a_server_that_goes_away_while_types_are_asked_is_no_type(use, own_box):
    place = own_box()
    place.put(f"binance_ohlc,symbol=X close=1i {MONDAY}\n")
    place.put(f"binance_ohlc,symbol=X close=1 {MONDAY - DAY_MS}\n")

    async def work(store):
        await store.count(Series.parse("binance:X:1m"), TimeRange(MONDAY - DAY_MS, MONDAY - DAY_MS + MINUTE_MS))
        place.server.stop()
        await ask_closed(store)

    with pytest.raises(Exception, match="InfluxDB at") as caught:
        use(work, place, max_wait_s=0)
    assert not isinstance(caught.value, StoreUnavailable)
