"""The HTTP seam on real sockets: every attempt is paid, every answer classified, every failure one of ours."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest
from yarl import URL

from laklak.bans import BanBook
from laklak.clock import VenueClock
from laklak.errors import (
    LaklakError,
    PermanentError,
    RegionBlocked,
    TransientError,
    TryLater,
    VenueError,
    VenueUnreachable,
)
from laklak.limiter import Limiter
from laklak.model import MINUTE_MS, Chunk, Interval, Series, TimeRange
from laklak.simulator import Override, Simulator, SimulatorSettings, generate
from laklak.stopping import Stopped, Stopper
from laklak.transport import TRIES, Transport
from laklak.venues import VENUES

BINANCE = VENUES["binance"]
CLOCK = BINANCE.clock_request()
SOURCE = generate(symbols=1, days=1)
REPLAYED_MS = 1_700_000_000_000


def candles(count=100):
    span = TimeRange(SOURCE.end_ms - count * MINUTE_MS, SOURCE.end_ms)
    return BINANCE.candles_request(Chunk(Series("binance", SOURCE.symbols[0], Interval.parse("1m")), span, (span,)))


@asynccontextmanager
async def opened(url, **values):
    """A transport to `url` with its parts as attributes; retries follow each other at once."""
    clock = VenueClock()
    stopper = Stopper()
    next_minute_s = values.pop("next_minute_s", 0.05)
    limiter = Limiter(2400, advertised=2400, heaviest=10, next_minute_s=lambda: next_minute_s)
    folder = values.pop("folder", Path("state"))
    settings = {"connections": 4, "max_wait_s": 30.0, "firewall_wait_s": 1.0, "attempt_timeout_s": 5.0}
    settings |= {"backoff": lambda attempt, share: 0.0, **values}
    bans = BanBook(folder, "binance", str(URL(url).origin()))
    transport = Transport(BINANCE, url, limiter, clock=clock, bans=bans, stopper=stopper, **settings)
    async with transport:
        transport.limiter, transport.bans, transport.stopper, transport.clock = limiter, bans, stopper, clock
        yield transport


def ask(transport, request=CLOCK, tries=TRIES):
    if request is CLOCK:
        return transport.ask(request, BINANCE.parse_clock, tries=tries)
    return transport.ask(request, BINANCE.parse_candles, candles=True, tries=tries)


class Beside:
    """What a conversation sees: the transport and the venue it talks to."""

    def __init__(self, transport, simulator):
        self.transport, self.simulator, self.stats = transport, simulator, simulator.stats

    async def ask(self, request=CLOCK, tries=TRIES):
        return await ask(self.transport, request, tries)


def talk(conversation, *, answers=(), venue=None, **transport):
    """Await `conversation(beside)`; the first requests get `answers` in turn (None: the true one)."""

    def script(path, query, number):
        return answers[number - 1] if number <= len(answers) else None

    async def main():
        settings = SimulatorSettings(script=script, **(venue or {}))
        async with Simulator(SOURCE, settings) as simulator, opened(simulator.url, **transport) as client:
            return await conversation(Beside(client, simulator))

    return asyncio.run(main())


@asynccontextmanager
async def raw_server(serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]):
    """A server that does with each connection what `serve` says; gives its URL."""

    async def handle(reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def head_of(reader):
    return await reader.readuntil(b"\r\n\r\n")


def response(body=b'{"serverTime":1771977600000}', status="200 OK", headers=b""):
    length = f"Content-Length: {len(body)}\r\n".encode()
    return f"HTTP/1.1 {status}\r\n".encode() + headers + length + b"\r\n" + body


# Success


def test_an_answer_is_parsed_paid_and_counted():
    async def conversation(beside):
        at = await beside.ask()
        page = await beside.ask(candles())
        traffic, limiter = beside.transport.traffic, beside.transport.limiter
        return at, len(page.rows), traffic, limiter.weight_paid, limiter.in_flight

    at, rows, traffic, paid, in_flight = talk(conversation)

    assert (at, rows) == (SOURCE.end_ms, 100)
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
        return beside.transport.limiter.address.used

    assert talk(conversation, venue={"wall_clock": lambda: 1_800_000_000.0}) == 701


def test_a_base_url_with_a_path_keeps_it_and_non_ascii_symbols_arrive():
    seen = []

    async def serve(reader, writer):
        seen.append(await head_of(reader))
        writer.write(response(b"[]"))

    async def main():
        span = TimeRange(0, MINUTE_MS)
        series = Series("binance", "币安人生USDT", Interval.parse("1m"))
        async with raw_server(serve) as url, opened(f"{url}/mirror") as transport:
            await ask(transport, BINANCE.candles_request(Chunk(series, span, (span,))))

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
    seen, transport = talk(conversation, answers=answers)

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

    assert talk(conversation, answers=[Override(fault="hang")], attempt_timeout_s=0.2) == (0, 1)


# Passing faults


@pytest.mark.parametrize("fault", ["5xx", "reset", "cut", "html", "hang"])
def test_a_passing_fault_is_tried_again(fault):
    async def conversation(beside):
        page = await beside.ask(candles())
        return len(page.rows), beside.transport.traffic.retries

    answers = [Override(fault=fault)] * 2

    assert talk(conversation, answers=answers, attempt_timeout_s=0.3) == (100, 2)


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
    monkeypatch.setattr("laklak.transport._BODY_MOST", 1_000_000)
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
            with pytest.raises(TransientError, match="TooLarge"):
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
        async with raw_server(serve) as url, opened(url, attempt_timeout_s=1.0) as transport:
            with pytest.raises(TransientError) as caught:
                await ask(transport, tries=2)
            assert transport.limiter.in_flight == 0
            return str(caught.value)

    said = asyncio.run(main())

    assert "127.0.0.1" in said
    assert said.isprintable()


# Rate limits and bans

LIMITED = b'{"code":-1003,"msg":"Too many requests; current limit is 2400 requests per minute."}'


def banned(until_ms):
    return b'{"code":-1003,"msg":"Way too many requests; IP(203.0.113.1) banned until %d. Please."}' % until_ms


def test_a_429_waits_for_retry_after_and_uses_up_no_try():
    async def conversation(beside):
        start_s = time.monotonic()
        await beside.ask(tries=1)
        return time.monotonic() - start_s, beside.transport.traffic

    waited_s, traffic = talk(conversation, answers=[Override(429, {"Retry-After": "1"}, LIMITED)])

    assert 1.0 <= waited_s < 2.5
    assert (traffic.requests, traffic.rate_limited, traffic.retries) == (2, 1, 0)


def test_a_429_without_retry_after_waits_for_the_next_minute():
    async def conversation(beside):
        start_s = time.monotonic()
        await beside.ask(tries=1)
        return time.monotonic() - start_s

    waited_s = talk(conversation, answers=[Override(429, {}, LIMITED)], next_minute_s=1.4)

    assert 1.4 <= waited_s < 3


def test_a_retry_after_of_nothing_is_no_leave_to_knock_at_once():
    async def conversation(beside):
        start_s = time.monotonic()
        await beside.ask(tries=1)
        return time.monotonic() - start_s

    assert talk(conversation, answers=[Override(429, {"Retry-After": "0"}, LIMITED)]) >= 1.0


def test_one_429_stops_everybody():
    async def conversation(beside):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.7):
                await beside.ask()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(beside.ask()) for _ in range(5)]
            await asyncio.sleep(0.5)
            meanwhile = len(beside.stats.hits)
        return meanwhile, len(beside.stats.hits), all(task.result() for task in tasks)

    assert talk(conversation, answers=[Override(429, {"Retry-After": "2"}, LIMITED)]) == (1, 6, True)


@pytest.mark.parametrize("on_its_own_clock", [False, True])
def test_a_418_is_waited_out_until_the_moment_in_its_text(on_its_own_clock):
    async def conversation(beside):
        await beside.ask()
        transport = beside.transport
        transport.clock.set(REPLAYED_MS)
        now_ms = REPLAYED_MS if on_its_own_clock else int(time.time() * 1000)
        answers.extend([None, Override(418, {}, banned(now_ms + 1500))])
        start_s = time.monotonic()
        await beside.ask(tries=1)
        return time.monotonic() - start_s, transport.banned_until_ms, transport.bans.until_ms()

    answers = []
    waited_s, until_ms, remembered_ms = talk(conversation, answers=answers)

    assert 1.3 <= waited_s < 3
    assert until_ms == pytest.approx(time.time() * 1000, abs=5000)
    assert remembered_ms is None  # it is over


def test_retry_after_of_a_418_counts_before_its_text():
    async def conversation(beside):
        start_s = time.monotonic()
        await beside.ask(tries=1)
        return time.monotonic() - start_s

    answer = Override(418, {"Retry-After": "1"}, banned(int(time.time() * 1000) + 20_000))

    assert talk(conversation, answers=[answer]) < 3


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"code":-1003,"msg":"banned"}', banned(5), banned(99999999999999)])
def test_a_418_that_does_not_say_how_long_is_taken_for_two_minutes(body):
    async def conversation(beside):
        with pytest.raises(TryLater) as caught:
            await beside.ask()
        return caught.value.until_ms / 1000 - time.time()

    assert talk(conversation, answers=[Override(418, {}, body)]) == pytest.approx(120, abs=3)


@pytest.mark.parametrize("status", [418, 429])
def test_longer_than_max_wait_ends_at_once_and_the_next_run_does_not_knock(status, tmp_path):
    hits = []

    async def conversation(beside):
        with pytest.raises(TryLater, match="does not answer this address before") as caught:
            await beside.ask()
        assert "--max-wait" in caught.value.hint
        url, hits_before = beside.simulator.url, len(beside.stats.hits)
        with pytest.raises(TryLater, match="as an earlier run was told") as again:
            async with opened(url, folder=tmp_path / "bans") as transport:
                await ask(transport)
        hits.extend([hits_before, len(beside.stats.hits)])
        return caught.value.until_ms, again.value.until_ms

    answer = Override(status, {"Retry-After": "3600"}, LIMITED)
    first_ms, second_ms = talk(conversation, answers=[answer], folder=tmp_path / "bans")

    assert first_ms == second_ms == pytest.approx((time.time() + 3600) * 1000, abs=5000)
    assert hits == [1, 1]


def test_a_short_ban_of_an_earlier_run_is_waited_out_before_the_first_request(tmp_path):
    async def conversation(beside):
        url = beside.simulator.url
        BanBook(tmp_path, "binance", url).remember(int((time.time() + 1.2) * 1000), "")
        start_s = time.monotonic()
        async with opened(url, folder=tmp_path) as transport:
            await ask(transport)
        return time.monotonic() - start_s

    assert 1.1 <= talk(conversation) < 3


def test_429_without_any_success_for_max_wait_ends_the_run():
    async def conversation(beside):
        await beside.ask()
        answers.extend([None] + [Override(429, {"Retry-After": "1"}, LIMITED)] * 20)
        with pytest.raises(TryLater):
            await beside.ask()
        return len(beside.stats.hits)

    answers = []

    assert 3 <= talk(conversation, answers=answers, max_wait_s=2.0) <= 5


def test_a_wait_that_a_sleeping_machine_slept_through_is_no_lack_of_patience():
    async def conversation(beside):
        transport = beside.transport
        await beside.ask()
        # As if nothing had been answered for an hour, because this machine slept.
        transport._opened_s -= 3600
        transport._last_success_s -= 3600
        await transport.renew()
        return time.monotonic() - transport.last_success_s

    assert talk(conversation) < 1


# Refusals


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, b'{"code":-1121,"msg":"Invalid symbol."}', "unknown_symbol"),
        (400, b'{"code":-1122,"msg":"Invalid symbol status."}', "symbol_status"),
        (400, b'{"code":-1120,"msg":"Invalid interval."}', "refused"),
        (404, b'{"code":-5000,"msg":"Path is invalid"}', "refused"),
    ],
)
def test_a_refusal_for_good_is_not_tried_again(status, body, reason):
    async def conversation(beside):
        with pytest.raises(PermanentError, match=f"HTTP {status} code") as caught:
            await beside.ask()
        return caught.value.reason, len(beside.stats.hits)

    assert talk(conversation, answers=[Override(status, {}, body)]) == (reason, 1)


@pytest.mark.parametrize("status", [403, 451])
def test_a_region_or_firewall_at_the_start_makes_the_venue_unreachable(status):
    async def conversation(beside):
        with pytest.raises(VenueUnreachable) as caught:
            await beside.ask()
        return caught.value.hint, len(beside.stats.hits)

    hint, hits = talk(conversation, answers=[Override(fault=str(status))])

    assert "region" in hint
    assert hits == 1


def test_a_region_that_is_refused_later_ends_the_run():
    async def conversation(beside):
        await beside.ask(candles())
        with pytest.raises(RegionBlocked):
            await beside.ask(candles())

    talk(conversation, answers=[None, Override(fault="451")])


def test_a_firewall_later_is_waited_out():
    async def conversation(beside):
        await beside.ask(candles())
        start_s = time.monotonic()
        await beside.ask(tries=1)
        return time.monotonic() - start_s, beside.transport.traffic.rate_limited

    waited_s, limited = talk(conversation, answers=[None, Override(fault="403")], firewall_wait_s=1.2)

    assert 1.2 <= waited_s < 3
    assert limited == 1


# At the start


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def outcome_at(url, **values):
    """The error of one try at `url`."""

    async def main():
        async with opened(url, **values) as transport:
            await ask(transport, tries=1)

    with pytest.raises(LaklakError) as caught:
        asyncio.run(main())
    return caught.value


def test_nobody_listening_is_a_passing_fault():
    error = outcome_at(f"http://127.0.0.1:{free_port()}")

    assert isinstance(error, TransientError)
    assert "connection refused" in str(error)


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a..example"])
def test_a_host_that_can_be_none_is_unreachable(host):
    error = outcome_at(f"http://{host}")

    assert isinstance(error, VenueUnreachable)
    assert f"cannot find the host {host}" in str(error)


class NoNames(asyncio.SelectorEventLoop):
    """A loop on a machine without name service: every look-up does what `look_up` does."""

    look_up: Callable[[], Awaitable[None]]

    async def getaddrinfo(self, *args, **kwargs):
        await self.look_up()
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def without_names(main, look_up):
    def loop():
        made = NoNames()
        made.look_up = look_up
        return made

    with asyncio.Runner(loop_factory=loop) as runner:
        return runner.run(main)


async def at_once():
    pass


def test_a_host_that_is_not_found_is_unreachable_with_a_hint():
    async def main():
        async with opened("http://venue.example") as transport:
            with pytest.raises(VenueUnreachable, match=r"cannot find the host venue\.example") as caught:
                await ask(transport)
        return caught.value.hint, transport.traffic.requests

    hint, requests = without_names(main(), at_once)

    assert "LAKLAK_BINANCE_URL" in hint
    assert requests == 1


def test_tls_with_a_server_that_speaks_none_is_unreachable():
    async def serve(reader, writer):
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    async def main():
        async with raw_server(serve) as url, opened(url.replace("http:", "https:")) as transport:
            with pytest.raises(VenueUnreachable, match="no trusted connection"):
                await ask(transport)

    asyncio.run(main())


def test_a_name_that_is_not_found_later_is_a_passing_fault():
    async def conversation(beside):
        await beside.ask()
        with pytest.raises(TransientError, match="cannot find"):
            raise beside.transport._translated(UnicodeError("x"))

    talk(conversation)


# Proxies


def test_requests_go_through_the_proxy_of_the_environment_with_its_login(monkeypatch):
    seen = []

    async def serve(reader, writer):
        seen.append(await head_of(reader))
        writer.write(response())

    async def main():
        async with raw_server(serve) as url:
            monkeypatch.setenv("http_proxy", url.replace("//", "//user:secret@"))
            async with opened("http://venue.example") as transport:
                return await ask(transport)

    assert asyncio.run(main()) == 1_771_977_600_000
    assert seen[0].startswith(b"GET http://venue.example/fapi/v1/time HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic dXNlcjpzZWNyZXQ=" in seen[0]


def test_a_proxy_where_nobody_listens_is_named_without_its_password(monkeypatch):
    port = free_port()
    monkeypatch.setenv("http_proxy", f"http://user:secret@127.0.0.1:{port}")

    error = outcome_at("http://venue.example")

    assert isinstance(error, VenueUnreachable)
    assert f"the proxy 127.0.0.1:{port}" in str(error)
    assert "secret" not in f"{error} {error.hint}"


def test_a_proxy_that_refuses_to_connect_through_is_named(monkeypatch):
    async def serve(reader, writer):
        await head_of(reader)
        writer.write(response(b"", "407 Proxy Authentication Required"))
        await writer.drain()

    async def main():
        async with raw_server(serve) as url:
            monkeypatch.setenv("https_proxy", url)
            async with opened("https://venue.example") as transport:
                with pytest.raises(VenueUnreachable, match=r"the proxy 127\.0\.0\.1"):
                    await ask(transport)

    asyncio.run(main())


# Stopping, dropping connections, cancelling


def test_a_stop_cuts_a_wait_for_a_retry_short():
    async def conversation(beside):
        asyncio.get_running_loop().call_later(0.2, beside.transport.stopper.request)
        start_s = time.monotonic()
        with pytest.raises(Stopped):
            await beside.ask()
        return time.monotonic() - start_s

    assert talk(conversation, answers=[Override(500)] * 9, backoff=lambda attempt, share: 60.0) < 5


def test_a_stop_cuts_a_pause_short_and_pays_nothing():
    async def conversation(beside):
        limiter = beside.transport.limiter
        limiter.pause(60)
        asyncio.get_running_loop().call_later(0.1, beside.transport.stopper.request)
        with pytest.raises(Stopped):
            await beside.ask()
        return limiter.weight_paid, limiter.in_flight

    assert talk(conversation) == (0, 0)


def test_a_stop_lets_finish_what_is_on_the_wire():
    async def conversation(beside):
        asyncio.get_running_loop().call_later(0.2, beside.transport.stopper.request)
        return len((await beside.ask(candles())).rows)

    assert talk(conversation, venue={"latency_s": 0.6}) == 100


def test_dropping_the_connections_makes_what_is_on_the_wire_fail_and_be_repeated():
    async def conversation(beside):
        asyncio.get_running_loop().call_later(0.3, lambda: renewals.append(asyncio.ensure_future(renew())))

        async def renew():
            await beside.transport.renew()

        renewals = []
        rows = len((await beside.ask(candles())).rows)
        await renewals[0]
        return rows, beside.transport.traffic.retries

    assert talk(conversation, answers=[Override(fault="hang")]) == (100, 1)


def test_dropping_the_connections_while_a_name_is_looked_up_cancels_nobody():
    async def forever():
        await asyncio.Event().wait()

    async def main():
        async with opened("http://venue.example") as transport:
            asked = [asyncio.ensure_future(ask(transport, tries=1)) for _ in range(3)]
            await asyncio.sleep(0.2)
            await transport.renew()
            return await asyncio.wait(asked, timeout=5)

    done, pending = without_names(main(), forever)

    assert not pending
    assert [type(task.exception()) for task in done] == [TransientError] * 3


def test_a_cancelled_request_leaves_nothing_behind():
    async def conversation(beside):
        task = asyncio.ensure_future(beside.ask())
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        before = beside.transport.limiter.in_flight
        await beside.ask()
        return before, beside.transport.limiter.in_flight

    assert talk(conversation, answers=[Override(fault="hang")]) == (0, 0)


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
    error = talk(conversation, answers=answers, attempt_timeout_s=0.3, max_wait_s=0.5)

    assert "127.0.0.1" in str(error)
    assert json.loads(orjson.dumps(error.reason))
