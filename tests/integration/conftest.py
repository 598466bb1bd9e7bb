"""The whole program against a venue on a socket: the simulator in a thread, the program in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import gzip
import json
import logging
import os
import select
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from forked import ForkedProgram, ForkServer
from influxd import Influxd
from lying_venue import LyingVenue
from summary_keys import SUMMARY_KEYS

from laklak.model.findings import Checkup
from laklak.order import check
from laklak.settings import spec
from laklak.settings.load import load_settings
from laklak.simulator import CandleSource, Hit, RecordedSource, Simulator, SimulatorSettings, load_recorded
from laklak.simulator.dialects import DIALECTS
from laklak.simulator.dialects.binance import KLINES
from laklak.venues import VENUES
from laklak.venues.binance import Binance

T = TypeVar("T")
Candle = tuple[float, float, float, float, float]

RECORDED = Path(__file__).parents[1] / "recorded" / "binance"
MINUTE_MS = 60_000
END_MS = 1_772_323_200_000  # 2026-03-01T00:00Z, where the recording ends; the venue's clock stands 5 s later


class Venue:
    """A simulator that runs in a thread with a loop of its own."""

    def __init__(self, source: CandleSource, settings: SimulatorSettings) -> None:
        self.source = source
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="venue")
        self._thread.start()
        try:
            self.simulator = Simulator(source, settings)
            self.do(self.simulator.__aenter__())
        except BaseException:
            self._end()
            raise

    @property
    def url(self) -> str:
        return self.simulator.url

    @property
    def hits(self) -> list[Hit]:
        """Every request so far."""
        return list(self.simulator.stats.hits)

    @property
    def candle_hits(self) -> list[Hit]:
        return [hit for hit in self.hits if hit.path == KLINES]

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def change(self, symbol: str, **changes: Any) -> None:
        """Change the symbol's override from now on."""

        async def change() -> None:
            self.simulator.market.change(symbol, **changes)

        self.do(change())

    def ban(self, seconds: float) -> None:
        async def ban() -> None:
            self.simulator.ban(seconds)

        self.do(ban())

    def wait_for_hits(self, timeout_s: float = 60) -> None:
        """Until any request has arrived."""
        deadline = time.monotonic() + timeout_s
        while not self.hits:
            assert time.monotonic() < deadline, "no request arrived"
            time.sleep(0.005)

    def wait_for_candle_hits(self, count: int, timeout_s: float = 60) -> None:
        """Until so many candle requests have arrived."""
        deadline = time.monotonic() + timeout_s
        while self.simulator.stats.requests[KLINES] < count:
            assert time.monotonic() < deadline, f"only {self.simulator.stats.requests[KLINES]} candle requests arrived"
            time.sleep(0.005)

    def close(self) -> None:
        self.do(self.simulator.__aexit__(None, None, None))
        self._end()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        self._loop.close()


@pytest.fixture(scope="session")
def recorded() -> RecordedSource:
    """Seven real symbols, four days: 2026-02-25 to 2026-02-28."""
    return load_recorded(RECORDED)


@pytest.fixture
def venue(recorded: RecordedSource, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Venue]]:
    """Start a venue: `venue(source, **settings)`. The settings of every program started later point to the newest."""
    running: list[Venue] = []

    def start(source: CandleSource | None = None, **settings: Any) -> Venue:
        # A generous budget, of which everything is used: pacing has tests of its own.
        one = Venue(source or recorded, SimulatorSettings(**{"budget": 60_000, **settings}))
        running.append(one)
        monkeypatch.setenv("LAKLAK_BINANCE_URL", one.url)
        monkeypatch.setenv("LAKLAK_BINANCE_BUDGET", "max")
        return one

    yield start
    for one in running:
        one.close()


@pytest.fixture
def beside(recorded: RecordedSource, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Venue]]:
    """Start another venue beside the first one, Binance by another name: `beside("bybit", source, **settings)`.

    With `url` nothing is started: the venue is there, or not. It is asked for 60 candles at once.
    """
    running: list[Venue] = []

    def start(
        name: str, source: CandleSource | None = None, *, url: str | None = None, **settings: Any
    ) -> Venue | None:
        monkeypatch.setitem(VENUES, name, type(name.title(), (Binance,), {"name": name})())
        for key, value in spec._venue_specs().items():
            monkeypatch.setitem(spec.SPECS, key, value)
        monkeypatch.setenv(f"LAKLAK_{name.upper()}_BUDGET", "max")
        monkeypatch.setenv(f"LAKLAK_{name.upper()}_CHUNK", "60")
        one = None
        if url is None:
            one = Venue(source or recorded, SimulatorSettings(**{"budget": 60_000, **settings}))
            running.append(one)
        monkeypatch.setenv(f"LAKLAK_{name.upper()}_URL", url or (one.url if one else ""))
        return one

    yield start
    for one in running:
        one.close()


@pytest.fixture
def unpaced(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], dict[str, int]]:
    """Let a venue take a hundredfold, for tests of what is stored and not of its pace: `unpaced("deribit")` gives the
    settings of a simulator that does.
    """

    def let(name: str) -> dict[str, int]:
        more = {
            quota: replace(one, units=one.units * 100, burst=None if one.burst is None else one.burst * 100)
            for quota, one in VENUES[name].quotas.items()
        }
        # An attribute that only its class has would stay with it, and hide what is changed of the class later.
        monkeypatch.setitem(vars(VENUES[name]), "quotas", more)
        return {"budget": DIALECTS[name].budget * 100}

    return let


@pytest.fixture
def archive(venue: Callable[..., Venue], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Venue]:
    """Start a venue whose bulk files are asked too: `archive(source, **settings)`."""

    def start(source: CandleSource | None = None, **settings: Any) -> Venue:
        one = venue(source, **settings)
        monkeypatch.setenv("LAKLAK_BINANCE_ARCHIVE_URL", one.url)
        return one

    return start


@dataclass(frozen=True)
class Ended:
    """A program that has ended."""

    exit: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one object on stdout."""
        answer = json.loads(self.out)
        assert isinstance(answer, dict)
        return answer

    def lines(self, kind: str) -> list[str]:
        """The `error:`, `warning:` or `hint:` lines, without that word."""
        return [line.removeprefix(f"{kind}: ") for line in self.err.splitlines() if line.startswith(f"{kind}: ")]


@dataclass
class Program:
    """Starts laklak as people do: a process with arguments, an environment and a working folder."""

    fork_server: ForkServer
    running: list[ForkedProgram | subprocess.Popen[str]] = field(default_factory=list)
    _said: dict[int, str] = field(default_factory=dict)

    def __call__(self, *words: str | Path, timeout_s: float = 100, first: str = "", **environment: str) -> Ended:
        return self.wait(self.start(*words, first=first, **environment), timeout_s=timeout_s)

    def start(
        self, *words: str | Path, first: str = "", fresh: bool = False, **environment: str
    ) -> ForkedProgram | subprocess.Popen[str]:
        """Start it; `first` are statements that the process executes before, to make a constant small.

        A `fresh` one imports everything itself.
        """
        variables = {**os.environ, **environment}
        if not fresh and self.fork_server.can_fork(variables):
            forked = self.fork_server.start([*map(str, words)], variables, first)
            self.running.append(forked)
            return forked
        called = ["-c", f"{first}\nfrom laklak.__main__ import main\nmain()"] if first else ["-m", "laklak"]
        process = subprocess.Popen(
            [sys.executable, *called, *map(str, words)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            env=variables,
        )
        self.running.append(process)
        return process

    @contextlib.contextmanager
    def halted(self, process: ForkedProgram | subprocess.Popen[str]) -> Iterator[None]:
        """Inside of it the process stands still, with its locks and its work half done, however slow the machine."""
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    def stop_when(self, process: ForkedProgram | subprocess.Popen[str], condition: Callable[[], object]) -> None:
        """Let it work until something is so, and then stand still with its work half done, until SIGCONT: while that is
        looked at it stands still too, and cannot get to its end.
        """
        deadline = time.monotonic() + 60
        while True:
            process.send_signal(signal.SIGSTOP)
            if condition():
                return
            process.send_signal(signal.SIGCONT)
            assert process.poll() is None, "it ended before"
            assert time.monotonic() < deadline, "it was never so"
            time.sleep(0.05)

    def wait_until_said(self, process: ForkedProgram | subprocess.Popen[str], text: str, timeout_s: float = 60) -> None:
        """Until the program has said this on stderr; `wait` gives it with the rest."""
        assert process.stderr is not None
        deadline = time.monotonic() + timeout_s
        while text not in self._said.get(process.pid, ""):
            assert time.monotonic() < deadline, f"only this was said: {self._said.get(process.pid, '')}"
            if select.select([process.stderr], [], [], 1)[0]:
                piece = os.read(process.stderr.fileno(), 1 << 16).decode()
                assert piece, f"it ended and had said: {self._said.get(process.pid, '')}"
                self._said[process.pid] = self._said.get(process.pid, "") + piece

    def wait(self, process: ForkedProgram | subprocess.Popen[str], timeout_s: float = 100) -> Ended:
        out, err = process.communicate(timeout=timeout_s)
        err = self._said.pop(process.pid, "") + err
        assert "Traceback" not in err
        return Ended(process.returncode, out, err)


@pytest.fixture
def laklak(fork_server: ForkServer) -> Iterator[Program]:
    program = Program(fork_server)
    yield program
    for process in program.running:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def here(capfd: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Ended]]:
    """Run the command line inside of this process, where only its words matter: `here("backfill", ...)`."""
    from laklak.cli import run

    logger = logging.getLogger("laklak")
    before = logger.handlers[:], logger.level, logger.propagate
    signals = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def call(*words: str | Path) -> Ended:
        capfd.readouterr()
        exit_status = run([str(word) for word in words])
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return Ended(exit_status, out, err)

    yield call
    for handler in logger.handlers:
        handler.close()
    logger.handlers[:], logger.level, logger.propagate = before
    for number, handler in signals.items():
        signal.signal(number, handler)


@pytest.fixture
def stored() -> Callable[..., dict[tuple[str, int], Candle]]:
    """Read a store as any program can: `stored(path, interval)` -> (symbol, open_time) -> values."""

    def read(path: str | Path = "laklak.db", interval: str = "1m") -> dict[tuple[str, int], Candle]:
        connection = sqlite3.connect(path)
        try:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            rows = connection.execute(
                "SELECT symbol, open_time, open, high, low, close, volume FROM candles"
                " WHERE venue = 'binance' AND interval = ?",
                (interval,),
            ).fetchall()
        finally:
            connection.close()
        return {(row[0], row[1]): tuple(row[2:]) for row in rows}

    return read


@pytest.fixture
def sql() -> Callable[..., list[tuple[Any, ...]]]:
    """Run one statement on a store, as a person with the sqlite3 program would."""

    def run(statement: str, *values: object, path: str | Path = "laklak.db") -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(path)
        try:
            with connection:
                return connection.execute(statement, values).fetchall()
        finally:
            connection.close()

    return run


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A file system of its own with little room: `small_disk(size)` gives its folder."""
    mounted: list[Path] = []

    def mount(size: str) -> Path:
        folder = tmp_path / "small"
        folder.mkdir()
        words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)]
        try:
            subprocess.run(words, check=True, capture_output=True, timeout=20)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("this user may not mount a small file system")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True, timeout=20)


@pytest.fixture(autouse=True)
def hasty_here(hasty: None) -> None:
    """The two seconds between two answers would cost the suite minutes: they are kept in processes, which tests of
    them start.
    """


@pytest.fixture(scope="session")
def guarded(needs_influxd: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influxd]:
    """An InfluxDB 1.x server that wants a login, with the user `writer`, who may do nothing yet."""
    server = Influxd(tmp_path_factory.mktemp("guarded"), {"INFLUXDB_HTTP_AUTH_ENABLED": "true"})
    try:
        server.start().guard()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def truth() -> Callable[..., dict[tuple[str, int], Candle]]:
    """float(text) of the recorded files, read without any code of the project:
    `truth(symbols, start_ms, end_ms)` -> (symbol, open_time) -> values.
    """
    tables: dict[str, dict[int, Candle]] = {}

    def table(symbol: str) -> dict[int, Candle]:
        if symbol not in tables:
            (path,) = RECORDED.glob(f"{symbol}-1m-*.csv.gz")
            with gzip.open(path, "rt", encoding="ascii") as lines:
                rows = [row for row in csv.reader(lines) if row[0].isdigit()]
            tables[symbol] = {int(row[0]): tuple(float(text) for text in row[1:6]) for row in rows}
        return tables[symbol]

    def read(symbols: Sequence[str], start_ms: int = 0, end_ms: int = END_MS) -> dict[tuple[str, int], Candle]:
        return {
            (symbol, time_ms): values
            for symbol in symbols
            for time_ms, values in table(symbol).items()
            if start_ms <= time_ms < end_ms
        }

    return read


@pytest.fixture(scope="session")
def served() -> Callable[..., dict[tuple[str, int], Candle]]:
    """float(text) of what any source serves at 1m: `served(source, symbols, start_ms, end_ms)`."""

    def read(source: CandleSource, symbols: Sequence[str], start_ms: int, end_ms: int) -> dict[tuple[str, int], Candle]:
        return {
            (symbol, row[0]): tuple(float(text) for text in row[1:6])
            for symbol in symbols
            for row in map(json.loads, source.oldest(symbol, start_ms, end_ms, 10_000_000))
        }

    return read


@pytest.fixture(scope="session")
def check_sum() -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Check that a summary has exactly the keys promised and adds up; gives it back."""

    def check(answer: dict[str, Any]) -> dict[str, Any]:
        assert set(answer) == set(SUMMARY_KEYS)
        assert answer["schema"] == 1
        parts = ("stored_before", "written", "holes", "rejected", "quiet", "missing")
        assert answer["wanted"] == sum(answer[part] for part in parts)
        assert answer["complete"] == (answer["exit"] == 0 and answer["missing"] == 0)
        return answer

    return check


@pytest.fixture(scope="session")
def served_twice() -> Callable[[Sequence[Hit]], int]:
    """How many minutes were asked more than once, counted each time, by 1m candle requests that were answered."""

    def count(hits: Sequence[Hit]) -> int:
        asked: Counter[tuple[str, int]] = Counter()
        for hit in hits:
            if hit.path == KLINES and "endTime" in hit.query:
                times = range(int(hit.query["startTime"]), int(hit.query["endTime"]) + 1, MINUTE_MS)
                asked.update((hit.query["symbol"], time_ms) for time_ms in times)
        return sum(times - 1 for times in asked.values())

    return count


@pytest.fixture
def liar(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., LyingVenue]]:
    """Start a venue that lies as it is told: `liar("2026-03-03T12:00:30")`; with `files`, bulk files are asked too."""
    with contextlib.ExitStack() as running:

        def start(clock: str, *, files: bool = False) -> LyingVenue:
            one = running.enter_context(LyingVenue(clock))
            monkeypatch.setenv("LAKLAK_BINANCE_URL", one.url)
            monkeypatch.setenv("LAKLAK_BINANCE_BUDGET", "max")
            if files:
                monkeypatch.setenv("LAKLAK_BINANCE_ARCHIVE_URL", one.url)
            return one

        yield start


# laklak check


@pytest.fixture
def listed() -> None:
    """An asset list of two recorded symbols."""
    Path("assets.txt").write_text("LTCUSDT binance\nDOTUSDT binance\n")


@pytest.fixture
def looked(here, listed):
    """Run `laklak check --json` in this process: its findings as (about, verdict, text, hint)."""

    def look(*words, exit_status=None):
        ended = here("check", "--json", *words)
        answer = ended.json
        assert ended.exit == answer["exit"] == (2 if answer["problems"] else 0)
        assert exit_status in (None, ended.exit)
        return Findings(answer)

    return look


class Findings:
    """What was found, to be asked by words."""

    def __init__(self, answer):
        self.answer = answer

    def of(self, about, verdict=None):
        return [one for one in self.answer["findings"] if one["about"] == about and verdict in (None, one["verdict"])]

    def has(self, about, verdict, words):
        found = [one for one in self.of(about, verdict) if words in f"{one['text']} -> {one['hint']}"]
        assert found, f"no {verdict} of {about} with {words!r}: {json.dumps(self.answer['findings'], indent=1)}"
        return found[0]

    @property
    def troubles(self):
        return [(one["about"], one["verdict"]) for one in self.answer["findings"] if one["verdict"] != "ok"]


@pytest.fixture
def looked_within() -> Callable[[float], Checkup]:
    """A look in this process that waits for `limit_s` only."""

    def look(limit_s: float) -> Checkup:
        made = check(load_settings({}, environment=os.environ, folder=Path.cwd()), folder=Path.cwd())
        return asyncio.run(made.run(limit_s=limit_s))

    return look
