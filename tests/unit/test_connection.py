"""Waits between tries, the proxy of the environment, faults in words."""

from __future__ import annotations

import errno
import socket
import ssl

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from yarl import URL

from laklak.errors import SettingsError
from laklak.tasks.timing import Timing
from laklak.wire.client import host_text, is_not_yet, no_proxy_warning, proxy_for, what_failed


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1080", "http://[bad", "http://host:port", "http://", "ftp://x"])
def test_a_proxy_that_can_be_none_is_a_settings_error_without_its_text(proxy, monkeypatch):
    monkeypatch.setenv("https_proxy", proxy.replace("//", "//user:secret@", 1))

    with pytest.raises(SettingsError, match="HTTPS_PROXY is not the address of an HTTP proxy") as caught:
        proxy_for(URL("https://fapi.binance.com"))

    assert "secret" not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    ("names", "url", "used"),
    [
        ({"HTTPS_PROXY": "http://p:1"}, "https://fapi.binance.com", True),
        ({"https_proxy": "p:1"}, "https://fapi.binance.com", True),
        ({"HTTPS_PROXY": "http://p:1"}, "http://127.0.0.1:8000", False),
        ({"HTTP_PROXY": "http://p:1"}, "http://venue.example:8000", True),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "binance.com"}, "https://fapi.binance.com", False),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, "https://fapi.binance.com", False),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "127.0.0.1,localhost"}, "http://127.0.0.1:8000", False),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "venue.example:9000"}, "http://venue.example:8000", True),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "127.0.0.0/8"}, "http://127.0.0.1:8000", False),
        ({"HTTP_PROXY": "http://p:1", "no_proxy": "::1/128"}, "http://[::1]:8000", False),
        ({"HTTP_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/8"}, "http://127.0.0.1:8000", True),
        ({}, "https://fapi.binance.com", False),
    ],
)
def test_the_proxy_is_what_the_environment_says(names, url, used, monkeypatch):
    for name, value in names.items():
        monkeypatch.setenv(name, value)

    assert proxy_for(URL(url)) == (URL("http://p:1") if used else None)


def test_backoff_is_capped_and_fully_jittered():
    assert [Timing().backoff_s(attempt, 1.0) for attempt in range(1, 8)] == [0.5, 1, 2, 4, 8, 10, 10]
    assert Timing().backoff_s(5, 0.0) == 0
    assert Timing().backoff_s(3, 0.25) == 0.5


def test_what_no_proxy_does_not_say_clearly_is_told(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://p:1")
    monkeypatch.setenv("NO_PROXY", "a.example,10.0.0.0/33,<local>")

    assert "NO_PROXY: '10.0.0.0/33', '<local>' not understood" in no_proxy_warning()


@pytest.mark.parametrize("names", [{"NO_PROXY": "10.0.0.0/33"}, {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "a,b"}])
def test_nothing_is_told_where_there_is_no_proxy_or_no_doubt(names, monkeypatch):
    for name, value in names.items():
        monkeypatch.setenv(name, value)

    assert no_proxy_warning() is None


SEVERAL = OSError("Multiple exceptions: [Errno 111] Connect call failed ('::1', 80, 0, 0), [Errno 101] Connect call")
NO_NAME = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
NO_SERVER = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
KEY = ConnectionKey("venue.example", 443, True, True, None, None, None)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (OSError(errno.ECONNREFUSED, "http://user:secret@proxy"), "connection refused"),
        (OSError(errno.ENETUNREACH, "x"), "network is unreachable"),
        (OSError(errno.EHOSTUNREACH, "x"), "no route to host"),
        (OSError(errno.EPERM, "x"), "this machine does not allow the connection (a firewall of its own?)"),
        (OSError(errno.EMFILE, "x"), "too many open files; ulimit -n says how many there may be"),
        (SEVERAL, "connection refused and network is unreachable"),
        (NO_NAME, "no such host"),
        (NO_SERVER, "the name server does not answer"),
        (aiohttp.ClientConnectorDNSError(KEY, NO_SERVER), "the name server does not answer"),
        (aiohttp.ClientConnectorError(KEY, SEVERAL), "connection refused and network is unreachable"),
        (aiohttp.ServerDisconnectedError(), "it hung up without an answer"),
        (aiohttp.ClientPayloadError("http://user:secret@proxy"), "the answer was cut off or cannot be unpacked"),
        (aiohttp.ClientConnectionResetError("Cannot write to closing transport"), "the connection was closed"),
        (aiohttp.ClientOSError(), "the connection could not be made or broke"),
        (OSError("http://user:secret@proxy"), "the connection could not be made or broke"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), "TLS failed: "),
        (TimeoutError(), "no answer in time"),
        (TimeoutError("not all of it"), "not all of it"),
        (ValueError("http://user:secret@proxy"), "ValueError"),
    ],
)
def test_a_fault_is_told_in_words_without_what_it_carries(fault, words):
    said = what_failed(fault)

    assert said.startswith(words)
    assert "secret" not in said


@pytest.mark.parametrize(
    ("fault", "not_yet"),
    [
        (NO_SERVER, True),
        (aiohttp.ClientConnectorDNSError(KEY, NO_SERVER), True),
        (OSError(errno.ENETUNREACH, "x"), True),
        (aiohttp.ClientConnectorError(KEY, OSError(errno.EHOSTUNREACH, "x")), True),
        (OSError("Multiple exceptions: [Errno 101] a, [Errno 113] b"), True),
        (NO_NAME, False),
        (SEVERAL, False),
        (OSError(errno.ECONNREFUSED, "x"), False),
        (ssl.SSLError(errno.ENETUNREACH, "x"), False),
        (TimeoutError(), False),
    ],
)
def test_a_network_that_is_not_up_yet_is_told_from_one_that_is(fault, not_yet):
    assert is_not_yet(fault) is not_yet


def test_a_host_is_shown_with_the_port_that_is_written():
    assert host_text(URL("https://data.binance.vision/x")) == "data.binance.vision"
    assert host_text(URL("http://user:pw@127.0.0.1:8787")) == "127.0.0.1:8787"
