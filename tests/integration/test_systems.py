"""Systems that laklak does not run on, folders that it may not write, what platforms set: one clear line, or none."""

from __future__ import annotations

import subprocess
import sys

import pytest

# What Windows does not have.
ELSEWHERE = """
import os, signal, sys
sys.modules["fcntl"] = None
del signal.pthread_sigmask
os.__dict__.pop("sched_getaffinity", None)
"""


def run_elsewhere(statements):
    return subprocess.run(
        [sys.executable, "-c", ELSEWHERE + statements], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("words", [["--help"], [], ["--version"], ["check"], ["backfill", "--days", "1"]])
def test_elsewhere_every_command_is_one_line_that_says_where_it_runs(words):
    ended = run_elsewhere(f"sys.argv = ['laklak', *{words}]\nfrom laklak.__main__ import main\nmain()")

    assert ended.returncode == 2
    assert ended.stdout == ""
    (line,) = ended.stderr.splitlines()
    assert line.startswith("error: laklak runs on Linux and macOS")
    assert "WSL" in line
    assert "Docker" in line


def test_elsewhere_the_library_can_be_imported_and_says_the_same():
    ended = run_elsewhere(
        "import asyncio, laklak, laklak.api\n"
        "from laklak.stores.lock import StoreLock\n"
        "try:\n    StoreLock.for_file('x.db').__enter__()\n"
        "except laklak.LaklakError as exc:\n    print(exc)"
    )

    assert ended.stderr == ""
    assert "laklak runs on Linux and macOS" in ended.stdout


def test_a_log_that_cannot_be_written_is_told_with_the_setting_that_moves_it(venue, laklak):
    venue()
    ended = laklak("backfill", "LTCUSDT", "--days", "1", LAKLAK_LOG_FILE="/proc/none/backfill.log")

    assert ended.exit == 0
    (line,) = ended.lines("warning")
    assert "--log-file or LAKLAK_LOG_FILE" in line


def test_a_store_in_a_folder_that_is_not_there_is_told_with_the_setting_that_moves_it(venue, here):
    venue()
    ended = here("backfill", "LTCUSDT", "--days", "1", "--store", "no/folder/x.db")

    assert ended.exit == 2
    assert "--store or LAKLAK_STORE" in ended.lines("hint")[0]


def test_a_lock_that_cannot_be_made_is_told_with_the_setting_that_moves_it(venue, here, tmp_path):
    venue()
    (tmp_path / "work" / "laklak.db.lock").mkdir()
    ended = here("backfill", "LTCUSDT", "--days", "1")

    assert ended.exit == 2
    assert "cannot lock" in ended.lines("error")[0]
    assert "--store or LAKLAK_STORE" in ended.lines("hint")[0]


def test_a_state_folder_that_cannot_be_made_is_told_with_the_setting_that_moves_it(
    venue, here, influxd, tmp_path, monkeypatch
):
    venue()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LAKLAK_STATE_DIR", str(tmp_path / "file" / "state"))
    ended = here("backfill", "LTCUSDT", "--days", "1", "--store", influxd.url("moved_state"))

    assert ended.exit == 2
    assert "LAKLAK_STATE_DIR" in ended.lines("hint")[0]


def test_an_address_in_a_network_of_no_proxy_is_asked_directly_and_a_slip_in_it_is_told_once(venue, laklak):
    venue()
    ended = laklak(
        *("backfill", "LTCUSDT", "--days", "1"), HTTP_PROXY="http://127.0.0.1:9", NO_PROXY="127.0.0.0/8, 10.0.0.0/33"
    )

    assert ended.exit == 0
    (line,) = ended.lines("warning")
    assert "NO_PROXY: '10.0.0.0/33' not understood" in line


def test_a_slip_in_no_proxy_is_a_finding_of_check(venue, here, monkeypatch):
    venue()
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.0/8,<local>")

    found = here("check", "--json").json["findings"]

    assert [one["about"] for one in found if "NO_PROXY" in one["text"]] == ["settings"]


def test_in_a_pod_beside_a_service_called_laklak_it_runs(venue, laklak):
    venue()
    pod = {
        "LAKLAK_SERVICE_HOST": "10.96.12.7",
        "LAKLAK_PORT": "tcp://10.96.12.7:8080",
        "LAKLAK_PORT_8080_TCP_PORT": "8080",
    }

    assert laklak("backfill", "LTCUSDT", "--days", "1", **pod).exit == 0
    assert laklak("backfill", "LTCUSDT", "--days", "1", **pod, LAKLAK_BUGDET="1").exit == 2
