"""A file that is not ours is refused untouched; one that is ours has the right header whatever happens."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import pytest

import laklak.stores.sqlite
from laklak.errors import StoreUnavailable
from laklak.model.absences import Absence
from laklak.model.provenance import BulkFile, Stretch
from laklak.model.series import Interval, TimeRange
from laklak.stores import open_store
from laklak.stores.base import Delivery
from laklak.stores.sqlite.schema import APPLICATION_ID, MIGRATIONS, SCHEMA_VERSION

MINUTE = Interval.parse("1m")


async def enter(path: Path) -> None:
    async with open_store(str(path)):
        pass


def everything_in(folder: Path) -> dict[str, str]:
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in sorted(os.listdir(folder))}


def header_on_disk(path: Path) -> tuple[int, int]:
    """application_id and user_version as they stand in the file, at the offsets of the SQLite file format."""
    head = path.read_bytes()[:100]
    return int.from_bytes(head[68:72]), int.from_bytes(head[60:64])


def refused(path: Path) -> StoreUnavailable:
    """Try to open `path`, assert that nothing in its folder has changed, and give back the error."""
    before = everything_in(path.parent)
    with pytest.raises(StoreUnavailable) as caught:
        asyncio.run(enter(path))
    assert everything_in(path.parent) == before
    assert caught.value.hint
    return caught.value


def make(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement).fetchall()


def test_a_new_store_says_whose_it_is_in_the_file_itself(path):
    async def main():
        async with open_store(str(path)):
            return header_on_disk(path)

    assert asyncio.run(main()) == (0x4C414B4C, SCHEMA_VERSION)


def test_a_closed_store_is_one_file(path, series, deliver):
    async def main():
        async with open_store(str(path)) as store:
            await store.write([deliver(series, 100)])

    asyncio.run(main())

    assert os.listdir(path.parent) == ["candles.db"]


def test_an_empty_file_becomes_a_store(path):
    path.touch()

    asyncio.run(enter(path))

    assert header_on_disk(path) == (APPLICATION_ID, SCHEMA_VERSION)


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_database_in_which_nothing_was_made_becomes_a_store(path, mode):
    make(path, f"PRAGMA journal_mode = {mode}", "VACUUM")

    asyncio.run(enter(path))

    assert header_on_disk(path) == (APPLICATION_ID, SCHEMA_VERSION)


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_database_of_another_program_is_refused_untouched(path, mode):
    make(path, f"PRAGMA journal_mode = {mode}", "CREATE TABLE t (x)", "INSERT INTO t VALUES (1)")

    assert "another program" in str(refused(path))


def test_a_database_with_a_foreign_application_id_is_refused_untouched(path):
    make(path, "PRAGMA application_id = 252006675", "VACUUM")

    assert "another program" in str(refused(path))


def test_what_another_program_has_only_in_its_log_yet_is_respected(path):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL").fetchall()
        connection.execute("CREATE TABLE t (x)")

        assert "another program" in str(refused(path))


def test_a_newer_store_is_refused_untouched(path):
    asyncio.run(enter(path))
    make(path, f"PRAGMA user_version = {SCHEMA_VERSION + 1}")

    assert f"version {SCHEMA_VERSION + 1}" in str(refused(path))


def test_a_store_of_the_first_version_is_brought_up_to_date_with_what_it_knows(path, series, deliver):
    make(
        path,
        *MIGRATIONS[0],
        "INSERT INTO series VALUES (1, 'binance', 'BTCUSDT', '1m')",
        "INSERT INTO absence VALUES (1, 1767225600000, 'hole', 5, 'two complete answers lack it', NULL)",
        f"PRAGMA application_id = {APPLICATION_ID}",
        "PRAGMA user_version = 1",
    )

    async def main():
        async with open_store(str(path)) as store:
            return await store.absences(series, TimeRange(0, 1 << 60)), await store.notes()

    assert asyncio.run(main()) == ([Absence.at(MINUTE, 1767225600000, "hole", 5, "two complete answers lack it")], [])
    assert header_on_disk(path) == (APPLICATION_ID, SCHEMA_VERSION)


ABSENCES = 100_000
OLD_STORE = (
    *MIGRATIONS[0],
    *MIGRATIONS[1],
    "INSERT INTO series VALUES (1, 'binance', 'BTCUSDT', '1m')",
    "INSERT INTO candle VALUES (1, 0, 1, 1, 1, 1, 1)",
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) INSERT INTO absence "
    "SELECT 1, i * 60000, iif(i % 7, 'hole', 'rejected'), i, 'r' || i, iif(i % 7, NULL, '[1]'), i + 1, NULL FROM n",
    f"PRAGMA application_id = {APPLICATION_ID}",
    "PRAGMA user_version = 2",
)


def test_a_store_of_the_second_version_keeps_every_absence(path, series):
    make(path, *OLD_STORE)

    async def main():
        async with open_store(str(path)) as store:
            return await store.absences(series, TimeRange(0, 1 << 60)), await store.count(series, TimeRange(0, 1 << 60))

    absences, candles = asyncio.run(main())

    expected = [
        Absence.at(MINUTE, i * 60_000, "hole" if i % 7 else "rejected", i, f"r{i}", None if i % 7 else "[1]", i + 1)
        for i in range(1, ABSENCES + 1)
    ]
    assert (absences == expected, candles) == (True, 1)
    assert header_on_disk(path) == (APPLICATION_ID, SCHEMA_VERSION)


def test_a_store_of_the_fourth_version_keeps_what_it_has_and_takes_files(path, series, deliver):
    make(
        path,
        *(statement for step in MIGRATIONS[:4] for statement in step),
        "INSERT INTO series VALUES (1, 'binance', 'BTCUSDT', '1m')",
        "INSERT INTO candle VALUES (1, 1767225600000, 1, 2, 0.5, 1.5, 9)",
        "INSERT INTO provenance VALUES (1, 1767225600000, 1767225660000, 'archive', 'confirmed', 5, 6)",
        f"PRAGMA application_id = {APPLICATION_ID}",
        "PRAGMA user_version = 4",
    )
    day = TimeRange(1767225600000, 1767312000000)
    read = BulkFile(day, "BTCUSDT-1m-2026-01-01.zip", "a" * 64, 7)

    async def main():
        async with open_store(str(path)) as store:
            before = await store.bulk_files(series, day), await store.count(series, day)
            await store.write([Delivery(series, None, files=[read])])
            return before, await store.provenance(series, day), await store.bulk_files(series, day)

    stretch = Stretch(TimeRange(day.start_ms, day.start_ms + 60_000), "archive", "confirmed", 5, 6)
    assert asyncio.run(main()) == (([], 1), [stretch], [read])
    assert header_on_disk(path) == (APPLICATION_ID, SCHEMA_VERSION)
    with closing(sqlite3.connect(path)) as connection, connection:
        names = connection.execute("SELECT symbol, starts, name FROM laklak_files").fetchall()
        connection.execute("DELETE FROM series")
        left = [connection.execute(f"SELECT count(*) FROM {table}").fetchone() for table in ("bulk_file", "candle")]
    assert names == [("BTCUSDT", "2026-01-01T00:00:00Z", "BTCUSDT-1m-2026-01-01.zip")]
    assert left == [(0,), (0,)]


KILLED_MIGRATION = """
import os, signal, sqlite3, sys
from laklak.stores.sqlite import file, schema

connect, left = file._connect, [int(sys.argv[2])]

def trace(statement):
    if statement in schema.MIGRATIONS[-1]:
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)

def traced(path):
    connection = connect(path)
    connection.set_trace_callback(trace)
    return connection

file._connect = traced
file.open_writer(sys.argv[1]).close()
"""


@pytest.mark.parametrize("statement", [1, len(MIGRATIONS[-1]) // 2, len(MIGRATIONS[-1])])
def test_a_migration_that_is_killed_leaves_the_store_as_it_was(path, series, statement):
    make(path, *OLD_STORE)

    def content():
        with closing(sqlite3.connect(path)) as connection:
            tables = connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
            version = connection.execute("PRAGMA user_version").fetchall()
            return tables, version, connection.execute("SELECT count(*), sum(confirmed_at) FROM absence").fetchall()

    before = content()
    ended = subprocess.run([sys.executable, "-c", KILLED_MIGRATION, str(path), str(statement)])

    assert ended.returncode == -signal.SIGKILL
    assert content() == before
    asyncio.run(enter(path))
    assert content()[1:] == ([(SCHEMA_VERSION,)], before[2])


def test_our_header_without_a_version_but_with_tables_is_refused_untouched(path):
    make(path, f"PRAGMA application_id = {APPLICATION_ID}", "CREATE TABLE t (x)")

    assert "damaged" in str(refused(path))


def test_our_header_without_a_version_and_without_tables_becomes_a_store(path):
    make(path, f"PRAGMA application_id = {APPLICATION_ID}", "VACUUM")

    asyncio.run(enter(path))

    assert header_on_disk(path) == (APPLICATION_ID, SCHEMA_VERSION)


@pytest.mark.parametrize(
    "content", [b"x", b"\0" * 100, b"time,open,high,low,close\n" * 400, b"SQLite format 3\0", os.urandom(20_000)],
    ids=["one byte", "zeros", "text", "only the magic word", "noise"],
)  # fmt: skip
def test_a_file_that_is_no_database_is_refused_untouched(path, content):
    path.write_bytes(content)

    assert "not a SQLite database" in str(refused(path))


def test_a_folder_is_refused(path):
    path.mkdir()

    with pytest.raises(StoreUnavailable, match="is a folder"):
        asyncio.run(enter(path))


def test_a_missing_folder_is_named_with_what_to_do(path):
    with pytest.raises(StoreUnavailable, match="does not exist") as caught:
        asyncio.run(enter(path / "candles.db"))

    assert f"mkdir -p {path}" in (caught.value.hint or "")


def test_a_device_is_refused():
    with pytest.raises(StoreUnavailable, match="not a regular file"):
        asyncio.run(enter(Path("/dev/null")))


def test_a_name_that_is_too_long_is_refused(path):
    with pytest.raises(StoreUnavailable, match="File name too long"):
        asyncio.run(enter(path.with_name("x" * 300)))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_place_without_rights_is_refused(path, what):
    asyncio.run(enter(path))
    place = path if what == "file" else path.parent
    place.chmod(0o500)
    try:
        assert "no right" in str(refused(path))
    finally:
        place.chmod(0o700)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize(("mode", "text"), [(0o755, "no right to write"), (0o700, "Permission denied")])
def test_a_file_without_rights_is_refused_to_another_user(mode, text):
    program = (
        "import asyncio, os, sys\n"
        "from laklak.stores import open_store\n"
        "import laklak.stores.sqlite.store  # another user may not read where modules are\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "async def main():\n"
        "    async with open_store(sys.argv[1]): pass\n"
        "asyncio.run(main())\n"
    )
    # Not in pytest's own folders: those are closed to other users.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "candles.db"
        asyncio.run(enter(path))
        path.parent.chmod(mode)

        done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=False)

    assert "StoreUnavailable" in done.stderr
    assert text in done.stderr


def test_a_link_to_a_store_is_the_store(path, series, deliver):
    link = path.with_name("link.db")
    link.symlink_to(path)

    async def main():
        async with open_store(str(link)) as store:
            await store.write([deliver(series, 1)])

    asyncio.run(main())

    assert sorted(os.listdir(path.parent)) == ["candles.db", "link.db"]


def test_a_damaged_store_is_reported_as_damaged(path, series, deliver):
    async def main():
        async with open_store(str(path)) as store:
            await store.write([deliver(series, 5000)])
        content = bytearray(path.read_bytes())
        content[200:8192] = b"\xff" * (8192 - 200)
        path.write_bytes(content)
        async with open_store(str(path)) as store:
            await store.write([deliver(series, 1)])

    with pytest.raises(Exception, match="is damaged"):
        asyncio.run(main())


def test_several_processes_may_make_the_same_store_at_once(path):
    program = (
        "import asyncio, sys\n"
        "from laklak.model.candles import CandleBatch\n"
        "from laklak.model.series import Series\n"
        "from laklak.stores import open_store\n"
        "from laklak.stores.base import Delivery\n"
        "async def main():\n"
        "    series = Series.parse(f'binance:S{sys.argv[2]}:1m')\n"
        "    batch = CandleBatch(series, [0], ((),) * 5, ((1.0,),) * 5)\n"
        "    async with open_store(sys.argv[1]) as store: await store.write([Delivery(series, batch)])\n"
        "asyncio.run(main())\n"
    )
    makers = [subprocess.Popen([sys.executable, "-c", program, str(path), str(i)]) for i in range(6)]

    assert [maker.wait() for maker in makers] == [0] * 6
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*), count(DISTINCT symbol) FROM candles").fetchone() == (6, 6)


def test_a_creation_that_was_cut_off_is_no_obstacle(path):
    # Whatever the moment: the process is gone without a word between any two statements of the creation.
    program = (
        "import os, sqlite3, sys\n"
        "from laklak.stores.sqlite import file\n"
        "left = int(sys.argv[2])\n"
        "def trace(statement):\n"
        "    global left\n"
        "    left -= 1\n"
        "    if left < 0: os.kill(os.getpid(), 9)\n"
        "connect = file._connect\n"
        "def traced(path):\n"
        "    connection = connect(path)\n"
        "    connection.set_trace_callback(trace)\n"
        "    return connection\n"
        "file._connect = traced\n"
        "file.open_writer(sys.argv[1]).close()\n"
    )
    for statements in range(0, 40, 3):
        place = path.with_name(f"{statements}.db")
        subprocess.run([sys.executable, "-c", program, str(place), str(statements)], check=False)

        asyncio.run(enter(place))

        assert header_on_disk(place) == (APPLICATION_ID, SCHEMA_VERSION)


def test_no_statement_has_numbered_marks_which_python_3_12_takes_for_names_and_warns_of():
    modules = [*Path(laklak.stores.sqlite.__file__).parent.glob("*.py")]

    assert modules
    assert [path.name for path in modules if re.search(r"\?\d", path.read_text())] == []
