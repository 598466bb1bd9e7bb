"""The pools of a run: venues that a provider counts together share a limiter, pauses and bans.

There is one pool for each address that requests come from (this machine's or a proxy's) and each place they go to: a
simulator or a mirror has quotas apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from yarl import URL

from laklak.errors import SettingsError
from laklak.text import mask_url
from laklak.venues import VENUES, Venue
from laklak.wire.bans import BanBook
from laklak.wire.client import host_text, proxy_for
from laklak.wire.limiter import Limiter
from laklak.wire.quota import Share
from laklak.wire.shared import LifeSign, SharedWindow, shared_path, sweep


@dataclass(frozen=True, slots=True)
class Pool:
    """What the venues of one pool share."""

    limiter: Limiter
    bans: BanBook


class Pools:
    """The pools of one run, made as its venues join. A context manager: on exit it tells others what was spent.

    `make`: whether to make the missing files through which processes share.
    """

    def __init__(self, state_dir: Path, *, make: bool = True) -> None:
        self._state_dir = state_dir
        self._make = make
        self._pools: dict[tuple[str, str], Pool] = {}
        self._presence = LifeSign(state_dir)

    def __enter__(self) -> Self:
        if self._make:
            sweep(self._state_dir)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pool in self._pools.values():
            pool.limiter.close()
        self._presence.close()

    def join(
        self, venue: Venue, url: str, shares: Mapping[str, Share], next_window_s: Callable[[float], float]
    ) -> Pool:
        """Return the pool of `venue` at `url` and set its shares; SettingsError for impossible shares."""
        name, origin = pool_of(venue), _origin(venue, url)
        pool = self._pools.get((name, origin))
        if pool is None:
            pool = Pool(
                Limiter(shares, by=venue.name, next_window_s=next_window_s, share_window=self._sharing(name, origin)),
                BanBook(self._state_dir, name, origin, longest_s=venue.longest_ban_s),
            )
            self._pools[name, origin] = pool
        else:
            pool.limiter.configure(shares, by=venue.name)
        return pool

    def _sharing(self, pool: str, origin: str) -> Callable[[str, float], SharedWindow]:
        def share_window(quota: str, seconds: float) -> SharedWindow:
            path = shared_path(self._state_dir, pool, origin, quota, seconds)
            return SharedWindow(path, seconds, self._presence, make=self._make)

        return share_window


def pool_of(venue: Venue) -> str:
    """The name of a venue's pool."""
    return venue.pool or venue.name


def _origin(venue: Venue, url: str) -> str:
    """Where requests go, and through which proxy; SettingsError for a host that cannot be put on the wire.

    Venues of one pool have different hosts: by default the first venue's stands for all.
    """
    if url == venue.url:
        url = next((one.url for one in VENUES.values() if pool_of(one) == pool_of(venue)), url)
    try:
        origin = URL(url).origin()
        text = f"{origin.scheme}://{origin.host}:{origin.port}"
    except ValueError:
        raise SettingsError(f"{mask_url(url)} names no host that can be reached", hint="check its spelling") from None
    proxy = proxy_for(origin)
    return text if proxy is None else f"{text} through {host_text(proxy)}"
