"""Who is compared: how each is started, where its rows are afterwards, and what is worth knowing about it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from laklak.model.series import DAY_MS, iso

PROGRAMS = Path(__file__).resolve().parent / "programs"
MINUTE_MS = 60_000
PAGE = 1000
AT_ONCE = 16
"""Requests at once where a peer lets one choose: what laklak has by default."""

Kind = Literal["kept", "influxdb", "sqlite", "feather"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """`needs`: the package that must be there. `kind`: where its rows end up. `program`: None for a command."""

    name: str
    does: str
    needs: str
    kind: Kind
    program: str | None = None
    sink: str = "none"

    @property
    def is_command(self) -> bool:
        """Whether it is a program of its own, whose start is measured apart and taken off."""
        return self.program is None


PEERS: tuple[Peer, ...] = (
    Peer(name="laklak, SQLite", does="stores and checks", needs="laklak", kind="sqlite"),
    Peer(name="laklak, InfluxDB", does="stores and checks", needs="laklak", kind="influxdb"),
    Peer(name="python-binance", does="texts in memory", needs="python-binance", kind="kept",
         program="with_python_binance.py"),
    Peer(name="ccxt", does="floats in memory", needs="ccxt", kind="kept", program="with_ccxt.py"),
    Peer(name="freqtrade download-data", does="stores in feather files", needs="freqtrade", kind="feather",
         program="with_freqtrade.py"),
    Peer(name="ccxt + Points, async client", does="stores in InfluxDB", needs="ccxt", kind="influxdb",
         program="with_ccxt.py", sink="points"),
    Peer(name="ccxt + Points, batching WriteApi", does="stores in InfluxDB", needs="ccxt", kind="influxdb",
         program="with_ccxt.py", sink="batching"),
    Peer(name="requests + pandas + Points", does="stores in InfluxDB", needs="influxdb-client", kind="influxdb",
         program="with_requests.py", sink="points"),
    Peer(name="requests + pandas, DataFrame to batching WriteApi", does="stores in InfluxDB", needs="influxdb-client",
         kind="influxdb", program="with_requests.py", sink="frames"),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One run: which candles from which simulator, into what.

    `folder` is the run's own, empty when it begins. `keep`: for checking, where rows are only held in memory. `warm`:
    a small run may come first, in the same process.
    """

    url: str
    symbols: Sequence[str]
    start_ms: int
    end_ms: int
    folder: Path
    limited: bool = False
    keep: bool = False
    warm: bool = False
    influxdb: str = ""
    database: str = ""

    @property
    def candles(self) -> int:
        return len(self.symbols) * (self.end_ms - self.start_ms) // MINUTE_MS

    @property
    def kept(self) -> Path:
        return self.folder / "rows.bin"


def program_order(peer: Peer, task: Task) -> str:
    """What one of our programs is told; see programs/work.py and programs/with_freqtrade.py."""
    if peer.needs == "freqtrade":
        return freqtrade_order(task)
    order = {
        "url": task.url,
        "symbols": list(task.symbols),
        "start_ms": task.start_ms,
        "end_ms": task.end_ms,
        "page": PAGE,
        "at_once": AT_ONCE,
        "limited": task.limited,
        "sink": peer.sink,
        "keep": str(task.kept) if task.keep and peer.kind == "kept" else None,
        "influxdb": task.influxdb,
        "database": task.database,
    }
    return json.dumps(order)


def laklak_arguments(task: Task) -> list[str]:
    """laklak as its README starts it; all of the budget, as the other ones have it."""
    span = ["--start", iso(task.start_ms), "--end", iso(task.end_ms)]
    modes = ["--source", "rest", "--budget", "max", "--json", "--quiet", "--log-file", "none"]
    return ["backfill", *task.symbols, *span, *modes]


def laklak_environment(peer: Peer, task: Task) -> dict[str, str]:
    server = task.influxdb.removeprefix("http://")
    store = f"influxdb://{server}/{task.database}" if peer.kind == "influxdb" else sqlite_file(task)
    return {"LAKLAK_STORE": store, "LAKLAK_BINANCE_URL": task.url, "LAKLAK_BINANCE_ARCHIVE_URL": task.url}


def sqlite_file(task: Task) -> str:
    return str(task.folder / "candles.db")


def freqtrade_order(task: Task) -> str:
    """`download-data` with its candles of futures only, and a configuration that leads to the simulator."""
    (task.folder / "config.json").write_text(json.dumps(_freqtrade_config(task)))
    whole = _freqtrade_arguments(task.folder, task, task.symbols, task.start_ms)
    first = None
    if task.warm:
        folder = task.folder / "first"
        folder.mkdir()
        first = _freqtrade_arguments(folder, task, task.symbols[:1], task.end_ms - DAY_MS)
    return json.dumps({"first": first, "arguments": whole, "candles": task.candles})


def _freqtrade_arguments(folder: Path, task: Task, symbols: Sequence[str], start_ms: int) -> list[str]:
    pairs = [f"{symbol.removesuffix('USDT')}/USDT:USDT" for symbol in symbols]
    return [
        "download-data", "--config", str(task.folder / "config.json"), "--userdir", str(folder), "--no-color",
        # Seconds since 1970; the end is excluded.
        "--pairs", *pairs, "--timeframes", "1m", "--timerange", f"{start_ms // 1000}-{task.end_ms // 1000}",
        "--trading-mode", "futures", "--candle-types", "futures",
    ]  # fmt: skip


def freqtrade_folder(task: Task) -> Path:
    return task.folder / "data" / "binance" / "futures"


def _freqtrade_config(task: Task) -> dict[str, Any]:
    paths = {"fapiPublic": "v1", "fapiPublicV2": "v2", "fapiPublicV3": "v3"}
    ccxt = {
        "enableRateLimit": task.limited,
        # The simulator is the futures venue alone, and freqtrade would ask others too.
        "options": {"fetchMarkets": {"types": ["linear"]}},
        "urls": {"api": {name: f"{task.url}/fapi/{path}" for name, path in paths.items()}},
    }
    return {
        "dry_run": True,
        "stake_currency": "USDT",
        "trading_mode": "futures",
        "margin_mode": "isolated",
        "pairlists": [{"method": "StaticPairList"}],
        # Its bulk download has the real address written into it, so that it can only be measured over REST.
        "exchange": {"name": "binance", "only_from_ccxt": True, "ccxt_config": ccxt, "pair_whitelist": []},
    }
