"""This program as a process: signals before, during and after its work, its streams, its event loop.

asyncio is imported where it is used: it takes a third of the time of `laklak --help`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from types import FrameType
from typing import Any, Final, TypeVar

from laklak.errors import LaklakError

STOPS: Final = {signal.SIGINT: (130, 30.0), signal.SIGTERM: (143, 8.0)}
"""The signals that stop a run: exit status, and seconds to finish what is on the wire."""

Result = TypeVar("Result")


def unsupported_system() -> str | None:
    """Say why laklak cannot run here; None if it can. It needs POSIX: its locks, its signals."""
    try:
        import fcntl  # noqa: F401
    except ImportError:
        posix = False
    else:
        posix = hasattr(signal, "pthread_sigmask")
    if posix:
        return None
    system = "Windows" if sys.platform == "win32" else f"this system ({sys.platform})"
    return f"laklak runs on Linux and macOS, not on {system} itself: run it inside WSL (wsl --install), or in Docker"


class StoppedEarly(BaseException):
    """A signal without a run to tell. Not a KeyboardInterrupt: typer turns that into an exit without a word."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


class Interrupted(LaklakError):
    """A signal ended the program."""

    reason = "interrupted"

    def __init__(self, exit_code: int) -> None:
        super().__init__("stopped by a signal")
        self.exit_code = exit_code


class _Stop:
    """A signal received before the run started."""

    exit_code: int | None = None


def heed_signals(*, once: bool = False) -> None:
    """Let a signal before or after a run end the program with the exit status that it has during one.

    With `once`, ignore further signals while the program cleans up after the first.
    """
    _Stop.exit_code = None

    def stop(number: int, _frame: FrameType | None) -> None:
        if once:
            ignore_signals()
        _Stop.exit_code = STOPS[signal.Signals(number)][0]
        raise StoppedEarly(_Stop.exit_code)

    for number in STOPS:
        signal.signal(number, stop)
    # Deliver the signals that came while the program was loading.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)


def ignore_signals() -> None:
    """Ignore signals once the exit status is settled: one on the way out would change it."""
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)


def cores() -> int:
    """The cores that this process may use; a container often has fewer than the machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def is_attended() -> bool:
    """Whether a person at a terminal reads the messages; a timer or a container has none."""
    return sys.stderr is not None and sys.stderr.isatty()


@contextlib.contextmanager
def at_signals(call: Callable[[int, float], None]) -> Iterator[None]:
    """Let signals call `call` with their exit status and seconds of grace; needs a running loop."""
    import asyncio

    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in STOPS}
    for number, (exit_code, grace_s) in STOPS.items():
        loop.add_signal_handler(number, call, exit_code, grace_s)
    try:
        yield
    finally:
        for number in STOPS:
            loop.remove_signal_handler(number)
            signal.signal(number, before[number])


@contextlib.contextmanager
def open_streams() -> Iterator[None]:
    """Let streams that the parent process closed lead nowhere, instead of being None."""
    with contextlib.ExitStack() as stack:
        for name in ("stdout", "stderr"):
            if getattr(sys, name) is None:
                setattr(sys, name, stack.enter_context(open(os.devnull, "w", encoding="utf-8")))
                stack.callback(setattr, sys, name, None)
        yield


def run_loop(work: Coroutine[Any, Any, Result]) -> Result:
    """Run on uvloop where it exists."""
    import asyncio
    import gc

    if _Stop.exit_code is not None:
        # It was raised where Python only mentions exceptions and goes on, as in a callback of the import system.
        work.close()
        raise StoppedEarly(_Stop.exit_code)
    # Pages are many short-lived lists and nothing here is cyclic: looking for cycles less often saves a tenth of a
    # backfill's time.
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)
    # Files are read side by side already; polars' own threads would cost a fifth more for the same.
    os.environ.setdefault("POLARS_MAX_THREADS", "1")
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)
