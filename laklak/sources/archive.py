"""Getting the files of one venue's archive during a run.

A file is downloaded with its checksum, checked, unpacked and read in a thread; a wrong checksum is worth one more
download.  What comes of it is candles, or the reason why there are none: then somebody else has them.  Small files
that are there wait for others of their series that are under way, and are read together, since every pass over a
table has its price.
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
# As much as that is a pass of its own; files that are smaller wait for more. By measurement: a run with passes over
# eight days takes a sixth more CPU for a candle than one with passes over 24.
_CANDLES_TOGETHER: Final = _CANDLES_OF_A_LARGE_FILE
_FILES_TOGETHER: Final = 31


@dataclass(frozen=True, slots=True)
class NoCandles:
    """Why a file gives none: it is `absent` (as far as the archive knows), it could not be got, or it is not sound.

    `reached`: the archive has answered for it, well or badly; asking again tells no more.  What is `absent` where no
    file was ever found does not count as reached: it may be no archive that answers.
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
class Found:
    """What files of one series gave: the candles of all of them, or why one of them gives none.

    Call `release` when the candles are no longer held: they take room. `checksums`: those of the files that gave some.
    """

    parts: Sequence[FilePart]
    checked: Checked | NoCandles
    release: Callable[[], None]
    checksums: Sequence[str] = ()


class FileReader:
    """Gets files of one archive, as many at once as there are `connections`.

    Room in `memory` is taken before files are unpacked, and given back when their candles are released.
    """

    def __init__(
        self, archive: Archive, url: str, *, stopper: Stopper, connections: int, unpacked: int, timing: Timing
    ) -> None:
        self.archive = archive
        self._downloader = Downloader(url, stopper=stopper, connections=connections, timing=timing)
        self._stopper = stopper
        # Days are many and small: all files together are to take what so many months of minutes would.
        self.memory = Memory(unpacked * _CANDLES_OF_A_LARGE_FILE)
        # More threads than cores only take memory.
        self._threads = anyio.CapacityLimiter(min(unpacked, cores()))
        self._under_way: Counter[Series] = Counter()
        self._waiting: dict[Series, list[tuple[FilePart, DownloadedFile]]] = {}
        self.had_files = False
        """Candles of its files are noted in the store, or it gave files in this run and then had none of them."""
        self.listed: Sequence[str] = ()
        """A few symbols of which there are likely to be files."""
        # A file that is there, and when the newest request began that found one.
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
        """Nothing more need be tried: the server cannot be reached, or fails again and again."""
        return self._downloader.dead

    @property
    def host(self) -> str:
        return self._downloader.host

    @property
    def simulated(self) -> bool:
        """Whether an answer has told that this is a simulator's archive."""
        return self._downloader.simulated

    @property
    def traffic(self) -> Downloads:
        return self._downloader.traffic

    @property
    def signs(self) -> Hashable:
        """Another value whenever anything has come of the server, or a file was asked for."""
        return self._downloader.traffic.requests, self._downloader.line.heard_s

    async def look(self) -> None:
        """Learn whether this is a simulator's archive, where that can be learned now."""
        await self._downloader.look()

    async def renew(self) -> None:
        """Let go of connections, after a sleep."""
        await self._downloader.renew()

    async def has(self, file: ArchiveFile) -> bool:
        """Whether a file is there, by its checksum; raises what Downloader.get raises."""
        asked_s = asyncio.get_running_loop().time()
        if await self._downloader.get(file.checksum_path, most_bytes=CHECKSUM_BYTES_MAX) is None:
            return False
        self.found(file, asked_s)
        return True

    async def read(self, part: FilePart) -> list[Found]:
        """Get a file and give its candles, and those of files that waited for it; candles keep their room.

        A small file may be held back and returned with a later one of the same series.  The caller may ask for a file
        with a wrong checksum again.  Raises Stopped when the run stops, which gives up waiting files too.
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
            found.append(Found([part], download, _nothing_to_release))
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
        """Whether the server has files at all, so that it means something that it has none of this name.

        A wrong address and a proxy answer 404 to everything, and a server that had files may do so from any moment on.
        So where nothing was found in this run yet, a few files are asked for that are likely to be there, once; else
        one that was there is asked for again, unless a request found one that began since `lacking` was not there:
        what lacks at the same time costs one question together.  Raises what Downloader.get raises.
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
        """Take notice of a file that is there, by a request that began then (the loop's clock)."""
        self._there, self._found_s = file.checksum_path, max(asked_s, self._found_s)

    def _likely(self, lacking: ArchiveFile) -> Iterable[str]:
        """Files that are there if any are, but for a day on which the archive was late."""
        yield self.archive.landmark(lacking.series).checksum_path
        span = lacking.span
        for series in (replace(lacking.series, symbol=symbol) for symbol in self.listed):
            yield self.archive.month_file(series, span.start_ms).checksum_path
            for time_ms in (span.end_ms - 1, span.start_ms - 1):
                yield self.archive.day_file(series, time_ms).checksum_path
        # Of a symbol of which a day is asked for there are likely to be others; of a month nothing may be known.
        if lacking.kind == "day":
            for days in (1, -1, 7):
                yield self.archive.day_file(lacking.series, span.start_ms - days * DAY_MS).checksum_path

    async def in_thread(self, work: Callable[[Given], Result], given: Given) -> Result:
        """Do work on what files gave in one of the threads that read files."""
        return await to_thread.run_sync(uninterrupted(work), given, limiter=self._threads)

    async def _unpack(self, waiting: Sequence[tuple[FilePart, DownloadedFile]]) -> list[Found]:
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
                found.append(Found(these, NoCandles(checked.reason, str(checked)), _nothing_to_release))
                self.memory.give_back(sum(file.candles for file in files))
            else:
                release = partial(self.memory.give_back, sum(file.candles for file in files))
                found.append(Found(these, checked, release, [checksums[file] for file in files]))
        return found


def _nothing_to_release() -> None:
    """What gave no candles takes no room."""
