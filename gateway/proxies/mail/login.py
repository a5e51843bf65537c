"""One login: proved at the mail server first, then judged; what becomes of it is told to the client in one place.

A wrong password never learns of a ban, and a refusal in words is told only to somebody whose credentials the mail
server has just accepted. Attempts that may fail are counted before they are made (``attempts``), so that nobody's
account is locked by us. The session is registered, and only then judged; between the verdict and what follows from it
there is no await.
"""

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from gateway.domain.access import AccessRequest
from gateway.domain.verdict import Effect, Reason, Verdict
from gateway.network.addresses import counted_as
from gateway.network.upstream import UpstreamUnavailable
from gateway.protocols.login import Accepted, LoginAsked, Rejected, Unusable
from gateway.protocols.mail_identity import Identified, Presented, identity_of
from gateway.protocols.wording import app_named
from gateway.proxies.attempts import Attempt
from gateway.proxies.mail.notice_session import NoticeSession
from gateway.proxies.mail.session import MailSession
from gateway.proxies.mail.upstream import UpstreamConnection

if TYPE_CHECKING:
    from gateway.proxies.mail.client_connection import ClientConnection
    from gateway.proxies.mail.front import MailFront

log = structlog.get_logger()


class Login:
    """The login that a client asks for."""

    def __init__(self, front: "MailFront", client: "ClientConnection", asked: LoginAsked) -> None:
        self._front = front
        self._client = client
        self._asked = asked

    async def run(self) -> None:
        """Find out, and tell the client; cancelled when the client goes away."""
        front, credentials = self._front, self._asked.credentials
        client = self._client
        token = credentials.secret if credentials.mechanism.by_token else b""
        presented = Presented(front.spoken.protocol, credentials.user, client.address, client.certificate, token)
        identified = identity_of(presented, front.rules)
        if identified is None:
            self._client.refuse(front.spoken.wrong_credentials(self._asked.tag), "not_asked")
            return
        request = identified.request
        if await front.credentials.are_wrong(request):
            self._client.refuse(front.spoken.wrong_credentials(self._asked.tag), "wrong_credential")
            return
        if identified.user != credentials.user:
            self._asked = replace(self._asked, credentials=replace(credentials, user=identified.user))
        digest = front.proved.digest(request.login, credentials.secret)
        if not await front.proved.turn(digest):
            self._defer("upstream_unavailable")
            return
        attempt = front.attempts.begin(request.login, counted_as(request.client_address))
        if attempt is None and not front.proved.knows(digest):
            self._put_off(request, "too_many_failures")
            return
        proving = await self._prove(digest, attempt)
        if proving is None:
            self._defer("upstream_unavailable")
        else:
            await self._conclude(identified, *proving)

    async def _prove(
        self, digest: int, attempt: Attempt | None
    ) -> tuple[UpstreamConnection, Accepted | Rejected] | None:
        """Ask the mail server, and remember what it says; None: it says nothing."""
        front, upstream = self._front, None
        accepted: bool | None = None
        front.proved.begin(digest)
        try:
            upstream = await front.server.connect(self._client.ends)
            outcome = await upstream.log_in(self._asked.tag, self._asked.credentials, self._client.challenge)
            if isinstance(outcome, Unusable):
                raise UpstreamUnavailable(f"{front.server.url}: {outcome.reason}")
            accepted = isinstance(outcome, Accepted) or (False if outcome.wrong else None)
            if attempt is not None and accepted is not False:
                front.attempts.did_not_fail(attempt)
        except UpstreamUnavailable as error:
            log.warning("upstream_unavailable", reason=str(error))
            if upstream is not None:
                upstream.abort()
            if attempt is not None:
                front.attempts.did_not_fail(attempt)
            return None
        except asyncio.CancelledError:
            # It counts as a failure: the mail server may have seen it, and nobody hears what it says.
            if upstream is not None:
                upstream.abort()
            raise
        finally:
            front.proved.end(digest, accepted=accepted)
        return upstream, outcome

    async def _conclude(
        self, identified: Identified, upstream: UpstreamConnection, outcome: Accepted | Rejected
    ) -> None:
        if isinstance(outcome, Rejected):
            upstream.close()
            self._client.refuse(outcome.answer, "unauthenticated" if outcome.wrong else "rejected")
        elif not self._front.is_watchable(outcome.capabilities | upstream.offered):
            upstream.close(self._front.spoken.farewell)
            self._defer("upstream_unwatchable")
        else:
            session = MailSession(self._front, self._client, upstream, identified.request, identified.owner)
            await self._judge(session, outcome)

    async def _judge(self, session: MailSession, accepted: Accepted) -> None:
        front, request = self._front, session.request
        front.credentials.used(request)
        over_limit = session.register() > front.settings.sessions_per_user
        try:
            if over_limit:
                session.give_up()
                self._put_off(request, "too_many_sessions")
                return
            about, verdict = await session.judged()
            if verdict.effect is Effect.ALLOW:
                front.sessions.count_login("accepted")
                if front.shows_notices:
                    front.accounts.note(request)
                self._client.logged_in(session, accepted, verdict)
            else:
                session.give_up()
                await self._refuse(about, verdict)
        except BaseException:  # cancelled, or a mistake of ours: neither session nor connection is to be left behind
            session.give_up()
            raise

    async def _refuse(self, request: AccessRequest, verdict: Verdict) -> None:
        """In words or by a notice; a mail program that hammers is told later and later."""
        front = self._front
        if verdict.effect is Effect.DEFER:
            self._defer("deferred")
            return
        front.refusals.write_down("refused", request, verdict)
        if delay := front.pace.delay(request.login, request.protocol.value):
            await asyncio.sleep(delay)
        if front.spoken.notice is not None and await self._may_see_notice(request, verdict):
            dialogue = front.spoken.notice(request, verdict)
            self._client.noticed(NoticeSession(front, self._client, dialogue, request), self._asked.tag)
            return
        self._client.refuse(front.spoken.denied(self._asked.tag, app_named(verdict), verdict.note), "refused")

    async def _may_see_notice(self, request: AccessRequest, verdict: Verdict) -> bool:
        """Only for an app that is banned, and an account whose mail program knows the real mailbox."""
        front = self._front
        banned = verdict.reason is Reason.BANNED_APP
        return front.shows_notices and banned and await front.accounts.knows(request)

    def _defer(self, outcome: str) -> None:
        self._front.sessions.count_login(outcome)
        self._client.defer(self._asked.tag)

    def _put_off(self, request: AccessRequest, reason: str) -> None:
        self._front.sessions.put_off(request, reason)
        self._client.defer(self._asked.tag)
