"""What the README says can be done is done here as it stands there."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from copies import candles, fill

from laklak.model.series import Interval, Series, TimeRange
from laklak.plan.cost import Budget, cost_of
from laklak.plan.missing import SeriesPlan
from laklak.settings.spec import SPECS
from laklak.settings.table import OF_VENUES
from laklak.simulator.market import SymbolOverride
from laklak.text import duration_text
from laklak.venues import VENUES
from laklak.venues.base import Asked, unlisted

README = (Path(__file__).parents[2] / "README.md").read_text()
END_MS = 1_772_323_200_000
DAY_MS = 86_400_000

# What is a table of names: these differ from run to run.
BY_NAME = {"files.failed", "findings[].facts", "settings", "versions", "venues", "paces"}


def tables():
    """The keys that the README gives for each command, as `backfill --dry-run` -> keys."""
    found = {}
    for head, body in re.findall(
        r"^\| `laklak ([^`]*) --json` \| \|\n\|---\|---\|\n((?:\|.*\n)+)", README, re.MULTILINE
    ):
        found[head] = [key for line in body.splitlines() for key in re.findall(r"`([^`]+)`", line.split(" | ")[0])]
    return found


def test_every_setting_is_told_with_its_default():
    rows = re.search(r"^\| key \| default \| \|\n\|---\|---\|---\|\n((?:\|.*\n)+)", README, re.MULTILINE)[
        1
    ].splitlines()
    told = {
        key: row.split("|")[2].strip(" `") or None
        for row in rows
        for key in re.findall(r"`([^`]+)`", row.split("|")[1])
    }
    # Where it is differs from machine to machine.
    assert told.pop("state_dir") == "your state folder"
    ours = {key: spec.default for key, spec in SPECS.items() if key != "state_dir"}
    assert told == ours | dict.fromkeys(OF_VENUES)


def keys_of(answer, told, before=""):
    """The keys of an answer; what the README tells as a whole is taken as a whole."""
    found = []
    for name, value in answer.items():
        key = before + name
        if key in told or key in BY_NAME:
            found.append(key)
        elif isinstance(value, dict):
            found += keys_of(value, told, f"{key}.")
        elif isinstance(value, list) and value:
            inner = [keys_of(one, told, f"{key}[].") for one in value]
            assert all(one == inner[0] for one in inner)
            found += inner[0]
        else:
            found.append(key)
    return found


def same_keys(answer, command):
    told = tables()[command]
    assert len(told) == len(set(told))
    assert sorted(keys_of(answer, told)) == sorted(told)


@pytest.fixture
def filled(archive, here):
    """A store with the four recorded days of a symbol."""
    archive()
    assert here("backfill", "LTCUSDT", "--days", "4", "-q").exit == 0


def test_every_table_of_keys_is_held_against_its_command():
    assert list(tables()) == [
        "backfill",
        "backfill --dry-run",
        "copy",
        "check",
        "show",
        "coverage",
        "explain",
        "runs",
        "digest",
        "export",
        "import",
        "resample",
        "verify",
        "certificate",
        "certificate check",
        "certificate diff",
        "assets list",
        "assets check",
    ]


def test_the_keys_of_a_backfill_are_those_that_the_readme_tells(archive, beside, here, monkeypatch):
    archive(overrides={"DOTUSDT": SymbolOverride(delivery_ms=END_MS - DAY_MS, status="SETTLING")})
    beside("bybit")
    monkeypatch.setattr(VENUES["bybit"], "reach_ms", lambda interval: 2 * DAY_MS, raising=False)
    Path("assets.txt").write_text("LTCUSDT binance\nDOTUSDT binance\nNOUSDT binance\nLTCUSDT bybit\n")

    answer = here("backfill", "--start", "2026-02-24", "--end", "2026-03-01", "--refetch", "--json").json

    assert answer["begun_series"]
    assert answer["ended_series"]
    assert answer["failed_series"]
    assert answer["reached_series"]
    same_keys(answer, "backfill")


def test_the_keys_of_a_dry_run_are_those_that_the_readme_tells(archive, here):
    archive()

    same_keys(here("backfill", "LTCUSDT", "--days", "2", "--dry-run", "--json").json, "backfill --dry-run")


def test_the_keys_of_a_copy_are_those_that_the_readme_tells(filled, here):
    same_keys(here("copy", "laklak.db", "b.db", "--json").json, "copy")


def test_the_keys_of_a_check_are_those_that_the_readme_tells(filled, here):
    same_keys(here("check", "--json").json, "check")


def test_the_keys_of_what_is_shown_are_those_that_the_readme_tells(filled, here):
    same_keys(here("show", "LTCUSDT", "--json").json, "show")


def test_the_keys_of_a_coverage_are_those_that_the_readme_tells(filled, here, sql):
    # Two stretches, the first of them the longer one.
    sql("DELETE FROM candles WHERE open_time IN (SELECT open_time FROM candles ORDER BY open_time LIMIT 3 OFFSET 9)")
    same_keys(here("coverage", "--json").json, "coverage")


def test_the_keys_of_an_explanation_are_those_that_the_readme_tells(filled, here):
    same_keys(here("explain", "LTCUSDT", "2026-02-28", "--json").json, "explain")


def test_the_keys_of_runs_are_those_that_the_readme_tells(filled, here):
    same_keys(here("runs", "--json").json, "runs")


def test_the_keys_of_digests_are_those_that_the_readme_tells(filled, here):
    same_keys(here("digest", "--json").json, "digest")


def test_the_keys_of_what_is_verified_are_those_that_the_readme_tells(filled, here, sql):
    sql("UPDATE candle SET volume = -1 WHERE open_time IN (SELECT open_time FROM candles ORDER BY open_time LIMIT 3)")
    same_keys(here("verify", "--json").json, "verify")


def test_the_keys_of_a_certificate_are_those_that_the_readme_tells(filled, here, sql):
    sql("DELETE FROM candles WHERE open_time IN (SELECT open_time FROM candles ORDER BY open_time LIMIT 3 OFFSET 9)")
    same_keys(here("certificate", "--json").json, "certificate")


def test_the_keys_of_a_check_of_a_certificate_are_those_that_the_readme_tells(filled, here, sql):
    assert here("certificate", "--out", "it.json").exit == 0
    sql("DELETE FROM candles WHERE open_time IN (SELECT open_time FROM candles ORDER BY open_time LIMIT 3)")
    same_keys(here("certificate", "check", "it.json", "--store", "laklak.db", "--json").json, "certificate check")


def test_the_keys_of_two_certificates_are_those_that_the_readme_tells(filled, here, sql):
    assert here("certificate", "--out", "a.json").exit == 0
    sql("DELETE FROM candles WHERE open_time IN (SELECT open_time FROM candles ORDER BY open_time LIMIT 3)")
    here("certificate", "--out", "b.json")
    same_keys(here("certificate", "diff", "a.json", "b.json", "--json").json, "certificate diff")


def test_the_readme_recomputes_the_root_of_a_series_without_laklak(filled, here):
    told = block_after("## Digests", "python")
    assert "laklak" not in re.sub(r'"laklak\.db"|laklak-digest-1', "", told)
    told = told.replace("binance:BTCUSDT:1m", "binance:LTCUSDT:1m")

    found = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True).stdout.strip()

    assert found == here("digest", "LTCUSDT", "--json").json["series"][0]["root"]


def test_the_readme_recomputes_the_sum_of_a_certificate_without_laklak(filled, here):
    assert here("certificate", "--out", "june.json").exit == 0
    told = block_after("## Certificates", "python")

    for changed, expected in ((False, "True"), (True, "False")):
        if changed:
            Path("june.json").write_text(Path("june.json").read_text().replace('"held": 5', '"held": 6', 1))
        found = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True).stdout.strip()
        assert found == expected


def test_the_keys_of_an_export_are_those_that_the_readme_tells(filled, here):
    fill("laklak.db", candles("deribit:BTC-PERPETUAL:1m", range(3)))

    same_keys(here("export", "--layout", "freqtrade", "--json").json, "export")


def test_the_keys_of_an_import_are_those_that_the_readme_tells(filled, here):
    here("export", "LTCUSDT")
    path = Path("binance-LTCUSDT-1m.csv")
    # A row that breaks a rule, so that all keys are there.
    path.write_text(path.read_text().rpartition(",")[0] + ",-1\n")

    same_keys(here("import", path, "--store", "b.db", "--json").json, "import")


def test_the_keys_of_longer_candles_are_those_that_the_readme_tells(filled, here):
    with sqlite3.connect("laklak.db") as connection:
        connection.execute("DELETE FROM candle WHERE open_time = (SELECT min(open_time) + 7200000 FROM candle)")

    words = ("resample", "1h", "LTCUSDT", "NOPEUSDT", "--to", "b.db", "--json")
    same_keys(here(*words).json, "resample")


def test_the_keys_of_the_traded_symbols_are_those_that_the_readme_tells(filled, here):
    same_keys(here("assets", "list", "--json").json, "assets list")


def test_the_keys_of_a_look_at_a_list_are_those_that_the_readme_tells(archive, here):
    archive(overrides={"DOTUSDT": SymbolOverride(delivery_ms=END_MS - DAY_MS, status="SETTLING")})
    Path("assets.txt").write_text("DOTUSDT binance\nLTCUSDT binance\nLTCUSDT binance\nNOUSDT binance\nX nowhere\n")

    answer = here("assets", "check", "--json").json

    assert answer["exit"] == 1
    same_keys(answer, "assets check")


@pytest.mark.parametrize(
    "words",
    [
        ("backfill", "LTCUSDT"),
        ("copy", "none.db", "b.db"),
        ("check", "--config", "none.toml"),
        ("show", "LTCUSDT"),
        ("assets", "list", "--venue", "nowhere"),
        ("assets", "check", "none.txt"),
    ],
    ids=" ".join,
)
def test_the_keys_are_the_same_where_a_command_fails(words, here):
    answer = here(*words, "--json").json

    command = " ".join(words[: 2 if words[0] == "assets" else 1])
    told = {re.split(r"[.\[]", key)[0] for key in tables()[command]}
    assert set(answer) == told


# What people type


def block_after(text, language):
    """The first code block of a language after some words."""
    return README.split(text, 1)[1].split(f"```{language}\n", 1)[1].split("```", 1)[0]


def test_the_statement_for_pandas_gives_every_candle(filled):
    (statement,) = re.findall(r'"(SELECT .*)"', block_after("With pandas:", "python"))

    with contextlib.closing(sqlite3.connect("laklak.db")) as connection:
        rows = connection.execute(statement.replace("BTCUSDT", "LTCUSDT"))
        assert [column[0] for column in rows.description] == ["time", "open", "high", "low", "close", "volume"]
        times = [row[0] for row in rows]

    assert len(times) == 4 * 1440
    assert times == sorted(times)


def test_after_a_delete_through_the_view_only_total_changes_has_grown(filled):
    where = "symbol = 'LTCUSDT' AND open_time < 1771977600000 + 10 * 60000"
    with contextlib.closing(sqlite3.connect("laklak.db")) as connection:
        connection.execute(f"DELETE FROM candles WHERE {where}")

        assert connection.execute("SELECT changes(), total_changes()").fetchall() == [(0, 10)]


def test_the_statements_of_influxql_find_candles_and_double_quotes_around_a_value_find_nothing(influxd, venue, here):
    influxd.ask("CREATE DATABASE readme")
    influxd.ask('CREATE RETENTION POLICY "1_year" ON readme DURATION INF REPLICATION 1 DEFAULT')
    venue()
    assert here("backfill", "LTCUSDT", "--days", "1", "--store", influxd.url("readme"), "-q").exit == 0

    for statement in block_after("## InfluxDB 1.x", "sql").strip().splitlines():
        statement = statement.replace("BTCUSDT", "LTCUSDT").replace("market_data", "readme")
        (found,) = influxd.ask(statement, "readme")
        assert len(found["values"]) == 5
    assert influxd.ask('SELECT * FROM binance_ohlc WHERE symbol = "LTCUSDT"', "readme") == []


def test_the_line_for_cron_fills_the_store_and_says_nothing_while_all_is_well(venue, stored, clean_room):
    one = venue()
    command = block_after("In `crontab -e`", "").strip().removeprefix("*/30 * * * * ")
    command = command.replace("/home/me/candles", str(clean_room))
    command = command.replace("/home/me/.local/bin/laklak", f"{sys.executable} -m laklak")
    Path(".env").write_text(f"LAKLAK_BINANCE_URL={one.url}\nLAKLAK_STORE=candles.db\n")
    Path("assets.txt").write_text("LTCUSDT binance\n")

    # As cron starts it: from the home folder, with hardly a variable.
    as_cron = {"cwd": "/", "env": {"HOME": os.environ["HOME"], "PATH": "/usr/bin:/bin"}}
    ended = subprocess.run(["/bin/sh", "-c", command], **as_cron, capture_output=True, timeout=60, check=False)

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")
    assert len(stored("candles.db")) == 2 * 1440


# How fast each venue is by its quotas


def seconds_of(venue, days, page):
    """What minutes of a hundred symbols take over REST, at the share of the venue's quotas that is ours."""
    minute = Interval.parse("1m")
    reach_ms = venue.reach_ms(minute)
    span = TimeRange(0, days * DAY_MS if reach_ms is None else min(days * DAY_MS, reach_ms))
    series = Series(venue.name, venue.example, minute)
    cost = venue.candles_request(Asked(series, unlisted(series.symbol), TimeRange(0, minute.ms))).cost
    _, *others = venue.quotas
    budgets = {name: Budget(quota.ours, quota.seconds) for name, quota in venue.quotas.items() if name in cost}
    plans = [SeriesPlan(series, span, None, 0, 0, 0, (span,))] * 100
    steps = ((page, venue.page.units(page)),) if venue.page.smaller else venue.page.steps
    return cost_of(plans, steps, page, {name: cost[name] for name in others if name in cost}).seconds(budgets)


def test_what_a_day_a_week_and_a_month_take_of_each_venue_is_what_its_quotas_and_its_page_say():
    rows = []
    for name, venue in VENUES.items():
        default = SPECS[f"{name}.chunk"].default
        for page in (venue.page.rows, *venue.page.smaller) if default == "auto" else (int(default),):
            times = " | ".join(duration_text(seconds_of(venue, days, page)) for days in (1, 7, 30))
            rows.append(f"| `{name}` | {page:,} | {times} |\n")

    # Tests that take a venue away for a while put it back as the last one.
    assert [row for row in rows if row not in README] == []


def test_a_program_of_the_readme_does_what_it_says(archive, here, capfd):
    archive()
    assert here("backfill", "LTCUSDT", "--days", "2", "--store", "candles.db", "-q").exit == 0
    told = block_after("where the command ends with an error:", "python").replace("BTCUSDT", "LTCUSDT")

    exec(f"import asyncio\nimport laklak\n{told}", {})  # noqa: S102

    printed = capfd.readouterr().out
    digest = here("digest", "--store", "candles.db", "--json").json["root"]
    assert printed == f"(True, '{digest}')\n"
    assert {path.name for path in Path.cwd().glob("*") if path.suffix in (".parquet", ".json")} == {
        "btc.parquet",
        "btc.json",
    }
