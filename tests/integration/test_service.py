"""`--every` as a service: what a service manager is told over a real socket, and the unit files that start it."""

from __future__ import annotations

import asyncio
import configparser
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from laklak.cli.service import ServiceManager
from laklak.simulator import Override

UNITS = Path(__file__).parents[2] / "contrib" / "systemd"
OFTEN = "import laklak.cli.every as every; every.SHORTEST_S = 0.1\n"
WORDS = ("backfill", "LTCUSDT", "--source", "rest", "--days", "1", "--log-file", "none", "--no-progress", "-q")


class Listening:
    """A service manager: a socket of its own and what was told it, each with its moment."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.heard: list[tuple[float, str]] = []

    def next(self, timeout_s: float = 60) -> str | None:
        """What is told next; None where that is nothing for so long."""
        self.socket.settimeout(timeout_s)
        try:
            message = self.socket.recv(4096).decode()
        except TimeoutError:
            return None
        self.heard.append((time.monotonic(), message))
        return message

    def until(self, is_it) -> str:
        """What is told next that is it."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if (message := self.next()) is not None and is_it(message):
                return message
        raise AssertionError(f"only this was told: {self.told}")

    @property
    def told(self) -> list[str]:
        return [message for _, message in self.heard]

    def moments(self, message: str) -> list[float]:
        return [moment_s for moment_s, told in self.heard if told == message]


@pytest.fixture(params=["a file", "an abstract one"])
def any_manager(request, tmp_path):
    place = str(tmp_path / "notify")
    manager = Listening(place if request.param == "a file" else f"\0{place}")
    manager.address = place if request.param == "a file" else f"@{place}"
    yield manager
    manager.socket.close()


@pytest.fixture
def manager(tmp_path):
    manager = Listening(str(tmp_path / "notify"))
    manager.address = str(tmp_path / "notify")
    yield manager
    manager.socket.close()


def test_it_is_ready_tells_how_it_goes_and_that_it_stops(any_manager, venue, laklak):
    venue()
    process = laklak.start(*WORDS, "--every", "12h", NOTIFY_SOCKET=any_manager.address)
    assert any_manager.next() == "READY=1"
    any_manager.until(lambda message: message.startswith("STATUS=") and " complete: 1,440 written" in message)
    process.send_signal(signal.SIGTERM)
    assert any_manager.until(lambda message: message == "STOPPING=1")
    assert laklak.wait(process).exit == 143
    assert any_manager.told.count("READY=1") == 1
    assert "WATCHDOG=1" not in any_manager.told


def test_wrong_words_in_the_first_turn_are_never_ready(manager, venue, laklak):
    venue()
    assert laklak("backfill", "BTC-USDT", "--days", "1", "--every", "30m", NOTIFY_SOCKET=manager.address).exit == 2
    assert manager.next(0.05) is None


def test_a_long_turn_feeds_the_watchdog_as_long_as_answers_come(manager, venue, laklak):
    venue(latency_s=0.15)
    words = (*WORDS, "--workers", "1", "--chunk", "60", "--every", "12h")
    process = laklak.start(*words, NOTIFY_SOCKET=manager.address, WATCHDOG_USEC="2000000")
    manager.until(lambda message: " complete: 1,440 written" in message)
    fed, ended_s = manager.moments("WATCHDOG=1"), manager.heard[-1][0]
    assert ended_s - fed[0] > 2.5
    assert max(later - sooner for sooner, later in zip(fed, [*fed[1:], ended_s], strict=True)) < 2.0
    process.send_signal(signal.SIGTERM)
    assert laklak.wait(process).exit == 143


def test_a_pause_that_a_venue_orders_feeds_the_watchdog(manager, venue, laklak):
    running = venue(retry_after=True)
    running.ban(4.5)
    laklak.start(*WORDS, "--every", "12h", NOTIFY_SOCKET=manager.address, WATCHDOG_USEC="2000000")
    manager.until(lambda message: " complete: 1,440 written" in message)
    fed, ended_s = manager.moments("WATCHDOG=1"), manager.heard[-1][0]
    assert ended_s - fed[0] > 3.0
    assert max(later - sooner for sooner, later in zip(fed, [*fed[1:], ended_s], strict=True)) < 2.0


def test_between_two_turns_the_watchdog_is_fed_too(manager, venue, laklak):
    venue()
    laklak.start(*WORDS, "--every", "12h", NOTIFY_SOCKET=manager.address, WATCHDOG_USEC="300000")
    manager.until(lambda message: " complete: 1,440 written" in message)
    for _ in range(5):
        manager.until(lambda message: message == "WATCHDOG=1")


def test_a_turn_that_hangs_starves_the_watchdog(manager, venue, laklak):
    running = venue(script=lambda path, query, number: Override(fault="hang") if "klines" in path else None)
    laklak.start(*WORDS, "--every", "12h", NOTIFY_SOCKET=manager.address, WATCHDOG_USEC="600000")
    running.wait_for_candle_hits(1)
    asked_s = time.monotonic()
    # An answer is waited for during 20 s: far longer than this watchdog lasts.
    while manager.next(2.0) is not None:
        assert time.monotonic() < asked_s + 10
    assert manager.told.count("WATCHDOG=1") >= 1


def test_a_watchdog_of_another_process_and_one_that_cannot_be_read_are_none():
    given = {"NOTIFY_SOCKET": "@nowhere", "WATCHDOG_USEC": "3000000"}
    assert ServiceManager(given).watchdog_s == 3.0
    assert ServiceManager({**given, "WATCHDOG_PID": str(os.getpid())}).watchdog_s == 3.0
    assert ServiceManager({**given, "WATCHDOG_PID": str(os.getpid() + 1)}).watchdog_s is None
    assert ServiceManager({**given, "WATCHDOG_USEC": "often"}).watchdog_s is None
    assert ServiceManager({"WATCHDOG_USEC": "3000000"}).watchdog_s is None


def test_a_manager_that_is_gone_or_does_not_read_holds_nobody_up(tmp_path):
    gone = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    gone.ready()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(tmp_path / "deaf"))
        told = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "deaf")})
        for number in range(2000):
            told.status(f"turn {number}\nREADY=1")
        assert deaf.recv(4096) == b"STATUS=turn 0 READY=1"


def test_without_a_manager_nobody_is_watched():
    signs = []
    asyncio.run(ServiceManager({}).watch(lambda: signs.append(1), lambda: None))
    assert not signs


# The unit files


def unit(name):
    parsed = configparser.ConfigParser(interpolation=None, strict=False)
    parsed.optionxform = str
    parsed.read(UNITS / name)
    return parsed


def test_the_timer_starts_a_oneshot_every_half_hour():
    assert unit("laklak.timer")["Timer"]["OnCalendar"] == "*:0/30"
    assert unit("laklak.service")["Service"]["Type"] == "oneshot"


def test_the_service_that_stays_is_watched_and_does_not_come_back_with_wrong_settings():
    service = unit("laklak-every.service")["Service"]
    assert (service["Type"], service["WatchdogSec"], service["Restart"]) == ("notify", "15min", "on-failure")
    assert service["RestartPreventExitStatus"] == "2"
    assert service["SuccessExitStatus"].split() == ["130", "143"]


def test_the_words_of_the_services_are_words_of_the_program(here):
    for name in ("laklak.service", "laklak-every.service"):
        program, command, *flags = unit(name)["Service"]["ExecStart"].split()
        assert program.endswith("/laklak")
        told = here(command, "--help").out
        assert all(flag in told for flag in flags if flag.startswith("--")), name


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here")
def test_systemd_has_nothing_to_say_about_the_units(tmp_path):
    program = tmp_path / "laklak"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for path in UNITS.glob("laklak*.*"):
        (tmp_path / path.name).write_text(path.read_text().replace("/opt/laklak/bin/laklak", str(program)))
    units = sorted(str(path) for kind in ("service", "timer") for path in tmp_path.glob(f"*.{kind}"))
    assert len(units) == 3
    said = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, timeout=60)
    assert (said.returncode, said.stdout + said.stderr) == (0, "")
