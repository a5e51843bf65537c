"""One session with the mail server that takes notices: connected, within TLS where that is asked, and logged in.

Where STARTTLS is asked and not offered, nothing further is said: neither a login nor a message goes in the clear. A
password is shown once and by one mechanism: a library that tries all that are offered locks an account three times as
fast. After a wrong one nobody tries again for a while, which grows; what the server says of it is repeated without
the secret, should it be in there.
"""

import asyncio
import ssl
from base64 import b64encode
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from importlib.metadata import version
from time import monotonic

from aiosmtplib import SMTP, SMTPException, SMTPResponseException

from gateway.notices.smtp_answers import SessionUnusable, line_of, words_of
from gateway.notices.smtp_settings import SmtpSettings
from gateway.notices.tokens import NoToken, Tokens

LOGIN_AGAIN_SECONDS = 300.0
LOGIN_AGAIN_LONGEST = 3_600.0
TOKEN_AGAIN_SECONDS = 1.0
SHOWN_SECRET = 4
"""A secret shorter than this is not looked for in the server's words: it would be found everywhere."""


PENDING = "_buffer"
"""Of aiosmtplib's ``SMTPProtocol``: the octets that it has read and given to no command yet."""


class SmtpSessions:
    """Opens sessions; remembers a login that was refused."""

    def __init__(
        self,
        settings: SmtpSettings,
        tls: ssl.SSLContext | None = None,
        tokens: Tokens | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """``tls``: None: the system's authorities. ``tokens``: log in by XOAUTH2 instead of a password."""
        self._settings = settings
        self._tls = tls
        self._tokens = tokens
        self._clock = clock
        self._proving = asyncio.Lock()
        self._proved = False
        self._refused = 0
        self._refused_words = ""
        self._not_before = 0.0

    async def open(self) -> SMTP:
        """A session that takes a message. Raises ``SessionUnusable``, ``SMTPException``, ``OSError``."""
        self._raise_if_refused()
        told = self._settings
        smtp = SMTP(
            hostname=told.host,
            port=told.port,
            local_hostname=told.name,
            timeout=told.handover_seconds,
            use_tls=told.security == "tls",
            start_tls=False,
            tls_context=self._tls if told.security == "tls" else None,
        )
        try:
            async with asyncio.timeout(told.connect_seconds * 2):
                await smtp.connect(timeout=told.connect_seconds)
                await smtp.ehlo(timeout=told.connect_seconds)
                if told.security == "starttls":
                    await self._start_tls(smtp)
                if told.username:
                    await self._log_in_once(smtp)
                if says_more(smtp):
                    raise SMTPException("the server answers what it was not asked")
        except BaseException:
            drop(smtp)
            raise
        return smtp

    async def _start_tls(self, smtp: SMTP) -> None:
        if not smtp.supports_extension("starttls"):
            raise SessionUnusable(
                "the server offers no STARTTLS, and nothing is sent in the clear: switch it on there, or write "
                "smtps:// where a port has TLS first"
            )
        await smtp.starttls(tls_context=self._tls, timeout=self._settings.connect_seconds)
        await smtp.ehlo(timeout=self._settings.connect_seconds)

    # --- login

    async def _log_in_once(self, smtp: SMTP) -> None:
        if self._proved:
            await self._log_in(smtp)
            return
        # Until a login has been accepted, one at a time: a wrong password is not shown by each connection.
        async with self._proving:
            self._raise_if_refused()
            await self._log_in(smtp)

    async def _log_in(self, smtp: SMTP) -> None:
        log_in, secret = await self._way_in(smtp)
        try:
            await log_in()
        except SMTPResponseException as error:
            # No code at all (-1) among them.
            said = _without(words_of(error), self._settings.username, secret)
            if not 500 <= error.code < 600:
                raise SessionUnusable(f"the login is put off: {said}", for_now=True) from None
            raise self._login_refused(said, secret) from None
        self._proved, self._refused, self._not_before = True, 0, 0.0

    async def _way_in(self, smtp: SMTP) -> tuple[Callable[[], Awaitable[object]], str]:
        """What logs in, and the secret that it shows."""
        told, offered = self._settings, smtp.server_auth_methods
        if self._tokens is not None:
            if "xoauth2" not in offered:
                raise SessionUnusable(f"the server takes no token (XOAUTH2), it offers {_listed(offered)}")
            try:
                token = await self._tokens.token()
            except NoToken as error:
                raise SessionUnusable(str(error), for_now=not error.final) from None
            return partial(smtp.auth_xoauth2, told.username, token, timeout=told.connect_seconds), token
        for name, method in (("plain", smtp.auth_plain), ("login", smtp.auth_login)):
            if name in offered:
                return partial(method, told.username, told.password, timeout=told.connect_seconds), told.password
        hint = "" if told.security != "none" else ": many offer a login within TLS only, so write smtp+starttls://"
        raise SessionUnusable(f"the server takes no password (PLAIN, LOGIN), it offers {_listed(offered)}{hint}")

    def _login_refused(self, said: str, secret: str) -> SessionUnusable:
        known, self._proved = self._proved, False
        if self._tokens is not None:
            self._tokens.forget(secret)
            if known:
                # Taken back before its time: the next attempt has a new one. A new one refused too is another matter.
                words = f"the token is not accepted any more: {said}"
                return SessionUnusable(words, again_after_seconds=TOKEN_AGAIN_SECONDS, for_now=True)
        seconds = min(LOGIN_AGAIN_SECONDS * 2**self._refused, LOGIN_AGAIN_LONGEST)
        self._refused += 1
        self._not_before = self._clock() + seconds
        self._refused_words = (
            f"the login as {self._settings.username} was refused: {said}: correct [notices] username and password"
        )
        return SessionUnusable(self._refused_words, again_after_seconds=seconds)

    def _raise_if_refused(self) -> None:
        left = self._not_before - self._clock()
        if left > 0:
            raise SessionUnusable(self._refused_words, again_after_seconds=left)


def says_more(smtp: SMTP) -> bool:
    """Whether an answer waits that no command has asked for: the library would take it for that to the next command.

    A notice would count as sent then that the server has refused. What comes between two commands aiosmtplib drops
    since 5.1.3; what comes in one segment behind an asked answer it keeps, and there is no public way to see that. So
    its own buffer is looked at. Raises ``SessionUnusable`` where a version has it no more: without it nothing is sent.
    """
    protocol = smtp.protocol
    if protocol is None:
        return True
    pending = getattr(protocol, PENDING, None)
    if not isinstance(pending, bytearray):
        raise SessionUnusable(
            f"this version of aiosmtplib ({version('aiosmtplib')}) does not show answers that nobody asked for: "
            "install the one that Gatepost was released with"
        )
    return bool(pending)


async def leave(smtp: SMTP, seconds: float) -> None:
    """Say goodbye, and end the session whatever the answer is."""
    transport = smtp.transport
    try:
        with suppress(SMTPException, OSError):
            await smtp.quit(timeout=seconds)
    finally:
        drop(smtp, transport)


def drop(smtp: SMTP, transport: asyncio.BaseTransport | None = None) -> None:
    """End a session at once: what the server does not take any more, its end of TLS included, is not waited for."""
    abort = getattr(transport or smtp.transport, "abort", None)
    with suppress(SMTPException, OSError, RuntimeError):
        smtp.close()
    if abort is not None:
        abort()


def _listed(offered: list[str]) -> str:
    return line_of(", ".join(each.upper() for each in offered)) or "no login at all"


def _without(words: str, username: str, secret: str) -> str:
    """The server's words without the secret: some repeat what they could not make sense of."""
    plain = b64encode(f"\0{username}\0{secret}".encode()).decode()
    bearer = b64encode(f"user={username}\x01auth=Bearer {secret}\x01\x01".encode()).decode()
    for each in (plain, bearer, b64encode(secret.encode()).decode(), secret):
        if len(each) >= SHOWN_SECRET:
            words = words.replace(each, "…")
    return words
