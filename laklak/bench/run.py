"""Which measurements run, in which order. One thread, no event loop: every measurement is another process.

    prepare   the simulator makes all its answers while the reference is made
    rounds    one per repeat, each with every case: first the limits, then the paths
    limiter   once, two minutes for each budget

A stop (an exception out of a signal handler) unwinds all: processes end, databases are dropped, folders are removed.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from laklak.bench import influxd, machine
from laklak.bench.children import BenchmarkFailed, Child, EndedProcess, Work, held_signals, last_words
from laklak.bench.places import FilePlace, Place, ServerPlace
from laklak.bench.results import Results, Run, Stage
from laklak.bench.workload import (
    PAGE,
    PAGE_WEIGHT,
    VENUE,
    Job,
    Workload,
    access_json,
    for_budget,
    small,
    whole,
)
from laklak.model.series import iso
from laklak.plan.cost import Budget
from laklak.stores.access import StoreAccess

_QUOTA: Final = next(iter(VENUE.quotas.values()))
_NO_LIMIT: Final = 1_000_000
"""The largest budget, in weight per minute: the limiter never waits."""
_LEAST_S: Final = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A benchmark to run.

    `sources`: where paths begin. `limiter_s`: seconds for each of `budgets`. `store`: beside which store of the user to
    measure; None for a temporary folder. `looks_for_influxd`: start an InfluxDB server if `store` names none and PATH
    has the program. `warms_up`: run every path once before it counts.
    """

    workload: Workload
    repeats: int
    sources: Sequence[str] = ("rest", "archive")
    budgets: Sequence[int] = ()
    limiter_s: float = 120.0
    store: StoreAccess | None = None
    looks_for_influxd: bool = True
    warms_up: bool = True


QUICK: Final = Plan(workload=Workload(symbols=8, days=30), repeats=1)
FULL: Final = Plan(workload=Workload(symbols=20, days=90), repeats=3, budgets=(1200, 2400))


def run(plan: Plan, tell: Callable[[str], None]) -> Results:
    """Run the benchmark; `tell` receives progress lines. BenchmarkFailed when anything fails, above all a wrong row."""
    with _folder() as folder, contextlib.ExitStack() as stack:
        return _Bench(plan, tell, folder).run(stack)


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    folder = None
    try:
        with held_signals():
            folder = Path(tempfile.mkdtemp(prefix="laklak-bench-"))
        yield folder
    finally:
        with held_signals():
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)


class _Bench:
    def __init__(self, plan: Plan, tell: Callable[[str], None], folder: Path) -> None:
        self._plan = plan
        self._tell = tell
        self._work = Work(folder)
        self._spec = {"workload": _plain(plan.workload), "folder": str(folder)}
        self._results = Results(
            machine=machine.describe(),
            work=plan.workload.as_json(),
            repeats=plan.repeats,
            budget_rate=PAGE / PAGE_WEIGHT * _QUOTA.units / _QUOTA.seconds,
        )
        self._url = ""

    def run(self, stack: contextlib.ExitStack) -> Results:
        began_s = time.perf_counter()
        places = self._places(stack)
        simulator = self._prepare(stack)
        for number in range(self._plan.repeats):
            if self._plan.repeats > 1:
                self._tell(f"round {number + 1} of {self._plan.repeats}")
            for source in self._plan.sources:
                self._download(source)
            for place in places:
                self._write(place)
                for source in self._plan.sources:
                    self._path(source, place, simulator, warm=number > 0 or not self._plan.warms_up)
        for budget in self._plan.budgets:
            self._limiter(budget, places[0])
        if not self._plan.budgets:
            self._results.skipped.append(("limiter", "it takes two minutes for each budget; leave out --quick"))
        self._results.seconds = time.perf_counter() - began_s
        return self._results

    # Before

    def _places(self, stack: contextlib.ExitStack) -> list[Place]:
        """A SQLite place, and an InfluxDB place if there is a server."""
        folder, store = self._work.folder, self._plan.store
        state = folder / "home" / "state"
        files = FilePlace(folder, state_dir=state)
        if store is not None and not store.where.lower().startswith("influxdb"):
            named = Path(_path_of(store.where))
            files = FilePlace(named.parent, stem=named.stem, state_dir=state)
        places: list[Place] = [files]
        if store is not None and store.where.lower().startswith("influxdb"):
            places.append(ServerPlace(store, state_dir=state))
            # A faulty server fails here, before minutes are spent.
            with places[-1].fresh() as access:
                self._work.answer("open", {"access": access_json(access)})
        elif self._plan.looks_for_influxd and (program := influxd.find()) is not None:
            server, pid = stack.enter_context(influxd.running(program, self._work))
            own = StoreAccess(where=f"influxdb://{server}/laklak")
            places.append(ServerPlace(own, state_dir=state, pid=pid))
        else:
            why = "no influxd 1.x on PATH, and --store names no InfluxDB server"
            self._results.skipped.append(("influxdb", why if self._plan.looks_for_influxd else "not asked for"))
        self._results.places = {place.kind: place.shown for place in places}
        return places

    def _prepare(self, stack: contextlib.ExitStack) -> Child:
        """Start the simulator and make the reference, side by side."""
        candles = self._plan.workload.candles
        self._tell(f"making {candles:,} candles, their pages, files and lines")
        with held_signals():
            # With signals held, both are started and on the stack, or neither.
            simulator = stack.enter_context(self._work.worker("serve"))
            reference = stack.enter_context(self._work.worker("reference"))
        spec = {**self._spec, "budget": _NO_LIMIT, "prepared": True}
        simulator.send(json.dumps(spec))
        reference.send(json.dumps(self._spec))
        made = reference.receive()
        self._results.checksum = made["checksum"]
        self._url = simulator.receive()["url"]
        return simulator

    # The cases

    def _download(self, source: str) -> None:
        used = self._work.answer("download", {**self._spec, "source": source, "url": self._url})
        run = Run(
            candles=used["candles"],
            seconds=used["seconds"],
            cpu_s=used["cpu_s"],
            received_bytes=used["bytes"],
            requests=used["requests"],
        )
        self._add(run, f"only fetched, {source}", "download", source=source)

    def _write(self, place: Place) -> None:
        with place.fresh() as access:
            before = place.server_cpu_s()
            used = self._work.answer("write", {**self._spec, "access": access_json(access)})
            server_cpu_s = _grown(before, place.server_cpu_s())
            self._verify(access, f"only written, {place.kind}")
        run = Run(candles=used["candles"], seconds=used["seconds"], cpu_s=used["cpu_s"], server_cpu_s=server_cpu_s)
        self._add(run, f"only written, {place.kind}", "write", store=place.kind)

    def _path(self, source: str, place: Place, simulator: Child, *, warm: bool) -> None:
        """Time a backfill of everything minus a small one; over REST, then run it again on the full store."""
        name = f"{source} -> {place.kind}"
        workload = self._plan.workload
        if not warm:
            with place.fresh() as access:
                self._backfill(small(workload), source, access)
        with place.fresh() as access:
            start, _ = self._backfill(small(workload), source, access)
        with place.fresh() as access:
            others = simulator.ask("used")["cpu_s"], place.server_cpu_s()
            ended, summary = self._backfill(whole(workload), source, access)
            simulator_cpu_s = simulator.ask("used")["cpu_s"] - others[0]
            server_cpu_s = _grown(others[1], place.server_cpu_s())
            if source == "rest":
                self._replan(access, place)
            self._verify(access, name)
        writer, seconds = summary["writer"], max(_LEAST_S, ended.seconds - start.seconds)
        run = Run(
            candles=workload.candles - small(workload).candles,
            seconds=seconds,
            cpu_s=max(_LEAST_S, ended.cpu_s - start.cpu_s),
            start_s=start.seconds,
            start_cpu_s=start.cpu_s,
            rss_bytes=ended.rss_bytes,
            requests=summary["requests"] + summary["files"]["requests"],
            weight=summary["weight"],
            budget_share=summary["weight"] / (_NO_LIMIT * max(_LEAST_S, writer["of_s"]) / _QUOTA.seconds),
            writer_busy=writer["busy_s"] / max(_LEAST_S, writer["of_s"]),
            queued=writer["queued"],
            rows_a_write=writer["rows"] / max(1, writer["writes"]),
            simulator_cpu_s=simulator_cpu_s,
            server_cpu_s=server_cpu_s,
        )
        self._add(run, name, "path", source=source, store=place.kind)

    def _replan(self, access: StoreAccess, place: Place) -> None:
        name = f"re-plan of a full store, {place.kind}"
        ended, summary = self._backfill(whole(self._plan.workload), "rest", access, expect_stored=True)
        run = Run(
            candles=summary["wanted"],
            seconds=ended.seconds,
            cpu_s=ended.cpu_s,
            rss_bytes=ended.rss_bytes,
            requests=summary["requests"],
        )
        self._add(run, name, "re-plan", store=place.kind)

    def _limiter(self, budget: int, place: Place) -> None:
        name = f"limiter at {budget}"
        weight = int(Budget(budget, _QUOTA.seconds).units_a_second * self._plan.limiter_s)
        job = for_budget(self._plan.workload, weight)
        with self._work.worker("serve") as simulator, place.fresh() as access:
            spec = {**self._spec, "budget": max(budget, _QUOTA.units), "prepared": False}
            url = simulator.ask(json.dumps(spec))["url"]
            ended, summary = self._backfill(job, "rest", access, budget=str(budget), url=url)
            used = simulator.ask("used")
        if used["refused"] or used["most_weight_in_60s"] > budget:
            raise BenchmarkFailed(
                f"{name}: {used['most_weight_in_60s']} weight in 60 s, {used['refused']} requests refused",
                hint="laklak must never use more than its budget: please report it",
            )
        seconds = max(_LEAST_S, summary["seconds"])
        run = Run(
            candles=job.candles,
            seconds=seconds,
            cpu_s=ended.cpu_s,
            rss_bytes=ended.rss_bytes,
            requests=summary["requests"],
            weight=used["weight"],
            budget_share=used["weight"] / (budget * seconds / _QUOTA.seconds),
            most_weight_in_60s=used["most_weight_in_60s"],
            simulator_cpu_s=used["cpu_s"],
        )
        self._add(run, name, "limiter", source="rest", store=place.kind)

    # The steps of a case

    def _backfill(
        self,
        job: Job,
        source: str,
        access: StoreAccess,
        *,
        budget: str = "max",
        url: str | None = None,
        expect_stored: bool = False,
    ) -> tuple[EndedProcess, dict[str, Any]]:
        """Run laklak for `job`. BenchmarkFailed unless everything is stored afterwards."""
        env = {
            "LAKLAK_STORE": access.where,
            "LAKLAK_BINANCE_URL": url or self._url,
            "LAKLAK_BINANCE_ARCHIVE_URL": url or self._url,
            **({"LAKLAK_INFLUXDB_PASSWORD": access.password} if access.password else {}),
            **({"LAKLAK_INFLUXDB_TOKEN": access.token} if access.token else {}),
        }
        span = ["--start", iso(job.span.start_ms), "--end", iso(job.span.end_ms)]
        modes = ["--source", source, "--budget", budget, "--json", "--quiet", "--log-file", "none"]
        ended = self._work.laklak(["backfill", *job.symbols, *span, *modes], env)
        summary: dict[str, Any] = json.loads(ended.out) if ended.out.startswith("{") else {}
        written = 0 if expect_stored else job.candles
        if ended.status or summary.get("written") != written or summary.get("missing") or summary.get("retries"):
            raise BenchmarkFailed(
                f"a backfill from {source} ended with status {ended.status}, {summary.get('written', 0):,} of "
                f"{written:,} candles and {summary.get('retries', 0)} repeated requests: "
                f"{summary.get('error') or last_words(ended.said)}",
                hint="a benchmark only counts where nothing goes wrong; is there room on the disk?",
            )
        return ended, summary

    def _verify(self, access: StoreAccess, name: str) -> None:
        spec = {**self._spec, "access": access_json(access), "checksum": self._results.checksum}
        wrong = self._work.answer("verify", spec)["wrong"]
        if wrong is not None:
            raise BenchmarkFailed(f"{name}: wrong rows were stored: {wrong}", hint="please report it")
        self._results.stores_checked += 1

    def _add(self, run: Run, name: str, stage: Stage, *, source: str = "", store: str = "") -> None:
        self._results.case(name, stage, source, store).runs.append(run)
        if stage == "re-plan":
            self._tell(f"{name}: {run.seconds:.2f} s")
        else:
            self._tell(f"{name}: {run.rate:,.0f} candles/s, {run.per_million(run.cpu_s) or 0.0:.2f} CPU s/M")


def _plain(workload: Workload) -> dict[str, Any]:
    return {"symbols": workload.symbols, "days": workload.days, "seed": workload.seed}


def _grown(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before


def _path_of(where: str) -> str:
    """The path of a SQLite store."""
    from laklak.stores import open_store
    from laklak.stores.sqlite.store import SqliteStore

    store = open_store(where)
    if not isinstance(store, SqliteStore):
        raise TypeError(f"{store.display} is no file")
    return store.path
