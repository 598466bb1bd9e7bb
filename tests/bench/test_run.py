"""Whole benchmarks, tiny: that they run, that they check, and that they leave nothing behind. Never how fast."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from laklak.bench.run import run
from laklak.stores.access import StoreAccess


def measured(results):
    return [(case.stage, case.source, case.store) for case in results.cases]


# A whole benchmark is a dozen processes: every day there is one, and others without paths.
WRITES_EVERY_DAY = pytest.mark.parametrize(
    "sources", [[], pytest.param(["archive"], marks=pytest.mark.long)], ids=["writes", "writes and paths"]
)


def test_a_benchmark_measures_limits_paths_and_the_limiter_and_leaves_nothing_behind(plan, tiny, temporary):
    results = run(plan(sources=["rest"], budgets=[1200], limiter_s=1.0), lambda line: None)

    assert sorted(measured(results)) == [
        ("download", "rest", ""),
        ("limiter", "rest", "sqlite"),
        ("path", "rest", "sqlite"),
        ("re-plan", "", "sqlite"),
        ("write", "", "sqlite"),
    ]
    assert results.stores_checked == 2
    path = results.find("path", "rest", "sqlite")
    assert path is not None
    assert path.runs[0].candles == tiny.candles - 1440
    assert path.runs[0].rss_bytes > 2**24
    limited = next(case for case in results.cases if case.stage == "limiter").runs[0]
    assert limited.weight > 0
    assert limited.most_weight_in_60s <= 1200
    assert 0 < limited.budget_share <= 1
    assert [what for what, _ in results.skipped] == ["influxdb"]
    assert list(temporary.iterdir()) == []


@WRITES_EVERY_DAY
def test_a_named_file_is_never_opened_and_what_is_made_beside_it_goes(sources, plan, temporary, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "candles.db").write_bytes(b"not even a database")

    results = run(plan(sources=sources, store=StoreAccess(where=str(folder / "candles.db"))), lambda line: None)

    assert [what for what, _ in results.skipped] == ["influxdb", "limiter"]
    assert results.stores_checked == 1 + len(sources)
    assert results.places == {"sqlite": str(folder)}
    assert [path.name for path in folder.iterdir()] == ["candles.db"]
    assert (folder / "candles.db").read_bytes() == b"not even a database"


@WRITES_EVERY_DAY
def test_on_a_named_server_databases_come_and_go_beside_the_one_that_is_named(sources, plan, influxd, temporary):
    influxd.ask('CREATE DATABASE "mine"')
    influxd.put("m v=1 1", "mine")
    before = influxd.rows("SHOW DATABASES")

    results = run(plan(sources=sources, store=StoreAccess(where=influxd.url("mine"))), lambda line: None)

    cases = [results.find("write", "", "influxdb"), *(results.find("path", one, "influxdb") for one in sources)]
    assert [case.runs[0].server_cpu_s is not None for case in cases] == [True] * len(cases)
    assert results.stores_checked == 2 * len(cases)
    assert influxd.rows("SHOW DATABASES") == before
    assert influxd.rows("SELECT v FROM m", "mine") == [[1, 1]]


@pytest.mark.long
def test_buckets_come_and_go_beside_the_one_that_is_named(plan, influxd2, temporary):
    def buckets():
        return sorted(one["name"] for one in influxd2.api("GET", "/api/v2/buckets")["buckets"])

    before = buckets()
    store = StoreAccess(where=influxd2.url(), token=influxd2.token)

    results = run(plan(store=store), lambda line: None)

    assert ("path", "archive", "influxdb2") in measured(results)
    assert buckets() == before


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--store", "influxdb://localhost:9/mine"], "error: InfluxDB at localhost:9 cannot be reached"),
        (["--store", "influxdb2://localhost/mine"], "error: "),
        (["--json", "no/such/folder.json"], "error: no/such/folder.json cannot be written: No such file or directory"),
    ],
    ids=["no server", "no organization", "no folder for the figures"],
)
def test_what_is_in_the_way_is_told_at_once(flags, says, temporary, fork_server):
    bench = fork_server.start(["bench", "--quick", *flags], os.environ)

    _, said = bench.communicate(60)

    assert bench.returncode == 2
    assert said.startswith(says)
    assert list(temporary.iterdir()) == []


def test_figures_of_an_earlier_run_stay_until_there_are_new_ones(temporary, fork_server):
    Path("old.json").write_text("old")
    bench = fork_server.start(["bench", "--json", "old.json", "--svg", "no/new.svg"], os.environ)

    bench.communicate(60)

    assert bench.returncode == 2
    assert Path("old.json").read_text() == "old"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_ends_everything_that_was_started(number, temporary):
    bench = subprocess.Popen(
        [sys.executable, "-m", "laklak", "bench", "--quick"], stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    with bench:
        # By now the simulator, the reference and, where there is one, an influxd have been started.
        assert bench.stderr.readline().startswith("making ")
        bench.send_signal(number)
        said = bench.stderr.read()

    assert bench.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[number]
    assert said == "error: stopped by a signal\n"
    assert list(temporary.iterdir()) == []
    assert not [entry for entry in Path("/proc").glob("[0-9]*/cwd") if str(temporary) in target_of(entry)]


def target_of(link: Path) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""


@pytest.mark.long
def test_the_quick_form_measures_all_there_is_and_writes_it_down(temporary):
    command = [sys.executable, "-m", "laklak", "bench", "--quick", "--json", "bench.json", "--svg", "bench.svg"]

    done = subprocess.run(command, capture_output=True, text=True, timeout=300)

    assert done.returncode == 0, done.stderr
    assert "archive -> sqlite" in done.stdout
    assert "archive -&gt; sqlite" in Path("bench.svg").read_text()
    assert '"schema": 1' in Path("bench.json").read_text()
    assert list(temporary.iterdir()) == []
