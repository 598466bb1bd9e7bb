"""Fields that are no floats: a server refuses candles in their shard, and in no other."""

from __future__ import annotations

import asyncio
import re

import pytest

from laklak.errors import StoreUnavailable
from laklak.model.series import DAY_MS, MINUTE_MS, Series, TimeRange
from laklak.stores.base import Written
from laklak.stores.influx.look import Look, Shard
from laklak.stores.influx.types import cells_of

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


def test_a_stray_at_the_last_moment_before_a_closed_shard_is_named(use, box, spoil, series):
    if box.kind == "2.x":
        pytest.skip("2.7.12 looks past the end of a range, so its last millisecond is left out")
    spoil()
    box.put_ns(f"{KEY} open=1,high=1,low=1,close=1,volume=1 {MONDAY * 1_000_000 - 1}")

    odd = use(lambda store: store.odd(series, WEEKS))

    assert (odd.strays.count, odd.strays.first_ns) == (1, MONDAY * 1_000_000 - 1)


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


# Shards of several lengths: those of before an ALTER stay, and 1.6.7 lays longer new ones over them


@pytest.fixture(params=["shards are shown", "shards are not shown"])
def layout(request, box, monkeypatch):
    """Say how long the shards are that the server makes from now on."""
    if box.kind == "2.x":
        pytest.skip("the shards of a bucket are those it was made with")
    if request.param == "shards are not shown":

        async def refused(self):
            return []

        monkeypatch.setattr(Look, "shards", refused)
    quoted = box.name.replace('"', '\\"')

    def alter(duration):
        box.server.ask(f'ALTER RETENTION POLICY autogen ON "{quoted}" SHARD DURATION {duration}')

    return alter


KEY = "binance_ohlc,exchange=binance,symbol=BTCUSDT,timeframe=1m"
HOUR_MS = 60 * MINUTE_MS
TUESDAY = MONDAY + DAY_MS


def put_minutes(box, start_ms, minutes, value):
    fields = ",".join(f"{field}={value}" for field in ("open", "high", "low", "close", "volume"))
    box.put("".join(f"{KEY} {fields} {start_ms + minute * MINUTE_MS}\n" for minute in minutes))


def held(use, series, span=WEEKS):
    async def work(store):
        closed = await ask_closed(store, span)
        return await store.count(series, span), await store.open_times(series, span), closed

    count, times, closed = use(work)
    assert count == len(times)
    return times, closed


def test_integers_in_a_short_shard_that_a_longer_one_lies_over_are_no_candles(use, box, layout, series):
    layout("1d")
    put_minutes(box, TUESDAY, range(3), "1i")
    layout("7d")
    put_minutes(box, TUESDAY + DAY_MS, range(2), "1.5")

    times, closed = held(use, series)

    assert times == [TUESDAY + DAY_MS, TUESDAY + DAY_MS + MINUTE_MS]
    assert spans_of(closed) == [TimeRange(TUESDAY, TUESDAY + DAY_MS)]
    assert "close may be integer" in closed[0].reason


def test_floats_of_a_long_shard_do_not_hide_integers_of_a_short_one_in_the_same_minutes(use, box, layout, series):
    layout("1d")
    put_minutes(box, TUESDAY, range(0, 10, 2), "2i")
    layout("7d")
    # In one request with a point of the long shard, these go there too.
    fields = "open=1.5,high=1.5,low=1.5,close=1.5,volume=1.5"
    times = [TUESDAY + 2 * DAY_MS, *(TUESDAY + minute * MINUTE_MS for minute in range(1, 10, 2))]
    box.put("".join(f"{KEY} {fields} {time_ms}\n" for time_ms in times))

    assert held(use, series)[0] == [TUESDAY + 2 * DAY_MS]


def test_shards_that_lie_over_each_other_are_open_where_no_value_can_be_an_integer(use, box, layout, series):
    layout("1d")
    put_minutes(box, TUESDAY, range(3), "1.25")
    layout("7d")
    put_minutes(box, TUESDAY + DAY_MS, range(2), "1.5")
    put_minutes(box, MONDAY + WEEK_MS, range(1), "1i")

    times, closed = held(use, series)

    assert len(times) == 5
    assert spans_of(closed) == [TimeRange(MONDAY + WEEK_MS, closed[-1].span.end_ms)]


def test_text_in_a_short_shard_under_a_longer_one_closes_it_alone(use, box, layout, series):
    layout("1d")
    box.put(f'binance_ohlc,symbol=OTHER close="1" {TUESDAY}\n')
    put_minutes(box, TUESDAY + DAY_MS, range(3), "1")
    layout("7d")
    put_minutes(box, TUESDAY + 2 * DAY_MS, range(2), "1")

    times, closed = held(use, series)

    assert len(times) == 5
    assert spans_of(closed) == [TimeRange(TUESDAY, TUESDAY + DAY_MS)]
    assert "close may be string" in closed[0].reason


@pytest.mark.parametrize(("duration", "length_ms"), [("1h", HOUR_MS), ("90m", 90 * MINUTE_MS), ("7h", 7 * HOUR_MS)])
def test_an_old_shard_shorter_than_a_day_is_told_from_its_neighbours(use, box, layout, series, duration, length_ms):
    # Servers count shards from the year 1.
    shard_ms = TUESDAY + 10 * HOUR_MS - (TUESDAY + 10 * HOUR_MS + 62_135_596_800_000) % length_ms
    shard = TimeRange(shard_ms, shard_ms + length_ms)
    day = range(TUESDAY, TUESDAY + DAY_MS, HOUR_MS)
    others = [time_ms for time_ms in day if not shard.start_ms <= time_ms < shard.end_ms]
    layout(duration)
    put_minutes(box, TUESDAY + 10 * HOUR_MS, range(1), "1i")
    for time_ms in others:
        put_minutes(box, time_ms, range(1), "1")
    layout("7d")
    put_minutes(box, TUESDAY + 2 * WEEK_MS, range(1), "1")

    times, closed = held(use, series, TimeRange(WEEKS.start_ms, TUESDAY + 3 * WEEK_MS))

    assert spans_of(closed) == [shard]
    assert times == [*others, TUESDAY + 2 * WEEK_MS]


def test_dropping_the_shard_that_is_named_opens_what_lay_under_a_longer_one(use, box, layout, series, request):
    if "not" in request.node.callspec.id:
        pytest.skip("without the right to see shards the user is told to ask somebody who has it")
    layout("1d")
    put_minutes(box, TUESDAY, range(3), "1i")
    layout("7d")
    put_minutes(box, TUESDAY + DAY_MS, range(2), "1.5")
    (closed,) = use(ask_closed)
    (statement,) = re.findall(r"DROP SHARD \d+", closed.remedy)

    box.server.ask(statement)

    times, closed = held(use, series)
    assert (len(times), closed) == (2, [])


def test_a_shard_is_asked_about_where_it_is_alone():
    def shard(number, first, after):
        return Shard(TimeRange(first, after), number)

    cells = cells_of([shard(1, 0, 10), shard(2, 2, 4), shard(3, 4, 6), shard(4, 5, 12), shard(5, 20, 30)])

    assert [(cell.shard.number, (cell.ask.start_ms, cell.ask.end_ms), cell.alone) for cell in cells] == [
        (1, (0, 2), True),
        (2, (2, 4), False),
        (3, (4, 6), False),
        (4, (10, 12), True),
        (5, (20, 30), True),
    ]


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


def test_what_was_found_until_it_took_too_long_is_told(use, box, spoil, monkeypatch, run_out_of_time):
    spoil()
    spoil(value="1", time_ms=MONDAY - DAY_MS)
    spoil(value="1", time_ms=MONDAY + 20 * WEEK_MS)
    kinds_in = Look.kinds_in

    async def slow(self, measurement, fields, span):
        if span.start_ms > WEEK.end_ms:
            await run_out_of_time()
        return await kinds_in(self, measurement, fields, span)

    monkeypatch.setattr(Look, "kinds_in", slow)

    found = [one.text for one in use(lambda store: store.examine()) if one.verdict == "warning"]

    assert found[0].startswith("binance_ohlc keeps other types than floats from 2026-01-0")
    assert found[1] == "not all types of fields were looked through within 4 s"


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
