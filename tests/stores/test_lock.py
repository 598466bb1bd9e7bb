"""One backfill per store: who holds the lock, and when it is free again."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from laklak.errors import StoreBusy, StoreUnavailable
from laklak.stores import open_store
from laklak.stores.lock import StoreLock

HOLDER = (
    "import sys\n"
    "from laklak.stores.lock import StoreLock\n"
    "with StoreLock.for_file(sys.argv[1]):\n"
    "    print('held', flush=True)\n"
    "    sys.stdin.readline()\n"
)


@contextmanager
def held_elsewhere(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock until it is told a line, or killed."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            yield holder
        finally:
            holder.kill()


def test_a_second_process_is_told_who_holds_the_store_and_since_when(path):
    with held_elsewhere(path) as holder, pytest.raises(StoreBusy) as caught, StoreLock.for_file(path):
        pass

    assert f"process {holder.pid}, since 20" in str(caught.value)
    assert re.search(r"since \d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?Z", str(caught.value))
    assert str(path) in str(caught.value)
    assert caught.value.exit_code == 75


def test_a_killed_process_holds_nothing(path):
    with held_elsewhere(path) as holder:
        holder.kill()
        holder.wait()

        with StoreLock.for_file(path):
            pass


def test_a_lock_that_was_given_back_is_free(path):
    with StoreLock.for_file(path):
        pass
    with StoreLock.for_file(path):
        pass


def test_two_names_of_one_file_share_the_lock(path):
    link = path.with_name("link.db")
    link.symlink_to(path)

    with StoreLock.for_file(path), pytest.raises(StoreBusy), StoreLock.for_file(link):
        pass


def test_two_stores_do_not_share_a_lock(path):
    with StoreLock.for_file(path), StoreLock.for_file(path.with_name("other.db")):
        pass


def test_the_lock_file_says_who_holds_it_and_stays(path):
    with StoreLock.for_file(path) as lock:
        note = json.loads(Path(lock.path).read_text())

    assert note["pid"] == os.getpid()
    assert note["since"].endswith("Z")
    assert os.listdir(path.parent) == ["candles.db.lock"]


def test_a_lock_file_with_rubbish_in_it_does_no_harm(path):
    lock_file = Path(f"{path}.lock")
    lock_file.write_text("rubbish")
    with StoreLock.for_file(path):
        lock_file.write_text("[]")

        with pytest.raises(StoreBusy, match="just started"), StoreLock.for_file(path):
            pass


def test_a_place_where_no_lock_can_be_made_is_named(path):
    with pytest.raises(StoreUnavailable, match=r"cannot lock .*No such file"), StoreLock.for_file(path / "no.db"):
        pass


def test_the_lock_of_a_store_is_the_lock_of_its_file(path):
    with open_store(str(path)).exclusive(), pytest.raises(StoreBusy), StoreLock.for_file(path):
        pass
