"""Entering a store of 2.x: whatever is wrong with token, organization or bucket is one line, at once."""

from __future__ import annotations

import asyncio
import re
import time

import pytest

from laklak.errors import StoreError, StoreUnavailable
from laklak.model.series import DAY_MS, TimeRange

START = 1_767_225_600_000
DAYS = TimeRange(START, START + 3 * DAY_MS)


@pytest.fixture
def server_name():
    return "influxd2"


@pytest.fixture
def kind():
    return "2.x"


# The server


def test_a_server_of_the_first_kind_is_told_with_its_spelling(refusal, influxd):
    error = refusal(f"influxdb2://localhost:{influxd.port}/x?org=o")

    assert re.search(r"is InfluxDB 1\.\S+, and influxdb2:// is for 2\.x", str(error))
    assert error.hint == f"write influxdb://localhost:{influxd.port}/DATABASE"


def test_a_server_of_the_second_kind_is_told_to_those_who_ask_for_the_first(refusal, influxd2):
    error = refusal(f"influxdb://localhost:{influxd2.port}/x")

    assert "is InfluxDB 2." in str(error)
    assert error.hint == f"write influxdb2://localhost:{influxd2.port}/BUCKET?org=ORG"


def test_a_server_of_the_third_kind_is_told(refusal, serve):
    told = serve(lambda path, body: (200, {"X-Influxdb-Version": "3.2.1"}, b"{}"))

    assert "is InfluxDB 3.2.1, which laklak does not know" in str(refusal(told.url))


def test_a_server_that_gives_no_buckets_is_told(refusal, serve, healthy):
    told = serve(lambda path, body: (200, {}, b"<html>") if "buckets" in path else healthy(path, body))

    assert "does not answer like InfluxDB 2.x" in str(refusal(told.url))


# Token and organization


@pytest.mark.parametrize(
    ("token", "hint"),
    [(None, "set LAKLAK_INFLUXDB_TOKEN"), ("wr0ng", "check the token"), ("", "set LAKLAK_INFLUXDB_TOKEN")],
)
def test_a_wrong_token_is_one_line_at_once(refusal, box, token, hint):
    error = refusal(box.url, token=token)

    assert "refused the login: unauthorized access" in str(error)
    assert hint in error.hint
    assert "wr0ng" not in f"{error}{error.hint}"


def test_a_token_in_the_address_opens_the_store(use, box):
    url = box.url.replace("://", f"://:{box.secret}@")

    assert use(lambda store: store.describe(), url, token="wr0ng").holds == "empty"


def test_an_unknown_organization_is_told(refusal, box):
    error = refusal(box.url.replace("org=laklak", "org=nobody"), token=box.secret)

    assert "there is no organization nobody at " in str(error)
    assert "INFLUX_ORG" in error.hint


def test_the_organization_may_come_from_the_settings(use, box):
    url = box.url.partition("?")[0]

    assert use(lambda store: store.describe(), url, token=box.secret, org="laklak").holds == "empty"


def test_a_bucket_that_the_token_may_not_read_is_told(refusal, box):
    for rights in ({"write": [box.name]}, {"read": ["market_data"]}):
        error = refusal(box.url, token=box.server.make_token(**rights))

        assert "does not let this token read the bucket" in str(error)


def test_the_right_to_read_is_enough_to_read(use, box, series, deliver):
    use(lambda store: store.write([deliver(series, 3)]))

    assert use(lambda store: store.count(series, DAYS), box.url, token=box.server.make_token(read=[box.name])) == 3


def test_a_store_that_may_not_be_written_is_told_with_the_first_thing_written(refusal, box):
    token = box.server.make_token(read=[box.name])

    error = refusal(box.url, lambda store: store.set_origin("real"), token=token)

    assert "insufficient permissions for write" in str(error)
    assert "the right to read and to write the bucket" in error.hint


# The bucket and how long it keeps


def test_a_missing_bucket_is_made(use, influxd2):
    info = use(lambda store: store.describe(), influxd2.url("made here"), token=influxd2.token)

    assert info.holds == "new bucket, kept for ever"
    assert influxd2.find_bucket("made here")["retentionRules"][0]["everySeconds"] == 0


def test_a_bucket_that_is_missing_and_may_not_be_made_is_told(refusal, influxd2, box):
    token = influxd2.make_token(read=[box.name], write=[box.name])

    error = refusal(influxd2.url("my other"), token=token)

    assert "there is no bucket my other at " in str(error)
    assert "it cannot be made" in str(error)
    assert "influx bucket create --name 'my other' --org laklak" in error.hint


def test_a_bucket_name_that_the_server_does_not_take_is_told_with_its_reason(refusal, influxd2):
    error = refusal(influxd2.url('my "quoted"'), token=influxd2.token)

    assert "may not include quotation marks" in str(error)
    assert error.hint == "choose another name for the bucket"


def test_without_create_a_missing_bucket_stays_missing(use, influxd2, series):
    async def work(store):
        assert await store.read(series, DAYS) == await store.read(series, DAYS, last=1)
        assert await store.absences(series, DAYS) == []
        assert await store.holdings() == {}
        with store.exclusive():
            pass
        with pytest.raises(StoreError, match=r"the bucket of influxdb2://.* opened for reading only"):
            await store.set_origin("real")
        return store.exists, await store.count(series, DAYS), await store.origin(), (await store.describe()).holds

    found = use(work, influxd2.url("not made"), token=influxd2.token, create=False)

    assert found == (False, 0, None, "no such bucket")
    with pytest.raises(AssertionError, match="404"):
        influxd2.find_bucket("not made")


@pytest.fixture
def short(influxd2):
    influxd2.make_bucket("a week", retention_s=7 * 86_400)
    yield influxd2.url("a week")
    influxd2.remove_bucket("a week")


def test_a_range_that_is_not_kept_is_refused_with_the_days_that_are(use, short, influxd2):
    async def work(store):
        now = int(time.time() * 1000)
        store.check_range(TimeRange(now - 6 * DAY_MS, now))
        with pytest.raises(StoreUnavailable) as caught:
            store.check_range(TimeRange(now - 7 * DAY_MS, now))
        kept = store.within_retention(TimeRange(now - 30 * DAY_MS, now))
        return str(caught.value), caught.value.hint, now - kept.start_ms, (await store.describe()).holds

    text, hint, kept_ms, holds = use(work, short, token=influxd2.token)
    assert "the bucket a week keeps 7 d: --days 6 is the most that fits" in text
    assert hint.endswith("--within-retention to leave out what is older, or another bucket")
    assert 0 <= 7 * DAY_MS - 3_600_000 - kept_ms <= 120_000
    assert holds == "empty"


def test_what_is_beyond_retention_is_refused_and_not_lost_in_silence(use, short, influxd2, series, deliver, tmp_path):
    written = use(lambda store: store.write([deliver(series, 5)]), short, token=influxd2.token)

    assert len(written.refused[0]) == 5
    assert "outside retention policy" in (tmp_path / "dead.lp").read_text()


# What `laklak check` asks


def findings(use, place, **settings):
    found = use(lambda store: store.examine(), place, **settings)
    return [(finding.verdict, finding.text) for finding in found]


def test_the_right_to_write_is_proven_without_writing(use, box):
    full = findings(use, box.url, token=box.secret)
    reader = findings(use, box.url, token=box.server.make_token(read=[box.name]))

    assert full[0] == ("ok", f"InfluxDB 2.7.12 at localhost:{box.server.port}, with a token")
    assert full[1] == ("ok", "it can be read and written")
    assert reader[1][0] == "problem"
    assert "insufficient permissions for write" in reader[1][1]
    assert use(lambda store: store.describe()).holds == "empty"


def test_whether_a_bucket_could_be_made_is_told_without_making_one(use, influxd2, box):
    before = influxd2.api("GET", "/api/v2/buckets?limit=100")

    may = findings(use, influxd2.url("not there"), token=influxd2.token, create=False)
    may_not = findings(
        use, influxd2.url("not there"), token=influxd2.make_token(read=[box.name], write=[box.name]), create=False
    )

    assert may[1] == ("ok", "a backfill can make the bucket not there")
    assert may_not[1] == (
        "problem",
        "there is no bucket not there that this token may see, and the token may not make one",
    )
    assert influxd2.api("GET", "/api/v2/buckets?limit=100") == before


def test_how_long_a_bucket_keeps_is_told(use, short, influxd2):
    found = findings(use, short, token=influxd2.token)

    assert ("ok", "it keeps 7 d; a longer range is refused without --within-retention") in found


def test_a_write_is_closed_in_order_when_it_is_cancelled(use, box, series, deliver):
    async def work(store):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await store.write([deliver(series, 20_000)])
        await store.write([deliver(series, 10)])
        return await store.count(series, TimeRange(START, START + 10 * 60_000))

    assert use(work) == 10
