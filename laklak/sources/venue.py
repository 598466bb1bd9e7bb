"""One venue during a run: its adapter, limiter, transport, clock, listing and open questions."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import Final, Self, TypeVar

from laklak.archives import ARCHIVES
from laklak.archives.evidence import Evidence
from laklak.archives.split import Preference, Solver
from laklak.errors import (
    LaklakError,
    PermanentError,
    RegionRefused,
    SettingsError,
    TransientError,
    TryLater,
    VenueUnreachable,
)
from laklak.model.candles import Chunk
from laklak.model.series import Interval, Series, TimeRange, iso
from laklak.plan.chunks import Tiers, best_page
from laklak.plan.cost import Cost
from laklak.plan.missing import SeriesPlan
from laklak.report.ledger import NO_SOURCE
from laklak.report.progress import Pace, VenueFigures
from laklak.settings.order import Order
from laklak.sources.addresses import SIMULATOR, Source, address_of
from laklak.sources.archive import FileReader
from laklak.sources.backlog import Backlog
from laklak.sources.fresh import Fresh, chunks_with
from laklak.sources.listing import lists_all, whole_listing
from laklak.sources.page_size import PageSize
from laklak.sources.spending import Spending, heaviest_units
from laklak.stores.base import Origin
from laklak.tasks.stopping import Stopper
from laklak.text import mask_url
from laklak.venues import VENUES, Venue
from laklak.venues.base import Answer, Asked, Listing, Request, unlisted
from laklak.wire.clock import VenueClock
from laklak.wire.pools import Pools
from laklak.wire.venue_api import TRIES, Transport

log = logging.getLogger(__name__)

Result = TypeVar("Result")

_TRIES_AT_START: Final = 4
_SYMBOLS_WITH_FILES: Final = 3
_DATE_BEHIND_MS: Final = 2_000
"""A clock that is read from a Date is set back by this: nothing younger counts as closed."""


@dataclass(frozen=True, slots=True)
class Contact:
    """How a venue was reached. `weight_used`: by all programs of this address; 0 if the venue does not say.

    `bytes_per_second`: what the line carries, None if unknown. `answers_at_once`: how many it carries together.
    """

    simulated: bool
    proxy: str | None
    requests: int
    heard_s: float
    round_trip_s: float
    clock_behind_ms: int
    bytes_per_second: float | None
    answers_at_once: int
    weight_paid: int
    weight_used: int
    weight_allowed: float | None


class Feed:
    """A connection to one venue; entering it reads the listing, the allowed weight, and the clock.

    `page` candles per request, `spending` its budget. Entering raises VenueUnreachable if the venue does not answer as
    it should, TryLater during a ban, SettingsError for an interval, budget or page size that it does not allow.
    """

    def __init__(self, name: str, order: Order, stopper: Stopper, tell: Callable[[str], None], pools: Pools) -> None:
        """`tell` receives a line for every pause that the venue orders; `pools` are the run's."""
        settings = order.settings.venues[name]
        self.name = name
        self.venue = VENUES[name]
        self.optional = settings.optional
        self.stopper = stopper.part()
        """Stops what is asked of this venue and its files, and nothing else of the run."""
        self.room = asyncio.Semaphore(order.settings.in_flight)
        """A place for each question of this venue whose rows the store has not acknowledged."""
        self.end: LaklakError | None = None
        """The error that ended this venue, if any: it is asked for nothing more in this run."""
        self.connected = False
        """Whether the venue has started: its listing and its clock are known."""
        if order.settings.interval.name not in self.venue.intervals:
            raise SettingsError(
                f"interval {order.settings.interval} is not offered by {name}",
                hint=f"choose one of {', '.join(self.venue.intervals)}",
            )
        self.shown_url = mask_url(settings.url)
        self.lists_all = lists_all(self.venue)
        """Whether the venue lists all it has: a symbol that its listing lacks is not listed."""
        self._symbols = tuple(one.symbol for one in order.asked if one.venue == name)
        rule, rows = self.venue.page, _page(self.venue, settings.chunk)
        self.size = PageSize(name, rule, rows, learning=isinstance(settings.chunk, str))
        self.listing = Listing({})
        heaviest = heaviest_units(self.venue, order.settings.interval, rows, self._symbols)
        self.spending = Spending(self.venue, settings, heaviest)
        self.listing_asked_twice = False
        """Whether the listing was asked for once more: what both answers lack is not listed."""
        self.backlog = Backlog(self.stopper)
        self._clock = VenueClock()
        shares = self.spending.shares(max(self.spending.budget, self.spending.advertised))
        pool = pools.join(self.venue, settings.url, shares, self._clock.next_window_s)
        self.limiter, self._bans = pool.limiter, pool.bans
        self._transport = Transport(
            self.venue,
            settings.url,
            self.limiter,
            clock=self._clock,
            bans=self._bans,
            stopper=self.stopper,
            tell=tell,
            connections=order.settings.workers,
            max_wait_s=order.settings.max_wait_s,
            firewall_wait_s=settings.firewall_wait_s,
            start_wait_s=order.settings.start_wait_s,
            timing=order.timing,
        )
        self.reader = _file_reader(name, settings.archive_url, order, self.stopper)
        self._opened_reader = self.reader
        self._addresses: dict[Source, str] = {"api": address_of(settings.url)}
        if settings.archive_url is not None:
            self._addresses["files"] = address_of(settings.archive_url)
        self.fresh = Fresh(name, order.settings.interval)
        self.evidence = Evidence(None if self.reader is None else self.reader.archive, self.now_ms)
        self.seen_reach: dict[Series, int] = {}
        """Since when series have candles, as remembered, at a venue that does not say how far back it reaches."""
        self.requests_planned = 0
        """Requests for candles planned so far."""
        self.no_api: str | None = None
        """Why the venue itself cannot be asked in this run, though its files can be had."""
        self.interval = order.settings.interval
        self._files_only = order.settings.source == "archive"

    async def __aenter__(self) -> Self:
        try:
            await self._connect()
        except BaseException:
            await self._transport.__aexit__(None, None, None)
            raise
        self.connected = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._opened_reader is not None:
            await self._opened_reader.__aexit__(kind, error, trace)
        await self._transport.__aexit__(kind, error, trace)

    @property
    def asks_api(self) -> bool:
        """Whether this run asks the venue itself for candles."""
        return not self._files_only and self.no_api is None

    def without_api(self, reason: str) -> None:
        """Go on with files alone."""
        self.no_api = self.no_api or reason

    def end_with(self, error: LaklakError) -> None:
        """Ask nothing more of the venue and its files, for this reason (the first one counts)."""
        self.end = self.end or error
        self.without_api(str(error))
        self.stopper.request()

    def without_files(self) -> None:
        """Go on without bulk files: the venue has ended before any was asked for."""
        self.reader = None
        self.evidence = Evidence(None, self.now_ms)

    @property
    def started(self) -> bool:
        """Whether the venue has served us: a refusal before the first candle is no start."""
        return self.connected and not isinstance(self.end, VenueUnreachable)

    @property
    def lacking(self) -> str:
        """The reason why the venue cannot be asked for something."""
        return NO_SOURCE if self.end is None else self.end.reason

    @property
    def solver(self) -> Solver | None:
        """Chooses between files and the API, as of now; None if there are no files to choose."""
        if self.reader is None:
            return None
        preference: Preference = "auto" if self.asks_api else "archive"
        return Solver(self.reader.archive, self.now_ms(), self.venue.page.steps, preference)

    async def _connect(self) -> None:
        if self.reader is None:
            return await self._ask_venue()
        try:
            await self._ask_venue()
        except (VenueUnreachable, TryLater) as exc:
            if not (self._files_only or isinstance(exc, RegionRefused)):
                raise
            self.no_api = str(exc)
        await self.reader.__aenter__()
        if self.no_api is not None:
            # No answer of the venue has told whose candles these are.
            await self.reader.look()

    async def _ask_venue(self) -> None:
        venue = self.venue
        await self._transport.__aenter__()
        try:
            # The listing comes first: the next answers are judged by the weight that it allows.
            self.listing = await whole_listing(self.venue, self._transport, self._symbols, tries=_TRIES_AT_START)
            self.spending.heard(self.listing.quotas)
            self.limiter.configure(self.spending.shares(), by=venue.name)
            if venue.clock_request() is None and self._transport.newest is not None:
                self._take_date()
            else:
                await self.read_clock(tries=_TRIES_AT_START)
            if self.lists_all and not self.listing.instruments:
                await self.ask_listing_again()
        except (TransientError, PermanentError) as exc:
            raise VenueUnreachable(
                f"{venue.name} at {self.shown_url} cannot be used: {exc}",
                hint=f"check the network, HTTPS_PROXY, and LAKLAK_{venue.name.upper()}_URL",
            ) from exc
        self.listing = self.listing.by_clock(self.now_ms())
        if self.reader is not None:
            self.reader.listed = list(islice(self.listing.instruments, _SYMBOLS_WITH_FILES))
        if self.lists_all and not self.listing.instruments:
            entries = self.listing.unreadable
            of_entries = f" in its {entries:,} entries" if entries else ""
            raise VenueUnreachable(
                f"{venue.name} at {self.shown_url} cannot be used now: its listing, asked for twice, "
                f"names no symbol{of_entries}",
                hint="nothing is wrong with what you asked for: run the same command again when the venue is well; "
                "--source archive takes what its bulk files have",
            )

    async def ask(
        self,
        asked: Asked,
        read: Callable[[Answer], Result],
        *,
        request: Request | None = None,
        tries: int = TRIES,
    ) -> Result:
        """Ask for candles, by `request` instead of the usual one if given; raises as Transport.ask."""
        request = request or self.venue.candles_request(asked)
        return await self._transport.ask(request, read, candles=True, tries=tries)

    @property
    def signs(self) -> Hashable:
        """A value that changes whenever the venue or its file server is asked, or answers."""
        of_files = None if self.reader is None else self.reader.signs
        return self._transport.traffic.requests, self._transport.line.heard_s, of_files

    @property
    def paused_for_s(self) -> float:
        """How long the venue has told us to wait from now."""
        return self.limiter.paused_for_s

    @property
    def silent_s(self) -> float:
        """For how long no good answer has come, though something was asked."""
        return self._transport.silent_s

    def works_since(self, moment_s: float) -> bool:
        """Whether a good answer has come after a moment of the monotonic clock."""
        return self._transport.last_success_s > moment_s

    async def renew(self) -> None:
        """Drop the connections, after a sleep."""
        await self._transport.renew()
        if self.reader is not None:
            await self.reader.renew()

    def contact(self) -> Contact:
        """How the venue was reached, for a check."""
        transport, address = self._transport, self.limiter.first.address
        gauge = transport.line.gauge
        return Contact(
            simulated=transport.simulated,
            proxy=transport.proxy,
            requests=transport.traffic.requests,
            heard_s=transport.line.heard_s,
            round_trip_s=transport.round_trip_s,
            clock_behind_ms=self._clock.behind_ms,
            bytes_per_second=gauge.rate,
            answers_at_once=gauge.width,
            weight_paid=self.limiter.weight_paid,
            weight_used=0 if address is None else address.used,
            weight_allowed=None if address is None else address.allowed,
        )

    def look_at_ban(self, *, forget: bool) -> str | None:
        """What to tell about a remembered ban: that it is forgotten, or not to be believed; None if nothing.

        A ban that was noted in the future begins now, once.
        """
        if forget:
            ban = self._bans.forget()
            if ban is None:
                return None
            return f"forgotten: {self.shown_url} was not to be asked before {iso(ban.until_ms)}: {ban.reason}"
        settled = self._bans.settle()
        if settled is None:
            return None
        return (
            f"{self.shown_url} is not to be asked before {iso(settled.until_ms)}: a ban is remembered, but "
            f"{settled.doubt}; --forget-ban forgets it"
        )

    @property
    def ban_origin(self) -> str:
        """The address of the venue, as bans are noted."""
        return self._bans.origin

    def figures(self) -> VenueFigures:
        """What the venue was asked so far, and what has ended it, if anything."""
        traffic = self._transport.traffic
        until_ms = self.end.until_ms if isinstance(self.end, TryLater) else self._transport.banned_until_ms
        return VenueFigures(
            requests=traffic.requests,
            candle_requests=traffic.candle_requests,
            cost=dict(traffic.cost),
            retries=traffic.retries,
            rate_limited=traffic.rate_limited,
            banned_until_ms=until_ms if until_ms and until_ms > time.time_ns() // 1_000_000 else None,
            end=self.end,
            started=self.started,
            optional=self.optional,
        )

    def pace(self, cost: Cost | None = None) -> Pace:
        """How much of the budget is used, and what `cost` will take; by default the cost of what is not sent yet."""
        left, spending = cost or self._cost_left(), self.spending
        return Pace(
            spending.quota,
            spending.budget,
            spending.window_s,
            self.venue.pool,
            used=self.limiter.window_weight,
            requests=left.requests,
            units=left.weight,
            seconds=left.seconds(spending.budgets()),
            paused_for_s=0.0 if self.end is not None else self.limiter.paused_for_s,
        )

    def _cost_left(self) -> Cost:
        """What is planned and not sent yet, each request of the average weight sent; nothing before the first one."""
        traffic = self._transport.traffic
        left = self.requests_planned - (traffic.candle_requests - traffic.retries)
        if left <= 0 or not traffic.requests or not self.asks_api:
            return Cost(0, 0)
        weight = round(left * traffic.cost[self.spending.quota] / traffic.requests)
        return Cost(left, weight, {name: left * units for name, units in self.beside.items()})

    async def ask_listing_again(self) -> None:
        """Ask for the listing once more, for all that the first answer lacks; raises as Transport.ask."""
        again = await whole_listing(self.venue, self._transport, self._symbols, tries=_TRIES_AT_START)
        self.listing = self.listing.together(again).by_clock(self.now_ms())
        self.listing_asked_twice = True

    @property
    def origin(self) -> Origin:
        """Where this venue's candles come from; call it when the venue has answered."""
        of_files = self.reader is not None and self.reader.simulated
        return "simulated" if self._transport.simulated or of_files else "real"

    @property
    def sources(self) -> dict[Source, str]:
        """The addresses this run may take the venue's candles from, as far as known (laklak.sources.addresses)."""
        taken: list[Source] = ["api"] if self.asks_api else []
        if self.reader is not None:
            taken.append("files")
        return {source: self.address(source) for source in taken}

    def address(self, source: Source) -> str:
        """The address of a source; that of all simulators if an answer has shown one."""
        address = self._addresses[source]
        simulated = self._transport.simulated and address == self._addresses["api"]
        if source == "files" and self.reader is not None:
            simulated = simulated or self.reader.simulated
        return SIMULATOR if simulated else address

    def now_ms(self) -> int:
        """The venue's clock."""
        return self._clock.now_ms()

    @property
    def venue_now_ms(self) -> int | None:
        """The venue's clock, for notes; None if it could not be asked."""
        return self._clock.read_ms

    async def read_clock(self, *, tries: int = 2) -> None:
        """Read the venue's clock."""
        request = self.venue.clock_request()
        if request is not None:
            self._clock.set(await self._transport.ask(request, self.venue.read_clock, tries=tries))
            return
        try:
            await self._transport.ask(self._any_candles(), lambda answer: answer, tries=tries)
        except PermanentError:
            # A refusal has a Date too.
            log.debug("refused, and taken for its date venue=%s", self.venue.name)
        self._take_date()

    def _take_date(self) -> None:
        """Set the clock by the newest Date: whole seconds, by the clock of whichever machine answered."""
        answer, came_s = self._transport.newest or (None, 0.0)
        if answer is None or answer.date_ms is None:
            raise TransientError("its answers have no Date, and nothing else tells its time")
        passed_ms = int((time.monotonic() - came_s) * 1000)
        self._clock.set(answer.date_ms + passed_ms, behind_ms=_DATE_BEHIND_MS)

    def _any_candles(self) -> Request:
        """A request for a candle that should exist: its answer has a Date."""
        interval = self.interval
        end_ms = interval.floor(self.now_ms())
        series = Series(self.venue.name, self.venue.example, interval)
        return self.venue.candles_request(self.asked(series, TimeRange(end_ms - interval.ms, end_ms)))

    @property
    def page(self) -> int:
        """How many candles are asked for at once."""
        return self.size.rows

    @property
    def steps(self) -> Tiers:
        """The venue's price steps, up to the page that it gives."""
        rule = self.venue.page
        return ((self.page, rule.units(self.page)),) if rule.smaller else rule.steps

    @property
    def beside(self) -> Mapping[str, int]:
        """What a request for candles costs of all quotas but the first."""
        return {name: units for name, units in self._any_candles().cost.items() if name != self.spending.quota}

    def page_of(self, series: Series) -> int:
        """How many candles of one series are asked for at once."""
        return min(self.page, self.venue.rows_of(series))

    def hear_size(self, chunk: Chunk, times: Sequence[int]) -> bool:
        """Learn how many rows come at once from the open_times of an answer; returns whether it was cut."""
        listed_ms = self.asked(chunk.series, chunk.range).instrument.first_ms
        begins = listed_ms is not None and listed_ms > chunk.range.start_ms
        return self.size.hear(chunk.range.start_ms, times, begins=begins)

    def reach_start_ms(self, interval: Interval) -> int | None:
        """The first candle that the venue itself can be asked for now; None if it has all of them."""
        reach_ms = self.venue.reach_ms(interval)
        return None if reach_ms is None else interval.ceil(self.now_ms() - reach_ms)

    def reaches(self, open_ms: int, interval: Interval) -> bool:
        """Whether the venue can be asked for the candle at `open_ms`, by what it documents."""
        start_ms = self.reach_start_ms(interval)
        return start_ms is None or open_ms >= start_ms

    def asked(self, series: Series, span: TimeRange, *, anywhere: bool = False) -> Asked:
        """What an adapter learns about a request for candles."""
        instrument = self.listing.instruments.get(series.symbol) or unlisted(series.symbol)
        return Asked(series, instrument, span, anywhere)

    @property
    def tiers(self) -> Tiers:
        """The price steps that cost no more than a page, so that extra questions cost no more either."""
        most = self.venue.page.units(self.page)
        return tuple(step for step in self.steps if step[1] <= most)


def _file_reader(name: str, url: str | None, order: Order, stopper: Stopper) -> FileReader | None:
    if order.settings.source == "rest":
        return None
    if name not in ARCHIVES or url is None:
        if order.settings.source == "auto":
            return None
        if name not in ARCHIVES:
            raise SettingsError(f"{name} publishes no bulk files", hint="use --source rest")
        raise SettingsError(
            f"LAKLAK_{name.upper()}_URL names another venue than the one that the bulk files are of",
            hint=f"set LAKLAK_{name.upper()}_ARCHIVE_URL too, or use --source rest",
        )
    return FileReader(
        ARCHIVES[name],
        url,
        stopper=stopper,
        connections=order.settings.archive_connections,
        timing=order.timing,
        unpacked=order.settings.archive_files,
    )


def cut_for(feed: Feed, plan: SeriesPlan, missing: Sequence[TimeRange], *, anyway: bool) -> Iterator[Chunk]:
    """What is missing of a series, cut into the questions that its venue answers now."""
    along, page = feed.fresh.along(plan), feed.page_of(plan.series)
    return chunks_with(plan.series, missing, along, feed.steps, page, anyway=anyway)


def _page(venue: Venue, chunk: int | str) -> int:
    largest = venue.page.rows
    if isinstance(chunk, str):
        return best_page(venue.page.steps)
    if chunk > largest:
        raise SettingsError(
            f"{venue.name} gives at most {largest} candles a request, not {chunk}",
            hint=f"use --chunk {largest} or less",
        )
    return chunk
