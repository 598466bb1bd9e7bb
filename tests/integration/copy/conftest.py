"""Places to copy from and to, files, databases and buckets, and what a summary of a copy promises."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from copies import new_name
from influxd import Influxd
from influxd2 import Influxd2
from summary_keys import COPY_KEYS


@pytest.fixture(scope="session")
def copy_keys() -> set[str]:
    """The keys that a summary has, whatever came of the copy."""
    return set(COPY_KEYS)


@pytest.fixture(scope="session")
def copy_sum() -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Check that a summary has exactly the keys promised and adds up; gives it back."""

    def check(answer: dict[str, Any]) -> dict[str, Any]:
        assert set(answer) == set(COPY_KEYS)
        parts = ("stored_before", "written", "holes", "rejected", "missing")
        assert answer["wanted"] == sum(answer[part] for part in parts)
        assert answer["complete"] == (answer["exit"] == 0)
        return answer

    return check


@pytest.fixture
def database(influxd: Influxd) -> Callable[[], str]:
    """Give the address of a database that does not exist yet, on the server that all tests share."""
    return lambda: influxd.url(new_name())


@pytest.fixture
def bucket(influxd2: Influxd2) -> Callable[[], str]:
    """Give the address, with its token, of a bucket of an InfluxDB 2.x that does not exist yet."""
    return lambda: influxd2.url(new_name()).replace("://", f"://:{influxd2.token}@")


@pytest.fixture
def file(tmp_path: Path) -> Callable[[], str]:
    return lambda: str(tmp_path / f"{new_name()}.db")


# Every day each kind is a source and a destination; that everything goes over is looked at for every pair.
EVERY_DAY = (("file", "database"), ("database", "bucket"), ("bucket", "file"))
OTHERS = (("file", "file"), ("database", "file"), ("database", "database"), ("file", "bucket"))


@pytest.fixture(params=[*EVERY_DAY, *(pytest.param(one, marks=pytest.mark.long) for one in OTHERS)], ids=" to ".join)
def pair(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """Two empty places: source and destination."""
    return _two_places(request)


@pytest.fixture(params=[*EVERY_DAY, *OTHERS], ids=" to ".join)
def any_pair(request: pytest.FixtureRequest) -> tuple[str, ...]:
    return _two_places(request)


def _two_places(request: pytest.FixtureRequest) -> tuple[str, ...]:
    return tuple(request.getfixturevalue(kind)() for kind in request.param)
