"""A zip as it came over the wire -> the CSV in it.  Hostile until checked.

A published zip is one local header, one member, one entry in the directory and the end of the directory; this reads
just that and refuses anything else.  (The standard library's zipfile reads whatever calls itself a zip, makes an object
of every entry of a directory, and takes 0.1 ms longer, which is a third of unpacking a day.)  Nothing is written, no
name from inside is used as a path, and unpacking stops at the most that the file can hold and at RATIO_MAX times the
packed size.

Source: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3.7, 4.3.12 and 4.3.16.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from isal import isal_zlib

from laklak.archives.base import ArchiveFile, BadFile

RATIO_MAX: Final = 100
"""Candles shrink to a third, minutes without any trade to a fifteenth; zeros shrink to a thousandth."""

# Mark, disk, disk of the directory, entries here, entries, bytes of the directory, its offset, bytes of the comment.
_END: Final = struct.Struct("<4s4H2LH")
_END_MARK: Final = b"PK\x05\x06"
# Mark, versions, flags, method, time and date, CRC, packed, unpacked, bytes of name, extra and comment, disk,
# attributes, offset of the local header.
_ENTRY: Final = struct.Struct("<4s4x2H4x3L4H6xL")
_ENTRY_MARK: Final = b"PK\x01\x02"
# Mark, version, flags, method, time and date, CRC and sizes (which may be told after the member only), bytes of name
# and extra.
_LOCAL: Final = struct.Struct("<4s2x2H16x2H")
_LOCAL_MARK: Final = b"PK\x03\x04"
_DESCRIPTOR_BYTES_MAX: Final = 24

_ENCRYPTED: Final = 0x1 | 0x40
_STORED: Final = 0
_DEFLATED: Final = 8


@dataclass(frozen=True, slots=True)
class _Member:
    """The one entry of a directory: its claims about the member, to be checked."""

    name: bytes
    flags: int
    method: int
    crc: int
    packed_bytes: int
    csv_bytes: int


def unpack(body: bytes, file: ArchiveFile) -> bytes:
    """Return the CSV in the zip `body`: the one member, of the expected name, complete and with the right CRC.

    Raises BadFile for anything else.  Never unpacks more than `file.csv_bytes_max` bytes.  Most of the time other
    threads can run.
    """
    member, directory_at = _directory(body, file)
    if member.name != file.member.encode():
        shown = member.name[:100].decode("utf-8", "replace")
        raise _bad(file, f"its member is called {shown!r}, not {file.member}")
    if member.flags & _ENCRYPTED:
        raise _bad(file, "its member is encrypted")
    if member.method not in (_STORED, _DEFLATED):
        raise _bad(file, f"its member is packed in a way that candles are not (method {member.method})")
    packed = _packed(body, directory_at, member, file)
    csv = bytes(packed) if member.method == _STORED else _inflated(packed, file)
    if len(csv) > file.csv_bytes_max:
        raise _bad(file, f"it holds more than {file.csv_bytes_max} bytes")
    if len(csv) != member.csv_bytes:
        raise _bad(file, f"its directory promises {member.csv_bytes} bytes, there are {len(csv)}")
    if isal_zlib.crc32(csv) != member.crc:
        raise _bad(file, "what is in it does not have its CRC")
    return csv


def _directory(body: bytes, file: ArchiveFile) -> tuple[_Member, int]:
    """Return the entry of the directory, if it has exactly one, and where the directory begins."""
    end_at = len(body) - _END.size
    if end_at < 0 or body[end_at : end_at + len(_END_MARK)] != _END_MARK:
        raise _bad(file, "it does not end as a zip does: it is cut off, no zip, or has something behind it")
    _, disk, disk_too, here, entries, directory_bytes, at, comment_bytes = _END.unpack_from(body, end_at)
    if entries != 1 or here != 1:
        raise _bad(file, f"it has {entries} members, not one")
    if disk or disk_too or comment_bytes or at + directory_bytes != end_at or directory_bytes < _ENTRY.size:
        raise _bad(file, "its directory is not where it should be")
    mark, flags, method, crc, packed, csv, *lengths, _, header_at = _ENTRY.unpack_from(body, at)
    if mark != _ENTRY_MARK or _ENTRY.size + sum(lengths) != directory_bytes or header_at != 0:
        raise _bad(file, "its directory is not that of one member")
    name_at = at + _ENTRY.size
    return _Member(body[name_at : name_at + lengths[0]], flags, method, crc, packed, csv), at


def _packed(body: bytes, end: int, member: _Member, file: ArchiveFile) -> memoryview:
    """Return the packed bytes of the member, uncopied; the directory begins at `end`."""
    if end < _LOCAL.size or body[: len(_LOCAL_MARK)] != _LOCAL_MARK:
        raise _bad(file, "it does not begin with its member")
    _, flags, method, name_bytes, extra_bytes = _LOCAL.unpack_from(body)
    name_end = _LOCAL.size + name_bytes
    if (body[_LOCAL.size : name_end], flags, method) != (member.name, member.flags, member.method):
        raise _bad(file, "its directory and its member tell two stories")
    start = name_end + extra_bytes
    packed = memoryview(body)[start : min(end, start + member.packed_bytes)]
    if len(packed) != member.packed_bytes or end - start - len(packed) > _DESCRIPTOR_BYTES_MAX:
        raise _bad(file, "its member is cut off or has something behind it")
    return packed


def _inflated(packed: memoryview, file: ArchiveFile) -> bytes:
    """Inflate the bytes, but never more than one byte above the bounds."""
    bound = min(file.csv_bytes_max, RATIO_MAX * len(packed))
    stream = isal_zlib.decompressobj(-isal_zlib.MAX_WBITS)
    try:
        csv = stream.decompress(packed, bound + 1)
    except isal_zlib.error as exc:  # type: ignore[misc]  # its stub calls the class an instance
        raise _bad(file, f"its member cannot be unpacked: {exc}") from exc
    if len(csv) > bound:
        raise _bad(file, f"it unpacks to more than {bound} bytes")
    if not stream.eof or stream.unused_data:
        raise _bad(file, "its member is cut off or has something behind it")
    return csv


def _bad(file: ArchiveFile, what: str) -> BadFile:
    return BadFile("zip", f"{file.name}: {what}")
