"""What a server does only when it is ill, said by one that answers as it is told, and how requests look."""

from __future__ import annotations

import gzip
import threading
import time
import traceback

import pytest

from laklak.errors import StoreDown, StoreError, StoreFull, StoreRefused, StoreUnavailable
from laklak.model.series import MINUTE_MS, Series
from laklak.tasks.timing import StoreTiming

START = 1_767_225_600_000

NO_SPACE = b'{"error":"[shard 7] write /var/lib/influxdb/wal/x/_00001.wal: no space left on device"}'
NO_SPACE_2 = (
    b'{"code":"internal error","message":"unexpected error writing points to database: no space left on device"}'
)


@pytest.fixture
def box():
    """No real server is needed here."""


def writes(path):
    return path.startswith(("/write", "/api/v2/write"))


def test_batches_are_packed_when_asked_for(use, serve, healthy, series, deliver):
    told = serve(healthy)

    use(lambda store: store.write([deliver(series, 10)]), told.url, gzip=True)

    (body,) = told.written
    assert gzip.decompress(body).count(b"\n") == 10


def test_a_batch_is_in_order_of_series_and_time(use, serve, healthy, deliver):
    told = serve(healthy)
    parts = [
        deliver(Series.parse(f"binance:{symbol}:1m"), 3, start_ms=START + minute * MINUTE_MS)
        for symbol, minute in [("B", 9), ("A", 9), ("B", 0), ("A", 0)]
    ]

    use(lambda store: store.write(parts), told.url)

    (body,) = told.written
    keys = [(line.split(b" ")[0], int(line.split(b" ")[2])) for line in body.splitlines()]
    assert keys == sorted(keys)
    assert len(keys) == 12


@pytest.mark.parametrize("body", [b"<html>captive portal</html>", b"{}", b""])
def test_only_no_content_means_written(use, serve, healthy, series, deliver, body):
    told = serve(lambda path, sent: (200, {}, body) if writes(path) else healthy(path, sent))

    with pytest.raises(StoreError, match="does not answer like InfluxDB"):
        use(lambda store: store.write([deliver(series, 3)]), told.url)


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        ((500, {}, NO_SPACE), StoreFull, "no space left on device"),
        ((500, {}, NO_SPACE_2), StoreFull, "no space left on device"),
        ((507, {}, b""), StoreFull, "is full"),
        ((401, {}, b'{"error":"authorization failed"}'), StoreRefused, "authorization failed"),
        ((403, {}, b"<html>forbidden"), StoreRefused, "refused the login"),
        ((404, {}, b'{"error":"database not found: \\"db\\""}'), StoreRefused, "database not found"),
        ((404, {}, b'{"code":"not found","message":"bucket \\"db\\" not found"}'), StoreRefused, "not found"),
        ((403, {}, b'{"code":"forbidden","message":"insufficient permissions for write"}'), StoreRefused, "for write"),
        ((404, {}, b"<html>"), StoreRefused, "does not answer like InfluxDB"),
        ((302, {"Location": "http://elsewhere.invalid/"}, b""), StoreRefused, "HTTP status 302"),
        ((400, {}, b'{"error":"database is required"}'), StoreError, "database is required"),
    ],
)
def test_a_fault_that_waiting_does_not_heal_ends_at_once(use, serve, healthy, series, deliver, answer, error, text):
    told = serve(lambda path, body: answer if writes(path) else healthy(path, body))

    with pytest.raises(error, match=text) as caught:
        use(lambda store: store.write([deliver(series, 10)]), told.url)

    assert caught.value.exit_code == 1
    assert not isinstance(caught.value, StoreUnavailable)
    assert len(told.written) == 1


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
        if writes(path) and left[0]:
            left[0] -= 1
            return fault
        return healthy(path, body)

    written = use(
        lambda store: store.write([deliver(series, 10)]), serve(answer).url, timing=StoreTiming(pause_first_s=0.02)
    )

    assert (written.refused, left) == ({}, [0])


def test_the_pause_that_a_server_asks_for_is_kept(use, serve, healthy, series, deliver):
    times = []

    def answer(path, body):
        if writes(path):
            times.append(time.monotonic())
            if len(times) == 1:
                return 429, {"Retry-After": "1"}, b""
        return healthy(path, body)

    use(lambda store: store.write([deliver(series, 10)]), serve(answer).url)

    assert times[1] - times[0] >= 1


def test_a_pause_longer_than_may_be_waited_ends_at_once(use, serve, healthy, series, deliver):
    told = serve(lambda path, body: (429, {"Retry-After": "3600"}, b"") if writes(path) else healthy(path, body))

    with pytest.raises(StoreDown):
        use(lambda store: store.write([deliver(series, 10)]), told.url)


def test_no_error_tells_a_password_or_token(use, serve, kind, healthy, series, deliver, caplog):
    told = serve(
        lambda path, body: (401, {}, b'{"error":"authorization failed"}') if writes(path) else healthy(path, body)
    )
    url = told.url.replace("://", "://:se%2Fcret@" if kind == "2.x" else "://me:se%2Fcret@")

    with pytest.raises(StoreRefused) as caught:
        use(lambda store: store.write([deliver(series, 10)]), url)

    assert "cret" not in f"{caught.value}{caught.value.hint}{caplog.text}"


@pytest.mark.parametrize("status", [407, 502])
def test_a_proxy_that_refuses_is_told_and_its_login_is_not(use, serve, kind, healthy, status, monkeypatch, caplog):
    proxy = serve(lambda path, body: (status, {}, b""))
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:se-cret@127.0.0.1:{proxy.port}")
    monkeypatch.setenv("NO_PROXY", "")
    url = proxy.url.replace("://", "+https://").replace("127.0.0.1", "db.invalid")

    with pytest.raises(StoreUnavailable, match=f"the proxy in HTTPS_PROXY answers with HTTP status {status}") as caught:
        use(lambda store: store.describe(), url, max_wait_s=0, token="t" if kind == "2.x" else None)

    assert "NO_PROXY" in caught.value.hint
    assert "cret" not in "".join(traceback.format_exception(caught.value)) + caplog.text


def test_a_server_that_greets_and_then_says_nothing_ends_the_opening_in_time(use, serve, healthy):
    over = threading.Event()

    def answer(path, body):
        if path != "/ping":
            over.wait(10)
        return healthy(path, body)

    with pytest.raises(StoreUnavailable, match="does not answer in time"):
        use(
            lambda store: store.describe(),
            serve(answer).url,
            max_wait_s=0.2,
            timing=StoreTiming(opening_patience_s=0.2),
        )
    over.set()


def test_a_server_that_falls_silent_is_not_waited_for_beyond_the_wait(use, serve, healthy, series, deliver):
    over, asked = threading.Event(), []

    def answer(path, body):
        if writes(path):
            asked.append(path)
            if len(asked) == 1:
                return 503, {}, b""
            over.wait(10)
        return healthy(path, body)

    with pytest.raises(StoreDown, match="has not worked for 1 s: it does not answer in time"):
        use(lambda store: store.write([deliver(series, 10)]), serve(answer).url, max_wait_s=1)
    assert len(asked) == 2
    over.set()


def test_a_full_disk_is_told_with_the_restart_that_it_takes(use, serve, healthy, series, deliver):
    told = serve(lambda path, body: (500, {}, NO_SPACE) if writes(path) else healthy(path, body))

    with pytest.raises(StoreFull) as caught:
        use(lambda store: store.write([deliver(series, 10)]), told.url)

    assert "restart the server" in caught.value.hint


def test_several_batches_are_in_flight_and_not_all_of_them(use, serve, healthy, series, deliver):
    now, most = [0], [0]
    lock = threading.Lock()
    together = threading.Barrier(4)

    def answer(path, body):
        if writes(path):
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            together.wait(10)
            with lock:
                now[0] -= 1
        return healthy(path, body)

    use(lambda store: store.write([deliver(series, 120)]), serve(answer).url, batch_lines=10)

    assert most == [4]
