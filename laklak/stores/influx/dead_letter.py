"""Lines that a server would not take, kept in a file that can be sent again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Final

from laklak.model.series import iso

log = logging.getLogger(__name__)

FILE_NAME: Final = "laklak-dead-letter.lp"


class DeadLetter:
    """Appends refused lines to a file, each lot after a remark that says when, where and why.

    The file is line protocol with remarks; `remarks` begin each lot and say how to send it again.  If the file cannot
    be written, the log warns and no error follows: the lines count as refused anyway, and the next run tries them
    again.
    """

    def __init__(self, path: str, remarks: Sequence[str]) -> None:
        self.path = path
        self._head = "".join(f"# {remark}\n" for remark in remarks)
        self._turn = asyncio.Lock()

    async def put(self, lines: str, reason: str) -> None:
        """Append `lines`, each with its newline; on the disk when this returns, if the disk takes it."""
        stamp = iso(int(time.time()) * 1000)
        text = f"{self._head}# refused {stamp}: {reason}\n{lines}"
        async with self._turn:
            await asyncio.to_thread(self._append, text.encode())

    def _append(self, data: bytes) -> None:
        try:
            with open(self.path, "ab") as file:
                file.write(data)
        except OSError as exc:
            log.warning("dead letter not written path=%s error=%s", self.path, exc.strerror or exc)
