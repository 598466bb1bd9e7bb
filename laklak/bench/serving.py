"""The simulator in its own process, every answer made before the measurement.

It reports its own CPU: if it used less than laklak did, laklak did not wait for it.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from collections.abc import Mapping
from typing import Any, Final

import aiohttp
from yarl import URL

from laklak.bench.workload import Workload
from laklak.simulator import Override, Simulator, SimulatorSettings
from laklak.simulator.dialects.binance import KLINES

_CACHE_BYTES: Final = 8 << 30
_Key = tuple[str | None, ...]


class Pages:
    """The bodies of all REST answers of the workload; other requests are answered as usual."""

    def __init__(self) -> None:
        self._bodies: dict[_Key, Override] = {}
        self.bytes = 0
        self.served = 0

    def prepare(self, simulator: Simulator, workload: Workload) -> None:
        dialect, market = simulator.settings.dialect, simulator.market
        for request in workload.requests():
            query = dict(request.query)
            asked = dialect.read_candles(KLINES, query)
            body = dialect.candles(asked, market.candles(asked), market.clock.now_ms())
            headers = {"Content-Type": "application/json"}
            self._bodies[_key(query)] = Override(200, headers, body)
            self.bytes += len(body)

    def answer(self, path: str, query: Mapping[str, str], _number: int) -> Override | None:
        found = self._bodies.get(_key(query)) if path == KLINES else None
        self.served += found is not None
        return found


def _key(query: Mapping[str, str]) -> _Key:
    return tuple(query.get(name) for name in ("symbol", "interval", "startTime", "endTime", "limit"))


async def serve(spec: dict[str, Any]) -> None:
    """Serve until stdin ends; answer each line with the figures so far.

    `spec`: workload, budget, and whether all answers are `prepared`.
    """
    workload, prepared = Workload.of(spec["workload"]), bool(spec["prepared"])
    pages = Pages()
    settings = SimulatorSettings(
        budget=spec["budget"],
        script=pages.answer,
        record_hits=not prepared,
        archive_cache_bytes=_CACHE_BYTES,
    )
    simulator = Simulator(workload.source(), settings)
    if prepared:
        pages.prepare(simulator, workload)
    async with simulator:
        if prepared:
            await _prepare_files(simulator, workload)
        _say({"url": simulator.url, "page_bytes": pages.bytes, "file_bytes": simulator.stats.archive_bytes})
        # A thread waits for the next line; the input ends when the parent process is gone.
        while await asyncio.to_thread(sys.stdin.readline):
            _say(_used(simulator, pages))


async def _prepare_files(simulator: Simulator, workload: Workload) -> None:
    """Request every file of the workload once: the simulator caches what it makes."""
    async with aiohttp.ClientSession() as session:
        for path, _checksum_path in workload.files():
            url = URL(simulator.url).joinpath(path.lstrip("/"), encoded=True)
            async with session.get(url) as response:
                await response.read()
                response.raise_for_status()


def _used(simulator: Simulator, pages: Pages) -> dict[str, Any]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    stats = simulator.stats
    return {
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "weight": stats.weight,
        "refused": sum(stats.refusals.values()),
        "most_weight_in_60s": stats.weight_in_any(60.0),
        "pages_asked": stats.requests[KLINES],
        "pages_prepared": pages.served,
    }


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(f"{json.dumps(answer)}\n")
    sys.stdout.flush()
