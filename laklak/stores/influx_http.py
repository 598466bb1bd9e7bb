"""The one HTTP seam to an InfluxDB 1.x server: send, judge the answer, try again while that may help."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import ssl
import time
import zlib
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar

import aiohttp
import orjson

from laklak._version import __version__
from laklak.errors import StoreDown, StoreError, StoreFull, StoreRefused, StoreUnavailable
from laklak.stores.influx_address import PASSWORD_NAMES, InfluxAddress
from laklak.stores.influx_answer import OK, Verdict, judge_query, judge_statement, judge_write

log = logging.getLogger(__name__)

T = TypeVar("T")

ROWS_PER_PIECE: Final = 10_000
"""Rows that the server sends as one piece of JSON: some milliseconds of decoding."""

_CONNECT_S: Final = 5.0
_SILENCE_S: Final = 60.0
_PING_S: Final = 5.0
_FIRST_PAUSE_S: Final = 0.25
_LONGEST_PAUSE_S: Final = 5.0
_BODY_MAX: Final = 100_000


@dataclass(frozen=True, slots=True)
class Rows:
    """What a statement gave for one name and set of tags; rows are lists of cells in the order of `columns`."""

    name: str
    tags: Mapping[str, str]
    columns: list[str]
    values: list[list[Any]]


@dataclass(frozen=True, slots=True)
class Greeting:
    """What /ping says: the version, None where the answer is not an InfluxDB's; the server's clock less ours, ms."""

    version: str | None
    status: int
    clock_ahead_ms: int


class _Passing(Exception):
    """A fault that may be gone the next time."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class _Unreachable(Exception):
    """No such host, or no TLS with it: trying again is no help at the start."""


class InfluxClient:
    """Requests to one server, logged in where the address has a user; used inside one event loop.

    `patience_s` is how long a passing fault (no connection, 429, 5xx) is waited out in one request.  While `opening`
    errors are StoreUnavailable, later StoreRefused, StoreDown, StoreFull or StoreError.  No error or log line holds a
    password: it goes into a header and nowhere else.
    """

    def __init__(self, address: InfluxAddress, *, connections: int, gzip: bool, patience_s: float) -> None:
        self.address = address
        self.opening = True
        self.patience_s = patience_s
        self._connections = connections
        self._gzip = gzip
        self._session: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        return f"<InfluxClient {self.address.server} opening={self.opening} patience_s={self.patience_s}>"

    def open(self) -> None:
        """Make the session; nothing is sent."""
        headers = {"User-Agent": f"laklak/{__version__}"}
        if self.address.user is not None:
            login = f"{self.address.user}:{self.address.password or ''}"
            headers["Authorization"] = f"Basic {b64encode(login.encode()).decode()}"
        self._session = aiohttp.ClientSession(
            self.address.http_url,
            connector=aiohttp.TCPConnector(limit=self._connections),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_SILENCE_S),
            headers=headers,
            # A plain database is on the own network, where a proxy for the internet is no help.
            trust_env=self.address.tls,
        )

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def ping(self) -> Greeting:
        """Ask what the server is."""

        async def attempt() -> Greeting:
            timeout = aiohttp.ClientTimeout(total=_PING_S)
            async with self._http().get("/ping", allow_redirects=False, timeout=timeout) as response:
                if response.status in (401, 403):
                    await self._judge(judge_query, response)
                if response.status == 429 or response.status >= 500:
                    raise _Passing(f"HTTP status {response.status}")
                version = response.headers.get("X-Influxdb-Version")
                return Greeting(version, response.status, _clock_ahead_ms(response.headers.get("Date", "")))

        return await self._persist(attempt)

    async def write(self, lines: bytes, retention_policy: str) -> Verdict:
        """Send lines; the verdict is `ok`, `lines refused` or `too large`, anything else raises."""
        parameters = {"db": self.address.database, "rp": retention_policy, "precision": "ms"}
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        body = lines
        if self._gzip:
            body = await asyncio.to_thread(_gzipped, lines)
            headers["Content-Encoding"] = "gzip"

        async def attempt() -> Verdict:
            async with self._http().post(
                "/write", params=parameters, data=body, headers=headers, allow_redirects=False
            ) as response:
                return await self._judge(judge_write, response)

        return await self._persist(attempt)

    async def query(self, statements: str, *, epoch: str = "ms") -> list[list[Rows]]:
        """Run InfluxQL statements; what each of them gave, in order. Times are integers in the unit `epoch`.

        Raises StoreError with the server's sentence when one of them fails.
        """
        form = {
            "q": statements,
            "db": self.address.database,
            "epoch": epoch,
            # In one piece a server may cut the rows off at its max-row-limit; in pieces it never does.
            "chunked": "true",
            "chunk_size": str(ROWS_PER_PIECE),
        }

        async def attempt() -> list[list[Rows]]:
            async with self._http().post("/query", data=form, allow_redirects=False) as response:
                await self._judge(judge_query, response)
                return await self._gather(response)

        return await self._persist(attempt)

    async def _judge(
        self, judge: Callable[[int, Mapping[str, str], bytes], Verdict], response: aiohttp.ClientResponse
    ) -> Verdict:
        if response.ok and judge is judge_query:
            return OK
        body = await response.content.read(_BODY_MAX)
        return self._raised(judge(response.status, response.headers, body))

    async def _gather(self, response: aiohttp.ClientResponse) -> list[list[Rows]]:
        answers: list[list[Rows]] = []
        unfinished = True
        rest = b""
        async for data in response.content.iter_any():
            *pieces, rest = (rest + data).split(b"\n") if b"\n" in data else (rest + data,)
            for piece in pieces:
                if piece:
                    unfinished = self._take(piece, answers)
        if rest:
            unfinished = self._take(rest, answers)
        if unfinished:
            raise _Passing("the answer was cut off")
        return answers

    def _take(self, piece: bytes, answers: list[list[Rows]]) -> bool:
        """Add one piece of an answer; whether more must follow."""
        try:
            results = orjson.loads(piece)
            if "error" in results:
                self._raised(judge_statement(str(results["error"])))
            for result in results["results"]:
                if "error" in result:
                    self._raised(judge_statement(str(result["error"])))
                while len(answers) <= result["statement_id"]:
                    answers.append([])
                for series in result.get("series", ()):
                    _add(answers[result["statement_id"]], series)
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as exc:
            raise _Passing("the answer to a query was no InfluxDB answer") from exc
        return any(
            result.get("partial") or any(series.get("partial") for series in result.get("series", ()))
            for result in results["results"]
        )

    async def _persist(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Run `attempt` until it succeeds or fails for good, at most `patience_s` after its first passing fault."""
        give_up_s: float | None = None
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return await self._translated(attempt)
            except _Unreachable as exc:
                raise self._down(exc) from exc
            except _Passing as exc:
                now_s = time.monotonic()
                give_up_s = now_s + self.patience_s if give_up_s is None else give_up_s
                wait_s = exc.retry_after_s or random.uniform(pause_s / 2, pause_s)
                if now_s + wait_s > give_up_s:
                    raise self._down(exc) from exc
                log.warning("store passing fault server=%s again_in_s=%.1f error=%s", self.address.server, wait_s, exc)
                pause_s = min(_LONGEST_PAUSE_S, pause_s * 2)
            await asyncio.sleep(wait_s)

    async def _translated(self, attempt: Callable[[], Awaitable[T]]) -> T:
        try:
            return await attempt()
        except aiohttp.ClientConnectorDNSError as exc:
            raise self._if_opening(f"there is no host called {self.address.host}") from exc
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError, ssl.SSLError) as exc:
            raise self._if_opening(f"TLS failed: {_tls_reason(exc)}") from exc
        except aiohttp.ClientConnectorError as exc:
            # asyncio's own text for it is "Connect call failed", with the address once more.
            number = exc.os_error.errno
            raise _Passing(os.strerror(number) if number else str(exc.os_error)) from exc
        except TimeoutError as exc:
            raise _Passing("it does not answer in time") from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise _Passing(f"the connection broke: {exc}" if str(exc) else "the connection broke") from exc

    def _if_opening(self, reason: str) -> Exception:
        # At the start it is most likely a slip in the address; in a run, a name server that is down for a while.
        return _Unreachable(reason) if self.opening else _Passing(reason)

    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise StoreError(f"the store {self.address.display} is closed")
        return self._session

    # Errors

    def _raised(self, verdict: Verdict) -> Verdict:
        """Give the verdict back if the caller has to act on it, else raise what it means."""
        reason, server = verdict.reason, self.address.server
        match verdict.kind:
            case "passing":
                raise _Passing(reason, verdict.retry_after_s)
            case "full":
                raise StoreFull(
                    f"the disk of the InfluxDB server at {server} is full: {reason}",
                    hint="make room there and run again; what is stored stays",
                )
            case "denied":
                raise self.refused(f"InfluxDB at {server} refused the login: {reason}", hint=self._login_hint())
            case "gone":
                raise self.refused(
                    f"InfluxDB at {server} answers: {reason}", hint="somebody has removed it; run again to make it anew"
                )
            case "foreign":
                raise self.refused(
                    f"{server} does not answer like InfluxDB 1.x: {reason}",
                    hint="check the host and the port; InfluxDB 1.x listens on 8086",
                )
            case "failed":
                raise StoreError(f"InfluxDB at {server} cannot do what was asked: {reason}")
        return verdict

    def refused(self, message: str, *, hint: str) -> StoreError:
        """The error for a server that will not work for us."""
        return StoreUnavailable(message, hint=hint) if self.opening else StoreRefused(message, hint=hint)

    def _login_hint(self) -> str:
        if self.address.user is None:
            return (
                f"put the user into the address, influxdb://USER@{self.address.server}/..., and set {PASSWORD_NAMES[0]}"
            )
        if not self.address.password:
            return f"set {PASSWORD_NAMES[0]} to the password of {self.address.user}"
        return f"check the user {self.address.user}, its password and its rights on {self.address.database}"

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


def _reach_hint(address: InfluxAddress, fault: str) -> str:
    if address.tls and fault.startswith("TLS") and "certificate" not in fault.lower():
        return f"where the server has no TLS, write influxdb://{address.server}/..."
    if address.tls and fault.startswith("TLS"):
        return "the certificate must fit the host; SSL_CERT_FILE names a file with the authority that signed it"
    return "check that it runs, the host and the port (8086 as a rule), and influxdb+https:// where it wants TLS"


def _tls_reason(error: Exception) -> str:
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    return str(getattr(cause, "verify_message", None) or getattr(cause, "reason", None) or cause)


def _add(found: list[Rows], series: dict[str, Any]) -> None:
    rows = Rows(series.get("name", ""), series.get("tags") or {}, series["columns"], series.get("values") or [])
    # A long series comes in pieces, one after the other.
    if found and (found[-1].name, found[-1].tags, found[-1].columns) == (rows.name, rows.tags, rows.columns):
        found[-1].values.extend(rows.values)
    else:
        found.append(rows)


def _clock_ahead_ms(date: str) -> int:
    try:
        return int((parsedate_to_datetime(date).timestamp() - time.time()) * 1000)
    except ValueError:
        return 0


def _gzipped(data: bytes) -> bytes:
    packer = zlib.compressobj(1, wbits=31)
    return packer.compress(data) + packer.flush()
