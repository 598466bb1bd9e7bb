"""Measured processes; none outlives the process that started it.

Each runs in its own session: Ctrl-C on the terminal reaches only laklak bench, which then ends them.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, Any, Final, Self

from laklak.errors import LaklakError

_LONGEST_S: Final = 3600.0
_SHOWN_OF_AN_ERROR: Final = 400
# `ru_maxrss` is in KiB on Linux, in bytes on macOS.
_MAXRSS_UNIT: Final = 1 if sys.platform == "darwin" else 1024


class BenchmarkFailed(LaklakError):
    """A measurement without a meaning: a process failed, or a wrong row was stored."""

    reason = "benchmark_failed"

    def __init__(self, message: str, *, hint: str | None = None, exit_code: int = 1) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class EndedProcess:
    """An ended process: wall seconds, CPU seconds (user + system), largest resident size and its output."""

    status: int
    seconds: float
    cpu_s: float
    rss_bytes: int
    out: str
    said: str


class Child:
    """A child process for a `with` block; leaving the block kills it.

    Args:
        folder: its working directory, where its output goes too.
        talks: its stdin and stdout are pipes, for `ask`.
        out: keep what it prints.
    """

    def __init__(
        self, command: Sequence[str], *, folder: Path, env: Mapping[str, str], talks: bool = False, out: bool = True
    ) -> None:
        self._command = command
        self._folder = folder
        self._env = env
        self._talks = talks
        self._out = out
        self._process: subprocess.Popen[str] | None = None
        self._began_s = 0.0

    def __enter__(self) -> Self:
        try:
            with held_signals():
                self._start()
        except BaseException:
            # A held signal takes effect here, where nothing else knows the process yet.
            self._end()
            raise
        return self

    def _start(self) -> None:
        with open(self._said, "wb") as said, open(self._printed, "wb") as printed:
            self._began_s = time.perf_counter()
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=dict(self._env),
                stdin=subprocess.PIPE if self._talks else subprocess.DEVNULL,
                stdout=subprocess.PIPE if self._talks else printed if self._out else subprocess.DEVNULL,
                stderr=said,
                text=True,
                start_new_session=True,
            )

    def __exit__(self, *_: object) -> None:
        with held_signals():
            self._end()

    def _end(self) -> None:
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    @property
    def process(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise RuntimeError("the child is used outside `with`")
        return self._process

    def ask(self, line: str) -> dict[str, Any]:
        """Send a line and return the JSON answer. BenchmarkFailed when the child has ended."""
        self.send(line)
        return self.receive()

    def send(self, line: str) -> None:
        """Send a line."""
        # A child that has ended cannot take the line; `receive` tells it.
        with contextlib.suppress(OSError):
            _pipe(self.process.stdin).write(f"{line}\n")
            _pipe(self.process.stdin).flush()

    def receive(self) -> dict[str, Any]:
        """Wait for a line of JSON. BenchmarkFailed when the child has ended or answers with an error."""
        answer = _pipe(self.process.stdout).readline()
        if not answer:
            raise self.failed("ended early")
        found: dict[str, Any] = json.loads(answer)
        if "error" in found:
            raise BenchmarkFailed(found["error"], hint=found["hint"], exit_code=found["exit_code"])
        return found

    def wait(self) -> EndedProcess:
        """Wait until the process ends; after an hour it is killed."""
        process = self.process
        # wait4 has no time-out, and polling would use the CPU that is measured.
        timer = threading.Timer(_LONGEST_S, process.kill)
        timer.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        finally:
            timer.cancel()
        seconds = time.perf_counter() - self._began_s
        process.returncode = os.waitstatus_to_exitcode(status)
        out = self._printed.read_text(errors="replace") if self._out else ""
        return EndedProcess(process.returncode, seconds, *_used(usage), out, self._said_text())

    def failed(self, what: str) -> BenchmarkFailed:
        """The error for a child that did not do its work."""
        return BenchmarkFailed(f"{self._name} {what}: {last_words(self._said_text())}")

    @property
    def _name(self) -> str:
        return " ".join(self._command[1:5]) if self._command[0] == sys.executable else Path(self._command[0]).name

    @property
    def _said(self) -> Path:
        return self._folder / "stderr.txt"

    @property
    def _printed(self) -> Path:
        return self._folder / "stdout.txt"

    def _said_text(self) -> str:
        return self._said.read_text(errors="replace")


def _pipe(pipe: IO[str] | None) -> IO[str]:
    if pipe is None:
        raise RuntimeError("this child has no pipes")
    return pipe


def _used(usage: resource.struct_rusage) -> tuple[float, int]:
    # `ru_maxrss` also covers the parent's image before exec; the parent is small enough not to matter.
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * _MAXRSS_UNIT


def last_words(said: str) -> str:
    """The last line a process wrote: the error of a traceback."""
    lines = [line for line in said.strip().splitlines() if line.strip()]
    return lines[-1][:_SHOWN_OF_AN_ERROR] if lines else "it said nothing"


@contextlib.contextmanager
def held_signals() -> Iterator[None]:
    """Hold SIGINT and SIGTERM back until the block ends: a process is started and known, or not started."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def hold(number: int, _frame: FrameType | None) -> None:
        came.append(number)

    before = {number: signal.signal(number, hold) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        signal.raise_signal(came[0])


class Work:
    """Starts the processes of one benchmark, each in its own folder below `folder`, in a clean environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._number = 0

    def environment(self, **more: str) -> dict[str, str]:
        """An environment without the user's settings, in which `laklak` is this program."""
        kept = ("PATH", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "LD_LIBRARY_PATH")
        home = self.folder / "home"
        return {
            **{name: os.environ[name] for name in kept if name in os.environ},
            "LC_ALL": "C.UTF-8",
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home),
            "XDG_STATE_HOME": str(home),
            "LAKLAK_STATE_DIR": str(home / "state"),
            "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
            **more,
        }

    def child(self, command: Sequence[str], env: Mapping[str, str], *, talks: bool = False, out: bool = True) -> Child:
        self._number += 1
        folder = self.folder / f"process-{self._number}"
        folder.mkdir()
        return Child(command, folder=folder, env=env, talks=talks, out=out)

    def worker(self, job: str) -> Child:
        """A process for a job of laklak.bench.worker; `ask` it with its spec."""
        return self.child([sys.executable, "-m", "laklak.bench.worker", job], self.environment(), talks=True)

    def answer(self, job: str, spec: Mapping[str, Any]) -> dict[str, Any]:
        """Do a job in its own process and return its answer."""
        with self.worker(job) as child:
            return child.ask(json.dumps(spec))

    def laklak(self, arguments: Sequence[str], env: Mapping[str, str]) -> EndedProcess:
        """Run laklak itself."""
        with self.child([sys.executable, "-m", "laklak", *arguments], self.environment(**env)) as child:
            return child.wait()
