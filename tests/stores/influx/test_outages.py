"""A server that stops, hangs, is full or is overloaded: waited for as long as allowed, then one clear end."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from laklak.errors import StoreDown, StoreError, StoreFull, StoreRefused, StoreUnavailable
from laklak.model import DAY_MS, Series, TimeRange

START = 1_767_225_600_000
DAYS = TimeRange(START, START + 3 * DAY_MS)


def test_a_server_that_is_stopped_and_started_in_the_middle_loses_nothing(use, own_influxd, deliver):
    server = own_influxd()
    series = [Series.parse(f"binance:S{i}:1m") for i in range(20)]

    async def work(store):
        for i, one in enumerate(series):
            if i == 7:
                server.stop()
                threading.Timer(1.0, server.start).start()
            await store.write([deliver(one, 1000, seed=i)])
        return [await store.count(one, DAYS) for one in series]

    assert use(work, server.url("x")) == [1000] * 20


def test_a_server_that_is_killed_in_the_middle_of_a_write_loses_nothing(use, own_influxd, deliver):
    server = own_influxd()
    deliveries = [deliver(Series.parse(f"binance:S{i}:1m"), 2000, seed=i) for i in range(30)]

    def restart():
        server._process.kill()
        server._process.wait()
        server.start()

    async def work(store):
        killer = threading.Timer(0.1, restart)
        killer.start()
        written = await store.write(deliveries)
        await asyncio.to_thread(killer.join)
        return written.refused, [await store.count(delivery.series, DAYS) for delivery in deliveries]

    assert use(work, server.url("x"), lines_per_batch=500) == ({}, [2000] * 30)


def test_a_server_that_hangs_for_a_while_loses_nothing(use, own_influxd, series, deliver):
    server = own_influxd()

    async def work(store):
        server.pause()
        threading.Timer(1.0, server.resume).start()
        await store.write([deliver(series, 1000)])
        return await store.count(series, DAYS)

    assert use(work, server.url("x")) == 1000


def test_a_server_that_stays_away_ends_the_run_after_the_wait(use, own_influxd, series, deliver):
    server = own_influxd()

    async def work(store):
        server.stop()
        start = time.monotonic()
        with pytest.raises(StoreDown) as caught:
            await store.write([deliver(series, 1000)])
        return caught.value, time.monotonic() - start

    error, seconds = use(work, server.url("x"), max_wait_s=2)
    assert (error.exit_code, error.reason) == (1, "store_down")
    assert f"InfluxDB at localhost:{server.port} has not worked for 2 s" in str(error)
    assert 0.5 < seconds < 3


def test_a_write_that_is_cancelled_while_it_waits_ends_at_once(use, own_influxd, series, deliver):
    server = own_influxd()

    async def work(store):
        server.stop()
        start = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await store.write([deliver(series, 1000)])
        return time.monotonic() - start

    assert use(work, server.url("x")) < 1


def test_a_database_that_is_dropped_in_the_middle_ends_the_run_at_once(use, own_influxd, series, deliver):
    server = own_influxd()

    async def work(store):
        await store.write([deliver(series, 10)])
        server.ask("DROP DATABASE x")
        with pytest.raises(StoreRefused) as caught:
            await store.write([deliver(series, 10)])
        return caught.value

    error = use(work, server.url("x"))
    assert (error.exit_code, error.reason) == (1, "store_refused")
    assert 'database not found: "x"' in str(error)


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


NO_SPACE = b'{"error":"[shard 7] write /var/lib/influxdb/wal/x/_00001.wal: no space left on device"}'


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        ((500, {}, NO_SPACE), StoreFull, "no space left on device"),
        ((507, {}, b""), StoreFull, "is full"),
        ((401, {}, b'{"error":"authorization failed"}'), StoreRefused, "authorization failed"),
        ((403, {}, b"<html>forbidden"), StoreRefused, "refused the login"),
        ((404, {}, b'{"error":"database not found: \\"db\\""}'), StoreRefused, "database not found"),
        ((404, {}, b"<html>"), StoreRefused, "does not answer like InfluxDB"),
        ((302, {"Location": "http://elsewhere.invalid/"}, b""), StoreRefused, "HTTP status 302"),
        ((400, {}, b'{"error":"database is required"}'), StoreError, "database is required"),
    ],
)
def test_a_fault_that_waiting_does_not_heal_ends_at_once(use, serve, healthy, series, deliver, answer, kind, text):
    told = serve(lambda path, body: answer if path.startswith("/write") else healthy(path, body))

    with pytest.raises(kind, match=text) as caught:
        use(lambda store: store.write([deliver(series, 10)]), told.url)

    assert caught.value.exit_code == 1
    assert not isinstance(caught.value, StoreUnavailable)
    assert sum(path.startswith("/write") for path, _ in told.asked) == 1


@pytest.mark.parametrize(
    "fault",
    [
        (500, {}, b'{"error":"timeout"}'),
        (500, {}, b'{"error":"engine: cache-max-memory-size exceeded: (1073741824/1073741824)"}'),
        (503, {}, b""),
        (429, {"Retry-After": "0"}, b"slow down"),
        (502, {}, b"<html>bad gateway"),
    ],
)
def test_a_passing_fault_is_tried_again(use, serve, healthy, series, deliver, fault):
    left = [2]

    def answer(path, body):
        if path.startswith("/write") and left[0]:
            left[0] -= 1
            return fault
        return healthy(path, body)

    written = use(lambda store: store.write([deliver(series, 10)]), serve(answer).url)

    assert (written.refused, left) == ({}, [0])


def test_the_pause_that_a_server_asks_for_is_kept(use, serve, healthy, series, deliver):
    times = []

    def answer(path, body):
        if path.startswith("/write"):
            times.append(time.monotonic())
            if len(times) == 1:
                return 429, {"Retry-After": "1"}, b""
        return healthy(path, body)

    use(lambda store: store.write([deliver(series, 10)]), serve(answer).url)

    assert times[1] - times[0] >= 1


def test_a_pause_longer_than_may_be_waited_ends_at_once(use, serve, healthy, series, deliver):
    told = serve(
        lambda path, body: (429, {"Retry-After": "3600"}, b"") if path.startswith("/write") else healthy(path, body)
    )

    with pytest.raises(StoreDown):
        use(lambda store: store.write([deliver(series, 10)]), told.url)


def test_no_error_tells_a_password(use, serve, healthy, series, deliver, caplog):
    told = serve(
        lambda path, body: (401, {}, b'{"error":"authorization failed"}') if "write" in path else healthy(path, body)
    )
    url = told.url.replace("://", "://me:se%2Fcret@")

    with pytest.raises(StoreRefused) as caught:
        use(lambda store: store.write([deliver(series, 10)]), url)

    assert "cret" not in f"{caught.value}{caught.value.hint}{caplog.text}"


def test_a_closed_store_says_so(use, open_store, series):
    async def work(store):
        await store.close()
        await store.close()
        with pytest.raises(StoreError, match="is closed"):
            await store.count(series, DAYS)

    use(work)


def test_several_batches_are_in_flight_and_not_all_of_them(use, serve, healthy, series, deliver):
    now, most = [0], [0]
    lock = threading.Lock()
    together = threading.Barrier(4)

    def answer(path, body):
        if path.startswith("/write"):
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            together.wait(10)
            with lock:
                now[0] -= 1
        return healthy(path, body)

    use(lambda store: store.write([deliver(series, 120)]), serve(answer).url, lines_per_batch=10)

    assert most == [4]
