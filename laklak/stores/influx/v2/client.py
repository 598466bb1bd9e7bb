"""The requests that an InfluxDB 2.x server knows, made by the asynchronous services of influxdb-client.

We call the services below its WriteApi and QueryApi, for the answer as it came (`_preload_content=False`): the API
classes turn an answer that is not JSON into a handler on the root logger, errors into texts with all headers, rows into
an object each, and pack at level 9 on the event loop (influxdb-client 1.50).  The services batch and retry nothing.
"""

from __future__ import annotations

import asyncio
import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import orjson

from laklak.errors import StoreError
from laklak.model.series import DAY_MS, TimeRange
from laklak.stores.base import Columns
from laklak.stores.influx.address import Address2
from laklak.stores.influx.calling import BODY_MAX, TIMEOUT, Caller, PassingFault, clock_ahead_ms, gzipped
from laklak.stores.influx.columns import MSGPACK
from laklak.stores.influx.ping import Greeting
from laklak.stores.influx.v1.client import Rows, accepts, columns_of, pieces_of, take_piece
from laklak.stores.influx.v2 import flux
from laklak.stores.influx.v2.csv import FluxError, Table, is_whole, read_tables
from laklak.stores.influx.verdicts import Verdict, judge_query, judge_statement, judge_write, reason_of
from laklak.tasks.timing import StoreTiming
from laklak.wire import tls
from laklak.wire.client import USER_AGENT

if TYPE_CHECKING:
    from influxdb_client.client.influxdb_client_async import InfluxDBClientAsync

_PING_S: Final = 5.0
# A larger answer is taken apart in a thread: some milliseconds of work.
_LARGE: Final = 200_000

Request = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket as the server describes it; `duration_ms` None means that it keeps points for ever."""

    name: str
    duration_ms: int | None
    shard_ms: int
    id: str = ""


@dataclass(frozen=True, slots=True)
class InfluxqlName:
    """A bucket in the words of InfluxQL; `default`: it is meant if no policy is named."""

    database: str
    policy: str
    default: bool = field(compare=False)


class Client2:
    """Requests to one server with a token; used inside one event loop.

    The token goes into a header and nowhere else.
    """

    def __init__(self, address: Address2, *, connections: int, gzip: bool, timing: StoreTiming) -> None:
        self.address = address
        self.caller = Caller(address, timing)
        self._connections = connections
        self._gzip = gzip
        self._client: InfluxDBClientAsync | None = None

    def open(self) -> None:
        """Make the client; sends nothing."""
        # A third of a second, paid only by those who use it.
        from influxdb_client.client.influxdb_client_async import InfluxDBClientAsync

        self._client = InfluxDBClientAsync(
            self.address.http_url,
            self.address.token,
            org=self.address.org,
            timeout=TIMEOUT,
            connection_pool_maxsize=self._connections,
            allow_redirects=False,
            proxy=self.caller.proxy(),
            # Also without encryption: otherwise the library makes another one, which takes 20 ms.
            ssl_context=tls.context(),
        )
        self._client.api_client.user_agent = USER_AGENT

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def ping(self) -> Greeting:
        """Ask what the server is."""
        from influxdb_client import PingService

        async def attempt() -> Greeting:
            async with asyncio.timeout(_PING_S):
                response = await PingService(self._api()).get_ping_async(_preload_content=False)
                async with response:
                    if response.status == 429 or response.status >= 500:
                        raise PassingFault(f"HTTP status {response.status}")
                    version = response.headers.get("X-Influxdb-Version")
                    return Greeting(version, response.status, clock_ahead_ms(response.headers))

        return await self.caller.persist(attempt)

    async def write(self, lines: bytes) -> Verdict:
        """Send lines; the verdict is `ok`, `lines refused` or `send less`, anything else raises."""
        from influxdb_client import WriteService

        body = await asyncio.to_thread(gzipped, lines) if self._gzip else lines
        packed = {"content_encoding": "gzip"} if self._gzip else {}

        async def attempt() -> Verdict:
            response = await WriteService(self._api()).post_write_async(
                org=self.address.org,
                bucket=self.address.database,
                body=body,
                precision="ms",
                _preload_content=False,
                **packed,
            )
            return self.caller.act_on(judge_write(*await self._taken(response), all_or_nothing=True))

        return await self.caller.persist(attempt, sends=len(body))

    async def query(self, flux: str, *, types: bool = False) -> list[Table]:
        """Run Flux; return its tables, with the types of their columns if asked for.

        Raises StoreError with the server's sentence if it fails, also in the middle of an answer.
        """
        from influxdb_client import Dialect, Query, QueryService

        dialect = Dialect(header=True, delimiter=",", annotations=["datatype"] if types else [])
        question = Query(query=flux, type="flux", dialect=dialect)

        async def attempt() -> list[Table]:
            response = await QueryService(self._api()).post_query_async(
                org=self.address.org,
                query=question,
                accept_encoding="gzip" if self._gzip else "identity",
                _preload_content=False,
            )
            async with response:
                if response.status != 200:
                    self.caller.act_on(judge_query(*await self._taken(response)))
                return await self._tables(await self.caller.body_of(response))

        return await self.caller.persist(attempt)

    async def delete(self, measurement: str, span: TimeRange) -> None:
        """Delete the points of a measurement in a time, whole ms; a server includes its end (2.7.12)."""
        from influxdb_client import DeletePredicateRequest, DeleteService

        which = DeletePredicateRequest(
            start=flux.moment(span.start_ms),
            stop=flux.moment(span.end_ms - 1),
            predicate=f'_measurement="{measurement}"',
        )

        async def attempt() -> None:
            response = await DeleteService(self._api()).post_delete_async(
                which, org=self.address.org, bucket=self.address.database, _preload_content=False
            )
            if response.status != 204:
                self.caller.act_on(judge_query(*await self._taken(response)))
            response.release()

        await self.caller.persist(attempt)

    async def _taken(self, response: aiohttp.ClientResponse) -> tuple[int, Mapping[str, str], bytes]:
        """Return status, headers and the beginning of the body; release the connection."""
        async with response:
            return response.status, response.headers, await self.caller.body_of(response, BODY_MAX)

    async def _tables(self, body: bytes) -> list[Table]:
        if not is_whole(body):
            raise PassingFault("the answer to a query was cut off or no InfluxDB answer")
        try:
            return await asyncio.to_thread(read_tables, body) if len(body) > _LARGE else read_tables(body)
        except FluxError as exc:
            self.caller.act_on(judge_statement(str(exc)))
            raise
        except (ValueError, csv.Error) as exc:
            raise PassingFault("the answer to a query was no InfluxDB answer") from exc

    # InfluxQL

    async def find_influxql_name(self) -> InfluxqlName | None:
        """Return the bucket's name in InfluxQL; None if it has none."""
        found = await self.find_bucket()
        if isinstance(found, Verdict):
            return None
        for name in await self._names(bucketID=found.id):
            # A bucket's own name counts only while no other bucket is given it.
            if (await self._names(db=name.database)).get(name) == found.id:
                return name
        return None

    async def _names(self, **which: str) -> Mapping[InfluxqlName, str]:
        """Return the names of buckets: name -> id, given ones first; {} if unknown."""

        async def attempt() -> Mapping[InfluxqlName, str]:
            response = await self._get("/api/v2/dbrps", {"org": self.address.org, **which})
            async with response:
                return _names_in(await self.caller.body_of(response)) if response.status == 200 else {}

        return await self.caller.persist(attempt)

    async def query_influxql(self, name: InfluxqlName, statements: str) -> list[list[Rows]]:
        """Run InfluxQL statements on the name from find_influxql_name; return the result of each, times in ms.

        Raises StoreError with the server's sentence if one of them fails.
        """
        parameters = {"db": name.database, "rp": name.policy, "epoch": "ms", "q": statements}

        async def attempt() -> list[list[Rows]]:
            response = await self._get("/query", parameters)
            async with response:
                if response.status != 200:
                    self.caller.act_on(judge_query(*await self._taken(response)))
                answers, unfinished = take_piece(await self.caller.body_of(response), self.caller)
                if unfinished:
                    raise PassingFault("the answer was cut off")
                return answers

        return await self.caller.persist(attempt)

    async def query_columns(self, database: str, policy: str, select: str, step_ms: int) -> Columns | None:
        """Return the candles of a SELECT of InfluxQL, on the grid; None to ask Flux, which says what is wrong."""
        asked = pieces_of(database, select, "ns") | {"rp": policy}

        async def attempt() -> Columns | None:
            response = await self._get("/query", asked, accepts(MSGPACK, gzip=self._gzip))
            async with response:
                if response.status == 200:
                    return await columns_of(await self.caller.body_of(response), step_ms, self.caller)
                verdict = judge_query(*await self._taken(response))
                if verdict.kind != "failed":
                    self.caller.act_on(verdict)
                return None

        return await self.caller.persist(attempt)

    async def _get(self, path: str, parameters: Mapping[str, str], headers: Mapping[str, str] | None = None) -> Any:
        # influxdb-client has no service for it.
        headers = headers or {"Accept": "application/json"}
        return await self._api().call_api(
            path, "GET", {}, list(parameters.items()), {**headers}, _preload_content=False
        )

    # Buckets

    async def find_bucket(self) -> Bucket | Verdict:
        """Return the bucket of the address; a verdict `ok` if it exists but may not be seen, `gone` if it does not."""
        from influxdb_client import BucketsService

        def request() -> Any:
            service = BucketsService(self._api())
            return service.get_buckets_async(org=self.address.org, name=self.address.database, _preload_content=False)

        status, headers, body = await self._ask(request)
        verdict = judge_query(status, headers, body)
        if verdict.kind == "gone":
            return verdict
        self.caller.act_on(verdict)
        found = self._json(body, "buckets")
        return _bucket(found[0]) if found else verdict

    async def find_org_id(self) -> str | None:
        """Return the id of the organization of the address; None if the token may not see it."""
        from influxdb_client import OrganizationsService

        def request() -> Any:
            return OrganizationsService(self._api()).get_orgs_async(org=self.address.org, _preload_content=False)

        status, headers, body = await self._ask(request)
        self.caller.act_on(judge_query(status, headers, body))
        found = self._json(body, "orgs")
        return str(found[0]["id"]) if found else None

    async def make_bucket(self, org_id: str, name: str) -> tuple[int, str]:
        """Make a bucket that keeps points for ever; return the status of the answer and the server's sentence."""
        from influxdb_client import BucketsService, PostBucketRequest

        wanted = PostBucketRequest(org_id=org_id, name=name, retention_rules=[])

        def request() -> Any:
            return BucketsService(self._api()).post_buckets_async(wanted, _preload_content=False)

        status, headers, body = await self._ask(request)
        return status, reason_of(status, headers, body)

    async def _ask(self, request: Request) -> tuple[int, Mapping[str, str], bytes]:
        async def attempt() -> tuple[int, Mapping[str, str], bytes]:
            status, headers, body = await self._taken(await request())
            if status == 429 or status >= 500:
                self.caller.act_on(judge_query(status, headers, body))
            return status, headers, body

        return await self.caller.persist(attempt)

    def _json(self, body: bytes, key: str) -> Sequence[Any]:
        try:
            found = orjson.loads(body)[key]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            found = None
        if not isinstance(found, list):
            self.caller.act_on(Verdict("foreign", f"it gives no {key}"))
            return []
        return found

    def _api(self) -> Any:
        if self._client is None:
            raise StoreError(f"the store {self.address.display} is closed")
        return self._client.api_client


def _names_in(body: bytes) -> Mapping[InfluxqlName, str]:
    try:
        mappings = sorted(orjson.loads(body)["content"], key=lambda one: bool(one.get("virtual")))
        names: dict[InfluxqlName, str] = {}
        for one in mappings:
            name = InfluxqlName(one["database"], one["retention_policy"], bool(one.get("default")))
            names.setdefault(name, one["bucketID"])
        return names
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        # Another program answers for a server: do not ask it in InfluxQL.
        return {}


def _bucket(facts: Mapping[str, Any]) -> Bucket:
    rule: Mapping[str, Any] = next(
        (rule for rule in facts.get("retentionRules", ()) if rule.get("type") == "expire"), {}
    )
    kept_s, shard_s = (int(rule.get(key) or 0) for key in ("everySeconds", "shardGroupDurationSeconds"))
    return Bucket(str(facts["name"]), kept_s * 1000 or None, shard_s * 1000 or DAY_MS, str(facts.get("id", "")))
