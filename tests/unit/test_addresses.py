"""Which addresses are the same, and which fit to each other."""

import pytest

from laklak.sources.addresses import SIMULATOR, Addresses, address_of, fits, known, mixture

OWN = Addresses(frozenset({"api.example.com"}), frozenset({"files.example.com"}))


def of(api=(), files=()):
    return Addresses(frozenset(api), frozenset(files))


@pytest.mark.parametrize(
    "url",
    [
        "https://api.example.com",
        "http://api.example.com",
        "https://api.example.com/",
        "https://api.example.com:443",
        "http://api.example.com:80/",
        "http://api.example.com:443",
        "https://API.Example.COM",
        "https://api.example.com.",
        "https://me:secret@api.example.com",
    ],
)
def test_scheme_login_usual_port_slash_and_case_of_the_host_do_not_count(url):
    assert address_of(url) == "api.example.com"


def test_another_host_port_or_path_is_another_address():
    urls = [
        "http://a",
        "http://b",
        "http://a:8080",
        "http://a:8081",
        "http://a/binance",
        "http://a/Binance",
        "http://[::1]:80",
    ]
    assert len({address_of(url) for url in urls}) == len(urls)


def test_the_slash_after_a_path_does_not_count():
    assert address_of("http://mirror:9/binance/") == "mirror:9/binance"


def test_two_spellings_of_one_ipv6_address_are_the_same():
    assert address_of("http://[0:0:0:0:0:0:0:1]:9000") == address_of("https://[::1]:9000") == "[::1]:9000"


def test_a_host_that_is_called_simulator_is_not_taken_for_one():
    assert address_of("http://simulator") != SIMULATOR


@pytest.mark.parametrize("value", [None, 7, [], {"api": "x", "files": None}, {"api": [1, None, ""], "more": ["x"]}])
def test_a_note_that_makes_no_sense_says_nothing(value):
    assert not Addresses.noted(value)


def test_a_note_says_what_was_noted():
    addresses = of(["b", "a"], ["c"])

    assert addresses.as_value() == {"api": ["a", "b"], "files": ["c"]}
    assert Addresses.noted(addresses.as_value()) == addresses


def test_candles_without_a_note_are_of_the_venues_own_addresses():
    assert known(of(), OWN, simulated=False) == OWN


def test_candles_without_a_note_in_a_simulated_store_are_of_a_simulator():
    assert known(of(), OWN, simulated=True) == of([SIMULATOR], [SIMULATOR])


@pytest.mark.parametrize(
    ("noted", "counts"),
    [
        (of(["api.example.com"]), OWN),
        (of(files=["files.example.com"]), OWN),
        (of(["mirror"]), of(["mirror"], ["mirror"])),
        (of(files=["mirror"]), of(["mirror"], ["mirror"])),
        (of([SIMULATOR]), of([SIMULATOR], [SIMULATOR])),
        (of(["api.example.com", "mirror"]), of(["api.example.com", "mirror"], ["files.example.com", "mirror"])),
        (of(["mirror"], ["other"]), of(["mirror"], ["other"])),
    ],
)
def test_of_the_source_that_was_not_noted_the_same_server_counts_or_the_venues_own(noted, counts):
    assert known(noted, OWN, simulated=False) == counts


@pytest.mark.parametrize(
    ("address", "there", "mixing", "it_fits"),
    [
        ("a", ["a"], False, True),
        ("b", ["a"], False, False),
        ("b", ["a"], True, False),
        (SIMULATOR, ["a"], False, False),
        (SIMULATOR, ["a"], True, True),
        ("a", [SIMULATOR], True, True),
        ("b", [SIMULATOR, "a"], True, False),
    ],
)
def test_force_mixes_real_and_simulated_and_nothing_else(address, there, mixing, it_fits):
    assert fits(address, frozenset(there), mixing=mixing) == it_fits


def test_a_mixture_is_told_for_the_source_that_has_it():
    assert mixture(of(["a"], ["f"]), of(["a", "b"], ["f"]), mixing=False) is None
    assert mixture(of(["a"], ["g"]), of(["a"], ["f"]), mixing=False) == ("files", {"g"}, {"f"})
