"""Ctrl-C and polars.

polars listens for SIGINT beside everybody else: its work at that moment, in whichever thread, ends with
KeyboardInterrupt (pola-rs/polars#20961; it cannot be switched off).  How a run stops is decided elsewhere, and until
then it still stores the rows in memory.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def uninterrupted(work: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Begin `work`, which must change nothing, again when polars has given it up."""

    @wraps(work)
    def until_done(*args: Parameters.args, **options: Parameters.kwargs) -> Result:
        while True:
            try:
                return work(*args, **options)
            except KeyboardInterrupt as exc:
                # Python's own comes in the main thread alone, and without arguments.
                if threading.current_thread() is threading.main_thread() and not exc.args:
                    raise

    return until_done
