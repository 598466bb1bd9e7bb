"""A program that is forked is what one is that is started."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SHOWS = """
import json, os, signal, sys, time
print(json.dumps({
    "words": sys.argv, "folder": os.getcwd(), "environment": dict(os.environ), "zone": time.strftime("%Z"),
    "path": sys.path[0], "name": __name__, "group": os.getpgid(0), "umask": os.umask(0),
    "streams": [(stream.encoding, stream.fileno(), stream.isatty()) for stream in (sys.stdin, sys.stdout, sys.stderr)],
    "stdin": sys.stdin.read(), "open": sorted(os.listdir("/dev/fd")),
    "signals": [str(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)],
    "blocked": [int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, ())],
}))
"""


def fresh(words, environment, first):
    return subprocess.Popen(
        [sys.executable, "-c", f"{first}\nfrom laklak.__main__ import main\nmain()", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=environment,
    )


def test_it_finds_what_one_that_is_started_finds(fork_server, monkeypatch):
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    environment = {"PATH": os.environ["PATH"], "HOME": "/nowhere", "TZ": "Asia/Tokyo"}
    given = (["--version", "币安"], environment, SHOWS)
    started, forked = fresh(*given), fork_server.start(*given)
    was = [json.loads(process.communicate(60)[0].splitlines()[0]) for process in (started, forked)]
    for one in was:
        # What Python itself sets where there is no locale; the engine was imported with it.
        one["environment"].pop("LC_CTYPE", None)
    assert was[1] == was[0]
    assert (was[1]["words"], was[1]["zone"]) == (["-c", "--version", "币安"], "JST")


@pytest.mark.parametrize(
    ("first", "status"),
    [
        ("", 0),
        ("raise SystemExit(75)", 75),
        ("raise ValueError('no')", 1),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
        ("import os, signal; os.kill(os.getpid(), signal.SIGINT)", -signal.SIGINT),
    ],
)
def test_it_says_and_ends_as_one_that_is_started(fork_server, first, status):
    started, forked = (start(["--version"], dict(os.environ), first) for start in (fresh, fork_server.start))
    (out, err), (their_out, their_err) = forked.communicate(60), started.communicate(60)
    assert (out, err.splitlines()[-1:]) == (their_out, their_err.splitlines()[-1:])
    assert (forked.returncode, started.returncode) == (status, status)


def test_it_is_signalled_and_waited_for(fork_server):
    process = fork_server.start([], dict(os.environ), "import time; print('here', flush=True); time.sleep(600)")
    assert process.stdout.readline() == "here\n"
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.01)
    os.kill(process.pid, 0)
    process.kill()
    assert process.wait(60) == -signal.SIGKILL
    assert process.communicate(60) == ("", "")
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


def test_one_does_not_see_what_another_changed(fork_server):
    changes = fork_server.start(["--version"], dict(os.environ), "import laklak.cli; laklak.cli.run = None")
    assert "not callable" in changes.communicate(60)[1]
    other = fork_server.start(["--version"], dict(os.environ))
    assert other.communicate(60)[1] == ""


def test_where_python_would_start_otherwise_it_is_told(fork_server):
    assert fork_server.can_fork({**os.environ, "HOME": "/nowhere"})
    assert not fork_server.can_fork({**os.environ, "LC_ALL": "xx"})
    assert not fork_server.can_fork({**os.environ, "PYTHONUTF8": "0"})
