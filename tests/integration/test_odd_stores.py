"""Every command on stores that are no good for it: one line that names the thing, one that says what to do, the right
status, and nothing is made on the way.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
import tempfile
from pathlib import Path

import pytest
from copies import BTC, START_MS, candles, fill, new_name

from laklak.errors import StoreError
from laklak.model.candles import CandleBatch
from laklak.model.series import Series
from laklak.stores import open_store
from laklak.stores.lock import StoreLock

LOOKS = {
    "coverage": ("coverage", "--store", "{}"),
    "runs": ("runs", "--store", "{}"),
    "verify": ("verify", "--store", "{}"),
    "digest": ("digest", "--store", "{}"),
    "certificate": ("certificate", "issue", "--store", "{}"),
    "certificate check": ("certificate", "check", "good/certificate.json", "--store", "{}"),
    "explain": ("explain", "BTCUSDT", "2026-02-28T00:30", "--store", "{}"),
    "export": ("export", "--store", "{}", "--out", "files"),
    "show": ("show", "BTCUSDT", "--store", "{}"),
    "show --provenance": ("show", "BTCUSDT", "--provenance", "--store", "{}"),
    "copy from": ("copy", "{}", "copied.db"),
    "resample from": ("resample", "5m", "--store", "{}", "--to", "longer.db"),
}
"""Commands for which a store is only looked into."""

PACED = ("copy from", "resample from")
"""These say how fast they were."""

FILLS = {
    "fill": ("fill", "BTCUSDT", "--store", "{}"),
    "import": ("import", "good/binance-BTCUSDT-1m.csv", "--store", "{}"),
    "copy to": ("copy", "good/candles.db", "{}"),
    "resample to": ("resample", "5m", "--store", "good/candles.db", "--to", "{}"),
    "verify --mend": ("verify", "--sample", "1", "--mend", "--store", "{}"),
}
CHECK = ("check", "--store", "good/candles.db", "--venue", "binance")
TO = ("copy to", "resample to")
SAMPLE = {"verify with a sample": ("verify", "--sample", "1", "--store", "{}")}
AGAINST = {"verify --against": ("verify", "--store", "good/candles.db", "--against", "{}")}
DRY = {"a dry run": ("backfill", "BTCUSDT", "--days", "1", "--dry-run", "--store", "{}")}


def words_of(command, store):
    return [word.format(store) for word in (LOOKS | FILLS | SAMPLE | AGAINST | DRY)[command]]


@pytest.fixture
def good(here, monkeypatch, timing):
    """A sound store with a day of candles, and what is made of it; gives its name."""
    monkeypatch.setenv("LAKLAK_LOG_FILE", "none")
    monkeypatch.setenv("LAKLAK_BINANCE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("LAKLAK_MAX_WAIT", "0")
    timing(backoff_most_s=0.01)
    os.mkdir("good")
    store = "good/candles.db"
    times = candles(BTC, range(1500)).open_times
    fill(
        store,
        CandleBatch(
            Series.parse(BTC),
            times,
            tuple([f"{n}.5"] * 1500 for n in "12111"),
            tuple([float(f"{n}.5")] * 1500 for n in "12111"),
        ),
    )
    assert here("export", "--store", store, "--out", "good").exit == 0
    assert here("certificate", "--store", store, "--out", "good/certificate.json").exit == 0
    return store


def files():
    """Every file in the working folder with its content."""
    return {path: path.read_bytes() if path.is_file() else b"" for path in Path().rglob("*")}


def check_refused(here, command, store, named, status=2):
    """One error that names the thing, a hint, the status; the same as JSON; nothing made or changed."""
    before = files()
    for extra in ([], ["--json"]):
        ended = here(*words_of(command, store), *extra)
        assert ended.exit == status, (command, ended)
        (error,) = ended.lines("error")
        assert named in error, (command, error)
        assert len(ended.lines("hint")) == 1, (command, error)
        assert (named in ended.json["error"]) if extra else not ended.out, command
    assert files() == before, command


def empty(path):
    async def make():
        async with open_store(path):
            pass

    asyncio.run(make())


def foreign(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE mine (x)")


NO_STORES = {
    "a folder": ("here", "here", os.mkdir),
    "in no folder": ("no/such/candles.db", "no/such", None),
    "garbage": ("garbage.db", "garbage.db", lambda path: Path(path).write_bytes(b"\xff garbage" * 900)),
    "of another program": ("other.db", "other.db", foreign),
    "a dead server": ("influxdb://localhost:9/market", "localhost:9", None),
    "a dead server of 2.x": ("influxdb2://localhost:9/market?org=me", "localhost:9", None),
}
"""What is named as a store and can be none: its name, what an error has to name, how it is made."""


@pytest.mark.parametrize("kind", NO_STORES)
def test_what_can_be_no_store_is_refused_by_every_command(kind, good, here):
    store, named, make = NO_STORES[kind]
    if make:
        make(store)

    for command in LOOKS | FILLS | SAMPLE | AGAINST | DRY:
        check_refused(here, command, store, named)


@pytest.mark.parametrize("kind", ["no file", "an empty file", "influxdb"])
def test_a_store_that_is_not_there_is_made_by_no_command_that_looks(kind, good, here, request):
    store = named = "none.db"
    if kind == "an empty file":
        Path(store).touch()
    if kind == "influxdb":
        named = new_name()
        server = request.getfixturevalue("influxd")
        store = server.url(named)

    for command in (*LOOKS, *SAMPLE, "verify --mend"):
        check_refused(here, command, store, named)

    if kind == "influxdb":
        assert [named] not in server.rows("SHOW DATABASES")


def test_of_an_empty_store_every_look_says_that_there_is_nothing(good, here):
    empty("empty.db")

    told = {
        "runs": (0, "no such run"),
        "certificate check": (1, "1 day differs"),
        "show": (2, "no candles"),
        "show --provenance": (2, "no candles"),
        "copy from": (0, "no series"),
        "resample from": (0, "no series"),
        "explain": (2, "no candles"),
    }
    for command in (*LOOKS, *SAMPLE, "verify --mend"):
        before = files()
        ended = here(*words_of(command, "empty.db"))
        status, text = told.get(command, (2, "no series"))
        assert ended.exit == status, (command, ended)
        assert text in ended.out + ended.err, (command, ended)
        assert len(ended.lines("error")) == (ended.exit == 2 or text == "no candles"), (command, ended)
        assert files() == before, command


def test_while_a_backfill_runs_a_store_is_looked_at_and_nothing_else_fills_it(good, here):
    with StoreLock.for_file(good):
        for command in LOOKS:
            ended = here(*words_of(command, good))
            assert (ended.exit, ended.lines("error")) == (0, []), (command, ended)
        shutil.copy(good, "full.db")
    for command in FILLS:
        store = "full.db" if command in TO else good
        with StoreLock.for_file(store):
            check_refused(here, command, store, f"process {os.getpid()}", status=75)


@pytest.fixture
def anybody():
    """Inside of it the program is a user whom rights on files bind; root is not."""

    @contextlib.contextmanager
    def become():
        if os.geteuid():
            yield
            return
        os.setresgid(65534, 65534, 0)
        os.setresuid(65534, 65534, 0)
        try:
            yield
        finally:
            os.setresuid(0, 0, 0)
            os.setresgid(0, 0, 0)

    return become


@pytest.fixture
def public(monkeypatch):
    """A working folder in which anybody may write: pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        monkeypatch.chdir(folder)
        for name in ("CONFIG", "STATE", "DATA", "CACHE"):
            monkeypatch.setenv(f"XDG_{name}_HOME", f"{folder}/{name}")
        yield
        Path("good").chmod(0o755)


def remove(names):
    for name in names:
        Path(name).unlink()


@pytest.mark.parametrize("kept", ["file", "folder"])
def test_a_store_that_may_only_be_read_is_looked_at_as_it_stands_and_not_filled(kept, public, good, here, anybody):
    made = ("copied.db", "copied.db.lock", "longer.db", "longer.db.lock")
    told = {command: here(*words_of(command, good)) for command in LOOKS if command not in ("certificate", "export")}
    remove(made)
    # Another user may not read where modules are.
    assert "no right" not in here(*CHECK).out
    for command in FILLS:
        here(*words_of(command, "no/such/candles.db"))
    shutil.copy(good, "good/full.db")
    for store in (good, "good/full.db"):
        Path(store).chmod(0o444)
    Path("good").chmod(0o555 if kept == "folder" else 0o777)
    before = files()

    with anybody():
        for command in told:
            ended = here(*words_of(command, good))
            assert (ended.exit, ended.lines("error")) == (told[command].exit, []), (command, ended)
            if command not in PACED:
                assert ended.out == told[command].out, command
        remove(made)
        for command in FILLS:
            store = "good/full.db" if command in TO else good
            check_refused(here, command, store, "no right to write")
        assert "no right to write" in here(*CHECK).out
    assert files() == before


def test_a_store_that_may_only_be_read_is_read_while_its_owner_fills_it(public, good, here, anybody):
    with contextlib.closing(sqlite3.connect(good)) as owner:
        with owner:
            owner.execute("DELETE FROM candles WHERE open_time = ?", (START_MS,))
        # What was changed is in the log beside the file only.
        Path(good).chmod(0o444)
        Path("good").chmod(0o555)

        with anybody():
            ended = here("show", "BTCUSDT", "--first", "1", "--csv", "--store", good)

    assert ended.out.splitlines()[1].startswith(f"{START_MS + 60_000},")


def test_a_store_that_may_only_be_read_and_is_written_to_meanwhile_is_not_told_by_half(public, good, anybody):
    Path("good").chmod(0o555)

    async def work():
        with anybody():
            store = await open_store(good, create=False).__aenter__()
        with contextlib.closing(sqlite3.connect(good)) as owner, owner:
            owner.execute("DELETE FROM candles WHERE open_time = ?", (START_MS,))
        try:
            with pytest.raises(StoreError, match="written to meanwhile"):
                await store.holdings()
        finally:
            await store.close()

    asyncio.run(work())


UNKNOWN = {
    "coverage": ("coverage", "NOPEUSDT"),
    "runs": ("runs", "--series", "NOPEUSDT"),
    "verify": ("verify", "NOPEUSDT"),
    "verify with a sample": ("verify", "NOPEUSDT", "--sample", "1"),
    "digest": ("digest", "NOPEUSDT"),
    "certificate": ("certificate", "NOPEUSDT"),
    "explain": ("explain", "NOPEUSDT", "2026-02-28T00:30"),
    "export": ("export", "NOPEUSDT"),
    "resample": ("resample", "5m", "NOPEUSDT", "--to", "longer.db"),
    "show": ("show", "NOPEUSDT"),
    "show --provenance": ("show", "NOPEUSDT", "--provenance"),
    "copy": ("copy", "good/candles.db", "copied.db", "NOPEUSDT"),
}


@pytest.mark.parametrize("command", UNKNOWN)
def test_an_unknown_series_is_named_and_nothing_is_made(command, good, here):
    words = UNKNOWN[command] if command == "copy" else (*UNKNOWN[command], "--store", good)
    before = files()

    ended = here(*words)

    assert ended.exit == 2
    (error,) = ended.lines("error")
    assert "binance:NOPEUSDT:1m" in error
    assert good in error
    assert len(ended.lines("hint")) == 1
    assert files() == before


@pytest.mark.parametrize("command", ["coverage", "verify", "digest", "certificate", "export", "show BTCUSDT"])
@pytest.mark.parametrize(
    ("start", "end", "told"),
    [
        ("2026-02-28T12:00", "2026-02-28T11:59", "is not before end"),
        ("2026-02-28", "2026-02-28", "is not before end"),
        ("yesterday", "2026-02-28", "yesterday"),
        ("2026-02-30", "2026-03-01", "2026-02-30"),
    ],
)
def test_a_range_that_is_none_is_named(command, start, end, told, good, here):
    before = files()

    ended = here(*command.split(), "--start", start, "--end", end, "--store", good)

    assert ended.exit == 2
    (error,) = ended.lines("error")
    assert told in error
    assert len(ended.lines("hint")) == 1
    assert files() == before
