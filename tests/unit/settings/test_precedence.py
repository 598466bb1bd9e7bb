"""Settings: which source wins, how a key is spelled in each, what a path is relative to."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pytest
from settings_place import Place

from laklak.settings.load import settings_lines
from laklak.settings.origins import variable_name
from laklak.settings.spec import SPECS
from laklak.settings.times import parse_time

SOURCES = ("flag", "environment", "dotenv", "toml", "user")


# Defaults and precedence


def test_defaults_are_those_of_the_documentation(place: Place) -> None:
    settings = place.load()

    assert (settings.store, settings.venue, str(settings.interval)) == ("laklak.db", "binance", "1m")
    assert (settings.assets, settings.days, settings.start, settings.end) == (None, None, None, None)
    assert (settings.max_wait_s, settings.settle_s, settings.log_file) == (600.0, 5.0, "backfill.log")
    assert (settings.workers, settings.batch_size, settings.in_flight) == (16, 20_000, 64)
    binance = settings.venues["binance"]
    assert (binance.url, binance.budget, binance.chunk) == ("https://fapi.binance.com", 1200, 1000)
    assert binance.firewall_wait_s == 300.0
    assert set(settings.origins.values()) == {"default"}


@pytest.mark.parametrize("strongest", range(len(SOURCES)))
def test_the_strongest_source_wins(place: Place, strongest: int) -> None:
    flags: dict[str, object] = {}
    environment: dict[str, str] = {}
    for number, source in enumerate(SOURCES[strongest:], strongest + 1):
        if source == "flag":
            flags["workers"] = number
        elif source == "environment":
            environment["LAKLAK_WORKERS"] = str(number)
        elif source == "dotenv":
            place.write(".env", f"# mine\nLAKLAK_WORKERS={number}\n")
        else:
            place.write("laklak.toml" if source == "toml" else "user/laklak.toml", f"workers = {number}\n")

    settings = place.load(flags, environment)

    origins = ("flag --workers", "environment LAKLAK_WORKERS", ".env:2", "laklak.toml", "user/laklak.toml")
    assert settings.workers == strongest + 1
    assert settings.origins["workers"] == origins[strongest]


def test_the_users_configuration_is_left_alone_where_the_folder_has_one(place: Place) -> None:
    place.write("laklak.toml", "workers = 3\n")
    place.write("user/laklak.toml", "in_flight = 5\n")

    assert place.load().in_flight == 64


@pytest.mark.parametrize("key", SPECS)
def test_each_key_has_one_spelling_in_all_sources(place: Place, key: str) -> None:
    values = {
        "days": "7",
        "start": "2025-01-31",
        "end": "2025-02-28",
        "interval": "5m",
        "venue": "binance",
        "url": "http://127.0.0.1:9",
        "assets": "/a.txt",
        "state_dir": "/state",
        "influxdb_gzip": "on",
        "optional": "on",
        "enabled": "off",
        "source": "rest",
        "archive_url": "http://127.0.0.1:9",
    }
    table, _, name = key.rpartition(".")
    value = values.get(name, "17")
    config = place.write("other/mine.toml", (f"[{table}]\n" if table else "") + f'{name} = "{value}"\n')

    from_environment = place.load(environment={variable_name(key): value})
    from_file = place.load({"config": str(config)})
    from_flag = place.load({key: value})

    assert from_environment.origins[key] == f"environment {variable_name(key)}"
    assert from_file.origins[key] == "other/mine.toml"
    shown = [line.rpartition(" (")[0] for line in settings_lines(from_flag)]
    assert shown == [line.rpartition(" (")[0] for line in settings_lines(from_environment)]


def test_every_key_has_a_line_of_help() -> None:
    assert all(spec.help and "\n" not in spec.help for spec in SPECS.values())


def test_budget_and_chunk_flags_mean_the_venue_in_use(place: Place) -> None:
    binance = place.load({"budget": "max", "chunk": "auto"}, {"LAKLAK_BINANCE_BUDGET": "50"}).venues["binance"]

    assert (binance.budget, binance.chunk) == ("max", "auto")


def test_a_flag_that_is_none_is_not_given(place: Place) -> None:
    assert place.load({"workers": None}, {"LAKLAK_WORKERS": "4"}).workers == 4


def test_an_empty_value_is_not_set_in_any_source(place: Place) -> None:
    place.write(".env", "LAKLAK_STORE=''\nLAKLAK_WORKERS\nLAKLAK_DAYS=\n")
    place.write("laklak.toml", 'store = ""\n[binance]\nurl = " "\n')

    settings = place.load({"store": ""}, {"LAKLAK_STORE": " ", "LAKLAK_BINANCE_URL": ""})

    assert settings.store == "laklak.db"
    assert set(settings.origins.values()) == {"default"}


def test_python_values_are_understood_like_text(place: Place) -> None:
    end = datetime(2025, 2, 1, 12, tzinfo=timezone(timedelta(hours=2)))

    settings = place.load({"start": date(2025, 1, 31), "end": end, "max_wait": 90.5, "store": Path("a.db")})

    assert parse_time(settings.end or "") - parse_time(settings.start or "") == 34 * 3_600_000
    assert (settings.max_wait_s, settings.store) == (90.5, "a.db")


def test_days_on_the_command_line_replace_start_in_a_file(place: Place) -> None:
    place.write("laklak.toml", "start = 2025-01-31\n")

    settings = place.load({"days": 3})

    assert (settings.days, settings.start) == (3, None)


def test_start_on_the_command_line_replaces_days_in_the_environment(place: Place) -> None:
    settings = place.load({"start": "2025-01-31"}, {"LAKLAK_DAYS": "3"})

    assert (settings.days, settings.start) == (None, "2025-01-31")


def test_days_and_start_together_are_refused(place: Place) -> None:
    assert "days (flag --days) and start (flag --start)" in str(place.error({"days": 1, "start": "2025-01-31"}))


def test_a_start_that_is_not_before_the_end_names_both_sources(place: Place) -> None:
    error = place.error({"start": "2025-02-01"}, {"LAKLAK_END": "2025-02-01T02:00+02:00"})

    assert "start 2025-02-01 (flag --start) is not before end" in str(error)
    assert "LAKLAK_END" in str(error)


def test_times_of_toml_are_understood(place: Place) -> None:
    place.write("laklak.toml", "start = 2025-01-31\nend = 2025-02-01T02:00:00+02:00\n")

    settings = place.load()

    assert parse_time(settings.end or "") - parse_time(settings.start or "") == 86_400_000


# Paths


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("candles.db", "{folder}/candles.db"),
        ("../candles.db", "{folder}/../candles.db"),
        ("/data/candles.db", "/data/candles.db"),
        ("~/candles.db", "{home}/candles.db"),
        ("sqlite:///candles.db", "sqlite:///{folder}/candles.db"),
        ("sqlite:////data/candles.db", "sqlite:////data/candles.db"),
        ("influxdb://host:8086/db", "influxdb://host:8086/db"),
        ("数据/币安.db", "{folder}/数据/币安.db"),
    ],
)
def test_a_relative_store_in_a_file_is_relative_to_that_file(place: Place, written: str, meant: str) -> None:
    config = place.write("conf/laklak.toml", f'store = "{written}"\n')

    store = place.load({"config": config}).store

    assert store == meant.format(folder=config.parent, home=Path.home())


def test_all_paths_in_a_file_are_relative_to_it(place: Place) -> None:
    place.write("user/laklak.toml", 'assets = "list.txt"\nlog_file = "a.log"\nstate_dir = "state"\n')

    settings = place.load()

    folder = place.user_config.parent
    assert settings.assets == str(folder / "list.txt")
    assert settings.log_file == str(folder / "a.log")
    assert settings.state_dir == folder / "state"


def test_paths_in_dotenv_are_relative_to_its_folder(place: Place) -> None:
    place.write(".env", "LAKLAK_STORE=a.db\n")

    assert place.load().store == str(place.folder / "a.db")


def test_paths_in_flags_and_environment_stay_relative_to_the_working_directory(place: Place) -> None:
    settings = place.load({"store": "sqlite:///a.db"}, {"LAKLAK_ASSETS": "list.txt"})

    assert (settings.store, settings.assets) == ("sqlite:///a.db", "list.txt")


@pytest.mark.parametrize("word", ["none", "NONE"])
def test_the_log_is_switched_off_by_a_word_in_every_source(place: Place, word: str) -> None:
    place.write("laklak.toml", f'log_file = "{word}"\n')

    assert place.load().log_file is None
    assert place.load({"log_file": word}).log_file is None


def test_the_slash_at_the_end_of_a_venues_address_is_dropped(place: Place) -> None:
    assert place.load({"binance.url": "http://127.0.0.1:8/"}).venues["binance"].url == "http://127.0.0.1:8"
