"""The measured work: which candles, in which requests and files. Pure, and the same for every measurement."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

from laklak.archives import ARCHIVES
from laklak.archives.split import Solver
from laklak.model.candles import Chunk
from laklak.model.series import DAY_MS, Interval, Series, TimeRange, iso
from laklak.plan.chunks import page_weight, plan_chunks
from laklak.settings.spec import SPECS
from laklak.simulator.sources.generated import DEFAULT_END_MS, GeneratedSource, generate
from laklak.stores.access import StoreAccess
from laklak.venues import VENUES
from laklak.venues.base import Asked, Request, unlisted

VENUE: Final = VENUES["binance"]
ARCHIVE: Final = ARCHIVES["binance"]
INTERVAL: Final = Interval.parse("1m")


def default(key: str) -> int:
    """The default of a whole-number setting: the benchmark measures what users have."""
    return int(SPECS[key].default or 0)


def access_of(values: dict[str, Any]) -> StoreAccess:
    """Read what `access_json` gave."""
    return StoreAccess(**{**values, "state_dir": Path(values["state_dir"])})


def access_json(access: StoreAccess) -> dict[str, Any]:
    """A store as plain data, secrets included."""
    values = {**asdict(access), "state_dir": str(access.state_dir)}
    del values["timing"]  # as users have it
    return values


PAGE: Final = default("binance.chunk")
PAGE_WEIGHT: Final = page_weight(PAGE, VENUE.page.steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """`days` whole days of minutes for `symbols` generated symbols, up to the last day in the archive."""

    symbols: int
    days: int
    seed: int = 1

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        return cls(**values)

    def as_json(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "candles": self.candles,
            "start": iso(self.range.start_ms),
            "end": iso(self.range.end_ms),
        }

    @property
    def range(self) -> TimeRange:
        # The venue's clock stands at the end of the candles, when the archive does not have the last day yet.
        end_ms = DEFAULT_END_MS - DAY_MS
        return TimeRange(end_ms - self.days * DAY_MS, end_ms)

    @property
    def candles_of_one(self) -> int:
        """Candles of each symbol."""
        return self.range.count(INTERVAL)

    @property
    def candles(self) -> int:
        return self.symbols * self.candles_of_one

    def source(self) -> GeneratedSource:
        """The generator of the candles; it makes them on demand."""
        return generate(symbols=self.symbols, days=self.days + 1, seed=self.seed)

    @property
    def series(self) -> list[Series]:
        return [Series(VENUE.name, symbol, INTERVAL) for symbol in self.source().symbols]

    def requests(self) -> Iterator[Request]:
        """The requests for candles that a backfill over REST sends."""
        for series in self.series:
            for chunk in self._chunks(series):
                yield VENUE.candles_request(Asked(series, unlisted(series.symbol), chunk.range))

    def files(self) -> Iterator[tuple[str, str]]:
        """The files that a backfill from the archive fetches: the paths of zip and checksum."""
        solver = Solver(ARCHIVE, DEFAULT_END_MS, VENUE.page.steps, "archive")
        for series in self.series:
            for part in solver.split(series, [self.range]).files:
                yield part.file.path, part.file.checksum_path

    def _chunks(self, series: Series) -> Iterator[Chunk]:
        return plan_chunks(series, [self.range], VENUE.page.steps, PAGE)


@dataclass(frozen=True, slots=True)
class Job:
    """What one backfill asks for: some of the symbols, and the last days of the workload."""

    symbols: tuple[str, ...]
    span: TimeRange

    @property
    def candles(self) -> int:
        return len(self.symbols) * self.span.count(INTERVAL)


def whole(workload: Workload) -> Job:
    return Job(tuple(workload.source().symbols), workload.range)


def small(workload: Workload) -> Job:
    """One symbol and one day: the time of this run counts as the start of the program."""
    end_ms = workload.range.end_ms
    return Job(tuple(workload.source().symbols[:1]), TimeRange(end_ms - DAY_MS, end_ms))


def for_budget(workload: Workload, weight: int) -> Job:
    """The most days of the first eight symbols whose requests cost at most `weight`; at least one day."""
    symbols = tuple(workload.source().symbols[:8])
    end_ms = workload.range.end_ms
    days = workload.days
    while days > 1 and len(symbols) * -(-days * (DAY_MS // INTERVAL.ms) // PAGE) * PAGE_WEIGHT > weight:
        days -= 1
    return Job(symbols, TimeRange(end_ms - days * DAY_MS, end_ms))
