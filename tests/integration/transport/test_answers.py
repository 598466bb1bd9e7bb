"""The HTTP seam on real sockets: every attempt is paid, every answer classified, every failure one of ours."""

from __future__ import annotations

import asyncio
import json

import orjson
import pytest
from talks import BINANCE, SOURCE, ask, asked, candles, head_of, opened, quick, raw_server, response, talk

from laklak.errors import TransientError, VenueError
from laklak.model.series import MINUTE_MS, TimeRange
from laklak.simulator import Override
from laklak.simulator.settings import SETTLE_MS
from laklak.wire.venue_api import TRIES

# Success


def test_an_answer_is_parsed_paid_and_counted():
    async def conversation(beside):
        at = await beside.ask()
        page = await beside.ask(candles())
        traffic, limiter = beside.transport.traffic, beside.transport.limiter
        return at, len(page.rows), traffic, limiter.weight_paid, limiter.in_flight

    at, rows, traffic, paid, in_flight = talk(conversation)

    assert (at, rows) == (SOURCE.end_ms + SETTLE_MS, 100)
    assert (traffic.requests, traffic.candle_requests, traffic.retries) == (2, 1, 0)
    assert (paid, in_flight) == (3, 0)


def test_it_tells_when_the_venue_is_a_simulator():
    async def conversation(beside):
        before = beside.transport.simulated
        await beside.ask()
        return before, beside.transport.simulated

    assert talk(conversation) == (False, True)


def test_the_used_weight_of_the_address_reaches_the_limiter():
    async def conversation(beside):
        beside.simulator.spend(700)
        await beside.ask()
        return beside.transport.limiter.first.address.used

    assert talk(conversation, venue={"wall_clock": lambda: 1_800_000_000.0}) == 701


def test_a_base_url_with_a_path_keeps_it_and_non_ascii_symbols_arrive():
    seen = []

    async def serve(reader, writer):
        seen.append(await head_of(reader))
        writer.write(response(b"[]"))

    async def main():
        span = TimeRange(0, MINUTE_MS)
        async with raw_server(serve) as url, opened(f"{url}/mirror") as transport:
            await ask(transport, BINANCE.candles_request(asked("币安人生USDT", span)))

    asyncio.run(main())

    assert seen[0].startswith(
        b"GET /mirror/fapi/v1/klines?symbol=%E5%B8%81%E5%AE%89%E4%BA%BA%E7%94%9FUSDT&interval=1m&startTime=0&endTime=0"
    )
    assert b"User-Agent: laklak/" in seen[0]


# One attempt, one payment


@pytest.mark.parametrize("fault", ["5xx", "reset", "cut", "html"])
def test_every_attempt_at_the_venue_was_paid(fault):
    async def conversation(beside):
        for _ in range(10):
            await beside.ask(candles(500))
        return sum(hit.weight for hit in beside.stats.hits), beside.transport

    answers = [None, Override(fault=fault)] * 8
    seen, transport = talk(conversation, answers=answers, budget=60_000)

    assert seen == transport.limiter.weight_paid == 5 * transport.traffic.requests
    assert transport.traffic.retries == 8
    assert transport.traffic.requests == 18


def test_a_kept_connection_that_the_server_drops_is_not_repeated_without_payment():
    received = []

    async def serve(reader, writer):
        # The first request of a connection is answered and the connection kept; the second is read and dropped.
        await head_of(reader)
        received.append("answered")
        writer.write(response())
        await head_of(reader)
        received.append("dropped")

    async def main():
        async with raw_server(serve) as url, opened(url) as transport:
            for _ in range(6):
                await ask(transport)
            return transport

    transport = asyncio.run(main())

    assert received.count("dropped") >= 5
    assert len(received) == transport.limiter.weight_paid == transport.traffic.requests
    assert transport.traffic.retries == received.count("dropped")


def test_a_payment_is_closed_when_no_answer_comes():
    async def conversation(beside):
        with pytest.raises(TransientError, match="no answer in time"):
            await beside.ask(tries=1)
        return beside.transport.limiter.in_flight, beside.transport.limiter.window_weight

    assert talk(conversation, answers=[Override(fault="hang")], timing=quick(silence_s=0.2)) == (0, 1)


# Passing faults


@pytest.mark.parametrize("fault", ["5xx", "reset", "cut", "html", "hang"])
def test_a_passing_fault_is_tried_again(fault):
    async def conversation(beside):
        page = await beside.ask(candles())
        return len(page.rows), beside.transport.traffic.retries

    answers = [Override(fault=fault)] * 2

    assert talk(conversation, answers=answers, timing=quick(silence_s=0.3)) == (100, 2)


def test_after_the_last_try_it_is_a_transient_error():
    async def conversation(beside):
        with pytest.raises(TransientError) as caught:
            await beside.ask()
        return str(caught.value), len(beside.stats.hits), beside.transport.traffic.retries

    said, hits, retries = talk(conversation, answers=[Override(status=502, body=b"<html>bad gateway")] * 10)

    assert "answered HTTP 502 <html>bad gateway" in said
    assert (hits, retries) == (TRIES, TRIES - 1)


@pytest.mark.parametrize(
    "body",
    [b"", b"[", b"null", b"{}", b"[]", b'{"serverTime":', b"\xff\xfe", b'{"serverTime":"x"}', b"<html>", b"1" * 10_000],
)
def test_a_body_that_is_not_what_was_asked_for_is_tried_again(body):
    async def conversation(beside):
        await beside.ask()
        return beside.transport.traffic.retries

    assert talk(conversation, answers=[Override(body=body)]) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(status):
    async def conversation(beside):
        with pytest.raises(TransientError, match=f"HTTP {status}"):
            await beside.ask(tries=1)
        return [hit.path for hit in beside.stats.hits]

    answer = Override(status=status, headers={"Location": "/fapi/v1/ping"})

    assert talk(conversation, answers=[answer]) == ["/fapi/v1/time"]


def test_an_answer_that_does_not_end_is_cut_off(monkeypatch):
    monkeypatch.setattr("laklak.wire.venue_api._BODY_MOST", 1_000_000)
    sent = []

    async def serve(reader, writer):
        await head_of(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n")
        while True:
            writer.write(b" " * 100_000)
            sent.append(100_000)
            await writer.drain()

    async def main():
        async with raw_server(serve) as url, opened(url) as transport:
            with pytest.raises(TransientError, match="it sent more than"):
                await ask(transport, tries=1)

    asyncio.run(main())

    assert sum(sent) < 20_000_000


RUBBISH = {
    "nothing": b"",
    "no http": b"hello\r\n\r\n",
    "http of another kind": b"HTTP/9.9 200 OK\r\n\r\n",
    "no status": b"HTTP/1.1\r\n\r\n",
    "a status that is no number": b"HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n",
    "a header without a colon": b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n",
    "a header with a null": b"HTTP/1.1 200 OK\r\nA: \x00\r\nContent-Length: 0\r\n\r\n",
    "a header that is too long": b"HTTP/1.1 200 OK\r\nA: " + b"a" * 100_000 + b"\r\n\r\n",
    "a length that is no number": b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "a chunk that is none": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\nabc",
    "a chunk that is cut": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nabc",
    "a body that is cut": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[",
    "gzip that is none": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd",
    "deflate that is none": b"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\nContent-Length: 4\r\n\r\nabcd",
    "an unknown encoding": b"HTTP/1.1 200 OK\r\nContent-Encoding: zzz\r\nContent-Length: 4\r\n\r\nabcd",
    "no body at all": b"HTTP/1.1 204 No Content\r\n\r\n",
    "not modified": b"HTTP/1.1 304 Not Modified\r\n\r\n",
    "an upgrade": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "a redirect to nowhere": b"HTTP/1.1 302 Found\r\nLocation: http://[bad\r\nContent-Length: 0\r\n\r\n",
    "a cookie of nonsense": b"HTTP/1.1 200 OK\r\nSet-Cookie: \xff=\xfe;;;\r\nContent-Length: 1\r\n\r\n1",
    "bytes": bytes(range(256)) * 8,
    "tls": b"\x15\x03\x01\x00\x02\x02\x28",
}


@pytest.mark.parametrize("rubbish", RUBBISH.values(), ids=RUBBISH)
def test_whatever_a_server_sends_no_foreign_exception_comes_out(rubbish):
    async def serve(reader, writer):
        await head_of(reader)
        writer.write(rubbish)
        await writer.drain()

    async def main():
        async with raw_server(serve) as url, opened(url, timing=quick(silence_s=1.0)) as transport:
            with pytest.raises(TransientError) as caught:
                await ask(transport, tries=2)
            assert transport.limiter.in_flight == 0
            return str(caught.value)

    said = asyncio.run(main())

    assert "127.0.0.1" in said
    assert said.isprintable()


# What can come out


@pytest.mark.parametrize("fault", ["5xx", "429", "418", "403", "451", "reset", "cut", "html", "hang"])
@pytest.mark.parametrize("learnt", [False, True])
def test_every_failure_of_a_venue_is_one_of_ours(fault, learnt):
    async def conversation(beside):
        if learnt:
            await beside.ask()
        with pytest.raises(VenueError) as caught:
            await beside.ask(tries=2)
        assert beside.transport.limiter.in_flight == 0
        return caught.value

    answers = [None] * learnt + [Override(fault=fault)] * 8
    error = talk(conversation, answers=answers, timing=quick(silence_s=0.3), max_wait_s=0.5)

    assert "127.0.0.1" in str(error)
    assert json.loads(orjson.dumps(error.reason))
