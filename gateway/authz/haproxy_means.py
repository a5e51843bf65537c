"""Ends HAProxy's sessions by its runtime API: ``show sess`` says which one a client's address and port belong to."""

import asyncio
from collections.abc import Sequence
from typing import Final

from gateway.authz.cutter import CutFailed
from gateway.authz.haproxy_client import HaproxyClient
from gateway.protocols.authz import haproxy_runtime
from gateway.protocols.authz.haproxy_runtime import RuntimeSession

AT_ONCE: Final = 5_000
"""One look at all sessions finds so many."""


class HaproxyMeans:
    """``Means`` for one or more HAProxy processes; each session is one of theirs."""

    name = "haproxy"
    most = AT_ONCE

    def __init__(self, clients: Sequence[HaproxyClient]) -> None:
        self._clients = tuple(clients)

    def exact(self, target: str) -> str:
        """``ADDRESS:PORT`` of a client."""
        return target

    async def cut(self, targets: Sequence[str]) -> int:
        """Shut down the sessions of these clients. One process that is away holds back none of the others."""
        wanted, found = frozenset(targets), set[str]()
        # In words: an error keeps this call, which would keep the error.
        failure: str | None = None
        for client in self._clients:
            try:
                found |= await self._cut_at(client, wanted)
            except CutFailed as error:
                failure = str(error)
        if failure is not None and not wanted <= found:
            raise CutFailed(failure, wanted - found, len(found))
        return len(found)

    async def _cut_at(self, client: HaproxyClient, wanted: frozenset[str]) -> set[str]:
        theirs = [each for each in await self._sessions(client) if each.source in wanted]
        for line in haproxy_runtime.shutdowns(each.pointer for each in theirs):
            # "No such session" is said of one that has ended by itself.
            await client.say(line)
        return {each.source for each in theirs}

    async def sources(self) -> frozenset[str]:
        """The clients that are connected. Raises ``CutFailed`` unless all processes answer."""
        found: set[str] = set()
        for client in self._clients:
            found.update(each.source for each in await self._sessions(client))
        return frozenset(found)

    async def _sessions(self, client: HaproxyClient) -> list[RuntimeSession]:
        text = await client.say(haproxy_runtime.SHOW_SESSIONS)
        found: list[RuntimeSession] = []
        for piece in haproxy_runtime.pieces(text):
            found += haproxy_runtime.sessions(piece)
            # Of tens of thousands it takes a second, which must not be everybody's.
            await asyncio.sleep(0)
        return found

    async def close(self) -> None:
        """Nothing is kept."""
