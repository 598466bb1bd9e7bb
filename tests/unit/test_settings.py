"""Settings: precedence, spelling, errors that name the source, and secrets that stay secret."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta, timezone
from pathlib import Path

import pytest

from laklak.errors import SettingsError
from laklak.settings import SPECS, Settings, load_settings, settings_lines
from laklak.settings_sources import variable_name
from laklak.times import parse_time

SOURCES = ("flag", "environment", "dotenv", "toml", "user")


class Place:
    """A folder to write settings files in, and to load from."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.user_config = folder / "user" / "laklak.toml"
        self.user_config.parent.mkdir()

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def load(self, flags: Mapping[str, object] | None = None, environment: Mapping[str, str] | None = None) -> Settings:
        return load_settings(
            flags or {}, environment=environment or {}, folder=self.folder, user_config=self.user_config
        )

    def error(
        self, flags: Mapping[str, object] | None = None, environment: Mapping[str, str] | None = None
    ) -> SettingsError:
        with pytest.raises(SettingsError) as caught:
            self.load(flags, environment)
        return caught.value


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.chdir(tmp_path)
    return Place(tmp_path)


# Defaults and precedence


def test_defaults_are_those_of_the_documentation(place: Place) -> None:
    settings = place.load()

    assert (settings.store, settings.venue, settings.interval) == ("laklak.db", "binance", "1m")
    assert (settings.assets, settings.days, settings.start, settings.end) == (None, None, None, None)
    assert (settings.max_wait_s, settings.log_file) == (600.0, "backfill.log")
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
        "binance.url": "http://127.0.0.1:9",
        "assets": "/a.txt",
        "state_dir": "/state",
        "influxdb_gzip": "on",
        "source": "rest",
        "binance.archive_url": "http://127.0.0.1:9",
    }
    value = values.get(key, "17")
    table, _, name = key.rpartition(".")
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


# Unknown keys


@pytest.mark.parametrize(
    ("variable", "guess"),
    [
        ("LAKLAK_BINANCE_BUGDET", "LAKLAK_BINANCE_BUDGET"),
        ("LAKLAK_BUDGET", "LAKLAK_BINANCE_BUDGET"),
        ("LAKLAK_STOER", "LAKLAK_STORE"),
        ("LAKLAK_store", "LAKLAK_STORE"),
        ("LAKLAK_MAXWAIT", "LAKLAK_MAX_WAIT"),
    ],
)
def test_an_unknown_variable_gets_a_suggestion(place: Place, variable: str, guess: str) -> None:
    error = place.error(environment={variable: "secret-value"})

    assert str(error) == f"unknown setting '{variable}' in the environment"
    assert error.hint == f"did you mean {guess}?"


def test_an_unknown_variable_like_nothing_gets_the_list(place: Place) -> None:
    assert "LAKLAK_BINANCE_URL" in (place.error(environment={"LAKLAK_QQQQ": "1"}).hint or "")


def test_an_unknown_variable_in_dotenv_is_named_with_its_line(place: Place) -> None:
    place.write(".env", "\n# other\nOTHER='two\nlines'\n\n\nexport LAKLAK_STROE=a.db\n")

    error = place.error()

    assert str(error) == "unknown setting 'LAKLAK_STROE' in .env:7"
    assert error.hint == "did you mean LAKLAK_STORE?"


@pytest.mark.parametrize(
    ("toml", "message", "hint"),
    [
        ("stoer = 'a'", "laklak.toml: unknown key 'stoer'", "did you mean store?"),
        ("max-wait = '1m'", "laklak.toml: unknown key 'max-wait'", "did you mean max_wait?"),
        ("budget = 5", "laklak.toml: unknown key 'budget'", "did you mean budget below [binance]?"),
        ("[binance]\nbugdet = 5", "laklak.toml [binance]: unknown key 'bugdet'", "did you mean budget?"),
        (
            "[binance]\nstore = 'a'",
            "laklak.toml [binance]: unknown key 'store'",
            "did you mean store above the first [table]?",
        ),
        ("[binanse]\nbudget = 5", "laklak.toml: unknown table [binanse]", "did you mean [binance]?"),
        ("[kraken]", "laklak.toml: unknown table [kraken]", "known tables: [binance]"),
        ("[store]\npath = 'a'", "laklak.toml: store is a value, not a table", "write store = ..."),
        ("binance = 5", "laklak.toml: binance is not a table", "write its settings below [binance]"),
        ("[[binance]]", "laklak.toml: binance is not a table", "write its settings below [binance]"),
        ("config = 'b.toml'", "laklak.toml: unknown key 'config'", None),
    ],
)
def test_an_unknown_key_in_toml_names_file_and_table(place: Place, toml: str, message: str, hint: str | None) -> None:
    place.write("laklak.toml", toml + "\n")

    error = place.error()

    assert str(error) == message
    assert hint is None or error.hint == hint


def test_an_unknown_flag_of_the_library_gets_a_suggestion(place: Place) -> None:
    error = place.error({"batchsize": 5})

    assert (str(error), error.hint) == ("unknown setting 'batchsize'", "did you mean batch_size?")


def test_variables_of_others_are_not_judged(place: Place) -> None:
    place.write(".env", "PASSWORD='unclosed\nINFLUXDB_TOKEN=abc\nOTHER=1\nLAKLAK_WORKERS=2\n")

    assert place.load(environment={"_LAKLAK_COMPLETE": "bash", "LAKLAKX": "1"}).workers == 2


# Wrong values


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("binance.budget", "0", "a whole number from 1 to 1000000, or max"),
        ("binance.budget", "-5", "or max"),
        ("binance.budget", "1200.5", "or max"),
        ("binance.budget", "9" * 5000, "or max"),
        ("binance.chunk", "1501", "a whole number from 1 to 1500, or auto"),
        ("binance.url", "fapi.binance.com", "an address such as https://host"),
        ("binance.url", "ftp://host", "https://host"),
        ("binance.url", "https://", "https://host"),
        ("binance.url", "https://host:99999", "https://host"),
        ("binance.url", "https://[::1", "https://host"),
        ("binance.url", "https://ho st", "https://host"),
        ("binance.url", "https://host?", "https://host"),
        ("binance.firewall_wait", "soon", "a duration such as 90s, 10m"),
        ("max_wait", "10 m", "a duration"),
        ("workers", "257", "from 1 to 256"),
        ("workers", "\u0663", "from 1 to 256"),
        ("batch_size", "0", "from 1 to 1000000"),
        ("in_flight", "1025", "from 1 to 1024"),
        ("days", "ninety", "from 1 to 36500"),
        ("start", "yesterday", "a time such as 2025-01-31"),
        ("interval", "7m", "choose one of 1m, 3m"),
        ("interval", "1w", "not supported yet"),
        ("venue", "binanse", "did you mean binance?"),
        ("venue", "yfinance", "this venue is not built yet"),
    ],
)
def test_a_wrong_value_names_key_value_source_and_what_is_expected(
    place: Place, key: str, value: str, expected: str
) -> None:
    error = place.error(environment={variable_name(key): value})

    assert str(error).startswith(f"{key} = '{value[:80]}")
    assert f"(environment {variable_name(key)}): " in str(error)
    assert expected in str(error)
    assert len(str(error)) < 400
    assert error.exit_code == 2


@pytest.mark.parametrize("value", ["true", "[1]", "12:00:00", "nan"])
def test_a_toml_value_of_another_kind_is_refused(place: Place, value: str) -> None:
    place.write("laklak.toml", f"workers = {value}\n")

    message = str(place.error())

    assert "workers" in message
    assert "laklak.toml" in message


def test_control_characters_are_refused_in_every_value(place: Place) -> None:
    assert "without control characters" in str(place.error({"store": "a\x1b[2J.db"}))


def test_a_bad_value_in_dotenv_is_named_with_its_line(place: Place) -> None:
    place.write(".env", "A=1\r\nLAKLAK_DAYS=x # ninety\r\n")

    assert str(place.error()).startswith("days = 'x' (.env:2): expected a whole number")


def test_a_line_of_ours_in_dotenv_that_cannot_be_read_is_an_error(place: Place) -> None:
    place.write(".env", "A=1\nLAKLAK_STORE='open\n")

    assert str(place.error()) == ".env:2: cannot be read"


# Files that cannot be used


@pytest.mark.parametrize(
    ("toml", "line"),
    [("store = 'a'\nworkers =\n", 2), ("store\n", 1), ("a = 1\n[x", 2), ("a = 1\na = 2\n", 2), ("a = [\n", 2)],
)
def test_broken_toml_names_file_and_line(place: Place, toml: str, line: int) -> None:
    place.write("laklak.toml", toml)

    assert str(place.error()).startswith(f"laklak.toml:{line}: not TOML: ")


@pytest.mark.parametrize("toml", ["a = " + "[" * 100_000, "a = " + "9" * 10_000])
def test_absurd_toml_is_an_error_and_no_crash(place: Place, toml: str) -> None:
    place.write("laklak.toml", toml)

    assert str(place.error()).startswith("laklak.toml")


@pytest.mark.parametrize("name", ["laklak.toml", ".env"])
def test_bytes_that_are_not_utf8_name_file_and_line(place: Place, name: str) -> None:
    (place.folder / name).write_bytes(b"# one\n# \xfc\n")

    assert str(place.error()) == f"{name}:2: byte 0xfc is not UTF-8 text"


@pytest.mark.parametrize("name", ["laklak.toml", ".env"])
def test_a_byte_order_mark_does_not_matter(place: Place, name: str) -> None:
    text = "workers = 7\n" if name == "laklak.toml" else "LAKLAK_WORKERS=7\n"
    (place.folder / name).write_bytes(b"\xef\xbb\xbf" + text.encode())

    assert place.load().workers == 7


def test_a_folder_in_place_of_laklak_toml_is_an_error(place: Place) -> None:
    (place.folder / "laklak.toml").mkdir()

    assert str(place.error()) == "laklak.toml is a folder, expected a text file"


def test_a_virtual_environment_called_dotenv_is_left_alone(place: Place) -> None:
    (place.folder / ".env").mkdir()

    assert place.load().workers == 16


@pytest.mark.parametrize("by", ["flag", "environment", "dotenv"])
def test_a_named_settings_file_has_to_exist(place: Place, by: str) -> None:
    place.write("laklak.toml", "workers = 3\n")
    if by == "dotenv":
        place.write(".env", "LAKLAK_CONFIG=gone.toml\n")
    error = place.error(
        {"config": "gone.toml"} if by == "flag" else {}, {"LAKLAK_CONFIG": "gone.toml"} if by == "environment" else {}
    )

    assert str(error).startswith("settings file gone.toml (")
    assert str(error).endswith("does not exist")


def test_a_named_settings_file_is_read_instead_of_the_one_in_the_folder(place: Place) -> None:
    place.write("laklak.toml", "workers = 3\nin_flight = 9\n")
    place.write("conf/mine.toml", "workers = 5\n")

    settings = place.load(environment={"LAKLAK_CONFIG": "conf/mine.toml"})

    assert (settings.workers, settings.in_flight) == (5, 64)


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


# INFLUXDB_* of older installations


def test_the_influxdb_variables_give_the_store_when_nothing_else_does(place: Place) -> None:
    environment = {
        "INFLUXDB_HOST": "db.lan",
        "INFLUXDB_PORT": "9086",
        "INFLUXDB_DATABASE": "my candles",
        "INFLUXDB_USERNAME": "me@home",
        "INFLUXDB_PASSWORD": "hunter2",
    }

    settings = place.load(environment=environment)

    assert settings.store == "influxdb://me%40home@db.lan:9086/my%20candles"
    assert settings.origins["store"] == "environment INFLUXDB_HOST"
    assert settings.influxdb_password == "hunter2"
    assert settings.origins["influxdb_password"] == "environment INFLUXDB_PASSWORD"
    assert "hunter2" not in repr(settings) + "".join(settings_lines(settings))


@pytest.mark.parametrize("source", ["flag", "environment", "dotenv", "toml"])
def test_any_store_of_our_own_is_stronger_than_the_influxdb_variables(place: Place, source: str) -> None:
    if source == "dotenv":
        place.write(".env", "LAKLAK_STORE=/a.db\n")
    if source == "toml":
        place.write("laklak.toml", 'store = "/a.db"\n')
    flags = {"store": "/a.db"} if source == "flag" else {}
    own = {"LAKLAK_STORE": "/a.db"} if source == "environment" else {}

    assert place.load(flags, {"INFLUXDB_HOST": "db.lan", **own}).store == "/a.db"


def test_the_influxdb_variables_are_read_from_dotenv_too_and_have_defaults(place: Place) -> None:
    place.write(".env", "INFLUXDB_PORT=1\nINFLUXDB_HOST=::1\n")

    settings = place.load(environment={"INFLUXDB_PORT": "8087"})

    assert settings.store == "influxdb://[::1]:8087/market_data"
    assert settings.origins["store"] == ".env:2"


@pytest.mark.parametrize(("name", "value"), [("INFLUXDB_HOST", "http://me:hunter2@db"), ("INFLUXDB_PORT", "70000")])
def test_wrong_influxdb_variables_are_named(place: Place, name: str, value: str) -> None:
    error = place.error(environment={"INFLUXDB_HOST": "db", name: value})

    assert str(error).startswith(f"{name} = ")
    assert "hunter2" not in str(error)


@pytest.mark.parametrize(
    ("host", "store"),
    [
        ("http://localhost:8086", "influxdb2://localhost:8086/my%20candles"),
        ("https://cloud.example/", "influxdb2+https://cloud.example:443/my%20candles"),
        ("HTTP://db.lan", "influxdb2://db.lan:80/my%20candles"),
        ("db.lan", "influxdb2://db.lan:8086/my%20candles"),
        ("https://[::1]:9999", "influxdb2+https://[::1]:9999/my%20candles"),
    ],
)
def test_the_variables_of_the_official_tools_give_a_store_of_2_x(place: Place, host: str, store: str) -> None:
    names = {"INFLUX_HOST": host, "INFLUX_BUCKET": "my candles", "INFLUX_ORG": "we", "INFLUX_TOKEN": "hunter2"}

    settings = place.load(environment=names)

    access = settings.store_access
    assert (access.where, access.org, access.token) == (store, "we", "hunter2")
    assert settings.origins["store"] == "environment INFLUX_HOST"
    assert "influxdb_org = we (environment INFLUX_ORG)" in settings_lines(settings)
    assert "hunter2" not in repr(settings) + "".join(settings_lines(settings))


@pytest.mark.parametrize(
    "names",
    [
        {"INFLUXDB_V2_URL": "http://h:1", "INFLUXDB_BUCKET": "b", "INFLUXDB_V2_ORG": "o", "INFLUXDB_V2_TOKEN": "t"},
        {"INFLUX_HOST": "http://h:1", "INFLUX_BUCKET_NAME": "b", "INFLUXDB_ORG": "o", "INFLUXDB_TOKEN": "t"},
    ],
)
def test_other_names_of_the_same_count_too(place: Place, names: dict[str, str]) -> None:
    access = place.load(environment=names).store_access

    assert (access.where, access.org, access.token) == ("influxdb2://h:1/b", "o", "t")


def test_a_host_without_a_bucket_is_no_store(place: Place) -> None:
    assert place.load(environment={"INFLUX_HOST": "http://h:1"}).store == "laklak.db"
    assert place.load(environment={"INFLUX_BUCKET": "b"}).store == "laklak.db"


def test_the_older_variables_come_before_those_of_the_official_tools(place: Place) -> None:
    names = {"INFLUXDB_HOST": "one", "INFLUX_HOST": "http://two", "INFLUX_BUCKET": "b"}

    assert place.load(environment=names).store == "influxdb://one:8086/market_data"


def test_token_and_organization_count_for_a_store_that_is_named(place: Place) -> None:
    names = {"INFLUX_HOST": "http://h:1", "INFLUX_BUCKET": "b", "INFLUX_ORG": "theirs", "INFLUX_TOKEN": "t"}

    access = place.load({"store": "influxdb2://x/y"}, {**names, "LAKLAK_INFLUXDB_ORG": "ours"}).store_access

    assert (access.where, access.org, access.token) == ("influxdb2://x/y", "ours", "t")


@pytest.mark.parametrize(
    "host", ["ftp://h", "http://h/path", "http://me:hunter2@h", "http://h?token=hunter2", "http://h:70000", "http://"]
)
def test_a_wrong_host_of_the_official_tools_is_named(place: Place, host: str) -> None:
    error = place.error(environment={"INFLUX_HOST": host, "INFLUX_BUCKET": "b"})

    assert str(error).startswith("INFLUX_HOST = ")
    assert "http://localhost:8086" in str(error)
    assert "hunter2" not in str(error) + str(error.hint)


# Secrets


@pytest.mark.parametrize("variable", ["LAKLAK_BINANCE_URL", "LAKLAK_INTERVAL", "LAKLAK_WORKERS", "LAKLAK_START"])
def test_an_error_never_shows_a_password(place: Place, variable: str) -> None:
    error = place.error(environment={variable: "ftp://me:hunter2@host"})

    assert "hunter2" not in str(error) + str(error.hint)
    assert "ftp://me:***@host" in str(error)
    assert error.__suppress_context__


def test_a_password_in_the_store_shows_neither_in_the_log_nor_in_a_repr(place: Place) -> None:
    settings = place.load({"binance.url": "https://me:hunter2@h"}, {"LAKLAK_STORE": "influxdb://me:hunter2@h/db"})

    lines = settings_lines(settings)

    assert settings.store == "influxdb://me:hunter2@h/db"
    assert "store = influxdb://me:***@h/db (environment LAKLAK_STORE)" in lines
    assert "hunter2" not in repr(settings) + "\n".join(lines)


@pytest.mark.parametrize(
    ("store", "what", "place_for_it"),
    [
        ("influxdb://me:hunter2@h/db", "a password", "LAKLAK_INFLUXDB_PASSWORD"),
        ("influxdb2://h/b?org=o&token=hunter2", "a token", "LAKLAK_INFLUXDB_TOKEN"),
        ("influxdb2://:hunter2@h/b?org=o", "a token", "LAKLAK_INFLUXDB_TOKEN"),
        ("influxdb2+https://hunter2@h/b?org=o", "a token", "LAKLAK_INFLUXDB_TOKEN"),
    ],
)
def test_a_secret_in_the_store_is_not_taken_from_the_command_line(
    place: Place, store: str, what: str, place_for_it: str
) -> None:
    error = place.error({"store": store})

    assert f"(flag --store): {what} is not taken from the command line" in str(error)
    assert place_for_it in (error.hint or "")
    assert "hunter2" not in str(error) + str(error.hint)


def test_a_secret_in_the_store_is_taken_from_a_file(place: Place) -> None:
    place.write("laklak.toml", 'store = "influxdb://me:hunter2@h/db"\n')

    assert place.load().store == "influxdb://me:hunter2@h/db"


@pytest.mark.parametrize("source", ["environment", "dotenv", "toml", "older"])
def test_the_influxdb_password_comes_from_anywhere_and_is_shown_as_three_stars(place: Place, source: str) -> None:
    environment = {"environment": "LAKLAK_INFLUXDB_PASSWORD", "older": "INFLUXDB_PASSWORD"}.get(source)
    if source == "dotenv":
        place.write(".env", "LAKLAK_INFLUXDB_PASSWORD=hunter2\n")
    if source == "toml":
        place.write("laklak.toml", 'influxdb_password = "hunter2"\n')

    settings = place.load({"store": "influxdb://me@h/db"}, {environment: "hunter2"} if environment else {})

    assert settings.influxdb_password == "hunter2"
    assert f"influxdb_password = *** ({settings.origins['influxdb_password']})" in settings_lines(settings)
    assert "hunter2" not in repr(settings) + "\n".join(settings_lines(settings))


def test_the_influxdb_password_of_our_own_is_stronger_than_the_older_one(place: Place) -> None:
    place.write("laklak.toml", 'influxdb_password = "ours"\n')

    assert place.load(environment={"INFLUXDB_PASSWORD": "theirs"}).influxdb_password == "ours"


def test_a_wrong_influxdb_password_is_not_shown(place: Place) -> None:
    error = place.error(environment={"LAKLAK_INFLUXDB_PASSWORD": "hunter2\x07"})

    assert "influxdb_password" in str(error) or "LAKLAK_INFLUXDB_PASSWORD" in str(error)
    assert "hunter2" not in str(error) + str(error.hint)


def test_the_configuration_block_has_one_line_for_each_key(place: Place) -> None:
    lines = settings_lines(place.load({"max_wait": "1h30m", "log_file": "none"}, {"LAKLAK_BINANCE_BUDGET": "max"}))

    assert [line.partition(" = ")[0] for line in lines] == list(SPECS)
    assert "max_wait = 5400s (flag --max-wait)" in lines
    assert "log_file = none (flag --log-file)" in lines
    assert "days = not set (default)" in lines
    assert "binance.budget = max (environment LAKLAK_BINANCE_BUDGET)" in lines
