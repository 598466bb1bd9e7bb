"""What does not fit into a database or a bucket: told before anything is fetched, or kept to be tried again."""

from __future__ import annotations

import math
import time
from pathlib import Path

import pytest
from influx_places import Bucket, Database

from laklak.simulator import SymbolOverride

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
END_MS = 1_772_323_200_000  # 2026-03-01T00:00Z
SYMBOLS = ("LTCUSDT", "DOTUSDT", "AVAXUSDT")


# Retention


@pytest.fixture
def forgetful(place) -> Database | Bucket:
    """A place that keeps two days before the end of the recording, and an hour or two to spare, and no more."""
    place.make(keeps_hours=math.ceil((time.time() * 1000 - END_MS) / HOUR_MS) + 48 + 2)
    return place


def test_a_range_beyond_retention_is_refused_with_the_days_that_fit(venue, here, forgetful, truth):
    running = venue()
    words = ("backfill", "LTCUSDT", "--store", forgetful.url, "--json")
    ended = here(*words, "--days", "4")
    assert (ended.exit, running.candle_hits) == (2, [])
    (error,) = ended.lines("error")
    keeper = {"1.x": "retention policy short", "2.x": f"the bucket {forgetful.name} keeps "}
    assert keeper[forgetful.kind] in error
    assert "--days 2 is the most that fits" in error
    assert "--within-retention" in ended.lines("hint")[0]
    assert here(*words, "--days", "4", "--dry-run").exit == 2
    assert here(*words, "--days", "2").exit == 0
    assert forgetful.candles() == truth(["LTCUSDT"], END_MS - 2 * DAY_MS)


def test_within_retention_a_range_is_clipped_and_complete(venue, here, forgetful, truth, check_sum):
    venue()
    ended = here("backfill", "LTCUSDT", "--days", "4", "--store", forgetful.url, "--json", "--within-retention")
    answer = check_sum(ended.json)
    assert ended.exit == 0, ended.err
    assert answer["complete"]
    assert 2 * 1440 < answer["wanted"] < 2 * 1440 + 4 * 60
    assert forgetful.candles() == truth(["LTCUSDT"], END_MS - answer["wanted"] * MINUTE_MS)
    later = here("backfill", "LTCUSDT", "--days", "4", "--store", forgetful.url, "--json", "--within-retention")
    assert (later.exit, later.json["candle_requests"]) == (0, 0)


def test_a_listing_within_retention_makes_any_range_fit(venue, here, forgetful):
    venue(overrides={"LTCUSDT": SymbolOverride(onboard_ms=END_MS - DAY_MS)})
    assert here("backfill", "LTCUSDT", "--days", "4", "--store", forgetful.url).exit == 0


# Other data


def test_data_of_other_programs_is_told_once_and_left_alone(venue, here, place, truth):
    venue()
    place.make()
    place.put("market_data,symbol=LTCUSDT close=1 1000\n")
    ended = here("backfill", "LTCUSDT", "--days", "1", "--store", place.url)
    assert ended.exit == 0
    assert ended.err.count("neither read nor changed: market_data") == 1
    assert place.rows("market_data") == [{"time": 1000, "close": 1, "symbol": "LTCUSDT"}]
    assert place.candles() == truth(["LTCUSDT"], END_MS - DAY_MS)


# Lines that a server refuses


def test_a_symbol_too_many_is_missing_kept_and_tried_again(venue, here, own_influxd, check_sum, truth):
    running = venue()
    server = own_influxd()
    place = Database(server, "few")
    options = ("--days", "1", "--store", place.url, "--json")
    dead = Path("laklak-dead-letter.lp").absolute()
    assert here("backfill", *SYMBOLS[:2], *options).exit == 0
    # Only now: influxd looks for a tag and counts them in two steps, so that of two first writes side by side one may
    # be refused although both fit.
    server.stop()
    server.change(INFLUXDB_DATA_MAX_VALUES_PER_TAG="2")
    server.start()

    for _ in range(2):
        before = len(running.candle_hits)
        ended = here("backfill", *SYMBOLS, *options)
        answer = check_sum(ended.json)
        assert (ended.exit, answer["complete"], answer["dead_letter"]) == (1, False, str(dead))
        assert (answer["stored_before"], answer["written"], answer["missing"]) == (2880, 0, 1440)
        (failed,) = answer["failed_series"]
        assert (failed["series"], failed["reason"]) == (f"binance:{SYMBOLS[2]}:1m", "store_refused")
        assert str(dead) in failed["detail"]
        # What was refused is asked again in the next run, and nothing else is.
        assert [hit.query["symbol"] for hit in running.candle_hits[before:]] == [SYMBOLS[2]] * 2
    text = dead.read_text()
    assert "max-values-per-tag" in text
    assert sum(not line.startswith("#") for line in text.splitlines()) == 2 * 1440

    server.stop()
    server.change(INFLUXDB_DATA_MAX_VALUES_PER_TAG="0")
    server.start()
    place.put(text)
    assert place.candles() == truth(SYMBOLS, END_MS - DAY_MS)
    ended = here("backfill", *SYMBOLS, *options)
    assert (ended.exit, ended.json["candle_requests"], ended.json["dead_letter"]) == (0, 0, None)
