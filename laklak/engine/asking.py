"""From a question to its delivery: ask the venue, settle the answer, and ask further if it says little."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from laklak.engine.delivering import Deliveries, with_others
from laklak.engine.life import Lives, ended_line
from laklak.engine.rounds import Rounds
from laklak.errors import (
    LaklakError,
    OutOfReach,
    PermanentError,
    TransientError,
)
from laklak.model.absences import Absence
from laklak.model.candles import Chunk
from laklak.model.provenance import REST
from laklak.model.series import TimeRange, iso
from laklak.model.spans import union
from laklak.plan.answers import (
    Doubts,
    Edge,
    EdgeQuestion,
    FirstQuestion,
    Outcome,
    Question,
    SecondQuestion,
    SecondRound,
    first_answer,
    second_answer,
    second_questions,
)
from laklak.plan.chunks import plan_chunks
from laklak.plan.quiet import with_quiet
from laklak.plan.rows import Checked
from laklak.plan.sessions import settle_lacking
from laklak.plan.wanted import BegunSeries
from laklak.report.ledger import Ledger
from laklak.report.observer import Observer
from laklak.report.progress import Report
from laklak.settings.order import Order
from laklak.sources.forms import read_answer, unread_detail
from laklak.sources.venue import Feed, cut_for
from laklak.stores.base import Delivery

log = logging.getLogger(__name__)

_REFUSALS_SHOWN: Final = 8
LONG_EMPTY_PAGE: Final = 100
"""An empty answer to a question for this many candles leads to another question: where the series begins or ends."""


class Asking:
    """Asks one venue; `lost` receives the error that ends it."""

    def __init__(
        self,
        feed: Feed,
        lives: Lives,
        rounds: Rounds,
        order: Order,
        report: Report,
        observer: Observer,
        deliveries: Deliveries,
        lost: Callable[[LaklakError], None],
    ) -> None:
        self._feed = feed
        self._lives = lives
        self._rounds = rounds
        self._order = order
        self._report = report
        self._observer = observer
        self._deliveries = deliveries
        self._lost = lost
        self._learning: dict[Ledger, asyncio.Event] = {}
        self._reach_asked: set[Ledger] = set()
        self._reaching: dict[Ledger, asyncio.Event | None] = {}
        """An event per series whose oldest question is in flight, at a venue of unsaid reach; None once answered."""
        self._refusals = 0

    async def answer(self, ledger: Ledger, question: Question | SecondRound) -> Delivery | None:
        """Ask the venue; return what to store, None if nothing."""
        match question:
            case SecondRound(question=asked):
                return await self._answer(ledger, asked, is_last=True)
            case _:
                return await self._answer(ledger, question, is_last=False)

    async def _answer(self, ledger: Ledger, question: Question, *, is_last: bool) -> Delivery | None:
        """Ask; a question that fails is asked once more at the end of the run, unless it `is_last`."""
        worth = await self._worth_asking(ledger, question)
        if worth is None:
            return None
        question, chunk = worth, worth.chunk
        reaching = self._reaches_back(ledger, question)
        try:
            if isinstance(question, EdgeQuestion):
                await self._learn_edge(ledger, question.edge)
                return None
            ledger.requests += 1
            asked = self._feed.asked(chunk.series, chunk.range)
            read = partial(read_answer, self._feed.venue, question, asked)
            checked = await self._feed.ask(asked, read)
        except OutOfReach as exc:
            self._out_of_reach(ledger, question, exc)
        except PermanentError as exc:
            if exc.reason == "refused" and self._feed.size.refused(chunk.limit):
                self._cut_anew()
                self._ask_in_parts(ledger, question)
            else:
                self._refused(ledger, exc)
        except TransientError as exc:
            self._failed(ledger, question, exc, is_last=is_last)
        else:
            return await self._take_in(ledger, question, checked)
        finally:
            if reaching is not None:
                self._reaching[ledger] = None
                reaching.set()
        return None

    async def _worth_asking(self, ledger: Ledger, question: Question) -> Question | None:
        """The part of a question worth asking, by what is known of its series now; None if no part is."""
        if self._feed.stopper.requested or ledger.refused is not None or not self._can_ask(ledger, question):
            return None
        # Wait while the series' end or its reach is being asked.
        if not await self._is_alive(ledger, question.chunk):
            return None
        within = self._within_reach(ledger, question)
        if within is not question and not within.chunk.wanted:
            return None
        too_long = within.chunk.limit > self._feed.page and self._feed.venue.page.smaller
        if too_long and not isinstance(within, EdgeQuestion):
            # It was queued before it was known how many rows come at once.
            self._ask_in_parts(ledger, within)
            return None
        return within

    def _reaches_back(self, ledger: Ledger, question: Question) -> asyncio.Event | None:
        """Let the series' other questions wait for this answer if it may show them to be out of reach."""
        before = question.chunk.range.start_ms < ledger.oldest_ms and not isinstance(question, EdgeQuestion)
        if not (self._feed.venue.reach_is_unsaid and before) or ledger in self._reaching:
            return None
        self._reaching[ledger] = answered = asyncio.Event()
        return answered

    def _can_ask(self, ledger: Ledger, question: Question) -> bool:
        """Whether the venue can be asked this; if not, enter the reason into the account."""
        if self._feed.asks_api or (isinstance(question, EdgeQuestion) and self._feed.no_api is None):
            return True
        why = self._feed.no_api or "not in the bulk files, and nothing else is to be asked"
        ledger.trouble(self._feed.lacking, question.chunk.wanted_count, why)
        return False

    async def _is_alive(self, ledger: Ledger, chunk: Chunk) -> bool:
        """Whether the series lives in the chunk's range, as far as known."""
        while (learning := self._learning.get(ledger) or self._reaching.get(ledger)) is not None:
            # While its end is being asked, hundreds of questions beyond it may prove needless.
            await learning.wait()
        if not chunk.range.clip(ledger.life):
            return False
        if ledger.newest_answered and chunk.range.start_ms > ledger.newest_ms:
            ledger.not_yet(chunk.wanted_count)
            return False
        return True

    @staticmethod
    def _within_reach(ledger: Ledger, question: Question) -> Question:
        """A question without the part that the venue refused as out of reach; nothing may be left."""
        chunk = question.chunk
        if chunk.range.start_ms >= ledger.reach_start_ms or isinstance(question, EdgeQuestion):
            return question
        beyond = TimeRange(chunk.range.start_ms, ledger.reach_start_ms)
        ledger.not_wanted((part.clip(beyond) for part in chunk.wanted), out_of_reach=True)
        return replace(question, chunk=chunk.since(ledger.reach_start_ms))

    async def _take_in(self, ledger: Ledger, question: FirstQuestion | SecondQuestion, checked: Checked) -> Delivery:
        """Settle an answer."""
        chunk, now_ms = question.chunk, self._feed.now_ms()
        self._rounds.saw(ledger, checked)
        in_sessions = self._feed.venue.trades_in_sessions
        if checked.final_ms is not None and not in_sessions:
            final = chunk.until(checked.final_ms)
            untold = TimeRange(final.range.end_ms, chunk.range.end_ms)
            ledger.not_published([part for one in chunk.wanted if (part := one.clip(untold))])
            chunk = final
        match question:
            case FirstQuestion():
                chunk = self._without_cut(ledger, chunk, checked)
                outcome = first_answer(chunk, checked, self._feed.venue.page.cut)
                if not (len(checked.candles) or checked.refusals or in_sessions):
                    await self._look_for_edge(ledger, chunk)
            case SecondQuestion(doubts=doubts):
                outcome = self._settle(ledger, chunk, doubts, checked, now_ms)
        if in_sessions:
            outcome = self._settle_sessions(ledger, chunk, outcome, checked, now_ms)
        elif not self._feed.venue.gapless:
            known = TimeRange(ledger.oldest_ms, ledger.newest_ms)
            outcome = with_quiet(
                outcome,
                chunk.series.interval,
                known,
                venue_now_ms=now_ms,
                confirmed_at_ms=time.time_ns() // 1_000_000,
            )
        ledger.doubt(outcome.doubts)
        self._report.rows_rejected += outcome.rows_refused
        corrected = self._rounds.look_again(chunk, checked)
        candles = with_others(outcome.candles, chunk, checked, corrected)
        # Pack at once, while the page's cells are at hand.
        told = await self._deliveries.revisions(ledger, candles, corrected, REST)
        packed, changed = await self._deliveries.packed(ledger, candles, REST)
        absences = await self._proven(ledger, outcome.absences)
        return await self._deliveries.of(ledger, packed, absences, corrected, told or changed, REST)

    @staticmethod
    def _settle_sessions(ledger: Ledger, chunk: Chunk, outcome: Outcome, checked: Checked, now_ms: int) -> Outcome:
        """The outcome at a venue that trades in sessions: one answer settles what it lacks."""
        holes = [one.span for one in outcome.absences if one.kind == "hole"]
        settled = settle_lacking(
            chunk,
            union([*outcome.doubts.absent, *holes]),
            checked,
            venue_now_ms=now_ms,
            confirmed_at_ms=time.time_ns() // 1_000_000,
        )
        ledger.not_published(settled.not_yet)
        others = [one for one in outcome.absences if one.kind != "hole"]
        absences = sorted([*others, *settled.absences], key=lambda one: one.open_time_ms)
        return replace(outcome, absences=absences, doubts=replace(outcome.doubts, absent=()))

    def _without_cut(self, ledger: Ledger, chunk: Chunk, checked: Checked) -> Chunk:
        """A chunk without the part that its answer had no room for; that part is asked for again."""
        feed = self._feed
        times = [one.open_time_ms for one in checked.refusals if one.open_time_ms is not None]
        times += checked.candles.open_times
        if not feed.size.learning or checked.strays or not feed.hear_size(chunk, times):
            return chunk
        log.info("answers are cut venue=%s rows=%d", feed.name, feed.page)
        self._cut_anew()
        before = chunk.until(min(times))
        if before.wanted:
            self._ask_in_parts(ledger, FirstQuestion(before))
        return chunk.since(min(times))

    def _cut_anew(self) -> None:
        """Cut the remaining questions to the page size that the venue gives."""
        feed, anyway = self._feed, self._order.recheck
        feed.backlog.cut_anew(lambda ledger, missing: cut_for(feed, ledger.plan, missing, anyway=anyway))

    def _ask_in_parts(self, ledger: Ledger, question: Question) -> None:
        """Ask now, in questions of the page size that the venue gives."""
        feed, series = self._feed, question.chunk.series
        parts: Iterable[Question]
        if isinstance(question, SecondQuestion):
            parts = second_questions(series, question.doubts, feed.steps, feed.page_of(series))
        else:
            chunks = plan_chunks(series, question.chunk.wanted, feed.steps, feed.page_of(series))
            parts = (FirstQuestion(chunk) for chunk in chunks)
        now_s = asyncio.get_running_loop().time()
        for part in parts:
            feed.requests_planned += 1
            feed.backlog.later(ledger, part, now_s)

    def _settle(self, ledger: Ledger, chunk: Chunk, doubts: Doubts, checked: Checked, now_ms: int) -> Outcome:
        """Settle doubts by a second answer; `now_ms` is the venue's clock when it came."""
        outcome = second_answer(
            chunk,
            doubts,
            checked,
            venue_now_ms=now_ms,
            confirmed_at_ms=time.time_ns() // 1_000_000,
            newest_ms=ledger.newest_ms,
            cut=self._feed.venue.page.cut,
        )
        why = unread_detail(checked) or "not there yet, or answered in two different ways"
        ledger.trouble("undecided", outcome.undecided, why)
        if outcome.undecided:
            log.warning("undecided series=%s range=%s reason=%s", chunk.series, chunk.range, why)
        return outcome

    async def _learn_edge(self, ledger: Ledger, edge: Edge) -> None:
        """Ask for the first or the newest candle of a series; raises as Transport.ask."""
        series, lives = ledger.plan.series, self._lives
        ledger.edges_asked.add(edge)
        ledger.requests += 1
        if edge == "first":
            first_ms = await lives.first(series, ledger.start_ms, ledger.oldest_ms)
            if first_ms is not None:
                self._begin(ledger, first_ms)
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

    def _begin(self, ledger: Ledger, first_ms: int) -> None:
        """Want nothing before the first candle; if it is earlier than thought, ask for more."""
        more = ledger.begins(first_ms)
        self._report.begun[str(ledger.plan.series)] = BegunSeries(str(ledger.plan.series), first_ms)
        now_s = asyncio.get_running_loop().time()
        series, feed = ledger.plan.series, self._feed
        for chunk in plan_chunks(series, [more] if more else [], feed.steps, feed.page_of(series)):
            self._feed.requests_planned += 1
            self._feed.backlog.later(ledger, FirstQuestion(chunk), now_s)

    async def _look_for_edge(self, ledger: Ledger, chunk: Chunk) -> None:
        """After a long empty answer, ask where the series begins or ends, before hundreds like it are asked.

        At a venue that does not say how far back it reaches, any empty answer before the oldest candle may be out of
        reach.
        """
        beyond = self._feed.venue.reach_is_unsaid and chunk.range.start_ms < ledger.oldest_ms
        if ledger in self._learning or (chunk.limit < LONG_EMPTY_PAGE and not beyond):
            return
        self._learning[ledger] = learned = asyncio.Event()
        try:
            if chunk.range.start_ms > ledger.newest_ms and "newest" not in ledger.edges_asked:
                await self._learn_edge(ledger, "newest")
            before_others = chunk.range.start_ms <= ledger.newest_ms and not ledger.first_known
            if before_others and "first" not in ledger.edges_asked:
                await self._learn_edge(ledger, "first")
            if beyond and ledger not in self._reach_asked:
                self._reach_asked.add(ledger)
                await self._learn_reach(ledger)
        except (PermanentError, TransientError) as exc:
            log.warning("ends not learned series=%s error=%s", ledger.plan.series, exc)
        finally:
            del self._learning[ledger]
            learned.set()

    async def _learn_reach(self, ledger: Ledger) -> None:
        """Learn how far back the series reaches; earlier minutes are not asked for any more, and prove nothing."""
        series, start_ms = ledger.plan.series, ledger.start_ms
        reach_ms = await self._lives.reach(series, start_ms)
        if reach_ms is None or reach_ms <= start_ms:
            return
        ledger.reach_start_ms = max(ledger.reach_start_ms, reach_ms)
        told = f"{series}: candles reach back to {iso(reach_ms)}, what opens before that is out of reach"
        if len(self._reach_asked) <= _REFUSALS_SHOWN:
            self._observer.warn(told)
        else:
            log.warning("%s", told)

    async def _proven(self, ledger: Ledger, absences: Sequence[Absence]) -> Sequence[Absence]:
        """The API's absences that may be remembered; the rest waits for its file, or stays missing."""
        verdict = self._feed.evidence.sift(ledger.plan.series, absences)
        await self._rounds.left_open(ledger, verdict)
        return verdict.proven

    def _refused(self, ledger: Ledger, exc: PermanentError) -> None:
        """Ask nothing more about this series; its minutes stay missing. Several workers may learn it at once."""
        if ledger.refused is not None:
            return
        ledger.refuse(exc.reason, str(exc))
        self._report.errors += 1
        self._refusals += 1
        if self._refusals <= _REFUSALS_SHOWN:
            self._observer.warn(f"{ledger.plan.series}: {exc}")
        else:
            log.warning("refused series=%s error=%s", ledger.plan.series, exc)

    def _out_of_reach(self, ledger: Ledger, question: Question, exc: OutOfReach) -> None:
        """The venue does not reach back to the start of a question: ask for its halves when all others are done.

        By then the newest refused question has told how far back the venue reaches: most halves need no asking.
        """
        chunk = question.chunk
        step_ms = chunk.series.interval.ms
        log.info("out of reach series=%s range=%s answer=%s", chunk.series, chunk.range, exc)
        ledger.reach_start_ms = max(ledger.reach_start_ms, chunk.range.start_ms + step_ms)
        middle_ms = chunk.range.start_ms + chunk.limit // 2 * step_ms
        for half in (chunk.since(middle_ms), chunk.until(middle_ms)):
            if half.wanted:
                self._feed.backlog.last(ledger, replace(question, chunk=half))

    def _failed(self, ledger: Ledger, question: Question, exc: TransientError, *, is_last: bool) -> None:
        """A question whose tries all failed is asked once more at the end; after that its minutes are missing."""
        self._report.errors += 1
        now_s = time.monotonic()
        log.warning("failed series=%s range=%s error=%s", ledger.plan.series, question.chunk.range, exc)
        if is_last:
            ledger.trouble("fetch_failed", question.chunk.wanted_count, str(exc))
        else:
            self._feed.backlog.last(ledger, SecondRound(question, now_s, str(exc)))
        if self._feed.silent_s > self._order.settings.max_wait_s:
            self._lost(
                TransientError(
                    f"nothing has been answered for {self._order.settings.max_wait_s:.0f} s: {exc}",
                    hint="run again when the venue answers; what is stored stays",
                ),
            )
