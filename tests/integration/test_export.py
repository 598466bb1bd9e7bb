"""`laklak export`: what is stored, in files that other programs read, each whole or not there."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import polars
import pytest
from copies import BTC, ETH, HOURS, MINUTE_MS, START_MS, absence, candles, content, fill, new_name, sound

from laklak.sources.feather import read_metadata

FORMATS = ("csv", "parquet", "feather", "lp")
NAMES = ("open", "high", "low", "close", "volume")


@pytest.fixture(params=["sqlite", "influxdb", pytest.param("influxdb2", marks=pytest.mark.long)])
def where(request, monkeypatch):
    """A place for a store: as a program names it, and as it is typed."""
    if request.param == "sqlite":
        return "candles.db", "candles.db"
    if request.param == "influxdb":
        return (request.getfixturevalue("influxd").url(new_name()),) * 2
    server = request.getfixturevalue("influxd2")
    monkeypatch.setenv("LAKLAK_INFLUXDB_TOKEN", server.token)
    typed = server.url(new_name())
    return typed.replace("://", f"://:{server.token}@"), typed


@pytest.fixture
def filled(clean_room):
    """Two series of minutes, one with a gap and a hole, and one of hours."""
    fill("candles.db", candles(BTC, [*range(10), *range(20, 30)]), absences=[absence(12)])
    fill("candles.db", candles(ETH, range(5), price=0.000001), candles(HOURS, range(3)))
    return "candles.db"


def export(here, store, *words):
    return here("export", *words, "--store", store)


def read(path):
    """The rows of a file, as a program reads it that knows nothing of laklak."""
    if path.suffix == ".csv":
        table = polars.read_csv(path)
        times = table["open_time"].to_list()
        assert table["time"].str.to_datetime("%Y-%m-%dT%H:%MZ").dt.epoch("ms").to_list() == times
    else:
        table = polars.read_parquet(path) if path.suffix == ".parquet" else polars.read_ipc(path)
        assert table.schema["open_time"] == polars.Datetime("ms", "UTC")
        times = table["open_time"].dt.epoch("ms").to_list()
    return list(zip(times, *(table[name].to_list() for name in NAMES), strict=True))


@pytest.mark.parametrize("form", ["csv", "parquet", "feather"])
def test_a_file_has_every_candle_of_its_series_to_the_last_digit(form, where, here):
    store, typed = where
    fill(store, candles(BTC, [*range(10), *range(20, 30)], price=0.1), absences=[absence(12)])

    ended = export(here, typed, "BTCUSDT", "--format", form)

    path = Path(f"binance-BTCUSDT-1m.{form}")
    assert (ended.exit, read(path)) == (0, content(store)[0][BTC])
    assert str(path) in ended.out
    assert "20 candles" in ended.out


def test_all_that_is_stored_gets_a_file_for_each_series_in_a_folder_that_is_made(filled, here):
    answer = export(here, filled, "--out", "taken", "--json").json

    assert sorted(path.name for path in Path("taken").iterdir()) == [
        "binance-BTCUSDT-1h.csv", "binance-BTCUSDT-1m.csv", "binance-ETHUSDT-1m.csv",
    ]  # fmt: skip
    assert (answer["candles"], [one["candles"] for one in answer["files"]]) == (28, [3, 20, 5])
    assert read(Path("taken/binance-ETHUSDT-1m.csv")) == content(filled)[0][ETH]


def test_a_range_is_cut_out_and_days_count_back_from_where_a_series_ends(filled, here):
    words = ("BTCUSDT", "--format", "csv")
    assert export(here, filled, *words, "--start", "2026-02-28T00:05", "--end", "2026-02-28T00:22").exit == 0
    minutes = [(row[0] - START_MS) // MINUTE_MS for row in read(Path("binance-BTCUSDT-1m.csv"))]
    assert minutes == [5, 6, 7, 8, 9, 20, 21]

    assert export(here, filled, *words, "--days", "1").exit == 0
    assert len(read(Path("binance-BTCUSDT-1m.csv"))) == 20


def test_the_ending_of_a_file_names_the_format_and_the_file_tells_its_series(filled, here):
    assert export(here, filled, "BTCUSDT", "--out", "btc.parquet").exit == 0

    told = polars.read_parquet_metadata("btc.parquet")
    assert (told["laklak.series"], told["laklak.origin"]) == (BTC, "simulated")
    assert read(Path("btc.parquet")) == content(filled)[0][BTC]


def test_a_feather_file_tells_what_a_parquet_file_does_also_where_it_has_many_parts(clean_room, here, monkeypatch):
    fill("candles.db", candles(BTC, [minute for minute in range(4000) if minute % 7]))
    monkeypatch.setattr("laklak.stores.sqlite.bulk.BATCH_ROWS", 500)
    for form in ("parquet", "feather"):
        assert export(here, "candles.db", "BTCUSDT", "--out", f"btc.{form}").exit == 0

    told = read_metadata(Path("btc.feather"))
    told_there = polars.read_parquet_metadata("btc.parquet")
    assert told == {key: told_there[key] for key in ("laklak.series", "laklak.origin", "laklak.digest")}
    assert read(Path("btc.feather")) == read(Path("btc.parquet"))


def test_a_parquet_file_tells_the_digest_of_its_candles_and_digest_gives_the_same(clean_room, here, monkeypatch):
    # Three days, in parts that end in the middle of them.
    fill("candles.db", candles(BTC, [minute for minute in range(4000) if minute % 7]))
    monkeypatch.setattr("laklak.stores.sqlite.bulk.BATCH_ROWS", 500)

    assert export(here, "candles.db", "BTCUSDT", "--out", "btc.parquet").exit == 0

    root = here("digest", "BTCUSDT", "--store", "candles.db", "--json").json["series"][0]["root"]
    assert polars.read_parquet_metadata("btc.parquet")["laklak.digest"] == f"laklak-digest-1 {root}"


def test_a_parquet_file_is_packed_with_zstd_and_has_bounded_groups_of_rows(clean_room, here, monkeypatch):
    fill("candles.db", candles(BTC, range(5000)))
    monkeypatch.setattr("laklak.transfer.sheets._GROUP_ROWS", 1000)
    assert export(here, "candles.db", "BTCUSDT", "--out", "btc.parquet").exit == 0

    assert Path("btc.parquet").stat().st_size < 5000 * 48 / 2
    assert read(Path("btc.parquet")) == content("candles.db")[0][BTC]


def test_a_stream_of_csv_is_what_the_file_would_be(filled, here):
    export(here, filled, "BTCUSDT")

    ended = export(here, filled, "BTCUSDT", "--out", "-")

    assert (ended.exit, ended.out) == (0, Path("binance-BTCUSDT-1m.csv").read_text())
    assert ended.out == here("show", "BTCUSDT", "--first", "100", "--csv", "--store", filled).out


@pytest.fixture
def minutes(clean_room):
    """Two hours of minutes, of which one of the second hour lacks; and two stored candles of five minutes."""
    kept = [minute for minute in range(180) if minute != 77]
    fill("candles.db", sound(BTC, kept), sound("binance:ETHUSDT:5m", range(2)), absences=[absence(77)])
    return "candles.db"


@pytest.mark.parametrize("form", ["csv", "parquet", "feather"])
def test_longer_candles_are_made_where_only_shorter_ones_are_stored_and_their_file_says_so(form, minutes, here):
    ended = export(here, minutes, "BTCUSDT", "--interval", "1h", "--format", form)

    path = Path(f"binance-BTCUSDT-1h.made.{form}")
    shown = here("show", BTC.replace("1m", "1h"), "--json", "--store", minutes).json["candles"]
    assert (ended.exit, len(shown)) == (0, 2)
    assert read(path) == [tuple(one[name] for name in ("open_time", *NAMES)) for one in shown]
    assert "made of binance:BTCUSDT:1m" in ended.out
    if form == "csv":
        assert polars.read_csv(path)["made_of"].to_list() == ["1m", "1m"]
    else:
        told = polars.read_parquet_metadata(path) if form == "parquet" else read_metadata(path)
        assert (told["laklak.series"], told["laklak.made_of"]) == (BTC.replace("1m", "1h"), BTC)


def test_an_interval_is_of_every_symbol_what_is_stored_or_else_made(minutes, here):
    answer = export(here, minutes, "--interval", "5m", "--out", "taken", "--json").json

    files = [(one["series"], one["made_of"], one["candles"]) for one in answer["files"]]
    assert files == [("binance:BTCUSDT:5m", BTC, 35), ("binance:ETHUSDT:5m", None, 2)]
    assert export(here, minutes, "--interval", "1m", "--out", "taken", "--json").json["candles"] == 179


def test_a_range_of_made_candles_is_cut_out_and_a_stream_says_what_they_are(minutes, here):
    words = ("BTCUSDT", "--interval", "15m", "--start", "2026-02-28T00:20", "--end", "2026-02-28T01:00", "--out", "-")
    table = export(here, minutes, *words)

    assert [line.split(",")[0] for line in table.out.splitlines()[1:]] == [
        str(START_MS + quarter * 15 * MINUTE_MS) for quarter in (2, 3)
    ]
    assert "made of binance:BTCUSDT:1m" in table.err
    lines = export(here, minutes, *words, "--format", "lp").out.splitlines()
    assert len(lines) == 2
    assert all(',made_of="1m" ' in line for line in lines)


def test_made_candles_come_in_parts_that_are_the_whole(clean_room, here, monkeypatch):
    fill("candles.db", sound(BTC, range(4000)))
    export(here, "candles.db", "BTCUSDT", "--interval", "1h", "--out", "whole.csv")
    monkeypatch.setattr("laklak.stores.sqlite.bulk.BATCH_ROWS", 130)

    export(here, "candles.db", "BTCUSDT", "--interval", "1h", "--out", "parts.csv")

    assert Path("parts.csv").read_text() == Path("whole.csv").read_text()
    assert len(read(Path("parts.csv"))) == 66


def test_line_protocol_of_all_series_can_be_written_to_a_server_as_it_is(filled, here, influxd):
    name = new_name()
    lines = export(here, filled, "--out", "-", "--format", "lp").out
    influxd.ask(f"CREATE DATABASE {name}")
    # What a server takes times for that come without a unit.
    influxd.put(lines, name, unit="ns")

    assert content(influxd.url(name))[0] == content(filled)[0]


def test_line_protocol_of_all_series_is_one_file_where_one_is_named(filled, here):
    lines = export(here, filled, "--out", "-", "--format", "lp").out

    answer = export(here, filled, "--out", "all.lp", "--json").json

    assert (Path("all.lp").read_text(), {one["path"] for one in answer["files"]}) == (lines, {"all.lp"})
    os.mkfifo("pipe")
    with subprocess.Popen(["cat", "pipe"], stdout=subprocess.PIPE, text=True) as reader:
        assert export(here, filled, "--out", "pipe", "--format", "lp").exit == 0
        assert reader.stdout.read() == lines


def test_a_file_that_is_named_for_several_series_is_no_folder(filled, here):
    ended = export(here, filled, "--out", "all.csv")

    assert (ended.exit, len(ended.lines("error")), Path("all.csv").exists()) == (2, 1, False)
    assert "--out all/" in ended.lines("hint")[0]


def test_a_series_without_candles_in_that_time_is_named_and_gets_no_file(filled, here):
    ended = export(here, filled, "BTCUSDT", "ETHUSDT", "--start", "2026-02-28T00:20")

    assert ended.exit == 1
    assert "binance:ETHUSDT:1m" in ended.lines("warning")[0]
    assert [path.name for path in Path().glob("*.csv")] == ["binance-BTCUSDT-1m.csv"]


def test_a_file_that_was_there_is_kept_until_the_new_one_is_whole(filled, here, monkeypatch):
    Path("btc.csv").write_text("open_time,old")
    seen = []

    def write(sheet, columns):
        seen.append(Path("btc.csv").read_text())
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("laklak.transfer.sheets.Lines.write", write)
    ended = export(here, filled, "BTCUSDT", "--out", "btc.csv")

    assert (ended.exit, seen, Path("btc.csv").read_text()) == (2, ["open_time,old"], "open_time,old")
    assert len(ended.lines("error")) == 1
    assert [name for name in os.listdir() if "btc" in name] == ["btc.csv"]


@pytest.mark.parametrize("form", FORMATS)
def test_a_full_disk_is_one_line_and_leaves_no_file(form, clean_room, here, small_disk):
    fill("candles.db", candles(BTC, range(20_000)))
    folder = small_disk("64k")

    ended = export(here, "candles.db", "BTCUSDT", "--format", form, "--out", folder)

    assert ended.exit == 2
    assert len(ended.lines("error")) == 1
    assert ended.lines("error")[0].endswith("could not be written: No space left on device")
    assert "make room" in ended.lines("hint")[0]
    assert list(folder.iterdir()) == []


def test_a_stream_into_a_full_disk_is_an_error_and_a_reader_that_goes_away_is_none(filled, clean_room, run_export):
    with open("/dev/full", "wb") as full:
        ended = run_export(filled, "BTCUSDT", "--out", "-", stdout=full)
    assert ended.returncode == 2
    assert ended.stderr.count(b"error:") == 1
    assert b"Traceback" not in ended.stderr

    reading, writing = os.pipe()
    os.close(reading)
    ended = run_export(filled, "BTCUSDT", "--out", "-", stdout=writing)
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (0, b"")


@pytest.fixture
def run_export():
    """An export in a process of its own."""

    def run(store, *words, **options):
        command = [sys.executable, "-m", "laklak", "export", *words, "--store", store]
        return subprocess.run(command, stderr=subprocess.PIPE, timeout=60, check=False, **options)

    return run


@pytest.fixture
def under_way(clean_room):
    """An export into btc.csv in a process of its own that has written, and goes on writing; gives the process."""
    fill("candles.db", candles(BTC, range(50_000)))
    slow = (
        "import sys, time; from laklak.transfer import sheets; write = sheets.Lines.write\n"
        "def slowly(sheet, columns):\n"
        "    write(sheet, columns); sheet.close(); open('begun', 'w').close(); time.sleep(60)\n"
        "sheets.Lines.write = slowly\n"
        "from laklak.cli import run; sys.exit(run(sys.argv[1:]))"
    )
    words = ["export", "BTCUSDT", "--store", "candles.db", "--out", "btc.csv"]
    program = subprocess.Popen([sys.executable, "-c", slow, *words], stderr=subprocess.PIPE)
    try:
        while not Path("begun").exists():
            assert program.poll() is None
        yield program
    finally:
        program.kill()
        program.communicate()


def waiting():
    return [name for name in os.listdir() if name.startswith(".btc.csv.")]


def test_an_export_that_is_interrupted_leaves_nothing(under_way):
    under_way.send_signal(signal.SIGINT)
    _, said = under_way.communicate(timeout=30)

    assert under_way.returncode == 130
    assert b"Traceback" not in said
    assert not [name for name in os.listdir() if "btc" in name]


def test_what_a_killed_export_has_left_goes_with_the_next_one_and_what_is_in_use_stays(under_way, here):
    Path(".btc.csv.backup").write_text("mine")
    Path(".btc.csv.abcd1234.part").write_text("mine, too")
    mine = {".btc.csv.backup", ".btc.csv.abcd1234.part"}
    (in_use,) = set(waiting()) - mine

    assert export(here, "candles.db", "BTCUSDT", "--out", "btc.csv").exit == 0
    assert set(waiting()) == {in_use, *mine}

    under_way.kill()
    under_way.wait()
    Path("btc.csv").unlink()
    assert set(waiting()) == {in_use, *mine}
    assert export(here, "candles.db", "BTCUSDT", "--out", "btc.csv").exit == 0
    assert set(waiting()) == mine
    assert len(read(Path("btc.csv"))) == 50_000


def test_a_waiting_file_that_another_process_takes_away_before_it_is_locked_is_made_anew(filled, here, monkeypatch):
    lock = fcntl.flock
    taken = []

    def lock_late(handle, how):
        if not taken:
            taken.extend(waiting())
            os.unlink(taken[0])
        lock(handle, how)

    monkeypatch.setattr("fcntl.flock", lock_late)

    assert export(here, filled, "BTCUSDT", "--out", "btc.csv").exit == 0
    assert (len(taken), len(read(Path("btc.csv"))), waiting()) == (1, 20, [])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the peak of a process so")
def test_memory_does_not_grow_with_the_series(clean_room):
    code = (
        "import sys, pathlib; from laklak.cli import run; status = run(sys.argv[1:]); "
        "print(pathlib.Path('/proc/self/status').read_text(), file=sys.stderr); sys.exit(status)"
    )

    def peak_mib(minutes):
        fill("candles.db", candles(BTC, minutes))
        words = ["export", "BTCUSDT", "--store", "candles.db", "--out", "btc.parquet"]
        ended = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
        (peak,) = [line for line in ended.stderr.splitlines() if line.startswith("VmHWM")]
        return int(peak.split()[1]) / 1024

    few = peak_mib(range(1000))
    many = peak_mib(range(1000, 601_000))
    # 600,000 candles are 29 MB in columns, and a few times that as objects.
    assert many - few < 60


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("DOTUSDT",), 2, "no candles of binance:DOTUSDT:1m"),
        (("BTCUSDT", "--start", "2026-03-01", "--end", "2026-02-01"), 2, "2026-03-01"),
        (("BTCUSDT", "--start", "2020-01-01", "--end", "2020-02-01"), 1, "no candles of binance:BTCUSDT:1m"),
        (("BTCUSDT", "--format", "xlsx"), 2, "xlsx"),
        (("BTCUSDT", "--stored"), 2, "exclude each other"),
        (("BTCUSDT", "--out", "nowhere/btc.csv"), 2, "nowhere/btc.csv"),
        (("BTCUSDT", "--out", "-", "--format", "parquet"), 2, "parquet cannot go into a stream"),
        (("--out", "-"), 2, "could not be told apart"),
        (("BTCUSDT", "--out", "-", "--json"), 2, "--json"),
        (("--out", "there.csv"), 2, "one file"),
        (("--interval", "1d",), 1, "none can be made of binance:BTCUSDT:1m"),
        (("--interval", "3m", "--assets", "none.txt"), 2, "none.txt"),
        (("--interval", "1d", "DOTUSDT"), 2, "no candles of binance:DOTUSDT:1d"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)  # fmt: skip
def test_what_cannot_be_is_one_line_with_the_right_status(words, status, said, filled, here):
    Path("there.csv").write_text("old")

    ended = export(here, filled, *words)

    assert ended.exit == status
    assert len(ended.lines("error")) == 1
    assert said in ended.lines("error")[0]
    assert ended.lines("hint")
    assert Path("there.csv").read_text() == "old"


@pytest.mark.parametrize("form", FORMATS)
def test_what_an_export_has_written_is_replaced_by_the_next_one_and_nothing_else_is(form, filled, here):
    words = ("BTCUSDT", "--format", form)
    assert [export(here, filled, *words, "--out", "btc").exit for _ in range(2)] == [0, 0]
    before = Path("candles.db").read_bytes()

    ended = export(here, filled, *words, "--out", "candles.db")

    assert (ended.exit, len(ended.lines("error")), Path("candles.db").read_bytes()) == (2, 1, before)


def test_an_empty_store_and_none_are_one_line_each(clean_room, here):
    for make in (lambda: None, lambda: fill("candles.db")):
        make()
        ended = export(here, "candles.db", "--json")
        assert (ended.exit, ended.json["files"], len(ended.lines("error"))) == (2, [], 1)
        assert ended.json["error"].startswith("store_unavailable")


def test_a_folder_that_is_only_read_is_one_line_before_the_store_is_read(filled, here, monkeypatch):
    Path("mine").mkdir()
    # Whoever runs the tests may be root, who may write everywhere.
    may = os.access
    monkeypatch.setattr("os.access", lambda path, mode: Path(path).name != "mine" and may(path, mode))

    ended = export(here, filled, "BTCUSDT", "--out", "mine")

    assert (ended.exit, len(ended.lines("error"))) == (2, 1)
    assert "mine" in ended.lines("error")[0]


def test_a_dead_server_is_one_line(clean_room, here, monkeypatch):
    ended = export(here, "influxdb://127.0.0.1:9/market_data", "BTCUSDT")

    assert (ended.exit, len(ended.lines("error"))) == (2, 1)
    assert json.dumps(ended.err).count("Traceback") == 0
