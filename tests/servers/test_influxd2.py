"""The InfluxDB 2.x server that other tests lean on does what they take for granted."""

from __future__ import annotations

import pytest
from influxd2 import BUCKET

ALL = 'from(bucket: "{}") |> range(start: 0) |> keep(columns: ["_time", "_value", "symbol"])'


def test_what_was_put_is_given_back_by_flux_with_times_in_milliseconds(influxd2):
    influxd2.make_bucket("typed")

    influxd2.put('one,symbol=龙\\ X price=0.1,count=3i,up=true,note="" 1700000000001', "typed")

    rows = influxd2.flux('from(bucket: "typed") |> range(start: 0)')
    assert {row["_field"]: row["_value"] for row in rows} == {"price": 0.1, "count": 3, "up": True, "note": ""}
    assert {row["_time"] for row in rows} == {1700000000001}
    assert {row["symbol"] for row in rows} == {"龙 X"}


def test_a_query_that_is_wrong_fails_the_test(influxd2):
    with pytest.raises(AssertionError, match="undefined identifier nothing"):
        influxd2.flux("nothing()")


def test_points_survive_stop_and_kill(own_influxd2):
    server = own_influxd2()
    server.put("one,symbol=A value=1 1700000000000")
    server.stop()
    server.start()
    server.put("one,symbol=A value=2 1700000060000")
    server.kill()
    server.start()

    rows = server.flux(ALL.format(BUCKET))

    assert [row["_value"] for row in rows] == [1.0, 2.0]


def test_a_restricted_token_may_only_do_what_it_was_made_for(own_influxd2):
    server = own_influxd2()
    server.make_bucket("readable")
    server.put("one,symbol=A value=1 1700000000000", "readable")
    server.token = server.make_token(read=["readable"], write=[BUCKET])

    server.put("one,symbol=A value=1 1700000000000", BUCKET)
    assert [row["_value"] for row in server.flux(ALL.format("readable"))] == [1.0]
    with pytest.raises(AssertionError, match=r"403.*insufficient permissions for write"):
        server.put("one,symbol=A value=1 1700000000000", "readable")
    with pytest.raises(AssertionError, match="could not find bucket"):
        server.flux(ALL.format(BUCKET))


def test_a_bucket_keeps_points_for_as_long_as_was_asked_and_can_be_removed(influxd2):
    influxd2.make_bucket("short", retention_s=3600)
    assert influxd2.find_bucket("short")["retentionRules"][0]["everySeconds"] == 3600

    influxd2.remove_bucket("short")

    with pytest.raises(AssertionError, match="404"):
        influxd2.find_bucket("short")
