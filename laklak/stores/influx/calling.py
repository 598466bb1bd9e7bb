"""How to make a request to an InfluxDB server: again while that may help, then one error that says what is wrong."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import random
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar

import aiohttp
from yarl import URL

from laklak.errors import SettingsError, StoreDown, StoreError, StoreFull, StoreRefused, StoreUnavailable
from laklak.stores.base import Waiting
from laklak.stores.influx.address import Address
from laklak.stores.influx.verdicts import Verdict
from laklak.tasks.timing import StoreTiming
from laklak.wire import tls
from laklak.wire.client import is_not_yet, is_refused, proxy_for, what_failed

log = logging.getLogger(__name__)

T = TypeVar("T")

TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=20.0)
"""The caller decides how long a server may be silent."""

BODY_MAX: Final = 100_000
"""Bytes to read of an answer that is an acknowledgement or an error."""

_SLOWEST_BYTES_PER_S: Final = 8_000.0
"""The speed of a line not yet measured."""


class PassingFault(Exception):
    """A fault that may be gone the next time.

    `no_network`: it looks as if the network is not up yet. `refused`: nothing listens at the port.
    """

    def __init__(
        self, reason: str, retry_after_s: float | None = None, *, no_network: bool = False, refused: bool = False
    ) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s
        self.no_network = no_network
        self.refused = refused


class _Unreachable(Exception):
    """No such host, or no TLS with it: at the start another try is no help."""

    def __init__(self, reason: str, hint: str | None = None) -> None:
        super().__init__(reason)
        self.hint = hint


class Caller:
    """Runs requests to one server.

    `patience_s`: how long one request waits out temporary faults (no connection, 429, 5xx).  While `opening` it counts
    from the first try on, a server may be silent for its part of `timing`, and errors are StoreUnavailable; later they
    are StoreRefused, StoreDown, StoreFull or StoreError.  At the start it waits `start_wait_s` for a network that is
    not up yet, and `refusal_wait_s` for a server that refuses the connection.  No error and no log line holds a
    password or token, not even a proxy's.

    It limits silence, not the time of an answer: its reader calls `heard` for each piece.
    """

    def __init__(self, address: Address, timing: StoreTiming) -> None:
        self.address = address
        self.timing = timing
        self.opening = True
        self.patience_s = timing.opening_patience_s
        self.start_wait_s = 0.0
        self.refusal_wait_s = 0.0
        self.heard_s: float | None = None
        """When anything last came from the server (monotonic)."""
        self._listening: dict[asyncio.Timeout, float] = {}
        self._sending_bytes = 0
        self._bytes_per_s = _SLOWEST_BYTES_PER_S
        self._waiting: Waiting | None = None
        self._asked_s: dict[object, float] = {}

    @property
    def waiting(self) -> Waiting | None:
        """What keeps the server from answering, by the last answer to any request; None while it works."""
        if self._waiting is not None:
            return self._waiting
        # A slow line brings something all the time: the wait is not in vain.
        since_s = max(min(self._asked_s.values(), default=math.inf), self.heard_s or 0.0)
        if time.monotonic() - since_s < self.timing.silence_told_s:
            return None
        what = f"InfluxDB at {self.address.server} has not answered a request yet"
        return Waiting(what, since_s, None, since_s + self.timing.silence_s + self.patience_s)

    def __repr__(self) -> str:
        return f"<Caller {self.address.server} opening={self.opening} patience_s={self.patience_s}>"

    def heard(self) -> None:
        """Note a piece of an answer: every call that waits for this server starts its patience anew."""
        self.heard_s = time.monotonic()
        now_s = asyncio.get_running_loop().time()
        for timeout, silence_s in self._listening.items():
            if not timeout.expired():
                timeout.reschedule(now_s + silence_s)

    async def body_of(self, response: aiohttp.ClientResponse, most: int | None = None) -> bytes:
        """Return the body of an answer, or its first `most` bytes, in however many pieces it comes."""
        parts = []
        size = 0
        async for part in response.content.iter_any():
            self.heard()
            parts.append(part)
            size += len(part)
            if most is not None and size >= most:
                break
        return b"".join(parts)[:most]

    async def persist(self, attempt: Callable[[], Awaitable[T]], *, sends: int = 0) -> T:
        """Run `attempt` until it succeeds or fails for good, at most `patience_s` after its first temporary fault.

        `sends`: the bytes that it sends. In the first try the server may be silent for `silence_s`, in the others until
        the patience ends.
        """
        # At the start a person waits, so the silence of a server that hangs counts too.
        began_s = time.monotonic()
        give_up_s: float | None = None
        limit_s = self.timing.opening_patience_s if self.opening else None
        pause_s = self.timing.pause_first_s
        while True:
            asked_s = time.monotonic()
            try:
                with self._asking(asked_s):
                    return await self._translated(attempt, limit_s, sends)
            except _Unreachable as exc:
                raise self._down(exc) from exc
            except PassingFault as exc:
                now_s = time.monotonic()
                if self.opening:
                    give_up_s = began_s + self._opening_patience_s(exc)
                elif give_up_s is None:
                    give_up_s = now_s + self.patience_s
                wait_s = exc.retry_after_s or random.uniform(pause_s / 2, pause_s)
                if now_s + wait_s > give_up_s:
                    raise self._down(exc) from exc
                log.warning("store passing fault server=%s again_in_s=%.1f error=%s", self.address.server, wait_s, exc)
                pause_s = min(self.timing.pause_most_s, pause_s * 2)
                since_s = self._waiting.since_s if self._waiting else asked_s
                what = f"InfluxDB at {self.address.server} does not work: {exc}"
                self._waiting = Waiting(what, since_s, now_s + wait_s, give_up_s)
            await asyncio.sleep(wait_s)
            if not self.opening:
                limit_s = give_up_s - time.monotonic()

    def _opening_patience_s(self, fault: PassingFault) -> float:
        if fault.no_network:
            return self.start_wait_s
        if fault.refused:
            return self.refusal_wait_s
        # A server that has just started may say 503 for a while.
        return max(self.patience_s, self.refusal_wait_s)

    @contextlib.contextmanager
    def _asking(self, asked_s: float) -> Iterator[None]:
        """Track a request under way; any outcome except a temporary fault shows that the server answers."""
        request = object()
        self._asked_s[request] = asked_s
        try:
            yield
        except PassingFault:
            raise
        except Exception:
            self._waiting = None
            raise
        else:
            self._waiting = None
        finally:
            del self._asked_s[request]

    def act_on(self, verdict: Verdict) -> Verdict:
        """Return the verdict if the caller must act on it, else raise what it means."""
        reason, server, noun = verdict.reason, self.address.server, self.address.noun
        match verdict.kind:
            case "passing":
                raise PassingFault(reason, verdict.retry_after_s)
            case "full":
                raise StoreFull(
                    f"the disk of the InfluxDB server at {server} is full: {reason}",
                    # 1.6.7 and 2.7.12 show points that never reached the disk, and refuse a shard that failed once,
                    # both until they restart.
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
        """Make the error for a server that will not work for us."""
        return StoreUnavailable(message, hint=hint) if self.opening else StoreRefused(message, hint=hint)

    def proxy(self) -> str | None:
        """The proxy that the environment sets for this server; StoreUnavailable if it cannot be one."""
        if not self.address.tls:
            # A plain database is on our own network, where a proxy for the internet is no help.
            return None
        try:
            found = proxy_for(URL(self.address.http_url))
        except SettingsError as exc:
            raise StoreUnavailable(str(exc), hint=exc.hint) from exc
        return str(found) if found else None

    @asynccontextmanager
    async def _silence_limited(self, limit_s: float | None, sends: int) -> AsyncIterator[None]:
        """Raise TimeoutError when nothing comes from the server for `limit_s`; None for the usual limit of a run."""
        self._sending_bytes += sends
        # Everything on its way side by side must first get there.
        getting_there_s = 2 * self._sending_bytes / self._bytes_per_s
        silence_s = self.timing.silence_s + getting_there_s if limit_s is None else limit_s
        began_s = time.monotonic()
        try:
            async with asyncio.timeout(silence_s) as timeout:
                self._listening[timeout] = silence_s
                try:
                    yield
                finally:
                    del self._listening[timeout]
        finally:
            self._sending_bytes -= sends
        if sends:
            self._bytes_per_s = max(_SLOWEST_BYTES_PER_S, sends / max(0.001, time.monotonic() - began_s))
        self.heard()

    async def _translated(self, attempt: Callable[[], Awaitable[T]], limit_s: float | None, sends: int) -> T:
        try:
            async with self._silence_limited(limit_s, sends):
                return await attempt()
        except aiohttp.ClientHttpProxyError as exc:
            # Without its own text, which holds the proxy's address and login.
            reason = f"the proxy in HTTPS_PROXY answers with HTTP status {exc.status}"
            raise (PassingFault(reason) if exc.status >= 500 else self._if_opening(reason)) from None
        except aiohttp.ClientConnectorError as exc:
            raise self._no_connection(exc) from exc
        except TimeoutError as exc:
            raise PassingFault("it does not answer in time") from exc
        except (aiohttp.ClientError, OSError) as exc:
            if tls.fault_of(exc) is not None:
                raise self._no_connection(exc) from exc
            raise PassingFault(f"the connection broke: {what_failed(exc)}") from exc

    def _no_connection(self, exc: aiohttp.ClientError | OSError) -> Exception:
        if tls.fault_of(exc) is not None:
            return self._if_opening(f"TLS failed: {tls.why(exc, self.address.host)}", tls.hint(exc))
        no_network = is_not_yet(exc)
        if isinstance(exc, aiohttp.ClientConnectorDNSError) and not no_network:
            return self._if_opening(f"there is no host called {exc.host}")
        who = "the proxy in HTTPS_PROXY: " if isinstance(exc, aiohttp.ClientProxyConnectionError) else ""
        reason = what_failed(exc)
        return PassingFault(who + reason[:1].upper() + reason[1:], no_network=no_network, refused=is_refused(exc))

    def _if_opening(self, reason: str, hint: str | None = None) -> Exception:
        # At the start most likely a slip in the address; in a run, a name server that is down for a while.
        return _Unreachable(reason, hint) if self.opening else PassingFault(reason)

    def _down(self, fault: Exception) -> StoreError:
        server = self.address.server
        if self.opening:
            hint = getattr(fault, "hint", None) or _reach_hint(self.address, str(fault))
            return StoreUnavailable(f"InfluxDB at {server} cannot be reached: {fault}", hint=hint)
        return StoreDown(
            f"InfluxDB at {server} has not worked for {self.patience_s:.0f} s: {fault}",
            hint="run again when it does; what is stored stays",
        )


def clock_ahead_ms(headers: Any) -> int:
    """Return the server's clock, from the date of an answer, less ours."""
    try:
        return int((parsedate_to_datetime(headers.get("Date", "")).timestamp() - time.time()) * 1000)
    except ValueError:
        return 0


def gzipped(data: bytes) -> bytes:
    """Pack `data` at level 1: most of the gain for a tenth of the work."""
    packer = zlib.compressobj(1, wbits=31)
    return packer.compress(data) + packer.flush()


def _reach_hint(address: Address, fault: str) -> str:
    if fault.startswith("the proxy"):
        return f"check HTTPS_PROXY, or put {address.host} into NO_PROXY"
    if "name server" in fault:
        return "check the network and the name server; where they come up later, a longer LAKLAK_START_WAIT"
    if address.tls and fault.startswith("TLS"):
        return f"where the server has no TLS, write {address.scheme_of(tls=False)}://{address.server}/..."
    tls = f"{address.scheme_of(tls=True)}://"
    return f"check that it runs, the host and the port (8086 as a rule), and {tls} where it wants TLS"
