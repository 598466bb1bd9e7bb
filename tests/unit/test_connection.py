"""Waits between tries, the proxy of the environment, faults in words."""

from __future__ import annotations

import errno

import pytest
from yarl import URL

from laklak.connection import backoff_s, host_text, proxy_for, what_failed
from laklak.errors import SettingsError


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
        ({}, "https://fapi.binance.com", False),
    ],
)
def test_the_proxy_is_what_the_environment_says(names, url, used, monkeypatch):
    for name, value in names.items():
        monkeypatch.setenv(name, value)

    assert proxy_for(URL(url)) == (URL("http://p:1") if used else None)


def test_backoff_is_capped_and_fully_jittered():
    assert [backoff_s(attempt, 1.0) for attempt in range(1, 8)] == [0.5, 1, 2, 4, 8, 10, 10]
    assert backoff_s(5, 0.0) == 0
    assert backoff_s(3, 0.25) == 0.5


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (OSError(errno.ECONNREFUSED, "http://user:secret@proxy"), "connection refused"),
        (TimeoutError(), "no answer in time"),
        (ValueError("http://user:secret@proxy"), "ValueError"),
    ],
)
def test_a_fault_is_told_in_words_without_what_it_carries(fault, words):
    assert what_failed(fault) == words


def test_a_host_is_shown_with_the_port_that_is_written():
    assert host_text(URL("https://data.binance.vision/x")) == "data.binance.vision"
    assert host_text(URL("http://user:pw@127.0.0.1:8787")) == "127.0.0.1:8787"
