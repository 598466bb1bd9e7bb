"""python-binance, the asynchronous one: futures_klines for every page.

    https://python-binance.readthedocs.io/en/latest/

It has no rate limit and no retries.  Without a limit its pages are fetched side by side; with one,
futures_historical_klines is used, which pages by itself and sleeps a second after every third page ("to be kind to
the API").  A page that fails is tried again by us, three times in all.  Rows stay the lists of texts that it gives.
"""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
from binance import AsyncClient
from binance.exceptions import BinanceAPIException, BinanceRequestException
from work import MINUTE_MS, PAUSE_S, TRIES, Kept, Meter, Order, Page, Tally, read_order

ERRORS = (BinanceAPIException, BinanceRequestException, aiohttp.ClientError, TimeoutError)


async def main(order: Order) -> None:
    tally, kept = Tally(), Kept(order.keep)
    # AsyncClient.create would ask the spot venue, which the simulator is not.
    client = AsyncClient()
    client.FUTURES_URL = f"{order.url}/fapi"
    try:
        meter = Meter()
        await (one_by_one if order.limited else side_by_side)(client, order, tally, kept)
        meter.report(tally)
    finally:
        await client.close_connection()
    kept.write()


async def side_by_side(client: AsyncClient, order: Order, tally: Tally, kept: Kept) -> None:
    pages = order.pages()

    async def work() -> None:
        for page in pages:
            rows = await again(page, tally, lambda page=page: ask(client, page, order.page))
            tally.rows += len(rows)
            kept.take(page.symbol, rows)

    async with asyncio.TaskGroup() as group:
        for _ in range(order.at_once):
            group.create_task(work())


async def one_by_one(client: AsyncClient, order: Order, tally: Tally, kept: Kept) -> None:
    for symbol in order.symbols:
        whole = Page(symbol, order.start_ms, order.end_ms - MINUTE_MS)

        async def ask_all(whole: Page = whole) -> list[Any]:
            # Its `limit` would cut the whole answer; without one it pages by 1000.
            rows: list[Any] = await client.futures_historical_klines(whole.symbol, "1m", whole.start_ms, whole.last_ms)
            return rows

        rows = await again(whole, tally, ask_all)
        tally.rows += len(rows)
        kept.take(symbol, rows)


async def ask(client: AsyncClient, page: Page, limit: int) -> list[Any]:
    rows: list[Any] = await client.futures_klines(
        symbol=page.symbol, interval="1m", startTime=page.start_ms, endTime=page.last_ms, limit=limit
    )
    return rows


async def again(page: Page, tally: Tally, call: Any) -> list[Any]:
    """Try as often as `TRIES` says; nothing, and a note of it, when all of them fail."""
    for number in range(1, TRIES + 1):
        try:
            rows: list[Any] = await call()
            return rows
        except ERRORS as exc:
            if number == TRIES:
                tally.give_up(page, exc)
            else:
                await asyncio.sleep(PAUSE_S)
    return []


if __name__ == "__main__":
    asyncio.run(main(read_order()))
