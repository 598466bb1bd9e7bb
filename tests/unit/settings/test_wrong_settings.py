"""Settings: what is unknown, wrong or cannot be read is an error that names its source."""

from __future__ import annotations

import pytest
from settings_place import Place

from laklak.settings.origins import variable_name
from laklak.settings.spelling import ALIASES
from laklak.venues import VENUES

KNOWN_TABLES = ", ".join(f"[{name}]" for name in sorted([*VENUES, *ALIASES]))

# Unknown keys


@pytest.mark.parametrize(
    ("variable", "guess"),
    [
        ("LAKLAK_BINANCE_BUGDET", "LAKLAK_BINANCE_BUDGET"),
        ("LAKLAK_FIREWALL_WAIT", "LAKLAK_BINANCE_FIREWALL_WAIT"),
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
        (
            "firewall_wait = '5m'",
            "laklak.toml: unknown key 'firewall_wait'",
            "did you mean firewall_wait below [binance]?",
        ),
        ("[binance]\nbugdet = 5", "laklak.toml [binance]: unknown key 'bugdet'", "did you mean budget?"),
        (
            "[binance]\nstore = 'a'",
            "laklak.toml [binance]: unknown key 'store'",
            "did you mean store above the first [table]?",
        ),
        ("[binanse]\nbudget = 5", "laklak.toml: unknown table [binanse]", "did you mean [binance]?"),
        ("[kraken]", "laklak.toml: unknown table [kraken]", f"known tables: {KNOWN_TABLES}"),
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
        ("venue", "okx", "this venue is not built yet"),
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
