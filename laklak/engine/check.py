"""What would stop a backfill: the store and the venues are reached as a run would reach them.

Nothing is fetched, stored, created or changed, and trouble at one place does not hide another: the store and all venues
are checked side by side, until each has answered or been silent for `LIMIT_S`.
"""

from __future__ import annotations

import asyncio
import platform
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from importlib import metadata
from typing import Final

import anyio
from anyio import to_thread

from laklak._version import __version__
from laklak.engine.addresses import address_refusal, known_addresses
from laklak.engine.listing import last_look
from laklak.engine.planning import mixing_refusal
from laklak.engine.remembered import address_finding, ban_findings, memory_findings
from laklak.engine.store_work import SPARE_BYTES, other_series
from laklak.errors import LaklakError, PermanentError, TransientError, TryLater
from laklak.model.findings import Checkup, Fact, Finding
from laklak.model.series import DAY_MS, Series, iso
from laklak.plan.wanted import clip_to_clock
from laklak.settings.order import Order
from laklak.sources.addresses import NOTE, SIMULATOR, Addresses, fits
from laklak.sources.venue import Feed
from laklak.stores import open_store, shown_store
from laklak.stores.base import Origin, Store
from laklak.stores.knowledge import Knowledge
from laklak.tasks.groups import task_group
from laklak.tasks.stopping import Stopper
from laklak.text import counted, duration_text, size_text, some_of
from laklak.wire.bans import lasting_bans
from laklak.wire.pools import Pools, pool_of

LIMIT_S: Final = 13.0
"""How long the store or a venue may be silent."""
_LONGEST_LIMITS: Final = 10
"""The limit in all, as a multiple of that, while something keeps coming."""
_STORE_PATIENCE_S: Final = 1.0
_MEMORY_S: Final = 5.0
_FILES_S: Final = 5.0
_CLOCK_OFF_MS: Final = 1_000
_CLOCK_FAR_OFF_MS: Final = 60_000


def versions() -> dict[str, str]:
    """The versions that a report of trouble must name."""
    found = {"laklak": __version__, "Python": platform.python_version(), "SQLite": sqlite3.sqlite_version}
    for name in ("aiohttp", "uvloop"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return {**found, "system": f"{platform.system()} {platform.release()} {platform.machine()}"}


@dataclass(slots=True)
class _SharedFacts:
    """What the checks of store and venues learn for each other; `asking`: the store while it is being asked."""

    asking: Store | None = None
    store: Store | None = None
    origin: Origin | None = None
    addresses: dict[str, Addresses] = field(default_factory=dict)
    """The addresses of each venue whose candles the store has."""
    knowledge: Knowledge = field(default_factory=Knowledge)


class Check:
    """One check of everything. Use once: `await Check(order, venues, ...).run()`; it never raises LaklakError.

    Args:
        order: what a backfill would do; its range may be open.
        venues: the venues to ask.
        settings: (key, value to show, where it came from), passed on.
        findings: (about, finding) known already.
    """

    def __init__(
        self,
        order: Order,
        venues: Sequence[str],
        *,
        settings: Sequence[tuple[str, str, str]] = (),
        findings: Sequence[tuple[str, Finding]] = (),
    ) -> None:
        self._order = order
        self._pools = Pools(order.settings.state_dir, make=False)
        self._venues = venues
        self.settings = settings
        self._findings: dict[str, list[Finding]] = {}
        for about, finding in findings:
            self._add(about, finding)
        self._limit_s = LIMIT_S
        self._seen = _SharedFacts()
        self._cut_short = False

    async def run(self, *, limit_s: float = LIMIT_S) -> Checkup:
        """Check everything; the store and each venue may be silent for `limit_s`."""
        self._limit_s = limit_s
        started_s = time.monotonic()
        # The order in which they are shown, whichever answers first.
        for about in ("store", *self._venues):
            self._findings.setdefault(about, [])
        feeds: list[Feed] = []
        with self._pools:
            async with task_group() as group:
                group.start_soon(self._look_at_store)
                for name in self._venues:
                    group.start_soon(self._look_at_venue, name, feeds)
        for feed in feeds:
            if feed.no_api is None:
                self._add(feed.name, *self._of_listing(feed))
        if self._seen.store is not None:
            self._hold_against_store(self._seen.store, feeds)
        return Checkup(
            versions=versions(),
            settings=self.settings,
            findings=[(about, finding) for about, found in self._findings.items() for finding in found],
            seconds=time.monotonic() - started_s,
            cut_short=self._cut_short,
        )

    @asynccontextmanager
    async def _while_it_speaks(self, heard_s: Callable[[], float | None]) -> AsyncIterator[anyio.CancelScope]:
        """A scope that ends after too long a silence, or a time in all; `heard_s`: the last sign (monotonic).

        A slow line that brings something is no trouble.
        """
        with anyio.CancelScope(deadline=anyio.current_time() + self._limit_s) as scope:
            async with task_group() as watching:
                watching.start_soon(self._watch, scope, heard_s)
                yield scope
                watching.cancel_scope.cancel()

    async def _watch(self, scope: anyio.CancelScope, heard_s: Callable[[], float | None]) -> None:
        ends = anyio.current_time() + _LONGEST_LIMITS * self._limit_s
        while True:
            await asyncio.sleep(self._limit_s / 20)
            silent_s = time.monotonic() - (heard_s() or 0.0)
            scope.deadline = min(ends, max(scope.deadline, anyio.current_time() - silent_s + self._limit_s))

    def _add(self, about: str, *findings: Finding) -> None:
        self._findings.setdefault(about, []).extend(findings)

    # The store

    async def _look_at_store(self) -> None:
        started_s = time.monotonic()
        # In a thread with its own loop: a file on a lost disk blocks every call that touches it.
        async with self._while_it_speaks(lambda: self._seen.asking.heard_s if self._seen.asking else None) as scope:
            await to_thread.run_sync(lambda: asyncio.run(self._ask_store()), abandon_on_cancel=True)
        if scope.cancelled_caught:
            self._cut_short = True
            self._add(
                "store",
                Finding(
                    "problem",
                    f"{shown_store(self._order.settings.store)} has not answered within {self._waited_text(started_s)}",
                    "look whether its disk or server is there, and whether another program holds it",
                ),
            )

    async def _ask_store(self) -> None:
        # A run waits for a server that is down; here the user waits for the answer.
        access = replace(self._order.settings.store_access, max_wait_s=_STORE_PATIENCE_S)
        try:
            self._seen.asking = open_store(access, create=False)
            async with self._seen.asking as store:
                info = await store.describe()
                holds = info.holds if store.exists else "not there yet"
                self._add("store", Finding("ok", f"{store.display}: {holds}", facts={"exists": store.exists}))
                self._add("store", *await store.examine())
                self._seen.origin = await store.origin()
                self._seen.store = store
                if others := await other_series(store, self._order.asked):
                    self._add("assets", Finding("warning", others))
                if self._seen.origin is not None:
                    self._add("store", Finding("ok", f"its candles are {self._seen.origin} ones"))
                if store.exists:
                    await self._look_at_memory(store)
                if info.free_bytes is not None:
                    self._add("store", _room(info.free_bytes))
        except LaklakError as exc:
            self._add("store", Finding.of(exc))

    async def _look_at_memory(self, store: Store) -> None:
        """Tell what the store remembers about venues."""
        with anyio.move_on_after(_MEMORY_S) as scope:
            knowledge = self._seen.knowledge = await Knowledge.of(store)
            held = {series.venue for series in await store.holdings()}
            now_ms = time.time_ns() // 1_000_000
            for venue in sorted(held):
                known = self._seen.addresses[venue] = await known_addresses(store, knowledge, venue)
                self._add("store", address_finding(venue, known, knowledge.note(venue, NOTE), now_ms))
            absences = await store.absence_counts()
            for venue in sorted(held.union(note.about.partition(":")[0] for note in knowledge.all())):
                self._add("store", *memory_findings(venue, knowledge, absences, now_ms))
        if scope.cancelled_caught:
            self._add(
                "store", Finding("ok", f"what it remembers beside candles takes more than {_MEMORY_S:g} s to count")
            )

    def _hold_against_store(self, store: Store, feeds: Sequence[Feed]) -> None:
        """Add what shows only when the venues have answered; say once what concerns all of them."""
        found: dict[tuple[str, str], Finding] = {}
        for feed in sorted(feeds, key=lambda feed: self._venues.index(feed.name)):
            for about, error in self._conflicts(store, feed):
                found.setdefault((about, str(error)), Finding.of(error))
        for (about, _), finding in found.items():
            self._add(about, finding)

    def _conflicts(self, store: Store, feed: Feed) -> Iterator[tuple[str, LaklakError]]:
        """Candles of another kind than the venue's; a range that is empty by its clock, or would not be kept."""
        settings = self._order.settings
        refusal = mixing_refusal(store, self._seen.origin, feed)
        if refusal is not None:
            yield "store", refusal
        else:
            yield from (("store", error) for error in self._other_addresses(store, feed))
        if settings.days is None and settings.start is None:
            return
        try:
            clock_ms = feed.now_ms()
            span = clip_to_clock(
                settings.start_ms, settings.end_ms, settings.days, clock_ms, settings.interval, settings.settle_s
            )
        except LaklakError as exc:
            yield "settings", exc
            return
        try:
            store.check_range(span)
        except LaklakError as exc:
            yield "store", exc

    def _other_addresses(self, store: Store, feed: Feed) -> Iterator[LaklakError]:
        """Sources of a run whose candles would not fit those in the store."""
        there = self._seen.addresses.get(feed.name, Addresses())
        for source, address in feed.sources.items():
            fitting = there.of(source)
            # Only its files would tell whether an archive is a simulator's.
            untold = source == "files" and SIMULATOR in fitting
            if fitting and not untold and not fits(address, fitting, mixing=False):
                yield address_refusal(store.display, feed.name, source, address, fitting)

    # A venue

    async def _look_at_venue(self, name: str, feeds: list[Feed]) -> None:
        try:
            # A run waits as long as it is told; a check says so and ends.
            order = replace(self._order, settings=replace(self._order.settings, max_wait_s=0.0))
            feed = Feed(name, order, Stopper(), lambda line: None, self._pools)
        except LaklakError as exc:
            self._add(name, Finding.of(exc))
            return
        bans = lasting_bans(self._order.settings.state_dir, pool_of(feed.venue), longest_s=feed.venue.longest_ban_s)
        self._add(name, *ban_findings(bans, but=feed.ban_origin))
        if proxy := feed.contact().proxy:
            self._add(name, Finding("ok", f"asked through the proxy {proxy}"))
        started_s = time.monotonic()
        async with self._while_it_speaks(lambda: feed.contact().heard_s) as scope:
            try:
                async with feed:
                    self._add(name, *self._of_venue(feed, time.monotonic() - started_s))
                    self._add(name, *await self._of_files(feed))
                    feeds.append(feed)
            except TryLater as exc:
                self._add(name, self._told_to_wait(exc))
            except LaklakError as exc:
                self._add(name, Finding.of(exc))
        if scope.cancelled_caught:
            self._cut_short = True
            self._add(name, self._no_answer(feed, self._waited_text(started_s)))

    def _of_venue(self, feed: Feed, seconds: float) -> list[Finding]:
        if feed.no_api is not None:
            alone = "a run goes on with the bulk files alone; what they lack stays missing"
            return [Finding("warning", feed.no_api, alone)]
        simulated = feed.contact().simulated
        kind = "a simulator" if simulated else "it"
        symbols = len(feed.listing.instruments)
        lists = f" and lists {counted(symbols, 'symbol')}" if feed.lists_all else ""
        reached = f"{feed.shown_url}: {kind} answers{lists} ({duration_text(seconds)})"
        facts = {"simulated": simulated, "symbols": symbols}
        return [
            Finding("ok", reached, facts=facts),
            *_line(feed, self._order),
            _clock(feed),
            _weight(feed, self._order),
        ]

    async def _of_files(self, feed: Feed) -> list[Finding]:
        """Whether the server of the bulk files answers, and has some."""
        reader = feed.reader
        if reader is None:
            return []
        host = reader.host
        setting = f"LAKLAK_{feed.name.upper()}_ARCHIVE_URL"
        without = "a run goes on without them and leaves open what only they can prove; --source rest asks for none"
        trouble = f"has not answered within {_FILES_S:g} s"
        symbol = next(iter(feed.listing.instruments), "BTCUSDT")
        file = reader.archive.day_file(Series(feed.name, symbol, self._order.settings.interval), feed.now_ms() - DAY_MS)
        with anyio.move_on_after(_FILES_S):
            try:
                if await reader.is_archive(file):
                    return [Finding("ok", f"its bulk files: {host} answers and has files", facts={"files": True})]
                trouble = "answers, and none of the files is there that were looked for"
            except (TransientError, PermanentError) as exc:
                trouble = f"cannot be asked: {exc}"
        hint = f"check {setting}, HTTPS_PROXY and the network; {without}"
        return [Finding("warning", f"its bulk files: {host} {trouble}", hint, {"files": False})]

    def _of_listing(self, feed: Feed) -> list[Finding]:
        """What is odd in the listing of the asset list's symbols, and what a run does about those not listed."""
        asked = dict.fromkeys(one.symbol for one in self._order.asked if one.venue == feed.name)
        unlisted = [symbol for symbol in asked if symbol not in feed.listing.instruments]
        odd = [f"{symbol} {feed.listing.odd[symbol]}" for symbol in asked if symbol in feed.listing.odd]
        found = [Finding("warning", f"odd in its listing, and not counted: {some_of(odd)}")] if odd else []
        facts = {"asked": len(asked), "unlisted": len(unlisted)}
        if asked and not unlisted:
            knows = "lists" if feed.lists_all else "knows"
            found.append(
                Finding("ok", f"it {knows} all {counted(len(asked), 'symbol')} of the asset list", facts=facts)
            )
        elif unlisted:
            found.append(
                Finding(
                    "warning",
                    f"{len(unlisted):,} of {counted(len(asked), 'symbol')} of the asset list are not "
                    f"{'listed' if feed.lists_all else 'known to it'}: {some_of(unlisted)}",
                    self._about_unlisted(feed, unlisted),
                    facts,
                )
            )
        return found

    def _about_unlisted(self, feed: Feed, symbols: Sequence[str]) -> str:
        """What a run does about symbols that are not listed, and what the last one found of them."""
        packaged = all(one.packaged for one in self._order.asked if one.symbol in symbols)
        end = "is named in each run" if packaged else "ends each run with exit status 1 until it is taken off the list"
        if not feed.lists_all:
            return f"a symbol that it does not know {end}"
        known: list[str] = []
        unknown: list[str] = []
        for symbol in symbols:
            look = last_look(self._seen.knowledge, Series(feed.name, symbol, self._order.settings.interval))
            if look is not None:
                (unknown if look.words is None else known).append(
                    f"{symbol} ({look.words or f'looked for at {iso(look.at_ms // 1000 * 1000)}'})"
                )
        where = "klines and bulk files" if feed.reader is not None else "klines"
        parts = [f"a run looks for them in {where}, a week later again, and fetches what these have"]
        parts += [f"they had {some_of(known)}"] if known else []
        parts += [f"they did not have {some_of(unknown)}"] if unknown else []
        return "; ".join([*parts, f"a symbol that nobody has {end}"])

    def _told_to_wait(self, exc: TryLater) -> Finding:
        wait_s = exc.until_ms / 1000 - time.time()
        facts = {"reason": exc.reason, "until": iso(exc.until_ms)}
        if wait_s > self._order.settings.max_wait_s:
            return Finding("problem", str(exc), exc.hint, facts)
        return Finding(
            "warning",
            str(exc),
            f"a run would wait for that; --max-wait is {duration_text(self._order.settings.max_wait_s)}",
            facts,
        )

    def _waited_text(self, started_s: float) -> str:
        waited_s = time.monotonic() - started_s
        return duration_text(waited_s) if waited_s > 2 * self._limit_s else f"{self._limit_s:g} s"

    def _no_answer(self, feed: Feed, limit: str) -> Finding:
        name, contact = feed.shown_url, feed.contact()
        if contact.requests > bool(feed.listing.instruments):
            return Finding(
                "problem",
                f"{name} has not answered within {limit}",
                f"check the network, the name server, HTTPS_PROXY, and LAKLAK_{feed.name.upper()}_URL",
            )
        # It waited for its turn, not for the venue.
        return Finding(
            "warning",
            f"{name} could not be asked within {limit}: the budget is {feed.spending.budget} {feed.spending.unit}, and "
            f"{contact.weight_used:,} of the {feed.spending.advertised:,} of this address are used",
            "a run waits for its turn; find out what else asks from this address, or use another --budget",
        )


def _room(free_bytes: int) -> Finding:
    facts = {"free_bytes": free_bytes}
    if free_bytes >= SPARE_BYTES:
        return Finding("ok", f"{size_text(free_bytes)} free", facts=facts)
    return Finding(
        "problem",
        f"{size_text(free_bytes)} free; a backfill wants {size_text(SPARE_BYTES)} to spare",
        "make room, use another --store, or --force",
        facts,
    )


def _line(feed: Feed, order: Order) -> Iterator[Finding]:
    """A warning if the line to the venue is slow; a small answer does not tell."""
    contact = feed.contact()
    rate = contact.bytes_per_second
    if rate is not None and contact.answers_at_once < order.settings.workers:
        yield Finding(
            "warning",
            f"its answers come at {size_text(int(rate))} a second: the line is slow, or the venue is",
            "a run asks for as few at once as that carries; it takes longer, and lacks nothing",
            {"bytes_per_second": int(rate)},
        )


def _clock(feed: Feed) -> Finding:
    """How far this machine's clock is from the venue's, less half of the round trip."""
    contact = feed.contact()
    if contact.simulated:
        return Finding("ok", f"its clock says {iso(feed.now_ms() // 1000 * 1000)}; a simulator's is its own")
    way_ms = round(contact.round_trip_s * 500)
    ahead_ms = time.time_ns() // 1_000_000 - feed.now_ms() - contact.clock_behind_ms - way_ms
    text = f"this machine's clock is {_span(abs(ahead_ms))} {'ahead of' if ahead_ms >= 0 else 'behind'} its clock"
    text = f"{text} (round trip {_span(2 * way_ms)})"
    facts = {"clock_ahead_ms": ahead_ms, "round_trip_ms": 2 * way_ms}
    if abs(ahead_ms) < _CLOCK_OFF_MS + contact.clock_behind_ms:
        return Finding("ok", text, facts=facts)
    harm = "candles are right all the same, as the venue's clock counts"
    if abs(ahead_ms) >= _CLOCK_FAR_OFF_MS:
        harm = "TLS may fail, and a ban may be taken for over; candles are right, as the venue's clock counts"
    return Finding("warning", text, f"set it, by NTP for instance (timedatectl set-ntp true); {harm}", facts)


def _span(time_ms: int) -> str:
    return f"{time_ms:,} ms" if time_ms < 10_000 else duration_text(time_ms / 1000)


def _weight(feed: Feed, order: Order) -> Finding:
    """The budget compared with what the venue allows this address, and with what others here have used."""
    contact, spending = feed.contact(), feed.spending
    used, allowed = contact.weight_used, contact.weight_allowed
    others = max(0, used - contact.weight_paid)
    facts: dict[str, Fact] = {
        "budget": spending.budget,
        "advertised_weight": spending.advertised,
        "used_weight": used,
        "others_weight": others,
    }
    text = f"budget {spending.budget:,} of the {spending.advertised:,} {spending.unit} that it allows this address"
    if not used:
        return Finding("ok", f"{text}; its answers do not say how much is used", facts=facts)
    text = f"{text}; {used:,} used in this minute, {others:,} of it not by this check"
    modest = not others or order.settings.venues[feed.name].budget == "max"
    if modest or allowed is None or spending.budget + others <= allowed:
        return Finding("ok", text, facts=facts)
    return Finding(
        "warning",
        text,
        "what is left is less than the budget: a run slows down; find out what else asks from this address",
        facts,
    )
