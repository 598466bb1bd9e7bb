"""The checksum beside a file, and whether it fits the file.

    9b8f...e1  BTCUSDT-1m-2024-05.zip

One line as `sha256sum -c` reads it: 64 hexadecimal digits, two spaces (or a space and a star), the name of the zip.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

from laklak.archives.base import ArchiveFile, BadFile

CHECKSUM_BYTES_MAX: Final = 1024
"""Longer bodies are not checksum files; reading stops here."""

_LINE: Final = re.compile(rb"([0-9a-fA-F]{64}) [ *]([^\r\n]+)\r?\n?")


def parse_checksum(body: bytes, file: ArchiveFile) -> str:
    """Return the SHA-256 that `body` states for `file`, as 64 lower-case digits; BadFile if it states none."""
    found = _LINE.fullmatch(body) if len(body) <= CHECKSUM_BYTES_MAX else None
    if found is None:
        raise BadFile("checksum", f"the checksum of {file.name} is not one line of 64 digits and a name")
    if found[2] != file.name.encode():
        named = found[2][:100].decode("utf-8", "replace")
        raise BadFile("checksum", f"the checksum of {file.name} is one of {named!r}")
    return found[1].decode().lower()


def verify(body: bytes, file: ArchiveFile, checksum: str) -> None:
    """Raise BadFile if `checksum` does not fit `body`. Lets other threads run meanwhile."""
    came = hashlib.sha256(body).hexdigest()
    if came != checksum:
        raise BadFile("checksum", f"{file.name} has the SHA-256 {came[:12]}..., not {checksum[:12]}...")
