"""A database or bucket on a server: what each version of InfluxDB implements, and the facts that it returns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType
from typing import Any, Final, Protocol

from laklak.model.records import Note
from laklak.model.series import DAY_MS, MINUTE_MS, Series, TimeRange
from laklak.stores.base import AbsenceCount, Columns
from laklak.stores.influx.address import Address
from laklak.stores.influx.calling import Caller
from laklak.stores.influx.look import Look, Shard
from laklak.stores.influx.removal import Removal
from laklak.stores.influx.verdicts import Verdict

HOLES: Final = "laklak_holes"
ABSENCES: Final = "laklak_absences"
REVISIONS: Final = "laklak_revisions"
PROVENANCE: Final = "laklak_provenance"
FILES: Final = "laklak_files"
RUNS: Final = "laklak_runs"
META: Final = "laklak_meta"
GAP_FILLS: Final = "gap_fill_runs"
NOTES: Final = "laklak_notes"
SEALS: Final = "laklak_seals"

Edges = Mapping[Series, tuple[int, int]]
"""The times of the first and of the last point of each series."""

FieldKinds = Mapping[str, type[str] | type[int] | type[float]]
"""Fields of our points, and their types."""

NOTHING: Final[Mapping[str, str | int]] = MappingProxyType({})

LAST_MS: Final = (2**63 - 10) // 1_000_000
"""Servers keep times as 64-bit nanoseconds; beyond that they answer with an error or, worse, wrap around."""

_HOUR_MS: Final = 60 * MINUTE_MS
_YEAR_1_MS: Final = (date(1970, 1, 1).toordinal() - 1) * DAY_MS

# A server drops what grows too old during a run, so leave it the oldest hour.
_MARGIN_MS: Final = _HOUR_MS


@dataclass(frozen=True, slots=True)
class Retention:
    """How long a server keeps points; `duration_ms` None means for ever. `policy`: its name, if it has one.

    `shard_ms`: the time span of one shard. `other_policies`: those of the same database.
    """

    database: str
    duration_ms: int | None
    shard_ms: int
    policy: str | None = None
    other_policies: tuple[str, ...] = ()

    def shard_of(self, time_ms: int) -> int:
        """Return the number of a point's shard: servers count them from the year 1."""
        return (time_ms + _YEAR_1_MS) // self.shard_ms

    def shard_end_ms(self, time_ms: int) -> int:
        """Return where a point's shard ends."""
        return (self.shard_of(time_ms) + 1) * self.shard_ms - _YEAR_1_MS

    def oldest_ms(self, now_ms: int) -> int | None:
        """Return the first minute that the server surely takes now; None if it never drops anything."""
        if self.duration_ms is None:
            return None
        oldest_ms = now_ms - max(0, self.duration_ms - _MARGIN_MS)
        return -(-oldest_ms // MINUTE_MS) * MINUTE_MS

    @property
    def kept(self) -> str:
        """How long points are kept, for people."""
        if self.duration_ms is None:
            return "for ever"
        days, rest_ms = divmod(self.duration_ms, DAY_MS)
        return f"{days} d" if days and not rest_ms else f"{self.duration_ms / _HOUR_MS:g} h"

    @property
    def keeper(self) -> str:
        """The name of what keeps them, for people."""
        if self.policy is None:
            return f"the bucket {self.database}"
        return f"the retention policy {self.policy} of the database {self.database}"

    @property
    def summary(self) -> str:
        """All of it in a few words."""
        return f"kept {self.kept}" if self.policy is None else f"retention policy {self.policy} (kept {self.kept})"

    @property
    def other(self) -> str:
        """What else a user may choose."""
        return "another bucket" if self.policy is None else "another policy with ?rp=NAME"


@dataclass(frozen=True, slots=True)
class Opening:
    """What opening found: the server, whether the database is there now, and whether it was made just now."""

    version: str
    clock_ahead_ms: int
    exists: bool
    made: bool


@dataclass(frozen=True, slots=True)
class Layout:
    """What a measurement of candles holds beside ours: tags that no candle has, and fields that are not floats."""

    foreign_tags: tuple[str, ...]
    conflicts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Days:
    """What a server says of the whole UTC days that a range touches, by their start in ms.

    `counts`: the points with a `close`, wherever in the minute they lie; `parts`: those inside the range, for the days
    that it cuts. `seals`: laklak's notes of days that it had proven: so many candles and nothing else.
    """

    counts: Mapping[int, int]
    parts: Mapping[int, int]
    seals: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Points:
    """When points have all five numbers, and when they lack some of them; each rising."""

    whole_ns: Sequence[int]
    broken_ns: Sequence[int]


@dataclass(frozen=True, slots=True)
class StrayRemoval:
    """Statements that remove points, and a remark: where to run them and what else they remove."""

    statements: tuple[str, ...]
    remark: str


class Database(Protocol):
    """Where candles are, in the language of its server; used inside one event loop, several calls at once.

    Times are ms UTC, spans are not empty and within LAST_MS.  A series is the points of a measurement with exactly its
    three tags; `candles` and `times` return those on the grid of its interval.  Nothing here decides about candles:
    reader and writer do.
    """

    @property
    def address(self) -> Address: ...
    @property
    def caller(self) -> Caller: ...
    @property
    def retention(self) -> Retention:
        """Known once `open` has found the database."""
        ...

    @property
    def looks_past_ends(self) -> bool:
        """Whether a question also opens the shard that begins where its range ends.

        2.7.12 does, and shows no points of the others if the types of that shard differ.
        """
        ...

    async def open(self, *, create: bool) -> Opening:
        """Connect, ask what the server is, find the database or make it; StoreUnavailable says what is wrong."""
        ...

    async def close(self) -> None: ...

    async def write(self, lines: bytes) -> Verdict:
        """Send lines; the verdict is `ok`, `lines refused` or `send less`, anything else raises."""
        ...

    def replay_remarks(self, path: str) -> Sequence[str]:
        """Return remarks for the head of a file of lines, without `# `, that say how to send it again."""
        ...

    async def may_make(self) -> bool:
        """Whether we could make the missing database; makes nothing."""
        ...

    @property
    def making_hint(self) -> str:
        """Whom to ask for what, if we may not make it."""
        ...

    # Candles of one series

    async def days(self, measurement: str, series: Series, span: TimeRange) -> Days: ...

    async def full_days(self, measurement: str, series: Series, span: TimeRange) -> set[int]:
        """Return the days of `span`, all whole, that surely have a whole candle at each place of the grid and no more.

        Others may be full, too: look at the points of all days not returned.
        """
        ...

    async def points(self, measurement: str, series: Series, span: TimeRange) -> Points:
        """Return the time of every point in `span` with any of the five numbers."""
        ...

    async def edges(self, measurement: str, series: Series, span: TimeRange) -> TimeRange | None:
        """Return the range from the first point in `span` to just after the last; None without points."""
        ...

    async def times(self, measurement: str, series: Series, spans: Sequence[TimeRange]) -> list[int]:
        """Return the times in each of `spans` at which there is a close, one span after the other."""
        ...

    async def candles(self, measurement: str, series: Series, span: TimeRange) -> Columns:
        """Return what stands on the grid in `span`, oldest first; NaN for a missing field."""
        ...

    # Whole measurements

    async def measurements(self) -> list[str]: ...

    async def layout(self, measurement: str) -> Layout:
        """Return the tags and field types that a measurement has so far; it need not exist."""
        ...

    async def look(self) -> Look | None:
        """Return questions in InfluxQL; None if the server takes none for this database."""
        ...

    def how_to_remove(self, removal: Removal) -> str:
        """Say how a user removes doubles and nothing else, or that it is impossible."""
        ...

    def types_remedy(self, measurement: str, shard: Shard) -> str:
        """Say what a user does about a shard in which fields of candles are no floats, and what that removes, too."""
        ...

    async def series_edges(self, measurement: str, *fields: str) -> Edges:
        """Return the edges of every series with points that have at least one of the fields."""
        ...

    async def series_counts(self, measurement: str) -> Mapping[Series, int]:
        """Return the number of points of every series, wherever in the minute they lie."""
        ...

    def stray_removal(self, measurement: str, series: Series, times_ns: Sequence[int]) -> StrayRemoval:
        """Return how a person removes the points of a series at these times."""
        ...

    # What is known beside candles

    async def rows(
        self, measurement: str, fields: Mapping[str, type[str] | type[int]], series: Series, span: TimeRange
    ) -> list[tuple[int, tuple[Any, ...]]]:
        """Return the points of a series in a measurement of ours, rising: their time and these fields.

        A field that a point lacks is empty or 0, by its type.
        """
        ...

    async def newest(
        self, measurement: str, fields: Mapping[str, type[str] | type[int]]
    ) -> Mapping[Series, tuple[int, tuple[Any, ...]]]:
        """Return the last point of every series in a measurement of ours, whose points have all of these fields."""
        ...

    async def last_rows(
        self,
        measurement: str,
        fields: FieldKinds,
        last: int,
        *,
        span: TimeRange | None = None,
        series: Series | None = None,
        unless: Mapping[str, str | int] = NOTHING,
    ) -> list[tuple[int, tuple[Any, ...]]]:
        """Return the newest `last` points of a measurement of ours, newest first; otherwise as `rows`.

        Restrict them to `span`, to `series`, and to points without the `unless` values; `fields` may include TAGS.
        """
        ...

    async def forget(self, measurement: str, span: TimeRange) -> None:
        """Delete the points of a measurement of ours in `span`."""
        ...

    async def absence_counts(self) -> list[AbsenceCount]:
        """Count the entries of laklak_holes and laklak_absences that still hold, by venue and kind."""
        ...

    async def notes(self) -> list[tuple[int, Note]]:
        """Return the newest point of laklak_notes for each kind about each thing, with its time in ms."""
        ...

    async def newest_schema(self) -> int | None: ...

    async def last_origin(self) -> str | None: ...


def clipped(span: TimeRange) -> TimeRange:
    """Return the part of `span` that servers can keep."""
    start_ms, end_ms = (min(max(edge_ms, -LAST_MS), LAST_MS) for edge_ms in (span.start_ms, span.end_ms))
    return TimeRange(start_ms, end_ms)


def whole_days(span: TimeRange) -> TimeRange:
    """Return the UTC days that a range, which is not empty, touches."""
    return clipped(TimeRange(span.start_ms // DAY_MS * DAY_MS, -(-span.end_ms // DAY_MS) * DAY_MS))


def cut_days(span: TimeRange) -> list[TimeRange]:
    """Return the parts of a range in days that it does not contain whole: none, one or two."""
    first_end_ms = min(span.end_ms, (span.start_ms // DAY_MS + 1) * DAY_MS)
    last_start_ms = max(span.start_ms, span.end_ms // DAY_MS * DAY_MS)
    head, tail = TimeRange(span.start_ms, first_end_ms), TimeRange(last_start_ms, span.end_ms)
    cut = [head] if head.start_ms % DAY_MS else []
    if tail.end_ms % DAY_MS and tail not in cut:
        cut.append(tail)
    return [part for part in cut if part]


def parts(span: TimeRange, step_ms: int) -> Iterator[TimeRange]:
    """Cut `span` into pieces of `step_ms`, the last one maybe shorter."""
    for start_ms in range(span.start_ms, span.end_ms, step_ms):
        yield TimeRange(start_ms, min(start_ms + step_ms, span.end_ms))
