"""Notices by SMTP: one recipient to a transaction, each step by itself, so that it is known what a failure means.

RFC 5321 4.5.3.2 wants ten minutes of patience behind the final dot: a shorter time-out makes messages uncertain that
were taken. What the server itself says is believed; a lost answer is nobody's word (RFC 1047).
"""

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Literal

from aiosmtplib import (
    SMTP,
    SMTPAuthenticationError,
    SMTPConnectResponseError,
    SMTPException,
    SMTPNotSupported,
    SMTPRecipientRefused,
    SMTPResponseException,
    SMTPSenderRefused,
)

from gateway.ports.notices import Attempt, DeliveryUnusable, MayGo, Outcome, OutgoingNotice

MESSAGES_OF_A_CONNECTION = 100
IDLE_SECONDS = 20.0
"""A connection that has rested longer is not used again: servers close theirs."""
WORDS_LONGEST = 300
LINE_LONGEST = 1000


@dataclass(frozen=True, slots=True)
class SmtpSettings:
    """Where notices are handed over, and how patiently. Times in seconds."""

    host: str
    port: int
    security: Literal["none", "starttls", "tls"]
    name: str = "localhost"
    """What we call ourselves in EHLO."""
    username: str = ""
    password: str = field(default="", repr=False)
    connections: int = 2
    connect_seconds: float = 30.0
    command_seconds: float = 300.0
    answer_seconds: float = 600.0
    """For the answer to the whole message."""


@dataclass(slots=True)
class _Connection:
    """One to the server, between two messages."""

    smtp: SMTP
    used_at: float
    messages: int = 0


class SmtpDelivery:
    """``ports.notices.NoticeDelivery`` by SMTP."""

    name = "smtp"

    def __init__(self, settings: SmtpSettings, tls: ssl.SSLContext | None = None) -> None:
        """``tls`` for STARTTLS and implicit TLS; None: the system's authorities."""
        self._settings = settings
        self._tls = tls
        self._turns = asyncio.Semaphore(settings.connections)
        self._idle: list[_Connection] = []

    async def deliver(self, notice: OutgoingNotice, may_go: MayGo) -> Attempt:
        """See ``NoticeDelivery``."""
        async with self._turns:
            try:
                connection = await self._connected()
            except (SMTPException, OSError, ssl.SSLError) as error:
                return _not_connected(error)
            keep = False
            try:
                attempt, keep = await self._attempt(connection, notice, may_go)
                return attempt
            finally:
                await self._put_back(connection, keep=keep)

    async def _attempt(self, connection: _Connection, notice: OutgoingNotice, may_go: MayGo) -> tuple[Attempt, bool]:
        """How it ended, and whether the connection is good for another message."""
        smtp = connection.smtp
        connection.messages += 1
        try:
            await self._envelope(smtp, notice)
        except SMTPResponseException as error:
            return _refused_envelope(error), error.code != 421 and smtp.is_connected
        except (SMTPException, OSError, ValueError) as error:
            return Attempt(Outcome.DEFERRED, _words(error)), False
        if not await may_go():
            return Attempt(Outcome.NOT_SENT), True
        try:
            async with asyncio.timeout(self._settings.answer_seconds + self._settings.command_seconds):
                answer = await smtp.data(notice.mime, timeout=self._settings.answer_seconds)
        except SMTPResponseException as error:
            # The server's own word: it has not taken it.
            outcome = Outcome.REFUSED if 500 <= error.code < 600 else Outcome.DEFERRED
            if not 400 <= error.code < 600:
                outcome = Outcome.UNCERTAIN
            return Attempt(outcome, _words(error)), error.code != 421 and smtp.is_connected
        except (SMTPException, OSError, ssl.SSLError, ValueError) as error:
            return Attempt(Outcome.UNCERTAIN, _words(error)), False
        return Attempt(Outcome.ACCEPTED, f"{answer.code} {_line(answer.message)}"), True

    async def _envelope(self, smtp: SMTP, notice: OutgoingNotice) -> None:
        sender, recipient = [], []
        if smtp.supports_extension("dsn"):
            # RFC 3461: a bounce then names the notice.
            sender, recipient = [f"ENVID={_xtext(notice.key)}", "RET=HDRS"], ["NOTIFY=FAILURE,DELAY"]
        encoding = "ascii"
        if not (notice.recipient.isascii() and notice.sender.isascii()):
            if not smtp.supports_extension("smtputf8"):
                raise SMTPRecipientRefused(553, "the server takes no addresses beyond ASCII", notice.recipient)
            sender, encoding = [*sender, "SMTPUTF8"], "utf-8"
        await smtp.mail(notice.sender, options=sender, encoding=encoding)
        await smtp.rcpt(notice.recipient, options=recipient, encoding=encoding)

    # --- connections

    async def _connected(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if monotonic() - connection.used_at < IDLE_SECONDS:
                try:
                    await connection.smtp.rset(timeout=self._settings.connect_seconds)
                    return connection
                except (SMTPException, OSError):
                    pass
            _drop(connection.smtp)
        return _Connection(await self._connect(), monotonic())

    async def _connect(self) -> SMTP:
        told = self._settings
        smtp = SMTP(
            hostname=told.host,
            port=told.port,
            local_hostname=told.name,
            timeout=told.command_seconds,
            use_tls=told.security == "tls",
            start_tls=False,
            tls_context=self._tls if told.security == "tls" else None,
        )
        try:
            async with asyncio.timeout(told.connect_seconds * 2):
                await smtp.connect(timeout=told.connect_seconds)
                await smtp.ehlo(timeout=told.connect_seconds)
                if told.security == "starttls":
                    await smtp.starttls(tls_context=self._tls, timeout=told.connect_seconds)
                    await smtp.ehlo(timeout=told.connect_seconds)
                if told.username:
                    await smtp.login(told.username, told.password, timeout=told.connect_seconds)
        except BaseException:
            _drop(smtp)
            raise
        return smtp

    async def _put_back(self, connection: _Connection, *, keep: bool) -> None:
        if keep and connection.messages < MESSAGES_OF_A_CONNECTION and connection.smtp.is_connected:
            connection.used_at = monotonic()
            self._idle.append(connection)
        else:
            _drop(connection.smtp)

    async def look_up(self, keys: Sequence[str]) -> Mapping[str, str]:
        """SMTP has no memory that could be asked."""
        return {}

    async def check(self) -> str:
        """See ``NoticeDelivery``."""
        try:
            smtp = await self._connect()
        except (SMTPException, OSError, ssl.SSLError) as error:
            raise DeliveryUnusable(
                f"{self._settings.host}:{self._settings.port}: {_not_connected(error).words}"
            ) from None
        with suppress(SMTPException, OSError):
            await smtp.quit(timeout=5.0)
        _drop(smtp)
        login = f", login as {self._settings.username} accepted" if self._settings.username else ""
        return f"{self._settings.host}:{self._settings.port} answers{login}"

    async def close(self) -> None:
        """End connections."""
        for connection in self._idle:
            with suppress(SMTPException, OSError):
                await connection.smtp.quit(timeout=2.0)
            _drop(connection.smtp)
        self._idle.clear()


def _drop(smtp: SMTP) -> None:
    with suppress(SMTPException, OSError, RuntimeError):
        smtp.close()


def _not_connected(error: Exception) -> Attempt:
    """Nothing has gone; whether it may be otherwise in a while."""
    if isinstance(error, SMTPAuthenticationError) and error.code >= 500:
        return Attempt(Outcome.CHANNEL_BROKEN, f"the login was refused: {_words(error)}")
    if isinstance(error, SMTPNotSupported):
        return Attempt(Outcome.CHANNEL_BROKEN, _words(error))
    if isinstance(error, SMTPConnectResponseError) and error.code >= 500:
        return Attempt(Outcome.CHANNEL_BROKEN, _words(error))
    if _certificate_trouble(error):
        return Attempt(Outcome.CHANNEL_BROKEN, f"the server's certificate is not accepted: {_words(error)}")
    return Attempt(Outcome.DEFERRED, _words(error) or "no connection in time")


def _certificate_trouble(error: BaseException) -> bool:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLCertVerificationError):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def _refused_envelope(error: SMTPResponseException) -> Attempt:
    words = _words(error)
    if not 500 <= error.code < 600:
        return Attempt(Outcome.DEFERRED, words)
    if isinstance(error, SMTPSenderRefused):
        return Attempt(Outcome.CHANNEL_BROKEN, f"the sender was refused: {words}")
    return Attempt(Outcome.REFUSED, words)


def _words(error: BaseException) -> str:
    if isinstance(error, SMTPResponseException):
        return _line(f"{error.code} {error.message}")
    return _line(str(error) or type(error).__name__)


def _line(text: str) -> str:
    shown = "".join(letter if letter.isprintable() else " " for letter in text[:LINE_LONGEST])
    return " ".join(shown.split())[:WORDS_LONGEST]


def _xtext(text: str) -> str:
    """RFC 3461 4."""
    return "".join(
        letter if letter.isascii() and letter.isprintable() and letter not in "+= " else f"+{ord(letter):02X}"
        for letter in text
    )
