"""`laklak import`: files into a store, by the same flow and the same rules as all else."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import polars
import pytest
from anyio import from_thread
from copies import BTC, ETH, HOURS, MINUTE_MS, START_MS, absence, candles, content, fill, minutes_of, new_name, sound
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from thoroughness import examples

from laklak.api import Silent
from laklak.audit.coverage import Range
from laklak.engine import Transfer
from laklak.model.candles import CandleBatch
from laklak.model.series import Interval, Series, TimeRange
from laklak.sources.feather import add_metadata, read_metadata
from laklak.sources.file import pages_of
from laklak.sources.imported import ImportJob
from laklak.stores import open_store
from laklak.stores.access import StoreAccess
from laklak.transfer.export import Export, ExportJob

FORMS = ("csv", "parquet", "feather", "lp")
WAYS = (*((form, None) for form in FORMS), ("feather", "freqtrade"), ("parquet", "freqtrade"))
HEADER = "open_time,open,high,low,close,volume"
RECORDED = Path(__file__).parents[1] / "recorded"
ALWAYS = TimeRange(0, 1 << 50)


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


def load(here, *words, store="b.db"):
    ended = here("import", *words, "--store", store, "--json")
    assert ended.exit == ended.json["exit"]
    return ended


def csv(*rows, name="binance-BTCUSDT-1m.csv", header=HEADER):
    """A file of rows that name their minute, or what stands in place of an open_time."""
    lines = [
        ",".join([str(START_MS + row[0] * MINUTE_MS) if isinstance(row[0], int) else row[0], *row[1:]]) for row in rows
    ]
    Path(name).write_text("\n".join([header, *lines, ""]))
    return name


def plain(*minutes):
    return [(minute, "2", "3", "1", "2.5", "10") for minute in minutes]


@pytest.mark.parametrize("form", FORMS)
def test_what_was_exported_comes_back_to_the_last_digit_with_import_as_its_source(form, where, here):
    store, typed = where
    fill("a.db", sound(BTC, [*range(10), *range(20, 30)]), sound(HOURS, range(3)))
    assert here("export", "--store", "a.db", "--format", form, "--out", "taken").exit == 0

    answer = load(here, *sorted(Path("taken").iterdir()), store=typed).json

    assert (answer["exit"], answer["written"], answer["series"], answer["missing"]) == (0, 23, 2, 0)
    assert content(store)[0] == content("a.db")[0]
    told = [one["source"] for one in here("show", BTC, "--provenance", "--store", typed, "--json").json["provenance"]]
    assert told == ["import"] * 2


PRICES = st.floats(min_value=1e-12, max_value=1e18, allow_nan=False)
ROWS = st.dictionaries(
    st.integers(0, 400),
    st.tuples(st.lists(PRICES, min_size=4, max_size=4).map(sorted), st.floats(0, 1e18), st.booleans()),
    min_size=1,
    max_size=30,
)


@settings(max_examples=examples(12, everyday=4), deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=ROWS, way=st.sampled_from(WAYS), interval=st.sampled_from(["1m", "5m", "1d"]))
def test_round_the_circle_every_candle_is_the_same_bit_for_bit(rows, way, interval):
    form, layout = way
    series = Series("blofin", "BTC-USDT", Interval.parse(interval))
    table = []
    for place, ((low, inner, other, high), volume, rising) in sorted(rows.items()):
        opening, close = (inner, other) if rising else (other, inner)
        table.append((place * series.interval.ms, opening, high, low, close, volume))
    times, *values = (list(column) for column in zip(*table, strict=True))
    batch = CandleBatch(series, times, tuple(list(map(repr, column)) for column in values), tuple(values))
    folder = Path(tempfile.mkdtemp())
    try:
        fill(str(folder / "a.db"), batch)
        job = ExportJob(
            store=StoreAccess(where=str(folder / "a.db")),
            wanted=Range(),
            format=form,
            out=str(folder / f"out.{form}") if layout is None else str(folder),
            layout=layout,
        )
        (exported,) = asyncio.run(Export(job).run()).files
        summary = asyncio.run(
            Transfer(
                ImportJob(
                    files=(Path(exported.path),),
                    destination=StoreAccess(where=str(folder / "b.db")),
                    state_dir=folder,
                    series=series,
                ),
                Silent(),
            ).run()
        )

        assert (summary.exit, summary.written) == (0, len(table))
        assert content(str(folder / "b.db"))[0] == content(str(folder / "a.db"))[0] == {str(series): table}
    finally:
        shutil.rmtree(folder)


def test_a_held_candle_stays_as_it_is_and_what_lacks_is_filled(where, here):
    store, typed = where
    fill(store, candles(BTC, range(3, 6)), origin="real")

    answer = load(here, csv(*plain(*range(8))), store=typed).json

    assert [answer[key] for key in ("exit", "wanted", "stored_before", "written", "corrected")] == [0, 8, 3, 5, 0]
    opens = [row[1] for row in content(store)[0][BTC]]
    assert opens == [2, 2, 2, 103, 104, 105, 2, 2]


def test_replace_puts_other_values_in_place_and_keeps_the_old_ones_as_revisions(where, here):
    store, typed = where
    fill(store, candles(BTC, range(3)), origin="real")
    load(here, csv(*plain(1), (2, "102.0", "102.125", "102.25", "102.375", "102.5")), store=typed)
    rows = [(1, "2", "3", "1", "2.5", "10"), (3, "2", "3", "1", "2.5", "10")]

    answer = load(here, csv(*rows), "--replace", store=typed).json

    assert [answer[key] for key in ("exit", "stored_before", "written", "corrected")] == [0, 1, 1, 1]
    assert [row[1] for row in content(store)[0][BTC]] == [100, 2, 102, 2]

    async def revisions():
        async with open_store(store) as opened:
            return await opened.revisions(Series.parse(BTC), ALWAYS)

    (revision,) = asyncio.run(revisions())
    assert (revision.old[0], revision.new[0], revision.source) == (101.0, 2.0, "import")
    again = load(here, csv(*rows), "--replace", store=typed).json
    assert [again[key] for key in ("exit", "written", "corrected")] == [0, 0, 0]


def test_a_candle_of_a_file_takes_the_place_of_a_hole(here):
    fill("b.db", candles(BTC, [0, 2]), absences=[absence(1)], origin="real")

    load(here, csv(*plain(1)))

    rows, absences, _ = content("b.db")
    assert (len(rows[BTC]), absences[BTC]) == (3, [])


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ((1, "2", "1", "1", "2.5", "10"), "high is below open"),
        ((1, "2", "3", "1", "2.5", "-1"), "volume is below zero"),
        ((1, "0", "3", "0", "2.5", "1"), "not above zero"),
        ((1, "2", "3", "1", "x", "1"), "close is not a decimal"),
        ((1, "2", "inf", "1", "2", "1"), "high is not a decimal"),
        ((1, "2", "3", "1", "", "1"), "close is not a decimal"),
        ((1, "2", "3", "1", "2"), "volume is not a decimal"),
    ],
)
def test_a_row_that_breaks_a_rule_is_not_stored_and_named_and_the_others_are(row, why, here):
    answer = load(here, csv(*plain(0), row, *plain(2))).json

    assert [answer[key] for key in ("exit", "written", "missing", "blocked")] == [1, 2, 1, 1]
    assert why in answer["failed_series"][0]["detail"]
    assert minutes_of("b.db") == [0, 2]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([*plain(0), *plain(0)], "row 2: its open_time 2026-02-28T00:00Z is that of row 1, too"),
        ([*plain(2, 0, 1, 2)], "row 4: its open_time 2026-02-28T00:02Z is that of row 1, too"),
        ([(str(START_MS + 1), "2", "3", "1", "2", "1")], "not on the grid"),
        ([("2026-02-28", "2", "3", "1", "2", "1")], "no moment in milliseconds"),
        ([(str(START_MS * 1000), "2", "3", "1", "2", "1")], "not in milliseconds"),
        ([("4102444800000", "2", "3", "1", "2", "1")], "not closed yet"),
        ([*plain(0), (1, "2", "3", "1", "2", "1", "7")], "more cells than its header"),
    ],
)
def test_a_file_whose_times_are_not_those_of_a_series_is_not_taken_at_all(rows, said, here):
    good = csv(*plain(0, 1), name="binance-ETHUSDT-1m.csv")

    ended = load(here, good, csv(*rows))

    assert ended.exit == 2
    assert "binance-BTCUSDT-1m.csv" in ended.lines("error")[0]
    assert said in ended.lines("error")[0]
    assert not Path("b.db").exists()


def test_columns_are_known_by_their_names_whatever_else_stands_there(here):
    path = Path("mine.csv")
    path.write_bytes(
        b"\xef\xbb\xbfsymbol,volume,close,low,high,open,open_time\r\n"
        + b"".join(b"X,1,2,1,3,2,%d\r\n" % (START_MS + minute * MINUTE_MS) for minute in range(3))
    )

    assert load(here, path, "--series", ETH).exit == 0
    assert content("b.db")[0][ETH] == [(START_MS + minute * MINUTE_MS, 2, 3, 1, 2, 1) for minute in range(3)]


@pytest.mark.parametrize(
    "spell",
    [
        lambda ms: str(ms // 1000),
        str,
        lambda ms: str(ms * 1000),
        lambda ms: str(ms * 1_000_000),
        lambda ms: datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S"),
        lambda ms: datetime.fromtimestamp(ms / 1000, timezone(timedelta(hours=2))).isoformat(),
    ],
    ids=["s", "ms", "us", "ns", "text", "text with an offset"],
)
def test_a_table_of_another_program_is_read_by_the_names_that_are_said(spell, here):
    rows = [(spell(START_MS + minute * MINUTE_MS), "2", "3", "1", "2.5", "10") for minute in range(3)]
    path = csv(*rows, name="mine.csv", header="ts,o,h,l,c,vol")
    words = ("--columns", "open_time=ts,open=o,high=h,low=l,close=c,volume=vol", "--series", BTC)

    assert load(here, path, *words).exit == 0
    assert content("b.db")[0][BTC] == [(START_MS + minute * MINUTE_MS, 2, 3, 1, 2.5, 10) for minute in range(3)]


def test_how_times_in_another_unit_are_read_is_said_where_they_are_refused(here):
    path = csv((str(START_MS // 1000), "2", "3", "1", "2.5", "10"))

    refused = load(here, path)

    assert refused.exit == 2
    assert "--columns open_time=open_time reads other units" in refused.lines("hint")[0]
    assert load(here, path, "--columns", "open_time=open_time").exit == 0
    assert minutes_of("b.db") == [0]


@pytest.mark.parametrize("words", ["time=ts", "open_time", "open=a,open=b", "open_time=nowhere"])
def test_names_that_say_nothing_are_one_line(words, here):
    ended = load(here, csv(*plain(0)), "--columns", words)

    assert (ended.exit, len(ended.lines("error"))) == (2, 1)
    assert words.rpartition("=")[2] in ended.lines("error")[0]


def test_a_parquet_file_of_another_program_may_have_other_units_and_rows_in_large_groups(here):
    times = polars.Series("open_time", range(START_MS, START_MS + 120_000 * MINUTE_MS, MINUTE_MS))
    moments = times.cast(polars.Datetime("ms")).cast(polars.Datetime("ns", "Europe/Berlin"))
    polars.DataFrame([moments, *(polars.Series(name, [1.5] * 120_000) for name in HEADER.split(",")[1:])]).filter(
        polars.col("open_time").dt.epoch("ms") < time.time() * 1000 - MINUTE_MS
    ).write_parquet("mine.parquet")

    answer = load(here, "mine.parquet", "--series", BTC).json

    assert (answer["exit"], answer["written"]) == (0, 120_000)
    assert content("b.db")[0][BTC][0][0] == START_MS


def test_of_what_two_files_have_the_one_named_first_counts(here):
    ended = load(here, csv(*plain(0, 1)), csv((1, "4", "5", "3", "4", "1"), *plain(2), name="b.csv"), "--series", BTC)

    assert "1 candle in more than one file" in ended.lines("warning")[0]
    assert [row[1] for row in content("b.db")[0][BTC]] == [2, 2, 2]
    assert ended.json["written"] == 3


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_rows_in_any_order_are_put_in_order_and_those_of_one_moment_are_named(form, here, monkeypatch):
    monkeypatch.setattr("laklak.sources.tables.ROWS_AT_ONCE", 7)

    def write(*minutes):
        path = csv(*[(minute, str(minute + 2), "200", "1", "2.5", "10") for minute in minutes])
        if form == "parquet":
            polars.read_csv(path).write_parquet("binance-BTCUSDT-1m.parquet")
        return f"binance-BTCUSDT-1m.{form}"

    assert load(here, write(*range(39, -1, -1))).json["written"] == 40
    rows = content("b.db")[0][BTC]
    assert [row[:2] for row in rows] == [(START_MS + minute * MINUTE_MS, minute + 2) for minute in range(40)]

    ended = load(here, write(*range(50, 90), 70), store="c.db")
    assert ended.exit == 2
    assert "row 41: its open_time 2026-02-28T01:10Z is that of row 21, too" in ended.lines("error")[0]


def test_a_file_that_takes_long_is_told_before_it_is_read(here, monkeypatch):
    small, large = csv(*plain(0), name="binance-ETHUSDT-1m.csv"), csv(*plain(*range(40)))
    monkeypatch.setattr("laklak.sources.imported._TOLD_FROM_BYTES", Path(large).stat().st_size)

    said = here("import", small, large, "--store", "b.db").err.splitlines()

    assert [line for line in said if line.startswith("reading ")] == [f"reading {large}: 1.1 KiB"]


def test_no_room_for_rows_that_are_put_in_order_is_one_line(clean_room, small_disk):
    path = csv(*plain(*range(30_000, 0, -1)))
    # SQLite looks for this folder once in a process.
    environment = {**os.environ, "SQLITE_TMPDIR": str(small_disk("64k"))}
    code = "import sys; from laklak.sources import sorted_rows; sorted_rows._CACHE_KIB = 64\n"
    code += "from laklak.cli import run; sys.exit(run(sys.argv[1:]))"

    words = [sys.executable, "-c", code, "import", path, "--store", "b.db"]
    ended = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=60)

    assert (ended.returncode, ended.stderr.count("error: "), Path("b.db").exists()) == (2, 1, False)
    assert f"the rows of {path} could not be put in order: database or disk is full" in ended.stderr


def test_rows_that_are_put_in_order_are_held_to_the_same_rules(here):
    answer = load(here, csv(*plain(2), (1, "2", "1", "1", "2.5", "10"), *plain(0))).json

    assert [answer[key] for key in ("exit", "written", "missing")] == [1, 2, 1]
    assert "high is below open" in answer["failed_series"][0]["detail"]
    assert minutes_of("b.db") == [0, 2]


@pytest.mark.parametrize("form", ["parquet", "feather"])
def test_a_file_whose_candles_are_not_those_of_its_digest_is_not_taken(form, here):
    fill("a.db", sound(BTC, range(3000)))
    path = f"btc.{form}"
    assert here("export", BTC, "--store", "a.db", "--out", path).exit == 0
    told = polars.read_parquet_metadata(path) if form == "parquet" else read_metadata(Path(path))
    table = polars.read_parquet(path) if form == "parquet" else polars.read_ipc(Path(path).read_bytes())
    changed = table.with_columns(
        polars.when(polars.int_range(polars.len()) == 2500).then(polars.col("volume") + 1).otherwise("volume")
        .alias("volume")
    )  # fmt: skip
    for one in (changed, table.head(2999), table):
        if form == "parquet":
            one.write_parquet(path, metadata=told)
        else:
            one.write_ipc(path)
            add_metadata(path, told)
        ended = load(here, path)
        if one is not table:
            assert (ended.exit, len(ended.lines("error")), Path("b.db").exists()) == (2, 1, False)
            assert f"{path} has other candles than when it was written" in ended.lines("error")[0]
            forced = load(here, path, "--force", store="forced.db")
            assert forced.exit == 0
    assert (ended.exit, content("b.db")[0]) == (0, content("a.db")[0])


def test_what_polars_panics_at_is_one_line(here, monkeypatch):
    polars.read_csv(csv(*plain(0))).write_parquet("binance-BTCUSDT-1m.parquet")

    def panic(*_):
        raise polars.exceptions.PanicException("range end index 8 out of range for slice of length 0")

    monkeypatch.setattr("polars.LazyFrame.collect", panic)
    ended = load(here, "binance-BTCUSDT-1m.parquet")

    assert (ended.exit, len(ended.lines("error"))) == (2, 1)
    assert "binance-BTCUSDT-1m.parquet cannot be read as parquet: range end index 8" in ended.lines("error")[0]


@pytest.mark.parametrize(
    ("unit", "moment", "said"),
    [
        ("ms", 9_000_000_000_000_000, "not in milliseconds"),
        ("us", -1000, "not in milliseconds"),
        ("us", START_MS * 1000 + 1, "no moment in milliseconds"),
        ("ns", START_MS * 1_000_000 + 1, "no moment in milliseconds"),
    ],
)
def test_moments_that_are_none_of_a_candle_are_one_line(unit, moment, said, here):
    times = polars.Series("open_time", [moment]).cast(polars.Datetime(unit, "UTC"))
    polars.read_csv(csv(*plain(0))).with_columns(times).write_parquet("binance-BTCUSDT-1m.parquet")

    ended = load(here, "binance-BTCUSDT-1m.parquet")

    assert (ended.exit, len(ended.lines("error"))) == (2, 1)
    assert said in ended.lines("error")[0]


@pytest.mark.parametrize("told", ["kraken:BTC:1m", "binance:../x:1m", "binance:BTCUSDT:7m", "", "x" * 10_000])
def test_a_file_whose_metadata_name_no_series_is_one_line(told, here):
    polars.read_csv(csv(*plain(0))).write_parquet("binance-BTCUSDT-1m.parquet", metadata={"laklak.series": told})

    ended = load(here, "binance-BTCUSDT-1m.parquet")

    assert (ended.exit, len(ended.lines("error")), Path("b.db").exists()) == (2, 1, False)
    assert "is no series of a venue" in ended.lines("error")[0]
    assert len(ended.lines("error")[0]) < 300


def test_candles_as_far_apart_as_longer_ones_are_told(here):
    path = csv(*plain(*range(0, 150, 15), 300))

    ended = load(here, path)

    assert ended.lines("warning") == [f"{path} has candles that are 15 min apart: are they of 1m?"]
    assert ended.json["written"] == 11
    assert not load(here, path, "--series", BTC.replace("1m", "15m")).lines("warning")
    assert not load(here, csv(*plain(*range(0, 150, 15), 301)), store="c.db").lines("warning")


@pytest.mark.parametrize("form", ["parquet", "feather", "lp"])
def test_what_a_file_says_that_it_is_of_is_not_overruled_by_a_slip_of_the_hand(form, here):
    fill("a.db", sound(BTC, range(3)))
    here("export", BTC, "--store", "a.db", "--out", f"btc.{form}")

    ended = load(here, f"btc.{form}", "--series", ETH)

    assert (ended.exit, len(ended.lines("error")), Path("b.db").exists()) == (2, 1, False)
    assert "binance:BTCUSDT:1m" in ended.lines("error")[0]
    if form != "lp":
        assert load(here, f"btc.{form}", "--series", ETH, "--force").exit == 0
        assert list(content("b.db")[0]) == [ETH]


def test_a_feather_file_with_a_damaged_end_is_one_line(here):
    fill("a.db", sound(BTC, range(10)))
    here("export", BTC, "--store", "a.db", "--out", "btc.feather")
    whole = Path("btc.feather").read_bytes()
    size = int.from_bytes(whole[-10:-6], "little")
    for start in range(len(whole) - 10 - size, len(whole) - 6, 3):
        damaged = bytearray(whole)
        damaged[start : start + 4] = b"\xff\xff\xff\x7f"
        Path("btc.feather").write_bytes(damaged)
        try:
            found = read_metadata(Path("btc.feather"))
        except ValueError:
            continue
        assert isinstance(found, dict)

    for broken in (whole[:-3], whole[:8], b"ARROW1" * 4, whole[:-10] + b"\xff\xff\xff\x7fARROW1"):
        Path("btc.feather").write_bytes(broken)
        ended = load(here, "btc.feather")
        assert (ended.exit, len(ended.lines("error"))) == (2, 1)
        assert "btc.feather cannot be read as feather" in ended.lines("error")[0]


@pytest.mark.parametrize("form", FORMS)
def test_candles_that_were_made_are_told_by_their_file_and_not_taken_for_the_venues_own(form, here):
    fill("a.db", sound(BTC, range(180)))
    assert here("export", BTC.replace("1m", "1h"), "--store", "a.db", "--format", form).exit == 0
    path = Path(f"binance-BTCUSDT-1h.made.{form}")
    renamed = path.rename(f"binance-BTCUSDT-1h.{form}")

    ended = load(here, renamed)

    assert (ended.exit, len(ended.lines("error")), Path("b.db").exists()) == (2, 1, False)
    assert "were made of shorter ones" in ended.lines("error")[0]
    assert load(here, renamed, "--force").json["written"] == 3


def test_line_protocol_of_many_series_and_in_the_order_of_its_fields_is_read(here):
    fill("a.db", sound(BTC, [*range(10), *range(20, 30)]), sound(HOURS, range(3)), sound(ETH, range(5)))
    lines = here("export", "--store", "a.db", "--format", "lp", "--out", "-").out.splitlines()
    apart = []
    for place in range(5):
        for one in lines:
            head, fields, time_ns = one.rsplit(" ", 2)
            apart.append(f"{head} {fields.split(',')[place]} {time_ns}")
    Path("dump.txt").write_text("\n".join(["# DML", *apart]))

    answer = load(here, "dump.txt").json

    assert (answer["exit"], answer["written"], answer["series"]) == (0, 28, 3)
    assert content("b.db")[0] == content("a.db")[0]


def test_a_candle_of_line_protocol_that_lacks_a_field_is_named_and_the_others_are_stored(here):
    fill("a.db", sound(BTC, range(3)))
    lines = here("export", "--store", "a.db", "--format", "lp", "--out", "-").out.splitlines()
    lines[1] = lines[1].replace(",low=", ",lowest=")
    Path("btc.lp").write_text("\n".join(lines))

    answer = load(here, "btc.lp").json

    assert [answer[key] for key in ("exit", "written", "missing")] == [1, 2, 1]
    assert "low is not a decimal" in answer["failed_series"][0]["detail"]


def test_times_of_line_protocol_are_in_the_unit_that_is_said(here):
    fill("a.db", sound(BTC, range(3)))
    lines = here("export", "--store", "a.db", "--format", "lp", "--out", "-").out
    Path("btc.lp").write_text(lines.replace("000000\n", "\n"))

    wrong = load(here, "btc.lp")
    assert (wrong.exit, len(wrong.lines("error"))) == (2, 1)
    assert "--precision us or ms" in wrong.lines("hint")[0]
    assert load(here, "btc.lp", "--precision", "ms").exit == 0
    assert content("b.db")[0] == content("a.db")[0]


def test_a_checksum_beside_a_zip_is_believed_and_no_other_file(here):
    name = "BTCUSDT-1h-2024-10-28.zip"
    shutil.copy(RECORDED / "binance_spot" / "files" / f"spot-klines-{name}", name)
    sum_of = hashlib.sha256(Path(name).read_bytes()).hexdigest()
    words = (name, "--venue", "binance_spot")
    for wrong in (f"{'0' * 64}  {name}\n", f"{sum_of}  other.zip\n", "", "x" * 5000):
        Path(f"{name}.CHECKSUM").write_text(wrong)
        ended = load(here, *words)
        assert (ended.exit, len(ended.lines("error")), Path("b.db").exists()) == (2, 1, False)
        assert name in ended.lines("error")[0]

    Path(f"{name}.CHECKSUM").write_text(f"{sum_of}  {name}\n")
    assert load(here, *words).json["written"] == 24


def test_a_zip_is_what_its_name_says_also_where_a_series_is_named(here):
    name = "BTCUSDT-1h-2024-10-28.zip"
    shutil.copy(RECORDED / "binance_spot" / "files" / f"spot-klines-{name}", name)

    wrong = load(here, name, "--series", "binance_spot:ETHUSDT:1h")
    assert (wrong.exit, len(wrong.lines("error"))) == (2, 1)
    assert load(here, name, "--series", "binance_spot:BTCUSDT:1h").json["written"] == 24


def test_binances_own_zip_and_csv_are_read_as_its_bulk_files_are(here):
    folder = RECORDED / "binance_spot" / "files"
    shutil.copy(folder / "spot-klines-BTCUSDT-1h-2024-10-28.zip", "BTCUSDT-1h-2024-10-28.zip")
    shutil.copy(folder / "ADABTC-1m-2021-11-27.csv", ".")

    ended = load(here, "BTCUSDT-1h-2024-10-28.zip", "ADABTC-1m-2021-11-27.csv", "--venue", "binance_spot")

    rows = content("b.db")[0]
    assert ended.exit == 0
    assert set(rows) == {"binance_spot:BTCUSDT:1h", "binance_spot:ADABTC:1m"}
    with zipfile.ZipFile("BTCUSDT-1h-2024-10-28.zip") as packed:
        lines = packed.read(packed.namelist()[0]).decode().split()
    assert rows["binance_spot:BTCUSDT:1h"] == [
        (int(line.split(",")[0]), *map(float, line.split(",")[1:6])) for line in lines
    ]


def test_a_binance_zip_that_is_not_what_its_name_says_is_not_taken(here):
    source = RECORDED / "binance_spot" / "files" / "spot-klines-BTCUSDT-1h-2024-10-28.zip"
    shutil.copy(source, "BTCUSDT-1h-2024-10-29.zip")
    shutil.copy(source, "klines.zip")

    for name in ("BTCUSDT-1h-2024-10-29.zip", "klines.zip"):
        ended = load(here, name, "--venue", "binance_spot")
        assert (ended.exit, len(ended.lines("error"))) == (2, 1)
        assert name in ended.lines("error")[0]


def test_real_and_simulated_candles_are_not_mixed(here):
    fill("a.db", sound(BTC, range(3)))
    fill("b.db", candles(ETH, range(3)), origin="real")
    here("export", BTC, "--store", "a.db", "--out", "btc.parquet")

    ended = load(here, "btc.parquet")

    assert (ended.exit, len(ended.lines("error"))) == (2, 1)
    assert "simulated" in ended.lines("error")[0]
    assert load(here, "btc.parquet", "--force").exit == 0


def test_a_store_that_keeps_candles_for_too_short_is_refused_and_no_flag_is_named_that_there_is_not(influxd, here):
    name = new_name()
    influxd.ask(f"CREATE DATABASE {name} WITH DURATION 7d REPLICATION 1 NAME week")

    ended = load(here, csv(*plain(0, 1)), store=influxd.url(name))

    assert (ended.exit, ended.lines("hint")) == (2, ["choose a store that keeps candles for longer"])
    assert "older than" in ended.lines("error")[0]


def test_an_import_that_is_stopped_is_finished_by_the_next_one(here, monkeypatch):
    path = csv(*plain(*range(40)))
    monkeypatch.setattr("laklak.sources.tables.ROWS_AT_ONCE", 10)
    job = ImportJob(files=(Path(path),), destination=StoreAccess(where="b.db"), state_dir=Path("state"))
    work = Transfer(job, Silent())

    def stopped_after_a_page(file):
        pages = pages_of(file)
        yield next(pages)
        from_thread.run_sync(work.stop, 130, 5.0)
        yield from pages

    with monkeypatch.context() as patched:
        patched.setattr("laklak.sources.imported.pages_of", stopped_after_a_page)
        summary = asyncio.run(work.run())

    assert (summary.exit, summary.written, summary.missing) == (130, 10, 30)
    assert minutes_of("b.db") == list(range(10))
    answer = load(here, path).json
    assert [answer[key] for key in ("exit", "stored_before", "written")] == [0, 10, 30]


def test_nothing_is_done_twice(here):
    csv(*plain(*range(8)))
    load(here, "binance-BTCUSDT-1m.csv")
    before = Path("b.db").read_bytes()

    ended = here("import", "binance-BTCUSDT-1m.csv", "--store", "b.db")

    assert ended.exit == 0
    assert "nothing to import, all 8 candles accounted for" in ended.err
    assert content("b.db")[0][BTC][0][1] == 2
    assert len(before) == Path("b.db").stat().st_size


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nowhere.csv",), "nowhere.csv cannot be read: No such file"),
        ((".",), ". cannot be read"),
        (("mine.csv",), "does not say which series"),
        (("mine.csv", "--series", "BTC"), "BTC"),
        (("headless.csv", "--series", BTC), "has no column open_time"),
        (("cut.parquet", "--series", BTC), "cannot be read as parquet"),
        (("packed.csv", "--series", BTC), "is packed with gzip"),
        (("pipe", "--series", BTC), "pipe cannot be read: it is no file"),
        (("other.lp",), "has no candles"),
        (("a.json",), "a.json is JSON"),
        (("a.db",), "a.db is a store"),
        (("mine.csv", "--precision", "m"), "--precision m is none"),
        (("BTCUSDT-1m-2024-05.zip", "--venue", "bybit"), "bybit publishes no files"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_what_cannot_be_is_one_line_with_the_right_status(words, said, here):
    csv(*plain(0), name="mine.csv")
    csv(*plain(0), name="headless.csv", header="1,2,3,4,5,6")
    Path("cut.parquet").write_bytes(b"PAR1 and nothing more")
    Path("BTCUSDT-1m-2024-05.zip").write_bytes(b"PK")
    Path("packed.csv").write_bytes(gzip.compress(b"open_time,"))
    Path("other.lp").write_text("cpu value=1 1\n")
    os.mkfifo("pipe")
    Path("a.json").write_text("[[1, 2, 3, 4, 5, 6]]")
    fill("a.db")

    ended = load(here, *words)

    assert (ended.exit, len(ended.lines("error"))) == (2, 1)
    assert said in ended.lines("error")[0]
    assert ended.lines("hint")
    assert not Path("b.db").exists()


def test_a_dead_server_and_a_place_for_no_store_are_one_line_each(here):
    path = csv(*plain(0))
    for store in ("influxdb://127.0.0.1:9/market_data", "nowhere/b.db"):
        ended = load(here, path, "--max-wait", "0s", store=store)
        assert (ended.exit, len(ended.lines("error"))) == (2, 1)


def test_a_full_disk_is_one_line_and_what_lacks_is_imported_later(here, small_disk):
    path = csv(*plain(*range(40_000 - 1)))
    folder = small_disk("1m")

    ended = load(here, path, "--force", store=str(folder / "b.db"))

    assert (ended.exit, len(ended.lines("error"))) == (1, 1)
    assert ended.json["error"].startswith("store_full")
    assert ended.json["missing"] > 0


def test_an_empty_file_is_told_and_no_store_is_made(here):
    ended = load(here, csv())

    assert ended.exit == 0
    assert "has no candles" in ended.lines("warning")[0]
    assert not Path("b.db").exists()
