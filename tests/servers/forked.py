"""Programs that are forked off a process which has imported the engine: that is most of what a short one takes.

Each is what `python -m laklak` is, a process of its own with its words, environment, folder, streams, signals and end.
What only an interpreter that has just been started has wants one: modules that are still to be imported, and variables
that Python itself reads at its start (`ForkServer.can_fork` says so of these).

    tests ── a program's words and streams ──► fork server ── fork ──► keeper ── fork ──► program
      ▲                                                                  │
      └───────────────── its id, and its status once it has ended ───────┘
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import io
import json
import os
import runpy
import selectors
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

_READ_BY_PYTHON = ("PYTHON", "LC_", "LANG")
_NUMBER = struct.Struct("!q")
# What most programs import, also what they import late.
_WANTED = (
    "anyio._backends._asyncio",
    "encodings.idna",
    "laklak.audit.coverage",
    "laklak.cli",
    "laklak.engine.check",
    "laklak.engine.transfer",
    "laklak.engine.run",
    "laklak.engine.trading",
    "laklak.order",
    "laklak.report.log",
    "laklak.settings.assets",
    "laklak.settings.old_config",
    "laklak.simulator",
    "laklak.stores.influx.store",
    "laklak.stores.sqlite.store",
    "uvloop",
)


class ForkServer:
    """The process that has imported the engine; it ends with the tests. Use it in one thread."""

    def __init__(self) -> None:
        self._environment = dict(os.environ)
        self._ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())], pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL
            )

    def can_fork(self, environment: Mapping[str, str]) -> bool:
        """Whether Python would start with this environment as it has started there."""
        return _for_python(environment) == _for_python(self._environment)

    def start(self, words: Sequence[str], environment: Mapping[str, str], first: str = "") -> ForkedProgram:
        """Start the program, in the present folder; `first` are statements that it executes before."""
        request = {"words": list(words), "environment": dict(environment), "folder": os.getcwd(), "first": first}
        text = json.dumps(request).encode()
        life, theirs = socket.socketpair()
        out, their_out = os.pipe()
        err, their_err = os.pipe()
        with theirs:
            socket.send_fds(self._ours, [_NUMBER.pack(len(text))], [their_out, their_err, theirs.fileno()])
            self._ours.sendall(text)
        os.close(their_out)
        os.close(their_err)
        return ForkedProgram(words, life, os.fdopen(out, encoding="utf-8"), os.fdopen(err, encoding="utf-8"))

    def close(self) -> None:
        self._ours.close()
        self._process.wait(20)


class ForkedProgram:
    """What `subprocess.Popen` is to whoever has started a process, as far as tests need it."""

    def __init__(self, words: Sequence[str], life: socket.socket, stdout: TextIO, stderr: TextIO) -> None:
        self.args = words
        self.stdout = stdout
        self.stderr = stderr
        self.returncode: int | None = None
        self._life = life
        self.pid = self._told()

    def poll(self) -> int | None:
        return self._wait(0)

    def wait(self, timeout: float | None = None) -> int:
        if self._wait(timeout) is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Read both streams to their end, and wait for its own."""
        deadline = None if timeout is None else time.monotonic() + timeout
        read = {self.stdout: b"", self.stderr: b""}
        with selectors.DefaultSelector() as waiting:
            for stream in read:
                if not stream.closed:
                    waiting.register(stream, selectors.EVENT_READ)
            while waiting.get_map():
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise subprocess.TimeoutExpired(self.args, timeout or 0)
                for key, _ in waiting.select(left):
                    stream: Any = key.fileobj
                    piece = os.read(key.fd, 1 << 16)
                    read[stream] += piece
                    if not piece:
                        waiting.unregister(stream)
                        stream.close()
        self.wait(None if deadline is None else max(deadline - time.monotonic(), 1.0))
        out, err = (_text(data) for data in read.values())
        return out, err

    def _wait(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            with selectors.DefaultSelector() as waiting:
                waiting.register(self._life, selectors.EVENT_READ)
                ended = bool(waiting.select(timeout))
            if ended:
                self.returncode = os.waitstatus_to_exitcode(self._told())
                self._life.close()
        return self.returncode

    def _told(self) -> int:
        number: int = _NUMBER.unpack(_exactly(self._life, _NUMBER.size))[0]
        return number


def _text(data: bytes) -> str:
    return data.decode().replace("\r\n", "\n").replace("\r", "\n")


def _for_python(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(_READ_BY_PYTHON)}


def _exactly(talk: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        piece = talk.recv(length - len(data))
        if not piece:
            raise EOFError("the fork server has ended")
        data += piece
    return data


# In the process that forks


def _serve(control: socket.socket) -> dict[str, Any] | None:
    """Fork what is asked for. Returns in each program, with its request; in the server when the tests have ended."""
    # A terminal's Ctrl-C goes to all of them; the tests tell by closing.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    keepers: list[int] = []
    while True:
        head, streams, _, _ = socket.recv_fds(control, _NUMBER.size, 3)
        keepers = [keeper for keeper in keepers if os.waitpid(keeper, os.WNOHANG)[0] == 0]
        if not head:
            return None
        request: dict[str, Any] = json.loads(_exactly(control, _NUMBER.unpack(head)[0]))
        keeper = os.fork()
        if keeper == 0:
            control.close()
            _keep(*streams)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            return request
        keepers.append(keeper)
        for stream in streams:
            os.close(stream)


def _keep(out: int, err: int, life: int) -> None:
    """Fork the program, in which this returns, and tell its id and how it ended."""
    program = os.fork()
    if program == 0:
        os.close(life)
        for theirs, ours in ((out, 1), (err, 2)):
            os.dup2(theirs, ours)
            os.close(theirs)
        return
    for stream in (0, 1, 2, out, err):
        os.close(stream)
    os.write(life, _NUMBER.pack(program))
    _, status = os.waitpid(program, 0)
    os.write(life, _NUMBER.pack(status))
    os._exit(0)


def _become(request: dict[str, Any]) -> None:
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    tempfile.tempdir = None
    words, first = request["words"], request["first"]
    try:
        _run(words, first, request["folder"])
    except SystemExit as end:
        if isinstance(end.code, int):
            _end(end.code)
        raise


def _run(words: list[str], first: str, folder: str) -> None:
    if first:
        sys.argv, sys.path[0] = ["-c", *words], ""
        exec(f"{first}\nfrom laklak.__main__ import main\nmain()", {"__name__": "__main__"})  # noqa: S102 - as -c does
    else:
        sys.argv, sys.path[0] = ["laklak", *words], folder
        runpy.run_module("laklak", run_name="__main__", alter_sys=True)


def _end(status: int) -> None:
    """End as an interpreter does, but that it takes nothing apart: writing to each page would copy all of them."""
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()  # what fails here fails again in the interpreter, which knows how to end then
    os._exit(status)


if __name__ == "__main__":
    for module in _WANTED:
        importlib.import_module(module)
    # What the command line imports when it reads its words comes with words that are refused.
    with contextlib.redirect_stderr(io.TextIOWrapper(io.BytesIO(), encoding="utf-8")):
        importlib.import_module("laklak.cli").run(["show"])
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # Pages of memory that no collection touches stay shared.
    gc.freeze()
    asked = _serve(socket.socket(fileno=int(sys.argv[1])))
    if asked is not None:
        _become(asked)
