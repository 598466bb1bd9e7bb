"""What every HTTP client here shares: connections, the proxy of the environment, faults in words."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import socket
import ssl
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import aiohttp
from yarl import URL

from laklak._version import __version__
from laklak.errors import SettingsError, TransientError
from laklak.wire import tls
from laklak.wire.noproxy import NoProxy

SIMULATOR_HEADER: Final = "X-Laklak-Simulator"
"""Every answer of `laklak simulate` carries it, so that its candles and real ones never mix."""

# Faults that end when the network comes up, a route not set up yet among them.
_NO_NETWORK_YET: Final = {
    errno.ENETUNREACH,
    errno.EHOSTUNREACH,
    errno.ENETDOWN,
    errno.EHOSTDOWN,
    errno.EADDRNOTAVAIL,
}
# Where the system's own words would not help.
_WORDS: Final = {
    errno.EPERM: "this machine does not allow the connection (a firewall of its own?)",
    errno.EACCES: "this machine does not allow the connection (a firewall of its own?)",
    errno.EADDRNOTAVAIL: "this machine has no address to ask from",
    errno.EMFILE: "too many open files; ulimit -n says how many there may be",
}
_ERRNO = re.compile(r"\[Errno (\d+)\]")


USER_AGENT: Final = f"laklak/{__version__}"


class WordedFault(aiohttp.ClientError):
    """A fault whose text is written for people."""


def host_text(url: URL) -> str:
    """The host of `url` for people, with the port if the URL names one."""
    return f"{url.host}:{url.port}" if url.explicit_port else str(url.host)


# Faults


def what_failed(exc: BaseException) -> str:
    """Describe a connection's fault in a few words, without the URL of a proxy, which may hold a password."""
    cause = _cause(exc)
    if isinstance(cause, WordedFault):
        return str(cause)
    if isinstance(cause, socket.gaierror):
        return "the name server does not answer" if _is_again(cause) else "no such host"
    if isinstance(cause, ssl.SSLError):
        return f"TLS failed: {tls.why(cause, 'this host')}"
    if numbers := _numbers(cause):
        return " and ".join(dict.fromkeys(_WORDS.get(number) or os.strerror(number).lower() for number in numbers))
    if isinstance(cause, TimeoutError):
        return str(cause) or "no answer in time"
    return _words_of_kind(cause)


def _words_of_kind(exc: BaseException) -> str:
    match exc:
        case aiohttp.ServerDisconnectedError():
            return "it hung up without an answer"
        case aiohttp.ClientPayloadError():
            return "the answer was cut off or cannot be unpacked"
        case aiohttp.ClientResponseError():
            return "what it answered is not HTTP"
        case ConnectionError():
            return "the connection was closed"
        case UnicodeError():
            return "this is no name of a host"
        case OSError() | aiohttp.ClientConnectionError():
            return "the connection could not be made or broke"
    return type(exc).__name__


def is_not_yet(exc: BaseException) -> bool:
    """Whether the fault is what a machine sees before its network is up: no name server, no route."""
    cause = _cause(exc)
    if isinstance(cause, socket.gaierror):
        return _is_again(cause)
    numbers = _numbers(cause)
    return bool(numbers) and _NO_NETWORK_YET.issuperset(numbers)


def is_for_good(exc: BaseException) -> bool:
    """Whether it looks like a wrong address or a closed way out: no such host, no TLS with it, not past the proxy."""
    kinds = (
        aiohttp.ClientConnectorDNSError,
        aiohttp.ClientProxyConnectionError,
        aiohttp.ClientHttpProxyError,
        UnicodeError,
    )
    return (isinstance(exc, kinds) or tls.fault_of(exc) is not None) and not is_not_yet(exc)


def is_refused(exc: BaseException) -> bool:
    """Whether the machine answers, but nothing listens at the port."""
    return errno.ECONNREFUSED in _numbers(_cause(exc))


def _cause(exc: BaseException) -> BaseException:
    """Return the system's error inside aiohttp's."""
    inner = getattr(exc, "certificate_error", None) or getattr(exc, "os_error", None)
    return inner if isinstance(inner, BaseException) else exc


def _numbers(exc: BaseException) -> list[int]:
    """Return the error numbers: several if a host has several addresses."""
    if not isinstance(exc, OSError) or isinstance(exc, socket.gaierror | ssl.SSLError):
        return []
    if exc.errno:
        return [exc.errno]
    # Attempts on several addresses come as one error; only its text has the numbers.
    return [int(number) for number in _ERRNO.findall(str(exc))]


def _is_again(exc: socket.gaierror) -> bool:
    return exc.errno == socket.EAI_AGAIN


def connector_to(url: URL, *, connections: int) -> aiohttp.TCPConnector:
    """Make a pool of at most `connections` connections to the host of `url`."""
    return aiohttp.TCPConnector(
        limit=connections,
        ttl_dns_cache=300,
        # Whatever else is installed, only the system's resolver tells an unknown name from a silent name server.
        resolver=aiohttp.ThreadedResolver(),
        ssl=tls.context() if url.scheme == "https" else True,
    )


def session_to(url: URL, *, connections: int, headers: Mapping[str, str], **settings: Any) -> aiohttp.ClientSession:
    """A session with the host of `url`, whose answers a line waits for (laklak.wire.line)."""
    return aiohttp.ClientSession(
        connector=connector_to(url, connections=connections),
        timeout=aiohttp.ClientTimeout(total=None),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=headers,
        **settings,
    )


@contextmanager
def faults(translated: Callable[[Exception], Exception], host: str) -> Iterator[None]:
    """Let foreign exceptions of a request to `host` end here as ours."""
    try:
        yield
    except (aiohttp.ClientError, TimeoutError, OSError, UnicodeError) as exc:
        raise translated(exc) from exc
    except asyncio.CancelledError as exc:
        # Closing a session cancels its name look-ups, and with them every call that waits for one.
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise TransientError(f"the connection to {host} was dropped") from exc


# Proxies


def proxy_for(url: URL) -> URL | None:
    """The proxy that HTTPS_PROXY, HTTP_PROXY and NO_PROXY set for `url`; SettingsError if it is no address."""
    set_here = urllib.request.getproxies_environment()
    if not set_here:
        # Some systems keep proxies and their exceptions elsewhere.
        if urllib.request.proxy_bypass(f"{url.host}:{url.port}"):
            return None
    elif NoProxy(set_here.get("no", "")).covers([url.host or "", url.raw_host or ""], url.port):
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


def no_proxy_warning() -> str | None:
    """Say which words of NO_PROXY mean nothing, if a proxy is set; None if all is clear."""
    set_here = urllib.request.getproxies_environment()
    doubtful = NoProxy(set_here.get("no", "")).doubtful
    if not doubtful or not {"http", "https"}.intersection(set_here):
        return None
    words = ", ".join(repr(word[:40]) for word in doubtful[:5])
    return (
        f"NO_PROXY: {words} not understood, and passed over; write names, addresses, networks such as 10.0.0.0/8, or *"
    )
