"""NO_PROXY: the hosts to ask directly, in the spellings that curl, Go and Python take.  Pure.

localhost,10.0.0.0/8 .example.com *.corp [fd00::]/8 db:8086 *
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

_SEPARATORS = re.compile(r"[,;\s]+")
# A name's labels, with a dot, a star and a dot, or nothing before them.
_NAME = re.compile(r"(?:\*?\.)?[\w-]+(?:\.[\w-]+)*\.?")
_WITH_PORT = re.compile(r"(?P<rest>\[[^\]]*\](?:/[0-9.]+)?|[^:]*):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class _Entry:
    """A network, or a name and all below it; with neither, every host. `port` None is any."""

    network: IPv4Network | IPv6Network | None = None
    name: str | None = None
    port: int | None = None

    def covers(self, names: Iterable[str], address: IPv4Address | IPv6Address | None, port: int | None) -> bool:
        if self.port is not None and self.port != port:
            return False
        if self.network is not None:
            return address is not None and address in self.network
        return self.name is None or any(one == self.name or one.endswith(f".{self.name}") for one in names)


class NoProxy:
    """The meaning of a NO_PROXY text; `doubtful` are its words without a meaning."""

    def __init__(self, text: str) -> None:
        self._entries: list[_Entry] = []
        self.doubtful: list[str] = []
        for word in filter(None, _SEPARATORS.split(text)):
            entry = _read(word)
            if entry is None:
                self.doubtful.append(word)
            else:
                self._entries.append(entry)

    def covers(self, hosts: Iterable[str], port: int | None) -> bool:
        """Whether to ask a host directly, given its spellings (addresses too).

        Names are compared, never looked up.
        """
        names = [host.lower().rstrip(".") for host in hosts]
        address = next((found for name in names if (found := _address(name)) is not None), None)
        return any(entry.covers(names, address, port) for entry in self._entries)


def _read(word: str) -> _Entry | None:
    if word == "*":
        return _Entry()
    network = _network(word)
    if network is not None:
        return _Entry(network)
    port = None
    found = _WITH_PORT.fullmatch(word)
    if found is not None:
        word, port = found["rest"], int(found["port"])
        if not 1 <= port <= 65_535:
            return None
        network = _network(word)
    if network is not None or word == "*":
        return _Entry(network, port=port)
    # Bare numbers were meant to be an address.
    if _NAME.fullmatch(word) is None or not re.search(r"[^\W\d]", word):
        return None
    return _Entry(name=word.removeprefix("*").lstrip(".").rstrip(".").lower(), port=port)


def _network(word: str) -> IPv4Network | IPv6Network | None:
    """Read `10.0.0.0/8`, `10.1.2.3`, `fd00::/8` or `[::1]` as a network; None for anything else."""
    try:
        network = ip_network(re.sub(r"^\[([^\]]*)\](?=/|$)", r"\1", word), strict=False)
    except ValueError:
        return None
    if isinstance(network, IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, network.prefixlen - 96))
    return network


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
