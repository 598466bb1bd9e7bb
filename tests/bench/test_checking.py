"""A benchmark that stored a wrong row fails."""

from __future__ import annotations

import sqlite3

import pytest

from laklak.bench.children import BenchmarkFailed, Work
from laklak.bench.places import FilePlace
from laklak.bench.workload import access_json


@pytest.fixture
def filled(tiny, tmp_path):
    """A store with what must be stored; gives its file, and what verifies it."""
    work = Work(tmp_path)
    spec = {"workload": {"symbols": tiny.symbols, "days": tiny.days, "seed": tiny.seed}, "folder": str(tmp_path)}
    made = work.answer("reference", spec)
    access = FilePlace(tmp_path, state_dir=tmp_path).named("x")
    spec |= {"access": access_json(access), "checksum": made["checksum"]}
    work.answer("write", spec)
    return access.where.removeprefix("sqlite:///"), lambda: work.answer("verify", spec)


def change(path: str, statement: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()


def test_a_store_that_equals_the_generator_is_right(filled, tiny):
    _, verify = filled

    found = verify()

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
    path, verify = filled
    # A row in the middle of the second series.
    change(path, statement.replace("THE ROW", "series_id = 2 AND open_time = 1795003200000"))

    wrong = verify()["wrong"]

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
