"""A small venue of its own that speaks klines, exchangeInfo, time and bulk files, and lies as it is told.

    with LyingVenue(clock="2026-03-03T12:00:30") as venue:
        venue.list("AAAUSDT", onboard="2026-02-28T08:00", first="2026-02-28T08:00")
        ... LAKLAK_BINANCE_URL=venue.url ... venue.asked("/fapi/v1/klines") ...

Unlike the simulator it says nothing about what it is, so it counts as a real venue, and no rule keeps it from saying
what no venue should. Its candles are made by `values`, the same for a minute at any time; longer intervals are joined.
"""

from __future__ import annotations

import hashlib
import io
import json
import threading
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

MINUTE_MS = 60_000
DAY_MS = 86_400_000
NEVER_MS = 4_133_404_800_000
KLINES = "/fapi/v1/klines"
LISTING = "/fapi/v1/exchangeInfo"
TIME = "/fapi/v1/time"
FILES = "/data/futures/um"
INTERVALS_MS = {
    "1m": 1, "3m": 3, "5m": 5, "15m": 15, "30m": 30, "1h": 60, "2h": 120, "4h": 240, "6h": 360, "8h": 480, "12h": 720,
    "1d": 1440,
}  # fmt: skip
HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)

Row = list[Any]


def ms(moment: str | int | None) -> int | None:
    """`2026-03-01T05:00`, UTC, as milliseconds; what is a number or None stays as it is."""
    if moment is None or isinstance(moment, int):
        return moment
    return int(datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp() * 1000)


def minutes(start: str | int, count: int) -> set[int]:
    """The open times of so many minutes."""
    first = ms(start)
    assert first is not None
    return {first + i * MINUTE_MS for i in range(count)}


def values(open_ms: int) -> tuple[float, float, float, float, float]:
    """The candle of a minute: (open, high, low, close, volume) as floats of the texts that are sent."""
    return _values_at(_price(open_ms))


def _price(open_ms: int) -> int:
    return 10_000 + open_ms // MINUTE_MS * 7919 % 1000


@cache
def _values_at(price: int) -> tuple[float, float, float, float, float]:
    return tuple(float(text) for text in _texts_at(price))  # type: ignore[return-value]


@cache
def _texts_at(price: int) -> tuple[str, str, str, str, str]:
    return (f"{price}.10", f"{price + 2}.50", f"{price - 1}.25", f"{price + 1}.00", f"{1 + price % 97}.125")


@dataclass
class Symbol:
    """What the venue has of a symbol (first_ms to last_ms, without holes) and what it says about it (entry).

    `listed`: it is in exchangeInfo. `refused`: the code that klines answer instead of rows. `file_holes`: minutes that
    only the files lack; `file_first_ms`: files begin there instead. `no_files`: periods (2026-03-01 or 2026-03) whose
    file is not there.
    """

    entry: dict[str, Any]
    first_ms: int
    last_ms: int | None = None
    holes: set[int] = field(default_factory=set)
    listed: bool = True
    refused: int | None = None
    file_holes: set[int] = field(default_factory=set)
    file_first_ms: int | None = None
    no_files: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Asked:
    """A request that came."""

    path: str
    query: dict[str, str]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever asked has gone: no trouble of ours."""


class LyingVenue:
    """See above. Every attribute may be changed while it runs; moments are ISO text or ms.

    `clock_ms` is its clock (it stands still). `klines_until_ms`: klines have nothing from there on, whatever the clock
    says. `tell_rows(symbol, query, rows)` changes the rows of an answer, `tell_listing(entries)` the body of
    exchangeInfo (an object), `tell(asked)` answers instead: (status, body). `file_rows(symbol, name, rows)` changes the
    rows of a file, `file_header` is its first line, if any. `with_files`: there are bulk files of days and months that
    are over; None as time needs, see `due`.
    """

    def __init__(self, clock: str | int) -> None:
        self.clock_ms = ms(clock) or 0
        self.klines_until_ms: int | None = None
        self.symbols: dict[str, Symbol] = {}
        self.hits: list[Asked] = []
        self.tell_rows: Callable[[str, dict[str, str], list[Row]], list[Any]] = lambda symbol, query, rows: rows
        self.tell_listing: Callable[[list[dict[str, Any]]], Any] = lambda entries: {
            "symbols": entries,
            "rateLimits": [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 60000}],
        }
        self.tell: Callable[[Asked], tuple[int, bytes] | None] = lambda asked: None
        self.file_rows: Callable[[str, str, list[Row]], list[Any]] | None = None
        self.file_header: str | None = HEADER
        self.with_files = True
        self.headers: dict[str, str] = {}

    def __enter__(self) -> Self:
        venue = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                status, body, content_type = venue._answer(self.path)
                self.send_response(status)
                for name, value in {"Content-Type": content_type, **venue.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None: ...

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def list(
        self,
        name: str,
        *,
        first: str | int,
        last: str | int | None = None,
        onboard: str | int | None = "2019-09-25T08:00",
        delivery: int | None = NEVER_MS,
        status: str = "TRADING",
        **more: Any,
    ) -> Symbol:
        """Trade a symbol: candles from `first` to `last` (the last one there is), said to be listed at `onboard`."""
        entry = {"symbol": name, "status": status, "onboardDate": ms(onboard), "deliveryDate": delivery}
        first_ms = ms(first)
        assert first_ms is not None
        self.symbols[name] = Symbol(
            {key: value for key, value in entry.items() if value is not None}, first_ms, ms(last), **more
        )
        return self.symbols[name]

    def asked(self, path: str = KLINES, symbol: str | None = None) -> list[Asked]:
        """What came for a path (a beginning of it), of one symbol if it is said."""
        return [
            hit
            for hit in self.hits
            if hit.path.startswith(path) and symbol in (None, hit.query.get("symbol"), _symbol_of_file(hit.path))
        ]

    def forget(self) -> None:
        """Begin to count anew."""
        self.hits.clear()

    def times(self, name: str, start: str | int, end: str | int) -> list[int]:
        """The minutes in [start, end) that the venue has by REST, closed ones."""
        start_ms, end_ms = ms(start), ms(end)
        assert start_ms is not None
        assert end_ms is not None
        symbol = self.symbols[name]
        first_ms = max(start_ms, symbol.first_ms)
        last_ms = min(end_ms, self.clock_ms // MINUTE_MS * MINUTE_MS, (symbol.last_ms or NEVER_MS) + MINUTE_MS)
        first_ms = -(-first_ms // MINUTE_MS) * MINUTE_MS
        return [time for time in range(first_ms, last_ms, MINUTE_MS) if time not in symbol.holes]

    # Answers

    def _answer(self, target: str) -> tuple[int, bytes, str]:
        parts = urlsplit(target)
        asked = Asked(parts.path, dict(parse_qsl(parts.query, keep_blank_values=True)))
        self.hits.append(asked)
        told = self.tell(asked)
        if told is not None:
            return *told, "application/json"
        if parts.path.startswith(FILES):
            return self._file(parts.path)
        if parts.path == TIME:
            return 200, json.dumps({"serverTime": self.clock_ms}).encode(), "application/json"
        if parts.path == LISTING:
            entries = [dict(symbol.entry) for symbol in self.symbols.values() if symbol.listed]
            return 200, json.dumps(self.tell_listing(entries)).encode(), "application/json"
        if parts.path == KLINES:
            return self._klines(asked.query)
        return 404, b'{"code":-5000,"msg":"Path is invalid"}', "application/json"

    def _klines(self, query: dict[str, str]) -> tuple[int, bytes, str]:
        name = query["symbol"]
        symbol = self.symbols.get(name)
        if symbol is None or symbol.refused is not None:
            code = -1121 if symbol is None else symbol.refused
            return 400, json.dumps({"code": code, "msg": "Invalid symbol."}).encode(), "application/json"
        step_ms = INTERVALS_MS[query["interval"]] * MINUTE_MS
        limit = int(query.get("limit", 500))
        until_ms = self.clock_ms if self.klines_until_ms is None else min(self.clock_ms, self.klines_until_ms - 1)
        end_ms = min(until_ms, int(query.get("endTime", until_ms)))
        times = _opens(symbol, step_ms, int(query.get("startTime", 0)), end_ms)
        chosen = list(times)[:limit] if "startTime" in query else list(times)[-limit:]
        rows = _rows(symbol, chosen, step_ms, self.clock_ms)
        return 200, json.dumps(self.tell_rows(name, query, rows)).encode(), "application/json"

    # Bulk files

    def _file(self, path: str) -> tuple[int, bytes, str]:
        whole = path.removesuffix(".CHECKSUM")
        name = unquote(whole.rsplit("/", 1)[1])
        body = self._zip(name.removesuffix(".zip"), whole.split("/")[4] == "monthly") if self.with_files else None
        if body is None:
            return 404, b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>", "application/xml"
        if path.endswith(".CHECKSUM"):
            return 200, f"{hashlib.sha256(body).hexdigest()}  {name}\n".encode(), "text/plain"
        return 200, body, "application/zip"

    def _zip(self, stem: str, monthly: bool) -> bytes | None:
        name, interval, period = stem.split("-", 2)
        symbol = self.symbols.get(name)
        start = datetime.fromisoformat(f"{period}-01" if monthly else period).replace(tzinfo=UTC)
        after = (start + timedelta(days=32)).replace(day=1) if monthly else start + timedelta(days=1)
        start_ms, after_ms = int(start.timestamp() * 1000), int(after.timestamp() * 1000)
        if symbol is None or period in symbol.no_files or after_ms > self.clock_ms:
            return None
        first_ms = symbol.first_ms if symbol.file_first_ms is None else symbol.file_first_ms
        last_ms = NEVER_MS if symbol.last_ms is None else symbol.last_ms
        holes = frozenset(time for time in symbol.file_holes if start_ms <= time < after_ms)
        step_ms = INTERVALS_MS[interval] * MINUTE_MS
        in_file = (max(first_ms, start_ms), min(last_ms, after_ms), holes, step_ms, start_ms, after_ms)
        if self.file_rows is None:
            csv = _csv(in_file, self.file_header)
        else:
            csv = _joined(self.file_rows(name, stem, _rows_of_file(*in_file)), self.file_header)
        return _packed(f"{stem}.csv", csv) if csv else None


def _opens(symbol: Symbol, step_ms: int, start_ms: int, end_ms: int) -> Iterable[int]:
    """The open times, both ends included, of candles that have a minute."""
    first_ms = max(-(-start_ms // step_ms) * step_ms, symbol.first_ms // step_ms * step_ms)
    last_ms = min(end_ms, NEVER_MS if symbol.last_ms is None else symbol.last_ms)
    if step_ms == MINUTE_MS:
        first_ms = max(first_ms, -(-symbol.first_ms // MINUTE_MS) * MINUTE_MS)
        return [time for time in range(first_ms, last_ms + 1, MINUTE_MS) if time not in symbol.holes]
    return range(first_ms, last_ms + 1, step_ms)


def _rows(symbol: Symbol, times: Iterable[int], step_ms: int, now_ms: int) -> list[Row]:
    """The candles of these open times as they are at a moment."""
    if step_ms == MINUTE_MS:
        return [
            [time, *_texts_at(_price(time)), time + MINUTE_MS - 1, "100.5", 1, "1.5", "50.25", "0"] for time in times
        ]
    return [row for time in times for row in [_longer_row(symbol, time, step_ms, now_ms)] if row]


def _longer_row(symbol: Symbol, open_ms: int, step_ms: int, now_ms: int) -> Row | None:
    """A candle as it is at a moment: of the minutes that it has begun and not left out."""
    first_ms = max(open_ms, -(-symbol.first_ms // MINUTE_MS) * MINUTE_MS)
    after_ms = min(open_ms + step_ms, now_ms + 1, NEVER_MS if symbol.last_ms is None else symbol.last_ms + 1)
    parts = [_texts_at(_price(time)) for time in range(first_ms, after_ms, MINUTE_MS) if time not in symbol.holes]
    if not parts:
        return None
    texts = (
        parts[0]
        if len(parts) == 1
        else [
            parts[0][0],
            max((part[1] for part in parts), key=float),
            min((part[2] for part in parts), key=float),
            parts[-1][3],
            f"{sum(float(part[4]) for part in parts):.3f}",
        ]
    )
    return [open_ms, *texts, open_ms + step_ms - 1, "100.5", len(parts), "1.5", "50.25", "0"]


InFile = tuple[int, int, frozenset[int], int, int, int]


def _rows_of_file(
    first_ms: int, last_ms: int, holes: frozenset[int], step_ms: int, start_ms: int, after_ms: int
) -> list[Row]:
    symbol = Symbol({}, first_ms, last_ms, set(holes))
    return _rows(symbol, _opens(symbol, step_ms, start_ms, after_ms - 1), step_ms, after_ms - 1)


@lru_cache(30)
def _csv(in_file: InFile, header: str | None) -> str:
    """What most tests ask for is the same month."""
    return _joined(_rows_of_file(*in_file), header)


def _joined(rows: list[Any], header: str | None) -> str:
    lines = [",".join(map(str, row)) for row in rows]
    return "\n".join([*([] if header is None else [header]), *lines]) + "\n" if rows else ""


@lru_cache(100)
def _packed(name: str, csv: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        # With a time of its own the file would differ from its checksum a moment later.
        archive.writestr(zipfile.ZipInfo(name), csv, zipfile.ZIP_DEFLATED, compresslevel=1)
    return packed.getvalue()


def _symbol_of_file(path: str) -> str | None:
    parts = path.split("/")
    return unquote(parts[6]) if path.startswith(FILES) and len(parts) > 6 else None
