"""The simulated venue in a process of its own, with all its candles made before anybody asks.

It is the Simulator of `laklak simulate`, asked over stdin what it has seen: a line in, a line of JSON out.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
from typing import Any

from laklak.simulator import GeneratedSource, Simulator, SimulatorSettings, generate, parse_fault
from laklak.simulator.dialects.binance import KLINES
from laklak.simulator.rows import open_time_of
from laklak.simulator.sources.base import Instrument, RowTable


class Held:
    """A source whose rows are all in memory, so that the simulator is not what a peer waits for."""

    def __init__(self, source: GeneratedSource) -> None:
        self.symbols = source.symbols
        self.end_ms = source.end_ms
        self.recorded_listing = source.recorded_listing
        self._source = source
        self._tables = {symbol: _table(source, symbol) for symbol in source.symbols}

    def instrument(self, symbol: str) -> Instrument:
        return self._source.instrument(symbol)

    def oldest(self, symbol: str, start_ms: int, end_ms: int, limit: int) -> list[bytes]:
        return self._tables[symbol].oldest(start_ms, end_ms, limit)

    def newest(self, symbol: str, start_ms: int, end_ms: int, limit: int) -> list[bytes]:
        return self._tables[symbol].newest(start_ms, end_ms, limit)


def _table(source: GeneratedSource, symbol: str) -> RowTable:
    rows = source.oldest(symbol, source.start_ms, source.end_ms, 1 << 40)
    return RowTable([open_time_of(row) for row in rows], rows)


async def serve(spec: dict[str, Any]) -> None:
    """Serve until stdin ends. `spec`: symbols, days, budget, latency_s, faults as texts, whether rows are `held`."""
    source = generate(symbols=spec["symbols"], days=spec["days"])
    settings = SimulatorSettings(
        budget=spec["budget"],
        latency_s=spec["latency_s"],
        faults=[parse_fault(text) for text in spec["faults"]],
    )
    async with Simulator(Held(source) if spec["held"] else source, settings) as simulator:
        _say({"url": simulator.url})
        while await asyncio.to_thread(sys.stdin.readline):
            _say(_seen(simulator))


def _seen(simulator: Simulator) -> dict[str, Any]:
    """What happened since the last time."""
    stats = simulator.stats
    usage = resource.getrusage(resource.RUSAGE_SELF)
    seen = {
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "pages": stats.requests[KLINES],
        "refused": sum(stats.refusals.values()),
        "faults": dict(stats.faults),
        "most_weight_in_60s": stats.weight_in_any(60.0),
    }
    for counter in (stats.requests, stats.refusals, stats.faults):
        counter.clear()
    stats.hits.clear()
    return seen


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(f"{json.dumps(answer)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.stdin.readline())))
