"""Fetching: workers, queue, writer, shutdown.

    ticking group   progress, and the watch for a machine that slept
      writer group    a writer or two: parcels -> batches -> store, acknowledged to the ledgers
        worker group    per venue one dispatcher and a pool of workers: question -> answer -> parcel,
                        and a pool for bulk files: file -> candles -> parcel

What a worker hands on is packed for the store already (Store.pack).

Groups are nested by lifetime: when the workers end the queue closes, the writer drains it and ends, then the ticking
ends.  Files may still be needed when all questions are answered: what the API lacks is held against the file of its
day, and a venue's dispatcher is not through before that is.  A question holds a place in its venue's `room` from before
its request is sent until the store has acknowledged its rows, so what is in flight is bounded, and so is the queue;
candles of files hold room in their reader's memory instead.  A stop cuts waits short, lets what is on the wire finish,
drains and reports; whatever was not acknowledged is simply missing and asked again by the next run.

Venues are strangers to each other: each has its room, its workers, its stopper and its end.  Only the store ends a run.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import anyio
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

from laklak.archives.evidence import Verdict, silence
from laklak.archives.split import FilePart, Split
from laklak.archives.unlisted import Trace
from laklak.engine.addresses import AddressBook
from laklak.engine.beyond import Beyond
from laklak.engine.delivering import Deliveries
from laklak.engine.edges import first_open_ms
from laklak.engine.files_alone import FilesAlone
from laklak.engine.life import Lives, ended_line
from laklak.engine.listing import UNLISTED
from laklak.engine.watch import Watch
from laklak.engine.writing import Parcel, Writer
from laklak.errors import (
    FatalError,
    LaklakError,
    OutOfReach,
    PermanentError,
    RegionBlocked,
    RegionRefused,
    StoreError,
    TransientError,
)
from laklak.model.absences import Absence
from laklak.model.candles import CandleBatch, Candles, Chunk
from laklak.model.provenance import ARCHIVE, REST
from laklak.model.series import TimeRange, iso
from laklak.model.spans import parted, runs, union
from laklak.plan.answers import SECOND_ANSWER_AFTER_S, Edge, Question, first_answer, second_answer
from laklak.plan.chunks import plan_chunks
from laklak.plan.quiet import with_quiet
from laklak.plan.rows import Checked
from laklak.plan.wanted import BegunSeries
from laklak.report.ledger import UNPROVEN, Ledger
from laklak.report.observer import Observer
from laklak.report.progress import Report
from laklak.settings.order import Order
from laklak.sources.archive import FileReader, NoCandles
from laklak.sources.backlog import Entry, next_round
from laklak.sources.forms import read_answer, unread_detail, with_neighbours
from laklak.sources.venue import Feed
from laklak.stores.base import Delivery, Store
from laklak.stores.knowledge import Knowledge
from laklak.stores.unconfirmed import UnsureBook
from laklak.tasks.groups import task_group
from laklak.tasks.stopping import Stopped, Stopper

log = logging.getLogger(__name__)

_REFUSALS_SHOWN: Final = 8
LONG_EMPTY_PAGE: Final = 100
"""An answer to a question for so many candles that has none is worth one more question: where the series ends."""


class Fetch:
    """The fetching half of a run, for feeds that have their agendas.

    `error` is what ended all of it early. What ends one venue is that feed's `end`, and the others go on.
    """

    def __init__(
        self,
        order: Order,
        store: Store,
        unsure: UnsureBook,
        knowledge: Knowledge,
        lives: Mapping[str, Lives],
        addresses: AddressBook,
        feeds: Sequence[Feed],
        report: Report,
        observer: Observer,
        stopper: Stopper,
    ) -> None:
        self._order = order
        self._store = store
        self._unsure = unsure
        self._knowledge = knowledge
        self._lives = lives
        self._addresses = addresses
        self._feeds: list[Feed] = []
        self._report = report
        self._observer = observer
        self._stopper = stopper
        self._workers: anyio.CancelScope | None = None
        self._writers: anyio.CancelScope | None = None
        self._writer = Writer(order, store, unsure, report, self._abort)
        self._learning: dict[Ledger, asyncio.Event] = {}
        self._files_alone = FilesAlone(knowledge)
        self._deliveries = Deliveries(order, store, unsure, report)
        self._watch = Watch(self._feeds, report, observer, self._lost)
        self._beyond: dict[str, Beyond] = {}
        self._of: dict[str, list[Ledger]] = {}
        for feed in feeds:
            self._take_on(feed)
        self._refusals = 0
        self._dead_told = False
        self._stranger_told = False
        self.error: LaklakError | None = None

    def stop_within(self, grace_s: float) -> None:
        """Give what is on the wire, and the store, so long to finish; the stopper keeps new work away."""
        now = anyio.current_time()
        # The last fifth belongs to the store, which writes what the wire still gave.
        for scope, share in ((self._workers, 0.8), (self._writers, 1.0)):
            if scope is not None:
                scope.deadline = min(scope.deadline, now + share * grace_s)

    def stop_now(self) -> None:
        """Give up what is on the wire and what is not written yet; the store stays sound."""
        for scope in (self._workers, self._writers):
            if scope is not None:
                scope.cancel()

    async def run(self, late: Callable[[], Awaitable[Feed | None]]) -> None:
        """Ask, check and store until nothing is left to ask, or the run is stopped; `late` gives venues that join."""
        self._report.fetching_since_s = time.monotonic()
        # As many parcels as places in flight: what a question gave never waits for room here, what files gave may.
        send, receive = anyio.create_memory_object_stream[Parcel](
            self._order.settings.in_flight * max(1, len(self._order.settings.venues))
        )
        async with task_group() as ticking:
            ticking.start_soon(self._watch.run)
            async with task_group() as writers:
                self._writers = writers.cancel_scope
                for _ in range(self._store.writes_at_once):
                    writers.start_soon(self._writer.write, receive.clone())
                receive.close()
                async with send, task_group() as workers:
                    self._workers = workers.cancel_scope
                    for feed in self._feeds:
                        self._start(workers, feed, send)
                    workers.start_soon(self._let_join, late, workers, send.clone())
            ticking.cancel_scope.cancel()
        self._report.writer.of_s = time.monotonic() - self._report.fetching_since_s
        for ledger in self._report.ledgers:
            self._writer.log_series(ledger)
        for feed in self._feeds:
            self._say_why(feed)
            if feed.connected:
                corrected = {one.plan.series: one.corrected for one in self._of[feed.venue.name] if one.corrected}
                feed.fresh.note(self._knowledge, corrected, feed.clock.now_ms())
        self._unsure.settle(
            (ledger.plan.series, parted([ledger.plan.wanted], ledger.plan.blocked)[0])
            for ledger in self._report.ledgers
            if ledger.got_all
        )

    def _take_on(self, feed: Feed) -> None:
        name = feed.venue.name
        self._feeds.append(feed)
        self._of[name] = [one for one in self._report.ledgers if one.plan.series.venue == name]
        self._beyond[name] = Beyond(feed, self._knowledge, self._lives[name], self._report, recheck=self._order.recheck)

    async def _let_join(
        self, late: Callable[[], Awaitable[Feed | None]], workers: TaskGroup, send: MemoryObjectSendStream[Parcel]
    ) -> None:
        """Start venues that could not be asked before, until there is none any more."""
        async with send:
            try:
                while True:
                    with self._stopper.interruptible():
                        feed = await late()
                    if feed is None:
                        return
                    self._take_on(feed)
                    self._start(workers, feed, send)
            except Stopped:
                log.debug("no venue joins any more")
            except LaklakError as exc:
                self._abort(exc)

    def _say_why(self, feed: Feed) -> None:
        """Enter into the accounts of a venue that has ended early why the rest of its candles is missing."""
        if feed.end is not None:
            for ledger in self._of[feed.venue.name]:
                ledger.trouble(feed.end.reason, ledger.unexplained, str(feed.end))

    def _start(self, workers: TaskGroup, feed: Feed, send: MemoryObjectSendStream[Parcel]) -> None:
        if feed.stopper.requested:
            return
        # Of these nothing is asked that could be through later.
        for ledger in self._of[feed.venue.name]:
            if feed.agenda.through(ledger):
                self._look_beyond(feed, ledger)
        # No buffer: a question is taken from the agenda when a worker is free for it.
        give, take = anyio.create_memory_object_stream[Entry](0)
        workers.start_soon(self._dispatch, feed, give)
        for _ in range(self._order.settings.workers):
            workers.start_soon(self._work, feed, take.clone(), send.clone())
        take.close()
        if feed.reader is not None:
            feed.files.expect(True)
            # As many for a single file too, or for none yet: days may have to take the place of a month, and what the
            # API lacks is held against files.
            for _ in range(self._order.settings.archive_connections):
                workers.start_soon(self._work_files, feed, feed.reader, send.clone())

    async def _dispatch(self, feed: Feed, questions: MemoryObjectSendStream[Entry]) -> None:
        """Hand out questions while there is room for their rows."""
        async with questions:
            try:
                while True:
                    with feed.stopper.interruptible():
                        await feed.room.acquire()
                    with feed.stopper.interruptible():
                        entry = await self._next(feed)
                    if entry is None:
                        feed.room.release()
                        return
                    await questions.send(entry)
            except Stopped:
                log.debug("no new questions venue=%s", feed.venue.name)
            finally:
                feed.files.expect(False)

    async def _next(self, feed: Feed) -> Entry | None:
        """The next question of a venue; waits for its time, or for others to finish; None at the end."""
        loop = asyncio.get_running_loop()
        while True:
            feed.changed.clear()
            entry = feed.agenda.take(loop.time())
            if entry is not None:
                ledger, question = entry
                if question.failed_at_s is None or feed.transport.last_success_s > question.failed_at_s:
                    return entry
                # Nothing has worked since this failed: a second round would fail as well.
                ledger.trouble("fetch_failed", question.chunk.wanted_count, question.failure)
                self._done(feed, ledger)
                continue
            if feed.agenda.finished:
                return None
            due = feed.agenda.next_due()
            with anyio.move_on_after(None if due is None else max(0.0, due - loop.time())):
                await feed.changed.wait()

    async def _work(
        self,
        feed: Feed,
        questions: MemoryObjectReceiveStream[Entry],
        parcels: MemoryObjectSendStream[Parcel],
    ) -> None:
        async with questions, parcels:
            async for ledger, question in questions:
                delivery = None
                try:
                    delivery = await self._answer(feed, ledger, question)
                    if delivery is not None and delivery.rows:
                        await self._addresses.note(feed, "api")
                except Stopped:
                    log.debug("given up series=%s", ledger.plan.series)
                except FatalError as exc:
                    self._lost(feed, exc)
                    ledger.trouble(feed.lacking, question.chunk.wanted_count, str(exc))
                except StoreError as exc:
                    delivery = None
                    self._abort(exc)
                self._done(feed, ledger)
                if delivery is not None and delivery.rows:
                    await parcels.send(Parcel(ledger, delivery, feed.room.release))
                else:
                    feed.room.release()

    async def _work_files(self, feed: Feed, reader: FileReader, parcels: MemoryObjectSendStream[Parcel]) -> None:
        async with parcels:
            try:
                while (entry := await feed.files.take()) is not None:
                    ledger, part = entry
                    try:
                        ready = await self._read_file(feed, reader, ledger, part)
                    except StoreError as exc:
                        ready = []
                        self._abort(exc)
                    finally:
                        feed.files.done()
                        self._done(feed, ledger)
                    if ready:
                        await self._addresses.note(feed, "files")
                    ready += await self._settle_files(feed, ledger)
                    # While a worker waits for its next file, no candles of its last one may stay in memory: not by
                    # a name either.
                    while ready:
                        await parcels.send(ready.pop())
            except Stopped:
                log.debug("no more files venue=%s", feed.venue.name)
            except StoreError as exc:
                self._abort(exc)

    async def _read_file(self, feed: Feed, reader: FileReader, ledger: Ledger, part: FilePart) -> list[Parcel]:
        """Get a file and say what is to be stored of it and of those read with it; the rest is asked for elsewhere."""
        ready = []
        for found in await reader.read(part):
            checked = found.checked
            if isinstance(checked, NoCandles):
                ready += await self._no_candles(feed, reader, ledger, found.parts, checked)
                continue
            delivery = await self._take_in(feed, reader, ledger, found.parts, checked)
            release = partial(reader.memory.give_back, found.room)
            if delivery.rows:
                ready.append(Parcel(ledger, delivery, release))
            else:
                release()
        return ready

    async def _settle_files(self, feed: Feed, ledger: Ledger) -> list[Parcel]:
        """When all files of a series are through that nobody else has: what they lack is decided by them."""
        if not ledger.plan.files_only or ledger.open_questions or feed.reader is None:
            return []
        stored: list[int] = []
        if self._order.refetch:
            stored = await self._store.open_times(ledger.plan.series, ledger.plan.wanted)
        refused = partial(self._refused_twice, feed, ledger)
        absences = await self._files_alone.settle(feed, feed.reader.archive, ledger, stored, refused)
        delivery = await self._deliveries.of(ledger, _nothing_of(ledger), absences)
        return [Parcel(ledger, delivery, _nothing_to_release)] if delivery.rows else []

    async def _refused_twice(self, feed: Feed, ledger: Ledger) -> bool:
        """Whether klines have nothing of a series, by two answers with some time in between, in this run or before."""
        series = ledger.plan.series
        note, heard = self._knowledge.note(series, UNLISTED), Trace.of(self._knowledge.value(series, UNLISTED))
        if heard.is_settled or not heard.asked or note is None or feed.no_api is not None:
            return heard.is_settled and heard.first_ms is None
        try:
            passed_s = (feed.clock.now_ms() - (note.venue_ms or 0)) / 1000
            with feed.stopper.interruptible():
                await asyncio.sleep(SECOND_ANSWER_AFTER_S - max(0.0, passed_s))
            return await first_open_ms(feed, series) is None
        except PermanentError:
            return True
        except (LaklakError, Stopped) as exc:
            log.warning("not asked again series=%s error=%s", series, exc)
            return False

    async def _take_in(
        self, feed: Feed, reader: FileReader, ledger: Ledger, parts: Sequence[FilePart], checked: Checked
    ) -> Delivery:
        wanted = tuple(piece for part in parts if not part.proof for piece in part.wanted)
        span = TimeRange(parts[0].file.span.start_ms, parts[-1].file.span.end_ms)
        more = self._beyond[feed.venue.name].heard(ledger, parts, checked)
        if more:
            between, inside = parted(union([*more, *wanted]), [span])
            wanted = tuple(inside)
            self._ask_for(feed, ledger, between)
        self._saw(feed, ledger, checked)
        chunk = Chunk(ledger.plan.series, span, wanted)
        outcome = first_answer(chunk, checked)
        if ledger.plan.files_only:
            self._files_alone.saw(ledger, checked)
        verdict = feed.evidence.heard(parts, checked)
        corrected = self._look_again(feed, chunk, checked)
        candles = _with_others(outcome.candles, chunk, checked, corrected, verdict.found)
        self._report.files.read += len(parts)
        self._report.files.candles += len(candles) - len(corrected)
        ledger.doubt(outcome.doubts)
        self._report.rows_rejected += outcome.rows_refused
        told = await self._deliveries.revisions(ledger, candles, corrected, ARCHIVE)
        packed, changed = await self._deliveries.packed(ledger, candles, ARCHIVE, reader.in_thread)
        return await self._deliveries.of(ledger, packed, verdict.proven, corrected, told or changed, ARCHIVE)

    async def _no_candles(
        self, feed: Feed, reader: FileReader, ledger: Ledger, parts: Sequence[FilePart], why: NoCandles
    ) -> list[Parcel]:
        """Name what gave nothing and ask elsewhere; what is left to be stored is known all the same."""
        ready = []
        for part in parts:
            if reader.is_worth_another(part, why):
                log.warning("fetched again file=%s error=%s", part.file, why.detail)
                feed.agenda.hold(ledger)
                feed.files.add([(ledger, part)])
                continue
            if not why.absent:
                log.warning("no candles file=%s reason=%s error=%s", part.file, why.reason, why.detail)
            if reader.downloader.dead and not self._dead_told:
                self._dead_told = True
                self._observer.warn(f"going on without the bulk files: {why.detail}")
            if why.absent and not why.reached and not self._stranger_told:
                self._stranger_told = True
                self._observer.warn(no_archive(feed))
            self._report.files.trouble(why.reason, why.detail)
            self._beyond[feed.venue.name].silent(ledger, part.file, why)
            delivery = await self._take_silence(feed, ledger, part, why)
            if delivery.rows:
                ready.append(Parcel(ledger, delivery, _nothing_to_release))
            if not part.proof:
                self._ask_elsewhere(feed, ledger, part, why)
        return ready

    async def _take_silence(self, feed: Feed, ledger: Ledger, part: FilePart, why: NoCandles) -> Delivery:
        """Say what is to be remembered although the file that might have it gives nothing."""
        words = silence(part.file, None if why.absent else why.reason) if why.reached else why.detail
        verdict = feed.evidence.not_heard(part, words, reached=why.reached)
        await self._left_open(ledger, verdict)
        return await self._deliveries.of(ledger, _nothing_of(ledger), verdict.proven)

    def _ask_files(self, feed: Feed, ledger: Ledger) -> None:
        """Put the files on the list that what the API has settled is held against."""
        self._add_files(feed, ledger, [] if feed.stopper.requested else feed.evidence.parts(ledger.plan.series))

    def _look_beyond(self, feed: Feed, ledger: Ledger) -> None:
        """Put the files on the list that may have candles beyond the ends of a series."""
        self._add_files(feed, ledger, [] if feed.stopper.requested else self._beyond[feed.venue.name].parts(ledger))

    def _add_files(self, feed: Feed, ledger: Ledger, parts: Sequence[FilePart]) -> None:
        for _ in parts:
            feed.agenda.hold(ledger)
        feed.files.add((ledger, part) for part in parts)
        self._report.files.planned += len(parts)

    async def _proven(self, feed: Feed, ledger: Ledger, absences: Sequence[Absence]) -> Sequence[Absence]:
        """What may be remembered of what the API has settled; the rest waits for its file, or stays missing."""
        verdict = feed.evidence.sift(ledger.plan.series, absences)
        await self._left_open(ledger, verdict)
        return verdict.proven

    async def _left_open(self, ledger: Ledger, verdict: Verdict) -> None:
        """Name what stays missing, for its file cannot be had now; in a refetch what is stored stays so."""
        if verdict.unproven:
            left = await self._deliveries.of(ledger, _nothing_of(ledger), verdict.unproven)
            why = f"the API gives none that is sound, and the file that may cannot be had now: {verdict.why}"
            ledger.trouble(UNPROVEN, len(left.absences), why)

    def _ask_elsewhere(self, feed: Feed, ledger: Ledger, part: FilePart, why: NoCandles) -> None:
        """Put what takes the place of a file on the lists: other files, or questions to the API."""
        solver = feed.solver
        if solver is None:
            return
        if ledger.plan.files_only:
            solver = replace(solver, preference="archive")
        files_only = ledger.plan.files_only
        # Where there is nobody else, the days are tried in place of a month that is there and cannot be trusted, too.
        instead = solver.instead(part, absent=why.absent or files_only)
        if files_only:
            self._files_alone.lacks(ledger, instead.rest, why)
            instead = replace(instead, rest=())
        self._ask_both(feed, ledger, instead, why.detail)

    def _ask_for(self, feed: Feed, ledger: Ledger, missing: Sequence[TimeRange]) -> None:
        """Put what is wanted by now, and in no file that was read, on the lists."""
        if feed.solver is not None and missing:
            split = feed.solver.split(ledger.plan.series, missing)
            self._ask_both(feed, ledger, split, "not in the bulk files, and nothing else is to be asked")

    def _ask_both(self, feed: Feed, ledger: Ledger, split: Split, why: str) -> None:
        self._add_files(feed, ledger, split.files)
        now_s = asyncio.get_running_loop().time()
        for chunk in plan_chunks(ledger.plan.series, split.rest, feed.venue.page.steps, feed.page):
            if feed.asks_api:
                self._report.requests_planned += 1
                feed.agenda.later(ledger, Question(chunk), now_s)
            else:
                ledger.trouble(feed.lacking, chunk.wanted_count, why)

    def _done(self, feed: Feed, ledger: Ledger) -> None:
        """Close a question; when it was the last of its series, ask again for what is in doubt, then the files."""
        feed.agenda.done(ledger)
        if ledger.exhausted and not ledger.open_questions and ledger.refused is None and not ledger.plan.files_only:
            self._ask_again(feed, ledger)
        if feed.agenda.through(ledger):
            self._ask_files(feed, ledger)
        if feed.agenda.through(ledger):
            self._look_beyond(feed, ledger)
        feed.changed.set()

    def _ask_again(self, feed: Feed, ledger: Ledger) -> None:
        """Ask for what is in doubt, two seconds after the first answers."""
        now_s = asyncio.get_running_loop().time()
        round_ = next_round(ledger, feed.venue.page.steps, feed.page, edges=feed.no_api is None)
        for question in round_.questions:
            question = with_neighbours(question, feed.venue.page.steps, self._closed_ms(feed))
            feed.agenda.later(ledger, question, now_s + (0.0 if round_.waited else SECOND_ANSWER_AFTER_S))

    def _closed_ms(self, feed: Feed) -> int:
        """Until when candles are wanted by now."""
        return feed.clock.now_ms() - round(self._order.settings.settle_s * 1000)

    async def _learn_edge(self, feed: Feed, ledger: Ledger, edge: Edge) -> None:
        """Ask the venue for the first or the newest candle of a series; raises as Transport.ask."""
        series, lives = ledger.plan.series, self._lives[feed.venue.name]
        ledger.edges_asked.add(edge)
        if edge == "first":
            first_ms = await lives.first(series, ledger.start_ms, ledger.oldest_ms)
            if first_ms is not None:
                self._begin(feed, ledger, first_ms)
            return
        newest = await lives.newest_unless_lagging(series, ledger.newest_ms)
        ledger.newest_answered = True
        if newest is None:
            return
        if newest.open_ms is not None:
            ledger.saw(newest.open_ms)
        if newest.ended:
            end_ms = ledger.plan.wanted.start_ms if newest.open_ms is None else newest.open_ms + series.interval.ms
            ledger.ends(max(end_ms, ledger.newest_ms + series.interval.ms))
            self._observer.warn(ended_line([one for one in self._report.ended if one.series == str(series)]))

    def _begin(self, feed: Feed, ledger: Ledger, first_ms: int) -> None:
        """Nothing is wanted before the first candle; where it is earlier than was thought, more is asked for."""
        more = ledger.begins(first_ms)
        self._report.begun[str(ledger.plan.series)] = BegunSeries(str(ledger.plan.series), first_ms)
        now_s = asyncio.get_running_loop().time()
        for chunk in plan_chunks(ledger.plan.series, [more] if more else [], feed.venue.page.steps, feed.page):
            self._report.requests_planned += 1
            feed.agenda.later(ledger, Question(chunk), now_s)

    async def _answer(self, feed: Feed, ledger: Ledger, question: Question) -> Delivery | None:
        """Ask the venue and say what is to be stored; None when there is nothing."""
        chunk = question.chunk
        if feed.stopper.requested or ledger.refused is not None:
            return None
        if not (feed.asks_api or (question.edge is not None and feed.no_api is None)):
            why = feed.no_api or "not in the bulk files, and nothing else is to be asked"
            ledger.trouble(feed.lacking, chunk.wanted_count, why)
            return None
        if chunk.range.start_ms < ledger.reach_start_ms and question.edge is None:
            beyond = TimeRange(chunk.range.start_ms, ledger.reach_start_ms)
            ledger.not_wanted((part.clip(beyond) for part in chunk.wanted), out_of_reach=True)
            chunk = chunk.since(ledger.reach_start_ms)
            if not chunk.wanted:
                return None
            question = replace(question, chunk=chunk)
        while (learning := self._learning.get(ledger)) is not None:
            # Where its end is being asked for, hundreds of questions beyond it may not be worth asking.
            await learning.wait()
        if not chunk.range.clip(ledger.life):
            return None
        if ledger.newest_answered and chunk.range.start_ms > ledger.newest_ms:
            ledger.not_yet(chunk.wanted_count)
            return None
        try:
            if question.edge is not None:
                await self._learn_edge(feed, ledger, question.edge)
                return None
            asked = feed.asked(chunk.series, chunk.range)
            read = partial(read_answer, feed.venue, question, asked)
            checked = await feed.transport.ask(feed.venue.candles_request(asked), read, candles=True)
        except OutOfReach as exc:
            self._out_of_reach(feed, ledger, question, exc)
            return None
        except PermanentError as exc:
            self._refused(ledger, exc)
            return None
        except TransientError as exc:
            self._failed(feed, ledger, question, exc)
            return None
        now_ms = feed.clock.now_ms()
        stamp_ms = time.time_ns() // 1_000_000
        self._saw(feed, ledger, checked)
        if checked.final_ms is not None:
            final = chunk.until(checked.final_ms)
            ledger.not_wanted(part.clip(TimeRange(final.range.end_ms, chunk.range.end_ms)) for part in chunk.wanted)
            chunk = final
        if question.doubts is None:
            outcome = first_answer(chunk, checked, feed.venue.page.cut)
            if not len(checked.candles) and not checked.refusals:
                await self._look_for_edge(feed, ledger, chunk)
        else:
            outcome = second_answer(
                chunk,
                question.doubts,
                checked,
                venue_now_ms=now_ms,
                confirmed_at_ms=stamp_ms,
                newest_ms=ledger.newest_ms,
                cut=feed.venue.page.cut,
            )
            why = unread_detail(checked) or "not there yet, or answered in two different ways"
            ledger.trouble("undecided", outcome.undecided, why)
            if outcome.undecided:
                log.warning("undecided series=%s range=%s reason=%s", chunk.series, chunk.range, why)
        if not feed.venue.gapless:
            known = TimeRange(ledger.oldest_ms, ledger.newest_ms)
            outcome = with_quiet(outcome, chunk.series.interval, known, venue_now_ms=now_ms, confirmed_at_ms=stamp_ms)
        ledger.doubt(outcome.doubts)
        self._report.rows_rejected += outcome.rows_refused
        corrected = self._look_again(feed, chunk, checked)
        candles = _with_others(outcome.candles, chunk, checked, corrected)
        # Packed while its cells are at hand: a page is worked through from its bytes to what is written in one go.
        told = await self._deliveries.revisions(ledger, candles, corrected, REST)
        packed, changed = await self._deliveries.packed(ledger, candles, REST)
        absences = await self._proven(feed, ledger, outcome.absences)
        return await self._deliveries.of(ledger, packed, absences, corrected, told or changed, REST)

    def _look_again(self, feed: Feed, chunk: Chunk, checked: Checked) -> frozenset[int]:
        """The candles of an answer that were stored just after their close and are not what they were."""
        corrected = feed.fresh.look(chunk.series, chunk.wanted, checked.candles, feed.clock.now_ms())
        for time_ms in sorted(corrected):
            log.info("changed after its close series=%s open_time=%s", chunk.series, iso(time_ms))
        return corrected

    def _saw(self, feed: Feed, ledger: Ledger, checked: Checked) -> None:
        """Take notice of how far the venue has gone on with the series."""
        if len(checked.candles):
            oldest_ms, newest_ms = checked.candles.open_times[0], checked.candles.open_times[-1]
            ledger.saw(newest_ms, oldest_ms)
            self._lives[feed.venue.name].saw(ledger.plan.series.interval, newest_ms)

    async def _look_for_edge(self, feed: Feed, ledger: Ledger, chunk: Chunk) -> None:
        """A long empty answer: ask where the series begins or ends, before hundreds like it are asked for."""
        if chunk.limit < LONG_EMPTY_PAGE or ledger in self._learning:
            return
        self._learning[ledger] = learned = asyncio.Event()
        try:
            if chunk.range.start_ms > ledger.newest_ms and "newest" not in ledger.edges_asked:
                await self._learn_edge(feed, ledger, "newest")
            before_others = chunk.range.start_ms <= ledger.newest_ms and not ledger.first_known
            if before_others and "first" not in ledger.edges_asked:
                await self._learn_edge(feed, ledger, "first")
        except (PermanentError, TransientError) as exc:
            log.warning("ends not learned series=%s error=%s", ledger.plan.series, exc)
        finally:
            del self._learning[ledger]
            learned.set()

    def _refused(self, ledger: Ledger, exc: PermanentError) -> None:
        """Nothing more of this series is asked; its minutes stay missing. Several workers may learn it at once."""
        if ledger.refused is not None:
            return
        ledger.refuse(exc.reason, str(exc))
        self._report.errors += 1
        self._refusals += 1
        if self._refusals <= _REFUSALS_SHOWN:
            self._observer.warn(f"{ledger.plan.series}: {exc}")
        else:
            log.warning("refused series=%s error=%s", ledger.plan.series, exc)

    def _out_of_reach(self, feed: Feed, ledger: Ledger, question: Question, exc: OutOfReach) -> None:
        """The venue does not reach back to where a question begins: ask for its halves when all others are through.

        By then the newest question that was refused has told how far back it reaches: most halves need no asking.
        """
        chunk = question.chunk
        step_ms = chunk.series.interval.ms
        log.info("out of reach series=%s range=%s answer=%s", chunk.series, chunk.range, exc)
        ledger.reach_start_ms = max(ledger.reach_start_ms, chunk.range.start_ms + step_ms)
        middle_ms = chunk.range.start_ms + chunk.limit // 2 * step_ms
        for half in (chunk.since(middle_ms), chunk.until(middle_ms)):
            if half.wanted:
                feed.agenda.last(ledger, replace(question, chunk=half))

    def _failed(self, feed: Feed, ledger: Ledger, question: Question, exc: TransientError) -> None:
        """A question that failed all its tries gets one more round at the end; after that its minutes are missing."""
        self._report.errors += 1
        now_s = time.monotonic()
        log.warning("failed series=%s range=%s error=%s", ledger.plan.series, question.chunk.range, exc)
        if question.failed_at_s is None:
            feed.agenda.last(ledger, replace(question, failed_at_s=now_s, failure=str(exc)))
        else:
            ledger.trouble("fetch_failed", question.chunk.wanted_count, str(exc))
        if feed.transport.silent_s > self._order.settings.max_wait_s:
            self._lost(
                feed,
                TransientError(
                    f"nothing has been answered for {self._order.settings.max_wait_s:.0f} s: {exc}",
                    hint="run again when the venue answers; what is stored stays",
                ),
            )

    def _lost(self, feed: Feed, error: LaklakError) -> None:
        """The venue answers no more: that is its end, and nobody else's, unless there are files of it still to get.

        A region that is refused is no error where there are files: what they lack is missing.
        """
        region = feed.reader is not None and isinstance(error, RegionBlocked | RegionRefused)
        if region or feed.files.open:
            if feed.asks_api:
                self._observer.warn(f"going on with the bulk files alone, what they lack stays missing: {error}")
            feed.without_api(str(error))
            if not region:
                feed.end = feed.end or error
            return
        if not feed.stopper.requested:
            log.error("venue ended name=%s reason=%s error=%s", feed.venue.name, error.reason, error)
            if len(self._report.venues) > 1:
                self._observer.warn(
                    f"nothing more is asked of {feed.venue.name}, the rest of it stays missing: {error}"
                )
        feed.end_with(error)

    def _abort(self, error: LaklakError) -> None:
        """End the run for this reason (the first one counts): the store's, or that it should not have begun."""
        if isinstance(error, StoreError):
            # What is on the wire could not be stored: nobody will take it.
            self._writer.give_up()
            if self._workers is not None:
                self._workers.cancel()
        if self.error is None or not self._stopper.requested:
            self.error = error
            log.error("stopping reason=%s error=%s", error.reason, error)
        self._stopper.request()


def _with_others(
    candles: Candles, chunk: Chunk, checked: Checked, corrected: frozenset[int], found: Sequence[TimeRange] = ()
) -> Candles:
    """What is to be written of an answer: what was wanted, what takes the place of stored candles, and of holes."""
    if not (corrected or found):
        return candles
    return checked.candles.only(union([*chunk.wanted, *runs(sorted(corrected), chunk.series.interval), *found]))


def no_archive(feed: Feed) -> str:
    """What to say of a server that has no bulk file at all."""
    host = "the server" if feed.reader is None else feed.reader.downloader.host
    if feed.reader is not None and feed.reader.had_files:
        return (
            f"{host} had bulk files and has none of those that were looked for now, which proves nothing: check the "
            "proxy and run again later, or use --source rest, which asks for none"
        )
    return (
        f"no bulk file was ever found at {host}, which proves nothing: check LAKLAK_{feed.venue.name.upper()}"
        "_ARCHIVE_URL and the proxy, or use --source rest, which asks for none"
    )


def _nothing_of(ledger: Ledger) -> CandleBatch:
    return CandleBatch(ledger.plan.series, (), ((),) * 5, ((),) * 5)


def _nothing_to_release() -> None:
    """What came without candles takes no room."""
