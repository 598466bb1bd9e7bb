"""Zip archives byte by byte: the same bytes for the same content, and zips that no honest tool would write."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

BOMB_BYTES: Final = 2 * 1024**3
"""The size of an unpacked bomb."""

_LOCAL: Final = struct.Struct("<4sHHHHHLLLHH")
_CENTRAL: Final = struct.Struct("<4sHHHHHHLLLHHHHHLL")
_END: Final = struct.Struct("<4sHHHHLLH")

_VERSION: Final = 20
_UNIX: Final = 3 << 8
_UTF8_NAME: Final = 0x800
_DEFLATED: Final = 8
_TIME, _DATE = 0, 1 << 5 | 1  # 1980-01-01: a fixed moment, so that the same file has the same bytes for ever.
_REGULAR_FILE: Final = 0o100644 << 16

_BLOCK: Final = bytes(1024**2)


@dataclass(frozen=True, slots=True)
class Member:
    """A file inside a zip: its deflated bytes, and what the headers say of it."""

    name: str
    deflated: bytes
    crc: int
    size: int


def member(name: str, content: bytes, level: int) -> Member:
    """Deflate `content` at a zlib level; the interpreter lock is free meanwhile."""
    packer = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    return Member(name, packer.compress(content) + packer.flush(), zlib.crc32(content), len(content))


def bomb(name: str, *, declared: int = BOMB_BYTES) -> Member:
    """Make a member of BOMB_BYTES zeros in two megabytes, whose headers declare `declared` bytes."""
    deflated, crc = _zeros()
    return Member(name, deflated, crc, declared)


def zip_of(members: Sequence[Member]) -> bytes:
    """Return a zip of members in the form of the published ones: version 2.0, deflated, a Unix file, no comment."""
    parts: list[bytes] = []
    directory: list[bytes] = []
    offset = 0
    for item in members:
        name = item.name.encode()
        flags = 0 if name.isascii() else _UTF8_NAME
        sizes = (item.crc, len(item.deflated), item.size, len(name), 0)
        local = _LOCAL.pack(b"PK\x03\x04", _VERSION, flags, _DEFLATED, _TIME, _DATE, *sizes) + name
        directory.append(
            _CENTRAL.pack(
                b"PK\x01\x02", _UNIX | _VERSION, _VERSION, flags, _DEFLATED, _TIME, _DATE, *sizes, 0, 0, 0,
                _REGULAR_FILE, offset,
            )
            + name
        )  # fmt: skip
        parts += (local, item.deflated)
        offset += len(local) + len(item.deflated)
    central = b"".join(directory)
    end = _END.pack(b"PK\x05\x06", 0, 0, len(members), len(members), len(central), offset, 0)
    return b"".join((*parts, central, end))


@cache
def _zeros() -> tuple[bytes, int]:
    # After a full flush nothing refers back, so one deflated block of zeros can be repeated.
    blocks = BOMB_BYTES // len(_BLOCK)
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = packer.compress(_BLOCK) + packer.flush(zlib.Z_FULL_FLUSH)
    crc = 0
    for _ in range(blocks):
        crc = zlib.crc32(_BLOCK, crc)
    return block * blocks + packer.flush(), crc
