"""requests, pandas and influxdb-client, as home-made guides put them together: one request after the other.

A session with urllib3's retries, as the documentation of requests shows; what these do not cover (a body that is cut
off) is tried again by us.  Each page becomes a DataFrame, and its rows Points (`points`) or the frame itself goes to
the client (`frames`).  With a limit it sleeps so long after each page that the documented weight is not exceeded.
"""

from __future__ import annotations

import time
from typing import Any

import influx
import pandas as pd
import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry
from work import MINUTE_MS, PAUSE_S, TRIES, Meter, Order, Page, Tally, read_order

COLUMNS = [
    "open_time",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "close_time",
    "quote_volume",
    "trades",
    "taker_base",
    "taker_quote",
    "ignored",
]
NUMBERS = COLUMNS[1:6]
TAGS = ["exchange", "symbol", "timeframe"]
WEIGHT_A_SECOND = 2400 / 60


def main(order: Order) -> None:
    tally = Tally()
    retries = Retry(total=TRIES, backoff_factor=0.5, status_forcelist=[429, 500, 502, 503, 504])
    with requests.Session() as session, influx.client(order) as client:
        session.mount("http://", HTTPAdapter(max_retries=retries))
        api = influx.synchronous(client) if order.sink == "points" else influx.batching(client, tally)
        write = write_points if order.sink == "points" else write_frame
        meter = Meter()
        with api:
            for symbol in order.symbols:
                for frame in frames(session, symbol, order, tally):
                    tally.rows += len(frame)
                    write(api, order, symbol, frame)
        meter.report(tally)


def frames(session: requests.Session, symbol: str, order: Order, tally: Tally) -> Any:
    """Pages from the first to the last: the next one begins after the last row of the one before."""
    start_ms = order.start_ms
    while start_ms < order.end_ms:
        page = Page(symbol, start_ms, order.end_ms - MINUTE_MS)
        rows = ask(session, order, page, tally)
        if not rows:
            return
        start_ms = rows[-1][0] + MINUTE_MS
        yield framed(rows)
        if order.limited:
            weight = 5 if order.page <= 1000 else 10
            time.sleep(weight / WEIGHT_A_SECOND)


def ask(session: requests.Session, order: Order, page: Page, tally: Tally) -> list[Any]:
    query = {
        "symbol": page.symbol,
        "interval": "1m",
        "startTime": page.start_ms,
        "endTime": page.last_ms,
        "limit": order.page,
    }
    for number in range(1, TRIES + 1):
        try:
            response = session.get(f"{order.url}/fapi/v1/klines", params=query, timeout=10)
            response.raise_for_status()
            rows: list[Any] = response.json()
            return rows
        except requests.RequestException as exc:
            if number == TRIES:
                tally.give_up(page, exc)
            else:
                time.sleep(PAUSE_S)
    return []


def framed(rows: list[Any]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=COLUMNS)
    frame[NUMBERS] = frame[NUMBERS].astype(float)
    frame["open_time"] = pd.to_datetime(frame["open_time"], unit="ms", utc=True)
    return frame[["open_time", *NUMBERS]]


def write_points(api: Any, order: Order, symbol: str, frame: pd.DataFrame) -> None:
    api.write(order.database, record=[influx.point(symbol, row) for row in frame.itertuples(index=False)])


def write_frame(api: Any, order: Order, symbol: str, frame: pd.DataFrame) -> None:
    frame = frame.set_index("open_time")
    frame[TAGS] = ["binance", symbol, "1m"]
    api.write(
        order.database,
        record=frame,
        data_frame_measurement_name=influx.MEASUREMENT,
        data_frame_tag_columns=TAGS,
        write_precision="ms",
    )


if __name__ == "__main__":
    main(read_order())
