"""The addresses that a venue's candles came from, and which others fit them. Pure.

A venue's name does not say who answers: a test network or a mirror speaks the same language. So a store remembers where
its candles came from, the API and the bulk files apart, and a run that would take them from elsewhere is refused. An
address is the host, its port unless it is a usual one, and the path; all simulators are one address, whatever the port.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from yarl import URL

Source = Literal["api", "files"]
SOURCES: Final[tuple[Source, ...]] = ("api", "files")

NOTE: Final = "address"
"""The kind of the note about a venue: {"api": [address, ...], "files": [address, ...]}."""
SIMULATOR: Final = "simulator"

# The scheme does not count, so 80 and 443 are alike.
_USUAL_PORTS: Final = (80, 443)


def address_of(url: str) -> str:
    """The address of a URL: no scheme, login, usual port or slash at the end.

    `https://me:pw@API.example.com:443/binance/` is `api.example.com/binance`.
    """
    parts = URL(url)
    host = (parts.raw_host or "").lower().rstrip(".")
    host = f"[{host}]" if ":" in host else host
    port = "" if parts.port in _USUAL_PORTS else f":{parts.port}"
    address = f"{host}{port}{parts.raw_path.rstrip('/')}"
    # A real host of this name is not our simulator.
    return f"{address}:80" if address == SIMULATOR else address


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where candles of one venue came from, or may come from; empty if unknown."""

    api: frozenset[str] = frozenset()
    files: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.api or self.files)

    def __or__(self, other: Addresses) -> Addresses:
        return Addresses(self.api | other.api, self.files | other.files)

    def of(self, source: Source) -> frozenset[str]:
        return self.api if source == "api" else self.files

    def only(self, other: Addresses) -> Addresses:
        """These addresses, without the sources that `other` does not know."""
        return Addresses(*(self.of(source) if other.of(source) else frozenset() for source in SOURCES))

    @classmethod
    def single(cls, addresses: Mapping[Source, str]) -> Addresses:
        """One address for each source in `addresses`."""
        return cls(*(frozenset({addresses[source]} if source in addresses else ()) for source in SOURCES))

    @classmethod
    def noted(cls, value: Any) -> Addresses:
        """Read the value of a note, without its unreadable parts."""
        found = value if isinstance(value, dict) else {}
        lists = (found.get(source) for source in SOURCES)
        return cls(
            *(
                frozenset(one for one in addresses if isinstance(one, str) and one)
                if isinstance(addresses, list)
                else frozenset()
                for addresses in lists
            )
        )

    def as_value(self) -> dict[str, list[str]]:
        """The value of a note."""
        return {source: sorted(self.of(source)) for source in SOURCES if self.of(source)}


def known(noted: Addresses, own: Addresses, *, simulated: bool) -> Addresses:
    """The addresses of stored candles: the noted ones, or the venue's `own` ones without a note.

    In a `simulated` store without a note they are a simulator's. If only one source was noted, the other may be the
    same server; the venue's own API and files belong together.
    """
    if not noted:
        return Addresses.single({"api": SIMULATOR, "files": SIMULATOR}) if simulated else own
    return Addresses(
        noted.api or _counterpart(noted.files, own.files, own.api),
        noted.files or _counterpart(noted.api, own.api, own.files),
    )


def _counterpart(noted: frozenset[str], own: frozenset[str], own_counterpart: frozenset[str]) -> frozenset[str]:
    return (noted - own) | (own_counterpart if noted & own else frozenset())


def fits(address: str, there: frozenset[str], *, mixing: bool) -> bool:
    """Whether candles from `address` may stand beside those from `there`.

    `mixing` allows simulated candles beside real ones, but not candles of two real addresses.
    """
    if address in there:
        return True
    of_its_kind = {other for other in there if (other == SIMULATOR) == (address == SIMULATOR)}
    return mixing and not of_its_kind


def mixture(
    given: Addresses, there: Addresses, *, mixing: bool
) -> tuple[Source, frozenset[str], frozenset[str]] | None:
    """The first source whose `given` addresses do not fit those `there`, with both; None if all fit."""
    for source in SOURCES:
        others = frozenset(one for one in given.of(source) if not fits(one, there.of(source), mixing=mixing))
        if others:
            return source, others, there.of(source)
    return None
