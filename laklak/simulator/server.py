"""The simulator on a socket: aiohttp around the dialect, the gate, the market and the dice."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Mapping
from email.utils import formatdate
from types import TracebackType
from typing import Any, Final, Self

from aiohttp import web

from laklak.model.series import MINUTE_MS
from laklak.simulator import wire
from laklak.simulator.archive.faults import ARCHIVE_KINDS
from laklak.simulator.archive.paths import ARCHIVE_ROOT
from laklak.simulator.archive.server import ArchiveServer
from laklak.simulator.dialects.base import RefusedRequest, Reply, Subject
from laklak.simulator.faults import Dice, Fault, slow_seconds
from laklak.simulator.gate import Decision, Gate
from laklak.simulator.market import DelistedError, Market, SimulatedClock, UnknownSymbolError
from laklak.simulator.settings import SETTLE_MS, SimulatorSettings
from laklak.simulator.sources.base import CandleSource
from laklak.simulator.stats import Hit, Stats

SIMULATOR_HEADER: Final = "X-Laklak-Simulator"

# Not the venue says these, but a server before it.
_HTML: Final = Reply(
    200, b"<html><head><title>Service</title></head><body>We will be back soon.</body></html>\n", "text/html"
)
_FIREWALL: Final = Reply(
    403,
    b"<html><head><title>403 Forbidden</title></head><body><h1>403 Forbidden</h1></body></html>\n",
    "text/html",
)


class Simulator:
    """A running venue; an async context manager.

        async with Simulator(load_recorded(folder), SimulatorSettings(budget=1200)) as simulator:
            ... simulator.url ... simulator.stats ...

    Leaving it is quick: hanging answers are cut off.
    """

    def __init__(self, source: CandleSource, settings: SimulatorSettings | None = None) -> None:
        """Raise ValueError if a fault or an override names a symbol that the source does not have."""
        self.settings = settings = settings or SimulatorSettings()
        self.stats = Stats()
        self._dialect = settings.dialect
        self.url = ""
        start_ms = source.end_ms + SETTLE_MS if settings.clock_ms is None else settings.clock_ms
        clock = SimulatedClock(start_ms, settings.clock, speed=settings.clock_speed)
        self.market = Market(source, clock, settings.overrides)
        self._take_candles_away()
        self.archive = ArchiveServer(self.market, settings, self.stats)
        self.dice = Dice(settings.faults, settings.seed)
        self.gate = Gate(
            settings.budget,
            start_s=settings.wall_clock(),
            window=settings.window,
            window_s=settings.dialect.window_s,
            patience=settings.patience,
            ban_s=settings.ban_s,
            neighbour_weight_per_minute=settings.neighbour_weight_per_minute,
        )
        self._random = random.Random(f"{settings.seed}:answers")
        self._closing = asyncio.Event()
        self._runner: web.ServerRunner | None = None
        self._requests = 0
        self._entries: list[Any] = []
        self._entries_of = -1

    def __repr__(self) -> str:
        return f"<Simulator {self.url or 'stopped'} requests={self._requests} {self.gate!r}>"

    async def __aenter__(self) -> Self:
        server = web.Server(self._serve, handler_cancellation=True, access_log=None)
        runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await runner.setup()
        try:
            # Report a taken port before preparing anything.
            await web.TCPSite(runner, self.settings.host, self.settings.port).start()
            if self.settings.archive_prepared:
                await self.archive.prepare()
        except BaseException:
            await runner.cleanup()
            await self.archive.close()
            raise
        self._runner = runner
        self.url = f"http://{self.settings.host}:{runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        await self.archive.close()

    def spend(self, weight: int) -> int:
        """Use weight as another program on the same address would; return the status it would have got."""
        return self.gate.charge(self.settings.wall_clock(), weight).status

    def ban(self, seconds: float) -> None:
        """Refuse everything as banned for `seconds` from now."""
        self.gate.ban(self.settings.wall_clock(), seconds)

    def _take_candles_away(self) -> None:
        for fault in self.settings.faults:
            if fault.kind == "hole":
                minutes = range(fault.start_ms, fault.start_ms + fault.minutes * MINUTE_MS, MINUTE_MS)
                self.market.change(fault.symbol, holes=self.market.overridden(fault.symbol).holes.union(minutes))
            elif fault.kind == "late":
                self.market.change(fault.symbol, first_ms=fault.start_ms)
            elif fault.kind in ARCHIVE_KINDS and fault.symbol:
                self.market.check_symbol(fault.symbol)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        path, archive_root = request.path, self._dialect.archive_root
        if archive_root is not None and path.startswith(ARCHIVE_ROOT):
            return await self._serve_archive(request)
        self._requests += 1
        number, query = self._requests, dict(request.query)
        weight = self._dialect.cost(path, query)
        decision = self.gate.charge(self.settings.wall_clock(), weight)
        place = self._note_arrival(path, weight, query, decision)
        if self.settings.latency_s:
            await asyncio.sleep(self.settings.latency_s)
        response = await self._decide(request, query, number, decision)
        self._note_answer(place, response)
        return _or_nothing(response)

    async def _serve_archive(self, request: web.BaseRequest) -> web.StreamResponse:
        place = self._note_hit(request.path, 0, {})
        response = await self.archive.serve(request, {SIMULATOR_HEADER: "1"})
        if self.settings.record_hits:
            self.stats.settle_hit(place, 0 if response is None else response.status)
        return _or_nothing(response)

    async def _decide(
        self, request: web.BaseRequest, query: Mapping[str, str], number: int, decision: Decision
    ) -> web.StreamResponse | None:
        date = formatdate(self.market.clock.now_ms() / 1000, usegmt=True)
        headers = {**self._dialect.headers(decision.used), SIMULATOR_HEADER: "1", "Date": date}
        if decision.status != 200:
            return self._refuse_for_weight(decision.status, decision.retry_at_s, headers)
        override = self.settings.script and self.settings.script(request.path, query, number)
        if not override:
            fault = self.dice.fault_of_answer(is_candles=self._dialect.subject_of(request.path) is Subject.CANDLES)
        elif override.fault is None:
            return _respond(Reply(override.status, override.body), {**headers, **override.headers})
        else:
            kind, _, detail = override.fault.partition(":")
            fault = Fault(kind, detail=detail or None)
        return await self._answer(request, query, fault, headers)

    async def _answer(
        self, request: web.BaseRequest, query: Mapping[str, str], fault: Fault | None, headers: dict[str, str]
    ) -> web.StreamResponse | None:
        if fault is None:
            return self._true_answer(request, query, None, headers)
        if fault.kind in ("flicker", "badrow"):
            return self._true_answer(request, query, fault, headers)
        self.stats.faults[fault.kind] += 1
        match fault.kind:
            case "hang":
                await self._hang(request)
            case "reset":
                wire.reset(request)
            case "slow":
                await asyncio.sleep(slow_seconds(fault))
                return self._true_answer(request, query, None, headers)
            case "cut":
                reply = self._content(request, query, None)
                return await wire.cut_off(request, reply.status, reply.body, headers, self._random.random())
            case _:
                return self._refuse_at_will(fault.kind, headers)
        return None

    def _refuse_at_will(self, kind: str, headers: dict[str, str]) -> web.Response:
        match kind:
            case "html":
                return _respond(_HTML, headers)
            case "403":
                return _respond(_FIREWALL, headers)
            case "451":
                return _respond(self._dialect.region, headers)
            case "429":
                return self._refuse_for_weight(429, self.settings.wall_clock() + 1, headers)
            case "418":
                self.ban(self.settings.ban_s)
                return self._refuse_for_weight(418, self.gate.banned_until_s, headers)
            case "5xx":
                return _respond(self._random.choice(self._dialect.server_errors), headers)
        raise ValueError(f"a script asked for the unknown fault {kind!r}")

    def _refuse_for_weight(self, status: int, retry_at_s: float, headers: dict[str, str]) -> web.Response:
        if status == 429:
            reply = self._dialect.too_many_requests(self.settings.budget)
        else:
            reply = self._dialect.banned(math.ceil(retry_at_s * 1000))
        if self.settings.retry_after:
            seconds = math.ceil(retry_at_s - self.settings.wall_clock())
            headers = {**headers, "Retry-After": str(max(1, seconds))}
        return _respond(reply, headers)

    def _true_answer(
        self, request: web.BaseRequest, query: Mapping[str, str], row_fault: Fault | None, headers: dict[str, str]
    ) -> web.Response:
        return _respond(self._content(request, query, row_fault), headers)

    def _content(self, request: web.BaseRequest, query: Mapping[str, str], row_fault: Fault | None) -> Reply:
        dialect, path = self._dialect, request.path
        if request.method == "GET":
            match dialect.subject_of(path):
                case Subject.CANDLES:
                    return self._candles(path, query, row_fault)
                case Subject.LISTING:
                    return Reply(200, self._listing(query))
                case Subject.CLOCK:
                    return Reply(200, dialect.clock(self.market.clock.now_ms()))
                case Subject.PING:
                    return Reply(200, dialect.pong)
        return dialect.unknown_path(request.method, path)

    def _listing(self, query: Mapping[str, str]) -> bytes:
        # Spell the entries anew only after a change: there are hundreds.
        market, changes = self.market, self.market.changes
        if self._entries_of != changes:
            self._entries = [self._dialect.entry(instrument) for instrument in market.instruments]
            self._entries_of = changes
        budget = self.settings.advertised or self.settings.budget
        return self._dialect.listing(query, self._entries, market.recorded_listing, budget, market.clock.now_ms())

    def _candles(self, path: str, query: Mapping[str, str], row_fault: Fault | None) -> Reply:
        try:
            asked = self._dialect.read_candles(path, query)
            rows = self.market.candles(asked)
        except RefusedRequest as refusal:
            return refusal.reply
        except UnknownSymbolError:
            return self._dialect.unknown_symbol(asked.symbol)
        except DelistedError:
            return self._dialect.delisted(asked.symbol)
        self.stats.rows += len(rows)
        rows = self.dice.spoil(asked.symbol, rows, self.stats.faults)
        if row_fault is not None:
            rows = self.dice.spoil_once(asked.symbol, rows, row_fault, self.stats.faults)
        try:
            return Reply(200, self._dialect.candles(asked, rows, self.market.clock.now_ms()))
        except RefusedRequest as refusal:
            return refusal.reply

    async def _hang(self, request: web.BaseRequest) -> None:
        # Until the client gives up (which cancels this), the simulator ends, or nobody would wait any more.
        try:
            async with asyncio.timeout(self.settings.hang_s):
                await self._closing.wait()
        except TimeoutError:
            pass
        wire.reset(request)

    def _note_arrival(self, path: str, weight: int, query: dict[str, str], decision: Decision) -> int:
        stats = self.stats
        stats.requests[path] += 1
        stats.weight += weight
        stats.neighbour_requests = self.gate.neighbour_requests
        stats.neighbour_refusals = self.gate.neighbour_refusals
        if decision.status != 200:
            stats.refusals[decision.status] += 1
        return self._note_hit(path, weight, query)

    def _note_hit(self, path: str, weight: int, query: dict[str, str]) -> int:
        if self.settings.record_hits:
            self.stats.hits.append(Hit(time.monotonic(), path, weight, 0, query))
        return len(self.stats.hits) - 1

    def _note_answer(self, place: int, response: web.StreamResponse | None) -> None:
        status = 0 if response is None else response.status
        self.stats.statuses[status] += 1
        if self.settings.record_hits:
            self.stats.settle_hit(place, status)


def _or_nothing(response: web.StreamResponse | None) -> web.StreamResponse:
    # A lost connection needs no answer, but aiohttp wants one to drop.
    return web.Response() if response is None else response


def _respond(reply: Reply, headers: Mapping[str, str]) -> web.Response:
    return web.Response(status=reply.status, body=reply.body, headers={"Content-Type": reply.content_type, **headers})
