"""One of the two sources is gone, or the program itself: what can be had is stored, and no more memory is taken."""

from __future__ import annotations

import gc
import json
import signal
import subprocess
import sys
import time

import pytest
from bulk_files import (
    DAY_MS,
    END_MS,
    MINUTE_MS,
    NOON_MS,
    PUBLISHED_MS,
    RECORDING,
    SYMBOLS,
    backfill,
    files_asked,
    rows_in,
)
from patience import PATIENT

from laklak.archives.csv import read_files
from laklak.archives.table import CandleTable
from laklak.errors import VenueUnreachable
from laklak.simulator import Fault, Override, SymbolOverride
from laklak.simulator.dialects.binance import KLINES

# One of the two sources is gone


def test_without_a_regions_api_auto_goes_on_with_files_and_says_what_stays_missing(
    archive, here, check_sum, stored, truth
):
    running = archive(faults=[Fault("451", 1.0, everywhere=True)])
    ended = here("backfill", *SYMBOLS, "--start", "2026-02-25", "--end", "2026-03-01", "--json")
    answer = check_sum(ended.json)
    # With the venue's clock out of reach the machine's own says that all four days are published.
    assert (ended.exit, answer["missing"], answer["files"]["read"]) == (1, 2 * 1440, 6)
    assert [failed["reason"] for failed in answer["failed_series"]] == ["no_source"] * 2
    (warning,) = ended.lines("warning")
    assert "going on with the bulk files alone" in warning
    assert running.candle_hits == []
    assert stored() == truth(SYMBOLS, 0, END_MS - DAY_MS)


@pytest.mark.parametrize("first", [1, 3])
def test_a_region_that_is_refused_in_the_middle_leaves_the_files(first, archive, here, check_sum, stored, truth):
    def script(path, query, number):
        return Override(fault="451") if path == KLINES and len(asked.append(number) or asked) >= first else None

    asked = []
    archive(script=script)
    ended = here("backfill", *SYMBOLS, "--days", "4", "--json", "--chunk", "499")
    answer = check_sum(ended.json)
    assert (ended.exit, answer["error"], answer["files"]["read"]) == (1, None, 6)
    assert answer["missing"] == 2 * 1440 - sum(key[1] >= END_MS - DAY_MS for key in stored())
    assert len([line for line in ended.lines("warning") if "going on with the bulk files alone" in line]) == 1
    everything = truth(SYMBOLS)
    assert {key: everything[key] for key in stored()} == stored()
    assert set(truth(SYMBOLS, 0, END_MS - DAY_MS)) <= set(stored())


def test_files_alone_never_ask_for_klines(archive, stored, truth):
    running = archive(clock_ms=PUBLISHED_MS)
    summary = backfill(*SYMBOLS, **RECORDING, source="archive")
    assert (summary.exit, summary.missing, summary.candle_requests) == (0, 0, 0)
    assert running.candle_hits == []
    assert stored() == truth(SYMBOLS)


def test_files_alone_do_without_the_api(archive, monkeypatch, timing, stored, truth):
    archive(clock_ms=PUBLISHED_MS)
    monkeypatch.setenv("LAKLAK_BINANCE_URL", "http://127.0.0.1:9")
    timing(backoff_most_s=0.02)
    summary = backfill(*SYMBOLS, **RECORDING, source="archive")
    assert (summary.exit, summary.missing) == (0, 0)
    assert stored() == truth(SYMBOLS)


def test_without_the_api_auto_cannot_start(archive, monkeypatch, timing):
    archive()
    monkeypatch.setenv("LAKLAK_BINANCE_URL", "http://127.0.0.1:9")
    timing(backoff_most_s=0.02)
    with pytest.raises(VenueUnreachable):
        backfill("LTCUSDT", days=4)


def test_the_files_of_the_real_venue_are_not_asked_when_only_the_address_of_the_api_is_given(venue, stored, truth):
    venue()
    summary = backfill(*SYMBOLS, days=4)
    assert (summary.exit, summary.files.planned) == (0, 0)
    assert stored() == truth(SYMBOLS)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://no-such-host.invalid"])
def test_an_archive_that_is_down_costs_a_warning_and_little_time(
    url, archive, here, monkeypatch, stored, truth, recorded
):
    archive()
    monkeypatch.setenv("LAKLAK_BINANCE_ARCHIVE_URL", url)
    ended = here("backfill", *recorded.symbols, "--days", "4", "--json")
    assert (ended.exit, ended.json["missing"]) == (0, 0)
    assert len([line for line in ended.lines("warning") if "without the bulk files" in line]) == 1
    assert ended.json["seconds"] < 20
    assert stored() == truth(recorded.symbols)


def test_an_archive_that_dies_in_the_middle_leaves_the_rest_to_the_api(archive, timing, recorded, stored, truth):
    timing(backoff_most_s=0.0, dead_archive_after_s=0.0)

    def script(path, query, number):
        return Override(fault="archive-reset") if number > 20 else None

    archive(clock_ms=PUBLISHED_MS, archive_script=script)
    summary = backfill(*recorded.symbols, **RECORDING, archive_connections=2)
    files = summary.files
    assert (summary.exit, summary.missing, files.done) == (0, 0, files.planned)
    assert (files.read >= 8, set(files.failed)) == (True, {"unreachable"})
    # Eight files in a row, and those beside them: the others are named too, but not tried.
    assert files.requests <= 20 + 6 * (8 + 4)
    assert stored() == truth(recorded.symbols)


def test_a_ban_of_the_api_does_not_stop_the_files(archive, recorded, stored, truth):
    def script(path, query, number):
        return Override(fault="418") if path == KLINES else None

    archive(script=script, ban_s=3600, latency_s=0.01)
    summary = backfill(*recorded.symbols, days=4, archive_connections=2, max_wait="5s")
    assert (summary.exit, summary.files.read, summary.missing) == (75, 7 * 3, 7 * 1440)
    assert (summary.error is not None, summary.banned_until is not None) == (True, True)
    assert stored() == truth(recorded.symbols, 0, END_MS - DAY_MS)


def test_an_api_that_falls_silent_does_not_stop_the_files(archive, recorded, timing, stored, truth):
    timing(backoff_most_s=0.0)

    def script(path, query, number):
        return Override(fault="reset") if path == KLINES else None

    archive(script=script, latency_s=0.05)
    summary = backfill(*recorded.symbols, days=4, archive_connections=1, chunk=99, workers=4, max_wait="1s")
    assert (summary.exit, summary.files.read, summary.missing) == (1, 7 * 3, 7 * 1440)
    assert summary.error is not None
    assert stored() == truth(recorded.symbols, 0, END_MS - DAY_MS)


@pytest.mark.parametrize("fault", ["429", "reset"])
def test_time_in_which_only_files_were_fetched_is_no_silence_of_the_api(fault, archive, timing, stored, truth):
    """The API is asked nothing for longer than --max-wait, and its next answer but one is good."""
    timing(backoff_most_s=0.0)

    def script(path, query, number):
        if path != KLINES:
            return None
        asked.append(number)
        return (
            Override(429, {"Retry-After": "1"}, b"{}")
            if fault == "429" and len(asked) == 1
            else (Override(fault="reset") if fault == "reset" and len(asked) <= 12 else None)
        )

    asked = []
    lacking = {"LTCUSDT": SymbolOverride(archive_holes=frozenset({NOON_MS, NOON_MS + 1500 * MINUTE_MS}))}
    slow = [Fault("archive-slow", 1.0, detail="0.2s")]
    archive(clock_ms=PUBLISHED_MS, overrides=lacking, script=script, faults=slow)
    summary = backfill("LTCUSDT", **RECORDING, archive_connections=1, max_wait="1s")
    assert summary.error is None
    assert summary.missing == (0 if fault == "429" else 2)


# Memory


def test_hostile_months_take_little_memory(archive, autumn, tmp_path, sql):
    """Two gigabytes of zeros in each of two files, one of which says so in its headers."""
    faults = [
        Fault("archive-bomb", symbol=symbol, period="2026-10", detail=detail)
        for symbol, detail in zip(autumn.symbols, ("honest", "lying"), strict=True)
    ]
    archive(autumn, faults=faults)
    words = ["backfill", *autumn.symbols, "--start", "2026-10-01", "--end", "2026-11-01", "--json"]
    program = (
        "import sys\nfrom laklak.cli import run\nrun(sys.argv[1:])\n"
        "print(*(line for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    ended = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, check=True, text=True)
    answer, most = filter(None, ended.stdout.splitlines())
    assert (json.loads(answer)["exit"], json.loads(answer)["files"]["failed"]) == (0, {"zip": 2})
    assert int(most.split()[1]) < 300 * 1024
    assert len(rows_in(sql, "laklak.db")) == 2 * 31 * 1440


def test_no_more_candles_are_in_memory_than_allowed_however_many_files_are_fetched_at_once(
    archive, autumn, monkeypatch
):
    archive(autumn, faults=[Fault("archive-missing", symbol="BTCUSDT", period="2026-10")])
    monkeypatch.setenv("LAKLAK_ARCHIVE_FILES", "1")
    in_memory, files = [], []

    def read_and_count(downloads, archive):
        files.extend(downloads)
        tables = [one for one in gc.get_objects() if isinstance(one, CandleTable)]
        in_memory.append(sum(map(len, tables)))
        return read_files(downloads, archive)

    monkeypatch.setattr("laklak.sources.archive.read_files", read_and_count)
    summary = backfill("BTCUSDT", days=54, archive_connections=53)
    assert (summary.exit, len(files)) == (0, 53)
    # The days of a month, and those that are just being taken apart.
    assert max(in_memory) <= (31 + 8) * 1440


# Stopping


def wait_for_files(running, count):
    deadline = time.monotonic() + 60
    while files_asked(running) < count:
        assert time.monotonic() < deadline, f"only {files_asked(running)} files were asked for"
        time.sleep(0.005)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.long)]
)
def test_a_signal_in_the_middle_of_files_keeps_what_is_there(
    number, status, archive, laklak, check_sum, recorded, stored, truth
):
    words = ("backfill", *recorded.symbols, "--days", "4", "--archive-connections", "4", "--json")
    running = archive(faults=[Fault("archive-slow", 1.0, detail="0.2s")])
    process = laklak.start(*words, first=PATIENT)
    wait_for_files(running, 14)
    process.send_signal(number)
    ended = laklak.wait(process)
    answer = check_sum(ended.json)
    assert (ended.exit, answer["exit"], answer["complete"]) == (status, status, False)
    assert 1440 <= answer["written"] == len(stored()) < 7 * 4 * 1440
    archive()
    again = laklak(*words)
    assert (again.exit, again.json["missing"], again.json["stored_before"]) == (0, 0, answer["written"])
    assert stored() == truth(recorded.symbols)


def test_a_run_that_is_killed_in_the_middle_of_files_is_completed_by_the_next(archive, laklak, recorded, stored, truth):
    words = ("backfill", *recorded.symbols, "--days", "4", "--archive-connections", "4", "--json")
    running = archive(faults=[Fault("archive-slow", 1.0, detail="0.2s")])
    process = laklak.start(*words)
    wait_for_files(running, 24)
    process.kill()
    process.wait()
    everything = truth(recorded.symbols)
    partly = stored()
    assert partly == {key: everything[key] for key in partly}
    archive()
    again = laklak(*words)
    assert (again.exit, again.json["missing"], again.json["stored_before"]) == (0, 0, len(partly))
    assert stored() == everything


def test_files_alone_can_be_had_during_a_ban_also_one_that_is_remembered(archive, stored, truth):
    running = archive(clock_ms=PUBLISHED_MS)
    running.simulator.ban(3600)
    for refetch in (False, True):
        summary = backfill("LTCUSDT", source="archive", refetch=refetch, **RECORDING)
        assert (summary.exit, summary.missing, summary.written) == (0, 0, 0 if refetch else 4 * 1440)
    assert stored() == truth(["LTCUSDT"])
