"""A slow but steady line on real sockets: nothing is given up, and nothing is asked twice."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest
from slow_line import SlowLine
from talks import SOURCE, ask, candles, head_of, opened, quick, raw_server

from laklak.errors import TransientError
from laklak.simulator import Simulator, SimulatorSettings
from laklak.tasks.stopping import Stopper
from laklak.wire.downloads import Downloader


def over_a_slow_line(conversation, bytes_per_s, **transport):
    """Await `conversation(transport, line)` with the simulator behind such a line."""

    async def main():
        async with (
            Simulator(SOURCE, SimulatorSettings(budget=60_000)) as simulator,
            SlowLine(simulator.url, bytes_per_s).open() as line,
            opened(line.url, budget=60_000, **transport) as client,
        ):
            return await conversation(client, line)

    return asyncio.run(main())


def test_an_answer_that_takes_longer_than_silence_may_last_is_not_cut_off():
    async def conversation(transport, line):
        began_s = time.monotonic()
        page = await ask(transport, candles(1000), tries=1)
        return len(page.rows), time.monotonic() - began_s

    rows, seconds = over_a_slow_line(conversation, 25_000, timing=quick(silence_s=2.0))

    assert rows == 1000
    assert seconds > 4


def test_that_an_answer_comes_slowly_is_told_once():
    told = []

    async def conversation(transport, line):
        await ask(transport, candles(400))
        await ask(transport, candles(400))

    over_a_slow_line(conversation, 60_000, tell=told.append, timing=quick(slow_answer_s=0.1))

    (line,) = told
    assert "answers slowly" in line


def test_many_answers_over_a_slow_line_are_each_fetched_once():
    async def conversation(transport, line):
        await ask(transport, candles(500))
        line.most_at_once = 0
        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(ask(transport, candles(500)))
        return transport, line

    transport, line = over_a_slow_line(conversation, 100_000, connections=8, timing=quick(silence_s=3.0))

    assert (transport.traffic.requests, transport.traffic.retries) == (9, 0)
    assert line.most_at_once < 8


def test_an_answer_that_stops_in_the_middle_is_given_up():
    over = asyncio.Event()

    async def serve(reader, writer):
        await head_of(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n[")
        await reader.read()
        over.set()

    async def main():
        async with raw_server(serve) as url, opened(url, timing=quick(silence_s=0.3)) as transport:
            with pytest.raises(TransientError, match="no answer in time"):
                await ask(transport, tries=1)
            await over.wait()
            return transport.line.in_flight

    assert asyncio.run(main()) == 0


def test_an_answer_that_trickles_is_given_up_in_the_end():
    over = asyncio.Event()

    async def serve(reader, writer):
        await head_of(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while not reader.at_eof():
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.01)
        over.set()

    async def main():
        async with raw_server(serve) as url, opened(url, timing=quick(longest_answer_s=0.5)) as transport:
            with pytest.raises(TransientError, match="not all of an answer within"):
                await ask(transport, tries=1)
            await over.wait()

    asyncio.run(main())


def test_files_over_a_slow_line_are_each_fetched_once_and_their_checksums_go_between():
    async def serve(reader, writer):
        body = b"x" * (100 if b"CHECKSUM" in await head_of(reader) else 60_000)
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()

    finished = []

    async def get(downloader, number):
        assert await downloader.get(f"/{number}.zip", most_bytes=100_000)
        assert await downloader.get(f"/{number}.zip.CHECKSUM", most_bytes=1024)
        finished.append(len(finished))
        return downloader.traffic.received_bytes

    async def main():
        async with (
            raw_server(serve) as url,
            SlowLine(url, 100_000).open() as line,
            Downloader(line.url, stopper=Stopper(), connections=8, timing=quick(silence_s=5.0)) as downloader,
        ):
            known = await get(downloader, 8)
            async with asyncio.TaskGroup() as group:
                asked = [group.create_task(get(downloader, number)) for number in range(8)]
            return downloader.traffic, min(task.result() for task in asked) - known

    traffic, received_when_the_first_was_whole = asyncio.run(main())

    assert (traffic.requests, traffic.retries) == (18, 0)
    # Were all of them on the line at once, the first would be whole when eight have nearly come.
    assert received_when_the_first_was_whole < 6.5 * 60_000
