"""The login of one session: what the client shows goes to the mail server, and whom that accepts is judged.

The session is registered before it is judged, with no await between. A DENY is told with MAIL and not here: a mail
program would take a refused login for a wrong password.
"""

import asyncio
from typing import TYPE_CHECKING

from aiosmtpd.smtp import AuthResult

from gateway.domain.verdict import Effect
from gateway.protocols import sasl
from gateway.protocols.lines import Unframeable
from gateway.protocols.sasl import Credentials, Mechanism
from gateway.protocols.smtp import refusals
from gateway.protocols.smtp.forwarded_client import Client
from gateway.proxies.smtp.logins import NotProved, Proved

if TYPE_CHECKING:
    from gateway.proxies.smtp.front import SmtpFront
    from gateway.proxies.smtp.session import Session

_OUTCOMES = {Effect.ALLOW: "accepted", Effect.DENY: "refused", Effect.DEFER: "deferred"}
_FAILURES = frozenset(("not_asked", "unauthenticated", "wrong_credential", "too_many_failures"))
"""Ends of a login after which a client has one try less."""


class Login:
    """One per session; ``run`` may be called again after one that failed."""

    def __init__(self, session: "Session", front: "SmtpFront") -> None:
        self._session = session
        self._front = front
        self.failures = 0

    async def run(self, mechanism: Mechanism, args: list[str]) -> AuthResult:
        """Authenticate at the mail server, identify, decide. ``args``: of AUTH, as aiosmtpd cuts them."""
        session, front = self._session, self._front
        try:
            credentials = await self._credentials(mechanism, args)
        except sasl.BadResponse as error:
            self.failures += 1
            front.sessions.count_login("malformed")
            return _answered(refusals.bad_response(error.fault))
        except Unframeable as error:
            session.over(refusals.unframeable(error.reason), error.reason)
        proved = await front.logins.prove(credentials, self._client(), session.certificate)
        if isinstance(proved, NotProved):
            self.failures += proved.outcome in _FAILURES
            if proved.put_off is not None:
                front.sessions.put_off(proved.put_off, proved.outcome)
            else:
                front.sessions.count_login(proved.outcome)
            if proved.challenge:
                # The client answers with nothing, or with ^A; it decides nothing.
                await self._challenge(proved.challenge)
            return _answered(proved.answer)
        return await self._identified(proved)

    async def _credentials(self, mechanism: Mechanism, args: list[str]) -> Credentials:
        exchange = sasl.Exchange(mechanism)
        response = args[1].encode("utf-8", "surrogateescape") if len(args) > 1 else None
        said = exchange.respond(response)
        while not isinstance(said, Credentials):
            said = exchange.respond(await self._challenge(said))
        return said

    async def _challenge(self, challenge: bytes) -> bytes:
        await self._session.push(b"334 " + challenge)
        return await self._session.awaited_line(self._session.login_seconds_left)

    def _client(self) -> Client:
        session = self._session
        assert session.session is not None
        name = (session.session.host_name or "").encode("utf-8", "surrogateescape")
        return Client(session.source, session.destination, name)

    async def _identified(self, proved: Proved) -> AuthResult:
        session, front = self._session, self._front
        if session.gone:
            # asyncio.wait_for, within the client library, keeps an end to itself that comes with what it waits for.
            proved.leg.abort()
            raise asyncio.CancelledError
        there = session.register(proved)
        front.credentials.used(proved.request)
        if there > front.settings.sessions_per_user:
            front.sessions.put_off(proved.request, "too_many_sessions")
            session.let_go()
            session.end_next(refusals.TOO_MANY_SESSIONS, "too_many_sessions")
            return _answered(refusals.TOO_MANY_SESSIONS_LOGIN)
        _, verdict = await session.judged()
        front.sessions.count_login(_OUTCOMES[verdict.effect])
        if verdict.effect is Effect.DENY:
            # The mail server hears nothing more of somebody who may not have mail.
            session.let_go()
        else:
            session.begin(verdict)
        return AuthResult(success=True, message=proved.answer.decode("utf-8", "surrogateescape"))


def _answered(answer: bytes) -> AuthResult:
    return AuthResult(success=False, handled=False, message=answer.decode("utf-8", "surrogateescape"))
