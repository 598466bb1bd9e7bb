"""`laklak resample`: longer candles of held ones, in another store."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace
from pathlib import Path

import anyio
import polars
import pytest
from copies import BTC, ETH, MINUTE_MS, START_MS, absence, candles, content, fill, new_name

import laklak as library
from laklak.api import Silent
from laklak.audit.made import VerifiedTransfer
from laklak.audit.sources import Sample
from laklak.model.absences import Absence
from laklak.model.series import Interval, Series, TimeRange
from laklak.settings.load import load_settings
from laklak.sources.resampled import MadeSource, ResampleJob
from laklak.sources.store import StoredCandles
from laklak.stores import open_store
from laklak.stores.base import Delivery
from laklak.tasks.timing import Timing

FIVE, HOUR = "binance:BTCUSDT:5m", "binance:BTCUSDT:1h"


@pytest.fixture(params=["sqlite", "influxdb", pytest.param("influxdb2", marks=pytest.mark.long)])
def where(request, monkeypatch):
    """A place for a store: as a program names it, and as it is typed."""
    if request.param == "sqlite":
        return "b.db", "b.db"
    if request.param == "influxdb":
        return (request.getfixturevalue("influxd").url(new_name()),) * 2
    server = request.getfixturevalue("influxd2")
    monkeypatch.setenv("LAKLAK_INFLUXDB_TOKEN", server.token)
    typed = server.url(new_name())
    return typed.replace("://", f"://:{server.token}@"), typed


def quiet(start, end):
    span = TimeRange(START_MS + start * MINUTE_MS, START_MS + end * MINUTE_MS)
    return Absence(span, "quiet", 1_772_400_000_000, "no trade")


def made(where, series):
    """Minute -> row of what a store has of a series."""
    return {(row[0] - START_MS) // MINUTE_MS: row[1:] for row in content(where)[0].get(series, [])}


def resample(here, *words, to="b.db", store="a.db"):
    ended = here("resample", *words, "--to", to, "--store", store, "--json")
    assert ended.exit == ended.json["exit"]
    return ended.json


def test_the_first_the_extremes_the_last_and_the_sum_of_complete_buckets_are_written_into_any_store(where, here):
    store, typed = where
    fill("a.db", candles(BTC, range(130)), candles(ETH, range(7)))

    answer = resample(here, "5m", "1h", to=typed)

    assert (answer["exit"], answer["series"], answer["written"], answer["missing"]) == (0, 4, 29, 0)
    assert made(store, HOUR) == {
        0: (100.0, 159.125, 100.25, 159.375, 60 * 100.5 + sum(range(60))),
        60: (160.0, 219.125, 160.25, 219.375, 60 * 100.5 + sum(range(60, 120))),
    }
    assert list(made(store, FIVE)) == list(range(0, 130, 5))
    assert list(made(store, "binance:ETHUSDT:5m")) == [0]
    told = here("show", HOUR, "--provenance", "--store", typed, "--json").json["provenance"]
    assert [one["source"] for one in told] == ["resample"]


def test_longer_candles_are_made_of_what_any_store_holds(where, here):
    store, typed = where
    fill(store, candles(BTC, range(12)))

    assert resample(here, "5m", store=typed, to="c.db")["written"] == 2
    assert list(made("c.db", FIVE)) == [0, 5]


@pytest.mark.parametrize("kind", ["hole", "rejected"])
def test_a_bucket_with_a_minute_that_is_neither_held_nor_quiet_is_told_and_not_made(kind, here):
    held = [*range(6), *range(7, 12), *range(13, 20)]
    fill("a.db", candles(BTC, held), absences=[absence(6, kind)])

    answer = resample(here, "5m", BTC)

    assert list(made("b.db", FIVE)) == [0, 15]
    assert answer["incomplete"] == [
        {
            "series": FIVE,
            "of": BTC,
            "buckets": 2,
            "quiet": 0,
            "first": "2026-02-28T00:05Z",
            "last": "2026-02-28T00:10Z",
            "stretches": 1,
            "spans": [{"start": "2026-02-28T00:05Z", "end": "2026-02-28T00:15Z"}],
        }
    ]
    assert (answer["exit"], answer["wanted"], answer["holes"]) == (0, 3, 1)
    said = here("resample", "5m", BTC, "--to", "b.db", "--store", "a.db").out
    assert f"not made: {FIVE}: 2 candles from 2026-02-28T00:05Z to 2026-02-28T00:10Z, of which {BTC}" in said


def test_a_candle_that_cannot_be_made_for_a_hole_is_a_hole_there_until_that_is_filled(where, here):
    store, typed = where
    fill("a.db", candles(BTC, [*range(6), *range(7, 30)]), absences=[absence(6)])
    resample(here, "5m", to=typed)

    told = here("coverage", FIVE, "--store", typed, "--json", "--all").json["series"][0]
    assert [told[name] for name in ("wanted", "held", "holes", "missing")] == [6, 5, 1, 0]
    why = here("explain", FIVE, "2026-02-28T00:05", "--store", typed).out
    assert f"of {BTC} some is hole" in why
    answer = resample(here, "5m", to=typed)
    assert (answer["stored_before"], answer["holes"], answer["written"]) == (5, 1, 0), answer
    fill("a.db", candles(BTC, [6]))
    answer = resample(here, "5m", to=typed)
    assert (answer["stored_before"], answer["holes"], answer["written"]) == (5, 0, 1)
    assert list(made(store, FIVE)) == list(range(0, 30, 5))


def test_a_candle_that_has_not_ended_or_began_before_the_first_one_is_no_hole(here):
    fill("a.db", candles(BTC, range(3, 18)))

    answer = resample(here, "5m")

    assert (answer["written"], answer["incomplete"]) == (2, [])


def test_of_many_series_with_holes_the_first_ten_are_shown(here):
    names = [f"binance:S{number:02}USDT:1m" for number in range(12)]
    fill("a.db", *(candles(name, [*range(6), *range(7, 15)]) for name in names))

    told = here("resample", "5m", "--to", "b.db", "--store", "a.db").out

    assert told.count("not made: ") == 10
    assert "and not of 2 more series; --json names them all" in told


def test_each_stretch_that_cannot_be_made_is_named(here):
    fill("a.db", candles(BTC, [*range(6), *range(7, 16), *range(17, 30)]))

    (told,) = resample(here, "5m")["incomplete"]

    assert (told["buckets"], told["stretches"]) == (2, 2)
    assert told["spans"] == [
        {"start": f"2026-02-28T00:{start:02}Z", "end": f"2026-02-28T00:{start + 5:02}Z"} for start in (5, 15)
    ]
    said = here("resample", "5m", "--to", "b.db", "--store", "a.db").out
    assert "from 2026-02-28T00:05Z to 2026-02-28T00:15Z, in 2 stretches that --json names" in said


def test_quiet_minutes_leave_a_bucket_complete_and_a_bucket_of_them_alone_is_no_candle(here):
    fill("a.db", candles(BTC, [0, 4, *range(10, 15)]), absences=[quiet(1, 4), quiet(5, 10)])

    answer = resample(here, "5m")

    assert made("b.db", FIVE)[0] == (100.0, 104.125, 100.25, 104.375, 100.5 + 104.5)
    assert list(made("b.db", FIVE)) == [0, 10]
    assert [(one["buckets"], one["quiet"]) for one in answer["incomplete"]] == [(0, 1)]


def test_what_is_known_to_have_no_candle_is_known_there_too_and_not_missing(where, here):
    store, typed = where
    shut = Absence(TimeRange(START_MS + 20 * MINUTE_MS, START_MS + 33 * MINUTE_MS), "closed", 1_772_400_000_000, "shut")
    fill("a.db", candles(BTC, [*range(10), *range(17, 20), *range(33, 40)]), absences=[quiet(10, 17), shut])

    answer = resample(here, "5m", to=typed)

    assert list(made(store, FIVE)) == [0, 5, 15, 35]
    assert [(one["buckets"], one["quiet"]) for one in answer["incomplete"]] == [(1, 1)]
    told = here("coverage", FIVE, "--store", typed, "--json", "--all").json["series"][0]
    assert [told[name] for name in ("held", "quiet", "closed", "holes", "missing")] == [4, 1, 2, 1, 0]
    fill("a.db", candles(BTC, range(10, 15)))
    assert resample(here, "5m", to=typed)["written"] == 1
    assert list(made(store, FIVE)) == [0, 5, 10, 15, 35]


def test_what_is_held_there_stays_and_what_came_since_is_added(here):
    fill("a.db", candles(BTC, range(7)))
    fill("b.db", candles(FIVE, [0], price=7.0))
    assert resample(here, "5m")["stored_before"] == 1
    assert made("b.db", FIVE)[0][0] == 7.0
    fill("a.db", candles(BTC, range(7, 15)))

    answer = resample(here, "5m")

    assert (answer["stored_before"], answer["written"]) == (1, 2)
    assert made("b.db", FIVE)[0][0] == 7.0


def revised(where, series):
    async def work():
        async with open_store(where, create=False) as opened:
            return await opened.revisions(Series.parse(series), TimeRange(0, 1 << 50))

    return [((one.open_time_ms - START_MS) // MINUTE_MS, one.why, one.source) for one in asyncio.run(work())]


def test_what_shorter_candles_were_corrected_of_is_made_again_and_the_old_row_is_kept_as_a_revision(where, here):
    store, typed = where
    fill("a.db", candles(BTC, range(20)))
    resample(here, "5m", to=typed)
    fill("a.db", candles(BTC, [7], price=500.0))

    answer = resample(here, "5m", to=typed)

    assert (answer["exit"], answer["stored_before"], answer["written"], answer["corrected"]) == (0, 4, 0, 1)
    assert made(store, FIVE)[5] == (105.0, 507.125, 105.25, 109.375, 4 * 100.5 + 5 + 6 + 8 + 9 + 507.5)
    assert revised(store, FIVE) == [(5, "remade", "resample")]
    assert resample(here, "5m", to=typed)["corrected"] == 0
    assert len(revised(store, FIVE)) == 1


def test_a_minute_that_was_quiet_and_is_held_by_now_makes_its_candle_again(here):
    fill("a.db", candles(BTC, [0, 1, 2, 4]), absences=[quiet(3, 4)])
    resample(here, "5m")
    fill("a.db", candles(BTC, [3], price=500.0))

    assert resample(here, "5m")["corrected"] == 1
    assert made("b.db", FIVE)[0][1] == 503.125


def test_a_candle_there_that_is_not_known_to_be_made_stays_and_is_told(here):
    fill("a.db", candles(BTC, range(10)))
    fill("b.db", candles(FIVE, [0], price=7.0))

    ended = here("resample", "5m", "--to", "b.db", "--store", "a.db")

    assert ended.exit == 0
    assert f"has 1 candle of {FIVE} other than they are made of {BTC}" in ended.err
    assert (made("b.db", FIVE)[0][0], revised("b.db", FIVE)) == (7.0, [])


@pytest.mark.parametrize(
    ("words", "opens"),
    [
        (["--start", "2026-02-28T00:07", "--end", "2026-02-28T00:20"], [10, 15]),
        (["--end", "2026-02-28T00:11"], [0, 5, 10]),
        (["--start", "2026-02-28T23:50"], [1430, 1435]),
        (["--days", "1", "--end", "2026-02-28T00:10"], [0, 5]),
    ],
)
def test_of_a_range_the_candles_are_made_that_open_in_it(words, opens, here):
    fill("a.db", candles(BTC, range(1440)))

    assert resample(here, "5m", *words)["exit"] == 0
    assert list(made("b.db", FIVE)) == opens


def test_a_range_in_which_nothing_is_held_is_one_clear_line(here):
    fill("a.db", candles(BTC, range(10)))

    ended = here("resample", "5m", "--to", "b.db", "--store", "a.db", "--start", "2026-03-01")

    assert ended.exit == 2
    assert f"has no candles in this time of {BTC}" in ended.err


@pytest.mark.parametrize("spelled", ["a.db", "./a.db", "sqlite:///a.db"])
def test_the_store_that_is_read_is_refused_and_stays_as_it_was(spelled, here):
    fill("a.db", candles(BTC, range(10)))

    ended = here("resample", "5m", "--to", spelled, "--store", "a.db")

    assert ended.exit == 2
    assert "is the store that is read: made candles never stand among the venue's own" in ended.err
    assert list(content("a.db")[0]) == [BTC]


def test_a_store_that_has_the_venues_own_of_a_series_is_refused_and_stays_as_it_was(filled, here):
    assert here("backfill", "LTCUSDT", "--interval", "1h", "--days", "1", "-q", "--store", "own.db").exit == 0
    before = content("own.db")

    ended = here("resample", "5m", "1h", "--to", "own.db", "--store", "a.db")

    assert ended.exit == 2
    assert f"has {LTC} of the venue itself" in ended.err
    assert content("own.db") == before
    assert resample(here, "5m", to="own.db")["written"] == 3 * 288


def test_of_all_that_is_stored_the_shortest_candles_that_divide_an_interval_are_taken(here):
    fill("a.db", candles(BTC, range(60)), candles(FIVE, range(12), price=5.0), candles("binance:ETHUSDT:3m", range(20)))

    answer = resample(here, "1h", "5m")

    assert answer["series"] == 3
    assert made("b.db", HOUR)[0][0] == 100.0
    assert resample(here, "1h", "--interval", "5m", to="c.db")["written"] == 1
    assert made("c.db", HOUR)[0][0] == 5.0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["BTCUSDT"], "no interval to make is named"),
        (["1w", "BTCUSDT"], "interval 1w is not supported yet"),
        (["1m", "BTCUSDT"], f"no candles of 1m can be made of {BTC}"),
        (["5m", "XRPUSDT"], "has no candles of binance:XRPUSDT:1m"),
        (["1h", BTC, FIVE], f"{HOUR} can be made of {BTC} and of {FIVE}"),
        (["1h", "--interval", "3m"], "has no candles of 3m"),
        (["1h", BTC, "--stored"], "exclude each other"),
    ],
)
def test_what_cannot_be_made_is_one_clear_line_and_makes_no_store(words, told, here, tmp_path):
    fill("a.db", candles(BTC, range(60)), candles(FIVE, range(12)))

    ended = here("resample", *words, "--to", "new.db", "--store", "a.db")

    assert ended.exit == 2
    assert told in ended.err
    with pytest.raises(sqlite3.OperationalError):
        sqlite3.connect("file:new.db?mode=ro", uri=True)


def test_real_candles_are_not_put_among_simulated_ones(here):
    fill("a.db", candles(BTC, range(10)), origin="simulated")
    fill("b.db", candles(ETH, range(10)), origin="real")

    ended = here("resample", "5m", "--to", "b.db", "--store", "a.db")

    assert ended.exit == 2
    assert "resample to another store, or --force to mix them" in ended.err


def test_candles_that_are_deleted_while_it_is_at_work_are_told_and_no_candle_is_made_of_the_rest(here, monkeypatch):
    fill("a.db", candles(BTC, range(10)))
    get = MadeSource.get

    async def late(self, work):
        with sqlite3.connect("a.db") as connection:
            connection.execute("DELETE FROM candle WHERE open_time = ?", (START_MS + 3 * MINUTE_MS,))
        async for given in get(self, work):
            yield given

    monkeypatch.setattr(MadeSource, "get", late)
    answer = resample(here, "5m")

    assert (answer["exit"], answer["written"], answer["missing"]) == (1, 1, 1)
    assert answer["failed_series"][0]["reason"] == "source_changed"
    assert list(made("b.db", FIVE)) == [5]


def test_many_candles_are_made_part_by_part(here, monkeypatch):
    monkeypatch.setattr("laklak.sources.resampled._PART_CANDLES", 60)
    fill("a.db", candles(BTC, [*range(299), *range(300, 1440)]))

    answer = resample(here, "15m", "1d")

    assert answer["written"] == 95
    assert list(made("b.db", "binance:BTCUSDT:15m")) == [one for one in range(0, 1440, 15) if one != 285]


def test_something_there_that_is_no_candle_is_written_anew(here):
    fill("a.db", candles(BTC, range(10)))
    fill("b.db", candles(FIVE, [0], price=7.0))
    with sqlite3.connect("b.db") as connection:
        connection.execute("UPDATE candle SET close = 9e999")

    assert resample(here, "5m")["written"] == 2
    assert made("b.db", FIVE)[0][0] == 100.0


def test_an_edge_of_the_series_within_a_bucket_leaves_it_out(here):
    before = Absence(TimeRange(START_MS, START_MS + 2 * MINUTE_MS), "before_first", 1_772_400_000_000, "not listed")
    fill("a.db", candles(BTC, range(2, 10)))

    async def remember():
        async with open_store("a.db") as store:
            await store.write([Delivery(candles(BTC, []).series, None, [before])])

    asyncio.run(remember())

    assert resample(here, "5m")["wanted"] == 1
    assert list(made("b.db", FIVE)) == [5]


def test_show_makes_candles_of_shorter_ones_where_there_are_no_others(where, here):
    store, typed = where
    fill(store, candles(BTC, [*range(61), *range(62, 305)]))

    def hours(*words):
        ended = here("show", "BTCUSDT", "--interval", "1h", "--store", typed, "--json", *words)
        assert f"made of {BTC}: the store has no candles of 1h" in ended.err
        return [(one["open_time"] - START_MS) // 3_600_000 for one in ended.json["candles"]]

    assert hours() == [0, 2, 3, 4]
    assert hours("--first", "2") == [0, 2]
    assert hours("--last", "3") == [2, 3, 4]
    assert hours("--start", "2026-02-28T00:01", "--end", "2026-02-28T03:01") == [2, 3]


def test_what_is_made_on_reading_is_what_resample_writes(here):
    fill("a.db", candles(BTC, range(200)))
    resample(here, "15m")

    shown = [
        here("show", "BTCUSDT", "--interval", "15m", "--csv", "--last", "99", "--store", one)
        for one in ("a.db", "b.db")
    ]

    assert shown[0].out == shown[1].out
    assert shown[1].err == ""


def test_candles_that_are_stored_go_before_those_that_could_be_made(here):
    fill("a.db", candles(BTC, range(120)), candles(HOUR, [5], price=7.0))

    ended = here("show", HOUR, "--store", "a.db")

    assert (ended.out.count("2026-02-28"), ended.err) == (1, "")


def test_where_none_can_be_made_it_says_of_what(here):
    fill("a.db", candles(BTC, range(30)))

    ended = here("show", HOUR, "--store", "a.db")

    assert ended.exit == 1
    assert f"no candles of {HOUR} in this time" in ended.err
    assert f"and none can be made of {BTC}" in ended.err


def test_an_interval_beside_a_series_of_another_one_is_refused(here):
    fill("a.db", candles(BTC, range(60)))

    ended = here("show", BTC, "--interval", "1h", "--store", "a.db")

    assert (ended.exit, ended.out) == (2, "")
    assert f"{BTC} names another interval than 1h" in ended.err


def test_programs_read_what_is_made_too(here):
    fill("a.db", candles(BTC, range(60)))

    table = library.read_candles("a.db", HOUR)

    assert table.rows()[0][1:] == (100.0, 159.125, 100.25, 159.375, 60 * 100.5 + sum(range(60)))


def test_an_interval_may_be_named_beside_a_symbol_by_programs(here):
    fill("a.db", candles(BTC, range(60)))

    assert library.read_candles("a.db", "BTCUSDT", interval="1h").rows() == library.read_candles("a.db", HOUR).rows()
    with pytest.raises(library.LaklakError, match="names another interval than 1h"):
        library.read_candles("a.db", BTC, interval="1h")


def test_an_export_makes_what_the_store_has_shorter_candles_of_and_says_so(where, here):
    store, typed = where
    fill(store, candles(BTC, [*range(125), *range(126, 250)]))

    ended = here("export", "BTCUSDT", "--interval", "1h", "--out", "btc.parquet", "--store", typed)

    assert ended.exit == 0
    assert f"3 candles of {HOUR}, made of {BTC}" in ended.out
    table = polars.read_parquet("btc.parquet")
    assert table.drop("open_time").rows() == [
        row[1:] for row in library.read_candles(store, HOUR).rows() if row[1] in (100.0, 160.0, 280.0)
    ]
    assert polars.read_parquet_metadata("btc.parquet")["laklak.made_of"] == BTC


def test_an_export_of_all_of_an_interval_takes_what_is_stored_and_makes_the_rest(here):
    fill("a.db", candles(BTC, range(60)), candles(HOUR, [3], price=7.0), candles(ETH, range(120)))
    fill("a.db", candles("binance:LTCUSDT:1d", range(2)))

    answer = here("export", "--interval", "1h", "--out", "hours/", "--store", "a.db", "--json").json

    assert [(one["series"], one["candles"], one["made_of"]) for one in answer["files"]] == [
        (HOUR, 1, None),
        ("binance:ETHUSDT:1h", 2, ETH),
    ]


def test_of_a_range_and_to_a_stream_an_export_makes_the_candles_that_open_in_it(here):
    fill("a.db", candles(BTC, range(30)))
    words = ("--start", "2026-02-28T00:05", "--end", "2026-02-28T00:16", "--out", "-", "--store", "a.db")

    ended = here("export", BTC.replace("1m", "5m"), *words)

    assert [line.split(",")[0] for line in ended.out.splitlines()[1:]] == [
        str(START_MS + minute * MINUTE_MS) for minute in (5, 10, 15)
    ]
    assert f"{FIVE} is made of {BTC}" in ended.err


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["BTCUSDT"], 1, f"no candles of {HOUR} in this time"),
        (["ETHUSDT"], 2, "no candles of binance:ETHUSDT:1h"),
        ([], 1, f"none can be made of {BTC}"),
        (["--store", "days.db"], 2, "holds no series of 1h"),
        ([BTC], 2, f"{BTC} names another interval than 1h"),
    ],
)
def test_an_export_of_which_nothing_can_be_made_is_one_clear_line(words, status, told, here):
    fill("a.db", candles(BTC, range(3)), candles("binance:ETHUSDT:1d", range(1)))
    fill("days.db", candles("binance:ETHUSDT:1d", range(1)))

    ended = here("export", "--interval", "1h", "--store", "a.db", *words)

    assert (ended.exit, ended.out) == (status, "")
    (error,) = ended.lines("error")
    assert told in error


def test_shorter_candles_are_not_made_of_longer_ones_but_those_are_named(here):
    fill("a.db", candles(HOUR, range(3)))

    ended = here("show", BTC, "--store", "a.db")

    assert (ended.exit, ended.out) == (2, "")
    assert f"did you mean {HOUR}?" in ended.err


def test_verify_holds_them_against_the_venues_own(here):
    batch = candles(BTC, range(24 * 60))
    opening, high, low, close, volume = (batch.values[place] for place in (1, 4, 0, 2, 3))
    fill("a.db", StoredCandles(batch.series, batch.open_times, (opening, high, low, close, volume)))
    resample(here, "1h")
    assert here("copy", "b.db", "a.db", HOUR).exit == 0
    words = ("verify", HOUR, "--store", "a.db", "--against", "b.db")
    assert here(*words).exit == 0
    with sqlite3.connect("a.db") as connection:
        connection.execute("UPDATE candle SET high = 1e9 WHERE open_time = ? AND high = 219.5", (START_MS + 3_600_000,))

    ended = here(*words)

    assert ended.exit == 1
    assert "2026-02-28T01:00Z" in ended.out
    assert "219.5" in ended.out


@pytest.fixture
def filled(archive, here):
    """A store with three recorded days of a symbol, and the venue that gave them."""
    running = archive()
    assert here("backfill", "LTCUSDT", "--days", "3", "-q", "--store", "a.db").exit == 0
    return running


LTC = "binance:LTCUSDT:1h"


def test_what_the_venue_gives_for_itself_is_what_was_made_to_the_last_digit(filled, where, here):
    _, typed = where
    ended = here("resample", "5m", "1h", "1d", "--to", typed, "--store", "a.db", "--verify", "all")

    assert ended.exit == 0
    assert "all is sound" in ended.out
    assert "sources were asked for all 9 days that have ended" in ended.out


def test_each_candle_that_differs_from_the_venues_own_is_named_with_both(filled, here):
    with sqlite3.connect("a.db") as connection:
        connection.execute("UPDATE candle SET high = 1e9 WHERE open_time = ?", (START_MS + 61 * MINUTE_MS,))

    words = ("resample", "1h", "--to", "b.db", "--store", "a.db", "--verify", "all")
    ended = here(*words)

    assert ended.exit == 1
    assert f"differs  {LTC}" in ended.out
    at, stored, other = ended.out.partition("2026-02-28T01:00Z ")[2].splitlines()[:3]
    assert at == "binance has other numbers"
    assert "1000000000.0" in stored
    assert "1000000000.0" not in other
    told = here(*words, "--json").json
    assert (told["exit"], told["complete"]) == (1, False)
    assert [fault["time"] for fault in told["verify"]["series"][0]["faults"]] == ["2026-02-28T01:00Z"]


def test_what_could_not_be_made_is_no_difference(filled, here):
    with sqlite3.connect("a.db") as connection:
        connection.execute("DELETE FROM candle WHERE open_time = ?", (START_MS + 61 * MINUTE_MS,))

    answer = resample(here, "1h", "--verify", "all")

    assert (answer["exit"], answer["incomplete"][0]["buckets"]) == (0, 1)
    assert answer["verify"]["series"][0]["verdict"] == "sound"


def test_only_days_of_the_range_are_asked_for_and_as_many_as_are_named(filled, here):
    answer = resample(here, "1h", "--start", "2026-02-26", "--end", "2026-02-28", "--verify", "1")

    (day,) = answer["verify"]["series"][0]["sampled"]
    assert day in ("2026-02-26", "2026-02-27")


def test_where_no_day_has_ended_it_says_so(here):
    fill("a.db", candles(BTC, range(60)))

    for words in (("resample", "1h", "--to", "b.db", "--verify", "1"), ("verify", "--sample", "1")):
        ended = here(*words, "--store", "a.db")
        assert "no source was asked: there is no day that has ended" in ended.out


def test_a_venue_that_is_gone_costs_the_question_and_not_the_candles(filled, here, monkeypatch, timing):
    timing(backoff_most_s=0.02)
    monkeypatch.setenv("LAKLAK_BINANCE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("LAKLAK_BINANCE_ARCHIVE_URL", "http://127.0.0.1:9")

    answer = resample(here, "1h", "--verify", "all")

    assert (answer["exit"], answer["written"], answer["verify"]) == (2, 72, None)
    assert answer["error"].startswith("venue_unreachable")


@pytest.mark.parametrize("number", ["0", "x", "-1"])
def test_a_number_of_days_that_is_none_is_one_clear_line(number, here):
    fill("a.db", candles(BTC, range(10)))

    ended = here("resample", "5m", "--to", "b.db", "--store", "a.db", f"--verify={number}")

    assert ended.exit == 2
    assert f"--verify {number} is no number of days" in ended.err


def test_a_stop_while_venues_are_asked_ends_at_once_and_what_was_made_stays(here, monkeypatch):
    begun = anyio.Event()
    waiting = []

    async def never(*_):
        waiting.append(work.in_flight)
        begun.set()
        await anyio.sleep_forever()

    monkeypatch.setattr("laklak.audit.beside.ask_sources", never)
    fill("a.db", candles(BTC, range(10)))
    settings = load_settings({}, environment={}, folder=Path.cwd())
    access = settings.store_access
    job = ResampleJob(
        source=replace(access, where="a.db"),
        destination=replace(access, where="b.db"),
        state_dir=settings.state_dir,
        intervals=(Interval.parse("5m"),),
    )
    work = VerifiedTransfer(job, Silent(), Sample(None), settings, Timing(), Silent())

    async def stopped():
        async with anyio.create_task_group() as group:

            async def stop():
                await begun.wait()
                work.stop(130, 10.0)

            group.start_soon(stop)
            return await work.run()

    summary = asyncio.run(stopped())

    assert (summary.exit, summary.complete, summary.written, summary.verified) == (130, False, 2, None)
    assert waiting == [""]
    assert list(made("b.db", FIVE)) == [0, 5]
