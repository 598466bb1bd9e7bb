"""From a bulk file to its delivery; if it gives nothing, another source is asked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from laklak.archives.evidence import silence
from laklak.archives.split import FilePart, Split
from laklak.archives.unlisted import Trace
from laklak.engine.beyond import Beyond
from laklak.engine.delivering import Deliveries, with_others
from laklak.engine.edges import first_open_ms
from laklak.engine.files_alone import FilesAlone
from laklak.engine.listing import UNLISTED
from laklak.engine.rounds import Rounds
from laklak.engine.writing import Parcel
from laklak.errors import (
    LaklakError,
    PermanentError,
)
from laklak.model.candles import Chunk
from laklak.model.provenance import ARCHIVE, BulkFile
from laklak.model.series import TimeRange
from laklak.model.spans import parted, union
from laklak.plan.answers import FirstQuestion, first_answer
from laklak.plan.chunks import plan_chunks
from laklak.plan.rows import Checked
from laklak.report.ledger import Ledger
from laklak.report.observer import Observer
from laklak.report.progress import Report
from laklak.settings.order import Order
from laklak.sources.archive import FileReader, NoCandles
from laklak.sources.venue import Feed
from laklak.stores.base import Delivery, Store
from laklak.stores.knowledge import Knowledge
from laklak.tasks.stopping import Stopped

log = logging.getLogger(__name__)


class Reading:
    """Reads one venue's files."""

    def __init__(
        self,
        feed: Feed,
        reader: FileReader,
        beyond: Beyond,
        rounds: Rounds,
        order: Order,
        store: Store,
        knowledge: Knowledge,
        report: Report,
        observer: Observer,
        deliveries: Deliveries,
    ) -> None:
        self._feed = feed
        self._reader = reader
        self._beyond = beyond
        self._rounds = rounds
        self._files_alone = FilesAlone(knowledge)
        self._order = order
        self._store = store
        self._knowledge = knowledge
        self._report = report
        self._observer = observer
        self._deliveries = deliveries
        self._read_again: set[FilePart] = set()
        self._dead_told = False
        self._stranger_told = False

    async def read(self, ledger: Ledger, part: FilePart) -> list[Parcel]:
        """Fetch a file; return what to store of it and of those read with it. The rest is asked for elsewhere."""
        ready = []
        ledger.requests += 1
        for found in await self._reader.read(part):
            checked = found.checked
            if isinstance(checked, NoCandles):
                ready += await self._no_candles(ledger, found.parts, checked)
                continue
            taken = await self._take_in(ledger, found.parts, checked)
            read = zip(found.parts, found.checksums, strict=True)
            run_ms = self._report.started_ms
            files = [BulkFile(part.file.span, part.file.name, checksum, run_ms) for part, checksum in read]
            # Also where nothing of it is new: its candles may be stored already, and that it lacks some is evidence.
            ready.append(Parcel(ledger, replace(taken, files=files), found.release))
        return ready

    async def settle(self, ledger: Ledger) -> list[Parcel]:
        """Decide what a series lacks that only files have, when all its files are done."""
        if not ledger.plan.files_only or ledger.open_questions:
            return []
        stored: list[int] = []
        if self._order.refetch:
            stored = await self._store.open_times(ledger.plan.series, ledger.plan.wanted)
        refused = partial(self._refused_twice, ledger)
        absences = await self._files_alone.settle(self._feed, self._reader.archive, ledger, stored, refused)
        delivery = await self._deliveries.of(ledger, None, absences)
        return [Parcel(ledger, delivery, _nothing_to_release)] if delivery.rows else []

    async def _refused_twice(self, ledger: Ledger) -> bool:
        """Whether klines have nothing of a series, by two answers some time apart, in this run or before."""
        series = ledger.plan.series
        note, heard = self._knowledge.note(series, UNLISTED), Trace.of(self._knowledge.value(series, UNLISTED))
        if heard.is_settled or not heard.asked or note is None or self._feed.no_api is not None:
            return heard.is_settled and heard.first_ms is None
        try:
            passed_s = (self._feed.now_ms() - (note.venue_ms or 0)) / 1000
            with self._feed.stopper.interruptible():
                await asyncio.sleep(self._order.timing.second_answer_after_s - max(0.0, passed_s))
            return await first_open_ms(self._feed, series) is None
        except PermanentError:
            return True
        except (LaklakError, Stopped) as exc:
            log.warning("not asked again series=%s error=%s", series, exc)
            return False

    async def _take_in(self, ledger: Ledger, parts: Sequence[FilePart], checked: Checked) -> Delivery:
        wanted = tuple(piece for part in parts if not part.proof for piece in part.wanted)
        span = TimeRange(parts[0].file.span.start_ms, parts[-1].file.span.end_ms)
        more = self._beyond.heard(ledger, parts, checked)
        if more:
            between, inside = parted(union([*more, *wanted]), [span])
            wanted = tuple(inside)
            self._ask_for(ledger, between)
        self._rounds.saw(ledger, checked)
        chunk = Chunk(ledger.plan.series, span, wanted)
        outcome = first_answer(chunk, checked)
        if ledger.plan.files_only:
            self._files_alone.saw(ledger, checked)
        verdict = self._feed.evidence.heard(parts, checked)
        corrected = self._rounds.look_again(chunk, checked)
        candles = with_others(outcome.candles, chunk, checked, corrected, verdict.found)
        self._report.files.read += len(parts)
        self._report.files.candles += len(candles) - len(corrected)
        ledger.doubt(outcome.doubts)
        self._report.rows_rejected += outcome.rows_refused
        told = await self._deliveries.revisions(ledger, candles, corrected, ARCHIVE)
        packed, changed = await self._deliveries.packed(ledger, candles, ARCHIVE, self._reader.in_thread)
        return await self._deliveries.of(ledger, packed, verdict.proven, corrected, told or changed, ARCHIVE)

    async def _no_candles(self, ledger: Ledger, parts: Sequence[FilePart], why: NoCandles) -> list[Parcel]:
        """Name what gave nothing and ask elsewhere; returns what can be stored all the same."""
        ready = []
        for part in parts:
            if why.is_worth_another and part not in self._read_again:
                # Through the backlog: a task that holds room must not wait for more.
                self._read_again.add(part)
                log.warning("fetched again file=%s error=%s", part.file, why.detail)
                self._feed.backlog.add_files(ledger, [part])
                continue
            self._tell(part, why)
            self._report.files.trouble(why.reason, why.detail)
            self._beyond.silent(ledger, part.file, why)
            delivery = await self._take_silence(ledger, part, why)
            if delivery.rows:
                ready.append(Parcel(ledger, delivery, _nothing_to_release))
            if not part.proof:
                self._ask_elsewhere(ledger, part, why)
        return ready

    def _tell(self, part: FilePart, why: NoCandles) -> None:
        """Tell what is wrong with a file, and once each what is wrong with all of them."""
        if not why.absent:
            log.warning("no candles file=%s reason=%s error=%s", part.file, why.reason, why.detail)
        if self._reader.dead and not self._dead_told:
            self._dead_told = True
            self._observer.warn(f"going on without the bulk files: {why.detail}")
        if why.absent and not why.reached and not self._stranger_told:
            self._stranger_told = True
            self._observer.warn(no_archive(self._feed))

    async def _take_silence(self, ledger: Ledger, part: FilePart, why: NoCandles) -> Delivery:
        """Return what may be remembered although the file that might have it gives nothing."""
        words = silence(part.file, None if why.absent else why.reason) if why.reached else why.detail
        verdict = self._feed.evidence.not_heard(part, words, reached=why.reached)
        await self._rounds.left_open(ledger, verdict)
        return await self._deliveries.of(ledger, None, verdict.proven)

    def _ask_elsewhere(self, ledger: Ledger, part: FilePart, why: NoCandles) -> None:
        """Queue what replaces a file: other files, or questions to the API."""
        solver = self._feed.solver
        if solver is None:
            return
        if ledger.plan.files_only:
            solver = replace(solver, preference="archive")
        files_only = ledger.plan.files_only
        # Without another source, days also replace a month that exists and cannot be trusted.
        instead = solver.instead(part, absent=why.absent or files_only)
        if files_only:
            self._files_alone.lacks(ledger, instead.rest, why)
            instead = replace(instead, rest=())
        self._ask_both(ledger, instead, why.detail)

    def _ask_for(self, ledger: Ledger, missing: Sequence[TimeRange]) -> None:
        """Queue what is wanted by now and was in no file."""
        if self._feed.solver is not None and missing:
            split = self._feed.solver.split(ledger.plan.series, missing)
            self._ask_both(ledger, split, "not in the bulk files, and nothing else is to be asked")

    def _ask_both(self, ledger: Ledger, split: Split, why: str) -> None:
        self._rounds.add_files(ledger, split.files)
        now_s = asyncio.get_running_loop().time()
        for chunk in plan_chunks(
            ledger.plan.series, split.rest, self._feed.steps, self._feed.page_of(ledger.plan.series)
        ):
            if self._feed.asks_api:
                self._feed.requests_planned += 1
                self._feed.backlog.later(ledger, FirstQuestion(chunk), now_s)
            else:
                ledger.trouble(self._feed.lacking, chunk.wanted_count, why)


def no_archive(feed: Feed) -> str:
    """What to tell about a server that has no bulk file at all."""
    host = "the server" if feed.reader is None else feed.reader.host
    if feed.reader is not None and feed.reader.had_files:
        return (
            f"{host} had bulk files and has none of those that were looked for now, which proves nothing: check the "
            "proxy and run again later, or use --source rest, which asks for none"
        )
    return (
        f"no bulk file was ever found at {host}, which proves nothing: check LAKLAK_{feed.name.upper()}"
        "_ARCHIVE_URL and the proxy, or use --source rest, which asks for none"
    )


def _nothing_to_release() -> None:
    """A parcel without candles takes no room."""
