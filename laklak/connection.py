"""What every HTTP client here needs: waits between tries, the proxy of the environment, faults in words."""

from __future__ import annotations

import os
import urllib.request
from typing import Final

from yarl import URL

from laklak.errors import SettingsError

SIMULATOR_HEADER: Final = "X-Laklak-Simulator"
"""In every answer of `laklak simulate`, so that its candles and real ones are not mixed."""

_BACKOFF_FIRST_S: Final = 0.5
_BACKOFF_MOST_S: Final = 10.0


def backoff_s(attempt: int, share: float) -> float:
    """Seconds to wait after the n-th failed attempt (from 1): full jitter, `share` in [0, 1) is the dice.

    Bounds 0.5, 1, 2, 4, 8, 10, 10, ... seconds.
    """
    return share * min(_BACKOFF_MOST_S, _BACKOFF_FIRST_S * 2.0 ** (attempt - 1))


def host_text(url: URL) -> str:
    """The host of `url` for people, with the port where one is written."""
    return f"{url.host}:{url.port}" if url.explicit_port else str(url.host)


def what_failed(exc: Exception) -> str:
    """A fault of a connection in a few words, without the URL of a proxy, which may hold a password."""
    number = exc.errno if isinstance(exc, OSError) else None
    if number and number < 0:
        return "no such host"  # the resolver counts its own errors below zero
    if number:
        return os.strerror(number).lower()
    if isinstance(exc, TimeoutError):
        return str(exc) or "no answer in time"
    return type(exc).__name__


def proxy_for(url: URL) -> URL | None:
    """The proxy that HTTPS_PROXY, HTTP_PROXY and NO_PROXY set for `url`; SettingsError when it can be none."""
    host = url.host or ""
    if urllib.request.proxy_bypass(f"{host}:{url.port}"):
        return None
    proxy = urllib.request.getproxies().get(url.scheme)
    if not proxy:
        return None
    try:
        address = URL(proxy if "://" in proxy else f"http://{proxy}")
        usable = address.scheme in ("http", "https") and address.host
    except ValueError:
        usable = False
    if not usable:
        # Without the text: it may carry a password.
        raise SettingsError(
            f"{url.scheme.upper()}_PROXY is not the address of an HTTP proxy", hint="write it as http://host:port"
        )
    return address
