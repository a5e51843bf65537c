"""Whether the mail server accepts a client's credentials, asked within bounds.

Wrong passwords lock accounts, so only a few a minute are shown to it for one user (``proxies.attempts``); credentials
that it accepted lately are shown all the same (``proxies.proved``).
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import NamedTuple

import structlog

from gateway.domain.access import AccessRequest, Protocol
from gateway.domain.certificate import CertificateShown
from gateway.domain.identity import IdentityRules
from gateway.network.addresses import counted_as
from gateway.network.upstream import UpstreamUnavailable
from gateway.protocols.mail_identity import Identified, Presented, identity_of
from gateway.protocols.sasl import Credentials
from gateway.protocols.smtp import refusals
from gateway.protocols.smtp.forwarded_client import Client
from gateway.protocols.smtp.replies import Reply
from gateway.proxies.attempts import Attempts
from gateway.proxies.device_credentials import DeviceCredentials
from gateway.proxies.proved import Proved as AcceptedLately
from gateway.proxies.smtp.upstream import Leg

log = structlog.get_logger()


class Proved(NamedTuple):
    """The mail server has accepted them, on this connection."""

    request: AccessRequest
    leg: Leg
    answer: bytes
    owner: AccessRequest | None = None
    """About whom the token names, where that is not the user."""


class NotProved(NamedTuple):
    """It has not; ``answer`` is what the client is told."""

    answer: bytes
    outcome: str
    """For the metrics."""
    challenge: bytes = b""
    """In base64: what the server says of a refused token, for the client to see before the answer."""
    put_off: AccessRequest | None = None
    """Who, where a bound of ours is the reason."""


class Logins:
    """One per front. ``open_leg`` makes a connection to the mail server for a client."""

    def __init__(
        self,
        rules: IdentityRules,
        attempts: Attempts,
        lately: AcceptedLately,
        devices: DeviceCredentials,
        open_leg: Callable[[Client], Awaitable[Leg]],
    ) -> None:
        self._rules = rules
        self._attempts = attempts
        self._lately = lately
        self._devices = devices
        self._open_leg = open_leg

    async def prove(
        self, credentials: Credentials, client: Client, certificate: CertificateShown | None = None
    ) -> Proved | NotProved:
        """Ask the mail server. ``certificate``: of the client's connection."""
        token = credentials.secret if credentials.mechanism.by_token else b""
        presented = Presented(Protocol.SMTP, credentials.user, client.source[0], certificate, token)
        identified = identity_of(presented, self._rules)
        if identified is None:
            return NotProved(refusals.WRONG_CREDENTIALS, "not_asked")
        request = identified.request
        if await self._devices.are_wrong(request):
            return NotProved(refusals.WRONG_CREDENTIALS, "wrong_credential")
        credentials = replace(credentials, user=identified.user)
        digest = self._lately.digest(request.login, credentials.secret)
        if not await self._lately.turn(digest):
            return NotProved(refusals.NOT_ASKED, "upstream_unavailable")
        attempt = self._attempts.begin(request.login, counted_as(request.client_address))
        if attempt is None and not self._lately.knows(digest):
            return NotProved(refusals.TOO_MANY_ATTEMPTS, "too_many_failures", put_off=request)
        self._lately.begin(digest)
        try:
            outcome, accepted = await self._asked(identified, credentials, client)
        except asyncio.CancelledError:
            # It counts as a failure: the mail server may have seen it, and nobody hears what it says.
            self._lately.end(digest, accepted=None)
            raise
        self._lately.end(digest, accepted=accepted)
        if attempt is not None and accepted is not False:
            self._attempts.did_not_fail(attempt)
        return outcome

    async def _asked(
        self, identified: Identified, credentials: Credentials, client: Client
    ) -> tuple[Proved | NotProved, bool | None]:
        """What came of it, and whether the mail server accepts the credentials; None: nobody knows."""
        try:
            leg = await self._open_leg(client)
        except UpstreamUnavailable as error:
            log.warning("upstream_unavailable", reason=str(error))
            return NotProved(refusals.NOT_ASKED, "upstream_unavailable"), None
        reply, challenge = Reply(0, ""), b""
        try:
            reply, challenge = await leg.authenticate(credentials)
        finally:
            if reply.code != 235:
                leg.abort()
        if reply.code == 235:
            return Proved(identified.request, leg, reply.octets, identified.owner), True
        if _is_wrong(reply):
            return NotProved(reply.octets, "unauthenticated", challenge), False
        if not reply.final or reply.positive or reply.code == 421:
            # A 421 of the mail server is about its own connection; the client's goes on.
            return NotProved(refusals.NOT_ASKED, "upstream_unavailable"), None
        return NotProved(reply.octets, "rejected", challenge), None


def _is_wrong(reply: Reply) -> bool:
    """Whether a server says that the credentials are wrong, and not that something else is (RFC 4954 §6)."""
    return reply.code == 535 or (500 <= reply.code < 600 and reply.text.startswith("5.7.8"))
