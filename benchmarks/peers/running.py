"""One run of one peer as a process of its own: what it took, and what it got."""

from __future__ import annotations

import json
import shutil
import sys
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cases
from cases import Peer, Task
from environment import Environment, clean

from laklak.bench.children import Child, EndedProcess, Work

HERE = Path(__file__).resolve().parent
WORDS = 300


class PeerFailed(Exception):
    """A run that ended in a way that tells nothing about speed; the text is what the peer said last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What a run took, its start included for commands: `candles` may be fewer than asked for. `cpu_s` is of it alone.

    `told`: how it said that something was not right, if it did.
    """

    candles: int
    seconds: float
    cpu_s: float
    whole_s: float
    rss_bytes: int
    told: str | None

    def less(self, start: Taken) -> Taken:
        """Without what a small run took."""
        return replace(
            self,
            candles=self.candles - start.candles,
            seconds=max(0.001, self.seconds - start.seconds),
            cpu_s=max(0.001, self.cpu_s - start.cpu_s),
        )


class Runner:
    """Starts peers and looks at what they have got. `server`: an InfluxDB server of our own, as a URL."""

    def __init__(self, work: Work, environment: Environment, server: str) -> None:
        self._work = work
        self._environment = environment
        self.server = server
        self._number = 0

    def task(self, peer: Peer, **values: Any) -> Task:
        """A task with a folder of its own and, where the peer writes to InfluxDB, an empty database."""
        self._number += 1
        name = f"run{self._number}"
        folder = self._work.folder / name
        folder.mkdir()
        if peer.kind == "influxdb":
            self._ask(f'CREATE DATABASE "{name}"')
        return Task(folder=folder, influxdb=self.server, database=name, **values)

    def drop(self, peer: Peer, task: Task) -> None:
        shutil.rmtree(task.folder)
        if peer.kind == "influxdb":
            self._ask(f'DROP DATABASE "{task.database}"')

    def start(self, peer: Peer, task: Task) -> Child:
        """The process of a run, to be entered."""
        if peer.needs == "laklak":
            env = self._work.environment(**cases.laklak_environment(peer, task))
            return self._work.child([sys.executable, "-m", "laklak", *cases.laklak_arguments(task)], env)
        program = str(cases.PROGRAMS / str(peer.program))
        command = [self._environment.python, program, cases.program_order(peer, task)]
        return self._work.child(command, clean(self._work.environment()))

    def taken(self, peer: Peer, task: Task, ended: EndedProcess) -> Taken:
        """Read what a run said of itself; PeerFailed where it ended without a word."""
        if peer.is_command:
            return Taken(
                candles=task.candles,
                seconds=ended.seconds,
                cpu_s=ended.cpu_s,
                whole_s=ended.seconds,
                rss_bytes=ended.rss_bytes,
                told=None if ended.status == 0 else f"exit status {ended.status}",
            )
        line = next((line for line in ended.out.splitlines() if line.startswith("{")), None)
        if line is None:
            raise PeerFailed(_last_words(ended))
        said: Mapping[str, Any] = json.loads(line)
        told = said["first_failure"] if ended.status == 0 else _last_words(ended)
        if peer.needs == "freqtrade":
            told = told or _complaint(ended)
        return Taken(
            candles=said["rows"],
            seconds=said["seconds"],
            cpu_s=said["cpu_s"],
            whole_s=ended.seconds,
            rss_bytes=ended.rss_bytes,
            told=told,
        )

    def check(self, peer: Peer, task: Task, symbols: int, days: int) -> dict[str, Any]:
        """Hold what the peer has got against the generator; see checking.py."""
        kind, where = "kept", str(task.kept)
        if peer.kind == "influxdb":
            kind, where = "influxdb", task.influxdb
        elif peer.kind == "sqlite":
            kind, where = "sqlite", cases.sqlite_file(task)
        elif peer.kind == "feather":
            self._read_feather(task)
        spec = {
            "kind": kind,
            "where": where,
            "database": task.database,
            "symbols": symbols,
            "used": len(task.symbols),
            "days": days,
            "start_ms": task.start_ms,
            "end_ms": task.end_ms,
        }
        env = self._work.environment(PYTHONDONTWRITEBYTECODE="1")
        with self._work.child([sys.executable, str(HERE / "checking.py")], env, talks=True) as child:
            return child.ask(json.dumps(spec))

    def _read_feather(self, task: Task) -> None:
        program = str(cases.PROGRAMS / "read_feather.py")
        arguments = [str(cases.freqtrade_folder(task)), str(task.kept), *task.symbols]
        env = clean(self._work.environment())
        with self._work.child([self._environment.python, program, *arguments], env) as child:
            if child.wait().status:
                raise child.failed("could not read what freqtrade stored")

    def _ask(self, statement: str) -> None:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        form = urllib.parse.urlencode({"q": statement}).encode()
        with opener.open(f"{self.server}/query", form, timeout=60) as response:
            response.read()


def _complaint(ended: EndedProcess) -> str | None:
    """The first warning or error in what freqtrade logs."""
    lines = (ended.out + ended.said).splitlines()
    found = next((line for line in lines if " - ERROR - " in line or " - WARNING - " in line), None)
    return None if found is None else found.partition(" - ")[2][:WORDS]


def _last_words(ended: EndedProcess) -> str:
    lines = [line.strip() for line in ended.said.splitlines() if line.strip()]
    return f"exit status {ended.status}: {lines[-1][:WORDS] if lines else 'it said nothing'}"
