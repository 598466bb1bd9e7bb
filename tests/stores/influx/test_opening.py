"""Entering a store of 1.x: whatever is wrong with server, login or database is one line, before any fetching."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import subprocess
import threading
import time

import pytest

from laklak.errors import StoreBusy, StoreUnavailable
from laklak.model import DAY_MS, Series, TimeRange

START = 1_767_225_600_000
DAYS = TimeRange(START, START + 3 * DAY_MS)


@pytest.fixture
def server_name():
    return "influxd"


@pytest.fixture
def kind():
    return "1.x"


@pytest.fixture
def database(box):
    return box.name


@pytest.fixture
def place(database):
    """How a person asks for a measurement of the database: `place("binance_ohlc")`."""

    def of(measurement, policy="autogen"):
        quoted = database.replace('"', '\\"')
        return f'"{quoted}"."{policy}"."{measurement}"'

    return of


async def nothing(store):
    return None


def refusal(use, url, work=nothing, **settings) -> StoreUnavailable:
    with pytest.raises(StoreUnavailable) as caught:
        use(work, url, **{"max_wait_s": 0, **settings})
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    assert caught.value.hint
    return caught.value


# The server


def test_nobody_at_the_port_is_one_line(use):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    error = refusal(use, f"influxdb://localhost:{port}/x")

    assert str(error) == f"InfluxDB at localhost:{port} cannot be reached: Connection refused"


def test_a_server_that_is_starting_is_waited_for(use, own_influxd):
    server = own_influxd()
    server.stop()
    starting = threading.Timer(0.5, server.start)
    starting.start()

    assert use(lambda store: store.describe(), server.url("x"), max_wait_s=600).holds.startswith("new database")
    starting.join()


def test_an_unknown_host_is_told_at_once(use):
    start = time.monotonic()

    error = refusal(use, "influxdb://no-such-host.invalid/x", max_wait_s=600)

    assert "there is no host called no-such-host.invalid" in str(error)
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("version", ["v2.7.6", "2.0.9"])
def test_a_server_of_the_second_kind_is_told_with_its_spelling(use, serve, version):
    told = serve(lambda path, body: (204, {"X-Influxdb-Version": version}, b""))

    error = refusal(use, told.url)

    assert f"is InfluxDB {version.removeprefix('v')}, and influxdb:// is for 1.x" in str(error)
    assert "influxdb2://127.0.0.1:" in error.hint


@pytest.mark.parametrize(
    "answer", [(200, {}, b"<html>"), (404, {}, b""), (204, {}, b""), (302, {"Location": "http://h/"}, b"")]
)
def test_what_is_no_influxdb_is_told(use, serve, answer):
    told = serve(lambda path, body: answer)

    assert "is not InfluxDB" in str(refusal(use, told.url))


def test_a_port_that_speaks_no_http_is_told(use):
    def chat(listener):
        with listener.accept()[0] as connection:
            connection.recv(1000)
            connection.sendall(b"\x00\x01\x02 what?\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=chat, args=(listener,))
        thread.start()
        error = refusal(use, f"influxdb://127.0.0.1:{listener.getsockname()[1]}/x")
        thread.join()

    assert "cannot be reached" in str(error)
    assert "8086" in error.hint


def test_a_plain_server_asked_for_tls_is_told_with_its_spelling(use, influxd):
    error = refusal(use, f"influxdb+https://localhost:{influxd.port}/x")

    assert "TLS failed" in str(error)
    assert f"influxdb://localhost:{influxd.port}/" in error.hint


@pytest.fixture
def tls_influxd(own_influxd, tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make a certificate with")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = [
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost",
    ]
    kept = ["-days", "2", "-keyout", key, "-out", certificate]
    subprocess.run(["openssl", "req", *made, *kept], check=True, capture_output=True)
    settings = {
        "INFLUXDB_HTTP_HTTPS_ENABLED": "true",
        "INFLUXDB_HTTP_HTTPS_CERTIFICATE": str(certificate),
        "INFLUXDB_HTTP_HTTPS_PRIVATE_KEY": str(key),
    }
    return own_influxd(**settings), certificate


def test_a_certificate_that_nobody_vouches_for_is_told(use, tls_influxd):
    error = refusal(use, tls_influxd[0].url("x"))

    assert "TLS failed: self-signed certificate" in str(error)
    assert "SSL_CERT_FILE" in error.hint


def test_a_tls_server_asked_in_plain_is_told_with_its_spelling(use, tls_influxd):
    error = refusal(use, f"influxdb://localhost:{tls_influxd[0].port}/x")

    assert f"influxdb+https://localhost:{tls_influxd[0].port}/" in error.hint


def test_a_tls_server_is_used_when_its_certificate_is_known(use, tls_influxd, monkeypatch, series, deliver):
    server, certificate = tls_influxd
    trusting = ssl.create_default_context(cafile=str(certificate))
    monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", trusting)

    async def work(store):
        await store.write([deliver(series, 3)])
        return await store.count(series, DAYS)

    assert use(work, server.url("x")) == 3


# The login


@pytest.fixture
def guarded(own_influxd):
    server = own_influxd(INFLUXDB_HTTP_AUTH_ENABLED="true")
    server.ask("CREATE USER admin WITH PASSWORD 'top' WITH ALL PRIVILEGES")
    server.login = ("admin", "top")
    for statement in (
        "CREATE DATABASE x",
        "CREATE USER writer WITH PASSWORD 'se:cr@et'",
        "GRANT ALL ON x TO writer",
        "CREATE USER reader WITH PASSWORD 'see'",
        "GRANT READ ON x TO reader",
    ):
        server.ask(statement)
    return server


def test_a_password_opens_the_store(use, guarded, series, deliver):
    async def work(store):
        await store.write([deliver(series, 3)])
        await store.set_origin("real")
        return await store.count(series, DAYS), await store.origin()

    url = guarded.url("x", user="writer")
    assert use(work, url, password="se:cr@et") == (3, "real")


@pytest.mark.parametrize(
    ("user", "password", "hint"),
    [
        ("", None, "LAKLAK_INFLUXDB_PASSWORD"),
        ("writer", None, "LAKLAK_INFLUXDB_PASSWORD"),
        ("writer", "wr0ng", "check the user writer"),
        ("nobody:wr0ng", None, "check the user nobody"),
    ],
)
def test_a_wrong_login_is_one_line_at_once(use, guarded, user, password, hint):
    start = time.monotonic()

    error = refusal(use, guarded.url("x", user=user), password=password, max_wait_s=600)

    assert "refused the login" in str(error)
    assert hint in error.hint
    assert "wr0ng" not in f"{error}{error.hint}"
    assert time.monotonic() - start < 5


def test_a_database_that_is_missing_and_may_not_be_made_is_told(use, guarded):
    error = refusal(use, guarded.url("y", user="writer"), password="se:cr@et")

    assert "there is no database y" in str(error)
    assert 'CREATE DATABASE "y"' in error.hint


def test_an_administrator_makes_the_database(use, guarded):
    url = guarded.url("y", user="admin")

    assert use(lambda store: store.describe(), url, password="top").holds.startswith("new")
    assert ["y"] in guarded.rows("SHOW DATABASES")


def test_the_right_to_read_is_enough_to_read(use, guarded, series, deliver):
    use(
        lambda store: store.write([deliver(series, 3)]),
        guarded.url("x", user="writer"),
        password="se:cr@et",
    )

    assert use(lambda store: store.count(series, DAYS), guarded.url("x", user="reader:see")) == 3


def test_a_store_that_may_not_be_written_is_told_with_the_first_thing_written(use, guarded):
    error = refusal(use, guarded.url("x", user="reader:see"), lambda store: store.set_origin("real"))

    assert "refused the login" in str(error)
    assert "its rights on x" in error.hint


# The database and its retention


def test_a_missing_database_is_made(use, influxd):
    info = use(lambda store: store.describe(), influxd.url("made here"))

    assert info.holds == "new database, retention policy autogen (kept for ever)"
    assert ["made here"] in influxd.rows("SHOW DATABASES")


def test_without_create_a_missing_database_stays_missing(use, influxd, series):
    async def work(store):
        assert await store.read(series, DAYS) == await store.read(series, DAYS, last=1)
        assert await store.absences(series, DAYS) == []
        assert await store.count_by_day(series, DAYS) == {}
        with store.exclusive():
            return store.exists, await store.count(series, DAYS), await store.origin()

    assert use(work, influxd.url("not made"), create=False) == (False, 0, None)
    assert ["not made"] not in influxd.rows("SHOW DATABASES")


def test_an_unknown_retention_policy_is_told_with_those_that_there_are(use, influxd, database):
    error = refusal(use, influxd.url(database, options="?rp=nope"))

    assert "no retention policy nope; there are: autogen" in str(error)


def test_a_database_without_a_default_policy_is_told(use, influxd):
    influxd.ask("CREATE DATABASE bare")
    influxd.ask("DROP RETENTION POLICY autogen ON bare")

    assert "no default retention policy; there are: none" in str(refusal(use, influxd.url("bare")))


def policy(influxd, database, duration):
    quoted = database.replace('"', '\\"')
    influxd.ask(f'CREATE RETENTION POLICY "a year" ON "{quoted}" DURATION {duration} REPLICATION 1')
    return influxd.url(database, options="?rp=a%20year")


@pytest.mark.parametrize(("duration", "fits"), [("7d", 6), ("2160h", 89), ("170h", 7), ("26h", 1), ("52w", 363)])
def test_a_range_that_is_not_kept_is_refused_with_the_days_that_are(use, influxd, database, duration, fits):
    async def work(store):
        now = int(time.time() * 1000)
        store.check_range(TimeRange(now - fits * DAY_MS, now))
        with pytest.raises(StoreUnavailable) as caught:
            store.check_range(TimeRange(now - (fits + 1) * DAY_MS, now))
        return f"{caught.value} {caught.value.hint}"

    assert f"--days {fits} is the most that fits" in use(work, policy(influxd, database, duration))


def test_what_is_kept_of_a_range_can_be_asked(use, influxd, database):
    now = int(time.time() * 1000)

    kept = use(
        lambda store: asyncio.sleep(0, store.within_retention(TimeRange(now - 30 * DAY_MS, now))),
        policy(influxd, database, "7d"),
    )

    assert 0 <= kept.start_ms - (now - 7 * DAY_MS + 3_600_000) <= 120_000
    assert kept.end_ms == now


def test_of_a_range_that_is_too_old_nothing_is_kept(use, influxd, database):
    url = policy(influxd, database, "7d")

    kept = use(lambda store: asyncio.sleep(0, store.within_retention(DAYS)), url)

    assert kept == TimeRange(DAYS.end_ms, DAYS.end_ms)


def test_a_day_that_is_not_kept_is_told_without_a_number(use, influxd, database):
    async def work(store):
        now = int(time.time() * 1000)
        store.check_range(TimeRange(now - DAY_MS, now))

    assert "not one whole day fits" in str(refusal(use, policy(influxd, database, "24h"), work))


def test_what_is_kept_for_ever_has_no_limit(use):
    async def work(store):
        store.check_range(TimeRange(0, DAY_MS))
        return store.within_retention(TimeRange(0, DAY_MS))

    assert use(work) == TimeRange(0, DAY_MS)


def test_everything_goes_into_the_policy_that_was_named(use, influxd, database, place, series, deliver):
    url = policy(influxd, database, "5200w")

    async def work(store):
        await store.write([deliver(series, 3)])
        await store.set_origin("real")
        return await store.count(series, DAYS), await store.origin(), (await store.describe()).holds

    count, origin, holds = use(work, url)
    assert (count, origin) == (3, "real")
    assert holds.endswith("retention policy a year (kept 36400 d)")
    assert influxd.rows(f"SELECT count(close) FROM {place('binance_ohlc', 'a year')}") == [[0, 3]]
    assert use(lambda store: store.count(series, DAYS)) == 0
    assert use(lambda store: store.describe()).holds == "empty"


# What is in it


@pytest.mark.parametrize("kind", ["i", "string"])
def test_fields_of_another_type_are_told_before_anything_is_fetched(use, influxd, database, series, kind):
    value = '"1"' if kind == "string" else "1i"
    influxd.put(f"binance_ohlc,symbol=X close={value} 1000\n", database)

    error = refusal(use, None, lambda store: store.count(series, DAYS))

    assert "binance_ohlc" in str(error)
    assert "close is " in str(error)


def test_a_conflict_of_one_venue_is_no_concern_of_another(use, influxd, database):
    influxd.put("bybit_ohlc,symbol=X close=1i 1000\n", database)

    assert use(lambda store: store.count(Series.parse("binance:X:1m"), DAYS)) == 0


def test_data_of_other_programs_is_mentioned(use, influxd, database):
    influxd.put("market_data,symbol=X close=1 1000\nbinance_ohlc,symbol=X,source=old close=1 1000\n", database)

    holds = use(lambda store: store.describe()).holds

    assert holds == "empty; neither read nor changed: market_data, points of binance_ohlc with the tag source"


def test_a_store_of_a_newer_version_is_left_alone(use, influxd, database):
    influxd.put("laklak_meta schema=2i 1000\n", database)

    assert "written by a newer laklak (store version 2, known here 1)" in str(refusal(use, None))


def test_one_backfill_at_a_time_on_a_machine(use, open_store):
    async def work(store):
        with store.exclusive(), pytest.raises(StoreBusy), open_store().exclusive():
            pass
        with store.exclusive():
            return True

    assert use(work)


def test_a_state_folder_that_cannot_be_made_is_told(use, tmp_path):
    (tmp_path / "file").write_text("")

    async def work(store):
        with store.exclusive():
            pass

    assert "for the lock of the store" in str(refusal(use, None, work, state_dir=tmp_path / "file" / "state"))


def test_the_candles_can_be_kept_under_another_name(use, influxd, place, series, deliver):
    async def work(store):
        await store.write([deliver(series, 3)])
        return (await store.describe()).holds

    assert use(work, measurement="ohlc of {venue}!").startswith("1 series, 3 candles, ")
    assert influxd.rows(f"SELECT count(close) FROM {place('ohlc of binance!')}") == [[0, 3]]
