"""Ends a connection so that nothing more of what was written leaves: neither from here nor from the kernel."""

import asyncio
import socket
import struct

_AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: close(2) drops what the kernel still holds, and resets (socket(7))."""


def reset(transport: asyncio.Transport) -> None:
    """Close at once. Nothing happens where it is closed, and all that was written has gone to the kernel."""
    if transport.is_closing() and not transport.get_write_buffer_size():
        return
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    transport.abort()
