"""External authorization of Envoy over gRPC in one worker: the listeners of every asker, before a gRPC server.

Imported only where ``[envoy] listen`` is set: grpcio and the messages take memory, and time to read.
"""

import asyncio
import secrets
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from gateway.authz.envoy_connection import EnvoyConnection
from gateway.authz.envoy_service import CheckService
from gateway.authz.front import AuthzFront, Connection
from gateway.authz.keys import AskerKeys
from gateway.authz.settings import AuthzSettings
from gateway.decision.decision_point import DecisionPoint
from gateway.domain.certificate import CertificateShown
from gateway.domain.identity import IdentityRules
from gateway.network.tls import ServerTls
from gateway.observability.metrics import Metrics

STOP_SECONDS: Final = 3.0
_OURS: Final = "unix-abstract:"


class EnvoyFront(AuthzFront):
    """Everything one worker needs to answer Envoys."""

    def __init__(
        self,
        settings: AuthzSettings,
        keys: AskerKeys,
        decision: DecisionPoint,
        identity: IdentityRules,
        metrics: Metrics,
        *,
        tls: ServerTls | None = None,
        vouched: Callable[[bytes], CertificateShown | None] | None = None,
    ) -> None:
        """As ``AuthzFront``."""
        super().__init__(settings, keys, decision, identity, metrics, tls=tls, vouched=vouched)
        self.service = CheckService(self)
        self._by_name: dict[str, EnvoyConnection] = {}

    async def start(self) -> None:
        """Have the gRPC server ready. Raises ``CannotServeEnvoy``."""
        await super().start()
        await self.service.start()

    def connection(self, *, authentic: bool) -> asyncio.Protocol:
        """One of an Envoy."""
        made = EnvoyConnection(self, authentic=authentic)
        # By chance: whoever is on this machine may take any name, and must not be able to take the next one.
        made.name = f"{self.service.address}.{secrets.token_hex(8)}"
        return made

    def admit(self, connection: Connection) -> bool:
        """Whether there is room for one more; from now on its questions are known."""
        if not super().admit(connection):
            return False
        assert isinstance(connection, EnvoyConnection)
        self._by_name[_OURS + connection.name] = connection
        return True

    def leave(self, connection: Connection) -> None:
        """A connection is gone."""
        super().leave(connection)
        if isinstance(connection, EnvoyConnection):
            self._by_name.pop(_OURS + connection.name, None)

    def connection_of(self, peer: str) -> EnvoyConnection | None:
        """On which of them a question has come, by gRPC's name for the other side; None: on none of ours."""
        return self._by_name.get(peer)

    async def drain(self, within_seconds: float, *, handed_over: bool) -> None:
        """As every front of askers, with a word to those who would ask more."""
        for connection in tuple(self._by_name.values()):
            connection.tell_to_leave()
        await super().drain(within_seconds, handed_over=handed_over)

    async def close(self) -> None:
        """Close everything at once."""
        await super().close()
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await self.service.stop()
