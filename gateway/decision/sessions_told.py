"""Who is connected, as a worker tells it to those who preview a change: names now and then, not a word of verdicts.

Sessions that are known by a credential or a certificate are told under their login alone; a preview counts them by all
devices of the user. What is told is some seconds old when it is read, and says so.
"""

import asyncio
import base64
import binascii
import json
import zlib
from collections.abc import Mapping
from itertools import islice
from typing import Any, NamedTuple

from gateway.decision.live_sessions import Follower, LiveSessions

AT_ONCE = 500
"""Looked at in one turn of the loop: half a millisecond."""
MOST = 200_000
"""Of one worker; more are not told, but counted."""
UNPACKED_BYTES = 64 << 20


class SessionTold(NamedTuple):
    """One session: canonical login, canonical DeviceId or nothing, protocol."""

    login: str
    device_id: str
    protocol: str


async def told(sessions: LiveSessions) -> dict[str, Any]:
    """All sessions of this moment, fit for JSON. Lets others have their turn."""
    # What follows a verdict for somebody else is no connection of ours.
    left = (each.request for each in sessions if not isinstance(each, Follower))
    packer, lines, count, more = zlib.compressobj(1), bytearray(), 0, 0
    while some := list(islice(left, AT_ONCE)):
        taken = some[: MOST - count]
        count, more = count + len(taken), more + len(some) - len(taken)
        rows = (json.dumps((each.login, each.device_id, each.protocol.value)) for each in taken)
        lines += packer.compress("".join(f"{row}\n" for row in rows).encode())
        await asyncio.sleep(0)
    return {"packed": base64.b64encode(lines + packer.flush()).decode("ascii"), "more": more}


def read(said: Mapping[str, Any]) -> tuple[list[SessionTold], int]:
    """What ``told`` said, and how many it left out. Raises ``ValueError``."""
    packed, more = said.get("packed"), said.get("more")
    if not isinstance(packed, str) or not isinstance(more, int):
        raise ValueError("a worker's sessions are not as workers tell them")
    opened = zlib.decompressobj()
    try:
        octets = opened.decompress(base64.b64decode(packed, validate=True), UNPACKED_BYTES)
    except (binascii.Error, zlib.error) as error:
        raise ValueError(f"a worker's sessions cannot be read: {error}") from error
    if opened.unconsumed_tail:
        raise ValueError("a worker tells of more sessions than it can have")
    try:
        rows = [json.loads(line) for line in octets.splitlines()]
    except RecursionError:
        raise ValueError("a worker's sessions are not as workers tell them") from None
    if not all(isinstance(row, list) and len(row) == 3 and all(isinstance(each, str) for each in row) for row in rows):
        raise ValueError("a worker's sessions are not as workers tell them")
    return [SessionTold(*row) for row in rows], more
