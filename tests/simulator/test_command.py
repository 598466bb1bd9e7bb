"""`laklak simulate` as it is started from a shell."""

import re
import signal
import subprocess
import sys

import pytest

from laklak.simulator import ARCHIVE_KINDS

LAKLAK = [sys.executable, "-m", "laklak", "simulate"]


@pytest.fixture
def start():
    """Start it with more words; it is ended by the test, or after it."""
    started = []

    def run(*words):
        process = subprocess.Popen(
            [*LAKLAK, "--port", "0", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def stop(process):
    """The rest of its output, its messages and its exit status after Ctrl-C."""
    process.send_signal(signal.SIGINT)
    output, messages = process.communicate(timeout=20)
    return output, messages, process.returncode


def test_it_tells_both_addresses_and_how_to_use_them(start):
    process = start("--generated", "2", "--days", "1")
    first, second = process.stdout.readline(), process.stdout.readline()
    url = first.removeprefix("simulator: ").strip()
    _, messages, status = stop(process)

    assert re.fullmatch(r"http://127\.0\.0\.1:[0-9]+", url)
    assert second == f"archive: {url}\n"
    assert f"try: LAKLAK_BINANCE_URL={url} LAKLAK_BINANCE_ARCHIVE_URL={url} laklak backfill BTCUSDT" in messages
    assert status == 0


def test_a_prepared_archive_is_told_with_its_size(start):
    process = start("--generated", "2", "--days", "3", "--prepare-archive", "--archive-cache", "64")
    process.stdout.readline()
    _, messages, _ = stop(process)

    assert re.search(r"prepared: 4 of 4 files, 0\.[1-9] MB\n", messages)


def test_preparing_ends_on_a_signal(start):
    process = start("--generated", "500", "--days", "90", "--prepare-archive")
    assert process.stderr.readline() == "preparing the archive ...\n"
    output, _, status = stop(process)

    assert (output, status) == ("", 0)


def test_the_help_names_every_fault_of_the_archive():
    # As wide as it gets, so that no word is broken.
    text = subprocess.run([*LAKLAK, "--help"], capture_output=True, text=True, check=True).stdout
    words = re.sub(r"-\n +", "-", text).split()

    assert {kind.removeprefix("archive-") for kind in ARCHIVE_KINDS} <= {word.strip(".,") for word in words}
