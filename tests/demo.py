"""`make demo`: every venue that the simulator plays, filled side by side by `laklak backfill`, and all stopped again.

Candles are recorded ones where tests/recorded has days of them, made up elsewhere; it says which.  Its store, its log
and its state live under build/demo; LAKLAK_* and INFLUXDB_* of the caller are scrubbed, so that it can never touch a
real store.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

from laklak.model.series import iso
from laklak.simulator import CandleSource, Simulator, SimulatorSettings, generate, load_recorded
from laklak.simulator.dialects import DIALECTS

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "demo"
DAYS = 4
MADE_UP = 3
LATENCY_S = 0.05


def main() -> int:
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    return asyncio.run(fill_all())


async def fill_all() -> int:
    environment = clean_environment()
    sources = candles_of_venues()
    lines = []
    async with AsyncExitStack() as running:
        for venue, (source, kind) in sources.items():
            settings = SimulatorSettings.of(DIALECTS[venue], latency_s=LATENCY_S, record_hits=False)
            simulator = await running.enter_async_context(Simulator(source, settings))
            say(f"{venue} at {simulator.url}: {kind} candles of {', '.join(source.symbols)} until {iso(source.end_ms)}")
            environment[f"LAKLAK_{venue.upper()}_URL"] = simulator.url
            if settings.dialect.archive_root is not None:
                environment[f"LAKLAK_{venue.upper()}_ARCHIVE_URL"] = simulator.url
            lines += [f"{symbol} {venue}\n" for symbol in source.symbols]
        (FOLDER / "assets.txt").write_text("".join(lines))
        fill = ["backfill", "--days", str(DAYS), "--store", "demo.db"]
        status = await laklak(fill, environment)
        if status == 0:
            say("the same again: the store has it all, no candle is asked for")
            status = await laklak(fill, environment)
        if status == 0:
            shown = sources["binance"][0].symbols[-1]
            status = await laklak(["show", f"binance:{shown}:1m", "--store", "demo.db"], environment)
    say(f"the simulators are stopped; the candles are in {(FOLDER / 'demo.db').relative_to(ROOT)}")
    return status


def clean_environment() -> dict[str, str]:
    unwanted = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LAKLAK_", "INFLUXDB_", "INFLUX_")) and name not in unwanted
    }
    return kept | {"XDG_CONFIG_HOME": str(FOLDER / "config"), "LAKLAK_STATE_DIR": str(FOLDER / "state")}


def candles_of_venues() -> Mapping[str, tuple[CandleSource, str]]:
    """What each venue serves, and what kind of candles these are.

    Made-up ones end with Binance's recorded ones, so that those venues' clocks agree.
    """
    recorded = {
        venue: load_recorded(folder)
        for venue in DIALECTS
        if any((folder := ROOT / "tests" / "recorded" / venue).glob("*-1m-*.csv.gz"))
    }
    end_ms = recorded["binance"].end_ms
    return {
        venue: (recorded[venue], "recorded")
        if venue in recorded
        else (generate(symbols=len(one.names) or MADE_UP, days=DAYS, end_ms=end_ms, names=one.names), "made-up")
        for venue, one in DIALECTS.items()
    }


async def laklak(words: list[str], environment: Mapping[str, str]) -> int:
    say(f"$ laklak {' '.join(words)}")
    child = await asyncio.create_subprocess_exec(sys.executable, "-m", "laklak", *words, cwd=FOLDER, env=environment)
    return await child.wait()


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
