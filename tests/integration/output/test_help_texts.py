"""What `--help` says of commands, options, settings and exit statuses."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


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


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "certificate What a store has and what speaks for it, as a JSON that others can check;"),
        (("certificate",), "issue Write down what of each series is stored, missing and absent, the evidence, and"),
        (("assets",), "convert Print the asset list of another program (assets.csv) as one of laklak."),
    ],
    ids=["laklak", "certificate", "assets"],
)
def test_the_help_names_commands_with_whole_sentences(words, sentence, here, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")

    told = here(*words, "--help").out

    assert sentence in " ".join(told.split())
    assert [line for line in told.splitlines()[1:] if len(line) > 80 or line.endswith("...")] == []


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


def test_python_dash_m_and_the_program_are_the_same(laklak):
    program = Path(sys.executable).with_name("laklak")
    assert subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout == (
        laklak("--version").out
    )
