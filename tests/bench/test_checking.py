"""A benchmark that stored a wrong row fails."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3

import pytest

from laklak.bench.children import BenchmarkFailed, Work
from laklak.bench.places import FilePlace
from laklak.bench.verifying import verify
from laklak.bench.workload import access_json


@pytest.fixture(scope="module")
def written(tiny, tmp_path_factory):
    """What a benchmark has made and written: the order for its verification, and the file."""
    folder = tmp_path_factory.mktemp("written")
    work = Work(folder)
    spec = {"workload": {"symbols": tiny.symbols, "days": tiny.days, "seed": tiny.seed}, "folder": str(folder)}
    spec["checksum"] = work.answer("reference", spec)["checksum"]
    access = FilePlace(folder, state_dir=folder).named("x")
    work.answer("write", spec | {"access": access_json(access)})
    return spec, access.where.removeprefix("sqlite:///")


@pytest.fixture
def filled(written, tmp_path):
    """A store with what must be stored; gives its file, and what verifies it."""
    spec, file = written
    access = FilePlace(tmp_path, state_dir=tmp_path).named("x")
    path = access.where.removeprefix("sqlite:///")
    shutil.copy(file, path)
    return path, lambda: asyncio.run(verify({**spec, "access": access_json(access)}))


def change(path: str, statement: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()


def test_a_store_that_equals_the_generator_is_right(filled, tiny):
    _, verified = filled

    found = verified()

    assert (found["wrong"], found["candles"]) == (None, tiny.candles)


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("UPDATE candle SET close = close * (1 + 1e-15) WHERE THE ROW", "close is"),
        ("DELETE FROM candle WHERE THE ROW", "has 2,879 candles, not 2,880"),
        ("INSERT INTO candle SELECT series_id, open_time + 864000000, 1, 1, 1, 1, 1 FROM candle WHERE THE ROW",
         "has 2,881 candles"),
        ("UPDATE series SET symbol = 'ZUSDT' WHERE symbol = 'ETHUSDT'", "ETHUSDT:1m is not stored"),
        ("INSERT INTO series (venue, symbol, interval) VALUES ('binance', 'XUSDT', '1m')", None),
    ],
    ids=["a digit", "a missing minute", "a minute too many", "another symbol", "an empty series"],
)  # fmt: skip
def test_the_first_difference_is_named(filled, statement, says):
    path, verified = filled
    # A row in the middle of the second series.
    change(path, statement.replace("THE ROW", "series_id = 2 AND open_time = 1795003200000"))

    wrong = verified()["wrong"]

    assert wrong is None if says is None else says in wrong


def test_a_process_that_fails_says_its_last_words(tmp_path):
    with pytest.raises(BenchmarkFailed, match=r"ended early: .*there is no job called 'dance'"):
        Work(tmp_path).answer("dance", {})


def test_the_environment_of_a_measured_process_holds_nothing_of_the_users(tmp_path, monkeypatch):
    monkeypatch.setenv("LAKLAK_WORKERS", "1")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy")

    env = Work(tmp_path).environment()

    assert {name for name in env if name.startswith("LAKLAK_")} == {"LAKLAK_STATE_DIR"}
    assert "HTTPS_PROXY" not in env
