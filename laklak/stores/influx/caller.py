"""How a request to an InfluxDB server is made: again while that may help, then one error that says what is wrong."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import random
import ssl
import time
import zlib
from collections.abc import Awaitable, Callable, Iterator
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar

import aiohttp
from yarl import URL

from laklak._version import __version__
from laklak.connection import proxy_for
from laklak.errors import SettingsError, StoreDown, StoreError, StoreFull, StoreRefused, StoreUnavailable
from laklak.stores.base import Waiting
from laklak.stores.influx.address import Address
from laklak.stores.influx.answer import Verdict

log = logging.getLogger(__name__)

T = TypeVar("T")

USER_AGENT: Final = f"laklak/{__version__}"
TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=5.0, sock_read=60.0)
"""How long a server may be silent."""

OPENING_PATIENCE_S: Final = 10.0
BODY_MAX: Final = 100_000
"""Bytes of an answer that are read where it is an acknowledgement or an error."""

_FIRST_PAUSE_S: Final = 0.25
_LONGEST_PAUSE_S: Final = 5.0
_SILENT_S: Final = 10.0
"""An answer that takes longer is worth a word: a person may take the program for dead."""


class Passing(Exception):
    """A fault that may be gone the next time."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class _Unreachable(Exception):
    """No such host, or no TLS with it: trying again is no help at the start."""


class Caller:
    """Runs requests to one server.

    `patience_s` is how long a passing fault (no connection, 429, 5xx) is waited out in one request.  While `opening`
    it counts from the first try on, which has to be answered within OPENING_PATIENCE_S, and errors are
    StoreUnavailable; later StoreRefused, StoreDown, StoreFull or StoreError.  No error and no log line holds a password
    or token, be it of a proxy.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self.opening = True
        self.patience_s = OPENING_PATIENCE_S
        self._waiting: Waiting | None = None
        self._asked_s: dict[object, float] = {}

    @property
    def waiting(self) -> Waiting | None:
        """What keeps the server from answering, as far as the last answer to any request tells; None while it works."""
        if self._waiting is not None:
            return self._waiting
        since_s = min(self._asked_s.values(), default=math.inf)
        if time.monotonic() - since_s < _SILENT_S:
            return None
        silence_s = TIMEOUT.sock_read or 0.0
        what = f"InfluxDB at {self.address.server} has not answered a request yet"
        return Waiting(what, since_s, None, since_s + silence_s + self.patience_s)

    def __repr__(self) -> str:
        return f"<Caller {self.address.server} opening={self.opening} patience_s={self.patience_s}>"

    async def persist(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Run `attempt` until it succeeds or fails for good, at most `patience_s` after its first passing fault.

        The first try takes as long as TIMEOUT lets it; the others end with the patience, also when nothing is answered.
        """
        # At the start somebody sits before it, so the silence of a server that hangs counts too.
        give_up_s = time.monotonic() + self.patience_s if self.opening else None
        limit_s = OPENING_PATIENCE_S if self.opening else None
        pause_s = _FIRST_PAUSE_S
        while True:
            asked_s = time.monotonic()
            try:
                with self._asking(asked_s):
                    return await self._translated(attempt, limit_s)
            except _Unreachable as exc:
                raise self._down(exc) from exc
            except Passing as exc:
                now_s = time.monotonic()
                give_up_s = now_s + self.patience_s if give_up_s is None else give_up_s
                wait_s = exc.retry_after_s or random.uniform(pause_s / 2, pause_s)
                if now_s + wait_s > give_up_s:
                    raise self._down(exc) from exc
                log.warning("store passing fault server=%s again_in_s=%.1f error=%s", self.address.server, wait_s, exc)
                pause_s = min(_LONGEST_PAUSE_S, pause_s * 2)
                since_s = self._waiting.since_s if self._waiting else asked_s
                what = f"InfluxDB at {self.address.server} does not work: {exc}"
                self._waiting = Waiting(what, since_s, now_s + wait_s, give_up_s)
            await asyncio.sleep(wait_s)
            if not self.opening:
                limit_s = give_up_s - time.monotonic()

    @contextlib.contextmanager
    def _asking(self, asked_s: float) -> Iterator[None]:
        """While a request is under way; whatever comes of it but a passing fault says that the server answers."""
        request = object()
        self._asked_s[request] = asked_s
        try:
            yield
        except Passing:
            raise
        except Exception:
            self._waiting = None
            raise
        else:
            self._waiting = None
        finally:
            del self._asked_s[request]

    def act_on(self, verdict: Verdict) -> Verdict:
        """Give the verdict back if the one who asked has to act on it, else raise what it means."""
        reason, server, noun = verdict.reason, self.address.server, self.address.noun
        match verdict.kind:
            case "passing":
                raise Passing(reason, verdict.retry_after_s)
            case "full":
                raise StoreFull(
                    f"the disk of the InfluxDB server at {server} is full: {reason}",
                    # 1.6.7 and 2.7.12 show points that never reached the disk, and refuse a shard that failed once,
                    # both until they are restarted.
                    hint="make room there, restart the server and run again; until it is restarted it may show candles "
                    "that it has not kept",
                )
            case "denied":
                raise self.refused(f"InfluxDB at {server} refused the login: {reason}", hint=self.address.login_hint)
            case "gone":
                hint = f"somebody has removed it; run again to make the {noun} anew"
                raise self.refused(f"InfluxDB at {server} answers: {reason}", hint=hint)
            case "foreign":
                raise self.refused(
                    f"{server} does not answer like {self.address.product}: {reason}",
                    hint="check the host and the port; InfluxDB listens on 8086",
                )
            case "failed":
                raise StoreError(f"InfluxDB at {server} cannot do what was asked: {reason}")
        return verdict

    def refused(self, message: str, *, hint: str) -> StoreError:
        """The error for a server that will not work for us."""
        return StoreUnavailable(message, hint=hint) if self.opening else StoreRefused(message, hint=hint)

    def proxy(self) -> str | None:
        """The proxy that the environment sets for this server; StoreUnavailable when it can be none."""
        if not self.address.tls:
            # A plain database is on the own network, where a proxy for the internet is no help.
            return None
        try:
            found = proxy_for(URL(self.address.http_url))
        except SettingsError as exc:
            raise StoreUnavailable(str(exc), hint=exc.hint) from exc
        return str(found) if found else None

    async def _translated(self, attempt: Callable[[], Awaitable[T]], limit_s: float | None) -> T:
        try:
            async with asyncio.timeout(limit_s):
                return await attempt()
        except aiohttp.ClientHttpProxyError as exc:
            # Without its own text, which holds the address of the proxy with the login in it.
            reason = f"the proxy in HTTPS_PROXY answers with HTTP status {exc.status}"
            raise (Passing(reason) if exc.status >= 500 else self._if_opening(reason)) from None
        except aiohttp.ClientConnectorDNSError as exc:
            raise self._if_opening(f"there is no host called {exc.host}") from exc
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError, ssl.SSLError) as exc:
            raise self._if_opening(f"TLS failed: {_tls_reason(exc)}") from exc
        except aiohttp.ClientConnectorError as exc:
            # asyncio's own text for it is "Connect call failed", with the address once more.
            number = exc.os_error.errno
            who = "the proxy in HTTPS_PROXY: " if isinstance(exc, aiohttp.ClientProxyConnectionError) else ""
            raise Passing(who + (os.strerror(number) if number else str(exc.os_error))) from exc
        except TimeoutError as exc:
            raise Passing("it does not answer in time") from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise Passing(f"the connection broke: {exc}" if str(exc) else "the connection broke") from exc

    def _if_opening(self, reason: str) -> Exception:
        # At the start it is most likely a slip in the address; in a run, a name server that is down for a while.
        return _Unreachable(reason) if self.opening else Passing(reason)

    def _down(self, fault: Exception) -> StoreError:
        server = self.address.server
        if self.opening:
            return StoreUnavailable(
                f"InfluxDB at {server} cannot be reached: {fault}", hint=_reach_hint(self.address, str(fault))
            )
        return StoreDown(
            f"InfluxDB at {server} has not worked for {self.patience_s:.0f} s: {fault}",
            hint="run again when it does; what is stored stays",
        )


def clock_ahead_ms(headers: Any) -> int:
    """The server's clock, from the date of an answer, less ours."""
    try:
        return int((parsedate_to_datetime(headers.get("Date", "")).timestamp() - time.time()) * 1000)
    except ValueError:
        return 0


def gzipped(data: bytes) -> bytes:
    """`data` packed at level 1, where most of the gain is for a tenth of the work."""
    packer = zlib.compressobj(1, wbits=31)
    return packer.compress(data) + packer.flush()


def _reach_hint(address: Address, fault: str) -> str:
    if fault.startswith("the proxy"):
        return f"check HTTPS_PROXY, or put {address.host} into NO_PROXY"
    if address.tls and fault.startswith("TLS") and "certificate" not in fault.lower():
        return f"where the server has no TLS, write {address.scheme_of(tls=False)}://{address.server}/..."
    if address.tls and fault.startswith("TLS"):
        return "the certificate must fit the host; SSL_CERT_FILE names a file with the authority that signed it"
    tls = f"{address.scheme_of(tls=True)}://"
    return f"check that it runs, the host and the port (8086 as a rule), and {tls} where it wants TLS"


def _tls_reason(error: Exception) -> str:
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    return str(getattr(cause, "verify_message", None) or getattr(cause, "reason", None) or cause)
