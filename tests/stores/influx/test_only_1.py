"""What only InfluxDB 1.x has: retention policies, limits of a server's own, answers in JSON, rights of users."""

from __future__ import annotations

from array import array

import pytest

from laklak.errors import StoreDown, StoreError, StoreRefused
from laklak.model.series import DAY_MS, MINUTE_MS, TimeRange
from laklak.stores.base import Written

START = 1_767_225_600_000
DAYS = TimeRange(START, START + 3 * DAY_MS)
LINE = "binance_ohlc,exchange=binance,symbol=BTCUSDT,timeframe=1m open=1,high=1,low=1,close=1,volume=1"


@pytest.fixture
def server_name():
    return "influxd"


@pytest.fixture
def kind():
    return "1.x"


def test_points_of_another_policy_are_not_counted(use, box, series):
    quoted = box.name.replace('"', '\\"')
    box.server.ask(f'CREATE RETENTION POLICY other ON "{quoted}" DURATION INF REPLICATION 1')
    box.server.put(f"{LINE} {START}\n", box.name, "other")

    assert use(lambda store: store.count(series, DAYS)) == 0


def test_candles_stay_what_they_are_when_the_default_policy_changes(use, box, series, deliver):
    quoted = box.name.replace('"', '\\"')

    async def work(store):
        await store.write([deliver(series, 10)])
        box.server.ask(f'CREATE RETENTION POLICY other ON "{quoted}" DURATION INF REPLICATION 1 DEFAULT')
        await store.write([deliver(series, 20)])
        return await store.count(series, DAYS), len((await store.read(series, DAYS)).open_times)

    assert use(work) == (20, 20)


def test_a_server_that_cuts_rows_off_does_not_cut_ours(use, own_influxd, series, deliver):
    server = own_influxd(INFLUXDB_HTTP_MAX_ROW_LIMIT="100")

    async def work(store):
        await store.write([deliver(series, 25_000)])
        return len((await store.read(series, TimeRange(0, 10**13))).open_times)

    assert use(work, server.url("x")) == 25_000


@pytest.mark.parametrize(
    "body",
    [
        b'{"results":[{"statement_id":0,"series":[{"columns":["time","close"],"values":[[0,1]],"partial":true}]}]}\n',
        b'{"results":[{"statement_id":0,"partial":true}]}\n',
        b'{"results":[{"statement_id":0}',
        b"<html>",
        b"[]",
        b"7",
        b'{"results":7}',
        b'{"results":[{"series":7}]}',
        b"",
    ],
)
def test_an_answer_that_is_cut_off_or_no_answer_is_never_taken_for_nothing(use, serve, healthy, series, body):
    told = serve(lambda path, sent: (200, {}, body) if b"SELECT+%22close" in sent else healthy(path, sent))

    with pytest.raises(StoreDown):
        use(lambda store: store.open_times(series, DAYS), told.url, max_wait_s=0)


def test_a_query_that_the_server_cannot_run_is_an_error_with_its_sentence(use, serve, healthy, series):
    body = b'{"results":[{"statement_id":0,"error":"max-select-point limit exceeed: (7/5)"}]}'
    told = serve(lambda path, sent: (200, {}, body) if b"SELECT+count" in sent else healthy(path, sent))

    with pytest.raises(StoreError, match="max-select-point"):
        use(lambda store: store.count(series, DAYS), told.url)


def test_a_refused_overwrite_is_not_taken_for_the_candle_that_was_there(use, serve, healthy, series, deliver):
    # The minutes exist, with what was written before: only values tell that the new ones were refused.
    stored, sent = deliver(series, 3, seed=1), deliver(series, 3, seed=2)
    values = [
        f"[{time}000000,{','.join(str(column[i]) for column in (sent if i == 1 else stored).candles.values)}]"
        for i, time in enumerate(stored.candles.open_times)
    ]
    series_json = f'{{"columns":["time","open","high","low","close","volume"],"values":[{",".join(values)}]}}'

    def answer(path, body):
        if path.startswith("/write"):
            return 400, {}, b'{"error":"partial write: max-values-per-tag limit exceeded dropped=1"}'
        if b"q=SELECT+%22open%22" in body:
            return 200, {}, f'{{"results":[{{"statement_id":0,"series":[{series_json}]}}]}}'.encode()
        return healthy(path, body)

    written = use(lambda store: store.write([sent]), serve(answer).url)

    assert written.refused == {0: [sent.candles.open_times[0], sent.candles.open_times[2]]}


def test_what_is_beyond_retention_is_refused_and_not_lost_in_silence(use, influxd, box, series, deliver):
    quoted = box.name.replace('"', '\\"')
    box.server.ask(f'CREATE RETENTION POLICY short ON "{quoted}" DURATION 1d REPLICATION 1 DEFAULT')

    written = use(lambda store: store.write([deliver(series, 5)]))

    assert len(written.refused[0]) == 5


def test_too_large_a_batch_is_halved_until_it_fits(use, own_influxd, series, deliver):
    server = own_influxd(INFLUXDB_HTTP_MAX_BODY_SIZE="2000")

    async def work(store):
        written = await store.write([deliver(series, 500)])
        return written, (await store.read(series, DAYS)).values

    values = tuple(array("d", column) for column in deliver(series, 500).candles.values)
    assert use(work, server.url("x")) == (Written(), values)


def test_one_line_that_is_too_large_is_refused(use, own_influxd, series, deliver):
    server = own_influxd(INFLUXDB_HTTP_MAX_BODY_SIZE="50")

    written = use(lambda store: store.write([deliver(series, 3)]), server.url("x"))

    assert written.refused == {0: [START, START + MINUTE_MS, START + 2 * MINUTE_MS]}


def test_a_policy_that_is_dropped_in_the_middle_ends_the_run_at_once(use, own_influxd, series, deliver):
    server = own_influxd()
    server.ask("CREATE DATABASE x")
    server.ask("CREATE RETENTION POLICY other ON x DURATION INF REPLICATION 1")

    async def work(store):
        server.ask("DROP RETENTION POLICY other ON x")
        with pytest.raises(StoreRefused, match="retention policy not found"):
            await store.write([deliver(series, 10)])

    use(work, server.url("x", options="?rp=other"))


def test_rights_that_are_taken_away_in_the_middle_end_the_run_at_once(use, own_influxd, series, deliver):
    server = own_influxd(INFLUXDB_HTTP_AUTH_ENABLED="true")
    server.ask("CREATE USER admin WITH PASSWORD 'top' WITH ALL PRIVILEGES")
    server.login = ("admin", "top")
    server.ask("CREATE DATABASE x")
    server.ask("CREATE USER me WITH PASSWORD 'pw'")
    server.ask("GRANT ALL ON x TO me")

    async def work(store):
        await store.write([deliver(series, 10)])
        server.ask("REVOKE ALL ON x FROM me")
        with pytest.raises(StoreRefused, match="refused the login"):
            await store.write([deliver(series, 10)])

    use(work, server.url("x", user="me:pw"))
