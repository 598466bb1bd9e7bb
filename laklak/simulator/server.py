"""The simulator on a socket: aiohttp around the rules, the gate, the market and the dice."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

import orjson
from aiohttp import web

from laklak.model.series import MINUTE_MS
from laklak.simulator import wire
from laklak.simulator.archive.faults import ARCHIVE_KINDS
from laklak.simulator.archive.paths import ARCHIVE_ROOT
from laklak.simulator.archive.server import ArchiveServer
from laklak.simulator.dialects import binance as rules
from laklak.simulator.dialects.binance import KLINES, Refusal
from laklak.simulator.faults import Dice, Fault, slow_seconds
from laklak.simulator.gate import Decision, Gate
from laklak.simulator.market import Market, SimulatedClock
from laklak.simulator.settings import SETTLE_MS, SimulatorSettings
from laklak.simulator.sources.base import CandleSource
from laklak.simulator.stats import Hit, Stats

USED_WEIGHT_HEADER: Final = "X-MBX-USED-WEIGHT-1M"
SIMULATOR_HEADER: Final = "X-Laklak-Simulator"

_HTML: Final = b"<html><head><title>Service</title></head><body>We will be back soon.</body></html>\n"
_FIREWALL: Final = b"<html><head><title>403 Forbidden</title></head><body><h1>403 Forbidden</h1></body></html>\n"
_REGION: Final = rules.error_body(0, "Service unavailable from a restricted location.")
_SERVER_ERRORS: Final = (
    (500, rules.error_body(-1000, "An unknown error occurred while processing the request.")),
    (502, b"<html><head><title>502 Bad Gateway</title></head></html>\n"),
    (503, rules.error_body(-1000, "Unknown error, please check your request or try again later.")),
    (503, b"Service Unavailable."),
    (504, rules.error_body(-1007, "Timeout waiting for response from backend server.")),
)


class Simulator:
    """A running venue; an async context manager.

        async with Simulator(load_recorded(folder), SimulatorSettings(budget=1200)) as simulator:
            ... simulator.url ... simulator.stats ...

    Leaving it is quick: answers that hang are cut off.
    """

    def __init__(self, source: CandleSource, settings: SimulatorSettings | None = None) -> None:
        """ValueError when a fault or an override names a symbol the source does not have."""
        self.settings = settings = settings or SimulatorSettings()
        self.stats = Stats()
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
            patience=settings.patience,
            ban_s=settings.ban_s,
            neighbour_weight_per_minute=settings.neighbour_weight_per_minute,
        )
        self._random = random.Random(f"{settings.seed}:answers")
        self._closing = asyncio.Event()
        self._runner: web.ServerRunner | None = None
        self._requests = 0

    def __repr__(self) -> str:
        return f"<Simulator {self.url or 'stopped'} requests={self._requests} {self.gate!r}>"

    async def __aenter__(self) -> Self:
        server = web.Server(self._serve, handler_cancellation=True, access_log=None)
        runner = web.ServerRunner(server, shutdown_timeout=0.1)
        await runner.setup()
        try:
            # A port that is taken is told before anything is prepared.
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
        """Use weight as another program on the same address would; gives the status it would have got."""
        return self.gate.charge(self.settings.wall_clock(), weight).status

    def ban(self, seconds: float) -> None:
        """Answer everything with 418 for `seconds` from now."""
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
        if request.path.startswith(ARCHIVE_ROOT):
            return await self._serve_archive(request)
        self._requests += 1
        number, query = self._requests, dict(request.query)
        weight = rules.request_weight(request.path, query)
        decision = self.gate.charge(self.settings.wall_clock(), weight)
        place = self._note_arrival(request.path, weight, query, decision)
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
        headers = {USED_WEIGHT_HEADER: str(decision.used), SIMULATOR_HEADER: "1"}
        if decision.status != 200:
            return self._refuse_for_weight(decision.status, decision.retry_at_s, headers)
        override = self.settings.script and self.settings.script(request.path, query, number)
        if not override:
            fault = self.dice.fault_of_answer(is_klines=request.path == KLINES)
        elif override.fault is None:
            return _reply(override.status, override.body, {**headers, **override.headers})
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
                status, body = self._content(request, query, None)
                return await wire.cut_off(request, status, body, headers, self._random.random())
            case _:
                return self._refuse_at_will(fault.kind, headers)
        return None

    def _refuse_at_will(self, kind: str, headers: dict[str, str]) -> web.Response:
        match kind:
            case "html":
                return _reply(200, _HTML, headers, "text/html")
            case "403":
                return _reply(403, _FIREWALL, headers, "text/html")
            case "451":
                return _reply(451, _REGION, headers)
            case "429":
                return self._refuse_for_weight(429, self.settings.wall_clock() + 1, headers)
            case "418":
                self.ban(self.settings.ban_s)
                return self._refuse_for_weight(418, self.gate.banned_until_s, headers)
            case "5xx":
                status, body = self._random.choice(_SERVER_ERRORS)
                return _reply(status, body, headers)
        raise ValueError(f"a script asked for the unknown fault {kind!r}")

    def _refuse_for_weight(self, status: int, retry_at_s: float, headers: dict[str, str]) -> web.Response:
        if status == 429:
            refusal = rules.too_many_requests(self.settings.budget)
        else:
            refusal = rules.banned(math.ceil(retry_at_s * 1000))
        if self.settings.retry_after:
            seconds = math.ceil(retry_at_s - self.settings.wall_clock())
            headers = {**headers, "Retry-After": str(max(1, seconds))}
        return _reply(refusal.status, refusal.body, headers)

    def _true_answer(
        self, request: web.BaseRequest, query: Mapping[str, str], row_fault: Fault | None, headers: dict[str, str]
    ) -> web.Response:
        status, body = self._content(request, query, row_fault)
        return _reply(status, body, headers)

    def _content(
        self, request: web.BaseRequest, query: Mapping[str, str], row_fault: Fault | None
    ) -> tuple[int, bytes]:
        try:
            return 200, self._body(request, query, row_fault)
        except Refusal as refusal:
            return refusal.status, refusal.body

    def _body(self, request: web.BaseRequest, query: Mapping[str, str], row_fault: Fault | None) -> bytes:
        if request.method == "GET":
            match request.path:
                case rules.KLINES:
                    return self._klines(query, row_fault)
                case rules.EXCHANGE_INFO:
                    return self.market.exchange_info(self.settings.advertised or self.settings.budget)
                case rules.TIME:
                    return orjson.dumps({"serverTime": self.market.clock.now_ms()})
                case rules.PING:
                    return b"{}"
        raise rules.unknown_path(request.method, request.path)

    def _klines(self, query: Mapping[str, str], row_fault: Fault | None) -> bytes:
        asked = rules.read_klines_query(query)
        rows = self.market.klines(asked)
        self.stats.rows += len(rows)
        rows = self.dice.spoil(asked.symbol, rows, self.stats.faults)
        if row_fault is not None:
            rows = self.dice.spoil_once(asked.symbol, rows, row_fault, self.stats.faults)
        return b"[" + b",".join(rows) + b"]"

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
    # A connection that is gone needs no answer, but aiohttp wants one to drop.
    return web.Response() if response is None else response


def _reply(
    status: int, body: bytes, headers: Mapping[str, str], content_type: str = "application/json"
) -> web.Response:
    return web.Response(status=status, body=body, headers={"Content-Type": content_type, **headers})
