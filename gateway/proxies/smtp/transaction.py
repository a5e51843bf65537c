"""The mail transaction of one session: sender, recipients, message (RFC 5321 §3.3, RFC 6409).

There is one at a time. It is judged at MAIL, at DATA, and once more when the mail server would take the message, before
the client is told to send it; each answer is the mail server's own. A message that the mail server has whole is heard
of to its end, whatever becomes of the client meanwhile.
"""

import asyncio
from typing import TYPE_CHECKING

import structlog

from gateway.protocols.smtp import extensions, refusals
from gateway.protocols.smtp.envelope import BadCommand, read_mail, read_rcpt
from gateway.proxies.smtp.relay import Outcome, Relay, Relayed, judged
from gateway.proxies.smtp.upstream import Leg, settled

if TYPE_CHECKING:
    from gateway.proxies.smtp.front import SmtpFront
    from gateway.proxies.smtp.session import Session

log = structlog.get_logger()

REPLY_MARGIN_SECONDS = 30.0


class Transaction:
    """One per session, for all its transactions. Its commands are called for somebody who has logged in."""

    def __init__(self, session: "Session", front: "SmtpFront") -> None:
        self._session = session
        self._front = front
        self.begun = False
        """The mail server knows a sender."""
        self.finishing = False
        """The mail server has a whole message and is to answer: nobody ends that."""
        self._utf8 = False
        self._asked = 0
        """Recipients that the mail server was asked about."""
        self._recipients = 0

    @property
    def _most(self) -> int:
        return extensions.size_limit(self._session.offered, self._front.settings.max_message_bytes)

    # --- the envelope

    async def mail(self, arg: bytes) -> None:
        """Whose message it is; judged."""
        session = self._session
        if self.begun:
            await session.push(refusals.NESTED)
            return
        if await session.is_refused():
            return
        try:
            mail = read_mail(arg, session.usable)
        except BadCommand as error:
            await session.push(error.reply)
            return
        if mail.size > self._most:
            self._front.messages.inc(Outcome.TOO_LARGE.value)
            await session.push(refusals.TOO_LARGE)
            return
        reply = await session.ask(mail.octets)
        if reply.positive:
            self.begun, self._utf8 = True, mail.utf8
            self._asked = self._recipients = 0
        await session.pass_on(reply)

    async def rcpt(self, arg: bytes) -> None:
        """For whom; each has the mail server's own answer."""
        session = self._session
        if not self.begun:
            await session.push(refusals.NO_SENDER)
            return
        try:
            recipient = read_rcpt(arg, session.usable, utf8=self._utf8)
        except BadCommand as error:
            await session.push(error.reply)
            return
        if self._asked >= self._front.settings.max_recipients:
            await session.push(refusals.TOO_MANY_RECIPIENTS)
            return
        self._asked += 1
        reply = await session.ask(recipient.octets)
        self._recipients += reply.positive
        await session.pass_on(reply)

    def forget(self) -> None:
        """There is none any more, here; the mail server is told by whoever calls this."""
        self.begun, self._recipients = False, 0

    # --- the message

    async def data(self, arg: str) -> None:
        """The message; judged before the mail server is asked, and before the client is told to send it."""
        session = self._session
        if not self._recipients:
            await session.push(refusals.NO_RECIPIENT if self.begun else refusals.NO_SENDER)
        elif arg:
            await session.push(refusals.NO_ARGUMENT)
        elif not session.inbox.empty:
            self._end_as_pipelined()
        elif await session.is_refused():
            return
        elif not self._front.memory.take():
            await session.push(refusals.NO_ROOM)
        else:
            try:
                await self._message()
            finally:
                self._front.memory.give_back()

    async def _message(self) -> None:
        session, leg = self._session, self._session.leg
        assert leg is not None
        reply = await leg.begin_message()
        if reply.code != 354:
            await session.pass_on(settled(reply))
            return
        # Asking took as long as the mail server liked, and nothing was promised yet.
        await session.end_if_turned()
        if not session.inbox.empty:
            self._end_as_pipelined()
        with session.receives(self._front.settings.message_seconds):
            await session.push(refusals.SEND)
            relayed = await self._relayed(leg)
        self.forget()
        await session.push(relayed.answer)
        if not leg.alive:
            session.end_next(refusals.UPSTREAM_LOST, "upstream_lost")

    async def _relayed(self, leg: Leg) -> Relayed:
        session = self._session
        relay = Relay(session.inbox, leg, self._most, self._front.settings.data_seconds)
        relayed: Relayed | None = None
        timed_out = False
        try:
            relayed = await relay.run()
        except asyncio.CancelledError:
            self._front.messages.inc(Outcome.CLIENT_GONE.value)
            raise
        except TimeoutError:
            timed_out = True
        if timed_out:
            # Not where it is caught: it refers to this task, and the task keeps it with the exception it ends with.
            self._front.messages.inc(Outcome.TIMED_OUT.value)
            session.over(refusals.TIMED_OUT, "timed_out")
        if relayed is None:
            self.finishing = True
            session.has_sent(self._front.settings.upstream_reply_seconds + REPLY_MARGIN_SECONDS)
            return await asyncio.shield(self._front.keep(self._finish(leg, relay.size)))
        self._front.messages.inc(relayed.outcome.value)
        return relayed

    async def _finish(self, leg: Leg, size: int) -> Relayed:
        """Hear what the mail server says to a message that it has, whatever becomes of the client meanwhile."""
        session = self._session
        try:
            reply = await leg.end_message()
            relayed = judged(reply, whole=True)
            self._front.messages.inc(relayed.outcome.value)
            if session.gone or relayed.outcome is Outcome.UNKNOWN:
                log.warning(
                    "smtp_answer_lost",
                    login=session.request.login,
                    client=session.address,
                    size=size,
                    outcome=relayed.outcome.value,
                    client_gone=session.gone,
                )
            return relayed
        finally:
            self.finishing = False
            if session.gone:
                session.let_go()

    def _end_as_pipelined(self) -> None:
        """What came behind DATA before its answer would be commands to one and a message to another (RFC 2920 §3.1)."""
        self._session.over(refusals.PIPELINED, "pipelined")
