"""What comes next when a part of a series is done: second questions, then files, then what lies beyond.

What the API lacks is checked against the file of its day; a venue is not done before that.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from laklak.archives.evidence import AbsenceVerdict
from laklak.archives.split import FilePart
from laklak.engine.beyond import Beyond
from laklak.engine.delivering import Deliveries
from laklak.engine.life import Lives
from laklak.model.candles import Chunk
from laklak.model.series import iso
from laklak.plan.answers import SecondQuestion
from laklak.plan.rows import Checked
from laklak.report.ledger import UNPROVEN, Ledger
from laklak.report.progress import Report
from laklak.settings.order import Order
from laklak.sources.backlog import Entry, FileEntry, next_round
from laklak.sources.forms import with_neighbours
from laklak.sources.venue import Feed

log = logging.getLogger(__name__)


class Rounds:
    """The rounds of one venue's series, and what every answer tells about them."""

    def __init__(
        self, feed: Feed, lives: Lives, beyond: Beyond, order: Order, report: Report, deliveries: Deliveries
    ) -> None:
        self._feed = feed
        self._lives = lives
        self._beyond = beyond
        self._order = order
        self._report = report
        self._deliveries = deliveries

    def done(self, entry: Entry | FileEntry) -> None:
        """Close a question or a file; after a series' last one ask again for what is in doubt, then for the files."""
        ledger, _ = entry
        self._feed.backlog.done(entry)
        if ledger.exhausted and not ledger.open_questions and ledger.refused is None and not ledger.plan.files_only:
            self._ask_again(ledger)
        if self._feed.backlog.through(ledger):
            self._ask_files(ledger)
        if self._feed.backlog.through(ledger):
            self.look_beyond(ledger)

    def _ask_again(self, ledger: Ledger) -> None:
        """Ask for what is in doubt, some time after the first answers."""
        pause_s = self._order.timing.second_answer_after_s
        now_s = asyncio.get_running_loop().time()
        round_ = next_round(
            ledger, self._feed.steps, self._feed.page_of(ledger.plan.series), edges=self._feed.no_api is None
        )
        for question in round_.questions:
            if isinstance(question, SecondQuestion):
                question = with_neighbours(question, self._feed.tiers, self.closed_ms())
            self._feed.backlog.later(ledger, question, now_s + (0.0 if round_.waited else pause_s))

    def closed_ms(self) -> int:
        """The end of the last candle wanted by now, in ms by the venue's clock."""
        return self._feed.now_ms() - round(self._order.settings.settle_s * 1000)

    def _ask_files(self, ledger: Ledger) -> None:
        """Queue the files that check what the API has settled."""
        self.add_files(ledger, [] if self._feed.stopper.requested else self._feed.evidence.parts(ledger.plan.series))

    def look_beyond(self, ledger: Ledger) -> None:
        """Queue the files that may have candles beyond the ends of a series."""
        self.add_files(ledger, [] if self._feed.stopper.requested else self._beyond.parts(ledger))

    def add_files(self, ledger: Ledger, parts: Sequence[FilePart]) -> None:
        self._feed.backlog.add_files(ledger, parts)
        self._report.files.planned += len(parts)

    async def left_open(self, ledger: Ledger, verdict: AbsenceVerdict) -> None:
        """Name what stays missing because its file cannot be had now; a refetch keeps what is stored."""
        if verdict.unproven:
            left = await self._deliveries.of(ledger, None, verdict.unproven)
            why = f"the API gives none that is sound, and the file that may cannot be had now: {verdict.why}"
            ledger.trouble(UNPROVEN, len(left.absences), why)

    def saw(self, ledger: Ledger, checked: Checked) -> None:
        """Note how far the venue has come with the series."""
        if len(checked.candles):
            oldest_ms, newest_ms = checked.candles.open_times[0], checked.candles.open_times[-1]
            ledger.saw(newest_ms, oldest_ms)
            self._lives.saw(ledger.plan.series.interval, newest_ms)

    def look_again(self, chunk: Chunk, checked: Checked) -> frozenset[int]:
        """The candles of an answer that were stored just after their close and have changed since."""
        corrected = self._feed.fresh.look(chunk.series, chunk.wanted, checked.candles, self._feed.now_ms())
        for time_ms in sorted(corrected):
            log.info("changed after its close series=%s open_time=%s", chunk.series, iso(time_ms))
        return corrected
