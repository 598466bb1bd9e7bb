"""From which addresses the candles of a venue came, and which others fit to them.  Pure.

A venue's name says nothing about who answers: a test network and somebody's mirror speak the same language.  So a
store remembers where its candles came from, the API and the bulk files apart, and a run that would take them from
elsewhere is refused.  What counts is the host, its port unless it is a usual one, and the path; every simulator is
the same address, whatever port it got today.
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

# The scheme does not count, so neither does which of the two usual ports is meant.
_USUAL_PORTS: Final = (80, 443)


def address_of(url: str) -> str:
    """Give the address that a URL names: no scheme, login, usual port or slash at the end.

    `https://me:pw@API.example.com:443/binance/` is `api.example.com/binance`.
    """
    parts = URL(url)
    host = (parts.raw_host or "").lower().rstrip(".")
    host = f"[{host}]" if ":" in host else host
    port = "" if parts.port in _USUAL_PORTS else f":{parts.port}"
    address = f"{host}{port}{parts.raw_path.rstrip('/')}"
    # A host that happens to have this name is no simulator of ours.
    return f"{address}:80" if address == SIMULATOR else address


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where candles of one venue came from, or may come from; empty where nothing is known."""

    api: frozenset[str] = frozenset()
    files: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.api or self.files)

    def __or__(self, other: Addresses) -> Addresses:
        return Addresses(self.api | other.api, self.files | other.files)

    def of(self, source: Source) -> frozenset[str]:
        return self.api if source == "api" else self.files

    def only(self, other: Addresses) -> Addresses:
        """What is known of the sources of which `other` knows something."""
        return Addresses(*(self.of(source) if other.of(source) else frozenset() for source in SOURCES))

    @classmethod
    def single(cls, addresses: Mapping[Source, str]) -> Addresses:
        """One address of each source that there is."""
        return cls(*(frozenset({addresses[source]} if source in addresses else ()) for source in SOURCES))

    @classmethod
    def noted(cls, value: Any) -> Addresses:
        """Read the value of a note; what is unreadable is left out."""
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
    """What counts as known of candles that are there: those without a note are of the venue's `own` addresses.

    Where a store says that it is `simulated`, they are a simulator's.  Where only one source was noted, the other may
    be the same server; the venue's own API and its own files belong together.
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

    With `mixing`, simulated ones may stand beside real ones; not those of one real address beside another's.
    """
    if address in there:
        return True
    of_its_kind = {other for other in there if (other == SIMULATOR) == (address == SIMULATOR)}
    return mixing and not of_its_kind


def mixture(
    given: Addresses, there: Addresses, *, mixing: bool
) -> tuple[Source, frozenset[str], frozenset[str]] | None:
    """The first source of which `given` has addresses that do not fit to those `there`: with those, and these."""
    for source in SOURCES:
        others = frozenset(one for one in given.of(source) if not fits(one, there.of(source), mixing=mixing))
        if others:
            return source, others, there.of(source)
    return None
