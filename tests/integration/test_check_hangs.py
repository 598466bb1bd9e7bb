"""`laklak check` ends whatever hangs, and at once when it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import time
from pathlib import Path

from patience import PATIENT
from slow_line import slow_line

from laklak.engine.check import LIMIT_S
from laklak.order import check
from laklak.settings.load import load_settings
from laklak.simulator import Override, generate

# What hangs


LOOK_FOR_S = """
import functools
from laklak.engine import check
check.Check.run = functools.partialmethod(check.Check.run, limit_s={})
"""


def test_it_ends_in_time_though_store_and_venue_hang(venue, laklak, listed):
    venue(script=lambda path, query, number: Override(fault="hang"))
    # A database that its owner never lets go of.
    connection = sqlite3.connect("laklak.db", isolation_level=None)
    try:
        connection.executescript("PRAGMA application_id = 1279347532; PRAGMA user_version = 1; CREATE TABLE x (y)")
        connection.executescript("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE")
        # All else that would end it is longer here than the test.
        ended = laklak("check", "--json", first=PATIENT + LOOK_FOR_S.format(2.0))
    finally:
        connection.close()
    assert LIMIT_S == 13
    assert ended.exit == 2
    texts = [one["text"] for one in ended.json["findings"] if one["verdict"] == "problem"]
    assert len(texts) == 2
    assert all("has not answered within 2 s" in text for text in texts)


def test_a_slow_line_that_keeps_bringing_something_is_waited_for_and_told(looked_within, venue, listed, monkeypatch):
    running = venue(generate(symbols=60, days=1))
    with slow_line(running.url, 8_000) as line:
        monkeypatch.setenv("LAKLAK_BINANCE_URL", line.url)
        since = time.monotonic()
        checkup = looked_within(1.5)
        seconds = time.monotonic() - since
    texts = [finding.text for about, finding in checkup.findings if about == "binance"]
    assert any("lists 60 symbols" in text for text in texts)
    assert any("the line is slow" in text for text in texts)
    assert seconds > 1.5


def test_a_venue_that_trickles_for_ever_is_given_up(listed, monkeypatch):
    monkeypatch.setattr("laklak.engine.check._LONGEST_LIMITS", 2)
    over = []

    async def serve(reader, writer):
        number = len(over)
        over.append(asyncio.Event())
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            while not reader.at_eof():
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.01)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        over[number].set()

    async def main():
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        monkeypatch.setenv("LAKLAK_BINANCE_URL", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        settings = load_settings({}, environment=os.environ, folder=Path.cwd())
        async with server:
            checkup = await check(settings, folder=Path.cwd()).run(limit_s=0.3)
            # What was trickling is closed before the loop is.
            for one in over:
                await one.wait()
            return checkup

    checkup = asyncio.run(main())
    assert checkup.cut_short
    assert any("has not answered within" in finding.text for about, finding in checkup.findings if about == "binance")


def test_a_signal_ends_it_at_once(venue, laklak, listed):
    running = venue(script=lambda path, query, number: Override(fault="hang"))
    process = laklak.start("check", "--json", first=PATIENT + LOOK_FOR_S.format(600.0))
    running.wait_for_hits()
    process.send_signal(signal.SIGTERM)
    ended = laklak.wait(process)
    assert (ended.exit, ended.json["exit"]) == (143, 143)
