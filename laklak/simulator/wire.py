"""Answers that go wrong below HTTP: cut off in the middle, or a connection that is reset."""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping

from aiohttp import web


async def cut_off(
    request: web.BaseRequest,
    status: int,
    body: bytes,
    headers: Mapping[str, str],
    share: float,
    *,
    with_reset: bool = False,
) -> web.StreamResponse:
    """Announce all of `body`, send a share of it (0 to 1), and close or reset the connection."""
    response = web.StreamResponse(status=status, headers={"Content-Type": "application/json", **headers})
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: min(int(len(body) * share), len(body) - 1)])
    if with_reset:
        reset(request)
    elif request.transport is not None:
        request.transport.close()
    return response


def reset(request: web.BaseRequest) -> None:
    """Drop the connection with a TCP reset and without an answer."""
    transport = request.transport
    if transport is None:
        return
    connection = transport.get_extra_info("socket")
    if connection is not None:
        # Lingering for no time makes the kernel send RST instead of FIN.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
