"""Binance's public archive on the simulator's socket: zips and checksums, as S3 answers them.

Source: data.binance.vision as described in the README of binance/binance-public-data (read 2026-11).
"""

from __future__ import annotations

import asyncio
import html
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from aiohttp import web

from laklak.simulator import wire
from laklak.simulator.archive.faults import ARCHIVE_KINDS, REQUEST_KINDS
from laklak.simulator.archive.files import PreparedFiles, PublishedFiles
from laklak.simulator.archive.paths import FUTURES, ArchiveFile, read_path
from laklak.simulator.archive.render import Body, etag_of, sha256_of
from laklak.simulator.faults import Fault, slow_seconds
from laklak.simulator.market import Market
from laklak.simulator.settings import SimulatorSettings
from laklak.simulator.stats import Stats

_XML: Final = "application/xml"
_HTML: Final = "text/html"
_BYTES: Final = "binary/octet-stream"
_ZIP: Final = "application/zip"

# What S3 and the content network before it say when they cannot answer.
_SERVER_ERRORS: Final = (
    (500, "InternalError", "We encountered an internal error. Please try again."),
    (503, "SlowDown", "Please reduce your request rate."),
    (503, "ServiceUnavailable", "Service is unable to handle request."),
)
_GATEWAY: Final = b"<html><head><title>502 Bad Gateway</title></head><body>502 ERROR</body></html>\n"


class WantedFile(NamedTuple):
    """What a path names: a zip or its checksum."""

    file: ArchiveFile
    is_checksum: bool

    @property
    def path(self) -> str:
        return f"{self.file.path}.CHECKSUM" if self.is_checksum else self.file.path


@dataclass(frozen=True, slots=True)
class FileAnswer:
    """The answer to a request. If it is reset, a `share` of the data is sent (0 to 1), for None not a byte."""

    status: int
    data: bytes
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict)
    is_reset: bool = False
    share: float | None = None


class ArchiveServer:
    """Answers the paths below ARCHIVE_ROOT. It meters and bans nobody, and serves every region."""

    def __init__(self, market: Market, settings: SimulatorSettings, stats: Stats) -> None:
        self.prepared: PreparedFiles | None = None
        self._archive = PublishedFiles(market, settings)
        self._dice = self._archive.dice
        self._settings = settings
        self._stats = stats
        self._requests = 0
        self._asked: Counter[WantedFile] = Counter()
        self._flaked: set[ArchiveFile] = set()

    def __repr__(self) -> str:
        return f"<ArchiveServer requests={self._requests} {self._archive!r}>"

    async def prepare(self) -> None:
        self.prepared = await self._archive.prepare()

    def stop_preparing(self) -> None:
        """Serve with the files made so far, if they are still being prepared."""
        self._archive.stop_preparing()

    async def close(self) -> None:
        await self._archive.close()

    async def serve(self, request: web.BaseRequest, headers: Mapping[str, str]) -> web.StreamResponse | None:
        """Answer a request, adding `headers`; None if its connection was reset without an answer."""
        self._requests += 1
        number = self._requests
        if self._settings.latency_s:
            await asyncio.sleep(self._settings.latency_s)
        read = read_path(request.path, self._settings.dialect.archive_root or FUTURES)
        wanted = None if read is None else WantedFile(*read)
        if request.method not in ("GET", "HEAD"):
            answer = _error(405, "MethodNotAllowed", "The specified method is not allowed.", request.path)
        else:
            answer = await self._decide(request.path, wanted, number)
        response, sent_bytes = await _send(request, answer, headers)
        self._stats.archive[_kind_of(wanted), 0 if response is None else answer.status] += 1
        self._stats.archive_bytes += sent_bytes
        return response

    async def _decide(self, path: str, wanted: WantedFile | None, number: int) -> FileAnswer:
        script = self._settings.archive_script
        override = script and script(path, {}, number)
        if override and override.fault is None:
            return FileAnswer(override.status, override.body, _BYTES, override.headers)
        if wanted is None:
            return _no_such_key(path)
        self._asked[wanted] += 1
        times = self._asked[wanted]
        if override and override.fault is not None:
            kind, _, detail = override.fault.partition(":")
            if kind not in ARCHIVE_KINDS:
                raise ValueError(f"a script asked for the unknown fault {kind!r} of the archive")
            return await self._answer(wanted, times, Fault(kind, detail=detail or None))
        fault = self._dice.of_request(wanted.file, is_checksum=wanted.is_checksum, number=times)
        return await self._answer(wanted, times, fault or self._dice.of_file(wanted.file))

    async def _answer(self, wanted: WantedFile, times: int, fault: Fault | None) -> FileAnswer:
        if fault is None or fault.kind not in REQUEST_KINDS:
            return await self._file(wanted, fault)
        self._stats.faults[fault.kind] += 1
        lots = self._dice.lots(fault.kind, wanted.path, times)
        if fault.kind == "archive-5xx":
            return _server_error(wanted.path, lots.random(), lots.choice(_SERVER_ERRORS))
        if fault.kind == "archive-slow":
            await asyncio.sleep(slow_seconds(fault))
        answer = await self._file(wanted, self._dice.of_file(wanted.file))
        if fault.kind == "archive-slow":
            return answer
        # One in three is reset before the first byte, the others somewhere in the answer.
        share = lots.uniform(-0.5, 1)
        return replace(answer, is_reset=True, share=share if share >= 0 else None)

    async def _file(self, wanted: WantedFile, fault: Fault | None) -> FileAnswer:
        if not self._archive.is_published(wanted.file):
            return _no_such_key(wanted.path)
        if fault is not None and fault.kind == "archive-missing":
            self._stats.faults[fault.kind] += 1
            return _no_such_key(wanted.path)
        body = await self._archive.body(wanted.file, fault)
        if body is None:
            return _no_such_key(wanted.path)
        if wanted.is_checksum:
            return self._checksum(wanted.file, body, fault)
        if fault is not None and not fault.kind.endswith("checksum"):
            self._stats.faults[fault.kind] += 1
        return FileAnswer(200, body.data, _ZIP, {"ETag": body.etag})

    def _checksum(self, file: ArchiveFile, body: Body, fault: Fault | None) -> FileAnswer:
        sha256 = body.sha256
        is_first = fault is not None and fault.kind == "archive-flaky-checksum" and file not in self._flaked
        if fault is not None and (is_first or fault.kind == "archive-checksum"):
            self._flaked.add(file)
            self._stats.faults[fault.kind] += 1
            sha256 = sha256_of(b"other bytes")
        text = f"{sha256}  {file.stem}.zip\n".encode()
        return FileAnswer(200, text, _BYTES, {"ETag": etag_of(text)})


def _kind_of(wanted: WantedFile | None) -> str:
    return "other" if wanted is None else f"{wanted.file.kind} {'checksum' if wanted.is_checksum else 'zip'}"


def _no_such_key(path: str) -> FileAnswer:
    return _error(404, "NoSuchKey", "The specified key does not exist.", path)


def _server_error(path: str, lot: float, error: tuple[int, str, str]) -> FileAnswer:
    return FileAnswer(502, _GATEWAY, _HTML) if lot < 0.25 else _error(*error, path)


def _error(status: int, code: str, message: str, path: str) -> FileAnswer:
    text = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message>'
        f"<Key>{html.escape(path.removeprefix('/'))}</Key></Error>"
    )
    return FileAnswer(status, text.encode(), _XML)


async def _send(
    request: web.BaseRequest, answer: FileAnswer, headers: Mapping[str, str]
) -> tuple[web.StreamResponse | None, int]:
    # The response, and how many bytes of its body go out.
    headers = {**headers, "Content-Type": answer.content_type, **answer.headers}
    if not answer.is_reset:
        size = 0 if request.method == "HEAD" else len(answer.data)
        return web.Response(status=answer.status, body=answer.data, headers=headers), size
    if answer.share is None:
        wire.reset(request)
        return None, 0
    response = await wire.cut_off(request, answer.status, answer.data, headers, answer.share, with_reset=True)
    return response, int(len(answer.data) * answer.share)
