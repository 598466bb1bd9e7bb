"""Statements that a program executes first, so that what it would wait out can be told from what ends by itself.

With PATIENT no limit that lets go of something silent ends before the test does: a program that ends all the same has
waited for none of them, however slow the machine. No clock is needed to see that.
"""

from __future__ import annotations

import itertools
import pathlib
import signal
import sys
import time
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import Any


def timed(**waits: float) -> str:
    """Statements that change waits of the runs that a program orders."""
    return (
        "from dataclasses import replace\nfrom laklak import order as ordering\n"
        f"ordering.TIMING = replace(ordering.TIMING, **{waits!r})\n"
    )


PATIENT = f"""
{timed(silence_s=600.0)}
from laklak.tasks import process
from laklak.stores.sqlite import write
from laklak.stores import access
for number, (status, _) in process.STOPS.items():
    process.STOPS[number] = (status, 600.0)
write.transaction.__wrapped__.__kwdefaults__["patience_s"] = 600.0
access.TIMING = replace(access.TIMING, silence_s=600.0, opening_patience_s=600.0)
"""

# Eight seconds, less than service managers wait before they kill, would be long to wait for in a test.
HASTY = f"{PATIENT}import signal; process.STOPS[signal.SIGTERM] = (143, 1.5)\n"

_HERE = f"import sys; sys.path.append({str(pathlib.Path(__file__).parent)!r})\n"


def small_parts(minutes: int) -> str:
    """Statements that let a copy read and write so few minutes at once, so that few candles have a middle."""
    return (
        "from laklak.engine import transfer\nfrom laklak.sources import store as source\n"
        f"source.PART_MINUTES = transfer.WRITTEN_AT_ONCE = {minutes}\n"
    )


def halting_at_write(number: int, file: str) -> str:
    """Statements that let the program stand still, whatever the machine, when it is about to write for this time. It
    makes a file when it is there, and goes on when that is gone.
    """
    return f"{_HERE}from patience import halt_at_write; halt_at_write({number}, {file!r})\n"


def halt_at_write(number: int, file: str) -> None:
    from laklak.stores.influx.store import InfluxStore
    from laklak.stores.sqlite.store import SqliteStore

    writes = itertools.count(1)

    def halting(write: Any) -> Any:
        async def halt_and_write(*arguments: Any) -> Any:
            if next(writes) == number:
                _stand_still(pathlib.Path(file))
            return await write(*arguments)

        return halt_and_write

    for kind in (InfluxStore, SqliteStore):
        kind.write = halting(kind.write)  # type: ignore[method-assign]


def _stand_still(while_there: pathlib.Path) -> None:
    while_there.touch()
    while while_there.exists():
        time.sleep(0.005)


def halting_at(module: str, file: str) -> str:
    """Statements that let the program stand still where it imports a module until a signal has come; it makes a file
    when it is there.
    """
    return f"{_HERE}from patience import Halt; sys.meta_path.insert(0, Halt({module!r}, {file!r}))\n"


class Halt(MetaPathFinder):
    """Finds nothing, and stands still when it is asked for one module."""

    def __init__(self, module: str, file: str) -> None:
        self._module = module
        self._file = pathlib.Path(file)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name == self._module:
            sys.meta_path.remove(self)
            self._file.touch()
            # One that is answered at once ends this by its exception, one that has to wait is pending.
            while not signal.sigpending():
                time.sleep(0.005)
        return None
