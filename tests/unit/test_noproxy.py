"""NO_PROXY in the spellings that people bring from curl, Go and Python."""

from __future__ import annotations

import pytest

from laklak.wire.noproxy import NoProxy


@pytest.mark.parametrize(
    ("text", "host", "port", "direct"),
    [
        # Networks
        ("10.0.0.0/8", "10.1.2.3", 80, True),
        ("10.0.0.0/8", "11.1.2.3", 80, False),
        ("10.9.9.9/8", "10.1.2.3", 80, True),
        ("10.0.0.0/255.0.0.0", "10.1.2.3", 80, True),
        ("127.0.0.0/8", "127.0.0.1", 8000, True),
        ("0.0.0.0/0", "192.0.2.1", 80, True),
        ("0.0.0.0/0", "::1", 80, False),
        ("fd00::/8", "fd12::1", 80, True),
        ("[fd00::]/8", "fd12::1", 80, True),
        ("fd00::/8", "fe80::1%eth0", 80, False),
        ("fe80::/10", "fe80::1%eth0", 80, True),
        ("::1/128", "::1", 80, True),
        ("::1/128", "[::1]", 80, True),
        ("10.0.0.0/8", "::ffff:10.1.2.3", 80, True),
        ("::ffff:10.0.0.0/104", "10.1.2.3", 80, True),
        ("10.0.0.0/8:9000", "10.1.2.3", 9000, True),
        ("10.0.0.0/8:9000", "10.1.2.3", 80, False),
        # A name is not looked up
        ("127.0.0.0/8", "localhost", 80, False),
        # Addresses
        ("192.0.2.7", "192.0.2.7", 80, True),
        ("192.0.2.7", "192.0.2.77", 80, False),
        ("192.0.2.7:80", "192.0.2.7", 80, True),
        ("192.0.2.7:81", "192.0.2.7", 80, False),
        ("::1", "::1", 80, True),
        ("0:0:0:0:0:0:0:1", "::1", 80, True),
        ("[::1]:8086", "::1", 8086, True),
        ("[::1]:8086", "::1", 80, False),
        # Names
        ("example.com", "example.com", 443, True),
        ("example.com", "a.b.example.com", 443, True),
        ("example.com", "badexample.com", 443, False),
        (".example.com", "a.example.com", 443, True),
        (".example.com", "example.com", 443, True),
        ("*.example.com", "a.example.com", 443, True),
        ("Example.COM.", "a.example.com", 443, True),
        ("example.com", "A.Example.Com.", 443, True),
        ("example.com:8443", "example.com", 8443, True),
        ("example.com:8443", "example.com", 443, False),
        ("my_host-1", "my_host-1", 443, True),
        ("1st.example", "1st.example", 443, True),
        ("bücher.example", "bücher.example", 443, True),
        # Lists
        ("a.example, 10.0.0.0/8", "10.0.0.1", 80, True),
        ("a.example 10.0.0.0/8", "10.0.0.1", 80, True),
        (" a.example ,, b.example ", "b.example", 80, True),
        ("*", "anything.example", 80, True),
        ("a.example,*", "::1", 80, True),
        ("*:8080", "a.example", 8080, True),
        ("*:8080", "a.example", 80, False),
        ("", "a.example", 80, False),
    ],
)
def test_a_host_is_asked_directly_when_an_entry_covers_it(text, host, port, direct):
    found = NoProxy(text)

    assert found.covers([host], port) is direct
    assert found.doubtful == []


@pytest.mark.parametrize(
    "word",
    ["10.0.0.0/33", "10.0.0.", "10.0.0.*", "10.*", "1.2.3.4.5", "fd00::/129", "[::1", "<local>", "http://a.example",
     "a..b", "a.example:99999", "a.example:port", "/8", "10.0.0.0/", ":80", "host/8", "."],
)  # fmt: skip
def test_what_means_nothing_is_named_and_covers_nothing(word):
    found = NoProxy(f"a.example,{word}")

    assert found.doubtful == [word]
    assert found.covers(["a.example"], 80)
    assert not found.covers(["10.0.0.1"], 80)


def test_a_host_may_be_given_in_two_spellings():
    assert NoProxy("xn--bcher-kva.example").covers(["bücher.example", "xn--bcher-kva.example"], 443)
