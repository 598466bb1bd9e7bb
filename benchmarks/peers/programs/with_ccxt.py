"""ccxt, the asynchronous one: fetch_ohlcv for every page, and a sink behind it.

    https://docs.ccxt.com/#/README?id=ohlcv-candlestick-charts

Its own rate limit and retries are used (`enableRateLimit`, `maxRetriesOnFailure`).  What it calls an ExchangeError it
documents as not worth repeating, so such a page is given up and told.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import ccxt.async_support as ccxt
import influx
from work import TRIES, Kept, Meter, Order, Page, Tally, read_order

Take = Callable[[str, Sequence[Sequence[float]]], Awaitable[None]]


async def main(order: Order) -> None:
    tally, kept = Tally(), Kept(order.keep)
    exchange = ccxt.binanceusdm(
        {
            "enableRateLimit": order.limited,
            "options": {"maxRetriesOnFailure": TRIES, "maxRetriesOnFailureDelay": 1000},
        }
    )
    exchange.urls["api"]["fapiPublic"] = f"{order.url}/fapi/v1"
    try:
        await exchange.load_markets()
        names = {market["id"]: symbol for symbol, market in exchange.markets.items()}
        async with sink(order, tally, kept) as take:
            meter = Meter()
            await fetch(exchange, names, order, tally, take)
        meter.report(tally)
    finally:
        await exchange.close()
    kept.write()


async def fetch(exchange: ccxt.Exchange, names: dict[str, str], order: Order, tally: Tally, take: Take) -> None:
    pages = order.pages()

    async def work() -> None:
        for page in pages:
            try:
                rows = await ask(exchange, names[page.symbol], page, order.page)
            except ccxt.BaseError as exc:
                tally.give_up(page, exc)
                continue
            tally.rows += len(rows)
            await take(page.symbol, rows)

    async with asyncio.TaskGroup() as group:
        for _ in range(order.at_once):
            group.create_task(work())


async def ask(exchange: ccxt.Exchange, symbol: str, page: Page, limit: int) -> list[list[float]]:
    rows: list[list[float]] = await exchange.fetch_ohlcv(
        symbol, "1m", since=page.start_ms, limit=limit, params={"until": page.last_ms}
    )
    return rows


@asynccontextmanager
async def sink(order: Order, tally: Tally, kept: Kept) -> AsyncIterator[Take]:
    """What becomes of a page of rows; leaving it, everything is written."""

    async def keep(symbol: str, rows: Sequence[Sequence[float]]) -> None:
        kept.take(symbol, rows)

    if order.sink == "none":
        yield keep
    elif order.sink == "points":
        async with influx.client_async(order) as client:
            api = client.write_api()

            async def write(symbol: str, rows: Sequence[Sequence[float]]) -> None:
                await api.write(order.database, record=[influx.point(symbol, row) for row in rows])

            yield write
    elif order.sink == "batching":
        with influx.client(order) as client, influx.batching(client, tally) as api:

            async def hand_over(symbol: str, rows: Sequence[Sequence[float]]) -> None:
                api.write(order.database, record=[influx.point(symbol, row) for row in rows])

            yield hand_over
    else:
        raise ValueError(f"there is no sink {order.sink!r}")


if __name__ == "__main__":
    asyncio.run(main(read_order()))
