"""Files of a public archive over HTTP: a pool of kept connections, no weight, temporary faults tried again.

The other HTTP client, laklak.wire.venue_api, belongs to a venue and its rate budget; nothing here draws on that.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import math
import random
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

import aiohttp
from yarl import URL

from laklak.errors import PermanentError, TransientError
from laklak.tasks.stopping import Stopper
from laklak.tasks.timing import Timing
from laklak.wire import tls
from laklak.wire.client import (
    SIMULATOR_HEADER,
    USER_AGENT,
    faults,
    host_text,
    is_for_good,
    proxy_for,
    session_to,
    what_failed,
)
from laklak.wire.line import Line, Reception

log = logging.getLogger(__name__)

TRIES: Final = 6
_LOOK_BYTES: Final = 65_536
# Small bodies skip the line: a file is worth nothing without its checksum.
_SMALL_BYTES: Final = 65_536
_ABSENT: Final = (404, 410)
_PASSING: Final = (408, 425, 429)
# The API has the same candles: give up early on an archive that has never answered.
_TRIES_BEFORE_ANY_ANSWER: Final = 3
# After this many failed files in a row, and no good answer for long, the archive is down.
_FAILURES_IN_A_ROW_MAX: Final = 8


class TooLarge(PermanentError):
    """A file larger than any sound one."""


@dataclass(slots=True)
class Downloads:
    """Counts of the wire: requests of any kind, retries, and bytes of bodies."""

    requests: int = 0
    retries: int = 0
    received_bytes: int = 0


class Downloader:
    """Gets files below one base URL; an async context manager."""

    def __init__(
        self,
        url: str,
        *,
        stopper: Stopper,
        connections: int,
        timing: Timing,
    ) -> None:
        """`connections` at once."""
        self._base = URL(url)
        self._stopper = stopper
        self._connections = connections
        self.line = Line(connections, silence_s=timing.silence_s, longest_s=timing.longest_file_s)
        self._timing = timing
        self._proxy = proxy_for(self._base)
        self._session: aiohttp.ClientSession | None = None
        self._failures_in_a_row = 0
        self._answered = False
        self._last_good_s = -math.inf
        self.dead = False
        """Stop trying: the archive cannot be reached, or too many files failed in a row."""
        self.simulated = False
        """Whether an answer came from a simulator's archive."""
        self.traffic = Downloads()

    async def __aenter__(self) -> Self:
        self._session = self._new_session()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    @property
    def host(self) -> str:
        """The archive's host, for people."""
        return host_text(self._base)

    async def renew(self) -> None:
        """Drop every connection and open new ones, as after a sleep of the machine."""
        old, self._session = self._session, self._new_session()
        if old is not None:
            await old.close()

    async def look(self) -> None:
        """Ask for anything, to learn whether a server answers, and which."""
        with contextlib.suppress(TransientError, PermanentError):
            await self.get("/", most_bytes=_LOOK_BYTES)

    async def get(self, path: str, *, most_bytes: int) -> bytes | None:
        """Return the body at `path`, which is percent-encoded; None if the archive has no such file.

        Raises TransientError after the last try, PermanentError when the archive refuses or the body is larger than
        `most_bytes`, Stopped when the run stops: it gives up the file, of which nothing is stored yet.
        """
        for attempt in itertools.count(1):
            try:
                with self._stopper.interruptible():
                    body = await self._attempt(path, most_bytes)
            except TransientError as exc:
                if attempt >= (TRIES if self._answered else _TRIES_BEFORE_ANY_ANSWER) or self.dead:
                    self._failed()
                    raise
                log.debug("retry path=%s attempt=%d error=%s", path, attempt, exc)
            else:
                self._failures_in_a_row = 0
                self._last_good_s = time.monotonic()
                return body
            self.traffic.retries += 1
            with self._stopper.interruptible():
                await asyncio.sleep(self._timing.backoff_s(attempt, random.random()))
            if self.dead:
                break
        raise TransientError(f"{self.host} does not answer")

    def _failed(self) -> None:
        """Count a file whose tries all failed."""
        self._failures_in_a_row += 1
        silent_s = time.monotonic() - self._last_good_s
        if self._failures_in_a_row >= _FAILURES_IN_A_ROW_MAX and silent_s >= self._timing.dead_archive_after_s:
            self.dead = True

    async def _attempt(self, path: str, most_bytes: int) -> bytes | None:
        if most_bytes <= _SMALL_BYTES:
            return await self._fetch(path, most_bytes)
        await self.line.enter()
        try:
            return await self._fetch(path, most_bytes)
        finally:
            self.line.leave()

    async def _fetch(self, path: str, most_bytes: int) -> bytes | None:
        if self._session is None:
            raise RuntimeError("the downloader is used outside `async with`")
        self.traffic.requests += 1
        url = self._base.joinpath(path.lstrip("/"), encoded=True)
        with faults(self._translated, self.host):
            async with (
                self.line.answer() as answer,
                self._session.get(url, proxy=self._proxy, allow_redirects=False) as response,
            ):
                self._answered = True
                answer.begins()
                self.simulated = self.simulated or SIMULATOR_HEADER in response.headers
                if response.status == 200:
                    return await self._body(response, answer, most_bytes)
                status = response.status
        if status in _ABSENT:
            return None
        if status in _PASSING or status >= 500:
            raise TransientError(f"{self.host} answered with status {status}")
        raise PermanentError(f"{self.host} answered with status {status}", reason="archive_refused")

    async def _body(self, response: aiohttp.ClientResponse, answer: Reception, most_bytes: int) -> bytes:
        parts = []
        size = 0
        async for part in response.content.iter_any():
            size += len(part)
            self.traffic.received_bytes += len(part)
            answer.takes(len(part))
            if size > most_bytes:
                raise TooLarge(f"a file of more than {most_bytes:,} bytes", reason="archive_refused")
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _translated(self, exc: Exception) -> TransientError:
        """Turn a foreign exception into ours; without any answer yet, a name, TLS or proxy fault ends all downloads."""
        self.dead = self.dead or (not self._answered and is_for_good(exc))
        if tls.fault_of(exc) is not None:
            way_out = f"; {tls.CERT_FILE} may name the root" if tls.is_untrusted(exc) else ""
            return TransientError(
                f"no trusted connection to {self.host}: {tls.why(exc, self._base.host or '')}{way_out}"
            )
        return TransientError(f"the connection to {self.host} failed: {what_failed(exc)}")

    def _new_session(self) -> aiohttp.ClientSession:
        headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
        # The files are packed; unpacking is bounded elsewhere.
        return session_to(self._base, connections=self._connections, headers=headers, auto_decompress=False)
