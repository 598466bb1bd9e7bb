"""What `--help` shows: options in groups, the everyday ones first."""

from __future__ import annotations

import re

import pytest
from typer import Typer
from typer.main import get_command

from laklak.cli import app
from laklak.settings.table import FLAGS

MANY = 8


def groups(text):
    """The options of a help, as (name of the group, options)."""
    found = {}
    for line in text.splitlines():
        if re.fullmatch(r"\w.*:", line):
            found[line[:-1]] = []
        elif option := re.match(r"  (?:-\w, )?(--[\w-]+)", line):
            found[list(found)[-1]].append(option.group(1))
    return {name: options for name, options in found.items() if options}


def test_the_help_of_backfill_has_groups_and_the_everyday_ones_come_first(here):
    shown = groups(here("backfill", "--help").out)

    assert list(shown)[:3] == ["What", "Where", "Output"]
    assert shown["What"][:3] == ["--days", "--start", "--end"]
    assert shown["Where"][0] == "--store"
    assert shown["Output"][:2] == ["--dry-run", "--quiet"]
    assert shown["Help"] == ["--help"]


@pytest.mark.parametrize("name", sorted(get_command(app).commands))
def test_where_there_are_many_options_each_is_in_a_group(name, here):
    shown = groups(here(name, "--help").out)

    if sum(map(len, shown.values())) > MANY:
        assert "Options" not in shown
        assert shown.pop("Help") == ["--help"]
        assert max(map(len, shown.values())) <= MANY
    else:
        assert list(shown) in (["Options"], ["What", "Where", "Output", "Help"])


def test_backfill_has_a_flag_for_every_setting_of_the_table_that_is_one(here):
    shown = {option for options in groups(here("backfill", "--help").out).values() for option in options}

    assert {f"--{key.replace('_', '-')}" for key in FLAGS} <= shown


def test_no_option_is_lost_in_the_groups(here):
    declared = [max(one.opts, key=len) for one in get_command(app).commands["backfill"].params if one.opts[0][0] == "-"]

    shown = groups(here("backfill", "--help").out)

    assert sorted(name for names in shown.values() for name in names) == sorted([*declared, "--help"])


def test_the_help_names_every_command_and_makes_none_of_them(capfd):
    program = get_command(app)

    program(["--help"], prog_name="laklak", standalone_mode=False)

    told = capfd.readouterr().out.partition("Commands:")[2]
    assert re.findall(r"^  ([a-z]+)  +[A-Z]", told, re.MULTILINE) == list(program.commands)
    assert all(isinstance(one, Typer) for one in program.commands.data.values())
