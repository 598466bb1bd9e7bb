"""The figures of a benchmark: every run of every case, the median of the runs, and the ratios between cases.  Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Final, Literal

SCHEMA: Final = 1

Stage = Literal["download", "write", "path", "re-plan", "limiter"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of one case; None is what there is not, or what cannot be seen.

    `candles`, `seconds` and `cpu_s` (user + system of the measured process) are without its start: `start_s` and
    `start_cpu_s` were taken off, which a run for one symbol and one day took just before.
    `writer_busy` is the share of the time in which the store was being written, `queued` the answers that waited for
    it, `rows_a_write` what went at once.  `budget_share` is the weight that was paid, of what the budget allowed in
    that time.  `simulator_cpu_s` and `server_cpu_s` are what the other ends took meanwhile.
    """

    candles: int
    seconds: float
    cpu_s: float
    start_s: float = 0.0
    start_cpu_s: float = 0.0
    rss_bytes: int | None = None
    received_bytes: int | None = None
    requests: int | None = None
    weight: int | None = None
    budget_share: float | None = None
    most_weight_in_60s: int | None = None
    writer_busy: float | None = None
    queued: float | None = None
    rows_a_write: float | None = None
    simulator_cpu_s: float | None = None
    server_cpu_s: float | None = None

    @property
    def rate(self) -> float:
        """Candles a second."""
        return self.candles / self.seconds

    def per_million(self, seconds: float | None) -> float | None:
        """Some seconds of this run for each million of its candles."""
        return None if seconds is None else seconds * 1e6 / self.candles

    @property
    def cpu_of_server(self) -> float | None:
        """`cpu_s` as a share of what the server took meanwhile; None where there is none, or none that can be seen."""
        return self.cpu_s / self.server_cpu_s if self.server_cpu_s else None


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that was measured, as often as it was. `source` and `store` are empty where it has none."""

    name: str
    stage: Stage
    source: str
    store: str
    runs: list[Run] = field(default_factory=list)

    def middle(self, value: Callable[[Run], float | None]) -> float | None:
        """The median over the runs; None where one of them has no value."""
        values = self._values(value)
        return median(values) if values else None

    def spread(self, value: Callable[[Run], float | None]) -> tuple[float, float] | None:
        """The least and the most."""
        values = self._values(value)
        return (min(values), max(values)) if values else None

    def _values(self, value: Callable[[Run], float | None]) -> list[float]:
        values = [value(run) for run in self.runs]
        return [found for found in values if found is not None] if None not in values else []

    @property
    def rate(self) -> float:
        return self.middle(lambda run: run.rate) or 0.0

    @property
    def cpu_per_million(self) -> float:
        return self.middle(lambda run: run.per_million(run.cpu_s)) or 0.0


MEASURES: Final[Mapping[str, Callable[[Run], float | None]]] = {
    "candles_per_second": lambda run: run.rate,
    "seconds": lambda run: run.seconds,
    "cpu_s_per_million": lambda run: run.per_million(run.cpu_s),
    "rss_bytes": lambda run: run.rss_bytes,
    "budget_share": lambda run: run.budget_share,
    "writer_busy": lambda run: run.writer_busy,
    "queued": lambda run: run.queued,
    "rows_a_write": lambda run: run.rows_a_write,
    "simulator_cpu_s_per_million": lambda run: run.per_million(run.simulator_cpu_s),
    "server_cpu_s_per_million": lambda run: run.per_million(run.server_cpu_s),
    "cpu_of_server": lambda run: run.cpu_of_server,
}
"""What is told of each case, by its name in the JSON."""


@dataclass(frozen=True, slots=True)
class Ratios:
    """How near a path comes to each limit, as shares of the candles a second; None where there is no such limit.

    `of_download`: the same bytes only fetched. `of_write`: the same rows only written. `of_budget`: what the venue's
    own weight budget lets through over REST.
    """

    of_download: float | None
    of_write: float | None
    of_budget: float | None


@dataclass(slots=True)
class Results:
    """All of a benchmark. `budget_rate`: candles a second that the venue's weight budget allows.

    `skipped`: what was not measured, and why. `stores_checked`: so many filled stores were read back and held against
    the generator; `checksum` is that of the candles of each.
    """

    machine: dict[str, Any]
    work: dict[str, Any]
    repeats: int
    budget_rate: float
    cases: list[Case] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    places: dict[str, str] = field(default_factory=dict)
    checksum: str = ""
    stores_checked: int = 0
    seconds: float = 0.0

    def case(self, name: str, stage: Stage, source: str = "", store: str = "") -> Case:
        """The case of that name; made if there is none yet."""
        found = self.find(stage, source, store) if stage != "limiter" else None
        if found is None:
            found = next((case for case in self.cases if case.name == name), None)
        if found is None:
            found = Case(name, stage, source, store)
            self.cases.append(found)
        return found

    def find(self, stage: Stage, source: str = "", store: str = "") -> Case | None:
        """The case of a stage."""
        wanted = (stage, source, store)
        return next((case for case in self.cases if (case.stage, case.source, case.store) == wanted), None)

    def ratios(self, case: Case) -> Ratios | None:
        """How near a path comes to its limits; None for what is no path."""
        if case.stage != "path":
            return None
        download = self.find("download", source=case.source)
        write = self.find("write", store=case.store)
        return Ratios(
            case.rate / download.rate if download else None,
            case.rate / write.rate if write else None,
            case.rate / self.budget_rate,
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "machine": self.machine,
            "work": self.work,
            "repeats": self.repeats,
            "places": self.places,
            "budget_candles_per_second": self.budget_rate,
            "cases": [self._case_json(case) for case in self.cases],
            "skipped": [{"what": what, "why": why} for what, why in self.skipped],
            "checksum": self.checksum,
            "stores_checked": self.stores_checked,
            "seconds": round(self.seconds, 1),
        }

    def _case_json(self, case: Case) -> dict[str, Any]:
        ratios = self.ratios(case)
        return {
            "name": case.name,
            "stage": case.stage,
            "source": case.source,
            "store": case.store,
            "median": {name: case.middle(value) for name, value in MEASURES.items()},
            "spread": {name: case.spread(value) for name, value in MEASURES.items()},
            "ratios": None if ratios is None else asdict(ratios),
            "runs": [asdict(run) for run in case.runs],
        }


def read_results(answer: Mapping[str, Any]) -> Results:
    """Make results again of what `as_json` gave; ValueError when it is of another kind."""
    if answer.get("schema") != SCHEMA:
        raise ValueError(f"these are no results of a benchmark of version {SCHEMA}")
    cases = [
        Case(one["name"], one["stage"], one["source"], one["store"], [Run(**run) for run in one["runs"]])
        for one in answer["cases"]
    ]
    return Results(
        machine=answer["machine"],
        work=answer["work"],
        repeats=answer["repeats"],
        budget_rate=answer["budget_candles_per_second"],
        cases=cases,
        skipped=[(one["what"], one["why"]) for one in answer["skipped"]],
        places=answer["places"],
        checksum=answer["checksum"],
        stores_checked=answer["stores_checked"],
        seconds=answer["seconds"],
    )


def share_text(share: float | None) -> str:
    """A share for people: `84 %`, `26 x` from twofold on, `-` where there is none."""
    if share is None:
        return "-"
    return f"{100 * share:.0f} %" if share < 2 else f"{share:.0f} x" if share >= 10 else f"{share:.1f} x"


def pressure(case: Case) -> str:
    """What held a path up most: the store, the source, or both alike."""
    busy = case.middle(lambda run: run.writer_busy)
    if busy is None:
        return "-"
    where = "store" if busy > 0.8 else "source" if busy < 0.5 else "both"
    return f"{where} {100 * busy:.0f} %"


def number(value: float | None, form: str = ",.0f") -> str:
    """A number for people, `-` where there is none."""
    return "-" if value is None else format(value, form)


def rows(results: Results, stages: Sequence[Stage]) -> list[Case]:
    """The cases of some stages, in the order of the stages."""
    return [case for stage in stages for case in results.cases if case.stage == stage]
