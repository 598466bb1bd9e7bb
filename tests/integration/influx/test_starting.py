"""A timer may fire before the store's server is up; a person at a terminal has most likely mistyped the port."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time
from pathlib import Path

DAY = ("backfill", "LTCUSDT", "--days", "1")


def test_without_a_terminal_a_server_that_refuses_the_connection_is_waited_for(venue, laklak, own_place):
    venue()
    own_place.server.stop()
    process = laklak.start(*DAY, "--store", own_place.url, "--json", LAKLAK_START_WAIT="50s")
    deadline = time.monotonic() + 40
    while not Path("backfill.log").exists() or "passing fault" not in Path("backfill.log").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    own_place.server.start()

    ended = laklak.wait(process)

    assert ended.exit == 0, ended.err
    assert ended.json["written"] == 1440


def test_without_a_terminal_the_wait_for_a_server_is_bounded_by_max_wait(venue, laklak, own_place):
    venue()
    own_place.server.stop()

    ended = laklak(*DAY, "--store", own_place.url, "--max-wait", "0", LAKLAK_START_WAIT="50s")

    assert ended.exit == 2
    assert "cannot be reached: Connection refused" in ended.lines("error")[0]
    assert "passing fault" not in Path("backfill.log").read_text()


def test_on_a_terminal_a_port_where_nobody_listens_is_told_at_once(venue, own_place):
    venue()
    own_place.server.stop()
    leader, follower = pty.openpty()
    words = [sys.executable, "-m", "laklak", *DAY, "--store", own_place.url]
    try:
        ended = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=follower,
            env={**os.environ, "LAKLAK_START_WAIT": "50s"},
            timeout=60,
            check=False,
        )
        said = os.read(leader, 10_000).decode()
    finally:
        os.close(leader)
        os.close(follower)

    assert ended.returncode == 2
    assert "Connection refused" in said
    assert "passing fault" not in Path("backfill.log").read_text()
