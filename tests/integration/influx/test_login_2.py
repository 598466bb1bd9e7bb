"""Who may: a token opens a store of InfluxDB 2.x, from wherever it may come, and is never shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from patience import PATIENT

DAY_MS = 86_400_000
END_MS = 1_772_323_200_000  # 2026-03-01T00:00Z


def everything_said(ended):
    return ended.out + ended.err + Path("backfill.log").read_text()


@pytest.mark.parametrize("name", ["LAKLAK_INFLUXDB_TOKEN", "INFLUX_TOKEN"])
def test_a_token_of_the_environment_opens_the_store_and_is_never_shown(venue, laklak, bucket, truth, monkeypatch, name):
    venue()
    token = bucket.server.token
    monkeypatch.delenv("LAKLAK_INFLUXDB_TOKEN")
    words = ("backfill", "LTCUSDT", "--days", "1", "--store", bucket.url.partition("?")[0], "--verbose")
    ended = laklak(*words, **{name: token, "INFLUX_ORG": bucket.server.org})
    assert ended.exit == 0, ended.err
    assert bucket.candles() == truth(["LTCUSDT"], END_MS - DAY_MS)
    said = everything_said(ended)
    assert f"influxdb_token = *** (environment {name})" in said
    assert "influxdb_org = laklak (environment INFLUX_ORG)" in said
    files = [path for path in Path.home().parent.rglob("*") if path.is_file() and "influxd" not in str(path)]
    assert files
    assert not [path for path in files if token.encode() in path.read_bytes()]
    assert token not in said


def test_the_variables_of_the_official_tools_alone_select_the_store(venue, laklak, bucket, truth, monkeypatch):
    venue()
    monkeypatch.delenv("LAKLAK_INFLUXDB_TOKEN")
    names = {
        "INFLUX_HOST": f"http://localhost:{bucket.server.port}",
        "INFLUX_BUCKET": bucket.name,
        "INFLUX_ORG": bucket.server.org,
        "INFLUX_TOKEN": bucket.server.token,
    }
    ended = laklak("backfill", "LTCUSDT", "--days", "1", "--json", **names)
    assert ended.exit == 0, ended.err
    assert ended.json["store"] == bucket.url.replace("://", "://:***@")
    assert bucket.candles() == truth(["LTCUSDT"], END_MS - DAY_MS)
    assert laklak("show", "LTCUSDT", **names).exit == 0
    assert not list(Path().glob("*.db"))


def test_a_token_in_the_address_of_a_file_opens_the_store_and_is_never_shown(venue, here, bucket, monkeypatch):
    venue()
    token = bucket.server.token
    monkeypatch.delenv("LAKLAK_INFLUXDB_TOKEN")
    Path("laklak.toml").write_text(f'store = "{bucket.url.replace("://", f"://:{token}@")}"\n')
    ended = here("backfill", "LTCUSDT", "--days", "1", "--json", "--verbose")
    assert ended.exit == 0, ended.err
    assert ended.json["store"] == bucket.url.replace("://", "://:***@")
    assert token not in everything_said(ended)


@pytest.mark.parametrize("token", ["wrong-hunter2", ""])
def test_a_wrong_token_is_one_line_at_once(venue, laklak, bucket, token):
    running = venue()
    words = ("backfill", "LTCUSDT", "--days", "1", "--store", bucket.url, "--json", "--verbose")
    # What would be tried again would be for longer than the test may last.
    ended = laklak(*words, "--max-wait", "600s", first=PATIENT, LAKLAK_INFLUXDB_TOKEN=token)
    assert (ended.exit, ended.json["exit"], running.hits) == (2, 2, [])
    (error,) = ended.lines("error")
    assert "refused the login: unauthorized access" in error
    (hint,) = ended.lines("hint")
    assert "token" in hint
    assert "hunter2" not in everything_said(ended)


def test_a_token_on_the_command_line_is_refused(venue, laklak, bucket):
    running = venue()
    for before in (":hunter2@", "hunter2@"):
        ended = laklak("backfill", "LTCUSDT", "--days", "1", "--store", bucket.url.replace("://", f"://{before}"))
        assert (ended.exit, ended.out, running.hits) == (2, "", [])
        (error,) = ended.lines("error")
        assert "a token is not taken from the command line" in error
        assert "LAKLAK_INFLUXDB_TOKEN" in ended.lines("hint")[0]
        assert "hunter2" not in ended.err


def test_a_bucket_that_is_missing_and_may_not_be_made_is_exit_2(venue, here, bucket, monkeypatch):
    running = venue()
    token = bucket.server.make_token(read=["market_data"], write=["market_data"])
    monkeypatch.setenv("LAKLAK_INFLUXDB_TOKEN", token)
    ended = here("backfill", "LTCUSDT", "--days", "1", "--store", bucket.url)
    assert (ended.exit, running.hits) == (2, [])
    assert f"there is no bucket {bucket.name}" in ended.lines("error")[0]
    assert "influx bucket create" in ended.lines("hint")[0]
