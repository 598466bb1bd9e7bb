"""What the program never says: secrets, and what commands a terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from laklak.simulator import Override
from laklak.simulator.dialects.binance import KLINES

DAY = ("--days", "1")


SECRET = "hunter2hunter2"


@pytest.mark.parametrize(
    "words",
    [
        ("backfill", "LTCUSDT", *DAY),
        ("backfill", "LTCUSDT", *DAY, "--json", "-v"),
        ("backfill", "LTCUSDT", *DAY, "--store", f"influxdb://me:{SECRET}@127.0.0.1:8086/db"),
        ("backfill", "LTCUSDT", *DAY, "--store", f"mysql://me:{SECRET}@127.0.0.1/db", "--json"),
        ("backfill", "LTCUSDT", *DAY, "--store", f"https://127.0.0.1/?token={SECRET}"),
        ("show", "LTCUSDT", "--store", f"influxdb://me:{SECRET}@127.0.0.1:8086/db"),
        ("backfill", "LTCUSDT", *DAY, "--config", "secret.toml", "-v"),
    ],
)
def test_no_secret_is_ever_shown(words, venue, here, monkeypatch):
    running = venue()
    monkeypatch.setenv("LAKLAK_BINANCE_URL", running.url.replace("http://", f"http://me:{SECRET}@"))
    monkeypatch.setenv("INFLUXDB_PASSWORD", SECRET)
    Path("secret.toml").write_text(f'[binance]\nurl = "http://me:{SECRET}@127.0.0.1:1"\n')
    ended = here(*words)
    log = Path("backfill.log").read_text() if Path("backfill.log").exists() else ""
    assert SECRET not in ended.out + ended.err + log


def test_no_secret_is_shown_when_the_venue_cannot_be_reached(laklak, monkeypatch):
    monkeypatch.setenv("LAKLAK_BINANCE_URL", f"http://me:{SECRET}@127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", f"http://you:{SECRET}@127.0.0.1:9")
    ended = laklak("backfill", "LTCUSDT", *DAY, "-v")
    assert ended.exit == 2
    assert SECRET not in ended.out + ended.err + Path("backfill.log").read_text()


def test_what_the_venue_says_cannot_command_the_terminal(venue, here):
    body = '{"code": -1122, "msg": "\x1b[31mred\\n\\u0007error: forged\\u202e"}'.replace("\x1b", "\\u001b").encode()
    venue(script=lambda path, query, number: Override(status=400, body=body) if path == KLINES else None)
    ended = here("backfill", "LTCUSDT", *DAY)
    assert ended.exit == 1
    assert all(char.isprintable() or char == "\n" for char in ended.out + ended.err)
    assert not any(line.startswith("error: forged") for line in (ended.out + ended.err).splitlines())
