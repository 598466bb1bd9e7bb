"""The micro benchmarks still fit the functions that they time. Never how fast."""

from __future__ import annotations

from pathlib import Path

import pytest

import laklak

pytest_plugins = ["pytester"]

FOLDER = Path(laklak.__file__).parents[1] / "benchmarks" / "micro"

ONCE = """
import pytest

@pytest.fixture
def benchmark():
    return lambda function, *args: function(*args)
"""


def test_every_hot_function_is_called_once_and_gives_what_is_expected(pytester):
    # With a fixture of its own in place of that of pytest-benchmark, which is not among the tools of the tests.
    pytester.makeconftest(ONCE)
    pytester.makepyfile(test_hot_paths=(FOLDER / "test_hot_paths.py").read_text())

    # In a process of its own: one within this process would afterwards take the modules that it was the first to import
    # out of sys.modules, and polars imported once more does not know the columns of polars imported before.
    result = pytester.runpytest_subprocess("-p", "no:benchmark", "-p", "no:xdist", "-p", "no:cacheprovider")

    outcomes = result.parseoutcomes()
    assert result.ret == pytest.ExitCode.OK
    assert set(outcomes) == {"passed"}
