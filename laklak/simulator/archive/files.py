"""Which files the simulated archive has published, and their bytes, made from the same market as REST answers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final

from laklak.model.series import Interval
from laklak.simulator.archive.faults import ArchiveDice
from laklak.simulator.archive.paths import FUTURES, ArchiveFile, files_between
from laklak.simulator.archive.render import Body, body_of, render
from laklak.simulator.archive.shelf import Shelf
from laklak.simulator.faults import Fault
from laklak.simulator.market import Market
from laklak.simulator.settings import SimulatorSettings

_MINUTE: Final = Interval.parse("1m")
_MADE_AHEAD: Final = 8


@dataclass(frozen=True, slots=True)
class PreparedFiles:
    """Files made before serving: `files` of the `wanted` ones, and their size; the rest had no room."""

    files: int
    wanted: int
    size_bytes: int


class PublishedFiles:
    """The files that exist at the venue's time, each sound or wrong as the dice decide."""

    def __init__(self, market: Market, settings: SimulatorSettings) -> None:
        self.dice = ArchiveDice(settings.faults, settings.seed)
        self._market = market
        self._settings = settings
        self._shelf = Shelf(settings.archive_cache_bytes)
        self._stop_preparing = False

    def __repr__(self) -> str:
        return f"<PublishedFiles {self._shelf!r}>"

    async def close(self) -> None:
        await self._shelf.close()

    def stop_preparing(self) -> None:
        self._stop_preparing = True

    def is_published(self, file: ArchiveFile) -> bool:
        """Whether a file would exist by now, if it has any row."""
        settings = self._settings
        delay_ms = settings.archive_day_delay_ms if file.kind == "daily" else settings.archive_month_delay_ms
        return file.end_ms + delay_ms <= self._market.clock.now_ms()

    async def body(self, file: ArchiveFile, fault: Fault | None) -> Body | None:
        """Return the zip of a published file, spoiled by `fault`; None if it has no row."""
        return await self._shelf.get(self._key(file, fault), partial(self._make, file, fault))

    async def prepare(self) -> PreparedFiles:
        """Make what a client of the whole 1m history asks for: published months, and days where no month is whole.

        Ends early when the shelf is full or `stop_preparing` is called.
        """
        # To know where each symbol begins, make its first candles.
        found = await asyncio.to_thread(lambda: list(self._published_files()))
        files = iter(found)
        making = deque(self._start(file) for file in islice(files, _MADE_AHEAD))
        while making and not self._shelf.evictions and not self._stop_preparing:
            await making.popleft()
            # Awaiting a finished file takes no turn of the loop, but only a turn puts it onto the shelf.
            await asyncio.sleep(0)
            making.extend(self._start(file) for file in islice(files, 1))
        await asyncio.gather(*making)
        await asyncio.sleep(0)
        return PreparedFiles(len(self._shelf), len(found), self._shelf.held_bytes)

    def _published_files(self) -> Iterator[ArchiveFile]:
        now_ms = self._market.clock.now_ms()
        daily_end_ms = now_ms - self._settings.archive_day_delay_ms
        monthly_end_ms = now_ms - self._settings.archive_month_delay_ms
        root = self._settings.dialect.archive_root or FUTURES
        for symbol in self._market.symbols:
            if self._stop_preparing:
                return
            first_ms = self._market.first_row_ms(symbol)
            if first_ms is not None:
                yield from files_between(symbol, _MINUTE, first_ms, daily_end_ms, monthly_end_ms, root)

    def _start(self, file: ArchiveFile) -> asyncio.Future[Body | None]:
        fault = self.dice.of_file(file)
        return self._shelf.start(self._key(file, fault), partial(self._make, file, fault))

    def _key(self, file: ArchiveFile, fault: Fault | None) -> tuple[int, ArchiveFile, Fault | None]:
        # After a change of the market nobody asks for what was made of the old one.
        return self._market.changes, file, fault

    def _make(self, file: ArchiveFile, fault: Fault | None) -> Body | None:
        # Runs in a thread.
        rows = self._market.archived(file.symbol, file.interval, file.start_ms, file.end_ms)
        if not rows:
            return None
        lots = self.dice.lots("render", file.path)
        header, level = self._settings.archive_header, self._settings.archive_zlib_level
        return body_of(render(file, rows, fault, lots, header=header, level=level))
