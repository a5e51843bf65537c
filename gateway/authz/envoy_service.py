"""``envoy.service.auth.v3.Authorization/Check`` by grpc.aio: one question, one answer, many at a time.

The gRPC server listens at a unix socket of this process's own, and only what ``EnvoyConnection`` passes on reaches the
service: so listeners, TLS, bounds and draining are those of every asker, and a question is known by its connection.
gRPC's own errors are for what is no question at all; to Envoy they are failures, which let nobody in either.
"""

import os
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

# The library writes to stderr whatever a stranger sends it; what matters is counted here.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc

from gateway.authz import envoy_messages
from gateway.authz.envoy_messages import QUESTION_LONGEST, Question
from gateway.authz.facts import facts_of
from gateway.authz.inquiry import Judged, Settled
from gateway.domain.certificate import CertificateShown
from gateway.domain.errors import DomainError, InvalidValue
from gateway.domain.verdict import Effect, Verdict
from gateway.protocols.activesync import refusals
from gateway.protocols.answer import Answer
from gateway.protocols.authz import original
from gateway.protocols.authz.original import Misconfigured

if TYPE_CHECKING:
    from gateway.authz.envoy_connection import EnvoyConnection
    from gateway.authz.envoy_front import EnvoyFront

ASKER: Final = "envoy_grpc"
KEY: Final = "x-gatepost-key"
QUESTIONS_AT_ONCE: Final = 1_000
"""Of one connection; Envoy opens another one for more."""
_SERVICE: Final = "envoy.service.auth.v3.Authorization"
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", QUESTION_LONGEST),
    ("grpc.max_concurrent_streams", QUESTIONS_AT_ONCE),
    ("grpc.max_metadata_size", 16 << 10),
    # Identity only: a question of a few octets could become one of many.
    ("grpc.compression_enabled_algorithms_bitset", 1),
    # Envoy's connection_keepalive, which the library takes for an attack by default.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 1_000),
)

Found = Judged[bytes] | Settled[bytes]


class CannotServeEnvoy(DomainError):  # noqa: N818
    """There is no gRPC server on this machine; the text says why and what to do."""


class CheckService:
    """The gRPC server and its one method."""

    def __init__(self, front: "EnvoyFront") -> None:
        self._front = front
        self._server: Any = None
        self.address = f"gatepost-{secrets.token_hex(16)}"
        """In the abstract namespace of unix sockets (unix(7)): no file is left, and no directory is needed."""

    async def start(self) -> None:
        """Serve at ``address``. Raises ``CannotServeEnvoy``."""
        handler = grpc.unary_unary_rpc_method_handler(self._check)
        self._server = grpc.aio.server(options=_OPTIONS)
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, {"Check": handler}),))
        try:
            self._server.add_insecure_port(f"unix-abstract:{self.address}")
        except RuntimeError as error:
            raise CannotServeEnvoy(
                f"[envoy] listen: gRPC cannot use an abstract unix socket ({error}): this needs Linux; elsewhere let "
                "Envoy ask over HTTP"
            ) from None
        await self._server.start()

    async def stop(self) -> None:
        """End at once; what is under way fails."""
        if self._server is not None:
            server, self._server = self._server, None
            await server.stop(0)

    async def _check(self, octets: bytes, context: Any) -> bytes:
        connection = self._front.connection_of(context.peer())
        if connection is None:
            return self._stranger()
        connection.asked()
        try:
            if not (connection.authentic or self._front.keys.holds(_key(context))):
                found: Found = Settled(self._stranger(), "not_authentic")
            else:
                found = self._understood(octets)
            return await self._answered(connection, found)
        finally:
            connection.answered()

    def _stranger(self) -> bytes:
        """503 and not 403, which phones remember: it is a mistake of ours, not a verdict."""
        return envoy_messages.refused(refusals.defer(self._front.settings.retry_after_seconds), Effect.DEFER)

    async def _answered(self, connection: "EnvoyConnection", found: Found) -> bytes:
        if isinstance(found, Settled):
            self._front.settled(connection, ASKER, found)
            return found.answer
        verdict = self._front.judged_at_once(ASKER, found.request)
        if verdict is None:
            verdict = await self._front.judged_in_time(ASKER, found.request)
        return found.answer(verdict)

    def _understood(self, octets: bytes) -> Found:
        put_off = refusals.defer(self._front.settings.retry_after_seconds)
        try:
            asked = envoy_messages.read_question(octets)
            certificate = self._certificate(asked)
            understood = original.question(asked.head, asked.address, self._front.rules, certificate)
        except Misconfigured as error:
            return Settled(envoy_messages.refused(put_off, Effect.DEFER), "misconfigured", str(error))
        except InvalidValue:
            return Settled(envoy_messages.refused(refusals.malformed(), Effect.DENY), "bad_question")
        if isinstance(understood, Answer):
            outcome = "unauthenticated" if understood.status == 401 else "bad_question"
            return Settled(envoy_messages.refused(understood, Effect.DENY), outcome)
        if understood.request is None:
            return Settled(envoy_messages.allowed(facts_of(None, None), asked.own), "not_judged")
        return Judged(understood.request, self._by_verdict(asked, understood))

    def _certificate(self, asked: Question) -> CertificateShown | None:
        """Of the client, where Envoy is believed to say so."""
        vouched, believed = self._front.vouched, "envoy" in self._front.settings.certificates_from
        return vouched(asked.certificate) if vouched is not None and believed and asked.certificate else None

    def _by_verdict(self, asked: Question, understood: original.ClientQuestion) -> Callable[[Verdict], bytes]:
        def answer(verdict: Verdict) -> bytes:
            facts = facts_of(understood.request, verdict)
            if verdict.effect is Effect.ALLOW:
                return envoy_messages.allowed(facts, asked.own)
            told = original.refusal(understood, verdict, self._front.settings.retry_after_seconds)
            return envoy_messages.refused(told, verdict.effect, facts)

        return answer


def _key(context: Any) -> bytes:
    """Of the question's metadata, which Envoy's clients cannot write."""
    found = [value for name, value in context.invocation_metadata() if name == KEY]
    return str(found[0]).encode() if len(found) == 1 else b""
