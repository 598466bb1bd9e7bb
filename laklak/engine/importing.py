"""One import of files from its first line to its last: look through them, plan, read and write side by side, report.

A few readers give the parcels of a Flow, as those of a copy do: file -> rows that keep the rules -> delivery.  What the
store holds stays as it is, unless it is told otherwise; a candle of a file takes the place of a hole.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from anyio import to_thread
from anyio.abc import TaskGroup

from laklak.engine.flow import Flow, Parcels, Run
from laklak.engine.store_work import announce, check_room, each, find_closed, revisions, survey_sure
from laklak.engine.tally import tally
from laklak.engine.watch import StoreWatch, Watch
from laklak.engine.writing import Parcel
from laklak.errors import LaklakError, StoreUnavailable, UsageError
from laklak.model.candles import Candles
from laklak.model.provenance import IMPORT, given_by
from laklak.model.series import Series, TimeRange
from laklak.model.spans import count, overlap, parted, union, without
from laklak.plan.missing import SeriesPlan
from laklak.plan.rows import Checked
from laklak.report.copied import CopyReport, ImportSummary, summarise_copy
from laklak.report.ledger import Ledger
from laklak.report.observer import Observer
from laklak.report.words import copy_plan_line
from laklak.sources.file import CandleFile, look_through, pages_of
from laklak.stores import open_store, shown_store
from laklak.stores.access import StoreAccess
from laklak.stores.base import Delivery, Origin, Store
from laklak.stores.refetched import compare, revisions_of
from laklak.stores.unconfirmed import UnsureBook
from laklak.tasks.groups import task_group
from laklak.tasks.stopping import Stopped
from laklak.text import counted, some_of

log = logging.getLogger(__name__)

READERS: Final = 2
WRITTEN_AT_ONCE: Final = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportJob:
    """`series`: that of all files; None is as they say. `venue`: whose files Binance's are. `replace` stored candles.

    `columns`: what ours are called in the files, where that is something else. `precision`: what the times of line
    protocol are in.

    `force` also mixes real and simulated candles, and takes what look_through takes with it. `state_dir`: where it is
    remembered what a full server was sent.
    """

    files: tuple[Path, ...]
    store: StoreAccess
    state_dir: Path
    series: Series | None = None
    venue: str = "binance"
    columns: Mapping[str, str] = field(default_factory=dict)
    precision: str = "ns"
    replace: bool = False
    force: bool = False


@dataclass(frozen=True, slots=True)
class _Part:
    """What is taken of a file: `wanted` is missing from the store, `held` is there already. No other file gives it."""

    ledger: Ledger
    file: CandleFile
    wanted: tuple[TimeRange, ...]
    held: tuple[TimeRange, ...]


class Import(Run):
    """One import of one job. Use once: `await Import(job, observer).run()`."""

    in_flight = "what is on its way"

    def __init__(self, job: ImportJob, observer: Observer) -> None:
        super().__init__(observer)
        self.job = job
        self.report = CopyReport(
            source=some_of([str(path) for path in job.files]),
            store=shown_store(job.store.where),
            started_s=time.monotonic(),
        )
        self._started_ms = time.time_ns() // 1_000_000
        self._parts: list[_Part] = []

    async def run(self) -> ImportSummary:
        """Do the job. Raises LaklakError when it cannot start; once candles move, the summary says what happened."""
        try:
            async with AsyncExitStack() as stores:
                with self.stopper.interruptible():
                    files = await self._look_through()
                if any(file.spans for file in files):
                    store = open_store(self.job.store)
                    watching = await stores.enter_async_context(task_group())
                    watching.start_soon(StoreWatch([store], self.report, self._observer).run)
                    stores.callback(watching.cancel_scope.cancel)
                    with self.stopper.interruptible():
                        await stores.enter_async_context(store)
                        self.report.store = store.display
                        info = await announce(store, "store", self._observer)
                    await self._import(store, files, info.free_bytes)
        except Stopped:
            log.info("stopped while planning")
        finally:
            tally(self.report, ())
        return summarise_copy(self.report, error=self._error, exit_code=self._exit_code, kind=ImportSummary)

    # Before anything moves

    async def _look_through(self) -> list[CandleFile]:
        job = self.job
        files: list[CandleFile] = []
        for path in job.files:
            look = partial(look_through, precision=job.precision, force=job.force)
            found = await to_thread.run_sync(
                look, path, job.series, job.venue, self._started_ms, job.columns, abandon_on_cancel=True
            )
            if not any(file.spans for file in found):
                self._observer.warn(f"{path} has no candles")
            files += found
        return files

    async def _import(self, store: Store, files: Sequence[CandleFile], free_bytes: int | None) -> None:
        with store.exclusive():
            # Not before: a run that held the store until now may have left something in it.
            unsure = UnsureBook(self.job.state_dir, store.identity, self._observer.warn)
            with self.stopper.interruptible():
                given, present = _origin_of(files), await store.origin()
                if not self.job.force and None not in (present, given) and present != given:
                    raise StoreUnavailable(
                        f"{store.display} holds {present} candles, and the files {given} ones",
                        hint="import into another store, or --force to mix them",
                    )
                await self._plan(store, unsure, files)
                if not self.job.force:
                    hint = "make room, import into another place, or --force"
                    check_room(store, free_bytes, self.report.missing, hint=hint)
                if self.report.missing and present is None:
                    await store.set_origin(given or "real")
            self._observer.note(copy_plan_line(self.report, "import"))
            await self._move(store, unsure)

    async def _plan(self, store: Store, unsure: UnsureBook, files: Sequence[CandleFile]) -> None:
        offered: dict[Series, list[TimeRange]] = {}
        for file in files:
            if file.spans:
                offered[file.series] = union([*offered.get(file.series, ()), *file.spans])
        around: dict[str, TimeRange] = {}
        for series, spans in offered.items():
            hull = around.get(series.venue, spans[0])
            around[series.venue] = TimeRange(min(hull.start_ms, spans[0].start_ms), max(hull.end_ms, spans[-1].end_ms))
        for span in around.values():
            store.check_range(span)
        closed = await find_closed(store, around, self._observer.warn, "cannot be imported")

        async def plan(one: tuple[Series, list[TimeRange]]) -> SeriesPlan:
            series, spans = one
            span = TimeRange(spans[0].start_ms, spans[-1].end_ms)
            here = await survey_sure(store, unsure, series, span)
            not_stored = union([*here.missing, *(absence.span for absence in here.absences)])
            missing, blocked = parted(overlap(not_stored, spans), closed.on_grid(series))
            return SeriesPlan(
                series=series,
                wanted=span,
                first_ms=None,
                stored=count(overlap(without(span, not_stored), spans), series.interval),
                holes=0,
                rejected=0,
                missing=tuple(missing),
                blocked=tuple(blocked),
                absent=span.count(series.interval) - count(spans, series.interval),
                not_whole=here.not_whole,
            )

        ledgers = {one.series: Ledger(one) for one in await each(offered.items(), plan, self._observer.note)}
        for ledger in ledgers.values():
            closed.tell(ledger)
        self.report.ledgers = list(ledgers.values())
        self.report.series = len(ledgers)
        self.report.start_ms = min(span.start_ms for span in around.values())
        self.report.end_ms = max(span.end_ms for span in around.values())
        self._parts = list(self._parts_of(files, ledgers))

    def _parts_of(self, files: Sequence[CandleFile], ledgers: Mapping[Series, Ledger]) -> Iterator[_Part]:
        """What each file gives: of what several have, the first one."""
        taken: dict[Series, list[TimeRange]] = {}
        doubled = 0
        for file in files:
            if not file.spans:
                continue
            ledger, before = ledgers[file.series], taken.get(file.series, [])
            new = [piece for span in file.spans for piece in without(span, overlap([span], before))]
            doubled += count(file.spans, file.series.interval) - count(new, file.series.interval)
            taken[file.series] = union([*before, *new])
            wanted, held = overlap(new, ledger.plan.missing), _outside(new, ledger.plan)
            if wanted or (self.job.replace and held):
                yield _Part(ledger, file, tuple(wanted), tuple(held))
        if doubled:
            self._observer.warn(f"{counted(doubled, 'candle')} in more than one file: the file named first counts")

    # While candles move

    async def _move(self, store: Store, unsure: UnsureBook) -> None:
        flow = self._flow = Flow(
            store,
            unsure,
            self.report,
            self.stopper,
            writers=1,
            rows_together=WRITTEN_AT_ONCE,
            parcels_together=WRITTEN_AT_ONCE,
            refused="the store refused them, {} says why; mend that and import again",
        )
        parts = iter(self._parts)

        def start(readers: TaskGroup, send: Parcels) -> None:
            for _ in range(READERS):
                readers.start_soon(self._read, flow, store, unsure, parts, send.clone())

        await flow.run(READERS, Watch((), self.report, self._observer, lambda feed, error: None), start)
        unsure.settle((one.plan.series, one.plan.missing) for one in self.report.ledgers if one.got_all)

    async def _read(
        self, flow: Flow, store: Store, unsure: UnsureBook, parts: Iterator[_Part], parcels: Parcels
    ) -> None:
        async with parcels:
            for part in parts:
                pages = pages_of(part.file)
                try:
                    while (page := await to_thread.run_sync(next, pages, None)) is not None:
                        if self.stopper.requested:
                            return
                        delivery = await self._take(store, unsure, part, page)
                        if delivery.rows:
                            await parcels.send(Parcel(part.ledger, delivery))
                except LaklakError as exc:
                    flow.end(exc)
                    return
                except OSError as exc:
                    flow.end(UsageError(f"{part.file.path} cannot be read any more: {exc.strerror or exc}"))
                    return

    async def _take(self, store: Store, unsure: UnsureBook, part: _Part, page: Checked) -> Delivery:
        """What of a page is to be stored."""
        plan = part.ledger.plan
        self._tell_refused(part, page)
        candles: Candles = page.candles.only(part.wanted)
        told = await revisions(store, candles, {"repair": plan.not_whole}, IMPORT) if plan.not_whole else []
        corrected: frozenset[int] = frozenset()
        others = page.candles.only(part.held) if self.job.replace else candles.only(())
        if len(others):
            span = TimeRange(others.open_times[0], others.open_times[-1] + 1)
            stored = await store.read(plan.series, span, whole=False)
            compared = await to_thread.run_sync(compare, stored, others, unsure.of(plan.series))
            corrected = frozenset(compared.write.open_times)
            told = [*told, *revisions_of(compared, IMPORT, "refetch", time.time_ns() // 1_000_000)]
            both = (TimeRange(time_ms, time_ms + 1) for time_ms in corrected)
            candles = page.candles.only(union([*part.wanted, *both]))
        packed = await to_thread.run_sync(store.pack, candles)
        given = given_by(IMPORT, candles.open_times, plan.series.interval, self._started_ms)
        return Delivery(plan.series, packed if len(candles) else None, (), corrected, told, given)

    def _tell_refused(self, part: _Part, page: Checked) -> None:
        """Enter rows that break a rule into the account, with the first of them."""
        refused = [
            one
            for one in page.refusals
            if one.open_time_ms is not None
            and overlap([TimeRange(one.open_time_ms, one.open_time_ms + 1)], part.wanted)
        ]
        if refused:
            first = refused[0]
            words = f"rows of {part.file.path} that are no candle: {first.reason}: {first.row}; mend or leave them out"
            part.ledger.trouble("source_unsound", len(refused), words)


def _outside(spans: Sequence[TimeRange], plan: SeriesPlan) -> list[TimeRange]:
    """Of these, what the store holds."""
    lacking = union([*plan.missing, *plan.blocked])
    return [piece for span in spans for piece in without(span, overlap([span], lacking))]


def _origin_of(files: Sequence[CandleFile]) -> Origin | None:
    """What the files say of their candles; UsageError where they disagree."""
    told = {file.origin for file in files if file.origin in ("real", "simulated")}
    if len(told) > 1:
        raise UsageError("some of the files hold real candles and some simulated ones", hint="import them apart")
    if told == {"simulated"}:
        return "simulated"
    return "real" if told else None
