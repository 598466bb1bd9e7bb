"""Fetches the files of one venue's archive during a run.

A file is downloaded with its checksum, checked, unpacked and read in a thread; a wrong checksum is worth one more
download. The result is candles, or the reason why there are none: then another source is asked. Small files wait for
others of their series in flight and are read together, since every pass over a table has its price.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import TracebackType
from typing import Final, Self, TypeVar

import anyio
from anyio import to_thread

from laklak.archives import Archive, ArchiveFile, BadFile
from laklak.archives.checksum import CHECKSUM_BYTES_MAX, parse_checksum
from laklak.archives.csv import DownloadedFile, read_files
from laklak.archives.sigint import uninterrupted
from laklak.archives.split import FilePart
from laklak.errors import PermanentError, TransientError
from laklak.model.series import DAY_MS, Series
from laklak.plan.rows import Checked
from laklak.tasks.memory import Memory
from laklak.tasks.process import cores
from laklak.tasks.stopping import Stopper
from laklak.tasks.timing import Timing
from laklak.wire.downloads import Downloader, Downloads, TooLarge

log = logging.getLogger(__name__)

Given = TypeVar("Given")
Result = TypeVar("Result")

_CANDLES_OF_A_LARGE_FILE: Final = 31 * 1440
# This many candles are worth a pass of their own; smaller files wait for more. Measured: a run with passes over eight
# days takes a sixth more CPU per candle than one with passes over 24.
_CANDLES_TOGETHER: Final = _CANDLES_OF_A_LARGE_FILE
_FILES_TOGETHER: Final = 31


@dataclass(frozen=True, slots=True)
class NoCandles:
    """Why a file gives no candles: it is `absent` (as far as the archive knows), cannot be fetched, or is not sound.

    `reached`: the archive has answered for it, well or badly; asking again tells no more. A file `absent` from a server
    without any files does not count as reached: that may be no archive.
    """

    reason: str
    detail: str
    reached: bool = True

    @property
    def absent(self) -> bool:
        return self.reason == "absent"

    @property
    def is_worth_another(self) -> bool:
        """Whether the file is worth one more download."""
        return self.reason == "checksum"


@dataclass(frozen=True, slots=True)
class ReadResult:
    """What files of one series gave: the candles of all of them, or why one of them gives none.

    Call `release` when the candles are no longer held: they take room. `checksums`: those of the files that gave some.
    """

    parts: Sequence[FilePart]
    checked: Checked | NoCandles
    release: Callable[[], None]
    checksums: Sequence[str] = ()


class FileReader:
    """Fetches files of one archive, at most `connections` at once.

    Files take room in `memory` before they are unpacked, and give it back when their candles are released.
    """

    def __init__(
        self, archive: Archive, url: str, *, stopper: Stopper, connections: int, unpacked: int, timing: Timing
    ) -> None:
        self.archive = archive
        self._downloader = Downloader(url, stopper=stopper, connections=connections, timing=timing)
        self._stopper = stopper
        # Days are many and small: all files together may take what `unpacked` months of minutes would.
        self.memory = Memory(unpacked * _CANDLES_OF_A_LARGE_FILE)
        # More threads than cores only take memory.
        self._threads = anyio.CapacityLimiter(min(unpacked, cores()))
        self._under_way: Counter[Series] = Counter()
        self._waiting: dict[Series, list[tuple[FilePart, DownloadedFile]]] = {}
        self.had_files = False
        """The store notes candles of its files, or it gave files in this run and then had none of them."""
        self.listed: Sequence[str] = ()
        """A few symbols that probably have files."""
        # A file that is there, and when the newest request that found one began.
        self._there: str | None = None
        self._found_s = 0.0
        self._looked = False
        self._looking = asyncio.Lock()

    async def __aenter__(self) -> Self:
        await self._downloader.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._downloader.__aexit__(kind, error, trace)

    @property
    def dead(self) -> bool:
        """Whether nothing more need be tried: the server cannot be reached, or fails again and again."""
        return self._downloader.dead

    @property
    def host(self) -> str:
        return self._downloader.host

    @property
    def simulated(self) -> bool:
        """Whether an answer has shown that this is a simulator's archive."""
        return self._downloader.simulated

    @property
    def traffic(self) -> Downloads:
        return self._downloader.traffic

    @property
    def signs(self) -> Hashable:
        """A value that changes with every request to the server, and whatever comes from it."""
        return self._downloader.traffic.requests, self._downloader.line.heard_s

    async def look(self) -> None:
        """Learn whether this is a simulator's archive, if that can be learned now."""
        await self._downloader.look()

    async def renew(self) -> None:
        """Drop the connections, after a sleep."""
        await self._downloader.renew()

    async def has(self, file: ArchiveFile) -> bool:
        """Whether a file is there, by its checksum; raises as Downloader.get."""
        asked_s = asyncio.get_running_loop().time()
        if await self._downloader.get(file.checksum_path, most_bytes=CHECKSUM_BYTES_MAX) is None:
            return False
        self.found(file, asked_s)
        return True

    async def read(self, part: FilePart) -> list[ReadResult]:
        """Fetch a file; return its candles, and those of files that waited for it. Candles keep their room.

        A small file may be held back and returned with a later one of the same series. The caller may ask for a file
        with a wrong checksum again. Raises Stopped when the run stops, which drops waiting files too.
        """
        series = part.file.series
        self._under_way[series] += 1
        try:
            download = await self._download(part)
        finally:
            self._under_way[series] -= 1
        waiting = self._waiting.setdefault(series, [])
        found = []
        if isinstance(download, NoCandles):
            found.append(ReadResult([part], download, _nothing_to_release))
        else:
            waiting.append((part, download))
        enough = len(waiting) >= _FILES_TOGETHER or sum(one.file.candles for one, _ in waiting) >= _CANDLES_TOGETHER
        if waiting and (enough or not self._under_way[series]):
            del self._waiting[series]
            found += await self._unpack(waiting)
        return found

    async def _download(self, part: FilePart) -> DownloadedFile | NoCandles:
        file = part.file
        if self._downloader.dead:
            return NoCandles("unreachable", f"{self._downloader.host} does not answer", reached=False)
        asked_s = asyncio.get_running_loop().time()
        try:
            body = await self._downloader.get(file.path, most_bytes=file.zip_bytes_max)
            if body is None:
                if not await self.is_archive(file):
                    gone = (
                        f", nor any file, though {self._downloader.host} had some"
                        if self.had_files
                        else ", nor any file"
                    )
                    return NoCandles("absent", f"{file.name} is not there{gone}", reached=False)
                return NoCandles("absent", f"{file.name} is not there")
            stated = await self._downloader.get(file.checksum_path, most_bytes=CHECKSUM_BYTES_MAX)
            if stated is None:
                return NoCandles("checksum", f"{file.name} has no checksum beside it")
            self.found(file, asked_s)
            return DownloadedFile(file, body, parse_checksum(stated, file))
        except BadFile as exc:
            return NoCandles(exc.reason, str(exc))
        except TransientError as exc:
            return NoCandles("unreachable", f"{file.name}: {exc}", reached=False)
        except PermanentError as exc:
            return NoCandles(exc.reason, f"{file.name}: {exc}", reached=isinstance(exc, TooLarge))

    async def is_archive(self, lacking: ArchiveFile) -> bool:
        """Whether the server has files at all, so that a missing one means something.

        A wrong address and a proxy answer 404 to everything, and a server may lose its files at any moment. So if
        nothing was found in this run yet, a few likely files are asked for, once; otherwise one that was there is asked
        for again, unless a request that began since `lacking` was missed found one: files missed at the same time cost
        one question together. Raises as Downloader.get.
        """
        lacked_s = asyncio.get_running_loop().time()
        async with self._looking:
            if self._found_s >= lacked_s:
                return True
            if self._looked and self._there is None:
                return False
            self._looked = True
            for path in [self._there] if self._there is not None else self._likely(lacking):
                asked_s = asyncio.get_running_loop().time()
                if await self._downloader.get(path, most_bytes=CHECKSUM_BYTES_MAX) is not None:
                    self._there, self._found_s = path, asked_s
                    return True
            self.had_files |= self._there is not None
            self._there = None
            return False

    def found(self, file: ArchiveFile, asked_s: float) -> None:
        """Note a file that is there, by a request that began at `asked_s` (the loop's clock)."""
        self._there, self._found_s = file.checksum_path, max(asked_s, self._found_s)

    def _likely(self, lacking: ArchiveFile) -> Iterable[str]:
        """Files that are there if any are, unless the archive was late that day."""
        yield self.archive.landmark(lacking.series).checksum_path
        span = lacking.span
        for series in (replace(lacking.series, symbol=symbol) for symbol in self.listed):
            yield self.archive.month_file(series, span.start_ms).checksum_path
            for time_ms in (span.end_ms - 1, span.start_ms - 1):
                yield self.archive.day_file(series, time_ms).checksum_path
        # A symbol asked for by days probably has other days; of a month nothing may be known.
        if lacking.kind == "day":
            for days in (1, -1, 7):
                yield self.archive.day_file(lacking.series, span.start_ms - days * DAY_MS).checksum_path

    async def in_thread(self, work: Callable[[Given], Result], given: Given) -> Result:
        """Run work on what files gave in one of the threads that read files."""
        return await to_thread.run_sync(uninterrupted(work), given, limiter=self._threads)

    async def _unpack(self, waiting: Sequence[tuple[FilePart, DownloadedFile]]) -> list[ReadResult]:
        """Read files in a thread, when there is room for them."""
        parts = {part.file: part for part, _ in waiting}
        checksums = {download.file: download.checksum for _, download in waiting}
        room = sum(file.candles for file in parts)
        with self._stopper.interruptible():
            await self.memory.take(room)
        try:
            results = await self.in_thread(
                lambda downloads: read_files(downloads, self.archive), [download for _, download in waiting]
            )
        except BaseException:
            self.memory.give_back(room)
            raise
        found = []
        for files, checked in results:
            these = [parts[file] for file in files]
            if isinstance(checked, BadFile):
                found.append(ReadResult(these, NoCandles(checked.reason, str(checked)), _nothing_to_release))
                self.memory.give_back(sum(file.candles for file in files))
            else:
                release = partial(self.memory.give_back, sum(file.candles for file in files))
                found.append(ReadResult(these, checked, release, [checksums[file] for file in files]))
        return found


def _nothing_to_release() -> None:
    """A file without candles takes no room."""
