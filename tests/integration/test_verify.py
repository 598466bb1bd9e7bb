"""`laklak verify`: what is not as it has to be is named, and nothing else."""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
import sqlite3
from contextlib import closing

import pytest
from copies import BTC, ETH, MINUTE_MS, START_MS, candles, fill, new_name

from laklak.audit.sources import days_seen
from laklak.model.candles import CandleBatch
from laklak.model.records import Note
from laklak.model.series import DAY_MS, iso
from laklak.stores import open_store

DAY = 1440
MINUTES = range(3 * DAY)


def put_clock(where, clock_ms=START_MS + 3 * DAY_MS):
    async def work():
        async with open_store(where) as store:
            await store.put_notes([Note("binance", "clock", json.dumps({"ms": clock_ms}), 1_772_500_000_000)])

    asyncio.run(work())


def sql(statement, *parameters, path="candles.db"):
    """Run a statement; {BTC} and {ETH} in it are the numbers of these series."""
    numbers = {name: f"(SELECT id FROM series WHERE symbol = '{name}USDT')" for name in ("BTC", "ETH")}
    for name, number in numbers.items():
        statement = statement.replace(f"{{{name}}}", number)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, parameters)


def sound(name, minutes=MINUTES):
    """Candles that keep all rules: high is the largest number, low the smallest."""
    batch = candles(name, minutes)
    opened, high, low, close, volume = batch.values
    values = (low, volume, opened, close, high)
    texts = tuple([repr(value) for value in column] for column in values)
    return CandleBatch(batch.series, batch.open_times, texts, values)


@pytest.fixture
def filled():
    fill("candles.db", sound(BTC), sound(ETH))
    put_clock("candles.db")
    return "candles.db"


def faults(answer):
    return [(one["series"], fault["time"], fault["what"]) for one in answer["series"] for fault in one["faults"]]


def test_what_is_sound_is_sound_at_every_depth(filled, here):
    for depth in ("counts", "sums", "full"):
        ended = here("verify", "--store", filled, "--depth", depth)
        assert ended.exit == 0
        assert "8,640 candles" in ended.out
        assert "all is sound" in ended.out


def test_a_point_that_is_no_candle_and_one_off_the_grid_are_found_at_every_depth(filled, here):
    at = START_MS + 4000 * MINUTE_MS
    sql("UPDATE candle SET high = 9e999 WHERE series_id = {BTC} AND open_time = ?", at)
    sql("INSERT INTO candle VALUES ({ETH}, ?, 1, 1, 1, 1, 1)", at + 1)

    for depth in ("counts", "sums", "full"):
        ended = here("verify", "--store", filled, "--depth", depth, "--json")
        assert ended.exit == 1
        assert faults(ended.json) == [(BTC, iso(at), "not_whole"), (ETH, iso(at + 1), "off_grid")]


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("high", 1.0, "high is below"),
        ("low", 1e9, "high is below"),
        ("close", 1e9, "high is below"),
        ("open", 0.5, "low is above"),
        ("low", 0.0, "not above zero"),
        ("low", -1.0, "not above zero"),
        ("volume", -0.5, "volume is below zero"),
    ],
)
def test_numbers_that_contradict_each_other_are_found_by_reading(filled, here, column, value, told):
    at = START_MS + 2000 * MINUTE_MS
    sql(f"UPDATE candle SET {column} = ? WHERE series_id = {{ETH}} AND open_time = ?", value, at)

    for depth in ("sums", "full"):
        ended = here("verify", "--store", filled, "--depth", depth, "--json")
        assert faults(ended.json) == [(ETH, iso(at), "rule")]
        assert told in ended.json["series"][1]["faults"][0]["detail"]
    assert here("verify", "--store", filled, "--depth", "counts").exit == 0


def test_more_faults_than_are_named_are_counted(filled, here):
    sql("UPDATE candle SET volume = -1 WHERE series_id = {BTC}")

    answer = here("verify", "--store", filled, "--json").json

    assert (answer["series"][0]["faults_found"], len(answer["series"][0]["faults"])) == (3 * DAY, 1000)
    assert "and 4,310 more" in here("verify", "--store", filled).out


# Against digests


@pytest.fixture
def kept(filled, here):
    assert here("digest", "--store", filled, "--out", "digests.json").exit == 0
    return "digests.json"


def test_a_store_that_has_not_changed_is_what_its_digests_say(filled, kept, here):
    assert here("verify", "--store", filled, "--against", kept).exit == 0


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE candle SET volume = volume + 1e-3 WHERE series_id = {BTC} AND open_time = ?",
        "DELETE FROM candle WHERE series_id = {BTC} AND open_time = ?",
    ],
)
def test_the_day_of_one_changed_candle_is_named_and_no_other(filled, kept, here, change):
    at = START_MS + 2000 * MINUTE_MS
    sql(change, at)

    for depth in ("sums", "full"):
        ended = here("verify", "--store", filled, "--against", kept, "--depth", depth, "--json")
        assert ended.exit == 1
        assert faults(ended.json) == [(BTC, iso(START_MS + DAY_MS), "day")]
    assert here("verify", "--store", filled, "--against", kept, "--start", iso(START_MS + 2 * DAY_MS)).exit == 0
    lost = change.startswith("DELETE")
    assert here("verify", "--store", filled, "--against", kept, "--depth", "counts").exit == lost


def test_sums_do_not_see_what_cancels_out_nor_what_rounding_may_do(filled, kept, here):
    for minute, change in ((10, 1), (20, -1), (30, 1e-9)):
        sql(
            "UPDATE candle SET volume = volume + ? WHERE series_id = {BTC} AND open_time = ?",
            change,
            START_MS + minute * MINUTE_MS,
        )

    assert here("verify", "--store", filled, "--against", kept, "--depth", "sums").exit == 0
    assert here("verify", "--store", filled, "--against", kept).exit == 1


def test_the_sums_of_a_day_in_a_file_are_those_of_its_rows_rounded_once(filled, kept):
    with open(kept) as file:
        day = json.load(file)["series"][0]["days"][1]

    assert day["sums"] == [math.fsum(column[DAY : 2 * DAY]) for column in sound(BTC).values]


def test_where_nothing_can_be_compared_nothing_is_called_sound(filled, here):
    async def make():
        async with open_store("empty.db"):
            pass

    asyncio.run(make())
    ended = here("verify", "--store", filled, "--against", "empty.db")
    assert ended.exit == 1
    assert "nothing could be compared" in ended.out
    assert re.search(r" 0 of [1-9]\d* days compared", ended.out)


def test_sums_cannot_be_held_against_digests_without_sums(filled, here):
    assert here("certificate", "--store", filled, "--out", "paper.json").exit == 0

    ended = here("verify", "--store", filled, "--against", "paper.json", "--depth", "sums")

    assert (ended.exit, ended.out) == (2, "")
    assert "paper.json keeps no sums" in ended.err


def test_what_has_come_since_and_days_that_had_not_ended_differ_from_nothing(here):
    fill("candles.db", sound(BTC, range(DAY, 2 * DAY + 300)))
    put_clock("candles.db", START_MS + DAY_MS + (DAY + 300) * MINUTE_MS)
    assert here("digest", "--store", "candles.db", "--out", "digests.json").exit == 0
    fill("candles.db", sound(BTC, range(4 * DAY)), sound(ETH))
    put_clock("candles.db", START_MS + 4 * DAY_MS)

    assert here("verify", "--store", "candles.db", "--against", "digests.json").exit == 0


def test_a_series_that_is_gone_is_missed(filled, kept, here):
    sql("DELETE FROM series WHERE symbol = 'ETHUSDT'")

    ended = here("verify", "--store", filled, "--against", kept, "--json")

    assert {series for series, _, _ in faults(ended.json)} == {ETH}
    assert len(faults(ended.json)) == 3


@pytest.mark.parametrize("depth", ["sums", "full"])
@pytest.mark.parametrize("kind", ["sqlite", "influxdb"])
def test_another_store_tells_the_rows_that_differ(filled, here, kind, depth, request):
    other = "other.db" if kind == "sqlite" else request.getfixturevalue("influxd").url(new_name())
    fill(other, sound(BTC), sound(ETH))
    put_clock(other)
    changed, gone = (START_MS + minute * MINUTE_MS for minute in (10, 2000))
    sql("UPDATE candle SET volume = volume + 1 WHERE series_id = {BTC} AND open_time = ?", changed)
    sql("DELETE FROM candle WHERE series_id = {ETH} AND open_time = ?", gone)

    ended = here("verify", "--store", filled, "--against", other, "--depth", depth, "--json")

    assert (ended.exit, faults(ended.json)) == (1, [(BTC, iso(changed), "differs"), (ETH, iso(gone), "not_stored")])
    (fault,) = ended.json["series"][0]["faults"]
    assert fault["stored"][:4] == fault["other"][:4]
    assert fault["stored"][4] == fault["other"][4] + 1


# What cannot be done


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["XRPUSDT"], "no candles of binance:XRPUSDT:1m"),
        (["--start", "2026-03-02", "--end", "2026-03-01"], "is not before end"),
        ([BTC, "--stored"], "exclude each other"),
        (["--interval", "5m"], "holds no series of 5m"),
        (["--depth", "deep"], "--depth deep is none"),
        (["--against", "nowhere.json"], "nowhere.json cannot be read"),
        (["--against", "wrong.json"], "wrong.json has no digests"),
        (["--against", "other.json"], "laklak-digest-9"),
        (["--against", "influxdb://localhost:9/x"], "localhost:9"),
    ],
)
def test_what_cannot_be_verified_is_one_line_and_status_2(words, told, filled, here):
    for name, text in (("wrong.json", "[1, 2"), ("other.json", '{"format": "laklak-digest-9"}')):
        with open(name, "w") as file:
            file.write(text)

    ended = here("verify", "--store", filled, *words)

    assert (ended.exit, ended.out) == (2, "")
    assert told in ended.err
    assert ended.err.count("error:") == 1


def test_no_store_an_empty_one_and_a_dead_server_are_told_with_status_2(here):
    put_clock("empty.db")
    for store, told in [
        ("none.db", "there is no store"),
        ("empty.db", "holds no series"),
        ("influxdb://localhost:9/market_data", "localhost:9"),
    ]:
        ended = here("verify", "--store", store, "--json")
        assert ended.exit == ended.json["exit"] == 2, store
        assert told in ended.err


def test_a_range_without_candles_is_called_nothing_and_not_sound(filled, here):
    ended = here("verify", "--store", filled, "--start", "2020-01-01", "--end", "2020-01-02")

    assert (ended.exit, "nothing is there to look at" in ended.out) == (0, True)


def test_a_file_that_may_only_be_read_is_verified(filled, here):
    os.chmod(filled, 0o444)

    assert here("verify", "--store", filled).exit == 0


@pytest.mark.parametrize(
    "change", [{"sums": [1, 2]}, {"sums": "x"}, {"day": "2026-13-99"}, {"day": 7}, {"sha256": "?"}]
)
def test_a_file_of_digests_with_junk_in_it_is_named(filled, kept, here, change):
    with open(kept) as file:
        said = json.load(file)
    said["series"][1]["days"][1].update(change)
    with open("junk.json", "w") as file:
        json.dump(said, file)

    ended = here("verify", "--store", filled, "--against", "junk.json", "--depth", "sums")

    assert (ended.exit, ended.out) == (2, "")
    assert "junk.json has no digests that can be read" in ended.err


# Against the sources


END_MS = 1_772_323_200_000  # where the recording ends


@pytest.fixture(params=["rest", "archive"])
def recorded_days(request, here):
    """A store with the four recorded days of a symbol, from a venue that gives them again."""
    if request.param == "archive":
        request.getfixturevalue("archive")()
    else:
        request.getfixturevalue("venue")()
    assert here("backfill", "LTCUSDT", "--days", "4", "-q", "--store", "candles.db").exit == 0
    return "candles.db"


def ltc(answer):
    (one,) = answer["series"]
    return one


def test_what_the_venue_gives_again_the_same_is_sound_and_nothing_is_written(recorded_days, here):
    runs = len(list(rows("SELECT * FROM laklak_runs")))

    ended = here("verify", "--store", recorded_days, "--sample", "all", "--json")

    one = ltc(ended.json)
    assert (ended.exit, one["verdict"], one["unasked"], one["faults"]) == (0, "sound", None, [])
    assert len(one["sampled"]) == 4
    assert "all 4 days" in ended.json["proof"]
    assert len(list(rows("SELECT * FROM laklak_runs"))) == runs


def rows(statement):
    with closing(sqlite3.connect("candles.db")) as connection:
        return connection.execute(statement).fetchall()


def test_one_changed_digit_is_found_with_both_rows_and_left_alone(recorded_days, here):
    at = END_MS - 5000 * MINUTE_MS
    before = rows(f"SELECT open, high, low, close, volume FROM candles WHERE open_time = {at}")[0]
    sql("UPDATE candle SET volume = volume + 0.001 WHERE open_time = ?", at)
    changed = rows("SELECT * FROM candles")

    ended = here("verify", "--store", recorded_days, "--sample", "all", "--json")

    (fault,) = ltc(ended.json)["faults"]
    assert (ended.exit, fault["what"], fault["time"]) == (1, "differs", iso(at))
    assert fault["other"] == list(before)
    assert fault["stored"] == [*before[:4], before[4] + 0.001]
    assert rows("SELECT * FROM candles") == changed
    assert rows("SELECT * FROM laklak_revisions") == []


def test_on_a_terminal_both_rows_have_lines_of_their_own_and_the_last_line_says_what_is_proven(recorded_days, here):
    sql("UPDATE candle SET volume = volume + 0.001 WHERE open_time = ?", END_MS - 5000 * MINUTE_MS)

    lines = here("verify", "--store", recorded_days, "--sample", "all").out.splitlines()

    at = next(place for place, line in enumerate(lines) if "has other numbers" in line)
    assert [line.split()[0] for line in lines[at + 1 : at + 3]] == ["stored", "other"]
    assert lines[-1].startswith("sources were asked for all ")


def test_mend_writes_what_the_venue_says_and_keeps_the_old_row_as_a_revision(recorded_days, here):
    whole = rows("SELECT * FROM candles ORDER BY open_time")
    changed, gone, halved = (END_MS - minutes * MINUTE_MS for minutes in (5000, 3000, 100))
    sql("UPDATE candle SET volume = volume + 0.001 WHERE open_time = ?", changed)
    sql("DELETE FROM candle WHERE open_time = ?", gone)
    sql("UPDATE candle SET high = 9e999 WHERE open_time = ?", halved)

    ended = here("verify", "--store", recorded_days, "--sample", "all", "--mend", "--json")

    one = ltc(ended.json)
    assert [fault["what"] for fault in one["faults"]] == ["differs", "not_stored", "differs"]
    assert (ended.exit, one["verdict"], one["mended"], one["faults_found"]) == (0, "sound", 3, 3)
    assert rows("SELECT * FROM candles ORDER BY open_time") == whole
    assert [(row[3], row[8]) for row in rows("SELECT * FROM laklak_revisions ORDER BY open_time")] == [
        (changed, "refetch"),
        (halved, "repair"),
    ]
    assert here("verify", "--store", recorded_days, "--sample", "all").exit == 0


def test_a_sample_asks_for_so_many_days_and_says_what_that_proves(venue, here):
    running = venue()
    here("backfill", "LTCUSDT", "--days", "4", "-q", "--store", "candles.db")
    before = len(running.candle_hits)

    ended = here("verify", "--store", "candles.db", "--sample", "1", "--json")

    assert len(ltc(ended.json)["sampled"]) == 1
    assert 0 < len(running.candle_hits) - before <= 3
    assert "1 of 4 days" in ended.json["proof"]


def test_a_minute_that_the_venue_does_not_have_is_told_and_stays(venue, here, hasty):
    running = venue()
    here("backfill", "LTCUSDT", "--days", "2", "-q", "--store", "candles.db")
    at = END_MS - 700 * MINUTE_MS
    running.change("LTCUSDT", holes=frozenset({at}))

    ended = here("verify", "--store", "candles.db", "--sample", "all", "--mend", "--json")

    one = ltc(ended.json)
    assert (ended.exit, one["mended"], faults(ended.json)) == (1, 0, [(one["series"], iso(at), "not_given")])
    assert len(rows("SELECT * FROM candles")) == 2 * DAY


def test_a_series_that_nobody_can_be_asked_for_is_unsure(venue, here):
    venue()
    here("backfill", "LTCUSDT", "--days", "1", "-q", "--store", "candles.db")
    fill("candles.db", sound("binance:NOPEUSDT:1m", range(2 * DAY)))

    ended = here("verify", "--store", "candles.db", "--sample", "1", "--json")

    verdicts = {one["series"]: (one["verdict"], one["unasked"]) for one in ended.json["series"]}
    assert ended.exit == 1
    assert verdicts["binance:LTCUSDT:1m"] == ("sound", None)
    assert verdicts["binance:NOPEUSDT:1m"][0] == "unsure"
    assert "does not know" in verdicts["binance:NOPEUSDT:1m"][1]


def test_a_venue_that_cannot_be_asked_is_status_2_and_no_verdict(recorded_days, here, monkeypatch):
    monkeypatch.setenv("LAKLAK_BINANCE_URL", "http://localhost:9")
    monkeypatch.setenv("LAKLAK_SOURCE", "rest")
    monkeypatch.setenv("LAKLAK_MAX_WAIT", "0")

    ended = here("verify", "--store", recorded_days, "--sample", "1", "--json")

    assert ended.exit == ended.json["exit"] == 2
    assert ended.err.count("error:") == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--mend"], "--mend without --sample"),
        (["--sample", "0"], "--sample 0 is no number of days"),
        (["--sample", "some"], "--sample some is no number of days"),
    ],
)
def test_a_sample_that_is_none_is_refused(words, told, filled, here):
    ended = here("verify", "--store", filled, *words)

    assert ended.exit == 2
    assert told in ended.err


@pytest.mark.parametrize(("share", "days", "faulty"), [(0.01, 10_000, 299), (0.5, 100, 5), (1 / 3, 3, 3), (1.0, 9, 1)])
def test_so_many_faulty_days_would_have_been_seen(share, days, faulty):
    assert days_seen(share, days) == faulty
