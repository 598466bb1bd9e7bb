"""`make demo`: the simulator on recorded candles, `laklak backfill`, `laklak show`, and everything stopped again.

Its store, its log and its state live under build/demo; LAKLAK_* and INFLUXDB_* of the caller are scrubbed, so that it
can never touch a real store.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "demo"
LAKLAK = [sys.executable, "-m", "laklak"]


def main() -> int:
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("LAKLAK_", "INFLUXDB_", "INFLUX_"))
    } | {"XDG_CONFIG_HOME": str(FOLDER / "config"), "LAKLAK_STATE_DIR": str(FOLDER / "state")}
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        environment.pop(name, None)

    recorded = ROOT / "tests" / "recorded" / "binance"
    simulator = subprocess.Popen(
        [*LAKLAK, "simulate", "--recorded", str(recorded), "--port", "0", "--latency", "0.05"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
    try:
        assert simulator.stdout is not None
        url = simulator.stdout.readline().strip().removeprefix("simulator: ")
        if not url.startswith("http"):
            say("the simulator did not start")
            return 1
        say(f"a local Binance with real candles of February 2026, and its bulk files, runs at {url}")
        environment |= {"LAKLAK_BINANCE_URL": url, "LAKLAK_BINANCE_ARCHIVE_URL": url}
        symbols = sorted({path.name.split("-1m-")[0] for path in recorded.glob("*-1m-*.csv.gz")})
        fill = ["backfill", *symbols, "--days", "4", "--store", "demo.db"]
        status = laklak(fill, environment)
        if status == 0:
            say("the same again: the store has it all, no candle is asked for")
            status = laklak(fill, environment)
        if status == 0:
            status = laklak(["show", f"binance:{symbols[-1]}:1m", "--store", "demo.db"], environment)
    finally:
        simulator.terminate()
        simulator.wait(10)
    say(f"the simulator is stopped; the candles are in {(FOLDER / 'demo.db').relative_to(ROOT)}")
    return status


def laklak(words: list[str], environment: dict[str, str]) -> int:
    say(f"$ laklak {' '.join(words)}")
    return subprocess.call([*LAKLAK, *words], cwd=FOLDER, env=environment)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
