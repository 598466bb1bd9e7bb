"""What holds for every test: a clean environment and a folder of its own. And a real InfluxDB, for those that ask."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent / "servers"))
sys.path.insert(0, str(Path(__file__).parent / "venues"))
from forked import ForkServer
from influxd import Influxd, why_not
from influxd2 import Influxd2
from influxd2 import why_not as why_not_2
from thoroughness import register_profiles

# `make test-all` chooses the thorough one.
register_profiles()
settings.load_profile("everyday")

# Stores and servers sync their files all the time. In memory that costs nothing, and a process that is killed loses as
# little there.
_MEMORY = Path("/dev/shm")  # noqa: S108 - pytest makes a folder of its own in it
if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > 2 << 30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))

_FOREIGN_PREFIXES = ("LAKLAK_", "INFLUXDB_", "INFLUX_")
_FOREIGN_NAMES = {
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "no_color",
    "force_color",
    "ssl_cert_file",
    "ssl_cert_dir",
}


@pytest.fixture(autouse=True)
def clean_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Scrub every setting from outside and work in an empty folder, so that no real store, settings file or remembered
    ban can ever be touched; gives that folder.
    """
    for name in list(os.environ):
        if name.startswith(_FOREIGN_PREFIXES) or name.lower() in _FOREIGN_NAMES:
            monkeypatch.delenv(name)
    # Nothing here comes up late unless a test says so.
    monkeypatch.setenv("LAKLAK_START_WAIT", "0")
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(home / "state"))
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def timing(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Change waits of the runs that this process orders from now on: `timing(backoff_most_s=0.01)`."""
    from laklak import order

    return lambda **waits: monkeypatch.setattr(order, "TIMING", replace(order.TIMING, **waits))


@pytest.fixture
def hasty(timing: Callable[..., None]) -> None:
    """Two answers need not be two seconds apart here; other tests look at them."""
    timing(second_answer_after_s=0.05)


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    server = ForkServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def needs_influxd() -> None:
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def influxd(needs_influxd, tmp_path_factory) -> Iterator[Influxd]:
    """The InfluxDB 1.x server that most tests share: nobody stops it, everybody uses a database of his own."""
    server = Influxd(tmp_path_factory.mktemp("influxd"))
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture
def own_influxd(needs_influxd, tmp_path) -> Iterator[Callable[..., Influxd]]:
    """Make a server of the test's own, with settings if it wants; started already."""
    servers: list[Influxd] = []

    def make(**settings: str) -> Influxd:
        servers.append(Influxd(tmp_path / f"influxd-{len(servers)}", settings))
        return servers[-1].start()

    yield make
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def needs_influxd2() -> None:
    reason = why_not_2()
    if reason is not None and os.environ.get("REQUIRE_INFLUXD2") == "1":
        pytest.fail(reason)  # where it can be built, a green run must not mean that none of this was tried
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def influxd2(needs_influxd2, tmp_path_factory) -> Iterator[Influxd2]:
    """The InfluxDB 2.x server that most tests share: nobody stops it, everybody uses a bucket of his own."""
    server = Influxd2(tmp_path_factory.mktemp("influxd2"))
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture
def own_influxd2(needs_influxd2, tmp_path) -> Iterator[Callable[..., Influxd2]]:
    """Make a server of the test's own, with settings if it wants; started already."""
    servers: list[Influxd2] = []

    def make(**settings: str) -> Influxd2:
        servers.append(Influxd2(tmp_path / f"influxd2-{len(servers)}", settings))
        return servers[-1].start()

    yield make
    for server in servers:
        server.stop()
