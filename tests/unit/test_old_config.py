"""config.py of older scripts: what it says of an InfluxDB, whatever it looks like, and that it is never run."""

from __future__ import annotations

from pathlib import Path

import pytest

from laklak.settings.old_config import lines_for_dotenv


def lines(folder: Path, text: str) -> list[str]:
    (folder / "config.py").write_text(text, encoding="utf-8")
    return lines_for_dotenv(folder)


@pytest.mark.parametrize(
    "text",
    [
        "INFLUXDB_HOST = 'db.lan'\nINFLUXDB_PORT = 8087\nINFLUXDB_DATABASE = 'market data'\nINFLUXDB_USERNAME = None\n",
        "import os\nINFLUXDB_HOST = os.getenv('INFLUXDB_HOST', 'db.lan')\n"
        "INFLUXDB_PORT = int(os.environ.get('INFLUXDB_PORT', default='8087'))\nINFLUXDB_DB: str = 'market data'\n",
        "class Config:\n  INFLUXDB_HOST = 'db.lan'\n  INFLUXDB_PORT = '8087'\n  INFLUXDB_DATABASE = 'market data'\n",
        "INFLUXDB = {'host': 'db.lan', 'port': 8087, 'database': 'market data', 'username': None}\n",
        "SETTINGS = {'API_KEY': None, 'INFLUXDB_HOST': 'db.lan', 'INFLUXDB_PORT': 8087,"
        " 'INFLUXDB_DATABASE': 'market data', 'INFLUXDB_USERNAME': None}\n"
        "INFLUXDB_HOST = os.getenv('INFLUXDB_HOST', SETTINGS['INFLUXDB_HOST'])\n",
        "SETTINGS = {'influxdb': {'host': 'db.lan', 'port': 8087, 'database': 'market data'}}\n",
    ],
)
def test_plain_values_and_defaults_are_understood_wherever_they_stand(tmp_path: Path, text: str) -> None:
    assert lines(tmp_path, text) == ["INFLUXDB_HOST=db.lan", "INFLUXDB_PORT=8087", "INFLUXDB_DATABASE='market data'"]


def test_a_password_is_not_shown(tmp_path: Path) -> None:
    text = "INFLUXDB_HOST = 'db.lan'\nINFLUXDB_USER = 'me'\nINFLUXDB_PASSWORD = 'hunter2'\n"

    assert lines(tmp_path, text) == ["INFLUXDB_HOST=db.lan", "INFLUXDB_USERNAME=me", "INFLUXDB_PASSWORD=..."]


@pytest.mark.parametrize(
    "text",
    [
        "DEBUG = True\nHOST = 'db.lan'\n",
        "INFLUXDB_PORT = 8086\n",
        "INFLUXDB_HOST = None\n",
        "INFLUXDB_HOST = lookup()\n",
        "INFLUXDB_HOST = \n",
        "\0",
        "(" * 10_000,
    ],
)
def test_what_names_no_server_is_nothing_to_say(tmp_path: Path, text: str) -> None:
    assert lines(tmp_path, text) == []


def test_it_is_read_and_not_run(tmp_path: Path) -> None:
    text = f"open({str(tmp_path / 'run')!r}, 'w')\nINFLUXDB_HOST = 'db.lan'\n"

    assert lines(tmp_path, text) == ["INFLUXDB_HOST=db.lan"]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: None])
def test_no_such_file_is_nothing_to_say(tmp_path: Path, make: object) -> None:
    make(tmp_path / "config.py")  # type: ignore[operator]

    assert lines_for_dotenv(tmp_path) == []
