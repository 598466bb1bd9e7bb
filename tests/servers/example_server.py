"""The other end of tests/venues/example_venue.py: small, and strict about everything it is asked.

with ExampleServer("2026-03-03T12:00:30") as server:
    server.list("BTC-USDT", first="2026-03-01T07:13")
    ... server.url ... server.asked("/v1/candles") ...
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import lru_cache
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from lying_venue import MINUTE_MS, minutes, ms, values

PERIODS_MS = {"1min": MINUTE_MS, "60min": 60 * MINUTE_MS, "1day": 1440 * MINUTE_MS}
LISTED_AT_ONCE = 2
MOST = 200

Row = list[Any]
__all__ = ["MINUTE_MS", "ExampleServer", "minutes", "ms", "values"]


@dataclass
class Life:
    """Of what time a symbol has candles: minutes in [first_ms, last_ms] but for holes."""

    first_ms: int
    last_ms: int | None
    state: str
    holes: set[int] = field(default_factory=set)


class ExampleServer:
    """See above. `clock_ms` stands still, and shows in Date. Everything may be changed while it runs.

    `errors`: what the next requests are answered, (status, code) each. `tell_rows` changes the rows of an answer.
    `reach_ms`: older candles are refused. `most`: an answer has so many rows, the oldest or (`keeps_newest`) the newest
    of what was asked for, and does not say so. `date`: whether there is a Date.
    """

    def __init__(self, clock: str) -> None:
        self.clock_ms = ms(clock) or 0
        self.symbols: dict[str, Life] = {}
        self.hits: list[tuple[str, dict[str, str]]] = []
        self.errors: list[tuple[int, int]] = []
        self.tell_rows: Callable[[dict[str, str], list[Row]], list[Any]] = lambda query, rows: rows
        self.reach_ms: int | None = None
        self.most = MOST
        self.keeps_newest = False
        self.date = True
        self.url = ""

    def list(self, name: str, *, first: str, last: str | None = None, state: str = "live", **more: Any) -> Life:
        self.symbols[name] = Life(ms(first) or 0, ms(last), state, **more)
        return self.symbols[name]

    def asked(self, path: str) -> list[dict[str, str]]:
        return [query for one, query in self.hits if one == path]

    def times(self, name: str, start: str, end: str) -> list[int]:
        """The minutes in [start, end) that there are and that have closed two seconds ago."""
        life = self.symbols[name]
        first, after = (
            max(ms(start) or 0, life.first_ms),
            min(ms(end) or 0, (self.clock_ms - 2000) // MINUTE_MS * MINUTE_MS),
        )
        return [time for time in self._minutes(life, first, after - 1)]

    # Answers

    async def _answer(self, request: web.Request) -> web.Response:
        query = dict(request.query)
        self.hits.append((request.path, query))
        status, body = self.errors.pop(0) if self.errors else (200, 0), None
        (status, code) = status
        if not code and status == 200:
            if request.headers.get("X-Site") != "7" or request.method != "GET":
                status, code = 403, 1403
            elif request.path == "/v1/instruments" and set(query) <= {"cursor"}:
                body = self._instruments(int(query.get("cursor", "0")))
            elif request.path == "/v1/candles" and set(query) == {"symbol", "period", "from", "to", "limit"}:
                code, body = self._candles(query)
            else:
                status, code = 404, 1404
        shown = {"code": code, "msg": "ok" if code == 0 else f"error {code}", "data": body}
        response = web.json_response(shown, status=status)
        response.headers["Date"] = formatdate(self.clock_ms // 1000, usegmt=True) if self.date else "today"
        return response

    def _instruments(self, start: int) -> dict[str, Any]:
        entries = [
            {"symbol": name, "state": life.state, "quote": name.rpartition("-")[2]}
            for name, life in self.symbols.items()
        ]
        after = start + LISTED_AT_ONCE
        return {"list": entries[start:after], "cursor": str(after) if after < len(entries) else ""}

    def _candles(self, query: dict[str, str]) -> tuple[int, Any]:
        life = self.symbols.get(query["symbol"])
        if life is None:
            return 1001, None
        step_ms, limit = PERIODS_MS[query["period"]], int(query["limit"])
        start_ms, last_ms = int(query["from"]) * 1000, int(query["to"]) * 1000
        if not 0 < limit <= MOST or start_ms % step_ms or last_ms % step_ms or (last_ms - start_ms) // step_ms >= limit:
            return 1400, None
        if self.reach_ms is not None and start_ms < self.clock_ms - self.reach_ms:
            return 1002, None
        rows = [self._row(life, time, step_ms) for time in range(start_ms, last_ms + 1, step_ms)]
        kept = [row for row in rows if row]
        kept = kept[-self.most :] if self.keeps_newest else kept[: self.most]
        return 0, self.tell_rows(query, kept[::-1])

    def _row(self, life: Life, open_ms: int, step_ms: int) -> Row | None:
        first_ms, last_ms = self._span(life, open_ms, open_ms + step_ms - 1)
        row = _row_of(open_ms, first_ms, last_ms, frozenset(time for time in life.holes if first_ms <= time <= last_ms))
        return row and list(row)

    def _minutes(self, life: Life, start_ms: int, last_ms: int) -> list[int]:
        """The minutes of a life that open from `start_ms` to `last_ms`, the forming one too."""
        first_ms, last_ms = self._span(life, start_ms, last_ms)
        return [time for time in range(first_ms, last_ms + 1, MINUTE_MS) if time not in life.holes]

    def _span(self, life: Life, start_ms: int, last_ms: int) -> tuple[int, int]:
        last_ms = min(last_ms, self.clock_ms, life.last_ms if life.last_ms is not None else self.clock_ms)
        return -(-max(start_ms, life.first_ms) // MINUTE_MS) * MINUTE_MS, last_ms

    # A thread with a loop of its own

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(20)
        return self

    async def _start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@lru_cache(10_000)
def _row_of(open_ms: int, first_ms: int, last_ms: int, holes: frozenset[int]) -> tuple[Any, ...] | None:
    """The candle of the minutes in [first_ms, last_ms] but for holes."""
    parts = [values(time) for time in range(first_ms, last_ms + 1, MINUTE_MS) if time not in holes]
    if not parts:
        return None
    opens, highs, lows, closes, volumes = zip(*parts, strict=True)
    cells = (opens[0], closes[-1], max(highs), min(lows), sum(volumes))
    return (open_ms // 1000, *(f"{cell:.3f}" for cell in cells))
