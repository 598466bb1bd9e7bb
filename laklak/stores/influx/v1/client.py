"""The HTTP requests that an InfluxDB 1.x server knows."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import orjson
from yarl import URL

from laklak.errors import StoreError
from laklak.stores.base import Columns
from laklak.stores.influx.address import Address1
from laklak.stores.influx.calling import BODY_MAX, TIMEOUT, Caller, PassingFault, clock_ahead_ms, gzipped
from laklak.stores.influx.columns import MSGPACK, FailedStatement, read_columns
from laklak.stores.influx.ping import Greeting
from laklak.stores.influx.verdicts import OK, Verdict, judge_query, judge_statement, judge_write
from laklak.tasks.timing import StoreTiming
from laklak.wire.client import USER_AGENT, connector_to

ROWS_PER_PIECE: Final = 10_000
"""Rows that the server sends as one piece of JSON: some milliseconds of decoding."""

_PING_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Rows:
    """The result of a statement for one name and set of tags; rows are lists of cells in the order of `columns`."""

    name: str
    tags: Mapping[str, str]
    columns: list[str]
    values: list[list[Any]]


class Client1:
    """Requests to one server, logged in if the address has a user; used inside one event loop.

    The password goes into a header and nowhere else.
    """

    def __init__(self, address: Address1, *, connections: int, gzip: bool, timing: StoreTiming) -> None:
        self.address = address
        self.caller = Caller(address, timing)
        self._connections = connections
        self._gzip = gzip
        self._session: aiohttp.ClientSession | None = None

    def open(self) -> None:
        """Make the session; sends nothing."""
        headers = {"User-Agent": USER_AGENT}
        if self.address.user is not None:
            login = f"{self.address.user}:{self.address.password or ''}"
            headers["Authorization"] = f"Basic {b64encode(login.encode()).decode()}"
        self._session = aiohttp.ClientSession(
            self.address.http_url,
            connector=connector_to(URL(self.address.http_url), connections=self._connections),
            timeout=TIMEOUT,
            headers=headers,
            proxy=self.caller.proxy(),
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
                    raise PassingFault(f"HTTP status {response.status}")
                version = response.headers.get("X-Influxdb-Version")
                return Greeting(version, response.status, clock_ahead_ms(response.headers))

        return await self.caller.persist(attempt)

    async def write(self, lines: bytes, retention_policy: str) -> Verdict:
        """Send lines; the verdict is `ok`, `lines refused` or `send less`, anything else raises."""
        parameters = {"db": self.address.database, "rp": retention_policy, "precision": "ms"}
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        body = lines
        if self._gzip:
            body = await asyncio.to_thread(gzipped, lines)
            headers["Content-Encoding"] = "gzip"

        async def attempt() -> Verdict:
            async with self._http().post(
                "/write", params=parameters, data=body, headers=headers, allow_redirects=False
            ) as response:
                return await self._judge(_judge_write, response)

        return await self.caller.persist(attempt, sends=len(body))

    async def query(self, statements: str, *, epoch: str = "ms") -> list[list[Rows]]:
        """Run InfluxQL statements; return the result of each, in order. Times are integers in the unit `epoch`.

        Raises StoreError with the server's sentence if one of them fails.
        """

        async def attempt() -> list[list[Rows]]:
            form = pieces_of(self.address.database, statements, epoch)
            async with self._http().post("/query", data=form, allow_redirects=False) as response:
                await self._judge(judge_query, response)
                return await self._gather(response)

        return await self.caller.persist(attempt)

    async def query_columns(self, select: str, step_ms: int) -> Columns | None:
        """Return the candles of a SELECT, on the grid; None to ask for JSON, which says what is wrong."""

        async def attempt() -> Columns | None:
            form = pieces_of(self.address.database, select, "ns")
            headers = accepts(MSGPACK, gzip=self._gzip)
            async with self._http().post("/query", data=form, headers=headers, allow_redirects=False) as response:
                await self._judge(judge_query, response)
                return await columns_of(await self.caller.body_of(response), step_ms, self.caller)

        return await self.caller.persist(attempt)

    async def _judge(
        self, judge: Callable[[int, Mapping[str, str], bytes], Verdict], response: aiohttp.ClientResponse
    ) -> Verdict:
        if response.status == 200 and judge is judge_query:
            return OK
        body = await self.caller.body_of(response, BODY_MAX)
        return self.caller.act_on(judge(response.status, response.headers, body))

    async def _gather(self, response: aiohttp.ClientResponse) -> list[list[Rows]]:
        answers: list[list[Rows]] = []
        unfinished = True
        rest = b""
        async for data in response.content.iter_any():
            self.caller.heard()
            *pieces, rest = (rest + data).split(b"\n") if b"\n" in data else (rest + data,)
            for piece in pieces:
                if piece:
                    answers, unfinished = take_piece(piece, self.caller, answers)
        if rest:
            answers, unfinished = take_piece(rest, self.caller, answers)
        if unfinished:
            raise PassingFault("the answer was cut off")
        return answers

    def _http(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise StoreError(f"the store {self.address.display} is closed")
        return self._session


def pieces_of(database: str, statements: str, epoch: str) -> dict[str, str]:
    """Make a question whose answer comes in pieces: a single one the server may cut at its max-row-limit."""
    return {
        "q": statements,
        "db": database,
        "epoch": epoch,
        "chunked": "true",
        "chunk_size": str(ROWS_PER_PIECE),
    }


def accepts(kind: str, *, gzip: bool) -> dict[str, str]:
    """Return headers for an answer of this kind, packed or not: packing takes a server twice as long as the answer."""
    return {"Accept": kind, "Accept-Encoding": "gzip" if gzip else "identity"}


async def columns_of(body: bytes, step_ms: int, caller: Caller) -> Columns | None:
    """Return the candles of an answer in MessagePack; None to ask in another way."""
    try:
        return await asyncio.to_thread(read_columns, body, step_ms)
    except FailedStatement as exc:
        verdict = judge_statement(str(exc))
        if verdict.kind != "failed":
            caller.act_on(verdict)
        return None
    except ValueError as exc:
        raise PassingFault("the answer to a query was cut off or no InfluxDB answer") from exc


def _judge_write(status: int, headers: Mapping[str, str], body: bytes) -> Verdict:
    return judge_write(status, headers, body, all_or_nothing=False)


def take_piece(piece: bytes, caller: Caller, answers: list[list[Rows]] | None = None) -> tuple[list[list[Rows]], bool]:
    """Add one piece of an answer to the earlier ones; return all of it, and whether more must follow."""
    answers = [] if answers is None else answers
    try:
        results = orjson.loads(piece)
        if "error" in results:
            caller.act_on(judge_statement(str(results["error"])))
        for result in results["results"]:
            if "error" in result:
                caller.act_on(judge_statement(str(result["error"])))
            while len(answers) <= result["statement_id"]:
                answers.append([])
            for series in result.get("series", ()):
                _add(answers[result["statement_id"]], series)
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as exc:
        raise PassingFault("the answer to a query was no InfluxDB answer") from exc
    unfinished = any(
        result.get("partial") or any(series.get("partial") for series in result.get("series", ()))
        for result in results["results"]
    )
    return answers, unfinished


def _add(found: list[Rows], series: dict[str, Any]) -> None:
    rows = Rows(series.get("name", ""), series.get("tags") or {}, series["columns"], series.get("values") or [])
    # A long series comes in pieces, one after the other.
    if found and (found[-1].name, found[-1].tags, found[-1].columns) == (rows.name, rows.tags, rows.columns):
        found[-1].values.extend(rows.values)
    else:
        found.append(rows)
