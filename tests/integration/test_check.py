"""`laklak check`: what it finds, that it leaves no trace, and that it ends whatever hangs."""

from __future__ import annotations

import itertools
import signal
import socket
import sqlite3
import time
from pathlib import Path

import pytest

from laklak.cli.terminal import emit
from laklak.model.findings import Checkup, Finding
from laklak.report.words import finding_lines
from laklak.simulator import Override
from laklak.stores.lock import StoreLock
from laklak.stores.sqlite.schema import SCHEMA_VERSION

PASSWORD = "hunt er2@/:"

_numbers = itertools.count(1)


def everything_in(folder):
    """All that is there; of what was spent of quotas only that it is noted: a look asks the venue, too."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() and path.suffix != ".spent" else None
        for path in sorted(Path(folder).rglob("*"))
    }


def filled(here, *words):
    assert here("backfill", "LTCUSDT", "--days", "1", "--log-file", "none", *words).exit == 0


# The whole


def test_where_all_is_well_nothing_is_wrong(venue, here, looked):
    venue()
    filled(here)
    found = looked(exit_status=0)
    assert found.troubles == []
    found.has(
        "store",
        "ok",
        f"sqlite:///{Path.cwd()}/laklak.db: 1 series, 1,440 candles, 2026-02-28T00:00Z to 2026-03-01T00:00Z",
    )
    found.has("store", "ok", f"SQLite {sqlite3.sqlite_version}, store version {SCHEMA_VERSION}")
    found.has("store", "ok", "it can be read and written")
    found.has("store", "ok", "no other backfill is filling it")
    found.has("store", "ok", "its candles are simulated ones")
    assert found.has("store", "ok", " free")["facts"]["free_bytes"] > 0
    found.has("assets", "ok", "assets.txt (found in this folder): 2 symbols")
    assert found.has("binance", "ok", "a simulator answers and lists 7 symbols")["facts"]["simulated"] is True
    found.has("binance", "ok", "its clock says 2026-03-01T00:00:05Z")
    found.has("binance", "ok", "it lists all 2 symbols of the asset list")
    assert list(found.answer["versions"]) == ["laklak", "Python", "SQLite", "aiohttp", "uvloop", "system"]


def test_the_lines_say_what_the_json_says(venue, here, looked):
    venue()
    found = looked("--store", "nowhere/x.db")
    ended = here("check", "--store", "nowhere/x.db")
    lines = ended.out.splitlines()
    assert ended.exit == 2
    for one in found.answer["findings"]:
        (line,) = [line for line in lines if line.startswith(f"{one['verdict']:7}  ") and one["text"][:30] in line]
        assert line.split()[1] == one["about"]
        assert (one["hint"] or "") in line
    assert lines[0].startswith(f"laklak {found.answer['version']}, Python ")
    assert lines[-1] == "1 problem, 0 warnings: laklak backfill cannot run before the problems are solved"
    assert ended.err == ""


@pytest.mark.parametrize("width", [80, 110])
def test_on_a_terminal_lines_are_broken_at_its_width(width):
    finding = Finding("problem", "it is gone" + " for good" * 20, "look for it" + " everywhere" * 20)
    lines = list(finding_lines(Checkup({}, (), [("store", finding), ("store", Finding("ok", "fine"))]), width))
    assert max(map(len, lines)) <= width
    assert [line[:9].strip() for line in lines if line[:1].strip()][:2] == ["problem", "ok"]
    words = " ".join(line[16:].strip() for line in lines[:-2])
    assert words == f"{finding.text} -> {finding.hint}"


@pytest.mark.parametrize("width", [None, 80])
def test_what_comes_from_outside_cannot_command_the_terminal(capfd, width):
    for line in finding_lines(Checkup({}, (), [("store", Finding("ok", "a\x1b[31mb\nc"))]), width):
        emit(line)
    assert capfd.readouterr().err.splitlines()[0] == "ok       store  a [31mb c"


def test_it_makes_and_changes_nothing(venue, here, looked, tmp_path):
    venue()
    filled(here, "--store", "there.db")
    before = everything_in(tmp_path)
    looked("--store", "there.db", exit_status=0)
    looked("--store", "absent.db", exit_status=0).has("store", "ok", "a backfill can make it")
    looked("--store", "absent/folder/x.db", exit_status=2)
    assert everything_in(tmp_path) == before


def test_it_costs_two_small_requests(venue, looked):
    running = venue()
    found = looked()
    assert [hit.path for hit in running.hits] == ["/fapi/v1/exchangeInfo", "/fapi/v1/time"]
    assert sum(hit.weight for hit in running.hits) == 2
    assert found.has("binance", "ok", "2 used in this minute")["facts"]["used_weight"] == 2


def test_trouble_of_the_venue_does_not_hide_the_store_nor_that_of_the_store_the_venue(venue, here, looked, monkeypatch):
    venue()
    filled(here)
    looked("--store", "no/folder/x.db").has("binance", "ok", "lists 7 symbols")
    monkeypatch.setenv("LAKLAK_BINANCE_URL", "http://127.0.0.1:9")
    found = looked(exit_status=2)
    found.has("store", "ok", "1,440 candles")
    assert found.troubles == [("binance", "problem")]


# Settings and the asset list


def test_settings_are_listed_with_where_they_came_from(venue, here, looked, monkeypatch):
    venue()
    Path("laklak.toml").write_text('days = 3\n[binance]\nchunk = "auto"\n')
    Path(".env").write_text("LAKLAK_WORKERS=5\n")
    monkeypatch.setenv("LAKLAK_MAX_WAIT", "5m")
    found = looked("--store", "mine.db").answer["settings"]
    assert found["store"] == {"value": "mine.db", "origin": "flag --store"}
    assert found["days"] == {"value": "3", "origin": "laklak.toml"}
    assert found["binance.chunk"] == {"value": "auto", "origin": "laklak.toml"}
    assert found["workers"] == {"value": "5", "origin": ".env:1"}
    assert found["max_wait"] == {"value": "300s", "origin": "environment LAKLAK_MAX_WAIT"}
    assert found["interval"] == {"value": "1m", "origin": "default"}
    lines = {tuple(line.split(maxsplit=2)) for line in here("check").out.splitlines()}
    assert ("workers", "5", "(.env:1)") in lines


def test_no_login_is_shown(venue, here, looked, monkeypatch):
    running = venue()
    monkeypatch.setenv("LAKLAK_INFLUXDB_PASSWORD", "secret-one")
    monkeypatch.setenv("LAKLAK_INFLUXDB_TOKEN", "secret-two")
    monkeypatch.setenv("LAKLAK_STORE", "influxdb://me:secret-three@127.0.0.1:9/db")
    monkeypatch.setenv("LAKLAK_BINANCE_URL", running.url.replace("//", "//me:secret-four@"))
    monkeypatch.setenv("http_proxy", "http://secret-five:secret-six@127.0.0.1:9")
    for words in (("check",), ("check", "--json")):
        ended = here(*words)
        assert "***" in ended.out
        assert "secret" not in ended.out + ended.err


def test_settings_that_cannot_be_read_are_a_problem(here, looked):
    Path("laklak.toml").write_text("wrokers = 3\n")
    found = looked(exit_status=2)
    assert "did you mean workers?" in found.has("settings", "problem", "unknown key 'wrokers'")["hint"]
    assert here("check").exit == 2


def test_a_broken_asset_list_is_a_problem_and_the_rest_is_looked_at(venue, looked):
    venue()
    Path("assets.txt").write_text("LTCUSDT binanze\n")
    found = looked(exit_status=2)
    found.has("assets", "problem", "assets.txt:1: unknown venue 'binanze'")
    found.has("binance", "ok", "lists 7 symbols")


def test_symbols_that_the_venue_does_not_list_are_a_warning(venue, looked):
    venue()
    with open("assets.txt", "a", encoding="utf-8") as file:
        file.write("NOSUCHUSDT binance\n")
    found = looked(exit_status=0)
    one = found.has("binance", "warning", "1 of 3 symbols of the asset list are not listed: NOSUCHUSDT")
    assert (one["facts"]["asked"], one["facts"]["unlisted"]) == (3, 1)


# The SQLite store


def test_another_program_s_database_is_a_problem_and_not_touched(venue, looked, sql):
    venue()
    sql("CREATE TABLE theirs (x)", path="theirs.db")
    before = everything_in(".")
    looked("--store", "theirs.db", exit_status=2).has("store", "problem", "database of another program")
    assert everything_in(".") == before


def test_a_newer_store_is_a_problem(venue, here, looked, sql):
    venue()
    filled(here)
    sql("PRAGMA user_version = 99")
    looked(exit_status=2).has("store", "problem", "has version 99; this laklak knows versions up to")


def test_a_damaged_store_is_a_problem(venue, here, looked):
    venue()
    filled(here)
    data = bytearray(Path("laklak.db").read_bytes())
    for page in range(1, len(data) // 8192):
        data[page * 8192 : page * 8192 + 200] = b"\xff" * 200
    Path("laklak.db").write_bytes(data)
    looked(exit_status=2).has("store", "problem", "damaged")


def test_who_fills_the_store_is_named(venue, laklak, looked):
    running = venue(latency_s=0.02)
    process = laklak.start("backfill", "LTCUSDT", "--days", "4", "--chunk", "99", "--workers", "1")
    running.wait_for_candle_hits(3)
    with laklak.halted(process):
        found = looked(exit_status=2)
    found.has("store", "problem", f"another backfill is filling {Path.cwd() / 'laklak.db'}: process {process.pid}")
    assert laklak.wait(process).exit == 0
    looked(exit_status=0).has("store", "ok", "no other backfill is filling it")


def test_the_lock_of_a_run_that_was_killed_is_free_again(venue, laklak, looked):
    running = venue(latency_s=0.05)
    process = laklak.start("backfill", "LTCUSDT", "--days", "4", "--chunk", "99", "--workers", "1")
    running.wait_for_candle_hits(3)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert Path("laklak.db.lock").read_text()
    looked(exit_status=0).has("store", "ok", "no other backfill is filling it")


def test_looking_at_a_lock_does_not_take_it(tmp_path):
    lock = StoreLock.for_file(tmp_path / "x.db")
    assert lock.examine().verdict == "ok"
    assert not Path(lock.path).exists()
    with lock:
        assert lock.examine().verdict == "problem"
    with StoreLock.for_file(tmp_path / "x.db"):
        pass


def test_another_program_that_writes_is_a_warning(venue, here, looked):
    venue()
    filled(here)
    connection = sqlite3.connect("laklak.db", isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        looked(exit_status=0).has("store", "warning", "another program has been writing for 2 s")
    finally:
        connection.close()


def test_candles_of_another_kind_than_the_venue_s_are_a_problem(venue, here, looked, sql):
    venue()
    filled(here)
    sql("UPDATE meta SET value = 'real' WHERE key = 'origin'")
    found = looked(exit_status=2)
    found.has("store", "ok", "its candles are real ones")
    found.has("store", "problem", "holds real candles")


def test_a_disk_without_room_to_spare_is_a_problem(venue, looked, monkeypatch):
    venue()
    monkeypatch.setattr("laklak.engine.check.SPARE_BYTES", 1 << 62)
    looked(exit_status=2).has("store", "problem", "to spare")


def test_a_range_in_the_settings_that_is_empty_is_a_problem(venue, looked):
    venue()
    Path("laklak.toml").write_text('start = "2030-01-01"\n')
    looked(exit_status=2).has("settings", "problem", "the range is empty")


# The venue


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:9", "binance at http://127.0.0.1:9 cannot be used: "),
        ("http://no.such.host.invalid", "cannot find the host no.such.host.invalid"),
    ],
)
def test_a_venue_that_cannot_be_reached_is_a_problem(url, words, looked, monkeypatch):
    monkeypatch.setenv("LAKLAK_BINANCE_URL", url)
    one = looked(exit_status=2).has("binance", "problem", words)
    assert "LAKLAK_BINANCE_URL" in one["hint"]


def test_a_server_without_tls_is_a_problem(venue, looked, monkeypatch):
    monkeypatch.setenv("LAKLAK_BINANCE_URL", venue().url.replace("http://", "https://"))
    looked(exit_status=2).has("binance", "problem", "no trusted connection")


@pytest.mark.parametrize(("fault", "words"), [("403", "HTTP 403"), ("451", "HTTP 451")])
def test_a_region_or_firewall_that_refuses_is_a_problem(fault, words, venue, looked):
    venue(script=lambda path, query, number: Override(fault=fault))
    one = looked(exit_status=2).has("binance", "problem", words)
    assert "another network, or HTTPS_PROXY" in one["hint"]


def test_a_region_that_refuses_is_a_warning_where_there_are_files(venue, looked, monkeypatch):
    monkeypatch.setenv("LAKLAK_BINANCE_ARCHIVE_URL", venue(script=lambda *_: Override(fault="451")).url)
    one = looked(exit_status=0).has("binance", "warning", "HTTP 451")
    assert "the bulk files alone" in one["hint"]


def test_something_else_than_the_venue_is_a_problem(venue, looked):
    venue(script=lambda path, query, number: Override(body=b"<html>welcome</html>"))
    looked(exit_status=2).has("binance", "problem", "answered with something else")


def test_during_a_ban_nothing_is_sent(venue, here, looked):
    running = venue()
    running.ban(3600)
    first = looked(exit_status=2).has("binance", "problem", "does not answer this address before")
    assert len(running.hits) == 1
    again = looked(exit_status=2).has("binance", "problem", "banned, as an earlier run was told")
    assert len(running.hits) == 1
    assert first["facts"]["until"][:13] == again["facts"]["until"][:13]


def test_a_ban_that_a_run_would_wait_for_is_a_warning(venue, looked):
    running = venue()
    running.ban(120)
    looked(exit_status=0).has("binance", "warning", "a run would wait for that")
    assert len(running.hits) == 1


def test_weight_that_others_use_is_told(venue, looked, monkeypatch):
    running = venue(budget=2400, wall_clock=lambda: 1_772_323_230.0)
    monkeypatch.setenv("LAKLAK_BINANCE_BUDGET", "1200")

    async def spend():
        running.simulator.spend(1000)

    running.do(spend())
    one = looked(exit_status=0).has("binance", "ok", "budget 1,200 of the 2,400 weight a minute")
    assert one["facts"] == {"budget": 1200, "advertised_weight": 2400, "used_weight": 1002, "others_weight": 1000}
    running.do(spend())
    looked(exit_status=0).has("binance", "warning", "what is left is less than the budget")


def test_a_budget_that_leaves_no_turn_is_a_warning_in_bounded_time(looked_within, venue, listed, monkeypatch):
    venue()
    monkeypatch.setenv("LAKLAK_BINANCE_BUDGET", "1")
    monkeypatch.setenv("LAKLAK_BINANCE_CHUNK", "99")
    checkup = looked_within(0.5)
    assert checkup.exit == 0
    assert any("the budget is 1 weight a minute" in finding.text for _, finding in checkup.findings)


def test_a_budget_beyond_what_is_advertised_is_a_problem(venue, looked, monkeypatch):
    venue(budget=2400)
    monkeypatch.setenv("LAKLAK_BINANCE_BUDGET", "5000")
    looked(exit_status=2).has("binance", "problem", "budget 5000 is more than the 2400 weight a minute")


@pytest.fixture
def real_venue(venue, monkeypatch):
    """A venue that does not say that it is a simulator, with a clock that goes."""

    def start(ahead_ms):
        monkeypatch.setattr("laklak.simulator.server.SIMULATOR_HEADER", "X-Nothing")
        return venue(clock="ticking", clock_ms=time.time_ns() // 1_000_000 + ahead_ms)

    return start


@pytest.mark.parametrize(
    ("ahead_ms", "verdict", "words"),
    [(0, "ok", "round trip"), (5_000, "warning", "behind its clock"), (-90_000, "warning", "TLS may fail")],
)
def test_the_clock_is_held_against_the_venue_s(ahead_ms, verdict, words, real_venue, looked):
    real_venue(ahead_ms)
    one = looked(exit_status=0).has("binance", verdict, words)
    assert abs(one["facts"]["clock_ahead_ms"] + ahead_ms) < 900


def test_the_proxy_is_named_without_its_login(venue, looked, monkeypatch):
    venue()
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    monkeypatch.setenv("http_proxy", f"http://me:pw@127.0.0.1:{port}")
    found = looked(exit_status=2)
    found.has("binance", "ok", f"asked through the proxy http://***@127.0.0.1:{port}")
    found.has("binance", "problem", "does not let us through")
