"""Getting files over HTTP: from servers that are whole, broken, slow, hostile or not there at all."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import pytest
from talks import LongBackoff, quick

from laklak.errors import PermanentError, TransientError
from laklak.tasks.stopping import Stopped, Stopper
from laklak.tasks.timing import Timing
from laklak.wire.downloads import TRIES, Downloader

BODY = bytes(range(256)) * 40
PATH = "/data/a.zip"


@dataclass
class Server:
    """Answers every request with the next of `answers`, and with the last one for ever; raw bytes, b"" hangs up."""

    answers: Sequence[bytes]
    heard: list[bytes] = field(default_factory=list)
    connections: int = 0
    at_once: int = 0
    most_at_once: int = 0

    _serving: set[asyncio.Task] = field(default_factory=set)

    async def __aenter__(self):
        self._listening = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._listening.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error):
        self._listening.close()
        await self._listening.wait_closed()
        if self._serving:
            _, late = await asyncio.wait(self._serving, timeout=5)
            assert not late, "a connection was left open"

    async def _serve(self, reader, writer):
        self._serving.add(asyncio.current_task())
        self.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                self.heard.append(await reader.readuntil(b"\r\n\r\n"))
                self.at_once += 1
                self.most_at_once = max(self.most_at_once, self.at_once)
                await asyncio.sleep(0.01)
                self.at_once -= 1
                answer = self.answers[min(len(self.heard), len(self.answers)) - 1]
                writer.write(answer)
                await writer.drain()
                if answer is HANG:
                    await reader.read()
                if not answer.endswith(WHOLE):
                    break
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


WHOLE = b"."
HANG = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n123"


def answer(body=BODY, status="200 OK", *headers):
    """A whole answer; the body ends with WHOLE."""
    body += WHOLE
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(head).encode() + body


def talk(answers, conversation: Callable[[Downloader], Awaitable], *, stopper=None, connections=4, **options):
    """Run a conversation with a server of such answers; give the server and what the conversation gave."""
    options = {"timing": quick(), **options}

    async def main():
        async with (
            Server(answers) as server,
            Downloader(
                f"http://127.0.0.1:{server.port}", stopper=stopper or Stopper(), connections=connections, **options
            ) as downloader,
        ):
            result = await conversation(downloader)
        return server, result

    return asyncio.run(main())


def get(most_bytes=100_000):
    async def conversation(downloader):
        return await downloader.get(PATH, most_bytes=most_bytes)

    return conversation


def failure(kind, most_bytes=100_000):
    """What a download raised, and the downloader."""

    async def conversation(downloader):
        with pytest.raises(kind) as caught:
            await downloader.get(PATH, most_bytes=most_bytes)
        return caught.value, downloader

    return conversation


def test_a_body_comes_as_it_is_and_connections_are_kept():
    async def conversation(downloader):
        bodies = [await downloader.get(PATH, most_bytes=100_000) for _ in range(5)]
        return bodies, downloader.traffic

    server, (bodies, traffic) = talk([answer()], conversation)

    assert bodies == [BODY + WHOLE] * 5
    assert (server.connections, len(server.heard)) == (1, 5)
    assert (traffic.requests, traffic.retries, traffic.received_bytes) == (5, 0, 5 * len(BODY + WHOLE))


def test_a_request_names_the_program_and_asks_for_the_bytes_as_they_are():
    server, _ = talk([answer()], get())

    (heard,) = server.heard
    assert heard.startswith(b"GET /data/a.zip HTTP/1.1\r\n")
    assert b"User-Agent: laklak/" in heard
    assert b"Accept-Encoding: identity\r\n" in heard


def test_what_a_server_packs_for_the_way_is_not_unpacked():
    _, body = talk([answer(BODY, "200 OK", "Content-Encoding: gzip")], get())

    assert body == BODY + WHOLE


def test_a_path_is_not_encoded_twice():
    async def conversation(downloader):
        return await downloader.get("/data/%E5%B8%81USDT.zip", most_bytes=100_000)

    server, _ = talk([answer()], conversation)

    assert server.heard[0].startswith(b"GET /data/%E5%B8%81USDT.zip HTTP/1.1\r\n")


@pytest.mark.parametrize("status", ["404 Not Found", "410 Gone"])
def test_a_file_that_is_not_there_is_no_error_and_not_tried_again(status):
    server, body = talk([answer(b"<Error/>", status)], get())

    assert body is None
    assert len(server.heard) == 1


@pytest.mark.parametrize(
    "fault",
    [
        answer(b"", "500 Internal Server Error"),
        answer(b"", "503 Slow Down"),
        answer(b"", "429 Too Many Requests"),
        answer(b"", "408 Request Timeout"),
        answer()[:2000],
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"\x00\xffnonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nabc",
    ],
    ids=["500", "503", "429", "408", "cut off", "hangs up", "bad header", "no HTTP", "cut chunk"],
)
def test_a_passing_fault_is_tried_again(fault):
    async def conversation(downloader):
        return await downloader.get(PATH, most_bytes=100_000), downloader.traffic

    server, (body, traffic) = talk([fault, answer()], conversation)

    assert body == BODY + WHOLE
    assert traffic.retries <= len(server.heard) - 1 == 1


def test_tries_come_to_an_end():
    server, (error, downloader) = talk([answer(b"", "500 Oh")], failure(TransientError))

    assert "answered with status 500" in str(error)
    assert (len(server.heard), downloader.traffic.retries, downloader.dead) == (TRIES, TRIES - 1, False)


def test_between_tries_there_is_a_wait_that_grows():
    waits = []

    class Noted(Timing):
        def backoff_s(self, attempt, share):
            assert 0 <= share < 1
            waits.append(attempt)
            return 0.0

    talk([answer(b"", "500 Oh")], failure(TransientError), timing=Noted())

    assert waits == list(range(1, TRIES))


@pytest.mark.parametrize("status", ["400 Bad Request", "403 Forbidden", "451 Unavailable", "301 Moved"])
def test_a_refusal_is_not_tried_again(status):
    headers = ("Location: http://127.0.0.1:9/",) if status.startswith("301") else ()
    server, (error, _) = talk([answer(b"", status, *headers)], failure(PermanentError))

    assert status.split()[0] in str(error)
    assert error.reason == "archive_refused"
    assert len(server.heard) == 1


@pytest.mark.parametrize("head", [b"Content-Length: 10240\r\n", b"Connection: close\r\n"])
def test_a_body_that_is_too_long_is_given_up_early(head):
    whole = b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + BODY

    server, (error, _) = talk([whole], failure(PermanentError, most_bytes=1000))

    assert "more than 1,000 bytes" in str(error)
    assert len(server.heard) == 1


def test_a_server_that_falls_silent_in_the_middle_is_tried_again():
    server, body = talk([HANG, answer()], get(), timing=quick(silence_s=0.1))

    assert body == BODY + WHOLE
    assert len(server.heard) == 2


def test_a_server_that_drips_is_given_up():
    _, (error, _) = talk([answer()], failure(TransientError), timing=quick(longest_file_s=-1.0))

    assert "not all of an answer" in str(error)


def test_no_more_connections_are_used_than_allowed():
    async def conversation(downloader):
        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(downloader.get(PATH, most_bytes=100_000))

    server, _ = talk([answer()], conversation, connections=3)

    assert (server.most_at_once, server.connections) == (3, 3)


def test_a_stop_gives_up_a_download_at_once():
    stopper = Stopper()

    async def conversation(downloader):
        asyncio.get_running_loop().call_later(0.05, stopper.request)
        with pytest.raises(Stopped):
            await downloader.get(PATH, most_bytes=100_000)

    # What is not given up is waited for longer than the test may last.
    talk([HANG], conversation, stopper=stopper, timing=quick(silence_s=600.0))


def test_a_stop_ends_the_wait_between_two_tries():
    stopper = Stopper()

    async def conversation(downloader):
        asyncio.get_running_loop().call_later(0.05, stopper.request)
        with pytest.raises(Stopped):
            await downloader.get(PATH, most_bytes=100_000)

    server, _ = talk([answer(b"", "500 Oh")], conversation, stopper=stopper, timing=LongBackoff())

    assert len(server.heard) == 1


def test_a_cancelled_download_leaves_nothing_behind():
    async def conversation(downloader):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await downloader.get(PATH, most_bytes=100_000)
        return len(asyncio.all_tasks())

    server, tasks = talk([HANG], conversation)
    gc.collect()

    # This one, and the server's two.
    assert tasks <= 2
    assert server.connections == 1


def test_connections_can_be_renewed_under_a_download():
    async def conversation(downloader):
        async with asyncio.TaskGroup() as group:
            waiting = [group.create_task(downloader.get(PATH, most_bytes=100_000)) for _ in range(6)]
            await asyncio.sleep(0)  # all have begun, none has an answer
            await downloader.renew()
        return [task.result() for task in waiting]

    _, bodies = talk([answer()], conversation, connections=2)

    assert bodies == [BODY + WHOLE] * 6


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


def fail_often(url, files, **options):
    """Ask for so many files, a few at once; give the downloader."""

    async def main():
        async with Downloader(url, stopper=Stopper(), connections=4, timing=quick(), **options) as downloader:
            for _ in range(files):
                if downloader.dead:
                    break
                with contextlib.suppress(TransientError):
                    await downloader.get(PATH, most_bytes=1000)
            return downloader

    return asyncio.run(main())


def test_an_archive_where_nobody_listens_is_down_after_eight_files_of_three_tries():
    downloader = fail_often(f"http://127.0.0.1:{free_port()}", 20)

    assert downloader.dead
    assert downloader.traffic.requests == 8 * 3


def test_a_few_files_that_fail_are_no_sign_that_the_archive_is_down():
    assert not fail_often(f"http://127.0.0.1:{free_port()}", 7).dead


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 70, "a..b"])
def test_an_archive_whose_name_nobody_knows_is_down_at_once(host):
    downloader = fail_often(f"http://{host}", 20)

    assert (downloader.dead, downloader.traffic.requests) == (True, 1)


def test_an_archive_that_speaks_no_tls_is_down_at_once():
    async def greet(reader, writer):
        writer.write(b"220 this is no TLS\r\n")
        writer.close()

    async def main():
        async with await asyncio.start_server(greet, "127.0.0.1", 0) as listening:
            port = listening.sockets[0].getsockname()[1]
            async with Downloader(
                f"https://127.0.0.1:{port}", stopper=Stopper(), connections=1, timing=quick()
            ) as downloader:
                with pytest.raises(TransientError):
                    await downloader.get(PATH, most_bytes=1000)
                return downloader.dead

    assert asyncio.run(main())


def test_an_archive_that_answered_a_moment_ago_is_not_down_yet():
    async def conversation(downloader):
        await downloader.get(PATH, most_bytes=100_000)
        for _ in range(9):
            with pytest.raises(TransientError):
                await downloader.get(PATH, most_bytes=100_000)
        return downloader.dead

    assert talk([answer(), answer(b"", "500 Oh")], conversation)[1] is False


def test_an_archive_that_answered_long_ago_is_down():
    async def conversation(downloader):
        await downloader.get(PATH, most_bytes=100_000)
        for _ in range(8):
            assert not downloader.dead
            with pytest.raises(TransientError):
                await downloader.get(PATH, most_bytes=100_000)
        return downloader.dead

    timing = quick(dead_archive_after_s=0.0)
    assert talk([answer(), answer(b"", "500 Oh")], conversation, timing=timing)[1] is True


def test_files_that_are_not_there_show_that_an_archive_is_up():
    answers = [*[answer(b"", "500 Oh")] * (TRIES * 7), answer(b"", "404 No"), *[answer(b"", "500 Oh")] * (TRIES * 7)]

    async def conversation(downloader):
        for _ in range(15):
            with contextlib.suppress(TransientError):
                await downloader.get(PATH, most_bytes=100_000)
        return downloader.dead

    assert talk(answers, conversation, timing=quick(dead_archive_after_s=0.0))[1] is False


def test_whoever_waits_for_another_try_of_an_archive_that_is_down_gives_up():
    asking = []

    class Found(Timing):
        def backoff_s(self, attempt, share):
            asking[0].dead = True  # as others have found
            return 0.01

    async def conversation(downloader):
        asking.append(downloader)
        with pytest.raises(TransientError):
            await downloader.get(PATH, most_bytes=100_000)

    server, _ = talk([answer(b"", "500 Oh")], conversation, timing=Found())

    assert len(server.heard) == 1


def test_a_login_for_a_proxy_is_sent_with_each_request(monkeypatch):
    async def main():
        async with Server([answer()]) as proxy:
            monkeypatch.setenv("http_proxy", f"http://user:secret@127.0.0.1:{proxy.port}")
            async with Downloader(
                "http://files.invalid", stopper=Stopper(), connections=1, timing=quick()
            ) as downloader:
                body = await downloader.get(PATH, most_bytes=100_000)
        return proxy.heard, body

    heard, body = asyncio.run(main())

    assert body == BODY + WHOLE
    assert heard[0].startswith(b"GET http://files.invalid/data/a.zip HTTP/1.1\r\n")
    assert b"Proxy-Authorization: Basic " in heard[0]
