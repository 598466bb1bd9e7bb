"""Entering a store of 1.x: whatever is wrong with login, database or retention is one line, before any fetching."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest
from influxd import SECRET, Influxd

from laklak.errors import StoreUnavailable
from laklak.model.series import DAY_MS, TimeRange

START = 1_767_225_600_000
DAYS = TimeRange(START, START + 3 * DAY_MS)

_numbers = itertools.count(1)


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


# The server


@pytest.mark.parametrize("version", ["v2.7.6", "2.0.9"])
def test_a_server_of_the_second_kind_is_told_with_its_spelling(refusal, serve, version):
    told = serve(lambda path, body: (204, {"X-Influxdb-Version": version}, b""))

    error = refusal(told.url)

    assert f"is InfluxDB {version.removeprefix('v')}, and influxdb:// is for 1.x" in str(error)
    assert "influxdb2://127.0.0.1:" in error.hint


# The login


@pytest.fixture(scope="module")
def guarded(needs_influxd, tmp_path_factory):
    """A server that wants a login, with the users `writer` and `reader`."""
    server = Influxd(tmp_path_factory.mktemp("guarded"), {"INFLUXDB_HTTP_AUTH_ENABLED": "true"})
    try:
        server.start().guard()
        server.ask("CREATE USER reader WITH PASSWORD 'see'")
        yield server
    finally:
        server.stop()


@pytest.fixture
def vault(guarded):
    """Give the address of a database of that server that `writer` may write and `reader` may read."""
    name = f"vault_{next(_numbers)}"
    for statement in (f"CREATE DATABASE {name}", f"GRANT ALL ON {name} TO writer", f"GRANT READ ON {name} TO reader"):
        guarded.ask(statement)
    return lambda user: guarded.url(name, user=user)


def test_a_password_opens_the_store(use, vault, series, deliver):
    async def work(store):
        await store.write([deliver(series, 3)])
        await store.set_origin("real")
        return await store.count(series, DAYS), await store.origin()

    url = vault("writer")
    assert use(work, url, password=SECRET) == (3, "real")


@pytest.mark.parametrize(
    ("user", "password", "hint"),
    [
        ("", None, "LAKLAK_INFLUXDB_PASSWORD"),
        ("writer", None, "LAKLAK_INFLUXDB_PASSWORD"),
        ("writer", "wr0ng", "check the user writer"),
        ("nobody:wr0ng", None, "check the user nobody"),
    ],
)
def test_a_wrong_login_is_one_line_at_once(refusal, vault, user, password, hint):
    error = refusal(vault(user), password=password)

    assert "refused the login" in str(error)
    assert hint in error.hint
    assert "wr0ng" not in f"{error}{error.hint}"


def test_a_database_that_is_missing_and_may_not_be_made_is_told(refusal, guarded):
    error = refusal(guarded.url("y", user="writer"), password=SECRET)

    assert "there is no database y" in str(error)
    assert 'CREATE DATABASE "y"' in error.hint


def test_an_administrator_makes_the_database(use, guarded):
    url = guarded.url("y", user="admin")

    assert use(lambda store: store.describe(), url, password="top").holds.startswith("new")
    assert ["y"] in guarded.rows("SHOW DATABASES")


def test_the_right_to_read_is_enough_to_read(use, vault, series, deliver):
    use(
        lambda store: store.write([deliver(series, 3)]),
        vault("writer"),
        password=SECRET,
    )

    assert use(lambda store: store.count(series, DAYS), vault("reader:see")) == 3


def test_a_store_that_may_not_be_written_is_told_with_the_first_thing_written(refusal, vault):
    error = refusal(vault("reader:see"), lambda store: store.set_origin("real"))

    assert "refused the login" in str(error)
    assert "its rights on vault_" in error.hint


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


def test_an_unknown_retention_policy_is_told_with_those_that_there_are(refusal, influxd, database):
    error = refusal(influxd.url(database, options="?rp=nope"))

    assert "no retention policy nope; there are: autogen" in str(error)


def test_a_database_without_a_default_policy_is_told(refusal, influxd):
    influxd.ask("CREATE DATABASE bare")
    influxd.ask("DROP RETENTION POLICY autogen ON bare")

    assert "no default retention policy; there are: none" in str(refusal(influxd.url("bare")))


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


def test_a_day_that_is_not_kept_is_told_without_a_number(refusal, influxd, database):
    async def work(store):
        now = int(time.time() * 1000)
        store.check_range(TimeRange(now - DAY_MS, now))

    assert "not one whole day fits" in str(refusal(policy(influxd, database, "24h"), work))


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
