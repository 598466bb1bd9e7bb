"""What only InfluxDB 2.x has: answers in CSV, batches refused as a whole, tokens, buckets."""

from __future__ import annotations

import pytest

from laklak.errors import StoreDown, StoreError, StoreRefused
from laklak.model.candles import CandleBatch
from laklak.model.series import DAY_MS, MINUTE_MS, Series, TimeRange
from laklak.stores.base import Delivery

START = 1_767_225_600_000
DAYS = TimeRange(START, START + 3 * DAY_MS)
UNREADABLE = b'{"code":"invalid","message":"unable to parse \'...\': invalid boolean"}'


@pytest.fixture
def server_name():
    return "influxd2"


@pytest.fixture
def kind():
    return "2.x"


def answering(healthy, body, status=200):
    return lambda path, sent: (status, {}, body) if path.startswith("/api/v2/query") else healthy(path, sent)


# Answers


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b",result,table,_time\r\n,_result,0,2026-01-01T00:00:00Z\r\n",
        b",result,table,_time\r\n,_result,0,2026-01-",
        b"<html>portal</html>\r\n<p>\r\n\r\n",
        b",result,table,_time\r\n,_result,0\r\n\r\n",
        b',result,table,_time\r\n,_result,0,"2026\r\n\r\n',
        b"\xff\xfe\r\n\r\n",
    ],
)
def test_an_answer_that_is_cut_off_or_no_answer_is_never_taken_for_nothing(use, serve, healthy, series, body):
    async def work(store):
        return await store.open_times(series, DAYS)

    def answer(path, sent):
        if b"BTCUSDT" in sent:
            return 200, {}, body
        return healthy(path, sent)

    with pytest.raises(StoreDown):
        use(work, serve(answer).url, max_wait_s=0)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, b'{"code":"invalid","message":"runtime error: memory allocation limit reached"}'),
        (200, b",error,reference\r\n,memory allocation limit reached,897\r\n\r\n"),
        (
            200,
            b",result,table,_time\r\n,_result,0,2026-01-01T00:00:00Z\r\n\r\n"
            b",error,reference\r\n,memory allocation limit reached,\r\n\r\n",
        ),
    ],
)
def test_a_query_that_fails_is_an_error_with_the_servers_sentence(use, serve, healthy, series, status, body):
    def answer(path, sent):
        return (status, {}, body) if b"BTCUSDT" in sent else healthy(path, sent)

    with pytest.raises(StoreError, match=r"cannot do what was asked: .*memory allocation limit reached"):
        use(lambda store: store.open_times(series, DAYS), serve(answer).url)


def test_a_bucket_that_goes_while_it_is_read_is_told(use, box, series):
    async def work(store):
        box.remove()
        with pytest.raises(StoreRefused, match="could not find bucket"):
            await store.open_times(series, DAYS)

    use(work)


def test_no_answer_brings_a_handler_to_the_root_logger(use, serve, healthy, series, deliver, monkeypatch):
    # influxdb-client 1.50 would call logging.debug() for an error that is not JSON, which adds one.
    def called(*words, **options):
        raise AssertionError("the root logger was used")

    monkeypatch.setattr("logging.basicConfig", called)
    left = [1]

    def answer(path, body):
        if left and path.startswith("/api/v2/write"):
            left.pop()
            return 502, {}, b"<html>bad gateway"
        return healthy(path, body)

    assert use(lambda store: store.write([deliver(series, 10)]), serve(answer).url).refused == {}
    assert not left


# Writing


def test_lines_that_cannot_be_read_are_found_by_halving_and_the_others_are_written(use, serve, healthy, deliver):
    guilty = {START + 3 * MINUTE_MS, START + 77 * MINUTE_MS, START + 78 * MINUTE_MS}
    stored = set()

    def answer(path, body):
        if path.startswith("/api/v2/write"):
            times = {int(line.split(b" ")[-1]) for line in body.splitlines()}
            if times & guilty:
                return 400, {}, UNREADABLE
            stored.update(times)
        return healthy(path, body)

    told = serve(answer)
    written = use(lambda store: store.write([deliver(Series.parse("b:A:1m"), 100)]), told.url)

    assert written.refused == {0: sorted(guilty)}
    assert stored == {START + i * MINUTE_MS for i in range(100)} - guilty
    assert len(told.written) < 60


def test_a_shard_that_refuses_does_not_take_others_along(use, box, deliver):
    # 40 candles in a good week, 5 in one in which another program has kept text.
    async def work(store):
        await store.count(Series.parse("binance:A:1m"), DAYS)
        box.put(f'binance_ohlc,symbol=OTHER volume="many" {START}\n')
        return await store.write(
            [
                deliver(Series.parse("binance:A:1m"), 40, start_ms=START - 10 * DAY_MS),
                deliver(Series.parse("binance:A:1m"), 5),
                deliver(Series.parse("binance:B:1m"), 60, start_ms=START + 30 * DAY_MS),
            ]
        )

    for _ in range(5):
        box.remove()
        box.make()
        written = use(work)

        assert written.refused == {1: [START + i * MINUTE_MS for i in range(5)]}
        assert len(box.points("binance_ohlc", "close")) == 100


def test_the_dead_letter_says_how_it_is_sent_again(use, box, series, tmp_path):
    bad = CandleBatch(series, [START], (("1",), ("2",), ("1",), ("inf",), ("7",)), ((1.0,),) * 5)

    use(lambda store: store.write([Delivery(series, bad)]), dead_letter=tmp_path / "my dead.lp")

    head, reason, line = (tmp_path / "my dead.lp").read_text().splitlines()
    assert head == (
        f"# send again: influx write --org laklak --bucket '{box.name}' --precision ms --file '{tmp_path}/my dead.lp'"
    )
    assert "unable to parse" in reason
    assert line.endswith(f"close=inf,volume=7 {START}")


def test_a_token_that_is_taken_back_in_the_middle_ends_the_run_at_once(use, box, series, deliver):
    token = box.server.make_token(read=[box.name], write=[box.name])

    async def work(store):
        await store.write([deliver(series, 10)])
        listed = box.server.api("GET", "/api/v2/authorizations")["authorizations"]
        (own,) = [one["id"] for one in listed if one["token"] == token]
        box.server.api("DELETE", f"/api/v2/authorizations/{own}")
        with pytest.raises(StoreRefused, match="refused the login") as caught:
            await store.write([deliver(series, 10)])
        return f"{caught.value}{caught.value.hint}"

    assert token not in use(work, box.url, token=token)


def test_a_cache_that_is_full_is_waited_for(use, own_influxd2, deliver, caplog):
    sizes = {"CACHE_MAX_MEMORY_SIZE": "100000", "CACHE_SNAPSHOT_MEMORY_SIZE": "1000"}
    server = own_influxd2(**{f"INFLUXD_STORAGE_{name}": size for name, size in sizes.items()})
    deliveries = [deliver(Series.parse(f"binance:S{i}:1m"), 500, seed=i) for i in range(5)]

    async def work(store):
        written = await store.write(deliveries)
        return written.refused, [await store.count(delivery.series, DAYS) for delivery in deliveries]

    assert use(work, server.url(), token=server.token, batch_lines=250) == ({}, [500] * 5)
    assert "cache-max-memory-size exceeded" in caplog.text


# Reading


def test_series_and_absences_with_texts_of_any_kind_come_back(use, box, deliver):
    series = Series.parse("binance:币安人生USDT:1d")

    async def work(store):
        await store.write([deliver(series, 80)])
        return await store.holdings(), await store.count(series, TimeRange(0, 2**53))

    holdings, count = use(work)
    assert holdings == {series: TimeRange(START, START + 80 * DAY_MS)}
    assert count == 80


def test_a_range_that_ends_before_it_begins_is_empty(use, series):
    async def work(store):
        empty = TimeRange(START, START)
        return (
            await store.count(series, empty),
            await store.count_by_day(series, empty),
            await store.open_times(series, empty),
            await store.absences(series, empty),
            len((await store.read(series, empty)).open_times),
            len((await store.read(series, empty, last=3)).open_times),
        )

    assert use(work) == (0, {}, [], [], 0, 0)


def test_people_get_candles_as_rows_with_one_question(use, influxd2, series, deliver):
    delivery = deliver(series, 3)
    use(lambda store: store.write([delivery]), influxd2.url(), token=influxd2.token)

    found = influxd2.flux(
        """
        from(bucket: "market_data")
          |> range(start: 2026-01-01T00:00:00Z, stop: 2026-01-02T00:00:00Z)
          |> filter(fn: (r) => r._measurement == "binance_ohlc" and r.symbol == "BTCUSDT" and r.timeframe == "1m")
          |> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")
          |> keep(columns: ["_time", "open", "high", "low", "close", "volume"])
        """
    )

    columns = ("_time", "open", "high", "low", "close", "volume")
    candles = delivery.candles
    assert [tuple(row[name] for name in columns) for row in found] == list(
        zip(candles.open_times, *candles.values, strict=True)
    )
