"""A user's files as a source: of candles that several files have, the first file gives them."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import ClassVar, Final

from anyio import to_thread

from laklak.errors import UsageError
from laklak.model.series import Series, TimeRange
from laklak.model.spans import count, overlap, union, without
from laklak.plan.rows import Checked
from laklak.report.copied import ImportSummary
from laklak.report.observer import Observer
from laklak.sources.base import Given, Offer, Source, Stock, TransferJob, TransferPlan, Words, Work
from laklak.sources.candle_file import CandleFile
from laklak.sources.file import look_through, pages_of
from laklak.stores.base import Origin
from laklak.tasks.stopping import Stopper
from laklak.text import counted, duration_text, size_text, some_of

_TOLD_FROM_BYTES: Final = 50_000_000
"""Looking through a larger file takes long enough to tell the user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportJob(TransferJob[ImportSummary]):
    """`series`: that of all files; None: as they say. `venue`: who published Binance's. `replace` stored candles.

    `columns`: the files' names of our columns, where they differ. `precision`: the unit of line protocol's times.
    `force` also takes what look_through takes with it.
    """

    files: tuple[Path, ...]
    series: Series | None = None
    venue: str = "binance"
    columns: Mapping[str, str] = field(default_factory=dict)
    precision: str = "ns"
    replace: bool = False

    words: ClassVar[Words] = Words(
        verb="import",
        done="imported",
        to="import into",
        done_there="imported",
        role="store",
        mixed=", and the files",
        keep="choose a store that keeps candles for longer",
    )
    untold: ClassVar[Origin | None] = "real"

    @property
    def summary(self) -> type[ImportSummary]:
        return ImportSummary

    @property
    def source_shown(self) -> str:
        return some_of([str(path) for path in self.files])

    def begin(self, observer: Observer, stopper: Stopper) -> Source:
        return FileSource(self, observer, stopper)


class FileSource(Source):
    """Candles of files, page by page; a candle of a file replaces a hole."""

    def __init__(self, job: ImportJob, observer: Observer, stopper: Stopper) -> None:
        self._job = job
        self._observer = observer
        self._stopper = stopper
        self._now_ms = time.time_ns() // 1_000_000
        # Each file with the ranges taken of it: of what several have, the first one gives it.
        self._files: list[tuple[CandleFile, list[TimeRange]]] = []

    async def offer(self) -> Offer:
        """See Source. UsageError for a file without candles in a known form."""
        job = self._job
        offered: dict[Series, list[TimeRange]] = {}
        doubled = 0
        for path in job.files:
            size = path.stat().st_size if path.is_file() else 0
            if size >= _TOLD_FROM_BYTES:
                self._observer.note(f"reading {path}: {size_text(size)}")
            look = partial(look_through, precision=job.precision, force=job.force)
            found = await to_thread.run_sync(
                look, path, job.series, job.venue, self._now_ms, job.columns, abandon_on_cancel=True
            )
            if not any(file.spans for file in found):
                self._observer.warn(f"{path} has no candles")
            for file in found:
                if file.apart_ms is not None:
                    apart, interval = duration_text(file.apart_ms / 1000), file.series.interval
                    self._observer.warn(f"{path} has candles that are {apart} apart: are they of {interval}?")
                before = offered.get(file.series, [])
                own = [piece for span in file.spans for piece in without(span, overlap([span], before))]
                doubled += count(file.spans, file.series.interval) - count(own, file.series.interval)
                self._files.append((file, own))
                if file.spans:
                    offered[file.series] = union([*before, *own])
        if doubled:
            self._observer.warn(f"{counted(doubled, 'candle')} in more than one file: the file named first counts")
        return Offer({one: TimeRange(spans[0].start_ms, spans[-1].end_ms) for one, spans in offered.items()})

    async def origin(self) -> Origin | None:
        """The origin that the files name; UsageError if they disagree."""
        told = {file.origin for file, _ in self._files if file.origin in ("real", "simulated")}
        if len(told) > 1:
            raise UsageError("some of the files hold real candles and some simulated ones", hint="import them apart")
        if told == {"simulated"}:
            return "simulated"
        return "real" if told else None

    async def stock(self, series: Series, span: TimeRange) -> Stock:
        return Stock(overlap([span], union(one for _, own in self._of(series) for one in own)))

    def work(self, plan: TransferPlan) -> Iterator[Work]:
        """What each file gives of the series, in the order in which the files were named."""
        for number, own in self._of(plan.series):
            wanted, held = overlap(own, plan.missing), overlap(own, plan.held) if self._job.replace else []
            if wanted or held:
                yield Work(plan.series, self._files[number][0].hull, tuple(wanted), held=tuple(held), number=number)

    async def get(self, work: Work) -> AsyncGenerator[Given]:
        file, _ = self._files[work.number]
        pages = pages_of(file)
        asked = union([*work.candles, *work.held])
        try:
            while (page := await to_thread.run_sync(next, pages, None)) is not None:
                if self._stopper.requested:
                    return
                yield Given(page.candles.only(asked), lacking=_refused(file, page, work.candles))
        except OSError as exc:
            raise UsageError(f"{file.path} cannot be read any more: {exc.strerror or exc}") from exc

    def _of(self, series: Series) -> Iterator[tuple[int, list[TimeRange]]]:
        """The numbers of a series' files, and the ranges taken of each."""
        for number, (file, own) in enumerate(self._files):
            if file.series == series:
                yield number, own


def _refused(file: CandleFile, page: Checked, wanted: Sequence[TimeRange]) -> list[tuple[str, int, str]]:
    """The number of wanted rows that break a rule, and the first of them."""
    refused = [
        one
        for one in page.refusals
        if one.open_time_ms is not None and overlap([TimeRange(one.open_time_ms, one.open_time_ms + 1)], wanted)
    ]
    if not refused:
        return []
    first = refused[0]
    words = f"rows of {file.path} that are no candle: {first.reason}: {first.row}; mend or leave them out"
    return [("source_unsound", len(refused), words)]
