"""Days in which a server keeps fields as other types: they stay missing with that reason, and all else is filled."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from influx_places import Bucket

MINUTE_MS = 60_000
DAY_MS = 1440 * MINUTE_MS
END_MS = 1_772_323_200_000  # 2026-03-01T00:00Z
SECOND_DAY_MS = END_MS - 3 * DAY_MS
WORDS = ("backfill", "LTCUSDT", "--days", "4", "--json", "--store")


@pytest.fixture
def spoilt(place):
    """A place in which another program has kept text on the second of four days."""
    place.make_with_days()
    for value, time_ms in (("1", END_MS - 99 * DAY_MS), ("1", END_MS + 99 * DAY_MS), ('"many"', SECOND_DAY_MS)):
        place.put(f"binance_ohlc,symbol=OTHER volume={value} {time_ms}\n")
    return place


def of_other_days(candles):
    """Without the volume: asked in Flux, 2.7.12 shows it of the days before the spoilt one and of no later one."""
    return {key: row[:4] for key, row in candles.items() if not SECOND_DAY_MS <= key[1] < SECOND_DAY_MS + DAY_MS}


def test_all_other_days_are_filled_and_the_day_is_missing_with_that_reason(venue, here, spoilt, check_sum, truth):
    venue()
    ended = here(*WORDS, spoilt.url)
    answer = check_sum(ended.json)
    assert (ended.exit, answer["complete"], answer["dead_letter"]) == (1, False, None)
    assert (answer["written"], answer["missing"], answer["blocked"]) == (3 * 1440, 1440, 1440)
    (failed,) = answer["failed_series"]
    assert (failed["series"], failed["reason"]) == ("binance:LTCUSDT:1m", "other_types")
    assert "1440 candles: binance_ohlc keeps other types than floats there (volume is string)" in failed["detail"]
    (warning,) = [line for line in ended.lines("warning") if "other types" in line]
    assert "2026-02-26T00:00Z to 2026-02-27T00:00Z stays missing and is not asked for" in warning
    assert of_other_days(spoilt.candles()) == of_other_days(truth(["LTCUSDT"]))


def test_the_day_is_not_asked_of_the_venue_again_and_again(venue, here, spoilt, check_sum):
    running = venue()
    assert here(*WORDS, spoilt.url).exit == 1
    before = len(running.candle_hits)
    again = check_sum(here(*WORDS, spoilt.url).json)
    assert (again["stored_before"], again["missing"], again["candle_requests"]) == (3 * 1440, 1440, 0)
    assert len(running.candle_hits) == before


def test_no_bulk_file_of_the_day_is_asked_for(archive, here, spoilt, check_sum):
    running = archive()
    ended = here(*WORDS, spoilt.url, "--source", "archive")
    answer = check_sum(ended.json)
    # The file of the last day is not published yet.
    assert (ended.exit, answer["missing"], answer["blocked"]) == (1, 2 * 1440, 1440)
    assert not [hit for hit in running.hits if "2026-02-26" in hit.path]
    assert [hit for hit in running.hits if "2026-02-25" in hit.path]


@pytest.mark.parametrize("option", ["--refetch", "--recheck"])
def test_the_day_is_left_out_whatever_else_is_fetched_again(venue, here, spoilt, check_sum, option):
    venue()
    assert here(*WORDS, spoilt.url).exit == 1
    ended = here(*WORDS, spoilt.url, option)
    answer = check_sum(ended.json)
    assert (ended.exit, answer["missing"], answer["blocked"], answer["dead_letter"]) == (1, 1440, 1440, None)


@pytest.mark.parametrize("interval", ["1h", "1d"])
def test_candles_of_other_lengths_lack_the_same_day(venue, here, spoilt, check_sum, interval):
    venue()
    ended = here(*WORDS, spoilt.url, "--interval", interval)
    answer = check_sum(ended.json)
    lacking = {"1h": 24, "1d": 1}[interval]
    assert (ended.exit, answer["missing"], answer["blocked"]) == (1, lacking, lacking)
    assert answer["written"] == 3 * lacking


def test_the_plan_of_a_dry_run_leaves_the_day_out(venue, here, spoilt):
    venue()
    ended = here(*WORDS, spoilt.url, "--dry-run")
    assert (ended.json["to_fetch"], ended.json["blocked"]) == (3 * 1440, 1440)
    assert here(*WORDS, spoilt.url).exit == 1
    words = [word for word in WORDS if word != "--json"]
    (line,) = [line for line in here(*words, spoilt.url, "--dry-run").out.splitlines() if line.startswith("plan: ")]
    assert line.endswith("nothing to fetch of 5,760 candles, 1,440 that the store could not take")


def test_a_run_that_cannot_help_is_not_advised(venue, here, spoilt):
    venue()
    ended = here(*(word for word in WORDS if word != "--json"), spoilt.url)
    assert ended.exit == 1
    assert "run the same command again" not in ended.out
    assert "1,440 candles stay missing, however often this is run, until what is named above is mended" in ended.out


def test_known_holes_of_the_day_stay_holes(venue, here, spoilt, check_sum):
    tags = "exchange=binance,symbol=LTCUSDT,timeframe=1m"
    for minute in range(3):
        time_ms = SECOND_DAY_MS + minute * MINUTE_MS
        spoilt.put(f'laklak_holes,{tags} kind="hole",confirmed_at=1i,reason="lacking",row="" {time_ms}\n')
    venue()
    # Holes without a note are of the venue's own address.
    answer = check_sum(here(*WORDS, spoilt.url, "--other-address").json)
    assert (answer["holes"], answer["missing"], answer["blocked"]) == (3, 1437, 1437)


@pytest.mark.parametrize(("value", "kind_of_it"), [("1i", "integer"), ('"1"', "string")])
def test_where_the_whole_range_is_of_another_type_nothing_is_fetched(venue, here, place, value, kind_of_it):
    running = venue()
    place.make()
    place.put(f"binance_ohlc,symbol=X close={value} {END_MS - DAY_MS}\n")
    ended = here("backfill", "LTCUSDT", "--days", "1", "--store", place.url)
    assert (ended.exit, running.candle_hits) == (2, [])
    (error,) = ended.lines("error")
    assert (
        f"binance_ohlc in the {place.word} {place.name} keeps other types than floats: close is {kind_of_it}" in error
    )
    assert "2026-02-28T00:00Z to 2026-03-01T00:00Z" in ended.lines("hint")[0]


def test_after_the_statement_that_is_named_the_next_run_fills_the_day(venue, here, spoilt, truth):
    if isinstance(spoilt, Bucket):
        pytest.skip("2.x has no such statement")
    venue()
    (warning,) = [line for line in here(*WORDS, spoilt.url).lines("warning") if "other types" in line]
    (statement,) = re.findall(r"DROP SHARD \d+", warning)
    spoilt.server.ask(statement)
    ended = here(*WORDS, spoilt.url)
    assert (ended.exit, ended.json["written"], ended.json["missing"]) == (0, 1440, 0)
    assert spoilt.candles() == truth(["LTCUSDT"])


def test_another_bucket_takes_what_is_sound_by_copy_and_the_rest_from_the_venue(venue, here, spoilt, truth, check_sum):
    # What is said to mend it on 2.x; on 1.x it does too.
    venue()
    assert here(*WORDS, spoilt.url).exit == 1
    other = type(spoilt)(spoilt.server, f"{spoilt.name} again")
    other.make()
    copied = here("copy", spoilt.url, other.url, "binance:LTCUSDT:1m", "--json")
    assert (copied.exit, copied.json["written"], copied.json["source_missing"]) == (0, 3 * 1440, 1440)
    (warning,) = copied.lines("warning")
    assert "2026-02-26T00:00Z to 2026-02-27T00:00Z is not copied" in warning
    ended = here(*WORDS, other.url)
    assert (ended.exit, check_sum(ended.json)["written"]) == (0, 1440)
    assert other.candles() == truth(["LTCUSDT"])


def test_a_copy_leaves_out_what_its_destination_could_not_take(venue, here, spoilt, truth):
    venue()
    assert here(*WORDS, "a.db").exit == 0
    for written in (3 * 1440, 0):
        ended = here("copy", "a.db", spoilt.url, "--json")
        answer = ended.json
        assert (ended.exit, answer["written"], answer["missing"], answer["blocked"]) == (1, written, 1440, 1440)
        (failed,) = answer["failed_series"]
        assert failed["reason"] == "other_types"
    words = here("copy", "a.db", spoilt.url)
    assert "run the same command again" not in words.out
    assert of_other_days(spoilt.candles()) == of_other_days(truth(["LTCUSDT"]))


def test_a_type_that_comes_while_a_run_is_under_way_goes_to_the_dead_letter(venue, here, place, check_sum, monkeypatch):
    from laklak.stores.influx.store import InfluxStore

    async def nothing(self, venue, span):
        return ()

    running = venue()
    place.make_with_days()
    for value, time_ms in (("1", END_MS - 99 * DAY_MS), ("1", END_MS + 99 * DAY_MS), ('"many"', SECOND_DAY_MS)):
        place.put(f"binance_ohlc,symbol=OTHER volume={value} {time_ms}\n")
    monkeypatch.setattr(InfluxStore, "closed_spans", nothing)
    dead = Path("laklak-dead-letter.lp").absolute()
    ended = here(*WORDS, place.url)
    answer = check_sum(ended.json)
    assert (ended.exit, answer["missing"], answer["dead_letter"]) == (1, 1440, str(dead))
    (failed,) = answer["failed_series"]
    assert failed["reason"] == "store_refused"
    assert running.candle_hits
    text = dead.read_text()
    assert "field type conflict" in text
    assert sum(not line.startswith("#") for line in text.splitlines()) == 1440

    other = type(place)(place.server, f"{place.name} again")
    other.make()
    other.put(text)
    assert len(other.candles()) == 1440
