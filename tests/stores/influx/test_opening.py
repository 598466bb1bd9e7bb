"""Entering a store of either kind: whatever is wrong with server or content is one line, before any fetching."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from influxd import Influxd
from influxd2 import Influxd2

from laklak.errors import StoreBusy, StoreUnavailable
from laklak.model.series import DAY_MS, TimeRange

START = 1_767_225_600_000
DAYS = TimeRange(START, START + 3 * DAY_MS)


def address(kind, port, *, host="localhost", tls=False):
    """What --store takes for a server at that port."""
    scheme = {"1.x": "influxdb", "2.x": "influxdb2"}[kind]
    return f"{scheme}{'+https' if tls else ''}://{host}:{port}/x{'?org=o' if kind == '2.x' else ''}"


# The server


def test_nobody_at_the_port_is_one_line(refusal, box):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    error = refusal(address(box.kind, port), max_wait_s=0)

    assert str(error) == f"InfluxDB at localhost:{port} cannot be reached: Connection refused"
    assert f"{'influxdb2' if box.kind == '2.x' else 'influxdb'}+https://" in error.hint


def test_a_server_that_is_starting_is_waited_for(use, own_box):
    box = own_box()
    box.server.stop()
    starting = threading.Timer(0.5, box.server.start)
    starting.start()

    assert use(lambda store: store.describe(), box, refusal_wait_s=60.0).holds.startswith("empty")
    starting.join()


def test_where_somebody_waits_for_the_answer_a_port_where_nobody_listens_is_tried_once(refusal, box, caplog):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    refusal(address(box.kind, port), max_wait_s=600, start_wait_s=30.0)

    assert "again_in_s" not in caplog.text


def test_nobody_waits_longer_for_a_server_than_max_wait(refusal, box, caplog):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    refusal(address(box.kind, port), max_wait_s=0, refusal_wait_s=600.0)

    assert "again_in_s" not in caplog.text


class LateNames(asyncio.SelectorEventLoop):
    """A loop on a machine whose name server answers the third time."""

    asked = 0

    async def getaddrinfo(self, host, port, **kwargs):
        self.asked += 1
        if self.asked < 3:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return await super().getaddrinfo("127.0.0.1", port, **kwargs)


def test_a_name_server_that_comes_up_late_is_waited_for(open_store, box):
    async def main():
        url = box.url.replace("localhost", "store.example")
        async with open_store(url, token=box.secret, start_wait_s=30.0) as store:
            return (await store.describe()).holds

    with asyncio.Runner(loop_factory=LateNames) as runner:
        assert runner.run(main()).startswith("empty")


def test_a_name_server_that_does_not_come_up_is_told(open_store, box):
    LateNames.asked, before = -1_000_000, LateNames.asked

    async def main():
        async with open_store(box.url.replace("localhost", "store.example"), token=box.secret):
            pass

    try:
        with asyncio.Runner(loop_factory=LateNames) as runner, pytest.raises(StoreUnavailable) as caught:
            runner.run(main())
    finally:
        LateNames.asked = before
    assert "cannot be reached: The name server does not answer" in str(caught.value)


def test_an_unknown_host_is_told_at_once(refusal, box):
    error = refusal(address(box.kind, 1, host="no-such-host.invalid"))

    assert "there is no host called no-such-host.invalid" in str(error)


@pytest.mark.parametrize(
    "answer", [(200, {}, b"<html>"), (404, {}, b""), (204, {}, b""), (302, {"Location": "http://h/"}, b"")]
)
def test_what_is_no_influxdb_is_told(refusal, serve, answer):
    told = serve(lambda path, body: answer)

    assert "is not InfluxDB" in str(refusal(told.url))


def test_a_port_that_speaks_no_http_is_told(refusal, box):
    def chat(listener):
        with listener.accept()[0] as connection:
            connection.recv(1000)
            connection.sendall(b"\x00\x01\x02 what?\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=chat, args=(listener,))
        thread.start()
        error = refusal(address(box.kind, listener.getsockname()[1], host="127.0.0.1"), max_wait_s=0)
        thread.join()

    assert "cannot be reached" in str(error)
    assert "8086" in error.hint


# TLS


def test_a_plain_server_asked_for_tls_is_told_with_its_spelling(refusal, box):
    error = refusal(address(box.kind, box.server.port, tls=True))

    assert "TLS failed" in str(error)
    assert address(box.kind, box.server.port).partition("/x")[0] + "/" in error.hint


@pytest.fixture(scope="session")
def certificate(tmp_path_factory) -> tuple[Path, Path]:
    """The paths of a key and of a certificate for localhost that nobody vouches for."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make a certificate with")
    folder = tmp_path_factory.mktemp("certificate")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *names, "-days", "2"]
    subprocess.run([*made, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return key, certificate


@pytest.fixture(scope="module")
def tls_influxd(needs_influxd, certificate, tmp_path_factory):
    key, path = map(str, certificate)
    settings = {
        "INFLUXDB_HTTP_HTTPS_ENABLED": "true",
        "INFLUXDB_HTTP_HTTPS_CERTIFICATE": path,
        "INFLUXDB_HTTP_HTTPS_PRIVATE_KEY": key,
    }
    server = Influxd(tmp_path_factory.mktemp("tls"), settings)
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture(scope="module")
def tls_influxd2(needs_influxd2, certificate, tmp_path_factory):
    key, path = map(str, certificate)
    server = Influxd2(tmp_path_factory.mktemp("tls2"), {"INFLUXD_TLS_CERT": path, "INFLUXD_TLS_KEY": key})
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture
def tls_server(server_name, request):
    """A server that speaks TLS and nothing else."""
    return request.getfixturevalue(f"tls_{server_name}")


def test_a_certificate_that_nobody_vouches_for_is_told(refusal, tls_server):
    error = refusal(tls_server.url("x"), token=getattr(tls_server, "token", None))

    assert "TLS failed: self-signed certificate, issued by localhost" in str(error)
    assert "SSL_CERT_FILE" in error.hint


def test_a_tls_server_asked_in_plain_is_told_with_its_spelling(refusal, tls_server):
    url = tls_server.url("x")

    error = refusal(url.replace("+https", ""))

    assert url.partition("/x")[0] + "/" in error.hint


def test_a_tls_server_is_used_when_its_certificate_is_known(use, tls_server, certificate, monkeypatch, series, deliver):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[1]))

    async def work(store):
        await store.write([deliver(series, 3)])
        return await store.count(series, DAYS)

    assert use(work, tls_server.url("x"), token=getattr(tls_server, "token", None)) == 3


# What is in it


def test_what_is_kept_for_ever_has_no_limit(use):
    async def work(store):
        store.check_range(TimeRange(0, DAY_MS))
        return store.within_retention(TimeRange(0, DAY_MS))

    assert use(work) == TimeRange(0, DAY_MS)


def test_a_conflict_of_one_venue_is_no_concern_of_another(use, box):
    box.put(f"bybit_ohlc,symbol=X close=1i {DAYS.start_ms}\n")

    assert use(lambda store: store.closed_spans("binance", DAYS)) == []


def test_data_of_other_programs_is_mentioned(use, box):
    box.put("market_data,symbol=X close=1 1000\nbinance_ohlc,symbol=X,source=old close=1 1000\n")

    holds = use(lambda store: store.describe()).holds

    assert holds == "empty; neither read nor changed: market_data, points of binance_ohlc with the tag source"


def test_a_store_of_a_newer_version_is_left_alone(refusal, box):
    box.put("laklak_meta schema=2i 1000\nlaklak_meta schema=1i 2000\n")

    assert "written by a newer laklak (store version 2, known here 1)" in str(refusal())


def test_one_backfill_at_a_time_on_a_machine(use, open_store):
    async def work(store):
        with store.exclusive(), pytest.raises(StoreBusy), open_store().exclusive():
            pass
        with store.exclusive():
            return True

    assert use(work)


def test_a_state_folder_that_cannot_be_made_is_told(refusal, tmp_path):
    (tmp_path / "file").write_text("")

    async def work(store):
        with store.exclusive():
            pass

    assert "for the lock of the store" in str(refusal(None, work, state_dir=tmp_path / "file" / "state"))


def test_the_candles_can_be_kept_under_another_name(use, box, series, deliver):
    async def work(store):
        await store.write([deliver(series, 3)])
        return (await store.describe()).holds

    assert use(work, measurement="ohlc of {venue}!").startswith("1 series, 3 candles, ")
    assert len(box.points("ohlc of binance!", "close")) == 3
