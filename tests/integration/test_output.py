"""What the program says, where it says it, and what it never says."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from laklak.model.series import iso
from laklak.simulator import Override, SymbolOverride, generate
from laklak.simulator.dialects.binance import KLINES
from laklak.stores.lock import StoreLock
from laklak.text import MOVES_LOG

DAY = ("--days", "1")
DAY_MS = 86_400_000
END_MS = 1_772_323_200_000
ROOT = Path(__file__).parents[2]
PLAN_KEYS = frozenset(
    [
        "series",
        "wanted",
        "stored_before",
        "holes",
        "rejected",
        "to_fetch",
        "requests",
        "weight",
        "seconds_estimated",
        "alternatives",
    ]
)


def test_the_summary_goes_to_stdout_and_everything_else_to_stderr(venue, here):
    venue()
    ended = here("backfill", "LTCUSDT", *DAY)
    assert ended.out.startswith("complete: 1,440 of 1,440 candles of 1 series")
    first, second = ended.err.splitlines()
    assert re.fullmatch(rf"store: sqlite:///{re.escape(os.getcwd())}/laklak\.db: new file; .+ free", first)
    assert second.startswith("plan: 1 series, 2026-02-28T00:00Z to 2026-03-01T00:00Z: 1,440 of 1,440 candles to fetch")


def test_the_store_is_always_named_first_with_what_it_holds(venue, here):
    venue()
    here("backfill", "LTCUSDT", *DAY)
    ended = here("backfill", "LTCUSDT", *DAY)
    assert ended.err.startswith(
        f"store: sqlite:///{os.getcwd()}/laklak.db: 1 series, 1,440 candles, 2026-02-28T00:00Z to "
    )


def test_json_is_all_there_is_on_stdout(venue, laklak, check_sum):
    venue()
    ended = laklak("backfill", "LTCUSDT", *DAY, "--json")
    assert ended.out.count("\n") == 1
    answer = check_sum(ended.json)
    assert (answer["store"], answer["series"], answer["error"], answer["hint"]) == (
        f"sqlite:///{os.getcwd()}/laklak.db",
        1,
        None,
        None,
    )
    assert (answer["banned_until"], answer["dead_letter"]) == (None, None)
    assert answer["requests"] == answer["candle_requests"] + 2
    assert answer["candles_per_second"] > 0


@pytest.mark.parametrize("symbols", [("LTCUSDT", "DOTUSDT"), ("NOPEUSDT",)])
def test_a_dry_run_makes_no_store_and_asks_no_candle(symbols, venue, here):
    """But for one of a symbol that is not listed, for somebody may have it all the same."""
    running = venue()
    assert here("backfill", *symbols, *DAY, "--dry-run", "--log-file", "none").exit == (
        2 if "NOPEUSDT" in symbols else 0
    )
    assert [hit.query["symbol"] for hit in running.candle_hits] == [one for one in symbols if one == "NOPEUSDT"]
    assert os.listdir() == []


def test_a_dry_run_counts_exactly_what_the_run_then_asks(venue, here):
    venue()
    words = ("backfill", "LTCUSDT", "DOTUSDT", "--days", "3", "--json")
    plan = here(*words, "-n").json
    assert set(plan) >= PLAN_KEYS
    assert (plan["wanted"], plan["to_fetch"], plan["stored_before"]) == (8640, 8640, 0)
    done = here(*words).json
    assert done["candle_requests"] == plan["requests"]
    assert done["weight"] == plan["weight"] + 2
    assert here(*words, "-n").json["to_fetch"] == 0


def test_a_dry_run_leaves_an_existing_store_as_it_is(venue, here):
    venue()
    here("backfill", "LTCUSDT", *DAY)
    before = Path("laklak.db").read_bytes()
    assert here("backfill", "LTCUSDT", "--days", "2", "-n").exit == 0
    assert Path("laklak.db").read_bytes() == before


def test_a_dry_run_shows_what_other_pages_and_budgets_would_take(venue, here, monkeypatch):
    venue(budget=2400)
    monkeypatch.delenv("LAKLAK_BINANCE_BUDGET")
    words = ("backfill", "LTCUSDT", "DOTUSDT", "AVAXUSDT", "--days", "4", "-n")
    table = here(*words, "--json").json["alternatives"]
    by_choice = {(row["chunk"], row["budget"]): row for row in table}
    assert {budget for _, budget in by_choice} == {1200, 2400}
    now, cheap = by_choice[1000, 1200], by_choice[499, 1200]
    assert now["requests"] == 18
    assert cheap["weight"] < now["weight"]
    assert cheap["seconds"] < now["seconds"]
    assert by_choice[1000, 2400]["seconds"] == pytest.approx(now["seconds"] / 2, abs=0.1)
    assert "<- now" in here(*words).out


def test_before_fetching_one_line_says_what_chunk_auto_would_save(venue, here, monkeypatch):
    venue(budget=2400, latency_s=0.0)
    monkeypatch.setenv("LAKLAK_BINANCE_BUDGET", "2000")
    ended = here("backfill", "LTCUSDT", "--days", "4", "-n")
    assert "to fetch in 6 requests, weight 30, at least 0.9 s at 2000 weight a minute" in ended.out
    many = here("backfill", "LTCUSDT", "DOTUSDT", "AVAXUSDT", "LINKUSDT", "--days", "4", "-n", "--budget", "1000")
    assert "; --chunk auto would save " in many.out


@pytest.mark.parametrize("extra", [("-q",), ("--quiet",)])
def test_quiet_says_nothing_when_all_is_well(extra, venue, here):
    venue()
    ended = here("backfill", "LTCUSDT", *DAY, *extra)
    assert (ended.exit, ended.out, ended.err) == (0, "", "")


def test_quiet_still_warns(venue, here):
    venue()
    Path("assets.txt").write_text("LTCUSDT binance\nNOPEUSDT binance\n")
    ended = here("backfill", "-q", *DAY)
    assert (ended.exit, ended.out) == (1, "")
    assert ended.err.splitlines() == ["warning: binance does not know: binance:NOPEUSDT:1m"]


def test_quiet_tells_a_thing_once_per_change(venue, here):
    venue()
    Path("assets.txt").write_text("LTCUSDT binance\nBTC=F okx\n")
    words = ("backfill", "-q", *DAY)
    assert here(*words).lines("warning") == ["1 symbol of okx skipped: this venue is not built yet"]
    assert here(*words).err == ""
    Path("assets.txt").write_text("LTCUSDT binance\nBTC=F okx\nETH=F okx\n")
    assert here(*words).lines("warning") == ["2 symbols of okx skipped: this venue is not built yet"]
    assert here(*words).err == ""
    # Not quiet, everything is told, as before.
    assert here("backfill", *DAY).lines("warning") == ["2 symbols of okx skipped: this venue is not built yet"]
    # Another job has not been told.
    assert here(*words, "--store", "b.db").lines("warning") != []
    assert Path("backfill.log").read_text().count("2 symbols of okx") == 4


def test_quiet_tells_what_has_gone_and_come_again(venue, here):
    venue()
    for listed, told in [("BTC=F okx", 1), ("", 0), ("BTC=F okx", 1), ("BTC=F okx", 0)]:
        Path("assets.txt").write_text(f"LTCUSDT binance\n{listed}\n")
        assert len(here("backfill", "-q", *DAY).lines("warning")) == told


def test_quiet_never_fails_without_a_word(venue, here):
    venue()
    Path("assets.txt").write_text("LTCUSDT binance\nNOPEUSDT binance\n")
    for _ in range(3):
        ended = here("backfill", "-q", *DAY)
        assert (ended.exit, ended.lines("warning")) == (1, ["binance does not know: binance:NOPEUSDT:1m"])


@pytest.mark.parametrize("state", ["nonsense", "[1, 2", '{"a": 1}'])
def test_a_memory_of_what_was_told_that_cannot_be_read_costs_nothing_but_a_line(state, venue, here, tmp_path):
    venue()
    Path("assets.txt").write_text("LTCUSDT binance\nBTC=F okx\n")
    here("backfill", "-q", *DAY)
    (book,) = (tmp_path / "home/state").rglob("told-*.json")
    book.write_text(state)
    ended = here("backfill", "-q", *DAY)
    assert (ended.exit, len(ended.lines("warning"))) == (0, 1)


@pytest.mark.parametrize(("hours", "told"), [(5.9, False), (6.1, True)])
def test_quiet_does_not_speak_of_a_run_that_has_begun_within_six_hours(hours, told, venue, here):
    venue()
    assert here("backfill", "LTCUSDT", *DAY).exit == 0
    with StoreLock.for_file("laklak.db") as lock:
        since = iso(int(time.time() - hours * 3600) * 1000)
        Path(lock.path).write_text(json.dumps({"pid": 4711, "since": since}))
        quiet, loud = here("backfill", "LTCUSDT", *DAY, "-q"), here("backfill", "LTCUSDT", *DAY)
    assert (quiet.exit, quiet.out, bool(quiet.err)) == (75, "", told)
    assert "another backfill is filling" in loud.err
    assert Path("backfill.log").read_text().count("another backfill is filling") == 2


def test_the_log_names_once_what_somebody_has_set(venue, here):
    running = venue()
    here("backfill", "LTCUSDT", *DAY)
    (line,) = [line for line in Path("backfill.log").read_text().splitlines() if "days = 1" in line]
    assert line.endswith(
        "INFO settings: days = 1 (flag --days); start_wait = 0s (environment LAKLAK_START_WAIT); "
        f"binance.url = {running.url} (environment LAKLAK_BINANCE_URL); "
        "binance.budget = max (environment LAKLAK_BINANCE_BUDGET)"
    )
    assert "workers" not in Path("backfill.log").read_text()


@pytest.mark.parametrize("words", [("-q",), ("--no-progress",), ()])
def test_the_log_gets_the_lines_of_progress(words, venue, laklak):
    venue(latency_s=0.3)
    often = "import laklak.cli.terminal; laklak.cli.terminal.STATUS_EVERY_S = 0.1"
    ended = laklak("backfill", "LTCUSDT", *DAY, "--chunk", "99", "--workers", "2", *words, first=often)
    assert ended.exit == 0
    assert re.search(r"INFO \d+\.\d % [\d,]+ of 1,440 candles, .*ETA ", Path("backfill.log").read_text())
    assert (" of 1,440 candles, " in ended.err) == (not words)


def test_a_log_can_be_switched_off(venue, here):
    venue()
    assert here("backfill", "LTCUSDT", *DAY, "--log-file", "none").exit == 0
    assert not Path("backfill.log").exists()


@pytest.mark.parametrize("place", ["no/such/folder/x.log", "."])
def test_a_log_in_an_impossible_place_is_one_warning(place, venue, here):
    venue()
    ended = here("backfill", "LTCUSDT", *DAY, "--log-file", place)
    assert ended.exit == 0
    (warning,) = ended.lines("warning")
    assert warning.startswith("no log: ")


def test_a_store_given_as_the_log_is_not_written_into(venue, here):
    venue()
    assert here("backfill", "LTCUSDT", *DAY).exit == 0
    before = Path("laklak.db").read_bytes()
    ended = here("backfill", "LTCUSDT", *DAY, "-n", "--log-file", "laklak.db")
    assert ended.exit == 0
    assert ended.lines("warning") == [
        f"no log: laklak.db: this is a database, not a log; going on without; {MOVES_LOG}"
    ]
    assert Path("laklak.db").read_bytes() == before


def test_a_log_on_a_full_disk_costs_nothing_but_the_log(venue, laklak):
    venue()
    ended = laklak("backfill", "LTCUSDT", *DAY, "--log-file", "/dev/full", "-v")
    assert ended.exit == 0
    assert len(ended.err.splitlines()) == 2


def test_a_reader_that_has_gone_away_is_no_error(venue):
    venue()
    line = f"{sys.executable} -m laklak backfill LTCUSDT --days 1 2>&1 | true; exit ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


LOST = [">&-", ">/dev/full", "2>&-", "2>/dev/full", ">&- 2>&- <&-"]
COMMANDS = [("backfill LTCUSDT --days 1 --json", 0), ("backfill LTCUSDT --days 1", 0), ("backfill LTCUSDT --json", 2)]


@pytest.mark.parametrize(
    ("words", "status", "lost"),
    [
        # Every day one command loses each of its streams, and the others lose all of them.
        pytest.param(*command, lost, marks=[] if command == COMMANDS[0] or lost == LOST[-1] else pytest.mark.long)
        for command in COMMANDS
        for lost in LOST
    ],
)
def test_output_that_nobody_takes_changes_nothing(lost, words, status, venue):
    venue()
    line = f"{sys.executable} -m laklak {words} {lost}"
    ended = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == status
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("encoding", ["ascii", pytest.param("latin-1", marks=pytest.mark.long), "utf-8"])
def test_what_a_terminal_cannot_spell_is_escaped_and_not_dropped(encoding, venue):
    venue(generate(symbols=6, days=1))
    words = [sys.executable, "-m", "laklak"]
    span = ["币安人生USDT", "--start", "2026-11-20", "--end", "2026-11-20T00:05"]
    environment = {**os.environ, "PYTHONIOENCODING": encoding}

    def run(*more):
        return subprocess.run([*words, *more], capture_output=True, timeout=60, check=True, env=environment).stdout

    answer = json.loads(run("backfill", *span, "--json"))
    assert answer["written"] == 5
    name = "币安人生USDT" if encoding == "utf-8" else "\\u5e01\\u5b89\\u4eba\\u751fUSDT"
    assert run("show", "币安人生USDT").decode(encoding).splitlines()[0] == f"binance:{name}:1m"


def test_an_internal_error_is_one_line_and_its_traceback_goes_to_the_log(venue, here, check_sum, monkeypatch):
    venue()

    def broken(*_):
        raise ZeroDivisionError("on purpose")

    monkeypatch.setattr("laklak.engine.asking.first_answer", broken)
    ended = here("backfill", "LTCUSDT", *DAY, "--json", "-v")
    assert ended.exit == 1
    check_sum(ended.json)
    (error,) = ended.lines("error")
    assert "ZeroDivisionError: on purpose" in error
    assert "Traceback" in Path("backfill.log").read_text()


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


def on_terminal(words, seconds=30):
    """Run on a pseudo terminal; gives exit status and everything that appeared on it."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "laklak", *words], stdin=follower, stdout=follower, stderr=follower, close_fds=True
    )
    os.close(follower)
    shown = b""
    deadline = time.monotonic() + seconds
    try:
        while time.monotonic() < deadline:
            if select.select([leader], [], [], 0.1)[0]:
                try:
                    piece = os.read(leader, 65536)
                except OSError:
                    break
                if not piece:
                    break
                shown += piece
        return process.wait(60), shown.decode()
    finally:
        process.kill()
        process.wait()
        os.close(leader)


def test_a_terminal_shows_progress_and_coloured_warnings(venue, monkeypatch):
    venue(latency_s=0.2)
    monkeypatch.setenv("TERM", "xterm-256color")
    Path("assets.txt").write_text("LTCUSDT binance\nBTC=F okx\n")
    exit_status, shown = on_terminal(["backfill", "--days", "1", "--chunk", "99", "--workers", "4"])
    assert exit_status == 0
    assert "of 1,440 candles" in shown
    assert "ETA" in shown
    assert "\x1b[33mwarning:\x1b[0m" in shown


def test_no_color_takes_the_colours_away(venue, monkeypatch):
    venue(latency_s=0.2)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    Path("assets.txt").write_text("LTCUSDT binance\nBTC=F okx\n")
    exit_status, shown = on_terminal(["backfill", "--days", "1", "--chunk", "99", "--workers", "4"])
    assert exit_status == 0
    assert "warning: 1 symbol of okx" in shown
    assert not re.search(r"\x1b\[[0-9;]*3[0-9][0-9;]*m", shown)


def test_no_progress_draws_nothing(venue, monkeypatch):
    venue(latency_s=0.2)
    monkeypatch.setenv("TERM", "xterm-256color")
    words = ["backfill", "LTCUSDT", "--days", "1", "--chunk", "99", "--workers", "4", "--no-progress"]
    exit_status, shown = on_terminal(words)
    assert exit_status == 0
    assert "ETA" not in shown
    assert "\x1b" not in shown


def test_help_answers_in_a_fifth_of_a_second():
    def cpu_s():
        before = os.times()
        subprocess.run([sys.executable, "-m", "laklak", "--help"], check=True, capture_output=True, timeout=20)
        after = os.times()
        return after.children_user - before.children_user + after.children_system - before.children_system

    assert min(cpu_s() for _ in range(5)) < 0.2


def test_help_imports_nothing_heavy():
    code = "import sys; from laklak.cli import run; run(['--help']); print(*sys.modules, file=sys.stderr)"
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=20)
    assert not {"aiohttp", "polars", "rich", "anyio", "uvloop", "laklak.engine"} & set(ended.stderr.split())


def test_the_examples_of_the_help_stand_on_lines_of_their_own(here):
    lines = [line.strip() for line in here("backfill", "--help").out.splitlines()]
    assert "laklak backfill --days 90" in lines
    assert lines[0] == "Usage: laklak backfill [OPTIONS] [SYMBOL]..."


@pytest.mark.parametrize(
    "command",
    [
        "assets",
        "backfill",
        "bench",
        "certificate",
        "check",
        "copy",
        "coverage",
        "explain",
        "export",
        "fill",
        "import",
        "resample",
        "runs",
        "show",
        "simulate",
    ],
)
def test_every_command_explains_itself_and_the_readme_names_it(command, here):
    ended = here(command, "--help")
    assert ended.exit == 0
    assert f"laklak {command}" in ended.out
    options = re.findall(r"^  (?:-\w, )?--[\w-]+.*$", ended.out, re.MULTILINE)
    assert options
    assert f"laklak {command}" in (ROOT / "README.md").read_text()


def test_every_option_has_a_help_text():
    from typer.main import get_command

    from laklak.cli import app

    group = get_command(app)
    assert sorted(group.commands) == [
        "assets",
        "backfill",
        "bench",
        "certificate",
        "check",
        "copy",
        "coverage",
        "digest",
        "explain",
        "export",
        "fill",
        "import",
        "resample",
        "runs",
        "show",
        "simulate",
        "verify",
    ]
    assert sorted(group.commands["assets"].commands) == ["check", "convert", "list", "refresh"]
    assert sorted(group.commands["certificate"].commands) == ["check", "diff", "issue"]
    inner = [*group.commands["assets"].commands.values(), *group.commands["certificate"].commands.values()]
    for command in [*group.commands.values(), *inner]:
        assert command.help
        assert [option.name for option in command.params if not getattr(option, "help", None)] == []


def test_the_readme_and_help_document_the_exit_status(here):
    for text in (here("--help").out, here("backfill", "--help").out, (ROOT / "README.md").read_text()):
        for status in ("75", "130", "143"):
            assert status in text


def test_the_settings_stand_at_the_end_of_the_help(here):
    options = re.findall(r"^\s+(?:-\w, )?(--[\w-]+)", here("backfill", "--help").out, re.MULTILINE)
    assert options[-3:] == ["--workers", "--batch-size", "--help"] or options[-2:] == ["--workers", "--batch-size"]


def test_the_version_is_told(here):
    import laklak

    assert here("--version").out == f"laklak {laklak.__version__}\n"


def test_show_prints_the_newest_candles_with_all_their_digits(venue, here):
    venue()
    here("backfill", "ALGOUSDT", *DAY)
    ended = here("show", "binance:ALGOUSDT:1m", "--last", "3")
    head, columns, *rows = ended.out.splitlines()
    assert head == "binance:ALGOUSDT:1m"
    assert columns.split() == ["open_time", "open", "high", "low", "close", "volume"]
    assert [row.split()[0] for row in rows] == ["2026-02-28T23:57Z", "2026-02-28T23:58Z", "2026-02-28T23:59Z"]
    assert here("show", "ALGOUSDT", "--last", "3").out == ended.out


def test_show_of_a_series_that_is_not_stored_says_how_to_get_it(venue, here):
    venue()
    here("backfill", "ALGOUSDT", *DAY)
    ended = here("show", "DOTUSDT")
    assert ended.exit == 1
    assert "laklak backfill binance:DOTUSDT" in ended.lines("hint")[0]


def times_of(lines):
    return [line.split()[0] for line in lines]


@pytest.mark.parametrize(
    ("words", "times"),
    [
        (("--first", "2"), ["2026-02-28T00:00Z", "2026-02-28T00:01Z"]),
        (("--start", "2026-02-28T10:00", "--end", "2026-02-28T10:02"), ["2026-02-28T10:00Z", "2026-02-28T10:01Z"]),
        (("--start", "2026-02-28T10:00", "--first", "1"), ["2026-02-28T10:00Z"]),
        (("--end", "2026-02-28T10:00", "--last", "1"), ["2026-02-28T09:59Z"]),
        (("--start", "2026-02-28T23:59"), ["2026-02-28T23:59Z"]),
        (("--end", "2026-02-28T00:01Z"), ["2026-02-28T00:00Z"]),
    ],
)
def test_show_prints_the_part_that_is_asked_for(words, times, venue, here):
    venue()
    here("backfill", "ALGOUSDT", *DAY)
    assert times_of(here("show", "ALGOUSDT", *words).out.splitlines()[2:]) == times


def test_show_finds_the_first_candles_behind_holes(venue, here):
    holes = frozenset(range(END_MS - DAY_MS + 60_000, END_MS - DAY_MS + 600 * 60_000, 60_000))
    venue(overrides={"LTCUSDT": SymbolOverride(holes=holes)})
    here("backfill", "LTCUSDT", *DAY)
    times = times_of(here("show", "LTCUSDT", "--first", "3").out.splitlines()[2:])
    assert times == ["2026-02-28T00:00Z", "2026-02-28T10:00Z", "2026-02-28T10:01Z"]


def test_show_gives_csv_and_json_with_all_digits(venue, here, truth):
    venue()
    here("backfill", "ALGOUSDT", *DAY)
    values = truth(["ALGOUSDT"], END_MS - DAY_MS)
    rows = list(csv.DictReader(io.StringIO(here("show", "ALGOUSDT", "--start", "2026-02-28", "--csv").out)))
    answer = here("show", "ALGOUSDT", "--start", "2026-02-28", "--json").json
    columns = ("open", "high", "low", "close", "volume")
    assert list(rows[0]) == ["open_time", "time", *columns]
    assert (answer["series"], answer["error"], answer["schema"]) == ("binance:ALGOUSDT:1m", None, 1)
    for candles in (rows, answer["candles"]):
        read = {("ALGOUSDT", int(one["open_time"])): tuple(float(one[name]) for name in columns) for one in candles}
        assert read == values
    assert (rows[0]["time"], answer["candles"][0]["time"]) == ("2026-02-28T00:00Z", "2026-02-28T00:00Z")


@pytest.mark.parametrize(
    ("words", "status", "error"),
    [
        (("--first", "1", "--last", "1"), 2, "--first and --last exclude each other"),
        (("--json", "--csv"), 2, "--json and --csv exclude each other"),
        (("--start", "soon"), 2, "'soon' is not a time"),
        (("--start", "2026-02-28", "--end", "2026-02-28"), 2, "start 2026-02-28 is not before end 2026-02-28"),
        (("--start", "2020-01-01", "--end", "2020-01-02"), 1, "no candles of binance:ALGOUSDT:1m in this time"),
    ],
)
def test_show_of_what_cannot_be_shown_is_one_line(words, status, error, venue, here):
    venue()
    here("backfill", "ALGOUSDT", *DAY)
    ended = here("show", "ALGOUSDT", *words)
    assert ended.exit == status
    assert error in ended.lines("error")[0]


def test_show_gives_json_also_where_it_fails(venue, here):
    venue()
    here("backfill", "ALGOUSDT", *DAY)
    for words in (("ALGOUSD",), ("ALGOUSDT", "--start", "soon"), ("ALGOUSDT", "--store", "none.db")):
        ended = here("show", *words, "--json")
        assert ended.exit in (1, 2)
        assert (ended.json["candles"], bool(ended.json["error"])) == ([], True)


def test_show_names_near_series_where_there_is_none(venue, here):
    venue()
    here("backfill", "ALGOUSDT", *DAY)
    assert (
        here("show", "ALGO")
        .lines("hint")[0]
        .startswith("did you mean binance:ALGOUSDT:1m? If not, fetch it first: laklak ")
    )


def test_python_dash_m_and_the_program_are_the_same(laklak):
    program = Path(sys.executable).with_name("laklak")
    assert subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout == (
        laklak("--version").out
    )
