"""The one HTTP seam: pay, send, judge, retry.

One attempt on the wire is one payment to the limiter.  aiohttp repeats an idempotent request by itself when a reused
connection is dead; a middleware refuses that second send, so we repeat the request ourselves and pay for it. Redirects
are not followed.  Foreign exceptions end here as VenueError.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Self, TypeVar

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from laklak.errors import (
    OutOfReach,
    PermanentError,
    RegionBlocked,
    RegionRefused,
    TransientError,
    TryLater,
    VenueUnreachable,
)
from laklak.model.series import iso
from laklak.tasks.stopping import Stopper
from laklak.tasks.timing import Timing
from laklak.text import duration_text, size_text
from laklak.venues.base import REGION, Answer, DecodeError, Meaning, Request, Venue, Verdict
from laklak.wire import tls
from laklak.wire.bans import BanBook, BanInForce
from laklak.wire.client import (
    SIMULATOR_HEADER,
    USER_AGENT,
    WordedFault,
    faults,
    host_text,
    is_for_good,
    is_not_yet,
    proxy_for,
    session_to,
    what_failed,
)
from laklak.wire.clock import VenueClock
from laklak.wire.limiter import Limiter, PausedTooLong
from laklak.wire.line import Line
from laklak.wire.neighbours import Payment

log = logging.getLogger(__name__)

TRIES: Final = 6
_BODY_MOST: Final = 64 * 1024 * 1024
_BAN_DEFAULT_S: Final = 120.0
_SHORTEST_PAUSE_S: Final = 1.0
_WORTH_TELLING_S: Final = 2.0

Read = TypeVar("Read")


@dataclass(slots=True)
class Traffic:
    """Counts of the wire: `requests` are attempts of any kind, `candle_requests` those for candles."""

    requests: int = 0
    candle_requests: int = 0
    retries: int = 0
    rate_limited: int = 0
    cost: Counter[str] = field(default_factory=Counter)
    """Units paid, by quota."""


class _Limited(Exception):
    """The quota or pool was paused; ask again, the limiter waits."""


class _NotYet(TransientError):
    """The network seems not to be up yet, and nothing has answered so far."""


class _SentTwice(WordedFault):
    """aiohttp was about to repeat a request by itself."""


class _TooLarge(WordedFault):
    """A body larger than any venue sends."""


class _OneSend:
    """Client middleware for one attempt: refuses its second send."""

    __slots__ = ("_sent",)

    def __init__(self) -> None:
        self._sent = False

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        if self._sent:
            raise _SentTwice("the connection was dropped before an answer")
        self._sent = True
        return await handler(request)


class Transport:
    """Requests to one venue at one base URL, all drawing on one limiter."""

    def __init__(
        self,
        venue: Venue,
        url: str,
        limiter: Limiter,
        *,
        clock: VenueClock,
        bans: BanBook,
        stopper: Stopper,
        tell: Callable[[str], None] = lambda _line: None,
        connections: int,
        max_wait_s: float,
        firewall_wait_s: float,
        start_wait_s: float = 0.0,
        timing: Timing,
    ) -> None:
        self._venue = venue
        self._base = URL(url)
        self._limiter = limiter
        self._clock = clock
        self._bans = bans
        self._stopper = stopper
        self._tell = tell
        self._candles_served = False
        self._connections = connections
        self._max_wait_s = max_wait_s
        self._firewall_wait_s = firewall_wait_s
        self._start_wait_s = min(start_wait_s, max_wait_s)
        self._no_network_since_s: float | None = None
        self._slow_told = False
        self.line = Line(connections, silence_s=timing.silence_s, longest_s=timing.longest_answer_s)
        self._timing = timing
        self._proxy = proxy_for(self._base)
        self._session: aiohttp.ClientSession | None = None
        self._last_success_s: float | None = None
        self._opened_s = 0.0
        self._asks_open = 0
        self._idle_from_s = 0.0
        self._idle_s = 0.0
        self.traffic = Traffic()
        self.simulated = False
        self.newest: tuple[Answer, float] | None = None
        """The newest answer without its body, and when it came (monotonic)."""
        self.round_trip_s = 0.0
        """How long the newest answer took, from the sending of its request."""
        self.banned_until_ms: int | None = None

    async def __aenter__(self) -> Self:
        """Open; wait out a ban that an earlier run remembered, or raise TryLater."""
        self._opened_s = time.monotonic()
        remembered = self._bans.current()
        if remembered is not None:
            self.banned_until_ms = remembered.until_ms
            wait_s = (remembered.until_ms - self._bans.now_ms()) / 1000
            if wait_s > self._max_wait_s:
                raise self._try_later(remembered.until_ms, _as_remembered(remembered))
            self._pause(wait_s, _as_remembered(remembered))
        self._session = self._new_session()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    @property
    def last_success_s(self) -> float:
        """When the last good answer came since the opening (monotonic); without one, the opening."""
        return self._opened_s if self._last_success_s is None else max(self._opened_s, self._last_success_s)

    @property
    def silent_s(self) -> float:
        """For how long questions have had no good answer.

        Time without questions does not count: other sources may have had the candles.
        """
        return time.monotonic() - self.last_success_s - self._idle_s

    async def renew(self) -> None:
        """Drop every connection and open new ones; requests on the old ones fail and are repeated.

        The venue's silence counts from here: no venue answers a sleeping machine.
        """
        self._opened_s = time.monotonic()
        self._idle_s = 0.0
        old, self._session = self._session, self._new_session()
        if old is not None:
            await old.close()

    async def ask(
        self,
        request: Request,
        read: Callable[[Answer], Read],
        *,
        candles: bool = False,
        tries: int = TRIES,
    ) -> Read:
        """Send until there is an answer and return what `read` makes of it.

        Temporary faults, and answers that `read` refuses with DecodeError, get `tries` tries in all; waiting out a rate
        limit or a ban uses up none.  Raises TransientError after the last try, PermanentError when the venue refuses
        for good, OutOfReach when it offers no candles of that time, VenueUnreachable or TryLater when the run cannot go
        on, Stopped when it stops.
        """
        if not self._asks_open:
            self._idle_s += time.monotonic() - max(self._idle_from_s, self.last_success_s)
        self._asks_open += 1
        try:
            return await self._answer(request, read, candles=candles, tries=tries)
        finally:
            self._asks_open -= 1
            self._idle_from_s = time.monotonic()

    async def _answer(self, request: Request, read: Callable[[Answer], Read], *, candles: bool, tries: int) -> Read:
        attempt = 1
        while True:
            try:
                return await self._attempt(request, read, candles=candles)
            except _Limited:
                continue
            except _NotYet as exc:
                await self._wait_for_network(exc)
                continue
            except TransientError as exc:
                if attempt >= tries:
                    raise
                log.debug("retry path=%s attempt=%d error=%s", request.path, attempt, exc)
            self.traffic.retries += 1
            with self._stopper.interruptible():
                await asyncio.sleep(self._timing.backoff_s(attempt, random.random()))
            attempt += 1

    async def _wait_for_network(self, fault: _NotYet) -> None:
        """Wait a moment before the next try; VenueUnreachable after `start_wait_s` without a network.

        A timer may have started us before the network was there, at boot or after a sleep.
        """
        now_s = time.monotonic()
        if self._no_network_since_s is None:
            self._no_network_since_s = now_s
            if self._start_wait_s:
                self._tell(f"{fault}: waiting for the network, at most {duration_text(self._start_wait_s)}")
        left_s = self._no_network_since_s + self._start_wait_s - now_s
        if left_s <= 0:
            later = "; where the network comes up later, a longer LAKLAK_START_WAIT"
            raise VenueUnreachable(str(fault), hint=self._reach_hint + later) from fault
        log.debug("network not up yet host=%s error=%s", self._host, fault)
        self.traffic.retries += 1
        with self._stopper.interruptible():
            await asyncio.sleep(min(left_s, self._timing.network_pause_s))

    async def _attempt(self, request: Request, read: Callable[[Answer], Read], *, candles: bool) -> Read:
        with self._stopper.interruptible():
            await self.line.enter()
        try:
            answer = await self._paid(request, candles=candles)
        finally:
            self.line.leave()
        verdict = self._venue.judge(answer)
        if verdict.meaning is not Meaning.OK:
            raise self._refused(verdict)
        try:
            given = read(answer)
        except DecodeError as exc:
            raise TransientError(f"{self._host} answered with something else: {exc}") from exc
        self._last_success_s = time.monotonic()
        self._bans.answered()
        self._idle_s = 0.0
        self._candles_served = self._candles_served or candles
        return given

    async def _paid(self, request: Request, *, candles: bool) -> Answer:
        """Pay for one attempt and make it."""
        with self._stopper.interruptible():
            try:
                payment = await self._limiter.pay(request.cost, longest_pause_s=self._max_wait_s)
            except PausedTooLong as exc:
                until_ms = _now_ms() + int(exc.seconds * 1000)
                raise self._try_later(until_ms, "a venue that shares its limits was told to wait") from None
        self.traffic.requests += 1
        self.traffic.cost.update(request.cost)
        self.traffic.candle_requests += candles
        try:
            with faults(self._translated, self._host):
                return await self._send(request, payment)
        finally:
            self._limiter.answered(payment)

    async def _send(self, request: Request, payment: Payment) -> Answer:
        if self._session is None:
            raise RuntimeError("the transport is used outside `async with`")
        url = self._base.joinpath(request.path.lstrip("/")).with_query(request.query)
        sent_s = time.monotonic()
        async with (
            self.line.answer() as coming,
            self._session.get(url, proxy=self._proxy, allow_redirects=False, middlewares=(_OneSend(),)) as response,
        ):
            coming.begins()
            head = Answer(response.status, response.headers, b"", _now_ms())
            self.newest = (head, time.monotonic())
            self._limiter.answered(payment, self._venue.used(head) or None)
            self.simulated = self.simulated or SIMULATOR_HEADER in response.headers
            parts = []
            size = 0
            async for part in response.content.iter_any():
                size += len(part)
                coming.takes(len(part))
                self._tell_if_slow(size, time.monotonic() - sent_s)
                if size > _BODY_MOST:
                    raise _TooLarge(f"it sent more than {_BODY_MOST:,} bytes")
                parts.append(part)
            self.round_trip_s = time.monotonic() - sent_s
            return Answer(response.status, response.headers, b"".join(parts), _now_ms())

    def _tell_if_slow(self, size: int, seconds: float) -> None:
        """Say once that an answer is still coming: a person may be watching and see nothing."""
        if seconds >= self._timing.slow_answer_s and not self._slow_told:
            self._slow_told = True
            rate = size_text(int(size / seconds))
            self._tell(f"{self._host} answers slowly, {rate} a second: going on as long as something comes")

    def _refused(self, verdict: Verdict) -> Exception:
        """Make the exception for an answer that is no success; pause the quota or pool if the venue says so."""
        match verdict.meaning:
            case Meaning.LIMITED:
                self.traffic.rate_limited += 1
                wait_s, in_a_row = verdict.wait_s, 0
                if wait_s is not None and verdict.grows_to_s is not None:
                    wait_s, in_a_row = self._bans.grown(wait_s, verdict.grows_to_s)
                if verdict.slower_s is not None:
                    self._limiter.slow((wait_s or 0.0) + verdict.slower_s)
                wait_s = self._limiter.next_window_s(verdict.quota) if wait_s is None else wait_s
                return self._limited(wait_s, verdict, in_a_row)
            case Meaning.BANNED:
                self.traffic.rate_limited += 1
                return self._limited(self._ban_s(verdict), verdict)
            case Meaning.BLOCKED if not self._has_served(verdict):
                unreachable = RegionRefused if verdict.reason == REGION else VenueUnreachable
                return unreachable(
                    f"{self._host} refuses this address: {verdict.detail}",
                    hint="the venue does not serve this region or its firewall blocks this address; "
                    "use another network, or HTTPS_PROXY",
                )
            case Meaning.BLOCKED if verdict.reason == REGION:
                return RegionBlocked(
                    f"{self._host} refuses this region: {verdict.detail}",
                    hint="use another network, or HTTPS_PROXY, and run again; what is stored stays",
                )
            case Meaning.BLOCKED:
                self.traffic.rate_limited += 1
                return self._limited(verdict.wait_s or self._blocked_s(), verdict)
            case Meaning.OUT_OF_REACH:
                return OutOfReach(f"{self._host} does not reach that far back: {verdict.detail}")
            case Meaning.REFUSED:
                return PermanentError(f"{self._host} refused: {verdict.detail}", reason=verdict.reason)
            case _:
                return TransientError(f"{self._host} answered {verdict.detail}")

    def _has_served(self, verdict: Verdict) -> bool:
        """Whether the venue served this address before it blocked it: then a firewall's block passes.

        A refusal that names the region counts even if another run was served; only candles in this run give a reason to
        go on.
        """
        return self._candles_served if verdict.reason == REGION else self._bans.has_answered

    def _blocked_s(self) -> float:
        """How long to wait out a firewall's block: longer if the last one ended a short time ago."""
        again_s = self._venue.firewall_again_s
        return max(self._firewall_wait_s, again_s if again_s and self._bans.last_ended(again_s) else 0.0)

    def _ban_s(self, verdict: Verdict) -> float:
        if verdict.wait_s is not None:
            return verdict.wait_s
        if verdict.until_ms is not None:
            wait_s = self._clock.seconds_until(verdict.until_ms, self._venue.longest_ban_s)
            if wait_s is not None:
                return wait_s
        return max(_BAN_DEFAULT_S, self._limiter.paused_for_s)

    def _limited(self, wait_s: float, verdict: Verdict, in_a_row: int = 0) -> Exception:
        """Stop the quota or pool for `wait_s`; TryLater if the run may not wait that long."""
        # "Come back in 0 seconds" must not become knocking without a pause, nor a slip of the venue a ban for ever.
        why, longest_s = verdict.detail, self._venue.longest_ban_s
        if wait_s > longest_s:
            why = f"{why} (it says {duration_text(wait_s)}, and the longest that it documents is believed)"
        wait_s = min(max(wait_s, _SHORTEST_PAUSE_S), longest_s)
        until_ms = self._bans.now_ms() + int(wait_s * 1000)
        if verdict.meaning is Meaning.BANNED:
            self.banned_until_ms = max(until_ms, self.banned_until_ms or 0)
        too_long = wait_s > self._max_wait_s or self.silent_s > self._max_wait_s
        if too_long or in_a_row or verdict.meaning in (Meaning.BANNED, Meaning.BLOCKED):
            # A venue that refuses us in the middle of a run refuses the next run too, and counts its knocking.
            self._bans.remember(until_ms, why, venue_ms=self._clock.read_ms, in_a_row=in_a_row)
        if too_long:
            self._limiter.pause(wait_s, verdict.quota)
            return self._try_later(until_ms, why)
        self._pause(wait_s, why, verdict.quota)
        return _Limited()

    def _pause(self, wait_s: float, why: str, quota: str | None = None) -> None:
        """Pause a quota, or the whole pool."""
        log.warning("scope paused host=%s seconds=%.0f reason=%s", self._host, wait_s, why)
        # Requests in flight beside the first refused one are refused for the same reason: one line for all.
        if wait_s >= _WORTH_TELLING_S and wait_s > self._limiter.paused_for_s + _WORTH_TELLING_S:
            until = iso(self._bans.now_ms() + int(wait_s * 1000))
            self._tell(f"{self._host} tells us to wait {duration_text(wait_s)}, until {until}: {why}")
        self._limiter.pause(wait_s, quota)

    def _try_later(self, until_ms: int, why: str) -> TryLater:
        return TryLater(
            f"{self._host} does not answer this address before {iso(until_ms)}: {why}",
            until_ms=until_ms,
            hint=f"run again after {iso(until_ms)}, or wait longer with --max-wait; --forget-ban asks all the same, "
            "which makes a real ban longer",
        )

    def _translated(self, exc: Exception) -> TransientError | VenueUnreachable:
        """Turn foreign exceptions into ours; an unknown name and a TLS error are fatal until something has worked."""
        not_yet = is_not_yet(exc)
        hint = self._reach_hint
        if isinstance(exc, aiohttp.ClientConnectorDNSError):
            message = f"cannot find the host {exc.host}" + (f", {what_failed(exc)}" if not_yet else "")
        elif isinstance(exc, UnicodeError):
            message = f"cannot find the host {self._host}: {what_failed(exc)}"
        elif tls.fault_of(exc) is not None:
            message = f"no trusted connection to {self._host}: {tls.why(exc, self._base.host or '')}"
            hint = tls.hint(exc) or hint
        elif isinstance(exc, aiohttp.ClientHttpProxyError):
            message = f"the proxy {self._proxy_shown} does not let us through: HTTP status {exc.status}"
        elif isinstance(exc, aiohttp.ClientProxyConnectionError):
            message = f"the proxy {self._proxy_shown} does not let us through: {what_failed(exc)}"
        else:
            message = f"the connection to {self._host} failed: {what_failed(exc)}"
        if self._last_success_s is not None or not (not_yet or is_for_good(exc)):
            return TransientError(message)
        return _NotYet(message) if not_yet else VenueUnreachable(message, hint=hint)

    @property
    def _reach_hint(self) -> str:
        return f"check the network, HTTPS_PROXY, and LAKLAK_{self._venue.name.upper()}_URL"

    def _new_session(self) -> aiohttp.ClientSession:
        headers = CIMultiDict({"User-Agent": USER_AGENT, "Accept": "application/json"})
        headers.update(self._venue.headers)
        # One more than there are workers: the clock may be asked beside them.
        return session_to(self._base, connections=self._connections + 1, headers=headers)

    @property
    def proxy(self) -> str | None:
        """The proxy of requests as it may be shown, without its login."""
        if self._proxy is None:
            return None
        login = "***@" if self._proxy.user or self._proxy.password else ""
        return f"{self._proxy.scheme}://{login}{self._proxy_shown}"

    @property
    def _host(self) -> str:
        return host_text(self._base)

    @property
    def _proxy_shown(self) -> str:
        return f"{self._proxy.host}:{self._proxy.port}" if self._proxy else "of the environment"


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _as_remembered(ban: BanInForce) -> str:
    what = "not to be asked" if ban.ban.in_a_row else "banned"
    noted = f"{what}, as an earlier run was told at {iso(ban.ban.noted_at_ms // 1000 * 1000)}"
    return noted if ban.doubt is None else f"{noted}; {ban.doubt}"
