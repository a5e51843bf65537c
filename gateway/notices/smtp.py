"""Notices by SMTP: one recipient to a transaction, each step by itself, so that it is known what a failure means.

RFC 5321 4.5.3.2 wants ten minutes of patience behind the final dot: a shorter time-out makes messages uncertain that
were taken. What the server itself says is believed; a lost answer is nobody's word (RFC 1047). A server that says
what nobody asked for is left: its next answer could be taken for that to another command. All of a notice before its
message has one bound, and so has its message: steps of which each is just in time do not add up.
"""

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import monotonic

from aiosmtplib import SMTP, SMTPException, SMTPRecipientRefused, SMTPResponseException

from gateway.notices.smtp_answers import (
    NOT_ASCII,
    SessionUnusable,
    failed,
    is_refusal,
    line_of,
    not_connected,
    refused_envelope,
    refused_message,
)
from gateway.notices.smtp_session import SmtpSessions, drop, leave, says_more
from gateway.notices.smtp_settings import SmtpSettings
from gateway.notices.tokens import Tokens
from gateway.ports.notices import Attempt, DeliveryUnusable, MayGo, Outcome, OutgoingNotice, of_the_way

MESSAGES_OF_A_CONNECTION = 100
LIFE_SECONDS = 600.0
"""Of a connection: behind one name there may be several servers, and one that is slow is not kept for long."""
IDLE_SECONDS = 20.0
"""A connection that has rested longer is not used again: servers close theirs."""
GOODBYE_SECONDS = 1.0


@dataclass(slots=True)
class _Connection:
    """One to the server, between two messages."""

    smtp: SMTP
    opened_at: float
    used_at: float
    messages: int = 0

    @property
    def is_worn(self) -> bool:
        """Whether it has done its part."""
        return self.messages >= MESSAGES_OF_A_CONNECTION or monotonic() - self.opened_at >= LIFE_SECONDS


class SmtpDelivery:
    """``ports.notices.NoticeDelivery`` by SMTP."""

    name = "smtp"
    remembers = False

    def __init__(self, settings: SmtpSettings, tls: ssl.SSLContext | None = None, tokens: Tokens | None = None) -> None:
        """``tls`` for STARTTLS and implicit TLS; None: the system's authorities. ``tokens``: instead of a password."""
        self._settings = settings
        self._sessions = SmtpSessions(settings, tls, tokens)
        self._turns = asyncio.Semaphore(settings.connections)
        self._idle: list[_Connection] = []

    async def deliver(self, notice: OutgoingNotice, may_go: MayGo) -> Attempt:
        """See ``NoticeDelivery``."""
        async with self._turns:
            until = asyncio.get_running_loop().time() + self._settings.handover_seconds
            try:
                async with asyncio.timeout_at(until):
                    connection = await self._connected()
            except Exception as error:
                return not_connected(error)
            keep = False
            try:
                attempt, keep = await self._attempt(connection, notice, may_go, until)
                return attempt
            finally:
                self._put_back(connection, keep=keep)

    async def _attempt(
        self, connection: _Connection, notice: OutgoingNotice, may_go: MayGo, until: float
    ) -> tuple[Attempt, bool]:
        """How it ended, and whether the connection is good for another message. ``until``: for the envelope.

        What a hostile server makes the library raise is an answer like any other, so each exception is one.
        """
        smtp = connection.smtp
        connection.messages += 1
        try:
            async with asyncio.timeout_at(until):
                await self._envelope(smtp, notice)
        except SMTPResponseException as error:
            return refused_envelope(error), _goes_on(error)
        except Exception as error:
            return failed(Outcome.DEFERRED, error), False
        if not smtp.is_connected:
            return of_the_way(Outcome.DEFERRED, "the server has closed the connection"), False
        if says_more(smtp):
            return of_the_way(Outcome.DEFERRED, "the server answers what it was not asked"), False
        if not await may_go():
            return Attempt(Outcome.NOT_SENT), True
        try:
            async with asyncio.timeout(self._settings.answer_seconds):
                answer = await smtp.data(notice.mime, timeout=self._settings.answer_seconds)
        except SMTPResponseException as error:
            return refused_message(error), _goes_on(error)
        except Exception as error:
            return failed(Outcome.UNCERTAIN, error), False
        return Attempt(Outcome.ACCEPTED, f"{answer.code} {line_of(answer.message)}"), True

    async def _envelope(self, smtp: SMTP, notice: OutgoingNotice) -> None:
        sender, recipient = [], []
        if smtp.supports_extension("dsn"):
            # RFC 3461: a bounce then names the notice.
            sender, recipient = [f"ENVID={_xtext(notice.key)}", "RET=HDRS"], ["NOTIFY=FAILURE,DELAY"]
        encoding = "ascii"
        if not (notice.recipient + notice.sender + notice.reply_to).isascii():
            if not smtp.supports_extension("smtputf8"):
                raise SMTPRecipientRefused(553, NOT_ASCII, notice.recipient)
            sender, encoding = [*sender, "SMTPUTF8"], "utf-8"
        await smtp.mail(notice.sender, options=sender, encoding=encoding)
        await smtp.rcpt(notice.recipient, options=recipient, encoding=encoding)

    # --- connections

    async def _connected(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if await self._is_good(connection):
                return connection
        return _Connection(await self._sessions.open(), monotonic(), monotonic())

    async def _is_good(self, connection: _Connection) -> bool:
        """Whether an idle connection takes another message; dropped where it does not."""
        good = False
        try:
            if monotonic() - connection.used_at < IDLE_SECONDS and not connection.is_worn:
                await connection.smtp.rset(timeout=self._settings.connect_seconds)
                good = True
        except (SMTPException, OSError):
            pass
        finally:
            if not good:
                drop(connection.smtp)
        return good

    def _put_back(self, connection: _Connection, *, keep: bool) -> None:
        smtp = connection.smtp
        if keep and not connection.is_worn and smtp.is_connected and not says_more(smtp):
            connection.used_at = monotonic()
            self._idle.append(connection)
        else:
            drop(smtp)

    async def look_up(self, keys: Sequence[str]) -> Mapping[str, str]:
        """SMTP has no memory that could be asked."""
        return {}

    async def check(self) -> str:
        """See ``NoticeDelivery``."""
        where = f"{self._settings.host}:{self._settings.port}"
        try:
            smtp = await self._sessions.open()
        except (SessionUnusable, SMTPException, OSError, ssl.SSLError) as error:
            raise DeliveryUnusable(f"{where}: {not_connected(error).words}") from None
        await leave(smtp, 5.0)
        tls = {"none": "without TLS", "starttls": "with STARTTLS", "tls": "with TLS"}[self._settings.security]
        login = (
            f", the login as {self._settings.username} is accepted" if self._settings.username else ", without login"
        )
        return f"{where} answers {tls}{login}"

    async def close(self) -> None:
        """End connections."""
        idle, self._idle = self._idle, []
        await asyncio.gather(*(leave(connection.smtp, GOODBYE_SECONDS) for connection in idle))


def _goes_on(error: SMTPResponseException) -> bool:
    """Behind a refusal by the book the next transaction may begin; 421 closes (RFC 5321 3.8)."""
    return is_refusal(error.code) and error.code != 421


def _xtext(text: str) -> str:
    """RFC 3461 4."""
    return "".join(
        letter if letter.isascii() and letter.isprintable() and letter not in "+= " else f"+{ord(letter):02X}"
        for letter in text
    )
