"""A mail server with STARTTLS or TLS first, and logins: aiosmtpd's own, which keeps what it has taken and who came."""

import asyncio
import base64
import binascii
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.notices.receiving import Manners, Receiving

TEXT = b"Notice"


@dataclass
class Secured(Receiving):
    """The server, its accounts and who has tried them."""

    password: str = "secret"
    tokens: set[str] = field(default_factory=set)
    logins: list[tuple[str, str, str]] = field(default_factory=list)
    """Mechanism, name and secret of each try."""
    connections: int = 0
    in_clear: int = 0
    """Commands beside EHLO, STARTTLS and QUIT that came outside of TLS."""

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: LoginPassword
    ) -> AuthResult:
        """aiosmtpd's ``authenticator``."""
        name, secret = data.login.decode(), data.password.decode()
        self.logins.append((mechanism, name, secret))
        return AuthResult(success=secret == self.password, handled=False)

    async def auth_XOAUTH2(self, server: SMTP, args: Sequence[str]) -> AuthResult:  # noqa: N802
        """By a token, as Google and Microsoft have it."""
        try:
            pieces = base64.b64decode(args[1], validate=True).decode().split("\x01")
        except (binascii.Error, IndexError, UnicodeDecodeError):
            return AuthResult(success=False, handled=False)
        name, token = pieces[0].removeprefix("user="), pieces[1].removeprefix("auth=Bearer ")
        self.logins.append(("XOAUTH2", name, token))
        if token in self.tokens and pieces[2:] == ["", ""]:
            return AuthResult(success=True)
        await server.challenge_auth('{"status":"401"}')
        return AuthResult(success=False, handled=False)


class _Watched(SMTP):
    """aiosmtpd's server, which counts what comes in the clear."""

    async def smtp_MAIL(self, arg: str) -> None:  # noqa: N802
        if not isinstance(self.transport, asyncio.Transport) or self.transport.get_extra_info("sslcontext") is None:
            self.event_handler.in_clear += 1
        await super().smtp_MAIL(arg)

    async def smtp_AUTH(self, arg: str) -> None:  # noqa: N802
        if not isinstance(self.transport, asyncio.Transport) or self.transport.get_extra_info("sslcontext") is None:
            self.event_handler.in_clear += 1
        await super().smtp_AUTH(arg)


@asynccontextmanager
async def secured_server(
    context: ssl.SSLContext | None, *, first: bool = False, mechanisms: Sequence[str] = ("PLAIN", "LOGIN"), **told: Any
) -> AsyncIterator[Secured]:
    """On a free port of this machine; ``first``: TLS before anything else; without a context it knows no TLS."""
    secured = Secured(Manners(), **told)

    def made() -> SMTP:
        secured.connections += 1
        return _Watched(
            secured,
            hostname="mail.test",
            enable_SMTPUTF8=True,
            tls_context=None if first else context,
            require_starttls=context is not None and not first,
            auth_require_tls=context is not None and not first,
            auth_exclude_mechanism={"PLAIN", "LOGIN", "XOAUTH2"} - set(mechanisms),
            authenticator=secured.authenticate,
        )

    loop = asyncio.get_running_loop()
    server = await loop.create_server(made, "127.0.0.1", 0, ssl=context if first else None)
    secured.port = server.sockets[0].getsockname()[1]
    try:
        yield secured
    finally:
        server.close()
