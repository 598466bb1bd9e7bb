"""Imports go one way, heavy ones are made where they are used, and tasks have one maker."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

import laklak

FOLDER = Path(laklak.__file__).parent

# From the ground up. A module may import from layers below its own, and a room (a folder) from itself.
LAYERS: list[set[str]] = [
    {"_version", "errors"},
    {"model", "text", "tasks"},
    {"plan", "venues", "simulator"},
    {"archives", "wire"},
    {"stores"},
    {"report", "settings"},
    {"sources"},
    {"engine"},
    {"audit"},
    {"transfer"},
    {"order"},
    {"api", "bench"},
    {"cli"},
    {"__main__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}

# Where tasks are made, and what for.
MAKERS = {
    "engine": "workers, writers and whoever watches them",
    "cli.every": "the watch over its turns, which ends with them",
    "stores.influx.writer": "parts of one write side by side, all ended before it returns",
    "tasks.groups": "what these two make them with",
    "simulator": "a server of its own, no part of a run",
    "bench.limits": "requests side by side in a process that is no part of a run",
}

HEAVY = ("aiohttp", "anyio", "asyncio", "influxdb_client", "orjson", "polars", "rich", "sqlite3", "uvloop", "yarl")


def name_of(path: Path) -> str:
    """The module in `path` without `laklak.`; a room's own file has the room's name, the package's is empty."""
    parts = path.relative_to(FOLDER).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, ast.Module]:
    return {name_of(path): ast.parse(path.read_text()) for path in sorted(FOLDER.rglob("*.py"))}


def imports_of(module: str) -> Iterator[str]:
    """What a module of ours imports of ours, wherever in its text."""
    for node in ast.walk(modules()[module]):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[2] for alias in node.names if alias.name.split(".")[0] == "laklak")
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module} has a relative import"
            if node.module is not None and node.module.split(".")[0] == "laklak":
                source = node.module.partition(".")[2]
                inner = {f"{source}.{alias.name}".lstrip(".") for alias in node.names}
                yield from inner & set(modules()) or {source}


def room(module: str) -> str:
    return module.partition(".")[0]


@cache
def inner_modules() -> list[str]:
    return sorted(set(modules()) - {""})


def test_every_module_has_its_layer():
    assert {room(module) for module in inner_modules()} <= set(LEVEL), "place the new module in LAYERS"


def table_of_the_readme(head):
    """The rows of a table of the README: what stands in backquotes in each of their cells."""
    lines = (FOLDER.parent / "README.md").read_text().partition(f"{head}\n")[2].partition("\n\n")[0].splitlines()[1:]
    return [[re.findall(r"`([^`]+)`", cell) for cell in line.split("|")[1:-1]] for line in lines]


def test_the_readme_names_every_room_and_the_way_of_imports():
    (way,) = re.findall(
        r"Imports go one way, and a test enforces it: `([^`]*)`", (FOLDER.parent / "README.md").read_text()
    )
    steps = [set(re.findall(r"\w+", step)) for step in way.split(" -> ")]
    rooms = {name for names, _ in table_of_the_readme("| room | what is in it |") for name in names if name in LEVEL}

    assert rooms == set(LEVEL) - {"_version", "__main__"}
    assert set().union(*steps) == rooms - {"simulator"}
    assert all(LEVEL[above] > LEVEL[below] for high, low in pairwise(steps) for above in high for below in low)


def test_what_the_readme_tells_to_look_at_is_there():
    table = table_of_the_readme("| question | file |")
    for _, places in table:
        # A name alone lies beside the file before it, a path in the package or in the checkout.
        beside = FOLDER
        for place in places:
            found = [folder / place for folder in (beside, FOLDER, FOLDER.parent) if (folder / place).exists()]
            assert found, f"the README tells to look at {place}"
            beside = found[0].parent if found[0].is_file() else found[0]
    assert len(table) > 5


def test_a_module_imports_only_from_below():
    def allowed(module: str, imported: str) -> bool:
        inside = room(imported) == room(module) and module != room(module) + ".base"
        return inside or LEVEL[room(imported)] < LEVEL[room(module)]

    wrong = [
        f"{module} imports {imported}"
        for module in inner_modules()
        for imported in imports_of(module)
        if not allowed(module, imported)
    ]
    assert wrong == []


def test_there_is_no_circle():
    done: set[str] = set()

    def walk(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " -> ".join((*way, module))
        if module not in done:
            for imported in imports_of(module):
                walk(imported, (*way, module))
            done.add(module)

    for module in inner_modules():
        walk(module, ())


def test_tasks_are_made_in_one_room():
    makers = set()
    for module, tree in modules().items():
        for node in ast.walk(tree):
            word = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
            if isinstance(node, ast.Attribute | ast.Name) and word in (
                "create_task",
                "ensure_future",
                "create_task_group",
                "task_group",
                "gather",
                "run_coroutine_threadsafe",
            ):
                makers.add(module)
            if word == "TaskGroup" and isinstance(node, ast.Attribute):
                makers.add(module)

    assert not {module for module in makers if room(module) not in MAKERS and module not in MAKERS}


def loaded_after(statement: str) -> set[str]:
    """Which heavy modules a fresh interpreter holds after `statement`."""
    code = f"import sys; {statement}; print(*[name for name in {HEAVY} if name in sys.modules])"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize("module", ["laklak", "laklak.cli", "laklak.__main__"])
def test_nothing_heavy_is_imported_before_it_is_used(module):
    assert loaded_after(f"import {module}") == set()


def test_the_help_needs_nothing_heavy():
    assert not loaded_after("from laklak.cli import run; run(['--help'])") & set(HEAVY)


def test_what_reads_settings_and_symbols_needs_no_network_and_no_tables():
    assert loaded_after("import laklak.settings.load, laklak.settings.assets, laklak.settings.times") <= {"orjson"}


def test_the_library_needs_no_tables_and_no_progress_before_they_are_asked_for():
    assert not loaded_after("import laklak.api") & {"polars", "rich", "influxdb_client", "uvloop"}


def test_every_public_name_is_there():
    assert all(hasattr(laklak, name) for name in laklak.__all__)
    assert {"backfill", "copy", "read_candles", "aread_candles", "__version__"} <= set(laklak.__all__)
