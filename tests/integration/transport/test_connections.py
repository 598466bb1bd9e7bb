"""The HTTP seam on real sockets: names, TLS and proxies, and connections that are dropped, cancelled or stopped."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable

import pytest
from talks import LongBackoff, ask, candles, head_of, opened, quick, raw_server, response, talk

from laklak.errors import LaklakError, TransientError, VenueUnreachable
from laklak.simulator import Override
from laklak.tasks.stopping import Stopped

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


async def answer_time(reader, writer):
    await head_of(reader)
    writer.write(response())
    await writer.drain()


def test_a_host_that_is_not_found_is_unreachable_with_a_hint():
    async def main():
        async with opened("http://venue.example") as transport:
            with pytest.raises(VenueUnreachable, match=r"cannot find the host venue\.example") as caught:
                await ask(transport)
        return caught.value.hint, transport.traffic.requests

    hint, requests = without_names(main(), at_once)

    assert "LAKLAK_BINANCE_URL" in hint
    assert requests == 1


def late(look_up, monkeypatch):
    """A loop where looking up a name does `look_up` and then finds this machine."""

    async def getaddrinfo(self, host, port, **kwargs):
        await look_up()
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(NoNames, "getaddrinfo", getaddrinfo)


def missing(times, fault):
    """Fail so many times."""
    left = [fault] * times

    async def look_up():
        if left:
            raise left.pop()

    return look_up


NO_SERVER = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


@pytest.mark.parametrize("fault", [NO_SERVER, OSError(errno.ENETUNREACH, "Network is unreachable")])
def test_a_network_that_comes_up_late_is_waited_for_with_one_line(fault, monkeypatch):
    late(missing(8, fault), monkeypatch)
    told = []

    async def main():
        async with raw_server(answer_time) as url:
            name = url.replace("127.0.0.1", "venue.example")
            async with opened(
                name, start_wait_s=30.0, tell=told.append, timing=quick(network_pause_s=0.01)
            ) as transport:
                return await ask(transport, tries=1), transport.limiter.in_flight

    assert without_names(main(), at_once) == (1_771_977_600_000, 0)
    (line,) = told
    assert "venue.example" in line
    assert line.endswith("waiting for the network, at most 30 s")


def test_a_network_that_stays_away_is_unreachable_after_the_wait(monkeypatch):
    late(missing(10_000, NO_SERVER), monkeypatch)

    async def main():
        async with opened("http://venue.example", start_wait_s=0.5, timing=quick(network_pause_s=0.02)) as transport:
            with pytest.raises(VenueUnreachable, match=r"venue\.example, the name server does not answer"):
                await ask(transport)
            return transport.traffic.requests

    assert without_names(main(), at_once) >= 2


def test_no_network_is_waited_for_longer_than_max_wait(monkeypatch):
    late(missing(10_000, NO_SERVER), monkeypatch)
    told = []

    async def main():
        async with opened("http://venue.example", start_wait_s=30.0, max_wait_s=0.0, tell=told.append) as transport:
            with pytest.raises(VenueUnreachable):
                await ask(transport)
            return transport.traffic.requests

    assert without_names(main(), at_once) == 1
    assert told == []


def test_a_stop_ends_the_wait_for_a_network(monkeypatch):
    late(missing(10_000, NO_SERVER), monkeypatch)

    async def main():
        async with opened("http://venue.example", start_wait_s=30.0) as transport:
            asyncio.get_running_loop().call_later(0.1, transport.stopper.request)
            with pytest.raises(Stopped):
                await ask(transport)

    without_names(main(), at_once)


def test_a_network_that_goes_away_later_is_a_passing_fault(monkeypatch):
    async def conversation(beside):
        await beside.ask()
        return beside.transport._translated(OSError(errno.ENETUNREACH, "x"))

    assert type(talk(conversation, start_wait_s=30.0)) is TransientError


def test_tls_with_a_server_that_speaks_none_is_unreachable():
    async def serve(reader, writer):
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()

    async def main():
        async with raw_server(serve) as url, opened(url.replace("http:", "https:")) as transport:
            with pytest.raises(VenueUnreachable, match=r"no trusted connection to .*: it does not speak TLS"):
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
        with pytest.raises(Stopped):
            await beside.ask()

    # A wait that is longer than the test may last.
    talk(conversation, answers=[Override(500)] * 9, timing=LongBackoff())


def test_a_stop_cuts_a_pause_short_and_pays_nothing():
    async def conversation(beside):
        limiter = beside.transport.limiter
        limiter.pause(20)
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
