"""The figures of a benchmark: every run of every case, the median of the runs, the ratios between cases. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, Final, Literal

SCHEMA: Final = 1

Stage = Literal["download", "write", "path", "re-plan", "limiter"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of one case; None for a figure it does not have.

    `candles`, `seconds` and `cpu_s` (user + system of the measured process) exclude the start of the program: `start_s`
    and `start_cpu_s`, measured just before with one symbol and one day, are subtracted.
    `writer_busy`: share of the time in which the store was written. `queued`: answers waiting for the store.
    `rows_a_write`: rows per write. `budget_share`: weight paid, as a share of the budget in that time.
    `simulator_cpu_s` and `server_cpu_s`: CPU seconds of the other ends.
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
        """Scale seconds of this run to a million candles."""
        return None if seconds is None else seconds * 1e6 / self.candles

    @property
    def cpu_of_server(self) -> float | None:
        """`cpu_s` as a share of the server's CPU seconds; None if those are unknown."""
        return self.cpu_s / self.server_cpu_s if self.server_cpu_s else None


@dataclass(frozen=True, slots=True)
class Case:
    """One measured case with its runs. `source` and `store` are empty if the case has none."""

    name: str
    stage: Stage
    source: str
    store: str
    runs: list[Run] = field(default_factory=list)

    def middle(self, value: Callable[[Run], float | None]) -> float | None:
        """The median over the runs; None if a run lacks the value."""
        values = self._values(value)
        return median(values) if values else None

    def spread(self, value: Callable[[Run], float | None]) -> tuple[float, float] | None:
        """The least and the most over the runs; None if a run lacks the value."""
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
"""The figures of each case, by their names in the JSON."""


@dataclass(frozen=True, slots=True)
class Ratios:
    """How near a path comes to each limit, as shares of candles per second; None without that limit.

    `of_download`: the same bytes only fetched. `of_write`: the same rows only written. `of_budget`: the candles that
    the venue's weight budget allows over REST.
    """

    of_download: float | None
    of_write: float | None
    of_budget: float | None


@dataclass(slots=True)
class Results:
    """All results of a benchmark. `budget_rate`: candles per second that the venue's weight budget allows.

    `skipped`: what was not measured, with the reason. `stores_checked`: filled stores read back and compared with the
    generator; `checksum`: the digest of each store's candles.
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
        """The case of this stage, source and store (of this name for a limiter), created if it is new."""
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
        """How near a path comes to its limits; None for other stages."""
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
    """Read what `as_json` gave. ValueError for another schema."""
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
    """A share for people: `84 %`, from 2 on `26 x`, `-` for None."""
    if share is None:
        return "-"
    return f"{100 * share:.0f} %" if share < 2 else f"{share:.0f} x" if share >= 10 else f"{share:.1f} x"


def pressure(case: Case) -> str:
    """What slowed a path most: the store, the source, or both."""
    busy = case.middle(lambda run: run.writer_busy)
    if busy is None:
        return "-"
    where = "store" if busy > 0.8 else "source" if busy < 0.5 else "both"
    return f"{where} {100 * busy:.0f} %"


def number(value: float | None, form: str = ",.0f") -> str:
    """A number for people, `-` for None."""
    return "-" if value is None else format(value, form)


def rows(results: Results, stages: Sequence[Stage]) -> list[Case]:
    """The cases of some stages, in the order of `stages`."""
    return [case for stage in stages for case in results.cases if case.stage == stage]
