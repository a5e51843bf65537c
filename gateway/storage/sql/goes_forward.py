"""A server is written only if it has all that was ever committed and told of.

An earlier state of the database may have been put in place, or a standby have taken over without the last commits: what
it would number now has been told of already, with other contents, and whoever follows changes by their numbers would
take it for known.

A new connection to the server that was written before changes nothing of that: they end for many reasons, an age of
their own among them, and the cache may be away for hours. What is told is asked for even so, as the server that was
written before may be one that was left behind.
"""

import time
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import structlog

log = structlog.get_logger()

HELD_SECONDS = 5.0
"""Another server than before waits no longer for what can be asked about it, by however many connections."""
WENT_BACK = "an earlier state of the database was put in place while it was in use: the control process begins anew"
NOT_KNOWN = "another server may have taken over, and nobody says yet whether it has all that workers were told of"

Told: TypeAlias = Callable[[], Awaitable[int | None]]
"""The highest sequence that anybody was ever told of; None: that cannot be known now."""
WentBack: TypeAlias = Callable[[int, int], None]
"""Hears of a server that lacks something: up to which sequence it must have all, and how far it has it."""


async def _nothing_told() -> int:
    return 0


def nobody_hears(must_have: int, newest: int) -> None:
    """Where nothing but the write depends on it."""


class GoesForward:
    """Of the one connection by which a process writes at a time."""

    def __init__(self) -> None:
        self.reached = 0
        """The highest sequence that this process has seen committed."""
        self.told: Told = _nothing_told
        self.went_back: WentBack = nobody_hears
        self._held = True
        """Whether the present connection was held against what was told."""
        self._server = ""
        """Of the present connection."""
        self._doubted_until = 0.0
        """Whether that server lacks something must be known until then."""
        self._told_of = 0
        """What must be on any server, as others had told of it."""

    async def objection(self, sequence: int, first_on: str) -> str:
        """Why nothing may be written where the change log stands at ``sequence``; empty: it may. Never raises.

        ``first_on``: of the first transaction of a connection what tells its server from others; else empty.
        """
        if first_on:
            self._held = False
            if first_on != self._server:
                self._server, self._doubted_until = first_on, time.monotonic() + HELD_SECONDS
        if not self._held:
            told = await self._asked()
            # Whoever begins has no earlier server to hold this one against; nor do reports wait for ever for the cache.
            if told is None and self.reached and time.monotonic() < self._doubted_until:
                return NOT_KNOWN
            self._held, self._doubted_until = True, 0.0
            self._told_of = max(self._told_of, told or 0)
        must_have = max(self.reached, self._told_of)
        if sequence >= must_have:
            return ""
        # Those who read may be connected to another server still, which has it all.
        self.went_back(must_have, sequence)
        return WENT_BACK

    async def _asked(self) -> int | None:
        """Another process may have committed what this server never got, and told of it."""
        try:
            return await self.told()
        except Exception:  # a mistake of ours must not leave a transaction open, and its callers waiting
            log.exception("commit_failed", units=0)
            return None
