"""How stores are spelled, what is refused with which words, and what opening without making does."""

from __future__ import annotations

import asyncio
import os

import pytest

from laklak.errors import StoreError, StoreUnavailable
from laklak.model.series import DAY_MS, TimeRange
from laklak.stores import open_store, shown_store
from laklak.stores.access import StoreAccess

START = 1_767_225_600_000
DAYS = TimeRange(START, START + 3 * DAY_MS)


async def enter(where: str) -> None:
    async with open_store(where):
        pass


@pytest.mark.parametrize("where", ["candles.db", "sqlite:///candles.db", "./candles.db"])
def test_relative_names_are_relative_to_the_working_folder(folder, monkeypatch, where):
    monkeypatch.chdir(folder)

    asyncio.run(enter(where))

    assert os.listdir(folder) == ["candles.db"]


def test_four_slashes_are_an_absolute_name(folder):
    asyncio.run(enter(f"sqlite:///{folder}/a.db"))

    assert os.listdir(folder) == ["a.db"]


def test_a_tilde_is_the_home_folder(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))

    asyncio.run(enter("~/a.db"))

    assert os.listdir(folder) == ["a.db"]


@pytest.mark.parametrize("name", ["file:a.db", "a b?c#d%41.db", "币安.db", "a'b.db", "-n"])
def test_a_file_may_have_any_name(folder, monkeypatch, name):
    monkeypatch.chdir(folder)

    asyncio.run(enter(name))
    asyncio.run(enter(name))

    assert os.listdir(folder) == [name]


@pytest.mark.parametrize(
    ("where", "display"),
    [
        ("a.db", "sqlite:////here/a.db"),
        ("sqlite:///./a.db", "sqlite:////here/a.db"),
        ("sqlite:////x/a.db", "sqlite:////x/a.db"),
    ],
)
def test_a_file_is_shown_as_its_address_from_the_root_on(where, display, folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert open_store(where).display == display.replace("/here", str(folder))


@pytest.mark.parametrize(
    ("where", "display"),
    [
        ("influxdb://h/db", "influxdb://h:8086/db"),
        ("influxdb://me@h:9000/my%20db?rp=year", "influxdb://me@h:9000/my%20db?rp=year"),
        ("influxdb+https://u:hunter2@h/db", "influxdb+https://u:***@h:8086/db"),
        ("INFLUXDB://h/db", "influxdb://h:8086/db"),
        ("influxdb2://h/b?org=o", "influxdb2://h:8086/b?org=o"),
        ("influxdb2+https://:hunter2@h:443/b?org=o", "influxdb2+https://:***@h:443/b?org=o"),
    ],
)
def test_an_influxdb_address_is_a_store_and_is_shown_without_its_password(where, display):
    store = open_store(where)

    assert store.display == display
    assert "hunter2" not in repr(store)


def test_the_password_is_that_of_the_user_of_an_address_without_one(monkeypatch):
    monkeypatch.setenv("INFLUXDB_PASSWORD", "another")

    assert (
        open_store(StoreAccess(where="influxdb://me@h/db", password="hunter2")).display == "influxdb://me:***@h:8086/db"
    )
    # What is not given is not looked for: settings are read in one place.
    assert open_store("influxdb://me@h/db").display == "influxdb://me@h:8086/db"


def test_token_and_organization_are_those_of_an_address_without_them():
    store = open_store(StoreAccess(where="influxdb2://h/b", token="hunter2", org="o"))

    assert store.display == "influxdb2://:***@h:8086/b?org=o"
    assert "hunter2" not in repr(store)


def test_another_kind_of_influxdb_is_refused_without_secrets():
    with pytest.raises(StoreUnavailable, match="no kind of store called influxdb3://") as caught:
        open_store("influxdb3://token:hunter2@h/db")

    assert "influxdb2://host[:8086]/BUCKET?org=ORG" in (caught.value.hint or "")
    assert "hunter2" not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    "where",
    [
        "influxdb://",
        "influxdb://h",
        "influxdb://u:hunter2@h:x/db",
        "influxdb://h/a/b",
        "influxdb:/h/db",
        "influxdb2:h/b?org=o",
        "influxdb2+tls://h/b?org=o",
        "influxdb2://hunter2@h/b?org=o",
    ],
)
def test_a_wrong_influxdb_address_is_refused_with_the_right_spelling_and_without_secrets(where):
    with pytest.raises(StoreUnavailable) as caught:
        open_store(where)

    assert "InfluxDB" in str(caught.value)
    assert caught.value.hint
    assert "hunter2" not in f"{caught.value} {caught.value.hint}"


@pytest.mark.parametrize(
    "where",
    [
        "",
        "sqlite:",
        "sqlite://a.db",
        "sqlite:a.db",
        "sqlite:///",
        ":memory:",
        "folder/",
        "postgres://u:hunter2@h/db",
        "a\0b",
    ],
)
def test_a_wrong_spelling_is_refused_with_the_right_one_and_without_secrets(where):
    with pytest.raises(StoreUnavailable) as caught:
        open_store(where)

    assert "sqlite:////folder/candles.db" in (caught.value.hint or "")
    assert "hunter2" not in f"{caught.value} {caught.value.hint}"


def test_nothing_is_made_before_a_store_is_entered(folder):
    open_store(f"{folder}/a.db")

    assert os.listdir(folder) == []


@pytest.mark.parametrize("exists", [False, True], ids=["missing", "empty file"])
def test_opening_without_making_reads_nothing_and_leaves_nothing_behind(path, series, deliver, exists):
    if exists:
        path.touch()

    async def main():
        async with open_store(str(path), create=False) as store:
            assert (await store.describe()).holds == "new file"
            assert await store.count(series, DAYS) == 0
            assert await store.count_by_day(series, DAYS) == {}
            assert await store.open_times(series, DAYS) == []
            assert await store.absences(series, DAYS) == []
            assert len((await store.read(series, DAYS)).open_times) == 0
            assert await store.origin() is None
            with store.exclusive():
                pass
            with pytest.raises(StoreError, match="reading only"):
                await store.write([deliver(series, 1)])

    asyncio.run(main())

    assert os.listdir(path.parent) == (["candles.db"] if exists else [])
    assert not exists or path.stat().st_size == 0


def test_opening_without_making_reads_a_store_that_is_there(path, series, deliver):
    async def main():
        async with open_store(str(path)) as store:
            await store.write([deliver(series, 3)])
        async with open_store(str(path), create=False) as store:
            return await store.count(series, DAYS)

    assert asyncio.run(main()) == 3


def test_a_store_that_was_not_entered_says_so(path, series):
    async def main():
        store = open_store(str(path))
        await store.close()
        with pytest.raises(StoreError, match="not open"):
            await store.count(series, DAYS)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("where", "shown"),
    [
        ("candles.db", "sqlite:///{here}/candles.db"),
        ("sqlite:///candles.db", "sqlite:///{here}/candles.db"),
        ("~/candles.db", "sqlite:///{home}/candles.db"),
        ("sqlite:////data/candles.db", "sqlite:////data/candles.db"),
        ("influxdb://me:secret@localhost/db", "influxdb://me:***@localhost/db"),
        ("postgres://me:secret@localhost/db", "postgres://me:***@localhost/db"),
    ],
)
def test_a_store_is_shown_with_its_full_path_before_it_is_opened(folder, monkeypatch, where, shown):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(folder.parent))

    assert shown_store(where) == shown.format(here=folder, home=folder.parent)
