"""Several mail servers: who is asked for whom.

A user always goes to the same one while it is healthy (rendezvous hashing), because ActiveSync state hangs on it.
"""

import hashlib
from collections.abc import Sequence

from gateway.network.upstream import UpstreamPool


class Upstreams:
    """The pools of all mail servers."""

    def __init__(self, pools: Sequence[UpstreamPool]) -> None:
        self.pools = tuple(pools)

    def of(self, login: str) -> UpstreamPool:
        """The pool for a user; an unhealthy one only when no other is left."""
        if len(self.pools) == 1:
            return self.pools[0]
        ranked = sorted(self.pools, key=lambda pool: _weight(pool.url, login), reverse=True)
        return next((pool for pool in ranked if pool.healthy), ranked[0])

    def drop_old(self) -> None:
        """Close connections that have been idle for too long."""
        for pool in self.pools:
            pool.drop_old()

    def close(self) -> None:
        """Close everything."""
        for pool in self.pools:
            pool.close()

    def status(self) -> list[dict[str, object]]:
        """For the operator."""
        return [{"url": pool.url, "connections": pool.open, "healthy": pool.reached} for pool in self.pools]


def _weight(url: str, login: str) -> bytes:
    return hashlib.blake2b(login.encode(), key=url.encode()[:64], digest_size=8).digest()
